//! Re-weighting of the stored values; the pattern stays.

use crate::csr::Csr;
use crate::error::{Error, Result, not_negative};

/// Which side of the matrix a weighting treats as its documents (the other side are the terms), or whose
/// vectors it normalizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The rows.
    Users,
    /// The columns.
    Items,
}

/// The formulas. `x` is the value, `n` the number of documents, `df` in how many documents the term occurs,
/// `len` the document's sum of values over the mean of that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weighting {
    /// `x (ln((1 + n) / (1 + df)) + 1)`, as in scikit-learn.
    TfIdf,
    /// `idf · x (k1 + 1) / (x + k1 (1 − b + b · len)) + idf · delta`,
    /// `idf = ln(1 + (n − df + ½) / (df + ½))` (Robertson & Zaragoza 2009; `delta`: Lv & Zhai, CIKM 2011).
    Bm25 {
        /// How fast repetition saturates.
        k1: f64,
        /// How much long documents are damped.
        b: f64,
        /// Lower bound for a term that occurs; 0 in plain BM25.
        delta: f64,
    },
    /// `ln(1 + x)`.
    Log,
    /// `√x`.
    Sqrt,
    /// 1 wherever something is stored.
    Binary,
    /// Divided by the sum of absolute values of its row or column.
    L1,
    /// Divided by the Euclidean length of its row or column.
    L2,
    /// Divided by the largest absolute value of its row or column.
    Max,
}

impl Weighting {
    /// The public names.
    pub const NAMES: [&'static str; 9] =
        ["tfidf", "bm25", "bm25+", "log", "sqrt", "binary", "l1", "l2", "max"];

    /// By its public name; the parameters matter to BM25 alone.
    pub fn parse(name: &str, k1: f64, b: f64, delta: f64) -> Result<Self> {
        Ok(match name {
            "tfidf" => Self::TfIdf,
            "bm25" => Self::Bm25 { k1, b, delta: 0.0 },
            "bm25+" => Self::Bm25 { k1, b, delta },
            "log" => Self::Log,
            "sqrt" => Self::Sqrt,
            "binary" => Self::Binary,
            "l1" => Self::L1,
            "l2" => Self::L2,
            "max" => Self::Max,
            _ => return Err(Error::choice("weighting", name, &Self::NAMES)),
        })
    }

    /// What goes wrong below 0.
    fn needs_positive(self) -> Option<&'static str> {
        match self {
            Self::Bm25 { .. } => Some("BM25"),
            Self::Log => Some("the logarithm"),
            Self::Sqrt => Some("the square root"),
            _ => None,
        }
    }
}

/// The new values of `x`, aligned with the old ones. With a `reference` (of the same columns) the frequencies
/// and the mean length are taken from it instead, so that new users are weighted as the known ones were.
/// Errors call the matrix `name`.
pub fn weight(
    name: &str,
    x: &Csr,
    weighting: Weighting,
    side: Side,
    reference: Option<&Csr>,
) -> Result<Vec<f32>> {
    if let Some(r) = reference {
        if side == Side::Items {
            return Err(Error::parameter("reference", "only goes with users as documents", ()));
        }
        if r.n_cols() != x.n_cols() {
            let problem = format!("must have {} columns like {name}", x.n_cols());
            return Err(Error::shape("reference", problem, r.n_cols()));
        }
    }
    let base = reference.unwrap_or(x);
    if let Some(formula) = weighting.needs_positive()
        && let Some(&v) = x.values().iter().find(|v| **v < 0.0)
    {
        return Err(Error::values(name, format!("{formula} needs values of at least 0"), v));
    }
    if let Weighting::Bm25 { k1, b, delta } = weighting {
        not_negative(&[("k1", k1), ("delta", delta)])?;
        if !(0.0..=1.0).contains(&b) {
            return Err(Error::parameter("b", "must be from 0 to 1", b));
        }
    }
    // (document, term) of an entry at (row, column).
    let by = |row: usize, col: usize| match side {
        Side::Users => (row, col),
        Side::Items => (col, row),
    };
    let sums = |m: &Csr, own: Side, f: fn(f32) -> f64| match own {
        Side::Users => m.row_sums(f),
        Side::Items => m.column_sums(f),
    };
    let (n_docs, terms) = match side {
        Side::Users => (base.n_rows(), Side::Items),
        Side::Items => (base.n_cols(), Side::Users),
    };
    let document_frequency = || sums(base, terms, |_| 1.0);
    let scaled = |norms: Vec<f64>| {
        x.map_values(|row, col, v| {
            let norm = norms[by(row, col).0];
            if norm == 0.0 { 0.0 } else { (f64::from(v) / norm) as f32 }
        })
    };
    let weighted = match weighting {
        Weighting::Log => x.map_values(|_, _, v| f64::from(v).ln_1p() as f32),
        Weighting::Sqrt => x.map_values(|_, _, v| v.sqrt()),
        Weighting::Binary => vec![1.0; x.nnz()],
        Weighting::L1 => scaled(sums(x, side, |v| f64::from(v).abs())),
        Weighting::L2 => scaled(sums(x, side, |v| f64::from(v).powi(2)).into_iter().map(f64::sqrt).collect()),
        Weighting::Max => {
            let mut largest = vec![0.0_f64; by(x.n_rows(), x.n_cols()).0];
            for row in 0..x.n_rows() {
                let (cols, values) = x.row(row);
                for (&col, &v) in cols.iter().zip(values) {
                    let slot = &mut largest[by(row, col as usize).0];
                    *slot = slot.max(f64::from(v).abs());
                }
            }
            scaled(largest)
        }
        Weighting::TfIdf => {
            let n = n_docs as f64;
            let idf: Vec<f64> =
                document_frequency().iter().map(|df| ((1.0 + n) / (1.0 + df)).ln() + 1.0).collect();
            x.map_values(|row, col, v| (f64::from(v) * idf[by(row, col).1]) as f32)
        }
        Weighting::Bm25 { k1, b, delta } => {
            let n = n_docs as f64;
            let idf = |df: &f64| (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
            let idf: Vec<f64> = document_frequency().iter().map(idf).collect();
            let mean = sums(base, side, f64::from).iter().sum::<f64>() / n;
            let lengths = sums(x, side, f64::from);
            x.map_values(|row, col, v| {
                let (doc, term) = by(row, col);
                let v = f64::from(v);
                if v == 0.0 {
                    return 0.0;
                }
                // Where the mean is 0 nothing says what a long document is.
                let relative = if mean > 0.0 { lengths[doc] / mean } else { 1.0 };
                let damping = k1 * (1.0 - b + b * relative);
                (idf[term] * (v * (k1 + 1.0) / (v + damping) + delta)) as f32
            })
        }
    };
    if let Some(at) = weighted.iter().position(|v| !v.is_finite()) {
        let problem = "values too large: weighted they exceed float32";
        return Err(Error::overflow(name, problem, x.values()[at]));
    }
    Ok(weighted)
}
