//! The pass over rows of a table. A vector holds one number per row of a group.
//!
//! A feature of a number is `x = a r + c`, for a stored number r; that of a level is `a + c` in the
//! level's rows, else c. The products with the features follow from those with the stored numbers:
//!
//! ```text
//! Z     = X W + b   = R (a W) + (b + c^T W)
//! X^T D             = a (R^T D) + c colsum(D)^T
//! ```
//!
//! The kernel folds a into the weights and c into the base `b + c^T W`, so the pass sees r only.
//! For a level, r is 1 in its rows: its weights are added to the logits of the row, and the
//! residuals of the row to its sums. No other level is read. Sparse features are like levels, with
//! a value beside each.

use crate::isa::IsaTask;
use crate::lanes::{LANES, Lanes};
use crate::losses::{LossFunction, LossStats, PassMode};
use crate::packed_rows::Targets;
use crate::real::Real;
use crate::row_set::RowSet;
use crate::table::rows::{GroupBuffer, Groups, Stored, TableRows, convert};

/// The weights of the stored numbers. The number of columns is padded to a multiple of the tile
/// size, with columns that stay 0.
#[derive(Clone, Debug)]
pub(crate) struct FoldedWeights<T> {
    /// Indexed `[column * n_numbers + number]`. If a number's weights were contiguous, the compiler
    /// would make vectors of them instead of vectors of rows.
    pub(crate) numbers: Vec<T>,
    /// Indexed `[code * k + column]`. The last code stands for no level; its weights are 0.
    pub(crate) levels: Vec<T>,
    /// Indexed `[position * k + column]`.
    pub(crate) sparse: Vec<T>,
    /// The logits of a row whose stored numbers are all 0. One number per column.
    pub(crate) base: Vec<T>,
}

/// Number of rows per chunk of a pass. The forward pass of a chunk is followed by its backward
/// pass, so its numbers stay in the L1 or L2 cache.
pub(crate) const ROWS_PER_CHUNK: usize = 64;
const GROUPS_PER_CHUNK: usize = ROWS_PER_CHUNK / LANES;

/// Maximum number of rows that are summed in the type of the weights. A multiple of
/// [`ROWS_PER_CHUNK`].
const ROWS_PER_SUM: usize = 1 << 13;

/// The sums and buffers of one thread. The alignment keeps the accumulators of two threads on
/// separate cache lines.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(crate) struct Accumulator<T, S, const C: usize> {
    /// `R^T D` of the rows since the last flush, one partial sum per lane. Indexed
    /// `[tile * n_numbers + number][column of the tile]`.
    partial: Vec<[Lanes<T>; C]>,
    /// `colsum(D)` of the rows since the last flush.
    partial_residuals: Vec<Lanes<T>>,
    /// `R^T D`, indexed `[number * k + column]`.
    pub(crate) numbers: Vec<f64>,
    /// The sums of the residuals of each level's rows. Indexed as [`FoldedWeights::levels`].
    pub(crate) levels: Vec<f64>,
    /// The products of the sparse features and the residuals. Indexed as [`FoldedWeights::sparse`].
    pub(crate) sparse: Vec<f64>,
    /// `colsum(D)`, `[k]`.
    pub(crate) residuals: Vec<f64>,
    pub(crate) stats: LossStats,
    /// Logits, which the residuals replace. Indexed
    /// `[group * padded_columns + column].0[row of the group]`.
    logits: Vec<Lanes<T>>,
    buffer: GroupBuffer<S>,
}

impl<T: Real, S: Stored, const C: usize> Accumulator<T, S, C> {
    pub(crate) fn new(n_numbers: usize, n_codes: usize, n_sparse: usize, columns: usize) -> Self {
        let n_tiles = columns.div_ceil(C);
        Self {
            partial: vec![[Lanes::ZERO; C]; n_tiles * n_numbers],
            partial_residuals: vec![Lanes::ZERO; n_tiles * C],
            numbers: vec![0.0; n_numbers * columns],
            levels: vec![0.0; n_codes * columns],
            sparse: vec![0.0; n_sparse * columns],
            residuals: vec![0.0; columns],
            stats: LossStats::default(),
            logits: vec![Lanes::ZERO; n_tiles * C * GROUPS_PER_CHUNK],
            buffer: GroupBuffer::new(),
        }
    }

