"""`jaxdissect convert`."""
