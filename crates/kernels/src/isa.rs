//! Selection of the vector instructions at run time.

use std::fmt::{self, Display, Formatter};

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// The instructions that every processor of this architecture has.
    Portable,
    /// 256 bits and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits.
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

    /// Runs the task. This function and all that it calls must be `#[inline(always)]`, so that they
    /// are compiled for the instructions of the caller.
    fn run<const FMA: bool>(self) -> Self::Output;
}

impl Isa {
    /// Returns the best instructions of this processor.
    pub fn best() -> Self {
        *Self::available().last().expect("the portable one is always there")
    }

    /// Returns all instruction sets of this processor, the best last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "other architectures have nothing to add")]
        let mut available = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                available.push(Isa::Avx2);
                let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
                if wide && is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl") {
                    available.push(Isa::Avx512);
                }
            }
        }
        available
    }

    /// Runs a task that is compiled for these instructions.
    ///
    /// # Panics
    /// If this processor does not have them.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(unsafe_code, reason = "compilers cannot see what the processor was asked")
    )]
    pub(crate) fn run<J: IsaTask>(self, task: J) -> J::Output {
        match self {
            // Every aarch64 processor has fused multiply-add.
            Isa::Portable => task.run::<{ cfg!(target_arch = "aarch64") }>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                assert!(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"), "no AVX2 here");
                // SAFETY: the assertion above checks both features that `avx2` is compiled for.
                unsafe { avx2(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                assert!(Isa::available().contains(&Isa::Avx512), "no AVX-512 here");
                // SAFETY: the assertion above checks every feature that `avx512` is compiled for:
                // `available` queries each of them.
                unsafe { avx512(task) }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<J: IsaTask>(task: J) -> J::Output {
    task.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512<J: IsaTask>(task: J) -> J::Output {
    task.run::<true>()
}

/// Tells the processor that these values will be read soon. This changes only the time that the
/// reads take.
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
