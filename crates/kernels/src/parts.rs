//! Splits the rows of a pass among the threads.

use rayon::prelude::*;

use crate::losses::PassMode;

/// Minimum number of rows per thread. The minimum is higher for a gradient, because its sums and
/// the new weights must move between cores.
fn min_rows_per_thread(mode: PassMode) -> usize {
    if mode == PassMode::Gradient { 128 } else { 32 }
}

/// Number of parts that `n` rows are split into, one per thread.
pub(crate) fn n_parts(n: usize, threads: usize, mode: PassMode) -> usize {
    threads.min(n / min_rows_per_thread(mode)).max(1)
}

/// Splits `n` rows into one part per accumulator, whose bounds are multiples of `unit`, and runs
/// `work` on the parts in parallel. Returns the sums of the losses and of the numbers of correct
/// rows. They are added in the order of the parts, so the sums are reproducible.
pub(crate) fn run_in_parts<A: Send>(
    n: usize,
    unit: usize,
    accumulators: &mut [A],
    work: impl Fn((std::ops::Range<usize>, &mut A)) -> (f64, usize) + Sync + Send,
) -> (f64, usize) {
    // A single part runs here, because rayon would start a pool.
    if let [accumulator] = accumulators {
        return work((0..n, accumulator));
    }
    let n_parts = accumulators.len();
    let bound = |i: usize| if i == n_parts { n } else { n * i / n_parts / unit * unit };
    let range = |i: usize| bound(i)..bound(i + 1);
    let results: Vec<(f64, usize)> =
        accumulators.par_iter_mut().enumerate().map(|(i, accumulator)| work((range(i), accumulator))).collect();
    results.into_iter().fold((0.0, 0), |sums, (loss, n_correct)| (sums.0 + loss, sums.1 + n_correct))
}
