"""The fields of a saved model in their files: mapped at once, read and checked when they are first used.

Opening takes the same time whatever the size. What is read stays in the page cache, which all processes share.
"""

import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.sequences import SequenceParts, Sequences, run_of_sequences
from ferrec.errors import ModelFileError
from ferrec.io.arrays import offsets_of
from ferrec.kernels.handles import CsrParts, run_of

__all__ = ["SPAN", "Mapped", "MappedArray", "MappedIds", "MappedMatrix", "MappedSequences"]

Arrays = Mapping[str, NDArray[Any]]

SPAN = 1 << 25
"""Bytes of a matrix, or of sequences, that are in memory at once where rows are picked from all over it."""

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

    def rows(self, codes: NDArray[np.int32]) -> Any:
        """Some rows of a matrix or of sequences, checked; the others are not read."""
        raise TypeError(f"{self._where} has no rows")

    def row_lengths(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many entries they have, if the file is right."""
        raise TypeError(f"{self._where} has no rows")

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


class _Ragged(Mapped):
    """Rows of different lengths: offsets, and arrays with an entry for each entry of the rows."""

    offsets: ClassVar[str]
    """The name of the offsets."""

    def __init__(self, folder: Path, name: str, arrays: Arrays, digests: Mapping[str, str]) -> None:
        super().__init__(folder, name, arrays, digests)
        shape, offsets = arrays["shape"][:3].tolist(), arrays[self.offsets]
        if len(shape) != 2 or len(offsets) != shape[0] + 1 or not 0 <= shape[1] < 2**31:
            raise ModelFileError(f"{self._where}: shape {shape} does not fit {len(offsets)} offsets")

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of rows and of columns, or of items."""
        shape = self._arrays["shape"]
        return int(shape[0]), int(shape[1])

    @property
    def entries(self) -> tuple[str, ...]:
        """The arrays that are read row by row."""
        return tuple(part for part in self._arrays if part not in (self.offsets, "shape"))

    def rows(self, codes: NDArray[np.int32]) -> Any:
        """Read some rows, checked; the others are not read."""
        with self._damage():
            run = self._run(codes)
            if run is not None:
                return run
            per_entry = sum(self._arrays[part].itemsize for part in self.entries)
            order = np.argsort(codes, kind="stable")
            spans = self._arrays[self.offsets][codes[order]] // max(SPAN // per_entry, 1)
            pieces = np.split(codes[order], np.flatnonzero(np.diff(spans)) + 1)
            if len(pieces) <= 1:
                return self._rows(codes)
            return self._take(self._rows_by_span(pieces), np.argsort(order).astype(np.int32))

    def _rows_by_span(self, pieces: list[NDArray[np.int32]]) -> Any:
        """Rows that lie all over a large file, one part of which is in memory at a time."""
        found = []
        for piece in pieces:
            found.append(self._parts_of(self._rows(piece)))
            self.release()
        offsets = offsets_of(np.concatenate([np.diff(parts[0]) for parts in found]))
        joined = (
            None if parts[0] is None else np.concatenate(parts)
            for parts in zip(*(parts[1:] for parts in found), strict=True)
        )
        return self._made(offsets, *joined)

    def row_lengths(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return how many entries some rows have."""
        offsets = self._arrays[self.offsets]
        lengths: NDArray[np.int64] = offsets[codes + 1] - offsets[codes]
        return lengths

    def _read(self) -> Any:
        return self._made(*self._parts)

    @property
    @abstractmethod
    def _parts(self) -> tuple[Any, ...]:
        """The arrays of all rows."""

    @abstractmethod
    def _made(self, offsets: NDArray[np.int64], *arrays: Any) -> Any:
        """The value that some arrays make up, checked."""

    @abstractmethod
    def _run(self, codes: NDArray[np.int32]) -> Any | None:
        """Rows that lie one after the other, over the mapped memory."""

    @abstractmethod
    def _rows(self, codes: NDArray[np.int32]) -> Any:
        """A copy of some rows, checked."""

    @abstractmethod
    def _parts_of(self, rows: Any) -> tuple[Any, ...]:
        """The arrays of some rows."""

    @abstractmethod
    def _take(self, rows: Any, order: NDArray[np.int32]) -> Any:
        """Some of some rows."""


class MappedMatrix(_Ragged):
    """A sparse matrix."""

    offsets = "indptr"

    @property
    def _parts(self) -> CsrParts:
        return self._arrays["indptr"], self._arrays["indices"], self._arrays["data"]

    def _made(self, offsets: NDArray[np.int64], *arrays: Any) -> _rust.Csr:
        indices, data = arrays
        return _rust.Csr(offsets, indices, data, self.shape[1], name=self.name)

    def _run(self, codes: NDArray[np.int32]) -> _rust.Csr | None:
        return run_of(self._parts, self.shape[1], codes, self.name)

    def _rows(self, codes: NDArray[np.int32]) -> _rust.Csr:
        return _rust.Csr.checked_rows(self._parts, self.shape[1], codes, self.name)

    def _parts_of(self, rows: _rust.Csr) -> CsrParts:
        return rows.parts()

    def _take(self, rows: _rust.Csr, order: NDArray[np.int32]) -> _rust.Csr:
        return rows.rows(order)


class MappedSequences(_Ragged):
    """Sequences; those without times have no file of times."""

    offsets = "offsets"

    @property
    def _parts(self) -> SequenceParts:
        return self._arrays["offsets"], self._arrays["items"], self._arrays.get("times")

    def _made(self, offsets: NDArray[np.int64], *arrays: Any) -> Sequences:
        items, times = arrays
        return Sequences.from_handle(_rust.Sequences(offsets, items, times, self.shape[1], name=self.name))

    def _run(self, codes: NDArray[np.int32]) -> Sequences | None:
        run = run_of_sequences(self._parts, self.shape[1], codes, self.name)
        return None if run is None else Sequences.from_handle(run)

    def _rows(self, codes: NDArray[np.int32]) -> Sequences:
        return Sequences.from_handle(
            _rust.Sequences.checked_rows(self._parts, self.shape[1], codes, self.name)
        )

    def _parts_of(self, rows: Sequences) -> SequenceParts:
        return rows.handle.parts()

    def _take(self, rows: Sequences, order: NDArray[np.int32]) -> Sequences:
        return rows.take(order)


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
