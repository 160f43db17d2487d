"""Who asks: the left side of everything that is recommended, scored or ranked."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust


@dataclass(frozen=True, eq=False)
class Queries:
    """Who asks and what they have touched."""

    labels: NDArray[Any]
    history: _rust.Csr
    codes: NDArray[np.int32] | None
    """The users' codes in the fitted data; None for newcomers."""

    def __len__(self) -> int:
        return len(self.labels)


Parts: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
"""`(indptr, indices, data)` of a sparse matrix."""


def rows_of(handle: _rust.Csr, rows: NDArray[np.integer[Any]]) -> _rust.Csr:
    """A handle to some rows of a matrix, in that order."""
    run = run_of(handle.parts(), handle.shape[1], rows, "rows") if len(rows) > 1 else None
    return handle.rows(np.ascontiguousarray(rows, dtype=np.int32)) if run is None else run


def run_of(parts: Parts, n_cols: int, rows: NDArray[np.integer[Any]], name: str) -> _rust.Csr | None:
    """Rows that lie one after the other, checked and not copied, as all users in their order do; None otherwise."""
    if not len(rows) or not (rows[1:] - rows[:-1] == 1).all():
        return None
    indptr, indices, data = parts
    offsets = indptr[rows[0] : rows[-1] + 2]
    own = slice(*offsets[[0, -1]].clip(0).tolist())
    return _rust.Csr(offsets - offsets[0], indices[own], data[own], n_cols, name=name)
