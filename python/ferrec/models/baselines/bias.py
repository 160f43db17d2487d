"""Mean plus user and item biases."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.io.progress import Callback
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts
from ferrec.models.base import ExplanationParts
from ferrec.models.rating_model import REGULARIZATION, RatingModel, RatingState
from ferrec.models.search_space import SearchSpace

_TINY = np.float32(np.finfo(np.float32).tiny)


class Bias(RatingModel[RatingState]):
    """Predicts mean + user bias + item bias (Koren, TKDD 2010, eq. 1): the baseline of rating prediction.

    Parameters
    ----------
    reg_users, reg_items : float, default 15, 10
        Added to the number of ratings of a user, of an item: pulls the biases of the few toward 0.
    epochs : int, default 10
        Alternations of least squares.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["a", "b", "a"], [5, 3, 4])
    >>> ferrec.Bias(reg_users=0, reg_items=0, epochs=50).fit(data).score([2], ["b"]).round(2).tolist()
    [3.0]
    """

    state_type = RatingState
    personalized = False
    _mean_side = "users"
    center = "baseline"

    search_space: ClassVar[SearchSpace] = REGULARIZATION

    def __init__(
        self,
        *,
        reg_users: float = 15.0,
        reg_items: float = 10.0,
        epochs: int = 10,
        n_threads: int | None = None,
    ) -> None:
        self.reg_users = reg_users
        self.reg_items = reg_items
        self.epochs = epochs
        self.n_threads = n_threads

    def learn(self, data: Interactions, callback: Callback | None) -> RatingState:
        return RatingState(**self._baseline(data))

    def rank(
        self, state: RatingState, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        # The order of the items is the same for everybody; an item that nobody rated has no bias of its own
        # and is no candidate, which the kernel reads off a 0.
        rated = np.zeros(len(state.items), np.bool_)
        rated[state.seen.parts()[1]] = True
        common = np.where(rated, np.where(state.item_base == 0.0, _TINY, state.item_base), np.float32(0.0))
        indptr, items, _ = _rust.top_k_common(common, len(queries), n, chosen, self._threads(), callback)
        return indptr, items, self._predict(state, queries, indptr, items)

    def _predict(
        self, state: RatingState, queries: Queries, indptr: NDArray[np.int64], items: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        frame = self._frame(state, queries)
        base = np.repeat(frame.rows, np.diff(indptr)) + frame.cols[items]
        predicted: NDArray[np.float32] = np.clip(base, *frame.range).astype(np.float32)
        return predicted

    def score_pairs(self, state: RatingState, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        indptr, items, _ = pairs.parts()
        return self._predict(state, queries, indptr, items)

    def explain_parts(self, state: RatingState, queries: Queries, item: int) -> ExplanationParts:
        return 0.0, np.empty(0, np.int32), np.empty(0)
