//! The matrix products of the forward and backward pass, and the update. A vector holds one number
//! per feature of a block.
//!
//! A feature is `x = a p + c`, for a byte p. The products with the features X follow from the
//! products with the bytes P, for residuals D:
//!
//! ```text
//! Z     = X W + b   = a (P W) + c colsum(W) + b
//! X^T D             = a (P^T D) + c 1 colsum(D)^T
//! ```
//!
//! Here 1 is a column of ones. `c colsum(W) + b` is added to every row of Z.
//!
//! Bytes that are 0 add nothing to `P W` and `P^T D`, and the terms of c contain no bytes. So these
//! bytes need not be read, even if c is not 0.

use crate::bytes::layout::BlockLayout;
use crate::bytes::rows::ByteRows;
use crate::isa::IsaTask;
use crate::lanes::{LANES, Lanes, add_partial_sums};
use crate::losses::{LossFunction, LossStats, PassMode};
use crate::packed_rows::Targets;
use crate::real::Real;
use crate::row_set::RowSet;

/// The parameters W and b. The columns of W are stored in tiles of C columns. The last tile is
/// padded with columns that stay 0.
#[derive(Clone, Debug)]
pub(crate) struct Parameters<T, const C: usize> {
    /// Indexed `[tile * n_blocks + block][column of the tile].0[lane]`.
    pub(crate) weight: Vec<[Lanes<T>; C]>,
    /// The bias b, one number per column.
    pub(crate) bias: Vec<T>,
    /// `c colsum(W) + b`, the logits of a row of zero bytes. One number per column.
    pub(crate) zero_logits: Vec<T>,
    /// For each block: 1 in the lanes that hold a feature, 0 in the padding.
    pub(crate) is_feature: Vec<Lanes<T>>,
}

impl<T: Real, const C: usize> Parameters<T, C> {
    /// Creates zero parameters.
    pub(crate) fn new(layout: BlockLayout, columns: usize) -> Self {
        let (n_blocks, n_tiles) = (layout.n_blocks(), columns.div_ceil(C));
        let mut is_feature = vec![Lanes::ZERO; n_blocks];
        for feature in 0..layout.n_features() {
            let (block, lane) = layout.position(feature);
            is_feature[block].0[lane] = T::ONE;
        }
        let zeros = vec![T::ZERO; n_tiles * C];
        Self { weight: vec![[Lanes::ZERO; C]; n_tiles * n_blocks], bias: zeros.clone(), zero_logits: zeros, is_feature }
    }
}

/// Recomputes [`Parameters::zero_logits`], with the same rounding as [`Update`]. So a model
/// whose parameters are set computes the same bits as a model that reached them by steps.
pub(crate) struct RecomputeZeroLogits<'a, T, const C: usize> {
    pub(crate) parameters: &'a mut Parameters<T, C>,
    /// c
    pub(crate) offset: f64,
    pub(crate) columns: usize,
}

impl<T: Real, const C: usize> IsaTask for RecomputeZeroLogits<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { parameters: Parameters { weight, bias, zero_logits, is_feature }, offset, columns } = self;
        let n_blocks = is_feature.len();
        for column in 0..columns {
            let mut sum = Lanes::ZERO;
            for weight in &weight[column / C * n_blocks..][..n_blocks] {
                sum.add(&weight[column % C]);
            }
            zero_logits[column] = T::from_f64(offset).multiply_add::<FMA>(sum.sum(), bias[column]);
        }
    }
}

/// Number of rows per chunk of a pass. The forward pass of a chunk is followed by its backward
/// pass, so the data of the chunk stays in the L1 and L2 caches. A bit mask of
/// [`Accumulator::row_masks`] has one bit per row.
const ROWS_PER_CHUNK: usize = 64;

/// How many rows before its own product a row is prefetched. Rows of a shuffled batch are in the L3
/// cache at best, and a processor waits for few of their cache lines at a time. So their prefetches
/// are spread over the products of other rows.
const PREFETCH_DISTANCE: usize = 16;

