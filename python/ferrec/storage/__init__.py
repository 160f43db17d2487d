"""Models as folders, and the names under which classes are saved."""

from ferrec.storage.folders import checksum, describe, load

__all__ = ["checksum", "describe", "load"]
