"""Attacks on classifiers, what they do to units, and whether removing units defends."""
