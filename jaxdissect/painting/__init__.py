"""Paint with the units of a generator."""
