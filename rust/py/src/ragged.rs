//! Bindings of the ragged rows behind `ferrec.Candidates`.

use crate::arrays::{Parts, give, give_ranked, slice};
use crate::run::{run, run_small};
use crate::{Csr, Dense};
use ferrec_core::ragged;
use ferrec_core::rerank::{self, Likeness};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

type List<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i32>);

/// Checks candidates: offsets, columns in range, ascending within a row.
#[pyfunction]
pub(crate) fn check_ragged(
    py: Python<'_>,
    indptr: PyReadonlyArray1<'_, i64>,
    codes: PyReadonlyArray1<'_, i32>,
    n_cols: usize,
) -> PyResult<()> {
    let (indptr, codes) = (slice(&indptr, "indptr")?, slice(&codes, "codes")?);
    let check = |_: &_| ragged::Rows::new("codes", indptr, codes, n_cols)?.check_ascending("codes");
    run_small(py, true, 0, None, check)
}

type Union<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>);

/// The distinct columns of each row of several lists, ascending.
#[pyfunction]
pub(crate) fn union<'py>(
    py: Python<'py>,
    lists: Vec<List<'py>>,
    n_cols: usize,
    n_threads: usize,
) -> PyResult<Union<'py>> {
    let mut slices = Vec::with_capacity(lists.len());
    for (indptr, codes) in &lists {
        slices.push((slice(indptr, "indptr")?, slice(codes, "codes")?));
    }
    let (indptr, codes) = run(py, n_threads, None, |control| {
        let rows = slices.iter().map(|(indptr, codes)| ragged::Rows::new("lists", indptr, codes, n_cols));
        ragged::union(&rows.collect::<ferrec_core::Result<Vec<_>>>()?, control)
    })?;
    Ok((give(py, indptr), give(py, codes)))
}

/// The rank of each score within its row, from 1.
#[pyfunction]
pub(crate) fn ranks<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    scores: PyReadonlyArray1<'py, f32>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (indptr, scores) = (slice(&indptr, "indptr")?, slice(&scores, "scores")?);
    Ok(give(py, run(py, n_threads, None, |control| ragged::ranks(indptr, scores, control))?))
}

/// The place of each score in the list of its row.
#[pyfunction]
pub(crate) fn places<'py>(
    py: Python<'py>,
    lists: (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, f32>),
    indptr: PyReadonlyArray1<'py, i64>,
    scores: PyReadonlyArray1<'py, f32>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let lists = (slice(&lists.0, "lists")?, slice(&lists.1, "lists")?);
    let (indptr, scores) = (slice(&indptr, "indptr")?, slice(&scores, "scores")?);
    Ok(give(py, run(py, n_threads, None, |control| ragged::places(lists, indptr, scores, control))?))
}

/// Scores brought to 0 … 1 within their rows.
#[pyfunction]
pub(crate) fn min_max<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    scores: PyReadonlyArray1<'py, f32>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (indptr, scores) = (slice(&indptr, "indptr")?, slice(&scores, "scores")?);
    Ok(give(py, run(py, n_threads, None, |control| ragged::min_max(indptr, scores, control))?))
}

/// The best `n` columns of each row.
#[pyfunction]
pub(crate) fn best<'py>(
    py: Python<'py>,
    lists: List<'py>,
    n_cols: usize,
    scores: PyReadonlyArray1<'py, f32>,
    n: usize,
    n_threads: usize,
) -> PyResult<Parts<'py>> {
    let (indptr, codes) = (slice(&lists.0, "indptr")?, slice(&lists.1, "codes")?);
    let scores = slice(&scores, "scores")?;
    let ranked = run(py, n_threads, None, |control| {
        ragged::best(ragged::Rows::new("codes", indptr, codes, n_cols)?, scores, n, control)
    })?;
    Ok(give_ranked(py, ranked))
}

/// What a matrix holds at each pair.
#[pyfunction]
pub(crate) fn values_at<'py>(
    py: Python<'py>,
    pairs: &Csr,
    matrix: &Csr,
    rows: PyReadonlyArray1<'py, i32>,
    absent: f32,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let rows = slice(&rows, "rows")?;
    let values = run(py, n_threads, None, |control| {
        ragged::values_at(&pairs.inner, &matrix.inner, rows, absent, control)
    })?;
    Ok(give(py, values))
}

/// Maximal marginal relevance; the likeness is a matrix of neighbors, or vectors.
#[pyfunction]
#[pyo3(signature = (lists, n_cols, scores, n, near, vectors, strength, n_threads))]
#[expect(clippy::too_many_arguments)]
pub(crate) fn mmr<'py>(
    py: Python<'py>,
    lists: List<'py>,
    n_cols: usize,
    scores: PyReadonlyArray1<'py, f32>,
    n: usize,
    near: Option<&Csr>,
    vectors: Dense<'py>,
    strength: f64,
    n_threads: usize,
) -> PyResult<Parts<'py>> {
    let (indptr, codes, scores) =
        (slice(&lists.0, "indptr")?, slice(&lists.1, "codes")?, slice(&scores, "scores")?);
    let vectors = vectors.borrow("vectors")?;
    let likeness = near.map_or(Likeness::Vectors(vectors), |near| Likeness::Neighbors(&near.inner));
    let ranked = run(py, n_threads, None, |control| {
        let rows = ragged::Rows::new("codes", indptr, codes, n_cols)?;
        rerank::mmr(rows, scores, n, likeness, strength, control)
    })?;
    Ok(give_ranked(py, ranked))
}

/// Calibration to the categories of the histories.
#[pyfunction]
#[pyo3(signature = (lists, scores, n, histories, categories, strength, smoothing, n_threads))]
#[expect(clippy::too_many_arguments)]
pub(crate) fn calibrate<'py>(
    py: Python<'py>,
    lists: List<'py>,
    scores: PyReadonlyArray1<'py, f32>,
    n: usize,
    histories: &Csr,
    categories: &Csr,
    strength: f64,
    smoothing: f64,
    n_threads: usize,
) -> PyResult<Parts<'py>> {
    let (indptr, codes, scores) =
        (slice(&lists.0, "indptr")?, slice(&lists.1, "codes")?, slice(&scores, "scores")?);
    let (histories, categories) = (&histories.inner, &categories.inner);
    let ranked = run(py, n_threads, None, |control| {
        let rows = ragged::Rows::new("codes", indptr, codes, histories.n_cols())?;
        rerank::calibrate(rows, scores, n, histories, categories, strength, smoothing, control)
    })?;
    Ok(give_ranked(py, ranked))
}
