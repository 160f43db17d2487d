"""The kernels over SciPy matrices: no ids, no state.

A matrix is always users × items. Whatever ranks returns a `csr_array` whose rows are **best first** (so its
column indices are not sorted) and hold at most k entries: fewer where fewer exist; never padding, NaN or an
excluded column. Ties are broken by the smaller column. Inputs are never changed. Results are the same bits for
any `n_threads`. The GIL is free while a kernel runs, and Ctrl-C stops it.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec._memory import require
from ferrec._progress import Callback, bar
from ferrec._tables import FLOAT32, INT32, INT64, is_flat

__all__ = [
    "SVD",
    "ALSFactors",
    "als",
    "cooccurrence",
    "k_core",
    "ranking_metrics",
    "shifted_ppmi",
    "top_k_factors",
    "top_k_neighbors",
    "top_k_product",
    "top_k_similar",
    "truncated_svd",
    "weight",
]

Matrix: TypeAlias = Any
"""A SciPy sparse matrix or array in any format (CSR costs nothing), or a `_rust.Csr`."""
Progress: TypeAlias = bool | Callback
Csr: TypeAlias = "scipy.sparse.csr_array[np.float32, tuple[int, int]]"

CsrParts: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
"""`(indptr, indices, data)` of a compiled kernel's answer."""
Lists: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], int]
"""Ranked lists: `(indptr, columns best first, number of columns there are)`."""

_BM25 = (1.2, 0.75, 1.0)
"""k1, b, delta."""
_INT32_MAX = np.iinfo(np.int32).max
_MOST_THREADS = 4096  # each has a stack and a row of scores; more is a slip, not a machine


@dataclass(frozen=True)
class Filter:
    """What may not, or only may, be recommended; read by the compiled kernels."""

    exclude: Sequence[_rust.Csr] = ()
    allow: _rust.Csr | None = None
    allowed: NDArray[np.bool_] | None = None
    threshold: float | None = None


def as_csr(x: Matrix, name: str = "x") -> _rust.Csr:
    """A validated handle to a SciPy matrix, without copying where it is CSR of float32 and int32 already.

    Parameters
    ----------
    x
        SciPy sparse matrix or array. Unsorted rows are sorted and duplicate entries summed, in a copy.
    name
        The argument's name in errors.

    Raises
    ------
    TypeError
        `x` is not a sparse matrix of real numbers.
    ValueError
        A dimension or column id exceeds int32, a value is not finite in float32, or the parts are inconsistent.
    """
    if isinstance(x, _rust.Csr):
        return x
    if not scipy.sparse.issparse(x):
        raise TypeError(
            f"{name}: expected a SciPy sparse matrix, got {type(x).__name__}; wrap it in scipy.sparse.csr_array"
        )
    x = cast(Any, x)
    if len(x.shape) != 2:
        raise ValueError(f"{name}: expected 2 dimensions, got shape {x.shape}")
    if x.format != "csr":
        text = f"{name}: converting {x.format.upper()} to CSR on every call; call .tocsr() once to avoid it"
        warnings.warn(text, scipy.sparse.SparseEfficiencyWarning, stacklevel=3)
        x = x.tocsr()
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, got dtype {x.dtype}")
    if max(x.shape) > _INT32_MAX:
        raise ValueError(f"{name}: shape {x.shape} exceeds {_INT32_MAX} rows or columns")
    indices = _flat(_int32(name, x.indices, x.shape[1]), INT32)
    data = x.data
    if not is_flat(data, FLOAT32):
        with np.errstate(over="ignore"):  # float64 values beyond float32 become inf, which the handle refuses
            data = np.require(data, np.float32, ["C", "A"])
    indptr = _flat(x.indptr.astype(INT64, copy=False), INT64)
    return _rust.Csr(indptr, indices, data, x.shape[1], name=name)


def _flat(array: NDArray[Any], dtype: "np.dtype[Any]") -> NDArray[Any]:
    """The array as the compiled side takes it."""
    return array if is_flat(array, dtype) else np.require(array, dtype, ["C", "A"])


def _int32(name: str, indices: NDArray[Any], n_cols: int) -> NDArray[np.int32]:
    """Column indices as int32, after a look at those that do not fit."""
    if indices.dtype == np.int32:
        return indices
    if indices.size and (indices.max() > _INT32_MAX or indices.min() < 0):
        span = f"{indices.min()} to {indices.max()}"
        raise ValueError(f"{name}: column indices from {span}, but there are {n_cols} columns")
    return indices.astype(np.int32)


def to_scipy(parts: _rust.Csr | CsrParts, shape: tuple[int, int] | None = None) -> Csr:
    """A `csr_array` of a handle (read-only views) or of a kernel's parts, sharing the memory of the values."""
    if isinstance(parts, _rust.Csr):
        shape, parts = parts.shape, parts.parts()
    assert shape is not None
    indptr, indices, data = cast(tuple[Any, Any, Any], parts)
    if indptr[-1] <= _INT32_MAX:
        indptr = indptr.astype(np.int32)  # SciPy wants one index type
    return cast(Csr, scipy.sparse.csr_array((data, indices, indptr), shape=shape))


