//! Metrics, resampling and the latest events: what bad input says, and that threads do not matter.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::auc::{Rows, auc, sample_others};
use ferrec_core::latest::latest;
use ferrec_core::metrics::{Lists, Ranked, exposure, hit_ranks, of_ranks};
use ferrec_core::resample::{bootstrap_means, sign_flips};
use ferrec_core::{Control, Csr, Error, lists};
use rayon::ThreadPoolBuilder;

fn csr(rows: &[&[i32]], n_cols: usize) -> Csr {
    let mut indptr = vec![0_i64];
    for row in rows {
        indptr.push(indptr[indptr.len() - 1] + row.len() as i64);
    }
    let indices: Vec<i32> = rows.concat();
    let values = vec![1.0; indices.len()];
    Csr::new("x", indptr.into(), indices.into(), values.into(), n_cols).unwrap()
}

fn message<T>(result: Result<T, Error>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn malformed_lists_are_refused() {
    assert!(message(Lists::new("lists", &[], &[], 3)).starts_with("lists: indptr"));
    assert!(message(Lists::new("lists", &[0, 2], &[1], 3)).starts_with("lists: indptr"));
    assert!(message(Lists::new("lists", &[0, 2, 1, 3], &[0, 1, 2], 3)).starts_with("lists: indptr"));
    assert_eq!(
        message(Lists::new("lists", &[0, 1], &[3], 3)),
        "lists: columns must be in 0..3, got 3 at position 0"
    );
    assert_eq!(
        message(Lists::new("lists", &[0, 1], &[-1], 3)),
        "lists: columns must be in 0..3, got -1 at position 0"
    );
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let truth = csr(&[&[0], &[1, 2]], 3);
    let one = Lists::new("lists", &[0, 1], &[0], 3).unwrap();
    assert!(
        message(hit_ranks(one, &truth))
            .contains("recommended: must have the shape of truth, (2, 3), got (1, 3)")
    );
    assert!(
        message(lists::means(one, &[1.0], &[1]))
            .contains("values: must have length 3, one for each column of the lists, got 1")
    );
    assert!(
        message(lists::diversity(one, &csr(&[&[0]], 2), &[1]))
            .contains("features: must have 3 rows, one for each item, got 1")
    );
    assert!(
        message(lists::serendipity(&truth, &[1], one, &[1]))
            .contains("ranks: must have length 3, one for each entry of truth, got 1")
    );
    let (ranks, gains) = (&[1_i32, 0, 2], &[1.0_f32, 1.0, 1.0]);
    let given = Ranked { indptr: &[0, 1, 3], ranks, gains, n_items: 3 };
    assert!(of_ranks(given, &[2]).is_ok());
    assert!(message(of_ranks(given, &[0])).contains("at least 1"));
    assert!(
        message(of_ranks(Ranked { indptr: &[0, 3, 1, 3], ..given }, &[1])).starts_with("indptr: must ascend")
    );
    assert!(message(of_ranks(Ranked { indptr: &[0, 2], ..given }, &[1])).starts_with("indptr: must ascend"));
    assert!(
        message(of_ranks(Ranked { gains: &[1.0], ..given }, &[1])).starts_with("gains: must have length")
    );
}

#[test]
fn scores_and_events_that_do_not_fit_are_refused() {
    let none = Rows { indptr: &[0, 0], scores: &[] };
    assert!(auc(none, none).unwrap()[0].is_nan());
    assert!(
        message(auc(none, Rows { indptr: &[0, 0, 0], scores: &[] }))
            .contains("negatives: must have 1 rows like positives, got 2")
    );
    assert!(message(auc(Rows { indptr: &[0, 1], scores: &[] }, none)).starts_with("positives"));
    assert!(
        message(sample_others(&csr(&[&[0]], 2), 1, 0, &[]))
            .contains("keys: must have length 1, one for each row, got 0")
    );
    assert!(message(latest(&[0, 2], None, 2, 1)).contains("users: codes must be in 0..2, got 2 at event 1"));
    assert!(message(latest(&[0], Some(&[]), 1, 1)).contains("keys: must have length 1 like users, got 0"));
    assert!(message(latest(&[0], None, 1, 0)).starts_with("n:"));
    assert!(
        message(bootstrap_means(&[1.0], 2, 1, 0, &Control::new()))
            .contains("table: must be whole rows of 2, got 1")
    );
    assert!(
        message(bootstrap_means(&[], 0, 1, 0, &Control::new())).contains("table: must be whole rows of 0")
    );
}

#[test]
fn threads_do_not_matter() {
    let n = 3000;
    let rows: Vec<Vec<i32>> =
        (0..n).map(|r| (0..40).filter(|c| (r * 7 + c * c * 3) % 5 == 0).collect()).collect();
    let truth = csr(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), 40);
    let values: Vec<f64> = (0..n).map(|i| f64::from(i as u32 * 7919 % 101) / 10.0 - 5.0).collect();
    let keys: Vec<u64> = (0..n as u64).collect();
    let run = |threads: usize| {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let control = Control::new();
            let own = Lists::of(&truth);
            let ranks = hit_ranks(own, &truth).unwrap();
            let given = Ranked { indptr: truth.indptr(), ranks: &ranks, gains: truth.values(), n_items: 40 };
            (
                of_ranks(given, &[1, 5, 50]).unwrap(),
                exposure(own, &[2, 9]),
                lists::means(own, &values[..40], &[3]).unwrap(),
                sample_others(&truth, 7, 3, &keys).unwrap(),
                bootstrap_means(&values, 3, 50, 1, &control).unwrap(),
                sign_flips(&values, 50, 1, &control).unwrap(),
            )
        })
    };
    let one = run(1);
    for threads in [2, 5] {
        let many = run(threads);
        assert!(many.0 == one.0 && many.1 == one.1 && many.3 == one.3 && many.4 == one.4 && many.5 == one.5);
        assert!(many.2.iter().zip(&one.2).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}