/// The sums and buffers of one thread. The alignment keeps the accumulators of two threads on
/// separate cache lines.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(crate) struct Accumulator<T, const C: usize> {
    /// `P^T D` for residuals D, indexed as [`Parameters::weight`]. The update applies the factors
    /// a, c and 1/n.
    pub(crate) gradient: Vec<[Lanes<T>; C]>,
    /// `colsum(D)`, as one partial sum per lane.
    pub(crate) residual_sums: Vec<Lanes<T>>,
    pub(crate) stats: LossStats,
    /// Logits, which the residuals replace. Indexed
    /// `[group * padded_columns + column].0[row of the group]`.
    logits: Vec<Lanes<T>>,
    /// For each block, a bit mask of the rows that store it.
    row_masks: Vec<u64>,
}

impl<T: Real, const C: usize> Accumulator<T, C> {
    pub(crate) fn new(layout: BlockLayout, columns: usize) -> Self {
        let (n_blocks, n_tiles) = (layout.n_blocks(), columns.div_ceil(C));
        Self {
            gradient: vec![[Lanes::ZERO; C]; n_tiles * n_blocks],
            residual_sums: vec![Lanes::ZERO; n_tiles * C],
            stats: LossStats::default(),
            logits: vec![Lanes::ZERO; n_tiles * C * ROWS_PER_CHUNK / LANES],
            row_masks: vec![0; n_blocks],
        }
    }

    /// Adds the sums of all threads to the sums of the first thread.
    #[inline(always)]
    pub(crate) fn reduce(accumulators: &mut [Self]) -> &mut Self {
        let (first, others) = accumulators.split_first_mut().expect("there is at least one thread");
        for other in others {
            for (sums, others) in first.gradient.iter_mut().zip(&other.gradient) {
                for (sum, other) in sums.iter_mut().zip(others) {
                    sum.add(other);
                }
            }
            for (sum, other) in first.residual_sums.iter_mut().zip(&other.residual_sums) {
                sum.add(other);
            }
        }
        first
    }
}

/// A pass over rows. It computes logits, and adds up the results that its mode requires.
pub(crate) struct Pass<'a, T, const C: usize> {
    pub(crate) loss_function: &'a LossFunction,
    pub(crate) rows: &'a ByteRows,
    pub(crate) targets: &'a Targets,
    /// The rows of the pass. During the pass, the rows of the current chunk.
    pub(crate) row_set: RowSet<'a>,
    pub(crate) parameters: &'a Parameters<T, C>,
    pub(crate) mode: PassMode,
    pub(crate) accumulator: &'a mut Accumulator<T, C>,
}

impl<T: Real, const C: usize> IsaTask for Pass<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let all_rows = self.row_set;
        let n = all_rows.len();
        if self.mode == PassMode::Gradient {
            self.accumulator.residual_sums.fill(Lanes::ZERO);
        }
        for position in 0..PREFETCH_DISTANCE {
            self.prefetch(all_rows, position);
        }
        for chunk_start in (0..n).step_by(ROWS_PER_CHUNK) {
            self.row_set = all_rows.slice(chunk_start..(chunk_start + ROWS_PER_CHUNK).min(n));
            self.forward::<FMA>(all_rows, chunk_start);
            self.compute_losses::<FMA>();
            if self.mode == PassMode::Gradient {
                self.backward::<FMA>(chunk_start == 0);
            }
        }
    }
}

