//! The forward and backward kernels of a training step. A step launches both. An evaluation
//! launches the forward kernel only.
//!
//! # Layout
//! - words `[rows, words_per_row]`: four features per word, as [`Storage`] describes; a feature is
//!   `scale * stored + offset`
//! - parameters: see [`TilePlan::parameter_index`]
//! - residual `[n, n_tiles, padded_tile_width]`

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;

use super::plan::{Storage, TilePlan};
use crate::Loss;

/// The mode of the forward kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ForwardMode {
    /// Writes the losses and residuals of the rows in `order`.
    Train,
    /// Writes the loss of each row, and a flag: 1 if the row is correctly classified, else 0.
    Evaluate,
}

/// Returns what a word stores for its feature `index`, from 0 to 3. This function is the only code
/// that depends on the storage.
#[cube]
fn stored<F: Float, E: Numeric, S: Size>(
    word: Vector<E, S>,
    #[comptime] index: usize,
    #[comptime] storage: Storage,
) -> F {
    if comptime!(storage == Storage::Bytes) {
        F::cast_from((u32::cast_from(word.extract(0usize)) >> comptime!(8 * index as u32)) & 255u32)
    } else {
        F::cast_from(word.extract(index))
    }
}

/// Computes logits and losses, and then residuals (training) or flags (evaluation). `output` gets
/// the losses from index `losses_start` on, and the flags from index `flags_start` on.
///
/// A cube processes `plan.rows_per_cube` rows. The words of a row are divided among its units. For
/// each tile of classes, a unit multiplies its words of all rows by the weights. So the weights of
/// a word are read once per cube. The sums of the units are added in shared memory.
///
/// With several tiles, the softmax is computed tile by tile, and `residual` stores the logits until
/// the residuals replace them.
#[cube(launch)]
pub(super) fn forward<F: Float, E: Numeric, S: Size>(
    words: &[Vector<E, S>],
    labels: &[u32],
    order: &[u32],
    parameters: &[Vector<F, Const<4>>],
    residual: &mut [F],
    output: &mut [F],
    n: u32,
    losses_start: u32,
    flags_start: u32,
    scale: InputScalar,
    offset: InputScalar,
    one_over_n: InputScalar,
    #[comptime] plan: TilePlan,
    #[comptime] mode: ForwardMode,
    #[define(F, E)] _types: [ElemType; 2],
) {
    let n_rows = comptime!(plan.rows_per_cube);
    let tile_width = comptime!(plan.tile_width);
    let n_tiles = comptime!(plan.n_tiles);
    let n_units = comptime!(plan.units_per_cube);
    let sums = comptime!(plan.rows_per_cube * plan.tile_width);
    let words_per_row = comptime!(plan.words_per_row);
    let words_per_tile = comptime!(plan.words_per_row + 1);
    let n_columns = comptime!(plan.n_columns);
    let padded_tile_width = comptime!(plan.padded_tile_width());
    let is_training = comptime!(mode == ForwardMode::Train);
    let is_softmax = comptime!(plan.loss == Loss::Softmax);
    let storage = comptime!(plan.storage);

    let unit = UNIT_POS as usize;
    let n = n as usize;
    let first_row = CUBE_POS * n_rows;
    let scale = scale.get::<F>();
    let offset = offset.get::<F>();

    let mut partial = Shared::<[F]>::new_slice(n_units * sums);
    let mut logits = Shared::<[F]>::new_slice(sums);
    // For softmax regression, the largest logit of each row. For logistic regression, the residual.
    let mut max_logits = Shared::<[F]>::new_slice(n_rows);
    // 1 / sum of exp(z - largest), for each row.
    let mut reciprocals = Shared::<[F]>::new_slice(n_rows);
    let mut labels_of_rows = Shared::<[u32]>::new_slice(n_rows);

    // Index of the first word of each row. If the cube has positions past the last row, they
    // compute the last row again, and write nothing.
    let mut word_starts = Array::<usize>::new(n_rows);
    #[unroll]
    for r in 0..n_rows {
        let i = min(first_row + r, n - 1);
        let row = if is_training { order[i] as usize } else { i };
        word_starts[r] = row * words_per_row;
    }

    // State of the row that this unit finishes: the largest logit so far, the sum of
    // exp(z - largest), the predicted class, the label, and the logit of the label.
    let mut max_logit = F::new(0.0);
    let mut exp_sum = F::new(0.0);
    let mut predicted = 0u32;
    let mut label = 0u32;
    let mut label_logit = F::new(0.0);
    if unit < n_rows {
        let i = min(first_row + unit, n - 1);
        let row = if is_training { order[i] as usize } else { i };
        label = labels[row];
        labels_of_rows[unit] = label;
    }

    for tile in 0..n_tiles {
        let mut acc = Array::<F>::new(sums);
        #[unroll]
        for i in 0..sums {
            acc[i] = F::new(0.0);
        }
        let mut w = unit;
        while w < words_per_row {
            let base = (tile * words_per_tile + w) * tile_width;
            let mut weights = Array::<F>::new(4 * tile_width);
            #[unroll]
            for v in 0..tile_width {
                let four = parameters[base + v];
                #[unroll]
                for i in 0..4usize {
                    weights[4 * v + i] = four.extract(i);
                }
            }
            #[unroll]
            for r in 0..n_rows {
                let word = words[word_starts[r] + w];
                #[unroll]
                for b in 0..4usize {
                    let x = fma(stored::<F, E, S>(word, b, storage), scale, offset);
                    #[unroll]
                    for c in 0..tile_width {
                        acc[r * tile_width + c] = fma(x, weights[b * tile_width + c], acc[r * tile_width + c]);
                    }
                }
            }
            w += n_units;
        }
        #[unroll]
        for i in 0..sums {
            partial[i * n_units + unit] = acc[i];
        }
        sync_cube();

        // Each unit adds up one sum at a time. Each unit starts at a different part, so no two
        // units read from the same memory bank.
        let mut sum_index = unit;
        while sum_index < sums {
            let class = sum_index % tile_width;
            let bias = parameters[(tile * words_per_tile + words_per_row) * tile_width + class / 4];
            let mut z = bias.extract_dynamic(class % 4);
            for u in 0..n_units {
                z += partial[sum_index * n_units + (u + unit) % n_units];
            }
            logits[sum_index] = z;
            if comptime!(is_training && n_tiles > 1) {
                let row = first_row + sum_index / tile_width;
                if row < n {
                    residual[(row * n_tiles + tile) * padded_tile_width + class] = z;
                }
            }
            sum_index += n_units;
        }
        sync_cube();

        if unit < n_rows {
            if is_softmax {
                let from = unit * tile_width;
                let previous_max = max_logit;
                if tile == 0 {
                    max_logit = logits[from];
                }
                #[unroll]
                for c in 0..tile_width {
                    let class = (tile * tile_width + c) as u32;
                    let z = logits[from + c];
                    if (class as usize) < n_columns && z > max_logit {
                        max_logit = z;
                        predicted = class;
                    }
                    if class == label {
                        label_logit = z;
                    }
                }
                if tile > 0 {
                    exp_sum *= (previous_max - max_logit).exp();
                }
                #[unroll]
                for c in 0..tile_width {
                    if tile * tile_width + c < n_columns {
                        exp_sum += (logits[from + c] - max_logit).exp();
                    }
                }
            } else {
                label_logit = logits[unit];
            }
        }
    }

    if unit < n_rows {
        let row = first_row + unit;
        let mut is_correct = F::new(0.0);
        let loss = if is_softmax {
            // If the logit of the label is NaN, the second comparison is false.
            if predicted == label && label_logit <= max_logit {
                is_correct = F::new(1.0);
            }
            max_logits[unit] = max_logit;
            reciprocals[unit] = F::new(1.0) / exp_sum;
            // Eq. (13).
            exp_sum.ln() - (label_logit - max_logit)
        } else {
            let z = label_logit;
            let positive = z > F::new(0.0);
            if (label == 1u32 && positive) || (label == 0u32 && z <= F::new(0.0)) {
                is_correct = F::new(1.0);
            }
            // With e = exp(-|z|), p - y is p if y = 0, and -(1 - p) if y = 1. So nearly equal
            // numbers are never subtracted.
            let e = (-z.abs()).exp();
            let distance = select(positive == (label == 1u32), e, F::new(1.0)) / (e + F::new(1.0));
            max_logits[unit] = select(label == 1u32, -distance, distance);
            // Eq. (3): ln(1 + exp(z)) = max(z, 0) + ln(1 + e).
            let positive_part = select(positive, z, F::new(0.0));
            let y_times_z = select(label == 1u32, z, F::new(0.0));
            positive_part - y_times_z + (e + F::new(1.0)).ln()
        };
        if row < n {
            output[losses_start as usize + row] = loss;
            if !is_training {
                output[flags_start as usize + row] = is_correct;
            }
        }
    }

    if is_training {
        sync_cube();
        let one_over_n = one_over_n.get::<F>();
        for tile in 0..n_tiles {
            let mut sum_index = unit;
            while sum_index < sums {
                let r = sum_index / tile_width;
                let c = sum_index % tile_width;
                let row = first_row + r;
                if row < n {
                    let index = (row * n_tiles + tile) * padded_tile_width + c;
                    if is_softmax {
                        // Eq. (17): P - Y.
                        let mut z = logits[sum_index];
                        if comptime!(n_tiles > 1) {
                            z = residual[index];
                        }
                        let p = (z - max_logits[r]).exp() * reciprocals[r];
                        let y = select((tile * tile_width + c) as u32 == labels_of_rows[r], F::new(1.0), F::new(0.0));
                        residual[index] = (p - y) * one_over_n;
                    } else {
                        residual[index] = max_logits[r] * one_over_n;
                    }
                }
                sum_index += n_units;
            }
        }
    }
}

