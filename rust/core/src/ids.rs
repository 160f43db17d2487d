//! Integer ids to codes 0..n−1, in ascending order of the ids.

use crate::error::{Error, Result};
use rayon::prelude::*;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

/// Ids whose range is at most this many times their number go through a table instead of a hash map.
const TABLE_FACTOR: u64 = 8;
/// A table of this many places is always worth it.
const SMALL_TABLE: u64 = 1 << 20;
const CHUNK: usize = 1 << 18;

/// `(codes, ids)`: `ids` ascend strictly and `ids[codes[i]] == values[i]`.
pub fn encode_ints(values: &[i64]) -> Result<(Vec<i32>, Vec<i64>)> {
    let bounds = values
        .par_chunks(CHUNK)
        .map(|chunk| chunk.iter().fold((i64::MAX, i64::MIN), |(lo, hi), &v| (lo.min(v), hi.max(v))))
        .reduce_with(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let Some((low, high)) = bounds else {
        return Ok((Vec::new(), Vec::new()));
    };
    // The range of two i64 always fits in u64.
    let range = high.wrapping_sub(low) as u64;
    if range < (TABLE_FACTOR * values.len() as u64).max(SMALL_TABLE) {
        return by_table(values, low, range as usize + 1);
    }
    let distinct = |chunk: &[i64]| -> FxHashSet<i64> { chunk.iter().copied().collect() };
    let merged = values.par_chunks(CHUNK * 8).map(distinct).reduce(FxHashSet::default, |a, b| {
        let (mut large, small) = if a.len() >= b.len() { (a, b) } else { (b, a) };
        large.extend(small);
        large
    });
    let mut ids: Vec<i64> = merged.into_iter().collect();
    ids.par_sort_unstable();
    check_count(ids.len())?;
    let mut codes = FxHashMap::with_capacity_and_hasher(ids.len(), FxBuildHasher);
    codes.extend(ids.iter().enumerate().map(|(code, &id)| (id, code as i32)));
    let codes = values.par_iter().with_min_len(CHUNK).map(|v| codes[v]).collect();
    Ok((codes, ids))
}

fn by_table(values: &[i64], low: i64, size: usize) -> Result<(Vec<i32>, Vec<i64>)> {
    let place = |v: i64| v.wrapping_sub(low) as u64 as usize;
    let mut table = vec![0_i32; size];
    for &v in values {
        table[place(v)] = 1;
    }
    let mut ids = Vec::new();
    for (at, slot) in table.iter_mut().enumerate().filter(|s| *s.1 == 1) {
        *slot = ids.len() as i32;
        ids.push(low.wrapping_add(at as i64));
    }
    check_count(ids.len())?;
    let codes = values.par_iter().with_min_len(CHUNK).map(|&v| table[place(v)]).collect();
    Ok((codes, ids))
}

fn check_count(n: usize) -> Result<()> {
    if n > i32::MAX as usize {
        return Err(Error::shape("values", format!("must have at most {} distinct ids", i32::MAX), n));
    }
    Ok(())
}
