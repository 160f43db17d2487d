//! The one sparse matrix type.

use crate::error::{Error, Result};
use crate::offsets::{self, PIECE};
use crate::simd::prefetch;
use rayon::prelude::*;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Frozen storage that somebody keeps alive: a vector of ours, a NumPy array, a memory-mapped file.
#[derive(Clone)]
pub struct Buf<T: 'static>(Arc<dyn AsRef<[T]> + Send + Sync>);

impl<T> Buf<T> {
    /// Shares the memory of `owner`, which must always give the same slice.
    pub fn shared(owner: impl AsRef<[T]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(owner))
    }
}

impl<T> Deref for Buf<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        (*self.0).as_ref()
    }
}

impl<T: Send + Sync> From<Vec<T>> for Buf<T> {
    fn from(v: Vec<T>) -> Self {
        Self::shared(v)
    }
}

/// A frozen matrix in compressed rows.
///
/// Invariants, checked by [`Csr::new`] and relied upon afterwards:
/// - `indptr` starts at 0, never falls, and ends at the number of stored entries;
/// - both dimensions fit in `i32`;
/// - every column id is in `0..n_cols`; within a row they ascend strictly (sorted, no duplicates);
/// - every value is finite.
#[derive(Clone)]
pub struct Csr {
    indptr: Buf<i64>,
    indices: Buf<i32>,
    values: Buf<f32>,
    n_cols: usize,
}

impl Csr {
    /// Validates the parts; `name` is the argument that errors speak of. Unsorted rows are sorted and
    /// duplicate entries summed in a copy; otherwise the storage is kept as it is.
    pub fn new(
        name: &str,
        indptr: Buf<i64>,
        indices: Buf<i32>,
        values: Buf<f32>,
        n_cols: usize,
    ) -> Result<Self> {
        let n_rows = indptr.len().saturating_sub(1);
        if n_cols > i32::MAX as usize || n_rows > i32::MAX as usize {
            let problem = format!("must have at most {} rows and columns", i32::MAX);
            return Err(Error::shape(name, problem, (n_rows, n_cols)));
        }
        if indices.len() != values.len() {
            let problem = format!("must have a value for each of its {} column indices", indices.len());
            return Err(Error::layout(name, problem, values.len()));
        }
        offsets::check(name, &indptr, indices.len())?;
        let csr = Self { indptr, indices, values, n_cols };
        let sorted = csr.check_entries(name)?;
        if sorted { Ok(csr) } else { csr.canonical(name) }
    }

    /// Column ids in range and values finite; returns whether every row ascends strictly.
    fn check_entries(&self, name: &str) -> Result<bool> {
        let n_cols = self.n_cols;
        let pieces: Result<Vec<bool>> = self.map_pieces(|rows| {
            let mut sorted = true;
            for row in rows {
                let (cols, values) = self.row(row);
                // To the end of the row whatever comes, so that vector registers can do it. A negative id becomes
                // a huge one as u32, so one comparison tests both ends.
                if !cols.iter().fold(true, |all, &c| all & ((c as u32) < n_cols as u32)) {
                    let bad = cols.iter().find(|&&c| c as u32 as usize >= n_cols).copied().unwrap_or(0);
                    let problem = format!("columns must be in 0..{n_cols}");
                    return Err(Error::layout(name, problem, bad).at("row", row));
                }
                if !values.iter().fold(true, |all, v| all & v.is_finite()) {
                    let at = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
                    let bad = self.values.iter().filter(|v| !v.is_finite()).count();
                    let problem = format!("values must be finite, {bad} of {} are not", self.values.len());
                    let error = Error::values(name, problem, values[at]);
                    return Err(error.at("row", row).at("column", cols[at] as usize));
                }
                sorted &= cols.windows(2).fold(true, |all, w| all & (w[0] < w[1]));
            }
            Ok(sorted)
        });
        Ok(pieces?.into_iter().all(|s| s))
    }

    /// `f` of every piece of rows. A single piece is done where the caller stands: without any thread pool.
    fn map_pieces<R: Send>(&self, f: impl Fn(Range<usize>) -> Result<R> + Send + Sync) -> Result<Vec<R>> {
        let pieces = self.row_pieces();
        if pieces.len() <= 1 {
            return pieces.into_iter().map(f).collect();
        }
        pieces.into_par_iter().map(f).collect()
    }

