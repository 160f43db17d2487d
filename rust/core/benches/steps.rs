//! What each step of item-item cosine gains, for `docs/kernels.md`: a table of seconds and ratios.
//!
//! `cargo bench --package ferrec-core --bench steps [-- users items entries-per-user [k]]`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use ferrec_core::simd::Level;
use ferrec_core::similarity::{Axis, Measure, Ranges, Request, top_k_similar_at};
use ferrec_core::{Control, Csr};
use rayon::prelude::*;
use std::time::Instant;

const RUNS: usize = 3;

/// SplitMix64 (Steele et al., OOPSLA 2014): the same matrix on every machine.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// Users of uneven activity; the r-th item drawn with weight (r + 100)^-1.5, as the Python benchmarks do; ratings
/// from 0.5 to 5 in halves.
fn synthetic(n_users: usize, n_items: usize, per_user: usize) -> Csr {
    let mut random = Seeded(7);
    let (low, high) = (100.0_f64.powf(-0.5), (n_items as f64 + 100.0).powf(-0.5));
    let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
    for _ in 0..n_users {
        let n = (per_user as f64 * -random.unit().ln()).ceil() as usize;
        let mut row: Vec<i32> = (0..n.min(n_items))
            .map(|_| {
                let rank = ((low - random.unit() * (low - high)).powi(-2) - 100.0).max(0.0) as usize;
                // Popular items are not the first ones.
                (rank.min(n_items - 1) * 7919 % n_items) as i32
            })
            .collect();
        row.sort_unstable();
        row.dedup();
        values.extend(row.iter().map(|_| (1 + random.next() % 10) as f32 / 2.0));
        indices.extend(row);
        indptr.push(indices.len() as i64);
    }
    Csr::new("x", indptr.into(), indices.into(), values.into(), n_items).unwrap()
}

/// The four lines, with a list of what was touched and a selection at the end.
fn naive(x: &Csr, k: usize) -> usize {
    let columns = x.transpose();
    let norms: Vec<f32> = x.column_sums(|v| f64::from(v * v)).iter().map(|s| s.sqrt() as f32).collect();
    let row = |(sums, touched): &mut (Vec<f32>, Vec<i32>), i: usize| {
        let (users, weights) = columns.row(i);
        for (&u, &v) in users.iter().zip(weights) {
            let (items, values) = x.row(u as usize);
            for (&j, &w) in items.iter().zip(values) {
                if sums[j as usize] == 0.0 {
                    touched.push(j);
                }
                sums[j as usize] += v * w;
            }
        }
        let mut scores: Vec<(f32, i32)> = touched
            .drain(..)
            .map(|j| (std::mem::take(&mut sums[j as usize]) / (norms[i] * norms[j as usize]), j))
            .filter(|e| e.1 != i as i32)
            .collect();
        if scores.len() > k {
            scores.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
            scores.truncate(k);
        }
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        scores.len()
    };
    let scratch = || (vec![0.0_f32; x.n_cols()], Vec::new());
    (0..x.n_cols()).into_par_iter().map_init(scratch, row).sum()
}

fn median(mut run: impl FnMut() -> usize) -> (f64, usize) {
    let mut found = 0;
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            found = run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    (seconds[RUNS / 2], found)
}

fn main() {
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let at = |i: usize, or: usize| given.get(i).copied().unwrap_or(or);
    let (n_users, n_items, per_user, k) = (at(0, 6040), at(1, 3706), at(2, 190), at(3, 100));
    let ratings = synthetic(n_users, n_items, per_user);
    let with = |change: fn(f32) -> f32| {
        let values: Vec<f32> = ratings.values().iter().map(|&v| change(v)).collect();
        let (indptr, indices) = (ratings.indptr().to_vec(), ratings.indices().to_vec());
        Csr::new("x", indptr.into(), indices.into(), values.into(), n_items).unwrap()
    };
    let (floats, ones) = (with(|v| v + 0.01), with(|_| 1.0));
    let request = Request { measure: Measure::Cosine, axis: Axis::Items, shrink: 0.0 };
    let pairs = |x: &Csr, level: Level, ranges: Option<Ranges>| {
        top_k_similar_at(level, ranges, x, k, request, None, &Control::new()).unwrap().values.len()
    };
    let best = Level::current();
    let half = Some(Ranges { head: 0, shared: n_items.min(4096), long: usize::MAX });
    let rows = Some(Ranges { head: 0, shared: 0, long: usize::MAX });
    let steps: [(&str, &dyn Fn() -> usize); 9] = [
        ("the four lines, a list of what was touched", &|| naive(&ratings, k)),
        ("dense rows, vector filter, ids of 16 bits; floats", &|| pairs(&floats, best, rows)),
        ("  each pair once", &|| pairs(&floats, best, half)),
        ("  and a dense head", &|| pairs(&floats, best, None)),
        ("codes of 8 bits, integer sums", &|| pairs(&ratings, best, rows)),
        ("  each pair once", &|| pairs(&ratings, best, half)),
        ("  and a dense head", &|| pairs(&ratings, best, None)),
        ("the same without vector instructions", &|| pairs(&ratings, Level::PORTABLE, None)),
        ("no values at all, a head of bits", &|| pairs(&ones, best, None)),
    ];
    let threads = rayon::current_num_threads();
    println!("{n_users} × {n_items}, {} entries, top {k}, {threads} threads, {}", ratings.nnz(), best.name());
    let mut first = None;
    for (name, run) in steps {
        let (seconds, found) = median(run);
        let first = *first.get_or_insert(seconds);
        println!("{name:52} {seconds:8.3} s  {:6.2} ×  {found} found", first / seconds);
    }
}
