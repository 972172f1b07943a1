"""What units cause in an image generator."""
