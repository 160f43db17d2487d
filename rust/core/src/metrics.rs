//! Ranking metrics over top-n lists: one pass over the lists says where the true items stand, the rest follows
//! from that.

use crate::csr::Csr;
use crate::error::{Error, Result};
use rayon::prelude::*;

/// Ranked lists as rows of columns, best first. Not a [`Csr`]: the order of a row carries the meaning.
#[derive(Clone, Copy)]
pub struct Lists<'a> {
    indptr: &'a [i64],
    indices: &'a [i32],
    n_cols: usize,
}

impl<'a> Lists<'a> {
    /// Offsets of the rows, and columns best first.
    pub fn new(name: &str, indptr: &'a [i64], indices: &'a [i32], n_cols: usize) -> Result<Self> {
        let whole = indptr.first() == Some(&0) && indptr.last() == Some(&(indices.len() as i64));
        if !whole || indptr.windows(2).any(|w| w[0] > w[1]) {
            let problem = "indptr must ascend from 0 to the number of entries";
            return Err(Error::layout(name, problem, indices.len()));
        }
        if let Some(at) = indices.iter().position(|&c| c as u32 as usize >= n_cols) {
            let problem = format!("columns must be in 0..{n_cols}");
            return Err(Error::layout(name, problem, indices[at]).at("position", at));
        }
        Ok(Self { indptr, indices, n_cols })
    }

    /// The rows of a matrix, whose columns ascend, as lists.
    pub fn of(x: &'a Csr) -> Self {
        Self { indptr: x.indptr(), indices: x.indices(), n_cols: x.n_cols() }
    }

    /// Number of lists.
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of columns there are.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// One list.
    pub fn row(&self, row: usize) -> &'a [i32] {
        &self.indices[self.indptr[row] as usize..self.indptr[row + 1] as usize]
    }
}

/// Rows given to a thread at once.
pub(crate) const ROWS: usize = 256;

/// The rank, from 1, of every entry of `truth` in its row's list; 0 where the list does not hold it.
pub fn hit_ranks(recommended: Lists<'_>, truth: &Csr) -> Result<Vec<i32>> {
    let expected = (truth.n_rows(), truth.n_cols());
    let got = (recommended.n_rows(), recommended.n_cols());
    if got != expected {
        return Err(Error::shape("recommended", format!("must have the shape of truth, {expected:?}"), got));
    }
    let mut ranks = vec![0; truth.nnz()];
    let mut rows = Vec::with_capacity(truth.n_rows());
    let mut rest = ranks.as_mut_slice();
    for row in 0..truth.n_rows() {
        let (own, others) = rest.split_at_mut(truth.row_len(row));
        rows.push((row, own));
        rest = others;
    }
    let marks = || vec![0_u32; truth.n_cols()];
    rows.into_par_iter().with_min_len(ROWS).try_for_each_init(marks, |marks, (row, ranks)| {
        rank_row(row, recommended.row(row), truth.row(row).0, marks, ranks)
    })?;
    Ok(ranks)
}

fn rank_row(row: usize, list: &[i32], relevant: &[i32], marks: &mut [u32], ranks: &mut [i32]) -> Result<()> {
    // Rows fit in an i32, so that two marks of each fit in a u32. Marks of other rows mean nothing.
    let (wanted, listed) = (2 * row as u32 + 1, 2 * row as u32 + 2);
    for &col in relevant {
        marks[col as usize] = wanted;
    }
    for (at, &col) in list.iter().enumerate() {
        let mark = marks[col as usize];
        if mark == listed {
            let problem = "a row must not hold a column twice";
            return Err(Error::values("recommended", problem, col).at("row", row));
        }
        if mark == wanted {
            ranks[relevant.partition_point(|&c| c < col)] = at as i32 + 1;
        }
        marks[col as usize] = listed;
    }
    Ok(())
}

/// How many lists hold each column among their first k, for each of `ks`: `ks.len()` rows of `n_cols`.
pub fn exposure(recommended: Lists<'_>, ks: &[usize]) -> Vec<i64> {
    let n_cols = recommended.n_cols();
    let mut counts = vec![0; ks.len() * n_cols];
    counts.par_chunks_mut(n_cols.max(1)).zip(ks).for_each(|(counts, &k)| {
        for row in 0..recommended.n_rows() {
            let list = recommended.row(row);
            for &col in &list[..k.min(list.len())] {
                counts[col as usize] += 1;
            }
        }
    });
    counts
}

/// The metrics, in the order of [`of_ranks`].
pub const NAMES: [&str; 9] =
    ["precision", "recall", "f1", "hit_rate", "accuracy", "ndcg", "graded_ndcg", "map", "mrr"];

/// The true items of some queries, and where they stand.
#[derive(Clone, Copy)]
pub struct Ranked<'a> {
    /// Offsets of the queries.
    pub indptr: &'a [i64],
    /// Ranks as [`hit_ranks`] gives them.
    pub ranks: &'a [i32],
    /// How much each true item is worth; below 0 is 0.
    pub gains: &'a [f32],
    /// Items there are.
    pub n_items: usize,
}

