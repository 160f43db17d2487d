//! Every pair of columns once: the similarities of a matrix's columns with each other.
//!
//! Columns are handled in the order of their popularity, and a column's *place* is its position in that order.
//! Places fall into three ranges:
//!
//! - the **head**: products with each other come from dense blocks ([`super::head`]);
//! - the **shared** places, the head among them: each is paired with those before it, and both sides are offered
//!   the score;
//! - the **rest**, too many to keep a list of candidates for each: paired with all others, and only the shared
//!   ones among these are offered the score as well.
//!
//! Products of rows that hold a good part of all columns come from dense blocks too ([`super::long_rows`]), beyond
//! the head, a group of places at a time.

use super::formula::{Blocks, Formula, Gathered};
use super::head::{Head, products};
use super::long_rows::{GROUP, LongRows};
use super::narrow::{Id, Lists, Narrow, Panel, TILE, Value};
use crate::control::Control;
use crate::csr::Csr;
use crate::error::Result;
use crate::simd::{Isa, Job, Level, dispatch};
use crate::topk::{BLOCK, Best, Lanes, Order, Ranked, balanced, in_any_order, share_out};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Memory for the candidates of the shared places.
const SHARED_BYTES: usize = 48 << 20;
/// More do not pay: rare columns are offered ever better scores by ever rarer ones.
const MOST_SHARED: usize = 4096;
/// Rows are asked for so far ahead of their use.
const ROWS_AHEAD: usize = 8;
/// Below one product for this many columns, listing places is cheaper than a scan.
const COLUMNS_PER_PRODUCT: f64 = 4.0;
/// Entries of an answer that is too large to reserve without need.
const LARGE_ANSWER: usize = 1 << 27;
/// The largest head: its sums take 8 MiB for each part.
const LARGEST_HEAD: usize = 2048;
/// Memory for the long rows.
const LONG_BYTES: usize = 48 << 20;
/// Long rows are worth while from this part of the work without them on.
const LONG_GAIN: f64 = 0.8;
/// Tiles of long rows are short, and their sums go through memory: so much of a dense block's speed is left.
const LONG_SPEED: f64 = 0.5;

/// Where the ranges end; chosen by cost, set by hand in tests.
#[derive(Debug, Clone, Copy)]
pub struct Ranges {
    /// Places in dense blocks, a multiple of four.
    pub head: usize,
    /// Places with a list of candidates, at least the head.
    pub shared: usize,
    /// Entries of a row from which on its products come from dense blocks.
    pub long: usize,
}

/// What the ranges and the sharing out of work rest on.
pub(super) struct Popularity {
    pub(super) order: Order,
    /// Entries at each place.
    counts: Vec<i64>,
    /// Entries before each place.
    before: Vec<i64>,
    /// Lengths of the rows, the longest first.
    lens: Vec<u32>,
    /// Multiply-adds of the naive loops.
    squares: u64,
    /// How much longer the row of an entry is than the mean row.
    excess: f64,
}

impl Popularity {
    pub(super) fn new(z: &Csr) -> Self {
        Self::of((0..z.n_rows()).map(|row| z.row_len(row) as u64), &z.column_counts())
    }

    /// From the lengths of the rows and of the columns.
    pub(super) fn of(rows: impl ExactSizeIterator<Item = u64>, by_column: &[i64]) -> Self {
        let order = Order::by_count(by_column);
        let counts: Vec<i64> = order.columns.iter().map(|&c| by_column[c as usize]).collect();
        let mut total = 0;
        let mut before = vec![0];
        for count in &counts {
            total += count;
            before.push(total);
        }
        let n_rows = rows.len();
        let mut lens: Vec<u32> = rows.map(|len| len as u32).collect();
        lens.par_sort_unstable_by(|a, b| b.cmp(a));
        let squares = lens.iter().map(|&len| u64::from(len).pow(2)).sum();
        let excess = squares as f64 * n_rows as f64 / (total as f64).powi(2).max(1.0);
        Self { order, counts, before, lens, squares, excess }
    }

