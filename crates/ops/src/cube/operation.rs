//! The operation on a GPU. One launch computes the losses and residuals of the rows. A second
//! launch computes the gradients. Burn computes the mean of the losses.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::{buffer_arg, cube_count, elem_type};
use crate::Loss;
use crate::operation::{FusedLoss, FusedOutput};

/// Number of units per cube.
const UNITS: usize = 64;

impl FusedLoss for Cube {
    fn one_pass(
        features: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        loss: Loss,
    ) -> FusedOutput<Self> {
        let [features, labels, weight, bias] = [features, labels, weight, bias].map(into_contiguous);
        let (n, d, k) = (features.shape()[0], features.shape()[1], bias.shape()[0]);
        let dtype = features.dtype;
        let empty = |shape: Vec<usize>| -> CubeTensor {
            empty_device_dtype(features.client.clone(), features.device.clone(), Shape::from(shape), dtype)
        };
        let (residual, losses) = (empty(vec![n, k]), empty(vec![n]));
        losses_and_residuals::launch(
            &features.client,
            cube_count(n),
            CubeDim::new_1d(UNITS as u32),
            buffer_arg(&features),
            buffer_arg(&labels),
            buffer_arg(&weight),
            buffer_arg(&bias),
            buffer_arg(&residual),
            buffer_arg(&losses),
            n as u32,
            d as u32,
            k as u32,
            InputScalar::new(1.0 / n as f64, elem_type(dtype)),
            k.next_power_of_two().min(UNITS),
            loss,
            [elem_type(dtype), dtype_to_elem_type(labels.dtype)],
        );
        let (weight_gradient, bias_gradient) = (empty(vec![d, k]), empty(vec![k]));
        gradients::launch(
            &features.client,
            cube_count(((d + 1) * k).div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            buffer_arg(&features),
            buffer_arg(&residual),
            buffer_arg(&weight_gradient),
            buffer_arg(&bias_gradient),
            n as u32,
            d as u32,
            k as u32,
            elem_type(dtype),
        );
        FusedOutput { loss: Self::float_mean(losses), weight: weight_gradient, bias: bias_gradient, residual }
    }
}

/// Computes the loss and the residual of one row per cube.
///
/// The units of a cube form groups of `lanes` units. A group processes `lanes` classes at a time,
/// one per unit. The features are divided among the groups. `residual` stores the logits of a row
/// until the residual replaces them. Each number is read by the unit that wrote it.
#[cube(launch)]
fn losses_and_residuals<F: Float, I: Int>(
    features: &[F],
    labels: &[I],
    weight: &[F],
    bias: &[F],
    residual: &mut [F],
    losses: &mut [F],
    n: u32,
    d: u32,
    k: u32,
    one_over_n: InputScalar,
    #[comptime] lanes: usize,
    #[comptime] loss: Loss,
    #[define(F, I)] _types: [ElemType; 2],
) {
    let n_groups = comptime!(UNITS / lanes);
    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let group = unit / lanes;
    let (n, d, k) = (n as usize, d as usize, k as usize);
    let row = CUBE_POS;
    if row >= n {
        terminate!();
    }
    // One value per unit, to be reduced: a partial logit, a maximum, or a sum.
    let mut unit_values = Shared::<[F]>::new_slice(UNITS);
    let mut label_logit = Shared::<[F]>::new_slice(1usize);
    let label = u32::cast_from(labels[row]) as usize;
    let one_over_n = one_over_n.get::<F>();

    let mut max_logit = F::min_value();
    let mut first_class = 0usize;
    while first_class < k {
        let class = first_class + lane;
        let mut z = F::new(0.0);
        if class < k {
            let mut j = group;
            while j < d {
                z = fma(features[row * d + j], weight[j * k + class], z);
                j += n_groups;
            }
        }
        unit_values[unit] = z;
        sync_cube();
        if group == 0 && class < k {
            let mut z = bias[class];
            for s in 0..n_groups {
                z += unit_values[s * lanes + lane];
            }
            residual[row * k + class] = z;
            if z > max_logit {
                max_logit = z;
            }
            if class == label {
                label_logit[0] = z;
            }
        }
        sync_cube();
        first_class += lanes;
    }

    if comptime!(loss == Loss::Softmax) {
        if group == 0 {
            unit_values[lane] = max_logit;
        }
        sync_cube();
        for l in 0..lanes {
            if unit_values[l] > max_logit {
                max_logit = unit_values[l];
            }
        }
        sync_cube();
        let mut exp_sum = F::new(0.0);
        if group == 0 {
            let mut class = lane;
            while class < k {
                exp_sum += (residual[row * k + class] - max_logit).exp();
                class += lanes;
            }
            unit_values[lane] = exp_sum;
        }
        sync_cube();
        exp_sum = F::new(0.0);
        for l in 0..lanes {
            exp_sum += unit_values[l];
        }
        if group == 0 {
            let mut class = lane;
            while class < k {
                // Eq. (17): P - Y.
                let p = (residual[row * k + class] - max_logit).exp() / exp_sum;
                residual[row * k + class] = (p - select(class == label, F::new(1.0), F::new(0.0))) * one_over_n;
                class += lanes;
            }
        }
        if unit == 0 {
            // Eq. (13).
            losses[row] = exp_sum.ln() - (label_logit[0] - max_logit);
        }
    } else if unit == 0 {
        // Eqs. (3) and (6), with e = exp(-|z|), so that ln(1 + exp(z)) = max(z, 0) + ln(1 + e).
        let z = residual[row];
        let e = (-z.abs()).exp();
        let positive = z > F::new(0.0);
        let positive_part = select(positive, z, F::new(0.0));
        let y_times_z = select(label == 1, z, F::new(0.0));
        losses[row] = positive_part - y_times_z + (e + F::new(1.0)).ln();
        // p - y is p if y = 0, and -(1 - p) if y = 1. So nearly equal numbers are never subtracted.
        let distance = select(positive == (label == 1), e, F::new(1.0)) / (e + F::new(1.0));
        residual[row] = select(label == 1, -distance, distance) * one_over_n;
    }
}

/// Computes the gradients of W and b, with one unit per number.
#[cube(launch)]
fn gradients<F: Float>(
    features: &[F],
    residual: &[F],
    weight_gradient: &mut [F],
    bias_gradient: &mut [F],
    n: u32,
    d: u32,
    k: u32,
    #[define(F)] _type: ElemType,
) {
    let (n, d, k) = (n as usize, d as usize, k as usize);
    let index = CUBE_POS * UNITS + UNIT_POS as usize;
    let j = index / k;
    let class = index % k;
    if j < d {
        let mut sum = F::new(0.0);
        for r in 0..n {
            sum = fma(features[r * d + j], residual[r * k + class], sum);
        }
        weight_gradient[index] = sum;
    } else if j == d {
        let mut sum = F::new(0.0);
        for r in 0..n {
            sum += residual[r * k + class];
        }
        bias_gradient[class] = sum;
    }
}
