//! What each user did, in the order in which it happened.

use crate::build::Events;
use crate::control::Control;
use crate::csr::{Buf, Csr};
use crate::error::{Error, Result};
use crate::offsets::{self, zeros};
use crate::ragged::Rows;
use rayon::prelude::*;
use std::ops::Range;

/// Frozen rows of items, oldest first: one row a user, repeats kept.
///
/// Invariants, checked by [`Sequences::new`] and relied upon afterwards:
/// - `offsets` starts at 0, never falls, and ends at the number of events; there are at most `i32::MAX` rows;
/// - every item is in `0..n_items`, and `n_items` fits in `i32`;
/// - where there are times, there is one for each event, and within a row they never fall.
#[derive(Clone)]
pub struct Sequences {
    offsets: Buf<i64>,
    items: Buf<i32>,
    times: Option<Buf<i64>>,
    n_items: usize,
}

impl Sequences {
    /// Validates the parts; `name` is the argument that errors speak of. The storage is kept as it is.
    ///
    /// ```
    /// use ferrec_core::Sequences;
    /// let rows = Sequences::new("x", vec![0, 3, 3].into(), vec![4, 1, 4].into(), None, 5)?;
    /// assert_eq!((rows.n_rows(), rows.row(0), rows.row(1)), (2, &[4, 1, 4][..], &[][..]));
    /// # Ok::<(), ferrec_core::Error>(())
    /// ```
    pub fn new(
        name: &str,
        offsets: Buf<i64>,
        items: Buf<i32>,
        times: Option<Buf<i64>>,
        n_items: usize,
    ) -> Result<Self> {
        if n_items > i32::MAX as usize {
            return Err(Error::shape(name, format!("must have at most {} items", i32::MAX), n_items));
        }
        let rows = Rows::new(name, &offsets, &items, n_items)?;
        if let Some(times) = &times {
            if times.len() != items.len() {
                let problem = format!("must have a time for each of its {} items", items.len());
                return Err(Error::layout(name, problem, times.len()));
            }
            for row in 0..rows.n_rows() {
                let own = &times[rows.range(row)];
                if let Some(at) = own.windows(2).position(|w| w[0] > w[1]) {
                    let error = Error::layout(name, "the times of a row must not fall", own[at + 1]);
                    return Err(error.at("row", row).at("position", at + 1));
                }
            }
        }
        Ok(Self { offsets, items, times, n_items })
    }

    /// The events of each user, by time; equal times, and events without times, in the order given.
    ///
    /// ```text
    /// users are cut into groups, events into chunks
    /// chunk:  its events, group by group, in their order          (all of it in a near cache)
    /// group:  count its users' events; place them, chunk by chunk; sort the rows that are not in order
    /// ```
    /// Both steps keep the order of what they do not tell apart, so that the answer is the same for any chunks,
    /// groups and threads.
    pub fn from_events(
        events: Events<'_>,
        n_users: usize,
        n_items: usize,
        control: &Control,
    ) -> Result<Self> {
        events.check(n_users, n_items)?;
        let n = events.users.len();
        let groups = Groups::new(n, n_users);
        control.start(2 * n as u64);
        let grouped = groups.split(&events, control)?;
        let mut offsets = zeros("offsets", n_users + 1)?;
        let mut items = zeros("items", n)?;
        let mut times = zeros("times", grouped.times.len())?;

        let mut jobs = Vec::with_capacity(groups.count);
        let (mut ends, mut rest, mut rest_times) = (&mut offsets[1..], &mut items[..], &mut times[..]);
        let mut before = 0;
        for group in 0..groups.count {
            let users = groups.users(group);
            let len: usize = grouped.segments(group).map(|segment| segment.len()).sum();
            let (own_ends, tail_ends) = ends.split_at_mut(users.len());
            let (own, tail) = rest.split_at_mut(len);
            let (own_times, tail_times) = rest_times.split_at_mut(len.min(rest_times.len()));
            jobs.push((group, Block { users, before, ends: own_ends, items: own, times: own_times }));
            (ends, rest, rest_times, before) = (tail_ends, tail, tail_times, before + len as i64);
        }
        let place = |(group, mut block): (usize, Block<'_>)| {
            control.check()?;
            block.place(&grouped, group);
            block.sort()?;
            control.advance(block.items.len() as u64);
            Ok(())
        };
        // A single group is placed where the caller stands: without any thread pool.
        if jobs.len() == 1 {
            jobs.into_iter().try_for_each(place)?;
        } else {
            jobs.into_par_iter().try_for_each(place)?;
        }
        let times = events.times.map(|_| times.into());
        Ok(Self { offsets: offsets.into(), items: items.into(), times, n_items })
    }

