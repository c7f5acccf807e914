//! Gradient checks of both models over shapes, seeds, penalties and weights, in every precision of
//! the device.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use chainrule::machine::Machine;
use chainrule_core::{FeatureLayout, LinkKind};
use chainrule_gradcheck::{DifferencePrecision, Options, compare, compare_without_autodiff, controls, f64_works};
use chainrule_kernels::{Float, FusedModel, Isa, PackedRows, RowOrder, TableBuilder};
use chainrule_models::{
    Classifier, Gradient, L2, LogisticRegression, LogisticRegressionConfig, SoftmaxRegression, SoftmaxRegressionConfig,
    Targets, closed_form, hessian_vector_product, objective, to_precision,
};
use chainrule_ops::{Loss, linear_loss, supports_linear_loss};
use chainrule_records::GradientCheck;

use super::{OnRow, REPETITIONS, add, fail, random, rounding, row, uniform};
use crate::progress::is_interrupted;

/// Rows, features, classes. The cases are: one row; one feature; two classes; many classes; and
/// images of 7 by 5.
const SHAPES: [[usize; 3]; 6] = [[1, 1, 2], [1, 7, 3], [9, 1, 2], [8, 5, 2], [33, 17, 10], [5, 35, 3]];

/// The scales of the weights: zero (where training starts), ordinary, and large enough that many
/// probabilities are nearly 0 or 1. At larger scales the slope is below the noise of the loss, and
/// finite differences resolve nothing. Devices without f64 use half of the largest scale.
const WEIGHT_SCALES: [f64; 3] = [0.0, 0.7, 4.0];
const WEIGHT_SCALES_WITHOUT_F64: [f64; 3] = [0.0, 0.7, 2.0];

const SEEDS: u64 = 2;

/// The objective J and its name in the table.
#[derive(Clone, Copy)]
struct Objective {
    what: &'static str,
    l2: L2,
    /// Whether rows have class weights.
    is_weighted: bool,
}

const BIAS_FREE: L2 = L2 { strength: 0.1, penalize_bias: false };
const BIAS_PENALISED: L2 = L2 { strength: 0.1, penalize_bias: true };

const OBJECTIVES: [Objective; 4] = [
    Objective { what: "no penalty", l2: L2::NONE, is_weighted: false },
    Objective { what: "L2, bias free", l2: BIAS_FREE, is_weighted: false },
    Objective { what: "L2, bias penalised", l2: BIAS_PENALISED, is_weighted: false },
    Objective { what: "row and class weights, L2, bias free", l2: BIAS_FREE, is_weighted: true },
];

/// The weight of a class. It is at most 1, so that residuals stay below 1.
fn class_weight(class: u32) -> f64 {
    f64::from(1 + 3 * class % 4) / 4.0
}

/// The weight of a row, besides that of its class. It is at most 1, too.
fn row_weight(row: usize) -> f64 {
    (1 + row % 3) as f64 / 3.0
}

/// A model with weights and a batch.
struct Problem<M> {
    model: M,
    features: Tensor<2>,
    labels: Tensor<1, Int>,
    /// The same rows for the fused kernels.
    rows: PackedRows,
    /// The same rows as bytes for a device.
    bytes: Vec<u8>,
    classes: Vec<u32>,
}

/// Scale and offset, which convert a byte to a feature.
const SCALE: f64 = 2.0 / 255.0;
const OFFSET: f64 = -1.0;

impl<M: Classifier> Problem<M> {
    /// Returns J as a function of the model, in the float type of its parameters.
    fn loss(&self, variant: Objective) -> impl Fn(&M) -> Tensor<1> {
        let (features, targets) = (self.features.clone(), self.targets(variant.is_weighted));
        move |model| objective(model, features.clone(), targets.clone(), variant.l2)
    }

