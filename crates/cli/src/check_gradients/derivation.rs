//! Checks each step of the derivation by itself against autodiff and finite differences.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::activation::{log_sigmoid, softmax};
use burn::tensor::{Device, FloatDType, Tensor};
use chainrule_gradcheck::{DifferencePrecision, Options, Report, compare, f64_works};
use chainrule_models::derivation::{
    binary_cross_entropy, binary_cross_entropy_by_logit, binary_cross_entropy_by_probability,
    binary_cross_entropy_by_weight, cross_entropy, cross_entropy_by_logit, cross_entropy_by_probability,
    cross_entropy_by_weight, sigmoid_by_logit, softmax_jacobian_diagonal, softmax_jacobian_off_diagonal,
};
use chainrule_records::GradientCheck;

use super::{OnRow, REPETITIONS, add, fail, random, rounding, row};

const ROWS: usize = 6;
const FEATURES: usize = 4;
const CLASSES: usize = 5;
const SEEDS: u64 = 3;

/// Compares one step with autodiff and finite differences.
type Step = fn(&Inputs, &Options) -> Report;

/// The point at which the derivative is taken.
#[derive(Module, Debug)]
struct Point {
    at: Param<Tensor<2>>,
}

/// Returns one row for each equation. Outputs with several numbers are summed with random factors.
pub(super) fn check(device: &Device, seed: u64, on_row: OnRow<'_>) -> Vec<GradientCheck> {
    let dtype = if f64_works(device) { FloatDType::F64 } else { FloatDType::F32 };
    let steps: [(&str, Step); 9] = [
        ("Eq. (4), dC/dp", |i, o| {
            let by_hand = binary_cross_entropy_by_probability(column(&i.p), column(&i.y));
            let by_hand = (by_hand * column(&i.row_factors)).unsqueeze_dim(1);
            let Inputs { y, row_factors, .. } = i.clone();
            differentiate(&i.p, by_hand, o, move |p| binary_cost(&p, &y, &row_factors))
        }),
        ("Eq. (5), dp/dz", |i, o| {
            let by_hand = (sigmoid_by_logit(column(&sigmoid(i.z.clone()))) * column(&i.row_factors)).unsqueeze_dim(1);
            let Inputs { row_factors, .. } = i.clone();
            differentiate(&i.z, by_hand, o, move |z| (sigmoid(z.clone()) * like(&row_factors, &z)).sum())
        }),
        ("Eq. (6), dC/dz", |i, o| {
            let by_hand = binary_cross_entropy_by_logit(column(&sigmoid(i.z.clone())), column(&i.y));
            let by_hand = (by_hand * column(&i.row_factors)).unsqueeze_dim(1);
            let Inputs { y, row_factors, .. } = i.clone();
            differentiate(&i.z, by_hand, o, move |z| binary_cost(&sigmoid(z), &y, &row_factors))
        }),
        ("Eq. (8), dC/dw", |i, o| {
            let p = sigmoid(i.x.clone().matmul(i.w.clone()));
            let rows = binary_cross_entropy_by_weight(i.x.clone(), column(&p), column(&i.y));
            let by_hand = rows.transpose().matmul(i.row_factors.clone());
            let Inputs { x, y, row_factors, .. } = i.clone();
            differentiate(&i.w, by_hand, o, move |w| binary_cost(&sigmoid(like(&x, &w).matmul(w)), &y, &row_factors))
        }),
        ("Eq. (14), dC/dp", |i, o| {
            let by_hand = cross_entropy_by_probability(i.distribution.clone(), i.targets.clone());
            let Inputs { targets, row_factors, .. } = i.clone();
            differentiate(&i.distribution, by_hand * i.row_factors.clone(), o, move |p| cost(p, &targets, &row_factors))
        }),
        ("Eqs. (15) and (16), dp/dz", |i, o| {
            let p = softmax(i.logits.clone(), 1);
            let identity = Tensor::<2>::eye(CLASSES, &p.device()).cast(p.dtype()).unsqueeze_dim::<3>(0);
            let off_diagonal = softmax_jacobian_off_diagonal(p.clone()) * (-identity.clone() + 1.0);
            let jacobian = softmax_jacobian_diagonal(p).unsqueeze_dim::<3>(2) * identity + off_diagonal;
            // The Jacobian is `[row, k, j]`. It is multiplied by the factor of each output k.
            let by_hand = (jacobian * i.factors.clone().unsqueeze_dim::<3>(2)).sum_dim(1).squeeze_dim::<2>(1);
            let Inputs { factors, .. } = i.clone();
            differentiate(&i.logits, by_hand, o, move |z| (softmax(z.clone(), 1) * like(&factors, &z)).sum())
        }),
        ("Eq. (17), dC/dz", |i, o| {
            let by_hand = cross_entropy_by_logit(softmax(i.logits.clone(), 1), i.targets.clone());
            let Inputs { targets, row_factors, .. } = i.clone();
            differentiate(&i.logits, by_hand * i.row_factors.clone(), o, move |z| {
                cost(softmax(z, 1), &targets, &row_factors)
            })
        }),
        ("Eq. (18), dC/dW", |i, o| {
            let p = softmax(i.x.clone().matmul(i.weights.clone()), 1);
            let rows = cross_entropy_by_weight(i.x.clone(), p, i.targets.clone());
            let by_hand = (rows * i.row_factors.clone().unsqueeze_dim::<3>(2)).sum_dim(0).squeeze_dim::<2>(0);
            let Inputs { x, targets, row_factors, .. } = i.clone();
            differentiate(&i.weights, by_hand, o, move |w| {
                cost(softmax(like(&x, &w).matmul(w), 1), &targets, &row_factors)
            })
        }),
        ("Eq. (22), dR/dw", |i, o| differentiate(&i.weights, i.weights.clone(), o, |w| w.powi_scalar(2).sum() * 0.5)),
    ];

    let difference_precision =
        if dtype == FloatDType::F64 { DifferencePrecision::F64 } else { DifferencePrecision::SameAsParameters };
    // The residual p - y has the rounding error of numbers near 1.
    let options =
        Options { difference_precision, seed, atol: rounding(dtype), repetitions: REPETITIONS, ..Options::default() };
    let mut lines = Vec::new();
    for (what, step) in steps {
        let mut line = row("derivation", dtype, what);
        on_row(&line);
        for seed in seed..seed + SEEDS {
            add(&mut line, &format!("seed {seed}"), &step(&Inputs::new(seed, device, dtype), &options));
        }
        lines.push(line);
    }
    lines.push(penalty_without_half(&Inputs::new(seed, device, dtype), &options, dtype));
    lines
}

