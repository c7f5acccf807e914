//! `Z = X W + b` and `X^T D`, with vectors along the features.
//!
//! With features `x = a p + c` of bytes p, `Z = a (P W) + c colsum(W) + b` and
//! `X^T D = a P^T D + c 1 colsum(D)^T`. So bytes p that are 0 need not be read.

use std::ops::Range;

use crate::isa::IsaTask;
use crate::judge::{LossStats, Model, PassMode};
use crate::lanes::{Lanes, sum_quarters};
use crate::packed_rows::PackedRows;
use crate::patches::{BLOCK, Patches};
use crate::real::Real;

/// The parameters. Columns are stored in sets of C. The last set is padded with columns that stay
/// 0.
#[derive(Clone, Debug)]
pub(crate) struct Parameters<T, const C: usize> {
    /// All feature blocks of one set of columns, then those of the next set.
    pub(crate) weight: Vec<[Lanes<T>; C]>,
    /// One per column.
    pub(crate) bias: Vec<T>,
    /// `c colsum(W) + b`.
    pub(crate) base: Vec<T>,
    /// For each block: 1 in the lanes that hold a feature, 0 in the padding.
    pub(crate) is_feature: Vec<Lanes<T>>,
}

impl<T: Real, const C: usize> Parameters<T, C> {
    /// Creates zero parameters.
    pub(crate) fn new(patches: Patches, columns: usize) -> Self {
        let (blocks, sets) = (patches.count(), columns.div_ceil(C));
        let mut is_feature = vec![Lanes::ZERO; blocks];
        for feature in 0..patches.n_features() {
            let (block, lane) = patches.place(feature);
            is_feature[block].0[lane] = T::ONE;
        }
        let zeros = vec![T::ZERO; sets * C];
        Self { weight: vec![[Lanes::ZERO; C]; sets * blocks], bias: zeros.clone(), base: zeros, is_feature }
    }
}

/// Recomputes [`Parameters::base`] with the rounding of [`UpdateTask`]. So parameters that are set
/// equal those that steps reached, bit for bit.
pub(crate) struct Rebase<'a, T, const C: usize> {
    pub(crate) parameters: &'a mut Parameters<T, C>,
    /// c
    pub(crate) offset: f64,
    pub(crate) columns: usize,
}

impl<T: Real, const C: usize> IsaTask for Rebase<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { parameters: Parameters { weight, bias, base, is_feature }, offset, columns } = self;
        let blocks = is_feature.len();
        for column in 0..columns {
            let mut sum = Lanes::ZERO;
            for weight in &weight[column / C * blocks..][..blocks] {
                sum.add(&weight[column % C]);
            }
            base[column] = T::from_f64(offset).times_plus::<FMA>(sum.sum(), bias[column]);
        }
    }
}

/// Number of rows that go forward and then backward together. Their data stays in the nearest
/// caches. [`Accumulator::have`] has one bit per row.
const ROWS: usize = 64;

/// The sums of one thread over its rows, and its buffers. The alignment keeps the accumulators of
/// two threads on separate cache lines.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(crate) struct Accumulator<T, const C: usize> {
    /// `P^T D` in the layout of the weights, for residuals D. The factors a, c and 1/n are applied
    /// later.
    pub(crate) gradient: Vec<[Lanes<T>; C]>,
    /// `colsum(D)`, as partial sums: one per lane.
    pub(crate) residuals: Vec<Lanes<T>>,
    pub(crate) stats: LossStats,
    /// Logits, then residuals: by groups of sixteen rows, then by column, with one row per lane.
    logits: Vec<Lanes<T>>,
    /// For each block of the features, a bit mask of the rows that store it.
    have: Vec<u64>,
}

impl<T: Real, const C: usize> Accumulator<T, C> {
    pub(crate) fn new(patches: Patches, columns: usize) -> Self {
        let (blocks, sets) = (patches.count(), columns.div_ceil(C));
        Self {
            gradient: vec![[Lanes::ZERO; C]; sets * blocks],
            residuals: vec![Lanes::ZERO; sets * C],
            stats: LossStats::default(),
            logits: vec![Lanes::ZERO; sets * C * ROWS / BLOCK],
            have: vec![0; blocks],
        }
    }

