"""Factors from a truncated singular value decomposition."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec._progress import Callback
from ferrec.errors import DataError
from ferrec.interactions import Interactions
from ferrec.kernels import CsrParts, DenseParts, Filter, as_csr, as_int, weight
from ferrec.models._base import Parts, Queries, Recommender, State, unit_rows


@dataclass(frozen=True, eq=False)
class PureSVDState(State):
    """The right singular vectors, item after item."""

    factors: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that there are as many factors for each item."""
        super().__post_init__()
        if len(self.factors) % max(len(self.items), 1):
            raise DataError(f"factors: {len(self.factors)} values cannot belong to {len(self.items)} items")

    @property
    def table(self) -> NDArray[np.float32]:
        """Items × factors."""
        rank = len(self.factors) // max(len(self.items), 1)
        return self.factors.reshape(len(self.items), rank)

    @property
    def dense(self) -> DenseParts:
        """For the kernels."""
        return (self.factors, *self.table.shape)


class PureSVD(Recommender[PureSVDState]):
    """Recommends what is near the user in the space of the k largest singular vectors (Cremonesi, Koren &
    Turrin, RecSys 2010).

    With V the right singular vectors of the (weighted) users × items matrix, the scores of a user are
    history · V · Vᵀ: the history with everything taken out that the k directions do not hold. New users are
    served by the same formula.

    Parameters
    ----------
    k : int, default 128
        Dimensions. Fewer are used where the data have fewer.
    weighting : str, optional
        Weighting of [`weight`][ferrec.kernels.weight] (users are the documents, so that ``"tfidf"`` and ``"bm25"``
        damp very popular items) before the decomposition. Histories keep their own weights.
    tol : float, default 1e-4
        Accuracy of [`truncated_svd`][ferrec.kernels.truncated_svd].
    seed : int, default 0
        Of its random start.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.PureSVD(k=1).fit(data).recommend(3)[3][0][0]
    'milk'
    """

    _state_type = PureSVDState

    def __init__(
        self,
        *,
        k: int = 128,
        weighting: str | None = None,
        tol: float = 1e-4,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.k = k
        self.weighting = weighting
        self.tol = tol
        self.seed = seed
        self.n_threads = n_threads

    def _fit(self, data: Interactions, callback: Callback | None) -> PureSVDState:
        k, seed = as_int("k", self.k, minimum=1), as_int("seed", self.seed, minimum=0)
        x = data.csr
        if self.weighting is not None:
            x = as_csr(weight(x, self.weighting, n_threads=self.n_threads))
        _, s, vt, _ = _rust.truncated_svd(x, k, float(self.tol), False, seed, self._threads(), callback)
        factors = np.ascontiguousarray(vt.reshape(len(s), data.n_items).T).reshape(-1)
        return PureSVDState(data.users, data.items, data.csr, factors)

    def _vectors(self, state: PureSVDState, history: _rust.Csr) -> DenseParts:
        rows = _rust.fold_in(history, state.dense, self._threads())
        return rows, history.shape[0], state.table.shape[1]

    def _rank(
        self, state: PureSVDState, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        vectors = self._vectors(state, queries.history)
        return _rust.top_k_factors(vectors, state.dense, n, chosen, self._threads(), callback)

    def _pairs(self, state: PureSVDState, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        vectors = self._vectors(state, queries.history)
        return _rust.score_factors(vectors, state.dense, pairs, self._threads())

    def _parts(self, state: PureSVDState, queries: Queries, item: int) -> Parts:
        _, seen, weights = queries.history.parts()
        factors: NDArray[Any] = state.table[seen].astype(np.float64)
        parts = weights.astype(np.float64) * (factors @ state.table[item].astype(np.float64))
        counts = parts != 0.0
        return 0.0, seen[counts], parts[counts]

    def _similar_items(self, state: PureSVDState, codes: NDArray[np.int32], n: int) -> CsrParts:
        """By the cosine of their vectors."""
        norms = np.linalg.norm(state.table.astype(np.float64), axis=1, keepdims=True)
        unit = np.divide(state.table, norms, out=np.zeros(state.table.shape), where=norms > 0.0)
        table = np.ascontiguousarray(unit, dtype=np.float32)
        queries = (table[codes].reshape(-1), len(codes), table.shape[1])
        itself = Filter([unit_rows(codes, len(state.items))])
        return _rust.top_k_factors(
            queries, (table.reshape(-1), *table.shape), n, itself, self._threads(), None
        )