    /// Entries of every column, in the columns' own order.
    pub(super) fn by_column(&self) -> impl Iterator<Item = i64> {
        self.order.places.iter().map(|&place| self.counts[place as usize])
    }

    /// About how many products the place has with those before `end`.
    fn products(&self, place: usize, end: usize) -> f64 {
        let mean = self.before[end] as f64 / self.lens.len().max(1) as f64;
        self.counts[place] as f64 * mean * self.excess
    }

    /// The ranges that cost least: with no long rows, or with those whose products are cheaper in dense blocks.
    fn ranges<V: Value>(&self, k: usize) -> Ranges {
        let n = self.counts.len();
        let room = SHARED_BYTES / (size_of::<u64>() * Best::capacity(k));
        let mut best = self.with_long::<V>(0, room.min(MOST_SHARED));
        let mut least = LONG_GAIN * self.cost::<V>(best);
        let most = LONG_BYTES * V::PER_CELL / (n.max(1) * size_of::<V::Cell>());
        for times in [0.5, 1.0, 2.0, 4.0] {
            // Where a row's products, one by one, cost so many times what they cost densely.
            let len = n as f64 * (times / V::DENSE_PER_PRODUCT).sqrt();
            let n_long = self.n_long(len as usize).min(most);
            if n_long > 0 {
                let ranges = self.with_long::<V>(n_long, room);
                let cost = self.cost::<V>(ranges);
                if cost < least {
                    (best, least) = (ranges, cost);
                }
            }
        }
        best
    }

    /// With so many long rows at least (more where others are as long), and at most so many shared places.
    fn with_long<V: Value>(&self, n_long: usize, most_shared: usize) -> Ranges {
        let n = self.counts.len();
        let long = if n_long == 0 { usize::MAX } else { self.lens[n_long - 1] as usize };
        let scattered = self.scattered(long);
        let dense = |place: usize| {
            let cost = place as f64 * self.lens.len() as f64 / V::DENSE_PER_PRODUCT;
            cost < scattered * self.products(place, place + 1)
        };
        let most = n.min(LARGEST_HEAD);
        let head = (0..most).find(|&place| !dense(place)).unwrap_or(most) / TILE.0 * TILE.0;
        Ranges { head, shared: most_shared.max(head).min(n), long }
    }

    fn n_long(&self, long: usize) -> usize {
        self.lens.partition_point(|&len| len as usize >= long)
    }

    /// The share of products that rows shorter than that have.
    fn scattered(&self, long: usize) -> f64 {
        let of_long: u64 = self.lens[..self.n_long(long)].iter().map(|&len| u64::from(len).pow(2)).sum();
        (self.squares - of_long) as f64 / self.squares.max(1) as f64
    }

    /// Work beyond the entries, in units of a scattered product.
    fn cost<V: Value>(&self, Ranges { head, shared, long }: Ranges) -> f64 {
        let n = self.counts.len();
        let panel = Panel::<V>::width(self.lens.len(), head);
        let (mut products, mut columns) = (0.0, 0.0);
        for place in head..n {
            let end = if place < shared { place } else { n };
            products += self.products(place, end) - self.products(place, panel.min(end));
            columns += end as f64;
        }
        let dense = (head * head / 2 * self.lens.len()) as f64;
        products * self.scattered(long) + columns * self.long_work::<V>(long) + dense / V::DENSE_PER_PRODUCT
    }

    /// Work of the long rows for a pair of columns.
    fn long_work<V: Value>(&self, long: usize) -> f64 {
        self.n_long(long) as f64 / (V::DENSE_PER_PRODUCT * LONG_SPEED)
    }
}

