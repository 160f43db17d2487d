//! What lists are like, whatever is true: how popular or new their items are, and how far from each other.

use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::metrics::{Lists, ROWS};
use rayon::prelude::*;

/// The mean of `values` over the first k of each list, for each of `ks`; NaN for an empty list.
pub fn means(lists: Lists<'_>, values: &[f64], ks: &[usize]) -> Result<Vec<f64>> {
    if values.len() != lists.n_cols() {
        let problem = format!("must have length {}, one for each column of the lists", lists.n_cols());
        return Err(Error::shape("values", problem, values.len()));
    }
    let mut out = vec![f64::NAN; lists.n_rows() * ks.len()];
    out.par_chunks_mut(ks.len().max(1)).enumerate().with_min_len(ROWS).for_each(|(row, out)| {
        let list = lists.row(row);
        for at in 0..ks.len() {
            let first = &list[..ks[at].min(list.len())];
            let mut sum = 0.0;
            for &col in first {
                sum += values[col as usize];
            }
            out[at] = sum / first.len() as f64;
        }
    });
    Ok(out)
}

/// One less the mean cosine of all pairs of the first k of each list, for each of `ks`; NaN where they are fewer
/// than two. `features` has a row for each column of the lists; a row of zeros is at distance 1 from all others.
pub fn diversity(lists: Lists<'_>, features: &Csr, ks: &[usize]) -> Result<Vec<f64>> {
    if features.n_rows() != lists.n_cols() {
        let problem = format!("must have {} rows, one for each item", lists.n_cols());
        return Err(Error::shape("features", problem, features.n_rows()));
    }
    let norms = features.row_sums(|v| f64::from(v) * f64::from(v));
    let inverse: Vec<f64> = norms.iter().map(|&n| if n > 0.0 { 1.0 / n.sqrt() } else { 0.0 }).collect();
    let deepest = ks.iter().copied().max().unwrap_or(0);
    let mut out = vec![f64::NAN; lists.n_rows() * ks.len()];
    let scratch = || (vec![0.0; features.n_cols()], Vec::new());
    out.par_chunks_mut(ks.len().max(1)).enumerate().with_min_len(16).for_each_init(
        scratch,
        |(sum, products), (row, out)| {
            let list = lists.row(row);
            let first = &list[..deepest.min(list.len())];
            pair_sums(first, features, &inverse, sum, products);
            for at in 0..ks.len() {
                let n = ks[at].min(first.len());
                if n > 1 {
                    out[at] = 1.0 - products[n] / ((n * (n - 1)) as f64 / 2.0);
                }
            }
        },
    );
    Ok(out)
}

/// `products[n]` becomes the sum of the cosines of all pairs of the first n: each item against the sum of those
/// before it.
fn pair_sums(list: &[i32], features: &Csr, inverse: &[f64], sum: &mut [f64], products: &mut Vec<f64>) {
    products.clear();
    products.push(0.0);
    let mut total = 0.0;
    for &col in list {
        let (places, values) = features.row(col as usize);
        let scale = inverse[col as usize];
        for at in 0..places.len() {
            let (place, value) = (places[at] as usize, f64::from(values[at]) * scale);
            total += sum[place] * value;
            sum[place] += value;
        }
        products.push(total);
    }
    for &col in list {
        for &place in features.row(col as usize).0 {
            sum[place as usize] = 0.0;
        }
    }
}

/// The share of the first k that are hits and not among the first k of a list that everybody would have expected,
/// for each of `ks`. `ranks` says where the true items of each row stand (0: nowhere).
pub fn serendipity(truth: &Csr, ranks: &[i32], expected: Lists<'_>, ks: &[usize]) -> Result<Vec<f64>> {
    let (rows, cols) = (truth.n_rows(), truth.n_cols());
    if ranks.len() != truth.nnz() {
        let problem = format!("must have length {}, one for each entry of truth", truth.nnz());
        return Err(Error::shape("ranks", problem, ranks.len()));
    }
    let got = (expected.n_rows(), expected.n_cols());
    if got != (rows, cols) {
        return Err(Error::shape("expected", format!("must have the shape of truth, ({rows}, {cols})"), got));
    }
    let mut out = vec![0.0; rows * ks.len()];
    out.par_chunks_mut(ks.len().max(1)).enumerate().with_min_len(ROWS).for_each(|(row, out)| {
        let (relevant, list) = (truth.row(row).0, expected.row(row));
        let ranks = &ranks[truth.range(row)];
        for hit in 0..relevant.len() {
            if ranks[hit] == 0 {
                continue;
            }
            let known = list.iter().position(|&c| c == relevant[hit]).unwrap_or(usize::MAX);
            for at in 0..ks.len() {
                if ranks[hit] as usize <= ks[at] && known >= ks[at] {
                    out[at] += 1.0 / ks[at] as f64;
                }
            }
        }
    });
    Ok(out)
}
