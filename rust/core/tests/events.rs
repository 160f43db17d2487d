//! The k-core and the order of events, against loops that are obviously right.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::kcore::k_core;
use ferrec_core::order::{Keys, Runs, event_runs};
use ferrec_core::{Control, Csr, Error, Kind};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn csr(rows: &[BTreeSet<i32>], n_cols: usize) -> Csr {
    let (mut indptr, mut indices) = (vec![0_i64], Vec::new());
    for row in rows {
        indices.extend(row);
        indptr.push(indices.len() as i64);
    }
    let values = vec![1.0; indices.len()];
    Csr::new("x", indptr.into(), indices.into(), values.into(), n_cols).unwrap()
}

/// Takes rows and columns away in turns until nothing changes.
fn naive_core(rows: &[BTreeSet<i32>], n_cols: usize, k_rows: usize, k_cols: usize) -> (Vec<bool>, Vec<bool>) {
    let (mut kept_rows, mut kept_cols) = (vec![true; rows.len()], vec![true; n_cols]);
    loop {
        let before = (kept_rows.clone(), kept_cols.clone());
        for row in 0..rows.len() {
            let left = rows[row].iter().filter(|&&c| kept_cols[c as usize]).count();
            kept_rows[row] &= left >= k_rows;
        }
        for (col, kept) in kept_cols.iter_mut().enumerate() {
            let left = (0..rows.len()).filter(|&r| kept_rows[r] && rows[r].contains(&(col as i32))).count();
            *kept &= left >= k_cols;
        }
        if before == (kept_rows.clone(), kept_cols.clone()) {
            return before;
        }
    }
}

proptest! {
    #[test]
    fn the_core_equals_loops(
        rows in vec(prop::collection::btree_set(0..9_i32, 0..9), 0..20),
        k_rows in 0..6_usize,
        k_cols in 0..6_usize,
    ) {
        let core = k_core(&csr(&rows, 9), k_rows, k_cols, &Control::new()).unwrap();
        prop_assert_eq!((core.rows, core.cols), naive_core(&rows, 9, k_rows, k_cols));
    }

    #[test]
    fn events_are_ordered_and_cut_as_by_loops(
        events in vec((0..4_i32, 0..3_i32, -9..9_i64, 0..2_i32), 0..60),
        by_item in any::<bool>(),
        by_time in any::<bool>(),
        by_kind in any::<bool>(),
        gap in prop_oneof![Just(0), 1..9_u64, Just(u64::MAX)],
    ) {
        let users: Vec<i32> = events.iter().map(|e| e.0).collect();
        let items: Vec<i32> = events.iter().map(|e| e.1).collect();
        let times: Vec<i64> = events.iter().map(|e| e.2).collect();
        let kinds: Vec<i32> = events.iter().map(|e| e.3).collect();
        let keys = Keys {
            items: by_item.then_some(&items[..]),
            times: by_time.then_some(&times[..]),
            kinds: by_kind.then_some(&kinds[..]),
        };
        let key = |e: u32| {
            let (user, item, time, kind) = events[e as usize];
            (user, if by_item { item } else { 0 }, if by_time { time } else { 0 }, if by_kind { kind } else { 0 })
        };
        let mut order: Vec<u32> = (0..events.len() as u32).collect();
        order.sort_by_key(|&e| key(e));
        let begins = (0..order.len()).map(|at| {
            let (user, item, time, kind) = key(order[at]);
            at == 0 || {
                let before = key(order[at - 1]);
                (user, item, kind) != (before.0, before.1, before.3) || (time - before.2).unsigned_abs() > gap
            }
        });
        let wanted = Runs { begins: begins.collect(), order };
        prop_assert_eq!(event_runs(&users, 4, keys, gap, &Control::new()).unwrap(), wanted);
    }
}

#[test]
fn many_events_and_a_long_chain() {
    // A path: taking its first node away takes them all, one after another.
    let n = 50_000;
    let mut rows: Vec<BTreeSet<i32>> = (0..n).map(|row| BTreeSet::from([row, row + 1])).collect();
    let core = k_core(&csr(&rows, n as usize + 1), 2, 2, &Control::new()).unwrap();
    assert!(!core.rows.contains(&true) && !core.cols.contains(&true));
    rows[n as usize - 1] = BTreeSet::from([0, n - 1]); // a ring stays
    let core = k_core(&csr(&rows, n as usize + 1), 2, 2, &Control::new()).unwrap();
    assert!(!core.rows.contains(&false) && core.cols.iter().filter(|kept| !**kept).count() == 1);

    let users: Vec<i32> = (0..300_000_u64).map(|e| (e * e % 1009) as i32).collect();
    let times: Vec<i64> = (0..300_000_i64).map(|e| e * 7919 % 10_007).collect();
    let ordered = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let keys = Keys { times: Some(&times), ..Keys::default() };
        pool.install(|| event_runs(&users, 1009, keys, 3, &Control::new()).unwrap())
    };
    let one = ordered(1);
    let key = |e: u32| (users[e as usize], times[e as usize], e);
    assert!(one.order.windows(2).all(|w| key(w[0]) < key(w[1])));
    assert!(one == ordered(3));
}

#[test]
fn codes_and_lengths_that_do_not_fit_are_refused() {
    let control = Control::new();
    let outside = event_runs(&[0, 3], 3, Keys::default(), 0, &control);
    assert_eq!(outside.unwrap_err().to_string(), "users: codes must be in 0..3, got 3 at event 1");
    assert!(event_runs(&[0, -1], 3, Keys::default(), 0, &control).is_err());
    let short = Keys { times: Some(&[1]), ..Keys::default() };
    assert!(
        matches!(event_runs(&[0, 1], 3, short, 0, &control), Err(Error::Invalid(e)) if e.kind == Kind::Shape)
    );
    control.cancel();
    assert_eq!(event_runs(&[0], 1, Keys::default(), 0, &control), Err(Error::Interrupted));
}
