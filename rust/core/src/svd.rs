//! The largest singular triplets of a sparse matrix.
//!
//! ```text
//! Q = orth(XᵀX Ω)                        # 16 random columns
//! until the k best Ritz pairs are exact enough:
//!     Y = XᵀX Q_last                     # the only look at the data: one cache line an entry
//!     Y -= Q (QᵀY), twice; Q grows by orth(Y); T = QᵀXᵀXQ grows with it
//!     when Q is full: keep the best Ritz vectors and the last block
//! W = X V; W = U Σ Pᵀ (k × k); V = V P   # Rayleigh–Ritz of X itself, not of its square
//! ```
//!
//! A block thick-restart Lanczos method (Golub & Underwood 1977; Wu & Simon, SIAM J. Matrix Anal. 2000; that a
//! block of any size will do: Chen et al. 2025, arXiv 2508.06486) with full reorthogonalization. T is made of the
//! coefficients of that orthogonalization, so that it is the exact projection whatever the next block is: a
//! direction that is exhausted is replaced by a random one.

use crate::control::Control;
use crate::csr::{Csr, View};
use crate::dense::{B, Random, Real, Row, Tall, cholesky, divide, eigen, gram_of, product};
use crate::error::{Error, Result};
use crate::simd::{Isa, Job, Level, dispatch};
use faer::{Mat, MatRef};
use rayon::prelude::*;
use std::ops::Range;

/// What to compute, and how exactly.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Triplets wanted, at least 1.
    pub k: usize,
    /// Relative: singular values are within 10 of it.
    pub tol: f64,
    /// Subtract the mean of every column first (without making the matrix dense).
    pub center: bool,
    /// Of the random start.
    pub seed: u64,
}

/// `u @ diag(s) @ vt`, with as many triplets as there are, at most k.
pub struct Svd {
    /// Left vectors, n_rows × rank, row after row.
    pub u: Vec<f32>,
    /// Singular values, greatest first.
    pub s: Vec<f32>,
    /// Right vectors, rank × n_cols, row after row; the largest entry of each (the first of equal ones) is positive.
    pub vt: Vec<f32>,
    /// The means that were subtracted; empty without `center`.
    pub means: Vec<f64>,
}

/// Singular values below this share of the greatest are none: float32 input says nothing about them.
const SMALLEST: f64 = 1e-6;
/// The same beside what centering subtracts: what is left of rows that are all alike is rounding.
const LEFT_BY_CENTERING: f64 = 1e-9;
/// Sides up to this length take the dense eigendecomposition of the Gram matrix.
const DENSE_UNTIL: usize = 1000;
/// So do longer ones of which most vectors are wanted, up to this length.
const MOST_UNTIL: usize = 4096;
/// Restarts after which the method gives up.
const MOST_RESTARTS: usize = 1000;
/// Blocks between two looks at the Ritz values.
const LOOK_EVERY: usize = 4;
/// What Cholesky's failure means.
const INSEPARABLE: &str = "its singular vectors could not be told apart";

/// The `k` largest singular triplets of `x`.
pub fn truncated_svd(x: &Csr, settings: Settings, control: &Control) -> Result<Svd> {
    let Settings { k, tol, center, .. } = settings;
    if !(tol > 0.0 && tol < 1.0) {
        return Err(Error::parameter("tol", "must be above 0 and below 1", tol));
    }
    let means = if center { column_means(x) } else { Vec::new() };
    let wide = x.n_rows() < x.n_cols();
    let turned = wide.then(|| x.transpose());
    let tall = turned.as_ref().unwrap_or(x);
    let found = match Operator::new(tall, &means, wide) {
        Some(op) => solve(&op, Settings { k: k.min(tall.n_cols()), ..settings }, control)?,
        None => {
            Found { left: Tall::new(tall.n_rows(), 0), s: Vec::new(), right: Tall::new(tall.n_cols(), 0) }
        }
    };
    let s: Vec<f32> = found.s.iter().map(|&s| s as f32).collect();
    if let Some(&s) = s.iter().find(|s| !s.is_finite()) {
        return Err(Error::overflow("x", "a singular value exceeds float32", s));
    }
    let (mut u, mut v) = if wide { (found.right, found.left) } else { (found.left, found.right) };
    fix_signs(&mut u, &mut v);
    Ok(Svd { u: u.data, s, vt: transposed(&v), means })
}

