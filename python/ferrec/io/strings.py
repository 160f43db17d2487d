"""Strings as Arrow holds them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat, starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec.io.arrays import read_only
from ferrec.io.tables import Arrow


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """Strings as Arrow holds them: string i is ``data[offsets[i]:offsets[i + 1]]`` in UTF-8."""

    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", read_only(self.offsets))
        object.__setattr__(self, "data", read_only(self.data))

    @classmethod
    def from_list(cls, strings: Sequence[str]) -> "Strings":
        """Encode Python strings."""
        encoded = list(map(str.encode, strings))
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8))

    @classmethod
    def from_arrow(cls, strings: Arrow) -> "Strings":
        """A `LargeStringArray` without nulls; shares its memory."""
        if not len(strings):
            return cls.from_list([])
        _, offsets, data = strings.buffers()
        bounds = np.frombuffer(offsets, np.int64)[strings.offset : strings.offset + len(strings) + 1]
        size = int(bounds[-1] - bounds[0])
        # A column of empty strings may come without a buffer of bytes.
        text = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]] if size else np.empty(0, np.uint8)
        return cls(bounds - bounds[0], text)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        """Every string, cut and decoded by iterators in C; `UnicodeDecodeError` if one is not UTF-8."""
        cut = map(self.data.data.__getitem__, starmap(slice, pairwise(self.offsets.data)))
        return map(str, cut, repeat("utf-8"))

    def raw(self, i: int) -> bytes:
        """Return the bytes of string i."""
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()

    def decode(self) -> NDArray[Any]:
        """Decode every string, as an array of objects."""
        return np.fromiter(iter(self), object, len(self))

    def take(self, at: NDArray[np.integer[Any]]) -> "Strings":
        """Copy some of the strings, in that order."""
        starts = self.offsets[at]
        lengths = self.offsets[at + 1] - starts
        offsets = np.zeros(len(at) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # Byte j of the result comes from its string's start, plus how far j is into that string.
        source = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Strings(offsets, self.data[source])


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column of strings: the code of each row, and the distinct strings sorted ascending."""

    codes: NDArray[np.int32]
    uniques: Strings

    def value(self, row: int) -> str:
        """Return the string of a row."""
        return self.uniques.raw(int(self.codes[row])).decode()
