//! The truncated SVD and the ranking of dense factors against dense answers that are obviously right.

#![allow(clippy::unwrap_used, missing_docs)]

use faer::Mat;
use ferrec_core::factors::{Dense, fold_in, score_factors, top_k_factors_at};
use ferrec_core::simd::Level;
use ferrec_core::svd::{Settings, Svd, truncated_svd};
use ferrec_core::{Control, Csr, Error, Filter, Ranked};
use proptest::collection::vec;
use proptest::prelude::*;

const TOL: f64 = 1e-4;

fn csr(rows: &[Vec<f32>], n_cols: usize) -> Csr {
    let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
    for row in rows {
        for (col, &v) in row.iter().enumerate().filter(|e| *e.1 != 0.0) {
            indices.push(col as i32);
            values.push(v);
        }
        indptr.push(indices.len() as i64);
    }
    Csr::new("x", indptr.into(), indices.into(), values.into(), n_cols).unwrap()
}

fn settings(k: usize, center: bool) -> Settings {
    Settings { k, tol: TOL, center, seed: 7 }
}

fn singular_values(rows: &[Vec<f32>], n_cols: usize, center: bool) -> Vec<f64> {
    let mut dense = Mat::from_fn(rows.len(), n_cols, |i, j| f64::from(rows[i][j]));
    if center {
        for j in 0..n_cols {
            let mean = (0..rows.len()).map(|i| dense[(i, j)]).sum::<f64>() / rows.len() as f64;
            (0..rows.len()).for_each(|i| dense[(i, j)] -= mean);
        }
    }
    dense.singular_values().unwrap()
}

/// Values, orthonormality, and that `x @ v` is `u · s`.
fn check(name: &str, svd: &Svd, rows: &[Vec<f32>], n_cols: usize, k: usize, center: bool) {
    let truth = singular_values(rows, n_cols, center);
    let rank = svd.s.len();
    assert_eq!((svd.u.len(), svd.vt.len()), (rows.len() * rank, n_cols * rank));
    assert!(svd.s.is_sorted_by(|a, b| a >= b));
    let greatest = truth.first().copied().unwrap_or(0.0);
    // What lies about the limit may be there or not; centering leaves rounding of the means.
    let surely = truth.iter().take(k).filter(|&&s| s > 4e-6 * greatest && s > 1e-12).count();
    assert!(rank >= surely && rank <= k, "{name}: {rank} of at least {surely} triplets");
    for (&s, &t) in svd.s.iter().zip(&truth).take(surely) {
        assert!((f64::from(s) - t).abs() <= 10.0 * TOL * t, "{name}: {s} instead of {t}");
    }
    let dot = |a: &dyn Fn(usize) -> f32, b: &dyn Fn(usize) -> f32, n: usize| -> f64 {
        (0..n).map(|i| f64::from(a(i)) * f64::from(b(i))).sum()
    };
    for i in 0..rank {
        for j in 0..rank {
            let one = f64::from(u8::from(i == j));
            let u = dot(&|r| svd.u[r * rank + i], &|r| svd.u[r * rank + j], rows.len());
            let v = dot(&|c| svd.vt[i * n_cols + c], &|c| svd.vt[j * n_cols + c], n_cols);
            assert!((u - one).abs() < 1e-5 && (v - one).abs() < 1e-5, "{name} ({i}, {j}): {u} {v}");
        }
        let row = &svd.vt[i * n_cols..(i + 1) * n_cols];
        let largest = row.iter().fold(0.0_f32, |l, &v| if v.abs() > l.abs() { v } else { l });
        assert!(largest > 0.0, "{name}: the sign of {i}");
    }
}

fn matrix() -> impl Strategy<Value = (Vec<Vec<f32>>, usize)> {
    (0..=12_usize, 1..=12_usize, 0.05..0.9_f64).prop_flat_map(|(m, n, density)| {
        let cell = prop::option::weighted(density, (-12..=12_i32).prop_map(|q| q as f32 / 4.0));
        (vec(vec(cell.prop_map(Option::unwrap_or_default), n), m), Just(n))
    })
}

proptest! {
    #[test]
    fn small_svd_is_the_dense_one((rows, n) in matrix(), k in 1..=14_usize, center: bool) {
        let svd = truncated_svd(&csr(&rows, n), settings(k, center), &Control::new()).unwrap();
        if rows.is_empty() {
            prop_assert!(svd.s.is_empty());
        } else {
            check("small", &svd, &rows, n, k, center);
        }
    }
}

