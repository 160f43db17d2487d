//! Ranking metrics over top-n lists, one pass, no dense scores.

use crate::csr::Csr;
use crate::error::{Error, Result};
use rayon::prelude::*;

/// Ranked lists as rows of columns, best first. Not a [`Csr`]: the order of a row carries the meaning.
#[derive(Clone, Copy)]
pub struct Lists<'a> {
    /// Offsets of the rows.
    pub indptr: &'a [i64],
    /// Columns, best first.
    pub indices: &'a [i32],
    /// Columns there are.
    pub n_cols: usize,
}

impl Lists<'_> {
    fn check(&self) -> Result<()> {
        let n = self.indices.len() as i64;
        let whole = self.indptr.first() == Some(&0) && self.indptr.last() == Some(&n);
        if !whole || self.indptr.windows(2).any(|w| w[0] > w[1]) {
            return Err(Error::invalid("recommended", "indptr does not run from 0 to the number of entries"));
        }
        if let Some(c) = self.indices.iter().find(|&&c| c as u32 as usize >= self.n_cols) {
            return Err(Error::invalid("recommended", format_args!("column {c} of {}", self.n_cols)));
        }
        Ok(())
    }

    fn check_distinct(&self) -> Result<()> {
        let n_rows = self.indptr.len() - 1;
        (0..n_rows).into_par_iter().with_min_len(256).try_for_each_init(Vec::new, |sorted, row| {
            sorted.clear();
            sorted.extend_from_slice(self.row(row));
            sorted.sort_unstable();
            match sorted.windows(2).find(|w| w[0] == w[1]) {
                Some(twice) => Err(Error::invalid(
                    "recommended",
                    format_args!("row {row} holds column {} twice", twice[0]),
                )),
                None => Ok(()),
            }
        })
    }

    fn row(&self, row: usize) -> &[i32] {
        &self.indices[self.indptr[row] as usize..self.indptr[row + 1] as usize]
    }
}

/// The metrics, in the order of [`Metrics::per_row`].
pub const NAMES: [&str; 7] = ["precision", "recall", "f1", "hit_rate", "ndcg", "map", "mrr"];

/// Values of every metric at every cut-off.
#[derive(Debug, PartialEq)]
pub struct Metrics {
    /// For each row with at least one true item, for each cut-off, the values in the order of [`NAMES`].
    pub per_row: Vec<f64>,
    /// The rows that have a true item.
    pub rows: Vec<i64>,
    /// For each cut-off, the number of distinct columns recommended to anybody.
    pub distinct: Vec<i64>,
}

/// Metrics of binary relevance, at each of the cut-offs `ks`. A list shorter than k counts as filled up with
/// misses. Rows without a true item have no value.
///
/// With `h` hits in the first k of `t` true items: precision `h/k`, recall `h/t`, F1 their harmonic mean, hit
/// rate `h > 0`, NDCG `Σ 1/log2(rank+1)` of the hits over that of `min(k, t)` first ranks, MAP
/// `Σ precision at each hit / t`, MRR `1 / rank of the first hit`: the definitions of ranx.
pub fn ranking_metrics(recommended: Lists<'_>, truth: &Csr, ks: &[usize]) -> Result<Metrics> {
    recommended.check()?;
    let n_rows = recommended.indptr.len() - 1;
    if (n_rows, recommended.n_cols) != (truth.n_rows(), truth.n_cols()) {
        let expected = (truth.n_rows(), truth.n_cols());
        let got = (n_rows, recommended.n_cols);
        return Err(Error::Shape(format!("recommended has shape {got:?} but truth {expected:?}")));
    }
    if ks.contains(&0) {
        return Err(Error::invalid("ks", "a cut-off must be at least 1, got 0"));
    }
    let rows: Vec<i64> = (0..n_rows as i64).filter(|&r| truth.row_len(r as usize) > 0).collect();
    // No list and no set of true items reaches deeper than this.
    let longest = (0..n_rows).map(|r| recommended.row(r).len().max(truth.row_len(r))).max().unwrap_or(0);
    let deepest = ks.iter().copied().max().unwrap_or(0).min(longest);
    recommended.check_distinct()?;
    let discounts: Vec<f64> = (0..deepest).map(|rank| 1.0 / (rank as f64 + 2.0).log2()).collect();
    let mut ideal = vec![0.0];
    ideal.extend(discounts.iter().scan(0.0, |sum, d| {
        *sum += d;
        Some(*sum)
    }));
    let width = ks.len() * NAMES.len();
    let mut per_row = vec![0.0; rows.len() * width];
    if width > 0 {
        per_row.par_chunks_mut(width).zip(&rows).with_min_len(256).for_each(|(out, &row)| {
            let relevant = truth.row(row as usize).0;
            let list = recommended.row(row as usize);
            for (out, &k) in out.chunks_mut(NAMES.len()).zip(ks) {
                one_row(&list[..k.min(list.len())], relevant, k, &discounts, &ideal, out);
            }
        });
    }
    let distinct = ks
        .par_iter()
        .map(|&k| {
            let mut seen = vec![false; recommended.n_cols];
            for row in 0..n_rows {
                recommended.row(row).iter().take(k).for_each(|&c| seen[c as usize] = true);
            }
            seen.iter().filter(|s| **s).count() as i64
        })
        .collect();
    Ok(Metrics { per_row, rows, distinct })
}

fn one_row(list: &[i32], relevant: &[i32], k: usize, discounts: &[f64], ideal: &[f64], out: &mut [f64]) {
    let (mut hits, mut gain, mut precisions, mut first) = (0_u32, 0.0, 0.0, 0.0);
    for (rank, col) in list.iter().enumerate() {
        if relevant.binary_search(col).is_ok() {
            hits += 1;
            gain += discounts[rank];
            precisions += f64::from(hits) / (rank + 1) as f64;
            if hits == 1 {
                first = 1.0 / (rank + 1) as f64;
            }
        }
    }
    let (hits, n_relevant) = (f64::from(hits), relevant.len() as f64);
    let (precision, recall) = (hits / k as f64, hits / n_relevant);
    let f1 = if hits == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
    let ndcg = gain / ideal[k.min(relevant.len())];
    let hit = if hits > 0.0 { 1.0 } else { 0.0 };
    out.copy_from_slice(&[precision, recall, f1, hit, ndcg, precisions / n_relevant, first]);
}