    /// Adds the sums of all threads to those of the first.
    #[inline(always)]
    pub(crate) fn gather(found: &mut [Self]) -> &mut Self {
        let (first, others) = found.split_first_mut().expect("a thread at least");
        for other in others {
            for (sums, others) in first.gradient.iter_mut().zip(&other.gradient) {
                for (sum, other) in sums.iter_mut().zip(others) {
                    sum.add(other);
                }
            }
            for (sum, other) in first.residuals.iter_mut().zip(&other.residuals) {
                sum.add(other);
            }
        }
        first
    }
}

/// The rows of a pass.
#[derive(Clone, Copy)]
pub(crate) enum RowSet<'a> {
    /// These rows, in this order.
    Listed(&'a [usize]),
    /// The rows from the first index up to the second, exclusive.
    From(usize, usize),
}

impl<'a> RowSet<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            RowSet::Listed(rows) => rows.len(),
            RowSet::From(start, end) => end - start,
        }
    }

    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> usize {
        match self {
            RowSet::Listed(rows) => rows[i],
            RowSet::From(start, _) => start + i,
        }
    }

    #[inline(always)]
    pub(crate) fn part(self, range: Range<usize>) -> RowSet<'a> {
        match self {
            RowSet::Listed(rows) => RowSet::Listed(&rows[range]),
            RowSet::From(start, _) => RowSet::From(start + range.start, start + range.end),
        }
    }
}

/// One pass over some rows: logits, losses, residuals, and the sums of the gradient if the mode
/// needs them.
pub(crate) struct Pass<'a, T, const C: usize> {
    pub(crate) model: &'a Model,
    pub(crate) rows: &'a PackedRows,
    pub(crate) row_set: RowSet<'a>,
    pub(crate) parameters: &'a Parameters<T, C>,
    pub(crate) mode: PassMode,
    pub(crate) found: &'a mut Accumulator<T, C>,
}

impl<T: Real, const C: usize> IsaTask for Pass<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let all = self.row_set;
        let n = all.len();
        if self.mode == PassMode::Gradient {
            self.found.residuals.fill(Lanes::ZERO);
        }
        for first in (0..n).step_by(ROWS) {
            self.row_set = all.part(first..(first + ROWS).min(n));
            self.forward::<FMA>(all, first);
            self.judge::<FMA>();
            if self.mode == PassMode::Gradient {
                self.backward::<FMA>(first == 0);
            }
        }
    }
}