    /// Is it so small that [`Csr::new`] needs no thread pool for it?
    pub fn is_small(n_rows: usize, nnz: usize) -> bool {
        n_rows < PIECE && nnz < PIECE
    }

    /// The given rows, in that order, as often as they are given.
    pub fn take_rows(&self, rows: &[i32]) -> Result<Self> {
        let n_rows = self.n_rows();
        if let Some(at) = rows.iter().position(|&r| r as u32 as usize >= n_rows) {
            return Err(Error::layout("rows", format!("must be in 0..{n_rows}"), rows[at]).at("position", at));
        }
        let ranges: Vec<_> = rows.iter().map(|&r| self.range(r as usize)).collect();
        let indptr = offsets::of(&ranges)?;
        let indices = offsets::gather(&ranges, &indptr, self.indices())?;
        let values = offsets::gather(&ranges, &indptr, self.values())?;
        Ok(Self::trusted(indptr, indices, values, self.n_cols))
    }

    /// Some rows of parts that nobody has checked: only what is taken is read, and it is checked as by
    /// [`Csr::new`].
    pub fn checked_rows(
        name: &str,
        (indptr, indices, values): (&[i64], &[i32], &[f32]),
        n_cols: usize,
        rows: &[i32],
    ) -> Result<Self> {
        let ranges = offsets::ranges(name, indptr, indices.len().min(values.len()), rows)?;
        let ends = offsets::of(&ranges)?;
        let indices = offsets::gather(&ranges, &ends, indices)?;
        let values = offsets::gather(&ranges, &ends, values)?;
        Self::new(name, ends.into(), indices.into(), values.into(), n_cols)
    }

    /// With sorted rows, duplicate entries summed.
    fn canonical(&self, name: &str) -> Result<Self> {
        let pieces = self.map_pieces(|rows| self.canonical_rows(name, rows));
        let mut indptr = Vec::with_capacity(self.indptr.len());
        let (mut indices, mut values) = (Vec::with_capacity(self.nnz()), Vec::with_capacity(self.nnz()));
        indptr.push(0);
        for (ends, cols, vals) in pieces? {
            let before = indices.len() as i64;
            indptr.extend(ends.iter().map(|end| before + end));
            indices.extend_from_slice(&cols);
            values.extend_from_slice(&vals);
        }
        Ok(Self::trusted(indptr, indices, values, self.n_cols))
    }

    /// Ends of the rows, columns and values of some rows.
    fn canonical_rows(&self, name: &str, rows: Range<usize>) -> Result<(Vec<i64>, Vec<i32>, Vec<f32>)> {
        let nnz = (self.indptr()[rows.end] - self.indptr()[rows.start]) as usize;
        let mut ends = Vec::with_capacity(rows.len());
        let (mut indices, mut values) = (Vec::with_capacity(nnz), Vec::with_capacity(nnz));
        let mut entries: Vec<u64> = Vec::new();
        for row in rows {
            let (cols, vals) = self.row(row);
            if u32::try_from(cols.len()).is_err() {
                let problem = format!("must have at most {} entries in a row", u32::MAX);
                return Err(Error::shape(name, problem, cols.len()).at("row", row));
            }
            // Column and position as one number: duplicates are summed in their given order.
            entries.clear();
            entries.extend(cols.iter().enumerate().map(|(at, &c)| (c as u64) << 32 | at as u64));
            entries.sort_unstable();
            for group in entries.chunk_by(|a, b| a >> 32 == b >> 32) {
                let col = (group[0] >> 32) as i32;
                indices.push(col);
                let sum = group.iter().map(|&e| f64::from(vals[e as u32 as usize])).sum::<f64>() as f32;
                if !sum.is_finite() {
                    let error = Error::overflow(name, "entries of one place add up beyond float32", sum);
                    return Err(error.at("row", row).at("column", col as usize));
                }
                values.push(sum);
            }
            ends.push(indices.len() as i64);
        }
        Ok((ends, indices, values))
    }

