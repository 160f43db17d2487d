//! Python bindings of ferrec: every function takes arrays apart, calls one function of `ferrec_core`, and puts
//! the result together.

mod arrays;
mod error;
mod evaluation;
mod features;
mod ragged;
mod run;
mod sequences;

use arrays::{Parts, give, give_ranked, hold, slice, views};
use ferrec_core::similarity::{Axis, Measure, Request};
use ferrec_core::weight::{Side, Weighting};
use ferrec_core::{
    als as core_als, biased, biases as core_biases, build, cooccurrence as core_cooccurrence, csr, factors,
    gram as core_gram, ids, inverse, kcore, mlp, order, product, rating, similarity, slim as core_slim,
    stateless, strings, svd, weight as core_weight,
};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use run::{run, run_small};

/// A validated, frozen sparse matrix.
#[pyclass(frozen, module = "ferrec._rust")]
struct Csr {
    inner: csr::Csr,
    /// For products with one row at a time.
    memory: product::Memory,
}

impl From<csr::Csr> for Csr {
    fn from(inner: csr::Csr) -> Self {
        Self { inner, memory: product::Memory::default() }
    }
}

#[pymethods]
impl Csr {
    #[new]
    #[pyo3(signature = (indptr, indices, data, n_cols, *, name = "x"))]
    fn new(
        py: Python<'_>,
        indptr: &Bound<'_, PyArray1<i64>>,
        indices: &Bound<'_, PyArray1<i32>>,
        data: &Bound<'_, PyArray1<f32>>,
        n_cols: usize,
        name: &str,
    ) -> PyResult<Self> {
        let (indptr, indices, data) =
            (hold(indptr, "indptr")?, hold(indices, "indices")?, hold(data, "data")?);
        let small = csr::Csr::is_small(indptr.len(), indices.len());
        let inner = run_small(py, small, 0, None, |_| csr::Csr::new(name, indptr, indices, data, n_cols))?;
        Ok(inner.into())
    }

    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.inner.n_rows(), self.inner.n_cols())
    }

    #[getter]
    fn nnz(&self) -> usize {
        self.inner.nnz()
    }

    fn parts<'py>(this: &Bound<'py, Self>) -> PyResult<Parts<'py>> {
        views(&this.get().inner, this)
    }

    fn rows(&self, py: Python<'_>, rows: PyReadonlyArray1<'_, i32>) -> PyResult<Self> {
        let rows = slice(&rows, "rows")?;
        let inner = run_small(py, rows.len() == 1, 0, None, |_| self.inner.take_rows(rows))?;
        Ok(inner.into())
    }

    /// Some rows of a matrix that nobody has checked; the others are not read.
    #[staticmethod]
    fn checked_rows(
        py: Python<'_>,
        parts: Unchecked<'_>,
        n_cols: usize,
        rows: PyReadonlyArray1<'_, i32>,
        name: &str,
    ) -> PyResult<Self> {
        let (indptr, rows) = (slice(&parts.0, "indptr")?, slice(&rows, "rows")?);
        let parts = (indptr, slice(&parts.1, "indices")?, slice(&parts.2, "data")?);
        let inner = run(py, 0, None, |_| csr::Csr::checked_rows(name, parts, n_cols, rows))?;
        Ok(inner.into())
    }

    fn transpose(&self, py: Python<'_>) -> PyResult<Self> {
        let inner = run(py, 0, None, |_| Ok(self.inner.transpose()))?;
        Ok(inner.into())
    }
}

/// `(indptr, indices, data)` of a matrix, as they lie in a file.
type Unchecked<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, f32>);

/// A trained network, validated and frozen.
#[pyclass(frozen, module = "ferrec._rust")]
struct Mlp(mlp::Mlp);

/// `(mean, scale, clip, marked)`.
#[derive(FromPyObject)]
struct Scaling<'py>(PyReadonlyArray1<'py, f32>, PyReadonlyArray1<'py, f32>, f32, Vec<u32>);

/// `(lookup, rows, width)`.
type Embedding<'py> = (Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f32>>, usize);

/// `(weights, bias)` of each layer.
type Layers<'py> = Vec<(PyReadonlyArray1<'py, f32>, PyReadonlyArray1<'py, f32>)>;

fn layers<'a>(given: &'a Layers<'_>, name: &str) -> PyResult<Vec<mlp::Weights<'a>>> {
    given.iter().map(|(w, b)| Ok((slice(w, name)?, slice(b, name)?))).collect()
}

