"""Weights in files: reading, naming, downloading."""
