//! Scores of a few queries and one or two panels of sixteen items at once: the inner product of every pair, all of
//! it in registers.
//!
//! Each sum is one chain over the dimensions, in their order, whatever stands beside it in the tile; so a score does
//! not depend on the batch, the number of threads, or the place of the item. With FMA a product is not rounded
//! before it is added, without it is: the portable level differs from the others in the last bits.

#[cfg(target_arch = "x86_64")]
use super::Set;
use super::{Fused, Level};
use std::ops::{Deref, DerefMut};

/// Queries of a tile: with 16 items their sums fill twelve of AVX2's sixteen registers, with 32 twelve of AVX-512's.
pub(crate) const QUERIES: usize = 6;
/// Items of a panel.
pub(crate) const ITEMS: usize = 16;
/// One dimension of sixteen items: a cache line, so that reading it touches no other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(align(64))]
pub(crate) struct Line(pub [f32; ITEMS]);

impl Deref for Line {
    type Target = [f32; ITEMS];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Line {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Scores of a tile, query after query.
pub(crate) type Tile<const Q: usize> = [[f32; ITEMS]; Q];

/// The way to compute a tile on this machine.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    level: Fused,
}

impl Kernel {
    pub(crate) fn new(level: Level) -> Self {
        Self { level: level.fused() }
    }

    /// Fills `out`; for every panel and query, a bit for each item whose score is at least the query's floor and not 0.
    ///
    /// A panel holds dimension after dimension; every query is as long as there are dimensions.
    #[inline]
    pub(crate) fn scores<const Q: usize, const P: usize>(
        self,
        queries: [&[f32]; Q],
        panels: [&[Line]; P],
        floors: &[f32; Q],
        out: &mut [Tile<Q>; P],
    ) -> [[u32; Q]; P] {
        const { assert!(Q <= QUERIES && 0 < P && P <= 2) };
        let d = panels[0].len();
        let (queries, panels) = (queries.map(|q| &q[..d]), panels.map(|items| &items[..d]));
        #[cfg(target_arch = "x86_64")]
        if self.level.0 == Set::Avx512 {
            // SAFETY: the `Fused` proves AVX-512 and FMA; queries and panels are of one length.
            return unsafe { x86::wide(queries, panels, floors, out) };
        }
        let mut bits = [[0; Q]; P];
        for ((bits, out), items) in bits.iter_mut().zip(out).zip(panels) {
            *bits = match self.level.0 {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the `Fused` proves AVX2 and FMA; queries and items are of one length.
                Set::Avx2 => unsafe { x86::narrow(queries, items, floors, out) },
                _ => portable(queries, items, floors, out),
            };
        }
        bits
    }
}

fn portable<const Q: usize>(
    queries: [&[f32]; Q],
    items: &[Line],
    floors: &[f32; Q],
    out: &mut Tile<Q>,
) -> [u32; Q] {
    let mut bits = [0; Q];
    for (at, query) in queries.into_iter().enumerate() {
        let mut sums = [0.0_f32; ITEMS];
        for (&q, items) in query.iter().zip(items) {
            for (sum, &v) in sums.iter_mut().zip(&items.0) {
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
    use super::{Line, Tile};
    use std::arch::x86_64::*;

    /// # Safety
    /// The machine has AVX-512 F; queries and panels are of one length.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn wide<const Q: usize, const P: usize>(
        queries: [&[f32]; Q],
        panels: [&[Line]; P],
        floors: &[f32; Q],
        out: &mut [Tile<Q>; P],
    ) -> [[u32; Q]; P] {
        let start: [*const f32; Q] = queries.map(<[f32]>::as_ptr);
        let first: [*const Line; P] = panels.map(<[Line]>::as_ptr);
        let mut sums = [[_mm512_setzero_ps(); Q]; P];
        for at in 0..panels[0].len() {
            // SAFETY: `at` is below the length of every query and panel.
            unsafe {
                let items: [__m512; P] = first.map(|items| _mm512_load_ps(items.add(at).cast()));
                for q in 0..Q {
                    let by = _mm512_set1_ps(*start[q].add(at));
                    for p in 0..P {
                        sums[p][q] = _mm512_fmadd_ps(by, items[p], sums[p][q]);
                    }
                }
            }
        }
        let mut bits = [[0; Q]; P];
        let zero = _mm512_setzero_ps();
        for p in 0..P {
            for q in 0..Q {
                let s = sums[p][q];
                let good = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(s, _mm512_set1_ps(floors[q]));
                bits[p][q] = u32::from(good & _mm512_cmp_ps_mask::<_CMP_NEQ_OQ>(s, zero));
                // SAFETY: the store is a row of `out`.
                unsafe { _mm512_storeu_ps(out[p][q].as_mut_ptr(), s) };
            }
        }
        bits
    }

    /// # Safety
    /// The machine has AVX2 and FMA, and every query is as long as `items`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn narrow<const Q: usize>(
        queries: [&[f32]; Q],
        items: &[Line],
        floors: &[f32; Q],
        out: &mut Tile<Q>,
    ) -> [u32; Q] {
        let start: [*const f32; Q] = queries.map(<[f32]>::as_ptr);
        let mut low = [_mm256_setzero_ps(); Q];
        let mut high = [_mm256_setzero_ps(); Q];
        for (at, item) in items.iter().enumerate() {
            // SAFETY: the loads are the halves of `item`, and `at` is below the length of every query.
            unsafe {
                let left = _mm256_loadu_ps(item.as_ptr());
                let right = _mm256_loadu_ps(item.as_ptr().add(8));
                for q in 0..Q {
                    let by = _mm256_broadcast_ss(&*start[q].add(at));
                    low[q] = _mm256_fmadd_ps(by, left, low[q]);
                    high[q] = _mm256_fmadd_ps(by, right, high[q]);
                }
            }
        }
        let mut bits = [0; Q];
        let zero = _mm256_setzero_ps();
        for q in 0..Q {
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
