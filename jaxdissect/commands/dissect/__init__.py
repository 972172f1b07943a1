"""`jaxdissect dissect`."""
