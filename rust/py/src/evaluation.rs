//! Bindings of what measures: metrics, resampling, and the choice of test events.

use crate::Csr;
use crate::arrays::{give, slice};
use crate::error::to_python;
use crate::run::run;
use ferrec_core::{auc as core_auc, latest as core_latest, lists, metrics, resample};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

type F64<'py> = Bound<'py, PyArray1<f64>>;
type I64<'py> = Bound<'py, PyArray1<i64>>;
type I32<'py> = Bound<'py, PyArray1<i32>>;

/// Ranked lists: offsets, columns best first, and how many columns there are.
#[derive(FromPyObject)]
pub(crate) struct Lists<'py>(PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i32>, usize);

impl Lists<'_> {
    fn borrow(&self, name: &str) -> PyResult<metrics::Lists<'_>> {
        let (indptr, indices) = (slice(&self.0, name)?, slice(&self.1, name)?);
        metrics::Lists::new(name, indptr, indices, self.2).map_err(to_python)
    }
}

/// Scores in rows: offsets and scores.
#[derive(FromPyObject)]
pub(crate) struct Rows<'py>(PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, f32>);

impl Rows<'_> {
    fn borrow(&self, name: &str) -> PyResult<core_auc::Rows<'_>> {
        Ok(core_auc::Rows { indptr: slice(&self.0, name)?, scores: slice(&self.1, name)? })
    }
}

#[pyfunction]
pub(crate) fn hit_ranks<'py>(
    py: Python<'py>,
    recommended: Lists<'py>,
    truth: &Csr,
    n_threads: usize,
) -> PyResult<I32<'py>> {
    let (lists, truth) = (recommended.borrow("recommended")?, &truth.inner);
    Ok(give(py, run(py, n_threads, None, |_| metrics::hit_ranks(lists, truth))?))
}

#[pyfunction]
pub(crate) fn exposure<'py>(
    py: Python<'py>,
    recommended: Lists<'py>,
    ks: Vec<usize>,
    n_threads: usize,
) -> PyResult<I64<'py>> {
    let lists = recommended.borrow("recommended")?;
    Ok(give(py, run(py, n_threads, None, |_| Ok(metrics::exposure(lists, &ks)))?))
}

#[pyfunction]
pub(crate) fn rank_metrics<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    ranks: PyReadonlyArray1<'py, i32>,
    gains: PyReadonlyArray1<'py, f32>,
    n_items: usize,
    ks: Vec<usize>,
    n_threads: usize,
) -> PyResult<(F64<'py>, I64<'py>)> {
    let (indptr, ranks, gains) =
        (slice(&indptr, "indptr")?, slice(&ranks, "ranks")?, slice(&gains, "gains")?);
    let given = metrics::Ranked { indptr, ranks, gains, n_items };
    let (values, rows) = run(py, n_threads, None, |_| metrics::of_ranks(given, &ks))?;
    Ok((give(py, values), give(py, rows)))
}

#[pyfunction]
pub(crate) fn list_means<'py>(
    py: Python<'py>,
    recommended: Lists<'py>,
    values: PyReadonlyArray1<'py, f64>,
    ks: Vec<usize>,
    n_threads: usize,
) -> PyResult<F64<'py>> {
    let (given, values) = (recommended.borrow("recommended")?, slice(&values, "values")?);
    Ok(give(py, run(py, n_threads, None, |_| lists::means(given, values, &ks))?))
}

#[pyfunction]
pub(crate) fn list_diversity<'py>(
    py: Python<'py>,
    recommended: Lists<'py>,
    features: &Csr,
    ks: Vec<usize>,
    n_threads: usize,
) -> PyResult<F64<'py>> {
    let (given, features) = (recommended.borrow("recommended")?, &features.inner);
    Ok(give(py, run(py, n_threads, None, |_| lists::diversity(given, features, &ks))?))
}

#[pyfunction]
pub(crate) fn serendipity<'py>(
    py: Python<'py>,
    truth: &Csr,
    ranks: PyReadonlyArray1<'py, i32>,
    expected: Lists<'py>,
    ks: Vec<usize>,
    n_threads: usize,
) -> PyResult<F64<'py>> {
    let (truth, ranks, expected) = (&truth.inner, slice(&ranks, "ranks")?, expected.borrow("expected")?);
    Ok(give(py, run(py, n_threads, None, |_| lists::serendipity(truth, ranks, expected, &ks))?))
}

#[pyfunction]
pub(crate) fn auc<'py>(
    py: Python<'py>,
    positives: Rows<'py>,
    negatives: Rows<'py>,
    n_threads: usize,
) -> PyResult<F64<'py>> {
    let (positives, negatives) = (positives.borrow("positives")?, negatives.borrow("negatives")?);
    Ok(give(py, run(py, n_threads, None, |_| core_auc::auc(positives, negatives))?))
}

#[pyfunction]
pub(crate) fn sample_others<'py>(
    py: Python<'py>,
    exclude: &Csr,
    n: usize,
    seed: u64,
    keys: PyReadonlyArray1<'py, u64>,
    n_threads: usize,
) -> PyResult<(I64<'py>, I32<'py>)> {
    let (exclude, keys) = (&exclude.inner, slice(&keys, "keys")?);
    let (indptr, columns) = run(py, n_threads, None, |_| core_auc::sample_others(exclude, n, seed, keys))?;
    Ok((give(py, indptr), give(py, columns)))
}

#[pyfunction]
pub(crate) fn bootstrap_means<'py>(
    py: Python<'py>,
    table: PyReadonlyArray1<'py, f64>,
    n_cols: usize,
    n_resamples: usize,
    seed: u64,
    n_threads: usize,
) -> PyResult<F64<'py>> {
    let table = slice(&table, "table")?;
    let means = run(py, n_threads, None, |control| {
        resample::bootstrap_means(table, n_cols, n_resamples, seed, control)
    })?;
    Ok(give(py, means))
}

#[pyfunction]
pub(crate) fn sign_flips(
    py: Python<'_>,
    values: PyReadonlyArray1<'_, f64>,
    n_resamples: usize,
    seed: u64,
    n_threads: usize,
) -> PyResult<u64> {
    let values = slice(&values, "values")?;
    run(py, n_threads, None, |control| resample::sign_flips(values, n_resamples, seed, control))
}

#[pyfunction]
pub(crate) fn latest<'py>(
    py: Python<'py>,
    users: PyReadonlyArray1<'py, i32>,
    keys: Option<PyReadonlyArray1<'py, i64>>,
    n_users: usize,
    n: usize,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let users = slice(&users, "users")?;
    let keys = keys.as_ref().map(|keys| slice(keys, "keys")).transpose()?;
    Ok(give(py, run(py, 1, None, |_| core_latest::latest(users, keys, n_users, n))?))
}
