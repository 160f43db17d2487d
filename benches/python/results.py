"""Whether two engines found the same: rankings normalized, then compared up to ties."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

RELATIVE = 1e-4  # engines sum in float32 or float64, in different orders
DRIFT = 1e-3  # beyond this it is not rounding: sparse_dot_topn's float32 sums of 65,000 terms are off by 2e-4
ABSOLUTE = 1e-6


@dataclass(frozen=True)
class Ranking:
    """Rows of (id, score), by score descending, ties by id; ragged, no padding."""

    indptr: NDArray[np.int64]
    ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    n_cols: int

    def top(self, k: int) -> "Ranking":
        counts = np.diff(self.indptr)
        kept = np.arange(self.ids.size) - np.repeat(self.indptr[:-1], counts) < k
        indptr = np.concatenate([[0], np.cumsum(np.minimum(counts, k))])
        return Ranking(indptr, self.ids[kept], self.scores[kept], self.n_cols)

    def keys(self) -> NDArray[np.int64]:
        """Cell numbers row · n_cols + id, in the order of `ids`."""
        return np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr)) * self.n_cols + self.ids


def ranking(result: Any, n_cols: int, k: int, *, square: bool) -> Ranking:
    """An engine's answer without what only some of them return.

    `result` is a sparse matrix or (ids, scores) with padding. Left out: the entity itself (`square`), padding
    and excluded items that come back with a score of 0 or −3.4e38 (all true scores here are positive), and
    what is more than `k`.
    """
    if sp.issparse(result):
        result = result.tocsr()
        rows = np.repeat(np.arange(result.shape[0], dtype=np.int32), np.diff(result.indptr))
        ids, scores, n_rows = result.indices, result.data, result.shape[0]
    else:
        ids, scores = (np.asarray(part) for part in result)
        n_rows = ids.shape[0]
        rows = np.repeat(np.arange(n_rows, dtype=np.int32), ids.shape[1])
        ids, scores = ids.ravel(), scores.ravel()
    kept = (scores > 0) & (ids >= 0)
    if square:
        kept &= ids != rows
    rows, ids, scores = rows[kept], ids[kept].astype(np.int32), scores[kept].astype(np.float32)
    order = np.lexsort((ids, -scores, rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
    return Ranking(indptr, ids[order], scores[order], n_cols).top(k)


def is_best_first(result: sp.csr_array, k: int) -> bool:
    """ferrec's promise: at most k entries a row, scores never rising."""
    falls = result.data[1:] <= result.data[:-1]
    starts = result.indptr[1:-1]
    falls[starts[(starts > 0) & (starts < result.nnz)] - 1] = True
    return bool(falls.all()) and int(np.diff(result.indptr).max(initial=0)) <= k


def differing_rows(ours: Ranking, theirs: Ranking, k: int, relative: float = RELATIVE) -> int:
    """How many rows are not the same up to ties and rounding.

    The same means: as many entries; the i-th best scores agree; an id that both hold has the same score; and
    an id that only one holds is tied with the last of a full row, where any of the tied is right.
    Scores agree within the `relative` tolerance.
    """
    if ours.indptr.size != theirs.indptr.size:
        raise ValueError(f"{ours.indptr.size - 1} rows against {theirs.indptr.size - 1}")
    n_rows = ours.indptr.size - 1
    counts = np.diff(ours.indptr)
    differs = counts != np.diff(theirs.indptr)

    # i-th best scores, over the rows of equal length
    rows = np.arange(n_rows).repeat(counts)
    place = np.arange(ours.ids.size) - ours.indptr[:-1].repeat(counts)
    same_length = ~differs[rows]
    other = theirs.scores[(theirs.indptr[:-1][rows] + place)[same_length]]
    differs[rows[same_length][~_close(ours.scores[same_length], other, relative)]] = True

    # ids that only one of them holds, and scores of the others
    for a, b in ((ours, theirs), (theirs, ours)):
        keys = b.keys()
        order = np.argsort(keys)
        keys = keys[order]
        wanted = a.keys()
        at = np.searchsorted(keys, wanted)
        found = at < keys.size
        found[found] = keys[at[found]] == wanted[found]
        a_rows = np.arange(n_rows).repeat(np.diff(a.indptr))
        wrong = np.zeros(found.size, dtype=bool)
        wrong[found] = ~_close(a.scores[found], b.scores[order[at[found]]], relative)
        last = np.full(n_rows, np.inf, dtype=np.float32)
        full = np.diff(b.indptr) == k
        last[full] = b.scores[b.indptr[1:][full] - 1]
        wrong[~found] = ~_close(a.scores[~found], last[a_rows[~found]], relative)
        differs[a_rows[wrong]] = True
    return int(differs.sum())


def _close(a: NDArray[np.float32], b: NDArray[np.float32], relative: float) -> NDArray[np.bool_]:
    return np.isclose(a, b, rtol=relative, atol=ABSOLUTE)
