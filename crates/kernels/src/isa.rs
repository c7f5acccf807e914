//! Selection of the instruction set at run time.

use std::fmt::{self, Display, Formatter};

/// An instruction set of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// The baseline instructions of the architecture.
    Portable,
    /// AVX2 and FMA: vectors of 256 bits, and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 (F, BW, DQ and VL), AVX2 and FMA: vectors of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Display for Isa {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable instructions",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "AVX-512",
        })
    }
}

/// Work that is compiled once for each [`Isa`].
pub(crate) trait IsaTask {
    type Output;

    /// Runs the task, with fused multiply-add if `FMA`. This function and all functions that it
    /// calls must be `#[inline(always)]`. So they are compiled for the instruction set of the
    /// caller.
    fn run<const FMA: bool>(self) -> Self::Output;
}

impl Isa {
    /// Returns the best instruction set of this processor.
    pub fn best() -> Self {
        *Self::available().last().expect("`available` always contains `Portable`")
    }

    /// Returns all instruction sets of this processor, the best last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "only x86_64 adds instruction sets")]
        let mut available = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                available.push(Isa::Avx2);
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    available.push(Isa::Avx512);
                }
            }
        }
        available
    }

    /// Runs a task, compiled for this instruction set.
    ///
    /// # Panics
    /// If this processor does not have the instruction set.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(unsafe_code, reason = "the compiler cannot know that the features were detected")
    )]
    pub(crate) fn run<T: IsaTask>(self, task: T) -> T::Output {
        match self {
            // Every aarch64 processor has fused multiply-add.
            Isa::Portable => task.run::<{ cfg!(target_arch = "aarch64") }>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                assert!(
                    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
                    "this processor does not have AVX2 and FMA"
                );
                // SAFETY: the assertion above checks both features that `avx2` is compiled for.
                unsafe { avx2(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                assert!(Isa::available().contains(&Isa::Avx512), "this processor does not have AVX-512");
                // SAFETY: the assertion above checks every feature that `avx512` is compiled for:
                // `available` queries each of them.
                unsafe { avx512(task) }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<T: IsaTask>(task: T) -> T::Output {
    task.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512<T: IsaTask>(task: T) -> T::Output {
    task.run::<true>()
}

/// Loads values into the cache before they are read. This changes only the time of the reads.
#[inline(always)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the intrinsic takes an address"))]
pub(crate) fn prefetch<V>(values: &[V]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of_val(values)).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch has no effect that the program can observe, and it never faults. The
        // address is inside `values`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast::<i8>().add(line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}
