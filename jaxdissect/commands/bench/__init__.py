"""`jaxdissect bench`."""
