//! What the processor could do at best, measured: the limits that kernels are held against.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use crate::isa::{Isa, Task};
use crate::real::Real;

/// Multiply-adds in f32 a second, on so many threads, out of registers: two operations each.
pub fn multiply_adds_per_second(isa: Isa, threads: usize) -> f64 {
    let rounds = 4_000_000;
    let work =
        || (0..threads).into_par_iter().for_each(|_| _ = black_box(isa.run(Chains { rounds: black_box(rounds) })));
    let seconds = crate::with_threads(threads, || fastest(work));
    (threads * rounds * CHAINS * 16) as f64 / seconds
}

/// Bytes read from memory a second, on so many threads.
pub fn bytes_per_second(threads: usize) -> f64 {
    let numbers: Vec<u64> = (0..(256 << 20) / 8).collect();
    let work = || {
        let part = numbers.len().div_ceil(threads);
        black_box(numbers.par_chunks(part).map(|part| part.iter().fold(0u64, |sum, x| sum ^ x)).sum::<u64>());
    };
    (8 * numbers.len()) as f64 / crate::with_threads(threads, || fastest(work))
}

/// Seconds of the fastest of some calls.
fn fastest(work: impl Fn()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..7).map(time).fold(f64::INFINITY, f64::min)
}

/// As many sums at once as hide how long one takes, and as registers bear.
const CHAINS: usize = 10;

struct Chains {
    rounds: usize,
}

impl Task for Chains {
    type Output = [[f32; 16]; CHAINS];

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Self::Output {
        // Variables, not an array of them, which compilers would keep in memory.
        let [mut a, mut b, mut c, mut d, mut e] = [[1.0f32; 16]; 5];
        let [mut f, mut g, mut h, mut i, mut j] = [[2.0f32; 16]; 5];
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
