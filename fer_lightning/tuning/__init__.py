"""Hyper-parameter search on inner validation: search spaces, trials, what is told in the end."""
