"""Ratings as biases and factors, by alternating least squares."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.errors import DataError
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_float, as_int
from ferrec.kernels.factors import require_factors
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, DenseParts
from ferrec.models.base import ExplanationParts
from ferrec.models.factor_model import FactorModel, UserFactorState
from ferrec.models.search_space import Float, Int, SearchSpace


@dataclass(frozen=True, eq=False)
class BiasedMFState(UserFactorState):
    """An item's row is its factors, its bias, and 1; a user's is his factors, 1, and mean plus bias."""

    mean: float

    @cached_property
    def rated(self) -> NDArray[np.bool]:
        """Which items somebody rated."""
        _, items, _ = self.seen.parts()
        counts: NDArray[np.int64] = np.bincount(items, minlength=len(self.items))
        return counts > 0


class BiasedMF(FactorModel[BiasedMFState]):
    """Predicts ``mean + b_u + b_i + p_u·q_i`` (Koren, Bell & Volinsky, IEEE Computer 2009).

    Minimizes the squared errors plus ``Σ_u n_u^nu (reg |p_u|² + reg_biases b_u²)`` and the same of the items, with
    n the number of ratings (Zhou et al., AAIM 2008, have ``nu=1``), by alternating least squares. New users are
    computed as known ones are: exactly, given the items. Predictions are not cut to the range of the ratings, so
    that the best of them keep their order.

    Parameters
    ----------
    n_factors : int, default 32
        Factors beside the biases.
    reg : float, default 1.3
        Regularization of factors, at least 0.
    reg_biases : float, default 0.6
        Regularization of biases, at least 0.
    nu : float, default 0.5
        How far both grow with the number of ratings: 0 not at all, 1 in proportion.
    epochs : int, default 15
        Passes over the items and the users.
    seed : int, default 0
        Of the random start.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    ALS : Factors of implicit feedback.
    Bias : The biases alone.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["a", "b", "a", "b", "a"], [5, 4, 2, 1, 5])
    >>> model = ferrec.BiasedMF(n_factors=1, reg=0.1, reg_biases=0.1).fit(data)
    >>> bool(3.5 < model.score([3], ["b"])[0] < 4.5)
    True
    """

    state_type = BiasedMFState

    search_space: ClassVar[SearchSpace] = {
        "n_factors": Int(8, 128, log=True),
        "reg": Float(0.1, 10.0, log=True),
        "reg_biases": Float(0.05, 5.0, log=True),
        "nu": Float(0.0, 1.0),
        "epochs": Int(5, 40),
    }

    def __init__(
        self,
        *,
        n_factors: int = 32,
        reg: float = 1.3,
        reg_biases: float = 0.6,
        nu: float = 0.5,
        epochs: int = 15,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.n_factors = n_factors
        self.reg = reg
        self.reg_biases = reg_biases
        self.nu = nu
        self.epochs = epochs
        self.seed = seed
        self.n_threads = n_threads

    @property
    def _penalties(self) -> tuple[float, float, float]:
        return as_float("reg", self.reg), as_float("reg_biases", self.reg_biases), as_float("nu", self.nu)

    def learn(self, data: Interactions, callback: Callback | None) -> BiasedMFState:
        n_factors, epochs = (
            as_int("n_factors", self.n_factors, minimum=1),
            as_int("epochs", self.epochs, minimum=1),
        )
        seed = as_int("seed", self.seed, minimum=0)
        if not data.nnz:
            raise DataError("data", "has no ratings to learn from")
        require_factors("BiasedMF", data.csr, n_factors)
        mean, users, items = _rust.biased_factors(
            data.csr, n_factors, self._penalties, epochs, seed, self._threads(), callback
        )
        table = items.reshape(data.n_items, n_factors + 1)
        factors = np.column_stack([table, np.ones(data.n_items, np.float32)]).reshape(-1)
        queries = _as_queries(users.reshape(data.n_users, n_factors + 1), mean)
        return BiasedMFState(data.users, data.items, data.csr, factors, queries, mean)

    def _vectors(self, state: BiasedMFState, queries: Queries) -> DenseParts:
        if queries.codes is not None:
            return state.of_users(queries.codes)
        own = np.ascontiguousarray(state.table[:, :-1])
        items = (own.reshape(-1), *own.shape)
        rows = _rust.fold_in_biased(queries.history, items, state.mean, self._penalties, self._threads())
        width = own.shape[1]
        return _as_queries(rows.reshape(len(queries), width), state.mean), len(queries), width + 1

    def rank(
        self, state: BiasedMFState, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        # What nobody rated is no candidate: its prediction is the same for every such item.
        allowed = state.rated if chosen.allowed is None else chosen.allowed & state.rated
        return super().rank(state, queries, n, replace(chosen, allowed=allowed), callback)

    def _directions(self, state: BiasedMFState) -> NDArray[np.float32]:
        return state.table[:, :-2]

    def explain_parts(self, state: BiasedMFState, queries: Queries, item: int) -> ExplanationParts:
        """The user's bias and factors are linear in his ratings' distances from mean plus item bias."""
        _, seen, values = queries.history.parts()
        reg, reg_biases, nu = self._penalties
        every: NDArray[Any] = state.table.astype(np.float64)
        biases, every = every[:, -2], np.delete(every, -2, axis=1)
        own, scale = every[seen], float(len(seen)) ** nu
        matrix = own.T @ own
        matrix.flat[:: len(matrix) + 1] += scale * np.append(np.full(len(matrix) - 1, reg), reg_biases)
        pulled = own @ np.linalg.lstsq(matrix, every[item])[0]
        return float(state.mean + biases[item]), seen, (values - state.mean - biases[seen]) * pulled


def _as_queries(users: NDArray[np.float32], mean: float) -> NDArray[np.float32]:
    """From factors and biases to vectors whose inner products with the items' are predictions."""
    ones, base = np.ones(len(users)), users[:, -1].astype(np.float64) + mean
    rows: NDArray[np.float32] = np.column_stack([users[:, :-1], ones, base]).astype(np.float32)
    return rows.reshape(-1)
