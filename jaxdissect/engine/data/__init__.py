"""Data sources: anything with ``len()`` whose items are dictionaries of arrays."""
