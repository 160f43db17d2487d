//! A matrix rewritten for the loop over its pairs of columns: narrow ids in the order of popularity, and values
//! as small as they are.

use crate::csr::Csr;
use crate::simd::{Isa, prefetch};
use crate::topk::{BLOCK, Lanes, Order};
use rayon::prelude::*;
use std::ops::AddAssign;

/// A column id: as wide as the number of columns needs.
pub(super) trait Id: Copy + Send + Sync + Default {
    fn from_place(place: u32) -> Self;
    fn place(self) -> usize;
}

impl Id for u16 {
    #[inline(always)]
    fn from_place(place: u32) -> Self {
        place as Self
    }
    #[inline(always)]
    fn place(self) -> usize {
        usize::from(self)
    }
}

impl Id for u32 {
    #[inline(always)]
    fn from_place(place: u32) -> Self {
        place
    }
    #[inline(always)]
    fn place(self) -> usize {
        self as usize
    }
}

/// Rows of the head's dense blocks that are multiplied at once.
pub(super) const TILE: (usize, usize) = (4, 2);

/// A stored value. Sums of `()` and `u8` are integers, so exact.
pub(super) trait Value: Copy + Send + Sync + Default {
    /// What products add up to.
    type Sum: Copy + Send + Sync + Default + AddAssign;
    /// What a dense block of the head is made of.
    type Cell: Copy + Send + Sync + Default;
    /// A place and a value, ascending by place.
    type Key: Copy + Ord + Send;
    /// Rows in a dense block: as many as keep it in the second level cache.
    const BLOCK_ROWS: usize;
    /// Rows in one cell.
    const PER_CELL: usize;
    /// Dense multiply-adds in the time of one scattered product; measured, rounded down.
    const DENSE_PER_PRODUCT: f64;

    fn square(self) -> f64;
    fn key(place: u32, value: Self) -> Self::Key;
    fn split(key: Self::Key) -> (u32, Self);
    fn product(self, other: Self) -> Self::Sum;
    fn lanes(sums: [Self::Sum; BLOCK]) -> Lanes;
    fn put(cells: &mut [Self::Cell], row: usize, value: Self);
    /// `a[i] · b[j]` of four rows and two rows of equally many cells; `steps` as [`Isa::byte_tile`] wants it.
    fn tile<I: Isa>(isa: I, a: &[Self::Cell], b: &[Self::Cell], steps: usize) -> [[Self::Sum; 2]; 4];
}

/// All values are the same: a bit is enough.
impl Value for () {
    type Sum = i32;
    type Cell = u64;
    type Key = u32;
    const BLOCK_ROWS: usize = 2048;
    const PER_CELL: usize = 64;
    const DENSE_PER_PRODUCT: f64 = 240.0;

    #[inline(always)]
    fn square(self) -> f64 {
        1.0
    }
    #[inline(always)]
    fn key(place: u32, _: Self) -> u32 {
        place
    }
    #[inline(always)]
    fn split(key: u32) -> (u32, Self) {
        (key, ())
    }
    #[inline(always)]
    fn product(self, _: Self) -> i32 {
        1
    }
    #[inline(always)]
    fn lanes(sums: [i32; BLOCK]) -> Lanes {
        let mut out = [0.0; BLOCK];
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
        out
    }
    #[inline(always)]
    fn put(cells: &mut [u64], row: usize, _: Self) {
        cells[row / 64] |= 1 << (row % 64);
    }
    #[inline(always)]
    fn tile<I: Isa>(_: I, a: &[u64], b: &[u64], _: usize) -> [[i32; 2]; 4] {
        let n = a.len() / 4;
        let (b0, b1) = b.split_at(n);
        let mut out = [[0; 2]; 4];
        for (out, a) in out.iter_mut().zip(a.chunks_exact(n)) {
            let (mut s0, mut s1) = (0, 0);
            for ((&a, &b0), &b1) in a.iter().zip(b0).zip(b1) {
                s0 += u64::from((a & b0).count_ones());
                s1 += u64::from((a & b1).count_ones());
            }
            *out = [s0 as i32, s1 as i32];
        }
        out
    }
}

/// Small multiples of a common step.
impl Value for u8 {
    type Sum = i32;
    type Cell = u8;
    type Key = u64;
    const BLOCK_ROWS: usize = 512;
    const PER_CELL: usize = 1;
    const DENSE_PER_PRODUCT: f64 = 120.0;