fn column_means(x: &Csr) -> Vec<f64> {
    let n = x.n_rows().max(1) as f64;
    x.column_sums(f64::from).into_iter().map(|sum| sum / n).collect()
}

fn fix_signs(u: &mut Tall<f32>, v: &mut Tall<f32>) {
    let k = v.n_cols;
    let mut largest = vec![0.0_f32; k];
    for row in v.data.chunks(k.max(1)) {
        for (l, &x) in largest.iter_mut().zip(row) {
            if x.abs() > l.abs() {
                *l = x;
            }
        }
    }
    for row in u.data.chunks_mut(k.max(1)).chain(v.data.chunks_mut(k.max(1))) {
        for (x, l) in row.iter_mut().zip(&largest) {
            if *l < 0.0 {
                *x = -*x;
            }
        }
    }
}

fn transposed(v: &Tall<f32>) -> Vec<f32> {
    let (n, k) = (v.n_rows, v.n_cols);
    let mut out = vec![0.0; n * k];
    out.par_chunks_mut(n.max(1)).enumerate().for_each(|(at, out)| {
        out.iter_mut().zip(v.data.chunks(k)).for_each(|(o, row)| *o = row[at]);
    });
    out
}

/// Triplets of a matrix with at least as many rows as columns.
struct Found {
    left: Tall<f32>,
    s: Vec<f64>,
    right: Tall<f32>,
}

fn solve(op: &Operator<'_>, settings: Settings, control: &Control) -> Result<Found> {
    let (n, k) = (op.n_cols, settings.k);
    control.start(k as u64);
    if n <= DENSE_UNTIL || (basis_size(k) >= n && n <= MOST_UNTIL) {
        let (values, vectors) = eigen(op.dense_gram(control)?.as_ref())?;
        let greatest = values[0].max(op.subtracted);
        let keep = values.iter().take(k).filter(|&&v| v > f64::EPSILON * greatest).count();
        let mut right = Tall::<f64>::new(n, keep);
        for (i, row) in right.data.chunks_mut(keep.max(1)).enumerate() {
            row.iter_mut().enumerate().for_each(|(j, v)| *v = vectors[(i, j)]);
        }
        return finish(op, right, control);
    }
    // Rounding in f32 is about 6e-8 of the greatest eigenvalue: too much for the σ far below it.
    let least = 1e-8 / settings.tol;
    if least < 1.0
        && let Some(right) = lanczos::<f32>(op, settings, least, control)?
    {
        return finish(op, right, control);
    }
    match lanczos::<f64>(op, settings, 0.0, control)? {
        Some(right) => finish(op, right, control),
        None => Err(Error::parameter("tol", "was not reached", settings.tol).advise("raise it")),
    }
}