#[pymethods]
impl Mlp {
    #[new]
    fn new(
        scaling: Scaling<'_>,
        embeddings: Vec<Embedding<'_>>,
        crosses: Layers<'_>,
        layers: Layers<'_>,
        sigmoid: bool,
    ) -> PyResult<Self> {
        let Scaling(mean, scale, clip, marked) = scaling;
        let (mean, scale) = (slice(&mean, "mean")?.to_vec(), slice(&scale, "scale")?.to_vec());
        let held = embeddings.iter().map(|(lookup, rows, width)| {
            let (lookup, rows) = (hold(lookup, "lookup")?, hold(rows, "rows")?);
            mlp::Embedding::new(lookup, rows, *width).map_err(error::to_python)
        });
        let held = held.collect::<PyResult<_>>()?;
        let scaling = mlp::Scaling { mean, scale, clip, marked };
        let (crosses, layers) = (self::layers(&crosses, "crosses")?, self::layers(&layers, "layers")?);
        Ok(Self(mlp::Mlp::new(scaling, held, &crosses, &layers, sigmoid).map_err(error::to_python)?))
    }

    fn score<'py>(
        &self,
        py: Python<'py>,
        columns: Vec<PyReadonlyArray1<'py, f32>>,
        codes: Vec<PyReadonlyArray1<'py, i32>>,
        n_pairs: usize,
        n_threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let columns = columns.iter().map(|c| slice(c, "columns")).collect::<PyResult<Vec<_>>>()?;
        let codes = codes.iter().map(|c| slice(c, "codes")).collect::<PyResult<Vec<_>>>()?;
        let pairs = mlp::Pairs { columns: &columns, codes: &codes, len: n_pairs };
        let scores = run(py, n_threads, progress, |control| self.0.score(&pairs, control))?;
        Ok(give(py, scores))
    }
}

/// What may not, or only may, be recommended: any object with these attributes.
#[derive(FromPyObject)]
struct Filter<'py> {
    exclude: Vec<Bound<'py, Csr>>,
    allow: Option<Bound<'py, Csr>>,
    allowed: Option<PyReadonlyArray1<'py, bool>>,
    threshold: Option<f32>,
}

/// Borrows a filter's parts for the time of a kernel.
macro_rules! borrow_filter {
    ($given:ident => $filter:ident) => {
        let exclude: Vec<&csr::Csr> = $given.exclude.iter().map(|m| &m.get().inner).collect();
        let allowed = $given.allowed.as_ref().map(|a| slice(a, "allowed")).transpose()?;
        let allow = $given.allow.as_ref().map(|m| &m.get().inner);
        let $filter = ferrec_core::Filter { exclude: &exclude, allow, allowed, threshold: $given.threshold };
    };
}

fn request(
    measure: &str,
    axis: &str,
    shrink: f64,
    alpha: Option<f64>,
    beta: Option<f64>,
) -> PyResult<Request> {
    let measure = Measure::parse(measure, alpha, beta).map_err(error::to_python)?;
    let axis = if axis == "users" { Axis::Users } else { Axis::Items };
    Ok(Request { measure, axis, shrink })
}

#[pyfunction]
#[pyo3(signature = (x, queries, k, measure, axis, shrink, alpha, beta, threshold, n_threads, progress))]
#[expect(clippy::too_many_arguments)]
fn top_k_similar<'py>(
    py: Python<'py>,
    x: &Csr,
    queries: Option<&Csr>,
    k: usize,
    measure: &str,
    axis: &str,
    shrink: f64,
    alpha: Option<f64>,
    beta: Option<f64>,
    threshold: Option<f32>,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    let request = request(measure, axis, shrink, alpha, beta)?;
    let (x, queries) = (&x.inner, queries.map(|q| &q.inner));
    let ranked = run(py, n_threads, progress, |control| {
        similarity::top_k_similar(x, queries, k, request, threshold, control)
    })?;
    Ok(give_ranked(py, ranked))
}

type Planned = (u64, u64, u64, f64, u64, u64);

