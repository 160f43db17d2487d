"""The fields of a saved model in their files: mapped at once, read and checked when they are first used.

Opening takes the same time whatever the size. What is read stays in the page cache, which all processes share.
"""

import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.errors import ModelFileError
from ferrec.kernels.handles import run_of

__all__ = ["SPAN", "Mapped", "MappedArray", "MappedIds", "MappedMatrix"]

Arrays = Mapping[str, NDArray[Any]]

SPAN = 1 << 25
"""Bytes of a matrix that are in memory at once where rows are picked from all over it."""

# Bytes of an entry of a matrix: its column and its value.
_ENTRY = 8

# Values that are checked at once.
_PIECE = 1 << 22


class Mapped(ABC):
    """One field. Its arrays have the sizes that were promised; what they hold nobody has looked at yet."""

    def __init__(self, folder: Path, name: str, arrays: Arrays, digests: Mapping[str, str]) -> None:
        self.name = name
        self.digests = digests
        self._where = f"{folder}: field {name!r}"
        self._arrays = arrays

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Known without reading."""

    def read(self) -> Any:
        """The value, checked, over the mapped memory; `ModelFileError` says what is wrong with it."""
        with self._damage():
            return self._read()

    @abstractmethod
    def _read(self) -> Any: ...

    def rows(self, codes: NDArray[np.int32]) -> _rust.Csr:
        """Some rows of a matrix, checked; the others are not read."""
        raise TypeError(f"{self._where} is no matrix")

    def row_lengths(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many entries they have, if the file is right."""
        raise TypeError(f"{self._where} is no matrix")

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """The dtype, the shape and the size in bytes of each array."""
        return {
            f"{self.name}.{part}": {
                "dtype": array.dtype.str,
                "shape": list(array.shape),
                "bytes": array.nbytes,
            }
            for part, array in self._arrays.items()
        }

    def release(self) -> None:
        """Let go of the memory that reading has made resident; the next use maps it again."""
        for array in self._arrays.values():
            base: object = array
            while isinstance(base, np.ndarray):
                base = base.base
            if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                base.madvise(mmap.MADV_DONTNEED)

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelFileError(f"{self._where} is damaged: {error}") from error


class MappedIds(Mapped):
    """Ids."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of ids."""
        if "ints" in self._arrays:
            return self._arrays["ints"].shape
        return (max(len(self._arrays["offsets"]) - 1, 0),)

    def _read(self) -> Ids:
        return Ids.from_arrays(self._arrays, between=self.release)


class MappedMatrix(Mapped):
    """A sparse matrix."""

    def __init__(self, folder: Path, name: str, arrays: Arrays, digests: Mapping[str, str]) -> None:
        super().__init__(folder, name, arrays, digests)
        shape, indptr = arrays["shape"][:3].tolist(), arrays["indptr"]
        if len(shape) != 2 or len(indptr) != shape[0] + 1 or not 0 <= shape[1] < 2**31:
            raise ModelFileError(f"{self._where}: shape {shape} does not fit {len(indptr)} offsets")

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        shape = self._arrays["shape"]
        return int(shape[0]), int(shape[1])

    @property
    def _parts(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        return self._arrays["indptr"], self._arrays["indices"], self._arrays["data"]

    def _read(self) -> _rust.Csr:
        return _rust.Csr(*self._parts, self.shape[1], name=self.name)

    def rows(self, codes: NDArray[np.int32]) -> _rust.Csr:
        """Read some rows, checked; the others are not read."""
        with self._damage():
            run = run_of(self._parts, self.shape[1], codes, self.name)
            if run is not None:
                return run
            order = np.argsort(codes, kind="stable")
            spans = self._arrays["indptr"][codes[order]] // (SPAN // _ENTRY)
            pieces = np.split(codes[order], np.flatnonzero(np.diff(spans)) + 1)
            if len(pieces) <= 1:
                return self._rows(codes)
            return self._rows_by_span(pieces).rows(np.argsort(order).astype(np.int32))

    def _rows(self, codes: NDArray[np.int32]) -> _rust.Csr:
        return _rust.Csr.checked_rows(self._parts, self.shape[1], codes, self.name)

    def _rows_by_span(self, pieces: list[NDArray[np.int32]]) -> _rust.Csr:
        """Rows that lie all over a large file, one part of which is in memory at a time."""
        found = []
        for piece in pieces:
            found.append(self._rows(piece).parts())
            self.release()
        counts = np.concatenate([np.diff(indptr) for indptr, _, _ in found])
        indices, data = (np.concatenate([parts[at] for parts in found]) for at in (1, 2))
        return _rust.Csr(np.concatenate([[0], counts.cumsum()]), indices, data, self.shape[1], name=self.name)

    def row_lengths(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return how many entries some rows have."""
        indptr = self._arrays["indptr"]
        lengths: NDArray[np.int64] = indptr[codes + 1] - indptr[codes]
        return lengths


class MappedArray(Mapped):
    """A flat array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values."""
        return self._arrays["values"].shape

    def _read(self) -> NDArray[np.float32]:
        values = self._arrays["values"]
        for start in range(0, len(values), _PIECE):
            if not np.isfinite(values[start : start + _PIECE]).all():
                raise ValueError("holds values that are not finite")
            self.release()
        return values
