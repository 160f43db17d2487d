"""Sequences: the items of each user in the order in which they happened."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.errors import DataError, ParameterTypeError, checks_keywords
from ferrec.io.arrays import offsets_of
from ferrec.kernels.arguments import as_int, threads
from ferrec.kernels.handles import INT32_MAX, Csr, consecutive, to_scipy

__all__ = ["Sequences"]


class Sequences:
    """The items of each user, oldest first: rows of different lengths, one after another in flat arrays.

    Frozen. Items are codes ``0 … n_items - 1``; an item that occurs several times is kept as often. Events at the
    same time keep the order in which they were given. `Interactions.sequences` builds them, and `from_lists` and
    `from_events` do from codes.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_rows + 1,)
        Row i holds the events from ``offsets[i]`` to ``offsets[i + 1]``. Arrays that can be written to are copied.
    items : ndarray of int32, shape (n_events,)
        The item of each event, row after row.
    times : ndarray of int64, shape (n_events,), optional
        The time of each event, in nanoseconds since 1970 where they come from `Interactions`. They never fall
        within a row.
    n_items : int
        How many items there are.

    Attributes
    ----------
    offsets, items : ndarray
        As given; read-only views.
    times : ndarray of int64 or None
        Likewise.
    n_items : int
        How many items there are.
    shape : (int, int)
        The numbers of rows and of items.
    n_events : int
        How many events all rows have.

    Raises
    ------
    DataError
        The offsets do not ascend from 0 to the number of items, an item is not in ``0 … n_items - 1``, or the
        times of a row fall.

    See Also
    --------
    Interactions.sequences : the sequences of data that has ids.

    Examples
    --------
    >>> rows = Sequences.from_lists([[2, 0, 2], [], [1]], n_items=3)
    >>> rows
    Sequences(3 rows × 3 items, 4 events)
    >>> rows.row(0), len(rows)
    (array([2, 0, 2], dtype=int32), 3)
    >>> rows.offsets
    array([0, 3, 3, 4])
    """

    __slots__ = ("_handle",)

    _handle: _rust.Sequences

    def __init__(
        self,
        offsets: NDArray[np.int64],
        items: NDArray[np.int32],
        times: NDArray[np.int64] | None = None,
        *,
        n_items: int,
    ) -> None:
        _check_flat("offsets", offsets, np.int64)
        _check_flat("items", items, np.int32)
        if times is not None:
            _check_flat("times", times, np.int64)
        self._handle = _rust.Sequences(
            _frozen(offsets),
            _frozen(items),
            None if times is None else _frozen(times),
            as_int("n_items", n_items, minimum=0),
        )

    @classmethod
    def from_handle(cls, handle: _rust.Sequences) -> "Sequences":
        """Wrap what a compiled kernel made.

        Parameters
        ----------
        handle : _rust.Sequences
            Checked when it was made.

        Returns
        -------
        Sequences
        """
        made = cls.__new__(cls)
        made._handle = handle
        return made

    @classmethod
    @checks_keywords
    def from_lists(
        cls, lists: Sequence[ArrayLike], *, n_items: int, times: Sequence[ArrayLike] | None = None
    ) -> "Sequences":
        """Take one list of items for each row, oldest first.

        Parameters
        ----------
        lists : sequence of array-like of int
            The codes of the items.
        n_items : int
            How many items there are.
        times : sequence of array-like of int, optional
            The times of each list, never falling within it.

        Returns
        -------
        Sequences

        Raises
        ------
        DataError
            A code is no integer of ``0 … n_items - 1``; times are not as many as items, or fall.

        Examples
        --------
        >>> rows = Sequences.from_lists([[1, 0], [1]], n_items=2, times=[[10, 10], [5]])
        >>> rows.items, rows.times
        (array([1, 0, 1], dtype=int32), array([10, 10,  5]))
        """
        if not isinstance(lists, Iterable):
            raise ParameterTypeError("lists", "expected a list for each row", lists)
        if times is not None and not isinstance(times, Iterable):
            raise ParameterTypeError("times", "expected a list for each row", times)
        rows = [_integers(one, f"lists[{at}]") for at, one in enumerate(lists)]
        items = np.concatenate([*rows, np.empty(0, np.int64)])
        outside = (items < 0) | (items >= min(as_int("n_items", n_items, minimum=0), INT32_MAX))
        if outside.any():
            at = int(np.argmax(outside))
            row = int(np.searchsorted(np.cumsum([len(one) for one in rows]), at, side="right"))
            raise DataError(f"lists[{row}]", f"items must be from 0 to {n_items - 1}", items[at])
        when = None
        if times is not None:
            stamps = [_integers(one, f"times[{at}]") for at, one in enumerate(times)]
            if [len(one) for one in stamps] != [len(one) for one in rows]:
                raise DataError("times", "must have as many entries as lists, row for row")
            when = np.concatenate([*stamps, np.empty(0, np.int64)])
        offsets = offsets_of([len(one) for one in rows])
        return cls(offsets.astype(np.int64), items.astype(np.int32), when, n_items=n_items)

    @classmethod
    @checks_keywords
    def from_events(
        cls,
        users: NDArray[np.int32],
        items: NDArray[np.int32],
        times: NDArray[np.int64] | None = None,
        *,
        n_users: int,
        n_items: int,
        n_threads: int | None = None,
    ) -> "Sequences":
        """Put the events of each user in order: by time, equal times and events without times as they are given.

        Parameters
        ----------
        users, items : ndarray of int32, shape (n_events,)
            Codes.
        times : ndarray of int64, shape (n_events,), optional
            In any unit.
        n_users, n_items : int
            How many rows and items there are.
        n_threads : int, optional
            By default all that the process may use. The result does not depend on it.

        Returns
        -------
        Sequences
            A row for each user.

        Raises
        ------
        DataError
            The arrays differ in length, or a code is out of range.

        Examples
        --------
        >>> users, items = np.array([1, 0, 1], np.int32), np.array([5, 5, 2], np.int32)
        >>> list(Sequences.from_events(users, items, np.array([20, 30, 10]), n_users=2, n_items=6))
        [array([5], dtype=int32), array([2, 5], dtype=int32)]
        """
        _check_flat("users", users, np.int32)
        _check_flat("items", items, np.int32)
        if times is not None:
            _check_flat("times", times, np.int64)
        sizes = as_int("n_users", n_users, minimum=0), as_int("n_items", n_items, minimum=0)
        return cls.from_handle(_rust.Sequences.from_events(users, items, times, *sizes, threads(n_threads)))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the arrays: the handle belongs to one process."""
        return (_unpickle, (self.offsets, self.items, self.times, self.n_items))

    @property
    def handle(self) -> _rust.Sequences:
        """The handle that the compiled kernels take."""
        return self._handle

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each row begins, and where the last one ends; read-only."""
        return self._handle.parts()[0]

    @property
    def items(self) -> NDArray[np.int32]:
        """The items of all rows, one row after another; read-only."""
        return self._handle.parts()[1]

    @property
    def times(self) -> NDArray[np.int64] | None:
        """The times, aligned with `items`; read-only; None without times."""
        return self._handle.parts()[2]

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and of items."""
        return self._handle.shape

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return self._handle.shape[1]

    @property
    def n_events(self) -> int:
        """How many events all rows have."""
        return self._handle.n_events

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many events each row has."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        """The number of rows."""
        return self._handle.shape[0]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        """The items of one row after another."""
        offsets, items, _ = self._handle.parts()
        return (items[start:end] for start, end in pairwise(offsets))

    def __repr__(self) -> str:
        """The numbers of rows, items and events."""
        timed = "" if self.times is None else ", with times"
        return f"Sequences({len(self):,} rows × {self.n_items:,} items, {self.n_events:,} events{timed})"

    def row(self, row: int) -> NDArray[np.int32]:
        """The items of one row, oldest first.

        Parameters
        ----------
        row : int
            From 0; a negative number counts from the end.

        Returns
        -------
        ndarray of int32
            Read-only.

        Raises
        ------
        IndexError
            There is no such row.

        Examples
        --------
        >>> Sequences.from_lists([[1, 0], [1]], n_items=2).row(-1)
        array([1], dtype=int32)
        """
        return self.items[self._where(row)]

    def row_times(self, row: int) -> NDArray[np.int64] | None:
        """The times of one row, aligned with `row`; None without times.

        Parameters
        ----------
        row : int
            As in `row`.

        Returns
        -------
        ndarray of int64 or None
            Read-only.

        Examples
        --------
        >>> Sequences.from_lists([[1, 0]], n_items=2, times=[[3, 9]]).row_times(0)
        array([3, 9])
        """
        times = self.times
        return None if times is None else times[self._where(row)]

    def _where(self, row: int) -> slice:
        if isinstance(row, bool) or not isinstance(row, int | np.integer):
            raise ParameterTypeError("row", "expected an integer", row)
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row}, but there are {len(self)} rows")
        row %= len(self)
        return slice(*self.offsets[row : row + 2].tolist())

    def take(self, rows: ArrayLike) -> "Sequences":
        """Some rows, in the order given, as often as they are given.

        Parameters
        ----------
        rows : array-like of int
            Rows that lie one after the other share the memory, others are copied.

        Returns
        -------
        Sequences

        Raises
        ------
        DataError
            There is no such row.

        Examples
        --------
        >>> list(Sequences.from_lists([[1, 0], [1], []], n_items=2).take([2, 0]))
        [array([], dtype=int32), array([1, 0], dtype=int32)]
        """
        at = row_numbers(rows, len(self))
        run = run_of_sequences(self._handle.parts(), self.n_items, at, "rows") if len(at) > 1 else None
        return self.from_handle(self._handle.rows(at.astype(np.int32)) if run is None else run)

    def counts(self) -> Csr:
        """How often each item occurs in each row.

        Returns
        -------
        scipy.sparse.csr_array of float32, shape (len(self), n_items)
            Its order is that of the items, so that the order of events is lost.

        Examples
        --------
        >>> Sequences.from_lists([[1, 0, 1], []], n_items=2).counts().toarray()
        array([[1., 2.],
               [0., 0.]], dtype=float32)
        """
        return to_scipy(self._handle.counts())


SequenceParts: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64] | None]
"""`(offsets, items, times)` of sequences."""


def run_of_sequences(
    parts: SequenceParts, n_items: int, rows: NDArray[np.integer[Any]], name: str
) -> _rust.Sequences | None:
    """Rows that lie one after the other, checked and not copied; None where they do not."""
    offsets, items, times = parts
    found = consecutive(offsets, rows)
    if found is None:
        return None
    own = found[1]
    return _rust.Sequences(found[0], items[own], None if times is None else times[own], n_items, name=name)


def row_numbers(rows: ArrayLike, n_rows: int) -> NDArray[np.int64]:
    """Flat integers, each of which is one of so many rows."""
    at = _integers(rows, "rows")
    outside = (at < 0) | (at >= n_rows)
    if outside.any():
        raise DataError("rows", f"row {at[np.argmax(outside)]}, but there are {n_rows}")
    return at


def _check_flat(name: str, array: object, dtype: type[np.generic]) -> None:
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != dtype:
        raise DataError(name, f"expected flat {dtype.__name__}", array)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array as the compiled side takes it: a copy of one that its owner may write to."""
    if array.flags.writeable:
        return array.copy()
    return np.require(array, requirements=["C", "A"])


def _integers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    found = np.asarray(values)
    if found.ndim != 1 or (found.dtype.kind not in "iu" and len(found)):
        raise DataError(name, "expected flat integers", found)
    if found.dtype == np.uint64 and len(found) and found.max() > np.uint64(2**63 - 1):
        raise DataError(name, "must fit in 64 bits", found.max())
    return found.astype(np.int64)


def _unpickle(
    offsets: NDArray[np.int64], items: NDArray[np.int32], times: NDArray[np.int64] | None, n_items: int
) -> Sequences:
    return Sequences(offsets, items, times, n_items=n_items)