    /// Sets the sums to 0.
    fn reset(&mut self) {
        self.partial.fill([Lanes::ZERO; C]);
        self.partial_residuals.fill(Lanes::ZERO);
        for sums in [&mut self.numbers, &mut self.levels, &mut self.sparse, &mut self.residuals] {
            sums.fill(0.0);
        }
    }

    /// Adds the partial sums to the sums in f64, and sets them to 0.
    #[inline(always)]
    fn flush(&mut self) {
        let k = self.residuals.len();
        let n_numbers = self.numbers.len() / k;
        for (tile, partial) in self.partial.chunks_exact_mut(n_numbers.max(1)).enumerate() {
            for (sums, partial) in self.numbers.chunks_exact_mut(k).zip(partial) {
                for (sum, partial) in sums[tile * C..].iter_mut().zip(partial) {
                    *sum += partial.sum_f64();
                    *partial = Lanes::ZERO;
                }
            }
        }
        for (sum, partial) in self.residuals.iter_mut().zip(&mut self.partial_residuals) {
            *sum += partial.sum_f64();
            *partial = Lanes::ZERO;
        }
    }

    /// Adds the sums of all threads to those of the first thread.
    pub(crate) fn reduce(accumulators: &mut [Self]) -> &mut Self {
        let (first, others) = accumulators.split_first_mut().expect("there is at least one thread");
        for other in others {
            let pairs = [
                (&mut first.numbers, &other.numbers),
                (&mut first.levels, &other.levels),
                (&mut first.sparse, &other.sparse),
                (&mut first.residuals, &other.residuals),
            ];
            for (sums, others) in pairs {
                sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
            }
        }
        first
    }
}

/// A pass over rows. It computes logits, and adds up the results that its mode requires.
pub(crate) struct Pass<'a, T, S, const C: usize> {
    pub(crate) loss_function: &'a LossFunction,
    pub(crate) rows: &'a TableRows,
    pub(crate) targets: &'a Targets,
    pub(crate) row_set: RowSet<'a>,
    pub(crate) weights: &'a FoldedWeights<T>,
    pub(crate) mode: PassMode,
    pub(crate) accumulator: &'a mut Accumulator<T, S, C>,
}

impl<T: Real, S: Stored, const C: usize> IsaTask for Pass<'_, T, S, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { loss_function, rows, targets, row_set: all_rows, weights, mode, accumulator } = self;
        let n = all_rows.len();
        if mode == PassMode::Gradient {
            accumulator.reset();
        }
        let columns = loss_function.columns();
        rows.prefetch::<S>(listed_chunk(all_rows, 0));
        for start in (0..n).step_by(ROWS_PER_CHUNK) {
            let row_set = all_rows.slice(start..(start + ROWS_PER_CHUNK).min(n));
            let Accumulator { partial, partial_residuals, levels, sparse, stats, logits, buffer, .. } =
                &mut *accumulator;
            let groups = rows.groups(row_set, buffer);
            multiply_numbers::<T, S, C, FMA>(groups, row_set.len(), weights, logits);
            add_levels(groups, row_set.len(), weights, columns, logits);
            let padded_columns = weights.base.len();
            if !weights.sparse.is_empty() {
                let weights = &weights.sparse;
                rows.sparse().multiply::<T, S, FMA>(row_set, weights, columns, padded_columns, logits);
            }
            for group in 0..row_set.len().div_ceil(LANES) {
                let n_rows = LANES.min(row_set.len() - group * LANES);
                let row = |lane: usize| row_set.row(group * LANES + lane);
                let (logits, padding) = logits[group * padded_columns..][..padded_columns].split_at_mut(columns);
                stats.add_group::<T, FMA>(loss_function, logits, targets, row, n_rows, mode);
                if mode == PassMode::Gradient {
                    padding.fill(Lanes::ZERO);
                    for (sum, residual) in partial_residuals.iter_mut().zip(logits) {
                        sum.add(residual);
                    }
                }
            }
            if mode == PassMode::Gradient {
                let next = listed_chunk(all_rows, start + ROWS_PER_CHUNK);
                accumulate_numbers::<T, S, C, FMA>(groups, row_set.len(), padded_columns, logits, partial, rows, next);
                accumulate_levels(groups, row_set.len(), padded_columns, columns, logits, levels);
                if !sparse.is_empty() {
                    rows.sparse().accumulate::<T, S, FMA>(row_set, logits, columns, padded_columns, sparse);
                }
                if (start + ROWS_PER_CHUNK).is_multiple_of(ROWS_PER_SUM) {
                    accumulator.flush();
                }
            }
        }
        if mode == PassMode::Gradient {
            accumulator.flush();
        }
    }
}

