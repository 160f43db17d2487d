//! NumPy arrays as Rust slices and back: the only place that borrows, the only one that hands over.

use crate::error::to_python;
use ferrec_core::{Buf, Csr, Error, Ranked};
use numpy::ndarray::ArrayView1;
use numpy::{Element, IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// `(indptr, indices, data)` of a matrix.
pub(crate) type Parts<'py> =
    (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f32>>);

/// The memory of a NumPy array, kept alive by a reference to it.
struct Held<T: Element> {
    _array: Py<PyArray1<T>>,
    start: *const T,
    len: usize,
}

// SAFETY: the memory is only read, and the reference that keeps it alive may be dropped on any thread (PyO3
// puts the release off until the GIL is held).
unsafe impl<T: Element + Sync> Send for Held<T> {}
// SAFETY: as above; shared reads of T are fine.
unsafe impl<T: Element + Sync> Sync for Held<T> {}

impl<T: Element> AsRef<[T]> for Held<T> {
    fn as_ref(&self) -> &[T] {
        // SAFETY: `start` and `len` came from a contiguous array that `_array` keeps alive; the kernels index
        // with bounds checks, so a caller that writes to it meanwhile can spoil results but not memory.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

/// The array's memory as a buffer of a matrix, without copying.
pub(crate) fn hold<T: Element + Sync + Send>(array: &Bound<'_, PyArray1<T>>, name: &str) -> PyResult<Buf<T>> {
    let borrowed = array.readonly();
    let slice = slice(&borrowed, name)?;
    if slice.is_empty() {
        return Ok(Vec::new().into());
    }
    Ok(Buf::shared(Held { _array: array.clone().unbind(), start: slice.as_ptr(), len: slice.len() }))
}

/// The array as a slice; it must be contiguous and aligned.
pub(crate) fn slice<'a, T: Element>(array: &'a PyReadonlyArray1<'_, T>, name: &str) -> PyResult<&'a [T]> {
    array
        .as_slice()
        .map_err(|_| to_python(Error::layout(name, "must be contiguous and aligned", array.len())))
}

/// Hands a vector over to NumPy without copying.
pub(crate) fn give<T: Element>(py: Python<'_>, values: Vec<T>) -> Bound<'_, PyArray1<T>> {
    values.into_pyarray(py)
}

/// Hands a kernel's ranked rows over.
pub(crate) fn give_ranked(py: Python<'_>, ranked: Ranked) -> Parts<'_> {
    (give(py, ranked.indptr), give(py, ranked.indices), give(py, ranked.values))
}

/// Read-only views of the matrix that `owner` holds.
pub(crate) fn views<'py, C>(csr: &Csr, owner: &Bound<'py, C>) -> PyResult<Parts<'py>> {
    Ok((view(csr.indptr(), owner)?, view(csr.indices(), owner)?, view(csr.values(), owner)?))
}

pub(crate) fn view<'py, T: Element, C>(
    slice: &[T],
    owner: &Bound<'py, C>,
) -> PyResult<Bound<'py, PyArray1<T>>> {
    // SAFETY: the slice belongs to the frozen value that `owner` holds for its whole life, the view keeps
    // `owner` alive, and it is made read-only before anyone else sees it.
    let array = unsafe { PyArray1::borrow_from_array(&ArrayView1::from(slice), owner.as_any().clone()) };
    array.call_method1("setflags", (false,))?;
    Ok(array)
}
