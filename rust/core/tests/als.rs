//! Alternating least squares against its definition, written out densely in f64.

#![allow(clippy::unwrap_used, missing_docs)]

use faer::Mat;
use faer::linalg::solvers::Solve;
use ferrec_core::als::{Factors, Objective, Settings, Solver, als, als_at, fold_in_als};
use ferrec_core::biased::{self, BiasedFactors, Penalties, biased_factors, fold_in_biased};
use ferrec_core::factors::Dense;
use ferrec_core::simd::Level;
use ferrec_core::{Control, Csr, Error};
use proptest::collection::vec;
use proptest::prelude::*;

const SOLVERS: [Solver; 4] = [Solver::Cholesky, Solver::Cg(3), Solver::Subspaces(16), Solver::Subspaces(40)];
const PLAIN: Objective = Objective { alpha: 2.0, unobserved: 1.0, reg: 0.5, nu: 0.0 };
const SCALED: Objective = Objective { alpha: 1.0, unobserved: 0.1, reg: 0.05, nu: 1.0 };

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

/// Some rows are empty, some long.
fn scattered(n_rows: usize, n_cols: usize) -> Vec<Vec<f32>> {
    let cell = |r: usize, c: usize| {
        let hash = (r * 7919 + c * 104_729 + r * c * 31) % 97;
        if r % 11 != 3 && hash < 4 + 90 / (1 + c % 13 + r % 5) { 1.0 + (hash % 4) as f32 } else { 0.0 }
    };
    (0..n_rows).map(|r| (0..n_cols).map(|c| cell(r, c)).collect()).collect()
}

fn settings(k: usize, objective: Objective, solver: Solver) -> Settings {
    Settings { k, objective, solver, epochs: 6, seed: 3, loss: true }
}

fn run(x: &Csr, settings: Settings) -> Factors {
    als(x, settings, &Control::new()).unwrap()
}

fn scale(o: Objective, row: &[f32], others: usize) -> f64 {
    let entries = row.iter().filter(|&&v| v != 0.0).count() as f64;
    o.reg * (entries + o.unobserved * others as f64).powf(o.nu)
}

fn row(table: &[f32], k: usize, at: usize) -> Vec<f64> {
    table[at * k..(at + 1) * k].iter().map(|&v| f64::from(v)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The objective by its definition.
fn loss(rows: &[Vec<f32>], n_cols: usize, o: Objective, k: usize, users: &[f32], items: &[f32]) -> f64 {
    let mut sum = 0.0;
    for (u, values) in rows.iter().enumerate() {
        let p = row(users, k, u);
        sum += scale(o, values, n_cols) * dot(&p, &p);
        for (i, &v) in values.iter().enumerate() {
            let score = dot(&p, &row(items, k, i));
            sum += match v {
                0.0 => o.unobserved * score.powi(2),
                v => (o.alpha * f64::from(v) + o.unobserved) * (1.0 - score).powi(2),
            };
        }
    }
    for i in 0..n_cols {
        let column: Vec<f32> = rows.iter().map(|r| r[i]).collect();
        let q = row(items, k, i);
        sum += scale(o, &column, rows.len()) * dot(&q, &q);
    }
    sum
}

/// The exact vector of a user, by dense normal equations.
fn exact(values: &[f32], o: Objective, k: usize, items: &[f32]) -> Vec<f64> {
    let (mut a, mut b) = (Mat::<f64>::zeros(k, k), Mat::<f64>::zeros(k, 1));
    for i in 0..k {
        a[(i, i)] = scale(o, values, values.len());
    }
    for (item, &v) in values.iter().enumerate() {
        let q = row(items, k, item);
        let weight = o.unobserved + o.alpha * f64::from(v);
        for i in 0..k {
            for j in 0..k {
                a[(i, j)] += weight * q[i] * q[j];
            }
            b[(i, 0)] += if v == 0.0 { 0.0 } else { weight * q[i] };
        }
    }
    let solved = a.full_piv_lu().solve(&b);
    (0..k).map(|i| solved[(i, 0)]).collect()
}

fn assert_close(got: &[f32], wanted: &[f64], within: f64, name: &str) {
    let size = wanted.iter().fold(1e-3_f64, |m, v| m.max(v.abs()));
    for (g, w) in got.iter().zip(wanted) {
        assert!((f64::from(*g) - w).abs() <= within * size, "{name}: {got:?} instead of {wanted:?}");
    }
}

fn check(rows: &[Vec<f32>], n: usize, k: usize, o: Objective, solver: Solver) {
    let name = format!("{} × {n}, k = {k}, {solver:?}", rows.len());
    let x = csr(rows, n);
    let found = run(&x, settings(k, o, solver));
    assert_eq!((found.users.len(), found.items.len()), (rows.len() * k, n * k), "{name}");
    for (u, values) in rows.iter().enumerate() {
        let wanted = exact(values, o, k, &found.items);
        assert_close(&found.users[u * k..(u + 1) * k], &wanted, 2e-3, &name);
    }
    let last = loss(rows, n, o, k, &found.users, &found.items);
    assert!((found.losses[5] - last).abs() <= 1e-4 * last.max(1e-3), "{name}: {:?}, {last}", found.losses);
    let falls = found.losses.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-5) + 1e-6);
    assert!(falls, "{name}: {:?}", found.losses);
    let items = Dense::new("items", &found.items, n, k).unwrap();
    let again = fold_in_als("history", &x, items, o, &Control::new()).unwrap();
    assert_eq!(again, found.users, "{name}: folding in the known users gives other bits");
}

