"""User-based neighborhood model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.io.progress import Callback
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, rows_of, to_scipy
from ferrec.kernels.similarity import similar_parts
from ferrec.kernels.weights import weighted
from ferrec.models.base import ExplanationParts, Recommender
from ferrec.models.explanation import COMMON_ONLY, by_items_in_common
from ferrec.models.lookup import top_of_rows
from ferrec.models.neighbors.parameters import NeighborParameters
from ferrec.models.state import State, UserUser

_WALKS = ("p3alpha", "rp3beta")


@dataclass(frozen=True, eq=False)
class UserKNNState(State):
    """Row u holds the users most similar to u."""

    similarity: UserUser


class UserKNN(NeighborParameters, Recommender[UserKNNState]):
    """Recommends what similar users have had (Resnick et al., CSCW 1994).

    The score of item i is the sum over the user's k most similar users v of similarity(u, v) · weight(v, i).

    Parameters
    ----------
    k : int, default 100
        Neighbors of each user.
    measure, shrink, alpha, beta
        As in `ItemKNN`.
    weighting : str, optional
        Weighting of [`weight`][ferrec.kernels.weight] for the similarity (users are the documents, so that
        ``"tfidf"`` and ``"bm25"`` damp very popular items).
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    ItemKNN : Recommend what is similar to the user's items.
    UserKNNRegressor : Predict ratings from similar users.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.UserKNN(k=1).fit(data).recommend(3)[3]
    [('milk', 0.7071067690849304)]
    """

    state_type = UserKNNState

    def _weighted(self, name: str, x: _rust.Csr, reference: _rust.Csr | None = None) -> _rust.Csr:
        return weighted(name, x, self.weighting, self._threads(), reference=reference)

    def _near(self, x: _rust.Csr, new_users: _rust.Csr | None, callback: Callback | None) -> _rust.Csr:
        """The most similar of the fitted users, of each of them or of each new user."""
        queries, n_threads = None, self._threads()
        if new_users is not None:
            queries = self._weighted("history", new_users, x)
        known, numbers = self._weighted("data", x), self._numbers()
        parts = similar_parts(known, queries, self.k, self.measure, "users", n_threads, callback, **numbers)
        return _rust.Csr(*parts, x.shape[0], name="similarity")

    def learn(self, data: Interactions, callback: Callback | None) -> UserKNNState:
        return UserKNNState(data.users, data.items, data.csr, self._near(data.csr, None, callback))

    def _neighbors(self, state: UserKNNState, queries: Queries) -> _rust.Csr:
        if queries.codes is None:
            return self._near(state.seen, queries.history, None)
        everybody = len(queries) == len(state.users) and np.array_equal(
            queries.codes, np.arange(len(queries), dtype=np.int32)
        )
        return state.similarity if everybody else rows_of(state.similarity, queries.codes)

    def rank(
        self, state: UserKNNState, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        near, names = self._neighbors(state, queries), ("similarity", "histories")
        return _rust.top_k_product(near, state.seen, n, chosen, names, self._threads(), callback)

    def score_pairs(self, state: UserKNNState, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        return _rust.score_product(self._neighbors(state, queries), state.seen, pairs, self._threads())

    def explain_parts(self, state: UserKNNState, queries: Queries, item: int) -> ExplanationParts:
        """Each neighbor's share of the score goes to the items in common, as they made up the similarity."""
        _, users, similarity = self._neighbors(state, queries).parts()
        seen = to_scipy(state.seen)
        has_item: Any = seen[users][:, [item]].toarray().ravel()
        voting = has_item != 0.0
        votes = similarity[voting].astype(np.float64) * has_item[voting].astype(np.float64)
        own, theirs = self._terms(state, queries.history, users[voting])
        return 0.0, *by_items_in_common(votes, theirs.multiply(own).toarray())

    def _terms(self, state: UserKNNState, history: _rust.Csr, users: NDArray[np.int32]) -> tuple[Any, Any]:
        """Rows whose products are the terms of the similarity: the query's, and those of some users."""
        own: Any = to_scipy(self._weighted("history", history, state.seen)).astype(np.float64)
        x: Any = to_scipy(self._weighted("data", state.seen))
        theirs: Any = x[users].astype(np.float64)
        if self.measure in COMMON_ONLY:
            own.data, theirs.data = np.sign(np.abs(own.data)), np.sign(np.abs(theirs.data))
        elif self.measure in _WALKS:
            alpha = 1.0 if self.alpha is None else self.alpha
            own.data, theirs.data = own.data**alpha, theirs.data**alpha
            totals: Any = np.asarray(x.sum(axis=0), dtype=np.float64).ravel()
            weights = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0.0) ** alpha
            theirs = theirs.multiply(weights[None, :]).tocsr()
        elif self.measure == "pearson":
            own, theirs = _centered(own, own.sum(axis=1), own), _centered(theirs, theirs.sum(axis=1), theirs)
        elif self.measure == "adjusted_cosine":
            counts = np.maximum(np.bincount(x.indices, minlength=x.shape[1]), 1)
            means = np.asarray(x.sum(axis=0), dtype=np.float64).ravel() / counts
            own.data, theirs.data = own.data - means[own.indices], theirs.data - means[theirs.indices]
        return own, theirs

    def rank_similar_users(self, state: UserKNNState, codes: NDArray[np.int32], n: int) -> CsrParts:
        return top_of_rows("users", state.similarity, codes, n, self._threads())


def _centered(rows: Any, sums: Any, pattern: Any) -> Any:
    """The rows with their own means subtracted from the stored entries."""
    lengths = np.diff(pattern.indptr)
    means = np.asarray(sums, dtype=np.float64).ravel() / np.maximum(lengths, 1)
    rows = rows.copy()
    rows.data = rows.data - np.repeat(means, lengths)
    return rows