/// What the similarity of a matrix's entities with each other costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Multiply-adds of the naive loops: every row's entries in pairs, both ways round, each with itself.
    pub multiply_adds: u64,
    /// Multiply-adds in dense blocks.
    pub dense: u64,
    /// Products that are scattered, about.
    pub scattered: u64,
    /// All work, in units of a scattered product.
    pub work: f64,
    /// Memory above the input and the answer, at most about.
    pub bytes: u64,
    /// Memory of the answer, at most.
    pub answer_bytes: u64,
}

/// Work of an entry before any product: read, sorted into its row, and into its column.
const WORK_PER_ENTRY: f64 = 12.0;
/// Work of a block of columns that is scanned.
const WORK_PER_BLOCK: f64 = 6.0;

impl Popularity {
    /// What [`top_k_pairs`] is going to do, on so many threads.
    pub(super) fn plan<I: Id, V: Value>(&self, k: usize, n_threads: usize) -> Plan {
        let n = self.counts.len();
        let k = k.min(n.saturating_sub(1));
        let ranges = self.ranges::<V>(k);
        let Ranges { head, shared, long } = ranges;
        let (n_rows, n_long, kept) = (self.lens.len(), self.n_long(long), self.scattered(long));
        let panel = Panel::<V>::width(n_rows, head);
        let (mut scattered, mut blocks, mut columns) = (0.0, 0, 0);
        for place in head..n {
            let end = if place < shared { place } else { n };
            let products = self.products(place, end) * kept;
            scattered += products - self.products(place, panel) * kept;
            // Rows with few products visit no more blocks than they have products.
            blocks += (end / BLOCK).min(if n_long > 0 { usize::MAX } else { products as usize });
            columns += end;
        }
        let dense = head * head / 2 * n_rows + columns * n_long;
        let entries = self.before[n];
        let work = self.cost::<V>(ranges) + entries as f64 * WORK_PER_ENTRY + blocks as f64 * WORK_PER_BLOCK;
        let listed = entries - self.before[head];
        let bytes = entries as usize * (size_of::<I>() + size_of::<V>())
            + listed as usize * (size_of::<u32>() + size_of::<V>())
            + (panel * n_rows + n_long * n) / V::PER_CELL * size_of::<V::Cell>()
            + shared * Best::capacity(k) * size_of::<u64>()
            + (n_rows + n) * 16
            + n * 96 // counts, terms of the formula, places of the answer
            + n_threads * (if n_long > 0 { GROUP * n * 4 } else { n * 5 } + shared * 4);
        let bytes = bytes + bytes / 8; // partial sums, and what allocators keep
        Plan {
            multiply_adds: self.squares,
            dense: dense as u64,
            scattered: scattered as u64,
            work,
            bytes: bytes as u64,
            answer_bytes: (n * k * 8 + n * 8) as u64,
        }
    }
}

