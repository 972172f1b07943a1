"""`jaxdissect defend`."""
