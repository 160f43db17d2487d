"""What the models that predict ratings share: a baseline, and prediction from deviations off it."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.errors import DataError
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_float, as_int, one_of
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, to_scipy
from ferrec.models.base import ExplanationParts, Recommender, StateT
from ferrec.models.search_space import Choice, Float, Int, SearchSpace
from ferrec.models.state import PerItem, PerUser, State

CENTERS = ("baseline", "mean")
REGULARIZATION: SearchSpace = {
    "reg_users": Float(0.1, 100.0, log=True),
    "reg_items": Float(0.1, 100.0, log=True),
}


@dataclass(frozen=True, eq=False)
class RatingState(State):
    """The baseline of a rating is `user_base[u] + item_base[i]`; `item_base` holds the overall mean."""

    user_base: PerUser
    item_base: PerItem
    lowest: float
    highest: float


@dataclass(frozen=True, eq=False)
class Baseline:
    """Read by the compiled kernels: what is added to the neighbors' deviations, and the range of ratings."""

    rows: NDArray[np.float32]
    cols: NDArray[np.float32]
    range: tuple[float, float]


def means(sums: NDArray[Any], counts: NDArray[Any], otherwise: float) -> NDArray[np.float32]:
    """Sums over counts; `otherwise` where there is nothing to average."""
    full = np.full(len(sums), otherwise, np.float64)
    result: NDArray[np.float32] = np.divide(sums, counts, out=full, where=counts > 0).astype(np.float32)
    return result


def deviations(
    ratings: _rust.Csr, user_base: NDArray[np.float32], item_base: NDArray[np.float32]
) -> _rust.Csr:
    """The ratings less their baselines."""
    indptr, indices, values = ratings.parts()
    base = np.repeat(user_base, np.diff(indptr)).astype(np.float64) + item_base[indices]
    return _rust.Csr(indptr, indices, (values - base).astype(np.float32), ratings.shape[1])


class RatingModel(Recommender[StateT]):
    """The baseline part: fitting it, and placing new users on it."""

    center: str
    reg_users: float
    reg_items: float
    epochs: int

    _mean_side: str
    """Whose mean `center="mean"` is: "users", "items"."""

    def _baseline(self, data: Interactions) -> dict[str, Any]:
        """The fields of a [`RatingState`]."""
        one_of("center", self.center, CENTERS)
        if not data.nnz:
            raise DataError("data", "has no ratings to learn from")
        indptr, indices, values = data.csr.parts()
        wide = values.astype(np.float64)
        if self.center == "baseline":
            epochs = as_int("epochs", self.epochs, minimum=0)
            mean, users, items = _rust.biases(
                data.csr,
                as_float("reg_users", self.reg_users),
                as_float("reg_items", self.reg_items),
                epochs,
                self._threads(),
            )
            users, items = users, (items + mean).astype(np.float32)
        elif self._mean_side == "items":
            sums = np.bincount(indices, wide, minlength=data.n_items)
            counts = np.bincount(indices, minlength=data.n_items)
            users = np.zeros(data.n_users, np.float32)
            items = means(sums, counts, float(wide.mean()))
        else:
            rows = np.repeat(np.arange(data.n_users), np.diff(indptr))
            users = means(
                np.bincount(rows, wide, minlength=data.n_users), np.diff(indptr), float(wide.mean())
            )
            items = np.zeros(data.n_items, np.float32)
        return {
            "users": data.users,
            "items": data.items,
            "seen": data.csr,
            "user_base": users,
            "item_base": items,
            "lowest": float(values.min()),
            "highest": float(values.max()),
        }

    def _user_base(self, state: RatingState, queries: Queries) -> NDArray[np.float32]:
        """The users' part of the baseline; a new user's is what the fit would give for these ratings."""
        if queries.codes is not None:
            return state.user_base[queries.codes]
        indptr, indices, values = queries.history.parts()
        counts = np.diff(indptr)
        rows = np.repeat(np.arange(len(queries)), counts)
        if self.center == "mean" and self._mean_side == "items":
            return np.zeros(len(queries), np.float32)
        off = values.astype(np.float64) - state.item_base[indices]
        sums = np.bincount(rows, off, minlength=len(queries))
        if self.center == "mean":
            return means(sums, counts, float(state.user_base.mean()))
        reg = self.reg_users if counts.size else 1.0
        return means(sums, counts + (reg if reg > 0 else 0), 0.0)

    def _frame(self, state: RatingState, queries: Queries) -> Baseline:
        return Baseline(self._user_base(state, queries), state.item_base, (state.lowest, state.highest))


class NeighborRatings(RatingModel[StateT]):
    """Prediction from neighbors: `baseline + Σ w·deviation / Σ |w|`."""

    search_space: ClassVar[SearchSpace] = {
        "k": Int(10, 1000, log=True),
        "shrink": Float(0.0, 100.0),
        "center": Choice("baseline", "mean"),
        **REGULARIZATION,
    }

    weights_left: bool
    """Are the similarities the left factor of the product (user-based), or the right one?"""

    @abstractmethod
    def _factors(self, state: StateT, queries: Queries) -> tuple[_rust.Csr, _rust.Csr]:
        """The two factors: queries × neighbors, neighbors × items."""

    k: int
    measure: str

    def rank(
        self, state: StateT, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        assert isinstance(state, RatingState)
        left, right = self._factors(state, queries)
        frame, threads = self._frame(state, queries), self._threads()
        return _rust.top_k_ratings(left, right, self.weights_left, frame, n, chosen, threads, callback)

    def score_pairs(self, state: StateT, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        assert isinstance(state, RatingState)
        left, right = self._factors(state, queries)
        frame = self._frame(state, queries)
        scores = _rust.score_ratings(left, right, self.weights_left, frame, pairs, self._threads())
        # Where no neighbor rated the item the baseline is the prediction.
        indptr, items, _ = pairs.parts()
        base = np.repeat(frame.rows, np.diff(indptr)) + frame.cols[items]
        return np.where(scores == 0.0, np.clip(base, *frame.range), scores).astype(np.float32)

    def _shares(
        self, state: StateT, queries: Queries, item: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The neighbors that have a say in the item, and what each adds to the baseline."""
        left, right = self._factors(state, queries)
        _, neighbors, by = left.parts()
        column: Any = to_scipy(right)[neighbors][:, [item]].toarray().ravel()
        by, column = by.astype(np.float64), column.astype(np.float64)
        weights = np.abs(by if self.weights_left else column)
        weights[column == 0.0] = 0.0
        total = weights.sum()
        counts = weights > 0.0
        return neighbors[counts], (by * column)[counts] / (total if total else 1.0)

    def _anchored(
        self,
        state: RatingState,
        queries: Queries,
        item: int,
        items: NDArray[np.int32],
        parts: NDArray[np.float64],
    ) -> ExplanationParts:
        """With the baseline; what cutting to the range of ratings takes off is part of it."""
        base = float(self._user_base(state, queries)[0] + state.item_base[item])
        free = base + parts.sum()
        return base + (min(max(free, state.lowest), state.highest) - free), items, parts
