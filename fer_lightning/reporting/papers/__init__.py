"""Printed tables against ours: run folders become small committed files, these become results.csv and README.md."""
