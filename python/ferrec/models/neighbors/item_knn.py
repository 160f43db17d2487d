"""Item-based neighborhood model."""

from ferrec import _rust
from ferrec.io.progress import Callback
from ferrec.kernels.handles import CsrParts
from ferrec.kernels.similarity import similar_parts
from ferrec.kernels.weights import weighted
from ferrec.models.item_neighbors import ItemNeighbors
from ferrec.models.neighbors.parameters import NeighborParameters


class ItemKNN(NeighborParameters, ItemNeighbors):
    """Recommends what is similar to the user's history (Sarwar et al., WWW 2001; Deshpande & Karypis,
    TOIS 2004).

    The score of item i is the sum over the user's items j of weight(j) · similarity(j, i), where every j speaks
    for its k most similar items.

    Parameters
    ----------
    k : int, default 100
        Neighbors kept for each item.
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
    UserKNN : Recommend what similar users have had.
    ItemKNNRegressor : Predict ratings from similar items.
    ferrec.kernels.top_k_similar : The kernel.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.ItemKNN(k=10).fit(data).recommend(3)[3]
    [('milk', 0.8164966106414795)]
    """

    def _similarity(self, x: _rust.Csr, callback: Callback | None) -> CsrParts:
        x = weighted("data", x, self.weighting, self._threads(), axis="items")
        threads = self._threads()
        return similar_parts(x, None, self.k, self.measure, "items", threads, callback, **self._numbers())
