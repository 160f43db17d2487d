"""Models that say the scores of all items at once: the shortest way to a model in NumPy and SciPy."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.data.queries import Queries
from ferrec.errors import ParameterError
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_int, threads
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts
from ferrec.models.base import Recommender, StateT

_CELLS = 1 << 22
"""Scores in memory at once: what bounds it."""


class DenseRecommender(Recommender[StateT]):
    """A model that says the scores of all items: what ranks, filters and looks up scores is here.

    A subclass writes `learn` and `score_items`, and may write `explain_parts`, `rank_similar_items` and
    `rank_similar_users`. Queries come in blocks of as many as have four million scores together, or one.

    See Also
    --------
    Recommender : what a model answers, and the hooks that it may write itself.
    rank_scores : the ranking of one block.

    Examples
    --------
    >>> from ferrec.models import DenseRecommender, State
    >>> from ferrec.testing import checkerboard
    >>> class Alphabetical(DenseRecommender[State]):
    ...     state_type = State
    ...
    ...     def learn(self, data, callback):
    ...         return State(data.users, data.items, data.csr)
    ...
    ...     def score_items(self, state, queries):
    ...         return np.broadcast_to(-np.arange(len(state.items)), (len(queries), len(state.items)))
    >>> Alphabetical().fit(checkerboard(4)).recommend(0)[0]
    [(0, 0.0), (1, -1.0), (3, -3.0)]
    """

    @abstractmethod
    def score_items(self, state: StateT, queries: Queries) -> NDArray[Any]:
        """Give the score of every item for each query.

        The scores of a query must not depend on which others are in the block, to the last bit. Sparse products,
        and anything done element by element, keep that; a dense matrix product may not.

        Parameters
        ----------
        state : State
            What `learn` returned.
        queries : Queries
            A block of them.

        Returns
        -------
        ndarray of numbers, shape (len(queries), len(state.items))
            Higher is better; ranked as float32. NaN and −inf: the item is not recommended, and scores 0.
        """

    def rank(
        self, state: StateT, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        blocks = []
        for rows in self._blocks(state, len(queries)):
            scores = self._scores(state, _some(queries, rows))
            blocks.append(rank_scores(scores, n, chosen.take(rows), n_threads=self.n_threads))
            if callback is not None:
                callback(int(rows[-1]) + 1, len(queries))
        lengths = [np.zeros(1, np.int64), *(np.diff(indptr) for indptr, _, _ in blocks)]
        return (
            np.concatenate(lengths).cumsum(),
            np.concatenate([np.empty(0, np.int32), *(items for _, items, _ in blocks)]),
            np.concatenate([np.empty(0, np.float32), *(scores for _, _, scores in blocks)]),
        )

    def score_pairs(self, state: StateT, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        indptr, items, _ = pairs.parts()
        found = np.zeros(len(items), np.float32)
        for rows in self._blocks(state, len(queries)):
            asked = slice(indptr[rows[0]], indptr[rows[-1] + 1])
            if asked.start < asked.stop:
                scores = self._scores(state, _some(queries, rows))
                at = np.repeat(np.arange(len(rows)), np.diff(indptr[rows[0] : rows[-1] + 2]))
                found[asked] = scores[at, items[asked]]
        return np.nan_to_num(found, copy=False, nan=0.0, neginf=0.0)

    def _scores(self, state: StateT, queries: Queries) -> NDArray[np.float32]:
        """Those of a block; what is not recommended is NaN."""
        return _checked(
            self.score_items(state, queries),
            (len(queries), len(state.items)),
            f"{type(self).__name__}.score_items",
        )

    @staticmethod
    def _blocks(state: StateT, n_queries: int) -> Iterator[NDArray[np.int32]]:
        """Places of the queries of each block."""
        size = max(1, _CELLS // max(1, len(state.items)))
        for start in range(0, n_queries, size):
            yield np.arange(start, min(start + size, n_queries), dtype=np.int32)


def rank_scores(
    scores: ArrayLike,
    n: int,
    chosen: Filter | None = None,
    *,
    n_threads: int | None = None,
) -> CsrParts:
    """Rank the scores of a block of queries, as every model of ferrec ranks.

    Parameters
    ----------
    scores : array-like of numbers, shape (n_queries, n_items)
        Higher is better; ranked as float32. NaN and −inf are never in the answer.
    n : int
        Items for each query, at least 1.
    chosen : Filter, optional
        What may not, or only may, be in the answer. By default there are no rules.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Returns
    -------
    indptr : ndarray of int64, shape (n_queries + 1,)
        Where the list of each query begins and ends.
    items : ndarray of int32
        Codes: score descending, then code ascending; at most n for each query, none twice.
    scores : ndarray of float32
        Beside the items.

    Raises
    ------
    ValueError
        `scores` has not two dimensions or holds +inf in float32, or `n` is below 1.

    Examples
    --------
    >>> indptr, items, scores = rank_scores([[1.0, 3.0, 3.0], [np.nan, -1.0, 0.0]], 2)
    >>> indptr, items, scores
    (array([0, 2, 4]), array([1, 2, 2, 1], dtype=int32), array([ 3.,  3.,  0., -1.], dtype=float32))
    """
    n = as_int("n", n, minimum=1)
    table = _checked(scores, None, "scores")
    n_queries, n_items = table.shape
    chosen = Filter() if chosen is None else chosen
    passes = chosen.mask(n_queries, n_items)
    passes &= table > (-np.inf if chosen.threshold is None else chosen.threshold)
    indptr = np.zeros(n_queries + 1, np.int64)
    np.cumsum(np.count_nonzero(passes, axis=1), out=indptr[1:])
    codes = np.broadcast_to(np.arange(n_items, dtype=np.int32), table.shape)[passes]
    return _rust.best((indptr, codes), n_items, table[passes], n, threads(n_threads))


def _checked(scores: ArrayLike, shape: tuple[int, int] | None, name: str) -> NDArray[np.float32]:
    table = np.asarray(scores)
    if table.dtype.kind not in "fiub" or table.ndim != 2 or (shape is not None and table.shape != shape):
        expected = "queries × items" if shape is None else f"shape {shape}"
        raise ParameterError(name, f"expected numbers, {expected}", table)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, which is refused
        table = np.ascontiguousarray(table, np.float32)
    if (table == np.inf).any():
        raise ParameterError(
            name, "holds inf in float32", advice="NaN and −inf stand for items not to recommend"
        )
    return table


def _some(queries: Queries, rows: NDArray[np.int32]) -> Queries:
    if len(rows) == len(queries):
        return queries
    return queries.take(rows)
