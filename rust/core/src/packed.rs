//! The right factor of a product that reads it many times, laid out for that.
//!
//! Columns are in the order of popularity. Those that most products meet are the *head*: kept as dense values and
//! added up in vector registers, without ids and without scatter. The rest, the *tail*, stays sparse. Head and
//! tail of a row lie one after the other in whole cache lines, so that reading a row is one run through memory
//! and one page. What is added to a column, and in which order, is the same as without packing, apart from
//! zeros; so are the bits of its sum.

use crate::csr::{Csr, View};
use crate::pages::Zeroed;
use crate::simd::prefetch;
use crate::topk::{BLOCK, Lanes, Order, PER_LINE, RowScorer, Scores};
use rayon::prelude::*;
use std::ops::Range;

/// A column that one in so many of the used rows has belongs to the head: a vector addition of a block of columns
/// costs about as much as two scattered ones.
const HEAD_PART: u64 = 8;
/// Blocks of the head added up together, as many as there are registers for.
const STEP: usize = 4;
/// Rows asked for ahead of their use: each lies at a random place in memory.
const ROWS_AHEAD: usize = 8;
/// Cache lines of each; the hardware follows from there.
const LINES_AHEAD: usize = 16;

/// The matrix, packed.
pub(crate) struct Packed {
    order: Order,
    head_blocks: usize,
    /// Where the rows begin and end in `lines`.
    starts: Vec<u32>,
    /// A row after the other: the head, then the tail, filled up with zeros for the first columns.
    lines: Zeroed<Lanes>,
}

impl Packed {
    /// Packs `b` for `a @ b`; `None` where it is too large for this layout.
    pub(crate) fn new(a: &Csr, b: &Csr) -> Option<Self> {
        Self::for_uses(&a.column_counts(), b)
    }

    /// Packs `b` for products that read its rows so often.
    pub(crate) fn for_uses(uses: &[i64], b: &Csr) -> Option<Self> {
        let used: i64 = uses.iter().sum();
        let counts = b.column_counts_weighted(uses);
        let order = Order::by_count(&counts);
        let frequent =
            |col: i32| u128::from(counts[col as usize] as u64) * u128::from(HEAD_PART) >= used as u128;
        let n_frequent = if used == 0 { 0 } else { order.columns.partition_point(|&c| frequent(c)) };
        // The nearest number of whole steps.
        let steps = (n_frequent + STEP * BLOCK / 2) / (STEP * BLOCK);
        let head_blocks = steps.min(b.n_cols().div_ceil(BLOCK) / STEP) * STEP;
        let in_head = |col: i32| (order.places[col as usize] as usize) < head_blocks * BLOCK;

        let n_lines = |row: usize| {
            head_blocks + b.row(row).0.iter().filter(|&&c| !in_head(c)).count().div_ceil(PER_LINE)
        };
        let lens: Vec<usize> = (0..b.n_rows()).into_par_iter().with_min_len(256).map(n_lines).collect();
        let mut starts = Vec::with_capacity(b.n_rows() + 1);
        starts.push(0);
        let mut total = 0;
        for len in lens {
            total += len;
            starts.push(u32::try_from(total).ok()?);
        }

        let mut lines = Zeroed::<Lanes>::new(total);
        let mut pieces = Vec::new();
        let mut rest = &mut lines[..];
        for rows in b.row_pieces() {
            let (own, others) = rest.split_at_mut((starts[rows.end] - starts[rows.start]) as usize);
            rest = others;
            pieces.push((rows, own));
        }
        pieces.into_par_iter().for_each(|(rows, mut lines)| {
            for row in rows {
                let (own, others) = lines.split_at_mut((starts[row + 1] - starts[row]) as usize);
                lines = others;
                let (head, tail) = own.split_at_mut(head_blocks);
                fill(b.row(row), &order, head.as_flattened_mut(), tail);
            }
        });
        Some(Self { order, head_blocks, starts, lines })
    }

    #[inline(always)]
    fn range(&self, row: i32) -> Range<usize> {
        self.starts[row as usize] as usize..self.starts[row as usize + 1] as usize
    }

    #[inline(always)]
    fn tail(&self, row: i32) -> &[Lanes] {
        let Range { start, end } = self.range(row);
        &self.lines[start + self.head_blocks..end]
    }

