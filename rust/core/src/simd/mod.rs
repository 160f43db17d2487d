//! The only unsafe code of the crate: calling the same safe loops compiled for a wider instruction set.
//!
//! Loops are written once, in plain Rust that the compiler vectorizes; [`dispatch`] runs them inside a
//! function compiled for the best instruction set of the machine. No path contracts a multiplication and an
//! addition, so every path gives the same bits as the portable one.

pub(crate) mod lanes;
pub(crate) mod tile;

use crate::error::{Error, Result};
use std::sync::OnceLock;

/// The variable that chooses a level, to measure and to test.
const VARIABLE: &str = "FERREC_SIMD";

/// An instruction set that this machine has: a value is the proof that its instructions were detected, since only
/// this module makes one. What is compiled for an instruction set is reached through such a value, so that no safe
/// call can run instructions that the machine lacks.
///
/// NEON is part of the aarch64 baseline, so that the portable level is NEON there.
///
/// ```
/// use ferrec_core::simd::Level;
/// assert_eq!(Level::detect("portable"), Some(Level::PORTABLE));
/// assert_eq!(Level::detect("sse9"), None);
/// assert!(Level::available().any(|level| level == Level::best()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(Set);

/// The instruction sets with a compiled path of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// What the target's baseline offers: SSE2 on x86-64, NEON on aarch64.
    Portable,
    /// AVX2 with BMI.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ, VL, and all of AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Set {
    const ALL: &[Self] = &[
        Self::Portable,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
    ];

    /// Whether the machine has every instruction that [`dispatch`] compiles this set's code for.
    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
                    && is_x86_feature_detected!("lzcnt")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }
}

/// A level that also multiplies and adds in one instruction, or the portable one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fused(Set);

impl Level {
    /// The level of the target's baseline, which every machine has.
    pub const PORTABLE: Self = Self(Set::Portable);

    /// Every level of this machine, the slowest first.
    pub fn available() -> impl DoubleEndedIterator<Item = Self> {
        Set::ALL.iter().copied().filter(|set| set.is_available()).map(Self)
    }

    /// The level of that name, if this machine has it.
    pub fn detect(name: &str) -> Option<Self> {
        Self::available().find(|level| level.name() == name)
    }

    /// The fastest level of this machine.
    pub fn best() -> Self {
        Self::available().next_back().unwrap_or(Self::PORTABLE)
    }

    /// The level that the variable `FERREC_SIMD` names, else the best.
    ///
    /// # Errors
    /// It names a level that this machine does not have.
    pub fn asked() -> Result<Self> {
        let Some(name) = std::env::var_os(VARIABLE) else { return Ok(Self::best()) };
        let name = name.to_string_lossy();
        if name.is_empty() {
            return Ok(Self::best());
        }
        Self::detect(&name).ok_or_else(|| {
            let there: Vec<&str> = Self::available().map(Self::name).collect();
            Error::parameter(VARIABLE, format!("must be one of {} on this machine", there.join(", ")), &*name)
        })
    }

    /// The level in force, decided at the first call: [`Level::asked`], or the best where that is an error, which
    /// the bindings have raised before.
    pub fn current() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| Self::asked().unwrap_or_else(|_| Self::best()))
    }

    /// The level for code that fuses multiplications with additions: portable where the machine cannot run it.
    pub(crate) fn fused(self) -> Fused {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("fma") {
            return Fused(self.0);
        }
        Fused(Set::Portable)
    }

    /// The name that `FERREC_SIMD` takes.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// The few operations that the compiler does not find in plain loops; a value of the type is the proof that the
/// machine has the instructions.
pub(crate) trait Isa: Copy {
    /// One bit per lane: is the score at least `floor`, and not 0?
    fn hits(self, scores: &[f32; 16], floor: f32) -> u32;

    /// The same with a floor for each lane.
    fn hits_each(self, scores: &[f32; 16], floors: &[f32; 16]) -> u32;

    /// Products of four rows with two, all of one length, a multiple of 64; bytes are at most 127, and `steps`
    /// times twice the largest product fits in 16 bits.
    fn byte_tile(self, a: &[u8], b: &[u8], steps: usize) -> [[i32; 2]; 4];

    /// Products of four rows with two, all of one length, a multiple of eight. Eight sums are added up at every
    /// level, so that every level gives the same bits.
    fn float_tile(self, a: &[f32], b: &[f32]) -> [[f32; 2]; 4];
}

