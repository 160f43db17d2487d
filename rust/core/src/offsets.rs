//! Rows of different lengths, one after another: row `r` of an array lies from `offsets[r]` to `offsets[r + 1]`.

use crate::error::{Error, Result};
use crate::pages;
use rayon::prelude::*;
use std::fmt::Display;
use std::ops::Range;

/// Rows are cut into pieces of about this many entries for the parallel passes.
pub(crate) const PIECE: usize = 1 << 16;

/// Checks that the offsets run from 0 to `n`, the number of entries, without falling, and that they are those of
/// at most `i32::MAX` rows.
pub(crate) fn check(name: &str, offsets: &[i64], n: usize) -> Result<()> {
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
        return Err(Error::layout(name, "indptr must have one entry more than there are rows, got none", ()));
    };
    if offsets.len() - 1 > i32::MAX as usize {
        return Err(Error::shape(name, format!("must have at most {} rows", i32::MAX), offsets.len() - 1));
    }
    if first != 0 || last != n as i64 {
        let (at, got) = if first != 0 { (0, first) } else { (offsets.len() - 1, last) };
        return Err(Error::layout(name, format!("indptr must run from 0 to {n}"), got).at("position", at));
    }
    match offsets.windows(2).position(|w| w[0] > w[1]) {
        Some(row) => Err(Error::layout(name, "indptr must not fall", offsets[row + 1]).at("row", row)),
        None => Ok(()),
    }
}

/// Where the given rows lie, by offsets that nobody has checked, in arrays of `n` entries.
pub(crate) fn ranges(name: &str, offsets: &[i64], n: usize, rows: &[i32]) -> Result<Vec<Range<usize>>> {
    let n_rows = offsets.len().saturating_sub(1);
    let range = |row: i32| {
        let at = row as u32 as usize;
        if at >= n_rows {
            return Err(Error::layout("rows", format!("must be in 0..{n_rows}"), row));
        }
        let (start, end) = (offsets[at], offsets[at + 1]);
        if start < 0 || end < start || end as usize > n {
            let got = if end < start || start >= 0 { end } else { start };
            return Err(Error::layout(name, format!("indptr must ascend from 0 to {n}"), got).at("row", at));
        }
        Ok(start as usize..end as usize)
    };
    // Rows that overlap could ask for more memory than there is.
    let mut distinct = rows.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let mut total = 0;
    for row in distinct {
        total += range(row)?.len();
    }
    if total > n {
        let problem = format!("rows must not overlap: there are {n} entries in all");
        return Err(Error::layout(name, problem, total));
    }
    rows.iter().map(|&row| range(row)).collect()
}

/// The offsets of some ranges laid one after another.
pub(crate) fn of(ranges: &[Range<usize>]) -> Result<Vec<i64>> {
    let mut offsets = Vec::new();
    if offsets.try_reserve_exact(ranges.len() + 1).is_err() {
        return Err(Error::no_room(format_args!("{} offsets", ranges.len()), 8.0 * ranges.len() as f64));
    }
    offsets.push(0);
    let mut total = 0;
    for range in ranges {
        total += range.len() as i64;
        offsets.push(total);
    }
    Ok(offsets)
}

/// The entries of some ranges, one after another; `offsets` are [`of`] these ranges.
pub(crate) fn gather<T>(ranges: &[Range<usize>], offsets: &[i64], from: &[T]) -> Result<Vec<T>>
where
    T: Copy + Default + Send + Sync,
{
    let mut out = zeros("entries of some rows", offsets[ranges.len()] as usize)?;
    let pieces = pieces(offsets);
    let copy = |(rows, out): (Range<usize>, &mut [T])| {
        let mut at = 0;
        for range in &ranges[rows] {
            out[at..at + range.len()].copy_from_slice(&from[range.clone()]);
            at += range.len();
        }
    };
    // A single piece is copied where the caller stands: without any thread pool.
    if pieces.len() <= 1 {
        copy((0..ranges.len(), &mut out));
        return Ok(out);
    }
    let mut jobs = Vec::with_capacity(pieces.len());
    let mut rest = &mut out[..];
    for rows in pieces {
        let (own, tail) = rest.split_at_mut((offsets[rows.end] - offsets[rows.start]) as usize);
        jobs.push((rows, own));
        rest = tail;
    }
    jobs.into_par_iter().for_each(copy);
    Ok(out)
}

/// Ranges of rows with about equal numbers of entries.
pub(crate) fn pieces(offsets: &[i64]) -> Vec<Range<usize>> {
    let n_rows = offsets.len() - 1;
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < n_rows {
        let goal = offsets[start] + PIECE as i64;
        let end = offsets.partition_point(|&o| o <= goal).max(start + 2) - 1;
        let end = end.min(start + PIECE).min(n_rows);
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// Zeros, or an error that says for what there is no room.
pub(crate) fn zeros<T: Copy + Default>(what: impl Display, len: usize) -> Result<Vec<T>> {
    pages::zeros(len)
        .ok_or_else(|| Error::no_room(format_args!("{len} {what}"), len as f64 * size_of::<T>() as f64))
}