/// From a basis of the right side to the triplets.
fn finish<T: Real>(op: &Operator<'_>, mut right: Tall<T>, control: &Control) -> Result<Found>
where
    Tall<T>: Narrow,
{
    orthonormalize(&mut right)?;
    let mut left = op.apply(&right, control)?;
    let gram = left.gram();
    // σ of the columns, which are all but orthogonal: what is left to do is well conditioned once they are
    // scaled, however far the σ lie apart.
    let norms: Vec<f64> = (0..gram.nrows()).map(|i| gram[(i, i)].sqrt()).collect();
    let greatest = norms.iter().copied().fold(0.0, f64::max);
    let least = (SMALLEST * greatest).max(LEFT_BY_CENTERING * op.subtracted.sqrt());
    let kept: Vec<usize> = (0..norms.len()).filter(|&i| norms[i] > least).collect();
    let k = kept.len();
    if k == 0 {
        return Ok(Found {
            left: Tall::new(left.n_rows, 0),
            s: Vec::new(),
            right: Tall::new(right.n_rows, 0),
        });
    }
    let scaled = Mat::from_fn(k, k, |i, j| gram[(kept[i], kept[j])] / (norms[kept[i]] * norms[kept[j]]));
    let lower = scaled.as_ref().llt(faer::Side::Lower);
    let lower = lower.map_err(|_| Error::values("x", INSEPARABLE, ()))?;
    let upper = Mat::from_fn(k, k, |i, j| if i > j { 0.0 } else { lower.L()[(j, i)] * norms[kept[j]] });
    let svd = upper.svd().map_err(|_| Error::values("x", "a k × k SVD did not converge", ()))?;
    let s: Vec<f64> = (0..k).map(|i| svd.S()[i]).collect();
    let full = norms.len();
    let mut turn = Mat::<f64>::zeros(full, k);
    let mut turn_left = Mat::<f64>::zeros(full, k);
    for (i, &row) in kept.iter().enumerate() {
        for j in 0..k {
            turn[(row, j)] = svd.V()[(i, j)];
            turn_left[(row, j)] = svd.V()[(i, j)] / s[j];
        }
    }
    right.multiply(turn.as_ref());
    left.multiply(turn_left.as_ref());
    let s = s.into_iter().map(|s| s * op.unit).collect();
    Ok(Found { left: left.narrow(k), s, right: right.narrow(k) })
}

/// To f32, with fewer columns.
trait Narrow {
    fn narrow(self, n_cols: usize) -> Tall<f32>;
}

impl Narrow for Tall<f32> {
    fn narrow(self, n_cols: usize) -> Tall<f32> {
        if self.n_cols == n_cols {
            return self;
        }
        let (n_rows, stride) = (self.n_rows, self.n_cols);
        let data = self.data.chunks(stride.max(1)).flat_map(|row| row[..n_cols].iter().copied()).collect();
        Tall { n_rows, n_cols, data }
    }
}

impl Narrow for Tall<f64> {
    fn narrow(self, n_cols: usize) -> Tall<f32> {
        let (n_rows, stride) = (self.n_rows, self.n_cols);
        let rows = self.data.chunks(stride.max(1));
        Tall { n_rows, n_cols, data: rows.flat_map(|row| row[..n_cols].iter().map(|&v| v as f32)).collect() }
    }
}

/// Takes from all but orthonormal columns what rounding has left.
fn orthonormalize<T: Real>(v: &mut Tall<T>) -> Result<()> {
    let lower = v.gram();
    let lower = lower.llt(faer::Side::Lower);
    let lower = lower.map_err(|_| Error::values("x", INSEPARABLE, ()))?;
    let k = v.n_cols;
    let mut inverse = Mat::<f64>::identity(k, k);
    faer::linalg::triangular_solve::solve_lower_triangular_in_place(
        lower.L(),
        inverse.as_mut(),
        faer::Par::Seq,
    );
    v.multiply(inverse.transpose());
    Ok(())
}

/// Columns of the basis.
fn basis_size(k: usize) -> usize {
    (3 * k).max(k + 6 * B).next_multiple_of(B)
}

/// Where a run of the method stands.
struct Basis<T> {
    q: Tall<T>,
    /// Columns in use.
    used: usize,
    /// `QᵀAQ`, lower triangle.
    t: Mat<f64>,
}

/// The k best right vectors, or `None` where this precision cannot tell them (the ratio of the k-th to the first
/// eigenvalue is below `least`) or the method does not come to an end.
fn lanczos<T: Real>(
    op: &Operator<'_>,
    settings: Settings,
    least: f64,
    control: &Control,
) -> Result<Option<Tall<T>>> {
    let Settings { k, tol, seed, .. } = settings;
    let (n, size) = (op.n_cols, basis_size(k));
    let mut random = Random::new(seed ^ 0x5DEE_CE66);
    let mut scratch = op.scratch::<T>();
    let mut basis = Basis { q: Tall::<T>::new(n, size), used: 0, t: Mat::zeros(size, size) };
    let mut block = op.gram(&random.block(n), &mut scratch, control)?;
    basis.next_block(&mut block, Block::Start, &mut random);
    // The k best values before a cycle with a fresh start, which must not change them.
    let mut doubted: Option<Vec<f64>> = None;
    let (mut restarts, mut looked, mut best) = (0, 0, 0);

    loop {
        let from = basis.used;
        basis.q.put(from, &block);
        basis.used += B;
        block = op.gram(&block, &mut scratch, control)?;
        let rest = basis.next_block(&mut block, Block::Product, &mut random);

        let full = basis.used + B > size;
        looked += 1;
        // A look costs as much as several blocks where the matrix is small: only when most are there already.
        if !full && (looked % LOOK_EVERY != 0 || best < k * 3 / 4 || doubted.is_some()) {
            continue;
        }
        let (values, vectors) = eigen(basis.t.submatrix(0, 0, basis.used, basis.used))?;
        // Products are rounded beside what centering takes from them.
        let greatest = values[0].max(op.subtracted);
        let exact = |i: usize| {
            let norm = residual(&rest, vectors.as_ref(), basis.used, i);
            // An eigenvalue lies within the norm of θ; σ = √θ halves the relative distance.
            norm <= (20.0 * tol * values[i]).max(T::NOISE * greatest)
        };
        let converged = (0..k).take_while(|&i| exact(i)).count();
        if converged > best {
            control.advance((converged - best) as u64);
            best = converged;
        }
        // Ritz values only grow: those of an unfinished run are taken seriously only far below the limit.
        let limit = if converged == k { least } else { least / 4.0 };
        if least > 0.0 && (full || converged == k) && values[k - 1] < limit * greatest {
            return Ok(None);
        }
        if converged == k {
            let stable = doubted.as_ref().is_some_and(|before| {
                before.iter().zip(&values).all(|(b, v)| v - b <= (5.0 * tol * v).max(T::NOISE * greatest))
            });
            if stable || !crowded(&values[..k], tol) {
                basis.q.multiply(vectors.submatrix(0, 0, basis.used, k));
                return Ok(Some(first_columns(basis.q, k)));
            }
        }
        if full {
            restarts += 1;
            if restarts > MOST_RESTARTS {
                return Ok(None);
            }
            let keep = (k + B).max((k + size) / 2 - B).min(size - 2 * B).next_multiple_of(B);
            basis.restart(&values, vectors.as_ref(), keep);
            if converged == k {
                // Many equal values: a block of 16 meets at most 16 of each. Ask again, from elsewhere.
                doubted = Some(values[..k].to_vec());
                block = random.block(n);
                basis.next_block(&mut block, Block::Start, &mut random);
            } else {
                doubted = None;
            }
        }
    }
}

fn first_columns<T: Real>(mut q: Tall<T>, k: usize) -> Tall<T> {
    let stride = q.n_cols;
    for row in 0..q.n_rows {
        q.data.copy_within(row * stride..row * stride + k, row * k);
    }
    q.data.truncate(q.n_rows * k);
    q.data.shrink_to_fit();
    Tall { n_cols: k, ..q }
}

/// Are there as many values in one place as a block has columns?
fn crowded(values: &[f64], tol: f64) -> bool {
    let close = (20.0 * tol).max(2e-3);
    values.windows(B).any(|w| w[0] - w[B - 1] <= close * w[0])
}

/// How far `A v` is from `θ v` for the Ritz vector `i`.
fn residual(rest: &[Row<f64>; B], vectors: MatRef<'_, f64>, used: usize, i: usize) -> f64 {
    let sum = |row: &Row<f64>| (0..B).map(|j| row[j] * vectors[(used - B + j, i)]).sum::<f64>();
    rest.iter().map(|row| sum(row).powi(2)).sum::<f64>().sqrt()
}

/// What a block is: A times the last one, or where to begin.
#[derive(PartialEq)]
enum Block {
    Product,
    Start,
}

impl<T: Real> Basis<T> {
    /// Makes `block`, which is A times the last block of the basis, orthonormal to the basis and in itself; its
    /// coefficients in the basis go to T, those in itself are the answer.
    fn next_block(&mut self, block: &mut [Row<T>], kind: Block, random: &mut Random) -> [Row<f64>; B] {
        let mut inner = identity();
        let mut outer = vec![[0.0; B]; self.used];
        for pass in 0..3 {
            let found = self.q.project(self.used, block);
            self.q.subtract(&found, block);
            for (outer, found) in outer.iter_mut().zip(&found) {
                for (j, &v) in found.iter().enumerate() {
                    (0..B).for_each(|m| outer[m] += v * inner[j][m]);
                }
            }
            let gram = gram_of(block);
            // Twice is enough, unless nearly everything was taken away.
            match cholesky(&gram, 1e-9) {
                Some(r) => {
                    divide(block, &r);
                    inner = product(&r, &inner);
                    let steady = (0..B).all(|i| r[i][i] > 0.5);
                    if pass > 0 && steady {
                        break;
                    }
                }
                None => inner = product(&self.by_columns(block, random), &inner),
            }
        }
        if kind == Block::Product {
            let from = self.used - B;
            for (i, row) in outer.iter().enumerate() {
                for (j, &v) in row.iter().enumerate().filter(|&(j, _)| i <= from + j) {
                    self.t[(from + j, i)] = v;
                }
            }
        }
        inner
    }

    /// The same one column at a time; columns that depend on the others are replaced by random directions, and
    /// where there are none left by 0.
    fn by_columns(&self, block: &mut [Row<T>], random: &mut Random) -> [Row<f64>; B] {
        let mut r = [[0.0; B]; B];
        let before = gram_of(block);
        let scale = (0..B).map(|j| before[j][j]).fold(0.0, f64::max).sqrt();
        for j in 0..B {
            for attempt in 0..3 {
                let start = norm(block, j);
                // Projections until one takes little away: then what is left is orthogonal.
                let (mut last, mut left) = (start, 0.0);
                for _ in 0..4 {
                    if attempt > 0 {
                        self.clear(block, j);
                    }
                    for i in 0..j {
                        let part = dot(block, i, j);
                        block.iter_mut().for_each(|row| row[j] -= T::of(part) * row[i]);
                        if attempt == 0 {
                            r[i][j] += part;
                        }
                    }
                    left = norm(block, j);
                    if left > 0.5 * last {
                        break;
                    }
                    last = left;
                }
                let enough = if attempt == 0 { scale * T::NOISE.sqrt() } else { start * 1e-3 };
                if left > enough {
                    block.iter_mut().for_each(|row| row[j] = T::of(row[j].wide() / left));
                    if attempt == 0 {
                        r[j][j] = left;
                    }
                    break;
                }
                let fill = attempt < 2;
                block.iter_mut().for_each(|row| row[j] = if fill { random.next() } else { T::default() });
            }
        }
        r
    }

    /// Takes the basis out of one column.
    fn clear(&self, block: &mut [Row<T>], j: usize) {
        let only = |row: &Row<T>| {
            let mut out = [T::default(); B];
            out[0] = row[j];
            out
        };
        let mut column: Vec<Row<T>> = block.iter().map(only).collect();
        let found = self.q.project(self.used, &column);
        self.q.subtract(&found, &mut column);
        block.iter_mut().zip(&column).for_each(|(row, c)| row[j] = c[0]);
    }

    /// Keeps the best Ritz vectors.
    fn restart(&mut self, values: &[f64], vectors: MatRef<'_, f64>, keep: usize) {
        self.q.multiply(vectors.submatrix(0, 0, self.used, keep));
        self.used = keep;
        self.t = Mat::zeros(self.q.n_cols, self.q.n_cols);
        (0..keep).for_each(|i| self.t[(i, i)] = values[i]);
    }
}

fn identity() -> [Row<f64>; B] {
    let mut out = [[0.0; B]; B];
    (0..B).for_each(|i| out[i][i] = 1.0);
    out
}

fn dot<T: Real>(block: &[Row<T>], i: usize, j: usize) -> f64 {
    block.iter().map(|row| row[i].wide() * row[j].wide()).sum()
}

fn norm<T: Real>(block: &[Row<T>], j: usize) -> f64 {
    dot(block, j, j).sqrt()
}

/// `A = unit⁻¹ (X − a bᵀ)`, a matrix with at least as many rows as columns.
struct Operator<'a> {
    x: View<'a>,
    n_rows: usize,
    n_cols: usize,
    /// Divides the values, so that no square over- or underflows.
    unit: f64,
    /// What centering subtracts, a bᵀ.
    shift: Option<(Vec<f64>, Vec<f64>)>,
    /// Its eigenvalue, |a|² |b|².
    subtracted: f64,
    /// Runs of rows that are added up apart, always the same.
    parts: Vec<Range<usize>>,
}

