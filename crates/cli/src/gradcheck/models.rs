//! Both models, over shapes, seeds, penalties and weights, in every precision that the device has.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use chainrule_gradcheck::{Options, Witness, against_differences, compare, controls, f64_works};
use chainrule_models::{
    Classifier, Gradient, L2, LogisticRegression, LogisticRegressionConfig, SoftmaxRegression, SoftmaxRegressionConfig,
    closed_form, hessian_vector_product, to_precision,
};
use chainrule_records::GradientCheck;

use super::{add, fail, random, rounding, row};

/// Rows, features, classes: one row, one feature, two classes, many.
const SHAPES: [[usize; 3]; 5] = [[1, 1, 2], [1, 7, 3], [9, 1, 2], [8, 5, 2], [33, 17, 10]];

/// Zero, where every training starts; ordinary; and far out, where many probabilities are nearly 0 or 1. Farther still, slopes sink below the
/// noise of the loss, and differences can tell nothing.
const WEIGHT_SCALES: [f64; 3] = [0.0, 0.7, 4.0];

const SEEDS: u64 = 2;

const PENALTIES: [(&str, L2); 3] = [
    ("no penalty", L2::NONE),
    ("L2, bias free", L2 { strength: 0.1, penalize_bias: false }),
    ("L2, bias penalised", L2 { strength: 0.1, penalize_bias: true }),
];

/// A model at some weights, with a batch.
struct Problem<M> {
    model: M,
    features: Tensor<2>,
    labels: Tensor<1, Int>,
}

impl<M: Classifier> Problem<M> {
    /// J, in the type of the parameters that it is given.
    fn loss(&self, l2: L2) -> impl Fn(&M) -> Tensor<1> {
        let (features, labels) = (self.features.clone(), self.labels.clone());
        move |model| {
            let dtype = FloatDType::from(model.linear().weight.val().dtype());
            let logits = model.scores(features.clone().cast(dtype));
            model.cross_entropy(logits, labels.clone()).mean() + l2.penalty(model.linear())
        }
    }

    /// The directional derivative of J by the closed form, whose own gradient is the Hessian times that direction.
    fn slope_along(&self, direction: Gradient, l2: L2) -> impl Fn(&M) -> Tensor<1> {
        let (features, labels) = (self.features.clone(), self.labels.clone());
        move |model| {
            let gradient = closed_form(model, features.clone(), labels.clone(), l2).gradient;
            (gradient.weight * direction.weight.clone()).sum() + (gradient.bias * direction.bias.clone()).sum()
        }
    }
}

/// Makes a problem of a shape, a seed and a scale of weights.
type Make<M> = fn(u64, [usize; 3], f64, &Device, FloatDType) -> Problem<M>;

/// All lines of the table.
pub(super) fn check(device: &Device, seed: u64) -> Vec<GradientCheck> {
    let mut rows = check_model("logistic", logistic, device, seed);
    rows.extend(check_model("softmax", softmax, device, seed));
    rows
}

fn check_model<M: Classifier>(name: &str, make: Make<M>, device: &Device, seed: u64) -> Vec<GradientCheck> {
    let has_f64 = f64_works(device);
    let witness = if has_f64 { Witness::F64 } else { Witness::Own };
    let options = Options { witness, seed, ..Options::default() };
    let precisions =
        [FloatDType::F64, FloatDType::F32].into_iter().filter(|precision| has_f64 || *precision == FloatDType::F32);
    let mut rows = Vec::new();
    for precision in precisions {
        // The residual p - y rounds at the size of 1, however small it is, and features are at most 1.
        let options = Options { atol: rounding(precision), ..options.clone() };
        for (penalty, l2) in PENALTIES {
            let mut line = row(name, precision, penalty);
            for (case, problem) in problems(make, device, precision, seed) {
                let by_hand = closed_form(&problem.model, problem.features.clone(), problem.labels.clone(), l2);
                let by_hand = by_hand.gradient.into_params(problem.model.linear());
                add(
                    &mut line,
                    &case,
                    &compare(&problem.model, problem.loss(l2), &[("closed-form", by_hand)], &options),
                );
            }
            rows.push(line);
        }
    }
    if has_f64 {
        rows.push(check_curvature(name, make, device, &options));
    }
    rows.push(check_controls(name, make, device, &options));
    rows
}

fn problems<M>(make: Make<M>, device: &Device, precision: FloatDType, seed: u64) -> Vec<(String, Problem<M>)> {
    let mut problems = Vec::new();
    for shape in SHAPES {
        for scale in WEIGHT_SCALES {
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

/// The closed-form Hessian-vector product against differences of the closed-form gradient: the only witness there is, since
/// Burn's autodiff has no second order.
fn check_curvature<M: Classifier>(name: &str, make: Make<M>, device: &Device, options: &Options) -> GradientCheck {
    let mut line = row(name, FloatDType::F64, "Hessian-vector product");
    for (case, problem) in problems(make, device, FloatDType::F64, options.seed) {
        let [d, k] = problem.model.linear().weight.dims();
        let direction = Gradient {
            weight: random(options.seed + 100, [d, k], device, FloatDType::F64),
            bias: random(options.seed + 101, [k], device, FloatDType::F64),
        };
        let (_, l2) = PENALTIES[2];
        let product = hessian_vector_product(&problem.model, problem.features.clone(), &direction, l2);
        let by_hand = product.into_params(problem.model.linear());
        let loss = problem.slope_along(direction, l2);
        // Without autodiff, which has nothing to say here.
        add(&mut line, &case, &against_differences(&problem.model, loss, &[("closed-form", by_hand)], options));
    }
    line
}

/// Wrong gradients on one problem of each model: a checker that cannot fail proves nothing.
fn check_controls<M: Classifier>(name: &str, make: Make<M>, device: &Device, options: &Options) -> GradientCheck {
    let precision = if f64_works(device) { FloatDType::F64 } else { FloatDType::F32 };
    let problem = make(options.seed, [33, 17, 10], 0.7, device, precision);
    let (_, l2) = PENALTIES[1];
    let result = controls(&problem.model, problem.loss(l2), options);
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
    let labels: Vec<i32> = (0..rows).map(|row| ((row as u64 * 7 + seed) % classes as u64) as i32).collect();
    Problem {
        model,
        features: random(seed, [rows, d], device, dtype),
        labels: Tensor::from_data(TensorData::new(labels, [rows]), device),
    }
}
