//! Similarity of the columns or the rows of a matrix, the best `k` for each, without a dense n × n.
//!
//! Every measure is a sparse product of values (`prepare`) and a formula over it ([`formula`]); a new measure is
//! an arm in each. Entities are compared with each other pair by pair ([`pairs`]), or with others given as
//! queries, row by row ([`crate::product`]).

mod formula;
mod head;
mod long_rows;
mod narrow;
mod pairs;

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result, not_negative};
use crate::product::Product;
use crate::simd::Level;
use crate::topk::{Filter, Lanes, Order, Ranked, RowScorer, Scores, top_k};
use formula::{Blocks, Formula, Terms};
use narrow::{Id, Narrow, Value};
pub use pairs::{Plan, Ranges};
use pairs::{Popularity, top_k_pairs};
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
                    (Some(v), Some(_)) => {
                        not_negative(&[(parameter, v)])?;
                        v
                    }
                    (Some(v), None) => {
                        let problem = format!("the measure '{name}' has no such parameter");
                        return Err(Error::parameter(parameter, problem, v));
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
            _ => return Err(Error::choice("measure", name, &Self::NAMES)),
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

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dot => "dot",
            Self::Cocount => "cocount",
            Self::Cosine => "cosine",
            Self::AdjustedCosine => "adjusted_cosine",
            Self::Pearson => "pearson",
            Self::AsymmetricCosine { .. } => "asymmetric_cosine",
            Self::Jaccard => "jaccard",
            Self::Dice => "dice",
            Self::Tversky { .. } => "tversky",
            Self::ConditionalProbability { .. } => "conditional_probability",
            Self::Lift => "lift",
            Self::P3Alpha { .. } => "p3alpha",
            Self::Rp3Beta { .. } => "rp3beta",
        }
    }

    fn is_centered(self) -> bool {
        matches!(self, Self::AdjustedCosine | Self::Pearson)
    }

    fn is_binary(self) -> bool {
        use Measure::*;
        matches!(self, Cocount | Jaccard | Dice | Tversky { .. } | ConditionalProbability { .. } | Lift)
    }

    fn is_walk(self) -> bool {
        matches!(self, Self::P3Alpha { .. } | Self::Rp3Beta { .. })
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

/// What to compare, and how.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// The measure.
    pub measure: Measure,
    /// What is compared.
    pub axis: Axis,
    /// Added to the denominator: pulls similarities that rest on little toward 0.
    pub shrink: f64,
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
    match queries {
        None => top_k_similar_at(Level::current(), None, x, k, request, threshold, control),
        Some(queries) => top_k_queries(x, queries, k, request, threshold, control),
    }
}

// --- Entities with each other ---------------------------------------------------------------------------

/// [`top_k_similar`] without queries, on a given instruction set, with given ranges.
pub fn top_k_similar_at(
    level: Level,
    ranges: Option<Ranges>,
    x: &Csr,
    k: usize,
    request: Request,
    threshold: Option<f32>,
    control: &Control,
) -> Result<Ranked> {
    Filter { threshold, ..Filter::default() }.check(0, 0)?;
    let z = match request.axis {
        Axis::Items => x.clone(),
        Axis::Users => x.transpose(),
    };
    let z = if request.measure.is_centered() { z } else { z.without_zeros().unwrap_or(z) };
    let job = Job { level, ranges, k, threshold, request, control };
    if z.n_cols() <= 1 << u16::BITS { job.run::<u16>(&z) } else { job.run::<u32>(&z) }
}

/// What is passed along while the types of ids and values are chosen.
struct Job<'a> {
    level: Level,
    ranges: Option<Ranges>,
    k: usize,
    threshold: Option<f32>,
    request: Request,
    control: &'a Control,
}

