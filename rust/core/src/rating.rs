//! Rating prediction from neighbors: a baseline, and the weighted mean of the neighbors' deviations from it.
//!
//! `score(u, i) = base_u + bias_i + Σ w·r / Σ |w|` over the neighbors that have a rating (Koren, TKDD 2010,
//! without interpolation weights). Items that no neighbor rated are no candidates.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result, Value};
use crate::product::Product;
use crate::topk::{Filter, Lanes, Ranked, RowScorer, Scores, lanes, score_pairs, top_k};

/// Which factor of the product holds the similarities; the other holds the deviations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Rows of similar users times their deviations: user-based.
    Left,
    /// A user's deviations times similar items: item-based.
    Right,
}

/// The parts of a prediction.
#[derive(Clone, Copy)]
pub struct Baseline<'a> {
    /// Per row.
    pub rows: &'a [f32],
    /// Per column.
    pub cols: &'a [f32],
    /// Predictions are cut to this range.
    pub range: (f32, f32),
}

impl Baseline<'_> {
    fn check(&self, n_rows: usize, n_cols: usize) -> Result<()> {
        if (self.rows.len(), self.cols.len()) != (n_rows, n_cols) {
            let problem = format!("must have the lengths {:?}, users and items", (n_rows, n_cols));
            return Err(Error::shape("baselines", problem, (self.rows.len(), self.cols.len())));
        }
        let (low, high) = self.range;
        if low.is_nan() || high.is_nan() || low > high {
            let got = Value::Floats(vec![low.into(), high.into()]);
            return Err(Error::parameter("range", "must be two numbers, the lower first", got));
        }
        Ok(())
    }
}

struct Rating<'a> {
    product: Product<'a>,
    weights: Weights,
    baseline: Baseline<'a>,
    /// The columns' part of the baseline in blocks.
    biases: Vec<Lanes>,
}

impl<'a> Rating<'a> {
    fn new(a: &'a Csr, b: &'a Csr, weights: Weights, baseline: Baseline<'a>) -> Result<Self> {
        let product = Product::new(("history", "similarity"), a, b)?;
        baseline.check(a.n_rows(), b.n_cols())?;
        let biases = lanes(baseline.cols.iter().copied(), 0.0);
        Ok(Self { product, weights, baseline, biases })
    }
}

impl RowScorer for Rating<'_> {
    const TWO_SUMS: bool = true;

    fn n_rows(&self) -> usize {
        self.product.n_rows()
    }

    fn n_cols(&self) -> usize {
        self.product.n_cols()
    }

    #[inline(always)]
    fn work(&self, row: usize) -> u64 {
        self.product.work(row)
    }

    #[inline(always)]
    fn score(&self, row: usize, scores: &mut Scores) {
        match self.weights {
            Weights::Left => {
                self.product.for_each(row, |c, v, by| scores.add_weighted(c, v, by, |by, _| by.abs()))
            }
            Weights::Right => {
                self.product.for_each(row, |c, v, by| scores.add_weighted(c, v, by, |_, v| v.abs()))
            }
        }
    }

    #[inline(always)]
    fn finish(&self, row: usize, block: usize, mut sums: Lanes, weights: &Lanes) -> Lanes {
        let base = self.baseline.rows[row];
        let (low, high) = self.baseline.range;
        for ((s, &w), bias) in sums.iter_mut().zip(weights).zip(&self.biases[block]) {
            let rating = (base + bias + *s / w).clamp(low, high);
            // 0 means "no candidate", so a predicted 0 becomes the next number.
            let rating = if rating == 0.0 { f32::MIN_POSITIVE } else { rating };
            *s = if w == 0.0 { 0.0 } else { rating };
        }
        sums
    }
}

/// The `k` items with the highest predicted ratings for every row of `a`.
pub fn top_k_ratings(
    a: &Csr,
    b: &Csr,
    weights: Weights,
    baseline: Baseline<'_>,
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    top_k(&Rating::new(a, b, weights, baseline)?, k, filter, control)
}

/// The predicted ratings at the places that `pairs` names, 0 where no neighbor rated the item.
pub fn score_ratings(
    a: &Csr,
    b: &Csr,
    weights: Weights,
    baseline: Baseline<'_>,
    pairs: &Csr,
    control: &Control,
) -> Result<Vec<f32>> {
    score_pairs(&Rating::new(a, b, weights, baseline)?, pairs, control)
}
