//! Scores of a few queries and sixteen items at once: the inner product of every pair, all of it in registers.
//!
//! Each sum is one chain over the dimensions, in their order, whatever stands beside it in the tile; so a score does
//! not depend on the batch, the number of threads, or the place of the item. With FMA a product is not rounded
//! before it is added, without it is: levels differ in the last bits.

use super::Level;

/// Queries of a tile: with 16 items their sums fill twelve of AVX2's sixteen registers.
pub(crate) const QUERIES: usize = 6;
/// Items of a tile.
pub(crate) const ITEMS: usize = 16;
/// Scores of a tile, query after query.
pub(crate) type Tile = [[f32; ITEMS]; QUERIES];

/// The way to compute a tile on this machine.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    fma: bool,
}

impl Kernel {
    /// For the level; AVX-512 machines take the AVX2 path too.
    pub(crate) fn new(level: Level) -> Self {
        #[cfg(target_arch = "x86_64")]
        let fma = level != Level::Portable && level.is_available() && is_x86_feature_detected!("fma");
        #[cfg(not(target_arch = "x86_64"))]
        let fma = level != Level::Portable;
        Self { fma }
    }

    /// Fills `out`; for every query, a bit for each item whose score is at least the query's floor and not 0.
    ///
    /// `items` holds dimension after dimension, sixteen items each; every query is as long as there are dimensions.
    #[inline]
    pub(crate) fn scores(
        self,
        queries: [&[f32]; QUERIES],
        items: &[[f32; ITEMS]],
        floors: &[f32; QUERIES],
        out: &mut Tile,
    ) -> [u32; QUERIES] {
        let queries = queries.map(|q| &q[..items.len()]);
        #[cfg(target_arch = "x86_64")]
        if self.fma {
            // SAFETY: `new` has seen AVX2 and FMA; every query is as long as `items`.
            return unsafe { x86::scores(queries, items, floors, out) };
        }
        let _ = self.fma;
        portable(queries, items, floors, out)
    }
}

fn portable(
    queries: [&[f32]; QUERIES],
    items: &[[f32; ITEMS]],
    floors: &[f32; QUERIES],
    out: &mut Tile,
) -> [u32; QUERIES] {
    let mut bits = [0; QUERIES];
    for (at, query) in queries.into_iter().enumerate() {
        let mut sums = [0.0_f32; ITEMS];
        for (&q, items) in query.iter().zip(items) {
            for (sum, &v) in sums.iter_mut().zip(items) {
                *sum += q * v;
            }
        }
        out[at] = sums;
        for (lane, &s) in sums.iter().enumerate() {
            bits[at] |= u32::from((s >= floors[at]) & (s != 0.0)) << lane;
        }
    }
    bits
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{ITEMS, QUERIES, Tile};
    use std::arch::x86_64::*;

    /// # Safety
    /// The machine has AVX2 and FMA, and every query is as long as `items`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn scores(
        queries: [&[f32]; QUERIES],
        items: &[[f32; ITEMS]],
        floors: &[f32; QUERIES],
        out: &mut Tile,
    ) -> [u32; QUERIES] {
        let start: [*const f32; QUERIES] = queries.map(<[f32]>::as_ptr);
        let mut low = [_mm256_setzero_ps(); QUERIES];
        let mut high = [_mm256_setzero_ps(); QUERIES];
        for (at, item) in items.iter().enumerate() {
            // SAFETY: the loads are the halves of `item`, and `at` is below the length of every query.
            unsafe {
                let left = _mm256_loadu_ps(item.as_ptr());
                let right = _mm256_loadu_ps(item.as_ptr().add(8));
                for q in 0..QUERIES {
                    let by = _mm256_broadcast_ss(&*start[q].add(at));
                    low[q] = _mm256_fmadd_ps(by, left, low[q]);
                    high[q] = _mm256_fmadd_ps(by, right, high[q]);
                }
            }
        }
        let mut bits = [0; QUERIES];
        let zero = _mm256_setzero_ps();
        for q in 0..QUERIES {
            let floor = _mm256_set1_ps(floors[q]);
            let hits = |s: __m256| {
                let good = _mm256_cmp_ps::<_CMP_GE_OQ>(s, floor);
                _mm256_movemask_ps(_mm256_and_ps(good, _mm256_cmp_ps::<_CMP_NEQ_OQ>(s, zero))) as u32
            };
            bits[q] = hits(low[q]) | hits(high[q]) << 8;
            // SAFETY: the stores are the halves of a row of `out`.
            unsafe {
                _mm256_storeu_ps(out[q].as_mut_ptr(), low[q]);
                _mm256_storeu_ps(out[q].as_mut_ptr().add(8), high[q]);
            }
        }
        bits
    }
}
