"""Ranking metrics of lists."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.errors import ParameterTypeError, ShapeError, checks_keywords
from ferrec.kernels.arguments import as_int, threads
from ferrec.kernels.handles import Csr, Matrix, as_csr, as_lists


@checks_keywords
def ranking_metrics(
    recommended: Csr, truth: Matrix, ks: Sequence[int], *, n_threads: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """Ranking metrics per query, in one pass, over all items.

    With h hits among the first k of a list and t true items of n: ``precision`` h/k, ``recall`` h/t, ``f1`` their
    harmonic mean, ``hit_rate`` h > 0, ``accuracy`` (n - t - k + 2h) / n, ``ndcg`` with gains 1 and discount
    log2(rank + 1), ``graded_ndcg`` with the values of `truth` as gains, ``map`` the mean over the t true items of
    the precision where they stand, ``mrr`` 1 / rank of the first hit: the definitions of ranx. A list shorter than
    k counts as filled up with misses.

    Parameters
    ----------
    recommended
        Queries × items, rows best first, as the kernels return it.
    truth
        Queries × items: every stored entry is a true item. Its value matters to ``graded_ndcg`` only, where one
        below 0 counts as 0.
    ks
        Cut-offs, each at least 1.
    n_threads
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    dict
        ``"ndcg@10"`` and so on: float64 arrays with one value for each query that has a true item; ``"rows"``
        (int64): which queries these are; ``"coverage@10"``: an array of one number, the share of all items
        that were recommended to anybody.

    Raises
    ------
    ValueError, TypeError
        The shapes do not fit, a list holds an item twice, or a cut-off is below 1.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import ranking_metrics
    >>> truth = sp.csr_array(np.array([[0, 1, 1]], dtype=np.float32))
    >>> lists = sp.csr_array((np.array([2.0, 1.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    >>> ranking_metrics(lists, truth, [2])["recall@2"].tolist()
    [0.5]
    """
    relevant = as_csr(truth, "truth")
    lists = as_lists(recommended, relevant.shape[1])
    if recommended.shape != relevant.shape:
        raise ShapeError(
            "recommended", f"must have the shape of relevant, {relevant.shape}", recommended.shape
        )
    if isinstance(ks, str) or not isinstance(ks, Iterable):
        raise ParameterTypeError("ks", "expected integers", ks)
    cuts = [as_int("ks", k, minimum=1) for k in ks]
    n_items, pool = relevant.shape[1], threads(n_threads)
    indptr, _, gains = relevant.parts()
    ranks = _rust.hit_ranks(lists, relevant, pool)
    values, rows = _rust.rank_metrics(indptr, ranks, gains, n_items, cuts, pool)
    table = values.reshape(len(rows), len(cuts), len(_rust.metrics))
    exposure = _rust.exposure(lists, cuts, pool).reshape(len(cuts), n_items)
    result: dict[str, NDArray[Any]] = {"rows": rows}
    for at, k in enumerate(cuts):
        for which, name in enumerate(_rust.metrics):
            result[f"{name}@{k}"] = table[:, at, which]
        result[f"coverage@{k}"] = np.array([np.count_nonzero(exposure[at]) / max(n_items, 1)])
    return result


def gini(counts: NDArray[np.integer[Any]]) -> float:
    """Gini index of counts: 0 where all are equal, 1 where one has everything.

    Of n counts in ascending order the index is Σ (2i − n − 1) cᵢ / ((n − 1) Σ cᵢ). The denominator with n − 1,
    where the economists' formula for a whole population has n, makes 1 the greatest value for any n.

    Parameters
    ----------
    counts : ndarray of int, shape (n,)
        At least 0, in any order.

    Returns
    -------
    float
        In [0, 1]; 0 for fewer than two counts, and where all are 0.

    References
    ----------
    Shani & Gunawardana, "Evaluating Recommendation Systems", Recommender Systems Handbook, 2011, 8.3.3.

    Examples
    --------
    >>> import numpy as np
    >>> gini(np.array([3, 3, 3])), gini(np.array([0, 0, 5])), gini(np.array([0, 1, 3]))
    (0.0, 1.0, 0.75)
    """
    n, total = len(counts), int(counts.sum())
    if n < 2 or not total:
        return 0.0
    places = 2.0 * np.arange(1, n + 1) - n - 1
    return float(places @ np.sort(counts)) / ((n - 1) * total)
