//! The only unsafe code of the crate: calling the same safe loops compiled for a wider instruction set.
//!
//! Loops are written once, in plain Rust that the compiler vectorises; [`dispatch`] runs them inside a
//! function compiled for the best instruction set of the machine. No path contracts a multiplication and an
//! addition, so every path gives the same bits as the portable one.

pub(crate) mod tile;

use std::sync::OnceLock;

/// Instruction sets with a compiled path of their own. NEON is part of the aarch64 baseline, so that
/// `Portable` is NEON there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What the target's baseline offers: SSE2 on x86-64, NEON on aarch64.
    Portable,
    /// AVX2 with BMI.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
}

impl Level {
    /// Can this machine run it?
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The level in force: `FERREC_SIMD` (`portable`, `avx2`, `avx512`) if set and available, else the best.
    pub fn current() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let best = [Self::Avx512, Self::Avx2].into_iter().find(|l| l.is_available());
            let best = best.unwrap_or(Self::Portable);
            let asked = match std::env::var("FERREC_SIMD").as_deref() {
                Ok("portable") => Self::Portable,
                Ok("avx2") => Self::Avx2,
                Ok("avx512") => Self::Avx512,
                _ => best,
            };
            if asked.is_available() { asked } else { best }
        })
    }

    /// The name that `FERREC_SIMD` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// The few operations that the compiler does not find in plain loops; a value of the type is the proof that the
/// machine has the instructions.
pub(crate) trait Isa: Copy {
    /// One bit per lane: is the score at least `floor`, and not 0?
    fn hits(self, scores: &[f32; 16], floor: f32) -> u32;
}

/// Whatever the target's baseline offers.
#[derive(Clone, Copy)]
pub(crate) struct Portable(());

impl Isa for Portable {
    #[inline(always)]
    fn hits(self, scores: &[f32; 16], floor: f32) -> u32 {
        let mut bits = 0;
        for (lane, &s) in scores.iter().enumerate() {
            bits |= u32::from((s >= floor) & (s != 0.0)) << lane;
        }
        bits
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Isa;
    use std::arch::x86_64::*;

    /// Made only by [`super::dispatch`], inside a function compiled for AVX2.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(pub(super) ());

    impl Isa for Avx2 {
        #[inline(always)]
        fn hits(self, scores: &[f32; 16], floor: f32) -> u32 {
            // SAFETY: `self` proves AVX2; both loads lie inside the array, and need no alignment.
            unsafe {
                let (floor, zero) = (_mm256_set1_ps(floor), _mm256_setzero_ps());
                let half = |at: usize| {
                    let s = _mm256_loadu_ps(scores.as_ptr().add(at));
                    let good = _mm256_cmp_ps::<_CMP_GE_OQ>(s, floor);
                    _mm256_movemask_ps(_mm256_and_ps(good, _mm256_cmp_ps::<_CMP_NEQ_OQ>(s, zero))) as u32
                };
                half(0) | half(8) << 8
            }
        }
    }

    /// Made only by [`super::dispatch`], inside a function compiled for AVX-512.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512(pub(super) ());

    impl Isa for Avx512 {
        #[inline(always)]
        fn hits(self, scores: &[f32; 16], floor: f32) -> u32 {
            // SAFETY: `self` proves AVX-512 F; the load is the whole array, and needs no alignment.
            unsafe {
                let s = _mm512_loadu_ps(scores.as_ptr());
                let good = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(s, _mm512_set1_ps(floor));
                u32::from(_mm512_mask_cmp_ps_mask::<_CMP_NEQ_OQ>(good, s, _mm512_setzero_ps()))
            }
        }
    }
}

/// A piece of work whose `run` is `#[inline(always)]`, so that it is compiled anew for every level.
pub(crate) trait Job {
    type Out;
    fn run<I: Isa>(self, isa: I) -> Self::Out;
}

/// Runs the job in code compiled for `level`.
#[inline]
pub(crate) fn dispatch<J: Job>(level: Level, job: J) -> J::Out {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn avx2<J: Job>(job: J) -> J::Out {
            job.run(x86::Avx2(()))
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn avx512<J: Job>(job: J) -> J::Out {
            job.run(x86::Avx512(()))
        }
        debug_assert!(level.is_available());
        match level {
            // SAFETY: `Level::current` and the tests hand out only levels whose features were detected.
            Level::Avx2 => return unsafe { avx2(job) },
            // SAFETY: as above.
            Level::Avx512 => return unsafe { avx512(job) },
            Level::Portable => {}
        }
    }
    let _ = level;
    job.run(Portable(()))
}

/// Asks for the first bytes of `slice` to be brought near: at most `lines` cache lines.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T], lines: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let bytes = std::mem::size_of_val(slice);
        let start = slice.as_ptr().cast::<i8>();
        for offset in (0..bytes).step_by(64).take(lines) {
            // SAFETY: a prefetch never faults, and `start + offset` lies inside the slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) };
        }
    }
    let _ = (slice, lines);
}
