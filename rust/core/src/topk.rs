//! The one driver of everything that ranks: scores a row, leaves out what is excluded, keeps the best `k`.
//!
//! The order is total: score descending, then column ascending. So the answer does not depend on how the
//! rows were shared out.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::pages::zeros;
use crate::simd::{Isa, Job, Level, dispatch, prefetch};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Fills the scores of one row. A score of exactly 0 means: not a candidate.
pub trait RowScorer: Sync {
    /// Number of rows there are.
    fn n_rows(&self) -> usize;

    /// Length of a row of scores.
    fn n_cols(&self) -> usize;

    /// Multiply-adds that the row costs, for sharing the rows out; an upper bound of its candidates too.
    fn work(&self, row: usize) -> u64;

    /// Whether [`Scores`] needs its second sum.
    const TWO_SUMS: bool = false;

    /// Adds up the row's scores.
    fn score(&self, row: usize, scores: &mut Scores);

    /// The order in which the scorer keeps its columns, where that is not their own.
    #[inline(always)]
    fn order(&self) -> Option<&Order> {
        None
    }

    /// Turns the sums of a block of columns into scores, lane by lane (in a plain loop: closures are not sure to
    /// be compiled for the instruction set in force); must leave what nothing was added to at
    /// 0, the lanes beyond the last column among them.
    #[inline(always)]
    fn finish(&self, _row: usize, _block: usize, sums: Lanes, _weights: &Lanes) -> Lanes {
        sums
    }
}

/// Columns in the order of their popularity. What is often touched then lies together: a few cache lines take
/// most of the products, and far fewer blocks are touched at all.
pub struct Order {
    /// Place of each column.
    pub(crate) places: Vec<i32>,
    /// Column at each place.
    pub(crate) columns: Vec<i32>,
}

impl Order {
    /// By descending counts, equal ones in their own order.
    pub(crate) fn by_count(counts: &[i64]) -> Self {
        let mut columns: Vec<i32> = (0..counts.len() as i32).collect();
        columns.par_sort_by_key(|&c| std::cmp::Reverse(counts[c as usize]));
        let mut places = vec![0; columns.len()];
        for (place, &c) in columns.iter().enumerate() {
            places[c as usize] = place as i32;
        }
        Self { places, columns }
    }
}

/// Where the scorer keeps a column.
#[inline(always)]
fn place(order: Option<&Order>, col: usize) -> usize {
    order.map_or(col, |o| o.places[col] as usize)
}

/// Columns of one cache line of f32: the unit of the touched marks, of finishing and of the filter.
pub const BLOCK: usize = 16;

/// A block of columns. Passed by value, so that it lives in vector registers.
pub type Lanes = [f32; BLOCK];

/// The values in blocks, the last filled up with `filling`.
pub(crate) fn lanes(values: impl ExactSizeIterator<Item = f32>, filling: f32) -> Vec<Lanes> {
    let mut out = vec![[filling; BLOCK]; values.len().div_ceil(BLOCK)];
    out.as_flattened_mut().iter_mut().zip(values).for_each(|(slot, v)| *slot = v);
    out
}

/// A dense row of sums, and which of them are in use.
pub struct Scores {
    n_cols: usize,
    sums: Vec<Lanes>,
    /// The second sums; empty where the scorer needs none.
    weights: Vec<Lanes>,
    /// One byte per block.
    touched: Vec<u8>,
    /// The touched blocks, while they are visited.
    visited: Vec<u32>,
    /// Places beyond the `first` blocks that may hold a sum, some of them twice; room for more behind them.
    listed: Vec<u32>,
    n_listed: usize,
    /// Blocks that are in use without a mark.
    first: usize,
    in_use: InUse,
}

/// Where the sums in use are found.
#[derive(Clone, Copy, PartialEq)]
enum InUse {
    /// Everywhere.
    Everywhere,
    /// In the touched blocks.
    Blocks,
    /// At the listed places, and in the first blocks.
    Listed,
}

/// Entries in a line of [`Scores::add_lines`]: their places first, then their values.
pub(crate) const PER_LINE: usize = BLOCK / 2;

/// Below one product for this many columns, visiting only the touched blocks is cheaper than a scan.
const COLUMNS_PER_PRODUCT: u64 = 8;

/// Below one product for this many columns, listing places is cheaper than a scan.
const COLUMNS_PER_LISTED: usize = 4;

