"""Random walk of three steps with a penalty on popularity."""

from typing import ClassVar

from ferrec import _rust
from ferrec.io.progress import Callback
from ferrec.kernels.handles import CsrParts
from ferrec.kernels.similarity import similar_parts
from ferrec.models.item_neighbors import ItemNeighbors
from ferrec.models.search_space import Float, Int, SearchSpace


class RP3Beta(ItemNeighbors):
    """P3alpha divided by the target's popularity to the power of beta (Paudel et al., TiiS 2017).

    Parameters
    ----------
    k, alpha
        As in `P3Alpha`.
    beta : float, default 0.5
        Exponent of the popularity penalty (popularity is the number of users), at least 0.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    P3Alpha : The same walk without the penalty.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.RP3Beta(beta=1.0).fit(data).recommend(3)[3]
    [('milk', 0.1666666716337204)]
    """

    search_space: ClassVar[SearchSpace] = {
        "k": Int(10, 1000, log=True),
        "alpha": Float(0.2, 2.0),
        "beta": Float(0.0, 1.0),
    }

    def __init__(
        self, *, k: int = 100, alpha: float = 1.0, beta: float = 0.5, n_threads: int | None = None
    ) -> None:
        self.k = k
        self.alpha = alpha
        self.beta = beta
        self.n_threads = n_threads

    def _similarity(self, x: _rust.Csr, callback: Callback | None) -> CsrParts:
        numbers = {"alpha": self.alpha, "beta": self.beta}
        return similar_parts(x, None, self.k, "rp3beta", "items", self._threads(), callback, **numbers)
