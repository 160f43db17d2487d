"""The pairs that one stage hands to the next: a few hundred items for each query, and what is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions, check_interactions
from ferrec.data.queries import Queries
from ferrec.data.recommendations import Recommendations
from ferrec.errors import DataError, ParameterError, ParameterTypeError, ShapeError, did_you_mean
from ferrec.io.arrays import offsets_of
from ferrec.kernels.arguments import as_float, as_int, threads


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items proposed to each query, with named columns about each pair.

    Frozen: a stage that knows more returns new candidates with more columns. Retrievers propose pairs, and then
    every scorer scores every pair, so that no column has holes.

    Attributes
    ----------
    queries : Queries
        The queries that items are proposed to.
    items : Ids
        The catalog that `codes` points into.
    indptr : ndarray of int64, shape (len(queries) + 1,)
        The pairs of query i are ``indptr[i]`` to ``indptr[i + 1]``.
    codes : ndarray of int32, shape (len(self),)
        The proposed items, ascending and distinct within a query.
    columns : mapping of str to ndarray of float32, shape (len(self),)
        Scores and features. A category is a column of whole numbers below 2^24.

    Raises
    ------
    DataError
        The parts do not fit together.
    """

    queries: Queries
    items: Ids
    indptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for name, array, dtype in (("indptr", self.indptr, np.int64), ("codes", self.codes, np.int32)):
            if array.ndim != 1 or array.dtype != dtype:
                raise DataError(name, f"expected flat {dtype.__name__}", array)
        if len(self.indptr) != len(self.queries) + 1:
            raise DataError(
                "indptr",
                f"expected {len(self.queries) + 1} offsets for {len(self.queries)} queries",
                len(self.indptr),
            )
        _rust.check_ragged(self.indptr, self.codes, len(self.items))
        for name, column in self.columns.items():
            if column.shape != self.codes.shape or column.dtype != np.float32:
                raise DataError(
                    f"column {name!r}",
                    f"must be float32 of shape {self.codes.shape}",
                    column,
                )

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.codes)

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """The query of each pair, as a position in `queries`."""
        return np.repeat(np.arange(len(self.queries), dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def pairs(self) -> _rust.Csr:
        """The pairs as a matrix of ones, queries × items: what a model scores."""
        ones = np.ones(len(self.codes), np.float32)
        return _rust.Csr(self.indptr, self.codes, ones, len(self.items), name="candidates")

    def with_columns(self, columns: Mapping[str, NDArray[np.float32]]) -> "Candidates":
        """The same pairs, knowing more.

        Parameters
        ----------
        columns : mapping of str to ndarray of float32, shape (len(self),)
            Added to those there are.

        Returns
        -------
        Candidates

        Raises
        ------
        ValueError
            A column of that name is there already.
        DataError
            A column has another shape or dtype.
        """
        if not isinstance(columns, Mapping):
            raise ParameterTypeError("columns", "expected columns by their names", columns)
        twice = [name for name in columns if name in self.columns]
        if twice:
            raise ParameterError("columns", f"{twice[0]!r} is there already")
        more = Candidates(self.queries, self.items, self.indptr, self.codes, {**self.columns, **columns})
        for derived in ("rows", "pairs"):  # of the same pairs, so they need not be made again
            if derived in self.__dict__:
                more.__dict__[derived] = self.__dict__[derived]
        return more

    def select(self, pair_mask: NDArray[np.bool_]) -> "Candidates":
        """Some of the pairs; every query stays, if only with none.

        Parameters
        ----------
        pair_mask : ndarray of bool, shape (len(self),)
            Which pairs.

        Returns
        -------
        Candidates

        Raises
        ------
        DataError
            The mask is not bool, or of another length.

        Examples
        --------
        >>> import ferrec
        >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
        >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates()
        >>> len(pairs), len(pairs.select(pairs.rows == 2)), len(pairs.select(pairs.rows == 2).queries)
        (4, 2, 3)
        """
        mask = np.asarray(pair_mask)
        if mask.dtype != np.bool_ or mask.shape != self.codes.shape:
            raise DataError("pair_mask", f"must be bool of length {len(self)}, one for each pair", pair_mask)
        indptr = offsets_of(np.bincount(self.rows[pair_mask], minlength=len(self.queries)))
        columns = {name: column[pair_mask] for name, column in self.columns.items()}
        return Candidates(self.queries, self.items, indptr, self.codes[pair_mask], columns)

    def matrix(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Some columns side by side.

        Parameters
        ----------
        names : sequence of str
            In the order wanted.

        Returns
        -------
        ndarray of float32, shape (len(self), len(names))

        Raises
        ------
        DataError
            A column is missing; says which, and which there are.
        """
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise ParameterTypeError("names", "expected names of columns", names)
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise DataError(
                "columns",
                f"the candidates lack {', '.join(map(repr, missing))}; they have {', '.join(self.columns)}",
                advice=did_you_mean(missing[0], self.columns),
            )
        out = np.empty((len(self.codes), len(names)), np.float32)
        for at, name in enumerate(names):
            out[:, at] = self.columns[name]
        return out

    # -- scores of the pairs --------------------------------------------------------------------------------

    def ranks(self, scores: ArrayLike, *, n_threads: int | None = None) -> NDArray[np.float32]:
        """The rank of each pair within its query.

        Parameters
        ----------
        scores : array-like of float, shape (len(self),)
            Finite.
        n_threads : int, optional
            By default what CPU affinity and cgroup quota allow.

        Returns
        -------
        ndarray of float32, shape (len(self),)
            1 for the greatest score of the query; equal scores in the order of the items.

        Raises
        ------
        ValueError
            `scores` has another shape, or is not finite; says where.
        """
        return _rust.ranks(self.indptr, self._scores(scores), threads(n_threads))

    def top(self, scores: ArrayLike, n: int = 10, *, n_threads: int | None = None) -> Recommendations:
        """The best n candidates of each query.

        Parameters
        ----------
        scores : array-like of float, shape (len(self),)
            One for each pair, finite: a ranker's, or a column.
        n : int
            Items for each query, at least 1. Fewer are given where there are fewer candidates.
        n_threads : int, optional
            By default what CPU affinity and cgroup quota allow.

        Returns
        -------
        Recommendations
            Best first; equal scores in the order of the items.

        Raises
        ------
        ValueError, TypeError
            `scores` has another shape or is not finite, or `n` is no positive integer.

        Examples
        --------
        >>> import ferrec
        >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
        >>> pairs = ferrec.Retrieval([ferrec.ItemKNN()]).fit(data).candidates()
        >>> pairs.top(pairs.columns["item_knn_score"], n=1).to_lists()
        {1: ['jam'], 2: ['milk'], 3: ['jam']}
        """
        n = as_int("n", n, minimum=1)
        lists = (self.indptr, self.codes)
        parts = _rust.best(lists, len(self.items), self._scores(scores), n, threads(n_threads))
        return Recommendations(self.queries.ids, self.items, *parts)

    def _scores(self, scores: ArrayLike) -> NDArray[np.float32]:
        try:
            array = np.ascontiguousarray(scores, np.float32)
        except (TypeError, ValueError):
            raise ParameterTypeError("scores", "expected numbers", scores) from None
        if array.shape != self.codes.shape:
            raise ShapeError("scores", f"must have length {len(self)}, one for each pair", array.shape)
        return array

    # -- what became of the pairs ---------------------------------------------------------------------------

    def weights(self, data: Interactions, *, absent: float = 0.0) -> NDArray[np.float32]:
        """The weight that each pair has in some interactions.

        Parameters
        ----------
        data : Interactions
            With the same catalog as the candidates: parts of one split have it. Queries are found among its
            users by their ids.
        absent : float
            What a pair gets that has no event there.

        Returns
        -------
        ndarray of float32, shape (len(self),)

        Raises
        ------
        DataError
            The catalog is another.
        """
        check_interactions("data", data)
        absent = as_float("absent", absent)
        if data.items is not self.items and data.items != self.items:
            raise DataError(
                "data",
                f"its {data.n_items} items are not the {len(self.items)} of the candidates",
                advice="take both from one split",
            )
        rows = data.users.encode(self.queries.ids, name="queries", unknown="ignore")
        return _rust.values_at(self.pairs, data.csr, rows, absent, 0)

    def hits(self, future: Interactions) -> NDArray[np.float32]:
        """The labels to learn from: which of the pairs came true.

        Parameters
        ----------
        future : Interactions
            What happened after the candidates were made; as in `weights`.

        Returns
        -------
        ndarray of float32, shape (len(self),)
            1 for a pair that has an event there, whatever it weighs, 0 for the others.

        Raises
        ------
        DataError
            The catalog is another.

        Examples
        --------
        >>> import ferrec
        >>> users, items = [1, 2, 2, 2, 1], ["tea", "milk", "tea", "jam", "jam"]
        >>> past, future = ferrec.split.by_time(
        ...     ferrec.Interactions.from_arrays(users, items, times=range(5)), cutoff=4
        ... )
        >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(past).candidates(1)
        >>> pairs.items.decode(pairs.codes), pairs.hits(future)
        (array(['jam', 'milk'], dtype=object), array([1., 0.], dtype=float32))
        """
        check_interactions("future", future)
        return (~np.isnan(self.weights(future, absent=np.nan))).astype(np.float32)
