//! What is known of pairs of a query and an item: columns with a number for each pair.
//!
//! Every function takes the pairs as a matrix of queries × items, and goes through them row by row: what belongs to
//! the query is laid out once, then each of its candidates is looked up in it.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::factors::Dense;
use crate::ragged::{check_rows, fill_rows};
use crate::simd::Level;
use crate::simd::tile::{ITEMS, Kernel, Line, QUERIES, Tile};
use rayon::prelude::*;

/// Numbers of the items, one for each pair.
pub fn of_items(pairs: &Csr, columns: &[&[f32]], control: &Control) -> Result<Vec<Vec<f32>>> {
    each(columns, pairs.n_cols(), "items", |column| {
        let cols = pairs.indices();
        let [values] = fill_rows(
            pairs.indptr(),
            control,
            || (),
            |(), row, [out]: [&mut [f32]; 1]| {
                let cols = &cols[pairs.range(row)];
                for at in 0..out.len() {
                    out[at] = column[cols[at] as usize];
                }
            },
        )?;
        Ok(values)
    })
}

/// Numbers of the queries, one for each pair.
pub fn of_queries(pairs: &Csr, columns: &[&[f32]], control: &Control) -> Result<Vec<Vec<f32>>> {
    each(columns, pairs.n_rows(), "queries", |column| {
        let [values] = fill_rows(
            pairs.indptr(),
            control,
            || (),
            |(), row, [out]: [&mut [f32]; 1]| out.fill(column[row]),
        )?;
        Ok(values)
    })
}

fn each(
    columns: &[&[f32]],
    n: usize,
    what: &str,
    fill: impl Fn(&[f32]) -> Result<Vec<f32>>,
) -> Result<Vec<Vec<f32>>> {
    if let Some(column) = columns.iter().find(|column| column.len() != n) {
        let problem = format!("each must have length {n}, one value for each of the {what}");
        return Err(Error::shape("columns", problem, column.len()));
    }
    columns.iter().map(|column| fill(column)).collect()
}

fn check_shape(name: &str, matrix: &Csr, shape: (usize, usize)) -> Result<()> {
    if (matrix.n_rows(), matrix.n_cols()) == shape {
        return Ok(());
    }
    Err(Error::shape(name, format!("must have shape {shape:?}"), (matrix.n_rows(), matrix.n_cols())))
}

/// How much of a query's history shares the categories of each candidate: the share, `ln(1 + n)` of the n items
/// that it stands for, and 1 where either has no category.
///
/// `categories` has a row of weights for each item; those of one item should sum to 1. Each item of the history
/// counts once, whatever it weighs.
pub fn category_affinity(
    pairs: &Csr,
    histories: &Csr,
    categories: &Csr,
    control: &Control,
) -> Result<[Vec<f32>; 3]> {
    check_shape("history", histories, (pairs.n_rows(), pairs.n_cols()))?;
    check_shape("categories", categories, (pairs.n_cols(), categories.n_cols()))?;
    let scratch = || vec![0.0_f32; categories.n_cols()];
    fill_rows(pairs.indptr(), control, scratch, |taste, row, [share, count, missing]: [&mut [f32]; 3]| {
        let (items, _) = histories.row(row);
        let mut total = 0.0_f32;
        for &item in items {
            let (of_item, weights) = categories.row(item as usize);
            for at in 0..of_item.len() {
                taste[of_item[at] as usize] += weights[at];
            }
            total += f32::from(u8::from(!of_item.is_empty()));
        }
        for (at, &item) in pairs.row(row).0.iter().enumerate() {
            let (of_item, weights) = categories.row(item as usize);
            let (mut common, mut whole) = (0.0, 0.0);
            for at in 0..of_item.len() {
                common += taste[of_item[at] as usize] * weights[at];
                whole += weights[at];
            }
            if total == 0.0 || whole == 0.0 {
                missing[at] = 1.0;
                continue;
            }
            let mean = common / whole;
            (share[at], count[at]) = (mean / total, mean.ln_1p());
        }
        for &item in items {
            for &category in categories.row(item as usize).0 {
                taste[category as usize] = 0.0;
            }
        }
    })
}

