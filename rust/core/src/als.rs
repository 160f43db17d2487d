//! Factors of implicit feedback by alternating least squares (Hu, Koren & Volinsky, ICDM 2008).
//!
//! ```text
//! minimize  Σ_{(u,i) stored} (a x_ui + o) (1 − p_u·q_i)²  +  Σ_{others} o (p_u·q_i)²
//!           + reg · Σ_u (n_u + o · items)^ν |p_u|²  +  reg · Σ_i (n_i + o · users)^ν |q_i|²
//! users start as random sums over what they touched
//! epochs times:
//!     for each item: the q_i that is best for all p         # a ridge regression over those who touched it;
//!     for each user: the p_u that is best for all q         # everybody else is in one Gram matrix
//! ```

use crate::control::Control;
use crate::csr::Csr;
use crate::dense::Random;
use crate::error::{Error, Result, at_least_one, not_negative};
use crate::factors::Dense;
pub use crate::ridge::Solver;
use crate::ridge::{Problem, Table, Terms, penalties_fit};
use crate::simd::Level;
use rayon::prelude::*;

/// What is minimized.
#[derive(Debug, Clone, Copy)]
pub struct Objective {
    /// Weight of a stored value of 1, above that of a pair that is not stored.
    pub alpha: f64,
    /// Weight of a pair that is not stored.
    pub unobserved: f64,
    /// Regularization.
    pub reg: f64,
    /// How far the regularization grows with the number of entries: 0 not at all, 1 in proportion (Rendle et al.,
    /// arXiv 2110.14037).
    pub nu: f64,
}

/// How it is minimized.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Factors, at least 1.
    pub k: usize,
    /// The objective.
    pub objective: Objective,
    /// Of every regression but the last of each user, which is exact.
    pub solver: Solver,
    /// Alternations, at least 1.
    pub epochs: usize,
    /// Of the random start.
    pub seed: u64,
    /// Compute the objective after every epoch?
    pub loss: bool,
}

/// `x ≈ users @ itemsᵀ`.
#[derive(Debug, PartialEq)]
pub struct Factors {
    /// n_rows × k, row after row.
    pub users: Vec<f32>,
    /// n_cols × k, row after row.
    pub items: Vec<f32>,
    /// After every epoch; empty unless asked for.
    pub losses: Vec<f64>,
}

impl Objective {
    fn check(&self, name: &str, x: &Csr) -> Result<()> {
        let Self { alpha, unobserved, reg, nu } = *self;
        not_negative(&[("alpha", alpha), ("alpha0", unobserved), ("reg", reg), ("nu", nu)])?;
        if let Some(&v) = x.values().iter().find(|&&v| v < 0.0) {
            return Err(Error::values(name, "confidences must be at least 0", v));
        }
        for (argument, weight) in [("alpha", alpha), ("alpha0", unobserved)] {
            if weight > f64::from(f32::MAX) {
                return Err(Error::parameter(argument, "must fit in float32", weight));
            }
        }
        let most = x.values().iter().copied().fold(0.0, f32::max);
        if !(alpha as f32 * most + unobserved as f32).is_finite() {
            let problem = format!("with alpha={alpha:?} a weight exceeds float32");
            return Err(Error::overflow(name, problem, most));
        }
        self.check_growth(x)
    }

    /// Of the penalties, with the rows of `x`.
    fn check_growth(&self, x: &Csr) -> Result<()> {
        penalties_fit(x, self.unobserved * x.n_cols() as f64, &[("reg", self.reg)], self.nu)
    }

    /// Of the penalty of a row with so many entries.
    fn scale(&self, entries: usize, others: usize) -> f64 {
        self.reg * (entries as f64 + self.unobserved * others as f64).powf(self.nu)
    }

    fn problem<'a>(
        &self,
        name: &'a str,
        table: &'a Table,
        gram: &[f64],
        solver: Solver,
        level: Level,
    ) -> Problem<'a> {
        let gram = if self.unobserved == 0.0 {
            Vec::new()
        } else {
            gram.iter().map(|&g| (self.unobserved * g) as f32).collect()
        };
        // A row without penalty stays solvable where the table is only filled up: such columns are dropped.
        Problem { name, table, gram, penalties: vec![1.0; table.width()], solver, level }
    }

    fn terms(&self, others: usize) -> impl Fn(&[i32], &[f32], &mut Terms) + Sync {
        let (alpha, unobserved) = (self.alpha as f32, self.unobserved as f32);
        move |_: &[i32], values: &[f32], terms: &mut Terms| {
            terms.weights.extend(values.iter().map(|&v| alpha * v));
            terms.pulls.extend(terms.weights.iter().map(|&w| w + unobserved));
            terms.scale = self.scale(values.len(), others) as f32;
        }
    }
}

/// Factors of users and items. Zeros that are stored count as absent.
pub fn als(x: &Csr, settings: Settings, control: &Control) -> Result<Factors> {
    als_at(Level::current(), x, settings, control)
}

