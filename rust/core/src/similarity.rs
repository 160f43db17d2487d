//! Similarity of the columns or the rows of a matrix, the best `k` for each, without a dense n × n.
//!
//! Every measure is a sparse product and a formula over it. With `s` the product of the two entities, `n` the
//! number of their entries, the score is
//!
//! ```text
//! s · scale / (overlap · s + left_add[i] + right_add[j] + left_mul[i] · right_mul[j] + shrink)
//! ```
//!
//! A new measure is a new arm of [`Prepared::new`].

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::product::Product;
use crate::topk::{Filter, Lanes, Order, Ranked, RowScorer, Scores, lanes, score_pairs, top_k};
use rayon::prelude::*;

/// How alike two entities are. `x` are values, `n` numbers of entries, `∩` entries in common; stored zeros
/// count as absent, except in the two measures that subtract a mean, where a zero is a rating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// `Σ x·y`.
    Dot,
    /// `n(i∩j)`: dot of the pattern.
    Cocount,
    /// `Σ x·y / (‖x‖ ‖y‖)`.
    Cosine,
    /// `Σ x·y / (‖x‖^2α ‖y‖^2(1-α))` (Aiolli, RecSys 2013).
    AsymmetricCosine {
        /// 0.5 is the cosine.
        alpha: f64,
    },
    /// Cosine after subtracting from every value the mean of its other side: a user's mean, for items
    /// (Sarwar et al., WWW 2001).
    AdjustedCosine,
    /// Cosine after subtracting from every value the entity's own mean.
    Pearson,
    /// `n(i∩j) / (n(i) + n(j) − n(i∩j))`.
    Jaccard,
    /// `2 n(i∩j) / (n(i) + n(j))`.
    Dice,
    /// `n(i∩j) / (n(i∩j) + α n(i∖j) + β n(j∖i))`.
    Tversky {
        /// Weight of what only the row's entity has.
        alpha: f64,
        /// Weight of what only the column's entity has.
        beta: f64,
    },
    /// `n(i∩j) / (n(i) n(j)^α)`: with α = 0 the share of i's users who have j (Deshpande & Karypis, 2004).
    ConditionalProbability {
        /// Damping of popular columns.
        alpha: f64,
    },
    /// `N n(i∩j) / (n(i) n(j))`, N the number of users.
    Lift,
    /// Walk of three steps: `Σ_u (x_ui/Σ_u x_ui)^α (x_uj/Σ_j x_uj)^α` (Cooper et al., WWW 2014).
    P3Alpha {
        /// Exponent of the transition probabilities.
        alpha: f64,
    },
    /// P3alpha divided by `n(j)^β` (Paudel et al., TiiS 2017).
    Rp3Beta {
        /// Exponent of the transition probabilities.
        alpha: f64,
        /// Exponent of the popularity penalty.
        beta: f64,
    },
}

impl Measure {
    /// By its public name; `alpha` and `beta` where the measure has them, else they must be `None`.
    pub fn parse(name: &str, alpha: Option<f64>, beta: Option<f64>) -> Result<Self> {
        let parameters = |defaults: [Option<f64>; 2]| -> Result<[f64; 2]> {
            let mut out = [0.0; 2];
            for (((slot, given), default), parameter) in
                out.iter_mut().zip([alpha, beta]).zip(defaults).zip(["alpha", "beta"])
            {
                *slot = match (given, default) {
                    (None, default) => default.unwrap_or(0.0),
                    (Some(v), Some(_)) if v.is_finite() && v >= 0.0 => v,
                    (Some(v), Some(_)) => {
                        return Err(Error::invalid(parameter, format_args!("must be at least 0, got {v}")));
                    }
                    (Some(v), None) => {
                        let text =
                            format_args!("the measure {name:?} has no such parameter, got {v}").to_string();
                        return Err(Error::invalid(parameter, text));
                    }
                };
            }
            Ok(out)
        };
        let none = || parameters([None, None]);
        Ok(match name {
            "dot" => none().map(|_| Self::Dot)?,
            "cocount" => none().map(|_| Self::Cocount)?,
            "cosine" => none().map(|_| Self::Cosine)?,
            "adjusted_cosine" => none().map(|_| Self::AdjustedCosine)?,
            "pearson" => none().map(|_| Self::Pearson)?,
            "jaccard" => none().map(|_| Self::Jaccard)?,
            "dice" => none().map(|_| Self::Dice)?,
            "lift" => none().map(|_| Self::Lift)?,
            "asymmetric_cosine" => {
                parameters([Some(0.5), None]).map(|[alpha, _]| Self::AsymmetricCosine { alpha })?
            }
            "tversky" => {
                parameters([Some(1.0), Some(1.0)]).map(|[alpha, beta]| Self::Tversky { alpha, beta })?
            }
            "conditional_probability" => {
                parameters([Some(0.0), None]).map(|[alpha, _]| Self::ConditionalProbability { alpha })?
            }
            "p3alpha" => parameters([Some(1.0), None]).map(|[alpha, _]| Self::P3Alpha { alpha })?,
            "rp3beta" => {
                parameters([Some(1.0), Some(0.5)]).map(|[alpha, beta]| Self::Rp3Beta { alpha, beta })?
            }
            _ => {
                let text = format!("unknown measure {name:?}; there are {}", Self::NAMES.join(", "));
                return Err(Error::invalid("measure", text));
            }
        })
    }

