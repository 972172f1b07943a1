"""What units cause in a classifier."""
