//! The forward and backward kernels. A step launches both; an evaluation launches the forward
//! kernel.
//!
//! [`TilePlan::place`] gives the layout of the parameters. Residuals are `[n, tiles, padded]`. The
//! features of a row are `scale * byte + offset`, with four bytes per word.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;

use super::plan::TilePlan;
use crate::Loss;

/// The mode of the forward kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ForwardMode {
    /// Writes losses and residuals of the rows in `order`.
    Train,
    /// Writes losses of all rows, and whether each row is correctly classified.
    Evaluate,
}

/// Computes logits, losses, and residuals or flags (`verdicts`). A cube has `plan.rows` rows.
///
/// The units of a cube share the words of its rows. For each tile of classes, a unit multiplies its
/// words with the weights, for all rows. So the weights of a word are read once per cube. The sums
/// of the units are added in shared memory. With several tiles, the softmax is computed tile by
/// tile, and the logits are stored in the place of the residuals.
#[cube(launch)]
pub(super) fn forward<F: Float>(
    words: &[u32],
    labels: &[u32],
    order: &[u32],
    parameters: &[Vector<F, Const<4>>],
    residual: &mut [F],
    found: &mut [F],
    n: u32,
    first: u32,
    verdicts: u32,
    scale: InputScalar,
    offset: InputScalar,
    of_n: InputScalar,
    #[comptime] plan: TilePlan,
    #[comptime] task: ForwardMode,
    #[define(F)] _float: ElemType,
) {
    let rows = comptime!(plan.rows);
    let tile = comptime!(plan.tile);
    let tiles = comptime!(plan.tiles);
    let units = comptime!(plan.units);
    let sums = comptime!(plan.rows * plan.tile);
    let words_a_row = comptime!(plan.words);
    let words_a_tile = comptime!(plan.words + 1);
    let classes = comptime!(plan.classes);
    let padded = comptime!(plan.padded());
    let is_training = comptime!(task == ForwardMode::Train);
    let is_softmax = comptime!(plan.loss == Loss::Softmax);

    let unit = UNIT_POS as usize;
    let n = n as usize;
    let first_row = CUBE_POS * rows;
    let scale = scale.get::<F>();
    let offset = offset.get::<F>();

    let mut partial = Shared::<[F]>::new_slice(units * sums);
    let mut logits = Shared::<[F]>::new_slice(sums);
    let mut peaks = Shared::<[F]>::new_slice(rows);
    let mut totals = Shared::<[F]>::new_slice(rows);
    let mut right_classes = Shared::<[u32]>::new_slice(rows);

    // Index of the first word of each row. Indices past the last row repeat it, and write nothing.
    let mut at = Array::<usize>::new(rows);
    #[unroll]
    for r in 0..rows {
        let i = min(first_row + r, n - 1);
        let row = if is_training { order[i] as usize } else { i };
        at[r] = row * words_a_row;
    }

    // State of the row that this unit handles: the largest logit, its class, the sum of exp(z -
    // largest), the logit of the label.
    let mut peak = F::new(0.0);
    let mut total = F::new(0.0);
    let mut best = 0u32;
    let mut label = 0u32;
    let mut of_label = F::new(0.0);
    if unit < rows {
        let i = min(first_row + unit, n - 1);
        let row = if is_training { order[i] as usize } else { i };
        label = labels[row];
        right_classes[unit] = label;
    }

    for t in 0..tiles {
        let mut acc = Array::<F>::new(sums);
        #[unroll]
        for i in 0..sums {
            acc[i] = F::new(0.0);
        }
        let mut w = unit;
        while w < words_a_row {
            let base = (t * words_a_tile + w) * tile;
            let mut weights = Array::<F>::new(4 * tile);
            #[unroll]
            for v in 0..tile {
                let four = parameters[base + v];
                #[unroll]
                for i in 0..4usize {
                    weights[4 * v + i] = four.extract(i);
                }
            }
            #[unroll]
            for r in 0..rows {
                let word = words[at[r] + w];
                #[unroll]
                for b in 0..4usize {
                    let byte = (word >> comptime!(8 * b as u32)) & 255u32;
                    let x = fma(F::cast_from(byte), scale, offset);
                    #[unroll]
                    for c in 0..tile {
                        acc[r * tile + c] = fma(x, weights[b * tile + c], acc[r * tile + c]);
                    }
                }
            }
            w += units;
        }
        #[unroll]
        for i in 0..sums {
            partial[i * units + unit] = acc[i];
        }
        sync_cube();

        // Each unit adds up one sum at a time. It starts at its own part, so no two units read the
        // same memory bank.
        let mut o = unit;
        while o < sums {
            let class = o % tile;
            let bias = parameters[(t * words_a_tile + words_a_row) * tile + class / 4];
            let mut z = bias.extract_dynamic(class % 4);
            for u in 0..units {
                z += partial[o * units + (u + unit) % units];
            }
            logits[o] = z;
            if comptime!(is_training && tiles > 1) {
                let row = first_row + o / tile;
                if row < n {
                    residual[(row * tiles + t) * padded + class] = z;
                }
            }
            o += units;
        }
        sync_cube();

        if unit < rows {
            if is_softmax {
                let from = unit * tile;
                let before = peak;
                if t == 0 {
                    peak = logits[from];
                }
                #[unroll]
                for c in 0..tile {
                    let class = (t * tile + c) as u32;
                    let z = logits[from + c];
                    if (class as usize) < classes && z > peak {
                        peak = z;
                        best = class;
                    }
                    if class == label {
                        of_label = z;
                    }
                }
                if t > 0 {
                    total *= (before - peak).exp();
                }
                #[unroll]
                for c in 0..tile {
                    if t * tile + c < classes {
                        total += (logits[from + c] - peak).exp();
                    }
                }
            } else {
                of_label = logits[unit];
            }
        }
    }

    if unit < rows {
        let row = first_row + unit;
        let mut is_right = F::new(0.0);
        let loss = if is_softmax {
            // The second comparison is false if the label's logit is NaN.
            if best == label && of_label <= peak {
                is_right = F::new(1.0);
            }
            peaks[unit] = peak;
            totals[unit] = F::new(1.0) / total;
            // Eq. (13).
            total.ln() - (of_label - peak)
        } else {
            let z = of_label;
            let positive = z > F::new(0.0);
            if (label == 1u32 && positive) || (label == 0u32 && z <= F::new(0.0)) {
                is_right = F::new(1.0);
            }
            // With e = exp(-|z|), p - y is p, or -(1 - p) if y = 1: nearly equal numbers are not
            // subtracted.
            let e = (-z.abs()).exp();
            let rest = select(positive == (label == 1u32), e, F::new(1.0)) / (e + F::new(1.0));
            peaks[unit] = select(label == 1u32, -rest, rest);
            // Eq. (3): ln(1 + exp(z)) = max(z, 0) + ln(1 + e).
            let hinge = select(positive, z, F::new(0.0));
            let of_one = select(label == 1u32, z, F::new(0.0));
            hinge - of_one + (e + F::new(1.0)).ln()
        };
        if row < n {
            found[first as usize + row] = loss;
            if !is_training {
                found[verdicts as usize + row] = is_right;
            }
        }
    }

    if is_training {
        sync_cube();
        let of_n = of_n.get::<F>();
        for t in 0..tiles {
            let mut o = unit;
            while o < sums {
                let r = o / tile;
                let c = o % tile;
                let row = first_row + r;
                if row < n {
                    let place = (row * tiles + t) * padded + c;
                    if is_softmax {
                        // Eq. (17): P - Y.
                        let mut z = logits[o];
                        if comptime!(tiles > 1) {
                            z = residual[place];
                        }
                        let p = (z - peaks[r]).exp() * totals[r];
                        let y = select((t * tile + c) as u32 == right_classes[r], F::new(1.0), F::new(0.0));
                        residual[place] = (p - y) * of_n;
                    } else {
                        residual[place] = peaks[r] * of_n;
                    }
                }
                o += units;
            }
        }
    }
}

