//! What chance would do to a mean: bootstrap and sign flips. Each resample has its own random numbers, so that the
//! answer does not depend on the number of threads.

use crate::control::Control;
use crate::error::{Error, Result};
use crate::stateless::mix;
use rayon::prelude::*;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 (Steele et al., OOPSLA 2014), one sequence for each resample.
fn start(seed: u64, resample: usize) -> u64 {
    mix(mix(seed) ^ (resample as u64 + 1).wrapping_mul(STEP))
}

/// The means of each of `n_cols` columns over so many samples of the rows with replacement, each as large as the
/// whole: a row for each sample.
pub fn bootstrap_means(
    table: &[f64],
    n_cols: usize,
    n_resamples: usize,
    seed: u64,
    control: &Control,
) -> Result<Vec<f64>> {
    if n_cols == 0 || !table.len().is_multiple_of(n_cols) {
        return Err(Error::shape("table", format!("must be whole rows of {n_cols}"), table.len()));
    }
    let n_rows = table.len() / n_cols;
    let mut means = vec![0.0; n_resamples * n_cols];
    control.start(n_resamples as u64);
    means.par_chunks_mut(n_cols).enumerate().try_for_each(|(resample, sums)| {
        control.check()?;
        let mut state = start(seed, resample);
        for _ in 0..n_rows {
            state = state.wrapping_add(STEP);
            let at = (u128::from(mix(state)) * n_rows as u128) >> 64;
            let row = &table[at as usize * n_cols..(at as usize + 1) * n_cols];
            for col in 0..n_cols {
                sums[col] += row[col];
            }
        }
        for sum in sums {
            *sum /= n_rows as f64;
        }
        control.advance(1);
        Ok(())
    })?;
    Ok(means)
}

/// In how many of so many random choices of signs the sum of the values is at least as far from 0 as it is.
pub fn sign_flips(values: &[f64], n_resamples: usize, seed: u64, control: &Control) -> Result<u64> {
    let (mut sum, mut size) = (0.0, 0.0);
    for v in values {
        sum += v;
        size += v.abs();
    }
    // Sums that are equal by arithmetic may differ by rounding.
    let observed = f64::abs(sum) - 1e-12 * size;
    control.start(n_resamples as u64);
    (0..n_resamples)
        .into_par_iter()
        .map(|resample| {
            control.check()?;
            let mut state = start(seed, resample);
            let mut sum = 0.0;
            for some in values.chunks(64) {
                state = state.wrapping_add(STEP);
                let mut signs = mix(state);
                for v in some {
                    // The sign bit of v, flipped by chance.
                    sum += f64::from_bits(v.to_bits() ^ (signs << 63));
                    signs >>= 1;
                }
            }
            control.advance(1);
            Ok(u64::from(f64::abs(sum) >= observed))
        })
        .sum()
}