#[pyfunction]
#[pyo3(signature = (x, k, measure, axis, alpha, beta, n_threads))]
#[expect(clippy::too_many_arguments)]
fn plan_similar(
    py: Python<'_>,
    x: &Csr,
    k: usize,
    measure: &str,
    axis: &str,
    alpha: Option<f64>,
    beta: Option<f64>,
    n_threads: usize,
) -> PyResult<Planned> {
    let request = request(measure, axis, 0.0, alpha, beta)?;
    let threads = if n_threads == 0 { run::default_threads() } else { n_threads };
    let p = run(py, n_threads, None, |_| Ok(similarity::plan(&x.inner, k, request, threads)))?;
    Ok((p.multiply_adds, p.dense, p.scattered, p.work, p.bytes, p.answer_bytes))
}

#[pyfunction]
#[pyo3(signature = (a, b, k, filter, names, n_threads, progress))]
#[expect(clippy::too_many_arguments)]
fn top_k_product<'py>(
    py: Python<'py>,
    a: &Csr,
    b: &Csr,
    k: usize,
    filter: Filter<'py>,
    names: (String, String),
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    borrow_filter!(filter => filter);
    let names = (&*names.0, &*names.1);
    let (a, memory, b) = (&a.inner, &b.memory, &b.inner);
    let single = a.n_rows() == 1;
    if single && memory.is_due(b) {
        run(py, n_threads, None, |_| {
            memory.pack(b);
            Ok(())
        })?;
    }
    let ranked = run_small(py, single, n_threads, progress, |control| {
        if single {
            return product::top_k_row(names, a, (b, memory), k, &filter, control);
        }
        product::top_k_block(names, a, (b, memory), k, &filter, control)
    })?;
    Ok(give_ranked(py, ranked))
}

#[pyfunction]
fn score_product<'py>(
    py: Python<'py>,
    a: &Csr,
    b: &Csr,
    pairs: &Csr,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let scores = run(py, n_threads, None, |control| {
        product::score_product(("history", "similarity"), &a.inner, &b.inner, &pairs.inner, control)
    })?;
    Ok(give(py, scores))
}

/// What a rating model adds to its neighbors' deviations: any object with these attributes.
#[derive(FromPyObject)]
struct Baseline<'py> {
    rows: PyReadonlyArray1<'py, f32>,
    cols: PyReadonlyArray1<'py, f32>,
    range: (f32, f32),
}

macro_rules! borrow_baseline {
    ($given:ident => $baseline:ident) => {
        let (rows, cols) = (slice(&$given.rows, "rows")?, slice(&$given.cols, "cols")?);
        let $baseline = rating::Baseline { rows, cols, range: $given.range };
    };
}

fn weights(left: bool) -> rating::Weights {
    if left { rating::Weights::Left } else { rating::Weights::Right }
}

#[pyfunction]
#[pyo3(signature = (a, b, weights_left, baseline, k, filter, n_threads, progress))]
#[expect(clippy::too_many_arguments)]
fn top_k_ratings<'py>(
    py: Python<'py>,
    a: &Csr,
    b: &Csr,
    weights_left: bool,
    baseline: Baseline<'py>,
    k: usize,
    filter: Filter<'py>,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    borrow_filter!(filter => filter);
    borrow_baseline!(baseline => baseline);
    let weights = weights(weights_left);
    let ranked = run_small(py, a.inner.n_rows() == 1, n_threads, progress, |control| {
        rating::top_k_ratings(&a.inner, &b.inner, weights, baseline, k, &filter, control)
    })?;
    Ok(give_ranked(py, ranked))
}

#[pyfunction]
fn score_ratings<'py>(
    py: Python<'py>,
    a: &Csr,
    b: &Csr,
    weights_left: bool,
    baseline: Baseline<'py>,
    pairs: &Csr,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    borrow_baseline!(baseline => baseline);
    let weights = weights(weights_left);
    let scores = run(py, n_threads, None, |control| {
        rating::score_ratings(&a.inner, &b.inner, weights, baseline, &pairs.inner, control)
    })?;
    Ok(give(py, scores))
}

#[pyfunction]
#[pyo3(signature = (scores, n_rows, k, filter, n_threads, progress))]
fn top_k_common<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray1<'py, f32>,
    n_rows: usize,
    k: usize,
    filter: Filter<'py>,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    borrow_filter!(filter => filter);
    let scores = slice(&scores, "scores")?;
    let ranked =
        run(py, n_threads, progress, |control| stateless::top_k_common(scores, n_rows, k, &filter, control))?;
    Ok(give_ranked(py, ranked))
}