/// How far a number of each candidate lies from the mean of the query's history: the difference, its absolute
/// value, and 1 where either is unknown. An unknown number is NaN.
pub fn number_affinity(
    pairs: &Csr,
    histories: &Csr,
    numbers: &[f32],
    control: &Control,
) -> Result<[Vec<f32>; 3]> {
    check_shape("history", histories, (pairs.n_rows(), pairs.n_cols()))?;
    if numbers.len() != pairs.n_cols() {
        let problem = format!("must have length {}, one for each item", pairs.n_cols());
        return Err(Error::shape("numbers", problem, numbers.len()));
    }
    fill_rows(
        pairs.indptr(),
        control,
        || (),
        |(), row, [difference, distance, missing]: [&mut [f32]; 3]| {
            let (mut sum, mut n) = (0.0_f64, 0.0_f64);
            for &item in histories.row(row).0 {
                let number = numbers[item as usize];
                if !number.is_nan() {
                    sum += f64::from(number);
                    n += 1.0;
                }
            }
            let mean = sum / n;
            for (at, &item) in pairs.row(row).0.iter().enumerate() {
                let apart = (f64::from(numbers[item as usize]) - mean) as f32;
                if apart.is_finite() {
                    (difference[at], distance[at]) = (apart, apart.abs());
                } else {
                    missing[at] = 1.0;
                }
            }
        },
    )
}

/// The last items of each row, at most `n`: of those with the latest times, and among equal times with the greatest
/// column. The values are 1 for the last item, 2 for the one before, ….
pub fn latest(history: &Csr, times: &[i64], n: usize, control: &Control) -> Result<Csr> {
    if times.len() != history.nnz() {
        let problem = format!("must have length {}, one for each entry of history", history.nnz());
        return Err(Error::shape("times", problem, times.len()));
    }
    let kept = |row: usize| history.row_len(row).min(n);
    let mut indptr = vec![0_i64];
    for row in 0..history.n_rows() {
        indptr.push(indptr[row] + kept(row) as i64);
    }
    let [entries] =
        fill_rows(&indptr, control, Vec::new, |order: &mut Vec<usize>, row, [out]: [&mut [Place]; 1]| {
            let range = history.range(row);
            let cols = &history.indices()[range.clone()];
            order.clear();
            order.extend(range.clone());
            order.sort_unstable_by(|&a, &b| (times[b], b).cmp(&(times[a], a)));
            for (above, &at) in order[..out.len()].iter().enumerate() {
                out[above] = (cols[at - range.start], above as f32 + 1.0);
            }
            out.sort_unstable_by_key(|place| place.0);
        })?;
    let (cols, places) = entries.into_par_iter().unzip();
    Ok(Csr::trusted(indptr, cols, places, history.n_cols()))
}

/// A column and a value.
type Place = (i32, f32);

/// What the last items of a query are: a matrix, which of its rows belongs to each query (none where it is
/// negative), and whether its values are the order of [`latest`].
#[derive(Clone, Copy)]
pub struct Recent<'a> {
    /// Users × items.
    pub items: &'a Csr,
    /// Of each query.
    pub rows: &'a [i32],
    /// Otherwise the order is unknown, and "the last" becomes the mean.
    pub ordered: bool,
}

impl<'a> Recent<'a> {
    fn check(&self, pairs: &Csr) -> Result<()> {
        check_shape("recent", self.items, (self.items.n_rows(), pairs.n_cols()))?;
        check_rows(pairs, self.rows, self.items.n_rows())
    }

    fn of(&self, query: usize) -> (&'a [i32], &'a [f32]) {
        match usize::try_from(self.rows[query]) {
            Ok(row) => self.items.row(row),
            Err(_) => (&[], &[]),
        }
    }
}