/// Updates the parameters: `W -= rate (X^T D + l2 W)`, and b likewise with `bias_l2`.
///
/// With several cubes along z, each computes the gradient of `rows_per_part` rows, and updates
/// parameters of its own.
///
/// A unit computes the gradient for `plan.words_per_unit` words of features and one tile of
/// classes, on every `plan.batch_parts`-th row of the batch. The parts of the batch are added in
/// shared memory. The bias is the weight of a feature that is 1. This feature is in an extra word
/// after the last word of a row.
#[cube(launch)]
pub(super) fn backward<F: Float, E: Numeric, S: Size>(
    words: &[Vector<E, S>],
    order: &[u32],
    residual: &[Vector<F, Const<4>>],
    parameters: &mut [F],
    n: u32,
    rows_per_part: u32,
    scale: InputScalar,
    offset: InputScalar,
    rate: InputScalar,
    l2: InputScalar,
    bias_l2: InputScalar,
    #[comptime] plan: TilePlan,
    #[define(F, E)] _types: [ElemType; 2],
) {
    let tile_width = comptime!(plan.tile_width);
    let n_tiles = comptime!(plan.n_tiles);
    let units_across = comptime!(plan.units_across);
    let words_per_unit = comptime!(plan.words_per_unit);
    let batch_parts = comptime!(plan.batch_parts);
    let sums = comptime!(4 * plan.tile_width);
    let vectors = comptime!(plan.padded_tile_width() / 4);
    let words_per_row = comptime!(plan.words_per_row);
    let storage = comptime!(plan.storage);

    let unit = UNIT_POS as usize;
    let x_in_cube = unit % units_across;
    let y_in_cube = unit / units_across;
    let tile = CUBE_POS_Y as usize;
    let first_word = CUBE_POS_X as usize * comptime!(units_across * words_per_unit);

    // For each word of this unit: its position in a row, and the scale and offset of its features.
    // In the extra word, the first feature is 1 and the others are 0.
    let mut word_positions = Array::<usize>::new(words_per_unit);
    let mut scales = Array::<F>::new(words_per_unit);
    let mut offsets = Array::<F>::new(2 * words_per_unit);
    #[unroll]
    for v in 0..words_per_unit {
        let word = first_word + v * units_across + x_in_cube;
        let is_bias = word >= words_per_row;
        word_positions[v] = min(word, words_per_row - 1);
        scales[v] = select(is_bias, F::new(0.0), scale.get::<F>());
        offsets[2 * v] = select(is_bias, F::new(1.0), offset.get::<F>());
        offsets[2 * v + 1] = select(is_bias, F::new(0.0), offset.get::<F>());
    }

    let mut acc = Array::<F>::new(words_per_unit * sums);
    #[unroll]
    for i in 0..words_per_unit * sums {
        acc[i] = F::new(0.0);
    }
    let part = CUBE_POS_Z as usize;
    let mut r = part * rows_per_part as usize + y_in_cube;
    let end = min((part + 1) * rows_per_part as usize, n as usize);
    while r < end {
        let row = order[r] as usize * words_per_row;
        let mut d = Array::<F>::new(vectors * 4);
        #[unroll]
        for v in 0..vectors {
            let four = residual[(r * n_tiles + tile) * vectors + v];
            #[unroll]
            for i in 0..4usize {
                d[4 * v + i] = four.extract(i);
            }
        }
        #[unroll]
        for v in 0..words_per_unit {
            let word = words[row + word_positions[v]];
            #[unroll]
            for b in 0..4usize {
                let x = fma(
                    stored::<F, E, S>(word, b, storage),
                    scales[v],
                    offsets[2 * v + comptime!(if b == 0 { 0usize } else { 1usize })],
                );
                #[unroll]
                for c in 0..tile_width {
                    let i = v * sums + b * tile_width + c;
                    acc[i] = fma(x, d[c], acc[i]);
                }
            }
        }
        r += batch_parts;
    }

    let mut partial = Shared::<[F]>::new_slice(batch_parts * words_per_unit * sums * units_across);
    #[unroll]
    for i in 0..words_per_unit * sums {
        partial[(y_in_cube * comptime!(words_per_unit * sums) + i) * units_across + x_in_cube] = acc[i];
    }
    sync_cube();

    let rate = rate.get::<F>();
    let mut sum_index = unit;
    while sum_index < comptime!(units_across * words_per_unit * sums) {
        let word = sum_index / sums;
        let i = sum_index % sums;
        let feature = (first_word + word) * 4 + i / tile_width;
        let class = tile * tile_width + i % tile_width;
        // The padding has no weights: the features that pad the last word of a row, and the classes
        // that pad the last tile.
        let is_bias = feature == comptime!(4 * plan.words_per_row);
        if (feature < comptime!(plan.n_features) || is_bias) && class < comptime!(plan.n_columns) {
            let mut gradient = F::new(0.0);
            for y in 0..batch_parts {
                let position = (y * words_per_unit + word / units_across) * sums + i;
                gradient += partial[position * units_across + word % units_across];
            }
            let in_part = (tile * comptime!(plan.words_per_row + 1) + first_word) * sums + sum_index;
            let index = part * comptime!(plan.n_parameters()) + in_part;
            let w = parameters[index];
            let l2 = select(is_bias, bias_l2.get::<F>(), l2.get::<F>());
            parameters[index] = w - rate * (gradient + l2 * w);
        }
        sum_index += comptime!(units_across * batch_parts);
    }
}
