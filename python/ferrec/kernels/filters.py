"""What a kernel may not, or only may, put into its answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.kernels.arguments import optional_float
from ferrec.kernels.handles import Matrix, as_csr


@dataclass(frozen=True)
class Filter:
    """What may not, or only may, be recommended; read by the compiled kernels."""

    exclude: Sequence[_rust.Csr] = ()
    allow: _rust.Csr | None = None
    allowed: NDArray[np.bool_] | None = None
    threshold: float | None = None


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
    return Filter(lists, allow_rows, allowed, optional_float("threshold", threshold))


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
