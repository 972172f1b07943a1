"""Segmenters: from images to the concepts of every pixel, and to how much one concept is there."""
