//! The k-core of the graph of users and items.
//!
//! Start with every node of too few neighbors; take each away, and let its neighbors follow when they have
//! too few left. Every entry is looked at once from either side (Batagelj & Zaveršnik 2003, for two kinds of
//! nodes). What remains is unique, so the order in which nodes go does not matter.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::Result;

/// Nodes taken away between two looks at whether the caller wants to stop.
const CHECK: usize = 1 << 14;

/// Which rows and which columns are in the core.
#[derive(Debug, PartialEq, Eq)]
pub struct Core {
    /// Of each row.
    pub rows: Vec<bool>,
    /// Of each column.
    pub cols: Vec<bool>,
}

/// One kind of nodes: how many neighbors each has left, and which remain.
struct Side {
    least: usize,
    left: Vec<i64>,
    kept: Vec<bool>,
}

impl Side {
    /// The nodes that have too few from the start go to `gone`.
    fn new(least: usize, left: Vec<i64>, gone: &mut Vec<i32>) -> Self {
        let mut kept = vec![true; left.len()];
        for node in 0..left.len() {
            if (left[node] as usize) < least {
                kept[node] = false;
                gone.push(node as i32);
            }
        }
        Self { least, left, kept }
    }

    /// Each of these nodes loses a neighbor; those that have too few now go to `gone`.
    fn lose(&mut self, nodes: &[i32], gone: &mut Vec<i32>) {
        for &node in nodes {
            let at = node as usize;
            self.left[at] -= 1;
            if self.kept[at] && (self.left[at] as usize) < self.least {
                self.kept[at] = false;
                gone.push(node);
            }
        }
    }
}

/// The largest part of `x` in which every row has at least `k_rows` entries and every column `k_cols`.
pub fn k_core(x: &Csr, k_rows: usize, k_cols: usize, control: &Control) -> Result<Core> {
    let (mut gone_rows, mut gone_cols) = (Vec::new(), Vec::new());
    let lengths = (0..x.n_rows()).map(|row| x.row_len(row) as i64).collect();
    let mut rows = Side::new(k_rows, lengths, &mut gone_rows);
    let mut cols = Side::new(k_cols, x.column_counts(), &mut gone_cols);
    let by_column = if gone_rows.is_empty() && gone_cols.is_empty() { None } else { Some(x.transpose()) };
    let mut steps = 0;
    while let Some(by_column) = &by_column {
        if let Some(row) = gone_rows.pop() {
            cols.lose(x.row(row as usize).0, &mut gone_cols);
        } else if let Some(col) = gone_cols.pop() {
            rows.lose(by_column.row(col as usize).0, &mut gone_rows);
        } else {
            break;
        }
        steps += 1;
        if steps % CHECK == 0 {
            control.check()?;
        }
    }
    Ok(Core { rows: rows.kept, cols: cols.kept })
}
