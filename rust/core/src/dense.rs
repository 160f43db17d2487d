//! The little dense algebra that the factor models need, over faer's sequential kernels.
//!
//! Everything tall is cut into pieces whose sizes depend on the shape alone, and partial sums are added in the
//! order of the pieces: the same bits for any number of threads.

use crate::error::{Error, Result};
use crate::stateless::mix;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use rayon::prelude::*;

/// Columns of a block: one cache line of f32.
pub(crate) const B: usize = 16;
/// One row of a block.
pub(crate) type Row<T> = [T; B];

/// Rows of a tall matrix that are multiplied at once: a piece of the basis stays in the second-level cache.
const PIECE: usize = 256;
/// Tall matrices are reduced in at most this many parallel parts.
const PARTS: usize = 64;

/// f32 or f64.
pub trait Real: faer::traits::RealField + Copy + Default + Send + Sync {
    /// Rounds.
    fn of(value: f64) -> Self;
    /// Exact.
    fn from_f32(value: f32) -> Self;
    /// Exact.
    fn wide(self) -> f64;
    /// What rounding takes from the largest eigenvalue of a Gram operator.
    const NOISE: f64;
}

impl Real for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    const NOISE: f64 = 4e-7;
}

impl Real for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f64::from(value)
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    const NOISE: f64 = 1e-15;
}

/// SplitMix64 (Steele et al., OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in −1 … 1.
    pub(crate) fn next<T: Real>(&mut self) -> T {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        T::of((mix(self.0) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0)
    }

    pub(crate) fn block<T: Real>(&mut self, n: usize) -> Vec<Row<T>> {
        (0..n).map(|_| std::array::from_fn(|_| self.next())).collect()
    }
}

/// A tall matrix, row after row.
pub(crate) struct Tall<T> {
    pub(crate) n_rows: usize,
    pub(crate) n_cols: usize,
    pub(crate) data: Vec<T>,
}

impl<T: Real> Tall<T> {
    pub(crate) fn new(n_rows: usize, n_cols: usize) -> Self {
        Self { n_rows, n_cols, data: vec![T::default(); n_rows * n_cols] }
    }

    /// Writes a block to the columns from `col` on.
    pub(crate) fn put(&mut self, col: usize, block: &[Row<T>]) {
        let width = B.min(self.n_cols - col);
        let rows = self.data.par_chunks_mut(self.n_cols.max(1)).zip(block).with_min_len(PIECE);
        rows.for_each(|(row, values)| row[col..col + width].copy_from_slice(&values[..width]));
    }

    /// Columns from `col` on as a block, filled up with 0.
    pub(crate) fn block(&self, col: usize) -> Vec<Row<T>> {
        let width = B.min(self.n_cols - col);
        let mut out = vec![[T::default(); B]; self.n_rows];
        for (row, values) in out.iter_mut().zip(self.data.chunks(self.n_cols)) {
            row[..width].copy_from_slice(&values[col..col + width]);
        }
        out
    }

    /// Overwrites the first columns of every row with `row[..by.nrows()] @ by`.
    pub(crate) fn multiply(&mut self, by: MatRef<'_, f64>) {
        let (from, to, stride) = (by.nrows(), by.ncols(), self.n_cols);
        if from == 0 || to == 0 {
            return;
        }
        let by = Mat::from_fn(from, to, |i, j| T::of(by[(i, j)]));
        let scratch = || vec![T::default(); PIECE * to];
        self.data.par_chunks_mut(PIECE * stride).for_each_init(scratch, |out, rows| {
            let n = rows.len() / stride;
            let out = &mut out[..n * to];
            let left = MatRef::from_row_major_slice_with_stride(&*rows, n, from, stride);
            let product = MatMut::from_row_major_slice_mut(&mut *out, n, to);
            matmul(product, Accum::Replace, left, by.as_ref(), T::of(1.0), Par::Seq);
            for (row, product) in rows.chunks_mut(stride).zip(out.chunks(to)) {
                row[..to].copy_from_slice(product);
            }
        });
    }

    /// The Gram matrix of all columns, in f64.
    pub(crate) fn gram(&self) -> Mat<f64> {
        let k = self.n_cols;
        let parts = self.data.par_chunks(part_rows(self.n_rows) * k.max(1)).map(|rows| {
            let mut sum = Mat::<f64>::zeros(k, k);
            let mut piece = Vec::with_capacity(PIECE * k);
            for rows in rows.chunks(PIECE * k) {
                piece.clear();
                piece.extend(rows.iter().map(|v| v.wide()));
                let wide = MatRef::from_row_major_slice(&piece[..], rows.len() / k, k);
                matmul(sum.as_mut(), Accum::Add, wide.transpose(), wide, 1.0, Par::Seq);
            }
            sum
        });
        let parts: Vec<_> = parts.collect();
        parts.into_iter().fold(Mat::zeros(k, k), |total, part| total + part)
    }

