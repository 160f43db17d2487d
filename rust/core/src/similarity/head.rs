//! Products of all pairs of the most popular columns, from dense blocks: where many rows have a column, a bit,
//! a byte or a number for every row is less work than a list of those that have it.

use super::narrow::{Id, Narrow, TILE, Value};
use crate::control::Control;
use crate::error::Result;
use crate::simd::{Isa, Job, Level, dispatch};
use bytemuck::Zeroable;
use rayon::prelude::*;
use std::ops::AddAssign;

/// Products of each of the first columns with those before it (and some after: columns come in fours).
pub(super) struct Head<S> {
    tiles: Vec<Tile<S>>,
}

/// Memory for the partial sums.
const PARTIAL_BYTES: usize = 16 << 20;
/// At most so many parts; they do not depend on the number of threads, and so neither do the sums.
const PARTS: usize = 16;

/// Columns whose cells stay in the first level cache.
const STRIP: usize = 16;
/// Bytes of a cache line: loads that cross one take twice as long.
const LINE: usize = 64;

/// The products of four columns with two.
type Tile<S> = [[S; TILE.1]; TILE.0];

/// Where the tiles of four columns begin: with all columns before them, and themselves.
#[inline(always)]
fn band(column: usize) -> usize {
    let band = column / TILE.0;
    band * (band + 1) / 2 * (TILE.0 / TILE.1)
}

impl<S: Copy> Head<S> {
    /// Copies a column's products with those before it, as many as there are places in `out`.
    #[inline(always)]
    pub(super) fn copy(&self, column: usize, out: &mut [S]) {
        let tiles = &self.tiles[band(column)..];
        for (out, tile) in out.chunks_mut(TILE.1).zip(tiles) {
            out.copy_from_slice(&tile[column % TILE.0][..out.len()]);
        }
    }
}

/// The products of the first `head` columns (a multiple of four). `largest` is the largest code there is.
pub(super) fn products<I: Id, V: Value>(
    level: Level,
    narrow: &Narrow<'_, I, V>,
    head: usize,
    largest: u32,
    control: &Control,
) -> Result<Head<V::Sum>> {
    let len = band(head);
    if head == 0 {
        return Ok(Head { tiles: Vec::new() });
    }
    let blocks = narrow.n_rows().div_ceil(V::BLOCK_ROWS);
    let parts = PARTS.min(PARTIAL_BYTES / (len * size_of::<Tile<V::Sum>>())).min(blocks.div_ceil(2)).max(1);
    let parts = 1 << parts.ilog2(); // divides evenly among 2, 4, 8 threads
    // Pairs of 16-bit sums of two products each: so many steps before they could overflow.
    let steps = (i16::MAX as u32 / (2 * largest * largest).max(1)).max(1) as usize;
    let partial: Result<Vec<Vec<Tile<V::Sum>>>> = (0..parts)
        .into_par_iter()
        .map(|part| {
            let mut tiles = vec![Tile::default(); len];
            let mut cells = vec![V::Cell::zeroed(); head * V::BLOCK_ROWS / V::PER_CELL + LINE];
            for block in blocks * part / parts..blocks * (part + 1) / parts {
                control.check()?;
                dispatch(level, Block { narrow, head, block, steps, cells: &mut cells, tiles: &mut tiles });
            }
            Ok(tiles)
        })
        .collect();
    let mut partial = partial?.into_iter();
    let mut tiles = partial.next().unwrap_or_default();
    for other in partial {
        tiles.par_iter_mut().with_min_len(1 << 10).zip(&other).for_each(|(tile, more)| add(tile, more));
    }
    Ok(Head { tiles })
}

/// One block of rows: written out densely, column by column, and every pair of columns multiplied.
struct Block<'a, I, V: Value> {
    narrow: &'a Narrow<'a, I, V>,
    head: usize,
    block: usize,
    steps: usize,
    cells: &'a mut [V::Cell],
    tiles: &'a mut [Tile<V::Sum>],
}

impl<I: Id, V: Value> Job for Block<'_, I, V> {
    type Out = ();

    #[inline(always)]
    fn run<A: Isa>(self, isa: A) {
        let Self { narrow, head, block, steps, cells, tiles } = self;
        let width = V::BLOCK_ROWS / V::PER_CELL;
        let aligned = cells.as_ptr().align_offset(LINE).min(LINE);
        let cells = &mut cells[aligned..][..head * width];
        cells.fill(V::Cell::zeroed());
        let first = block * V::BLOCK_ROWS;
        for row in first..(first + V::BLOCK_ROWS).min(narrow.n_rows()) {
            let (ids, values) = narrow.row(row);
            for (&id, &value) in ids.iter().zip(values) {
                let Some(column) = cells.get_mut(id.place() * width..(id.place() + 1) * width) else { break };
                V::put(column, row - first, value);
            }
        }
        // A strip of columns stays in the first level cache while all others pass by.
        for strip in (0..head).step_by(STRIP) {
            for i in (strip..head).step_by(TILE.0) {
                let a = &cells[i * width..(i + TILE.0) * width];
                let band = &mut tiles[band(i)..band(i + TILE.0)];
                let end = (i + TILE.0).min(strip + STRIP);
                for (j, tile) in (strip..end).step_by(TILE.1).zip(&mut band[strip / TILE.1..]) {
                    add(tile, &V::tile(isa, a, &cells[j * width..(j + TILE.1) * width], steps));
                }
            }
        }
    }
}

#[inline(always)]
fn add<S: Copy + AddAssign>(tile: &mut Tile<S>, more: &Tile<S>) {
    for (sum, more) in tile.as_flattened_mut().iter_mut().zip(more.as_flattened()) {
        *sum += *more;
    }
}
