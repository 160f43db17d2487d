"""SciPy matrices and NumPy arrays as the compiled kernels take them, and back."""

import warnings
from typing import Any, TypeAlias, cast

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.errors import DataError, ParameterTypeError, ShapeError
from ferrec.io.arrays import FLOAT32, INT32, INT64, is_flat

Matrix: TypeAlias = Any
"""A SciPy sparse matrix or array in any format (CSR costs nothing), or a `_rust.Csr`."""


Csr: TypeAlias = "scipy.sparse.csr_array[np.float32, tuple[int, int]]"


CsrParts: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
"""`(indptr, indices, data)` of a compiled kernel's answer."""


ListParts: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], int]
"""Ranked lists: `(indptr, columns best first, number of columns there are)`."""


INT32_MAX = np.iinfo(np.int32).max


def as_csr(x: Matrix, name: str = "x") -> _rust.Csr:
    """A validated handle to a SciPy matrix, without copying where it is CSR of float32 and int32 already.

    Parameters
    ----------
    x
        SciPy sparse matrix or array. Unsorted rows are sorted and duplicate entries summed, in a copy.
    name
        The argument's name in errors.

    Returns
    -------
    Csr
        Frozen: rows of ascending columns, values of float32, all finite.

    Raises
    ------
    TypeError
        `x` is not a sparse matrix of real numbers.
    ValueError
        A dimension or column id exceeds int32, a value is not finite in float32, or the parts are inconsistent.

    Examples
    --------
    >>> handle = as_csr(scipy.sparse.csr_array([[0.0, 2.0], [1.0, 0.0]]))
    >>> handle.shape, handle.nnz
    ((2, 2), 2)
    """
    if isinstance(x, _rust.Csr):
        return x
    if not scipy.sparse.issparse(x):
        raise ParameterTypeError(
            name, "expected a SciPy sparse matrix", type(x), advice="wrap it in scipy.sparse.csr_array"
        )
    x = cast(Any, x)
    if len(x.shape) != 2:
        raise ShapeError(name, "expected 2 dimensions", x.shape)
    if x.format != "csr":
        text = f"{name}: converting {x.format.upper()} to CSR on every call; call .tocsr() once to avoid it"
        warnings.warn(text, scipy.sparse.SparseEfficiencyWarning, stacklevel=4)
        x = x.tocsr()
    if x.dtype.kind not in "fiub":
        raise ParameterTypeError(name, "expected real numbers", x.dtype)
    if max(x.shape) > INT32_MAX:
        raise ShapeError(name, f"must have at most {INT32_MAX} rows and columns", x.shape)
    indices = flat(_int32(name, x.indices, x.shape[1]), INT32)
    data = x.data
    if not is_flat(data, FLOAT32):
        with np.errstate(over="ignore"):  # float64 values beyond float32 become inf, which the handle refuses
            data = np.require(data, np.float32, ["C", "A"])
    indptr = flat(x.indptr.astype(INT64, copy=False), INT64)
    return _rust.Csr(indptr, indices, data, x.shape[1], name=name)


def flat(array: NDArray[Any], dtype: "np.dtype[Any]") -> NDArray[Any]:
    """The array as the compiled side takes it."""
    return array if is_flat(array, dtype) else np.require(array, dtype, ["C", "A"])


def _int32(name: str, indices: NDArray[Any], n_cols: int) -> NDArray[np.int32]:
    """Column indices as int32, after a look at those that do not fit."""
    if indices.dtype == np.int32:
        return indices
    if indices.size and (indices.max() > INT32_MAX or indices.min() < 0):
        raise DataError(name, f"columns must be in 0..{n_cols}", (int(indices.min()), int(indices.max())))
    return indices.astype(np.int32)


def to_scipy(parts: _rust.Csr | CsrParts, shape: tuple[int, int] | None = None) -> Csr:
    """A `csr_array` of a handle (read-only views) or of a kernel's parts, sharing the memory of the values.

    Parameters
    ----------
    parts : Csr, or (indptr, indices, data)
        The handle, or what a kernel or `Recommender.rank` returned.
    shape : (int, int), optional
        Of the parts; a handle knows its own.

    Returns
    -------
    csr_array of float32

    Examples
    --------
    >>> to_scipy(as_csr(scipy.sparse.csr_array([[0.0, 2.0], [1.0, 0.0]]))).toarray()
    array([[0., 2.],
           [1., 0.]], dtype=float32)
    """
    if isinstance(parts, _rust.Csr):
        shape, parts = parts.shape, parts.parts()
    assert shape is not None
    indptr, indices, data = cast(tuple[Any, Any, Any], parts)
    if indptr[-1] <= INT32_MAX:
        indptr = indptr.astype(np.int32)  # SciPy wants one index type
    return cast(Csr, scipy.sparse.csr_array((data, indices, indptr), shape=shape))


DenseParts: TypeAlias = tuple[NDArray[np.float32], int, int]
"""A dense matrix for the compiled kernels: its values row after row, and its shape."""


def as_dense(array: "ArrayLike", name: str) -> DenseParts:
    """A dense float32 matrix for the compiled kernels, without copying where it is C-contiguous float32 already.

    Raises
    ------
    TypeError, ValueError
        `array` is no two-dimensional array of real numbers. (That all are finite is checked by the kernels.)
    """
    if scipy.sparse.issparse(array):
        raise ParameterTypeError(name, "expected a dense array", type(array))
    dense = np.asarray(array)
    if dense.dtype.kind not in "fiub":
        raise ParameterTypeError(name, "expected real numbers", dense.dtype)
    if dense.ndim != 2:
        raise ShapeError(name, "expected 2 dimensions", dense.shape)
    with np.errstate(over="ignore"):  # float64 values beyond float32 become inf, which the kernel refuses
        dense = np.require(dense, np.float32, ["C", "A"])
    return dense.reshape(-1), *dense.shape


def as_lists(recommended: Csr, n_cols: int) -> ListParts:
    """The rows of a kernel's answer as ranked lists over so many columns."""
    if not scipy.sparse.issparse(recommended) or recommended.format != "csr":
        raise ParameterTypeError(
            "recommended", "expected a csr_array with best-first rows", type(recommended)
        )
    indptr = np.ascontiguousarray(recommended.indptr, dtype=np.int64)
    return indptr, np.ascontiguousarray(_int32("recommended", recommended.indices, n_cols)), n_cols


def rows_of(handle: _rust.Csr, rows: NDArray[np.integer[Any]]) -> _rust.Csr:
    """A handle to some rows of a matrix, in that order."""
    run = run_of(handle.parts(), handle.shape[1], rows, "rows") if len(rows) > 1 else None
    return handle.rows(np.ascontiguousarray(rows, dtype=np.int32)) if run is None else run


def run_of(parts: CsrParts, n_cols: int, rows: NDArray[np.integer[Any]], name: str) -> _rust.Csr | None:
    """Rows that lie one after the other, checked and not copied, as all users in their order do; None otherwise."""
    indptr, indices, data = parts
    found = consecutive(indptr, rows)
    if found is None:
        return None
    offsets, own = found
    return _rust.Csr(offsets, indices[own], data[own], n_cols, name=name)


def consecutive(
    offsets: NDArray[np.int64], rows: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int64], slice] | None:
    """The offsets of rows that lie one after the other, and where their entries are; None where they do not."""
    if not len(rows) or not (rows[1:] - rows[:-1] == 1).all():
        return None
    some = offsets[rows[0] : rows[-1] + 2]
    return some - some[0], slice(*some[[0, -1]].clip(0).tolist())