#[test]
fn every_solver_minimizes_the_objective() {
    for (m, n) in [(60, 45), (45, 60), (33, 7)] {
        for k in [1, 5, 16, 33] {
            for solver in SOLVERS {
                check(&scattered(m, n), n, k, PLAIN, solver);
                check(&scattered(m, n), n, k, SCALED, solver);
            }
        }
    }
}

#[test]
fn small_shapes() {
    for solver in SOLVERS {
        for k in [1, 20] {
            check(&[vec![1.0, 0.0, 2.0]], 3, k, PLAIN, solver);
            check(&[vec![1.0], vec![0.0], vec![3.0]], 1, k, PLAIN, solver);
            check(&vec![vec![0.0; 4]; 3], 4, k, PLAIN, solver);
            check(&[], 4, k, PLAIN, solver);
            check(&[vec![], vec![]], 0, k, PLAIN, solver);
        }
    }
}

#[test]
fn nothing_to_hold_on_to_stays_finite() {
    // Neither regularization nor other pairs: the equations are singular.
    let o = Objective { alpha: 1.0, unobserved: 0.0, reg: 0.0, nu: 0.0 };
    for solver in SOLVERS {
        let found = run(&csr(&scattered(30, 20), 20), settings(40, o, solver));
        assert!(found.users.iter().chain(&found.items).all(|v| v.is_finite()));
        assert!(found.losses[5] < 1.0, "{solver:?}: {:?}", found.losses);
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let x = csr(&scattered(2500, 130), 130);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let biased = biased::Settings { k: 5, penalties: HALF, epochs: 3, seed: 1 };
            let biased = biased_factors(&x, biased, &Control::new()).unwrap();
            (SOLVERS.map(|solver| run(&x, settings(20, SCALED, solver))), biased)
        })
    };
    let one = with(1);
    assert_eq!(with(2), one);
    assert_eq!(with(7), one);
}

#[test]
fn levels_agree() {
    let x = csr(&scattered(120, 90), 90);
    for solver in SOLVERS {
        let at = |level| als_at(level, &x, settings(20, SCALED, solver), &Control::new()).unwrap();
        let plain = at(Level::PORTABLE);
        for level in Level::available().skip(1) {
            let found = at(level);
            // FMA does not round products, and ALS amplifies that by some digits.
            let wide: Vec<f64> = plain.users.iter().map(|&v| f64::from(v)).collect();
            assert_close(&found.users, &wide, 1e-2, "levels");
            let (a, b) = (found.losses[5], plain.losses[5]);
            assert!((a - b).abs() <= 1e-5 * b, "{a} and {b}");
        }
    }
}

#[test]
fn stored_zeros_are_absent() {
    let with =
        Csr::new("x", vec![0, 2, 3].into(), vec![0, 1, 1].into(), vec![1.0, 0.0, 2.0].into(), 2).unwrap();
    let without = csr(&[vec![1.0, 0.0], vec![0.0, 2.0]], 2);
    for solver in SOLVERS {
        assert_eq!(run(&with, settings(3, SCALED, solver)), run(&without, settings(3, SCALED, solver)));
    }
}