def as_int(name: str, value: object, *, minimum: int, maximum: int = 2**63 - 1) -> int:
    """The value as an int in the range; TypeError or ValueError names the argument and the value."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name}: must be at least {minimum}, got {value}")
    if value > maximum:
        raise ValueError(f"{name}: must be at most {maximum}, got {value}")
    return int(value)


def as_float(name: str, value: Any) -> float:
    """The value as a float; TypeError or ValueError names the argument and the value."""
    try:
        if isinstance(value, str | bytes | bool):  # float would take them
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, got {value!r}") from None
    except OverflowError:
        raise ValueError(f"{name}: exceeds float64, got {value!r}") from None


def as_bool(name: str, value: Any) -> bool:
    """The value if it is True or False; TypeError names the argument and the value otherwise."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def threads(n_threads: int | None) -> int:
    """The number for the compiled side: 0 stands for what CPU affinity and cgroup quota allow."""
    return 0 if n_threads is None else as_int("n_threads", n_threads, minimum=1, maximum=_MOST_THREADS)


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """The value if it is one of the allowed strings; ValueError names them otherwise."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def column_filter(
    n_cols: int,
    exclude: "Matrix | ArrayLike | None",
    allow: "Matrix | ArrayLike | None",
    threshold: float | None,
) -> Filter:
    """A [`Filter`] from what the kernels accept: a matrix is row by row, a list of columns is for every row."""
    lists, allowed, allow_rows = [], None, None
    if exclude is not None:
        if scipy.sparse.issparse(exclude) or isinstance(exclude, _rust.Csr):
            lists.append(as_csr(exclude, "exclude"))
        else:
            allowed = ~_mask("exclude", exclude, n_cols)
    if allow is not None:
        if scipy.sparse.issparse(allow) or isinstance(allow, _rust.Csr):
            allow_rows = as_csr(allow, "allow")
        else:
            mask = _mask("allow", allow, n_cols)
            allowed = mask if allowed is None else allowed & mask
    return Filter(lists, allow_rows, allowed, _optional("threshold", threshold))


def _optional(name: str, value: float | None) -> float | None:
    return None if value is None else as_float(name, value)


def _mask(name: str, columns: "ArrayLike", n_cols: int) -> NDArray[np.bool_]:
    array = np.asarray(columns)
    if array.size == 0:
        return np.zeros(n_cols, dtype=np.bool_)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected a sparse matrix or a list of column numbers, got {columns!r}")
    if array.min() < 0 or array.max() >= n_cols:
        raise ValueError(f"{name}: columns from {array.min()} to {array.max()}, but there are {n_cols}")
    mask = np.zeros(n_cols, dtype=np.bool_)
    mask[array] = True
    return mask


def top_k_similar(
    x: Matrix,
    k: int = 100,
    *,
    measure: str = "cosine",
    axis: Literal["items", "users"] = "items",
    shrink: float = 0.0,
    alpha: float | None = None,
    beta: float | None = None,
    threshold: float | None = None,
    queries: Matrix | None = None,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Csr:
    """The k most similar items (or users) of every item (or user), itself left out.

    Parameters
    ----------
    x
        Sparse matrix, users × items, real numbers (computed in float32).
    k
        Neighbours kept, at least 1.
    measure
        With s = Σ x·y over the common entries, n the number of entries, N the number of users (for
        ``axis="users"`` of items):

        ========================= ==================================================================
        ``cosine``                s / (‖x‖ ‖y‖)
        ``dot``                   s
        ``cocount``               n(i∩j)
        ``jaccard``               n(i∩j) / n(i∪j)
        ``dice``                  2 n(i∩j) / (n(i) + n(j))
        ``tversky``               n(i∩j) / (n(i∩j) + α n(i∖j) + β n(j∖i)); α = β = 1
        ``asymmetric_cosine``     s / (‖x‖^2α ‖y‖^2(1−α)); α = 0.5 (Aiolli, RecSys 2013)
        ``adjusted_cosine``       cosine after subtracting the user's mean (for users: the item's)
                                  (Sarwar et al., WWW 2001)
        ``pearson``               cosine after subtracting the item's own mean (for users: the user's)
        ``conditional_probability`` n(i∩j) / (n(i) n(j)^α); α = 0 (Deshpande & Karypis, TOIS 2004)
        ``lift``                  N n(i∩j) / (n(i) n(j))
        ``p3alpha``               Σ (x_ui/Σ_u x_ui)^α (x_uj/Σ_j x_uj)^α; α = 1 (Cooper et al., WWW 2014)
        ``rp3beta``               p3alpha / n(j)^β; α = 1, β = 0.5 (Paudel et al., TiiS 2017)
        ========================= ==================================================================

        The counts n ignore values. Stored zeros count as absent, except in ``adjusted_cosine`` and
        ``pearson``, where a zero is a rating. Row i of the answer holds the j. Without `queries`, sums of
        counts and of values that are multiples (up to 127) of a common step, as ratings are, are exact
        integers; others are float32. A cosine may exceed 1 in its last digit, and values so small that their
        products vanish in float32 (below about 1e-19) have no similarity; scale such values up.
    axis
        Compare the columns (``"items"``) or the rows (``"users"``).
    shrink
        Added to the denominator, at least 0: pulls similarities that rest on few entries towards 0.
    alpha, beta
        Parameters of the measures that have them; refused elsewhere.
    threshold
        Keep only similarities above it. By default all that are not 0, negative ones too.
    queries
        Compare these rows with the entities of `x` instead: for ``axis="users"`` other users × items, for
        ``axis="items"`` other items × users. Nothing is left out then.
    n_threads
        Threads; by default what CPU affinity and cgroup quota allow.
    progress
        True draws a bar (extra ``progress``); a callable gets ``(done, total)`` a few times a second, and at the
        end.

    Returns
    -------
    csr_array
        float32, entities (or queries) × entities; rows best first.

    Raises
    ------
    ValueError, TypeError
        An argument makes no sense, `x` has non-finite values, or the shapes do not fit; the text says which.
    MemoryError
        There is no room for an answer of so many entries.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import top_k_similar
    >>> x = sp.csr_array(np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=np.float32))
    >>> near = top_k_similar(x, k=1)
    >>> near.indices.tolist(), near.data.round(3).tolist()
    ([1, 0, 0], [1.0, 1.0, 0.5])
    """
    one_of("axis", axis, ("items", "users"))
    handle = as_csr(x)
    others = None if queries is None else as_csr(queries, "queries")
    numbers = {"shrink": shrink, "alpha": alpha, "beta": beta, "threshold": threshold}
    with bar(progress, "similar") as callback:
        parts = similar_parts(handle, others, k, measure, axis, threads(n_threads), callback, **numbers)
    n = handle.shape[1] if axis == "items" else handle.shape[0]
    return to_scipy(parts, (n if others is None else others.shape[0], n))


def similar_parts(
    x: _rust.Csr,
    queries: _rust.Csr | None,
    k: int,
    measure: str,
    axis: Literal["items", "users"],
    n_threads: int,
    callback: Callback | None,
    *,
    shrink: float | None = 0.0,
    alpha: float | None = None,
    beta: float | None = None,
    threshold: float | None = None,
) -> CsrParts:
    """What `top_k_similar` and the models ask of the compiled kernel, every argument checked."""
    k = as_int("k", k, minimum=1)
    one_of("measure", measure, _rust.measures)
    damping, least = as_float("shrink", shrink), _optional("threshold", threshold)
    parameters = _optional("alpha", alpha), _optional("beta", beta)
    return _rust.top_k_similar(x, queries, k, measure, axis, damping, *parameters, least, n_threads, callback)


def top_k_product(
    a: Matrix,
    b: Matrix,
    k: int,
    *,
    threshold: float | None = None,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Csr:
    """The k greatest entries of every row of `a @ b`, without ever holding the product.

    Parameters
    ----------
    a, b
        Sparse matrices, n × m and m × p, computed in float32.
    k
        Entries kept of each row, at least 1.
    threshold
        Keep only entries above it. By default all that are not 0.
    n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    csr_array
        float32, n × p; rows best first.

    Raises
    ------
    ValueError, TypeError
        The shapes do not fit, or an argument makes no sense.
    MemoryError
        There is no room for an answer of so many entries.

    Examples
    --------
    String matching: the closest of a list of names for each query, by TF-IDF of character 3-grams.

    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import top_k_product
    >>> queries = sp.csr_array(np.array([[0.6, 0.8, 0.0]], dtype=np.float32))
    >>> names = sp.csr_array(np.array([[1.0, 0.0, 0.0], [0.0, 0.8, 0.6]], dtype=np.float32))
    >>> best = top_k_product(queries, names.T.tocsr(), k=1, threshold=0.5)
    >>> best.indices.tolist(), round(float(best.data[0]), 4)
    ([1], 0.64)
    """
    k = as_int("k", k, minimum=1)
    left, right = as_csr(a, "a"), as_csr(b, "b")
    chosen = Filter(threshold=_optional("threshold", threshold))
    with bar(progress, "product") as callback:
        parts = _rust.top_k_product(left, right, k, chosen, ("a", "b"), threads(n_threads), callback)
    return to_scipy(parts, (left.shape[0], right.shape[1]))


def top_k_neighbors(
    history: Matrix,
    similarity: Matrix,
    k: int,
    *,
    exclude: "Matrix | ArrayLike | None" = None,
    allow: "Matrix | ArrayLike | None" = None,
    threshold: float | None = None,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Csr:
    """The k best items of every row of `history @ similarity`: neighbourhood recommendations for everybody.

    Parameters
    ----------
    history
        Queries × items: what each has touched, and how much.
    similarity
        Items × items: row i holds the items that i speaks for, as `top_k_similar` returns it.
    k
        Items kept for each query, at least 1.
    exclude, allow
        What may not, or only may, be in the answer: a sparse matrix of the answer's shape says it row by row
        (its values are ignored; ``exclude=history`` leaves out what was seen), a list of column numbers for
        every row.
    threshold, n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    csr_array
        float32, queries × items; rows best first. Items that score 0 are left out.

    Raises
    ------
    ValueError, TypeError
        The shapes do not fit, or an argument makes no sense.
    MemoryError
        There is no room for an answer of so many entries.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import top_k_neighbors, top_k_similar
    >>> x = sp.csr_array(np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=np.float32))
    >>> recommended = top_k_neighbors(x, top_k_similar(x, k=2), k=2, exclude=x)
    >>> [recommended.indices[a:b].tolist() for a, b in zip(recommended.indptr, recommended.indptr[1:])]
    [[2], [], [0, 1]]
    """
    k = as_int("k", k, minimum=1)
    left, right = as_csr(history, "history"), as_csr(similarity, "similarity")
    # Leaving out the history itself is common, and it has been validated.
    chosen = column_filter(right.shape[1], left if exclude is history else exclude, allow, threshold)
    with bar(progress, "neighbors") as callback:
        parts = _rust.top_k_product(
            left, right, k, chosen, ("history", "similarity"), threads(n_threads), callback
        )
    return to_scipy(parts, (left.shape[0], right.shape[1]))


DenseParts: TypeAlias = tuple[NDArray[np.float32], int, int]
"""A dense matrix for the compiled kernels: its values row after row, and its shape."""


def as_dense(array: "ArrayLike", name: str) -> DenseParts:
    """A dense float32 matrix for the compiled kernels, without copying where it is C-contiguous float32 already.

    Raises
    ------
    TypeError, ValueError
        `array` is no two-dimensional array of real numbers. (That all are finite is checked by the kernels.)
    """
    if scipy.sparse.issparse(array):
        raise TypeError(f"{name}: expected a dense array, got a sparse {type(array).__name__}")
    dense = np.asarray(array)
    if dense.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, got dtype {dense.dtype}")
    if dense.ndim != 2:
        raise ValueError(f"{name}: expected 2 dimensions, got shape {dense.shape}")
    with np.errstate(over="ignore"):  # float64 values beyond float32 become inf, which the kernel refuses
        dense = np.require(dense, np.float32, ["C", "A"])
    return dense.reshape(-1), *dense.shape


def require_lists(n_queries: int, k: int, n_items: int) -> None:
    """Refuse lists that do not fit; small ones are not looked at, which takes longer than to make one."""
    size = 8 * n_queries * min(k, n_items)
    if size > 1 << 30:
        require(f"k: the {k:,} best of {n_items:,} items for {n_queries:,} queries", size, "ask for fewer")


def top_k_factors(
    queries: "ArrayLike",
    items: "ArrayLike",
    k: int,
    *,
    exclude: "Matrix | ArrayLike | None" = None,
    allow: "Matrix | ArrayLike | None" = None,
    threshold: float | None = None,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Csr:
    """The k items with the greatest inner product with each query: exact, without holding `queries @ items.T`.

    Items are visited by falling norm; a query is done when no later item can be long enough (Cauchy–Schwarz; as
    LEMP, Teflioudi et al., SIGMOD 2015), which pays where norms are skewed.

    Parameters
    ----------
    queries, items
        Dense arrays, queries × dimensions and items × dimensions, computed in float32.
    k
        Items kept for each query, at least 1.
    exclude, allow
        As in [`top_k_neighbors`][ferrec.kernels.top_k_neighbors]: a sparse matrix, queries × items, or a list of
        items for every query. Only what `allow` lists is computed.
    threshold
        Keep only inner products above it. By default all that are not exactly 0, negative ones too.
    n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    csr_array
        float32, queries × items; rows best first. A score is the same bits in any batch on one machine.

    Raises
    ------
    ValueError, TypeError
        The shapes do not fit, a value is not finite in float32, or an argument makes no sense.
    MemoryError
        The answer would not fit: 8 bytes for each of the k best of every query.

    Examples
    --------
    >>> import numpy as np
    >>> from ferrec.kernels import top_k_factors
    >>> best = top_k_factors([[1.0, 0.5]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], k=2)
    >>> best.indices.tolist(), best.data.tolist()
    ([2, 0], [1.5, 1.0])
    """
    k = as_int("k", k, minimum=1)
    left, right = as_dense(queries, "queries"), as_dense(items, "items")
    require_lists(left[1], k, right[1])
    chosen = column_filter(right[1], exclude, allow, threshold)
    with bar(progress, "factors") as callback:
        parts = _rust.top_k_factors(left, right, k, chosen, threads(n_threads), callback)
    return to_scipy(parts, (left[1], right[1]))


def weight(
    x: Matrix,
    kind: str,
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
    kind
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
        wants. For ``l1``, ``l2``, ``max``: whose vectors are normalised.
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
        An unknown kind, a parameter out of range, or negative values where the formula allows none.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import weight
    >>> x = sp.csr_array(np.array([[3.0, 4.0]], dtype=np.float32))
    >>> weight(x, "l2").data.astype(float).round(4).tolist()
    [0.6, 0.8]
    """
    one_of("axis", axis, ("users", "items"))
    one_of("kind", kind, _rust.weightings)
    handle = as_csr(x)
    base = None if reference is None else as_csr(reference, "reference")
    bm25 = (as_float("k1", k1), as_float("b", b), as_float("delta", delta))
    values = _rust.weight("x", handle, kind, axis == "items", bm25, base, threads(n_threads))
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