/// The `k` best of every column of `narrow`; `largest` is its largest code.
#[expect(clippy::too_many_arguments)]
pub(super) fn top_k_pairs<I: Id, V: Value>(
    level: Level,
    narrow: &Narrow<'_, I, V>,
    popularity: &Popularity,
    formula: &Formula,
    largest: u32,
    k: usize,
    threshold: Option<f32>,
    ranges: Option<Ranges>,
    control: &Control,
) -> Result<Ranked> {
    let n = narrow.n_cols;
    let k = k.min(n.saturating_sub(1));
    let Ranges { head, shared, long } = ranges.unwrap_or_else(|| popularity.ranges::<V>(k));
    let dense_work = (head * head / 2) as u64 * narrow.n_rows() as u64 / V::DENSE_PER_PRODUCT as u64;
    let (kept, per_column) = (popularity.scattered(long), popularity.long_work::<V>(long));
    let end = |place: usize| if place < shared { place } else { n };
    let work = |place: usize| {
        if place < head {
            place as u64
        } else {
            let end = end(place);
            (popularity.products(place, end) * kept + end as f64 * per_column) as u64
        }
    };
    let work = |place: usize| work(place) + n as u64 / 64;
    let total: u64 = (0..n).map(work).sum();
    control.start(total + dense_work);

    let products = products(level, narrow, head, largest, control)?;
    control.advance(dense_work);
    let long = LongRows::new(narrow, long, largest);
    let lists = narrow.lists(head, |place| popularity.counts[place] - long.count(place), |row| long.has(row));
    // Where all rows could not be full anyway, it is worth a pass to know how full they can get.
    let most = if n * k > LARGE_ANSWER { narrow.partners() } else { Vec::new() };
    let room = |col: usize| {
        let place = popularity.order.places[col] as usize;
        let partners = most.get(place).copied().unwrap_or(popularity.counts[place] as u64 * k as u64);
        partners.min(k as u64) as usize
    };
    let pairs = Pairs {
        narrow,
        popularity,
        formula,
        symmetric: formula.is_symmetric(),
        left: formula.left.blocks(Some(&popularity.order)),
        right: formula.right.blocks(Some(&popularity.order)),
        head,
        shared,
        products,
        long,
        lists,
        panel: Panel::new(narrow, head),
        largest,
        best: (0..shared).map(|_| Mutex::new(Best::new(k, threshold))).collect(),
    };
    let columns = &popularity.order.columns;
    in_any_order(n, room, |slots| {
        let jobs: Vec<_> = balanced(n, work, total).into_iter().map(Mutex::new).collect();
        let group = if pairs.long.is_empty() { 1 } else { GROUP };
        let n_blocks = n.div_ceil(BLOCK);
        let sums = || vec![[V::Sum::default(); BLOCK]; group * n_blocks];
        let scratch = || (sums(), Scratch::new(shared, Best::new(k, threshold)));
        share_out(&jobs, scratch, |(sums, own), (places, work): &mut (Range<usize>, u64)| {
            let mut start = places.start;
            while start < places.end {
                control.check()?;
                let stop = if start < head { places.end.min(head) } else { places.end };
                let group = start..stop.min(start + group);
                if start >= head && !pairs.long.is_empty() {
                    pairs.long.multiply(level, group.clone(), end, sums);
                }
                for (place, sums) in group.clone().zip(sums.chunks_exact_mut(n_blocks)) {
                    dispatch(level, Place { pairs: &pairs, place, sums, own });
                    if place >= shared {
                        slots.put(columns[place] as usize, &mut own.best);
                    }
                }
                start = group.end;
            }
            control.advance(*work);
            Ok(())
        })?;
        pairs.best.into_par_iter().zip(columns).with_min_len(64).for_each(|(best, &col)| {
            let mut best = best.into_inner().unwrap_or_else(PoisonError::into_inner);
            slots.put(col as usize, &mut best);
        });
        Ok(())
    })
}

struct Pairs<'a, I, V: Value> {
    narrow: &'a Narrow<'a, I, V>,
    popularity: &'a Popularity,
    formula: &'a Formula,
    symmetric: bool,
    left: Blocks,
    right: Blocks,
    head: usize,
    shared: usize,
    products: Head<V::Sum>,
    long: LongRows<V>,
    lists: Lists<V>,
    /// The first columns of the head.
    panel: Panel<V>,
    largest: u32,
    /// The candidates of the shared places.
    best: Vec<Mutex<Best>>,
}

/// What a thread has for itself.
struct Scratch {
    /// Places that may hold a sum, some of them twice; room for more behind them.
    listed: Vec<u32>,
    n_listed: usize,
    best: Best,
    /// What the shared places' candidates must reach, as far as this thread has heard: never above the truth.
    floors: Vec<Lanes>,
}

impl Scratch {
    fn new(shared: usize, best: Best) -> Self {
        let mut floors = vec![[best.floor(); BLOCK]; shared.div_ceil(BLOCK)];
        // The last block may hold places that do not share: nothing reaches NaN.
        floors.as_flattened_mut()[shared..].fill(f32::NAN);
        Self { listed: Vec::new(), n_listed: 0, best, floors }
    }
}

