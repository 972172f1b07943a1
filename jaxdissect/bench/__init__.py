"""Measure how fast jaxdissect is, what share of the hardware it reaches, and that it is right."""
