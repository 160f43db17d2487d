//! Ragged rows of candidates: the union of several lists, ranks within a row, the best of a row, and the values
//! of a sparse matrix at the places that a row names.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::offsets;
use crate::topk::{Best, Ranked, balanced, drive, key, share_out};
use std::ops::Range;
use std::sync::Mutex;

/// Rows of column ids, one after another.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    indptr: &'a [i64],
    cols: &'a [i32],
    n_cols: usize,
}

impl<'a> Rows<'a> {
    /// Checks that the offsets run from 0 to the number of ids without falling, and that the ids are columns.
    pub fn new(name: &str, indptr: &'a [i64], cols: &'a [i32], n_cols: usize) -> Result<Self> {
        offsets::check(name, indptr, cols.len())?;
        if let Some(at) = cols.iter().position(|&c| c as u32 as usize >= n_cols) {
            let problem = format!("columns must be in 0..{n_cols}");
            return Err(Error::layout(name, problem, cols[at]).at("position", at));
        }
        Ok(Self { indptr, cols, n_cols })
    }

    /// Checks that the ids of every row ascend without repetition.
    pub fn check_ascending(&self, name: &str) -> Result<()> {
        for row in 0..self.n_rows() {
            if let Some(at) = self.row(row).windows(2).position(|w| w[0] >= w[1]) {
                let error = Error::layout(name, "the columns of a row must ascend", self.row(row)[at + 1]);
                return Err(error.at("row", row).at("position", at + 1));
            }
        }
        Ok(())
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    pub(crate) fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.cols.len()
    }

    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        self.indptr[row] as usize..self.indptr[row + 1] as usize
    }

    pub(crate) fn row(&self, row: usize) -> &'a [i32] {
        &self.cols[self.range(row)]
    }
}

/// Entries of ragged rows that one thread takes at a time, about.
const PIECE: u64 = 1 << 14;

/// The columns of a table with an entry for each entry of ragged rows, cut into pieces of whole rows.
type Piece<'a, T, const C: usize> = Mutex<(Range<usize>, [&'a mut [T]; C])>;

fn pieces<'a, T, const C: usize>(indptr: &[i64], mut rest: [&'a mut [T]; C]) -> Vec<Piece<'a, T, C>> {
    let mut pieces = Vec::new();
    let (mut start, n_rows) = (0, indptr.len() - 1);
    while start < n_rows {
        let mut end = start + 1;
        while end < n_rows && (indptr[end + 1] - indptr[start]) as u64 <= PIECE {
            end += 1;
        }
        let len = (indptr[end] - indptr[start]) as usize;
        let heads = rest.each_mut().map(|column| {
            let (head, tail) = std::mem::take(column).split_at_mut(len);
            *column = tail;
            head
        });
        pieces.push(Mutex::new((start..end, heads)));
        start = end;
    }
    pieces
}

/// Columns with an entry for each entry of ragged rows. `fill` gets a row's number and its part of each column,
/// every thread with one scratch of its own.
pub(crate) fn fill_rows<T, S, const C: usize>(
    indptr: &[i64],
    control: &Control,
    scratch: impl Fn() -> S + Sync,
    fill: impl Fn(&mut S, usize, [&mut [T]; C]) + Sync,
) -> Result<[Vec<T>; C]>
where
    T: Clone + Default + Send,
{
    let n = indptr[indptr.len() - 1] as usize;
    let mut columns: [Vec<T>; C] = std::array::from_fn(|_| vec![T::default(); n]);
    let jobs = pieces(indptr, columns.each_mut().map(Vec::as_mut_slice));
    control.start(n as u64);
    share_out(&jobs, scratch, |own, (rows, columns)| {
        control.check()?;
        let base = indptr[rows.start];
        for row in rows.clone() {
            let range = (indptr[row] - base) as usize..(indptr[row + 1] - base) as usize;
            fill(own, row, columns.each_mut().map(|column| &mut column[range.clone()]));
        }
        control.advance((indptr[rows.end] - base) as u64);
        Ok(())
    })?;
    drop(jobs);
    Ok(columns)
}