#[pyfunction]
#[pyo3(signature = (seed, keys, n_cols, k, filter, n_threads, progress))]
#[expect(clippy::too_many_arguments)]
fn top_k_random<'py>(
    py: Python<'py>,
    seed: u64,
    keys: PyReadonlyArray1<'py, u64>,
    n_cols: usize,
    k: usize,
    filter: Filter<'py>,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    borrow_filter!(filter => filter);
    let keys = slice(&keys, "keys")?;
    let ranked = run(py, n_threads, progress, |control| {
        stateless::top_k_random(seed, keys, n_cols, k, &filter, control)
    })?;
    Ok(give_ranked(py, ranked))
}

#[pyfunction]
fn score_random<'py>(
    py: Python<'py>,
    seed: u64,
    keys: PyReadonlyArray1<'py, u64>,
    pairs: &Csr,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let keys = slice(&keys, "keys")?;
    let scores =
        run(py, n_threads, None, |control| stateless::score_random(seed, keys, &pairs.inner, control))?;
    Ok(give(py, scores))
}

#[pyfunction]
#[pyo3(signature = (name, x, weighting, by_items, bm25, reference, n_threads))]
#[expect(clippy::too_many_arguments)]
fn weight<'py>(
    py: Python<'py>,
    name: &str,
    x: &Csr,
    weighting: &str,
    by_items: bool,
    bm25: (f64, f64, f64),
    reference: Option<&Csr>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (k1, b, delta) = bm25;
    let weighting = Weighting::parse(weighting, k1, b, delta).map_err(error::to_python)?;
    let side = if by_items { Side::Items } else { Side::Users };
    let reference = reference.map(|r| &r.inner);
    let work = |_: &_| core_weight::weight(name, &x.inner, weighting, side, reference);
    Ok(give(py, run(py, n_threads, None, work)?))
}

type Biases<'py> = (f64, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>);

#[pyfunction]
fn biases<'py>(
    py: Python<'py>,
    x: &Csr,
    reg_users: f64,
    reg_items: f64,
    epochs: usize,
    n_threads: usize,
) -> PyResult<Biases<'py>> {
    let settings = core_biases::Settings { reg_users, reg_items, epochs };
    let fitted = run(py, n_threads, None, |control| core_biases::biases(&x.inner, settings, control))?;
    Ok((fitted.mean, give(py, fitted.users), give(py, fitted.items)))
}

type Encoded<'py> = (Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<i64>>);

#[pyfunction]
#[pyo3(signature = (values, n_threads = 0))]
fn encode_ints<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, i64>,
    n_threads: usize,
) -> PyResult<Encoded<'py>> {
    let values = slice(&values, "values")?;
    let (codes, ids) = run(py, n_threads, None, |_| ids::encode_ints(values))?;
    Ok((give(py, codes), give(py, ids)))
}

/// `(offsets, bytes)` of strings.
type Texts<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, u8>);

macro_rules! borrow_strings {
    ($given:ident => $strings:ident) => {
        let $strings =
            strings::Strings { offsets: slice(&$given.0, "offsets")?, bytes: slice(&$given.1, "bytes")? };
    };
}

#[pyfunction]
fn find_strings<'py>(
    py: Python<'py>,
    ids: Texts<'py>,
    wanted: Texts<'py>,
) -> PyResult<Bound<'py, PyArray1<i32>>> {
    borrow_strings!(ids => ids);
    borrow_strings!(wanted => wanted);
    let few = strings::Strings::is_few(wanted.len());
    Ok(give(py, run_small(py, few, 0, None, |_| ids.find(wanted))?))
}

/// `(what, where)` of the first flaw of strings as ids.
#[pyfunction]
fn flaw_of_strings(py: Python<'_>, ids: Texts<'_>) -> PyResult<Option<(&'static str, usize)>> {
    borrow_strings!(ids => ids);
    let flaw = run(py, 0, None, |_| Ok(ids.first_flaw()))?;
    Ok(flaw.map(|flaw| match flaw {
        strings::Flaw::Offsets(at) => ("offsets", at),
        strings::Flaw::Utf8(at) => ("utf8", at),
        strings::Flaw::Order(at) => ("order", at),
    }))
}

type Built<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i32>>,
    Bound<'py, PyArray1<f32>>,
    Option<Bound<'py, PyArray1<i64>>>,
);

