"""What each column contributes to a ranker's score: Shapley values, for any ranker.

Štrumbelj & Kononenko, "Explaining prediction models and individual predictions with feature contributions", 2014:
columns are exchanged, one after another in random order, from those of some other pair to those of the explained
one; a column's contribution is how much the score moves at its turn, on average.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec.data.candidates import Candidates
from ferrec.rankers.base import Ranker

_ORDERS = 32
"""Random orders of the columns; each is also taken backwards, which halves the noise or better."""


def contributions(
    ranker: Ranker[Any], pair: Candidates, others: Candidates, seed: int = 0
) -> tuple[float, NDArray[np.float64]]:
    """Why the score of one pair is not the average of others.

    Parameters
    ----------
    ranker : Ranker
        Fitted.
    pair : Candidates
        One pair.
    others : Candidates
        At least one pair, with the same columns: what the pair is compared with. Ids stay those of the pair.
    seed : int
        For the orders, and for which of the others each is compared with.

    Returns
    -------
    base : float
        The average score of the others.
    contributions : ndarray of float64, shape (len(pair.columns),)
        Of each column; with `base` they sum to the score of the pair, but for rounding.
    """
    names = list(pair.columns)
    d, rng = len(names), np.random.default_rng(seed)
    if not d:
        return float(ranker.score(pair)[0]), np.empty(0)
    forwards = np.argsort(rng.random((_ORDERS, d)), axis=1)
    orders = np.concatenate([forwards, forwards[:, ::-1]])
    theirs = others.matrix(names)[np.tile(rng.integers(len(others), size=_ORDERS), 2)]
    turns = np.argsort(orders, axis=1)
    exchanged = np.arange(d + 1)[None, :, None] > turns[:, None, :]
    rows = np.where(exchanged, pair.matrix(names), theirs[:, None, :]).reshape(-1, d)
    scores = ranker.score(_alike(pair, names, rows)).reshape(len(orders), d + 1).astype(np.float64)
    moved = np.empty((len(orders), d))
    np.put_along_axis(moved, orders, np.diff(scores, axis=1), axis=1)
    return float(scores[:, 0].mean()), moved.mean(axis=0)


def _alike(pair: Candidates, names: list[str], rows: NDArray[np.float32]) -> Candidates:
    """Pairs of the same user and item with other columns."""
    n = len(rows)
    queries = pair.queries.take(np.zeros(n, np.int32))
    columns = {name: np.ascontiguousarray(rows[:, at]) for at, name in enumerate(names)}
    return Candidates(queries, pair.items, np.arange(n + 1), np.repeat(pair.codes, n), columns)
