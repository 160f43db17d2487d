//! Sequences against loops that are obviously right.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::build::Events;
use ferrec_core::{Control, Error, Sequences};
use proptest::collection::vec;
use proptest::prelude::*;

const ITEMS: usize = 7;

type Rows = Vec<Vec<(i32, i64)>>;

/// The rows of events, by a stable sort of each user's.
fn naive(users: &[i32], items: &[i32], times: Option<&[i64]>, n_users: usize) -> Rows {
    (0..n_users as i32)
        .map(|user| {
            let own = (0..users.len()).filter(|&at| users[at] == user);
            let mut own: Vec<_> = own.map(|at| (items[at], times.map_or(0, |times| times[at]))).collect();
            own.sort_by_key(|event| event.1);
            own
        })
        .collect()
}

fn rows(sequences: &Sequences) -> Rows {
    (0..sequences.n_rows())
        .map(|row| {
            sequences
                .range(row)
                .map(|at| (sequences.items()[at], sequences.times().map_or(0, |times| times[at])))
                .collect()
        })
        .collect()
}

fn build(users: &[i32], items: &[i32], times: Option<&[i64]>, n_users: usize) -> Sequences {
    let events = Events { users, items, weights: None, times };
    Sequences::from_events(events, n_users, ITEMS, &Control::new()).unwrap()
}

fn parts(sequences: &Sequences) -> (&[i64], &[i32], Option<&[i64]>) {
    (sequences.offsets(), sequences.items(), sequences.times())
}

fn pool(n: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap()
}

proptest! {
    #[test]
    fn events_become_rows_as_by_loops(
        events in vec((0..9_i32, 0..ITEMS as i32, prop_oneof![-2..3_i64, Just(i64::MIN), Just(i64::MAX)]), 0..90),
        more_users in 0..3_usize,
        timed in any::<bool>(),
    ) {
        let users: Vec<i32> = events.iter().map(|e| e.0).collect();
        let items: Vec<i32> = events.iter().map(|e| e.1).collect();
        let times: Vec<i64> = events.iter().map(|e| e.2).collect();
        let times = timed.then_some(&times[..]);
        let n_users = 9 + more_users;
        let built = build(&users, &items, times, n_users);
        prop_assert_eq!(rows(&built), naive(&users, &items, times, n_users));
        prop_assert_eq!(built.times().is_some(), timed);
        // What is built holds the invariants.
        let again = Sequences::new(
            "x",
            built.offsets().to_vec().into(),
            built.items().to_vec().into(),
            built.times().map(|times| times.to_vec().into()),
            ITEMS,
        );
        prop_assert_eq!(rows(&again.unwrap()), rows(&built));
        // A matrix of how often.
        let counts = built.counts().unwrap();
        for (row, events) in rows(&built).iter().enumerate() {
            let (cols, values) = counts.row(row);
            for col in 0..ITEMS as i32 {
                let expected = events.iter().filter(|event| event.0 == col).count() as f32;
                let got = cols.iter().position(|&c| c == col).map_or(0.0, |at| values[at]);
                prop_assert_eq!(got, expected);
            }
        }
    }

    #[test]
    fn both_ways_take_what_is_there(
        events in vec((0..5_i32, 0..ITEMS as i32, -2..3_i64), 0..60),
        rows_taken in vec(0..5_i32, 0..12),
        timed in any::<bool>(),
    ) {
        let users: Vec<i32> = events.iter().map(|e| e.0).collect();
        let items: Vec<i32> = events.iter().map(|e| e.1).collect();
        let times: Vec<i64> = events.iter().map(|e| e.2).collect();
        let built = build(&users, &items, timed.then_some(&times[..]), 5);
        let all = rows(&built);
        let expected: Rows = rows_taken.iter().map(|&row| all[row as usize].clone()).collect();
        let taken = built.take(&rows_taken).unwrap();
        prop_assert_eq!(rows(&taken), expected.clone());
        let checked = Sequences::checked_rows("x", parts(&built), ITEMS, &rows_taken).unwrap();
        prop_assert_eq!(rows(&checked), expected);
        prop_assert_eq!((taken.times().is_some(), checked.times().is_some()), (timed, timed));
        prop_assert_eq!(taken.n_items(), ITEMS);
    }
}