/// A part is worth its own sums, as long as the matrix, when it has so many entries for each of their rows.
const ENTRIES_PER_SUM: usize = 32;
const FEWEST_PARTS: usize = 8;
const MOST_PARTS: usize = 64;
/// Fewer entries than this are not worth a second thread.
const PART_ENTRIES: usize = 1 << 12;

impl<'a> Operator<'a> {
    /// `None` where the matrix is all zero.
    fn new(x: &'a Csr, means: &[f64], turned: bool) -> Option<Self> {
        let (n_rows, n_cols) = (x.n_rows(), x.n_cols());
        let unit = x.values().iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        if unit == 0.0 {
            return None;
        }
        let unit = f64::from(unit);
        let shift = (!means.is_empty()).then(|| {
            let means: Vec<f64> = means.iter().map(|m| m / unit).collect();
            if turned { (means, vec![1.0; n_cols]) } else { (vec![1.0; n_rows], means) }
        });
        let wanted = (x.nnz() / (ENTRIES_PER_SUM * n_cols)).clamp(FEWEST_PARTS, MOST_PARTS);
        let n_parts = wanted.min(x.nnz().div_ceil(PART_ENTRIES));
        let mut parts = Vec::with_capacity(n_parts);
        let mut start = 0;
        for part in 1..=n_parts {
            let goal = (x.nnz() * part / n_parts) as i64;
            let end = if part == n_parts { n_rows } else { x.indptr().partition_point(|&p| p < goal) };
            let end = end.clamp(start, n_rows);
            parts.push(start..end);
            start = end;
        }
        let square = |side: &[f64]| side.iter().map(|v| v * v).sum::<f64>();
        let subtracted = shift.as_ref().map_or(0.0, |(a, b)| square(a) * square(b));
        Some(Self { x: x.view(), n_rows, n_cols, unit, shift, subtracted, parts })
    }

