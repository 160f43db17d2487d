"""What a kernel may not, or only may, put into its answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.errors import DataError, ParameterTypeError
from ferrec.kernels.arguments import optional_float
from ferrec.kernels.handles import Matrix, as_csr, rows_of


@dataclass(frozen=True)
class Filter:
    """What may not, or only may, be recommended; read by the compiled kernels.

    Attributes
    ----------
    exclude : sequence of Csr, each queries × items
        Row by row, items to leave out, whatever the values.
    allow : Csr, queries × items, optional
        Row by row, the only items that may be recommended.
    allowed : ndarray of bool, shape (n_items,), optional
        Which items may be recommended to anybody.
    threshold : float, optional
        Scores must be above it.

    See Also
    --------
    ferrec.models.rank_scores : ranks dense scores under a filter.

    Examples
    --------
    >>> Filter(allowed=np.array([True, False, True])).mask(2, 3)
    array([[ True, False,  True],
           [ True, False,  True]])
    """

    exclude: Sequence[_rust.Csr] = ()
    allow: _rust.Csr | None = None
    allowed: NDArray[np.bool_] | None = None
    threshold: float | None = None

    def take(self, rows: NDArray[np.integer[Any]]) -> "Filter":
        """The filter of some of the queries.

        Parameters
        ----------
        rows : ndarray of int
            Their places.

        Returns
        -------
        Filter
        """
        exclude = [rows_of(one, rows) for one in self.exclude]
        allow = None if self.allow is None else rows_of(self.allow, rows)
        return replace(self, exclude=exclude, allow=allow)

    def mask(self, n_queries: int, n_items: int) -> NDArray[np.bool_]:
        """Which items pass, without a look at the threshold.

        Parameters
        ----------
        n_queries, n_items : int
            The sizes, which a filter without lists does not know.

        Returns
        -------
        ndarray of bool, shape (n_queries, n_items)
            A new one, which may be written to.
        """
        passes = np.full((n_queries, n_items), self.allow is None)
        if self.allow is not None:
            _mark(passes, self.allow, True)
        if self.allowed is not None:
            passes &= self.allowed
        for lists in self.exclude:
            _mark(passes, lists, False)
        return passes


def _mark(table: NDArray[np.bool_], lists: _rust.Csr, value: bool) -> None:
    indptr, items, _ = lists.parts()
    table[np.repeat(np.arange(len(table)), np.diff(indptr)), items] = value


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
        raise ParameterTypeError(name, "expected a sparse matrix or a list of column numbers", columns)
    if array.min() < 0 or array.max() >= n_cols:
        raise DataError(name, f"columns must be in 0..{n_cols}", (int(array.min()), int(array.max())))
    mask = np.zeros(n_cols, dtype=np.bool_)
    mask[array] = True
    return mask
