"""Models of item-item weights that predict histories."""
