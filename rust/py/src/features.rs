//! Bindings of `ferrec.features`.

use crate::arrays::{give, slice};
use crate::run::run;
use crate::{Csr, Dense};
use ferrec_core::features::{self, Recent};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

type Column<'py> = Bound<'py, PyArray1<f32>>;

fn give_all<'py, const C: usize>(py: Python<'py>, columns: [Vec<f32>; C]) -> Vec<Column<'py>> {
    columns.into_iter().map(|column| give(py, column)).collect()
}

/// Numbers of the items (`of_items`) or of the queries, one for each pair.
#[pyfunction]
pub(crate) fn spread<'py>(
    py: Python<'py>,
    pairs: &Csr,
    columns: Vec<PyReadonlyArray1<'py, f32>>,
    of_items: bool,
    n_threads: usize,
) -> PyResult<Vec<Column<'py>>> {
    let columns = columns.iter().map(|column| slice(column, "columns")).collect::<PyResult<Vec<_>>>()?;
    let fill = if of_items { features::of_items } else { features::of_queries };
    let found = run(py, n_threads, None, |control| fill(&pairs.inner, &columns, control))?;
    Ok(found.into_iter().map(|column| give(py, column)).collect())
}

/// Share, count and missing of the categories that a history shares with each candidate.
#[pyfunction]
pub(crate) fn category_affinity<'py>(
    py: Python<'py>,
    pairs: &Csr,
    histories: &Csr,
    categories: &Csr,
    n_threads: usize,
) -> PyResult<Vec<Column<'py>>> {
    let (pairs, histories, categories) = (&pairs.inner, &histories.inner, &categories.inner);
    let work = |control: &_| features::category_affinity(pairs, histories, categories, control);
    Ok(give_all(py, run(py, n_threads, None, work)?))
}

/// Difference, distance and missing of a number from the mean of a history.
#[pyfunction]
pub(crate) fn number_affinity<'py>(
    py: Python<'py>,
    pairs: &Csr,
    histories: &Csr,
    numbers: PyReadonlyArray1<'py, f32>,
    n_threads: usize,
) -> PyResult<Vec<Column<'py>>> {
    let numbers = slice(&numbers, "numbers")?;
    let (pairs, histories) = (&pairs.inner, &histories.inner);
    let work = |control: &_| features::number_affinity(pairs, histories, numbers, control);
    Ok(give_all(py, run(py, n_threads, None, work)?))
}

/// The last `n` items of each row, with their order as values.
#[pyfunction]
pub(crate) fn latest_items(
    py: Python<'_>,
    history: &Csr,
    times: PyReadonlyArray1<'_, i64>,
    n: usize,
    n_threads: usize,
) -> PyResult<Csr> {
    let times = slice(&times, "times")?;
    let found = run(py, n_threads, None, |control| features::latest(&history.inner, times, n, control))?;
    Ok(found.into())
}

/// Greatest, mean, sum and last of the similarities with the recent items.
#[pyfunction]
pub(crate) fn similarity_features<'py>(
    py: Python<'py>,
    pairs: &Csr,
    recent: (Bound<'py, Csr>, PyReadonlyArray1<'py, i32>, bool),
    similarity: &Csr,
    n_threads: usize,
) -> PyResult<Vec<Column<'py>>> {
    let (items, rows) = (&recent.0.get().inner, slice(&recent.1, "rows")?);
    let recent = Recent { items, rows, ordered: recent.2 };
    let (pairs, similarity) = (&pairs.inner, &similarity.inner);
    let work = |control: &_| features::similarity(pairs, recent, similarity, control);
    Ok(give_all(py, run(py, n_threads, None, work)?))
}

/// The same of inner products of vectors.
#[pyfunction]
pub(crate) fn embedding_features<'py>(
    py: Python<'py>,
    pairs: &Csr,
    recent: (Bound<'py, Csr>, PyReadonlyArray1<'py, i32>, bool),
    vectors: Dense<'py>,
    n_threads: usize,
) -> PyResult<Vec<Column<'py>>> {
    let (items, rows) = (&recent.0.get().inner, slice(&recent.1, "rows")?);
    let recent = Recent { items, rows, ordered: recent.2 };
    let (pairs, vectors) = (&pairs.inner, vectors.borrow("vectors")?);
    let work = |control: &_| features::embedding_similarity(pairs, recent, vectors, control);
    Ok(give_all(py, run(py, n_threads, None, work)?))
}
