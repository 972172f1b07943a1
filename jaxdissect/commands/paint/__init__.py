"""The painting page: a generator whose images are changed with a brush, in a browser."""
