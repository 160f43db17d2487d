"""Models of what the items are."""
