"""Find out what the individual units of a vision network do."""
