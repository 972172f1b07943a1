"""Floor 4: one module per question asked of a network."""