    /// The public names.
    pub const NAMES: [&'static str; 13] = [
        "cosine",
        "dot",
        "cocount",
        "jaccard",
        "dice",
        "tversky",
        "asymmetric_cosine",
        "adjusted_cosine",
        "pearson",
        "conditional_probability",
        "lift",
        "p3alpha",
        "rp3beta",
    ];

    fn is_centred(self) -> bool {
        matches!(self, Self::AdjustedCosine | Self::Pearson)
    }

    fn is_binary(self) -> bool {
        use Measure::*;
        matches!(self, Cocount | Jaccard | Dice | Tversky { .. } | ConditionalProbability { .. } | Lift)
    }

    fn has_denominator(self) -> bool {
        !matches!(self, Self::Dot | Self::Cocount | Self::P3Alpha { .. })
    }
}

/// What is compared: columns or rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// The columns.
    Items,
    /// The rows.
    Users,
}

/// The two factors of the product and the terms of the formula.
struct Prepared {
    /// entities × others
    left: Csr,
    /// others × entities
    right: Csr,
    formula: Formula,
}

#[derive(Default)]
struct Formula {
    scale: f32,
    overlap: f32,
    shrink: f32,
    left_add: Vec<f32>,
    right_add: Vec<f32>,
    left_mul: Vec<f32>,
    right_mul: Vec<f32>,
}

/// One side's matrix, entities × others, after the measure's own preparation.
fn prepare_side(x: &Csr, measure: Measure, other_means: &[f64]) -> Csr {
    let x = if measure.is_centred() { None } else { x.without_zeros() }.unwrap_or_else(|| x.clone());
    if measure.is_binary() {
        return x.with_values(vec![1.0; x.nnz()]);
    }
    match measure {
        Measure::AdjustedCosine => {
            x.with_values(x.map_values(|_, other, v| (f64::from(v) - other_means[other]) as f32))
        }
        Measure::Pearson => {
            let means = means(&x.row_sums(f64::from), (0..x.n_rows()).map(|row| x.row_len(row)));
            x.with_values(x.map_values(|own, _, v| (f64::from(v) - means[own]) as f32))
        }
        _ => x,
    }
}

fn means(sums: &[f64], counts: impl Iterator<Item = usize>) -> Vec<f64> {
    sums.iter().zip(counts).map(|(s, n)| if n == 0 { 0.0 } else { s / n as f64 }).collect()
}

/// Factors of a denominator. That of an entity without anything is 1: its products are 0 anyway.
fn powers(values: &[f64], exponent: f64) -> Vec<f32> {
    let power = |&v: &f64| if v == 0.0 { 1.0 } else { v.powf(exponent) as f32 };
    values.par_iter().with_min_len(1024).map(power).collect()
}

