//! Rankings that look at no history: one order for everybody, or a random one for each.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::topk::{Best, Filter, Ranked, RowScorer, Scores, drive, key, score_pairs, top_k};

/// The best `k` of one list of scores for every row: walks the common order and steps over what is excluded.
/// An item that scores 0 is no candidate.
pub fn top_k_common(
    scores: &[f32],
    n_rows: usize,
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    let n_cols = scores.len();
    if let Some(at) = scores.iter().position(|s| !s.is_finite()) {
        return Err(Error::values("scores", "must be finite", scores[at]).at("position", at));
    }
    filter.check(n_rows, n_cols)?;
    let allowed = |col: usize| filter.allowed.is_none_or(|mask| mask[col]);
    let mut order: Vec<usize> = (0..n_cols).filter(|&c| scores[c] != 0.0 && allowed(c)).collect();
    order.sort_unstable_by_key(|&c| std::cmp::Reverse(key(scores[c], c)));
    let k = k.min(n_cols);
    // The mark of the row that last left a column out, one more than its number.
    let scratch = || (vec![0_u32; n_cols], Best::new(k, filter.threshold));
    drive(
        n_rows,
        k,
        |_| k as u64,
        control,
        scratch,
        |(marks, best), row, cols, values| {
            let mark = row as u32 + 1;
            for lists in filter.exclude {
                lists.row(row).0.iter().for_each(|&c| marks[c as usize] = mark);
            }
            if let Some(lists) = filter.allow {
                for &c in lists.row(row).0 {
                    let c = c as usize;
                    if marks[c] != mark && scores[c] != 0.0 && allowed(c) {
                        best.offer(scores[c], c);
                    }
                }
            } else {
                order.iter().filter(|&&c| marks[c] != mark).take(k).for_each(|&c| best.offer(scores[c], c));
            }
            best.take(cols, values)
        },
    )
}

/// A score in (0, 1] for every pair of a row's key and a column, the same whenever it is asked for.
struct Random<'a> {
    seed: u64,
    keys: &'a [u64],
    n_cols: usize,
}

/// The finalizer of SplitMix64 (Steele et al., OOPSLA 2014).
#[inline(always)]
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl RowScorer for Random<'_> {
    fn n_rows(&self) -> usize {
        self.keys.len()
    }

    fn n_cols(&self) -> usize {
        self.n_cols
    }

    fn work(&self, _row: usize) -> u64 {
        self.n_cols as u64
    }

    #[inline(always)]
    fn score(&self, row: usize, scores: &mut Scores) {
        let start = mix(mix(self.seed) ^ self.keys[row]);
        for (col, s) in scores.dense().iter_mut().enumerate() {
            let bits = mix(start.wrapping_add((col as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            *s = ((bits >> 40) + 1) as f32 / (1 << 24) as f32;
        }
    }
}

/// The best `k` of random scores, one row for each of `keys`.
pub fn top_k_random(
    seed: u64,
    keys: &[u64],
    n_cols: usize,
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    top_k(&Random { seed, keys, n_cols }, k, filter, control)
}

/// The random scores at the places that `pairs` names.
pub fn score_random(seed: u64, keys: &[u64], pairs: &Csr, control: &Control) -> Result<Vec<f32>> {
    score_pairs(&Random { seed, keys, n_cols: pairs.n_cols() }, pairs, control)
}