/// Numbers in −1 … 1, most of them 0.
fn random(n_rows: usize, n_cols: usize, one_in: u64, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut cell =
        move || if next() % one_in == 0 { next() as f32 / (1_u32 << 30) as f32 - 1.0 } else { 0.0 };
    (0..n_rows).map(|_| (0..n_cols).map(|_| cell()).collect()).collect()
}

/// More than a thousand on the shorter side, so that the iteration is at work.
fn hard() -> Vec<(&'static str, Vec<Vec<f32>>, usize)> {
    let flat = random(1300, 1100, 20, 1);
    let wide = (0..1100).map(|j| flat.iter().map(|row| row[j]).collect()).collect();
    let identity = |n: usize| (0..n).map(|i| (0..n).map(|j| f32::from(u8::from(i == j))).collect()).collect();
    let block = random(26, 22, 3, 2);
    let equal: Vec<Vec<f32>> = (0..26 * 50)
        .map(|i| (0..1100).map(|j| if i / 26 == j / 22 { block[i % 26][j % 22] } else { 0.0 }).collect())
        .collect();
    let (left, right) = (random(1300, 9, 2, 3), random(9, 1100, 2, 4));
    let low = left
        .iter()
        .map(|l| (0..1100).map(|j| l.iter().zip(&right).map(|(a, r)| a * r[j]).sum()).collect())
        .collect();
    let steep = flat
        .iter()
        .map(|row| row.iter().enumerate().map(|(j, v)| v * 0.97_f32.powi(j as i32)).collect())
        .collect();
    vec![
        ("flat", flat, 1100),
        ("wide", wide, 1300),
        ("identity", identity(1100), 1100),
        ("fifty equal blocks", equal, 1100),
        ("rank nine", low, 1100),
        ("steep", steep, 1100),
    ]
}

#[test]
fn hard_spectra_converge() {
    for (name, rows, n) in hard() {
        let x = csr(&rows, n);
        for center in [false, true] {
            let svd = truncated_svd(&x, settings(60, center), &Control::new()).unwrap();
            check(&format!("{name}, centered: {center}"), &svd, &rows, n, 60, center);
        }
    }
}

#[test]
fn svd_has_the_same_bits_for_any_number_of_threads() {
    let rows = random(1300, 1100, 20, 5);
    let x = csr(&rows, 1100);
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let svd = pool.install(|| truncated_svd(&x, settings(40, true), &Control::new())).unwrap();
        [svd.u, svd.s, svd.vt].map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    let one = bits(1);
    assert!(one == bits(2) && one == bits(5));
}

#[test]
fn svd_stops_when_told_to() {
    let x = csr(&random(1300, 1100, 20, 5), 1100);
    let control = Control::new();
    control.cancel();
    assert_eq!(truncated_svd(&x, settings(40, false), &control).err(), Some(Error::Interrupted));
}

/// Scores by hand, and the best of them.
fn naive(
    q: &[f32],
    v: &[f32],
    d: usize,
    k: usize,
    may: impl Fn(usize, usize) -> bool,
) -> Vec<Vec<(i32, f64)>> {
    let rank = |(row, q): (usize, &[f32])| {
        let score = |v: &[f32]| q.iter().zip(v).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let mut all: Vec<(i32, f64)> =
            v.chunks(d).enumerate().map(|(i, v)| (i as i32, score(v))).filter(|e| e.1 != 0.0).collect();
        all.retain(|e| may(row, e.0 as usize));
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(k);
        all
    };
    q.chunks(d).enumerate().map(rank).collect()
}

fn lists(ranked: &Ranked) -> Vec<Vec<(i32, f64)>> {
    let rows = ranked.indptr.windows(2).map(|w| w[0] as usize..w[1] as usize);
    let entry = |i: usize| (ranked.indices[i], f64::from(ranked.values[i]));
    rows.map(|r| r.map(entry).collect()).collect()
}

fn levels() -> impl Iterator<Item = Level> {
    Level::available()
}

/// Quarters: every sum is exact on every level.
fn quarters(n: usize) -> impl Strategy<Value = Vec<f32>> {
    vec((-8..=8_i32).prop_map(|q| q as f32 / 4.0), n)
}