/// Statistics of the similarities of each candidate with the last items of its query: the greatest (at least 0), the
/// mean, the sum, and that with the last item. An item is not compared with itself, and what is not among the
/// neighbors has similarity 0. Row j of `similarity` holds the items that are near j.
pub fn similarity(
    pairs: &Csr,
    recent: Recent<'_>,
    similarity: &Csr,
    control: &Control,
) -> Result<[Vec<f32>; 4]> {
    recent.check(pairs)?;
    check_shape("similarity", similarity, (pairs.n_cols(), pairs.n_cols()))?;
    // The place of each candidate in its row, one more than its number; 0 for all other items.
    let scratch = || vec![0_u32; pairs.n_cols()];
    fill_rows(pairs.indptr(), control, scratch, |places, row, [most, mean, sum, last]: [&mut [f32]; 4]| {
        let candidates = pairs.row(row).0;
        for (at, &item) in candidates.iter().enumerate() {
            places[item as usize] = at as u32 + 1;
        }
        let (items, order) = recent.of(row);
        for (&item, &place) in items.iter().zip(order) {
            let is_last = recent.ordered && place == 1.0;
            let (near, values) = similarity.row(item as usize);
            for at in 0..near.len() {
                let found = places[near[at] as usize] as usize;
                if found == 0 || near[at] == item {
                    continue;
                }
                most[found - 1] = most[found - 1].max(values[at]);
                sum[found - 1] += values[at];
                if is_last {
                    last[found - 1] = values[at];
                }
            }
        }
        for &item in candidates {
            places[item as usize] = 0;
        }
        means(items, candidates, sum, mean, if recent.ordered { None } else { Some(last) });
    })
}

/// Divides the sums by the number of items each candidate was compared with.
fn means(items: &[i32], candidates: &[i32], sum: &[f32], mean: &mut [f32], copy: Option<&mut [f32]>) {
    for (at, item) in candidates.iter().enumerate() {
        let compared = items.len() - usize::from(items.binary_search(item).is_ok());
        if compared > 0 {
            mean[at] = sum[at] / compared as f32;
        }
    }
    if let Some(copy) = copy {
        copy.copy_from_slice(mean);
    }
}

/// The same of the inner products of vectors, one for each item.
pub fn embedding_similarity(
    pairs: &Csr,
    recent: Recent<'_>,
    vectors: Dense<'_>,
    control: &Control,
) -> Result<[Vec<f32>; 4]> {
    recent.check(pairs)?;
    if vectors.shape().0 != pairs.n_cols() {
        let problem = format!("must have {} rows, one for each item", pairs.n_cols());
        return Err(Error::shape("vectors", problem, vectors.shape()));
    }
    let kernel = Kernel::new(Level::current());
    let scratch = || (vec![Line::default(); vectors.shape().1], [Tile::<QUERIES>::default()]);
    fill_rows(
        pairs.indptr(),
        control,
        scratch,
        |(panel, tile), row, [most, mean, sum, last]: [&mut [f32]; 4]| {
            let candidates = pairs.row(row).0;
            let (items, order) = recent.of(row);
            for (block, some) in candidates.chunks(ITEMS).enumerate() {
                for (lane, &item) in some.iter().enumerate() {
                    let vector = vectors.row(item as usize);
                    for (dimension, slot) in panel.iter_mut().enumerate() {
                        slot[lane] = vector[dimension];
                    }
                }
                for (items, order) in items.chunks(QUERIES).zip(order.chunks(QUERIES)) {
                    let six = std::array::from_fn(|at| vectors.row(items[at.min(items.len() - 1)] as usize));
                    kernel.scores(six, [panel.as_slice()], &[f32::INFINITY; QUERIES], tile);
                    for (at, &item) in items.iter().enumerate() {
                        let is_last = recent.ordered && order[at] == 1.0;
                        for (lane, &other) in some.iter().enumerate() {
                            if other == item {
                                continue;
                            }
                            let (slot, value) = (block * ITEMS + lane, tile[0][at][lane]);
                            most[slot] = most[slot].max(value);
                            sum[slot] += value;
                            if is_last {
                                last[slot] = value;
                            }
                        }
                    }
                }
            }
            means(items, candidates, sum, mean, if recent.ordered { None } else { Some(last) });
        },
    )
}