impl<T: Real, const C: usize> Pass<'_, T, C> {
    #[inline(always)]
    fn forward<const FMA: bool>(&mut self, all: RowSet, first: usize) {
        let (n, blocks, columns) = (self.row_set.len(), self.parameters.is_feature.len(), self.parameters.base.len());
        let scale = T::from_f64(self.rows.scale);
        let mut products = [[[T::ZERO; 4]; BLOCK]; C];
        for (set, base) in self.parameters.base.chunks_exact(C).enumerate() {
            let weight = &self.parameters.weight[set * blocks..][..blocks];
            for group in 0..n.div_ceil(BLOCK) {
                // Prefetch the next group, because shuffled rows lie anywhere in memory.
                if let RowSet::Listed(rows) = all
                    && set == 0
                {
                    let after = first + (group + 1) * BLOCK;
                    let rows = &rows[after.min(rows.len())..(after + BLOCK).min(rows.len())];
                    if rows.windows(2).any(|pair| pair[1] != pair[0] + 1) {
                        rows.iter().for_each(|&row| self.rows.prefetch(row));
                    }
                }
                for lane in 0..BLOCK.min(n - group * BLOCK) {
                    let (places, blocks) = self.rows.row(self.row_set.at(group * BLOCK + lane));
                    let product = product::<T, C, FMA>(places, blocks, weight);
                    for c in 0..C {
                        products[c][lane] = product[c];
                    }
                }
                let logits = &mut self.found.logits[group * columns + set * C..][..C];
                for c in 0..C {
                    let sums = sum_quarters(&products[c]);
                    logits[c] = Lanes([base[c]; BLOCK]);
                    logits[c].add_times::<FMA>(&sums, scale);
                }
            }
        }
    }

    #[inline(always)]
    fn judge<const FMA: bool>(&mut self) {
        let (n, columns) = (self.row_set.len(), self.parameters.base.len());
        for group in 0..n.div_ceil(BLOCK) {
            let filled = BLOCK.min(n - group * BLOCK);
            let row = |lane: usize| self.row_set.at(group * BLOCK + lane);
            let (stats, mode) = (&mut self.found.stats, self.mode);
            let (logits, filling) = self.found.logits[group * columns..][..columns].split_at_mut(self.model.columns());
            if let Model::Other(link) = self.model {
                let target = |lane| self.rows.target(row(lane));
                stats.other::<T>(&**link, logits, target, filled, mode);
            } else {
                let mut labels = [0; BLOCK];
                for (lane, label) in labels.iter_mut().enumerate().take(filled) {
                    *label = self.rows.labels()[row(lane)];
                }
                match self.model {
                    Model::Logistic => stats.logistic::<T, FMA>(logits, &labels, filled, mode),
                    _ => stats.softmax::<T, FMA>(logits, &labels, filled, mode),
                }
            }
            if mode == PassMode::Gradient {
                filling.fill(Lanes::ZERO);
                for (sum, residual) in self.found.residuals.iter_mut().zip(logits) {
                    sum.add(residual);
                }
            }
        }
    }

    #[inline(always)]
    fn backward<const FMA: bool>(&mut self, is_first: bool) {
        if C > 2 { self.by_blocks::<FMA>(is_first) } else { self.by_rows::<FMA>(is_first) }
    }

    /// Adds row by row to sums in memory.
    #[inline(always)]
    fn by_rows<const FMA: bool>(&mut self, is_first: bool) {
        let (blocks, columns) = (self.parameters.is_feature.len(), self.parameters.base.len());
        let Accumulator { gradient, logits, .. } = &mut *self.found;
        if is_first {
            gradient.fill([Lanes::ZERO; C]);
        }
        for (set, gradient) in gradient.chunks_exact_mut(blocks).enumerate() {
            for i in 0..self.row_set.len() {
                let (places, bytes) = self.rows.row(self.row_set.at(i));
                let residuals = &logits[i / BLOCK * columns + set * C..][..C];
                let mut residuals_of_row = [T::ZERO; C];
                for c in 0..C {
                    residuals_of_row[c] = residuals[c].0[i % BLOCK];
                }
                for (&place, block) in places.iter().zip(bytes) {
                    let x = Lanes::from_bytes(block);
                    let sums = &mut gradient[place as usize];
                    for c in 0..C {
                        sums[c].add_times::<FMA>(&x, residuals_of_row[c]);
                    }
                }
            }
        }
    }

    /// Adds block by block. The sums of a block stay in registers while all rows that store it are
    /// added. This is faster if a block has enough sums to outweigh the bookkeeping.
    #[inline(always)]
    fn by_blocks<const FMA: bool>(&mut self, is_first: bool) {
        let (blocks, columns) = (self.parameters.is_feature.len(), self.parameters.base.len());
        let all_blocks = self.rows.blocks();
        let Accumulator { gradient, logits, have, .. } = &mut *self.found;
        let (logits, have) = (&logits[..], &mut have[..]);
        have.fill(0);
        // For each row: the index of its next block, and the index of the first logits of its
        // group. The loops below visit the blocks in the order in which each row stores them.
        let mut starts = [(0, 0); ROWS];
        for i in 0..self.row_set.len() {
            let row = self.row_set.at(i);
            starts[i] = (self.rows.start(row), i / BLOCK * columns);
            for &place in self.rows.row(row).0 {
                have[place as usize] |= 1 << i;
            }
        }
        for (set, gradient) in gradient.chunks_exact_mut(blocks).enumerate() {
            let mut rows = starts;
            for (&have, gradient) in have.iter().zip(gradient) {
                let mut sums = if is_first { [Lanes::ZERO; C] } else { *gradient };
                let mut have = have;
                while have != 0 {
                    let i = have.trailing_zeros() as usize;
                    have &= have - 1;
                    let (next, first) = &mut rows[i];
                    let x = Lanes::from_bytes(&all_blocks[*next]);
                    *next += 1;
                    let residuals = &logits[*first + set * C..][..C];
                    for c in 0..C {
                        sums[c].add_times::<FMA>(&x, residuals[c].0[i % BLOCK]);
                    }
                }
                *gradient = sums;
            }
        }
    }
}

