"""Item-based rating prediction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_number
from ferrec.kernels.handles import CsrParts
from ferrec.kernels.similarity import similar_parts
from ferrec.models.base import ExplanationParts
from ferrec.models.lookup import top_of_rows
from ferrec.models.rating_model import NeighborRatings, RatingState, deviations
from ferrec.models.state import ItemItem


@dataclass(frozen=True, eq=False)
class ItemKNNRegressorState(RatingState):
    """Row j holds, at column i, the weight of j in the prediction of i: the neighbors of i are in column i."""

    voters: ItemItem


class ItemKNNRegressor(NeighborRatings[ItemKNNRegressorState]):
    """Predicts a rating from the user's ratings of similar items (Koren, TKDD 2010, eq. 3).

    ``baseline(u, i) + Σ w(i, j) · (r(u, j) − baseline(u, j)) / Σ |w(i, j)|`` over those of i's k nearest items
    that u has rated; w is the similarity of the items' deviations from the baseline. Where u has rated none of
    them the prediction is the baseline; such items are not recommended.

    Parameters
    ----------
    k : int, default 300
        Neighbors of each item.
    measure : str, default "cosine"
        Any measure of [`top_k_similar`][ferrec.kernels.top_k_similar], taken over the deviations, so that
        ``"cosine"`` with ``center="baseline"`` is the baseline-corrected Pearson correlation.
    shrink : float, default 25
        Added to the measure's denominator.
    center : {"baseline", "mean"}
        Deviations from mean plus user and item biases, or from the item's mean.
    min_similarity : float, default 0
        Neighbors must be more similar than this.
    reg_users, reg_items : float, default 15, 10
        Regularization of the biases.
    epochs : int, default 10
        Alternations in fitting them.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    UserKNNRegressor : Predict from similar users.
    BiasedMF : Predict from factors.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["a", "b", "a", "b", "a"], [5, 4, 2, 1, 5])
    >>> model = ferrec.ItemKNNRegressor(shrink=0).fit(data)
    >>> bool(3.0 < model.score([3], ["b"])[0] <= 5.0)
    True
    """

    state_type = ItemKNNRegressorState
    _mean_side = "items"
    weights_left = False

    def __init__(
        self,
        *,
        k: int = 300,
        measure: str = "cosine",
        shrink: float = 25.0,
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

    def learn(self, data: Interactions, callback: Callback | None) -> ItemKNNRegressorState:
        fields = self._baseline(data)
        off = deviations(data.csr, fields["user_base"], fields["item_base"])
        numbers = {"shrink": self.shrink, "threshold": as_number("min_similarity", self.min_similarity)}
        parts = similar_parts(off, None, self.k, self.measure, "items", self._threads(), callback, **numbers)
        voters = _rust.Csr(*parts, data.n_items, name="similarity").transpose()
        return ItemKNNRegressorState(**fields, voters=voters)

    def _factors(self, state: ItemKNNRegressorState, queries: Queries) -> tuple[_rust.Csr, _rust.Csr]:
        return deviations(queries.history, self._user_base(state, queries), state.item_base), state.voters

    def explain_parts(self, state: ItemKNNRegressorState, queries: Queries, item: int) -> ExplanationParts:
        return self._anchored(state, queries, item, *self._shares(state, queries, item))

    def rank_similar_items(self, state: ItemKNNRegressorState, codes: NDArray[np.int32], n: int) -> CsrParts:
        return top_of_rows("items", state.voters.transpose(), codes, n, self._threads())