    /// From parts that this crate made and that hold the invariants.
    pub(crate) fn trusted(indptr: Vec<i64>, indices: Vec<i32>, values: Vec<f32>, n_cols: usize) -> Self {
        debug_assert_eq!(indptr.last().copied(), Some(indices.len() as i64));
        Self { indptr: indptr.into(), indices: indices.into(), values: values.into(), n_cols }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Number of stored entries.
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Offsets of the rows, `n_rows + 1` of them.
    pub fn indptr(&self) -> &[i64] {
        &self.indptr
    }

    /// Column ids, row after row.
    pub fn indices(&self) -> &[i32] {
        &self.indices
    }

    /// Values, aligned with [`Csr::indices`].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Column ids and values of one row.
    #[inline]
    pub fn row(&self, row: usize) -> (&[i32], &[f32]) {
        let range = self.range(row);
        (&self.indices()[range.clone()], &self.values()[range])
    }

    /// Where the entries of a row lie.
    #[inline]
    pub fn range(&self, row: usize) -> Range<usize> {
        let indptr = self.indptr();
        indptr[row] as usize..indptr[row + 1] as usize
    }

    /// Number of entries of a row.
    #[inline]
    pub fn row_len(&self, row: usize) -> usize {
        self.range(row).len()
    }

    /// Entries of the row that has most.
    pub(crate) fn longest_row(&self) -> usize {
        (0..self.n_rows()).map(|row| self.row_len(row)).max().unwrap_or(0)
    }

    /// A view whose slices are resolved once, for inner loops.
    pub(crate) fn view(&self) -> View<'_> {
        View { indptr: self.indptr(), indices: self.indices(), values: self.values() }
    }

    /// Row ranges of about equal numbers of entries.
    pub(crate) fn row_pieces(&self) -> Vec<Range<usize>> {
        offsets::pieces(self.indptr())
    }

    /// The same pattern with other values: `f(row, column, value)`.
    pub(crate) fn map_values(&self, f: impl Fn(usize, usize, f32) -> f32 + Sync) -> Vec<f32> {
        let mut out = vec![0.0; self.nnz()];
        let pieces = self.row_pieces();
        let mut jobs = Vec::with_capacity(pieces.len());
        let mut rest: &mut [f32] = &mut out;
        for rows in pieces {
            let len = (self.indptr()[rows.end] - self.indptr()[rows.start]) as usize;
            let (head, tail) = rest.split_at_mut(len);
            jobs.push((rows, head));
            rest = tail;
        }
        jobs.into_par_iter().for_each(|(rows, out)| {
            let mut out = out.iter_mut();
            for row in rows {
                let (cols, values) = self.row(row);
                for ((&c, &v), slot) in cols.iter().zip(values).zip(&mut out) {
                    *slot = f(row, c as usize, v);
                }
            }
        });
        out
    }

