"""Baselines: what every model is compared with."""
