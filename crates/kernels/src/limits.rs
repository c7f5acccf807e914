//! Measured limits of the processor, with which the kernels are compared.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use crate::isa::{Isa, IsaTask};
use crate::real::Real;

/// Measures multiply-adds per second in f32, on `threads` threads, with all numbers in registers.
/// One multiply-add is two floating-point operations.
///
/// # Panics
/// If the system cannot create the threads.
pub fn multiply_adds_per_second(isa: Isa, threads: usize) -> f64 {
    let rounds = 4_000_000;
    // Each sum fills one register.
    let (lanes, seconds) = match isa {
        Isa::Portable => (4, chains::<4>(isa, threads, rounds)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (8, chains::<8>(isa, threads, rounds)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (16, chains::<16>(isa, threads, rounds)),
    };
    (threads * rounds * CHAINS * lanes) as f64 / seconds
}

fn chains<const LANES: usize>(isa: Isa, threads: usize, rounds: usize) -> f64 {
    let one = |_| _ = black_box(isa.run(IndependentSums::<LANES> { rounds: black_box(rounds) }));
    in_threads(threads, || fastest(|| (0..threads).into_par_iter().for_each(one)))
}

fn in_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    crate::with_threads(threads, f).expect("threads are to be had")
}

/// Measures bytes read from memory per second, on `threads` threads.
///
/// # Panics
/// If the system cannot create the threads.
pub fn bytes_per_second(threads: usize) -> f64 {
    let numbers: Vec<u64> = (0..(256 << 20) / 8).collect();
    let work = || {
        let part = numbers.len().div_ceil(threads);
        black_box(numbers.par_chunks(part).map(|part| part.iter().fold(0u64, |sum, x| sum ^ x)).sum::<u64>());
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

/// Number of independent sums: enough to hide the latency of an addition, and few enough for the
/// registers.
const CHAINS: usize = 10;

struct IndependentSums<const LANES: usize> {
    rounds: usize,
}

impl<const LANES: usize> IsaTask for IndependentSums<LANES> {
    type Output = [[f32; LANES]; CHAINS];

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Self::Output {
        // Separate variables, because compilers would keep an array in memory.
        let starts = std::array::from_fn(|chain| [1.0 + chain as f32; LANES]);
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h, mut i, mut j] = starts;
        for _ in 0..self.rounds {
            for sums in [&mut a, &mut b, &mut c, &mut d, &mut e, &mut f, &mut g, &mut h, &mut i, &mut j] {
                for sum in sums {
                    *sum = sum.times_plus::<FMA>(0.999_999, 1e-7);
                }
            }
        }
        [a, b, c, d, e, f, g, h, i, j]
    }
}
