"""Models of random walks between users and items."""
