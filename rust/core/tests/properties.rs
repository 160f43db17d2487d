//! Every kernel against loops that are obviously right.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::build::{Duplicates, Events, build_csr};
use ferrec_core::ids::encode_ints;
use ferrec_core::product::{Memory, score_product, top_k_block, top_k_product, top_k_row};
use ferrec_core::rating::{Baseline, Weights, score_ratings, top_k_ratings};
use ferrec_core::simd::Level;
use ferrec_core::similarity::{Axis, Measure, Request, top_k_similar};
use ferrec_core::stateless::{score_random, top_k_common, top_k_random};
use ferrec_core::topk::{BLOCK, Lanes, RowScorer, Scores, score_pairs, top_k_at};
use ferrec_core::{Control, Csr, Error, Filter, Kind, Ranked};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};

/// A matrix with every cell written out; `None` is not stored, which differs from a stored zero.
#[derive(Debug, Clone)]
struct Table {
    n_rows: usize,
    n_cols: usize,
    cells: Vec<Option<f32>>,
}

impl Table {
    fn stored(&self, row: usize, col: usize) -> Option<f64> {
        self.cells[row * self.n_cols + col].map(f64::from)
    }

    fn at(&self, row: usize, col: usize) -> f64 {
        self.stored(row, col).unwrap_or(0.0)
    }

    fn row(&self, row: usize) -> Vec<Option<f64>> {
        (0..self.n_cols).map(|col| self.stored(row, col)).collect()
    }

    fn transpose(&self) -> Self {
        let cells = (0..self.n_cols)
            .flat_map(|col| (0..self.n_rows).map(move |row| (row, col)))
            .map(|(row, col)| self.cells[row * self.n_cols + col])
            .collect();
        Self { n_rows: self.n_cols, n_cols: self.n_rows, cells }
    }

    fn csr(&self) -> Csr {
        let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
        for row in 0..self.n_rows {
            for col in 0..self.n_cols {
                if let Some(v) = self.cells[row * self.n_cols + col] {
                    indices.push(col as i32);
                    values.push(v);
                }
            }
            indptr.push(indices.len() as i64);
        }
        Csr::new("x", indptr.into(), indices.into(), values.into(), self.n_cols).unwrap()
    }

    fn abs(mut self) -> Self {
        self.cells.iter_mut().flatten().for_each(|v| *v = v.abs());
        self
    }
}

/// Quarters, so that sums of products are exact in f32 and a sum that cancels is 0 on both sides.
fn table_of(n_rows: usize, n_cols: usize) -> impl Strategy<Value = Table> {
    (0.05..0.9_f64)
        .prop_flat_map(move |density| {
            vec(prop::option::weighted(density, (-12..=12_i32).prop_map(|q| q as f32 / 4.0)), n_rows * n_cols)
        })
        .prop_map(move |cells| Table { n_rows, n_cols, cells })
}

fn table() -> impl Strategy<Value = Table> {
    (0..=9_usize, 0..=40_usize).prop_flat_map(|(r, c)| table_of(r, c))
}

/// Two tables that can be multiplied.
fn factors() -> impl Strategy<Value = (Table, Table)> {
    (0..=6_usize, 0..=6_usize, 0..=80_usize).prop_flat_map(|(n, m, p)| (table_of(n, m), table_of(m, p)))
}

fn all_pairs(n_rows: usize, n_cols: usize) -> Csr {
    Table { n_rows, n_cols, cells: vec![Some(1.0); n_rows * n_cols] }.csr()
}

fn ranked_row(ranked: &Ranked, row: usize) -> Vec<(usize, f32)> {
    let range = ranked.indptr[row] as usize..ranked.indptr[row + 1] as usize;
    ranked.indices[range.clone()]
        .iter()
        .map(|&c| c as usize)
        .zip(ranked.values[range].iter().copied())
        .collect()
}

fn bits(ranked: &Ranked) -> (Vec<i64>, Vec<i32>, Vec<u32>) {
    let values = ranked.values.iter().map(|v| v.to_bits()).collect();
    (ranked.indptr.clone(), ranked.indices.clone(), values)
}

/// A naive score and how far rounding in f32 may take the kernel from it.
#[derive(Clone, Copy)]
struct Score {
    value: f64,
    slack: f64,
}

/// Holds a kernel's answer against `score`, which is `None` where a column may not appear.
fn check_ranked(
    ranked: &Ranked,
    (n_rows, n_cols): (usize, usize),
    k: usize,
    threshold: Option<f32>,
    score: impl Fn(usize, usize) -> Option<Score>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(ranked.indptr.len(), n_rows + 1);
    prop_assert_eq!(ranked.indptr[n_rows] as usize, ranked.indices.len());
    prop_assert_eq!(ranked.indices.len(), ranked.values.len());
    let floor = threshold.map_or(f64::NEG_INFINITY, f64::from);
    for row in 0..n_rows {
        let list = ranked_row(ranked, row);
        let ctx = || format!("row {row}: {list:?}");
        for pair in list.windows(2) {
            let ((c0, s0), (c1, s1)) = (pair[0], pair[1]);
            prop_assert!(s0 > s1 || (s0 == s1 && c0 < c1), "order, {}", ctx());
        }
        let distinct: BTreeSet<usize> = list.iter().map(|e| e.0).collect();
        prop_assert_eq!(distinct.len(), list.len(), "duplicates, {}", ctx());
        for &(col, got) in &list {
            prop_assert!(got.is_finite() && got != 0.0 && f64::from(got) > floor, "{}", ctx());
            let Some(want) = score(row, col) else {
                return Err(TestCaseError::fail(format!("column {col} is excluded, {}", ctx())));
            };
            let off = (f64::from(got) - want.value).abs();
            prop_assert!(off <= want.slack, "column {col}: {got} not {}, {}", want.value, ctx());
        }
        // Certain candidates, and those that rounding may make one.
        let candidates = (0..n_cols).filter_map(|col| score(row, col).map(|s| (col, s)));
        let possible: Vec<_> =
            candidates.filter(|(_, s)| s.value + s.slack > floor && s.slack > 0.0).collect();
        let certain: Vec<_> =
            possible.iter().filter(|(_, s)| s.value - s.slack > floor && s.value.abs() > s.slack).collect();
        prop_assert!(list.len() >= k.min(certain.len()) && list.len() <= k.min(possible.len()), "{}", ctx());
        if let Some(&(_, last)) = list.last() {
            for (col, s) in certain {
                let missed = !distinct.contains(col) && s.value - s.slack > f64::from(last);
                prop_assert!(!missed, "column {col} with {} is missing, {}", s.value, ctx());
            }
        }
    }
    Ok(())
}