#[test]
fn many_events_are_the_same_for_any_number_of_threads() {
    // Several chunks and groups; one user has a third of the events, and times tie.
    let n = 300_000_usize;
    let users: Vec<i32> =
        (0..n).map(|at| if at % 3 == 0 { 77 } else { (at * 7919 % 20_011) as i32 }).collect();
    let items: Vec<i32> = (0..n).map(|at| (at * 31 % ITEMS) as i32).collect();
    let times: Vec<i64> = (0..n).map(|at| (at * 104_729 % 5_003) as i64).collect();
    for times in [None, Some(&times[..])] {
        let one = pool(1).install(|| build(&users, &items, times, 20_011));
        let several = pool(4).install(|| build(&users, &items, times, 20_011));
        assert_eq!(parts(&one), parts(&several));
        let mut expected: Rows = vec![Vec::new(); 20_011];
        for at in 0..n {
            expected[users[at] as usize].push((items[at], times.map_or(0, |times| times[at])));
        }
        expected.iter_mut().for_each(|row| row.sort_by_key(|event| event.1));
        assert_eq!(rows(&one), expected);
        let some: Vec<i32> = (0..20_011).rev().collect();
        expected.reverse();
        assert_eq!(rows(&one.take(&some).unwrap()), expected);
    }
}

#[test]
fn nobody_and_nothing() {
    for times in [None, Some(&[][..])] {
        assert_eq!(build(&[], &[], times, 0).offsets(), [0]);
        assert_eq!(build(&[], &[], times, 3).offsets(), [0, 0, 0, 0]);
        assert_eq!(build(&[], &[], times, 3).take(&[]).unwrap().n_rows(), 0);
    }
}

#[test]
fn wrong_parts_are_errors() {
    let refused = |offsets: &[i64], items: &[i32], times: Option<&[i64]>, n_items: usize, part: &str| {
        let owned =
            (offsets.to_vec().into(), items.to_vec().into(), times.map(|times| times.to_vec().into()));
        let error = Sequences::new("x", owned.0, owned.1, owned.2, n_items).err().unwrap();
        assert!(error.to_string().contains(part), "{error}");
    };
    refused(&[], &[], None, 3, "indptr must have one entry more");
    refused(&[0, 1], &[0, 1], None, 3, "indptr must run from 0 to 2, got 1");
    refused(&[0, 2, 1, 2], &[0, 1], None, 3, "indptr must not fall, got 1 at row 1");
    refused(&[0, -1, 2], &[0, 1], None, 3, "indptr must not fall, got -1 at row 0");
    refused(&[0, 2], &[0, 3], None, 3, "got 3 at position 1");
    refused(&[0, 2], &[0, -1], None, 3, "got -1 at position 1");
    refused(&[0, 2], &[0, 1], Some(&[5]), 3, "must have a time for each of its 2 items, got 1");
    refused(
        &[0, 1, 3],
        &[0, 1, 2],
        Some(&[9, 5, 4]),
        3,
        "the times of a row must not fall, got 4 at row 1, position 1",
    );
    refused(&[0], &[], None, 1 << 31, "at most");
}

#[test]
fn only_what_is_taken_is_checked() {
    let parts: (&[i64], &[i32], Option<&[i64]>) = (&[0, 1, 2, 4], &[0, 99, 1, 1], Some(&[1, 2, 4, 3]));
    let take = |rows: &[i32]| Sequences::checked_rows("x", parts, 5, rows).map(|taken| taken.n_events());
    assert_eq!(take(&[0, 0]), Ok(2));
    for (row, part) in [(1, "got 99"), (2, "times of a row"), (3, "must be in 0..3, got 3"), (-1, "got -1")] {
        let error = take(&[row]).err().unwrap();
        assert!(error.to_string().contains(part), "{error}");
    }
    // Rows that overlap ask for more than there is.
    let overlap = Sequences::checked_rows("x", (&[0, 3, 0, 3], &[0, 1, 2], None), 5, &[0, 2]).err().unwrap();
    assert!(overlap.to_string().contains("rows must not overlap"), "{overlap}");
}

#[test]
fn wrong_events_are_errors() {
    let build = |users: &[i32], items: &[i32], times: Option<&[i64]>| {
        let events = Events { users, items, weights: None, times };
        Sequences::from_events(events, 2, ITEMS, &Control::new()).err().unwrap()
    };
    assert!(build(&[2], &[0], None).to_string().contains("got 2 at event 0"));
    assert!(build(&[0], &[-1], None).to_string().contains("got -1 at event 0"));
    assert!(build(&[0, 1], &[0], None).to_string().starts_with("items: must have length 2"));
    assert!(build(&[0], &[0], Some(&[])).to_string().starts_with("times: must have length 1"));
}

#[test]
fn a_canceled_build_stops() {
    let control = Control::new();
    control.cancel();
    let events = Events { users: &[0], items: &[0], weights: None, times: None };
    assert_eq!(Sequences::from_events(events, 1, 1, &control).err(), Some(Error::Interrupted));
}
