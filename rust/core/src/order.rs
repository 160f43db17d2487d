//! Events in the order of their users, and of each user by item, time or type.

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

/// The positions of the events, user by user.
pub fn event_order(users: &[i32], n_users: usize, keys: Keys<'_>, control: &Control) -> Result<Vec<u32>> {
    let n = users.len();
    let lengths = [keys.items.map(<[i32]>::len), keys.times.map(<[i64]>::len), keys.kinds.map(<[i32]>::len)];
    if let Some(other) = lengths.into_iter().flatten().find(|&len| len != n) {
        return Err(Error::Shape(format!("{n} users but another column of {other} events")));
    }
    if n > u32::MAX as usize {
        return Err(Error::invalid("users", format_args!("{n} events; at most {} can be ordered", u32::MAX)));
    }
    if let Some(at) = users.iter().position(|&u| u as u32 as usize >= n_users) {
        return Err(Error::invalid(
            "users",
            format_args!("code {} at event {at} is not in 0..{n_users}", users[at]),
        ));
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
    jobs.into_par_iter().try_for_each(|(users, own)| {
        control.check()?;
        let base = starts[users.start];
        let mut row = Vec::new();
        for user in users {
            sort_user(&mut own[starts[user] - base..starts[user + 1] - base], &keys, &mut row);
        }
        Ok(())
    })?;
    Ok(order)
}

/// `own`: the user's events by position. `row` is memory to sort in.
fn sort_user(own: &mut [u32], keys: &Keys<'_>, row: &mut Vec<([i64; 3], u32)>) {
    row.clear();
    for &event in own.iter() {
        let at = event as usize;
        let key = [
            keys.items.map_or(0, |items| i64::from(items[at])),
            keys.times.map_or(0, |times| times[at]),
            keys.kinds.map_or(0, |kinds| i64::from(kinds[at])),
        ];
        row.push((key, event));
    }
    row.sort_unstable();
    for (slot, &(_, event)) in own.iter_mut().zip(row.iter()) {
        *slot = event;
    }
}
