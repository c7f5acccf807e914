//! Compares the closed form with autodiff: Eqs. (9), (10), (19), (20), (23) and (25) over shapes,
//! seeds, penalties and weights.

use burn::tensor::{Device, FloatDType, Int, Tensor};
use chainrule_models::{
    Classifier, CostAndGradient, Gradient, L2, LogisticRegression, LogisticRegressionConfig, SoftmaxRegression,
    SoftmaxRegressionConfig, Targets, autodiff, closed_form, to_precision,
};
use chainrule_tests_macros::test;

use crate::support::{
    assert_close, compare, devices_and_precisions, labels, matrix, tolerance, uniform, values, vector, with_parameters,
};

/// Rows, features, classes.
const SHAPES: [[usize; 3]; 6] = [[1, 1, 2], [1, 7, 3], [9, 1, 2], [8, 5, 2], [33, 17, 10], [128, 40, 26]];

/// The distance of the weights from zero: the logits are 0, moderate or saturated.
const WEIGHT_SCALES: [f64; 3] = [0.0, 0.7, 300.0];

const PENALTIES: [L2; 4] = [
    L2::NONE,
    L2 { strength: 0.1, penalize_bias: false },
    L2 { strength: 0.1, penalize_bias: true },
    L2 { strength: 2.0, penalize_bias: true },
];

struct Problem<M> {
    model: M,
    features: Tensor<2>,
    labels: Tensor<1, Int>,
    classes: usize,
}

impl<M: Classifier> Problem<M> {
    fn closed_form(&self, l2: L2) -> Gradient {
        closed_form(&self.model, self.features.clone(), self.labels.clone(), l2).gradient
    }

    fn autodiff(&self, l2: L2) -> Gradient {
        autodiff(&self.model, self.features.clone(), self.labels.clone(), l2).gradient
    }

    /// Returns both gradients with class weights from a quarter to two.
    fn weighted(&self, l2: L2) -> [CostAndGradient; 2] {
        let weights: Vec<f64> = (0..self.classes).map(|class| [2.0, 0.25, 1.5, 0.7][class % 4]).collect();
        let dtype = FloatDType::from(self.features.dtype());
        let weights = vector(&weights, &self.features.device(), dtype);
        let targets = Targets::with_class_weights(self.labels.clone(), weights);
        let by_hand = closed_form(&self.model, self.features.clone(), targets.clone(), l2);
        [by_hand, autodiff(&self.model, self.features.clone(), targets, l2)]
    }
}

fn features(seed: u64, [rows, features, _]: [usize; 3], device: &Device, dtype: FloatDType) -> Tensor<2> {
    matrix(&uniform(seed, rows * features), [rows, features], device, dtype)
}

fn parameters(seed: u64, scale: f64, [d, k]: [usize; 2], device: &Device, dtype: FloatDType) -> (Tensor<2>, Tensor<1>) {
    let weight: Vec<f64> = uniform(seed + 10, d * k).iter().map(|w| scale * w).collect();
    let bias: Vec<f64> = uniform(seed + 20, k).iter().map(|b| scale * b).collect();
    (matrix(&weight, [d, k], device, dtype), vector(&bias, device, dtype))
}

fn softmax(seed: u64, shape: [usize; 3], scale: f64, device: &Device, dtype: FloatDType) -> Problem<SoftmaxRegression> {
    let [rows, d, k] = shape;
    let mut model = to_precision(SoftmaxRegressionConfig::new(d, k).init(device), dtype);
    let (weight, bias) = parameters(seed, scale, [d, k], device, dtype);
    model.linear = with_parameters(model.linear, weight, bias);
    Problem { model, features: features(seed, shape, device, dtype), labels: labels(seed, rows, k, device), classes: k }
}

