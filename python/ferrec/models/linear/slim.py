"""Sparse linear item-item model."""

import warnings
from typing import ClassVar

from ferrec import _rust
from ferrec.io.memory import free_bytes, require_memory
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_bool, as_float, as_int
from ferrec.kernels.handles import CsrParts
from ferrec.kernels.similarity import similar_parts
from ferrec.models.item_neighbors import ItemNeighbors
from ferrec.models.search_space import Float, SearchSpace


class SLIM(ItemNeighbors):
    """Recommends by sparse item-item weights that predict the users' histories, no item predicting itself
    (Ning & Karypis, ICDM 2011).

    The weights w of all items for item j minimize ½‖x_j − Xw‖² + ½ l2 ‖w‖² + l1 ‖w‖₁ with w_j = 0; the score of j
    is the sum over the user's items i of weight(i) · w_i.

    Parameters
    ----------
    l1 : float, default 1
        Weight of the sum of magnitudes, at least 0: the more, the fewer weights differ from 0.
    l2 : float, default 50
        Weight of half the sum of squares, at least 0: the more, the closer the weights are to co-occurrence counts.
    positive : bool, default True
        Allow no weight below 0, as in the paper.
    n_candidates : int, optional
        Let only the so many most similar items by cosine speak for an item (the paper's fsSLIM). By default every
        item may.
    k : int, optional
        Keep for each item only the k weights of greatest magnitude. By default all that are not 0.
    tol : float, default 1e-4
        An item is done when no step of coordinate descent would change a weight by more than this; above 0.
    max_iter : int, default 100
        Passes of coordinate descent for an item, at most. A warning says how many items were not done by then.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Raises
    ------
    MemoryError
        From `fit`: XᵀX does not fit in what the machine and the control group have free; says how many GiB it
        needs.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.SLIM(l1=0.5, l2=1.0).fit(data).recommend(3)[3]
    [('milk', 0.375)]
    """

    search_space: ClassVar[SearchSpace] = {
        "l1": Float(0.01, 100.0, log=True),
        "l2": Float(1.0, 1000.0, log=True),
    }

    def __init__(
        self,
        *,
        l1: float = 1.0,
        l2: float = 50.0,
        positive: bool = True,
        n_candidates: int | None = None,
        k: int | None = None,
        tol: float = 1e-4,
        max_iter: int = 100,
        n_threads: int | None = None,
    ) -> None:
        self.l1 = l1
        self.l2 = l2
        self.positive = positive
        self.n_candidates = n_candidates
        self.k = k
        self.tol = tol
        self.max_iter = max_iter
        self.n_threads = n_threads

    def _similarity(self, x: _rust.Csr, callback: Callback | None) -> CsrParts:
        n_items = x.shape[1]
        k = n_items if self.k is None else as_int("k", self.k, minimum=1)
        passes = as_int("max_iter", self.max_iter, minimum=1)
        l1, l2, tol = as_float("l1", self.l1), as_float("l2", self.l2), as_float("tol", self.tol)
        settings = (l1, l2, as_bool("positive", self.positive), tol, passes, k)
        _check_memory(x, self._threads())
        near = None
        if self.n_candidates is not None:
            wanted = as_int("n_candidates", self.n_candidates, minimum=1)
            parts = similar_parts(x, None, wanted, "cosine", "items", self._threads(), callback)
            near = _rust.Csr(*parts, n_items, name="candidates")
        weights, unfinished = _rust.slim(x, near, settings, self._threads(), callback)
        if unfinished:
            text = f"SLIM: {unfinished} of {n_items} items were not done after max_iter={passes} passes"
            warnings.warn(f"{text}; raise max_iter, l1, l2 or tol", UserWarning, stacklevel=5)
        return weights.parts()


def _check_memory(x: _rust.Csr, n_threads: int) -> None:
    free = free_bytes()
    if free is not None:
        size = _rust.gram_size(x, free, n_threads)
        advice = (
            "leave out rare items or very active users, or take RP3Beta, whose memory grows with the data"
        )
        require_memory(f"SLIM of {x.shape[1]} items", size, advice)
