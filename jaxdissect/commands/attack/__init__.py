"""`jaxdissect attack`."""
