"""Models of vectors of users and items."""