impl Prepared {
    /// `x` is entities × others; `queries`, in the same columns, are compared with the rows of `x` instead of
    /// these with each other.
    fn new(x: &Csr, queries: Option<&Csr>, measure: Measure, shrink: f64) -> Result<Self> {
        if let Some(q) = queries.filter(|q| q.n_cols() != x.n_cols()) {
            return Err(Error::Shape(format!("queries has {} columns but x has {}", q.n_cols(), x.n_cols())));
        }
        if !(shrink.is_finite() && shrink >= 0.0) {
            return Err(Error::invalid("shrink", format_args!("must be at least 0, got {shrink}")));
        }
        if shrink > 0.0 && !measure.has_denominator() {
            let text = format_args!("{measure:?} has no denominator to shrink by, got {shrink}").to_string();
            return Err(Error::invalid("shrink", text));
        }
        let other_means = if measure == Measure::AdjustedCosine {
            means(&x.column_sums(f64::from), x.column_counts().iter().map(|&n| n as usize))
        } else {
            Vec::new()
        };
        let (mut left, mut right) = (None, prepare_side(x, measure, &other_means));
        if let Some(q) = queries {
            left = Some(prepare_side(q, measure, &other_means));
        }
        let counts = |m: &Csr| -> Vec<f64> { (0..m.n_rows()).map(|row| m.row_len(row) as f64).collect() };
        let mut formula = Formula { scale: 1.0, shrink: shrink as f32, ..Formula::default() };
        {
            let rows = left.as_ref().unwrap_or(&right);
            let squares = |m: &Csr| m.row_sums(|v| f64::from(v) * f64::from(v));
            // No product of two entities is larger than the larger of their squared lengths.
            for (name, m) in [("queries", left.as_ref()), ("x", Some(&right))] {
                let largest = m.map_or(0.0, |m| squares(m).into_iter().fold(0.0, f64::max));
                if largest > f64::from(f32::MAX) {
                    let text = format!("values too large: a squared length of {largest:e} exceeds float32");
                    return Err(Error::invalid(name, text));
                }
            }
            let mut tversky = |alpha: f64, beta: f64, scale: f32| {
                formula.scale = scale;
                formula.overlap = scale * (1.0 - alpha - beta) as f32;
                formula.left_add =
                    counts(rows).iter().map(|n| (f64::from(scale) * alpha * n) as f32).collect();
                formula.right_add =
                    counts(&right).iter().map(|n| (f64::from(scale) * beta * n) as f32).collect();
            };
            match measure {
                Measure::Dot | Measure::Cocount | Measure::P3Alpha { .. } => {}
                Measure::Cosine | Measure::AdjustedCosine | Measure::Pearson => {
                    formula.left_mul = powers(&squares(rows), 0.5);
                    formula.right_mul = powers(&squares(&right), 0.5);
                }
                Measure::AsymmetricCosine { alpha } => {
                    if alpha > 1.0 {
                        return Err(Error::invalid("alpha", format_args!("must be in 0 to 1, got {alpha}")));
                    }
                    formula.left_mul = powers(&squares(rows), alpha);
                    formula.right_mul = powers(&squares(&right), 1.0 - alpha);
                }
                Measure::Jaccard => tversky(1.0, 1.0, 1.0),
                Measure::Dice => tversky(0.5, 0.5, 2.0),
                Measure::Tversky { alpha, beta } => tversky(alpha, beta, 1.0),
                Measure::ConditionalProbability { alpha } => {
                    formula.left_mul = powers(&counts(rows), 1.0);
                    formula.right_mul = powers(&counts(&right), alpha);
                }
                Measure::Lift => {
                    formula.scale = x.n_cols() as f32;
                    formula.left_mul = powers(&counts(rows), 1.0);
                    formula.right_mul = powers(&counts(&right), 1.0);
                }
                Measure::Rp3Beta { beta, .. } => {
                    formula.left_mul = vec![1.0; rows.n_rows()];
                    formula.right_mul = powers(&counts(&right), beta);
                }
            }
        }
        if let Measure::P3Alpha { alpha } | Measure::Rp3Beta { alpha, .. } = measure {
            let rows = left.as_ref().unwrap_or(&right);
            let left_name = if queries.is_some() { "queries" } else { "x" };
            for (name, m) in [(left_name, rows), ("x", &right)] {
                if let Some(v) = m.values().iter().find(|v| **v < 0.0) {
                    return Err(Error::invalid(
                        name,
                        format_args!("a walk needs weights of at least 0, got {v}"),
                    ));
                }
            }
            let own_sums = rows.row_sums(f64::from);
            let other_sums = right.column_sums(f64::from);
            let walked = rows.with_values(
                rows.map_values(|own, _, v| ((f64::from(v) / own_sums[own]).powf(alpha)) as f32),
            );
            right = right.with_values(
                right.map_values(|_, other, v| (f64::from(v) / other_sums[other]).powf(alpha) as f32),
            );
            left = Some(walked);
        }
        let transposed = right.transpose();
        Ok(Self { left: left.unwrap_or(right), right: transposed, formula })
    }
}

