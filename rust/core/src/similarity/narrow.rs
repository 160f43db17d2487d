//! A matrix rewritten for the loop over its pairs of columns: narrow ids in the order of popularity, and values
//! as small as they are.

use crate::csr::Csr;
use crate::pages::Zeroed;
use crate::simd::{Isa, prefetch};
use crate::topk::{BLOCK, Lanes, Order};
use bytemuck::Pod;
use rayon::prelude::*;
use std::ops::AddAssign;

/// A column id: as wide as the number of columns needs.
pub(super) trait Id: Pod + Send + Sync {
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
pub(super) trait Value: Pod + Send + Sync {
    /// What products add up to.
    type Sum: Copy + Send + Sync + Default + AddAssign;
    /// What a dense block of the head is made of.
    type Cell: Pod + Send + Sync;
    /// A place and a value, ascending by place.
    type Key: Copy + Ord + Send;
    /// Rows in a dense block.
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
    /// 0 where the sum is.
    fn bits(sum: Self::Sum) -> u32;
    /// Writes a value into a run of cells.
    fn put(cells: &mut [Self::Cell], at: usize, value: Self);
    /// Columns that [`Value::add_runs`] takes at once, and at most, in a panel.
    const PANEL: (usize, usize);
    /// Adds `PANEL.0` columns of the rows, each multiplied with its value, to as many sums. No closures: what is
    /// not inlined is not compiled for the instruction set in force.
    fn add_rows(
        sums: &mut [Self::Sum],
        largest: u32,
        part: &Part<'_, Self::Cell>,
        rows: &[u32],
        values: &[Self],
    );
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
    fn bits(sum: i32) -> u32 {
        sum as u32
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
    fn put(cells: &mut [u64], at: usize, _: Self) {
        cells[at / 64] |= 1 << (at % 64);
    }
    const PANEL: (usize, usize) = (64 * WORDS, 1024);
    #[inline(always)]
    fn add_rows(sums: &mut [i32], _: u32, part: &Part<'_, u64>, rows: &[u32], _: &[Self]) {
        count_bits(sums, part, rows);
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
    const BLOCK_ROWS: usize = 1024;
    const PER_CELL: usize = 1;
    const DENSE_PER_PRODUCT: f64 = 140.0;

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
    fn bits(sum: i32) -> u32 {
        sum as u32
    }
    #[inline(always)]
    fn lanes(sums: [i32; BLOCK]) -> Lanes {
        <() as Value>::lanes(sums)
    }
    #[inline(always)]
    fn put(cells: &mut [u8], at: usize, value: Self) {
        cells[at] = value;
    }
    const PANEL: (usize, usize) = (128, 256);
    #[inline(always)]
    fn add_rows(sums: &mut [i32], largest: u32, part: &Part<'_, u8>, rows: &[u32], values: &[Self]) {
        const WIDTH: usize = <u8 as Value>::PANEL.0;
        let before_overflow = (u32::from(u16::MAX) / (largest * largest)) as usize;
        for (rows, values) in rows.chunks(before_overflow).zip(values.chunks(before_overflow)) {
            let mut small = [0_u16; WIDTH];
            for (at, (&row, &by)) in rows.iter().zip(values).enumerate() {
                part.prefetch(rows, at);
                for (sum, &value) in small.iter_mut().zip(part.run::<WIDTH>(row)) {
                    *sum += u16::from(by) * u16::from(value);
                }
            }
            for (sum, small) in sums.iter_mut().zip(small) {
                *sum += i32::from(small);
            }
        }
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
    const BLOCK_ROWS: usize = 256;
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
    fn bits(sum: f32) -> u32 {
        sum.to_bits() << 1 // drops the sign of −0
    }
    #[inline(always)]
    fn lanes(sums: [f32; BLOCK]) -> Lanes {
        sums
    }
    #[inline(always)]
    fn put(cells: &mut [f32], at: usize, value: Self) {
        cells[at] = value;
    }
    const PANEL: (usize, usize) = (64, 64);
    #[inline(always)]
    fn add_rows(sums: &mut [f32], _: u32, part: &Part<'_, f32>, rows: &[u32], values: &[Self]) {
        const WIDTH: usize = <f32 as Value>::PANEL.0;
        let mut own = [0.0; WIDTH];
        own.copy_from_slice(sums);
        for (at, (&row, &by)) in rows.iter().zip(values).enumerate() {
            part.prefetch(rows, at);
            for (sum, value) in own.iter_mut().zip(part.run::<WIDTH>(row)) {
                *sum += by * value;
            }
        }
        sums.copy_from_slice(&own);
    }
    #[inline(always)]
    fn tile<I: Isa>(isa: I, a: &[f32], b: &[f32], _: usize) -> [[f32; 2]; 4] {
        isa.float_tile(a, b)
    }
}

/// Words of bits that are counted at once.
const WORDS: usize = 4;
type Bits = [u64; WORDS];

/// Adds three bits in every position: (sum, carry).
#[inline(always)]
fn add_bits(a: Bits, b: Bits, c: Bits) -> (Bits, Bits) {
    let (mut sum, mut carry) = ([0; WORDS], [0; WORDS]);
    for i in 0..WORDS {
        let half = a[i] ^ b[i];
        sum[i] = half ^ c[i];
        carry[i] = (a[i] & b[i]) | (half & c[i]);
    }
    (sum, carry)
}

/// For every position, in how many runs its bit is set: counters whose bits lie in planes, one plane a binary
/// digit, so that one operation counts in all positions (Harley & Seal; Warren, Hacker's Delight, 2002).
#[inline(always)]
fn count_bits(sums: &mut [i32], part: &Part<'_, u64>, rows: &[u32]) {
    const DIGITS: usize = 31;
    const NOTHING: Bits = [0; WORDS];
    let mut planes = [NOTHING; DIGITS];
    for (eight, rows_of_eight) in rows.chunks(8).enumerate() {
        let mut bits = [NOTHING; 8];
        for (at, (bits, &row)) in bits.iter_mut().zip(rows_of_eight).enumerate() {
            part.prefetch(rows, 8 * eight + at);
            bits.copy_from_slice(part.run::<WORDS>(row));
        }
        let [ones, twos, fours, ..] = &mut planes;
        let (two_a, two_b, two_c, two_d, four_a, four_b, mut carry);
        (*ones, two_a) = add_bits(*ones, bits[0], bits[1]);
        (*ones, two_b) = add_bits(*ones, bits[2], bits[3]);
        (*twos, four_a) = add_bits(*twos, two_a, two_b);
        (*ones, two_c) = add_bits(*ones, bits[4], bits[5]);
        (*ones, two_d) = add_bits(*ones, bits[6], bits[7]);
        (*twos, four_b) = add_bits(*twos, two_c, two_d);
        (*fours, carry) = add_bits(*fours, four_a, four_b);
        for plane in &mut planes[3..] {
            if carry == NOTHING {
                break;
            }
            (*plane, carry) = add_bits(*plane, carry, NOTHING);
        }
    }
    for (digit, plane) in planes.iter().enumerate() {
        if *plane == NOTHING {
            continue;
        }
        for (word, sums) in plane.iter().zip(sums.chunks_exact_mut(64)) {
            for (bit, sum) in sums.iter_mut().enumerate() {
                *sum += ((word >> bit & 1) as i32) << digit;
            }
        }
    }
}

/// Rows of (place, value), ascending by place; the offsets are those of the matrix it was made from.
pub(super) struct Narrow<'a, I, V> {
    indptr: &'a [i64],
    ids: Zeroed<I>,
    values: Zeroed<V>,
    pub(super) n_cols: usize,
}

/// Cache lines of a row's ids, and of its values, that are asked for ahead of their use.
const LINES_AHEAD: usize = 6;

impl<'a, I: Id, V: Value> Narrow<'a, I, V> {
    /// `value(row, column, value)` gives what to store.
    pub(super) fn new(z: &'a Csr, order: &Order, value: impl Fn(usize, usize, f32) -> V + Sync) -> Self {
        let (mut ids, mut values) = (Zeroed::<I>::new(z.nnz()), Zeroed::<V>::new(z.nnz()));
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

    /// For every place, how many other columns it can have something in common with: at most.
    pub(super) fn partners(&self) -> Vec<u64> {
        let mut partners = vec![0; self.n_cols];
        for row in 0..self.n_rows() {
            let ids = self.row(row).0;
            for id in ids {
                partners[id.place()] += ids.len() as u64 - 1;
            }
        }
        partners
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

    /// What lies beyond the panel.
    #[inline(always)]
    pub(super) fn row_beyond(&self, row: usize, panel: &Panel<V>) -> (&[I], &[V]) {
        let start = panel.beyond.get(row).map_or(self.indptr[row] as usize, |&start| start as usize);
        let range = start..self.indptr[row + 1] as usize;
        (&self.ids[range.clone()], &self.values[range])
    }

    #[inline(always)]
    pub(super) fn prefetch_offset(&self, row: usize, panel: &Panel<V>) {
        prefetch(&self.indptr[row..row + 1], 1);
        prefetch(panel.beyond.get(row..row + 1).unwrap_or_default(), 1);
    }

    #[inline(always)]
    pub(super) fn prefetch_row(&self, row: usize, panel: &Panel<V>) {
        let (ids, values) = self.row_beyond(row, panel);
        prefetch(ids, LINES_AHEAD);
        prefetch(values, LINES_AHEAD);
    }

    /// For every place from `from` on, the rows that have it, and their values there, `counts` of them: without the
    /// rows to `skip`.
    pub(super) fn lists(
        &self,
        from: usize,
        counts: impl Fn(usize) -> i64,
        skip: impl Fn(usize) -> bool + Sync,
    ) -> Lists<V> {
        let mut indptr = vec![0_i64];
        let mut total = 0;
        for place in from..self.n_cols {
            total += counts(place);
            indptr.push(total);
        }
        let (mut rows, mut values) = (Zeroed::<u32>::new(total as usize), Zeroed::<V>::new(total as usize));
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
                if skip(row) {
                    continue;
                }
                let (ids, values) = self.row(row);
                let before = ids.partition_point(|id| id.place() < first);
                for (&id, &v) in ids[before..].iter().zip(&values[before..]) {
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

/// The first columns of every row, densely.
pub(super) struct Panel<V: Value> {
    cells: Zeroed<V::Cell>,
    /// Columns.
    pub(super) width: usize,
    /// Where each row's entries beyond the panel begin.
    beyond: Vec<u32>,
}

/// Memory for a panel.
const PANEL_BYTES: usize = 36 << 20;

impl<V: Value> Panel<V> {
    /// Columns, as many as memory and `most` allow.
    pub(super) fn width(n_rows: usize, most: usize) -> usize {
        let (unit, widest) = V::PANEL;
        let per_row = n_rows.max(1) * size_of::<V::Cell>();
        (PANEL_BYTES / per_row * V::PER_CELL).min(most).min(widest) / unit * unit
    }

    /// As wide as memory and `most` allow.
    pub(super) fn new<I: Id>(narrow: &Narrow<'_, I, V>, most: usize) -> Self {
        let width = Self::width(narrow.n_rows(), most);
        // Positions beyond a row's panel are kept in 32 bits.
        let width = if u32::try_from(narrow.ids.len()).is_ok() { width } else { 0 };
        let n_cells = width / V::PER_CELL;
        let mut cells = Zeroed::<V::Cell>::new(narrow.n_rows() * n_cells);
        let mut beyond = vec![0; if width == 0 { 0 } else { narrow.n_rows() }];
        if width > 0 {
            let rows = cells.par_chunks_exact_mut(n_cells).zip(&mut beyond).enumerate();
            rows.with_min_len(256).for_each(|(row, (cells, beyond))| {
                let (ids, values) = narrow.row(row);
                let inside = ids.partition_point(|id| id.place() < width);
                for (id, &value) in ids[..inside].iter().zip(values) {
                    V::put(cells, id.place(), value);
                }
                *beyond = narrow.indptr[row] as u32 + inside as u32;
            });
        }
        Self { cells, width, beyond }
    }

    /// Adds the rows, each multiplied with its value, to the sums of the panel's columns.
    #[inline(always)]
    pub(super) fn add(&self, sums: &mut [V::Sum], largest: u32, rows: &[u32], values: &[V]) {
        let n_cells = self.width / V::PER_CELL;
        for (unit, sums) in sums[..self.width].chunks_exact_mut(V::PANEL.0).enumerate() {
            let from = unit * V::PANEL.0 / V::PER_CELL;
            V::add_rows(sums, largest, &Part { cells: &self.cells, n_cells, from }, rows, values);
        }
    }
}

/// Some columns of a panel.
pub(super) struct Part<'a, C> {
    cells: &'a [C],
    /// Cells of a row of the whole panel.
    n_cells: usize,
    from: usize,
}

impl<C> Part<'_, C> {
    #[inline(always)]
    fn run<const N: usize>(&self, row: u32) -> &[C] {
        &self.cells[row as usize * self.n_cells + self.from..][..N]
    }

    /// The first part asks for all of a row.
    #[inline(always)]
    fn prefetch(&self, rows: &[u32], at: usize) {
        if self.from == 0
            && let Some(&ahead) = rows.get(at + PANELS_AHEAD)
        {
            prefetch(&self.cells[ahead as usize * self.n_cells..][..self.n_cells], LINES_AHEAD);
        }
    }
}

/// Rows of the panel are asked for so far ahead of their use.
const PANELS_AHEAD: usize = 32;

/// The columns of a [`Narrow`] from some place on.
pub(super) struct Lists<V> {
    from: usize,
    indptr: Vec<i64>,
    rows: Zeroed<u32>,
    values: Zeroed<V>,
}

impl<V: Value> Lists<V> {
    #[inline(always)]
    pub(super) fn of(&self, place: usize) -> (&[u32], &[V]) {
        let at = place - self.from;
        let range = self.indptr[at] as usize..self.indptr[at + 1] as usize;
        (&self.rows[range.clone()], &self.values[range])
    }
}