    /// `basis[.., ..cols]ᵀ @ block`, in f64, row after row.
    pub(crate) fn project(&self, cols: usize, block: &[Row<T>]) -> Vec<Row<f64>> {
        let (stride, part) = (self.n_cols, part_rows(self.n_rows));
        let parts = self.data.par_chunks(part * stride).zip(block.par_chunks(part)).map(|(rows, block)| {
            let mut sum = vec![[0.0; B]; cols];
            let mut small = Mat::<T>::zeros(cols, B);
            for (rows, block) in rows.chunks(PIECE * stride).zip(block.chunks(PIECE)) {
                let left = MatRef::from_row_major_slice_with_stride(rows, block.len(), cols, stride);
                let right = MatRef::from_row_major_slice(block.as_flattened(), block.len(), B);
                matmul(small.as_mut(), Accum::Replace, left.transpose(), right, T::of(1.0), Par::Seq);
                for (i, sum) in sum.iter_mut().enumerate() {
                    for (j, s) in sum.iter_mut().enumerate() {
                        *s += small[(i, j)].wide();
                    }
                }
            }
            sum
        });
        let parts: Vec<Vec<Row<f64>>> = parts.collect();
        add_up(parts, cols)
    }

    /// `block -= basis[.., ..by.len()] @ by`.
    pub(crate) fn subtract(&self, by: &[Row<f64>], block: &mut [Row<T>]) {
        let stride = self.n_cols;
        let by: Vec<T> = by.as_flattened().iter().map(|&v| T::of(v)).collect();
        let right = MatRef::from_row_major_slice(&by[..], by.len() / B, B);
        self.data.par_chunks(PIECE * stride).zip(block.par_chunks_mut(PIECE)).for_each(|(rows, block)| {
            let n = block.len();
            let left = MatRef::from_row_major_slice_with_stride(rows, n, by.len() / B, stride);
            let out = MatMut::from_row_major_slice_mut(block.as_flattened_mut(), n, B);
            matmul(out, Accum::Add, left, right, T::of(-1.0), Par::Seq);
        });
    }
}

fn part_rows(n_rows: usize) -> usize {
    n_rows.div_ceil(PARTS).next_multiple_of(PIECE)
}

fn add_up(parts: Vec<Vec<Row<f64>>>, rows: usize) -> Vec<Row<f64>> {
    let mut total = vec![[0.0; B]; rows];
    for part in parts {
        for (total, part) in total.as_flattened_mut().iter_mut().zip(part.as_flattened()) {
            *total += part;
        }
    }
    total
}

/// The Gram matrix of a block.
pub(crate) fn gram_of<T: Real>(block: &[Row<T>]) -> [Row<f64>; B] {
    let parts: Vec<Vec<Row<f64>>> = block
        .par_chunks(part_rows(block.len()).max(1))
        .map(|rows| {
            let mut sum = vec![[0.0; B]; B];
            for row in rows {
                let row = row.map(T::wide);
                for (sum, &v) in sum.iter_mut().zip(&row) {
                    for (s, &w) in sum.iter_mut().zip(&row) {
                        *s += v * w;
                    }
                }
            }
            sum
        })
        .collect();
    let mut total = [[0.0; B]; B];
    total.copy_from_slice(&add_up(parts, B));
    total
}

/// The upper triangle `r` with `rᵀ r = gram`, or `None` where some column all but depends on those before it.
pub(crate) fn cholesky(gram: &[Row<f64>; B], least: f64) -> Option<[Row<f64>; B]> {
    let mut r = [[0.0; B]; B];
    for i in 0..B {
        let pivot = gram[i][i] - r[..i].iter().map(|row| row[i] * row[i]).sum::<f64>();
        // The comparison also refuses NaN.
        if !(pivot > least * gram[i][i] && pivot > f64::MIN_POSITIVE) {
            return None;
        }
        r[i][i] = pivot.sqrt();
        for j in i + 1..B {
            let sum: f64 = r[..i].iter().map(|row| row[i] * row[j]).sum();
            r[i][j] = (gram[i][j] - sum) / r[i][i];
        }
    }
    Some(r)
}

/// `block = block @ r⁻¹` for an upper triangle.
pub(crate) fn divide<T: Real>(block: &mut [Row<T>], r: &[Row<f64>; B]) {
    let mut inverse = [[0.0; B]; B];
    for j in 0..B {
        inverse[j][j] = 1.0 / r[j][j];
        for i in (0..j).rev() {
            let sum: f64 = (i + 1..=j).map(|m| r[i][m] * inverse[m][j]).sum();
            inverse[i][j] = -sum / r[i][i];
        }
    }
    let inverse = inverse.map(|row| row.map(T::of));
    block.par_iter_mut().with_min_len(PIECE).for_each(|row| {
        let mut out = [T::default(); B];
        for (&v, inverse) in row.iter().zip(&inverse) {
            for (o, &w) in out.iter_mut().zip(inverse) {
                *o += v * w;
            }
        }
        *row = out;
    });
}

/// `a @ b` of small squares.
pub(crate) fn product(a: &[Row<f64>; B], b: &[Row<f64>; B]) -> [Row<f64>; B] {
    let mut out = [[0.0; B]; B];
    for (out, a) in out.iter_mut().zip(a) {
        for (&v, b) in a.iter().zip(b) {
            for (o, &w) in out.iter_mut().zip(b) {
                *o += v * w;
            }
        }
    }
    out
}

/// Eigenvalues, greatest first, and eigenvectors of a symmetric matrix of which the lower triangle is read.
pub(crate) fn eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = matrix.nrows();
    let found = matrix.self_adjoint_eigen(Side::Lower);
    let found = found.map_err(|_| Error::values("x", "an eigenvalue decomposition did not converge", ()))?;
    let values = (0..n).rev().map(|i| found.S()[i]).collect();
    let vectors = Mat::from_fn(n, n, |i, j| found.U()[(i, n - 1 - j)]);
    Ok((values, vectors))
}