/// Returns the rows of a chunk, if they are listed. Others are contiguous, so that the processor
/// itself loads them before they are read.
#[inline(always)]
fn listed_chunk(all_rows: RowSet<'_>, start: usize) -> &[usize] {
    match all_rows {
        RowSet::Listed(rows) => &rows[start.min(rows.len())..(start + ROWS_PER_CHUNK).min(rows.len())],
        RowSet::Range(..) | RowSet::Sampled { .. } => &[],
    }
}

/// Sets the logits to the base plus the products of the numbers.
///
/// An addition must wait for the previous addition to the same sum. With few columns, several
/// groups are computed together, so that their additions fill that time.
#[inline(always)]
fn multiply_numbers<T: Real, S: Stored, const C: usize, const FMA: bool>(
    groups: Groups<S>,
    n: usize,
    weights: &FoldedWeights<T>,
    logits: &mut [Lanes<T>],
) {
    let (n_groups, padded_columns) = (n.div_ceil(LANES), weights.base.len());
    let n_numbers = weights.numbers.len() / padded_columns;
    for tile in 0..padded_columns / C {
        let numbers_of_tile = &weights.numbers[tile * C * n_numbers..][..C * n_numbers];
        let base = &weights.base[tile * C..][..C];
        let mut group = 0;
        if C <= 2 {
            while group + 4 <= n_groups {
                products::<T, S, C, 4, FMA>(groups, group, numbers_of_tile, base, padded_columns, tile, logits);
                group += 4;
            }
        }
        while group < n_groups {
            products::<T, S, C, 1, FMA>(groups, group, numbers_of_tile, base, padded_columns, tile, logits);
            group += 1;
        }
    }
}

/// Computes the logits of U groups for one tile.
#[inline(always)]
fn products<T: Real, S: Stored, const C: usize, const U: usize, const FMA: bool>(
    groups: Groups<S>,
    first_group: usize,
    weights: &[T],
    base: &[T],
    padded_columns: usize,
    tile: usize,
    logits: &mut [Lanes<T>],
) {
    let d = weights.len() / C;
    let mut columns = [&weights[..0]; C];
    for c in 0..C {
        columns[c] = &weights[c * d..][..d];
    }
    let mut sums = [[Lanes::ZERO; C]; U];
    let mut numbers = [&groups.numbers[..0]; U];
    for u in 0..U {
        numbers[u] = &groups.numbers[(first_group + u) * d..][..d];
    }
    for j in 0..d {
        for u in 0..U {
            let x = convert::<T, S>(&numbers[u][j]);
            for c in 0..C {
                sums[u][c].add_scaled::<FMA>(&x, columns[c][j]);
            }
        }
    }
    for u in 0..U {
        let logits = &mut logits[(first_group + u) * padded_columns + tile * C..][..C];
        for c in 0..C {
            logits[c] = Lanes([base[c]; LANES]);
            logits[c].add(&sums[u][c]);
        }
    }
}