    /// The same pattern with these values (one per entry, all finite).
    pub(crate) fn with_values(&self, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), self.nnz());
        Self {
            indptr: self.indptr.clone(),
            indices: self.indices.clone(),
            values: values.into(),
            n_cols: self.n_cols,
        }
    }

    /// A copy without the stored zeros, or `None` where there are none.
    pub(crate) fn without_zeros(&self) -> Option<Self> {
        if self.values().par_iter().with_min_len(PIECE).all(|&v| v != 0.0) {
            return None;
        }
        let mut indptr = vec![0];
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for row in 0..self.n_rows() {
            let (cols, vals) = self.row(row);
            for (&c, &v) in cols.iter().zip(vals).filter(|e| *e.1 != 0.0) {
                indices.push(c);
                values.push(v);
            }
            indptr.push(indices.len() as i64);
        }
        Some(Self::trusted(indptr, indices, values, self.n_cols))
    }

    /// How many entries each column has.
    pub fn column_counts(&self) -> Vec<i64> {
        self.count_columns(|_| 1)
    }

    /// The same with every row counted so many times.
    pub(crate) fn column_counts_weighted(&self, times: &[i64]) -> Vec<i64> {
        self.count_columns(|row| times[row])
    }

    fn count_columns(&self, times: impl Fn(usize) -> i64 + Sync) -> Vec<i64> {
        let pieces = self.row_pieces();
        let size = pieces.len().div_ceil(rayon::current_num_threads()).max(1);
        let partial: Vec<Vec<i64>> = pieces
            .par_chunks(size)
            .map(|pieces| {
                let mut counts = vec![0; self.n_cols];
                for row in pieces.iter().cloned().flatten() {
                    let times = times(row);
                    for &c in self.row(row).0 {
                        counts[c as usize] += times;
                    }
                }
                counts
            })
            .collect();
        let mut total = vec![0; self.n_cols];
        for counts in partial {
            for (t, c) in total.iter_mut().zip(counts) {
                *t += c;
            }
        }
        total
    }

    /// `Σ f(value)` of every column, in f64 and in row order, so that it is the same for any thread count.
    pub fn column_sums(&self, f: impl Fn(f32) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.n_cols];
        for (&c, &v) in self.indices().iter().zip(self.values()) {
            sums[c as usize] += f(v);
        }
        sums
    }

    /// `Σ f(value)` of every row, in f64.
    pub fn row_sums(&self, f: impl Fn(f32) -> f64 + Sync) -> Vec<f64> {
        let sum = |row: usize| self.row(row).1.iter().map(|&v| f(v)).sum();
        (0..self.n_rows()).into_par_iter().with_min_len(1024).map(sum).collect()
    }

    /// The transposed matrix.
    ///
    /// Columns are cut into ranges of about equal numbers of entries; since rows are sorted, each range is a
    /// run in every row and a run in the output, so that threads write disjoint slices.
    pub fn transpose(&self) -> Self {
        let counts = self.column_counts();
        let mut indptr = Vec::with_capacity(self.n_cols + 1);
        indptr.push(0_i64);
        let mut total = 0;
        for c in &counts {
            total += c;
            indptr.push(total);
        }
        let (mut indices, mut values) = (vec![0_i32; self.nnz()], vec![0.0_f32; self.nnz()]);
        let n_ranges = rayon::current_num_threads().min(self.nnz().div_ceil(PIECE)).max(1);
        let mut jobs = Vec::with_capacity(n_ranges);
        let (mut rest_i, mut rest_v): (&mut [i32], &mut [f32]) = (&mut indices, &mut values);
        let mut start = 0;
        for part in 1..=n_ranges {
            let goal = (self.nnz() * part / n_ranges) as i64;
            let end = if part == n_ranges {
                self.n_cols
            } else {
                indptr.partition_point(|&p| p < goal).min(self.n_cols)
            };
            let end = end.max(start);
            let len = (indptr[end] - indptr[start]) as usize;
            let (head_i, tail_i) = rest_i.split_at_mut(len);
            let (head_v, tail_v) = rest_v.split_at_mut(len);
            jobs.push((start..end, head_i, head_v));
            (rest_i, rest_v) = (tail_i, tail_v);
            start = end;
        }
        jobs.into_par_iter().for_each(|(range, out_i, out_v)| {
            let base = indptr[range.start];
            let mut next: Vec<i64> = indptr[range.clone()].iter().map(|p| p - base).collect();
            for row in 0..self.n_rows() {
                let (cols, vals) = self.row(row);
                let from = cols.partition_point(|&c| (c as usize) < range.start);
                for (&c, &v) in cols[from..].iter().zip(&vals[from..]) {
                    let c = c as usize;
                    if c >= range.end {
                        break;
                    }
                    let slot = &mut next[c - range.start];
                    out_i[*slot as usize] = row as i32;
                    out_v[*slot as usize] = v;
                    *slot += 1;
                }
            }
        });
        Self::trusted(indptr, indices, values, self.n_rows())
    }
}

/// Slices of a [`Csr`], resolved once.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    indptr: &'a [i64],
    indices: &'a [i32],
    values: &'a [f32],
}

impl<'a> View<'a> {
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> (&'a [i32], &'a [f32]) {
        let range = self.indptr[row] as usize..self.indptr[row + 1] as usize;
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The same rows with other column ids.
    #[inline(always)]
    pub(crate) fn with_indices(self, indices: &'a [i32]) -> Self {
        Self { indices, ..self }
    }

    #[inline(always)]
    pub(crate) fn prefetch_offset(self, row: usize) {
        prefetch(&self.indptr[row..row + 1], 1);
    }
}