impl Job<'_> {
    /// `z` is others × entities.
    fn run<I: Id>(&self, z: &Csr) -> Result<Ranked> {
        let measure = self.request.measure;
        if measure.is_binary() {
            return self.pairs::<I, ()>(z, 1.0, 1, |_, _, _| ());
        }
        match measure {
            Measure::AdjustedCosine => {
                let means = means(&z.row_sums(f64::from), (0..z.n_rows()).map(|row| z.row_len(row)));
                self.floats::<I>(z, |row, _, v| (f64::from(v) - means[row]) as f32)
            }
            Measure::Pearson => {
                let counts = z.column_counts();
                let means = means(&z.column_sums(f64::from), counts.iter().map(|&n| n as usize));
                self.floats::<I>(z, |_, col, v| (f64::from(v) - means[col]) as f32)
            }
            Measure::P3Alpha { alpha } | Measure::Rp3Beta { alpha, .. } => {
                no_negatives("x", z)?;
                let roots =
                    |sums: Vec<f64>| -> Vec<f64> { sums.into_iter().map(|s| s.sqrt().recip()).collect() };
                let (rows, cols) = (roots(z.row_sums(f64::from)), roots(z.column_sums(f64::from)));
                self.floats::<I>(z, |row, col, v| walked(f64::from(v) * rows[row] * cols[col], alpha))
            }
            _ => match Codes::of(z.values(), z.n_rows()) {
                Some(codes) if codes.largest == 1 => self.pairs::<I, ()>(z, codes.step, 1, |_, _, _| ()),
                Some(codes) => self.pairs::<I, u8>(z, codes.step, codes.largest, |_, _, v| codes.of_value(v)),
                None => self.floats::<I>(z, |_, _, v| v),
            },
        }
    }

    fn floats<I: Id>(&self, z: &Csr, value: impl Fn(usize, usize, f32) -> f32 + Sync) -> Result<Ranked> {
        self.pairs::<I, f32>(z, 1.0, 1, value)
    }

    /// Values are `step` times what `value` gives, whose codes are at most `largest`.
    fn pairs<I: Id, V: Value>(
        &self,
        z: &Csr,
        step: f32,
        largest: u32,
        value: impl Fn(usize, usize, f32) -> V + Sync,
    ) -> Result<Ranked> {
        let popularity = Popularity::new(z);
        let narrow = Narrow::<I, V>::new(z, &popularity.order, value);
        let Request { measure, shrink, .. } = self.request;
        let sums = if measure.is_walk() { z.column_sums(f64::from) } else { Vec::new() };
        let counts = popularity.by_column().map(|n| n as f64).collect();
        let step = f64::from(step);
        let squares = narrow.column_squares(&popularity.order).iter().map(|s| s * step * step).collect();
        let terms = Terms { counts, squares, sums };
        check_squares("x", &terms)?;
        let formula =
            Formula::new(measure, shrink, &terms, &terms, z.n_rows())?.in_units((step * step) as f32);
        let Self { level, ranges, k, threshold, control, .. } = *self;
        top_k_pairs(level, &narrow, &popularity, &formula, largest, k, threshold, ranges, control)
    }
}

/// What [`top_k_similar`] without queries is going to cost on so many threads.
pub fn plan(x: &Csr, k: usize, request: Request, n_threads: usize) -> Plan {
    let rows = (0..x.n_rows()).map(|row| x.row_len(row) as i64);
    let (popularity, n_rows) = match request.axis {
        Axis::Items => (Popularity::of(rows.map(|n| n as u64), &x.column_counts()), x.n_rows()),
        Axis::Users => {
            let rows: Vec<i64> = rows.collect();
            (Popularity::of(x.column_counts().iter().map(|&n| n as u64), &rows), x.n_cols())
        }
    };
    let measure = request.measure;
    let codes = if measure.is_binary() || measure.is_centered() || measure.is_walk() {
        None
    } else {
        Codes::of(x.values(), n_rows)
    };
    let ones = measure.is_binary() || codes.as_ref().is_some_and(|c| c.largest == 1);
    let narrow = popularity.order.columns.len() <= 1 << u16::BITS;
    let mut plan = match (narrow, ones, codes.is_some()) {
        (true, true, _) => popularity.plan::<u16, ()>(k, n_threads),
        (true, false, true) => popularity.plan::<u16, u8>(k, n_threads),
        (true, false, false) => popularity.plan::<u16, f32>(k, n_threads),
        (false, true, _) => popularity.plan::<u32, ()>(k, n_threads),
        (false, false, true) => popularity.plan::<u32, u8>(k, n_threads),
        (false, false, false) => popularity.plan::<u32, f32>(k, n_threads),
    };
    if request.axis == Axis::Users {
        plan.bytes += (x.nnz() * 8 + x.n_cols() * 8) as u64; // the transposed matrix
    }
    plan
}