/// Replaces W by `W - rate (X^T D + l2 W)`, and b likewise, with a separate l2.
///
/// A unit has `plan.wide` words of features and a tile of classes. It processes every
/// `plan.down`-th row of the batch; the parts are added in shared memory. The bias is the weight of
/// a feature that is 1, in the word after the last.
#[cube(launch)]
pub(super) fn backward<F: Float>(
    words: &[u32],
    order: &[u32],
    residual: &[Vector<F, Const<4>>],
    parameters: &mut [F],
    n: u32,
    scale: InputScalar,
    offset: InputScalar,
    rate: InputScalar,
    l2: InputScalar,
    l2_of_bias: InputScalar,
    #[comptime] plan: TilePlan,
    #[define(F)] _float: ElemType,
) {
    let tile = comptime!(plan.tile);
    let tiles = comptime!(plan.tiles);
    let across = comptime!(plan.across);
    let wide = comptime!(plan.wide);
    let down = comptime!(plan.down);
    let sums = comptime!(4 * plan.tile);
    let vectors = comptime!(plan.padded() / 4);
    let words_a_row = comptime!(plan.words);

    let unit = UNIT_POS as usize;
    let x_in_cube = unit % across;
    let y_in_cube = unit / across;
    let t = CUBE_POS_Y as usize;
    let first_word = CUBE_POS_X as usize * comptime!(across * wide);

    // For each word of this unit: its position in a row, and the scale and offset of its features.
    // In the word after the last, the first feature is 1 and the others are 0.
    let mut at = Array::<usize>::new(wide);
    let mut scales = Array::<F>::new(wide);
    let mut offsets = Array::<F>::new(2 * wide);
    #[unroll]
    for v in 0..wide {
        let word = first_word + v * across + x_in_cube;
        let is_bias = word >= words_a_row;
        at[v] = min(word, words_a_row - 1);
        scales[v] = select(is_bias, F::new(0.0), scale.get::<F>());
        offsets[2 * v] = select(is_bias, F::new(1.0), offset.get::<F>());
        offsets[2 * v + 1] = select(is_bias, F::new(0.0), offset.get::<F>());
    }

    let mut acc = Array::<F>::new(wide * sums);
    #[unroll]
    for i in 0..wide * sums {
        acc[i] = F::new(0.0);
    }
    let mut r = y_in_cube;
    while r < n as usize {
        let row = order[r] as usize * words_a_row;
        let mut d = Array::<F>::new(vectors * 4);
        #[unroll]
        for v in 0..vectors {
            let four = residual[(r * tiles + t) * vectors + v];
            #[unroll]
            for i in 0..4usize {
                d[4 * v + i] = four.extract(i);
            }
        }
        #[unroll]
        for v in 0..wide {
            let word = words[row + at[v]];
            #[unroll]
            for b in 0..4usize {
                let byte = (word >> comptime!(8 * b as u32)) & 255u32;
                let x = fma(
                    F::cast_from(byte),
                    scales[v],
                    offsets[2 * v + comptime!(if b == 0 { 0usize } else { 1usize })],
                );
                #[unroll]
                for c in 0..tile {
                    let i = v * sums + b * tile + c;
                    acc[i] = fma(x, d[c], acc[i]);
                }
            }
        }
        r += down;
    }

    let mut partial = Shared::<[F]>::new_slice(down * wide * sums * across);
    #[unroll]
    for i in 0..wide * sums {
        partial[(y_in_cube * comptime!(wide * sums) + i) * across + x_in_cube] = acc[i];
    }
    sync_cube();

    let rate = rate.get::<F>();
    let mut o = unit;
    while o < comptime!(across * wide * sums) {
        let word = o / sums;
        let i = o % sums;
        let feature = (first_word + word) * 4 + i / tile;
        let class = t * tile + i % tile;
        // The features that pad the last word of a row have no weights, and neither do the classes
        // that pad the last tile.
        let of_bias = feature == comptime!(4 * plan.words);
        if (feature < comptime!(plan.features) || of_bias) && class < comptime!(plan.classes) {
            let mut gradient = F::new(0.0);
            for y in 0..down {
                let part = (y * wide + word / across) * sums + i;
                gradient += partial[part * across + word % across];
            }
            let place = (t * comptime!(plan.words + 1) + first_word) * sums + o;
            let w = parameters[place];
            let l2 = select(of_bias, l2_of_bias.get::<F>(), l2.get::<F>());
            parameters[place] = w - rate * (gradient + l2 * w);
        }
        o += comptime!(across * down);
    }
}