    /// Asks for a row to come, and for the place of one after it.
    #[inline(always)]
    fn ask_ahead(&self, rows: &[i32], at: usize) {
        if let Some(&later) = rows.get(at + 2 * ROWS_AHEAD) {
            prefetch(&self.starts[later as usize..][..1], 1);
        }
        if let Some(&ahead) = rows.get(at + ROWS_AHEAD) {
            prefetch(&self.lines[self.range(ahead)], LINES_AHEAD);
        }
    }

    /// Adds up the head of all rows, a step at a time.
    #[inline(always)]
    fn add_head(&self, rows: &[i32], weights: &[f32], sums: &mut [Lanes]) {
        for (step, sums) in sums.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
            self.add_step(rows, weights, step * STEP, sums);
        }
    }

    // The sums are separate variables, updated by value: an array of blocks would live in memory.

    #[inline(always)]
    fn add_step(&self, rows: &[i32], weights: &[f32], first: usize, sums: &mut [Lanes; STEP]) {
        let [mut s0, mut s1, mut s2, mut s3] = *sums;
        for (at, (&row, &by)) in rows.iter().zip(weights).enumerate() {
            if first == 0 {
                self.ask_ahead(rows, at);
            }
            let start = self.starts[row as usize] as usize + first;
            if let [b0, b1, b2, b3] = &self.lines[start..start + STEP] {
                s0 = plus(s0, by, b0);
                s1 = plus(s1, by, b1);
                s2 = plus(s2, by, b2);
                s3 = plus(s3, by, b3);
            }
        }
        *sums = [s0, s1, s2, s3];
    }
}

/// Writes a row: the head by place, the tail a line of eight ids and values after the other.
fn fill((cols, values): (&[i32], &[f32]), order: &Order, head: &mut [f32], tail: &mut [Lanes]) {
    for line in tail.iter_mut() {
        for (lane, id) in line[..PER_LINE].iter_mut().enumerate() {
            // Fillers add zeros to the first columns.
            *id = f32::from_bits((lane % order.columns.len()) as u32);
        }
    }
    let mut at = 0;
    for (&col, &v) in cols.iter().zip(values) {
        let place = order.places[col as usize];
        if let Some(slot) = head.get_mut(place as usize) {
            *slot = v;
        } else if let Some(line) = tail.get_mut(at / PER_LINE) {
            line[at % PER_LINE] = f32::from_bits(place as u32);
            line[PER_LINE + at % PER_LINE] = v;
            at += 1;
        }
    }
}

#[inline(always)]
fn plus(mut sums: Lanes, by: f32, values: &Lanes) -> Lanes {
    for (sum, &v) in sums.iter_mut().zip(values) {
        *sum += by * v;
    }
    sums
}

/// `a @ b` with `b` packed.
pub(crate) struct PackedProduct<'a> {
    a: View<'a>,
    b: &'a Packed,
    /// Multiply-adds of each row.
    work: Vec<u64>,
}

impl<'a> PackedProduct<'a> {
    pub(crate) fn new(a: &'a Csr, b: &'a Packed, work: Vec<u64>) -> Self {
        Self { a: a.view(), b, work }
    }
}

impl RowScorer for PackedProduct<'_> {
    fn n_rows(&self) -> usize {
        self.work.len()
    }

    fn n_cols(&self) -> usize {
        self.b.order.columns.len()
    }

    #[inline(always)]
    fn work(&self, row: usize) -> u64 {
        self.work[row]
    }

    #[inline(always)]
    fn order(&self) -> Option<&Order> {
        Some(&self.b.order)
    }

    #[inline(always)]
    fn score(&self, row: usize, scores: &mut Scores) {
        let (rows, weights) = self.a.row(row);
        let b = self.b;
        let tails: usize = rows.iter().map(|&r| b.range(r).len() - b.head_blocks).sum();
        b.add_head(rows, weights, scores.expect_lines(b.head_blocks, tails));
        for (at, (&row, &by)) in rows.iter().zip(weights).enumerate() {
            if b.head_blocks == 0 {
                b.ask_ahead(rows, at);
            } else if let Some(&ahead) = rows.get(at + ROWS_AHEAD) {
                // The head has brought it as far as the second cache at least.
                prefetch(b.tail(ahead), 1);
            }
            scores.add_lines(b.tail(row), by);
        }
    }
}