/// Touched blocks asked for ahead of their visit.
const BLOCKS_AHEAD: usize = 8;

impl Scores {
    fn new<S: RowScorer>(scorer: &S) -> Self {
        let n_cols = scorer.n_cols();
        let blocks = n_cols.div_ceil(BLOCK);
        Self {
            n_cols,
            sums: vec![[0.0; BLOCK]; blocks],
            weights: vec![[0.0; BLOCK]; if S::TWO_SUMS { blocks } else { 0 }],
            touched: vec![0; blocks.next_multiple_of(8)],
            visited: Vec::new(),
            listed: Vec::new(),
            n_listed: 0,
            first: 0,
            in_use: InUse::Everywhere,
        }
    }

    /// Begins a row of at most so many products: blocks are marked where they are few.
    #[inline(always)]
    fn expect(&mut self, products: u64) {
        let few = products * COLUMNS_PER_PRODUCT < self.n_cols as u64;
        self.in_use = if few { InUse::Blocks } else { InUse::Everywhere };
    }

    /// Begins a row of whose products the first blocks, which are handed out, get some, and [`Self::add_lines`]
    /// adds at most so many lines. Only for scorers whose sums are the scores.
    #[inline(always)]
    pub(crate) fn expect_lines(&mut self, first: usize, lines: usize) -> &mut [Lanes] {
        let few = lines * PER_LINE * COLUMNS_PER_LISTED < self.n_cols;
        self.in_use = if few { InUse::Listed } else { InUse::Everywhere };
        (self.first, self.n_listed) = (first, 0);
        if few && self.listed.len() < lines * PER_LINE {
            self.listed.resize(lines * PER_LINE, 0);
        }
        &mut self.sums[..first]
    }

    /// `sums[ids] += by · values`, for lines of places of columns, as bits, and their values.
    #[inline(always)]
    pub(crate) fn add_lines(&mut self, lines: &[Lanes], by: f32) {
        let sums = self.sums.as_flattened_mut();
        let place = |line: &Lanes, lane: usize| line[lane].to_bits() as usize;
        if self.in_use == InUse::Everywhere {
            for line in lines {
                for lane in 0..PER_LINE {
                    sums[place(line, lane)] += by * line[PER_LINE + lane];
                }
            }
            return;
        }
        let mut room = self.listed[self.n_listed..].as_mut();
        for line in lines {
            let Some(slots) = room.first_chunk_mut::<PER_LINE>() else { return };
            let mut n = 0;
            for lane in 0..PER_LINE {
                let at = place(line, lane);
                let sum = &mut sums[at];
                // Written in any case, kept where the sum was 0: no branch to guess.
                slots[n % PER_LINE] = at as u32;
                n += usize::from(*sum == 0.0);
                *sum += by * line[PER_LINE + lane];
            }
            self.n_listed += n;
            room = &mut room[n..];
        }
    }

    /// All sums at once, for scorers that know every column.
    #[inline(always)]
    pub fn dense(&mut self) -> &mut [f32] {
        self.in_use = InUse::Everywhere;
        &mut self.sums.as_flattened_mut()[..self.n_cols]
    }

    /// `sums[cols] += by · values`.
    #[inline(always)]
    pub fn add(&mut self, cols: &[i32], values: &[f32], by: f32) {
        let sums = self.sums.as_flattened_mut();
        if self.in_use == InUse::Everywhere {
            for (&c, &v) in cols.iter().zip(values) {
                sums[c as usize] += by * v;
            }
        } else {
            let touched = &mut self.touched[..];
            for (&c, &v) in cols.iter().zip(values) {
                let c = c as usize;
                sums[c] += by * v;
                touched[c / BLOCK] = 1;
            }
        }
    }

    /// `sums[cols] += by · values` and `weights[cols] += weight(by, value)`.
    #[inline(always)]
    pub fn add_weighted(&mut self, cols: &[i32], values: &[f32], by: f32, weight: impl Fn(f32, f32) -> f32) {
        let (sums, weights) = (self.sums.as_flattened_mut(), self.weights.as_flattened_mut());
        for (&c, &v) in cols.iter().zip(values) {
            let c = c as usize;
            sums[c] += by * v;
            weights[c] += weight(by, v);
            self.touched[c / BLOCK] = 1;
        }
    }

