"""How the networks of the scenes were trained."""