proptest! {
    #[test]
    fn factors_are_ranked_as_by_hand(
        (d, m, n, q, v, seen) in (1..=9_usize, 1..=20_usize, 1..=70_usize).prop_flat_map(|(d, m, n)| {
            (Just(d), Just(m), Just(n), quarters(m * d), quarters(n * d), vec(vec(any::<bool>(), n), m))
        }),
        k in 1..=12_usize,
        mode in 0..4_usize,
    ) {
        let (queries, items) = (Dense::new("q", &q, m, d).unwrap(), Dense::new("v", &v, n, d).unwrap());
        let marked: Vec<Vec<f32>> =
            seen.iter().map(|row| row.iter().map(|&s| f32::from(u8::from(s))).collect()).collect();
        let marked = csr(&marked, n);
        let exclude = [&marked];
        let mask = &seen[0][..];
        let filter = match mode {
            0 => Filter::default(),
            1 => Filter { exclude: &exclude, ..Filter::default() },
            2 => Filter { allow: Some(&marked), threshold: Some(-0.5), ..Filter::default() },
            _ => Filter { allowed: Some(mask), ..Filter::default() },
        };
        let mut expected = naive(&q, &v, d, k, |row, item| match mode {
            0 => true,
            1 => !seen[row][item],
            2 => seen[row][item],
            _ => mask[item],
        });
        if mode == 2 {
            expected.iter_mut().for_each(|row| row.retain(|e| e.1 > -0.5));
        }
        for level in levels() {
            let ranked = top_k_factors_at(level, queries, items, k, &filter, &Control::new()).unwrap();
            prop_assert_eq!(&lists(&ranked), &expected);
        }
    }
}

fn bits(scores: impl IntoIterator<Item = f32>) -> Vec<u32> {
    scores.into_iter().map(f32::to_bits).collect()
}

#[test]
fn scores_do_not_depend_on_batch_threads_or_place() {
    let (d, m, n) = (37, 211, 999);
    let q = random(m, d, 1, 1).concat();
    // Norms that fall steeply, so that the search ends early.
    let v: Vec<f32> = random(n, d, 1, 2)
        .into_iter()
        .enumerate()
        .flat_map(|(i, row)| row.into_iter().map(move |x| x / (1.0 + i as f32 % 97.0)))
        .collect();
    let items = Dense::new("v", &v, n, d).unwrap();
    let rank = |rows: &[f32], threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let queries = Dense::new("q", rows, rows.len() / d, d).unwrap();
        let level = Level::current();
        pool.install(|| top_k_factors_at(level, queries, items, 9, &Filter::default(), &Control::new()))
            .unwrap()
    };
    let all = rank(&q, 1);
    assert_eq!(all, rank(&q, 3));
    for row in [0, 5, 100, 210] {
        let alone = rank(&q[row * d..(row + 1) * d], 2);
        assert_eq!(alone.indices, all.indices[row * 9..(row + 1) * 9]);
        assert_eq!(bits(alone.values), bits(all.values[row * 9..(row + 1) * 9].iter().copied()));
    }
    // The pairs, in the order of the items.
    let mut pairs = vec![vec![0.0; n]; m];
    for (row, cols) in all.indices.chunks(9).enumerate() {
        cols.iter().for_each(|&c| pairs[row][c as usize] = 1.0);
    }
    let queries = Dense::new("q", &q, m, d).unwrap();
    let scores = score_factors(queries, items, &csr(&pairs, n), &Control::new()).unwrap();
    let sorted = all.indices.chunks(9).zip(all.values.chunks(9)).flat_map(|(c, s)| {
        let mut row: Vec<(i32, f32)> = c.iter().copied().zip(s.iter().copied()).collect();
        row.sort_by_key(|e| e.0);
        row.into_iter().map(|e| e.1)
    });
    assert_eq!(bits(scores), bits(sorted));
}

#[test]
fn errors_name_the_argument() {
    let named = |e: Option<Error>| e.unwrap().to_string();
    let nan = [1.0, f32::NAN];
    assert_eq!(
        named(Dense::new("items", &nan, 1, 2).err()),
        "items: values must be finite, got NaN at row 0, column 1"
    );
    assert!(
        named(Dense::new("items", &nan, 2, 2).err())
            .contains("items: must have the values of shape (2, 2), got 2")
    );
    let (a, b) = (Dense::new("q", &[1.0, 2.0], 1, 2).unwrap(), Dense::new("v", &[1.0], 1, 1).unwrap());
    let filter = Filter::default();
    let error = top_k_factors_at(Level::PORTABLE, a, b, 1, &filter, &Control::new()).err();
    assert!(named(error).contains("items: must have 2 columns like queries, got 1"));
    let x = csr(&[vec![1.0, 2.0]], 2);
    assert!(
        named(fold_in(&x, b, &Control::new()).err())
            .contains("history: must have 1 columns, one for each vector of items, got 2")
    );
    for tol in [0.0, 1.0, f64::NAN] {
        let error = truncated_svd(&x, Settings { k: 1, tol, center: false, seed: 0 }, &Control::new()).err();
        assert!(named(error).starts_with("tol: "));
    }
}
