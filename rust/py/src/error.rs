//! The whole error contract: which core error becomes which Python exception.

use ferrec_core::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyValueError};

pub(crate) fn to_python(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::InvalidArgument(_) | Error::Shape(_) | Error::Duplicates { .. } => PyValueError::new_err(text),
        Error::Memory(_) => PyMemoryError::new_err(text),
        // Reached only when a signal or a progress callback stopped the kernel, whose own exception wins.
        Error::Interrupted => PyKeyboardInterrupt::new_err(text),
    }
}
