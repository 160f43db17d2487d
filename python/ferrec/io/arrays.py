"""Small facts about NumPy arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints: TypeAlias = NDArray[np.integer[Any]]


INT64, INT32, FLOAT32 = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)


# Shorter arrays are quicker as Python lists than through NumPy, whose reductions take microseconds to begin.
SHORT = 32


def is_flat(array: NDArray[Any], dtype: "np.dtype[Any]") -> bool:
    """Whether the compiled side can take the array as it is: of this dtype, one run of memory, aligned."""
    flags = array.flags
    return array.dtype == dtype and array.ndim == 1 and flags.c_contiguous and flags.aligned


def span(array: NDArray[Any]) -> tuple[Any, Any]:
    """The smallest and the greatest of some integers."""
    if array.size > SHORT:
        return array.min(), array.max()
    values = array.tolist()
    return min(values), max(values)


def ascends(array: NDArray[Any]) -> bool:
    """Whether integers never fall."""
    if array.size > SHORT:
        return not (array[1:] < array[:-1]).any()
    values: list[int] = array.tolist()
    return values == sorted(values)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view."""
    view = array.view()
    view.flags.writeable = False
    return view


def joined(arrays: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    """The arrays one after another; none at all are an empty one of the dtype."""
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def unit_vectors(table: NDArray[Any]) -> NDArray[np.float32]:
    """The rows with length 1 (0 where they have none), computed in float64."""
    wide = table.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: NDArray[Any] = np.divide(wide, norms, out=np.zeros(wide.shape), where=norms > 0)
    return np.ascontiguousarray(unit, dtype=np.float32)


QUARTILES = {"min": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "max": 1.0}


def spread(values: NDArray[Any], quantiles: Mapping[str, float] = QUARTILES) -> dict[str, float] | None:
    """Quantiles by name, and the mean; None where there are no values."""
    if not len(values):
        return None
    found = np.quantile(values, list(quantiles.values()))
    return {**dict(zip(quantiles, found.tolist(), strict=True)), "mean": float(values.mean())}


def offsets_of(lengths: ArrayLike) -> NDArray[np.int64]:
    """Where each of some runs begins, and where the last one ends."""
    ends = np.cumsum(lengths, dtype=np.int64)
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends
    return offsets
