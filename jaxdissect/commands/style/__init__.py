"""`jaxdissect style`."""