@dataclass(frozen=True, eq=False)
class SVD:
    """The largest singular triplets of a matrix: ``x ≈ u @ diag(s) @ vt`` (plus `means`, if it was centred).

    Attributes
    ----------
    u : ndarray of float32, shape (users, rank)
        Left vectors, orthonormal columns.
    s : ndarray of float32, shape (rank,)
        Singular values, greatest first, all above 0.
    vt : ndarray of float32, shape (rank, items)
        Right vectors, orthonormal rows; the entry of each that is largest in magnitude (the first of equal ones)
        is positive.
    means : ndarray of float64, shape (items,), or None
        What centring subtracted.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import truncated_svd
    >>> svd = truncated_svd(sp.csr_array(np.diag([3.0, 1.0, 2.0])), k=2)
    >>> svd.s.round(4).tolist(), svd.vt.round(4).tolist()
    ([3.0, 2.0], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> svd.transform(sp.csr_array(np.array([[6.0, 0.0, 0.0]]))).round(4).tolist()
    [[2.0, 0.0]]
    """

    u: NDArray[np.float32]
    s: NDArray[np.float32]
    vt: NDArray[np.float32]
    means: NDArray[np.float64] | None = None

    def transform(self, rows: Matrix) -> NDArray[np.float32]:
        """The rows of `u` that new users would have: ``(rows - means) @ vt.T / s``.

        Parameters
        ----------
        rows
            Sparse matrix, new users × the same items.

        Returns
        -------
        ndarray of float32, shape (new users, rank)
            Of a row of the decomposed matrix: its row of `u`, up to the tolerance.

        Raises
        ------
        ValueError, TypeError
            `rows` is not sparse, not finite, or has other columns.
        """
        handle = as_csr(rows, "rows")
        if handle.shape[1] != self.vt.shape[1]:
            raise ValueError(f"rows: has {handle.shape[1]} columns, but the matrix had {self.vt.shape[1]}")
        # In float64: great means leave little of either product.
        known: Any = to_scipy(handle).astype(np.float64)
        back = self.vt.T / self.s.astype(np.float64)
        projected = known @ back
        if self.means is not None:
            projected -= self.means @ back
        return np.asarray(projected, dtype=np.float32)


