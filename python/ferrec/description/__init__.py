"""Description: what is in a table of events, as numbers, as text, and as a page."""

from ferrec.description._describe import Description, describe

__all__ = ["Description", "describe"]
