//! The last events of each user.

use crate::error::{Error, Result, at_least_one};

/// Marks the `n` events of each user with the greatest keys (of equal ones the later in order; without keys the
/// last in order). Users with `n` events or fewer have none marked.
pub fn latest(users: &[i32], keys: Option<&[i64]>, n_users: usize, n: usize) -> Result<Vec<bool>> {
    if let Some(at) = users.iter().position(|&u| u as u32 as usize >= n_users) {
        return Err(
            Error::layout("users", format!("codes must be in 0..{n_users}"), users[at]).at("event", at)
        );
    }
    if let Some(keys) = keys.filter(|keys| keys.len() != users.len()) {
        return Err(Error::shape("keys", format!("must have length {} like users", users.len()), keys.len()));
    }
    at_least_one(&[("n", n)])?;
    let mut counts = vec![0_usize; n_users];
    for &user in users {
        counts[user as usize] += 1;
    }
    let mut marked = vec![false; users.len()];
    match keys {
        None => last_in_order(users, &counts, n, &mut marked),
        Some(keys) => greatest(users, keys, &counts, n, &mut marked),
    }
    Ok(marked)
}

fn last_in_order(users: &[i32], counts: &[usize], n: usize, marked: &mut [bool]) {
    let mut taken = vec![0; counts.len()];
    for at in (0..users.len()).rev() {
        let user = users[at] as usize;
        if counts[user] > n && taken[user] < n {
            taken[user] += 1;
            marked[at] = true;
        }
    }
}

fn greatest(users: &[i32], keys: &[i64], counts: &[usize], n: usize, marked: &mut [bool]) {
    // The best events so far of each user who gives any, key and place: a heap with the least first.
    let mut starts = vec![0; counts.len()];
    let mut total = 0;
    for user in 0..counts.len() {
        starts[user] = total;
        total += if counts[user] > n { n } else { 0 };
    }
    let mut best = vec![(0_i64, 0_usize); total];
    let mut taken = vec![0; counts.len()];
    for at in 0..users.len() {
        let user = users[at] as usize;
        if counts[user] <= n {
            continue;
        }
        let own = &mut best[starts[user]..starts[user] + n];
        if taken[user] < n {
            own[taken[user]] = (keys[at], at);
            taken[user] += 1;
            if taken[user] == n {
                own.sort_unstable();
            }
        } else if (keys[at], at) > own[0] {
            replace_least(own, (keys[at], at));
        }
    }
    for event in best {
        marked[event.1] = true;
    }
}

fn replace_least(heap: &mut [(i64, usize)], event: (i64, usize)) {
    let mut at = 0;
    loop {
        let mut child = 2 * at + 1;
        if child + 1 < heap.len() && heap[child + 1] < heap[child] {
            child += 1;
        }
        if child >= heap.len() || event <= heap[child] {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = event;
}