    fn scratch<T: Real>(&self) -> Vec<Vec<Row<T>>> {
        self.parts.iter().map(|_| vec![[T::default(); B]; self.n_cols]).collect()
    }

    /// `bᵀ q`: what every row subtracts, times its `a`.
    fn shift_of<T: Real>(&self, q: &[Row<T>]) -> Option<(&[f64], Row<f64>)> {
        let (a, b) = self.shift.as_ref()?;
        let mut sum = [0.0; B];
        for (row, &b) in q.iter().zip(b) {
            (0..B).for_each(|l| sum[l] += b * row[l].wide());
        }
        Some((a, sum))
    }

    /// `AᵀA q`.
    fn gram<T: Real>(
        &self,
        q: &[Row<T>],
        scratch: &mut [Vec<Row<T>>],
        control: &Control,
    ) -> Result<Vec<Row<T>>> {
        let shift = self.shift_of(q);
        let level = Level::current();
        let unit = T::of(1.0 / self.unit);
        let passes = self.parts.par_iter().zip(&mut *scratch).with_max_len(1).map(|(rows, z)| {
            control.check()?;
            z.fill([T::default(); B]);
            Ok(dispatch(level, GramPart { x: self.x, rows: rows.clone(), q, z, unit, shift }))
        });
        let totals: Vec<Row<f64>> = passes.collect::<Result<_>>()?;
        let correction = self.shift.as_ref().map(|(_, b)| {
            let mut total = [0.0; B];
            for part in &totals {
                (0..B).for_each(|l| total[l] += part[l]);
            }
            (b, total)
        });
        let mut out = vec![[T::default(); B]; self.n_cols];
        out.par_iter_mut().enumerate().with_min_len(1024).for_each(|(col, out)| {
            for part in &*scratch {
                (0..B).for_each(|l| out[l] += part[col][l]);
            }
            if let Some((b, total)) = &correction {
                (0..B).for_each(|l| out[l] -= T::of(b[col] * total[l]));
            }
        });
        Ok(out)
    }

