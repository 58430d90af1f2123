"""Modules that can be inserted into a network."""