    /// Returns the labels with their row weights.
    fn targets(&self, is_weighted: bool) -> Targets {
        let to = (&self.features.device(), self.features.dtype());
        let weights = || {
            let weight = |(row, &class): (usize, &u32)| class_weight(class) * row_weight(row);
            let weights: Vec<f64> = self.classes.iter().enumerate().map(weight).collect();
            let rows = weights.len();
            Tensor::from_data(TensorData::new(weights, [rows]), to)
        };
        Targets { labels: self.labels.clone(), weights: is_weighted.then(weights) }
    }

    /// The gradient of J by the fused kernels. A device's own kernels are used if it has them.
    fn fused(&self, l2: L2) -> Gradient {
        let linear = self.model.linear();
        let weight = linear.weight.val().inner();
        let (of_weight, of_bias) = self.on_device().unwrap_or_else(|| {
            let gradient = self.kernel(if weight.dtype() == DType::F64 { Float::F64 } else { Float::F32 });
            (gradient.weight, gradient.bias)
        });
        let to = (&weight.device(), weight.dtype());
        let [d, k] = weight.dims();
        let gradient = Gradient {
            weight: Tensor::from_data(TensorData::new(of_weight, [d, k]), to),
            bias: Tensor::from_data(TensorData::new(of_bias, [k]), to),
        };
        l2.add_to(gradient, linear)
    }

    /// The gradient of C by the device's own kernels.
    fn on_device(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let weight = self.model.linear().weight.val().inner();
        let [n_features, n_columns] = weight.dims();
        let (loss, dtype) = (self.kind(), weight.dtype());
        let problem = chainrule_ops::StepProblem { loss, n_features, n_columns, scale: SCALE, offset: OFFSET, dtype };
        let features = chainrule_ops::StepFeatures::Bytes(&self.bytes);
        let rows = chainrule_ops::StepRows { features, labels: &self.classes };
        let mut steps = chainrule_ops::device_steps(&weight.device(), problem, [rows, rows])?;
        let (weight, bias) = self.parameters();
        steps.set(&weight, &bias);
        let gradient = steps.gradient(&(0..self.classes.len()).collect::<Vec<_>>()).expect(READ_BACK);
        Some((gradient.weight, gradient.bias))
    }

    /// The gradient of J by autodiff. The loss is one fused operation, and the penalty is made of
    /// tensor operations.
    fn operation(&self, l2: L2) -> Gradient {
        let linear = self.model.linear();
        let weight = linear.weight.val().inner().autodiff().require_grad();
        let bias = linear.bias.as_ref().expect("both models have a bias").val().inner().autodiff().require_grad();
        let (features, labels) = (self.features.clone(), self.labels.clone());
        let loss = linear_loss(self.kind(), features, labels, weight.clone(), bias.clone());
        let mut squares = weight.clone().powi_scalar(2).sum();
        if l2.penalize_bias {
            squares = squares + bias.clone().powi_scalar(2).sum();
        }
        let objective = loss.expect("the caller has checked `is_on`") + squares * (l2.strength / 2.0);
        let gradients = objective.backward();
        let reached = "the loss depends on both";
        Gradient { weight: weight.grad(&gradients).expect(reached), bias: bias.grad(&gradients).expect(reached) }
    }

    fn kind(&self) -> Loss {
        let [_, k] = self.model.linear().weight.dims();
        if k == 1 { Loss::Logistic } else { Loss::Softmax }
    }

