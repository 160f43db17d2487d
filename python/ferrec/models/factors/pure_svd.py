"""Factors from a truncated singular value decomposition."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_float, as_int
from ferrec.kernels.handles import DenseParts
from ferrec.kernels.weights import weighted
from ferrec.models.base import ExplanationParts
from ferrec.models.factor_model import FactorModel, FactorState
from ferrec.models.search_space import Choice, Int, SearchSpace


class PureSVD(FactorModel[FactorState]):
    """Recommends what is near the user in the space of the k largest singular vectors (Cremonesi, Koren &
    Turrin, RecSys 2010).

    With V the right singular vectors of the (weighted) users × items matrix, the scores of a user are
    history · V · Vᵀ: the history with everything taken out that the k directions do not hold. New users are
    served by the same formula.

    Parameters
    ----------
    n_factors : int, default 128
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

    See Also
    --------
    ALS : Factors that weigh what is and what is not in the data.
    ferrec.kernels.truncated_svd : The decomposition.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.PureSVD(n_factors=1).fit(data).recommend(3)[3][0][0]
    'milk'
    """

    state_type = FactorState

    search_space: ClassVar[SearchSpace] = {
        "n_factors": Int(8, 512, log=True),
        "weighting": Choice(None, "tfidf", "bm25"),
    }

    def __init__(
        self,
        *,
        n_factors: int = 128,
        weighting: str | None = None,
        tol: float = 1e-4,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.n_factors = n_factors
        self.weighting = weighting
        self.tol = tol
        self.seed = seed
        self.n_threads = n_threads

    def learn(self, data: Interactions, callback: Callback | None) -> FactorState:
        n_factors, seed = as_int("n_factors", self.n_factors, minimum=1), as_int("seed", self.seed, minimum=0)
        tol = as_float("tol", self.tol)
        x = weighted("data", data.csr, self.weighting, self._threads())
        _, s, vt, _ = _rust.truncated_svd(x, n_factors, tol, False, seed, self._threads(), callback)
        factors = np.ascontiguousarray(vt.reshape(len(s), data.n_items).T).reshape(-1)
        return FactorState(data.users, data.items, data.csr, factors)

    def _vectors(self, state: FactorState, queries: Queries) -> DenseParts:
        rows = _rust.fold_in(queries.history, state.dense, self._threads())
        return rows, len(queries), state.table.shape[1]

    def explain_parts(self, state: FactorState, queries: Queries, item: int) -> ExplanationParts:
        _, seen, weights = queries.history.parts()
        factors: NDArray[Any] = state.table[seen].astype(np.float64)
        parts = weights.astype(np.float64) * (factors @ state.table[item].astype(np.float64))
        counts = parts != 0.0
        return 0.0, seen[counts], parts[counts]
