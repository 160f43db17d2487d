//! Ratings as mean, biases and factors, by alternating least squares (Koren, Bell & Volinsky, IEEE Computer 2009; the
//! regularization that grows with the number of ratings: Zhou et al., AAIM 2008).
//!
//! ```text
//! minimize  Σ (r_ui − mean − b_u − b_i − p_u·q_i)²  +  Σ_u n_u^ν (reg |p_u|² + reg_biases b_u²)  +  the same of items
//! ```
//!
//! A bias is one more factor, whose partner is always 1: each side is a ridge regression on the other.

use crate::biases::{Biases, Settings as BiasSettings, biases};
use crate::control::Control;
use crate::csr::Csr;
use crate::dense::Random;
use crate::error::{Error, Result, at_least_one, not_negative};
use crate::factors::Dense;
use crate::ridge::{Problem, Solver, Table, Terms, penalties_fit};
use crate::simd::Level;

/// What is fitted, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Factors beside the biases.
    pub k: usize,
    /// Regularization.
    pub penalties: Penalties,
    /// Alternations.
    pub epochs: usize,
    /// Of the random start.
    pub seed: u64,
}

/// Regularization of one row, times its number of ratings to the power of `nu`.
#[derive(Debug, Clone, Copy)]
pub struct Penalties {
    /// Of factors.
    pub reg: f64,
    /// Of biases.
    pub reg_biases: f64,
    /// How far both grow with the number of ratings.
    pub nu: f64,
}

/// `rating ≈ mean + users[k] + items[k] + users[..k] · items[..k]`.
#[derive(Debug, PartialEq)]
pub struct BiasedFactors {
    /// Of all ratings; 0 where there are none.
    pub mean: f64,
    /// n_rows × (k + 1): the factors, then the bias.
    pub users: Vec<f32>,
    /// n_cols × (k + 1).
    pub items: Vec<f32>,
}

impl Penalties {
    fn check(&self, x: &Csr) -> Result<()> {
        not_negative(&[("reg", self.reg), ("reg_biases", self.reg_biases), ("nu", self.nu)])?;
        self.check_growth(x)
    }

    /// Of the penalties, with the rows of `x`.
    fn check_growth(&self, x: &Csr) -> Result<()> {
        penalties_fit(x, 0.0, &[("reg", self.reg), ("reg_biases", self.reg_biases)], self.nu)
    }
}

/// One side, as the other is fitted to it.
struct Side {
    /// Factors, then 1.
    table: Table,
    biases: Vec<f32>,
}

impl Side {
    fn new(n_rows: usize, k: usize) -> Self {
        let mut side = Self { table: Table::new(n_rows, k + 1), biases: vec![0.0; n_rows] };
        side.table.for_each_row(|_, row| row[k] = 1.0);
        side
    }

    /// Fits this side, whose ratings are the rows of `x`, which errors call `name`.
    #[expect(clippy::too_many_arguments)]
    fn fit(
        &mut self,
        name: &str,
        x: &Csr,
        mean: f64,
        other: &Self,
        k: usize,
        by: Penalties,
        control: &Control,
    ) -> Result<()> {
        let mut penalties = vec![by.reg as f32; other.table.width()];
        penalties[k] = by.reg_biases as f32;
        let level = Level::current();
        let (table, gram, solver) = (&other.table, Vec::new(), Solver::Cholesky);
        let problem = Problem { name, table, gram, penalties, solver, level };
        let terms = |cols: &[i32], values: &[f32], terms: &mut Terms| {
            let rest = |(&c, &v): (&i32, &f32)| (f64::from(v) - mean) as f32 - other.biases[c as usize];
            terms.weights.resize(cols.len(), 1.0);
            terms.pulls.extend(cols.iter().zip(values).map(rest));
            terms.scale = (cols.len() as f64).powf(by.nu) as f32;
        };
        problem.solve(x, &mut self.table, terms, control)?;
        self.take_biases(k);
        Ok(())
    }

    /// Where a row has its bias, 1 takes its place.
    fn take_biases(&mut self, k: usize) {
        for (row, bias) in self.table.rows_mut().zip(&mut self.biases) {
            *bias = std::mem::replace(&mut row[k], 1.0);
        }
    }

    fn with_biases(mut self, k: usize) -> Vec<f32> {
        for (row, &bias) in self.table.rows_mut().zip(&self.biases) {
            row[k] = bias;
        }
        self.table.columns(k + 1)
    }
}

/// Fits items, then users, in turn; the users' are exact given the items'.
pub fn biased_factors(x: &Csr, settings: Settings, control: &Control) -> Result<BiasedFactors> {
    let Settings { k, penalties, epochs, seed } = settings;
    penalties.check(x)?;
    at_least_one(&[("epochs", epochs)])?;
    // Biases alone come first, so that the factors begin with what these leave.
    let alone = BiasSettings { reg_users: 10.0, reg_items: 10.0, epochs: 5 };
    let Biases { mean, users: user_biases, .. } = biases(x, alone, control)?;
    let by_item = x.transpose();
    penalties.check_growth(&by_item)?;
    let (mut users, mut items) = (Side::new(x.n_rows(), k), Side::new(x.n_cols(), k));
    users.biases = user_biases;
    let mut random = Random::new(seed);
    let unit = 0.1 / (k.max(1) as f32).sqrt();
    for row in users.table.rows_mut() {
        row[..k].iter_mut().for_each(|v| *v = unit * random.next::<f32>());
    }
    control.start((epochs * (x.n_rows() + x.n_cols())) as u64);
    for _ in 0..epochs {
        items.fit("x", &by_item, mean, &users, k, penalties, control)?;
        users.fit("x", x, mean, &items, k, penalties, control)?;
    }
    Ok(BiasedFactors { mean, users: users.with_biases(k), items: items.with_biases(k) })
}

/// What [`biased_factors`] gives users with these ratings, given `items` (factors, then the bias) and the mean.
pub fn fold_in_biased(
    x: &Csr,
    items: Dense<'_>,
    mean: f64,
    penalties: Penalties,
    control: &Control,
) -> Result<Vec<f32>> {
    penalties.check(x)?;
    let (n, width) = items.shape();
    if x.n_cols() != n || width == 0 {
        let problem = format!("must have the columns of items, whose shape is {:?}", (n, width));
        return Err(Error::shape("history", problem, x.n_cols()));
    }
    let k = width - 1;
    let mut side = Side { table: Table::filled(items.values(), n, width), biases: vec![0.0; n] };
    side.take_biases(k);
    let mut users = Side::new(x.n_rows(), k);
    control.start(x.n_rows() as u64);
    users.fit("history", x, mean, &side, k, penalties, control)?;
    Ok(users.with_biases(k))
}