fn logistic(
    seed: u64,
    shape: [usize; 3],
    scale: f64,
    device: &Device,
    dtype: FloatDType,
) -> Problem<LogisticRegression> {
    let [rows, d, _] = shape;
    let mut model = to_precision(LogisticRegressionConfig::new(d).init(device), dtype);
    let (weight, bias) = parameters(seed, scale, [d, 1], device, dtype);
    model.linear = with_parameters(model.linear, weight, bias);
    Problem { model, features: features(seed, shape, device, dtype), labels: labels(seed, rows, 2, device), classes: 2 }
}

/// Compares every problem of the grid. Returns the number of problems.
fn over_the_grid<M: Classifier>(
    make: impl Fn(u64, [usize; 3], f64, &Device, FloatDType) -> Problem<M>,
    gradients: impl Fn(&Problem<M>, L2) -> [Gradient; 2],
) -> usize {
    let mut checked = 0;
    for (device, dtype) in devices_and_precisions() {
        for shape in SHAPES {
            for scale in WEIGHT_SCALES {
                for seed in 0..3 {
                    let problem = make(seed, shape, scale, &device, dtype);
                    for l2 in PENALTIES {
                        let [by_hand, by_burn] = gradients(&problem, l2);
                        let compared = compare(&by_hand, &by_burn, tolerance(dtype));
                        if let Err(difference) = compared {
                            panic!("{device:?} {dtype:?} {shape:?} scale {scale} seed {seed} {l2:?}: {difference}");
                        }
                        checked += 1;
                    }
                }
            }
        }
    }
    checked
}

fn plain<M: Classifier>(problem: &Problem<M>, l2: L2) -> [Gradient; 2] {
    [problem.closed_form(l2), problem.autodiff(l2)]
}

fn weighted<M: Classifier>(problem: &Problem<M>, l2: L2) -> [Gradient; 2] {
    problem.weighted(l2).map(|actual| actual.gradient)
}

#[test]
fn eqs_9_10_23_logistic_closed_form_matches_autodiff() {
    assert!(over_the_grid(logistic, plain) >= 216);
}

#[test]
fn eqs_19_20_23_softmax_closed_form_matches_autodiff() {
    assert!(over_the_grid(softmax, plain) >= 216);
}

#[test]
fn eqs_24_25_weighted_logistic_closed_form_matches_autodiff() {
    assert!(over_the_grid(logistic, weighted) >= 216);
}

#[test]
fn eqs_24_25_weighted_softmax_closed_form_matches_autodiff() {
    assert!(over_the_grid(softmax, weighted) >= 216);
}

#[test]
fn eqs_24_25_a_weighted_batch_is_the_weighted_mean_of_its_rows() {
    fn check<M: Classifier>(problem: &Problem<M>, weights: &[f64], dtype: FloatDType) {
        let n = weights.len();
        let row = |i: usize| {
            let (x, y) = (problem.features.clone().narrow(0, i, 1), problem.labels.clone().narrow(0, i, 1));
            closed_form(&problem.model, x, y, L2::NONE)
        };
        let flat = |actual: CostAndGradient| {
            let CostAndGradient { cross_entropy, gradient, .. } = actual;
            [values(cross_entropy), values(gradient.weight), values(gradient.bias)].concat()
        };
        let mut expected = vec![0.0; flat(row(0)).len()];
        for (i, weight) in weights.iter().enumerate() {
            expected.iter_mut().zip(flat(row(i))).for_each(|(sum, part)| *sum += weight * part / n as f64);
        }
        let weights = vector(weights, &problem.features.device(), dtype);
        let targets = Targets { labels: problem.labels.clone(), weights: Some(weights) };
        let actual = closed_form(&problem.model, problem.features.clone(), targets, L2::NONE);
        assert_close(&flat(actual), &expected, tolerance(dtype), "cost and gradient");
    }
    // Any weights per row, independent of the classes.
    let weights: Vec<f64> = uniform(40, 33).iter().map(|x| 1.5 + x).collect();
    for (device, dtype) in devices_and_precisions() {
        check(&softmax(1, [33, 17, 10], 0.7, &device, dtype), &weights, dtype);
        check(&logistic(1, [33, 17, 2], 0.7, &device, dtype), &weights, dtype);
    }
}

