"""How the scenes are drawn: props, the places where they stand, paint, and light."""
