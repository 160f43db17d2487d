//! `(XᵀX + reg · I)⁻¹`, dense, in the memory of `XᵀX`.
//!
//! ```text
//! for each block K of columns, R the others:            # the symmetric sweep: A is −A⁻¹ when all are done
//!     D = A_KK⁻¹;  W = A_RK D
//!     A_RR −= W A_KR;  A_RK = W;  A_KK = −D
//! ```
//!
//! Not by LAPACK: OpenBLAS's, with few threads, wrote past its buffers on some ten thousand columns
//! (docs/decisions/0009-inverse.md), and it cannot be stopped. Here every product is of one thread and of sizes that
//! depend on the shape alone: the same bits for any number of threads.

use crate::control::Control;
use crate::csr::Csr;
use crate::dense::Real;
use crate::error::{Error, Result};
use crate::gram::gram;
use faer::linalg::matmul::matmul;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use rayon::prelude::*;

/// Columns of a block, at most: products so deep are as fast as they get.
const DEEPEST: usize = 512;
/// Blocks of a small matrix, at least: what one thread does alone must stay little beside the rest.
const BLOCKS: usize = 16;
/// Block sizes are multiples of this.
const UNIT: usize = 64;
/// Rows that are copied across the diagonal side by side: a cache line of f32.
const SIDE: usize = 16;

/// The inverse, row after row; whole, though it is symmetric.
pub fn inverse_gram<T: Real>(x: &Csr, reg: f64, control: &Control) -> Result<Vec<T>> {
    let n = x.n_cols();
    let mut a = gram(x, T::of, control)?;
    for i in 0..n {
        a[i * (n + 1)] = T::of(a[i * (n + 1)].wide() + reg);
    }
    invert(&mut a, n, control).map_err(|error| error.got(reg))?;
    // 1 / P_ii is what the others leave of item i's variance, and reg at least.
    let fits = |p: f64| p > 0.0 && p * reg <= 2.0;
    if (0..n).any(|i| !fits(a[i * (n + 1)].wide())) {
        return Err(not_positive::<T>().got(reg));
    }
    Ok(a)
}

fn not_positive<T>() -> Error {
    let (problem, advice) = match size_of::<T>() {
        4 => ("XᵀX + reg · I is not positive definite in float32", "raise it, or take dtype=\"float64\""),
        _ => ("XᵀX + reg · I is not positive definite in float64", "raise it"),
    };
    Error::parameter("reg", problem, ()).advise(advice)
}

/// Replaces a positive definite matrix, given by its lower triangle, by its inverse.
fn invert<T: Real>(a: &mut [T], n: usize, control: &Control) -> Result<()> {
    let deep = (n / BLOCKS).next_multiple_of(UNIT).clamp(UNIT, DEEPEST);
    let mut across = vec![T::default(); n * deep.min(n)];
    control.start(n as u64);
    for first in (0..n).step_by(deep) {
        let end = n.min(first + deep);
        let across = &mut across[..n * (end - first)];
        gather(a, n, first, across, control)?;
        sweep(a, n, first, across, deep / 2, control)?;
        control.advance((end - first) as u64);
    }
    a.par_chunks_mut(n.max(1)).for_each(|row| row.iter_mut().for_each(|v| *v = -*v));
    mirror(a, n);
    Ok(())
}

/// `A_RK`, a row for every row of `a`; 0 in those of K.
fn gather<T: Real>(a: &[T], n: usize, first: usize, across: &mut [T], control: &Control) -> Result<()> {
    let deep = across.len() / n;
    let end = first + deep;
    let rows = across.par_chunks_mut(deep * SIDE).enumerate();
    rows.try_for_each(|(chunk, rows)| {
        control.check()?;
        for (at, to) in rows.chunks_mut(deep).enumerate() {
            let row = chunk * SIDE + at;
            if row >= end {
                to.copy_from_slice(&a[row * n + first..row * n + end]);
            } else if row >= first {
                to.fill(T::default());
            } else {
                to.iter_mut().enumerate().for_each(|(k, v)| *v = a[(first + k) * n + row]);
            }
        }
        Ok(())
    })
}