/// All pairs of one place.
struct Place<'a, 'b, I, V: Value> {
    pairs: &'a Pairs<'b, I, V>,
    place: usize,
    /// For every place, 0 before and after, or what the long rows add up to.
    sums: &'a mut [[V::Sum; BLOCK]],
    own: &'a mut Scratch,
}

impl<I: Id, V: Value> Job for Place<'_, '_, I, V> {
    type Out = ();

    #[inline(always)]
    fn run<A: Isa>(self, isa: A) {
        let Self { pairs, place, sums, own } = self;
        let end = if place < pairs.shared { place } else { pairs.narrow.n_cols };
        if place < pairs.shared {
            own.best.start_at(own.floors[place / BLOCK][place % BLOCK]);
        } else {
            own.best.restart();
        }
        if place < pairs.head {
            pairs.products.copy(place, &mut sums.as_flattened_mut()[..end]);
            pairs.scan(isa, place, end, sums, own);
        } else {
            // Where products are few, the places with a sum are listed; the shared ones are not that many.
            let few = |end: usize| {
                pairs.long.is_empty()
                    && pairs.popularity.products(place, end) * COLUMNS_PER_PRODUCT < end as f64
            };
            let shared = end.min(pairs.shared);
            let scanned = if !few(end) {
                pairs.add::<false>(place, end, end, sums, own);
                end
            } else {
                let scanned = if few(shared) { pairs.panel.width } else { shared };
                pairs.add::<true>(place, scanned, end, sums, own);
                pairs.offer_listed(isa, place, sums, own);
                scanned
            };
            pairs.scan(isa, place, scanned, sums, own);
        }
        if place < pairs.shared {
            let mut best = pairs.best[place].lock().unwrap_or_else(PoisonError::into_inner);
            best.merge(&mut own.best);
            own.floors[place / BLOCK][place % BLOCK] = best.floor();
        }
    }
}

