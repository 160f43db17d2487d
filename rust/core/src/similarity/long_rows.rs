//! Products from rows that hold a good part of all columns: written out densely, column by column, and multiplied
//! in tiles, sixteen columns with all others at a time. A row of c entries costs c² / 2 scattered products, or
//! n² / 2 dense ones, which are some hundred times cheaper.

use super::narrow::{Id, Narrow, TILE, Value};
use crate::pages::Zeroed;
use crate::simd::{Isa, Job, Level, dispatch};
use crate::topk::BLOCK;
use rayon::prelude::*;
use std::ops::Range;

/// Columns that are multiplied with all others at once: their cells stay in the first level cache.
pub(super) const GROUP: usize = 16;
/// Rows are filled up with zeros to a multiple of this, which every tile wants.
const UNIT: usize = 64;

/// The long rows' values, a run of cells for every place.
pub(super) struct LongRows<V: Value> {
    cells: Zeroed<V::Cell>,
    /// Cells of a place; 0 where there is no long row.
    width: usize,
    /// Long rows that have each place.
    counts: Vec<u32>,
    is_long: Vec<bool>,
    /// What [`Value::tile`] wants to know of the largest code.
    steps: usize,
}

impl<V: Value> LongRows<V> {
    /// The rows with at least `least` entries; `largest` is the largest code.
    pub(super) fn new<I: Id>(narrow: &Narrow<'_, I, V>, least: usize, largest: u32) -> Self {
        let n = narrow.n_cols;
        let is_long: Vec<bool> = (0..narrow.n_rows()).map(|row| narrow.row(row).0.len() >= least).collect();
        let rows: Vec<usize> = (0..narrow.n_rows()).filter(|&row| is_long[row]).collect();
        if rows.is_empty() {
            return Self {
                cells: Zeroed::new(0),
                width: 0,
                counts: Vec::new(),
                is_long: Vec::new(),
                steps: 1,
            };
        }
        let width = rows.len().div_ceil(UNIT) * UNIT / V::PER_CELL;
        let mut cells = Zeroed::<V::Cell>::new((n + GROUP) * width);
        let mut counts = vec![0; n];
        let pieces = cells.par_chunks_mut(GROUP * width).zip(counts.par_chunks_mut(GROUP)).enumerate();
        pieces.with_min_len(n.div_ceil(4 * GROUP * rayon::current_num_threads())).for_each(
            |(group, (cells, counts))| {
                let first = group * GROUP;
                for (at, &row) in rows.iter().enumerate() {
                    let (ids, values) = narrow.row(row);
                    let skip = ids.partition_point(|id| id.place() < first);
                    for (id, &value) in ids[skip..].iter().zip(&values[skip..]) {
                        let Some(count) = counts.get_mut(id.place() - first) else { break };
                        *count += 1;
                        V::put(&mut cells[(id.place() - first) * width..][..width], at, value);
                    }
                }
            },
        );
        // Pairs of 16-bit sums of two products each: so many steps before they could overflow.
        let steps = (i16::MAX as u32 / (2 * largest * largest).max(1)).max(1) as usize;
        Self { cells, width, counts, is_long, steps }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.width == 0
    }

    /// Entries of the place that are in long rows.
    pub(super) fn count(&self, place: usize) -> i64 {
        self.counts.get(place).map_or(0, |&n| i64::from(n))
    }

    pub(super) fn has(&self, row: usize) -> bool {
        self.is_long.get(row).copied().unwrap_or(false)
    }

    /// Writes the products of at most [`GROUP`] places, each with those before its `end`; `sums` holds [`GROUP`]
    /// runs of blocks, a run for each place.
    pub(super) fn multiply(
        &self,
        level: Level,
        places: Range<usize>,
        end: impl Fn(usize) -> usize,
        sums: &mut [[V::Sum; BLOCK]],
    ) {
        let n_blocks = sums.len() / GROUP;
        let mut ends = [0; GROUP];
        for (slot, place) in ends.iter_mut().zip(places.clone()) {
            *slot = end(place);
        }
        dispatch(level, Group { rows: self, places, ends, n_blocks, sums });
    }
}

struct Group<'a, V: Value> {
    rows: &'a LongRows<V>,
    places: Range<usize>,
    /// Where the others end, for each place.
    ends: [usize; GROUP],
    n_blocks: usize,
    sums: &'a mut [[V::Sum; BLOCK]],
}

impl<V: Value> Job for Group<'_, V> {
    type Out = ();

    #[inline(always)]
    fn run<A: Isa>(self, isa: A) {
        let Self { rows: LongRows { cells, width, steps, .. }, places, ends, n_blocks, sums } = self;
        let (width, stride) = (*width, n_blocks * BLOCK);
        let sums = sums.as_flattened_mut();
        let mut end = 0;
        for &e in &ends {
            end = end.max(e);
        }
        for other in (0..end).step_by(TILE.1) {
            let b = &cells[other * width..][..TILE.1 * width];
            for first in (0..places.len()).step_by(TILE.0) {
                let a = &cells[(places.start + first) * width..][..TILE.0 * width];
                let tile = V::tile(isa, a, b, *steps);
                for (at, products) in tile.iter().enumerate() {
                    let own = first + at;
                    for (lane, &product) in products.iter().enumerate() {
                        // A place beyond the group has no end of its own: 0.
                        if other + lane < ends[own] {
                            sums[own * stride + other + lane] = product;
                        }
                    }
                }
            }
        }
    }
}