    #[inline(always)]
    fn square(self) -> f64 {
        f64::from(self) * f64::from(self)
    }
    #[inline(always)]
    fn key(place: u32, value: Self) -> u64 {
        u64::from(place) << 8 | u64::from(value)
    }
    #[inline(always)]
    fn split(key: u64) -> (u32, Self) {
        ((key >> 8) as u32, key as u8)
    }
    #[inline(always)]
    fn product(self, other: Self) -> i32 {
        i32::from(self) * i32::from(other)
    }
    #[inline(always)]
    fn lanes(sums: [i32; BLOCK]) -> Lanes {
        <() as Value>::lanes(sums)
    }
    #[inline(always)]
    fn put(cells: &mut [u8], row: usize, value: Self) {
        cells[row] = value;
    }
    #[inline(always)]
    fn tile<I: Isa>(isa: I, a: &[u8], b: &[u8], steps: usize) -> [[i32; 2]; 4] {
        isa.byte_tile(a, b, steps)
    }
}

/// Anything else.
impl Value for f32 {
    type Sum = f32;
    type Cell = f32;
    type Key = u64;
    const BLOCK_ROWS: usize = 128;
    const PER_CELL: usize = 1;
    const DENSE_PER_PRODUCT: f64 = 35.0;

    #[inline(always)]
    fn square(self) -> f64 {
        f64::from(self) * f64::from(self)
    }
    #[inline(always)]
    fn key(place: u32, value: Self) -> u64 {
        u64::from(place) << 32 | u64::from(value.to_bits())
    }
    #[inline(always)]
    fn split(key: u64) -> (u32, Self) {
        ((key >> 32) as u32, Self::from_bits(key as u32))
    }
    #[inline(always)]
    fn product(self, other: Self) -> f32 {
        self * other
    }
    #[inline(always)]
    fn lanes(sums: [f32; BLOCK]) -> Lanes {
        sums
    }
    #[inline(always)]
    fn put(cells: &mut [f32], row: usize, value: Self) {
        cells[row] = value;
    }
    #[inline(always)]
    fn tile<I: Isa>(_: I, a: &[f32], b: &[f32], _: usize) -> [[f32; 2]; 4] {
        // Eight sums at every level, so that every level gives the same bits.
        const LANES: usize = 8;
        let n = a.len() / 4;
        let mut sums = [[[0.0_f32; LANES]; 2]; 4];
        for at in (0..n).step_by(LANES) {
            for (j, b) in b.chunks_exact(n).enumerate() {
                let b = &b[at..at + LANES];
                for (i, a) in a.chunks_exact(n).enumerate() {
                    let a = &a[at..at + LANES];
                    for lane in 0..LANES {
                        sums[i][j][lane] += a[lane] * b[lane];
                    }
                }
            }
        }
        let mut out = [[0.0; 2]; 4];
        for (out, sums) in out.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *out = sums.iter().sum();
        }
        out
    }
}

/// Rows of (place, value), ascending by place; the offsets are those of the matrix it was made from.
pub(super) struct Packed<'a, I, V> {
    indptr: &'a [i64],
    ids: Vec<I>,
    values: Vec<V>,
    pub(super) n_cols: usize,
}

/// Cache lines of a row's ids, and of its values, that are asked for ahead of their use.
const LINES_AHEAD: usize = 6;

impl<'a, I: Id, V: Value> Packed<'a, I, V> {
    /// `value(row, column, value)` gives what to store.
    pub(super) fn new(z: &'a Csr, order: &Order, value: impl Fn(usize, usize, f32) -> V + Sync) -> Self {
        let (mut ids, mut values) = (vec![I::default(); z.nnz()], vec![V::default(); z.nnz()]);
        let mut jobs = Vec::new();
        let (mut rest_i, mut rest_v) = (&mut ids[..], &mut values[..]);
        for rows in z.row_pieces() {
            let len = (z.indptr()[rows.end] - z.indptr()[rows.start]) as usize;
            let (head_i, tail_i) = rest_i.split_at_mut(len);
            let (head_v, tail_v) = rest_v.split_at_mut(len);
            (rest_i, rest_v) = (tail_i, tail_v);
            jobs.push((rows, head_i, head_v));
        }
        jobs.into_par_iter().for_each_init(Vec::new, |keys: &mut Vec<V::Key>, (rows, ids, values)| {
            let mut out = ids.iter_mut().zip(values);
            for row in rows {
                let (cols, vals) = z.row(row);
                keys.clear();
                keys.extend(cols.iter().zip(vals).map(|(&col, &v)| {
                    V::key(order.places[col as usize] as u32, value(row, col as usize, v))
                }));
                keys.sort_unstable();
                for (&key, (id, v)) in keys.iter().zip(&mut out) {
                    let (place, value) = V::split(key);
                    (*id, *v) = (I::from_place(place), value);
                }
            }
        });
        Self { indptr: z.indptr(), ids, values, n_cols: z.n_cols() }
    }

