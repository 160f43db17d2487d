//! Re-ranking of candidates: from the best scores to lists that are also diverse, or true to the query's tastes.
//!
//! Both build the list greedily: item after item, the one with the greatest value given those chosen so far. The
//! scores are brought to 0 … 1 within each row, so that they can be weighed against the other goal.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::factors::Dense;
use crate::ragged::{Rows, check_scores};
use crate::topk::{Ranked, drive};

/// What says how alike two items are.
#[derive(Clone, Copy)]
pub enum Likeness<'a> {
    /// The inner product of their vectors, a row for each item.
    Vectors(Dense<'a>),
    /// Row j holds the items that are like j; others are not like it at all.
    Neighbors(&'a Csr),
}

/// The scratch of one thread.
struct Scratch {
    /// Scores between 0 and 1.
    relevance: Vec<f64>,
    /// Of each candidate, the greatest likeness with one that was chosen; or what it adds to the categories.
    other: Vec<f64>,
    chosen: Vec<bool>,
    /// The place of each candidate in its row, one more than its number; 0 for all other items.
    places: Vec<u32>,
}

impl Scratch {
    fn new(n_places: usize) -> Self {
        Self { relevance: Vec::new(), other: Vec::new(), chosen: Vec::new(), places: vec![0; n_places] }
    }

    fn start(&mut self, scores: &[f32]) {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for &score in scores {
            least = least.min(f64::from(score));
            most = most.max(f64::from(score));
        }
        let span = if most > least { most - least } else { 1.0 };
        self.relevance.clear();
        self.relevance.extend(scores.iter().map(|&score| (f64::from(score) - least) / span));
        self.other.clear();
        self.other.resize(scores.len(), 0.0);
        self.chosen.clear();
        self.chosen.resize(scores.len(), false);
    }

    /// The candidate that is not chosen yet with the greatest `relevance · for_relevance + other · for_other`; among
    /// equals the more relevant, and then the first.
    fn choose(&mut self, for_relevance: f64, for_other: f64) -> usize {
        let (mut best, mut most) = (0, (f64::NEG_INFINITY, f64::NEG_INFINITY));
        for at in 0..self.chosen.len() {
            let relevance = self.relevance[at];
            let value = (relevance * for_relevance + self.other[at] * for_other, relevance);
            if !self.chosen[at] && value > most {
                (best, most) = (at, value);
            }
        }
        self.chosen[best] = true;
        best
    }
}

fn check(rows: Rows<'_>, scores: &[f32], strength: f64) -> Result<()> {
    check_scores(rows, scores)?;
    if !(0.0..=1.0).contains(&strength) {
        return Err(Error::parameter("strength", "must be from 0 to 1", strength));
    }
    Ok(())
}

/// Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): at most `n` items of each row, each the one with
/// the greatest `(1 − strength) · relevance − strength · (greatest likeness with an item before it)`.
pub fn mmr(
    rows: Rows<'_>,
    scores: &[f32],
    n: usize,
    likeness: Likeness<'_>,
    strength: f64,
    control: &Control,
) -> Result<Ranked> {
    check(rows, scores, strength)?;
    let (known, n_places) = match likeness {
        Likeness::Vectors(vectors) => (vectors.shape().0, 0),
        Likeness::Neighbors(near) => (near.n_rows().min(near.n_cols()), near.n_cols()),
    };
    if known < rows.n_cols() {
        let problem = format!("must know {} items", rows.n_cols());
        return Err(Error::shape("likeness", problem, known));
    }
    greedy(rows, scores, n, n_places, control, |own, row, take| {
        let items = rows.row(row);
        if let Likeness::Neighbors(_) = likeness {
            for (at, &item) in items.iter().enumerate() {
                own.places[item as usize] = at as u32 + 1;
            }
        }
        for (step, slot) in take.iter_mut().enumerate() {
            let best = if step == 0 { own.choose(1.0, 0.0) } else { own.choose(1.0 - strength, -strength) };
            *slot = best;
            match likeness {
                Likeness::Vectors(vectors) => {
                    let chosen = vectors.row(items[best] as usize);
                    for (at, &item) in items.iter().enumerate() {
                        let like = f64::from(dot(chosen, vectors.row(item as usize)));
                        own.other[at] = if step == 0 { like } else { own.other[at].max(like) };
                    }
                }
                Likeness::Neighbors(near) => {
                    let (cols, values) = near.row(items[best] as usize);
                    for at in 0..cols.len() {
                        let place = own.places[cols[at] as usize] as usize;
                        if place > 0 {
                            own.other[place - 1] = own.other[place - 1].max(f64::from(values[at]));
                        }
                    }
                }
            }
        }
        if let Likeness::Neighbors(_) = likeness {
            for &item in items {
                own.places[item as usize] = 0;
            }
        }
    })
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for block in 0..a_blocks.len().min(b_blocks.len()) {
        for lane in 0..LANES {
            sums[lane] += a_blocks[block][lane] * b_blocks[block][lane];
        }
    }
    let mut sum = 0.0;
    for s in sums {
        sum += s;
    }
    for at in 0..a_rest.len().min(b_rest.len()) {
        sum += a_rest[at] * b_rest[at];
    }
    sum
}

/// Calibration (Steck, RecSys 2018): at most `n` items of each row, each the one that makes
/// `(1 − strength) · Σ relevance − strength · KL(p ‖ q)` greatest. p is the distribution of categories in the query's
/// history, q that of the list so far, of which `smoothing` is replaced by p.
///
/// `categories` has a row for each item; those of one item should sum to 1. Each item of the history counts once. A
/// row whose history has no category is ranked by its scores.
#[expect(clippy::too_many_arguments)]
pub fn calibrate(
    rows: Rows<'_>,
    scores: &[f32],
    n: usize,
    histories: &Csr,
    categories: &Csr,
    strength: f64,
    smoothing: f64,
    control: &Control,
) -> Result<Ranked> {
    check(rows, scores, strength)?;
    if !(smoothing > 0.0 && smoothing < 1.0) {
        return Err(Error::parameter("smoothing", "must be above 0 and below 1", smoothing));
    }
    let (got, expected) = ((histories.n_rows(), histories.n_cols()), (rows.n_rows(), rows.n_cols()));
    if got != expected {
        return Err(Error::shape("history", format!("must have shape {expected:?}, queries × items"), got));
    }
    if categories.n_rows() != rows.n_cols() {
        let problem = format!("must have {} rows, one for each item", rows.n_cols());
        return Err(Error::shape("categories", problem, categories.n_rows()));
    }
    let scratch = || (vec![0.0_f64; categories.n_cols()], vec![0.0_f64; categories.n_cols()]);
    greedy_with(rows, scores, n, 0, scratch, control, |(taste, list), own, row, take| {
        let (items, history) = (rows.row(row), histories.row(row).0);
        let mut total = 0.0;
        for &item in history {
            let (of_item, weights) = categories.row(item as usize);
            for at in 0..of_item.len() {
                taste[of_item[at] as usize] += f64::from(weights[at]);
                total += f64::from(weights[at]);
            }
        }
        let strength = if total > 0.0 { strength } else { 0.0 };
        for (step, slot) in take.iter_mut().enumerate() {
            // What the list becomes with one more item differs between items only in the categories of the item.
            let size = (step + 1) as f64;
            let part = |sum: f64, p: f64| ((1.0 - smoothing) * sum / size + smoothing * p).ln();
            for (at, &item) in items.iter().enumerate() {
                let (of_item, weights) = categories.row(item as usize);
                let mut gain = 0.0;
                for at in 0..of_item.len() {
                    let category = of_item[at] as usize;
                    let (p, sum) = (taste[category] / total, list[category]);
                    if p > 0.0 {
                        gain += p * (part(sum + f64::from(weights[at]), p) - part(sum, p));
                    }
                }
                own.other[at] = gain;
            }
            let best = own.choose(1.0 - strength, strength);
            *slot = best;
            let (of_item, weights) = categories.row(items[best] as usize);
            for at in 0..of_item.len() {
                list[of_item[at] as usize] += f64::from(weights[at]);
            }
        }
        for &item in history.iter().chain(take.iter().map(|&at| &items[at])) {
            for &category in categories.row(item as usize).0 {
                (taste[category as usize], list[category as usize]) = (0.0, 0.0);
            }
        }
    })
}

/// Lists of places in their rows, chosen by `pick`, as ranked rows with the scores given.
fn greedy(
    rows: Rows<'_>,
    scores: &[f32],
    n: usize,
    n_places: usize,
    control: &Control,
    pick: impl Fn(&mut Scratch, usize, &mut [usize]) + Sync,
) -> Result<Ranked> {
    greedy_with(rows, scores, n, n_places, || (), control, |(), own, row, take| pick(own, row, take))
}

fn greedy_with<X>(
    rows: Rows<'_>,
    scores: &[f32],
    n: usize,
    n_places: usize,
    scratch: impl Fn() -> X + Sync,
    control: &Control,
    pick: impl Fn(&mut X, &mut Scratch, usize, &mut [usize]) + Sync,
) -> Result<Ranked> {
    let longest = (0..rows.n_rows()).map(|row| rows.row(row).len()).max().unwrap_or(0);
    let n = n.min(longest);
    drive(
        rows.n_rows(),
        n,
        |row| (rows.row(row).len() * n) as u64,
        control,
        || (scratch(), Scratch::new(n_places), vec![0; n]),
        |(extra, own, take), row, cols, values| {
            let (items, scores) = (rows.row(row), &scores[rows.range(row)]);
            let take = &mut take[..n.min(items.len())];
            own.start(scores);
            pick(extra, own, row, take);
            for (slot, &at) in take.iter().enumerate() {
                (cols[slot], values[slot]) = (items[at], scores[at]);
            }
            take.len()
        },
    )
}
