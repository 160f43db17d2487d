//! Similarity pair by pair: whatever the ranges, the instruction set, the threads and the width of the ids, the
//! answer is that of a dense loop.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::simd::Level;
use ferrec_core::similarity::{Axis, Measure, Ranges, Request, top_k_similar, top_k_similar_at};
use ferrec_core::{Control, Csr, Error, Ranked};

const COSINE: Request = Request { measure: Measure::Cosine, axis: Axis::Items, shrink: 0.0 };

/// SplitMix64 (Steele et al., OOPSLA 2014).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Rows of up to `longest` entries in columns that get rarer, values from `value`.
fn random(n_rows: usize, n_cols: usize, longest: u64, value: impl Fn(&mut Seeded) -> f32) -> Csr {
    let mut seeded = Seeded(n_cols as u64);
    let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
    for _ in 0..n_rows {
        let mut cols: Vec<i32> = (0..seeded.below(longest + 1))
            .map(|_| {
                let (a, b) = (seeded.below(n_cols as u64), seeded.below(n_cols as u64));
                // Popular columns are not the first ones.
                ((a * b / n_cols as u64 + 7) % n_cols as u64) as i32
            })
            .collect();
        cols.sort_unstable();
        cols.dedup();
        values.extend(cols.iter().map(|_| value(&mut seeded)));
        indices.extend(cols);
        indptr.push(indices.len() as i64);
    }
    Csr::new("x", indptr.into(), indices.into(), values.into(), n_cols).unwrap()
}

fn ratings(seeded: &mut Seeded) -> f32 {
    0.5 * (1 + seeded.below(10)) as f32
}

fn ones(_: &mut Seeded) -> f32 {
    1.0
}

/// Codes up to 127, whose products soon fill 16 bits.
fn large_codes(seeded: &mut Seeded) -> f32 {
    3.0 * (127 - seeded.below(30)) as f32
}

fn with_zeros(seeded: &mut Seeded) -> f32 {
    seeded.below(4) as f32
}

fn floats(seeded: &mut Seeded) -> f32 {
    seeded.below(1000) as f32 / 700.0 - 0.6
}

/// Every similarity, in f64.
fn dense(x: &Csr, score: impl Fn(f64, f64, f64) -> f64) -> Vec<Vec<f64>> {
    let n = x.n_cols();
    let mut sums = vec![vec![0.0_f64; n]; n];
    for row in 0..x.n_rows() {
        let (cols, values) = x.row(row);
        for (&i, &v) in cols.iter().zip(values) {
            for (&j, &w) in cols.iter().zip(values) {
                sums[i as usize][j as usize] += f64::from(v) * f64::from(w);
            }
        }
    }
    let own: Vec<f64> = (0..n).map(|i| sums[i][i]).collect();
    for i in 0..n {
        for j in 0..n {
            let s = sums[i][j];
            sums[i][j] = if i == j || s.abs() < 1e-9 { 0.0 } else { score(s, own[i], own[j]) };
        }
    }
    sums
}

fn cosine(s: f64, i: f64, j: f64) -> f64 {
    s / (i * j).sqrt()
}

#[track_caller]
fn check(ranked: &Ranked, wanted: &[Vec<f64>], k: usize, what: &str) {
    assert_eq!(ranked.indptr.len(), wanted.len() + 1);
    for (row, scores) in wanted.iter().enumerate() {
        let range = ranked.indptr[row] as usize..ranked.indptr[row + 1] as usize;
        let (cols, values) = (&ranked.indices[range.clone()], &ranked.values[range]);
        let mut best: Vec<f64> = scores.iter().copied().filter(|s| *s != 0.0).collect();
        best.sort_by(|a, b| b.total_cmp(a));
        best.truncate(k);
        assert_eq!(cols.len(), best.len(), "{what}: entries of row {row}");
        let mut seen = std::collections::HashSet::new();
        for ((&col, &value), best) in cols.iter().zip(values).zip(best) {
            let value = f64::from(value);
            assert!(seen.insert(col), "{what}: column {col} twice in row {row}");
            assert!((value - best).abs() < 1e-5, "{what}: row {row} has {value}, expected {best}");
            assert!((value - scores[col as usize]).abs() < 1e-5, "{what}: row {row}, column {col}");
        }
        assert!(values.windows(2).all(|w| w[0] >= w[1]), "{what}: row {row} is not best first");
    }
}

