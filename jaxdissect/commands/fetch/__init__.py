"""`jaxdissect fetch`."""