    /// Takes the column at this place out of the running.
    #[inline(always)]
    pub fn remove(&mut self, place: usize) {
        self.sums[place / BLOCK][place % BLOCK] = 0.0;
        if let Some(weights) = self.weights.get_mut(place / BLOCK) {
            weights[place % BLOCK] = 0.0;
        }
    }

    /// Shows everything in use to `visit`, and clears it.
    #[inline(always)]
    fn drain(&mut self, mut visit: impl Visit) {
        let blocks = self.n_cols.div_ceil(BLOCK);
        match self.in_use {
            InUse::Everywhere => self.drain_first(blocks, &mut visit),
            InUse::Blocks => self.drain_touched(blocks, &mut visit),
            InUse::Listed => {
                self.drain_first(self.first, &mut visit);
                let sums = self.sums.as_flattened_mut();
                for &place in &self.listed[..self.n_listed] {
                    visit.sum(place as usize, std::mem::take(&mut sums[place as usize]));
                }
            }
        }
    }

    #[inline(always)]
    fn drain_first(&mut self, blocks: usize, visit: &mut impl Visit) {
        for block in 0..blocks {
            self.take(block, visit);
        }
    }

    #[inline(always)]
    fn drain_touched(&mut self, blocks: usize, visit: &mut impl Visit) {
        // First all numbers, then all blocks: those to come can be asked for.
        self.visited.clear();
        for (word, marks) in
            self.touched[..blocks.next_multiple_of(8)].as_chunks_mut::<8>().0.iter_mut().enumerate()
        {
            // The marks of eight blocks at once; a set byte is a touched block.
            let mut bits = u64::from_le_bytes(std::mem::take(marks));
            while bits != 0 {
                self.visited.push(word as u32 * 8 + bits.trailing_zeros() / 8);
                bits &= bits - 1;
            }
        }
        let visited = std::mem::take(&mut self.visited);
        for (at, &block) in visited.iter().enumerate() {
            if let Some(&ahead) = visited.get(at + BLOCKS_AHEAD) {
                prefetch(&self.sums[ahead as usize..][..1], 1);
            }
            self.take(block as usize, visit);
        }
        self.visited = visited;
    }

    #[inline(always)]
    fn take(&mut self, block: usize, visit: &mut impl Visit) {
        let sums = std::mem::take(&mut self.sums[block]);
        let weights = self.weights.get_mut(block).map(std::mem::take).unwrap_or_default();
        visit.block(block, sums, &weights);
    }
}

/// What [`Scores::drain`] calls; a trait and no closure, since only functions can be told to inline, and what
/// is not inlined is not compiled for the instruction set that [`dispatch`] chose.
trait Visit {
    /// Gets the sums of a block of columns.
    fn block(&mut self, block: usize, sums: Lanes, weights: &Lanes);

    /// Gets the sum at a place, which is its score.
    fn sum(&mut self, place: usize, sum: f32);
}

/// Only clears.
struct Discard;

impl Visit for Discard {
    #[inline(always)]
    fn block(&mut self, _block: usize, _sums: Lanes, _weights: &Lanes) {}

    #[inline(always)]
    fn sum(&mut self, _place: usize, _sum: f32) {}
}

/// What may not, or only may, be recommended.
#[derive(Default, Clone, Copy)]
pub struct Filter<'a> {
    /// Row by row, columns to leave out (values are ignored).
    pub exclude: &'a [&'a Csr],
    /// Row by row, the only columns allowed.
    pub allow: Option<&'a Csr>,
    /// Per column: may it be recommended to anybody?
    pub allowed: Option<&'a [bool]>,
    /// Scores must be above this.
    pub threshold: Option<f32>,
}

fn check_shape(name: &str, matrix: &Csr, n_rows: usize, n_cols: usize) -> Result<()> {
    let got = (matrix.n_rows(), matrix.n_cols());
    if got != (n_rows, n_cols) {
        return Err(Error::shape(name, format!("must have shape ({n_rows}, {n_cols})"), got));
    }
    Ok(())
}

impl Filter<'_> {
    pub(crate) fn check(&self, n_rows: usize, n_cols: usize) -> Result<()> {
        let named = self.exclude.iter().map(|m| ("exclude", *m)).chain(self.allow.map(|m| ("allow", m)));
        for (name, m) in named {
            check_shape(name, m, n_rows, n_cols)?;
        }
        if let Some(mask) = self.allowed.filter(|m| m.len() != n_cols) {
            return Err(Error::shape("allowed", format!("must have length {n_cols}"), mask.len()));
        }
        if let Some(threshold) = self.threshold.filter(|t| t.is_nan()) {
            return Err(Error::parameter("threshold", "must be a number", threshold));
        }
        Ok(())
    }
}

