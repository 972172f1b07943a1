"""`jaxdissect report`."""