    /// Copies W and b to the host.
    fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        let linear = self.model.linear();
        let bias = linear.bias.as_ref().expect("both models have a bias").val();
        (linear.weight.val().try_into_vec_as().expect(READ_BACK), bias.try_into_vec_as().expect(READ_BACK))
    }

    /// The Hessian of J by the kernels of tables, times a direction.
    fn fused_product(&self, direction: &Gradient, variant: Objective) -> Gradient {
        let [d, k] = self.model.linear().weight.dims();
        let n = self.classes.len();
        let layout = FeatureLayout { n_features: d, numbers: (0..d).collect(), ..FeatureLayout::default() };
        // A feature is a (x - m), for a byte x.
        let scaling = vec![(SCALE, -OFFSET / SCALE); d];
        let mut table = TableBuilder::new(layout, n, scaling, vec![(0.0, 1.0); d], true, RowOrder::Groups);
        let column = |j: usize| self.bytes.iter().skip(j).step_by(d).map(|&byte| f64::from(byte)).collect();
        let columns: Vec<Vec<f64>> = (0..d).map(column).collect();
        table.push(n, &columns.iter().map(Vec::as_slice).collect::<Vec<_>>(), &[]);
        let mut rows = PackedRows::of_table(table, self.classes.clone());

        let mut kernel = self.new_kernel(Float::F64);
        if variant.is_weighted {
            rows = rows.with_weights((0..n).map(row_weight).collect());
            let classes = 0..k.max(2) as u32;
            kernel = kernel.with_class_weights(&classes.map(class_weight).collect::<Vec<_>>());
        }
        let (weight, bias) = self.parameters();
        let curvature = kernel.curvature(&rows, &weight, &bias, &vec![0.0; d]).expect("rows of a table");
        let to_host = |tensor: Tensor<1>| tensor.try_into_vec_as::<f64>().expect(READ_BACK);
        let direction = [to_host(direction.weight.clone().flatten(0, 1)), to_host(direction.bias.clone())].concat();
        let n_penalised = if variant.l2.penalize_bias { direction.len() } else { d * k };
        let product = curvature.hessian.chunks_exact(direction.len()).zip(0..).map(|(row, i)| {
            let penalty = if i < n_penalised { variant.l2.strength * direction[i] } else { 0.0 };
            row.iter().zip(&direction).map(|(h, v)| h * v).sum::<f64>() + penalty
        });
        let mut of_weight: Vec<f64> = product.collect();
        let of_bias = of_weight.split_off(d * k);
        let to = (&self.features.device(), self.features.dtype());
        Gradient {
            weight: Tensor::from_data(TensorData::new(of_weight, [d, k]), to),
            bias: Tensor::from_data(TensorData::new(of_bias, [k]), to),
        }
    }

    fn new_kernel(&self, float: Float) -> FusedModel {
        let [d, k] = self.model.linear().weight.dims();
        let link = if k == 1 { LinkKind::Logistic } else { LinkKind::Softmax }.link(k);
        FusedModel::new(link, d, float, 1, Isa::best())
    }

    fn kernel(&self, float: Float) -> chainrule_core::Gradient {
        let mut kernel = self.new_kernel(float);
        let (weight, bias) = self.parameters();
        kernel.set(&weight, &bias);
        kernel.gradient(&self.rows, &(0..self.rows.len()).collect::<Vec<_>>())
    }

    /// The directional derivative of J by the closed form. Its gradient is the Hessian times that
    /// direction.
    fn slope_along(&self, direction: Gradient, variant: Objective) -> impl Fn(&M) -> Tensor<1> {
        let (features, targets) = (self.features.clone(), self.targets(variant.is_weighted));
        move |model| {
            let gradient = closed_form(model, features.clone(), targets.clone(), variant.l2).gradient;
            (gradient.weight * direction.weight.clone()).sum() + (gradient.bias * direction.bias.clone()).sum()
        }
    }
}

const READ_BACK: &str = "tensors can be read back from the device";

/// Builds a problem from a seed, a shape and a scale of the weights.
type MakeProblem<M> = fn(u64, [usize; 3], f64, &Device, FloatDType) -> Problem<M>;

/// Returns all rows of the table.
pub(super) fn check(machine: &Machine, device: &Device, seed: u64, on_row: OnRow<'_>) -> Vec<GradientCheck> {
    let mut rows = check_model("logistic", logistic, machine, device, seed, on_row);
    rows.extend(check_model("softmax", softmax, machine, device, seed, on_row));
    rows
}

