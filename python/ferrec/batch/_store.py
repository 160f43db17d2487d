"""Folders that parts are put into, here or in an object store: a file is there as a whole or not at all."""

import errno
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any

from ferrec.errors import require
from ferrec.io.atomic import replacing
from ferrec.io.locations import open_url

__all__ = ["Store", "open_store"]

_EXTRA = "parquet"


class Store(ABC):
    """A folder somewhere."""

    @abstractmethod
    def names(self) -> list[str]:
        """What is in it."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A whole file."""

    @abstractmethod
    def put(self, name: str, data: Any) -> None:
        """All of it under that name, or nothing; when it returns, it stays."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """A file that is there."""

    @abstractmethod
    def close(self) -> None:
        """Let others write there."""


class _Folder(Store):
    """A folder on a local disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path)

    def names(self) -> list[str]:
        return [file.name for file in self._path.iterdir()]

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def remove(self, name: str) -> None:
        (self._path / name).unlink()

    def put(self, name: str, data: Any) -> None:
        with replacing(self._path / name) as file:
            file.write(data)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


def _lock(path: Path) -> int | None:
    """A handle that keeps other processes from writing to a folder; it goes with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise FileExistsError(f"{path}: another process is writing to it") from error
        return None  # a file system without locks
    return handle


class _Remote(Store):
    """A folder in an object store: what is put there appears when it is whole."""

    def __init__(self, url: str) -> None:
        self._filesystem, self._root = open_url(url)
        self._filesystem.create_dir(self._root, recursive=True)

    def names(self) -> list[str]:
        fs = require("pyarrow.fs", _EXTRA)
        return [info.base_name for info in self._filesystem.get_file_info(fs.FileSelector(self._root))]

    def read(self, name: str) -> bytes:
        with self._filesystem.open_input_stream(f"{self._root}/{name}") as file:
            data: bytes = file.read()
        return data

    def remove(self, name: str) -> None:
        self._filesystem.delete_file(f"{self._root}/{name}")

    def put(self, name: str, data: Any) -> None:
        try:
            with self._filesystem.open_output_stream(f"{self._root}/{name}") as file:
                file.write(data)
        except BaseException:
            with suppress(OSError):
                self.remove(name)  # closing it may have committed half of it
            raise

    def close(self) -> None:
        pass


def open_store(place: str) -> Store:
    return _Remote(place) if "://" in place else _Folder(Path(place))
