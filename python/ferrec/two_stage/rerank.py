"""Re-ranking: lists that are not only relevant, but also diverse, or true to the tastes of the user."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.data.attributes import Shares, shares
from ferrec.data.candidates import Candidates
from ferrec.data.recommendations import Recommendations
from ferrec.errors import DataError, ParameterError, ParameterTypeError, ShapeError, checks_keywords, publish
from ferrec.io.arrays import unit_vectors
from ferrec.kernels.arguments import as_float, as_int, threads
from ferrec.kernels.handles import Matrix, as_csr

__all__ = ["calibrate", "mmr"]

publish(__name__, "ferrec.rerank")


@checks_keywords
def mmr(
    candidates: Candidates,
    scores: ArrayLike,
    n: int = 10,
    *,
    vectors: ArrayLike | None = None,
    similarity: Matrix | None = None,
    strength: float = 0.3,
    n_threads: int | None = None,
) -> Recommendations:
    """Diverse lists: maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998).

    The first item is the one with the best score; each further one has the greatest
    ``(1 - strength) · relevance - strength · likeness``, where the relevance is the score brought to 0 … 1 among
    the candidates of the query, and the likeness is the greatest with any item before it.

    Parameters
    ----------
    candidates : Candidates
        The pairs to choose from.
    scores : array-like of float, shape (len(candidates),)
        A ranker's, finite.
    n : int
        Items for each query, at least 1.
    vectors : array-like of float, shape (n_items, d), optional
        A vector for each item of the catalog; items are alike by the cosine.
    similarity : sparse matrix, shape (n_items, n_items), optional
        Instead of `vectors`: row j holds the items that are like j, as
        [`top_k_similar`][ferrec.kernels.top_k_similar] gives them; all others have likeness 0.
    strength : float in [0, 1]
        0 leaves the order of the scores, 1 looks at nothing but diversity after the first item.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Returns
    -------
    Recommendations
        In the new order, with the scores given, which therefore need not fall. Among equals the more relevant comes
        first, and then the order of the items decides.

    Raises
    ------
    ValueError, TypeError
        Neither or both of `vectors` and `similarity` are given, one has another shape, or an argument makes no
        sense.

    Examples
    --------
    >>> import ferrec, numpy as np
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "chai"])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(3, exclude_seen=False)
    >>> pairs.items.decode(pairs.codes).tolist()
    ['chai', 'jam', 'milk', 'tea']
    >>> vectors = np.array([[1, 0.1], [0, 1], [-1, 0], [1, 0]])
    >>> mmr(pairs, [0.9, 0.2, 0.3, 1.0], n=2, vectors=vectors, strength=0.5).to_lists()
    {3: ['tea', 'milk']}
    """
    n, strength = as_int("n", n, minimum=1), as_float("strength", strength)
    if not isinstance(candidates, Candidates):
        raise ParameterTypeError("candidates", "expected Candidates", candidates)
    if (vectors is None) == (similarity is None):
        raise ParameterError("vectors, similarity", "give one of them")
    n_items = len(candidates.items)
    near, unit = None, np.empty((0, 0), np.float32)
    if similarity is not None:
        near = as_csr(similarity, "similarity")
        if near.shape != (n_items, n_items):
            raise ShapeError("similarity", f"must have shape {(n_items, n_items)}, items × items", near.shape)
    else:
        unit = _unit(vectors, n_items)
    parts = _rust.mmr(
        (candidates.indptr, candidates.codes),
        n_items,
        candidates._scores(scores),
        n,
        near,
        (unit.reshape(-1), *unit.shape),
        strength,
        threads(n_threads),
    )
    return Recommendations(candidates.queries.ids, candidates.items, *parts)


def _unit(vectors: Any, n_items: int) -> NDArray[np.float32]:
    """The vectors with length 1, or 0 where they have none."""
    try:
        table = np.asarray(vectors, np.float64)
    except (TypeError, ValueError):
        raise ParameterTypeError("vectors", "expected numbers", vectors) from None
    if table.ndim != 2 or len(table) != n_items:
        raise ShapeError("vectors", f"must have {n_items} rows, one for each item", table.shape)
    wrong = ~np.isfinite(table).all(axis=1)
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError("vectors", "must be finite", table[at][~np.isfinite(table[at])][0], place={"row": at})
    return unit_vectors(table)


@checks_keywords
def calibrate(
    candidates: Candidates,
    scores: ArrayLike,
    n: int = 10,
    *,
    categories: Shares,
    strength: float = 0.5,
    smoothing: float = 0.01,
    n_threads: int | None = None,
) -> Recommendations:
    """Lists in which each interest of the user has its share: calibrated recommendations (Steck, RecSys 2018).

    Item after item, the list becomes the one with the greatest
    ``(1 - strength) · Σ relevance - strength · KL(p ‖ q)``: p is the distribution of categories over the user's
    history, every item counted once, and q that over the list, of which the part `smoothing` is replaced by p. The
    relevance is the score brought to 0 … 1 among the candidates of the query.

    Parameters
    ----------
    candidates : Candidates
        The pairs to choose from; their queries bring the histories.
    scores, n, n_threads
        As in `mmr`.
    categories : Categories, Lists, or sparse matrix of shape (n_items, n_categories)
        What the items are: a column of `Interactions.item_table`, or a matrix of weights that are not negative. An
        item in several categories counts for each in proportion.
    strength : float in [0, 1]
        0 leaves the order of the scores, 1 looks at nothing but the categories.
    smoothing : float in (0, 1)
        Keeps the divergence finite where a category is not in the list yet.

    Returns
    -------
    Recommendations
        In the new order, with the scores given, which therefore need not fall. A query whose history has no
        category keeps the order of its scores.

    Raises
    ------
    DataError
        `categories` does not fit the items, or has negative weights.
    ValueError, TypeError
        An argument makes no sense.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3, 3], ["tea", "jam", "chai", "mint", "rye", "chai"])
    >>> kinds = {"item_id": ["chai", "jam", "mint", "rye", "tea"], "kind": ["hot", "food", "hot", "food", "hot"]}
    >>> data = data.with_items(kinds)
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(1)
    >>> pairs.items.decode(pairs.codes).tolist()
    ['chai', 'mint', 'rye']
    >>> calibrate(pairs, [1.0, 0.9, 0.0], n=2, categories=data.item_table["kind"]).to_lists()
    {1: ['chai', 'rye']}
    """
    if not isinstance(candidates, Candidates):
        raise ParameterTypeError("candidates", "expected Candidates", candidates)
    n, strength = as_int("n", n, minimum=1), as_float("strength", strength)
    parts = _rust.calibrate(
        (candidates.indptr, candidates.codes),
        candidates._scores(scores),
        n,
        candidates.queries.history,
        shares(categories, len(candidates.items)),
        strength,
        as_float("smoothing", smoothing),
        threads(n_threads),
    )
    return Recommendations(candidates.queries.ids, candidates.items, *parts)
