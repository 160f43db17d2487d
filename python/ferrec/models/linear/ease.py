"""Linear item-item model in closed form."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.errors import ParameterError
from ferrec.io.memory import require_memory
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_float, as_int, one_of
from ferrec.kernels.handles import CsrParts
from ferrec.models.item_neighbors import ItemNeighbors
from ferrec.models.search_space import Float, SearchSpace

_BLOCK = 512
_DEEPEST = 512  # as in rust/core/src/inverse.rs
_BYTES = {"float64": 8, "float32": 4}


class EASE(ItemNeighbors):
    """Recommends by the item-item weights that predict the users' histories best, no item predicting itself
    (Steck, WWW 2019).

    With P the inverse of XᵀX + reg · I, the weight of item j for item i is −P[j, i] / P[i, i], and the score of i
    is the sum over the user's items j of weight(j) · that. The inverse is computed in place.

    Parameters
    ----------
    reg : float, default 500
        Added to the diagonal, above 0: the more, the closer the weights are to the co-occurrence counts.
    k : int, optional
        Keep for each item only the k weights of greatest magnitude. By default all: the model of the paper, with
        8 bytes for each pair of items.
    dtype : {"float64", "float32"}, default "float64"
        Of the inverse. ``"float32"`` takes half the memory and about half the time: 4 bytes for each pair of items,
        and none for the weights where all are kept. It is accurate enough where `reg` is not tiny beside the most
        popular item's count (see `docs/models/ease.md`).
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Raises
    ------
    MemoryError
        From `fit`: inverse and weights do not fit in what the machine and the control group have free; says how
        many GiB they need.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.EASE(reg=1.0).fit(data).recommend(3)[3]
    [('milk', 0.5)]
    """

    search_space: ClassVar[SearchSpace] = {"reg": Float(1.0, 10_000.0, log=True)}

    def __init__(
        self,
        *,
        reg: float = 500.0,
        k: int | None = None,
        dtype: str = "float64",
        n_threads: int | None = None,
    ) -> None:
        self.reg = reg
        self.k = k
        self.dtype = dtype
        self.n_threads = n_threads

    def _similarity(self, x: _rust.Csr, callback: Callback | None) -> CsrParts:
        n = x.shape[1]
        reg = as_float("reg", self.reg)
        if not (reg > 0.0 and np.isfinite(reg)):
            raise ParameterError("reg", "must be above 0 and finite", self.reg)
        k = n if self.k is None else min(as_int("k", self.k, minimum=1), n)
        single = one_of("dtype", self.dtype, tuple(_BYTES)) == "float32"
        if single and reg > float(np.finfo(np.float32).max):
            raise ParameterError(
                "reg", "exceeds float32", self.reg, advice="lower it, or take dtype='float64'"
            )
        _check_memory(n, k, self.dtype)
        weights: NDArray[Any] = _rust.inverse_gram(x, reg, single, self._threads(), callback).reshape(n, n)
        diagonal = weights.diagonal().copy()
        indices = np.tile(np.arange(n, dtype=np.int32), n) if k == n else np.empty((n, k), np.int32)
        values: NDArray[np.float32] = weights if single and k == n else np.empty((n, k), np.float32)
        for start in range(0, n, _BLOCK):
            block = slice(start, start + _BLOCK)
            rows = weights[block] / -diagonal
            at = np.arange(len(rows))
            rows[at, at + start] = 0.0
            if k < n:
                kept = np.argpartition(np.abs(rows), n - k, axis=1)[:, n - k :]
                kept.sort(axis=1)
                indices[block], rows = kept, np.take_along_axis(rows, kept, axis=1)
            values[block] = rows
        return np.arange(n + 1, dtype=np.int64) * k, indices.reshape(-1), values.reshape(-1)


def _check_memory(n: int, k: int, dtype: str) -> None:
    in_place = dtype == "float32" and k == n  # the values of the weights; their indices never are
    # The columns that the inversion copies are gone before there are weights.
    beside = max(min(n, _DEEPEST) * _BYTES[dtype], k * (4 if in_place else 8))
    size = n * (n * _BYTES[dtype] + beside)
    smaller = "" if dtype == "float32" else 'take dtype="float32", '
    advice = "leave out rare items, or take SLIM or PureSVD, whose memory grows with the data"
    require_memory(f"EASE of {n} items (k={k}, dtype={dtype})", size, f"{smaller}set k, {advice}")
