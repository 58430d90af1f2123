"""Manifest rows to arrays, one recipe per file. A recipe is a class with plain arguments and a VERSION."""
