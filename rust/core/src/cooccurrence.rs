//! How often items occur near each other in what users do, and how much more often than by chance.

use crate::build::Events;
use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;

/// Which events of a user are near each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nearness {
    /// At most so many events apart; all of a sequence where absent.
    pub window: Option<usize>,
    /// A longer pause, in the unit of the times, ends a sequence.
    pub max_gap: Option<i64>,
}

/// What users did, sequence after sequence. Without a window an item comes once in a sequence, with its count.
struct Entries {
    items: Vec<i32>,
    counts: Vec<u32>,
    /// The sequence of each entry.
    sequences: Vec<u32>,
    /// Where each sequence begins, and the end of the last.
    starts: Vec<u32>,
    window: Option<usize>,
}

/// A thread's sums for one item.
struct Scratch {
    sums: Vec<u64>,
    touched: Vec<i32>,
}

/// Rows that one job made.
struct Piece {
    ends: Vec<i64>,
    indices: Vec<i32>,
    values: Vec<f32>,
}

/// A row with sums for one item in so many is read in order of the items; a shorter one is sorted.
const SCAN_ONE_IN: usize = 32;

/// Items × items: in how many pairs of near events of one user the two items are. Symmetric; pairs of an item with
/// itself are left out. Events are ordered by time, equal times by position.
///
/// ```text
/// for item: for its entries e: for the entries f near e: sums[item of f] += count of e · count of f
/// ```
/// Every row is one thread's, and the sums are integers: the order of the work cannot be seen.
pub fn cooccurrence(
    events: Events<'_>,
    n_users: usize,
    n_items: usize,
    near: Nearness,
    control: &Control,
) -> Result<Csr> {
    events.check(n_users, n_items)?;
    if let Some(gap) = near.max_gap.filter(|&gap| gap < 0) {
        return Err(Error::parameter("max_gap", "must be at least 0", gap));
    }
    if near.max_gap.is_some() && events.times.is_none() {
        return Err(Error::parameter("max_gap", "needs times, and there are none", ()));
    }
    let entries = entries(&events, n_users, near);
    let (starts, by_item) = group(&entries.items, n_items);
    let pieces = entries.pieces(&starts, &by_item);
    control.start(n_items as u64);
    let scratch = || Scratch { sums: vec![0; n_items], touched: Vec::new() };
    let made: Result<Vec<Piece>> = pieces
        .into_par_iter()
        .with_max_len(1)
        .map_init(scratch, |scratch, items| {
            let mut piece = Piece { ends: Vec::new(), indices: Vec::new(), values: Vec::new() };
            for item in items {
                let own = &by_item[starts[item]..starts[item + 1]];
                entries.count(item, own, scratch, control)?;
                scratch.empty_into(&mut piece);
                control.advance(1);
            }
            Ok(piece)
        })
        .collect();
    Ok(join(made?, n_items))
}

/// Positions grouped by code, ascending in each group: where the groups begin, and the positions.
fn group(codes: &[i32], n: usize) -> (Vec<usize>, Vec<u32>) {
    let mut starts = vec![0_usize; n + 1];
    for &code in codes {
        starts[code as usize + 1] += 1;
    }
    for at in 0..n {
        starts[at + 1] += starts[at];
    }
    let (mut next, mut positions) = (starts.clone(), vec![0_u32; codes.len()]);
    for (position, &code) in codes.iter().enumerate() {
        let slot = &mut next[code as usize];
        positions[*slot] = position as u32;
        *slot += 1;
    }
    (starts, positions)
}

fn entries(events: &Events<'_>, n_users: usize, near: Nearness) -> Entries {
    let users = events.users;
    let mut order = group(users, n_users).1;
    if let Some(times) = events.times {
        let of_one_user = |&a: &u32, &b: &u32| users[a as usize] == users[b as usize];
        // Stable: equal times stay in the order of their positions.
        order.par_chunk_by_mut(of_one_user).for_each(|own| own.sort_by_key(|&event| times[event as usize]));
    }

    // Sequence and item packed into one word each.
    let mut words = Vec::with_capacity(order.len());
    let mut sequence = 0_u64;
    for (at, &event) in order.iter().enumerate() {
        if at > 0 && is_cut(events, near.max_gap, order[at - 1] as usize, event as usize) {
            sequence += 1;
        }
        words.push(sequence << 32 | events.items[event as usize] as u64);
    }
    drop(order);
    if near.window.is_none() {
        words.par_sort_unstable();
    }

    let (mut items, mut counts) = (Vec::with_capacity(words.len()), Vec::with_capacity(words.len()));
    let (mut sequences, mut starts) = (Vec::with_capacity(words.len()), Vec::new());
    let mut last = None;
    for word in words {
        if near.window.is_none() && last == Some(word) {
            let at = counts.len() - 1;
            counts[at] += 1;
            continue;
        }
        let sequence = (word >> 32) as u32;
        if sequence as usize == starts.len() {
            starts.push(items.len() as u32);
        }
        items.push(word as u32 as i32);
        counts.push(1);
        sequences.push(sequence);
        last = Some(word);
    }
    starts.push(items.len() as u32);
    Entries { items, counts, sequences, starts, window: near.window }
}

/// Does a new sequence begin between two events that follow each other?
fn is_cut(events: &Events<'_>, max_gap: Option<i64>, before: usize, after: usize) -> bool {
    if events.users[before] != events.users[after] {
        return true;
    }
    match (max_gap, events.times) {
        // The later time is not the smaller one, so that as an unsigned number the difference always fits.
        (Some(gap), Some(times)) => times[after].wrapping_sub(times[before]) as u64 > gap as u64,
        _ => false,
    }
}

