"""Kinds of work that are timed."""
