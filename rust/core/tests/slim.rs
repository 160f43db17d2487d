//! SLIM: its optimality conditions, threads, edges.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::slim::{Settings, Slim, slim};
use ferrec_core::{Control, Csr, Error};

const SETTINGS: Settings = Settings { l1: 0.5, l2: 4.0, positive: true, tol: 1e-5, max_iter: 1000, k: 1000 };

/// Ones at about one place in `one_in`, the first columns more often.
fn random(n_rows: usize, n_cols: usize, one_in: u64) -> Csr {
    let mut state = 1_u64;
    let (mut indptr, mut indices) = (vec![0_i64], Vec::new());
    for _ in 0..n_rows {
        for col in 0..n_cols {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (state >> 33).is_multiple_of(one_in + col as u64 / 8) {
                indices.push(col as i32);
            }
        }
        indptr.push(indices.len() as i64);
    }
    let values = vec![1.0; indices.len()];
    Csr::new("x", indptr.into(), indices.into(), values.into(), n_cols).unwrap()
}

fn dense(x: &Csr) -> Vec<Vec<f64>> {
    let mut out = vec![vec![0.0; x.n_cols()]; x.n_rows()];
    for (row, out) in out.iter_mut().enumerate() {
        let (cols, values) = x.row(row);
        cols.iter().zip(values).for_each(|(&c, &v)| out[c as usize] = f64::from(v));
    }
    out
}

#[test]
fn no_step_would_move_a_weight() {
    // Few entries and many: the rows of the Gram matrix are sparse, and dense.
    for (x, positive) in
        [(random(60, 300, 30), true), (random(150, 200, 3), true), (random(60, 300, 30), false)]
    {
        let settings = Settings { positive, ..SETTINGS };
        let control = Control::new();
        let fitted = slim(&x, None, settings, &control).unwrap();
        assert_eq!(fitted.unfinished, 0);
        assert_eq!(control.progress(), (x.n_cols() as u64, x.n_cols() as u64));
        let (rows, w, n) = (dense(&x), dense(&fitted.weights), x.n_cols());
        for j in 0..n {
            assert_eq!(w[j][j], 0.0);
            let left: Vec<f64> =
                rows.iter().map(|u| u[j] - (0..n).map(|i| u[i] * w[i][j]).sum::<f64>()).collect();
            for i in (0..n).filter(|&i| i != j) {
                let square: f64 = rows.iter().map(|u| u[i] * u[i]).sum();
                let free: f64 = rows.iter().zip(&left).map(|(u, l)| u[i] * l).sum::<f64>() + square * w[i][j];
                let size = (free.abs() - settings.l1).max(0.0) / (square + settings.l2);
                let best = if positive && free < 0.0 { 0.0 } else { size.copysign(free) };
                assert!((best - w[i][j]).abs() < 5e-5, "({i}, {j}): {} instead of {best}", w[i][j]);
            }
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let x = random(150, 200, 3);
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let Slim { weights, .. } = pool.install(|| slim(&x, None, SETTINGS, &Control::new())).unwrap();
        let values: Vec<u32> = weights.values().iter().map(|v| v.to_bits()).collect();
        (weights.indices().to_vec(), values)
    };
    assert_eq!(bits(1), bits(3));
}

#[test]
fn stops_when_told_to_and_names_bad_arguments() {
    let x = random(20, 10, 3);
    let control = Control::new();
    control.cancel();
    assert_eq!(slim(&x, None, SETTINGS, &control).err(), Some(Error::Interrupted));
    let error = slim(&x, None, Settings { l1: -1.0, ..SETTINGS }, &Control::new()).err().unwrap();
    assert!(error.to_string().starts_with("l1: "));
    let error = slim(&x, Some(&random(3, 3, 2)), SETTINGS, &Control::new()).err().unwrap();
    assert!(error.to_string().starts_with("candidates: must have shape "));
}
