"""Questions that one row cannot answer."""
