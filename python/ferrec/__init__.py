"""ferrec: recommendations at hardware speed."""