impl<T: Real, const C: usize> Pass<'_, T, C> {
    /// Computes the logits of the chunk `row_set`, which starts at position `chunk_start` of
    /// `all_rows`.
    #[inline(always)]
    fn forward<const FMA: bool>(&mut self, all_rows: RowSet, chunk_start: usize) {
        let n = self.row_set.len();
        let (n_blocks, padded_columns) = (self.parameters.is_feature.len(), self.parameters.zero_logits.len());
        let scale = T::from_f64(self.rows.scale);
        let mut products = [[[T::ZERO; 4]; LANES]; C];
        for (tile, zero_logits) in self.parameters.zero_logits.chunks_exact(C).enumerate() {
            let weight = &self.parameters.weight[tile * n_blocks..][..n_blocks];
            for group in 0..n.div_ceil(LANES) {
                for lane in 0..LANES.min(n - group * LANES) {
                    if tile == 0 {
                        self.prefetch(all_rows, chunk_start + group * LANES + lane + PREFETCH_DISTANCE);
                    }
                    let (block_indices, blocks) = self.rows.blocks_of_row(self.row_set.row(group * LANES + lane));
                    let product = row_product::<T, C, FMA>(block_indices, blocks, weight);
                    for c in 0..C {
                        products[c][lane] = product[c];
                    }
                }
                let logits = &mut self.accumulator.logits[group * padded_columns + tile * C..][..C];
                for c in 0..C {
                    let sums = add_partial_sums(&products[c]);
                    logits[c] = Lanes([zero_logits[c]; LANES]);
                    logits[c].add_scaled::<FMA>(&sums, scale);
                }
            }
        }
    }

    /// Prefetches a row, if there is one at this position and it does not follow the row before it
    /// in memory.
    #[inline(always)]
    fn prefetch(&self, all_rows: RowSet, position: usize) {
        if let RowSet::Listed(rows) = all_rows
            && position < rows.len()
            && (position == 0 || rows[position] != rows[position - 1] + 1)
        {
            self.rows.prefetch(rows[position]);
        }
    }

    /// Adds the losses of the rows to the totals, and replaces their logits by residuals.
    #[inline(always)]
    fn compute_losses<const FMA: bool>(&mut self) {
        let (n, padded_columns) = (self.row_set.len(), self.parameters.zero_logits.len());
        for group in 0..n.div_ceil(LANES) {
            let n_rows = LANES.min(n - group * LANES);
            let row = |lane: usize| self.row_set.row(group * LANES + lane);
            let (logits, padding) = self.accumulator.logits[group * padded_columns..][..padded_columns]
                .split_at_mut(self.loss_function.columns());
            let stats = &mut self.accumulator.stats;
            stats.add_group::<T, FMA>(self.loss_function, logits, self.targets, row, n_rows, self.mode);
            if self.mode == PassMode::Gradient {
                padding.fill(Lanes::ZERO);
                for (sum, residual) in self.accumulator.residual_sums.iter_mut().zip(logits) {
                    sum.add(residual);
                }
            }
        }
    }

    /// Adds the gradients of the rows of the chunk to the sums. The first chunk of a pass
    /// overwrites the sums.
    #[inline(always)]
    fn backward<const FMA: bool>(&mut self, is_first_chunk: bool) {
        if C > 2 {
            self.accumulate_by_blocks::<FMA>(is_first_chunk);
        } else {
            self.accumulate_by_rows::<FMA>(is_first_chunk);
        }
    }

    /// Adds the gradients one row at a time, to sums in memory.
    #[inline(always)]
    fn accumulate_by_rows<const FMA: bool>(&mut self, is_first_chunk: bool) {
        let (n_blocks, padded_columns) = (self.parameters.is_feature.len(), self.parameters.zero_logits.len());
        let Accumulator { gradient, logits, .. } = &mut *self.accumulator;
        if is_first_chunk {
            gradient.fill([Lanes::ZERO; C]);
        }
        for (tile, gradient) in gradient.chunks_exact_mut(n_blocks).enumerate() {
            for i in 0..self.row_set.len() {
                let (block_indices, bytes) = self.rows.blocks_of_row(self.row_set.row(i));
                let residuals = &logits[i / LANES * padded_columns + tile * C..][..C];
                let mut residuals_of_row = [T::ZERO; C];
                for c in 0..C {
                    residuals_of_row[c] = residuals[c].0[i % LANES];
                }
                for (&index, block) in block_indices.iter().zip(bytes) {
                    let x = Lanes::from_bytes(block);
                    let sums = &mut gradient[index as usize];
                    for c in 0..C {
                        sums[c].add_scaled::<FMA>(&x, residuals_of_row[c]);
                    }
                }
            }
        }
    }

    /// Adds the gradients one block at a time, over all rows that store the block. The sums of the
    /// block stay in registers. This is faster if the tile has enough columns to outweigh the cost
    /// of the bit masks.
    #[inline(always)]
    fn accumulate_by_blocks<const FMA: bool>(&mut self, is_first_chunk: bool) {
        let (n_blocks, padded_columns) = (self.parameters.is_feature.len(), self.parameters.zero_logits.len());
        let blocks_of_all_rows = self.rows.blocks();
        let Accumulator { gradient, logits, row_masks, .. } = &mut *self.accumulator;
        let (logits, row_masks) = (&logits[..], &mut row_masks[..]);
        row_masks.fill(0);
        // For each row: the index of its next block, and the index of the first residuals of its
        // group. The loop below visits blocks in the order in which a row stores them, so the next
        // block of a row is always the visited one.
        let mut cursors = [(0, 0); ROWS_PER_CHUNK];
        for i in 0..self.row_set.len() {
            let row = self.row_set.row(i);
            cursors[i] = (self.rows.first_block(row), i / LANES * padded_columns);
            for &index in self.rows.blocks_of_row(row).0 {
                row_masks[index as usize] |= 1 << i;
            }
        }
        for (tile, gradient) in gradient.chunks_exact_mut(n_blocks).enumerate() {
            let mut cursors = cursors;
            for (&row_mask, gradient) in row_masks.iter().zip(gradient) {
                let mut sums = if is_first_chunk { [Lanes::ZERO; C] } else { *gradient };
                let mut row_mask = row_mask;
                while row_mask != 0 {
                    let i = row_mask.trailing_zeros() as usize;
                    row_mask &= row_mask - 1;
                    let (next_block, first_residuals) = &mut cursors[i];
                    let x = Lanes::from_bytes(&blocks_of_all_rows[*next_block]);
                    *next_block += 1;
                    let residuals = &logits[*first_residuals + tile * C..][..C];
                    for c in 0..C {
                        sums[c].add_scaled::<FMA>(&x, residuals[c].0[i % LANES]);
                    }
                }
                *gradient = sums;
            }
        }
    }
}