def truncated_svd(
    x: Matrix,
    k: int,
    *,
    tol: float = 1e-4,
    center: bool = False,
    seed: int = 0,
    n_threads: int | None = None,
    progress: Progress = False,
) -> SVD:
    """The k largest singular values of a sparse matrix and their vectors.

    Block Lanczos with thick restarts on the Gram matrix of the shorter side, which is never formed (Golub &
    Underwood, 1977; Wu & Simon, SIAM J. Matrix Anal. 2000; Chen et al. 2025, arXiv 2508.06486), with full
    reorthogonalisation, followed by a Rayleigh–Ritz step on the matrix itself.

    Parameters
    ----------
    x
        Sparse matrix, users × items, real numbers (read as float32).
    k
        Triplets wanted, at least 1.
    tol
        Accuracy, above 0 and below 1: every singular value is within ``10 * tol`` of the true one, relatively
        (usually far within). Below about 1e-5, and for values below a hundredth of the greatest, the work is
        done in float64.
    center
        Subtract every item's mean first, as for a principal component analysis; `x` stays sparse.
    seed
        Of the random start, in 0 … 2**63 − 1. The result depends on it by no more than `tol`.
    n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar]. Progress counts the triplets that are exact enough.

    Returns
    -------
    SVD
        `u`, `s`, `vt`, with fewer than k triplets where no more exist: singular values below a millionth of the
        greatest are taken for 0 and left out.

    Raises
    ------
    ValueError, TypeError
        An argument makes no sense, `x` has values that are not finite, or a singular value exceeds float32.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from ferrec.kernels import truncated_svd
    >>> x = sp.csr_array([[2.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    >>> svd = truncated_svd(x, k=5)
    >>> svd.s.astype(float).round(4).tolist()
    [2.8284, 1.0]
    """
    k = as_int("k", k, minimum=1)
    seed = as_int("seed", seed, minimum=0)
    tol, center = as_float("tol", tol), as_bool("center", center)
    handle = as_csr(x)
    with bar(progress, "svd") as callback:
        u, s, vt, means = _rust.truncated_svd(handle, k, tol, center, seed, threads(n_threads), callback)
    rank, (n_users, n_items) = len(s), handle.shape
    return SVD(u.reshape(n_users, rank), s, vt.reshape(rank, n_items), means if center else None)


