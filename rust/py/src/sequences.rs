//! The handle behind `ferrec.Sequences`.

use crate::Csr;
use crate::arrays::{hold, slice, view};
use crate::run::{run, run_small};
use ferrec_core::build::Events;
use ferrec_core::{csr, sequences};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

/// `(offsets, items, times)`.
type Parts<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>, Option<Bound<'py, PyArray1<i64>>>);

/// The same as they lie in a file.
type Unchecked<'py> =
    (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i32>, Option<PyReadonlyArray1<'py, i64>>);

/// Validated, frozen rows of items, oldest first.
#[pyclass(frozen, module = "ferrec._rust")]
pub(crate) struct Sequences(sequences::Sequences);

#[pymethods]
impl Sequences {
    #[new]
    #[pyo3(signature = (offsets, items, times, n_items, *, name = "sequences"))]
    fn new(
        py: Python<'_>,
        offsets: &Bound<'_, PyArray1<i64>>,
        items: &Bound<'_, PyArray1<i32>>,
        times: Option<&Bound<'_, PyArray1<i64>>>,
        n_items: usize,
        name: &str,
    ) -> PyResult<Self> {
        let (offsets, items) = (hold(offsets, "offsets")?, hold(items, "items")?);
        let times = times.map(|times| hold(times, "times")).transpose()?;
        let check = |_: &_| sequences::Sequences::new(name, offsets, items, times, n_items);
        Ok(Self(run_small(py, true, 0, None, check)?))
    }

    /// The events of each user in their order.
    #[staticmethod]
    fn from_events(
        py: Python<'_>,
        users: PyReadonlyArray1<'_, i32>,
        items: PyReadonlyArray1<'_, i32>,
        times: Option<PyReadonlyArray1<'_, i64>>,
        n_users: usize,
        n_items: usize,
        n_threads: usize,
    ) -> PyResult<Self> {
        let (users, items) = (slice(&users, "users")?, slice(&items, "items")?);
        let times = times.as_ref().map(|times| slice(times, "times")).transpose()?;
        let events = Events { users, items, weights: None, times };
        let small = sequences::Sequences::is_small(n_users, users.len());
        let build = |control: &_| sequences::Sequences::from_events(events, n_users, n_items, control);
        Ok(Self(run_small(py, small, n_threads, None, build)?))
    }

    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.0.n_rows(), self.0.n_items())
    }

    #[getter]
    fn n_events(&self) -> usize {
        self.0.n_events()
    }

    fn parts<'py>(this: &Bound<'py, Self>) -> PyResult<Parts<'py>> {
        let inner = &this.get().0;
        let times = inner.times().map(|times| view(times, this)).transpose()?;
        Ok((view(inner.offsets(), this)?, view(inner.items(), this)?, times))
    }

    fn rows(&self, py: Python<'_>, rows: PyReadonlyArray1<'_, i32>) -> PyResult<Self> {
        let rows = slice(&rows, "rows")?;
        Ok(Self(run_small(py, rows.len() == 1, 0, None, |_| self.0.take(rows))?))
    }

    /// Some rows of parts that nobody has checked; the others are not read.
    #[staticmethod]
    fn checked_rows(
        py: Python<'_>,
        parts: Unchecked<'_>,
        n_items: usize,
        rows: PyReadonlyArray1<'_, i32>,
        name: &str,
    ) -> PyResult<Self> {
        let (offsets, rows) = (slice(&parts.0, "offsets")?, slice(&rows, "rows")?);
        let times = parts.2.as_ref().map(|times| slice(times, "times")).transpose()?;
        let parts = (offsets, slice(&parts.1, "items")?, times);
        let take = |_: &_| sequences::Sequences::checked_rows(name, parts, n_items, rows);
        Ok(Self(run(py, 0, None, take)?))
    }

    /// How often each item is in each row, as a matrix.
    fn counts(&self, py: Python<'_>) -> PyResult<Csr> {
        let small = csr::Csr::is_small(self.0.n_rows(), self.0.n_events());
        Ok(run_small(py, small, 0, None, |_| self.0.counts())?.into())
    }
}
