"""Other libraries on the work of this one: each is optional and imported only where it competes."""