/// A product whose sums become similarities.
struct Similarity<'a> {
    product: Product<'a>,
    formula: &'a Formula,
    /// The columns' terms of the formula, where it has them, in blocks and in the product's order.
    right_add: Vec<Lanes>,
    right_mul: Vec<Lanes>,
    leave_out_self: bool,
}

impl RowScorer for Similarity<'_> {
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
    fn order(&self) -> Option<&Order> {
        self.product.order()
    }

    #[inline(always)]
    fn score(&self, row: usize, scores: &mut Scores) {
        self.product.score(row, scores);
        if self.leave_out_self {
            scores.remove(self.product.order().map_or(row, |o| o.places[row] as usize));
        }
    }

    #[inline(always)]
    fn finish(&self, row: usize, block: usize, mut sums: Lanes, _weights: &Lanes) -> Lanes {
        let f = self.formula;
        if let Some(right) = self.right_mul.get(block) {
            let left = f.left_mul[row];
            for (s, right) in sums.iter_mut().zip(right) {
                *s = *s * f.scale / (left * right + f.shrink);
            }
        } else if let Some(right) = self.right_add.get(block) {
            let left = f.left_add[row] + f.shrink;
            for (s, right) in sums.iter_mut().zip(right) {
                // Where nothing is in common the denominator may be 0 too.
                *s = *s * f.scale / (f.overlap * *s + left + right).max(f32::MIN_POSITIVE);
            }
        }
        sums
    }
}

/// What to compare, and how.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// The measure.
    pub measure: Measure,
    /// What is compared.
    pub axis: Axis,
    /// Added to the denominator: pulls similarities that rest on little towards 0.
    pub shrink: f64,
}

fn with_similarity<R>(
    x: &Csr,
    queries: Option<&Csr>,
    request: Request,
    then: impl FnOnce(&Similarity<'_>) -> Result<R>,
) -> Result<R> {
    let entities = match request.axis {
        Axis::Users => x.clone(),
        Axis::Items => x.transpose(),
    };
    let prepared = Prepared::new(&entities, queries, request.measure, request.shrink)?;
    drop(entities);
    let product = Product::new(("x", "x"), &prepared.left, &prepared.right)?.reordered(&prepared.right);
    let in_order = |terms: &[f32]| match product.order() {
        Some(order) if !terms.is_empty() => lanes(order.columns.iter().map(|&c| terms[c as usize]), 1.0),
        _ => lanes(terms.iter().copied(), 1.0),
    };
    let formula = &prepared.formula;
    let (right_add, right_mul) = (in_order(&formula.right_add), in_order(&formula.right_mul));
    then(&Similarity { product, formula, right_add, right_mul, leave_out_self: queries.is_none() })
}

/// The `k` most similar entities of every entity of `x` (itself left out), or of every row of `queries`
/// (entities × others, as `x` is after its transposition for [`Axis::Items`]).
pub fn top_k_similar(
    x: &Csr,
    queries: Option<&Csr>,
    k: usize,
    request: Request,
    threshold: Option<f32>,
    control: &Control,
) -> Result<Ranked> {
    let filter = Filter { threshold, ..Filter::default() };
    with_similarity(x, queries, request, |similarity| top_k(similarity, k, &filter, control))
}

/// The similarities at the places that `pairs` (queries or entities × entities) names, 0 where there is none.
pub fn score_similar(
    x: &Csr,
    queries: Option<&Csr>,
    request: Request,
    pairs: &Csr,
    control: &Control,
) -> Result<Vec<f32>> {
    with_similarity(x, queries, request, |similarity| score_pairs(similarity, pairs, control))
}
