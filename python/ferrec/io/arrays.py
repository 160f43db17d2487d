"""Small facts about NumPy arrays."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
