"""What is known about users or items besides events: named columns, one row for each id."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.errors import DataError, ShapeError, UnknownIdError, did_you_mean
from ferrec.io.arrays import offsets_of, read_only
from ferrec.kernels.handles import Matrix, as_csr

__all__ = ["Categories", "Column", "Columns", "Lists", "Numbers"]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A column of numbers, NaN where there is none. Truth values are 0 and 1, dates are unix seconds.

    Attributes
    ----------
    values : ndarray of float32 or float64, shape (n,)
        Read-only; finite or NaN. Integers came as float64, which is exact up to 2^53.

    Raises
    ------
    DataError
        Another dtype or shape, or a value is infinite.

    Examples
    --------
    >>> Numbers(np.array([1.5, np.nan])).tolist()
    [1.5, None]
    """

    values: NDArray[np.float32] | NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the dtype and the values."""
        if self.values.ndim != 1 or self.values.dtype not in (np.float32, np.float64):
            raise DataError("numbers", "must be 1-d float32 or float64", self.values)
        if np.isinf(self.values).any():
            raise DataError(
                "numbers",
                "must be finite or NaN",
                self.values[np.isinf(self.values)][0],
                place={"row": int(np.isinf(self.values).argmax())},
            )
        object.__setattr__(self, "values", read_only(self.values))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.values)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Whether each row has no value."""
        return np.isnan(self.values)

    def take(self, at: NDArray[np.integer[Any]]) -> "Numbers":
        """The rows at some positions; -1 is a row without a value."""
        values = np.full(len(at), np.nan, self.values.dtype)
        values[at >= 0] = self.values[at[at >= 0]]
        return Numbers(values)

    def tolist(self) -> list[float | None]:
        """Python floats, None where there is no value."""
        return [None if value != value else value for value in self.values.tolist()]

    def __repr__(self) -> str:
        """The dtype and how much is missing."""
        return f"Numbers({self.values.dtype.name}{_gaps(self.missing)})"


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """A column of strings (or of integers that are names): a category, a title, any text.

    Attributes
    ----------
    codes : ndarray of int32, shape (n,)
        Read-only codes into `ids`, -1 where there is no value.
    ids : Ids
        The distinct values, sorted.

    Raises
    ------
    DataError
        The codes are not int32, or lie outside the ids.

    Examples
    --------
    >>> column = Categories(np.array([1, -1, 1], np.int32), Ids.from_values(["toy", "food"]))
    >>> column.tolist(), column.to_csr().toarray().tolist()
    (['toy', None, 'toy'], [[0.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    """

    codes: NDArray[np.int32]
    ids: Ids

    def __post_init__(self) -> None:
        """Check the codes."""
        _check_codes(self.codes, -1, self.ids)
        object.__setattr__(self, "codes", read_only(self.codes))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.codes)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Whether each row has no value."""
        return self.codes < 0

    def take(self, at: NDArray[np.integer[Any]]) -> "Categories":
        """The rows at some positions; -1 is a row without a value. The ids stay, used or not."""
        codes = np.full(len(at), -1, np.int32)
        codes[at >= 0] = self.codes[at[at >= 0]]
        return Categories(codes, self.ids)

    def tolist(self) -> list[Any]:
        """The ids' Python values, None where there is no value."""
        values: NDArray[Any] = np.empty(len(self.ids) + 1, object)
        values[:-1] = self.ids.values  # the last place is what -1 reads
        found: list[Any] = values[self.codes].tolist()
        return found

    def to_csr(self) -> "scipy.sparse.csr_array[np.float32]":
        """Rows × ids: 1 at the value of each row."""
        present = self.codes >= 0
        indptr = offsets_of(present)
        ones = np.ones(int(indptr[-1]), np.float32)
        shape = (len(self), len(self.ids))
        return scipy.sparse.csr_array((ones, self.codes[present], indptr), shape=shape)

    def __repr__(self) -> str:
        """How many values, and how much is missing."""
        return f"Categories({len(self.ids):,} values{_gaps(self.missing)})"


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """A column of lists of strings (or of integers that are names): tags, genres, authors.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n + 1,)
        Row i is ``codes[indptr[i]:indptr[i + 1]]``, in the order given and with repetitions. Read-only.
    codes : ndarray of int32
        Codes into `ids`. Read-only.
    ids : Ids
        The distinct values, sorted.
    missing : ndarray of bool, shape (n,)
        Whether each row has no list, which is not the same as an empty one. Read-only.

    Raises
    ------
    DataError
        The parts do not fit together.

    Examples
    --------
    >>> ids = Ids.from_values(["new", "red"])
    >>> parts = np.array([0, 3, 3, 3]), np.array([1, 0, 1], np.int32), ids, np.array([False, True, False])
    >>> column = Lists(*parts)
    >>> column.tolist()
    [['red', 'new', 'red'], None, []]
    >>> column.to_csr().toarray().tolist()
    [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]
    """

    indptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    ids: Ids
    missing: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        _check_codes(self.codes, 0, self.ids)
        if self.missing.dtype != np.bool_ or self.missing.ndim != 1:
            raise DataError("missing", "must be 1-d bool", self.missing)
        expected = (len(self.missing) + 1,)
        if self.indptr.dtype != np.int64 or self.indptr.shape != expected:
            raise DataError("indptr", f"must be int64 of shape {expected}", self.indptr)
        steps = np.diff(self.indptr)
        if self.indptr[0] != 0 or self.indptr[-1] != len(self.codes) or (steps < 0).any():
            raise DataError("indptr", f"must ascend from 0 to the {len(self.codes)} codes")
        if steps[self.missing].any():
            raise DataError(
                "missing",
                "a row that is missing must have no values",
                place={"row": int((steps * self.missing).argmax())},
            )
        for name in ("indptr", "codes", "missing"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.missing)

    def take(self, at: NDArray[np.integer[Any]]) -> "Lists":
        """The rows at some positions; -1 is a row without a list. The ids stay, used or not."""
        known = at >= 0
        lengths, starts = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
        lengths[known] = np.diff(self.indptr)[at[known]]
        starts[known] = self.indptr[at[known]]
        indptr = offsets_of(lengths)
        source = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])
        missing = ~known
        missing[known] = self.missing[at[known]]
        return Lists(indptr, self.codes[source], self.ids, missing)

    def tolist(self) -> list[list[Any] | None]:
        """Lists of the ids' Python values, None where there is no list."""
        values, ends = self.ids.decode(self.codes).tolist(), self.indptr.tolist()
        rows = zip(ends[:-1], ends[1:], self.missing.tolist(), strict=True)
        return [None if missing else values[start:end] for start, end, missing in rows]

    def to_csr(self) -> "scipy.sparse.csr_array[np.float32]":
        """Rows × ids: how often each value occurs in each row."""
        rows = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.indptr))
        entries = np.ones(len(rows), np.float32), (rows, self.codes)
        return scipy.sparse.coo_array(entries, shape=(len(self), len(self.ids))).tocsr()

    def __repr__(self) -> str:
        """How many values, and how much is missing."""
        return f"Lists({len(self.ids):,} values{_gaps(self.missing)})"