/// Rows of (column, score), best first: at most k of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// Offsets of the rows.
    pub indptr: Vec<i64>,
    /// Columns, best first within a row.
    pub indices: Vec<i32>,
    /// Scores, aligned with `indices`.
    pub values: Vec<f32>,
}

/// A score and a column as one integer: a greater key is a better candidate.
#[inline(always)]
pub(crate) fn key(score: f32, col: usize) -> u64 {
    let bits = score.to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 32 | u64::from(!(col as u32))
}

#[inline(always)]
fn key_score(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

#[inline(always)]
fn key_col(key: u64) -> i32 {
    !(key as u32) as i32
}

/// A sum beyond the range of f32 as the number next to infinity: results are finite.
#[inline(always)]
fn within_f32(score: f32) -> f32 {
    score.clamp(f32::MIN, f32::MAX)
}

/// The best k seen so far: an unordered buffer that is cut back to k when full.
pub(crate) struct Best {
    keys: Vec<u64>,
    k: usize,
    /// Candidates must be above this key.
    last: u64,
    /// And so at least this good.
    floor: f32,
    start: (u64, f32),
}

impl Best {
    pub(crate) fn new(k: usize, threshold: Option<f32>) -> Self {
        // Strictly above a threshold means at least the next number.
        let floor = threshold.map_or(f32::NEG_INFINITY, f32::next_up);
        // Nothing is above infinity.
        let last = if floor == f32::INFINITY { u64::MAX } else { key(floor, u32::MAX as usize) };
        let start = (last, floor);
        Self { keys: Vec::new(), k, last: start.0, floor: start.1, start }
    }

    /// Candidates held at most.
    pub(crate) const fn capacity(k: usize) -> usize {
        2 * k + 32
    }

    /// What a score must reach to be a candidate.
    #[inline(always)]
    pub(crate) fn floor(&self) -> f32 {
        self.floor
    }

    /// Forgets everything and takes only scores of at least `floor`.
    #[inline(always)]
    pub(crate) fn start_at(&mut self, floor: f32) {
        self.keys.clear();
        (self.last, self.floor) = (key(floor, u32::MAX as usize), floor);
    }

    /// Forgets everything.
    #[inline(always)]
    pub(crate) fn restart(&mut self) {
        self.keys.clear();
        (self.last, self.floor) = self.start;
    }

    /// Takes over the candidates of another.
    #[inline(always)]
    pub(crate) fn merge(&mut self, other: &mut Self) {
        for key in other.keys.drain(..) {
            self.offer_key(key);
        }
    }

    /// Offers a candidate.
    #[inline(always)]
    pub(crate) fn offer(&mut self, score: f32, col: usize) {
        self.offer_key(key(score, col));
    }

    #[inline(always)]
    fn offer_key(&mut self, key: u64) {
        if key > self.last {
            self.keys.push(key);
            if self.keys.len() >= Self::capacity(self.k) {
                self.cut();
            }
        }
    }

    /// Keeps only the best k, and takes only what is better from now on.
    pub(crate) fn cut(&mut self) {
        if self.keys.len() > self.k {
            let (_, &mut last, _) = self.keys.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
            self.keys.truncate(self.k);
            (self.last, self.floor) = (last, key_score(last));
        }
    }

    /// Writes the best, in order, to the front of the slices; returns how many; forgets them.
    pub(crate) fn take(&mut self, cols: &mut [i32], scores: &mut [f32]) -> usize {
        self.cut();
        self.keys.sort_unstable_by(|a, b| b.cmp(a));
        for ((&key, c), s) in self.keys.iter().zip(cols).zip(scores) {
            (*c, *s) = (key_col(key), within_f32(key_score(key)));
        }
        let n = self.keys.len();
        self.restart();
        n
    }
}

/// A run of rows and where their results go.
struct Chunk<'a> {
    rows: Range<usize>,
    work: u64,
    cols: &'a mut [i32],
    scores: &'a mut [f32],
    counts: &'a mut [u32],
    used: usize,
}

