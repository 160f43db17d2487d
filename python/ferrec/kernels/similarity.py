"""Top-K similarities, products and neighborhood scores."""

from typing import Literal

from numpy.typing import ArrayLike

from ferrec import _rust
from ferrec.errors import checks_keywords
from ferrec.io.progress import Callback, bar
from ferrec.kernels.arguments import Progress, as_float, as_int, one_of, optional_float, threads
from ferrec.kernels.filters import Filter, column_filter
from ferrec.kernels.handles import Csr, CsrParts, Matrix, as_csr, to_scipy


@checks_keywords
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
        Neighbors kept, at least 1.
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
        Added to the denominator, at least 0: pulls similarities that rest on few entries toward 0.
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
    damping, least = as_float("shrink", shrink), optional_float("threshold", threshold)
    parameters = optional_float("alpha", alpha), optional_float("beta", beta)
    return _rust.top_k_similar(x, queries, k, measure, axis, damping, *parameters, least, n_threads, callback)


@checks_keywords
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
    ValueError, TypeError, MemoryError
        As `top_k_similar`.

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
    chosen = Filter(threshold=optional_float("threshold", threshold))
    with bar(progress, "product") as callback:
        parts = _rust.top_k_product(left, right, k, chosen, ("a", "b"), threads(n_threads), callback)
    return to_scipy(parts, (left.shape[0], right.shape[1]))


@checks_keywords
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
    """The k best items of every row of `history @ similarity`: neighborhood recommendations for everybody.

    Parameters
    ----------
    history
        Queries × items: the history of each, and its weights.
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
    ValueError, TypeError, MemoryError
        As `top_k_similar`.

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