#[pyfunction]
#[expect(clippy::too_many_arguments)]
fn build_csr<'py>(
    py: Python<'py>,
    users: PyReadonlyArray1<'py, i32>,
    items: PyReadonlyArray1<'py, i32>,
    weights: Option<PyReadonlyArray1<'py, f32>>,
    times: Option<PyReadonlyArray1<'py, i64>>,
    n_users: usize,
    n_items: usize,
    duplicates: &str,
) -> PyResult<Built<'py>> {
    let duplicates = build::Duplicates::parse(duplicates).map_err(error::to_python)?;
    let events = build::Events {
        users: slice(&users, "users")?,
        items: slice(&items, "items")?,
        weights: weights.as_ref().map(|w| slice(w, "weights")).transpose()?,
        times: times.as_ref().map(|t| slice(t, "times")).transpose()?,
    };
    let built = run(py, 0, None, |_| build::build_csr(events, n_users, n_items, duplicates))?;
    let times = built.times.map(|t| give(py, t));
    Ok((give(py, built.indptr), give(py, built.indices), give(py, built.values), times))
}

type Runs<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<bool>>);

#[pyfunction]
#[pyo3(signature = (users, n_users, items, times, kinds, gap, n_threads))]
#[expect(clippy::too_many_arguments)]
fn event_runs<'py>(
    py: Python<'py>,
    users: PyReadonlyArray1<'py, i32>,
    n_users: usize,
    items: Option<PyReadonlyArray1<'py, i32>>,
    times: Option<PyReadonlyArray1<'py, i64>>,
    kinds: Option<PyReadonlyArray1<'py, i32>>,
    gap: u64,
    n_threads: usize,
) -> PyResult<Runs<'py>> {
    let keys = order::Keys {
        items: items.as_ref().map(|i| slice(i, "items")).transpose()?,
        times: times.as_ref().map(|t| slice(t, "times")).transpose()?,
        kinds: kinds.as_ref().map(|k| slice(k, "kinds")).transpose()?,
    };
    let users = slice(&users, "users")?;
    let runs = run(py, n_threads, None, |control| order::event_runs(users, n_users, keys, gap, control))?;
    Ok((give(py, runs.order), give(py, runs.begins)))
}

type Kept<'py> = (Bound<'py, PyArray1<bool>>, Bound<'py, PyArray1<bool>>);

#[pyfunction]
fn k_core<'py>(
    py: Python<'py>,
    x: &Csr,
    k_users: usize,
    k_items: usize,
    n_threads: usize,
) -> PyResult<Kept<'py>> {
    let core = run(py, n_threads, None, |control| kcore::k_core(&x.inner, k_users, k_items, control))?;
    Ok((give(py, core.rows), give(py, core.cols)))
}

#[pyfunction]
#[pyo3(signature = (x, reg, single, n_threads, progress))]
fn inverse_gram<'py>(
    py: Python<'py>,
    x: &Csr,
    reg: f64,
    single: bool,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = &x.inner;
    Ok(if single {
        give(py, run(py, n_threads, progress, |c| inverse::inverse_gram::<f32>(x, reg, c))?).into_any()
    } else {
        give(py, run(py, n_threads, progress, |c| inverse::inverse_gram::<f64>(x, reg, c))?).into_any()
    })
}

#[pyfunction]
#[pyo3(signature = (x, enough, n_threads))]
fn gram_size(py: Python<'_>, x: &Csr, enough: u64, n_threads: usize) -> PyResult<u64> {
    run(py, n_threads, None, |control| core_gram::size(&x.inner, enough, control))
}

/// `(users, items)`, and `(window, max_gap)`.
type Sizes = (usize, usize);
type Nearness = (Option<usize>, Option<i64>);