@dataclass(frozen=True, eq=False)
class ALSFactors:
    """Factors of users and items: ``users @ items.T`` is near 1 where the matrix has entries, and near 0 elsewhere.

    Attributes
    ----------
    users : ndarray of float32, shape (users, k)
        Exact, given the items.
    items : ndarray of float32, shape (items, k)
        Of the last pass.
    losses : ndarray of float64, shape (epochs,)
        The objective after each pass; empty unless asked for.
    objective : tuple of float
        `alpha`, `unobserved`, `reg`, `nu`.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import als
    >>> x = sp.csr_array(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32))
    >>> factors = als(x, k=2, reg=0.01)
    >>> np.allclose(factors.transform(x), factors.users, atol=1e-5)
    True
    """

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    losses: NDArray[np.float64]
    objective: tuple[float, float, float, float]

    def transform(self, rows: Matrix, *, n_threads: int | None = None) -> NDArray[np.float32]:
        """The exact factors of new users, given those of the items.

        Parameters
        ----------
        rows
            Sparse matrix, new users × the same items.
        n_threads
            As in [`top_k_similar`][ferrec.kernels.top_k_similar].

        Returns
        -------
        ndarray of float32, shape (new users, k)

        Raises
        ------
        ValueError, TypeError
            `rows` is not sparse, not finite, has negative values, or other columns.
        """
        return self._solve("rows", rows, self.items, n_threads)

    def transform_items(self, columns: Matrix, *, n_threads: int | None = None) -> NDArray[np.float32]:
        """The exact factors of new items, given those of the users.

        Parameters
        ----------
        columns
            Sparse matrix, the same users × new items.
        n_threads
            As in [`top_k_similar`][ferrec.kernels.top_k_similar].

        Returns
        -------
        ndarray of float32, shape (new items, k)

        Raises
        ------
        ValueError, TypeError
            `columns` is not sparse, not finite, has negative values, or other rows.
        """
        if not scipy.sparse.issparse(columns):
            raise TypeError(f"columns: expected a SciPy sparse matrix, got {type(columns).__name__}")
        columns = cast(Any, columns)
        if columns.ndim != 2 or columns.shape[0] != len(self.users):
            raise ValueError(f"columns: has shape {columns.shape}, but there are {len(self.users)} users")
        return self._solve("columns", columns.T.tocsr(), self.users, n_threads)

    def _solve(
        self, name: str, x: Matrix, factors: NDArray[np.float32], n_threads: int | None
    ) -> NDArray[np.float32]:
        handle, dense = as_csr(x, name), as_dense(factors, "factors")
        solved = _rust.fold_in_als(name, handle, dense, self.objective, threads(n_threads))
        return solved.reshape(handle.shape[0], dense[2])