Column: TypeAlias = Numbers | Categories | Lists

Shares: TypeAlias = Matrix | Categories | Lists
"""Items × categories: weights, or a column from which they follow."""
"""One attribute of all users or of all items."""


class Columns(Mapping[str, Column]):
    """Columns by name, all with one row for each user or for each item; a frozen mapping.

    Made by [`Interactions.with_items`][ferrec.Interactions.with_items] and `with_users`.

    Parameters
    ----------
    n_rows : int
        The rows of every column.
    columns : mapping of str to column, optional
        `Numbers`, `Categories` or `Lists`.

    Raises
    ------
    DataError
        A column has another number of rows.

    Examples
    --------
    >>> table = Columns(2, {"price": Numbers(np.array([1.0, 2.5]))})
    >>> table
    Columns(2 rows, price: Numbers(float64))
    >>> table["price"].values
    array([1. , 2.5])
    >>> table["color"]
    Traceback (most recent call last):
    ferrec.errors.UnknownIdError: column 'color': is unknown, there are 'price'
    """

    __slots__ = ("_columns", "n_rows")

    def __init__(self, n_rows: int, columns: Mapping[str, Column] | None = None) -> None:
        self.n_rows = n_rows
        self._columns = dict(columns or {})
        for name, column in self._columns.items():
            if len(column) != n_rows:
                raise ShapeError(f"column {name!r}", f"must have {n_rows:,} rows", len(column))

    def __getitem__(self, name: str) -> Column:
        """A column by its name; `UnknownIdError` (a `KeyError`) lists those there are."""
        if name not in self._columns:
            listed = ", ".join(map(repr, self._columns)) or "none"
            raise UnknownIdError(
                f"column {name!r}",
                f"is unknown, there are {listed}",
                advice=did_you_mean(name, self._columns),
            )
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is such a column."""
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        """The names, in the order given."""
        return iter(self._columns)

    def __len__(self) -> int:
        """The number of columns."""
        return len(self._columns)

    def __repr__(self) -> str:
        """The number of rows, and every column's kind."""
        kinds = (f"{name}: {column!r}" for name, column in self._columns.items())
        return f"Columns({', '.join([f'{self.n_rows:,} rows', *kinds])})"

    def take(self, at: NDArray[np.integer[Any]]) -> "Columns":
        """The rows at some positions.

        Parameters
        ----------
        at : ndarray of int
            Positions below `n_rows`; -1 is a row in which every value is missing.

        Returns
        -------
        Columns

        Examples
        --------
        >>> table = Columns(2, {"price": Numbers(np.array([1.0, 2.5]))})
        >>> table.take(np.array([1, -1, 1]))["price"].values
        array([2.5, nan, 2.5])
        """
        return Columns(len(at), {name: column.take(at) for name, column in self._columns.items()})

    def joined(self, other: "Columns") -> "Columns":
        """Both tables' columns side by side.

        Parameters
        ----------
        other : Columns
            With as many rows, and other names.

        Returns
        -------
        Columns

        Raises
        ------
        DataError
            A name is in both, or the rows differ.

        Examples
        --------
        >>> one, two = Columns(1, {"a": Numbers(np.ones(1))}), Columns(1, {"b": Numbers(np.zeros(1))})
        >>> list(one.joined(two))
        ['a', 'b']
        """
        twice = [name for name in other if name in self._columns]
        if twice:
            raise DataError(f"column {twice[0]!r}", "is there already", advice="rename it or leave it out")
        return Columns(self.n_rows, {**self._columns, **other})