#[test]
fn stops_when_it_is_asked_to() {
    let control = Control::new();
    control.cancel();
    let x = csr(&scattered(60, 45), 45);
    assert_eq!(als(&x, settings(4, PLAIN, Solver::Cg(1)), &control).err(), Some(Error::Interrupted));
    let biased = biased::Settings { k: 5, penalties: HALF, epochs: 3, seed: 1 };
    assert_eq!(biased_factors(&x, biased, &control).err(), Some(Error::Interrupted));
}

#[test]
fn progress_ends_at_its_total() {
    let x = csr(&scattered(50, 30), 30);
    for solver in [Solver::Cholesky, Solver::Cg(2), Solver::Subspaces(16)] {
        let control = Control::new();
        als(&x, settings(4, PLAIN, solver), &control).unwrap();
        let (done, total) = control.progress();
        assert!(done == total && total > 0, "{done} of {total}");
    }
    let control = Control::new();
    let s = biased::Settings { k: 2, penalties: HALF, epochs: 3, seed: 0 };
    biased_factors(&x, s, &control).unwrap();
    assert_eq!(control.progress(), (3 * 80, 3 * 80));
}

#[test]
fn errors_name_the_argument() {
    let x = csr(&scattered(6, 5), 5);
    let error = |s: Settings| als(&x, s, &Control::new()).unwrap_err().to_string();
    let plain = settings(2, PLAIN, Solver::Cholesky);
    assert!(error(Settings { k: 0, ..plain }).starts_with("k: "));
    assert!(error(Settings { epochs: 0, ..plain }).starts_with("epochs: "));
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let named = |objective| error(Settings { objective, ..plain });
        assert!(named(Objective { alpha: bad, ..PLAIN }).starts_with("alpha: must be at least 0"));
        assert!(named(Objective { unobserved: bad, ..PLAIN }).starts_with("alpha0: "));
        assert!(named(Objective { reg: bad, ..PLAIN }).starts_with("reg: "));
        assert!(named(Objective { nu: bad, ..PLAIN }).starts_with("nu: "));
        let penalties = Penalties { reg_biases: bad, ..HALF };
        let s = biased::Settings { k: 2, penalties, epochs: 1, seed: 0 };
        let text = biased_factors(&x, s, &Control::new()).unwrap_err().to_string();
        assert!(text.starts_with("reg_biases: "));
    }
    let huge = |objective| error(Settings { objective, ..plain });
    assert!(huge(Objective { alpha: 1e300, ..PLAIN }).starts_with("alpha: must fit in float32, got 1e300"));
    assert!(
        huge(Objective { unobserved: 1e300, ..PLAIN }).starts_with("alpha0: must fit in float32, got 1e300")
    );
    assert!(huge(Objective { reg: 1e300, ..PLAIN }).starts_with("reg: "));
    assert!(huge(Objective { nu: 100.0, ..PLAIN }).starts_with("nu: "));
    let penalties = Penalties { nu: 1000.0, ..HALF };
    let s = biased::Settings { k: 2, penalties, epochs: 1, seed: 0 };
    assert!(biased_factors(&x, s, &Control::new()).unwrap_err().to_string().starts_with("nu: "));
    let negative = csr(&[vec![1.0, -2.0]], 2);
    let text = als(&negative, plain, &Control::new()).unwrap_err().to_string();
    assert_eq!(text, "x: confidences must be at least 0, got -2.0");
    let huge = csr(&[vec![3e38, 3e38], vec![3e38, 0.0]], 2);
    let text = als(&huge, Settings { objective: PLAIN, ..plain }, &Control::new()).unwrap_err().to_string();
    assert!(
        text.starts_with("x: with alpha=") && text.ends_with("a weight exceeds float32, got 3e38"),
        "{text}"
    );
    let items = Dense::new("items", &[1.0, 2.0], 1, 2).unwrap();
    let text = fold_in_als("history", &x, items, PLAIN, &Control::new()).unwrap_err().to_string();
    assert!(text.ends_with("got 5"), "{text}");
    let text = fold_in_biased(&x, items, 0.0, HALF, &Control::new()).unwrap_err().to_string();
    assert!(text.starts_with("history: ") && text.ends_with("got 5"), "{text}");
    for (name, argument) in [("lu", "solver: "), ("cg", "cg_steps: "), ("ials++", "subspace_size: ")] {
        assert!(Solver::parse(name, 0, 0).or(Solver::parse("lu", 1, 1)).is_err(), "{name}");
        let steps = usize::from(name == "lu");
        assert!(Solver::parse(name, steps, steps).unwrap_err().to_string().starts_with(argument));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_matrix(
        (rows, n) in (0..=12_usize, 1..=12_usize).prop_flat_map(|(m, n)| {
            let cell = prop::option::weighted(0.4, (1..=20_u8).prop_map(|q| f32::from(q) / 4.0));
            (vec(vec(cell.prop_map(Option::unwrap_or_default), n), m), Just(n))
        }),
        k in 1..=18_usize,
        solver in prop::sample::select(SOLVERS.to_vec()),
        nu in 0.0..1.0_f64,
    ) {
        check(&rows, n, k, Objective { nu, ..SCALED }, solver);
    }
}

