//! Measured speed limits of the processor. The benchmark compares the kernels with them.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use crate::isa::{Isa, IsaTask};
use crate::real::Real;

/// Measures multiply-adds per second in f32, on `threads` threads. All operands are in registers.
/// One multiply-add is two floating-point operations.
///
/// # Panics
/// If the system cannot create the threads.
pub fn multiply_adds_per_second(isa: Isa, threads: usize) -> f64 {
    let rounds = 4_000_000;
    // Each vector of sums fills one register.
    let (lanes, seconds) = match isa {
        Isa::Portable => (4, seconds_of_sums::<4>(isa, threads, rounds)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (8, seconds_of_sums::<8>(isa, threads, rounds)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (16, seconds_of_sums::<16>(isa, threads, rounds)),
    };
    (threads * rounds * N_SUMS * lanes) as f64 / seconds
}

/// Measures the time of `rounds` rounds of [`IndependentSums`] on every thread, in seconds.
fn seconds_of_sums<const LANES: usize>(isa: Isa, threads: usize, rounds: usize) -> f64 {
    let run_task = |_| _ = black_box(isa.run(IndependentSums::<LANES> { rounds: black_box(rounds) }));
    in_threads(threads, || fastest(|| (0..threads).into_par_iter().for_each(run_task)))
}

fn in_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    crate::with_threads(threads, f).expect("the system creates the threads")
}

/// Measures the bytes that `threads` threads read from memory per second.
///
/// # Panics
/// If the system cannot create the threads.
pub fn bytes_per_second(threads: usize) -> f64 {
    let numbers: Vec<u64> = (0..(256 << 20) / 8).collect();
    let work = || {
        let length = numbers.len().div_ceil(threads);
        black_box(numbers.par_chunks(length).map(|chunk| chunk.iter().fold(0u64, |sum, x| sum ^ x)).sum::<u64>());
    };
    (8 * numbers.len()) as f64 / in_threads(threads, || fastest(work))
}

/// Returns the seconds of the fastest of several calls.
fn fastest(work: impl Fn()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..7).map(time).fold(f64::INFINITY, f64::min)
}

/// Number of independent vectors of sums. They are enough to hide the latency of an addition, and
/// few enough to stay in registers.
const N_SUMS: usize = 10;

/// Adds to independent sums by multiply-adds, as fast as the processor can. In a round, each sum
/// has one multiply-add.
struct IndependentSums<const LANES: usize> {
    rounds: usize,
}

impl<const LANES: usize> IsaTask for IndependentSums<LANES> {
    type Output = [[f32; LANES]; N_SUMS];

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Self::Output {
        // The sums are separate variables, because compilers would keep an array in memory.
        let starts = std::array::from_fn(|i| [1.0 + i as f32; LANES]);
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h, mut i, mut j] = starts;
        for _ in 0..self.rounds {
            for sums in [&mut a, &mut b, &mut c, &mut d, &mut e, &mut f, &mut g, &mut h, &mut i, &mut j] {
                for sum in sums {
                    *sum = sum.multiply_add::<FMA>(0.999_999, 1e-7);
                }
            }
        }
        [a, b, c, d, e, f, g, h, i, j]
    }
}
