"""Drawing only: arrays in, a figure or a picture out."""