def als_objective(
    alpha: float, unobserved: float, reg: float, nu: float
) -> tuple[float, float, float, float]:
    """For the compiled kernels."""
    return (
        as_float("alpha", alpha),
        as_float("unobserved", unobserved),
        as_float("reg", reg),
        as_float("nu", nu),
    )


def solver_parts(solver: str, cg_steps: int, subspace_size: int) -> tuple[str, int, int]:
    """For the compiled kernels, checked."""
    one_of("solver", solver, ("cg", "cholesky", "ials++"))
    return (
        solver,
        as_int("cg_steps", cg_steps, minimum=1),
        as_int("subspace_size", subspace_size, minimum=1),
    )


def require_factors(what: str, x: _rust.Csr, k: int) -> None:
    """Refuse k values for each row and column, once while they are learned and once to keep, that do not fit."""
    n = sum(x.shape)
    require(f"{what} of {n:,} rows and columns (k={k})", 8 * n * k, "take a smaller k")


def als(
    x: Matrix,
    k: int,
    *,
    alpha: float = 1.0,
    unobserved: float = 1.0,
    reg: float = 0.01,
    nu: float = 0.0,
    solver: str = "cg",
    cg_steps: int = 3,
    subspace_size: int = 32,
    epochs: int = 15,
    seed: int = 0,
    loss: bool = False,
    n_threads: int | None = None,
    progress: Progress = False,
) -> ALSFactors:
    """Factors of implicit feedback by alternating least squares (Hu, Koren & Volinsky, ICDM 2008).

    Minimises ``Σ (alpha · x_ui + unobserved) (1 − p_u·q_i)²`` over the stored entries, plus
    ``unobserved · Σ (p_u·q_i)²`` over all others, plus ``reg · Σ_u (n_u + unobserved · items)^nu |p_u|²`` and the
    same of the items, with n the number of entries. The defaults are the objective of the paper.

    Parameters
    ----------
    x
        Sparse matrix, users × items, values at least 0 (computed in float32); stored zeros count as absent.
    k
        Factors, at least 1.
    alpha, unobserved
        Weight of an entry for each unit of its value, and of every pair; at least 0. To give the weights
        yourself, put what they are above `unobserved` into `x`.
    reg, nu
        Regularisation, and how far it grows with the number of entries: 0 not at all, 1 in proportion (Rendle et
        al., arXiv 2110.14037). At least 0.
    solver
        ``"cg"``: some conjugate gradients from where a vector stands (Takács, Pilászy & Tikk, RecSys 2011);
        ``"cholesky"``: exact; ``"ials++"``: exact in one block of factors after the other (Rendle et al., arXiv
        2110.14044). The last pass over the users is always exact.
    cg_steps
        Steps of ``"cg"``, at least 1.
    subspace_size
        Factors in a block of ``"ials++"``, rounded up to a multiple of 16.
    epochs
        Passes over items and users, at least 1.
    seed
        Of the random start, in 0 … 2**63 − 1.
    loss
        Compute the objective after every pass.
    n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar]. Progress counts rows and columns solved.

    Returns
    -------
    ALSFactors
        `users`, `items`, `losses`; the same bits for any `n_threads`.

    Raises
    ------
    ValueError, TypeError
        An argument makes no sense, or `x` has negative values or such that are not finite.
    MemoryError
        The factors would not fit: 8 bytes for each of the k values of every row and column.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import als
    >>> x = sp.csr_array(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32))
    >>> factors = als(x, k=2, reg=0.01, loss=True)
    >>> (factors.users @ factors.items.T).round(1).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    >>> bool(factors.losses[-1] < factors.losses[0])
    True
    """
    k, epochs = as_int("k", k, minimum=1), as_int("epochs", epochs, minimum=1)
    seed = as_int("seed", seed, minimum=0)
    objective, wanted = als_objective(alpha, unobserved, reg, nu), as_bool("loss", loss)
    parts = solver_parts(solver, cg_steps, subspace_size)
    handle = as_csr(x)
    require_factors("als", handle, k)
    with bar(progress, "als") as callback:
        users, items, losses = _rust.als(
            handle, k, objective, parts, epochs, seed, wanted, threads(n_threads), callback
        )
    return ALSFactors(users.reshape(-1, k), items.reshape(-1, k), losses, objective)


