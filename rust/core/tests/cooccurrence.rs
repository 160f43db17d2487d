//! Co-occurrence: the definition pair by pair, threads, edges.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::build::Events;
use ferrec_core::cooccurrence::{Nearness, cooccurrence, shifted_ppmi};
use ferrec_core::{Control, Csr, Error};

const ALL: Nearness = Nearness { window: None, max_gap: None };

fn random(n: usize, n_users: u64, n_items: u64) -> (Vec<i32>, Vec<i32>, Vec<i64>) {
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut events = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        events.0.push(next(n_users) as i32);
        let most = next(n_items) + 1;
        events.1.push(next(most) as i32); // the first items more often
        events.2.push(next(500) as i64 - 250);
    }
    events
}

fn naive(
    (users, items, times): &(Vec<i32>, Vec<i32>, Vec<i64>),
    n_items: usize,
    near: Nearness,
) -> Vec<Vec<f32>> {
    let mut out = vec![vec![0.0; n_items]; n_items];
    for user in 0..=users.iter().copied().max().unwrap_or(0) {
        let mut own: Vec<usize> = (0..users.len()).filter(|&e| users[e] == user).collect();
        own.sort_by_key(|&e| (times[e], e));
        for a in 0..own.len() {
            for b in a + 1..own.len() {
                let paused = (a..b)
                    .any(|at| near.max_gap.is_some_and(|gap| times[own[at + 1]] - times[own[at]] > gap));
                let (i, j) = (items[own[a]] as usize, items[own[b]] as usize);
                if i != j && !paused && near.window.is_none_or(|window| b - a <= window) {
                    out[i][j] += 1.0;
                    out[j][i] += 1.0;
                }
            }
        }
    }
    out
}

fn dense(x: &Csr) -> Vec<Vec<f32>> {
    let mut out = vec![vec![0.0; x.n_cols()]; x.n_rows()];
    for (row, out) in out.iter_mut().enumerate() {
        let (cols, values) = x.row(row);
        assert!(cols.windows(2).all(|w| w[0] < w[1]));
        cols.iter().zip(values).for_each(|(&c, &v)| out[c as usize] = v);
    }
    out
}

#[test]
fn counts_pairs_of_near_events() {
    for (n, n_items) in [(0, 3), (1, 3), (400, 12), (300, 200)] {
        let events = random(n, 9, n_items);
        for window in [None, Some(0), Some(1), Some(4), Some(usize::MAX)] {
            for max_gap in [None, Some(0), Some(20), Some(i64::MAX)] {
                let near = Nearness { window, max_gap };
                let given =
                    Events { users: &events.0, items: &events.1, weights: None, times: Some(&events.2) };
                let found = cooccurrence(given, 9, n_items as usize, near, &Control::new()).unwrap();
                assert_eq!(dense(&found), naive(&events, n_items as usize, near), "{n} {near:?}");
            }
        }
    }
}

#[test]
fn without_times_the_order_given_counts() {
    let given = Events { users: &[0, 1, 0, 0], items: &[2, 0, 0, 1], weights: None, times: None };
    let near = Nearness { window: Some(1), max_gap: None };
    let found = dense(&cooccurrence(given, 2, 3, near, &Control::new()).unwrap());
    assert_eq!(found, [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]);
}

#[test]
fn far_times_do_not_overflow() {
    let given = Events { users: &[0, 0], items: &[0, 1], weights: None, times: Some(&[i64::MIN, i64::MAX]) };
    let near = Nearness { window: None, max_gap: Some(i64::MAX) };
    assert_eq!(cooccurrence(given, 1, 2, near, &Control::new()).unwrap().nnz(), 0);
}

#[test]
fn threads_do_not_matter() {
    let events = random(60_000, 300, 900);
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let given = Events { users: &events.0, items: &events.1, weights: None, times: Some(&events.2) };
        let found = pool.install(|| {
            let counts = cooccurrence(given, 300, 900, ALL, &Control::new()).unwrap();
            shifted_ppmi(&counts, 1.0, 0.75, &Control::new()).unwrap()
        });
        let values: Vec<u32> = found.values().iter().map(|v| v.to_bits()).collect();
        (found.indptr().to_vec(), found.indices().to_vec(), values)
    };
    assert_eq!(bits(1), bits(3));
}

#[test]
fn ppmi_is_the_formula() {
    let events = random(500, 20, 30);
    let given = Events { users: &events.0, items: &events.1, weights: None, times: None };
    let counts = cooccurrence(given, 20, 30, ALL, &Control::new()).unwrap();
    let c: Vec<Vec<f64>> =
        dense(&counts).into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect();
    let sums: Vec<f64> = c.iter().map(|row| row.iter().sum()).collect(); // symmetric
    for (shift, smoothing) in [(1.0, 1.0), (2.0, 0.75), (0.5, 0.0)] {
        let total: f64 = sums.iter().filter(|&&n| n > 0.0).map(|n| n.powf(smoothing)).sum();
        let found = dense(&shifted_ppmi(&counts, shift, smoothing, &Control::new()).unwrap());
        for i in 0..30 {
            for j in 0..30 {
                let chance = sums[i] * sums[j].powf(smoothing) / total;
                let expected = if c[i][j] > 0.0 { (c[i][j] / chance / shift).ln().max(0.0) } else { 0.0 };
                assert!((f64::from(found[i][j]) - expected).abs() < 1e-6, "{} {expected}", found[i][j]);
            }
        }
    }
}

#[test]
fn stops_when_told_to_and_names_bad_arguments() {
    let events = random(100, 5, 5);
    let given = Events { users: &events.0, items: &events.1, weights: None, times: None };
    let control = Control::new();
    control.cancel();
    assert_eq!(cooccurrence(given, 5, 5, ALL, &control).err(), Some(Error::Interrupted));
    let fails = |n_items, near, name: &str| {
        let error = cooccurrence(given, 5, n_items, near, &Control::new()).err().unwrap();
        assert!(error.to_string().starts_with(name), "{error}");
    };
    fails(4, ALL, "items: codes must be in 0..4, got 4");
    fails(5, Nearness { max_gap: Some(-1), ..ALL }, "max_gap: must be at least 0, got -1");
    fails(5, Nearness { max_gap: Some(1), ..ALL }, "max_gap: needs times");
    let bad = Csr::new("x", vec![0_i64, 1].into(), vec![0].into(), vec![-1.0].into(), 1).unwrap();
    for (shift, smoothing, name) in [
        (0.0, 1.0, "shift: "),
        (1.0, 1.5, "context_smoothing: "),
        (1.0, f64::NAN, "context_smoothing: "),
        (1.0, 1.0, "counts: "),
    ] {
        let error = shifted_ppmi(&bad, shift, smoothing, &Control::new()).err().unwrap();
        assert!(error.to_string().starts_with(name), "{error}");
    }
}