/// Chunks per thread: enough to even out what the estimates of work miss.
const CHUNKS_PER_THREAD: u64 = 64;
/// A row costs about this many multiply-adds on top of its products.
const ROW_OVERHEAD: u64 = 256;

/// Cuts rows into runs of about equal work.
pub(crate) fn balanced(n_rows: usize, work: impl Fn(usize) -> u64, total: u64) -> Vec<(Range<usize>, u64)> {
    if n_rows == 1 {
        return vec![(0..1, total)];
    }
    let goal = (total / (CHUNKS_PER_THREAD * rayon::current_num_threads() as u64)).max(1 << 14);
    let mut runs = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for row in 0..n_rows {
        sum += work(row);
        if sum >= goal || row + 1 == n_rows {
            runs.push((start..row + 1, sum));
            (start, sum) = (row + 1, 0);
        }
    }
    runs
}

/// Lets every thread of the pool take jobs, in order, each thread with one scratch of its own.
pub(crate) fn share_out<T: Send, S>(
    jobs: &[Mutex<T>],
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &mut T) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let worker = || {
        let mut own = None;
        while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
            let mut job = job.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = work(own.get_or_insert_with(&scratch), &mut job) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                next.fetch_max(jobs.len(), Relaxed);
            }
        }
    };
    if jobs.len() == 1 {
        worker();
    } else {
        rayon::scope(|s| {
            for _ in 0..rayon::current_num_threads().min(jobs.len()) {
                s.spawn(|_| worker());
            }
        });
    }
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The best `k` columns of every row.
pub fn top_k<S: RowScorer>(scorer: &S, k: usize, filter: &Filter<'_>, control: &Control) -> Result<Ranked> {
    top_k_at(Level::current(), scorer, k, filter, control)
}

/// [`top_k`] on a given instruction set.
pub fn top_k_at<S: RowScorer>(
    level: Level,
    scorer: &S,
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    let (n_rows, n_cols) = (scorer.n_rows(), scorer.n_cols());
    filter.check(n_rows, n_cols)?;
    let k = k.min(n_cols);
    let scratch = || (Scores::new(scorer), Best::new(k, filter.threshold));
    drive(
        n_rows,
        k,
        |row| scorer.work(row),
        control,
        scratch,
        |(scores, best), row, cols, values| {
            dispatch(level, Row { scorer, filter, row, scores, best });
            best.take(cols, values)
        },
    )
}

/// Columns and scores of an answer of at most so many entries.
fn room_for(n_rows: usize, capacity: usize) -> Result<(Vec<i32>, Vec<f32>)> {
    let room = || {
        let entries = format_args!("the answer of {n_rows} rows, up to {capacity} entries,");
        Error::no_room(entries, 8.0 * capacity as f64)
    };
    Ok((zeros(capacity).ok_or_else(room)?, zeros(capacity).ok_or_else(room)?))
}

/// Shares out rows, gives each a place for its at most `k` results, and joins the results.
pub(crate) fn drive<X>(
    n_rows: usize,
    k: usize,
    work: impl Fn(usize) -> u64,
    control: &Control,
    scratch: impl Fn() -> X + Sync,
    rank: impl Fn(&mut X, usize, &mut [i32], &mut [f32]) -> usize + Sync,
) -> Result<Ranked> {
    let mut indptr = vec![0_i64; n_rows + 1];
    if k == 0 || n_rows == 0 {
        return Ok(Ranked { indptr, indices: Vec::new(), values: Vec::new() });
    }
    let room = |row: usize| (k as u64).min(work(row)) as usize;
    let capacity = (0..n_rows).map(room).sum();
    let total: u64 = (0..n_rows).map(|row| work(row) + ROW_OVERHEAD).sum();
    control.start(total);

    // Zeroed pages cost nothing until they are written, and every chunk writes its own part of the result.
    let (mut indices, mut values) = room_for(n_rows, capacity)?;
    let mut counts = vec![0_u32; n_rows];
    let mut jobs = Vec::new();
    let (mut rest_i, mut rest_v, mut rest_n) = (&mut indices[..], &mut values[..], &mut counts[..]);
    for (rows, work) in balanced(n_rows, |row| work(row) + ROW_OVERHEAD, total) {
        let len = rows.clone().map(room).sum();
        let (cols, tail_i) = rest_i.split_at_mut(len);
        let (scores, tail_v) = rest_v.split_at_mut(len);
        let (counts, tail_n) = rest_n.split_at_mut(rows.len());
        (rest_i, rest_v, rest_n) = (tail_i, tail_v, tail_n);
        jobs.push(Mutex::new(Chunk { rows, work, cols, scores, counts, used: 0 }));
    }
    share_out(&jobs, scratch, |own, chunk: &mut Chunk<'_>| {
        let mut at = 0;
        for (row, count) in chunk.rows.clone().zip(chunk.counts.iter_mut()) {
            control.check()?;
            let n = rank(own, row, &mut chunk.cols[at..], &mut chunk.scores[at..]);
            *count = n as u32;
            at += n;
        }
        chunk.used = at;
        control.advance(chunk.work);
        Ok(())
    })?;

    let used: Vec<(usize, usize)> = jobs
        .into_iter()
        .map(|job| job.into_inner().unwrap_or_else(PoisonError::into_inner))
        .map(|chunk| (chunk.cols.len(), chunk.used))
        .collect();
    close_gaps(&mut indices, &mut values, used);
    for (row, &n) in counts.iter().enumerate() {
        indptr[row + 1] = indptr[row] + i64::from(n);
    }
    Ok(Ranked { indptr, indices, values })
}

