"""Floor 5: what people touch — the command line, figures, and image strips."""
