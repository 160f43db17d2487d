"""Made-up interactions with the skew of real ones, for benchmarks, tests and examples."""

from typing import TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec.errors import ParameterError, checks_keywords
from ferrec.kernels.arguments import as_int

__all__ = ["synthetic"]

Csr: TypeAlias = "scipy.sparse.csr_array[np.float32, tuple[int, int]]"
Floats: TypeAlias = NDArray[np.float64]
Keys: TypeAlias = NDArray[np.int64]
"""Sorted cells of the matrix: user · n_items + item."""

# Chosen so that at the shapes of MovieLens-1M and -20M the most popular item has about as many users as
# there: 3,386 of 6,040 (MovieLens: 3,428), 65,221 of 138,493 (67,310).
_ACTIVITY_SIGMA = 1.0
_POPULARITY_EXPONENT = 1.5
_POPULARITY_OFFSET = 100.0

_INT32_MAX = np.iinfo(np.int32).max


@checks_keywords
def synthetic(n_users: int, n_items: int, nnz: int, *, seed: int = 0, with_ratings: bool = True) -> Csr:
    """Random interactions: log-normal user activity, Zipf-like item popularity, no pair twice.

    Pairs are drawn one after another, each new one with probability proportional to its user's activity times
    its item's popularity. Activities are log-normal with σ = 1; the r-th most popular item has weight
    ``(r + q)^-1.5`` with q = min(100, n_items / 10) (Zipf–Mandelbrot). Neither follows the order of the ids.
    20 M pairs take a few seconds and about 1 GB.

    Parameters
    ----------
    n_users, n_items
        Shape of the matrix, at least 1 each.
    nnz
        Number of pairs, exactly; from 0 to ``n_users * n_items``. Some users or items may get none.
    seed
        The same seed gives the same matrix, at least 0.
    with_ratings
        True: values 0.5, 1.0 … 5.0, normal around 3.5 plus a bias for each user and item.
        False: all 1, on the same pairs.

    Returns
    -------
    csr_array
        float32, users × items; int32 indices, sorted in each row.

    Raises
    ------
    ValueError, TypeError
        A number is out of its range or not an integer.

    Examples
    --------
    >>> from ferrec.datasets import synthetic
    >>> x = synthetic(100, 50, 1000, seed=1)
    >>> x.shape, x.nnz, str(x.dtype), float(x.data.min()) >= 0.5, float(x.data.max()) <= 5
    ((100, 50), 1000, 'float32', True, True)
    >>> (x != synthetic(100, 50, 1000, seed=1)).nnz
    0
    >>> synthetic(100, 50, 1000, seed=1, with_ratings=False).data.max()
    np.float32(1.0)
    """
    n_users = as_int("n_users", n_users, minimum=1)
    n_items = as_int("n_items", n_items, minimum=1)
    nnz = as_int("nnz", nnz, minimum=0)
    n_cells = n_users * n_items
    if max(n_users, n_items, nnz) > _INT32_MAX:
        raise ParameterError(
            "n_users, n_items, nnz", f"must be at most {_INT32_MAX}", (n_users, n_items, nnz)
        )
    if nnz > n_cells:
        raise ParameterError("nnz", f"must be at most n_users * n_items = {n_cells}", nnz)
    rng = np.random.default_rng(as_int("seed", seed, minimum=0))

    activity = rng.lognormal(sigma=_ACTIVITY_SIGMA, size=n_users)
    offset = min(_POPULARITY_OFFSET, n_items / 10)
    popularity = rng.permutation((np.arange(1, n_items + 1) + offset) ** -_POPULARITY_EXPONENT)
    activity /= activity.sum()
    popularity /= popularity.sum()

    # Drawing with repetition and dropping the repeats is the same law, and quick until most cells are taken.
    draw = _draw_race if n_cells <= 8 * nnz else _draw_distinct
    cells = draw(rng, activity, popularity, nnz)
    indptr = np.searchsorted(cells, np.arange(n_users + 1) * np.int64(n_items))
    items = (cells % n_items).astype(np.int32)
    if with_ratings:
        users = np.repeat(np.arange(n_users, dtype=np.int32), np.diff(indptr))
        values = _rate(rng, users, items, n_users, n_items)
    else:
        values = np.ones(nnz, dtype=np.float32)
    return scipy.sparse.csr_array((values, items, indptr.astype(np.int32)), shape=(n_users, n_items))


def _draw_distinct(rng: np.random.Generator, activity: Floats, popularity: Floats, nnz: int) -> Keys:
    """Draws as many pairs as are missing, drops those it has, and repeats: never a pair too many."""
    cells = np.empty(0, dtype=np.int64)
    while cells.size < nnz:
        missing = nnz - cells.size
        # Counts of each side, spread over the pairs at random: the same law as drawing them one by one.
        users = np.repeat(np.arange(activity.size), rng.multinomial(missing, activity))
        items = np.repeat(np.arange(popularity.size), rng.multinomial(missing, popularity))
        rng.shuffle(items)
        drawn = users * popularity.size + items
        drawn.sort()
        cells = np.concatenate([cells, drawn])
        cells.sort(kind="stable")  # merges the two sorted runs
        cells = cells[np.diff(cells, prepend=-1) > 0]
    return cells


def _draw_race(rng: np.random.Generator, activity: Floats, popularity: Floats, nnz: int) -> Keys:
    """The nnz cells whose exponential clocks ring first (Efraimidis & Spirakis, IPL 2006)."""
    clocks = rng.standard_exponential((activity.size, popularity.size))
    clocks /= activity[:, None]
    clocks /= popularity
    first = np.argpartition(clocks.ravel(), max(nnz - 1, 0))[:nnz].astype(np.int64)
    first.sort()
    return first


def _rate(
    rng: np.random.Generator, users: NDArray[np.int32], items: NDArray[np.int32], n_users: int, n_items: int
) -> NDArray[np.float32]:
    """Ratings from 0.5 to 5 in halves: 3.5, plus a bias of the user and of the item, plus noise."""
    user_bias = rng.normal(scale=0.45, size=n_users).astype(np.float32)
    item_bias = rng.normal(scale=0.5, size=n_items).astype(np.float32)
    values = rng.standard_normal(items.size, dtype=np.float32)
    values *= 0.9
    values += 3.5
    values += user_bias[users]
    values += item_bias[items]
    values *= 2
    np.rint(values, out=values)
    values /= 2
    return np.clip(values, 0.5, 5.0, out=values)
