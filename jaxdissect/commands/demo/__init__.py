"""`jaxdissect demo`."""
