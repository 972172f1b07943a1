"""`jaxdissect ablate`."""
