"""Description: what is in a table of events, as numbers, as text, and as a page."""

from ferrec.description._describe import Description, describe
from ferrec.errors import publish

__all__ = ["Description", "describe"]

publish(__name__)