    /// `A v`.
    fn apply<T: Real>(&self, v: &Tall<T>, control: &Control) -> Result<Tall<T>> {
        let (k, level) = (v.n_cols, Level::current());
        let mut out = Tall::<T>::new(self.n_rows, k);
        let unit = T::of(1.0 / self.unit);
        for col in (0..k).step_by(B) {
            let q = v.block(col);
            let shift = self.shift_of(&q);
            let mut jobs = Vec::with_capacity(self.parts.len());
            let mut rest = &mut out.data[..];
            for rows in &self.parts {
                let (head, tail) = rest.split_at_mut(rows.len() * k);
                jobs.push((rows.clone(), head));
                rest = tail;
            }
            jobs.into_par_iter().with_max_len(1).try_for_each(|(rows, out)| {
                control.check()?;
                dispatch(level, ApplyPart { x: self.x, rows, q: &q, unit, shift, out, col, stride: k });
                Ok(())
            })?;
        }
        Ok(out)
    }

    /// `AᵀA`, dense.
    fn dense_gram(&self, control: &Control) -> Result<Mat<f64>> {
        let n = self.n_cols;
        let mut out = Mat::<f64>::zeros(n, n);
        let mut scratch = self.scratch::<f64>();
        for from in (0..n).step_by(B) {
            let mut unit = vec![[0.0; B]; n];
            (from..n.min(from + B)).for_each(|i| unit[i][i - from] = 1.0);
            let columns = self.gram(&unit, &mut scratch, control)?;
            for (i, row) in columns.iter().enumerate() {
                (from..n.min(from + B)).for_each(|j| out[(i, j)] = row[j - from]);
            }
        }
        Ok(out)
    }
}