/// Expects the comparison to reject a gradient with one error.
fn is_refused<M: Classifier>(problem: &Problem<M>, dtype: FloatDType, spoil: impl Fn(Gradient, &M) -> Gradient) {
    let l2 = L2 { strength: 0.1, penalize_bias: false };
    let right = problem.autodiff(l2);
    let by_hand = problem.closed_form(l2);
    compare(&by_hand, &right, tolerance(dtype)).expect("the right gradient passes");
    let wrong = spoil(by_hand, &problem.model);
    compare(&wrong, &right, tolerance(dtype)).expect_err("the wrong gradient is refused");
}

fn wrong_gradients_are_refused<M: Classifier>(make: impl Fn(&Device, FloatDType) -> Problem<M>, rows: f64) {
    let scaled = |gradient: Gradient, by: f64| Gradient { weight: gradient.weight * by, bias: gradient.bias * by };
    for (device, dtype) in devices_and_precisions() {
        let problem = make(&device, dtype);
        let weight = |model: &M| model.linear().weight.val().inner();
        let bias = |model: &M| model.linear().bias.as_ref().unwrap().val().inner();
        // A wrong sign.
        is_refused(&problem, dtype, |gradient, _| scaled(gradient, -1.0));
        // The factor 1/N is missing.
        is_refused(&problem, dtype, |gradient, model| Gradient {
            weight: (gradient.weight - weight(model) * 0.1) * rows + weight(model) * 0.1,
            bias: gradient.bias * rows,
        });
        // 2 lambda w, the gradient of sum w^2.
        is_refused(&problem, dtype, |gradient, model| Gradient {
            weight: gradient.weight + weight(model) * 0.1,
            bias: gradient.bias,
        });
        // A penalty on a bias that should be free.
        is_refused(&problem, dtype, |gradient, model| Gradient {
            weight: gradient.weight,
            bias: gradient.bias + bias(model) * 0.1,
        });
        // One coordinate off by a thousandth of the largest.
        is_refused(&problem, dtype, |gradient, _| {
            let [d, k] = gradient.weight.dims();
            let mut off = vec![0.0; d * k];
            off[d * k / 2] = 1e-3 * gradient.weight.clone().abs().max().into_scalar::<f64>();
            let off = matrix(&off, [d, k], &gradient.weight.device(), dtype);
            Gradient { weight: gradient.weight + off, bias: gradient.bias }
        });
    }
}

#[test]
fn wrong_logistic_gradients_are_rejected() {
    wrong_gradients_are_refused(|device, dtype| logistic(1, [8, 5, 2], 0.7, device, dtype), 8.0);
}

#[test]
fn wrong_softmax_gradients_are_rejected() {
    wrong_gradients_are_refused(|device, dtype| softmax(1, [33, 17, 10], 0.7, device, dtype), 33.0);
}

#[test]
fn both_sources_report_the_same_cross_entropy() {
    for (device, dtype) in devices_and_precisions() {
        let problem = softmax(2, [33, 17, 10], 0.7, &device, dtype);
        let l2 = L2 { strength: 5.0, penalize_bias: true };
        let by = |l2| closed_form(&problem.model, problem.features.clone(), problem.labels.clone(), l2).cross_entropy;
        let by_autodiff = autodiff(&problem.model, problem.features.clone(), problem.labels.clone(), l2).cross_entropy;
        let (plain, penalised) = (by(L2::NONE).into_scalar::<f64>(), by(l2).into_scalar::<f64>());
        assert_eq!(plain, penalised);
        assert!((plain - by_autodiff.into_scalar::<f64>()).abs() <= tolerance(dtype) * plain);
    }
}