/// One block of the sweep. `tall` rows are a piece of work; a block is a whole number of pieces, but for the last.
fn sweep<T: Real>(
    a: &mut [T],
    n: usize,
    first: usize,
    across: &[T],
    tall: usize,
    control: &Control,
) -> Result<()> {
    let deep = across.len() / n;
    let end = first + deep;
    let own = Mat::<T>::from_fn(deep, deep, |i, j| a[(first + i.max(j)) * n + first + i.min(j)]);
    let inverse = own.llt(Side::Lower).map_err(|_| not_positive::<T>())?.inverse();
    // From the last rows: they are the longest, and leave no thread alone at the end.
    let pieces = a.par_chunks_mut(tall * n).enumerate().rev().with_max_len(1);
    pieces.try_for_each(|(piece, rows)| {
        control.check()?;
        let from = piece * tall;
        let (count, to) = (rows.len() / n, from + rows.len() / n);
        if (first..end).contains(&from) {
            let inverse = inverse.get(.., from - first..to - first);
            if first > 0 {
                let before = by_rows(&across[..first * deep], deep);
                let product = columns(rows, n, first, count);
                matmul(product, Accum::Replace, before, inverse, T::of(1.0), Par::Seq);
            }
            for (at, row) in rows.chunks_mut(n).enumerate() {
                (first..=from + at).for_each(|col| row[col] = -inverse[(col - first, at)]);
            }
            return Ok(());
        }
        let mut w = Mat::<T>::zeros(deep, count);
        let own = by_rows(&across[from * deep..to * deep], deep);
        matmul(w.as_mut(), Accum::Replace, inverse.as_ref(), own.transpose(), T::of(1.0), Par::Seq);
        let before = by_rows(&across[..to * deep], deep);
        matmul(columns(rows, n, to, count), Accum::Add, before, w.as_ref(), T::of(-1.0), Par::Seq);
        if from >= end {
            for (at, row) in rows.chunks_mut(n).enumerate() {
                row[first..end].iter_mut().enumerate().for_each(|(k, v)| *v = w[(k, at)]);
            }
        }
        Ok(())
    })
}

/// Rows that lie one after the other, as a matrix.
fn by_rows<T: Real>(values: &[T], width: usize) -> MatRef<'_, T> {
    MatRef::from_column_major_slice(values, width, values.len() / width).transpose()
}

/// The first `width` values of so many rows of length `n`, each as a column.
fn columns<T: Real>(rows: &mut [T], n: usize, width: usize, count: usize) -> MatMut<'_, T> {
    MatMut::from_column_major_slice_with_stride_mut(rows, width, count, n)
}

/// Copies the lower triangle to the upper one.
fn mirror<T: Real>(a: &mut [T], n: usize) {
    for first in (0..n).step_by(DEEPEST) {
        let end = n.min(first + DEEPEST);
        for row in first..end {
            for col in row + 1..end {
                a[row * n + col] = a[col * n + row];
            }
        }
        let (above, below) = a.split_at_mut(end * n);
        let rows = above[first * n..].par_chunks_mut(SIDE * n).enumerate();
        rows.for_each(|(side, rows)| {
            for (at, from) in below.chunks(n).enumerate() {
                for (k, row) in rows.chunks_mut(n).enumerate() {
                    row[end + at] = from[first + side * SIDE + k];
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(n: usize) -> Vec<f64> {
        let value = |i: usize, j: usize| 1.0 / (1.0 + i.abs_diff(j) as f64) + 0.3 * ((i * j) % 7) as f64;
        let full = |i: usize, j: usize| (0..n).map(|k| value(i, k) * value(j, k)).sum::<f64>();
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                a[i * n + j] = full(i, j) + if i == j { 1.0 } else { 0.0 };
            }
        }
        a
    }

    /// Sizes around units, pieces and blocks; whatever stands above the diagonal does not count.
    #[test]
    fn times_the_matrix_is_one() {
        for n in [0, 1, 2, 31, 63, 64, 65, 96, 97, 128, 200, 319] {
            let whole = made(n);
            let mut p = whole.clone();
            for i in 0..n {
                p[i * n + i + 1..(i + 1) * n].fill(f64::NAN);
            }
            let control = Control::new();
            invert(&mut p, n, &control).expect("positive definite");
            assert_eq!(control.progress(), (n as u64, n as u64));
            for i in 0..n {
                for j in 0..n {
                    let a = |k: usize| whole[i.max(k) * n + i.min(k)];
                    let sum: f64 = (0..n).map(|k| a(k) * p[k * n + j]).sum();
                    let off = (sum - if i == j { 1.0 } else { 0.0 }).abs();
                    assert!(off < 1e-8, "{n}: ({i}, {j}) is off by {off}");
                    assert_eq!(p[i * n + j].to_bits(), p[j * n + i].to_bits());
                }
            }
        }
    }

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let n = 300;
        let one = |threads: usize| {
            let mut p: Vec<f32> = made(n).into_iter().map(|v| v as f32).collect();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| invert(&mut p, n, &Control::new())).expect("positive definite");
            p
        };
        assert_eq!(one(1), one(2));
        assert_eq!(one(1), one(5));
    }

    #[test]
    fn what_cannot_be_inverted_is_refused() {
        let mut a = vec![1.0, 0.0, 2.0, 1.0];
        assert!(invert(&mut a, 2, &Control::new()).is_err());
        let stopped = Control::new();
        stopped.cancel();
        assert!(matches!(invert(&mut made(70), 70, &stopped), Err(Error::Interrupted)));
    }
}
