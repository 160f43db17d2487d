"""The kernels over SciPy matrices: no ids, no state.

A matrix is always users × items. Whatever ranks returns a `csr_array` whose rows are **best first** (so its
column indices are not sorted) and hold at most k entries: fewer where fewer exist; never padding, NaN or an
excluded column. Ties are broken by the smaller column. Inputs are never changed. Results are the same bits for
any `n_threads`. The GIL is free while a kernel runs, and Ctrl-C stops it.
"""

from ferrec.errors import publish
from ferrec.kernels.counts import cooccurrence, k_core, shifted_ppmi
from ferrec.kernels.factors import SVD, ALSFactors, als, top_k_factors, truncated_svd
from ferrec.kernels.metrics import ranking_metrics
from ferrec.kernels.planning import Plan, plan
from ferrec.kernels.similarity import top_k_neighbors, top_k_product, top_k_similar
from ferrec.kernels.weights import weight

__all__ = [
    "SVD",
    "ALSFactors",
    "Plan",
    "als",
    "cooccurrence",
    "k_core",
    "plan",
    "ranking_metrics",
    "shifted_ppmi",
    "top_k_factors",
    "top_k_neighbors",
    "top_k_product",
    "top_k_similar",
    "truncated_svd",
    "weight",
]

publish(__name__)
