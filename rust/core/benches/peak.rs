//! How much of the machine's peak the scoring of vectors reaches: multiplications and additions that never leave the
//! registers, and beside them `top_k_factors` with random vectors, where nothing can be pruned.
//!
//! `cargo bench --package ferrec-core --bench peak [-- queries items dimensions]`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use ferrec_core::factors::{Dense, top_k_factors_at};
use ferrec_core::simd::Level;
use ferrec_core::{Control, Filter};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// Per cent of the peak, at least.
const ASKED: f64 = 75.0;
const RUNS: usize = 5;
const STEPS: usize = 100_000_000;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// Sums that do not wait for each other; the machine has AVX-512.
    #[target_feature(enable = "avx512f")]
    pub(super) fn wide(steps: usize, by: f32) -> [f32; 16] {
        const SUMS: usize = 24;
        let (a, mut sums) = (_mm512_set1_ps(by), [_mm512_set1_ps(by); SUMS]);
        for _ in 0..steps / (SUMS * 16) {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, a);
            }
        }
        let mut total = sums[0];
        for sum in sums {
            total = _mm512_add_ps(total, sum);
        }
        let mut out = [0.0; 16];
        // SAFETY: the store is the whole array.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), total) };
        out
    }

    /// The same; the machine has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn narrow(steps: usize, by: f32) -> [f32; 8] {
        const SUMS: usize = 12;
        let (a, mut sums) = (_mm256_set1_ps(by), [_mm256_set1_ps(by); SUMS]);
        for _ in 0..steps / (SUMS * 8) {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, a);
            }
        }
        let mut total = sums[0];
        for sum in sums {
            total = _mm256_add_ps(total, sum);
        }
        let mut out = [0.0; 8];
        // SAFETY: the store is the whole array.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), total) };
        out
    }
}

/// A hundred million products of one thread.
fn products(level: Level) {
    let by = black_box(0.5_f32);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") {
        match level.name() {
            // SAFETY: the level proves AVX2, and FMA was just detected.
            "avx2" => drop(black_box(unsafe { x86::narrow(STEPS, by) })),
            // SAFETY: the level proves AVX-512.
            "avx512" => drop(black_box(unsafe { x86::wide(STEPS, by) })),
            _ => {}
        }
    }
    let _ = (level, by);
}

/// The least of some runs: what else the machine does only adds.
fn seconds(run: impl Fn()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Between −1 and 1, by a linear congruence (Knuth).
fn random(n: usize, mut seed: u64) -> Vec<f32> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn main() {
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [n_queries, n_items, d] = given.try_into().unwrap_or([40_000, 26_744, 128]);
    let (queries, items) = (random(n_queries * d, 1), random(n_items * d, 2));
    let threads = rayon::current_num_threads();
    println!(
        "{n_queries} queries × {n_items} items × {d} dimensions, {threads} threads, 1e9 operations a second"
    );
    for level in Level::available().skip(1) {
        let alone = seconds(|| (0..threads).into_par_iter().with_max_len(1).for_each(|_| products(level)));
        let peak = 2.0 * STEPS as f64 * threads as f64 / alone / 1e9;
        let whole = seconds(|| {
            let queries = Dense::new("queries", &queries, n_queries, d).unwrap();
            let items = Dense::new("items", &items, n_items, d).unwrap();
            let found = top_k_factors_at(level, queries, items, 10, &Filter::default(), &Control::default());
            black_box(found.unwrap());
        });
        let reached = 2.0 * (n_queries * n_items * d) as f64 / whole / 1e9;
        let (name, share) = (level.name(), 100.0 * reached / peak);
        let verdict = if share >= ASKED { "met" } else { "missed; see docs/decisions/0006-svd.md" };
        println!(
            "{name:<8} peak {peak:7.1}   top_k_factors {reached:7.1}   {share:5.1} % ({ASKED} % asked: {verdict})"
        );
    }
}