/// The total of eight sums, in the order of the vector code.
#[inline(always)]
fn total(s: [f32; 8]) -> f32 {
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
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

    #[inline(always)]
    fn hits_each(self, scores: &[f32; 16], floors: &[f32; 16]) -> u32 {
        let mut bits = 0;
        for (lane, (&s, &floor)) in scores.iter().zip(floors).enumerate() {
            bits |= u32::from((s >= floor) & (s != 0.0)) << lane;
        }
        bits
    }

    #[inline(always)]
    fn byte_tile(self, a: &[u8], b: &[u8], _steps: usize) -> [[i32; 2]; 4] {
        let n = a.len() / 4;
        let mut out = [[0; 2]; 4];
        for (out, a) in out.iter_mut().zip(a.chunks_exact(n)) {
            for (out, b) in out.iter_mut().zip(b.chunks_exact(n)) {
                // Products below 2^14: sixteen bits hold each, and vectors of them are twice as wide.
                *out = a.iter().zip(b).map(|(&a, &b)| i32::from(u16::from(a) * u16::from(b))).sum();
            }
        }
        out
    }

    #[inline(always)]
    fn float_tile(self, a: &[f32], b: &[f32]) -> [[f32; 2]; 4] {
        let n = a.len() / 4;
        let mut out = [[0.0; 2]; 4];
        for (out, a) in out.iter_mut().zip(a.chunks_exact(n)) {
            for (out, b) in out.iter_mut().zip(b.chunks_exact(n)) {
                let mut sums = [0.0; 8];
                for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
                    for lane in 0..8 {
                        sums[lane] += a[lane] * b[lane];
                    }
                }
                *out = total(sums);
            }
        }
        out
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

        #[inline(always)]
        fn hits_each(self, scores: &[f32; 16], floors: &[f32; 16]) -> u32 {
            // SAFETY: as in `hits`.
            unsafe {
                let zero = _mm256_setzero_ps();
                let half = |at: usize| {
                    let s = _mm256_loadu_ps(scores.as_ptr().add(at));
                    let good = _mm256_cmp_ps::<_CMP_GE_OQ>(s, _mm256_loadu_ps(floors.as_ptr().add(at)));
                    _mm256_movemask_ps(_mm256_and_ps(good, _mm256_cmp_ps::<_CMP_NEQ_OQ>(s, zero))) as u32
                };
                half(0) | half(8) << 8
            }
        }

        #[inline(always)]
        fn byte_tile(self, a: &[u8], b: &[u8], steps: usize) -> [[i32; 2]; 4] {
            let n = a.len() / 4;
            let b = &b[..2 * n];
            // SAFETY: `self` proves AVX2; all loads of 32 bytes lie inside the rows, since `at + 32 <= n`.
            unsafe {
                let ones = _mm256_set1_epi16(1);
                let mut wide = [[_mm256_setzero_si256(); 2]; 4];
                let mut at = 0;
                while at + 32 <= n {
                    let end = n.min(at.saturating_add(steps.saturating_mul(32)));
                    let mut sums = [[_mm256_setzero_si256(); 2]; 4];
                    while at + 32 <= end {
                        let b0 = _mm256_loadu_si256(b.as_ptr().add(at).cast());
                        let b1 = _mm256_loadu_si256(b.as_ptr().add(n + at).cast());
                        for (i, sums) in sums.iter_mut().enumerate() {
                            let a = _mm256_loadu_si256(a.as_ptr().add(i * n + at).cast());
                            sums[0] = _mm256_add_epi16(sums[0], _mm256_maddubs_epi16(a, b0));
                            sums[1] = _mm256_add_epi16(sums[1], _mm256_maddubs_epi16(a, b1));
                        }
                        at += 32;
                    }
                    for (wide, sums) in wide.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                        *wide = _mm256_add_epi32(*wide, _mm256_madd_epi16(*sums, ones));
                    }
                }
                // Eight vectors of eight sums each become one vector of eight totals.
                let pair = |i: usize| _mm256_hadd_epi32(wide[i][0], wide[i][1]);
                let low = _mm256_hadd_epi32(pair(0), pair(1));
                let high = _mm256_hadd_epi32(pair(2), pair(3));
                let total =
                    |v: __m256i| _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
                let mut out = [[0_i32; 2]; 4];
                _mm_storeu_si128(out.as_mut_ptr().cast(), total(low));
                _mm_storeu_si128(out.as_mut_ptr().add(2).cast(), total(high));
                out
            }
        }

        #[inline(always)]
        fn float_tile(self, a: &[f32], b: &[f32]) -> [[f32; 2]; 4] {
            let n = a.len() / 4;
            let b = &b[..2 * n];
            // SAFETY: `self` proves AVX2; all loads of eight lie inside the rows, since `at + 8 <= n`.
            unsafe {
                let mut sums = [[_mm256_setzero_ps(); 2]; 4];
                let mut at = 0;
                while at + 8 <= n {
                    let b0 = _mm256_loadu_ps(b.as_ptr().add(at));
                    let b1 = _mm256_loadu_ps(b.as_ptr().add(n + at));
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let a = _mm256_loadu_ps(a.as_ptr().add(i * n + at));
                        sums[0] = _mm256_add_ps(sums[0], _mm256_mul_ps(a, b0));
                        sums[1] = _mm256_add_ps(sums[1], _mm256_mul_ps(a, b1));
                    }
                    at += 8;
                }
                let mut out = [[0.0; 2]; 4];
                for (out, sums) in out.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                    let mut lanes = [0.0; 8];
                    _mm256_storeu_ps(lanes.as_mut_ptr(), *sums);
                    *out = super::total(lanes);
                }
                out
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

        #[inline(always)]
        fn hits_each(self, scores: &[f32; 16], floors: &[f32; 16]) -> u32 {
            // SAFETY: as in `hits`.
            unsafe {
                let s = _mm512_loadu_ps(scores.as_ptr());
                let good = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(s, _mm512_loadu_ps(floors.as_ptr()));
                u32::from(_mm512_mask_cmp_ps_mask::<_CMP_NEQ_OQ>(good, s, _mm512_setzero_ps()))
            }
        }

        #[inline(always)]
        fn byte_tile(self, a: &[u8], b: &[u8], steps: usize) -> [[i32; 2]; 4] {
            let n = a.len() / 4;
            let b = &b[..2 * n];
            // SAFETY: `self` proves AVX-512 BW; all loads of 64 bytes lie inside the rows, since `at + 64 <= n`.
            unsafe {
                let ones = _mm512_set1_epi16(1);
                let mut wide = [[_mm512_setzero_si512(); 2]; 4];
                let mut at = 0;
                while at + 64 <= n {
                    let end = n.min(at.saturating_add(steps.saturating_mul(64)));
                    let mut sums = [[_mm512_setzero_si512(); 2]; 4];
                    while at + 64 <= end {
                        let b0 = _mm512_loadu_si512(b.as_ptr().add(at).cast());
                        let b1 = _mm512_loadu_si512(b.as_ptr().add(n + at).cast());
                        for (i, sums) in sums.iter_mut().enumerate() {
                            let a = _mm512_loadu_si512(a.as_ptr().add(i * n + at).cast());
                            sums[0] = _mm512_add_epi16(sums[0], _mm512_maddubs_epi16(a, b0));
                            sums[1] = _mm512_add_epi16(sums[1], _mm512_maddubs_epi16(a, b1));
                        }
                        at += 64;
                    }
                    for (wide, sums) in wide.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                        *wide = _mm512_add_epi32(*wide, _mm512_madd_epi16(*sums, ones));
                    }
                }
                let mut out = [[0_i32; 2]; 4];
                for (out, wide) in out.as_flattened_mut().iter_mut().zip(wide.as_flattened()) {
                    *out = _mm512_reduce_add_epi32(*wide);
                }
                out
            }
        }

        #[inline(always)]
        fn float_tile(self, a: &[f32], b: &[f32]) -> [[f32; 2]; 4] {
            Avx2(()).float_tile(a, b)
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
        match level.0 {
            // SAFETY: a `Level` is made only where these features were detected: `Set::is_available`.
            Set::Avx2 => return unsafe { avx2(job) },
            // SAFETY: as above.
            Set::Avx512 => return unsafe { avx512(job) },
            Set::Portable => {}
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
        let lines = std::mem::size_of_val(slice).div_ceil(64).min(lines);
        let start = slice.as_ptr().cast::<i8>();
        for line in 0..lines {
            // SAFETY: a prefetch never faults, and the line begins inside the slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * 64)) };
        }
    }
    let _ = (slice, lines);
}
