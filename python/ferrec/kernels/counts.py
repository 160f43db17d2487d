"""Kernels that count: k-cores and co-occurrence."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.errors import DataError, checks_keywords
from ferrec.io.progress import bar
from ferrec.kernels.arguments import Progress, as_float, as_int, as_integers, threads
from ferrec.kernels.handles import INT32_MAX, Csr, Matrix, as_csr, to_scipy


@checks_keywords
def k_core(
    x: Matrix, k_users: int = 5, k_items: int | None = None, *, n_threads: int | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who remains when users and items with too few neighbors are taken away until none is left.

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


@checks_keywords
def cooccurrence(
    users: ArrayLike,
    items: ArrayLike,
    times: ArrayLike | None = None,
    *,
    n_items: int | None = None,
    window_size: int | None = None,
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
    window_size
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
    >>> cooccurrence([7, 7, 7], [0, 1, 2], window_size=1).toarray().astype(int).tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    people, columns = as_integers("users", users), as_integers("items", items)
    if columns.size and (columns.min() < 0 or columns.max() >= INT32_MAX):
        raise DataError("items", f"must be in 0 … {INT32_MAX - 1}", (int(columns.min()), int(columns.max())))
    least = int(columns.max()) + 1 if columns.size else 0
    size = least if n_items is None else as_int("n_items", n_items, minimum=least, maximum=INT32_MAX)
    rows, distinct = _rust.encode_ints(people, threads(n_threads))
    when = None if times is None else as_integers("times", times)
    sizes, near = (len(distinct), size), nearness(window_size, max_gap)
    with bar(progress, "cooccurrence") as callback:
        found = _rust.cooccurrence(
            rows, columns.astype(np.int32), when, sizes, near, threads(n_threads), callback
        )
    return to_scipy(found)


def nearness(window_size: int | None, max_gap: int | None) -> tuple[int | None, int | None]:
    """For the compiled kernels, checked."""
    return (
        None if window_size is None else as_int("window_size", window_size, minimum=1),
        None if max_gap is None else as_int("max_gap", max_gap, minimum=0),
    )


@checks_keywords
def shifted_ppmi(
    counts: Matrix, *, shift: float = 1.0, context_smoothing: float = 0.75, n_threads: int | None = None
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
    context_smoothing
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
    >>> shifted_ppmi(counts, context_smoothing=1.0).toarray()[2].astype(float).round(3).tolist()
    [0.0, 0.0, 0.0, 1.792]
    """
    handle, s = as_csr(counts, "counts"), as_float("context_smoothing", context_smoothing)
    return to_scipy(_rust.shifted_ppmi(handle, as_float("shift", shift), s, threads(n_threads)))