/// Moves what is used to the front: pieces of `(room, used)` one after another.
fn close_gaps(
    indices: &mut Vec<i32>,
    values: &mut Vec<f32>,
    pieces: impl IntoIterator<Item = (usize, usize)>,
) {
    let (mut from, mut to) = (0, 0);
    for (room, used) in pieces {
        if from != to {
            indices.copy_within(from..from + used, to);
            values.copy_within(from..from + used, to);
        }
        (from, to) = (from + room, to + used);
    }
    let sparse = to < indices.len() / 2;
    indices.truncate(to);
    values.truncate(to);
    if sparse {
        indices.shrink_to_fit();
        values.shrink_to_fit();
    }
}

/// The places of a result's rows, for rows that are finished in any order.
pub(crate) struct Slots<'a>(Vec<Mutex<Slot<'a>>>);

struct Slot<'a> {
    cols: &'a mut [i32],
    scores: &'a mut [f32],
    used: usize,
}

impl Slots<'_> {
    /// Writes a row.
    pub(crate) fn put(&self, row: usize, best: &mut Best) {
        let mut slot = self.0[row].lock().unwrap_or_else(PoisonError::into_inner);
        let Slot { cols, scores, used } = &mut *slot;
        *used = best.take(cols, scores);
    }
}

/// Lets `work` put the rows, of at most `room(row)` entries each, and joins them.
pub(crate) fn in_any_order(
    n_rows: usize,
    room: impl Fn(usize) -> usize,
    work: impl FnOnce(&Slots<'_>) -> Result<()>,
) -> Result<Ranked> {
    let capacity = (0..n_rows).map(&room).sum();
    // Zeroed pages cost nothing until they are written.
    let (mut indices, mut values) = room_for(n_rows, capacity)?;
    let (mut rest_i, mut rest_v) = (&mut indices[..], &mut values[..]);
    let mut slots = Vec::with_capacity(n_rows);
    for row in 0..n_rows {
        let (cols, tail_i) = rest_i.split_at_mut(room(row));
        let (scores, tail_v) = rest_v.split_at_mut(room(row));
        (rest_i, rest_v) = (tail_i, tail_v);
        slots.push(Mutex::new(Slot { cols, scores, used: 0 }));
    }
    let slots = Slots(slots);
    work(&slots)?;
    let used: Vec<usize> = slots
        .0
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner).used)
        .collect();
    close_gaps(&mut indices, &mut values, used.iter().enumerate().map(|(row, &used)| (room(row), used)));
    let mut indptr = vec![0_i64];
    indptr.extend(used.iter().scan(0, |at, &n| {
        *at += n as i64;
        Some(*at)
    }));
    Ok(Ranked { indptr, indices, values })
}

/// Scores one row and offers its candidates.
struct Row<'a, S> {
    scorer: &'a S,
    filter: &'a Filter<'a>,
    row: usize,
    scores: &'a mut Scores,
    best: &'a mut Best,
}

impl<S: RowScorer> Row<'_, S> {
    #[inline(always)]
    fn accumulate(scorer: &S, row: usize, scores: &mut Scores) {
        scores.expect(if S::TWO_SUMS { 0 } else { scorer.work(row) });
        scorer.score(row, scores);
    }
}