/// Returns `P W` of one row for the columns of a set, as four partial sums per column. An addition
/// waits for the previous addition to the same sum. With few columns, that wait is not filled by
/// other columns. So each column then has four sums that take turns.
#[inline(always)]
fn product<T: Real, const C: usize, const FMA: bool>(
    places: &[u32],
    blocks: &[[u8; BLOCK]],
    weight: &[[Lanes<T>; C]],
) -> [[T; 4]; C] {
    let turns = if C > 2 { 1 } else { UNROLL };
    let mut sums = [[Lanes::ZERO; C]; UNROLL];
    let (places_of_turns, last_places) = places.split_at(places.len() / turns * turns);
    let (blocks_of_turns, last_blocks) = blocks.split_at(places_of_turns.len());
    for (places, blocks) in places_of_turns.chunks_exact(turns).zip(blocks_of_turns.chunks_exact(turns)) {
        for turn in 0..turns {
            add_product::<T, C, FMA>(&mut sums[turn], &blocks[turn], &weight[places[turn] as usize]);
        }
    }
    for (&place, block) in last_places.iter().zip(last_blocks) {
        add_product::<T, C, FMA>(&mut sums[0], block, &weight[place as usize]);
    }
    let [mut sum, others @ ..] = sums;
    for c in 0..C {
        for other in others.iter().take(turns - 1) {
            sum[c].add(&other[c]);
        }
    }
    let mut quarters = [[T::ZERO; 4]; C];
    for c in 0..C {
        quarters[c] = sum[c].quarter();
    }
    quarters
}

const UNROLL: usize = 4;

#[inline(always)]
fn add_product<T: Real, const C: usize, const FMA: bool>(
    sums: &mut [Lanes<T>; C],
    block: &[u8; BLOCK],
    weight: &[Lanes<T>; C],
) {
    let x = Lanes::from_bytes(block);
    for c in 0..C {
        sums[c].add_product::<FMA>(&x, &weight[c]);
    }
}

/// The update after a pass: `W -= rate (gradient + lambda W)`. It also recomputes the column sums
/// of W.
pub(crate) struct UpdateTask<'a, T, const C: usize> {
    pub(crate) parameters: &'a mut Parameters<T, C>,
    /// The accumulator of each thread.
    pub(crate) found: &'a mut [Accumulator<T, C>],
    pub(crate) by: UpdateScalars,
}

/// Scalars of the update.
#[derive(Clone, Copy)]
pub(crate) struct UpdateScalars {
    /// a / n
    pub(crate) scale: f64,
    /// c / n
    pub(crate) offset: f64,
    /// 1 / n
    pub(crate) one: f64,
    /// c
    pub(crate) base: f64,
    pub(crate) learning_rate: f64,
    /// lambda
    pub(crate) l2: f64,
    /// lambda if the bias is penalised, else 0
    pub(crate) l2_of_bias: f64,
    pub(crate) columns: usize,
}

impl<T: Real, const C: usize> IsaTask for UpdateTask<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { parameters, found, by } = self;
        let blocks = parameters.is_feature.len();
        let sums = Accumulator::gather(found);
        // (1 - rate lambda) W - rate a/n P^T D - rate c/n colsum(D)
        let keep = T::from_f64(1.0 - by.learning_rate * by.l2);
        let scale = T::from_f64(-by.learning_rate * by.scale);
        let keep_bias = T::from_f64(1.0 - by.learning_rate * by.l2_of_bias);
        let rate = T::from_f64(-by.learning_rate * by.one);
        for set in 0..parameters.bias.len() / C {
            let [mut residuals, mut shift] = [[T::ZERO; C]; 2];
            for c in 0..C {
                residuals[c] = sums.residuals[set * C + c].sum();
                shift[c] = T::from_f64(-by.learning_rate * by.offset) * residuals[c];
            }
            let mut column_sums = [Lanes::ZERO; C];
            let weight = parameters.weight[set * blocks..][..blocks].iter_mut();
            let gradient = &sums.gradient[set * blocks..][..blocks];
            for ((weight, gradient), is_feature) in weight.zip(gradient).zip(&parameters.is_feature) {
                for c in 0..C {
                    let mut new = Lanes::ZERO;
                    new.add_times::<FMA>(is_feature, shift[c]);
                    new.add_times::<FMA>(&weight[c], keep);
                    new.add_times::<FMA>(&gradient[c], scale);
                    column_sums[c].add(&new);
                    weight[c] = new;
                }
            }
            for c in 0..C {
                let column = set * C + c;
                let bias = rate.times_plus::<FMA>(residuals[c], keep_bias * parameters.bias[column]);
                parameters.bias[column] = bias;
                if column < by.columns {
                    parameters.base[column] = T::from_f64(by.base).times_plus::<FMA>(column_sums[c].sum(), bias);
                }
            }
        }
    }
}