impl<I: Id, V: Value> Pairs<'_, I, V> {
    /// Adds up the products with the columns before `end`; with `LIST`, lists their places from `scanned` on.
    #[inline(always)]
    fn add<const LIST: bool>(
        &self,
        place: usize,
        scanned: usize,
        end: usize,
        sums: &mut [[V::Sum; BLOCK]],
        own: &mut Scratch,
    ) {
        let Scratch { listed, n_listed, .. } = own;
        let sums = &mut sums.as_flattened_mut()[..end];
        let (rows, values) = self.lists.of(place);
        self.panel.add(sums, self.largest, rows, values);
        for (at, (&row, &by)) in rows.iter().zip(values).enumerate() {
            if let Some(&ahead) = rows.get(at + 2 * ROWS_AHEAD) {
                self.narrow.prefetch_offset(ahead as usize, &self.panel);
            }
            if let Some(&ahead) = rows.get(at + ROWS_AHEAD) {
                self.narrow.prefetch_row(ahead as usize, &self.panel);
            }
            let (ids, values) = self.narrow.row_beyond(row as usize, &self.panel);
            let scan = &mut sums[..scanned];
            let mut done = 0;
            for (&id, &value) in ids.iter().zip(values) {
                // Rows ascend, so that the bounds check is what ends them.
                let Some(sum) = scan.get_mut(id.place()) else { break };
                *sum += by.product(value);
                done += 1;
            }
            if !LIST {
                continue;
            }
            let (ids, values) = (&ids[done..], &values[done..]);
            if listed.len() < *n_listed + ids.len() {
                listed.resize((*n_listed + ids.len()).next_power_of_two(), 0);
            }
            let slots = &mut listed[*n_listed..];
            let mut n = 0;
            for (&id, &value) in ids.iter().zip(values) {
                let Some(sum) = sums.get_mut(id.place()) else { break };
                // Written in any case, kept where the sum was 0: no branch to guess.
                slots[n] = id.place() as u32;
                n += usize::from(V::bits(*sum) == 0);
                *sum += by.product(value);
            }
            *n_listed += n;
        }
        if let Some(sum) = sums.get_mut(place) {
            *sum = V::Sum::default();
        }
    }

    /// Offers the scores before `end`.
    #[inline(always)]
    fn scan<A: Isa>(
        &self,
        isa: A,
        place: usize,
        end: usize,
        sums: &mut [[V::Sum; BLOCK]],
        own: &mut Scratch,
    ) {
        for (block, sums) in sums[..end.div_ceil(BLOCK)].iter_mut().enumerate() {
            self.offer(isa, place, block, sums, own);
        }
    }

    /// Offers the scores at the listed places.
    #[inline(always)]
    fn offer_listed<A: Isa>(&self, isa: A, place: usize, sums: &mut [[V::Sum; BLOCK]], own: &mut Scratch) {
        let (formula, columns) = (self.formula, &self.popularity.order.columns);
        let col = columns[place] as usize;
        let Scratch { listed, n_listed, best, floors } = own;
        let sums = sums.as_flattened_mut();
        let mut room = Gathered::default();
        for group in listed[..std::mem::take(n_listed)].chunks(BLOCK) {
            // The last group repeats a place, where nothing is left then.
            let mut places = [group[0]; BLOCK];
            places[..group.len()].copy_from_slice(group);
            let mut taken = [V::Sum::default(); BLOCK];
            for (taken, &place) in taken.iter_mut().zip(&places) {
                *taken = std::mem::take(&mut sums[place as usize]);
            }
            let taken = V::lanes(taken);
            let scores = formula.apply(formula.left.of(col), self.right.gather(&places, &mut room), taken);
            let mut bits = isa.hits(&scores, best.floor());
            while bits != 0 {
                let lane = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                best.offer(scores[lane], columns[places[lane] as usize] as usize);
            }
            if places.iter().all(|&place| place as usize >= self.shared) {
                continue;
            }
            let scores = if self.symmetric {
                scores
            } else {
                formula.apply(formula.right.of(col), self.left.gather(&places, &mut room), taken)
            };
            for (&score, &place) in scores.iter().zip(&places) {
                let floor = floors.as_flattened_mut().get_mut(place as usize);
                // Nothing reaches the floor of a place that does not share.
                if let Some(floor) = floor
                    && score >= *floor
                    && score != 0.0
                {
                    *floor = self.share(place as usize, score, col);
                }
            }
        }
    }

    /// Offers a score to a shared place; the answer is what the next must reach.
    #[inline(always)]
    fn share(&self, place: usize, score: f32, col: usize) -> f32 {
        let mut best = self.best[place].lock().unwrap_or_else(PoisonError::into_inner);
        best.offer(score, col);
        best.floor()
    }

    /// Offers a block of scores to the place, and to the shared places in the block.
    #[inline(always)]
    fn offer<A: Isa>(
        &self,
        isa: A,
        place: usize,
        block: usize,
        sums: &mut [V::Sum; BLOCK],
        own: &mut Scratch,
    ) {
        let mut any = 0;
        for &sum in sums.iter() {
            any |= V::bits(sum);
        }
        if any == 0 {
            return;
        }
        let sums = V::lanes(std::mem::take(sums));
        let (formula, columns) = (self.formula, &self.popularity.order.columns);
        let col = columns[place] as usize;
        let scores = formula.apply(formula.left.of(col), self.right.at(block), sums);
        let mut bits = isa.hits(&scores, own.best.floor());
        while bits != 0 {
            let lane = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            own.best.offer(scores[lane], columns[block * BLOCK + lane] as usize);
        }
        let Some(floors) = own.floors.get_mut(block) else { return };
        let scores = if self.symmetric {
            scores
        } else {
            formula.apply(formula.right.of(col), self.left.at(block), sums)
        };
        let mut bits = isa.hits_each(&scores, floors);
        while bits != 0 {
            let lane = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            floors[lane] = self.share(block * BLOCK + lane, scores[lane], col);
        }
    }
}