#[pyfunction]
#[pyo3(signature = (users, items, times, sizes, near, n_threads, progress))]
#[expect(clippy::too_many_arguments)]
fn cooccurrence(
    py: Python<'_>,
    users: PyReadonlyArray1<'_, i32>,
    items: PyReadonlyArray1<'_, i32>,
    times: Option<PyReadonlyArray1<'_, i64>>,
    sizes: Sizes,
    near: Nearness,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Csr> {
    let times = times.as_ref().map(|t| slice(t, "times")).transpose()?;
    let (users, items) = (slice(&users, "users")?, slice(&items, "items")?);
    let events = build::Events { users, items, weights: None, times };
    let near = core_cooccurrence::Nearness { window: near.0, max_gap: near.1 };
    let counts = run(py, n_threads, progress, |control| {
        core_cooccurrence::cooccurrence(events, sizes.0, sizes.1, near, control)
    })?;
    Ok(counts.into())
}

#[pyfunction]
fn shifted_ppmi(py: Python<'_>, x: &Csr, shift: f64, smoothing: f64, n_threads: usize) -> PyResult<Csr> {
    let work = |control: &_| core_cooccurrence::shifted_ppmi(&x.inner, shift, smoothing, control);
    Ok(run(py, n_threads, None, work)?.into())
}

/// `(l1, l2, positive, tol, max_iter, k)`.
type SlimSettings = (f64, f64, bool, f64, usize, usize);

#[pyfunction]
#[pyo3(signature = (x, candidates, settings, n_threads, progress))]
fn slim(
    py: Python<'_>,
    x: &Csr,
    candidates: Option<&Csr>,
    settings: SlimSettings,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Csr, usize)> {
    let (l1, l2, positive, tol, max_iter, k) = settings;
    let settings = core_slim::Settings { l1, l2, positive, tol, max_iter, k };
    let candidates = candidates.map(|c| &c.inner);
    let fitted =
        run(py, n_threads, progress, |control| core_slim::slim(&x.inner, candidates, settings, control))?;
    Ok((fitted.weights.into(), fitted.unfinished))
}

/// A dense matrix: its values row after row, and its shape.
#[derive(FromPyObject)]
struct Dense<'py>(PyReadonlyArray1<'py, f32>, usize, usize);

impl Dense<'_> {
    fn borrow(&self, name: &str) -> PyResult<factors::Dense<'_>> {
        factors::Dense::new(name, slice(&self.0, name)?, self.1, self.2).map_err(error::to_python)
    }
}

#[pyfunction]
#[pyo3(signature = (queries, items, k, filter, n_threads, progress))]
fn top_k_factors<'py>(
    py: Python<'py>,
    queries: Dense<'py>,
    items: Dense<'py>,
    k: usize,
    filter: Filter<'py>,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    borrow_filter!(filter => filter);
    let (queries, items) = (queries.borrow("queries")?, items.borrow("items")?);
    let ranked =
        run(py, n_threads, progress, |control| factors::top_k_factors(queries, items, k, &filter, control))?;
    Ok(give_ranked(py, ranked))
}

#[pyfunction]
fn score_factors<'py>(
    py: Python<'py>,
    queries: Dense<'py>,
    items: Dense<'py>,
    pairs: &Csr,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (queries, items) = (queries.borrow("queries")?, items.borrow("items")?);
    let pairs = &pairs.inner;
    let scores = run(py, n_threads, None, |control| factors::score_factors(queries, items, pairs, control))?;
    Ok(give(py, scores))
}

#[pyfunction]
fn fold_in<'py>(
    py: Python<'py>,
    history: &Csr,
    items: Dense<'py>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let items = items.borrow("items")?;
    let rows = run(py, n_threads, None, |control| factors::fold_in(&history.inner, items, control))?;
    Ok(give(py, rows))
}

/// `(alpha, unobserved, reg, nu)`.
#[derive(FromPyObject)]
struct Objective(f64, f64, f64, f64);

impl From<Objective> for core_als::Objective {
    fn from(Objective(alpha, unobserved, reg, nu): Objective) -> Self {
        Self { alpha, unobserved, reg, nu }
    }
}

type Alternated<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f64>>);

#[pyfunction]
#[pyo3(signature = (x, k, objective, solver, epochs, seed, loss, n_threads, progress))]
#[expect(clippy::too_many_arguments)]
fn als<'py>(
    py: Python<'py>,
    x: &Csr,
    k: usize,
    objective: Objective,
    solver: (String, usize, usize),
    epochs: usize,
    seed: u64,
    loss: bool,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Alternated<'py>> {
    let solver = core_als::Solver::parse(&solver.0, solver.1, solver.2).map_err(error::to_python)?;
    let settings = core_als::Settings { k, objective: objective.into(), solver, epochs, seed, loss };
    let found = run(py, n_threads, progress, |control| core_als::als(&x.inner, settings, control))?;
    Ok((give(py, found.users), give(py, found.items), give(py, found.losses)))
}

