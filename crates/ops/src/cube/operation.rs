//! The one-pass operation on a GPU: a launch over the rows, a launch over the columns, and the mean
//! of the losses by Burn.

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

use super::{argument, cubes, element};
use crate::Loss;
use crate::operation::{FusedLoss, FusedOutput};

/// Units per cube.
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
        by_rows::launch(
            &features.client,
            cubes(n),
            CubeDim::new_1d(UNITS as u32),
            argument(&features),
            argument(&labels),
            argument(&weight),
            argument(&bias),
            argument(&residual),
            argument(&losses),
            n as u32,
            d as u32,
            k as u32,
            InputScalar::new(1.0 / n as f64, element(dtype)),
            k.next_power_of_two().min(UNITS),
            loss,
            [element(dtype), dtype_to_elem_type(labels.dtype)],
        );
        let (of_weight, of_bias) = (empty(vec![d, k]), empty(vec![k]));
        by_columns::launch(
            &features.client,
            cubes(((d + 1) * k).div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            argument(&features),
            argument(&residual),
            argument(&of_weight),
            argument(&of_bias),
            n as u32,
            d as u32,
            k as u32,
            element(dtype),
        );
        FusedOutput { loss: Self::float_mean(losses), weight: of_weight, bias: of_bias, residual }
    }
}

/// Computes the loss and the residual of one row per cube.
///
/// Each group of `lanes` units has all classes of a range, one per unit. The groups divide the
/// features among them. The logits of a row are stored in the place of its residual. Each is read
/// by the unit that wrote it.
#[cube(launch)]
fn by_rows<F: Float, I: Int>(
    features: &[F],
    labels: &[I],
    weight: &[F],
    bias: &[F],
    residual: &mut [F],
    losses: &mut [F],
    n: u32,
    d: u32,
    k: u32,
    of_n: InputScalar,
    #[comptime] lanes: usize,
    #[comptime] loss: Loss,
    #[define(F, I)] _types: [ElemType; 2],
) {
    let slices = comptime!(UNITS / lanes);
    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let slice = unit / lanes;
    let (n, d, k) = (n as usize, d as usize, k as usize);
    let row = CUBE_POS;
    if row >= n {
        terminate!();
    }
    let mut parts = Shared::<[F]>::new_slice(UNITS);
    let mut of_label = Shared::<[F]>::new_slice(1usize);
    let label = u32::cast_from(labels[row]) as usize;
    let of_n = of_n.get::<F>();

    let mut peak = F::min_value();
    let mut first = 0usize;
    while first < k {
        let class = first + lane;
        let mut z = F::new(0.0);
        if class < k {
            let mut j = slice;
            while j < d {
                z = fma(features[row * d + j], weight[j * k + class], z);
                j += slices;
            }
        }
        parts[unit] = z;
        sync_cube();
        if slice == 0 && class < k {
            let mut z = bias[class];
            for s in 0..slices {
                z += parts[s * lanes + lane];
            }
            residual[row * k + class] = z;
            if z > peak {
                peak = z;
            }
            if class == label {
                of_label[0] = z;
            }
        }
        sync_cube();
        first += lanes;
    }

    if comptime!(loss == Loss::Softmax) {
        if slice == 0 {
            parts[lane] = peak;
        }
        sync_cube();
        for l in 0..lanes {
            if parts[l] > peak {
                peak = parts[l];
            }
        }
        sync_cube();
        let mut total = F::new(0.0);
        if slice == 0 {
            let mut class = lane;
            while class < k {
                total += (residual[row * k + class] - peak).exp();
                class += lanes;
            }
            parts[lane] = total;
        }
        sync_cube();
        total = F::new(0.0);
        for l in 0..lanes {
            total += parts[l];
        }
        if slice == 0 {
            let mut class = lane;
            while class < k {
                // Eq. (17): P - Y.
                let p = (residual[row * k + class] - peak).exp() / total;
                residual[row * k + class] = (p - select(class == label, F::new(1.0), F::new(0.0))) * of_n;
                class += lanes;
            }
        }
        if unit == 0 {
            // Eq. (13).
            losses[row] = total.ln() - (of_label[0] - peak);
        }
    } else if unit == 0 {
        // Eqs. (3) and (6), with e = exp(-|z|), so that ln(1 + exp(z)) = max(z, 0) + ln(1 + e).
        let z = residual[row];
        let e = (-z.abs()).exp();
        let positive = z > F::new(0.0);
        let hinge = select(positive, z, F::new(0.0));
        let of_one = select(label == 1, z, F::new(0.0));
        losses[row] = hinge - of_one + (e + F::new(1.0)).ln();
        // If y = 1, p - y is the negative of 1 - p, which `rest` is. Nearly equal numbers are not
        // subtracted.
        let rest = select(positive == (label == 1), e, F::new(1.0)) / (e + F::new(1.0));
        residual[row] = select(label == 1, -rest, rest) * of_n;
    }
}

/// Computes the gradients, with one unit per weight or bias. A bias is the weight of a feature that
/// is 1.
#[cube(launch)]
fn by_columns<F: Float>(
    features: &[F],
    residual: &[F],
    of_weight: &mut [F],
    of_bias: &mut [F],
    n: u32,
    d: u32,
    k: u32,
    #[define(F)] _type: ElemType,
) {
    let (n, d, k) = (n as usize, d as usize, k as usize);
    let place = CUBE_POS * UNITS + UNIT_POS as usize;
    let j = place / k;
    let class = place % k;
    if j < d {
        let mut sum = F::new(0.0);
        for r in 0..n {
            sum = fma(features[r * d + j], residual[r * k + class], sum);
        }
        of_weight[place] = sum;
    } else if j == d {
        let mut sum = F::new(0.0);
        for r in 0..n {
            sum += residual[r * k + class];
        }
        of_bias[class] = sum;
    }
}
