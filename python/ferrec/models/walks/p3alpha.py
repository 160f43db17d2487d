"""Random walk of three steps."""

from typing import ClassVar

from ferrec import _rust
from ferrec.io.progress import Callback
from ferrec.kernels.handles import CsrParts
from ferrec.kernels.similarity import similar_parts
from ferrec.models.item_neighbors import ItemNeighbors
from ferrec.models.search_space import Float, Int, SearchSpace


class P3Alpha(ItemNeighbors):
    """Recommends where a random walk user → item → user → item ends (Cooper et al., WWW 2014).

    Parameters
    ----------
    k : int, default 100
        Items kept for each item.
    alpha : float, default 1
        Exponent of the transition probabilities, at least 0.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    RP3Beta : The same walk with a penalty on popularity.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.P3Alpha().fit(data).recommend(3)[3]
    [('milk', 0.3333333432674408)]
    """

    search_space: ClassVar[SearchSpace] = {"k": Int(10, 1000, log=True), "alpha": Float(0.2, 2.0)}

    def __init__(self, *, k: int = 100, alpha: float = 1.0, n_threads: int | None = None) -> None:
        self.k = k
        self.alpha = alpha
        self.n_threads = n_threads

    def _similarity(self, x: _rust.Csr, callback: Callback | None) -> CsrParts:
        return similar_parts(x, None, self.k, "p3alpha", "items", self._threads(), callback, alpha=self.alpha)