def _check_codes(codes: NDArray[Any], least: int, ids: Ids) -> None:
    if codes.ndim != 1 or codes.dtype != np.int32:
        raise DataError("codes", "must be 1-d int32", codes)
    if codes.size and (codes.min() < least or codes.max() >= len(ids)):
        raise DataError("codes", f"must be in 0..{len(ids)}", (int(codes.min()), int(codes.max())))


def _gaps(missing: NDArray[np.bool_]) -> str:
    return f", {int(missing.sum()):,} missing" if missing.any() else ""


def shares(categories: Shares, n_items: int) -> _rust.Csr:
    """Items × categories; the weights of an item sum to 1."""
    matrix: Any = categories.to_csr() if isinstance(categories, Categories | Lists) else categories
    indptr, codes, values = as_csr(matrix, "categories").parts()
    if len(indptr) != n_items + 1:
        raise ShapeError("categories", f"must have {n_items} rows, one for each item", len(indptr) - 1)
    if (values < 0).any():
        raise DataError("categories", "weights must be at least 0", values.min())
    rows = np.repeat(np.arange(n_items), np.diff(indptr))
    totals = np.bincount(rows, values, minlength=n_items)[rows]
    parts = np.divide(values, totals, out=np.zeros(len(values)), where=totals > 0).astype(np.float32)
    return _rust.Csr(indptr, codes, parts, matrix.shape[1], name="categories")
