"""Ids: the two-way map between the caller's ids and the integers that the kernels work on."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.errors import DataError, ParameterError, ParameterTypeError, UnknownIdError, unknown_name
from ferrec.io.arrays import read_only, span
from ferrec.io.columns import factorize_ints, read_ids
from ferrec.io.strings import Coded, Strings

__all__ = ["Ids"]

# Up to this many integers are found by binary search in the ids as they lie, repetitions and all. Beyond it, one
# pass that finds the distinct ones is cheaper than many searches.
_FEW = 256

# Ids that are checked at once.
_PIECE = 1 << 20


class Ids:
    """A frozen map between ids (the caller's ids) and codes ``0 … n - 1``.

    The ids are unique and sorted ascending (strings by code point), so that the same set of ids gives the
    same codes whatever the order of the rows that it came from. Integers keep the caller's dtype. Strings are
    held as Arrow holds them, one run of UTF-8 bytes and the offsets into it, so that a million of them can be
    memory-mapped; they become Python strings only when they are asked for.

    Build it with `from_values` or `from_arrays`.

    Examples
    --------
    >>> items = Ids.from_values(["tea", "milk", "tea", "bread"])
    >>> items
    Ids(3 strings: 'bread', 'milk', 'tea')
    >>> items.encode(["tea", "bread"])
    array([2, 0], dtype=int32)
    >>> items.decode([2, 0])
    array(['tea', 'bread'], dtype=object)
    """

    __slots__ = ("_data", "_decoded")

    _data: NDArray[np.integer[Any]] | Strings
    _decoded: NDArray[Any] | None

    def __init__(self, values: NDArray[np.integer[Any]] | Strings) -> None:
        """Wrap ids that are already sorted and unique; `from_values` sorts, `from_arrays` checks."""
        if not isinstance(values, Strings):
            flat = isinstance(values, np.ndarray) and values.ndim == 1
            if not flat or values.dtype.kind not in "iu":
                advice = "Ids.from_values takes any column"
                raise ParameterTypeError("values", "expected a flat array of integers", values, advice=advice)
            values = read_only(values)
        self._data = values
        self._decoded = None

    @classmethod
    def from_values(cls, values: object) -> "Ids":
        """The distinct values of a column, sorted.

        Parameters
        ----------
        values : array-like, shape (n,)
            Integers of any width or strings: a list, a NumPy array, a pandas, polars or pyarrow column
            (categorical columns too).

        Returns
        -------
        Ids

        Raises
        ------
        DataError
            Some values are null, or they are neither integers nor strings.

        Examples
        --------
        >>> Ids.from_values([30, 10, 30])
        Ids(2 int64: 10, 30)
        """
        return factorize(values, "values")[1]

    @property
    def values(self) -> NDArray[Any]:
        """Every id in the order of its code: the integer dtype given, or an object array of `str`.

        Read-only. Strings are decoded at the first call and kept.

        Examples
        --------
        >>> Ids.from_values(["b", "a"]).values
        array(['a', 'b'], dtype=object)
        """
        if not isinstance(self._data, Strings):
            return self._data
        if self._decoded is None:
            self._decoded = read_only(self._data.decode())
        return self._decoded

    @property
    def kind(self) -> Literal["integers", "strings"]:
        """What the ids are. Of no ids at all it says nothing: look at the length first.

        Examples
        --------
        >>> Ids.from_values(["b", "a"]).kind
        'strings'
        """
        return "strings" if isinstance(self._data, Strings) else "integers"

    def __len__(self) -> int:
        """The number of ids."""
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same ids; the width of an integer dtype does not matter."""
        if not isinstance(other, Ids):
            return NotImplemented
        mine, theirs = self._data, other._data
        if isinstance(mine, Strings) and isinstance(theirs, Strings):
            return np.array_equal(mine.offsets, theirs.offsets) and np.array_equal(mine.data, theirs.data)
        if isinstance(mine, Strings) or isinstance(theirs, Strings):
            return len(self) == len(other) == 0
        return np.array_equal(mine, theirs)

    __hash__ = None  # type: ignore[assignment]  # equal ids may differ in dtype, and nobody keys by them

    def __repr__(self) -> str:
        """The number of ids, their type, and the first few."""
        kind = "strings" if isinstance(self._data, Strings) else self._data.dtype.name
        shown = [repr(key) for key in self.decode(np.arange(min(len(self), 5))).tolist()]
        if len(self) > 5:
            shown.append("…")
        return f"Ids({len(self):,} {kind}{': ' if shown else ''}{', '.join(shown)})"

    def encode(
        self, values: object, *, name: str = "users", unknown: Literal["error", "ignore"] = "error"
    ) -> NDArray[np.int32]:
        """The codes of some ids.

        Parameters
        ----------
        values : array-like, shape (n,)
            Ids, in any order and with repetitions; any integer dtype is compared by value.
        name : str, default "users"
            What the values are, for the messages.
        unknown : {"error", "ignore"}, default "error"
            What to do with unknown ids: raise, or give them the code -1.

        Returns
        -------
        ndarray of int32, shape (n,)

        Raises
        ------
        UnknownIdError
            Some ids are unknown and `unknown` is ``"error"``: says how many and which is the first.
        DataError
            Some values are null, or they are neither integers nor strings.

        Examples
        --------
        >>> users = Ids.from_values([10, 20, 30])
        >>> users.encode([30, 10, 99], unknown="ignore")
        array([ 2,  0, -1], dtype=int32)
        >>> users.encode([30, 10, 99])
        Traceback (most recent call last):
        ferrec.errors.UnknownIdError: users: 1 of 3 ids is unknown, got 99 at position 2
        """
        if unknown not in ("error", "ignore"):
            raise unknown_name("unknown", unknown, ("error", "ignore"))
        ids = read_ids(values, name)
        codes = self._find_strings(ids) if isinstance(ids, Coded) else self._find_ints(ids)
        if unknown == "error":
            self._refuse_unknown(codes, ids, name)
        return codes

    def _find_ints(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        if isinstance(self._data, Strings) or not len(self):
            return np.full(len(ids), -1, np.int32)
        if len(ids) > _FEW:
            codes, uniques = factorize_ints(ids)
            return _search_ints(self._data, uniques)[codes]
        return _search_ints(self._data, ids)

    def _find_strings(self, ids: Coded) -> NDArray[np.int32]:
        known, wanted = self._data, ids.uniques
        if not isinstance(known, Strings):
            return np.full(len(ids.codes), -1, np.int32)
        found = _rust.find_strings((known.offsets, known.data), (wanted.offsets, wanted.data))
        codes: NDArray[np.int32] = found[ids.codes]
        return codes

    def _refuse_unknown(
        self, codes: NDArray[np.int32], ids: NDArray[np.integer[Any]] | Coded, name: str
    ) -> None:
        if not codes.size or span(codes)[0] >= 0:
            return
        unknown = np.flatnonzero(codes < 0)
        first = ids.value(unknown[0]) if isinstance(ids, Coded) else ids[unknown[0]].item()
        verb = "is" if unknown.size == 1 else "are"
        given = "strings" if isinstance(ids, Coded) else "integers"
        other = len(self) and self.kind != given
        raise UnknownIdError(
            name,
            f"{unknown.size:,} of {len(codes):,} ids {verb} unknown",
            first,
            place={"position": int(unknown[0])},
            advice=f"the known ids are {self.kind} and these are {given}" if other else "",
        )

    def decode(self, codes: object) -> NDArray[Any]:
        """The ids of some codes.

        Parameters
        ----------
        codes : array-like of int, shape (n,)
            Each in ``0 … len(self) - 1``.

        Returns
        -------
        ndarray, shape (n,)
            The ids' integer dtype, or object (`str`).

        Raises
        ------
        IndexError
            A code lies outside ``0 … len(self) - 1``.

        Examples
        --------
        >>> Ids.from_values([10, 20, 30]).decode([2, 2, 0])
        array([30, 30, 10])
        """
        at = self._check_codes(codes)
        if isinstance(self._data, Strings) and self._decoded is None and len(at) < len(self) // 4:
            distinct, where = np.unique(at, return_inverse=True)
            few: NDArray[Any] = self._data.take(distinct).decode()[where]
            return few
        ids: NDArray[Any] = self.values[at]
        return ids

    def take(self, codes: object) -> "Ids":
        """The ids of some codes as `Ids` of their own.

        Parameters
        ----------
        codes : array-like of int, shape (n,)
            Strictly ascending, so that the ids stay sorted and unique.

        Returns
        -------
        Ids

        Raises
        ------
        IndexError
            A code lies outside ``0 … len(self) - 1``.
        ValueError
            The codes are not strictly ascending.

        Examples
        --------
        >>> Ids.from_values(["a", "b", "c"]).take([0, 2])
        Ids(2 strings: 'a', 'c')
        """
        at = self._check_codes(codes)
        if not (at[1:] > at[:-1]).all():
            raise ParameterError("codes", "must be strictly ascending: ids are sorted and unique")
        return Ids(self._data.take(at) if isinstance(self._data, Strings) else self._data[at])

    def union(self, other: "Ids") -> "Ids":
        """The ids of both.

        Parameters
        ----------
        other : Ids
            Of the same kind, integers or strings; or without any id.

        Returns
        -------
        Ids
            `self` where the other brings nothing new.

        Raises
        ------
        DataError
            One holds integers and the other strings.

        Examples
        --------
        >>> Ids.from_values([10, 30]).union(Ids.from_values([20, 30]))
        Ids(3 int64: 10, 20, 30)
        """
        if not isinstance(other, Ids):
            raise ParameterTypeError("other", "expected Ids", other)
        if not len(self):
            return other
        new = other.values[self.encode(other.values, unknown="ignore") < 0]
        if not len(new):
            return self
        if new.dtype != self.values.dtype:  # NumPy would make floats of int64 and uint64
            return Ids.from_values([*self.values.tolist(), *new.tolist()])
        return Ids.from_values(np.concatenate([self.values, new]))

    def _check_codes(self, codes: object) -> NDArray[np.integer[Any]]:
        at = np.asarray(codes)
        if at.size == 0:
            at = at.astype(np.int64)
        elif at.ndim == 1 and at.dtype.kind in "iu":
            least, greatest = span(at)
            if least >= 0 and greatest < len(self):
                return at
        if at.ndim != 1 or at.dtype.kind not in "iu":
            raise ParameterError("codes", "must be a one-dimensional array of integers", at)
        wrong = np.flatnonzero((at < 0) | (at >= len(self)))
        if wrong.size:
            raise IndexError(f"code {at[wrong[0]]} at position {wrong[0]} is outside 0 … {len(self) - 1}")
        return at

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays to store: ``{"ints"}``, or ``{"offsets": int64, "bytes": uint8}`` for strings.

        Returns
        -------
        dict of str to ndarray
            Read-only, not copied. String ``i`` is ``bytes[offsets[i]:offsets[i + 1]]`` in UTF-8.

        Examples
        --------
        >>> Ids.from_values(["b", "a"]).to_arrays()
        {'offsets': array([0, 1, 2]), 'bytes': array([97, 98], dtype=uint8)}
        """
        if isinstance(self._data, Strings):
            return {"offsets": self._data.offsets, "bytes": self._data.data}
        return {"ints": self._data}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], *, between: Callable[[], object] | None = None
    ) -> "Ids":
        """The ids that `to_arrays` gave, checked and not copied.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            Memory-mapped arrays are read once, to check them, and stay on disk.
        between : callable, optional
            Called after every million ids checked: the time to let go of what was read.

        Returns
        -------
        Ids

        Raises
        ------
        DataError
            (a `ValueError`) Wrong names, dtypes or offsets, invalid UTF-8, or ids not sorted or repeated.

        Examples
        --------
        >>> ids = Ids.from_values(["b", "a"])
        >>> Ids.from_arrays(ids.to_arrays()) == ids
        True
        >>> Ids.from_arrays({"ints": np.array([3, 3])})
        Traceback (most recent call last):
        ferrec.errors.DataError: ids: must ascend, id 1 follows 3, got 3
        """
        if set(arrays) == {"ints"}:
            ints = arrays["ints"]
            if ints.ndim != 1 or ints.dtype.kind not in "iu":
                kind = f"{ints.ndim}-d {ints.dtype}"
                raise DataError("ints", "must be a one-dimensional array of integers", kind)
            for start in range(0, len(ints), _PIECE):
                _check_ints(ints[start : start + _PIECE + 1], start)
                _call(between)
            return cls(ints)
        if set(arrays) == {"offsets", "bytes"}:
            offsets, data = arrays["offsets"], arrays["bytes"]
            _check_ends(offsets, data)
            for start in range(0, len(offsets) - 1, _PIECE):
                _check_strings(offsets[start : start + _PIECE + 2], data, start)
                _call(between)
            return cls(Strings(offsets, data))
        raise DataError("arrays", "must be 'ints', or 'offsets' and 'bytes'", sorted(arrays))


def factorize(values: object, what: str) -> tuple[NDArray[np.int32], Ids]:
    """The code of every row of an id column, and the ids of the codes; `what` names it in messages."""
    ids = read_ids(values, what)
    if isinstance(ids, Coded):
        return ids.codes, Ids(ids.uniques)
    codes, uniques = factorize_ints(ids)
    return codes, Ids(uniques)


def _search_ints(known: NDArray[np.integer[Any]], ids: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """The code of each id by binary search, or -1."""
    # An id that does not fit the ids' dtype wraps to another value, and so compares unequal below.
    wanted = ids.astype(known.dtype, copy=False)
    at = known.searchsorted(wanted)
    found = known.take(at, mode="clip") == wanted
    if wanted is not ids:
        found &= wanted == ids
    at[~found] = -1
    return at.astype(np.int32)


def _call(between: Callable[[], object] | None) -> None:
    if between is not None:
        between()


def _check_ints(ints: NDArray[Any], start: int) -> None:
    """Some ids that begin with id `start`."""
    wrong = np.flatnonzero(ints[1:] <= ints[:-1])
    if wrong.size:
        at = int(wrong[0])
        raise DataError("ids", f"must ascend, id {start + at + 1} follows {ints[at]}", ints[at + 1])


def _check_ends(offsets: NDArray[Any], data: NDArray[Any]) -> None:
    for name, array, dtype in (("offsets", offsets, np.int64), ("bytes", data, np.uint8)):
        if array.ndim != 1 or array.dtype != dtype:
            raise DataError(name, f"must be one-dimensional {dtype.__name__}", array)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(data):
        raise _wrong_offsets(data)


def _check_strings(offsets: NDArray[np.int64], data: NDArray[np.uint8], start: int) -> None:
    """Some ids that begin with id `start`."""
    flaw = _rust.flaw_of_strings((offsets, data))
    if flaw is None:
        return
    what, at = flaw[0], start + flaw[1]
    if what == "utf8":
        raise DataError("bytes", "must be valid UTF-8", place={"id": at})
    if what == "order":
        raise DataError("ids", "must ascend, one is not above the one before", place={"id": at})
    raise _wrong_offsets(data)


def _wrong_offsets(data: NDArray[Any]) -> DataError:
    return DataError(f"'offsets' must ascend from 0 to the number of bytes, {len(data)}")
