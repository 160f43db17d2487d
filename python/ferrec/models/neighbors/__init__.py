"""Models of neighborhoods: items or users that are alike."""
