//! The network against sums written down one by one in f64.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::mlp::{Embedding, Mlp, Pairs, Scaling};
use ferrec_core::simd::Level;
use ferrec_core::{Control, Error, Kind, Value};
use proptest::prelude::*;

/// A network and pairs for it, all of one seed.
struct Case {
    columns: Vec<Vec<f32>>,
    codes: Vec<Vec<i32>>,
    mean: Vec<f32>,
    scale: Vec<f32>,
    marked: Vec<u32>,
    lookups: Vec<Vec<i32>>,
    tables: Vec<Vec<f32>>,
    widths: Vec<usize>,
    crosses: Vec<(Vec<f32>, Vec<f32>)>,
    layers: Vec<(Vec<f32>, Vec<f32>)>,
    sigmoid: bool,
    n: usize,
}

const CLIP: f32 = 3.0;

struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.next() + 1.0) / 2.0 * n as f32) as usize % n
    }

    fn many(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| self.next() * size).collect()
    }
}

fn case(seed: u64, n: usize, dense: usize, categories: usize, crosses: usize, hidden: &[usize]) -> Case {
    let mut random = Random(seed);
    let columns: Vec<Vec<f32>> = (0..dense)
        .map(|_| {
            let special = |v: f32| match v {
                v if v < -0.9 => f32::NAN,
                v if v > 0.95 => f32::INFINITY,
                v => v * 10.0,
            };
            (0..n).map(|_| special(random.next())).collect()
        })
        .collect();
    let widths: Vec<usize> = (0..categories).map(|_| 1 + random.below(5)).collect();
    let tables: Vec<Vec<f32>> = widths.iter().map(|w| random.many(4 * w, 1.0)).collect();
    let lookups = (0..categories).map(|_| (0..9).map(|_| random.below(4) as i32).collect()).collect();
    let codes = (0..categories).map(|_| (0..n).map(|_| random.below(12) as i32 - 1).collect()).collect();
    let marked: Vec<u32> = (0..dense as u32).step_by(2).collect();
    let inputs = dense + marked.len() + widths.iter().sum::<usize>();
    let mut width = inputs;
    let mut layer = |random: &mut Random, outputs: usize| {
        let made = (random.many(outputs * width, 1.0 / (width as f32).sqrt()), random.many(outputs, 0.5));
        width = outputs;
        made
    };
    let crosses = (0..crosses).map(|_| layer(&mut random, inputs)).collect();
    let layers = hidden.iter().chain([&1]).map(|&outputs| layer(&mut random, outputs)).collect();
    Case {
        mean: random.many(dense, 2.0),
        scale: random.many(dense, 1.0).iter().map(|v| v.abs() + 0.1).collect(),
        sigmoid: seed.is_multiple_of(2),
        columns,
        codes,
        marked,
        lookups,
        tables,
        widths,
        crosses,
        layers,
        n,
    }
}

impl Case {
    fn build(&self) -> Result<Mlp, Error> {
        let scaling = Scaling {
            mean: self.mean.clone(),
            scale: self.scale.clone(),
            clip: CLIP,
            marked: self.marked.clone(),
        };
        let parts = self.lookups.iter().zip(&self.tables).zip(&self.widths);
        let embeddings = parts
            .map(|((l, t), &w)| Embedding::new(l.clone().into(), t.clone().into(), w))
            .collect::<Result<Vec<_>, _>>()?;
        let crosses: Vec<_> = self.crosses.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        let layers: Vec<_> = self.layers.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        Mlp::new(scaling, embeddings, &crosses, &layers, self.sigmoid)
    }

    fn score(&self, mlp: &Mlp, level: Level, from: usize, to: usize) -> Vec<f32> {
        let columns: Vec<&[f32]> = self.columns.iter().map(|c| &c[from..to]).collect();
        let codes: Vec<&[i32]> = self.codes.iter().map(|c| &c[from..to]).collect();
        let pairs = Pairs { columns: &columns, codes: &codes, len: to - from };
        mlp.score_at(level, &pairs, &Control::new()).unwrap()
    }