/// Values that are small multiples of a common step.
struct Codes {
    step: f32,
    largest: u32,
    /// By the upper half of a value's bits; the lower half is 0.
    table: Vec<u8>,
}

/// Codes are bytes of seven bits, so that sixteen bits hold the sum of two products.
const LARGEST_CODE: f64 = 127.0;

impl Codes {
    /// `None` where the values are not of that kind, or their sums could exceed an integer of 32 bits.
    fn of(values: &[f32], n_rows: usize) -> Option<Self> {
        // Distinct values are looked for among those that half of their bits tell.
        let seen = values
            .par_chunks(1 << 16)
            .try_fold(
                || vec![false; 1 << 16],
                |mut seen, values| {
                    for v in values {
                        let bits = v.to_bits();
                        if bits & 0xffff != 0 || *v <= 0.0 {
                            return None;
                        }
                        seen[(bits >> 16) as usize] = true;
                    }
                    Some(seen)
                },
            )
            .try_reduce(
                || vec![false; 1 << 16],
                |mut a, b| {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
                    Some(a)
                },
            )?;
        let distinct = || {
            let halves = seen.iter().enumerate().filter(|(_, seen)| **seen);
            halves.map(|(half, _)| (half, f64::from(f32::from_bits((half as u32) << 16))))
        };
        let mut step = 0.0;
        for (_, value) in distinct() {
            let (mut a, mut b) = (value, step);
            while b != 0.0 {
                (a, b) = (b, a % b);
            }
            step = a;
            if value > LARGEST_CODE * step {
                return None;
            }
        }
        let mut table = vec![0; 1 << 16];
        let mut largest = 0;
        for (half, value) in distinct() {
            let code = value / step;
            if code > LARGEST_CODE {
                return None;
            }
            table[half] = code as u8;
            largest = largest.max(code as u32);
        }
        let most = n_rows as u64 * u64::from(largest * largest);
        (step > 0.0 && most <= i32::MAX as u64).then_some(Self { step: step as f32, largest, table })
    }

    fn of_value(&self, value: f32) -> u8 {
        self.table[(value.to_bits() >> 16) as usize]
    }
}

// --- Queries with entities ------------------------------------------------------------------------------

/// The two factors of a product, and the formula over it.
struct Prepared {
    /// queries × others
    left: Csr,
    /// others × entities
    right: Csr,
    formula: Formula,
}

fn means(sums: &[f64], counts: impl Iterator<Item = usize>) -> Vec<f64> {
    sums.iter().zip(counts).map(|(s, n)| if n == 0 { 0.0 } else { s / n as f64 }).collect()
}

fn no_negatives(name: &str, x: &Csr) -> Result<()> {
    match x.values().iter().find(|v| **v < 0.0) {
        Some(&v) => Err(Error::values(name, "a walk needs weights of at least 0", v)),
        None => Ok(()),
    }
}

/// A factor of a walk's probability.
fn walked(value: f64, alpha: f64) -> f32 {
    (if alpha == 1.0 { value } else { value.powf(alpha) }) as f32
}

