"""Linear item-item model in closed form."""

import os
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec._progress import Callback
from ferrec.kernels import CsrParts, as_float, as_int
from ferrec.models._item_neighbors import ItemNeighbors
from ferrec.search_space import Float, SearchSpace

_BLOCK = 512
_GIB = 1 << 30


class EASE(ItemNeighbors):
    """Recommends by the item-item weights that predict the users' histories best, no item predicting itself
    (Steck, WWW 2019).

    With P the inverse of XᵀX + reg · I, the weight of item j for item i is −P[j, i] / P[i, i], and the score of i
    is the sum over the user's items j of weight(j) · that. The inverse is computed in float64 and in place.

    Parameters
    ----------
    reg : float, default 500
        Added to the diagonal, above 0: the more, the closer the weights are to the co-occurrence counts.
    k : int, optional
        Keep for each item only the k weights of greatest magnitude. By default all: the model of the paper, with
        8 bytes for each pair of items.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow. (LAPACK, under SciPy, has threads of its own.)

    Raises
    ------
    MemoryError
        From `fit`: the inverse does not fit; says how many GiB it needs.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.EASE(reg=1.0).fit(data).recommend(3)[3]
    [('milk', 0.5)]
    """

    search_space: ClassVar[SearchSpace] = {"reg": Float(1.0, 10_000.0, log=True)}

    def __init__(self, *, reg: float = 500.0, k: int | None = None, n_threads: int | None = None) -> None:
        self.reg = reg
        self.k = k
        self.n_threads = n_threads

    def _similarity(self, x: _rust.Csr, callback: Callback | None) -> CsrParts:
        n = x.shape[1]
        reg = as_float("reg", self.reg)
        if not (reg > 0.0 and np.isfinite(reg)):
            raise ValueError(f"reg: must be above 0 and finite, got {self.reg!r}")
        k = n if self.k is None else min(as_int("k", self.k, minimum=1), n)
        _check_memory(n, k)
        weights = _rust.gram(x, self._threads(), callback).reshape(n, n)
        weights.flat[:: n + 1] += reg
        if n:
            _invert(weights)
        diagonal = weights.diagonal().copy()
        indices, values = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for start in range(0, n, _BLOCK):
            rows = weights[start : start + _BLOCK] / -diagonal
            at = np.arange(len(rows))
            rows[at, at + start] = 0.0
            if k < n:
                kept = np.argpartition(np.abs(rows), n - k, axis=1)[:, n - k :]
                kept.sort(axis=1)
            else:
                kept = np.broadcast_to(np.arange(n), rows.shape)
            indices[start : start + _BLOCK] = kept
            values[start : start + _BLOCK] = np.take_along_axis(rows, kept, axis=1)
        return np.arange(n + 1, dtype=np.int64) * k, indices.reshape(-1), values.reshape(-1)


def _invert(lower: NDArray[np.float64]) -> None:
    """Replaces a positive definite matrix, given by its lower triangle, by its inverse."""
    from scipy.linalg import lapack  # here, so that `import ferrec` stays quick

    # LAPACK sees the transposed matrix, whose columns lie one after the other: no copy is made.
    _, info = lapack.dpotrf(lower.T, lower=0, clean=0, overwrite_a=1)
    if info == 0:
        _, info = lapack.dpotri(lower.T, lower=0, overwrite_c=1)
    if info != 0:
        raise ValueError(f"reg: XᵀX + reg · I is not positive definite in float64 (LAPACK says {info})")
    n = len(lower)
    for start in range(0, n, _BLOCK):
        end = min(start + _BLOCK, n)
        square: NDArray[Any] = np.tril(lower[start:end, start:end])
        lower[start:end, start:end] = square + np.tril(square, -1).T
        lower[start:end, end:] = lower[end:, start:end].T


def _check_memory(n: int, k: int) -> None:
    needed, free = 8 * n * (n + k), _free_memory()
    if free is not None and needed > free:
        raise MemoryError(
            f"EASE needs {needed / _GIB:.1f} GiB for {n} items (k={k}), and {free / _GIB:.1f} GiB are free; "
            "leave out rare items, set k, or take ItemKNN or PureSVD, whose memory grows with the data"
        )


def _free_memory() -> int | None:
    """Bytes that can be had without swapping, where the system says."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
