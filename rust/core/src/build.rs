//! Events to a matrix: sorts (user, item) pairs and merges those that repeat.

use crate::error::{Error, Kind, Result};
use rayon::prelude::*;

/// What becomes of several events of the same user and item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// Their weights are added.
    Sum,
    /// The latest counts: by time, then by position.
    Last,
    /// The greatest weight counts.
    Max,
    /// Their number, whatever the weights.
    Count,
    /// They are refused.
    Error,
}

impl Duplicates {
    /// By its public name.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "sum" => Self::Sum,
            "last" => Self::Last,
            "max" => Self::Max,
            "count" => Self::Count,
            "error" => Self::Error,
            _ => {
                return Err(Error::choice("duplicates", name, &["sum", "last", "max", "count", "error"]));
            }
        })
    }
}

/// Events as parallel columns.
#[derive(Clone, Copy)]
pub struct Events<'a> {
    /// Row of each event.
    pub users: &'a [i32],
    /// Column of each event.
    pub items: &'a [i32],
    /// Weight of each event; 1 where absent.
    pub weights: Option<&'a [f32]>,
    /// Time of each event.
    pub times: Option<&'a [i64]>,
}

/// That the other columns are as long as `users`, and that 32 bits can count the events.
pub(crate) fn same_length(n: usize, others: [(&str, Option<usize>); 3]) -> Result<()> {
    if let Some((name, Some(len))) = others.into_iter().find(|(_, len)| len.is_some_and(|len| len != n)) {
        return Err(Error::shape(name, format!("must have length {n} like users"), len));
    }
    if n > u32::MAX as usize {
        return Err(Error::shape("users", format!("must be at most {} events", u32::MAX), n));
    }
    Ok(())
}

impl Events<'_> {
    /// That the columns are of one length and the codes within bounds.
    pub(crate) fn check(&self, n_users: usize, n_items: usize) -> Result<()> {
        let n = self.users.len();
        same_length(
            n,
            [
                ("items", Some(self.items.len())),
                ("weights", self.weights.map(<[f32]>::len)),
                ("times", self.times.map(<[i64]>::len)),
            ],
        )?;
        for (name, codes, size) in [("users", self.users, n_users), ("items", self.items, n_items)] {
            if let Some(at) = codes.iter().position(|&c| c as u32 as usize >= size) {
                let problem = format!("codes must be in 0..{size}");
                return Err(Error::layout(name, problem, codes[at]).at("event", at));
            }
        }
        Ok(())
    }
}

/// The parts of a matrix, and the latest time of each entry.
#[derive(Debug, PartialEq)]
pub struct Built {
    /// Offsets of the rows.
    pub indptr: Vec<i64>,
    /// Columns.
    pub indices: Vec<i32>,
    /// Values.
    pub values: Vec<f32>,
    /// The latest time of each entry, where the events have times.
    pub times: Option<Vec<i64>>,
}

/// Rows of the output made by one job, with their places in the final arrays.
struct Merged {
    counts: Vec<i64>,
    indices: Vec<i32>,
    values: Vec<f32>,
    times: Vec<i64>,
    repeats: usize,
    first_repeat: Option<(i32, i32)>,
}