fn check_model<M: Classifier>(
    name: &str,
    make: MakeProblem<M>,
    machine: &Machine,
    device: &Device,
    seed: u64,
    on_row: OnRow<'_>,
) -> Vec<GradientCheck> {
    let has_f64 = f64_works(device);
    let difference_precision = if has_f64 { DifferencePrecision::F64 } else { DifferencePrecision::SameAsParameters };
    let options = Options { difference_precision, seed, repetitions: REPETITIONS, ..Options::default() };
    let precisions =
        [FloatDType::F64, FloatDType::F32].into_iter().filter(|precision| has_f64 || *precision == FloatDType::F32);
    let mut rows = Vec::new();
    for precision in precisions {
        // The residual p - y has the rounding error of numbers near 1, and features are at most 1.
        // In f32, finite differences may resolve no coordinate of a small case. They must resolve
        // enough of all cases together.
        let max_unresolved = if has_f64 { options.max_unresolved } else { 1.0 };
        let case_options = Options { atol: rounding(precision), max_unresolved, ..options.clone() };
        for variant in OBJECTIVES {
            let (l2, mut line) = (variant.l2, row(name, precision, variant.what));
            on_row(&line);
            for (case, problem) in problems(make, device, precision, seed).into_iter().take_while(|_| !is_interrupted())
            {
                let linear = problem.model.linear();
                let targets = problem.targets(variant.is_weighted);
                let by_hand = closed_form(&problem.model, problem.features.clone(), targets, l2);
                let mut sources = vec![("closed-form", by_hand.gradient.into_params(linear))];
                // These two sources are compared without weights.
                if machine.has_kernels() && !variant.is_weighted {
                    sources.push(("fused", problem.fused(l2).into_params(linear)));
                }
                if supports_linear_loss(device) && !variant.is_weighted {
                    sources.push(("operation", problem.operation(l2).into_params(linear)));
                }
                add(&mut line, &case, &compare(&problem.model, problem.loss(variant), &sources, &case_options));
            }
            let verdicts = line.coordinates * line.sources.split(" = ").count();
            if line.unresolved as f64 > options.max_unresolved * verdicts as f64 {
                let problem = format!("{} of {verdicts} verdicts are unresolved: nothing is proven", line.unresolved);
                fail(&mut line, problem);
            }
            rows.push(line);
        }
    }
    if has_f64 {
        for (what, is_weighted) in
            [("Hessian-vector product", false), ("Hessian-vector product, row and class weights", true)]
        {
            let variant = Objective { what, l2: BIAS_PENALISED, is_weighted };
            let line = row(name, FloatDType::F64, what);
            on_row(&line);
            rows.push(check_curvature(line, make, device, &options, variant, machine.has_kernels()));
        }
    }
    rows.push(check_controls(name, make, device, &options));
    rows
}

fn problems<M>(make: MakeProblem<M>, device: &Device, precision: FloatDType, seed: u64) -> Vec<(String, Problem<M>)> {
    let mut problems = Vec::new();
    for shape in SHAPES {
        for scale in if f64_works(device) { WEIGHT_SCALES } else { WEIGHT_SCALES_WITHOUT_F64 } {
            for seed in seed..seed + SEEDS {
                let [rows, features, classes] = shape;
                let case =
                    format!("{rows} rows, {features} features, {classes} classes, weights to {scale}, seed {seed}");
                problems.push((case, make(seed, shape, scale, device, precision)));
            }
        }
    }
    problems
}

/// Checks the closed-form Hessian-vector product, and the Hessian of the fused kernels, against
/// finite differences of the closed-form gradient. Burn's autodiff has no second order, so there is
/// no other reference.
fn check_curvature<M: Classifier>(
    mut line: GradientCheck,
    make: MakeProblem<M>,
    device: &Device,
    options: &Options,
    variant: Objective,
    has_kernels: bool,
) -> GradientCheck {
    let problems = problems(make, device, FloatDType::F64, options.seed);
    for (case, problem) in problems.into_iter().take_while(|_| !is_interrupted()) {
        let [d, k] = problem.model.linear().weight.dims();
        let direction = Gradient {
            weight: random(options.seed + 100, [d, k], device, FloatDType::F64),
            bias: random(options.seed + 101, [k], device, FloatDType::F64),
        };
        let weights = problem.targets(variant.is_weighted).weights;
        let product = hessian_vector_product(&problem.model, problem.features.clone(), weights, &direction, variant.l2);
        let linear = problem.model.linear();
        let mut sources = vec![("closed-form", product.into_params(linear))];
        if has_kernels {
            sources.push(("fused", problem.fused_product(&direction, variant).into_params(linear)));
        }
        let loss = problem.slope_along(direction, variant);
        // Autodiff cannot check this.
        add(&mut line, &case, &compare_without_autodiff(&problem.model, loss, &sources, options));
    }
    line
}

