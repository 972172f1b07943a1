"""Tell whether an answer is right."""
