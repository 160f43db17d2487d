//! Loops over whole lanes of sixteen floats, written once and compiled for registers of the machine.
//!
//! Where the compiler does not find vectors by itself (sums that stay in registers over a loop), the work is written
//! over [`Lanes`]. With FMA a product is not rounded before it is added, without it is: levels differ in the last bits.

use super::Level;
#[cfg(target_arch = "x86_64")]
use super::Set;

/// Floats of one value: a cache line.
pub(crate) const LANES: usize = 16;
/// The same in memory.
pub(crate) type Lane = [f32; LANES];

/// Sixteen floats. A value of a type of this trait is made only inside [`run`], which has seen the instructions.
pub(crate) trait Lanes: Copy {
    fn splat(value: f32) -> Self;
    fn load(from: &Lane) -> Self;
    fn store(self, to: &mut Lane);
    fn plus(self, other: Self) -> Self;
    fn times(self, by: Self) -> Self;
    /// `self + a · b`.
    fn add_product(self, a: Self, b: Self) -> Self;
    /// The sum of each, halves first.
    fn totals(of: [Self; 4]) -> [f32; 4];
}

/// A piece of work whose `run` is `#[inline(always)]`, so that it is compiled anew for every level.
pub(crate) trait Work {
    fn run<L: Lanes>(self);
}

/// Runs the work in code compiled for `level`.
#[inline]
pub(crate) fn run<W: Work>(level: Level, work: W) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
        fn avx2<W: Work>(work: W) {
            work.run::<x86::Avx2>();
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
        fn avx512<W: Work>(work: W) {
            work.run::<x86::Avx512>();
        }
        match level.fused().0 {
            Set::Portable => {}
            // SAFETY: a `Fused` is made only where AVX2 with BMI, and FMA, were detected: `Level::fused`.
            Set::Avx2 => return unsafe { avx2(work) },
            // SAFETY: and AVX-512 for this one.
            Set::Avx512 => return unsafe { avx512(work) },
        }
    }
    let _ = level;
    work.run::<Portable>();
}

#[derive(Clone, Copy)]
struct Portable(Lane);

impl Lanes for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(from: &Lane) -> Self {
        Self(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut Lane) {
        *to = self.0;
    }

    #[inline(always)]
    fn plus(mut self, other: Self) -> Self {
        for l in 0..LANES {
            self.0[l] += other.0[l];
        }
        self
    }

    #[inline(always)]
    fn times(mut self, by: Self) -> Self {
        for l in 0..LANES {
            self.0[l] *= by.0[l];
        }
        self
    }

    #[inline(always)]
    fn add_product(mut self, a: Self, b: Self) -> Self {
        for l in 0..LANES {
            self.0[l] += a.0[l] * b.0[l];
        }
        self
    }

    #[inline(always)]
    fn totals(of: [Self; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        for (out, Self(s)) in out.iter_mut().zip(of) {
            let half: [f32; 8] = std::array::from_fn(|l| s[l] + s[l + 8]);
            let pairs: [f32; 4] = std::array::from_fn(|l| half[2 * l] + half[2 * l + 1]);
            *out = (pairs[0] + pairs[1]) + (pairs[2] + pairs[3]);
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lane, Lanes};
    use std::arch::x86_64::*;

    /// Made only by [`super::run`], inside a function compiled for AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(__m256, __m256);

    impl Lanes for Avx2 {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: only `run` names this type, after it has seen AVX2 and FMA; so below.
            let all = unsafe { _mm256_set1_ps(value) };
            Self(all, all)
        }

        #[inline(always)]
        fn load(from: &Lane) -> Self {
            // SAFETY: as above; the loads are the halves of the array, and need no alignment.
            unsafe { Self(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))) }
        }

        #[inline(always)]
        fn store(self, to: &mut Lane) {
            // SAFETY: as for `load`.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), self.0);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), self.1);
            }
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }

        #[inline(always)]
        fn times(self, by: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_mul_ps(self.0, by.0), _mm256_mul_ps(self.1, by.1)) }
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
        }

        #[inline(always)]
        fn totals(of: [Self; 4]) -> [f32; 4] {
            let mut out = [0.0; 4];
            // SAFETY: as above; the store is the whole array.
            unsafe {
                let [a, b, c, d] = of;
                let low = _mm256_hadd_ps(_mm256_add_ps(a.0, a.1), _mm256_add_ps(b.0, b.1));
                let high = _mm256_hadd_ps(_mm256_add_ps(c.0, c.1), _mm256_add_ps(d.0, d.1));
                let both = _mm256_hadd_ps(low, high);
                let sums = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps::<1>(both));
                _mm_storeu_ps(out.as_mut_ptr(), sums);
            }
            out
        }
    }

    /// Made only by [`super::run`], inside a function compiled for AVX-512.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512(__m512);

    impl Avx512 {
        #[inline(always)]
        fn halves(self) -> Avx2 {
            // SAFETY: only `run` names this type, after it has seen AVX-512; so below.
            unsafe { Avx2(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0)) }
        }
    }

    impl Lanes for Avx512 {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        fn load(from: &Lane) -> Self {
            // SAFETY: as above; the load is the whole array, and needs no alignment.
            Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut Lane) {
            // SAFETY: as for `load`.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn times(self, by: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_mul_ps(self.0, by.0) })
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn totals(of: [Self; 4]) -> [f32; 4] {
            Avx2::totals(of.map(Self::halves)) // the same order of additions, so the same bits
        }
    }
}