/// One row of `A q`.
#[inline(always)]
fn row_of<T: Real>(x: View<'_>, row: usize, q: &[Row<T>], unit: T) -> Row<T> {
    let (cols, values) = x.row(row);
    let n = cols.len().min(values.len());
    let (cols, values) = (&cols[..n], &values[..n]);
    // Two sums, so that an addition need not wait for the one before. Plain loops: see `RowScorer::finish`.
    let (mut even, mut odd) = ([T::default(); B], [T::default(); B]);
    let mut at = 0;
    while at + 1 < n {
        let (a, b) = (&q[cols[at] as usize], &q[cols[at + 1] as usize]);
        let (v, w) = (T::from_f32(values[at]), T::from_f32(values[at + 1]));
        for l in 0..B {
            even[l] += v * a[l];
        }
        for l in 0..B {
            odd[l] += w * b[l];
        }
        at += 2;
    }
    if at < n {
        let (a, v) = (&q[cols[at] as usize], T::from_f32(values[at]));
        for l in 0..B {
            even[l] += v * a[l];
        }
    }
    for l in 0..B {
        even[l] = (even[l] + odd[l]) * unit;
    }
    even
}

/// `z = A[rows]ᵀ A[rows] q`, row by row, so that neither a transposed copy nor the product A q is ever held.
struct GramPart<'a, T> {
    x: View<'a>,
    rows: Range<usize>,
    q: &'a [Row<T>],
    z: &'a mut [Row<T>],
    unit: T,
    shift: Option<(&'a [f64], Row<f64>)>,
}

impl<T: Real> Job for GramPart<'_, T> {
    /// `aᵀ A[rows] q`.
    type Out = Row<f64>;

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> Row<f64> {
        let Self { x, rows, q, z, unit, shift } = self;
        let mut total = [0.0; B];
        for row in rows {
            let mut y = row_of(x, row, q, unit);
            if let Some((a, sums)) = &shift {
                for l in 0..B {
                    y[l] = T::of(y[l].wide() - a[row] * sums[l]);
                    total[l] += a[row] * y[l].wide();
                }
            }
            y.iter_mut().for_each(|y| *y *= unit);
            let (cols, values) = x.row(row);
            let n = cols.len().min(values.len());
            for at in 0..n {
                let (z, v) = (&mut z[cols[at] as usize], T::from_f32(values[at]));
                for l in 0..B {
                    z[l] += v * y[l];
                }
            }
        }
        total
    }
}

/// Sixteen columns of some rows of `A v`.
struct ApplyPart<'a, T> {
    x: View<'a>,
    rows: Range<usize>,
    q: &'a [Row<T>],
    unit: T,
    shift: Option<(&'a [f64], Row<f64>)>,
    out: &'a mut [T],
    col: usize,
    stride: usize,
}

impl<T: Real> Job for ApplyPart<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Self { x, rows, q, unit, shift, out, col, stride } = self;
        let width = B.min(stride - col);
        for (row, out) in rows.zip(out.chunks_mut(stride)) {
            let mut y = row_of(x, row, q, unit);
            if let Some((a, sums)) = &shift {
                for l in 0..B {
                    y[l] = T::of(y[l].wide() - a[row] * sums[l]);
                }
            }
            out[col..col + width].copy_from_slice(&y[..width]);
        }
    }
}
