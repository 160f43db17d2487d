//! What chance would do to a mean: bootstrap and sign flips. Each resample has its own random numbers, so that the
//! answer does not depend on the number of threads.

use crate::control::Control;
use crate::error::Result;
use crate::stateless::mix;
use rayon::prelude::*;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 (Steele et al., OOPSLA 2014), one sequence for each resample.
fn start(seed: u64, resample: usize) -> u64 {
    mix(mix(seed) ^ (resample as u64 + 1).wrapping_mul(STEP))
}

/// The means of so many samples of the values with replacement, each as large as the whole.
pub fn bootstrap_means(values: &[f64], n_resamples: usize, seed: u64, control: &Control) -> Result<Vec<f64>> {
    control.start(n_resamples as u64);
    (0..n_resamples)
        .into_par_iter()
        .map(|resample| {
            control.check()?;
            let mut state = start(seed, resample);
            let mut sum = 0.0;
            for _ in 0..values.len() {
                state = state.wrapping_add(STEP);
                let at = (u128::from(mix(state)) * values.len() as u128) >> 64;
                sum += values[at as usize];
            }
            control.advance(1);
            Ok(sum / values.len() as f64)
        })
        .collect()
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
