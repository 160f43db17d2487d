"""User-based rating prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_number
from ferrec.kernels.handles import CsrParts, rows_of, to_scipy
from ferrec.kernels.similarity import similar_parts
from ferrec.models.base import ExplanationParts
from ferrec.models.explanation import COMMON_ONLY, by_items_in_common
from ferrec.models.lookup import top_of_rows
from ferrec.models.rating_model import NeighborRatings, RatingState, deviations
from ferrec.models.state import UserItem, UserUser


@dataclass(frozen=True, eq=False)
class UserKNNRegressorState(RatingState):
    """Row u holds the users most similar to u; deviations are the ratings less their baselines."""

    similarity: UserUser
    deviations: UserItem


class UserKNNRegressor(NeighborRatings[UserKNNRegressorState]):
    """Predicts a rating from the ratings of similar users (Herlocker et al., SIGIR 1999).

    ``baseline(u, i) + Σ w(u, v) · (r(v, i) − baseline(v, i)) / Σ |w(u, v)|`` over those of u's k nearest users
    that have rated i; w is the similarity of the users' deviations from the baseline. Where none of them has
    rated i the prediction is the baseline; such items are not recommended.

    Parameters
    ----------
    k : int, default 300
        Neighbors of each user; only those who rated the item have a say.
    measure, min_similarity, reg_users, reg_items, epochs
        As in `ItemKNNRegressor`.
    shrink : float, default 5
        Added to the measure's denominator.
    center : {"baseline", "mean"}
        Deviations from mean plus user and item biases, or from the user's mean.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    ItemKNNRegressor : Predict from similar items.
    BiasedMF : Predict from factors.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["a", "b", "a", "b", "a"], [5, 4, 2, 1, 5])
    >>> model = ferrec.UserKNNRegressor(center="mean").fit(data)
    >>> bool(1.0 <= model.score([3], ["b"])[0] <= 5.0)
    True
    """

    state_type = UserKNNRegressorState
    _mean_side = "users"
    weights_left = True

    def __init__(
        self,
        *,
        k: int = 300,
        measure: str = "cosine",
        shrink: float = 5.0,
        center: str = "baseline",
        min_similarity: float = 0.0,
        reg_users: float = 15.0,
        reg_items: float = 10.0,
        epochs: int = 10,
        n_threads: int | None = None,
    ) -> None:
        self.k = k
        self.measure = measure
        self.shrink = shrink
        self.center = center
        self.min_similarity = min_similarity
        self.reg_users = reg_users
        self.reg_items = reg_items
        self.epochs = epochs
        self.n_threads = n_threads

    def _near(self, off: _rust.Csr, new_users: _rust.Csr | None, callback: Callback | None) -> _rust.Csr:
        numbers = {"shrink": self.shrink, "threshold": as_number("min_similarity", self.min_similarity)}
        threads = self._threads()
        parts = similar_parts(off, new_users, self.k, self.measure, "users", threads, callback, **numbers)
        return _rust.Csr(*parts, off.shape[0], name="similarity")

    def learn(self, data: Interactions, callback: Callback | None) -> UserKNNRegressorState:
        fields = self._baseline(data)
        off = deviations(data.csr, fields["user_base"], fields["item_base"])
        return UserKNNRegressorState(**fields, similarity=self._near(off, None, callback), deviations=off)

    def _factors(self, state: UserKNNRegressorState, queries: Queries) -> tuple[_rust.Csr, _rust.Csr]:
        if queries.codes is not None:
            return rows_of(state.similarity, queries.codes), state.deviations
        off = deviations(queries.history, self._user_base(state, queries), state.item_base)
        return self._near(state.deviations, off, None), state.deviations

    def explain_parts(self, state: UserKNNRegressorState, queries: Queries, item: int) -> ExplanationParts:
        """Each neighbor's share goes to the items that both have rated, as they made up the similarity."""
        voters, shares = self._shares(state, queries, item)
        own_csr = deviations(queries.history, self._user_base(state, queries), state.item_base)
        own: Any = to_scipy(own_csr).astype(np.float64)
        theirs: Any = to_scipy(state.deviations)[voters].astype(np.float64)
        if self.measure in COMMON_ONLY:
            own.data, theirs.data = np.ones_like(own.data), np.ones_like(theirs.data)
        return self._anchored(
            state, queries, item, *by_items_in_common(shares, theirs.multiply(own).toarray())
        )

    def rank_similar_users(self, state: UserKNNRegressorState, codes: NDArray[np.int32], n: int) -> CsrParts:
        return top_of_rows("users", state.similarity, codes, n, self._threads())