/// For each query with a true item, for each cut-off, the values in the order of [`NAMES`]; and which queries
/// these are.
///
/// With `h` hits in the first k of `t` true ones among `n` items: precision `h/k`, recall `h/t`, F1 their harmonic
/// mean, hit rate `h > 0`, accuracy `(n - t - k + 2h) / n`, NDCG `Σ 1/log2(rank+1)` of the hits over that of
/// `min(k, t)` first ranks (graded: each times its gain, the ideal being the greatest gains first), MAP
/// `Σ precision at each hit / t`, MRR `1 / rank of the first hit`: the definitions of ranx. A list shorter than k
/// counts as filled up with misses.
pub fn of_ranks(given: Ranked<'_>, ks: &[usize]) -> Result<(Vec<f64>, Vec<i64>)> {
    let n = given.ranks.len();
    if given.gains.len() != n {
        return Err(Error::shape("gains", format!("must have length {n} like ranks"), given.gains.len()));
    }
    let whole = given.indptr.first() == Some(&0) && given.indptr.last() == Some(&(n as i64));
    if !whole || given.indptr.windows(2).any(|w| w[0] > w[1]) {
        return Err(Error::layout("indptr", "must ascend from 0 to the number of ranks", n));
    }
    if ks.contains(&0) {
        return Err(Error::parameter("ks", "cut-offs must be at least 1", 0));
    }
    let n_rows = given.indptr.len() - 1;
    let rows: Vec<i64> =
        (0..n_rows).filter(|&r| given.indptr[r] < given.indptr[r + 1]).map(|r| r as i64).collect();
    let longest = rows.iter().map(|&r| given.indptr[r as usize + 1] - given.indptr[r as usize]).max();
    // No hit stands deeper, and no row has more true items.
    let deepest = given.ranks.iter().copied().max().unwrap_or(0).max(longest.unwrap_or(0) as i32);
    let tables = Tables::new(deepest as usize);
    let width = ks.len() * NAMES.len();
    let mut values = vec![0.0; rows.len() * width];
    if width > 0 {
        let scratch = || (Vec::new(), Vec::new());
        values.par_chunks_mut(width).zip(&rows).with_min_len(ROWS).for_each_init(
            scratch,
            |(hits, best), (out, &row)| {
                let own = given.indptr[row as usize] as usize..given.indptr[row as usize + 1] as usize;
                let query = Query::new(&given.ranks[own.clone()], &given.gains[own], hits, best);
                for at in 0..ks.len() {
                    let out = &mut out[at * NAMES.len()..(at + 1) * NAMES.len()];
                    query.measure(ks[at], given.n_items, &tables, out);
                }
            },
        );
    }
    Ok((values, rows))
}

/// `1 / log2(rank + 1)` of each rank, and the sums of the first of them.
struct Tables {
    discounts: Vec<f64>,
    ideal: Vec<f64>,
}

impl Tables {
    fn new(deepest: usize) -> Self {
        let discounts: Vec<f64> = (0..deepest).map(|at| 1.0 / (at as f64 + 2.0).log2()).collect();
        let mut ideal = vec![0.0];
        let mut sum = 0.0;
        for d in &discounts {
            sum += d;
            ideal.push(sum);
        }
        Self { discounts, ideal }
    }
}

/// What is known of one query, in the buffers of its thread.
struct Query<'a> {
    /// Rank and gain of each hit, best rank first.
    hits: &'a [(i32, f64)],
    /// All gains, greatest first; empty where they are all the same and above 0.
    best: &'a [f64],
    n_true: usize,
}

impl<'a> Query<'a> {
    fn new(ranks: &[i32], gains: &[f32], hits: &'a mut Vec<(i32, f64)>, best: &'a mut Vec<f64>) -> Self {
        hits.clear();
        best.clear();
        for at in 0..ranks.len() {
            if ranks[at] > 0 {
                hits.push((ranks[at], f64::from(gains[at]).max(0.0)));
            }
        }
        hits.sort_unstable_by_key(|hit| hit.0);
        if gains.iter().any(|&g| g != gains[0] || g <= 0.0) {
            best.extend(gains.iter().map(|&g| f64::from(g).max(0.0)));
            best.sort_unstable_by(|a, b| b.total_cmp(a));
        }
        Self { hits, best, n_true: ranks.len() }
    }

    fn measure(&self, k: usize, n_items: usize, tables: &Tables, out: &mut [f64]) {
        let (mut count, mut gain, mut graded, mut precisions) = (0.0, 0.0, 0.0, 0.0);
        for &(rank, worth) in self.hits {
            if rank as usize > k {
                break;
            }
            let discount = tables.discounts[rank as usize - 1];
            count += 1.0;
            gain += discount;
            graded += discount * worth;
            precisions += count / f64::from(rank);
        }
        let n_true = self.n_true as f64;
        let (precision, recall) = (count / k as f64, count / n_true);
        let found = count > 0.0;
        let deepest = k.min(self.n_true);
        let ndcg = gain / tables.ideal[deepest];
        let graded = if self.best.is_empty() { ndcg } else { self.graded(graded, deepest, tables) };
        // Not more misses than there are other items.
        let misses = (k as f64 - count).min(n_items as f64 - n_true);
        out.copy_from_slice(&[
            precision,
            recall,
            if found { 2.0 * precision * recall / (precision + recall) } else { 0.0 },
            if found { 1.0 } else { 0.0 },
            (n_items as f64 - misses - (n_true - count)) / n_items as f64,
            ndcg,
            graded,
            precisions / n_true,
            if found { 1.0 / f64::from(self.hits[0].0) } else { 0.0 },
        ]);
    }

    fn graded(&self, gain: f64, deepest: usize, tables: &Tables) -> f64 {
        let mut ideal = 0.0;
        for at in 0..deepest {
            ideal += tables.discounts[at] * self.best[at];
        }
        if ideal > 0.0 { gain / ideal } else { 0.0 }
    }
}
