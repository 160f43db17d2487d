"""Weightings of the values: tf-idf, BM25 and their kin."""

from typing import Literal

from ferrec import _rust
from ferrec.errors import checks_keywords
from ferrec.kernels.arguments import as_float, one_of, threads
from ferrec.kernels.handles import Csr, Matrix, as_csr, to_scipy

_BM25 = (1.2, 0.75, 1.0)
"""k1, b, delta."""


@checks_keywords
def weight(
    x: Matrix,
    weighting: str,
    *,
    axis: Literal["users", "items"] = "users",
    k1: float = _BM25[0],
    b: float = _BM25[1],
    delta: float = _BM25[2],
    reference: Matrix | None = None,
    n_threads: int | None = None,
) -> Csr:
    """Re-weights the stored values; the pattern stays.

    Parameters
    ----------
    x
        Sparse matrix, users × items.
    weighting
        ==============  ===================================================================================
        ``tfidf``       x (ln((1 + n) / (1 + df)) + 1), as scikit-learn's `TfidfTransformer(norm=None)`
        ``bm25``        idf · x (k1 + 1) / (x + k1 (1 − b + b · len / mean len)),
                        idf = ln(1 + (n − df + ½) / (df + ½)) (Robertson & Zaragoza, 2009)
        ``bm25+``       the same plus idf · delta (Lv & Zhai, CIKM 2011)
        ``log``         ln(1 + x)
        ``sqrt``        √x
        ``binary``      1
        ``l1``          x / Σ|x|
        ``l2``          x / ‖x‖
        ``max``         x / max|x|
        ==============  ===================================================================================
    axis
        For ``tfidf`` and BM25: which side are the documents (n of them); the other side are the terms, df the
        number of documents a term is in. ``"items"`` damps active users, which is what item-item similarity
        wants. For ``l1``, ``l2``, ``max``: whose vectors are normalized.
    k1, b, delta
        Parameters of BM25.
    reference
        Take frequencies and the mean length from this matrix (other users × the same items) instead of `x`,
        so that new users are weighted as the known ones were; only with ``axis="users"``.
    n_threads
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    csr_array
        float32, the shape and pattern of `x` with sorted rows.

    Raises
    ------
    ValueError, TypeError
        An unknown weighting, a parameter out of range, or negative values where the formula allows none.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import weight
    >>> x = sp.csr_array(np.array([[3.0, 4.0]], dtype=np.float32))
    >>> weight(x, "l2").data.astype(float).round(4).tolist()
    [0.6, 0.8]
    """
    one_of("axis", axis, ("users", "items"))
    one_of("weighting", weighting, _rust.weightings)
    handle = as_csr(x)
    base = None if reference is None else as_csr(reference, "reference")
    bm25 = (as_float("k1", k1), as_float("b", b), as_float("delta", delta))
    values = _rust.weight("x", handle, weighting, axis == "items", bm25, base, threads(n_threads))
    indptr, indices, _ = handle.parts()
    return to_scipy((indptr, indices.copy(), values), handle.shape)


def weighted(
    name: str,
    x: _rust.Csr,
    weighting: str | None,
    n_threads: int,
    *,
    axis: Literal["users", "items"] = "users",
    reference: _rust.Csr | None = None,
) -> _rust.Csr:
    """A model's matrix, which errors call `name`, by its `weighting`, if it has one."""
    if weighting is None:
        return x
    one_of("weighting", weighting, _rust.weightings)
    values = _rust.weight(name, x, weighting, axis == "items", _BM25, reference, n_threads)
    indptr, indices, _ = x.parts()
    return _rust.Csr(indptr, indices, values, x.shape[1], name=name)
