//! The kernels on a synthetic matrix of the shape of MovieLens-1M, on one thread and on two.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferrec_core::product::top_k_product;
use ferrec_core::similarity::{Axis, Measure, Request, top_k_similar};
use ferrec_core::{Control, Csr, Filter};
use std::hint::black_box;

const N_USERS: usize = 6040;
const N_ITEMS: usize = 3706;
/// Mean number of entries of a user, before repeats are merged.
const PER_USER: usize = 190;
const NEIGHBORS: usize = 100;
const LIST: usize = 10;

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

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Users of uneven activity, items of uneven popularity, ratings of 1 to 5.
fn synthetic() -> Csr {
    let mut random = Seeded(7);
    let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
    for _ in 0..N_USERS {
        let n = (PER_USER as f64 * -(1.0 - random.unit()).ln()).ceil() as usize;
        let mut row: Vec<i32> =
            (0..n.min(N_ITEMS)).map(|_| (random.unit().powi(2) * N_ITEMS as f64) as i32).collect();
        row.sort_unstable();
        row.dedup();
        values.extend(row.iter().map(|_| (1 + random.next() % 5) as f32));
        indices.extend(row);
        indptr.push(indices.len() as i64);
    }
    Csr::new("x", indptr.into(), indices.into(), values.into(), N_ITEMS).unwrap()
}

/// The rows of a kernel's answer in column order, as a matrix.
fn similarity(x: &Csr, request: Request) -> Csr {
    let ranked = top_k_similar(x, None, NEIGHBORS, request, None, &Control::new()).unwrap();
    Csr::new("similarity", ranked.indptr.into(), ranked.indices.into(), ranked.values.into(), N_ITEMS)
        .unwrap()
}

fn kernels(c: &mut Criterion) {
    let x = synthetic();
    let request = Request { measure: Measure::Cosine, axis: Axis::Items, shrink: 0.0 };
    let near = similarity(&x, request);
    let by_user = x.indptr().windows(2).map(|w| ((w[1] - w[0]) as u64).pow(2)).sum();
    let by_row = x.indices().iter().map(|&item| near.row_len(item as usize) as u64).sum();

    for n_threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let mut group = c.benchmark_group("top_k_similar");
        group.sample_size(10).throughput(Throughput::Elements(by_user));
        group.bench_function(BenchmarkId::new("cosine", n_threads), |b| {
            let run = || top_k_similar(black_box(&x), None, NEIGHBORS, request, None, &Control::new());
            b.iter(|| pool.install(run).unwrap());
        });
        group.finish();

        let mut group = c.benchmark_group("top_k_product");
        group.sample_size(10).throughput(Throughput::Elements(by_row));
        group.bench_function(BenchmarkId::new("neighbors", n_threads), |b| {
            let seen = [&x];
            let filter = Filter { exclude: &seen, ..Filter::default() };
            let names = ("history", "similarity");
            let run = || top_k_product(names, black_box(&x), &near, LIST, &filter, &Control::new());
            b.iter(|| pool.install(run).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
