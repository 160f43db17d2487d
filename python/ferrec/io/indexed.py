"""Folders of an index and the files that it describes: JSON, and one `.npy` file an array. Nothing in them is run.

The index says of every file its size and its SHA-256, and of an array its dtype and shape. The names of the files
follow from what the reader wants, never from the index.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ferrec._rust import __version__
from ferrec.errors import ModelFileError
from ferrec.io.atomic import new_folder, sync_file
from ferrec.io.tables import as_path

__all__ = ["FolderKind", "array_sha256", "check_index", "write_array", "write_bytes"]

Index = dict[str, Any]

_INDEX_LIMIT = 1 << 24
"""Bytes of an index that are read at most."""


@dataclass(frozen=True)
class FolderKind:
    """What the folders of one kind have in common."""

    noun: str
    """What messages call one."""
    index: str
    """The name of its index."""
    format: int
    """The version that is written, and the only one that is read."""
    keys: Mapping[str, type]
    """What the index must hold beside the version, the time and the files, and of which types."""

    def refuse_other(self, path: str | os.PathLike[str]) -> None:
        """Refuse to replace what is no folder of this kind."""
        place = as_path("path", path)
        if place.exists() and not (place / self.index).is_file():
            raise FileExistsError(f"{path}: exists and is no saved {self.noun}; choose another folder")

    @contextmanager
    def new(self, path: str | os.PathLike[str]) -> Iterator[Path]:
        """A folder to fill that appears when it is complete and replaces none but one of its kind."""
        self.refuse_other(path)
        with new_folder(path) as made:
            yield made

    def write_index(
        self,
        folder: Path,
        content: Index,
        default: Callable[[object], object] | None = None,
        *,
        allow_nan: bool = True,
    ) -> Index:
        """Write the index, which comes last; what the index of a folder around it says of it."""
        index = {
            "format": self.format,
            "ferrec": __version__,
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            **content,
        }
        text = json.dumps(index, indent=1, default=default, allow_nan=allow_nan)
        return write_bytes(folder / self.index, text.encode())

    def read_index(self, folder: Path) -> Index:
        """The index, of this version, with everything that it must hold."""
        path = folder / self.index
        try:
            with path.open("rb") as file:
                index = json.loads(file.read(_INDEX_LIMIT))
        except FileNotFoundError:
            raise ModelFileError(f"{folder}: is no saved {self.noun}, {self.index} is missing") from None
        except (ValueError, RecursionError, OSError) as error:
            raise ModelFileError(f"{path}: cannot be read: {error}") from error
        keys = {"format": int, "ferrec": str, "saved": str, "files": dict, **self.keys}
        try:
            return check_index(index, keys, self.format)
        except ValueError as error:
            raise ModelFileError(f"{path}: {error}") from error

    def checked(self, path: Path, entry: object, verify: bool) -> Path:
        """The path of a file that is as the index says; `verify` compares the checksum, too."""
        if not isinstance(entry, dict):
            raise ModelFileError(f"{path.parent / self.index}: says nothing of {path.name!r}")
        try:
            size = path.stat().st_size
            if size != entry.get("bytes"):
                raise ModelFileError(
                    f"{path}: has {size} bytes, expected {entry.get('bytes')}: truncated or altered"
                )
            if verify and _file_sha256(path) != entry.get("sha256"):
                raise ModelFileError(f"{path}: does not match its checksum: altered")
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise ModelFileError(f"{path}: {'is missing' if missing else error}") from None
        return path

    def read_array(
        self, folder: Path, index: Index, name: str, dtype: str | None, verify: bool
    ) -> NDArray[Any]:
        """A flat array, mapped into memory."""
        path = self.checked(folder / f"{name}.npy", index["files"].get(name), verify)
        try:
            array = np.lib.format.open_memmap(path, mode="r")
        except Exception as error:  # NumPy's header parser lets many kinds through, tokenize's among them
            raise ModelFileError(f"{path}: is no array: {error}") from error
        if array.ndim != 1 or array.dtype.hasobject:
            raise ModelFileError(f"{path}: is no flat array of numbers")
        if dtype is not None and array.dtype != np.dtype(dtype):
            raise ModelFileError(f"{path}: has dtype {array.dtype}, expected {np.dtype(dtype)}")
        return array


def check_index(index: object, keys: Mapping[str, type], version: int) -> Index:
    """What was read from JSON, if it has these keys and is of this version; a ValueError says what is wrong."""
    for key, kind in keys.items():
        if not isinstance(index, dict) or not isinstance(index.get(key), kind):
            raise ValueError(f"{key!r} is missing or no {kind.__name__}")
    found = cast(Index, index)
    if found["format"] != version:
        saved = "ferrec" in keys  # else a job's manifest, which is not fitted
        written = f", written by ferrec {found['ferrec'][:40]}" if saved else ""
        raise ValueError(
            f"format {found['format']}{written}; this is ferrec {__version__}, which reads format {version}"
            + ("; fit and save again" if saved else "")
        )
    return found


class _Digesting:
    """A file that only counts and digests what is written to it, and hands it on to another where there is one."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file, self._digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: Any) -> None:
        self._digest.update(data)
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)

    def sha256(self) -> str:
        return self._digest.hexdigest()


def write_array(path: Path, array: NDArray[Any]) -> Index:
    """Write an array as a `.npy` file; what an index says of it."""
    described = _write(path, lambda out: _put_array(out, array))
    return {"dtype": array.dtype.str, "shape": list(array.shape), **described}


def write_bytes(path: Path, data: bytes) -> Index:
    """Write a file; what an index says of it."""
    return _write(path, lambda out: out.write(data))


def array_sha256(array: NDArray[Any]) -> str:
    """The checksum of the file that `write_array` would write."""
    out = _Digesting()
    _put_array(out, array)
    return out.sha256()


def _write(path: Path, fill: Callable[[_Digesting], object]) -> Index:
    with path.open("wb") as file:
        out = _Digesting(file)
        fill(out)
        sync_file(file)
    return {"bytes": out.size, "sha256": out.sha256()}


def _put_array(out: _Digesting, array: NDArray[Any]) -> None:
    np.lib.format.write_array(cast(Any, out), np.ascontiguousarray(array), allow_pickle=False)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