    fn naive(&self, row: usize) -> f64 {
        let mut x: Vec<f64> = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            let v = (column[row] - self.mean[at]) * self.scale[at];
            x.push(if v.is_nan() { 0.0 } else { f64::from(v.clamp(-CLIP, CLIP)) });
        }
        for &at in &self.marked {
            x.push(if self.columns[at as usize][row].is_nan() { 1.0 } else { 0.0 });
        }
        for (at, codes) in self.codes.iter().enumerate() {
            let code = codes[row];
            let known = code >= 0 && (code as usize) < self.lookups[at].len();
            let row = if known { self.lookups[at][code as usize] as usize } else { 0 };
            let width = self.widths[at];
            x.extend(self.tables[at][row * width..(row + 1) * width].iter().map(|&v| f64::from(v)));
        }
        let apply = |(w, b): &(Vec<f32>, Vec<f32>), x: &[f64]| -> Vec<f64> {
            let rows = w.chunks(x.len()).zip(b);
            rows.map(|(w, &b)| w.iter().zip(x).map(|(&w, &x)| f64::from(w) * x).sum::<f64>() + f64::from(b))
                .collect()
        };
        let first = x.clone();
        for layer in &self.crosses {
            let y = apply(layer, &x);
            x = (0..x.len()).map(|i| first[i] * y[i] + x[i]).collect();
        }
        let (last, hidden) = self.layers.split_last().unwrap();
        for layer in hidden {
            x = apply(layer, &x).into_iter().map(|v| v.max(0.0)).collect();
        }
        let v = apply(last, &x)[0];
        if self.sigmoid { 1.0 / (1.0 + (-v).exp()) } else { v }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn equals_the_definition(
        seed in 0_u64..1000, n in 0_usize..70, dense in 0_usize..6, categories in 0_usize..3,
        crosses in 0_usize..3, hidden in prop::collection::vec(1_usize..14, 0..3),
    ) {
        prop_assume!(dense + categories > 0);
        let case = case(seed, n, dense, categories, crosses, &hidden);
        let mlp = case.build().unwrap();
        for level in Level::available() {
            let scores = case.score(&mlp, level, 0, n);
            for (row, &score) in scores.iter().enumerate() {
                let truth = case.naive(row);
                let near = (f64::from(score) - truth).abs() <= 1e-5 * truth.abs().max(1.0);
                prop_assert!(near, "{} instead of {}", score, truth);
            }
        }
    }
}

#[test]
fn batches_and_threads_do_not_matter() {
    let case = case(4, 5000, 7, 2, 1, &[64, 32]);
    let mlp = case.build().unwrap();
    let level = Level::current();
    let all = case.score(&mlp, level, 0, case.n);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| case.score(&mlp, level, 0, case.n)), all);
    }
    for (from, to) in [(0, 1), (1, 18), (1023, 1026), (4999, 5000)] {
        assert_eq!(case.score(&mlp, level, from, to), all[from..to]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = || case(2, 3, 3, 1, 1, &[4]);
    assert!(good().build().is_ok());
    type Spoil = fn(&mut Case);
    let spoilt: [(&str, Spoil); 9] = [
        ("scale", |c| c.scale.truncate(2)),
        ("scale", |c| c.scale[0] = f32::NAN),
        ("marked", |c| c.marked[0] = 3),
        ("embeddings", |c| c.lookups[0][2] = 4),
        ("embeddings", |c| c.lookups[0][2] = -1),
        ("embeddings", |c| c.tables[0][0] = f32::INFINITY),
        ("crosses", |c| c.crosses[0].1.clear()),
        ("layers", |c| c.layers[0].0.clear()),
        ("layers", |c| c.layers.clear()),
    ];
    for (name, spoil) in spoilt {
        let mut case = good();
        spoil(&mut case);
        let error = case.build().err().unwrap().to_string();
        assert!(error.starts_with(name), "{name}: {error}");
    }
    let case = good();
    let mlp = case.build().unwrap();
    let (columns, codes) = ([&[0.0_f32; 3][..]; 3], [&[0_i32; 2][..]]);
    let score = |pairs: Pairs<'_>| mlp.score(&pairs, &Control::new());
    for (codes, got) in [(&codes[..], 2), (&[], 0)] {
        let Err(Error::Invalid(error)) = score(Pairs { columns: &columns, codes, len: 3 }) else {
            panic!("accepted codes {codes:?}")
        };
        assert_eq!((error.argument.as_str(), error.kind, error.got), ("codes", Kind::Shape, Value::Int(got)));
    }
    let control = Control::new();
    control.cancel();
    let codes = [&[0_i32; 3][..]];
    let stopped = mlp.score(&Pairs { columns: &columns, codes: &codes, len: 3 }, &control);
    assert_eq!(stopped, Err(Error::Interrupted));
}
