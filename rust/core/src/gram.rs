//! The Gram matrix of the items, dense.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use rayon::prelude::*;

/// The lower triangle of `XᵀX` in f64, row after row; the other half is 0.
pub fn gram(x: &Csr, control: &Control) -> Result<Vec<f64>> {
    let n = x.n_cols();
    let items = x.transpose();
    let mut out = zeros(n)?;
    control.start(n as u64);
    // From the last row: the longest come first and leave no thread alone at the end.
    out.par_chunks_mut(n.max(1)).enumerate().rev().with_max_len(1).try_for_each(|(item, sums)| {
        control.check()?;
        let (users, by) = items.row(item);
        for (&user, &by) in users.iter().zip(by) {
            let (cols, values) = x.row(user as usize);
            for (&col, &v) in cols.iter().zip(values) {
                if col as usize > item {
                    break;
                }
                sums[col as usize] += f64::from(by) * f64::from(v);
            }
        }
        control.advance(1);
        Ok(())
    })?;
    Ok(out)
}

fn zeros(n: usize) -> Result<Vec<f64>> {
    let room = n.checked_mul(n).filter(|&len| Vec::<f64>::new().try_reserve_exact(len).is_ok());
    let len = room.ok_or_else(|| {
        let gib = (n as f64).powi(2) * 8.0 / f64::from(1 << 30);
        Error::invalid("x", format_args!("its Gram matrix of {n} columns needs {gib:.1} GiB"))
    })?;
    Ok(vec![0.0; len])
}