def k_core(
    x: Matrix, k_users: int = 5, k_items: int | None = None, *, n_threads: int | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who remains when users and items with too few neighbours are taken away until none is left.

    Every user of what remains has at least `k_users` of the items that remain, and every item at least
    `k_items` of the users; it is the largest such part, and may be empty. Time and memory grow with the number
    of entries, not with the number of rounds.

    Parameters
    ----------
    x
        Sparse matrix, users × items; every stored entry connects, whatever its value, zeros too.
    k_users
        Items that a user must have, at least 0.
    k_items
        Users that an item must have, at least 0; by default as many.
    n_threads
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    users : ndarray of bool, shape (n_users,)
    items : ndarray of bool, shape (n_items,)
        Which remain; ``x[users][:, items]`` is the core.

    Raises
    ------
    ValueError, TypeError
        An argument makes no sense, or `x` is malformed.

    Notes
    -----
    Batagelj & Zaveršnik, *An O(m) algorithm for cores decomposition of networks* (2003), for two kinds of nodes.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import k_core
    >>> x = sp.csr_array(np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]]))
    >>> k_core(x, 2)
    (array([ True,  True, False]), array([ True,  True, False]))
    """
    k_users = as_int("k_users", k_users, minimum=0)
    k_items = k_users if k_items is None else as_int("k_items", k_items, minimum=0)
    return _rust.k_core(as_csr(x), k_users, k_items, threads(n_threads))


def as_lists(recommended: Csr, n_cols: int) -> Lists:
    """The rows of a kernel's answer as ranked lists over so many columns."""
    if not scipy.sparse.issparse(recommended) or recommended.format != "csr":
        raise TypeError(
            f"recommended: expected a csr_array with best-first rows, got {type(recommended).__name__}"
        )
    indptr = np.ascontiguousarray(recommended.indptr, dtype=np.int64)
    return indptr, np.ascontiguousarray(_int32("recommended", recommended.indices, n_cols)), n_cols