    /// Are there so few events and users that [`Sequences::from_events`] needs no thread pool?
    pub fn is_small(n_users: usize, n_events: usize) -> bool {
        n_users < offsets::PIECE && n_events <= CHUNK
    }

    /// The given rows, in that order, as often as they are given.
    pub fn take(&self, rows: &[i32]) -> Result<Self> {
        let n_rows = self.n_rows();
        if let Some(at) = rows.iter().position(|&r| r as u32 as usize >= n_rows) {
            return Err(Error::layout("rows", format!("must be in 0..{n_rows}"), rows[at]).at("position", at));
        }
        let ranges: Vec<_> = rows.iter().map(|&r| self.range(r as usize)).collect();
        let offsets = offsets::of(&ranges)?;
        let items = offsets::gather(&ranges, &offsets, self.items())?.into();
        let times = self.times().map(|times| offsets::gather(&ranges, &offsets, times)).transpose()?;
        Ok(Self { offsets: offsets.into(), items, times: times.map(Vec::into), n_items: self.n_items })
    }

    /// Some rows of parts that nobody has checked: only what is taken is read, and it is checked as by
    /// [`Sequences::new`].
    pub fn checked_rows(
        name: &str,
        (offsets, items, times): (&[i64], &[i32], Option<&[i64]>),
        n_items: usize,
        rows: &[i32],
    ) -> Result<Self> {
        let entries = times.map_or(items.len(), |times| items.len().min(times.len()));
        let ranges = offsets::ranges(name, offsets, entries, rows)?;
        let ends = offsets::of(&ranges)?;
        let items = offsets::gather(&ranges, &ends, items)?;
        let times = times.map(|times| offsets::gather(&ranges, &ends, times)).transpose()?;
        Self::new(name, ends.into(), items.into(), times.map(Vec::into), n_items)
    }

    /// How often each item is in each row.
    pub fn counts(&self) -> Result<Csr> {
        let mut ones = zeros("counts", self.n_events())?;
        ones.fill(1.0);
        Csr::new("sequences", self.offsets.clone(), self.items.clone(), ones.into(), self.n_items)
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of items there are.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Number of events.
    pub fn n_events(&self) -> usize {
        self.items.len()
    }

    /// Offsets of the rows, `n_rows + 1` of them.
    pub fn offsets(&self) -> &[i64] {
        &self.offsets
    }

    /// Items, row after row, oldest first.
    pub fn items(&self) -> &[i32] {
        &self.items
    }

    /// Times, aligned with [`Sequences::items`], where there are any.
    pub fn times(&self) -> Option<&[i64]> {
        self.times.as_deref()
    }

    /// The items of one row, oldest first.
    pub fn row(&self, row: usize) -> &[i32] {
        &self.items()[self.range(row)]
    }

    /// Where the events of a row lie.
    pub fn range(&self, row: usize) -> Range<usize> {
        self.offsets()[row] as usize..self.offsets()[row + 1] as usize
    }
}

/// Events that are brought into groups at once: they and their grouped copy stay in a near cache.
const CHUNK: usize = 1 << 15;

/// Groups of users, at most; each chunk has a place to write for every one of them.
const GROUPS: usize = 512;

/// Users in groups of 2^shift.
struct Groups {
    shift: u32,
    count: usize,
    n_users: usize,
}

/// Chunks of events, each group by group; equal groups in the order given.
struct Grouped {
    /// Where the groups of each chunk begin in it, and its length: `per_chunk` numbers a chunk.
    starts: Vec<u32>,
    per_chunk: usize,
    /// User and item of each event.
    events: Vec<(i32, i32)>,
    /// Time of each event, where there are any.
    times: Vec<i64>,
}

impl Groups {
    fn new(n_events: usize, n_users: usize) -> Self {
        let wanted = (n_events / CHUNK).clamp(1, GROUPS);
        let last = n_users.saturating_sub(1);
        let mut shift = 0;
        while last >> shift >= wanted {
            shift += 1;
        }
        Self { shift, count: (last >> shift) + 1, n_users }
    }

    fn users(&self, group: usize) -> Range<usize> {
        let end = (group + 1) << self.shift;
        (group << self.shift).min(self.n_users)..end.min(self.n_users)
    }