// --- Ratings ------------------------------------------------------------------------------------------------

const HALF: Penalties = Penalties { reg: 0.4, reg_biases: 0.2, nu: 0.5 };

/// The exact factors and bias of a user, by dense normal equations.
fn exact_biased(values: &[f32], found: &BiasedFactors, k: usize) -> Vec<f64> {
    let width = k + 1;
    let (mut a, mut b) = (Mat::<f64>::zeros(width, width), Mat::<f64>::zeros(width, 1));
    let scale = (values.iter().filter(|&&v| v != 0.0).count() as f64).powf(HALF.nu);
    for i in 0..width {
        a[(i, i)] = scale * if i < k { HALF.reg } else { HALF.reg_biases };
    }
    for (item, &v) in values.iter().enumerate().filter(|e| *e.1 != 0.0) {
        let mut q = row(&found.items, width, item);
        let bias = std::mem::replace(&mut q[k], 1.0);
        for i in 0..width {
            for j in 0..width {
                a[(i, j)] += q[i] * q[j];
            }
            b[(i, 0)] += q[i] * (f64::from(v) - found.mean - bias);
        }
    }
    let solved = a.full_piv_lu().solve(&b);
    (0..width).map(|i| solved[(i, 0)]).collect()
}

#[test]
fn biased_users_are_exact() {
    for (m, n, k) in [(60, 45, 4), (45, 60, 15), (60, 45, 16), (1, 8, 2), (8, 1, 2), (20, 9, 0)] {
        let rows = scattered(m, n);
        let x = csr(&rows, n);
        let settings = biased::Settings { k, penalties: HALF, epochs: 4, seed: 1 };
        let found = biased_factors(&x, settings, &Control::new()).unwrap();
        let (sum, count) = rows.iter().flatten().fold((0.0, 0.0), |(s, c), &v| match v {
            0.0 => (s, c),
            v => (s + f64::from(v), c + 1.0),
        });
        assert!((found.mean - sum / count).abs() < 1e-9);
        for (u, values) in rows.iter().enumerate().filter(|(_, r)| r.iter().any(|&v| v != 0.0)) {
            let wanted = exact_biased(values, &found, k);
            assert_close(&found.users[u * (k + 1)..(u + 1) * (k + 1)], &wanted, 1e-3, "biased");
        }
        let items = Dense::new("items", &found.items, n, k + 1).unwrap();
        let again = fold_in_biased(&x, items, found.mean, HALF, &Control::new()).unwrap();
        assert_eq!(again, found.users);
    }
}

#[test]
fn biased_without_ratings() {
    for (m, n) in [(0, 3), (3, 0), (2, 2)] {
        let x = csr(&vec![vec![0.0; n]; m], n);
        let settings = biased::Settings { k: 2, penalties: HALF, epochs: 1, seed: 1 };
        let found = biased_factors(&x, settings, &Control::new()).unwrap();
        assert_eq!(found, BiasedFactors { mean: 0.0, users: vec![0.0; m * 3], items: vec![0.0; n * 3] });
    }
}