/// Checks that wrong gradients are rejected, on one problem of each model. A checker that cannot
/// fail proves nothing.
fn check_controls<M: Classifier>(
    name: &str,
    make: MakeProblem<M>,
    device: &Device,
    options: &Options,
) -> GradientCheck {
    let precision = if f64_works(device) { FloatDType::F64 } else { FloatDType::F32 };
    let problem = make(options.seed, [33, 17, 10], 0.7, device, precision);
    let result = controls(&problem.model, problem.loss(OBJECTIVES[1]), options);
    let applicable = result.controls.iter().filter(|control| control.caught.is_some()).count();
    let mut line = row(name, precision, &format!("{applicable} wrong gradients, all caught"));
    line.checks = applicable;
    line.coordinates = result.report.checked();
    if !result.all_caught() {
        fail(&mut line, result.to_string());
    }
    line
}

fn softmax(seed: u64, shape: [usize; 3], scale: f64, device: &Device, dtype: FloatDType) -> Problem<SoftmaxRegression> {
    let [_, d, k] = shape;
    let mut model = to_precision(SoftmaxRegressionConfig::new(d, k).init(device), dtype);
    model.linear = linear(seed, [d, k], scale, device, dtype);
    batch(model, seed, shape, k, device, dtype)
}

fn logistic(
    seed: u64,
    shape: [usize; 3],
    scale: f64,
    device: &Device,
    dtype: FloatDType,
) -> Problem<LogisticRegression> {
    let [_, d, _] = shape;
    let mut model = to_precision(LogisticRegressionConfig::new(d).init(device), dtype);
    model.linear = linear(seed, [d, 1], scale, device, dtype);
    batch(model, seed, shape, 2, device, dtype)
}

fn linear(seed: u64, [d, k]: [usize; 2], scale: f64, device: &Device, dtype: FloatDType) -> Linear {
    Linear {
        weight: Param::from_tensor(random(seed + 10, [d, k], device, dtype) * scale),
        bias: Some(Param::from_tensor(random(seed + 20, [k], device, dtype) * scale)),
    }
}

fn batch<M>(
    model: M,
    seed: u64,
    [rows, d, _]: [usize; 3],
    classes: usize,
    device: &Device,
    dtype: FloatDType,
) -> Problem<M> {
    let labels: Vec<u32> = (0..rows).map(|row| ((row as u64 * 7 + seed) % classes as u64) as u32).collect();
    // Pixels, about half of them background.
    let bytes: Vec<u8> = uniform(seed, rows * d).iter().map(|x| (255.0 * x).max(0.0) as u8).collect();
    let features: Vec<f64> = bytes.iter().map(|&byte| SCALE * f64::from(byte) + OFFSET).collect();
    // The rows are images if the number of features allows it, so that the kernels read patches.
    let size = if d.is_multiple_of(7) && d > 28 { [7, d / 7] } else { [1, d] };
    Problem {
        model,
        features: Tensor::from_data(TensorData::new(features, [rows, d]), (device, dtype.into())),
        labels: Tensor::from_data(TensorData::new(labels.iter().map(|&y| y as i32).collect(), [rows]), device),
        rows: PackedRows::new(&bytes, size, labels.clone(), SCALE, OFFSET),
        bytes,
        classes: labels,
    }
}