/// Adds the weights of each row's levels to its logits.
#[inline(always)]
fn add_levels<T: Real, S: Stored>(
    groups: Groups<S>,
    n: usize,
    weights: &FoldedWeights<T>,
    columns: usize,
    logits: &mut [Lanes<T>],
) {
    let (n_groups, padded_columns) = (n.div_ceil(LANES), weights.base.len());
    for (group, codes) in groups.codes.chunks_exact((groups.codes.len() / n_groups).max(1)).enumerate() {
        let logits = &mut logits[group * padded_columns..][..padded_columns];
        for codes in codes.as_chunks::<LANES>().0 {
            if columns == 1 {
                for lane in 0..LANES {
                    logits[0].0[lane] += weights.levels[codes[lane] as usize];
                }
                continue;
            }
            for lane in 0..LANES {
                let weights = &weights.levels[codes[lane] as usize * columns..][..columns];
                for (logits, &weight) in logits.iter_mut().zip(weights) {
                    logits.0[lane] += weight;
                }
            }
        }
    }
}

/// Adds the products of the numbers and the residuals to the partial sums.
///
/// Meanwhile the rows `next` are loaded into the cache. A processor waits for few cache lines at a
/// time, so that their prefetches are spread over the products: of 200 000 shuffled rows of 54
/// numbers, a step then takes 123 ns a row instead of 270.
#[inline(always)]
fn accumulate_numbers<T: Real, S: Stored, const C: usize, const FMA: bool>(
    groups: Groups<S>,
    n: usize,
    padded_columns: usize,
    residuals: &[Lanes<T>],
    partial: &mut [[Lanes<T>; C]],
    rows: &TableRows,
    next: &[usize],
) {
    let n_groups = n.div_ceil(LANES);
    let n_numbers = groups.numbers.len() / n_groups;
    let mut prefetched = 0;
    if n_numbers == 0 {
        rows.prefetch::<S>(next);
    }
    for (tile, partial) in partial.chunks_exact_mut(n_numbers.max(1)).enumerate() {
        for (j, sums) in partial.iter_mut().enumerate() {
            let end = (next.len() * (j + 1)).div_ceil(n_numbers);
            if tile == 0 && prefetched < end {
                rows.prefetch::<S>(&next[prefetched..end]);
                prefetched = end;
            }
            let mut new = *sums;
            for group in 0..n_groups {
                let x = convert::<T, S>(&groups.numbers[group * n_numbers + j]);
                let residuals: &[Lanes<T>; C] =
                    residuals[group * padded_columns + tile * C..].first_chunk().expect("the columns of a tile");
                for c in 0..C {
                    new[c].add_product::<FMA>(&x, &residuals[c]);
                }
            }
            *sums = new;
        }
    }
}

/// Adds the residuals of each row to the sums of its levels.
#[inline(always)]
fn accumulate_levels<T: Real, S: Stored>(
    groups: Groups<S>,
    n: usize,
    padded_columns: usize,
    columns: usize,
    residuals: &[Lanes<T>],
    levels: &mut [f64],
) {
    let n_groups = n.div_ceil(LANES);
    for (group, codes) in groups.codes.chunks_exact((groups.codes.len() / n_groups).max(1)).enumerate() {
        let residuals = &residuals[group * padded_columns..][..columns];
        for codes in codes.as_chunks::<LANES>().0 {
            if columns == 1 {
                for lane in 0..LANES {
                    levels[codes[lane] as usize] += residuals[0].0[lane].to_f64();
                }
                continue;
            }
            for lane in 0..LANES {
                let sums = &mut levels[codes[lane] as usize * columns..][..columns];
                for (sum, residuals) in sums.iter_mut().zip(residuals) {
                    *sum += residuals.0[lane].to_f64();
                }
            }
        }
    }
}
