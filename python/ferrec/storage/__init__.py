"""Models as folders, and the names under which classes are saved."""

from ferrec.errors import publish
from ferrec.storage.folders import checksum, inspect, load

__all__ = ["checksum", "inspect", "load"]

publish(__name__)