#[pyfunction]
fn fold_in_als<'py>(
    py: Python<'py>,
    name: &str,
    x: &Csr,
    factors: Dense<'py>,
    objective: Objective,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let factors = factors.borrow("factors")?;
    let work = |control: &_| core_als::fold_in_als(name, &x.inner, factors, objective.into(), control);
    Ok(give(py, run(py, n_threads, None, work)?))
}

/// `(reg, reg_biases, nu)`.
#[derive(FromPyObject)]
struct Penalties(f64, f64, f64);

impl From<Penalties> for biased::Penalties {
    fn from(Penalties(reg, reg_biases, nu): Penalties) -> Self {
        Self { reg, reg_biases, nu }
    }
}

#[pyfunction]
#[pyo3(signature = (x, k, penalties, epochs, seed, n_threads, progress))]
#[expect(clippy::too_many_arguments)]
fn biased_factors<'py>(
    py: Python<'py>,
    x: &Csr,
    k: usize,
    penalties: Penalties,
    epochs: usize,
    seed: u64,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Biases<'py>> {
    let settings = biased::Settings { k, penalties: penalties.into(), epochs, seed };
    let fitted = run(py, n_threads, progress, |control| biased::biased_factors(&x.inner, settings, control))?;
    Ok((fitted.mean, give(py, fitted.users), give(py, fitted.items)))
}

#[pyfunction]
fn fold_in_biased<'py>(
    py: Python<'py>,
    x: &Csr,
    items: Dense<'py>,
    mean: f64,
    penalties: Penalties,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let items = items.borrow("items")?;
    let work = |control: &_| biased::fold_in_biased(&x.inner, items, mean, penalties.into(), control);
    Ok(give(py, run(py, n_threads, None, work)?))
}

type Triplets<'py> = (
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f64>>,
);

#[pyfunction]
#[pyo3(signature = (x, k, tol, center, seed, n_threads, progress))]
#[expect(clippy::too_many_arguments)]
fn truncated_svd<'py>(
    py: Python<'py>,
    x: &Csr,
    k: usize,
    tol: f64,
    center: bool,
    seed: u64,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Triplets<'py>> {
    let settings = svd::Settings { k, tol, center, seed };
    let found = run(py, n_threads, progress, |control| svd::truncated_svd(&x.inner, settings, control))?;
    Ok((give(py, found.u), give(py, found.s), give(py, found.vt), give(py, found.means)))
}

/// Threads a kernel uses unless told otherwise: CPU affinity and cgroup quota.
#[pyfunction]
fn default_threads() -> usize {
    run::default_threads()
}

/// The instruction set in force: "portable", "avx2" or "avx512".
#[pyfunction]
fn simd_level() -> &'static str {
    ferrec_core::simd::Level::current().name()
}

/// The compiled part of ferrec.
#[pymodule]
mod _rust {
    #[pymodule_export]
    use super::evaluation::{
        auc, bootstrap_means, exposure, hit_ranks, latest, list_diversity, list_means, rank_metrics,
        sample_others, serendipity, sign_flips,
    };
    #[pymodule_export]
    use super::features::{
        category_affinity, embedding_features, latest_items, number_affinity, similarity_features, spread,
    };
    #[pymodule_export]
    use super::ragged::{best, calibrate, check_ragged, min_max, mmr, places, ranks, union, values_at};
    #[pymodule_export]
    use super::sequences::Sequences;
    #[pymodule_export]
    use super::{
        Csr, Mlp, als, biased_factors, biases, build_csr, cooccurrence, default_threads, encode_ints,
        event_runs, find_strings, flaw_of_strings, fold_in, fold_in_als, fold_in_biased, gram_size,
        inverse_gram, k_core, plan_similar, score_factors, score_product, score_random, score_ratings,
        shifted_ppmi, simd_level, slim, top_k_common, top_k_factors, top_k_product, top_k_random,
        top_k_ratings, top_k_similar, truncated_svd, weight,
    };
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        ferrec_core::simd::Level::asked().map_err(super::error::to_python)?;
        m.add("__version__", env!("CARGO_PKG_VERSION"))?;
        m.add("build_profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
        let levels: Vec<&str> = ferrec_core::simd::Level::available().map(|level| level.name()).collect();
        m.add("simd_levels", levels)?;
        m.add("measures", ferrec_core::similarity::Measure::NAMES)?;
        m.add("metrics", ferrec_core::metrics::NAMES)?;
        m.add("weightings", ferrec_core::weight::Weighting::NAMES)
    }
}