fn levels() -> impl Iterator<Item = Level> {
    Level::available()
}

fn ranges(n: usize) -> Vec<Option<Ranges>> {
    let mut all = vec![None];
    for head in [0, 4, 64, 260, n / 4 * 4] {
        for shared in [head, 323, n] {
            for long in [usize::MAX, 60, 30, 0] {
                if shared >= head {
                    all.push(Some(Ranges { head, shared, long }));
                }
            }
        }
    }
    all
}

#[test]
fn every_range_and_instruction_set_gives_the_answer_of_a_dense_loop() {
    type Make = fn(&mut Seeded) -> f32;
    let kinds: [(&str, Make); 5] = [
        ("ratings", ratings),
        ("ones", ones),
        ("large", large_codes),
        ("zeros", with_zeros),
        ("floats", floats),
    ];
    for (kind, value) in kinds {
        let x = random(330, 500, 90, value);
        let wanted = dense(&x, cosine);
        for k in [7, 500] {
            let mut first: Option<Ranked> = None;
            for ranges in ranges(500) {
                for level in levels() {
                    let what = format!("{kind}, k {k}, {ranges:?}, {}", level.name());
                    let ranked =
                        top_k_similar_at(level, ranges, &x, k, COSINE, None, &Control::new()).unwrap();
                    check(&ranked, &wanted, k, &what);
                    // Integers are exact, so that even the order of addition does not matter.
                    if kind != "floats" {
                        assert!(first.get_or_insert_with(|| ranked.clone()) == &ranked, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn instruction_sets_and_threads_give_the_same_bits() {
    let measures =
        ["cosine", "pearson", "adjusted_cosine", "jaccard", "p3alpha", "rp3beta", "tversky", "lift"];
    for name in measures {
        let measure = Measure::parse(name, None, None).unwrap();
        let value = if measure == Measure::Pearson { floats } else { ratings };
        let x = random(2000, 600, 120, value);
        for axis in [Axis::Items, Axis::Users] {
            let request = Request { measure, axis, shrink: 0.0 };
            let of = |level, threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let ranges = Some(Ranges { head: 260, shared: 320, long: 70 });
                pool.install(|| {
                    top_k_similar_at(level, ranges, &x, 9, request, None, &Control::new()).unwrap()
                })
            };
            let first = of(Level::PORTABLE, 1);
            for level in levels() {
                for threads in [1, 2, 5] {
                    assert!(
                        of(level, threads) == first,
                        "{name}, {axis:?}, {}, {threads} threads",
                        level.name()
                    );
                }
            }
        }
    }
}

#[test]
fn asymmetric_measures_are_right_both_ways() {
    let x = random(300, 400, 80, ones);
    let measure = Measure::Tversky { alpha: 0.2, beta: 0.9 };
    let wanted = dense(&x, |s, i, j| s / (s + 0.2 * (i - s) + 0.9 * (j - s)));
    for ranges in ranges(400) {
        let request = Request { measure, ..COSINE };
        let ranked =
            top_k_similar_at(Level::current(), ranges, &x, 12, request, None, &Control::new()).unwrap();
        check(&ranked, &wanted, 12, &format!("{ranges:?}"));
    }
}

#[test]
fn wide_ids_give_what_narrow_ones_do() {
    // The same entries among 70,000 columns, of which the first 500 are in use.
    let narrow = random(400, 500, 60, ratings);
    let parts = (narrow.indptr().to_vec(), narrow.indices().to_vec(), narrow.values().to_vec());
    let wide = Csr::new("x", parts.0.into(), parts.1.into(), parts.2.into(), 70_000).unwrap();
    let of = |x: &Csr| top_k_similar(x, None, 20, COSINE, None, &Control::new()).unwrap();
    let (narrow, wide) = (of(&narrow), of(&wide));
    assert_eq!((&narrow.indices, &narrow.values), (&wide.indices, &wide.values));
    assert_eq!(narrow.indptr[..], wide.indptr[..501]);
    assert!(wide.indptr[501..].iter().all(|&p| p == narrow.indptr[500]));
}

#[test]
fn queries_of_the_entities_themselves_agree_with_the_pairs() {
    let x = random(300, 200, 50, ratings);
    for name in Measure::NAMES {
        let request = Request { measure: Measure::parse(name, None, None).unwrap(), ..COSINE };
        let control = Control::new();
        let pairs = top_k_similar(&x, None, 200, request, None, &control).unwrap();
        let queries = top_k_similar(&x, Some(&x.transpose()), 200, request, None, &control).unwrap();
        for row in 0..200 {
            let of = |r: &Ranked| -> std::collections::BTreeMap<i32, f32> {
                let range = r.indptr[row] as usize..r.indptr[row + 1] as usize;
                let entries = r.indices[range.clone()].iter().zip(&r.values[range]);
                entries.filter(|e| *e.0 != row as i32).map(|(&c, &v)| (c, v)).collect()
            };
            let (pairs, queries) = (of(&pairs), of(&queries));
            let close = |(col, v): (&i32, &f32)| {
                let w = queries.get(col).copied().unwrap_or(0.0);
                (v - w).abs() <= 1e-5 * (1.0 + v.abs())
            };
            assert!(pairs.iter().all(close), "{name}, row {row}");
        }
    }
}

#[test]
fn a_threshold_counts_for_both_sides_of_a_pair() {
    let x = random(300, 400, 80, ratings);
    let wanted: Vec<Vec<f64>> = dense(&x, cosine)
        .into_iter()
        .map(|row| row.into_iter().map(|s| if s > 0.25 { s } else { 0.0 }).collect())
        .collect();
    for ranges in ranges(400) {
        let ranked =
            top_k_similar_at(Level::current(), ranges, &x, 50, COSINE, Some(0.25), &Control::new()).unwrap();
        check(&ranked, &wanted, 50, &format!("{ranges:?}"));
    }
}

#[test]
fn empty_and_tiny_matrices_have_empty_answers() {
    for (n_rows, n_cols) in [(0, 0), (0, 5), (5, 0), (1, 1), (4, 1)] {
        let x = random(n_rows, n_cols.max(1), 2, ratings);
        let parts = (x.indptr().to_vec(), x.indices().to_vec(), x.values().to_vec());
        let x = if n_cols == 0 {
            Csr::new("x", vec![0; n_rows + 1].into(), vec![].into(), vec![].into(), 0).unwrap()
        } else {
            Csr::new("x", parts.0.into(), parts.1.into(), parts.2.into(), n_cols).unwrap()
        };
        for axis in [Axis::Items, Axis::Users] {
            let request = Request { axis, ..COSINE };
            let ranked = top_k_similar(&x, None, 3, request, None, &Control::new()).unwrap();
            let n = if axis == Axis::Items { n_cols } else { n_rows };
            assert_eq!(ranked.indptr.len(), n + 1);
        }
    }
}

#[test]
fn as_many_as_there_are_need_no_more_room_than_there_are() {
    // 70,000 × 70,000 places would be 39 GB; 5,000 pairs are in use.
    let x = random(100, 70_000, 12, ratings);
    let ranked = top_k_similar(&x, None, 70_000, COSINE, None, &Control::new()).unwrap();
    let pairs: usize = (0..x.n_rows()).map(|row| x.row_len(row) * x.row_len(row).saturating_sub(1)).sum();
    assert!(!ranked.values.is_empty() && ranked.values.len() <= pairs);
    let wanted = top_k_similar(&x, None, 500, COSINE, None, &Control::new()).unwrap();
    assert!(ranked == wanted);
}

#[test]
fn a_canceled_run_stops() {
    let x = random(400, 300, 60, ratings);
    let control = Control::new();
    control.cancel();
    assert_eq!(top_k_similar(&x, None, 3, COSINE, None, &control), Err(Error::Interrupted));
}
