//! The area under the ROC curve of each row, and negatives to compute it from.

use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::stateless::mix;
use rayon::prelude::*;

/// Scores in rows.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Offsets of the rows.
    pub indptr: &'a [i64],
    /// Scores, in any order.
    pub scores: &'a [f32],
}

impl Rows<'_> {
    fn check(&self, name: &str) -> Result<()> {
        let whole =
            self.indptr.first() == Some(&0) && self.indptr.last() == Some(&(self.scores.len() as i64));
        if !whole || self.indptr.windows(2).any(|w| w[0] > w[1]) {
            return Err(Error::layout(
                name,
                "indptr must ascend from 0 to the number of scores",
                self.scores.len(),
            ));
        }
        Ok(())
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.scores[self.indptr[row] as usize..self.indptr[row + 1] as usize]
    }
}

/// For each row the share of pairs of a positive and a negative in which the positive has the greater score,
/// ties counting half (Mann & Whitney 1947); NaN where a row has none of either.
pub fn auc(positives: Rows<'_>, negatives: Rows<'_>) -> Result<Vec<f64>> {
    positives.check("positives")?;
    negatives.check("negatives")?;
    let n_rows = positives.indptr.len() - 1;
    if negatives.indptr.len() - 1 != n_rows {
        let got = negatives.indptr.len() - 1;
        return Err(Error::shape("negatives", format!("must have {n_rows} rows like positives"), got));
    }
    Ok((0..n_rows)
        .into_par_iter()
        .with_min_len(16)
        .map_init(Vec::new, |sorted, row| one_row(positives.row(row), negatives.row(row), sorted))
        .collect())
}

fn one_row(positives: &[f32], negatives: &[f32], sorted: &mut Vec<f32>) -> f64 {
    sorted.clear();
    sorted.extend_from_slice(positives);
    sorted.sort_unstable_by(f32::total_cmp);
    let mut wins = 0_u64; // in halves
    for &score in negatives {
        let not_above = sorted.partition_point(|&p| p <= score);
        let below = sorted.partition_point(|&p| p < score);
        wins += (2 * positives.len() - not_above - below) as u64;
    }
    wins as f64 / (2.0 * positives.len() as f64 * negatives.len() as f64)
}

/// Up to `n` distinct columns of each row that `exclude` does not hold, drawn evenly and ascending: offsets and
/// columns. A row's draw depends on its key and the seed alone.
pub fn sample_others(exclude: &Csr, n: usize, seed: u64, keys: &[u64]) -> Result<(Vec<i64>, Vec<i32>)> {
    if keys.len() != exclude.n_rows() {
        let problem = format!("must have length {}, one for each row", exclude.n_rows());
        return Err(Error::shape("keys", problem, keys.len()));
    }
    let n_cols = exclude.n_cols();
    let mut indptr = vec![0_i64];
    let mut total = 0;
    for row in 0..exclude.n_rows() {
        total += n.min(n_cols - exclude.row_len(row));
        indptr.push(total as i64);
    }
    let mut columns = vec![0_i32; total];
    let mut rows = Vec::with_capacity(keys.len());
    let mut rest = columns.as_mut_slice();
    for row in 0..keys.len() {
        let (own, others) = rest.split_at_mut((indptr[row + 1] - indptr[row]) as usize);
        rows.push((row, own));
        rest = others;
    }
    rows.into_par_iter().with_min_len(16).for_each_init(
        || vec![0_u32; n_cols],
        |marks, (row, out)| {
            let excluded = exclude.row(row).0;
            let free = n_cols - excluded.len();
            if out.len() == free {
                for (at, slot) in out.iter_mut().enumerate() {
                    *slot = at as i32;
                }
            } else {
                draw(free, mix(mix(seed) ^ keys[row]), row as u32 + 1, marks, out);
            }
            step_over(excluded, out);
        },
    );
    Ok((indptr, columns))
}

/// Distinct numbers below `free`, ascending (Floyd; Bentley, CACM 1987).
fn draw(free: usize, start: u64, mark: u32, marks: &mut [u32], out: &mut [i32]) {
    let n = out.len();
    for (at, slot) in out.iter_mut().enumerate() {
        let last = free - n + at;
        let random = mix(start.wrapping_add((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let drawn = ((u128::from(random) * (last as u128 + 1)) >> 64) as usize;
        let chosen = if marks[drawn] == mark { last } else { drawn };
        marks[chosen] = mark;
        *slot = chosen as i32;
    }
    out.sort_unstable();
}

/// From the places among the columns that are left to the columns themselves.
fn step_over(excluded: &[i32], places: &mut [i32]) {
    let mut before = 0;
    for place in places {
        while before < excluded.len() && excluded[before] <= *place + before as i32 {
            before += 1;
        }
        *place += before as i32;
    }
}
