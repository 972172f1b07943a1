"""`jaxdissect paint`."""
