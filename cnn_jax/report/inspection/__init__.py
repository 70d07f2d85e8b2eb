"""The page of `inspect`."""