/// Row by row, the distinct columns that any of the lists names, ascending. The lists have equally many rows.
pub fn union(lists: &[Rows<'_>], control: &Control) -> Result<(Vec<i64>, Vec<i32>)> {
    let n_rows = lists.first().map_or(0, Rows::n_rows);
    if let Some(other) = lists.iter().find(|list| list.n_rows() != n_rows) {
        let problem = format!("each must have {n_rows} rows like the first");
        return Err(Error::shape("lists", problem, other.n_rows()));
    }
    let work = |row: usize| lists.iter().map(|list| list.row(row).len() as u64).sum::<u64>();
    let total = (0..n_rows).map(work).sum();
    control.start(total);
    let jobs: Vec<_> = balanced(n_rows, work, total)
        .into_iter()
        .map(|(rows, work)| Mutex::new((rows, work, Vec::new(), Vec::new())))
        .collect();
    share_out(&jobs, Vec::new, |one: &mut Vec<i32>, (rows, work, cols, counts)| {
        control.check()?;
        for row in rows.clone() {
            one.clear();
            for list in lists {
                one.extend_from_slice(list.row(row));
            }
            one.sort_unstable();
            one.dedup();
            cols.extend_from_slice(one);
            counts.push(one.len() as i64);
        }
        control.advance(*work);
        Ok(())
    })?;
    let (mut indptr, mut all) = (Vec::with_capacity(n_rows + 1), Vec::new());
    indptr.push(0);
    let mut end = 0;
    for job in jobs {
        let (_, _, cols, counts) = job.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.extend_from_slice(&cols);
        for count in counts {
            end += count;
            indptr.push(end);
        }
    }
    Ok((indptr, all))
}

/// The rank of every score within its row: 1 for the greatest, equal scores in their order.
pub fn ranks(indptr: &[i64], scores: &[f32], control: &Control) -> Result<Vec<f32>> {
    offsets::check("scores", indptr, scores.len())?;
    check_finite(scores)?;
    let [ranks] =
        fill_rows(indptr, control, Vec::new, |keys: &mut Vec<u64>, row, [out]: [&mut [f32]; 1]| {
            let start = indptr[row] as usize;
            keys.clear();
            for at in 0..out.len() {
                // Without the sign of a zero: +0 and -0 are equal scores.
                keys.push(key(scores[start + at] + 0.0, at));
            }
            keys.sort_unstable();
            let n = keys.len();
            for (above, &key) in keys.iter().enumerate() {
                out[!(key as u32) as usize] = (n - above) as f32;
            }
        })?;
    Ok(ranks)
}

/// The place that every score would have in the list of its row, which falls: 1 + how many there are greater.
pub fn places(
    lists: (&[i64], &[f32]),
    indptr: &[i64],
    scores: &[f32],
    control: &Control,
) -> Result<Vec<f32>> {
    let (ends, listed) = lists;
    offsets::check("lists", ends, listed.len())?;
    offsets::check("scores", indptr, scores.len())?;
    if ends.len() != indptr.len() {
        let problem = format!("must have {} rows like scores", indptr.len() - 1);
        return Err(Error::shape("lists", problem, ends.len() - 1));
    }
    let [places] = fill_rows(
        indptr,
        control,
        || (),
        |(), row, [out]: [&mut [f32]; 1]| {
            let list = &listed[ends[row] as usize..ends[row + 1] as usize];
            let start = indptr[row] as usize;
            for at in 0..out.len() {
                let score = scores[start + at];
                out[at] = list.partition_point(|&s| s > score) as f32 + 1.0;
            }
        },
    )?;
    Ok(places)
}

/// The scores brought to 0 … 1 within their rows: 0 for the least, 1 for the greatest, 0 where all are equal.
pub fn min_max(indptr: &[i64], scores: &[f32], control: &Control) -> Result<Vec<f32>> {
    offsets::check("scores", indptr, scores.len())?;
    check_finite(scores)?;
    let [scaled] = fill_rows(
        indptr,
        control,
        || (),
        |(), row, [out]: [&mut [f32]; 1]| {
            let scores = &scores[indptr[row] as usize..indptr[row + 1] as usize];
            let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
            for &score in scores {
                least = least.min(score);
                most = most.max(score);
            }
            // In f64, where the span of any two of them is finite.
            let span = f64::from(most) - f64::from(least);
            if span > 0.0 {
                for at in 0..out.len() {
                    out[at] = ((f64::from(scores[at]) - f64::from(least)) / span) as f32;
                }
            }
        },
    )?;
    Ok(scaled)
}

/// The best `n` columns of every row, best first, equal scores by ascending column.
pub fn best(rows: Rows<'_>, scores: &[f32], n: usize, control: &Control) -> Result<Ranked> {
    check_scores(rows, scores)?;
    let longest = (0..rows.n_rows()).map(|row| rows.row(row).len()).max().unwrap_or(0);
    let n = n.min(longest);
    drive(
        rows.n_rows(),
        n,
        |row| rows.row(row).len() as u64,
        control,
        || Best::new(n, None),
        |best, row, cols, values| {
            let scores = &scores[rows.range(row)];
            for (&col, &score) in rows.row(row).iter().zip(scores) {
                best.offer(score + 0.0, col as usize);
            }
            best.take(cols, values)
        },
    )
}

/// That there is a finite score for each candidate.
pub(crate) fn check_scores(rows: Rows<'_>, scores: &[f32]) -> Result<()> {
    if scores.len() != rows.len() {
        let problem = format!("must have length {}, one for each candidate", rows.len());
        return Err(Error::shape("scores", problem, scores.len()));
    }
    check_finite(scores)
}

fn check_finite(scores: &[f32]) -> Result<()> {
    match scores.iter().position(|s| !s.is_finite()) {
        Some(at) => Err(Error::values("scores", "must be finite", scores[at]).at("position", at)),
        None => Ok(()),
    }
}

/// What `matrix` holds at each entry of `pairs`, and `absent` where it holds nothing. Row i of the pairs belongs to
/// row `rows[i]` of the matrix, to none where that is negative.
pub fn values_at(
    pairs: &Csr,
    matrix: &Csr,
    rows: &[i32],
    absent: f32,
    control: &Control,
) -> Result<Vec<f32>> {
    check_rows(pairs, rows, matrix.n_rows())?;
    if pairs.n_cols() != matrix.n_cols() {
        let problem = format!("must have {} columns like pairs", pairs.n_cols());
        return Err(Error::shape("matrix", problem, matrix.n_cols()));
    }
    let [values] = fill_rows(
        pairs.indptr(),
        control,
        || (),
        |(), row, [out]: [&mut [f32]; 1]| {
            out.fill(absent);
            if rows[row] < 0 {
                return;
            }
            let (wanted, (cols, values)) = (pairs.row(row).0, matrix.row(rows[row] as usize));
            let mut at = 0;
            for (slot, &col) in out.iter_mut().zip(wanted) {
                at += cols[at..].partition_point(|&c| c < col);
                match cols.get(at) {
                    Some(&c) if c == col => *slot = values[at],
                    Some(_) => {}
                    None => break,
                }
            }
        },
    )?;
    Ok(values)
}

/// Checks that `rows` names a row, or none, for every row of the pairs.
pub(crate) fn check_rows(pairs: &Csr, rows: &[i32], n_rows: usize) -> Result<()> {
    if rows.len() != pairs.n_rows() {
        let problem = format!("must have length {}, one for each query", pairs.n_rows());
        return Err(Error::shape("rows", problem, rows.len()));
    }
    match rows.iter().position(|&row| row >= 0 && row as usize >= n_rows) {
        Some(at) => {
            Err(Error::layout("rows", format!("must be below {n_rows}"), rows[at]).at("position", at))
        }
        None => Ok(()),
    }
}
