"""Networks that come with jaxdissect."""
