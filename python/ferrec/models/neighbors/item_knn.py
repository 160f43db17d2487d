"""Item-based neighbourhood model."""

from typing import ClassVar

from ferrec import _rust
from ferrec.io.progress import Callback
from ferrec.kernels.handles import CsrParts
from ferrec.kernels.similarity import similar_parts
from ferrec.kernels.weights import weighted
from ferrec.models.item_neighbors import ItemNeighbors
from ferrec.models.search_space import Choice, Float, Int, SearchSpace


class ItemKNN(ItemNeighbors):
    """Recommends what is similar to what the user has touched (Sarwar et al., WWW 2001; Deshpande & Karypis,
    TOIS 2004).

    The score of item i is the sum over the user's items j of weight(j) · similarity(j, i), where every j speaks
    for its k most similar items.

    Parameters
    ----------
    k : int, default 100
        Neighbours kept for each item.
    measure : str, default "cosine"
        Any measure of [`top_k_similar`][ferrec.kernels.top_k_similar].
    shrink : float, default 0
        Added to the measure's denominator: trusts similarities that rest on few users less.
    alpha, beta : float, optional
        Parameters of the measures that have them.
    weighting : str, optional
        Weighting of [`weight`][ferrec.kernels.weight] for the similarity (items are the documents, so that
        ``"tfidf"`` and ``"bm25"`` damp very active users). Histories keep their own weights.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    UserKNN : Recommend what similar users have touched.
    ItemKNNRegressor : Predict ratings from similar items.
    ferrec.kernels.top_k_similar : The kernel.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.ItemKNN(k=10).fit(data).recommend(3)[3]
    [('milk', 0.8164966106414795)]
    """

    search_space: ClassVar[SearchSpace] = {
        "k": Int(10, 1000, log=True),
        "measure": Choice("cosine", "jaccard", "dice"),
        "shrink": Float(0.0, 100.0),
        "weighting": Choice(None, "tfidf", "bm25"),
    }

    def __init__(
        self,
        *,
        k: int = 100,
        measure: str = "cosine",
        shrink: float = 0.0,
        alpha: float | None = None,
        beta: float | None = None,
        weighting: str | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.k = k
        self.measure = measure
        self.shrink = shrink
        self.alpha = alpha
        self.beta = beta
        self.weighting = weighting
        self.n_threads = n_threads

    def _similarity(self, x: _rust.Csr, callback: Callback | None) -> CsrParts:
        x = weighted("data", x, self.weighting, self._threads(), axis="items")
        numbers = {"shrink": self.shrink, "alpha": self.alpha, "beta": self.beta}
        return similar_parts(x, None, self.k, self.measure, "items", self._threads(), callback, **numbers)