/// No product of two entities is larger than the larger of their squared lengths.
fn check_squares(name: &str, terms: &Terms) -> Result<()> {
    let largest = terms.squares.iter().copied().fold(0.0, f64::max);
    if largest > f64::from(f32::MAX) {
        return Err(Error::overflow(name, "values too large: a squared length exceeds float32", largest));
    }
    Ok(())
}

/// What a measure asks of the rows of a matrix of entities × others.
fn terms_of_rows(name: &str, x: &Csr, measure: Measure) -> Result<Terms> {
    let terms = Terms {
        counts: (0..x.n_rows()).map(|row| x.row_len(row) as f64).collect(),
        squares: x.row_sums(|v| f64::from(v) * f64::from(v)),
        sums: if measure.is_walk() { x.row_sums(f64::from) } else { Vec::new() },
    };
    check_squares(name, &terms)?;
    Ok(terms)
}

/// One side's matrix, entities × others, after the measure's own preparation of the values.
fn prepare_side(x: &Csr, measure: Measure, other_means: &[f64]) -> Csr {
    let x = if measure.is_centered() { None } else { x.without_zeros() }.unwrap_or_else(|| x.clone());
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

impl Prepared {
    /// `x` is entities × others, `queries` has the same columns.
    fn new(x: &Csr, queries: &Csr, request: Request) -> Result<Self> {
        let Request { measure, shrink, .. } = request;
        if queries.n_cols() != x.n_cols() {
            let problem = format!("must have {} columns like x", x.n_cols());
            return Err(Error::shape("queries", problem, queries.n_cols()));
        }
        let other_means = if measure == Measure::AdjustedCosine {
            means(&x.column_sums(f64::from), x.column_counts().iter().map(|&n| n as usize))
        } else {
            Vec::new()
        };
        let (mut left, mut right) =
            (prepare_side(queries, measure, &other_means), prepare_side(x, measure, &other_means));
        let (of_left, of_right) =
            (terms_of_rows("queries", &left, measure)?, terms_of_rows("x", &right, measure)?);
        let formula = Formula::new(measure, shrink, &of_left, &of_right, x.n_cols())?;
        if let Measure::P3Alpha { alpha } | Measure::Rp3Beta { alpha, .. } = measure {
            no_negatives("queries", &left)?;
            no_negatives("x", &right)?;
            // The formula puts in the other square root of an entity's own sum.
            let others = right.column_sums(f64::from);
            left = left.with_values(
                left.map_values(|own, _, v| walked(f64::from(v) / of_left.sums[own].sqrt(), alpha)),
            );
            right = right.with_values(right.map_values(|own, other, v| {
                walked(f64::from(v) / (others[other] * of_right.sums[own].sqrt()), alpha)
            }));
        }
        Ok(Self { left, right: right.transpose(), formula })
    }
}

/// A product whose sums become similarities.
struct Similarity<'a> {
    product: Product<'a>,
    formula: &'a Formula,
    /// The columns' terms of the formula, in the product's order.
    columns: Blocks,
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
    }

    #[inline(always)]
    fn finish(&self, row: usize, block: usize, sums: Lanes, _weights: &Lanes) -> Lanes {
        self.formula.apply(self.formula.left.of(row), self.columns.at(block), sums)
    }
}

fn top_k_queries(
    x: &Csr,
    queries: &Csr,
    k: usize,
    request: Request,
    threshold: Option<f32>,
    control: &Control,
) -> Result<Ranked> {
    let entities = match request.axis {
        Axis::Users => x.clone(),
        Axis::Items => x.transpose(),
    };
    let Prepared { left, right, formula } = Prepared::new(&entities, queries, request)?;
    drop(entities);
    let product = Product::new(("x", "x"), &left, &right)?.reordered(&right);
    let columns = formula.right.blocks(product.order());
    let filter = Filter { threshold, ..Filter::default() };
    top_k(&Similarity { product, formula: &formula, columns }, k, &filter, control)
}
