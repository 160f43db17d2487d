//! User and item biases of ratings by alternating least squares (Koren, TKDD 2010; Surprise's `als` baselines).

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Result, not_negative};
use rayon::prelude::*;

/// `rating ≈ mean + user + item`.
#[derive(Debug, PartialEq)]
pub struct Biases {
    /// Mean of all ratings; 0 where there are none.
    pub mean: f64,
    /// Per row.
    pub users: Vec<f32>,
    /// Per column.
    pub items: Vec<f32>,
}

/// How strongly, and for how long, biases are fitted.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Added to a user's number of ratings.
    pub reg_users: f64,
    /// Added to an item's number of ratings.
    pub reg_items: f64,
    /// Alternations.
    pub epochs: usize,
}

/// Fits items, then users, in turn.
pub fn biases(x: &Csr, settings: Settings, control: &Control) -> Result<Biases> {
    not_negative(&[("reg_users", settings.reg_users), ("reg_items", settings.reg_items)])?;
    let total: f64 = x.row_sums(f64::from).iter().sum();
    let mean = if x.nnz() == 0 { 0.0 } else { total / x.nnz() as f64 };
    let by_item = x.transpose();
    let (mut users, mut items) = (vec![0.0_f64; x.n_rows()], vec![0.0_f64; x.n_cols()]);
    let side = |m: &Csr, other: &[f64], reg: f64| -> Vec<f64> {
        let one = |row: usize| {
            let (cols, values) = m.row(row);
            let deviation = |(&c, &v): (&i32, &f32)| f64::from(v) - mean - other[c as usize];
            let sum: f64 = cols.iter().zip(values).map(deviation).sum();
            if cols.is_empty() { 0.0 } else { sum / (reg + cols.len() as f64) }
        };
        (0..m.n_rows()).into_par_iter().with_min_len(256).map(one).collect()
    };
    control.start(settings.epochs as u64);
    for _ in 0..settings.epochs {
        control.check()?;
        items = side(&by_item, &users, settings.reg_items);
        users = side(x, &items, settings.reg_users);
        control.advance(1);
    }
    let narrow = |v: Vec<f64>| v.into_iter().map(|b| b as f32).collect();
    Ok(Biases { mean, users: narrow(users), items: narrow(items) })
}
