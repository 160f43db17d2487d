"""Places that are no local path."""

from typing import Any

from ferrec.errors import require
from ferrec.io.tables import EXTRA


def open_url(url: str) -> tuple[Any, str]:
    """The file system of a URL, pyarrow's own or fsspec's, and the path in it."""
    pyarrow, fs = require("pyarrow", EXTRA), require("pyarrow.fs", EXTRA)
    try:
        filesystem, path = fs.FileSystem.from_uri(url)
    except pyarrow.ArrowInvalid:  # not one of its own schemes
        fsspec = require("fsspec", "remote")
        other, path = fsspec.core.url_to_fs(url)
        filesystem = fs.PyFileSystem(fs.FSSpecHandler(other))
    return filesystem, path
