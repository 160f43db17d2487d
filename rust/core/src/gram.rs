//! The Gram matrix of the items, dense.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::pages::zeros;
use rayon::prelude::*;

/// The lower triangle of `XᵀX`, row after row, summed in f64 and then `cast`; the other half is 0.
pub fn gram<T: Copy + Default + Send>(
    x: &Csr,
    cast: impl Fn(f64) -> T + Sync,
    control: &Control,
) -> Result<Vec<T>> {
    let n = x.n_cols();
    let items = x.transpose();
    let room = || {
        Error::no_room(
            format_args!("the Gram matrix of {n} columns"),
            size_of::<T>() as f64 * (n as f64).powi(2),
        )
    };
    let mut out = zeros(n.saturating_mul(n)).ok_or_else(room)?;
    control.start(n as u64);
    // From the last row: the longest come first and leave no thread alone at the end.
    let rows = out.par_chunks_mut(n.max(1)).enumerate().rev().with_max_len(1);
    rows.try_for_each_init(
        || vec![0.0_f64; n],
        |sums, (item, row)| {
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
            for col in 0..=item {
                row[col] = cast(sums[col]);
                sums[col] = 0.0;
            }
            control.advance(1);
            Ok(())
        },
    )?;
    Ok(out)
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

/// Bytes that the rows of `XᵀX` take up in the form that suits each ([`SLIM`](crate::slim::slim) holds them all).
///
/// Exact, unless a bound that is quicker to get says that they are not more than `enough`.
pub fn size(x: &Csr, enough: u64, control: &Control) -> Result<u64> {
    let n = x.n_cols();
    let items = x.transpose();
    let bytes = |entries: usize| {
        let values = if entries * DENSE_ONE_IN >= n { 4 * n } else { 8 * entries };
        (size_of::<Row>() + values) as u64
    };
    let bound = |item: usize| {
        let entries: usize = items.row(item).0.iter().map(|&user| x.row_len(user as usize)).sum();
        bytes(entries.min(n))
    };
    let most = (0..n).into_par_iter().map(bound).sum();
    if most <= enough {
        return Ok(most);
    }
    let exact = |marks: &mut Vec<usize>, item: usize| {
        control.check()?;
        let mut entries = 0;
        for &user in items.row(item).0 {
            for &col in x.row(user as usize).0 {
                entries += usize::from(marks[col as usize] != item);
                marks[col as usize] = item;
            }
        }
        Ok(bytes(entries))
    };
    (0..n).into_par_iter().map_init(|| vec![usize::MAX; n], exact).sum()
}