/// Checks that `dR/dw = w` is refused for R = sum w^2. The derivation's factor 1/2 must matter.
fn penalty_without_half(inputs: &Inputs, options: &Options, dtype: FloatDType) -> GradientCheck {
    let mut line = row("derivation", dtype, "Eq. (22) refused for R = sum w^2");
    let report = differentiate(&inputs.weights, inputs.weights.clone(), options, |w| w.powi_scalar(2).sum());
    line.checks = 1;
    line.coordinates = report.checked();
    line.sources = report.gradient_names.join(" = ");
    if report.passed() {
        fail(&mut line, "w passed for the derivative of sum w^2, which is 2 w".to_owned());
    }
    line
}

/// The inputs of the steps.
#[derive(Clone, Debug)]
struct Inputs {
    /// Rows, `[n, d]`.
    x: Tensor<2>,
    /// Binary targets, `[n, 1]`.
    y: Tensor<2>,
    /// Probabilities, `[n, 1]`.
    p: Tensor<2>,
    /// Logits, `[n, 1]`.
    z: Tensor<2>,
    /// Weights, `[d, 1]`.
    w: Tensor<2>,
    /// One-hot targets, `[n, k]`.
    targets: Tensor<2>,
    /// Rows of probabilities, `[n, k]`.
    distribution: Tensor<2>,
    /// Logits, `[n, k]`.
    logits: Tensor<2>,
    /// Weights, `[d, k]`.
    weights: Tensor<2>,
    /// The factor of each row's cost, `[n, 1]`.
    row_factors: Tensor<2>,
    /// The factor of each output, `[n, k]`.
    factors: Tensor<2>,
}

impl Inputs {
    fn new(seed: u64, device: &Device, dtype: FloatDType) -> Self {
        let mut next = 1000 * seed;
        let mut draw = |shape: [usize; 2]| {
            next += 1;
            random(next, shape, device, dtype)
        };
        let one_hot = |labels: [usize; ROWS], classes: usize| {
            let values: Vec<f64> = labels
                .iter()
                .flat_map(|&label| (0..classes).map(move |k| if k == label { 1.0 } else { 0.0 }))
                .collect();
            Tensor::from_data(burn::tensor::TensorData::new(values, [ROWS, classes]), (device, dtype.into()))
        };
        Self {
            x: draw([ROWS, FEATURES]),
            y: one_hot([1, 0, 1, 1, 0, 1], 2).narrow(1, 1, 1),
            p: draw([ROWS, 1]) * 0.45 + 0.5,
            z: draw([ROWS, 1]) * 6.0,
            w: draw([FEATURES, 1]),
            targets: one_hot([0, 3, 1, 4, 2, 0], CLASSES),
            distribution: softmax(draw([ROWS, CLASSES]), 1),
            logits: draw([ROWS, CLASSES]) * 4.0,
            weights: draw([FEATURES, CLASSES]),
            row_factors: draw([ROWS, 1]),
            factors: draw([ROWS, CLASSES]),
        }
    }
}

/// Compares `by_hand` with autodiff and finite differences of `function` at a point.
fn differentiate(
    at: &Tensor<2>,
    by_hand: Tensor<2>,
    options: &Options,
    function: impl Fn(Tensor<2>) -> Tensor<1>,
) -> Report {
    let point = Point { at: Param::from_tensor(at.clone()) };
    let mut gradient = GradientsParams::new();
    gradient.register(point.at.id, by_hand);
    compare(&point, |point: &Point| function(point.at.val()), &[("by hand", gradient)], options)
}

/// The sum of the binary costs of probabilities `[n, 1]`, each times its factor.
fn binary_cost(p: &Tensor<2>, y: &Tensor<2>, factors: &Tensor<2>) -> Tensor<1> {
    let (y, factors) = (like(y, p), like(factors, p));
    (binary_cross_entropy(column(p), column(&y)) * column(&factors)).sum()
}

/// The sum of the costs of rows of probabilities `[n, k]`, each times its factor.
fn cost(p: Tensor<2>, y: &Tensor<2>, factors: &Tensor<2>) -> Tensor<1> {
    let (y, factors) = (like(y, &p), like(factors, &p));
    (cross_entropy(p, y) * column(&factors)).sum()
}

/// Eq. (2) through its logarithm: on some backends Burn's own sigmoid rounds through f32.
fn sigmoid(z: Tensor<2>) -> Tensor<2> {
    log_sigmoid(z).exp()
}

/// Returns the only column of a matrix.
fn column(matrix: &Tensor<2>) -> Tensor<1> {
    matrix.clone().squeeze_dim(1)
}

/// Casts a constant to the float type of `other`. Finite differences may use a wider type than the
/// gradients.
fn like(constant: &Tensor<2>, other: &Tensor<2>) -> Tensor<2> {
    constant.clone().cast(FloatDType::from(other.dtype()))
}