def cooccurrence(
    users: ArrayLike,
    items: ArrayLike,
    times: ArrayLike | None = None,
    *,
    n_items: int | None = None,
    window: int | None = None,
    max_gap: int | None = None,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Csr:
    """How often items occur near each other in what users do.

    Parameters
    ----------
    users
        Integers, shape (n,): whose event it is.
    items
        Integers from 0, shape (n,): with which item.
    times
        Integers, shape (n,): when. Events are ordered by time, equal times (or all events, without `times`) by
        position.
    n_items
        Rows and columns of the answer, above every item. Default: the greatest item and one.
    window
        Two events of a user are near if they are at most so many events apart, at least 1. By default all are.
    max_gap
        A longer pause between two successive events ends a sequence, and no pair reaches across: at least 0, in
        the unit of `times`. By default all events of a user are one sequence.
    n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar]. Progress counts items.

    Returns
    -------
    csr_array
        float32, items × items, symmetric: the number of pairs of near events with these two items. Rows are sorted,
        pairs of an item with itself are left out, and the arrays are read-only. Above 2**24 a count is rounded.

    Raises
    ------
    ValueError, TypeError
        The arrays are no integers or differ in length, or an argument makes no sense.

    Examples
    --------
    >>> from ferrec.kernels import cooccurrence
    >>> cooccurrence([7, 7, 7], [0, 1, 2], window=1).toarray().astype(int).tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    people, columns = _integers("users", users), _integers("items", items)
    if columns.size and (columns.min() < 0 or columns.max() >= _INT32_MAX):
        raise ValueError(f"items: must be in 0 … {_INT32_MAX - 1}, got {columns.min()} to {columns.max()}")
    least = int(columns.max()) + 1 if columns.size else 0
    size = least if n_items is None else as_int("n_items", n_items, minimum=least, maximum=_INT32_MAX)
    rows, distinct = _rust.encode_ints(people, threads(n_threads))
    when = None if times is None else _integers("times", times)
    sizes, near = (len(distinct), size), nearness(window, max_gap)
    with bar(progress, "cooccurrence") as callback:
        found = _rust.cooccurrence(
            rows, columns.astype(np.int32), when, sizes, near, threads(n_threads), callback
        )
    return to_scipy(found)


def _integers(name: str, values: "ArrayLike") -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise TypeError(
            f"{name}: expected integers in one dimension, got {array.dtype} of shape {array.shape}"
        )
    if array.dtype == np.uint64 and array.size and array.max() >= 2**63:
        raise ValueError(f"{name}: must be below 2**63, got {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def nearness(window: int | None, max_gap: int | None) -> tuple[int | None, int | None]:
    """For the compiled kernels, checked."""
    return (
        None if window is None else as_int("window", window, minimum=1),
        None if max_gap is None else as_int("max_gap", max_gap, minimum=0),
    )


def shifted_ppmi(
    counts: Matrix, *, shift: float = 1.0, smoothing: float = 0.75, n_threads: int | None = None
) -> Csr:
    """How much more often than by chance things occur together: shifted positive pointwise mutual information.

    ``max(0, ln(n_ij · Σ_j n_j^s / (n_i · n_j^s)) − ln shift)`` with n_i and n_j the sums of row and column, and s
    the smoothing. Its factors are what skip-gram with `shift` negative samples looks for (Levy & Goldberg, NIPS
    2014; smoothing: Levy, Goldberg & Dagan, TACL 2015).

    Parameters
    ----------
    counts
        Sparse matrix, values at least 0, as [`cooccurrence`][ferrec.kernels.cooccurrence] returns it.
    shift
        Above 0; the greater, the fewer entries are left.
    smoothing
        Exponent of the column sums, in 0 … 1: below 1, rare columns look less special.
    n_threads
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    csr_array
        float32, the shape of `counts`, entries above 0 only; the arrays are read-only.

    Raises
    ------
    ValueError, TypeError
        An argument makes no sense, or a count is negative or not finite.

    Examples
    --------
    >>> from ferrec.kernels import cooccurrence, shifted_ppmi
    >>> counts = cooccurrence([1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 2, 3])
    >>> shifted_ppmi(counts, smoothing=1.0).toarray()[2].astype(float).round(3).tolist()
    [0.0, 0.0, 0.0, 1.792]
    """
    handle, s = as_csr(counts, "counts"), as_float("smoothing", smoothing)
    return to_scipy(_rust.shifted_ppmi(handle, as_float("shift", shift), s, threads(n_threads)))


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
        raise ValueError(f"recommended has shape {recommended.shape} but truth {relevant.shape}")
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
