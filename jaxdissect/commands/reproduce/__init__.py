"""`jaxdissect reproduce`."""
