//! Events in the order of their users, cut into runs: repeats of an event, or a user's sessions.

use crate::build::same_length;
use crate::control::Control;
use crate::error::{Error, Result};
use rayon::prelude::*;

/// What the events of a user are ordered by, the first first; then by position.
#[derive(Clone, Copy, Default)]
pub struct Keys<'a> {
    /// Item of each event.
    pub items: Option<&'a [i32]>,
    /// Time of each event.
    pub times: Option<&'a [i64]>,
    /// Type of each event.
    pub kinds: Option<&'a [i32]>,
}

/// The events, run by run.
#[derive(Debug, PartialEq, Eq)]
pub struct Runs {
    /// The positions of the events, user by user.
    pub order: Vec<u32>,
    /// Whether a run begins there.
    pub begins: Vec<bool>,
}

/// An event: its item, time and type, 0 where there is none, and its position.
type Event = ([i64; 3], u32);

/// Orders the events of each user by the keys. A run has one user, one item and one type, and no step in time
/// is longer than `gap`.
pub fn event_runs(
    users: &[i32],
    n_users: usize,
    keys: Keys<'_>,
    gap: u64,
    control: &Control,
) -> Result<Runs> {
    let n = users.len();
    same_length(
        n,
        [
            ("items", keys.items.map(<[i32]>::len)),
            ("times", keys.times.map(<[i64]>::len)),
            ("kinds", keys.kinds.map(<[i32]>::len)),
        ],
    )?;
    if let Some(at) = users.iter().position(|&u| u as u32 as usize >= n_users) {
        return Err(
            Error::layout("users", format!("codes must be in 0..{n_users}"), users[at]).at("event", at)
        );
    }

    let mut starts = vec![0_usize; n_users + 1];
    for &user in users {
        starts[user as usize + 1] += 1;
    }
    for user in 0..n_users {
        starts[user + 1] += starts[user];
    }
    let mut order = vec![0_u32; n];
    let mut next = starts.clone();
    for (event, &user) in users.iter().enumerate() {
        let slot = &mut next[user as usize];
        order[*slot] = event as u32;
        *slot += 1;
    }
    drop(next);

    let mut begins = vec![false; n];
    let per_job = (n / (rayon::current_num_threads() * 16)).max(1 << 14);
    let mut jobs = Vec::new();
    let (mut rest, mut flags, mut first) = (&mut order[..], &mut begins[..], 0);
    while first < n_users {
        let end = starts.partition_point(|&s| s <= starts[first] + per_job).max(first + 2) - 1;
        let end = end.min(n_users);
        let (own, tail) = rest.split_at_mut(starts[end] - starts[first]);
        let (own_flags, tail_flags) = flags.split_at_mut(own.len());
        jobs.push((first..end, own, own_flags));
        (rest, flags, first) = (tail, tail_flags, end);
    }
    jobs.into_par_iter().try_for_each(|(users, own, flags)| {
        control.check()?;
        let base = starts[users.start];
        let mut events = Vec::new();
        for user in users {
            let range = starts[user] - base..starts[user + 1] - base;
            cut_user(&mut own[range.clone()], &mut flags[range], &keys, gap, &mut events);
        }
        Ok(())
    })?;
    Ok(Runs { order, begins })
}

/// `own`: the user's events by position. `events` is memory to sort in.
fn cut_user(own: &mut [u32], flags: &mut [bool], keys: &Keys<'_>, gap: u64, events: &mut Vec<Event>) {
    events.clear();
    for &event in own.iter() {
        let at = event as usize;
        let key = [
            keys.items.map_or(0, |items| i64::from(items[at])),
            keys.times.map_or(0, |times| times[at]),
            keys.kinds.map_or(0, |kinds| i64::from(kinds[at])),
        ];
        events.push((key, event));
    }
    events.sort_unstable();
    for at in 0..events.len() {
        let ([item, time, kind], event) = events[at];
        own[at] = event;
        flags[at] = at == 0 || {
            let [item_before, time_before, kind_before] = events[at - 1].0;
            item != item_before || kind != kind_before || time.abs_diff(time_before) > gap
        };
    }
}
