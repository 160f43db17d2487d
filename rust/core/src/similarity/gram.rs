//! Products of all pairs of the most popular columns, from dense blocks: where many rows have a column, a bit,
//! a byte or a number for every row is less work than a list of those that have it.

use super::packed::{Id, Packed, TILE, Value};
use crate::control::Control;
use crate::error::Result;
use crate::simd::{Isa, Job, Level, dispatch};
use rayon::prelude::*;

/// Products of each of the first columns with those before it (and some after: rows come in bands of four).
pub(super) struct Gram<S> {
    sums: Vec<S>,
}

/// Memory for the partial sums.
const PARTIAL_BYTES: usize = 32 << 20;
/// At most so many parts; they do not depend on the number of threads, and so neither do the sums.
const PARTS: usize = 16;

/// Where the row of products begins.
#[inline(always)]
fn start(row: usize) -> usize {
    let band = row / TILE.0;
    TILE.0 * TILE.0 * band * (band + 1) / 2 + (row % TILE.0) * TILE.0 * (band + 1)
}

impl<S> Gram<S> {
    /// Products with the columns before this one.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[S] {
        &self.sums[start(row)..][..row]
    }
}

/// The products of the first `head` columns (a multiple of four). `largest` is the largest code there is.
pub(super) fn gram<I: Id, V: Value>(
    level: Level,
    packed: &Packed<'_, I, V>,
    head: usize,
    largest: u32,
    control: &Control,
) -> Result<Gram<V::Sum>> {
    let len = start(head);
    if head == 0 {
        return Ok(Gram { sums: Vec::new() });
    }
    let blocks = packed.n_rows().div_ceil(V::BLOCK_ROWS);
    let parts = PARTS.min(PARTIAL_BYTES / (len * size_of::<V::Sum>())).min(blocks / 2).max(1);
    let parts = 1 << parts.ilog2(); // divides evenly among 2, 4, 8 threads
    // Pairs of 16-bit sums of two products each: so many steps before they could overflow.
    let steps = (i16::MAX as u32 / (2 * largest * largest).max(1)).max(1) as usize;
    let partial: Result<Vec<Vec<V::Sum>>> = (0..parts)
        .into_par_iter()
        .map(|part| {
            let mut sums = vec![V::Sum::default(); len];
            let mut cells = vec![V::Cell::default(); head * V::BLOCK_ROWS / V::PER_CELL];
            for block in blocks * part / parts..blocks * (part + 1) / parts {
                control.check()?;
                dispatch(level, Block { packed, head, block, steps, cells: &mut cells, sums: &mut sums });
            }
            Ok(sums)
        })
        .collect();
    let mut partial = partial?.into_iter();
    let mut sums = partial.next().unwrap_or_default();
    for other in partial {
        sums.par_iter_mut().with_min_len(1 << 12).zip(&other).for_each(|(sum, &more)| *sum += more);
    }
    Ok(Gram { sums })
}

/// One block of rows: written out densely, column by column, and every pair of columns multiplied.
struct Block<'a, I, V: Value> {
    packed: &'a Packed<'a, I, V>,
    head: usize,
    block: usize,
    steps: usize,
    cells: &'a mut [V::Cell],
    sums: &'a mut [V::Sum],
}

impl<I: Id, V: Value> Job for Block<'_, I, V> {
    type Out = ();

    #[inline(always)]
    fn run<A: Isa>(self, isa: A) {
        let Self { packed, head, block, steps, cells, sums } = self;
        let width = V::BLOCK_ROWS / V::PER_CELL;
        cells.fill(V::Cell::default());
        let first = block * V::BLOCK_ROWS;
        for row in first..(first + V::BLOCK_ROWS).min(packed.n_rows()) {
            let (ids, values) = packed.row(row);
            for (&id, &value) in ids.iter().zip(values) {
                let Some(column) = cells.get_mut(id.place() * width..(id.place() + 1) * width) else { break };
                V::put(column, row - first, value);
            }
        }
        for i in (0..head).step_by(TILE.0) {
            let a = &cells[i * width..(i + TILE.0) * width];
            let len = i + TILE.0;
            let band = &mut sums[start(i)..][..TILE.0 * len];
            for j in (0..len).step_by(TILE.1) {
                let tile = V::tile(isa, a, &cells[j * width..(j + TILE.1) * width], steps);
                for (row, tile) in tile.iter().enumerate() {
                    band[row * len + j] += tile[0];
                    band[row * len + j + 1] += tile[1];
                }
            }
        }
    }
}
