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

/// A row of `XᵀX` in f32, in the form that suits it: few of its entries, or all of them.
pub(crate) enum Row {
    /// One value for each column.
    Dense(Vec<f32>),
    /// The columns, ascending, and their values.
    Sparse(Vec<i32>, Vec<f32>),
}

/// A row with an entry for one in so many columns is kept dense: it is read far quicker.
const DENSE_ONE_IN: usize = 8;

/// The rows of `XᵀX`, each whole.
pub(crate) fn rows(x: &Csr, control: &Control) -> Result<Vec<Row>> {
    let n = x.n_cols();
    let items = x.transpose();
    let scratch = || (vec![0.0_f32; n], vec![usize::MAX; n], Vec::new());
    let row = |(sums, marks, touched): &mut (Vec<f32>, Vec<usize>, Vec<i32>), item: usize| {
        control.check()?;
        touched.clear();
        let (users, by) = items.row(item);
        for (&user, &by) in users.iter().zip(by) {
            let (cols, values) = x.row(user as usize);
            for (&col, &v) in cols.iter().zip(values) {
                let at = col as usize;
                if marks[at] != item {
                    marks[at] = item;
                    touched.push(col);
                }
                sums[at] += by * v;
            }
        }
        let made = if touched.len() * DENSE_ONE_IN >= n {
            Row::Dense(sums.clone())
        } else {
            touched.sort_unstable();
            Row::Sparse(touched.clone(), touched.iter().map(|&c| sums[c as usize]).collect())
        };
        touched.iter().for_each(|&c| sums[c as usize] = 0.0);
        Ok(made)
    };
    (0..n).into_par_iter().with_max_len(16).map_init(scratch, row).collect()
}