impl<S: RowScorer> Job for Row<'_, S> {
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { scorer, filter, row, scores, best } = self;
        Self::accumulate(scorer, row, scores);
        let order = scorer.order();
        for lists in filter.exclude {
            for &col in lists.row(row).0 {
                scores.remove(place(order, col as usize));
            }
        }
        if let Some(lists) = filter.allow {
            for &col in lists.row(row).0 {
                let col = col as usize;
                let score = finished(scorer, row, place(order, col), scores);
                // The comparison with the floor leaves out NaN as well.
                if score != 0.0 && score >= best.floor && filter.allowed.is_none_or(|mask| mask[col]) {
                    best.offer(score, col);
                }
            }
            scores.drain(Discard);
            return;
        }
        scores.drain(Offer { isa, scorer, row, order, allowed: filter.allowed, best });
    }
}

/// Finishes the scores and offers those that can be among the best.
struct Offer<'a, S, I> {
    isa: I,
    scorer: &'a S,
    row: usize,
    order: Option<&'a Order>,
    allowed: Option<&'a [bool]>,
    best: &'a mut Best,
}

impl<S: RowScorer, I: Isa> Visit for Offer<'_, S, I> {
    #[inline(always)]
    fn block(&mut self, block: usize, sums: Lanes, weights: &Lanes) {
        let scores = self.scorer.finish(self.row, block, sums, weights);
        let floor = self.best.floor;
        // One vector comparison decides for nearly every block that nothing in it can be among the best.
        let mut bits = self.isa.hits(&scores, floor);
        while bits != 0 {
            let lane = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            self.offer(block * BLOCK + lane, scores[lane]);
        }
    }

    #[inline(always)]
    fn sum(&mut self, place: usize, sum: f32) {
        if (sum >= self.best.floor) & (sum != 0.0) {
            self.offer(place, sum);
        }
    }
}

impl<S, I> Offer<'_, S, I> {
    #[inline(always)]
    fn offer(&mut self, place: usize, score: f32) {
        let col = self.order.map_or(place, |o| o.columns[place] as usize);
        if self.allowed.is_none_or(|mask| mask[col]) {
            self.best.offer(score, col);
        }
    }
}

/// The finished score at one place.
#[inline(always)]
fn finished<S: RowScorer>(scorer: &S, row: usize, place: usize, scores: &Scores) -> f32 {
    let (block, lane) = (place / BLOCK, place % BLOCK);
    let weights = scores.weights.get(block).copied().unwrap_or_default();
    within_f32(scorer.finish(row, block, scores.sums[block], &weights)[lane])
}

/// The scores of given columns: `pairs` has a row for each row of the scorer, the answer one score for each
/// of its entries, 0 where the column is no candidate.
pub fn score_pairs<S: RowScorer>(scorer: &S, pairs: &Csr, control: &Control) -> Result<Vec<f32>> {
    let (n_rows, n_cols) = (scorer.n_rows(), scorer.n_cols());
    check_shape("pairs", pairs, n_rows, n_cols)?;
    let mut out = vec![0.0; pairs.nnz()];
    let work = |row: usize| if pairs.row_len(row) == 0 { 0 } else { scorer.work(row) + ROW_OVERHEAD };
    let total = (0..n_rows).map(work).sum();
    control.start(total);
    let mut rest: &mut [f32] = &mut out;
    let mut jobs = Vec::new();
    for (rows, _) in balanced(n_rows, work, total) {
        let len = (pairs.indptr()[rows.end] - pairs.indptr()[rows.start]) as usize;
        let (head, tail) = rest.split_at_mut(len);
        rest = tail;
        jobs.push(Mutex::new((rows, head)));
    }
    share_out(
        &jobs,
        || Scores::new(scorer),
        |scores, (rows, out)| {
            let mut out = out.iter_mut();
            for row in rows.clone() {
                control.check()?;
                if pairs.row_len(row) > 0 {
                    Row::accumulate(scorer, row, scores);
                    for (&col, slot) in pairs.row(row).0.iter().zip(&mut out) {
                        *slot = finished(scorer, row, place(scorer.order(), col as usize), scores);
                    }
                    scores.drain(Discard);
                    control.advance(work(row));
                }
            }
            Ok(())
        },
    )?;
    Ok(out)
}