/// [`als`] on a given instruction set.
pub fn als_at(level: Level, x: &Csr, settings: Settings, control: &Control) -> Result<Factors> {
    let Settings { k, objective, solver, epochs, seed, loss } = settings;
    objective.check("x", x)?;
    at_least_one(&[("k", k), ("epochs", epochs)])?;
    let full = x.without_zeros();
    let x = full.as_ref().unwrap_or(x);
    let by_item = x.transpose();
    objective.check_growth(&by_item)?;
    let mut items = Table::new(x.n_cols(), k);
    let mut users = sketch(x, k, seed);
    control.start((epochs * (x.n_rows() + x.n_cols())) as u64);
    let mut user_gram = users.gram(level);
    let mut losses = Vec::new();
    for epoch in 1..=epochs {
        let problem = objective.problem("x", &users, &user_gram, solver, level);
        problem.solve(&by_item, &mut items, objective.terms(x.n_rows()), control)?;
        if epoch == 1 {
            balance(&mut users, &mut items);
        }
        let item_gram = items.gram(level);
        let solver = if epoch == epochs { Solver::Cholesky } else { solver };
        let problem = objective.problem("x", &items, &item_gram, solver, level);
        problem.solve(x, &mut users, objective.terms(x.n_cols()), control)?;
        if loss || epoch < epochs {
            user_gram = users.gram(level);
        }
        if loss {
            let everywhere: f64 = user_gram.iter().zip(&item_gram).map(|(u, i)| u * i).sum();
            losses.push(
                objective.unobserved * everywhere
                    + stored(&objective, x, &users, &items)
                    + penalty(&objective, &by_item, &items, x.n_rows()),
            );
        }
    }
    Ok(Factors { users: users.columns(k), items: items.columns(k), losses })
}

/// Where users start: x Ω with its values taken for 1 and Ω random, which already lies near the directions that
/// matter, as in a randomized SVD (Halko et al., 2011). Entries are about 1 in size.
fn sketch(x: &Csr, k: usize, seed: u64) -> Table {
    let mut random = Random::new(seed);
    // The variance of one draw is a third.
    let unit = (3.0 * x.n_rows() as f64 / x.nnz().max(1) as f64).sqrt() as f32;
    let mut directions = Table::new(x.n_cols(), k);
    for row in directions.rows_mut() {
        row[..k].iter_mut().for_each(|v| *v = unit * random.next::<f32>());
    }
    let mut users = Table::new(x.n_rows(), k);
    users.for_each_row(|user, sum| {
        for &item in x.row(user).0 {
            sum.iter_mut().zip(directions.row(item as usize)).for_each(|(s, v)| *s += v);
        }
    });
    users
}

/// Makes both sides equally long without changing their products, as they are where the penalties are least; it
/// would take many epochs otherwise.
fn balance(users: &mut Table, items: &mut Table) {
    let length = |table: &Table| table.squares().sqrt();
    let by = (length(users) / length(items)).sqrt() as f32;
    if by.is_normal() {
        users.for_each_row(|_, row| row.iter_mut().for_each(|v| *v /= by));
        items.for_each_row(|_, row| row.iter_mut().for_each(|v| *v *= by));
    }
}

/// The objective's part of the stored entries, less what they would add were they not stored, and of the users.
fn stored(objective: &Objective, x: &Csr, users: &Table, items: &Table) -> f64 {
    let row = |u: usize| {
        let (cols, values) = x.row(u);
        let mut sum = 0.0;
        for (&c, &v) in cols.iter().zip(values) {
            let own = users.row(u).iter().zip(items.row(c as usize));
            let score: f64 = own.map(|(&p, &q)| f64::from(p) * f64::from(q)).sum();
            let weight = objective.alpha * f64::from(v) + objective.unobserved;
            sum += weight * (1.0 - score).powi(2) - objective.unobserved * score.powi(2);
        }
        sum
    };
    let rows: Vec<f64> = (0..x.n_rows()).into_par_iter().with_min_len(64).map(row).collect();
    rows.iter().sum::<f64>() + penalty(objective, x, users, x.n_cols())
}

fn penalty(objective: &Objective, x: &Csr, table: &Table, others: usize) -> f64 {
    let square = |row: usize| table.row(row).iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    let rows = (0..x.n_rows()).into_par_iter().with_min_len(256);
    let rows: Vec<f64> = rows.map(|row| objective.scale(x.row_len(row), others) * square(row)).collect();
    rows.iter().sum()
}

/// The exact factors of new rows, given those of the columns: what [`als`] would give them next.
///
/// With the factors of users and a matrix of items × users they are those of new items. Errors call the matrix `name`.
pub fn fold_in_als(
    name: &str,
    x: &Csr,
    factors: Dense<'_>,
    objective: Objective,
    control: &Control,
) -> Result<Vec<f32>> {
    objective.check(name, x)?;
    let (n, k) = factors.shape();
    if x.n_cols() != n {
        return Err(Error::shape(
            name,
            format!("must have the {n} columns that there are factors of"),
            x.n_cols(),
        ));
    }
    let full = x.without_zeros();
    let x = full.as_ref().unwrap_or(x);
    let level = Level::current();
    let table = Table::filled(factors.values(), n, k);
    let mut out = Table::new(x.n_rows(), k);
    control.start(x.n_rows() as u64);
    let problem = objective.problem(name, &table, &table.gram(level), Solver::Cholesky, level);
    problem.solve(x, &mut out, objective.terms(n), control)?;
    Ok(out.columns(k))
}