    fn split(&self, given: &Events<'_>, control: &Control) -> Result<Grouped> {
        let n = given.users.len();
        let per_chunk = self.count + 1;
        let mut starts = zeros("places of groups", n.div_ceil(CHUNK) * per_chunk)?;
        let mut events = zeros("grouped events", n)?;
        let mut times = zeros("grouped times", given.times.map_or(0, <[i64]>::len))?;
        // As many pieces of times as of events, empty ones where there are none.
        let mut rest_times = &mut times[..];
        let mut jobs = Vec::with_capacity(n.div_ceil(CHUNK));
        for (at, (own, starts)) in events.chunks_mut(CHUNK).zip(starts.chunks_mut(per_chunk)).enumerate() {
            let (own_times, tail) = rest_times.split_at_mut(own.len().min(rest_times.len()));
            rest_times = tail;
            jobs.push((at * CHUNK..at * CHUNK + own.len(), starts, own, own_times));
        }
        let split = |(range, starts, events, times): (Range<usize>, &mut [u32], &mut [_], &mut [_])| {
            control.check()?;
            self.split_chunk(given, range.clone(), starts, events, times);
            control.advance(range.len() as u64);
            Ok(())
        };
        if jobs.len() == 1 {
            jobs.into_iter().try_for_each(split)?;
        } else {
            jobs.into_par_iter().try_for_each(split)?;
        }
        Ok(Grouped { starts, per_chunk, events, times })
    }

    fn split_chunk(
        &self,
        given: &Events<'_>,
        range: Range<usize>,
        starts: &mut [u32],
        events: &mut [(i32, i32)],
        times: &mut [i64],
    ) {
        let (users, items) = (&given.users[range.clone()], &given.items[range.clone()]);
        for &user in users {
            starts[(user as usize >> self.shift) + 1] += 1;
        }
        for group in 0..self.count {
            starts[group + 1] += starts[group];
        }
        let mut next = [0_u32; GROUPS];
        next[..self.count].copy_from_slice(&starts[..self.count]);
        for (at, (&user, &item)) in users.iter().zip(items).enumerate() {
            let slot = &mut next[user as usize >> self.shift];
            events[*slot as usize] = (user, item);
            if let Some(given) = given.times {
                times[*slot as usize] = given[range.start + at];
            }
            *slot += 1;
        }
    }
}

impl Grouped {
    /// Where the events of a group lie, chunk by chunk.
    fn segments(&self, group: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        self.starts.chunks(self.per_chunk).enumerate().map(move |(chunk, starts)| {
            let base = chunk * CHUNK;
            base + starts[group] as usize..base + starts[group + 1] as usize
        })
    }
}

/// The rows of a group of users.
struct Block<'a> {
    users: Range<usize>,
    /// Events of the users before them.
    before: i64,
    ends: &'a mut [i64],
    items: &'a mut [i32],
    times: &'a mut [i64],
}

impl Block<'_> {
    /// Every event behind those of its user that came before it.
    fn place(&mut self, grouped: &Grouped, group: usize) {
        let first = self.users.start;
        for segment in grouped.segments(group) {
            for &(user, _) in &grouped.events[segment] {
                self.ends[user as usize - first] += 1;
            }
        }
        // From here on where a user's next event goes; at last where the row ends.
        let mut total = self.before;
        for end in self.ends.iter_mut() {
            total += std::mem::replace(end, total);
        }
        for segment in grouped.segments(group) {
            for at in segment {
                let (user, item) = grouped.events[at];
                let end = &mut self.ends[user as usize - first];
                let slot = (*end - self.before) as usize;
                self.items[slot] = item;
                if !grouped.times.is_empty() {
                    self.times[slot] = grouped.times[at];
                }
                *end += 1;
            }
        }
    }

    /// Orders by time the rows that are not yet; equal times stay as they are.
    fn sort(&mut self) -> Result<()> {
        if self.times.is_empty() {
            return Ok(());
        }
        let mut row: Vec<(i64, usize, i32)> = Vec::new();
        let mut start = 0;
        for &end in self.ends.iter() {
            let end = (end - self.before) as usize;
            let (items, times) = (&mut self.items[start..end], &mut self.times[start..end]);
            start = end;
            if times.is_sorted() {
                continue;
            }
            row.clear();
            if row.try_reserve(times.len()).is_err() {
                let text = format_args!("{} events of one user", times.len()).to_string();
                return Err(Error::no_room(text, 24.0 * times.len() as f64));
            }
            row.extend(
                times.iter().zip(items.iter()).enumerate().map(|(at, (&time, &item))| (time, at, item)),
            );
            row.sort_unstable();
            for (at, &(time, _, item)) in row.iter().enumerate() {
                (times[at], items[at]) = (time, item);
            }
        }
        Ok(())
    }
}