    pub(super) fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// `Σ value²` of every column, in its own order, not that of popularity.
    pub(super) fn column_squares(&self, order: &Order) -> Vec<f64> {
        // A fixed number of parts, so that the sums do not depend on the threads.
        const PARTS: usize = 8;
        let n = self.ids.len();
        let part = |part: usize| {
            let range = n * part / PARTS..n * (part + 1) / PARTS;
            let mut sums = vec![0.0; self.n_cols];
            for (id, value) in self.ids[range.clone()].iter().zip(&self.values[range]) {
                sums[id.place()] += value.square();
            }
            sums
        };
        let parts: Vec<Vec<f64>> = (0..PARTS).into_par_iter().map(part).collect();
        let sum = |col: usize| parts.iter().map(|sums| sums[order.places[col] as usize]).sum();
        (0..self.n_cols).map(sum).collect()
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> (&[I], &[V]) {
        let range = self.indptr[row] as usize..self.indptr[row + 1] as usize;
        (&self.ids[range.clone()], &self.values[range])
    }

    #[inline(always)]
    pub(super) fn prefetch_offset(&self, row: usize) {
        prefetch(&self.indptr[row..row + 1], 1);
    }

    #[inline(always)]
    pub(super) fn prefetch_row(&self, row: usize) {
        let (ids, values) = self.row(row);
        prefetch(ids, LINES_AHEAD);
        prefetch(values, LINES_AHEAD);
    }

    /// For every place from `from` on, the rows that have it, and their values there.
    pub(super) fn lists(&self, from: usize, counts: impl Fn(usize) -> i64) -> Lists<V> {
        let mut indptr = vec![0_i64];
        let mut total = 0;
        for place in from..self.n_cols {
            total += counts(place);
            indptr.push(total);
        }
        let (mut rows, mut values) = (vec![0_u32; total as usize], vec![V::default(); total as usize]);
        let n_ranges = rayon::current_num_threads();
        let mut jobs = Vec::new();
        let (mut rest_r, mut rest_v) = (&mut rows[..], &mut values[..]);
        let mut start = 0;
        for part in 1..=n_ranges {
            let goal = total * part as i64 / n_ranges as i64;
            let end = indptr.partition_point(|&p| p < goal).clamp(start, indptr.len() - 1);
            let end = if part == n_ranges { indptr.len() - 1 } else { end };
            let len = (indptr[end] - indptr[start]) as usize;
            let (head_r, tail_r) = rest_r.split_at_mut(len);
            let (head_v, tail_v) = rest_v.split_at_mut(len);
            (rest_r, rest_v) = (tail_r, tail_v);
            jobs.push((start..end, head_r, head_v));
            start = end;
        }
        jobs.into_par_iter().for_each(|(range, out_r, out_v)| {
            let base = indptr[range.start];
            let mut next: Vec<i64> = indptr[range.clone()].iter().map(|p| p - base).collect();
            let (first, end) = (from + range.start, from + range.end);
            for row in 0..self.n_rows() {
                let (ids, values) = self.row(row);
                let skip = ids.partition_point(|id| id.place() < first);
                for (&id, &v) in ids[skip..].iter().zip(&values[skip..]) {
                    let place = id.place();
                    if place >= end {
                        break;
                    }
                    let slot = &mut next[place - first];
                    (out_r[*slot as usize], out_v[*slot as usize]) = (row as u32, v);
                    *slot += 1;
                }
            }
        });
        Lists { from, indptr, rows, values }
    }
}

/// The columns of a [`Packed`] from some place on.
pub(super) struct Lists<V> {
    from: usize,
    indptr: Vec<i64>,
    rows: Vec<u32>,
    values: Vec<V>,
}

impl<V> Lists<V> {
    #[inline(always)]
    pub(super) fn of(&self, place: usize) -> (&[u32], &[V]) {
        let at = place - self.from;
        let range = self.indptr[at] as usize..self.indptr[at + 1] as usize;
        (&self.rows[range.clone()], &self.values[range])
    }
}
