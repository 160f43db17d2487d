"""Recommendations: the answer of a model, in the caller's ids, best first."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec.data.ids import Ids
from ferrec.errors import DataError, ParameterError, ParameterTypeError, ShapeError, UnknownIdError, require
from ferrec.io.arrays import FLOAT32, INT32, INT64, ascends, is_flat, read_only, span
from ferrec.io.files import parquet_settings, parquet_writer
from ferrec.io.tables import PathLike
from ferrec.kernels.handles import Csr, to_scipy

__all__ = ["Recommendations"]

# pyarrow, pandas and polars are optional, so their types cannot be named here.
Frame: TypeAlias = Any

_EXTRA = "parquet"
_SHOWN = 5
_BLOCK = 4096
"""Queries whose items are decoded at once while iterating."""


@dataclass(frozen=True, eq=False, repr=False)
class Recommendations:
    """What was recommended to each query (a user; an item, for similar items), best first.

    A query may have fewer items than were asked for, or none: there is no padding. All arrays are read-only.

    Parameters
    ----------
    queries : ndarray of ids, shape (n_queries,)
        Who asked: integers, or objects that are `str`.
    items : Ids
        The ids of the codes.
    indptr : ndarray of int64, shape (n_queries + 1,)
        The answers of query q are the entries ``indptr[q]:indptr[q + 1]`` of `codes` and `scores`.
    codes : ndarray of int32, shape (n_answers,)
        Items as codes, best first within a query.
    scores : ndarray of float32, shape (n_answers,)
        In the model's unit.

    Raises
    ------
    DataError
        The arrays do not fit together.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> recs = ferrec.ItemKNN(k=10).fit(data).recommend(n=2)
    >>> recs
    Recommendations(3 queries, 4 answers)
      1: 'jam' 0.577
      2: 'milk' 0.577
      3: 'jam' 0.577, 'milk' 0.577
    >>> recs[1]
    [('jam', 0.5773502588272095)]
    >>> recs.to_lists()
    {1: ['jam'], 2: ['milk'], 3: ['jam', 'milk']}
    """

    queries: NDArray[Any]
    items: Ids
    indptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that the arrays fit together, and view them read-only."""
        queries = np.asarray(self.queries)
        if queries.dtype.kind == "U":
            queries = queries.astype(object)
        arrays = {
            "queries": queries,
            "indptr": _vector("indptr", self.indptr, INT64),
            "codes": _vector("codes", self.codes, INT32),
            "scores": _vector("scores", self.scores, FLOAT32),
        }
        for name, array in arrays.items():
            object.__setattr__(self, name, read_only(array))
        n, indptr = len(self.codes), self.indptr
        if queries.ndim != 1 or len(indptr) != len(queries) + 1:
            raise DataError(
                "indptr", f"expected {queries.size + 1} offsets for {queries.size} queries", len(indptr)
            )
        if indptr[0] != 0 or indptr[-1] != n or not ascends(indptr):
            raise DataError("indptr", f"must ascend from 0 to the number of codes, {n}")
        if len(self.scores) != n:
            raise ShapeError("scores", f"must have length {n} like codes", len(self.scores))
        least, greatest = span(self.codes) if n else (0, -1)
        if least < 0 or greatest >= len(self.items):
            raise DataError("codes", f"must be in 0..{len(self.items)}", (int(least), int(greatest)))

    # -- one query ----------------------------------------------------------------------------------------

    @cached_property
    def _position(self) -> dict[Any, int]:
        """The row of each query; the first, where one asked twice."""
        return dict(zip(self.queries[::-1].tolist(), range(len(self) - 1, -1, -1), strict=True))

    def __getitem__(self, query: Any) -> list[tuple[Any, float]]:
        """The items of one query with their scores, best first.

        Raises
        ------
        UnknownIdError
            There is no such query (a `KeyError`).

        Examples
        --------
        >>> recs = Recommendations(np.array([7]), Ids.from_values(["tea"]), [0, 1], [0], [0.5])
        >>> recs[7]
        [('tea', 0.5)]
        >>> recs[8]
        Traceback (most recent call last):
        ferrec.errors.UnknownIdError: query: must be among the 1 queries, got 8; the first is 7
        """
        at = self._position.get(query)
        if at is None:
            first = f"the first is {self.queries[:1].tolist()[0]!r}" if len(self) else ""
            raise UnknownIdError("query", f"must be among the {len(self):,} queries", query, advice=first)
        return self._row(at)

    def _row(self, at: int) -> list[tuple[Any, float]]:
        own = slice(self.indptr[at], self.indptr[at + 1])
        ids = self.items.decode(self.codes[own]).tolist()
        return list(zip(ids, self.scores[own].tolist(), strict=True))

    def __contains__(self, query: object) -> bool:
        """Whether this query asked."""
        return query in self._position

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.queries)

    def __iter__(self) -> Iterator[tuple[Any, list[tuple[Any, float]]]]:
        """Each query with its items and their scores, in the order of the queries."""
        for start in range(0, len(self), _BLOCK):
            stop = min(start + _BLOCK, len(self))
            base = self.indptr[start]
            ids = self.items.decode(self.codes[base : self.indptr[stop]]).tolist()
            scores = self.scores[base : self.indptr[stop]].tolist()
            ends = (self.indptr[start : stop + 1] - base).tolist()
            for at, query in enumerate(self.queries[start:stop].tolist()):
                own = slice(ends[at], ends[at + 1])
                yield query, list(zip(ids[own], scores[own], strict=True))

    def __repr__(self) -> str:
        """The first few queries with their first few items."""
        size = f"{_count(len(self), 'query', 'queries')}, {_count(len(self.codes), 'answer', 'answers')}"
        lines = [f"Recommendations({size})"]
        for at in range(min(len(self), _SHOWN)):
            answers = self._row(at)
            shown = [f"{item!r} {score:.3g}" for item, score in answers[:_SHOWN]]
            shown += ["…"] if len(answers) > _SHOWN else []
            lines.append(f"  {self.queries[at : at + 1].tolist()[0]!r}: {', '.join(shown) or 'none'}")
        if len(self) > _SHOWN:
            lines.append("  …")
        return "\n".join(lines)

    # -- all of them ----------------------------------------------------------------------------------------

    @property
    def ranks(self) -> NDArray[np.int32]:
        """The rank of each answer within its query, from 1.

        Examples
        --------
        >>> items = Ids.from_values(["jam", "tea"])
        >>> Recommendations(np.array([7, 8]), items, [0, 2, 3], [0, 1, 1], [3, 2, 1]).ranks
        array([1, 2, 1], dtype=int32)
        """
        before = np.repeat(self.indptr[:-1], np.diff(self.indptr))
        ranks: NDArray[np.int32] = (np.arange(1, len(self.codes) + 1) - before).astype(np.int32)
        return ranks

    def to_lists(self) -> dict[Any, list[Any]]:
        """The items of every query, without scores, as Python lists.

        Returns
        -------
        dict
            Query to its items, best first.

        Examples
        --------
        >>> items = Ids.from_values(["jam", "tea"])
        >>> Recommendations(np.array([7, 8]), items, [0, 2, 2], [1, 0], [2, 1]).to_lists()
        {7: ['tea', 'jam'], 8: []}
        """
        ids = self.items.decode(self.codes).tolist()
        ends = self.indptr.tolist()
        rows = zip(self.queries.tolist(), ends[:-1], ends[1:], strict=True)
        return {query: ids[start:stop] for query, start, stop in rows}

    def to_csr(self) -> Csr:
        """The scores as a sparse matrix, as the kernels return them.

        Returns
        -------
        csr_array
            float32, queries × items, the columns in the order of `items`. Rows are best first, so column
            numbers are not sorted. Shares memory; do not write to it.

        Examples
        --------
        >>> items = Ids.from_values(["jam", "tea"])
        >>> Recommendations(np.array([7]), items, [0, 2], [1, 0], [2, 1]).to_csr().toarray()
        array([[1., 2.]], dtype=float32)
        """
        return to_scipy((self.indptr, self.codes, self.scores), (len(self), len(self.items)))

    def to_arrow(self, user: str = "user_id", item: str = "item_id") -> Frame:
        """A long table: one row for each answer.

        Parameters
        ----------
        user, item : str
            The names of the columns of queries and of items.

        Returns
        -------
        pyarrow.Table
            The two columns of ids (the caller's integer type, or large_string), ``score`` (float32) and
            ``rank`` (int32, from 1).

        Raises
        ------
        ValueError
            Two columns have the same name.
        MissingExtraError
            pyarrow is not installed.

        Examples
        --------
        >>> items = Ids.from_values(["jam", "tea"])
        >>> table = Recommendations(np.array([7]), items, [0, 2], [1, 0], [2, 1]).to_arrow()
        >>> table.to_pydict()
        {'user_id': [7, 7], 'item_id': ['tea', 'jam'], 'score': [2.0, 1.0], 'rank': [1, 2]}
        """
        pyarrow = require("pyarrow", _EXTRA)
        names = _column_names(user, item)
        counts = np.diff(self.indptr)
        if self.queries.dtype.kind == "O":
            rows = np.repeat(np.arange(len(self)), counts)
            users = pyarrow.array(self.queries, pyarrow.large_string()).take(pyarrow.array(rows))
        else:
            users = pyarrow.array(np.repeat(self.queries, counts))
        ids = self.items.to_arrays()
        if "ints" in ids:
            items = pyarrow.array(ids["ints"][self.codes])
        else:
            buffers = [pyarrow.py_buffer(ids["offsets"]), pyarrow.py_buffer(ids["bytes"])]
            strings = pyarrow.LargeStringArray.from_buffers(len(self.items), *buffers)
            items = strings.take(pyarrow.array(self.codes))
        return pyarrow.table([users, items, pyarrow.array(self.scores), pyarrow.array(self.ranks)], names)

    def to_pandas(self, user: str = "user_id", item: str = "item_id") -> Frame:
        """The table of `to_arrow` as a pandas DataFrame.

        Parameters
        ----------
        user, item : str
            As in `to_arrow`.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        MissingExtraError
            pandas is not installed.

        Examples
        --------
        >>> items = Ids.from_values(["jam", "tea"])
        >>> Recommendations(np.array([7]), items, [0, 2], [1, 0], [2, 1]).to_pandas()
           user_id item_id  score  rank
        0        7     tea    2.0     1
        1        7     jam    1.0     2
        """
        pandas = require("pandas", "pandas")
        users = np.repeat(self.queries, np.diff(self.indptr))
        columns = [users, self.items.decode(self.codes), self.scores.copy(), self.ranks]
        names = _column_names(user, item)
        return pandas.DataFrame(dict(zip(names, columns, strict=True)))

    def to_polars(self, user: str = "user_id", item: str = "item_id") -> Frame:
        """The table of `to_arrow` as a polars DataFrame; pyarrow is not needed.

        Parameters
        ----------
        user, item : str
            As in `to_pandas`.

        Returns
        -------
        polars.DataFrame

        Raises
        ------
        ValueError, MissingExtraError
            As `to_arrow`, of polars.

        Examples
        --------
        >>> recs = Recommendations(np.array([7]), Ids.from_values(["jam", "tea"]), [0, 2], [1, 0], [2, 1])
        >>> recs.to_polars().rows()
        [(7, 'tea', 2.0, 1), (7, 'jam', 1.0, 2)]
        """
        polars = require("polars", "polars")
        rows = np.repeat(np.arange(len(self)), np.diff(self.indptr))

        def column(ids: NDArray[Any], at: NDArray[Any]) -> Frame:
            if ids.dtype.kind != "O":
                return polars.Series(ids[at])
            # Only the distinct strings pass through Python.
            distinct, where = np.unique(at, return_inverse=True)
            return polars.Series(ids[distinct].tolist(), dtype=polars.String).gather(where)

        columns = [
            column(self.queries, rows),
            column(self.items.values, self.codes),
            polars.Series(self.scores.copy()),
            polars.Series(self.ranks),
        ]
        names = _column_names(user, item)
        return polars.DataFrame(dict(zip(names, columns, strict=True)))

    def to_parquet(
        self,
        path: PathLike,
        *,
        user: str = "user_id",
        item: str = "item_id",
        compression: str = "zstd",
    ) -> None:
        """Write the table of `to_arrow` to a Parquet file.

        It is written to another name in the same folder and renamed when it is complete and on disk, so that
        nobody ever reads half a file. A file of that name is replaced.

        Parameters
        ----------
        path : str or path
            The file.
        user, item : str
            As in `to_arrow`.
        compression : str
            "zstd", "snappy", "gzip", "brotli", "lz4" or "none".

        Raises
        ------
        OSError
            The folder is missing or cannot be written to, or the path is a folder.
        MissingExtraError
            pyarrow is not installed.

        Examples
        --------
        >>> import pyarrow.parquet, tempfile
        >>> recs = Recommendations(np.array([7]), Ids.from_values(["tea"]), [0, 1], [0], [2])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recs.to_parquet(f"{folder}/recs.parquet", user="customer")
        ...     pyarrow.parquet.read_table(f"{folder}/recs.parquet").to_pylist()
        [{'customer': 7, 'item_id': 'tea', 'score': 2.0, 'rank': 1}]
        """
        table = self.to_arrow(user, item)
        with parquet_writer(path, table.schema, **parquet_settings(table.schema, compression)) as writer:
            writer.write_table(table)


def _vector(name: str, values: ArrayLike, dtype: "np.dtype[Any]") -> NDArray[Any]:
    """The values as a flat array of the dtype; whole numbers may become scores, but no score a code."""
    if isinstance(values, np.ndarray) and is_flat(values, dtype):
        return values
    array = np.ascontiguousarray(values)
    if array.size == 0:
        array = array.astype(dtype)
    if array.ndim != 1 or array.dtype.kind not in ("iu" if dtype.kind == "i" else "iuf"):
        raise DataError(name, f"expected a flat array of {dtype}", array)
    cast = array.astype(dtype, copy=False)
    if cast.dtype.kind == "i" and cast.dtype != array.dtype and (cast != array).any():
        raise DataError(name, f"some values do not fit {dtype}")
    return cast


def _column_names(user: str, item: str) -> list[str]:
    for argument, name in (("user", user), ("item", item)):
        if not isinstance(name, str):
            raise ParameterTypeError(argument, "expected the name of a column", name)
    names = [user, item, "score", "rank"]
    if len(set(names)) != len(names):
        raise ParameterError("user, item", "two of the columns have one name", (user, item))
    return names


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