impl Entries {
    /// The entries near one, itself among them.
    #[inline]
    fn near(&self, entry: usize) -> (usize, usize) {
        let sequence = self.sequences[entry] as usize;
        let (start, end) = (self.starts[sequence] as usize, self.starts[sequence + 1] as usize);
        match self.window {
            Some(window) => (
                start.max(entry.saturating_sub(window)),
                end.min(entry.saturating_add(window).saturating_add(1)),
            ),
            None => (start, end),
        }
    }

    /// Ranges of items with about equal work.
    fn pieces(&self, starts: &[usize], by_item: &[u32]) -> Vec<Range<usize>> {
        const WORK: usize = 1 << 20;
        let n_items = starts.len() - 1;
        let (mut pieces, mut first, mut work) = (Vec::new(), 0, 0);
        for item in 0..n_items {
            for &entry in &by_item[starts[item]..starts[item + 1]] {
                let (from, to) = self.near(entry as usize);
                work += to - from;
            }
            work += 64; // a row of nothing is a row too
            if work >= WORK || item + 1 == n_items {
                pieces.push(first..item + 1);
                (first, work) = (item + 1, 0);
            }
        }
        pieces
    }

    /// Adds up what is near the entries of one item.
    fn count(&self, item: usize, own: &[u32], scratch: &mut Scratch, control: &Control) -> Result<()> {
        let (sums, touched) = (&mut scratch.sums[..], &mut scratch.touched);
        for &entry in own {
            control.check()?;
            let by = u64::from(self.counts[entry as usize]);
            let (from, to) = self.near(entry as usize);
            let (items, counts) = (&self.items[from..to], &self.counts[from..to]);
            for at in 0..items.len() {
                let sum = &mut sums[items[at] as usize];
                if *sum == 0 {
                    touched.push(items[at]);
                }
                *sum += by * u64::from(counts[at]);
            }
        }
        sums[item] = 0;
        Ok(())
    }
}

impl Scratch {
    /// Moves the sums into the next row of the piece.
    fn empty_into(&mut self, piece: &mut Piece) {
        let (sums, touched) = (&mut self.sums[..], &mut self.touched);
        if touched.len() >= sums.len() / SCAN_ONE_IN {
            for (at, sum) in sums.iter_mut().enumerate() {
                if *sum != 0 {
                    piece.indices.push(at as i32);
                    piece.values.push(*sum as f32);
                    *sum = 0;
                }
            }
        } else {
            touched.sort_unstable();
            for &col in touched.iter() {
                let sum = &mut sums[col as usize];
                if *sum != 0 {
                    piece.indices.push(col);
                    piece.values.push(*sum as f32);
                    *sum = 0;
                }
            }
        }
        touched.clear();
        piece.ends.push(piece.indices.len() as i64);
    }
}

/// One matrix of all rows; every piece is given back as soon as it is copied.
fn join(pieces: Vec<Piece>, n_cols: usize) -> Csr {
    let nnz = pieces.iter().map(|piece| piece.indices.len()).sum();
    let mut indptr = vec![0];
    let (mut indices, mut values) = (Vec::with_capacity(nnz), Vec::with_capacity(nnz));
    for piece in pieces {
        let before = indices.len() as i64;
        indptr.extend(piece.ends.iter().map(|end| before + end));
        indices.extend_from_slice(&piece.indices);
        values.extend_from_slice(&piece.values);
    }
    Csr::trusted(indptr, indices, values, n_cols)
}

/// `max(0, ln(x · Σ_j n_j^s / (n_i · n_j^s)) − ln shift)` of every entry, where `n_i` is the sum of a row, `n_j` that of a
/// column and `s` the smoothing; entries that come to 0 are left out.
pub fn shifted_ppmi(counts: &Csr, shift: f64, smoothing: f64, control: &Control) -> Result<Csr> {
    if !(shift > 0.0 && shift.is_finite()) {
        return Err(Error::parameter("shift", "must be above 0 and finite", shift));
    }
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(Error::parameter("context_smoothing", "must be from 0 to 1", smoothing));
    }
    if let Some(&bad) = counts.values().iter().find(|v| **v < 0.0) {
        return Err(Error::values("counts", "must be at least 0", bad));
    }
    let logs = |sums: Vec<f64>| -> Vec<f64> { sums.into_iter().map(f64::ln).collect() };
    let columns = counts.column_sums(f64::from);
    let total: f64 = columns.iter().filter(|&&n| n > 0.0).map(|n| n.powf(smoothing)).sum();
    let (rows, columns) = (logs(counts.row_sums(f64::from)), logs(columns));
    let base = total.ln() - shift.ln();
    control.start(counts.n_rows() as u64);
    let made: Result<Vec<Piece>> = counts
        .row_pieces()
        .into_par_iter()
        .map(|range| {
            control.check()?;
            let mut piece = Piece { ends: Vec::new(), indices: Vec::new(), values: Vec::new() };
            control.advance(range.len() as u64);
            for row in range {
                let (cols, values) = counts.row(row);
                for at in 0..cols.len() {
                    let expected = rows[row] + smoothing * columns[cols[at] as usize] - base;
                    let value = (f64::from(values[at]).ln() - expected) as f32;
                    if values[at] > 0.0 && value > 0.0 {
                        piece.indices.push(cols[at]);
                        piece.values.push(value);
                    }
                }
                piece.ends.push(piece.indices.len() as i64);
            }
            Ok(piece)
        })
        .collect();
    Ok(join(made?, counts.n_cols()))
}
