"""`jaxdissect detect`."""
