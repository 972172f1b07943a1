"""`jaxdissect generate`."""
