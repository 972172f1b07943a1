"""Make a Network of whatever the user has."""
