//! Ragged candidates, their features and their re-ranking against loops that are obviously right.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::factors::Dense;
use ferrec_core::features::{self, Recent};
use ferrec_core::ragged::{self, Rows};
use ferrec_core::rerank::{self, Likeness};
use ferrec_core::{Control, Csr, Error, Kind};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

const COLS: usize = 7;

type Lists = Vec<Vec<i32>>;

fn ascending() -> impl Strategy<Value = Lists> {
    vec(btree_set(0..COLS as i32, 0..COLS).prop_map(|set| set.into_iter().collect()), 1..9)
}

fn flat(lists: &Lists) -> (Vec<i64>, Vec<i32>) {
    let mut indptr = vec![0];
    let mut cols = Vec::new();
    for list in lists {
        cols.extend(list);
        indptr.push(cols.len() as i64);
    }
    (indptr, cols)
}

fn csr(lists: &Lists, n_cols: usize, value: impl Fn(usize, i32) -> f32) -> Csr {
    let (indptr, cols) = flat(lists);
    let values = lists.iter().enumerate().flat_map(|(row, list)| list.iter().map(move |&c| (row, c)));
    let values: Vec<f32> = values.map(|(row, col)| value(row, col)).collect();
    Csr::new("x", indptr.into(), cols.into(), values.into(), n_cols).unwrap()
}

/// The same numbers wherever they are asked for.
fn number(row: usize, col: i32) -> f32 {
    ((row as i32 * 31 + col * 17) % 13 - 6) as f32 / 4.0
}

fn scores(lists: &Lists) -> Vec<f32> {
    lists.iter().enumerate().flat_map(|(row, list)| list.iter().map(move |&c| number(row, c))).collect()
}

fn pool(n: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap()
}

