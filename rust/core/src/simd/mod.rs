//! The only unsafe code of the crate: calling the same safe loops compiled for a wider instruction set.
//!
//! Loops are written once, in plain Rust that the compiler vectorises; [`dispatch`] runs them inside a
//! function compiled for the best instruction set of the machine. No path contracts a multiplication and an
//! addition, so every path gives the same bits as the portable one.

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

/// A piece of work whose `run` is `#[inline(always)]`, so that it is compiled anew for every level.
pub(crate) trait Job {
    type Out;
    fn run(self) -> Self::Out;
}

/// Runs the job in code compiled for `level`.
#[inline]
pub(crate) fn dispatch<J: Job>(level: Level, job: J) -> J::Out {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn avx2<J: Job>(job: J) -> J::Out {
            job.run()
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn avx512<J: Job>(job: J) -> J::Out {
            job.run()
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
    job.run()
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
