//! The whole error contract: the parts of a core error go to Python, which makes the exception of them
//! (`ferrec.errors.from_kernel`).

use ferrec_core::{Error, Invalid, Kind, Value};
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyTuple};

pub(crate) fn to_python(error: Error) -> PyErr {
    match error {
        Error::Invalid(parts) => Python::attach(|py| exception(py, *parts).unwrap_or_else(|failed| failed)),
        Error::Memory { .. } => PyMemoryError::new_err(error.to_string()),
        // Reached only when a signal or a progress callback stopped the kernel, whose own exception wins.
        Error::Interrupted => PyKeyboardInterrupt::new_err(error.to_string()),
    }
}

fn exception(py: Python<'_>, parts: Invalid) -> PyResult<PyErr> {
    let details = match parts.kind {
        Kind::Choice(names) => PyTuple::new(py, names)?,
        Kind::Duplicates { count, user, item } => (count, user, item).into_pyobject(py)?,
        _ => PyTuple::empty(py),
    };
    let value = match parts.got {
        Value::None => py.None().into_bound(py),
        Value::Int(v) => v.into_pyobject(py)?.into_any(),
        Value::Float(v) => v.into_pyobject(py)?.into_any(),
        Value::Text(v) => v.into_pyobject(py)?.into_any(),
        Value::Ints(v) => PyTuple::new(py, v)?.into_any(),
        Value::Floats(v) => PyTuple::new(py, v)?.into_any(),
    };
    let place = parts.place.into_py_dict(py)?;
    let make = py.import("ferrec.errors")?.getattr("from_kernel")?;
    let (kind, problem, advice) = (parts.kind.name(), &*parts.problem, &*parts.advice);
    Ok(PyErr::from_value(make.call1((kind, parts.argument, problem, value, place, advice, details))?))
}