/// Returns `P W` of one row for the columns of a tile, as four partial sums per column.
///
/// An addition must wait for the previous addition to the same sum. With many columns, the
/// additions of the other columns fill that time. With few columns, the loop is unrolled with four
/// independent sums per column.
#[inline(always)]
fn row_product<T: Real, const C: usize, const FMA: bool>(
    block_indices: &[u32],
    blocks: &[[u8; LANES]],
    weight: &[[Lanes<T>; C]],
) -> [[T; 4]; C] {
    let unroll = if C > 2 { 1 } else { UNROLL };
    let mut sums = [[Lanes::ZERO; C]; UNROLL];
    let (unrolled_indices, last_indices) = block_indices.split_at(block_indices.len() / unroll * unroll);
    let (unrolled_blocks, last_blocks) = blocks.split_at(unrolled_indices.len());
    for (block_indices, blocks) in unrolled_indices.chunks_exact(unroll).zip(unrolled_blocks.chunks_exact(unroll)) {
        for i in 0..unroll {
            add_product::<T, C, FMA>(&mut sums[i], &blocks[i], &weight[block_indices[i] as usize]);
        }
    }
    for (&index, block) in last_indices.iter().zip(last_blocks) {
        add_product::<T, C, FMA>(&mut sums[0], block, &weight[index as usize]);
    }
    let [mut sum, others @ ..] = sums;
    for c in 0..C {
        for other in others.iter().take(unroll - 1) {
            sum[c].add(&other[c]);
        }
    }
    let mut products = [[T::ZERO; 4]; C];
    for c in 0..C {
        products[c] = sum[c].partial_sums();
    }
    products
}

