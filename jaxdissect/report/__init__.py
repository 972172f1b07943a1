"""The page that commands write."""