/// Merges events into a matrix of `n_users × n_items`.
pub fn build_csr(
    events: Events<'_>,
    n_users: usize,
    n_items: usize,
    duplicates: Duplicates,
) -> Result<Built> {
    events.check(n_users, n_items)?;
    let n = events.users.len();

    // Items and event numbers packed into one word each, grouped by user: sorting a user's words sorts by item,
    // then by position, without looking anything up.
    let mut starts = vec![0_usize; n_users + 1];
    events.users.iter().for_each(|&u| starts[u as usize + 1] += 1);
    (0..n_users).for_each(|u| starts[u + 1] += starts[u]);
    let mut order = vec![0_u64; n];
    let mut next = starts.clone();
    for (event, &user) in events.users.iter().enumerate() {
        let slot = &mut next[user as usize];
        order[*slot] = (events.items[event] as u64) << 32 | event as u64;
        *slot += 1;
    }
    drop(next);

    let per_job = (n / (rayon::current_num_threads() * 16)).max(1 << 14);
    let mut jobs = Vec::new();
    let (mut rest, mut first) = (&mut order[..], 0);
    while first < n_users {
        let end = starts.partition_point(|&s| s <= starts[first] + per_job).max(first + 2) - 1;
        let end = end.min(n_users);
        let (own, tail) = rest.split_at_mut(starts[end] - starts[first]);
        jobs.push((first..end, own));
        (rest, first) = (tail, end);
    }
    let merged: Vec<Merged> = jobs
        .into_par_iter()
        .map(|(users, order)| {
            let mut out = Merged {
                counts: Vec::with_capacity(users.len()),
                indices: Vec::with_capacity(order.len()),
                values: Vec::with_capacity(order.len()),
                times: Vec::with_capacity(if events.times.is_some() { order.len() } else { 0 }),
                repeats: 0,
                first_repeat: None,
            };
            let base = starts[users.start];
            for user in users {
                let own = &mut order[starts[user] - base..starts[user + 1] - base];
                merge_user(user as i32, own, &events, duplicates, &mut out);
            }
            out
        })
        .collect();

    if duplicates == Duplicates::Error {
        let count: usize = merged.iter().map(|m| m.repeats).sum();
        if let Some((user, item)) = merged.iter().find_map(|m| m.first_repeat) {
            return Err(Error::new(
                Kind::Duplicates { count, user, item },
                "users, items",
                "events repeat the pair of an earlier one",
                count,
            ));
        }
    }
    let mut indptr = Vec::with_capacity(n_users + 1);
    indptr.push(0);
    let mut total = 0;
    for count in merged.iter().flat_map(|m| &m.counts) {
        total += count;
        indptr.push(total);
    }
    let mut indices = Vec::with_capacity(total as usize);
    let mut values = Vec::with_capacity(total as usize);
    let mut times = events.times.map(|_| Vec::with_capacity(total as usize));
    for part in merged {
        indices.extend_from_slice(&part.indices);
        values.extend_from_slice(&part.values);
        if let Some(times) = &mut times {
            times.extend_from_slice(&part.times);
        }
    }
    Ok(Built { indptr, indices, values, times })
}

/// `own`: the user's words of item and event number.
fn merge_user(user: i32, own: &mut [u64], events: &Events<'_>, duplicates: Duplicates, out: &mut Merged) {
    let item = |word: u64| (word >> 32) as i32;
    let event = |word: u64| word as u32 as usize;
    let weight = |word: &u64| events.weights.map_or(1.0, |w| w[event(*word)]);
    own.sort_unstable();
    let before = out.indices.len();
    for group in own.chunk_by(|&a, &b| item(a) == item(b)) {
        // The last of the latest, since the words ascend by position.
        let latest = match events.times {
            Some(times) => group.iter().copied().max_by_key(|&word| times[event(word)]),
            None => group.last().copied(),
        };
        let latest = latest.unwrap_or(group[0]);
        out.indices.push(item(group[0]));
        out.values.push(match duplicates {
            Duplicates::Count => group.len() as f32,
            Duplicates::Max => group.iter().map(weight).fold(f32::NEG_INFINITY, f32::max),
            Duplicates::Last | Duplicates::Error => weight(&latest),
            Duplicates::Sum => group.iter().map(|word| f64::from(weight(word))).sum::<f64>() as f32,
        });
        if let Some(times) = events.times {
            out.times.push(times[event(latest)]);
        }
        if group.len() > 1 {
            out.repeats += group.len() - 1;
            out.first_repeat.get_or_insert((user, item(group[0])));
        }
    }
    out.counts.push((out.indices.len() - before) as i64);
}