proptest! {
    #[test]
    fn places_ranks_and_best(lists in ascending(), n in 1_usize..9) {
        let (indptr, cols) = flat(&lists);
        let scores = scores(&lists);
        let control = Control::new();
        let ranks = ragged::ranks(&indptr, &scores, &control).unwrap();
        let rows = Rows::new("x", &indptr, &cols, COLS).unwrap();
        let best = ragged::best(rows, &scores, n, &control).unwrap();
        let places = ragged::places((&best.indptr, &best.values), &indptr, &scores, &control).unwrap();
        let scaled = ragged::min_max(&indptr, &scores, &control).unwrap();
        for row in 0..lists.len() {
            let range = indptr[row] as usize..indptr[row + 1] as usize;
            let own = &scores[range.clone()];
            let mut order: Vec<usize> = (0..own.len()).collect();
            order.sort_by(|&a, &b| own[b].total_cmp(&own[a]).then(a.cmp(&b)));
            for (above, &at) in order.iter().enumerate() {
                prop_assert_eq!(ranks[range.start + at], above as f32 + 1.0);
            }
            let listed = &best.indices[best.indptr[row] as usize..best.indptr[row + 1] as usize];
            let expected: Vec<i32> = order.iter().take(n).map(|&at| lists[row][at]).collect();
            prop_assert_eq!(listed, &expected[..]);
            let kept: Vec<f32> = order.iter().take(n).map(|&at| own[at]).collect();
            let (low, high) = own.iter().fold((f32::MAX, f32::MIN), |(l, h), &s| (l.min(s), h.max(s)));
            for (at, &score) in own.iter().enumerate() {
                let greater = kept.iter().filter(|&&k| k > score).count();
                prop_assert_eq!(places[range.start + at], greater as f32 + 1.0);
                let share = if high > low { (score - low) / (high - low) } else { 0.0 };
                prop_assert!((scaled[range.start + at] - share).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn union_and_values(a in ascending(), b in ascending(), rows in vec(-1_i32..9, 9)) {
        let n = a.len().min(b.len());
        let (a, b): (Lists, Lists) = (a[..n].into(), b[..n].iter().map(|l| l.iter().rev().copied().collect()).collect());
        let (parts_a, parts_b) = (flat(&a), flat(&b));
        let lists = [&parts_a, &parts_b].map(|(indptr, cols)| Rows::new("x", indptr, cols, COLS).unwrap());
        let (indptr, cols) = ragged::union(&lists, &Control::new()).unwrap();
        let matrix = csr(&a, COLS, number);
        let rows: Vec<i32> = rows[..n].iter().map(|&r| r.min(n as i32 - 1)).collect();
        let mut both: Lists = Vec::new();
        for row in 0..n {
            let mut expected: Vec<i32> = a[row].iter().chain(&b[row]).copied().collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(&cols[indptr[row] as usize..indptr[row + 1] as usize], &expected[..]);
            both.push(expected);
        }
        let pairs = csr(&both, COLS, |_, _| 1.0);
        let values = ragged::values_at(&pairs, &matrix, &rows, 99.0, &Control::new()).unwrap();
        let mut at = 0;
        for (row, list) in both.iter().enumerate() {
            for col in list {
                let own = usize::try_from(rows[row]).ok().filter(|&r| a[r].contains(col));
                prop_assert_eq!(values[at], own.map_or(99.0, |r| number(r, *col)));
                at += 1;
            }
        }
    }

    #[test]
    fn the_latest(lists in ascending(), times in vec(0_i64..4, 80), n in 1_usize..5) {
        let history = csr(&lists, COLS, |_, _| 1.0);
        let times = &times[..history.nnz()];
        let found = features::latest(&history, times, n, &Control::new()).unwrap();
        for row in 0..lists.len() {
            let mut own: Vec<(i64, i32)> =
                history.range(row).map(|at| (times[at], history.indices()[at])).collect();
            own.sort_unstable_by(|a, b| b.cmp(a));
            let mut expected: Vec<(i32, f32)> =
                own.iter().take(n).enumerate().map(|(above, &(_, col))| (col, above as f32 + 1.0)).collect();
            expected.sort_unstable_by_key(|entry| entry.0);
            let (cols, places) = found.row(row);
            let got: Vec<(i32, f32)> = cols.iter().copied().zip(places.iter().copied()).collect();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn both_similarities_say_the_same(lists in ascending(), recent in ascending(), width in 1_usize..20) {
        // The products of all vectors as a matrix of neighbors.
        let values: Vec<f32> = (0..COLS * width).map(|at| number(at / width, (at % width) as i32)).collect();
        let vectors = Dense::new("v", &values, COLS, width).unwrap();
        let product = |a: usize, b: i32| {
            let (a, b) = (&values[a * width..][..width], &values[b as usize * width..][..width]);
            a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>()
        };
        let every: Lists = vec![(0..COLS as i32).collect(); COLS];
        let near = csr(&every, COLS, product);
        let pairs = csr(&lists, COLS, |_, _| 1.0);
        let rows: Vec<i32> = (0..lists.len() as i32).map(|r| if r < recent.len() as i32 { r } else { -1 }).collect();
        let order = csr(&recent, COLS, |row, col| recent[row].iter().position(|&c| c == col).unwrap() as f32 + 1.0);
        for ordered in [true, false] {
            let recent = Recent { items: &order, rows: &rows, ordered };
            let control = Control::new();
            let sparse = features::similarity(&pairs, recent, &near, &control).unwrap();
            let dense = features::embedding_similarity(&pairs, recent, vectors, &control).unwrap();
            for (a, b) in sparse.iter().zip(&dense) {
                for (x, y) in a.iter().zip(b) {
                    prop_assert!((x - y).abs() < 1e-4, "{x} {y}");
                }
            }
        }
    }

    #[test]
    fn threads_do_not_matter(lists in ascending(), recent in ascending(), strength in 0.0_f64..=1.0) {
        let n = lists.len().min(recent.len());
        let (lists, recent): (Lists, Lists) = (lists[..n].into(), recent[..n].into());
        let (indptr, cols) = flat(&lists);
        let scores = scores(&lists);
        let near = csr(&vec![vec![0, 2, 5]; COLS], COLS, number);
        let tags = csr(&vec![vec![0, 1]; COLS], 2, |_, _| 0.5);
        let (pairs, history) = (csr(&lists, COLS, |_, _| 1.0), csr(&recent, COLS, |_, _| 1.0));
        let rows: Vec<i32> = (0..n as i32).collect();
        let prices: Vec<f32> = (0..COLS).map(|at| if at == 3 { f32::NAN } else { at as f32 }).collect();
        let all = || {
            let control = Control::new();
            let own = Rows::new("x", &indptr, &cols, COLS).unwrap();
            let recent = Recent { items: &history, rows: &rows, ordered: true };
            (
                features::similarity(&pairs, recent, &near, &control).unwrap(),
                features::category_affinity(&pairs, &history, &tags, &control).unwrap(),
                features::number_affinity(&pairs, &history, &prices, &control).unwrap(),
                rerank::mmr(own, &scores, 4, Likeness::Neighbors(&near), strength, &control).unwrap(),
                rerank::calibrate(own, &scores, 4, &history, &tags, strength, 0.01, &control).unwrap(),
                ragged::ranks(&indptr, &scores, &control).unwrap(),
            )
        };
        let one = pool(1).install(all);
        prop_assert!(pool(3).install(all) == one);
    }
}

#[test]
fn arguments_must_fit() {
    let pairs = csr(&vec![vec![0, 1]; 2], COLS, |_, _| 1.0);
    let control = Control::new();
    fn kind<T>(result: Result<T, Error>) -> Option<Kind> {
        match result {
            Err(Error::Invalid(invalid)) => Some(invalid.kind),
            _ => None,
        }
    }
    let shape = |result: Result<Vec<f32>, Error>| kind(result) == Some(Kind::Shape);
    assert!(shape(ragged::values_at(&pairs, &pairs, &[0], 0.0, &control)));
    let outside = ragged::values_at(&pairs, &pairs, &[0, 2], 0.0, &control);
    assert_eq!(outside.unwrap_err().to_string(), "rows: must be below 2, got 2 at position 1");
    let other = csr(&vec![vec![0]; 2], COLS + 1, |_, _| 1.0);
    assert!(shape(ragged::values_at(&pairs, &other, &[0, 1], 0.0, &control)));
    assert_eq!(kind(features::of_items(&pairs, &[&[1.0]], &control)), Some(Kind::Shape));
    assert_eq!(kind(features::of_queries(&pairs, &[&[1.0]], &control)), Some(Kind::Shape));
    assert_eq!(kind(features::number_affinity(&pairs, &pairs, &[1.0], &control)), Some(Kind::Shape));
    assert_eq!(kind(features::category_affinity(&pairs, &other, &other, &control)), Some(Kind::Shape));
    assert_eq!(kind(features::latest(&pairs, &[1], 1, &control)), Some(Kind::Shape));
    for (indptr, cols) in [(vec![], vec![]), (vec![0, 2, 1], vec![0]), (vec![0, 1], vec![COLS as i32])] {
        assert!(Rows::new("x", &indptr, &cols, COLS).is_err());
    }
}

#[test]
fn a_canceled_kernel_stops() {
    let pairs = csr(&vec![vec![0, 1]; 2], COLS, |_, _| 1.0);
    let control = Control::new();
    control.cancel();
    assert_eq!(features::of_items(&pairs, &[&[0.0; COLS]], &control), Err(Error::Interrupted));
    assert_eq!(ragged::ranks(&[0, 1], &[1.0], &control), Err(Error::Interrupted));
}