/// Exact up to f32 rounding, relative to what was added up; 0 where nothing was.
fn scored(value: f64, magnitude: f64) -> Score {
    Score { value, slack: 1e-5 * magnitude }
}

#[derive(Debug, Clone)]
struct Rules {
    exclude: Vec<Table>,
    allow: Option<Table>,
    allowed: Option<Vec<bool>>,
    threshold: Option<f32>,
}

impl Rules {
    fn permits(&self, row: usize, col: usize) -> bool {
        self.exclude.iter().all(|m| m.stored(row, col).is_none())
            && self.allow.as_ref().is_none_or(|m| m.stored(row, col).is_some())
            && self.allowed.as_ref().is_none_or(|m| m[col])
    }
}

/// Builds the borrowed filter of `rules` and hands it on.
fn with_filter<R>(rules: &Rules, then: impl FnOnce(&Filter<'_>) -> R) -> R {
    let exclude: Vec<Csr> = rules.exclude.iter().map(Table::csr).collect();
    let exclude: Vec<&Csr> = exclude.iter().collect();
    let allow = rules.allow.as_ref().map(Table::csr);
    then(&Filter {
        exclude: &exclude,
        allow: allow.as_ref(),
        allowed: rules.allowed.as_deref(),
        threshold: rules.threshold,
    })
}

fn rules(n_rows: usize, n_cols: usize) -> impl Strategy<Value = Rules> {
    (
        vec(table_of(n_rows, n_cols), 0..=2),
        prop::option::of(table_of(n_rows, n_cols)),
        prop::option::of(vec(any::<bool>(), n_cols)),
        prop::option::of((-16..16_i32).prop_map(|q| q as f32 / 4.0 + 0.1)),
    )
        .prop_map(|(exclude, allow, allowed, threshold)| Rules { exclude, allow, allowed, threshold })
}

fn filtered_factors() -> impl Strategy<Value = (Table, Table, Rules)> {
    factors().prop_flat_map(|(a, b)| {
        let rules = rules(a.n_rows, b.n_cols);
        (Just(a), Just(b), rules)
    })
}

fn naive_product(a: &Table, b: &Table, row: usize, col: usize) -> Score {
    let terms: Vec<f64> = (0..a.n_cols).map(|mid| a.at(row, mid) * b.at(mid, col)).collect();
    scored(terms.iter().sum(), terms.iter().map(|t| t.abs()).sum())
}

fn measures() -> impl Strategy<Value = Measure> {
    let exponent = || select(vec![0.0, 0.3, 0.5, 1.0, 1.7]);
    let share = || select(vec![0.0, 0.2, 0.5, 1.0]);
    prop_oneof![
        select(vec![
            Measure::Dot,
            Measure::Cocount,
            Measure::Cosine,
            Measure::AdjustedCosine,
            Measure::Pearson,
            Measure::Jaccard,
            Measure::Dice,
            Measure::Lift,
        ]),
        share().prop_map(|alpha| Measure::AsymmetricCosine { alpha }),
        (exponent(), exponent()).prop_map(|(alpha, beta)| Measure::Tversky { alpha, beta }),
        exponent().prop_map(|alpha| Measure::ConditionalProbability { alpha }),
        exponent().prop_map(|alpha| Measure::P3Alpha { alpha }),
        (exponent(), exponent()).prop_map(|(alpha, beta)| Measure::Rp3Beta { alpha, beta }),
    ]
}

fn shrinkable(measure: Measure) -> bool {
    !matches!(measure, Measure::Dot | Measure::Cocount | Measure::P3Alpha { .. })
}

fn walks(measure: Measure) -> bool {
    matches!(measure, Measure::P3Alpha { .. } | Measure::Rp3Beta { .. })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    if n == 0.0 { 0.0 } else { sum / n }
}

/// The measure between row `i` of `q` and row `j` of `x`, both entities × others, by its definition.
fn naive_similarity(measure: Measure, shrink: f64, q: &Table, i: usize, x: &Table, j: usize) -> Score {
    let (mut a, mut b) = (q.row(i), x.row(j));
    let column_mean = |other: usize| mean((0..x.n_rows).filter_map(|row| x.stored(row, other)));
    match measure {
        Measure::AdjustedCosine => {
            for row in [&mut a, &mut b] {
                row.iter_mut().enumerate().for_each(|(o, v)| *v = v.map(|v| v - column_mean(o)));
            }
        }
        Measure::Pearson => {
            for row in [&mut a, &mut b] {
                let own = mean(row.iter().flatten().copied());
                row.iter_mut().for_each(|v| *v = v.map(|v| v - own));
            }
        }
        _ => {}
    }
    let a: Vec<f64> = a.into_iter().map(|v| v.unwrap_or(0.0)).collect();
    let b: Vec<f64> = b.into_iter().map(|v| v.unwrap_or(0.0)).collect();
    let dot: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    let magnitude: f64 = a.iter().zip(&b).map(|(a, b)| (a * b).abs()).sum();
    let count = |v: &[f64]| v.iter().filter(|v| **v != 0.0).count() as f64;
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let (n_a, n_b) = (count(&a), count(&b));
    let both = a.iter().zip(&b).filter(|(a, b)| **a != 0.0 && **b != 0.0).count() as f64;
    let walk = |alpha: f64| -> f64 {
        let step = |other: usize| {
            let leave = a[other] / a.iter().sum::<f64>();
            let arrive = b[other] / (0..x.n_rows).map(|row| x.at(row, other)).sum::<f64>();
            leave.powf(alpha) * arrive.powf(alpha)
        };
        (0..a.len()).filter(|&o| a[o] != 0.0 && b[o] != 0.0).map(step).sum()
    };
    let of_counts = |numerator: f64, denominator: f64| {
        if both == 0.0 { scored(0.0, 0.0) } else { scored(numerator / denominator, numerator / denominator) }
    };
    let of_values = |denominator: f64| {
        if magnitude == 0.0 { scored(0.0, 0.0) } else { scored(dot / denominator, magnitude / denominator) }
    };
    match measure {
        Measure::Dot => of_values(1.0),
        Measure::Cocount => of_counts(both, 1.0),
        Measure::Cosine | Measure::AdjustedCosine | Measure::Pearson => {
            of_values(norm(&a) * norm(&b) + shrink)
        }
        Measure::AsymmetricCosine { alpha } => {
            of_values(norm(&a).powf(2.0 * alpha) * norm(&b).powf(2.0 * (1.0 - alpha)) + shrink)
        }
        Measure::Jaccard => of_counts(both, n_a + n_b - both + shrink),
        Measure::Dice => of_counts(2.0 * both, n_a + n_b + shrink),
        Measure::Tversky { alpha, beta } => {
            of_counts(both, both + alpha * (n_a - both) + beta * (n_b - both) + shrink)
        }
        Measure::ConditionalProbability { alpha } => of_counts(both, n_a * n_b.powf(alpha) + shrink),
        Measure::Lift => of_counts(x.n_cols as f64 * both, n_a * n_b + shrink),
        Measure::P3Alpha { alpha } => of_counts(walk(alpha), 1.0),
        Measure::Rp3Beta { alpha, beta } => of_counts(walk(alpha), n_b.powf(beta) + shrink),
    }
}

/// What to compare: the entities of a table, perhaps with other ones.
#[derive(Debug, Clone)]
struct Comparison {
    x: Table,
    queries: Option<Table>,
    request: Request,
}

fn comparisons() -> impl Strategy<Value = Comparison> {
    let sides = (table(), select(vec![Axis::Items, Axis::Users]));
    (sides, measures(), select(vec![0.0, 0.0, 0.5, 20.0]), any::<bool>(), 0..=5_usize).prop_flat_map(
        |((x, axis), measure, shrink, ask, n_queries)| {
            let others = if axis == Axis::Users { x.n_cols } else { x.n_rows };
            table_of(n_queries, others).prop_map(move |queries| {
                let shrink = if shrinkable(measure) { shrink } else { 0.0 };
                let fit = |t: Table| if walks(measure) { t.abs() } else { t };
                Comparison {
                    x: fit(x.clone()),
                    queries: ask.then(|| fit(queries)),
                    request: Request { measure, axis, shrink },
                }
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn product_equals_loops((a, b, rules) in filtered_factors(), k in 1..=90_usize) {
        let ranked = with_filter(&rules, |filter| {
            top_k_product(("a", "b"), &a.csr(), &b.csr(), k, filter, &Control::new()).unwrap()
        });
        check_ranked(&ranked, (a.n_rows, b.n_cols), k, rules.threshold, |row, col| {
            rules.permits(row, col).then(|| naive_product(&a, &b, row, col))
        })?;
    }

    #[test]
    fn a_row_alone_is_the_same_before_and_after_packing((a, b, rules) in filtered_factors(), k in 1..=90_usize) {
        let (a, b) = (a.csr(), b.csr());
        // Rules are by row of the whole product; those for every row hold for one row too.
        let filter = Filter { threshold: rules.threshold, ..Filter::default() };
        let control = Control::new();
        let all = top_k_product(("a", "b"), &a, &b, k, &filter, &control).unwrap();
        let memory = Memory::default();
        for packed in [false, true] {
            for row in 0..a.n_rows() {
                let one = a.take_rows(&[row as i32]).unwrap();
                let alone = top_k_row(("a", "b"), &one, (&b, &memory), k, &filter, &control).unwrap();
                prop_assert_eq!(ranked_row(&alone, 0), ranked_row(&all, row), "packed: {}", packed);
            }
            memory.pack(&b);
            prop_assert!(!memory.is_due(&b));
        }
    }

    #[test]
    fn blocks_are_the_same_whatever_is_remembered((a, b) in factors(), k in 1..=90_usize, size in 1..=40_usize) {
        let (a, b) = (a.csr(), b.csr());
        let (filter, control, memory) = (Filter::default(), Control::new(), Memory::default());
        let all = top_k_product(("a", "b"), &a, &b, k, &filter, &control).unwrap();
        let rows: Vec<i32> = (0..a.n_rows() as i32).collect();
        for _ in 0..3 {
            for block in rows.chunks(size) {
                let some = a.take_rows(block).unwrap();
                let found = top_k_block(("a", "b"), &some, (&b, &memory), k, &filter, &control).unwrap();
                for (at, &row) in block.iter().enumerate() {
                    prop_assert_eq!(ranked_row(&found, at), ranked_row(&all, row as usize));
                }
            }
        }
    }

    #[test]
    fn similarity_equals_loops(c in comparisons(), k in 1..=45_usize, threshold in prop::option::of(-1.0..1.0_f32)) {
        let (x, queries) = (c.x.csr(), c.queries.as_ref().map(Table::csr));
        let ranked =
            top_k_similar(&x, queries.as_ref(), k, c.request, threshold, &Control::new()).unwrap();
        let entities = if c.request.axis == Axis::Users { c.x.clone() } else { c.x.transpose() };
        let rows = c.queries.as_ref().unwrap_or(&entities);
        check_ranked(&ranked, (rows.n_rows, entities.n_rows), k, threshold, |i, j| {
            let itself = c.queries.is_none() && i == j;
            let of = || naive_similarity(c.request.measure, c.request.shrink, rows, i, &entities, j);
            (!itself).then(of)
        })?;
    }

    #[test]
    fn pairs_of_a_product_score_as_in_the_ranking((a, b) in factors()) {
        let (a, b) = (a.csr(), b.csr());
        let pairs = all_pairs(a.n_rows(), b.n_cols());
        let k = b.n_cols().max(1);
        let ranked = top_k_product(("a", "b"), &a, &b, k, &Filter::default(), &Control::new()).unwrap();
        let scores = score_product(("a", "b"), &a, &b, &pairs, &Control::new()).unwrap();
        let mut wanted = vec![0.0_f32; scores.len()];
        for row in 0..a.n_rows() {
            for (col, score) in ranked_row(&ranked, row) {
                wanted[row * b.n_cols() + col] = score;
            }
        }
        prop_assert_eq!(scores, wanted);
    }

    #[test]
    fn transposing_moves_every_entry(x in table()) {
        let (csr, flipped) = (x.csr(), x.csr().transpose());
        let wanted = x.transpose().csr();
        prop_assert_eq!((flipped.n_rows(), flipped.n_cols()), (x.n_cols, x.n_rows));
        prop_assert_eq!(flipped.indptr(), wanted.indptr());
        prop_assert_eq!(flipped.indices(), wanted.indices());
        prop_assert_eq!(flipped.values(), wanted.values());
        let twice = flipped.transpose();
        prop_assert_eq!(twice.indptr(), csr.indptr());
        prop_assert_eq!(twice.indices(), csr.indices());
        prop_assert_eq!(twice.values(), csr.values());
        prop_assert_eq!(twice.n_cols(), csr.n_cols());
    }

    #[test]
    fn unsorted_rows_are_sorted_and_duplicates_summed(
        rows in vec(vec((0..12_i32, -12..=12_i32), 0..20), 0..8),
    ) {
        let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
        let mut cells: Vec<Option<f32>> = vec![None; rows.len() * 12];
        for (row, entries) in rows.iter().enumerate() {
            for &(col, quarters) in entries {
                let v = quarters as f32 / 4.0;
                indices.push(col);
                values.push(v);
                *cells[row * 12 + col as usize].get_or_insert(0.0) += v;
            }
            indptr.push(indices.len() as i64);
        }
        let wanted = Table { n_rows: rows.len(), n_cols: 12, cells }.csr();
        let got = Csr::new("x", indptr.into(), indices.into(), values.into(), 12).unwrap();
        prop_assert_eq!(got.indptr(), wanted.indptr());
        prop_assert_eq!(got.indices(), wanted.indices());
        prop_assert_eq!(got.values(), wanted.values());
    }

    #[test]
    fn columns_and_rows_are_counted_and_summed(x in table()) {
        let csr = x.csr();
        let flipped = x.transpose();
        let counts: Vec<i64> =
            (0..x.n_cols).map(|c| flipped.row(c).iter().flatten().count() as i64).collect();
        prop_assert_eq!(csr.column_counts(), counts);
        let total = |row: Vec<Option<f64>>| row.into_iter().flatten().sum::<f64>();
        prop_assert_eq!(csr.column_sums(f64::from), (0..x.n_cols).map(|c| total(flipped.row(c))).collect::<Vec<_>>());
        prop_assert_eq!(csr.row_sums(f64::from), (0..x.n_rows).map(|r| total(x.row(r))).collect::<Vec<_>>());
    }

    #[test]
    fn ids_are_encoded_in_ascending_order(values in prop_oneof![
        vec(-20..20_i64, 0..60),
        vec(any::<i64>(), 0..60),
        vec(select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]), 0..60),
    ]) {
        let (codes, ids) = encode_ints(&values).unwrap();
        let wanted: Vec<i64> = values.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        prop_assert_eq!(&ids, &wanted);
        let back: Vec<i64> = codes.iter().map(|&c| ids[c as usize]).collect();
        prop_assert_eq!(back, values);
    }

    #[test]
    fn events_are_merged_by_each_policy(
        events in vec((0..5_i32, 0..6_i32, -12..=12_i32, 0..4_i64), 0..60),
        weighted in any::<bool>(),
        timed in any::<bool>(),
        policy in select(vec!["sum", "last", "max", "count", "error"]),
    ) {
        let users: Vec<i32> = events.iter().map(|e| e.0).collect();
        let items: Vec<i32> = events.iter().map(|e| e.1).collect();
        let weights: Vec<f32> = events.iter().map(|e| e.2 as f32 / 4.0).collect();
        let times: Vec<i64> = events.iter().map(|e| e.3).collect();
        let given = Events {
            users: &users,
            items: &items,
            weights: weighted.then_some(&weights[..]),
            times: timed.then_some(&times[..]),
        };
        // (user, item) -> its (time, weight) in the given order
        let mut pairs: BTreeMap<(i32, i32), Vec<(i64, f32)>> = BTreeMap::new();
        for at in 0..users.len() {
            let weight = if weighted { weights[at] } else { 1.0 };
            let time = if timed { times[at] } else { 0 };
            pairs.entry((users[at], items[at])).or_default().push((time, weight));
        }
        let repeats: usize = pairs.values().map(|v| v.len() - 1).sum();
        let built = build_csr(given, 5, 6, Duplicates::parse(policy).unwrap());
        if policy == "error" && repeats > 0 {
            let (&(user, item), _) = pairs.iter().find(|(_, v)| v.len() > 1).unwrap();
            let kind = match built {
                Err(Error::Invalid(invalid)) => Some(invalid.kind),
                _ => None,
            };
            prop_assert_eq!(kind, Some(Kind::Duplicates { count: repeats, user, item }));
            return Ok(());
        }
        let built = built.unwrap();
        let merged = |group: &Vec<(i64, f32)>| match policy {
            "sum" => group.iter().map(|e| e.1).sum(),
            "max" => group.iter().map(|e| e.1).fold(f32::NEG_INFINITY, f32::max),
            "count" => group.len() as f32,
            _ => group.iter().fold(group[0], |best, &e| if e.0 >= best.0 { e } else { best }).1,
        };
        let per_user = |user: i32| pairs.range((user, 0)..(user + 1, 0)).count() as i64;
        let indptr: Vec<i64> = (0..=5).map(|u| (0..u).map(per_user).sum()).collect();
        prop_assert_eq!(built.indptr, indptr);
        prop_assert_eq!(built.indices, pairs.keys().map(|p| p.1).collect::<Vec<_>>());
        prop_assert_eq!(built.values, pairs.values().map(merged).collect::<Vec<_>>());
        let latest = pairs.values().map(|g| g.iter().map(|e| e.0).max().unwrap()).collect::<Vec<_>>();
        prop_assert_eq!(built.times, timed.then_some(latest));
    }

    #[test]
    fn ratings_equal_loops(
        (a, b, rules) in filtered_factors(),
        k in 1..=90_usize,
        left in any::<bool>(),
        base in vec(-8..=8_i32, 6),
    ) {
        let range = (-3.0_f32, 4.0_f32);
        let rows: Vec<f32> = (0..a.n_rows).map(|r| base[r % 6] as f32 / 4.0).collect();
        let cols: Vec<f32> = (0..b.n_cols).map(|c| base[(c + 1) % 6] as f32 / 4.0).collect();
        let baseline = Baseline { rows: &rows, cols: &cols, range };
        let weights = if left { Weights::Left } else { Weights::Right };
        let (x, y, control) = (a.csr(), b.csr(), Control::new());
        let ranked =
            with_filter(&rules, |f| top_k_ratings(&x, &y, weights, baseline, k, f, &control).unwrap());
        let naive = |row: usize, col: usize| {
            let mids: Vec<usize> =
                (0..a.n_cols).filter(|&m| a.stored(row, m).is_some() && b.stored(m, col).is_some()).collect();
            let weight = |m: usize| if left { a.at(row, m).abs() } else { b.at(m, col).abs() };
            let total: f64 = mids.iter().map(|&m| weight(m)).sum();
            if total == 0.0 {
                return scored(0.0, 0.0);
            }
            let mean = mids.iter().map(|&m| a.at(row, m) * b.at(m, col)).sum::<f64>() / total;
            let rating = f64::from(rows[row]) + f64::from(cols[col]) + mean;
            scored(rating.clamp(f64::from(range.0), f64::from(range.1)), 10.0)
        };
        let permitted = |row, col| rules.permits(row, col).then(|| naive(row, col));
        check_ranked(&ranked, (a.n_rows, b.n_cols), k, rules.threshold, permitted)?;

        let pairs = all_pairs(a.n_rows, b.n_cols);
        let scores = score_ratings(&x, &y, weights, baseline, &pairs, &control).unwrap();
        for row in 0..a.n_rows {
            for (col, score) in ranked_row(&ranked, row) {
                prop_assert_eq!(score.to_bits(), scores[row * b.n_cols + col].to_bits());
            }
        }
    }

    #[test]
    fn common_order_equals_loops(
        (scores, n_rows, rules) in (0..=40_usize, 0..=5_usize).prop_flat_map(|(n_cols, n_rows)| {
            (vec((-8..=8_i32).prop_map(|q| q as f32 / 4.0), n_cols), Just(n_rows), rules(n_rows, n_cols))
        }),
        k in 1..=45_usize,
    ) {
        let ranked =
            with_filter(&rules, |f| top_k_common(&scores, n_rows, k, f, &Control::new()).unwrap());
        check_ranked(&ranked, (n_rows, scores.len()), k, rules.threshold, |row, col| {
            rules.permits(row, col).then(|| scored(f64::from(scores[col]), f64::from(scores[col]).abs()))
        })?;
    }

    #[test]
    fn random_order_is_the_one_of_its_scores(
        seed in any::<u64>(),
        (keys, n_cols, rules) in (vec(any::<u64>(), 0..5), 0..=40_usize).prop_flat_map(|(keys, n_cols)| {
            let n_rows = keys.len();
            (Just(keys), Just(n_cols), rules(n_rows, n_cols))
        }),
        k in 1..=45_usize,
    ) {
        let pairs = all_pairs(keys.len(), n_cols);
        let scores = score_random(seed, &keys, &pairs, &Control::new()).unwrap();
        prop_assert!(scores.iter().all(|s| *s > 0.0 && *s <= 1.0));
        let ranked =
            with_filter(&rules, |f| top_k_random(seed, &keys, n_cols, k, f, &Control::new()).unwrap());
        check_ranked(&ranked, (keys.len(), n_cols), k, rules.threshold, |row, col| {
            let score = f64::from(scores[row * n_cols + col]);
            rules.permits(row, col).then_some(Score { value: score, slack: f64::MIN_POSITIVE })
        })?;
    }
}

/// Rows of (column, value) lists, given as they are; the second sum adds the value's magnitude.
struct Listed<const TWO_SUMS: bool> {
    rows: Vec<Vec<(i32, f32)>>,
    n_cols: usize,
}

impl<const TWO_SUMS: bool> RowScorer for Listed<TWO_SUMS> {
    const TWO_SUMS: bool = TWO_SUMS;

    fn n_rows(&self) -> usize {
        self.rows.len()
    }

    fn n_cols(&self) -> usize {
        self.n_cols
    }

    fn work(&self, row: usize) -> u64 {
        self.rows[row].len() as u64
    }

    #[inline(always)]
    fn score(&self, row: usize, scores: &mut Scores) {
        for (col, value) in &self.rows[row] {
            if TWO_SUMS {
                scores.add_weighted(&[*col], &[*value], 1.5, |by, v| by * v.abs());
            } else {
                scores.add(&[*col], &[*value], 1.5);
            }
        }
    }

    #[inline(always)]
    fn finish(&self, row: usize, block: usize, sums: Lanes, weights: &Lanes) -> Lanes {
        std::array::from_fn(|lane| self.finished(row, block * BLOCK + lane, sums[lane], weights[lane]))
    }
}

impl<const TWO_SUMS: bool> Listed<TWO_SUMS> {
    /// Depends on the row, the column and the second sum, so that a mix-up of any of them shows.
    #[inline(always)]
    fn finished(&self, row: usize, col: usize, sum: f32, weight: f32) -> f32 {
        let weight = if TWO_SUMS { weight } else { 1.0 };
        if sum == 0.0 { 0.0 } else { sum / (weight + (row + col % 7) as f32) }
    }
}

fn levels() -> impl Iterator<Item = Level> {
    Level::available()
}

/// Wide rows: several tiles, an incomplete last block, more candidates than the buffer holds.
fn lists() -> impl Strategy<Value = (usize, Vec<Vec<(i32, f32)>>)> {
    select(vec![1_usize, 15, 16, 17, 1023, 1025, 2500]).prop_flat_map(|n_cols| {
        let entry = (0..n_cols as i32, (-1.0e3..1.0e3_f32));
        let row = prop_oneof![vec(entry.clone(), 0..4), vec(entry, 0..600)];
        (Just(n_cols), vec(row, 0..6))
    })
}

fn same_at_every_level<const TWO_SUMS: bool>(
    scorer: &Listed<TWO_SUMS>,
    k: usize,
    threshold: Option<f32>,
) -> Result<(), TestCaseError> {
    let (n_rows, n_cols) = (scorer.n_rows(), scorer.n_cols);
    let naive: Vec<BTreeMap<i32, f32>> = (0..n_rows)
        .map(|row| {
            let mut sums: BTreeMap<i32, (f32, f32)> = BTreeMap::new();
            for &(col, v) in &scorer.rows[row] {
                let sum = sums.entry(col).or_insert((0.0, 0.0));
                *sum = (sum.0 + 1.5 * v, sum.1 + 1.5 * v.abs());
            }
            let finish = |(col, (sum, weight))| (col, scorer.finished(row, col as usize, sum, weight));
            sums.into_iter().map(finish).collect()
        })
        .collect();
    let filter = Filter { threshold, ..Filter::default() };
    for level in levels() {
        let ranked = top_k_at(level, scorer, k, &filter, &Control::new()).unwrap();
        for (row, scores) in naive.iter().enumerate() {
            let floor = threshold.unwrap_or(f32::NEG_INFINITY);
            let mut wanted: Vec<(usize, f32)> = scores
                .iter()
                .map(|(&c, &s)| (c as usize, s))
                .filter(|&(_, s)| s != 0.0 && s > floor)
                .collect();
            wanted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            wanted.truncate(k);
            // The same operations in the same order: the same bits, at every level.
            prop_assert_eq!(ranked_row(&ranked, row), wanted, "{} row {}", level.name(), row);
        }
    }
    let pairs: Vec<BTreeSet<i32>> = scorer.rows.iter().map(|row| row.iter().map(|e| e.0).collect()).collect();
    let indptr: Vec<i64> = (0..=n_rows).map(|r| pairs[..r].iter().map(|p| p.len() as i64).sum()).collect();
    let indices: Vec<i32> = pairs.into_iter().flatten().collect();
    let ones = vec![1.0_f32; indices.len()];
    let pairs = Csr::new("pairs", indptr.into(), indices.into(), ones.into(), n_cols).unwrap();
    let scores = score_pairs(scorer, &pairs, &Control::new()).unwrap();
    let wanted: Vec<f32> = naive.iter().flat_map(|row| row.values().copied()).collect();
    prop_assert_eq!(scores, wanted);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_instruction_set_gives_the_same_bits(
        (n_cols, rows) in lists(),
        k in select(vec![1_usize, 2, 10, 100, 5000]),
        threshold in prop::option::of(-100.0..100.0_f32),
    ) {
        same_at_every_level(&Listed::<false> { rows: rows.clone(), n_cols }, k, threshold)?;
        same_at_every_level(&Listed::<true> { rows, n_cols }, k, threshold)?;
    }
}

/// Pseudo-random and large enough that the driver cuts it into many jobs.
fn large(n_rows: usize, n_cols: usize, per_row: usize) -> Csr {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
    for _ in 0..n_rows {
        let row: BTreeSet<i32> =
            (0..per_row).map(|_| ((next() % n_cols as u64).min(next() % n_cols as u64)) as i32).collect();
        values.extend(row.iter().map(|_| (next() % 1000) as f32 / 99.0 - 3.0));
        indices.extend(row);
        indptr.push(indices.len() as i64);
    }
    Csr::new("x", indptr.into(), indices.into(), values.into(), n_cols).unwrap()
}

fn in_pool<R: Send>(n_threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(work)
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let x = large(3000, 1500, 40);
    let all = |n_threads: usize| {
        in_pool(n_threads, || {
            let control = Control::new();
            let mut out = Vec::new();
            for measure in [Measure::Cosine, Measure::Pearson, Measure::AdjustedCosine, Measure::Jaccard] {
                for axis in [Axis::Items, Axis::Users] {
                    let request = Request { measure, axis, shrink: 2.0 };
                    out.push(bits(&top_k_similar(&x, None, 20, request, None, &control).unwrap()));
                }
            }
            let by = large(1500, 2100, 30);
            let filter = Filter { exclude: &[], threshold: Some(0.25), ..Filter::default() };
            out.push(bits(&top_k_product(("a", "b"), &x, &by, 7, &filter, &control).unwrap()));
            let flipped = x.transpose();
            let values = flipped.values().iter().map(|v| v.to_bits()).collect();
            out.push((flipped.indptr().to_vec(), flipped.indices().to_vec(), values));
            out
        })
    };
    let one = all(1);
    assert!(one == all(3));
    assert!(one == all(3), "a second run on three threads");
}

#[test]
fn many_ids_and_events_are_the_same_for_any_number_of_threads() {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let wide: Vec<i64> = (0..600_000).map(|_| (next(50_000) as i64 - 25_000) * 1_000_003).collect();
    let users: Vec<i32> = (0..300_000).map(|_| next(2000) as i32).collect();
    let items: Vec<i32> = (0..300_000).map(|_| next(900) as i32).collect();
    let weights: Vec<f32> = (0..300_000).map(|_| next(1000) as f32 / 7.0).collect();
    let all = |n_threads: usize| {
        in_pool(n_threads, || {
            let events = Events { users: &users, items: &items, weights: Some(&weights), times: None };
            (encode_ints(&wide).unwrap(), build_csr(events, 2000, 900, Duplicates::Sum).unwrap())
        })
    };
    let one = all(1);
    assert!(one == all(3));
    let ((codes, ids), built) = one;
    assert!(ids.windows(2).all(|w| w[0] < w[1]));
    assert!(codes.iter().zip(&wide).all(|(&c, &v)| ids[c as usize] == v));
    assert_eq!(built.indptr.len(), 2001);
    assert_eq!(*built.indptr.last().unwrap() as usize, built.indices.len());
}

#[test]
fn ties_go_to_the_smaller_column() {
    // Every column has the same score, and there are more than the buffer of candidates holds.
    let scorer = Listed::<false> { rows: vec![(0..3000).map(|c| (c, 0.0)).collect()], n_cols: 3000 };
    let empty = top_k_at(Level::PORTABLE, &scorer, 5, &Filter::default(), &Control::new()).unwrap();
    assert_eq!(empty.indices, [] as [i32; 0], "scores of 0 are no candidates");
    let a = Csr::new("a", vec![0, 1].into(), vec![0].into(), vec![-2.0].into(), 1).unwrap();
    let columns: Vec<i32> = (0..3000).collect();
    let b = Csr::new("b", vec![0, 3000].into(), columns.into(), vec![0.5; 3000].into(), 3000).unwrap();
    let not_even: Vec<bool> = (0..3000).map(|c| c % 2 == 1).collect();
    let filter = Filter { allowed: Some(&not_even), ..Filter::default() };
    let ranked = top_k_product(("a", "b"), &a, &b, 5, &filter, &Control::new()).unwrap();
    assert_eq!(ranked.indices, [1, 3, 5, 7, 9]);
    assert_eq!(ranked.values, [-1.0; 5]);
}

#[test]
fn a_matrix_that_breaks_an_invariant_is_refused() {
    let refused = |indptr: Vec<i64>, indices: Vec<i32>, values: Vec<f32>, n_cols: usize, says: &str| {
        let made = Csr::new("history", indptr.into(), indices.into(), values.into(), n_cols);
        match made {
            Err(error @ Error::Invalid(_)) => {
                let text = error.to_string();
                assert!(text.starts_with("history: ") && text.contains(says), "{text:?} should say {says:?}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("accepted what should be refused: {says}"),
        }
    };
    let too_many = i32::MAX as usize + 1;
    refused(vec![], vec![], vec![], 3, "indptr must have one entry more");
    refused(vec![0], vec![], vec![], too_many, "must have at most");
    refused(
        vec![0, 2],
        vec![0, 1],
        vec![1.0],
        3,
        "must have a value for each of its 2 column indices, got 1",
    );
    refused(vec![1, 2], vec![0, 1], vec![1.0, 1.0], 3, "indptr must run from 0 to 2, got 1 at position 0");
    refused(vec![0, 1], vec![0, 1], vec![1.0, 1.0], 3, "indptr must run from 0 to 2, got 1 at position 1");
    refused(vec![0, 3], vec![0, 1], vec![1.0, 1.0], 3, "indptr must run from 0 to 2, got 3 at position 1");
    refused(vec![0, 2, 1, 2], vec![0, 1], vec![1.0, 1.0], 3, "indptr must not fall, got 1 at row 1");
    refused(vec![0, 9, 2], vec![0, 1], vec![1.0, 1.0], 3, "indptr must not fall, got 2 at row 1");
    refused(vec![0, -1, 2], vec![0, 1], vec![1.0, 1.0], 3, "indptr must not fall, got -1 at row 0");
    refused(vec![0, 1, 2], vec![0, 3], vec![1.0, 1.0], 3, "columns must be in 0..3, got 3 at row 1");
    refused(vec![0, 1, 2], vec![0, -1], vec![1.0, 1.0], 3, "got -1 at row 1");
    refused(vec![0, 1], vec![0], vec![1.0], 0, "columns must be in 0..0, got 0 at row 0");
    refused(vec![0, 1, 2], vec![0, 2], vec![1.0, f32::NAN], 3, "NaN at row 1, column 2");
    refused(vec![0, 1, 2], vec![1, 2], vec![f32::INFINITY, 1.0], 3, "inf at row 0, column 1");
    refused(
        vec![0, 1, 2],
        vec![1, 2],
        vec![f32::NEG_INFINITY, f32::NAN],
        3,
        "values must be finite, 2 of 2 are not, got -inf at row 0, column 1",
    );
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let (x, y) = (large(5, 6, 3), large(7, 8, 3));
    let control = Control::new();
    let shape = |result: Result<Ranked, Error>, says: &str| match result {
        Err(error) => assert!(error.to_string().contains(says), "{error} should say {says:?}"),
        Ok(_) => panic!("accepted: {says}"),
    };
    let product = |filter: &Filter<'_>, b: &Csr| top_k_product(("a", "b"), &x, b, 3, filter, &control);
    shape(product(&Filter::default(), &y), "a: must have 7 columns, the rows of b, got (5, 6)");
    let b = large(6, 8, 3);
    shape(
        product(&Filter { exclude: &[&y], ..Filter::default() }, &b),
        "exclude: must have shape (5, 8), got (7, 8)",
    );
    shape(product(&Filter { allow: Some(&y), ..Filter::default() }, &b), "allow: must have shape (5, 8)");
    shape(
        product(&Filter { allowed: Some(&[true]), ..Filter::default() }, &b),
        "allowed: must have length 8, got 1",
    );
    shape(product(&Filter { threshold: Some(f32::NAN), ..Filter::default() }, &b), "threshold");
    let similar = |measure, shrink, queries: Option<&Csr>| {
        top_k_similar(&x, queries, 3, Request { measure, axis: Axis::Users, shrink }, None, &control)
    };
    shape(similar(Measure::Cosine, -1.0, None), "shrink: must be at least 0 and finite, got -1");
    shape(similar(Measure::Cosine, f64::NAN, None), "shrink: must be at least 0 and finite, got NaN");
    shape(similar(Measure::Dot, 1.0, None), "shrink");
    shape(
        similar(Measure::AsymmetricCosine { alpha: 1.5 }, 0.0, None),
        "alpha: must be from 0 to 1, got 1.5",
    );
    shape(similar(Measure::Cosine, 0.0, Some(&y)), "queries: must have 6 columns like x, got 8");
    for name in Measure::NAMES {
        assert!(Measure::parse(name, None, None).is_ok(), "{name}");
    }
    for (name, alpha, beta, says) in [
        ("cosinus", None, None, "measure: must be one of 'cosine', "),
        ("cosine", Some(0.5), None, "alpha: the measure 'cosine' has no such parameter"),
        ("p3alpha", None, Some(0.5), "beta: the measure 'p3alpha' has no such parameter"),
        ("tversky", Some(-1.0), None, "alpha: must be at least 0 and finite, got -1"),
        ("rp3beta", None, Some(f64::NAN), "beta: must be at least 0 and finite, got NaN"),
    ] {
        let error = Measure::parse(name, alpha, beta).unwrap_err().to_string();
        assert!(error.contains(says), "{error} should say {says:?}");
    }
}

#[test]
fn a_canceled_kernel_stops() {
    let x = large(400, 300, 20);
    let request = Request { measure: Measure::Cosine, axis: Axis::Items, shrink: 0.0 };
    let control = Control::new();
    control.cancel();
    let none = Filter::default();
    let flipped = x.transpose();
    let pairs = all_pairs(400, 400);
    assert_eq!(top_k_similar(&x, None, 5, request, None, &control), Err(Error::Interrupted));
    assert_eq!(top_k_product(("a", "b"), &x, &flipped, 5, &none, &control), Err(Error::Interrupted));
    assert_eq!(score_product(("a", "b"), &x, &flipped, &pairs, &control), Err(Error::Interrupted));
    assert_eq!(top_k_random(1, &[1, 2], 10, 3, &none, &control), Err(Error::Interrupted));
}

#[test]
fn a_running_kernel_hears_of_the_cancellation() {
    // Some tens of billions of multiply-adds: nobody waits for the end of it.
    let n = 4000;
    let columns: Vec<i32> = (0..n).flat_map(|_| 0..n as i32).collect();
    let indptr: Vec<i64> = (0..=n as i64).map(|row| row * n as i64).collect();
    let ones = vec![1.0_f32; columns.len()];
    let x = Csr::new("x", indptr.into(), columns.into(), ones.into(), n).unwrap();
    let control = Control::new();
    let (result, waited) = std::thread::scope(|scope| {
        let kernel =
            scope.spawn(|| in_pool(2, || top_k_product(("a", "b"), &x, &x, 5, &Filter::default(), &control)));
        while control.progress().1 == 0 {
            std::thread::yield_now();
        }
        control.cancel();
        let start = std::time::Instant::now();
        (kernel.join().unwrap(), start.elapsed())
    });
    assert_eq!(result, Err(Error::Interrupted));
    assert!(waited.as_secs_f64() < 1.0, "{waited:?}");
}