/// Number of independent sums per column, if the columns are few.
const UNROLL: usize = 4;

#[inline(always)]
fn add_product<T: Real, const C: usize, const FMA: bool>(
    sums: &mut [Lanes<T>; C],
    block: &[u8; LANES],
    weight: &[Lanes<T>; C],
) {
    let x = Lanes::from_bytes(block);
    for c in 0..C {
        sums[c].add_product::<FMA>(&x, &weight[c]);
    }
}

/// The update after a pass: `W -= rate (gradient + lambda W)`, and b likewise. It also recomputes
/// [`Parameters::zero_logits`].
pub(crate) struct Update<'a, T, const C: usize> {
    pub(crate) parameters: &'a mut Parameters<T, C>,
    /// The accumulator of each thread.
    pub(crate) accumulators: &'a mut [Accumulator<T, C>],
    pub(crate) scalars: UpdateScalars,
}

/// The scalars of an update, for features `x = a p + c` and n rows.
#[derive(Clone, Copy)]
pub(crate) struct UpdateScalars {
    /// a / n
    pub(crate) scale_over_n: f64,
    /// c / n
    pub(crate) offset_over_n: f64,
    /// 1 / n
    pub(crate) one_over_n: f64,
    /// c
    pub(crate) offset: f64,
    pub(crate) learning_rate: f64,
    /// lambda
    pub(crate) l2: f64,
    /// lambda if the bias is penalised, else 0
    pub(crate) bias_l2: f64,
    pub(crate) columns: usize,
}

impl<T: Real, const C: usize> IsaTask for Update<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { parameters, accumulators, scalars } = self;
        let n_blocks = parameters.is_feature.len();
        let sums = Accumulator::reduce(accumulators);
        // W becomes (1 - rate lambda) W - rate a/n P^T D - rate c/n colsum(D).
        let weight_factor = T::from_f64(1.0 - scalars.learning_rate * scalars.l2);
        let gradient_factor = T::from_f64(-scalars.learning_rate * scalars.scale_over_n);
        let bias_factor = T::from_f64(1.0 - scalars.learning_rate * scalars.bias_l2);
        let bias_gradient_factor = T::from_f64(-scalars.learning_rate * scalars.one_over_n);
        for tile in 0..parameters.bias.len() / C {
            let [mut residual_sums, mut offset_term] = [[T::ZERO; C]; 2];
            for c in 0..C {
                residual_sums[c] = sums.residual_sums[tile * C + c].sum();
                offset_term[c] = T::from_f64(-scalars.learning_rate * scalars.offset_over_n) * residual_sums[c];
            }
            let mut column_sums = [Lanes::ZERO; C];
            let weight = parameters.weight[tile * n_blocks..][..n_blocks].iter_mut();
            let gradient = &sums.gradient[tile * n_blocks..][..n_blocks];
            for ((weight, gradient), is_feature) in weight.zip(gradient).zip(&parameters.is_feature) {
                for c in 0..C {
                    let mut new = Lanes::ZERO;
                    new.add_scaled::<FMA>(is_feature, offset_term[c]);
                    new.add_scaled::<FMA>(&weight[c], weight_factor);
                    new.add_scaled::<FMA>(&gradient[c], gradient_factor);
                    column_sums[c].add(&new);
                    weight[c] = new;
                }
            }
            for c in 0..C {
                let column = tile * C + c;
                let bias =
                    bias_gradient_factor.multiply_add::<FMA>(residual_sums[c], bias_factor * parameters.bias[column]);
                parameters.bias[column] = bias;
                if column < scalars.columns {
                    parameters.zero_logits[column] =
                        T::from_f64(scalars.offset).multiply_add::<FMA>(column_sums[c].sum(), bias);
                }
            }
        }
    }
}
