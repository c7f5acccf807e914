//! The gradient checker: planted errors that it must catch, and gradients that it must pass.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use chainrule::backend::Backend;
use chainrule_gradcheck::{
    DifferencePrecision, Finding, Options, Report, check, compare, compare_without_autodiff, controls, f64_works,
};
use chainrule_models::{
    Classifier, Gradient, L2, LogisticRegression, LogisticRegressionConfig, SoftmaxRegression, SoftmaxRegressionConfig,
    Targets, closed_form, hessian_vector_product, to_precision,
};
use chainrule_tests_macros::test;

use crate::support::{
    devices, devices_and_precisions, f64_devices, labels, matrix, skip, uniform, vector, with_parameters,
};

const ROWS: usize = 12;
const FEATURES: usize = 5;
const CLASSES: usize = 4;
const SOME: L2 = L2 { strength: 0.1, penalize_bias: false };

/// A problem away from zero, with biases large enough that a penalty on them shows.
struct Problem<M> {
    model: M,
    features: Tensor<2>,
    labels: Tensor<1, Int>,
}

fn softmax_problem(device: &Device, dtype: FloatDType) -> Problem<SoftmaxRegression> {
    let mut model = to_precision(SoftmaxRegressionConfig::new(FEATURES, CLASSES).init(device), dtype);
    let weight = matrix(&uniform(1, FEATURES * CLASSES), [FEATURES, CLASSES], device, dtype);
    model.linear = with_parameters(model.linear, weight, vector(&uniform(2, CLASSES), device, dtype));
    let features = matrix(&uniform(3, ROWS * FEATURES), [ROWS, FEATURES], device, dtype);
    Problem { model, features, labels: labels(4, ROWS, CLASSES, device) }
}

fn logistic_problem(device: &Device, dtype: FloatDType) -> Problem<LogisticRegression> {
    let mut model = to_precision(LogisticRegressionConfig::new(FEATURES).init(device), dtype);
    let weight = matrix(&uniform(5, FEATURES), [FEATURES, 1], device, dtype);
    model.linear = with_parameters(model.linear, weight, vector(&[0.7], device, dtype));
    let features = matrix(&uniform(6, ROWS * FEATURES), [ROWS, FEATURES], device, dtype);
    Problem { model, features, labels: labels(7, ROWS, 2, device) }
}

impl<M: Classifier> Problem<M> {
    /// Returns J, in the dtype of its parameters.
    fn loss(&self, l2: L2) -> impl Fn(&M) -> Tensor<1> {
        let (features, labels) = (self.features.clone(), self.labels.clone());
        move |model| {
            let dtype = FloatDType::from(model.linear().weight.val().dtype());
            let logits = model.scores(features.clone().cast(dtype));
            model.cross_entropy(logits, labels.clone()).mean() + l2.penalty(model.linear())
        }
    }

    fn closed_form(&self, l2: L2) -> Gradient {
        closed_form(&self.model, self.features.clone(), self.labels.clone(), l2).gradient
    }

    fn compare(&self, l2: L2, by_hand: Gradient, options: &Options) -> Report {
        let by_hand = by_hand.into_params(self.model.linear());
        compare(&self.model, self.loss(l2), &[("closed-form", by_hand)], options)
    }
}

fn cpu() -> Device {
    f64_devices().remove(0)
}

fn has(report: &Report, is_it: impl Fn(&Finding) -> bool) -> bool {
    report.findings.iter().any(is_it)
}

#[test]
fn both_models_pass_with_both_gradients_on_every_backend() {
    for (device, dtype) in devices_and_precisions() {
        let has_f64 = f64_works(&device);
        let difference_precision =
            if has_f64 { DifferencePrecision::F64 } else { DifferencePrecision::SameAsParameters };
        let options = Options { difference_precision, ..Options::default() };
        for l2 in [L2::NONE, SOME, L2 { penalize_bias: true, ..SOME }] {
            let (one, two) = (softmax_problem(&device, dtype), logistic_problem(&device, dtype));
            let one = one.compare(l2, one.closed_form(l2), &options);
            let two = two.compare(l2, two.closed_form(l2), &options);
            for report in [one, two] {
                report.assert_pass();
                assert!(report.checked() > 5 && report.gradient_names == ["autodiff", "closed-form"]);
                assert!(report.failed() == 0 && report.kinks() == 0, "{report}");
                // In f32, differences of a few coordinates are too coarse to decide.
                assert!(report.unresolved() == 0 || !has_f64, "{report}");
                assert_eq!(report.parameters[0].name, "linear.weight");
            }
        }
    }
}

#[test]
fn an_f32_loss_has_honest_bounds() {
    for device in devices() {
        let problem = softmax_problem(&device, FloatDType::F32);
        let options = Options { difference_precision: DifferencePrecision::SameAsParameters, ..Options::default() };
        let report = problem.compare(SOME, problem.closed_form(SOME), &options);
        report.assert_pass();
        assert!(report.noise > 1e-9, "{}", report.noise);
        let bound = report.parameters[0].gradients[0].worst.as_ref().unwrap().bound;
        assert!((1e-8..1e-2).contains(&bound), "{bound:e}");
    }
}

/// Expects a wrong gradient to fail and the report to name it.
fn is_caught(spoil: impl Fn(Gradient, &Problem<SoftmaxRegression>) -> Gradient) {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let wrong = spoil(problem.closed_form(SOME), &problem);
    let report = problem.compare(SOME, wrong, &Options::default());
    assert!(!report.passed() && report.failed() > 0, "{report}");
    assert!(
        has(&report, |f| matches!(f, Finding::SingleOutlier { gradient } if gradient == "closed-form")),
        "{report}"
    );
    assert_eq!(
        report.parameters.iter().map(|p| p.gradients[0].failed).sum::<usize>(),
        0,
        "autodiff is right: {report}"
    );
}

#[test]
fn a_wrong_sign_is_caught() {
    is_caught(|gradient, _| Gradient { weight: -gradient.weight, bias: -gradient.bias });
}

#[test]
fn a_missing_1_over_n_is_caught() {
    is_caught(|_, problem| {
        let gradient = problem.closed_form(L2::NONE);
        SOME.add_to(
            Gradient { weight: gradient.weight * ROWS as f64, bias: gradient.bias * ROWS as f64 },
            problem.model.linear(),
        )
    });
}

#[test]
fn a_doubled_lambda_is_caught() {
    is_caught(|gradient, problem| SOME.add_to(gradient, problem.model.linear()));
}

#[test]
fn a_penalised_bias_is_caught() {
    is_caught(|_, problem| problem.closed_form(L2 { penalize_bias: true, ..SOME }));
}

#[test]
fn a_transposed_weight_gradient_is_caught() {
    is_caught(|gradient, _| {
        let weight = gradient.weight.transpose().reshape([FEATURES, CLASSES]);
        Gradient { weight, bias: gradient.bias }
    });
}

#[test]
fn two_swapped_classes_are_caught() {
    is_caught(|gradient, problem| {
        let order = Tensor::from_data(TensorData::from([1, 0, 2, 3]), &problem.features.device());
        Gradient { weight: gradient.weight.select(1, order), bias: gradient.bias }
    });
}

#[test]
fn a_non_finite_gradient_is_caught_by_its_index() {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let mut gradient = problem.closed_form(SOME);
    let nan = Tensor::full([1, 1], f64::NAN, (&problem.features.device(), DType::F64));
    gradient.weight = gradient.weight.slice_assign([2..3, 1..2], nan);
    let report = problem.compare(SOME, gradient, &Options::default());
    assert!(!report.passed());
    assert!(has(&report, |f| matches!(f, Finding::NotFinite { index, .. } if index == &[2, 1])), "{report}");
}

/// Returns one number as a module.
fn number(value: f64, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(vector(&[value], device, FloatDType::F64))
}

#[test]
fn a_kink_is_reported_and_passes() {
    for device in f64_devices() {
        // ln(1 + exp(-|z|)) at z = 0: the one-sided slopes are -1/2 and 1/2, and autodiff's 0 lies
        // between them.
        let loss = |z: &Param<Tensor<1>>| z.val().abs().neg().exp().add_scalar(1.0).log();
        let report = check(&number(0.0, &device), loss, &Options::default());
        report.assert_pass();
        assert_eq!(report.kinks(), 1, "{report}");
        let report = check(&number(0.5, &device), loss, &Options::default());
        report.assert_pass();
        assert_eq!(report.kinks(), 0, "{report}");
    }
}

/// The usual logistic loss is smooth. Autodiff's gradient of it at zero weights is off by one half,
/// and no kink excuses that.
#[test]
fn the_usual_logistic_loss_fails_only_at_zero_weights() {
    for device in f64_devices() {
        let model = to_precision(LogisticRegressionConfig::new(3).init(&device), FloatDType::F64);
        let x = matrix(&uniform(11, 12), [4, 3], &device, FloatDType::F64);
        let y = vector(&[0.0, 1.0, 0.0, 0.0], &device, FloatDType::F64);
        let usual = |model: &LogisticRegression| {
            let z = model.forward(x.clone());
            (z.clone().abs().neg().exp().add_scalar(1.0).log() + z.clone().clamp_min(0.0) - y.clone() * z).mean()
        };
        let report = check(&model, usual, &Options::default());
        assert!(!report.passed() && report.kinks() == 0, "{report}");
        let bias = report.parameters.iter().find(|p| p.name == "linear.bias").unwrap();
        let worst = bias.gradients[0].worst.as_ref().unwrap();
        assert!((worst.distance - 0.5).abs() < 1e-6, "{report}");
        assert!(has(&report, |f| matches!(f, Finding::RightNearby { .. })), "{report}");
    }
}

#[test]
fn atol_and_rtol_add_tolerance() {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let off = |by: f64| {
        let gradient = problem.closed_form(SOME);
        Gradient { weight: gradient.weight * by, bias: gradient.bias * by }
    };
    let with = |options: Options| problem.compare(SOME, off(1.01), &options).passed();
    assert!(!with(Options::default()));
    assert!(!with(Options { rtol: 1e-3, ..Options::default() }));
    assert!(with(Options { rtol: 2e-2, ..Options::default() }));
    assert!(with(Options { atol: 0.1, ..Options::default() }));
}

#[test]
fn the_controls_work_on_a_users_module() {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let result = controls(&problem.model, problem.loss(SOME), &Options::default());
    result.assert_all_caught();
    assert_eq!(result.controls.len(), 9);
    assert!(result.controls.iter().all(|control| control.caught == Some(true)), "{result}");
    // At zero weights a penalty has no effect. The report says so and does not count it as caught.
    let zero = to_precision(SoftmaxRegressionConfig::new(FEATURES, CLASSES).init(&cpu()), FloatDType::F64);
    let result = controls(&zero, problem.loss(SOME), &Options::default());
    result.assert_all_caught();
    assert_eq!(result.controls.iter().filter(|control| control.caught.is_none()).count(), 2, "{result}");
}

#[test]
fn the_report_is_detailed_only_on_failure() {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let well = problem.compare(SOME, problem.closed_form(SOME), &Options::default());
    assert_eq!(well.to_string().lines().count(), 1, "{well}");
    let gradient = problem.closed_form(SOME);
    let ill = problem.compare(SOME, Gradient { weight: -gradient.weight, bias: gradient.bias }, &Options::default());
    let text = ill.to_string();
    for part in [
        "FAILED",
        "closed-form is the only gradient that disagrees with the differences",
        "linear.weight [5, 4]",
        "worst at [",
        "ULP",
        "differences",
    ] {
        assert!(text.contains(part), "{text} does not say {part:?}");
    }
    let json = serde_json::to_string(&well).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap().checked(), well.checked());
}

/// Compares the closed-form Hessian-vector product with differences of the closed-form gradient.
/// The slope of `gradient . direction` along a coordinate of the parameters is that coordinate of
/// `H direction`.
fn curvature_is_right<M: Classifier>(problem: &Problem<M>) {
    let weights = || vector(&uniform(16, ROWS), &problem.features.device(), FloatDType::F64) + 1.25;
    let penalised = L2 { penalize_bias: true, ..SOME };
    for (l2, weights) in [(L2::NONE, None), (SOME, None), (penalised, None), (penalised, Some(weights()))] {
        let targets = Targets { labels: problem.labels.clone(), weights: weights.clone() };
        let [d, k] = problem.model.linear().weight.dims();
        let device = problem.features.device();
        let direction = Gradient {
            weight: matrix(&uniform(14, d * k), [d, k], &device, FloatDType::F64),
            bias: vector(&uniform(15, k), &device, FloatDType::F64),
        };
        let product = hessian_vector_product(&problem.model, problem.features.clone(), weights, &direction, l2);
        let along = |model: &M| {
            let gradient = closed_form(model, problem.features.clone(), targets.clone(), l2).gradient;
            (gradient.weight * direction.weight.clone()).sum() + (gradient.bias * direction.bias.clone()).sum()
        };
        let by_hand = product.into_params(problem.model.linear());
        let report = compare_without_autodiff(&problem.model, along, &[("closed-form", by_hand)], &Options::default());
        report.assert_pass();
        assert_eq!((report.checked(), report.unresolved()), (d * k + k, 0), "{report}");
    }
}

#[test]
fn eqs_26_28_the_logistic_hessian_product_matches_differences() {
    f64_devices().iter().for_each(|device| curvature_is_right(&logistic_problem(device, FloatDType::F64)));
}

#[test]
fn eqs_27_28_the_softmax_hessian_product_matches_differences() {
    f64_devices().iter().for_each(|device| curvature_is_right(&softmax_problem(device, FloatDType::F64)));
}

/// The faults of Burn on ndarray that `docs/burn-gradients.md` describes. If this test fails, Burn
/// has fixed one, and the page must be updated.
#[test]
fn burns_known_faults_are_still_there() {
    let Ok(device) = Backend::Ndarray.device() else { skip("ndarray is not in this build") };
    let gelu = |x: &Param<Tensor<1>>| burn::tensor::activation::gelu(x.val());
    let report = check(&number(-1.5, &device), gelu, &Options::default());
    let worst = report.parameters[0].gradients[0].worst.as_ref().unwrap();
    assert!(report.failed() == 1 && (1e-5..1e-2).contains(&worst.distance), "gelu: {report}");

    let p = burn::tensor::activation::sigmoid(vector(&[1.0], &device, FloatDType::F64)).into_scalar::<f64>();
    let off = (p - 1.0 / (1.0 + (-1f64).exp())).abs();
    assert!((1e-10..1e-6).contains(&off), "sigmoid: {off:e}");
}

#[test]
fn gradients_of_few_digits_are_resolved() {
    let few = |device: Device| [FloatDType::F16, FloatDType::BF16].map(|dtype| (device.clone(), dtype));
    let mut pairs: Vec<(Device, FloatDType)> = devices().into_iter().flat_map(few).collect();
    pairs.retain(|(device, dtype)| f64_works(device) && device.supports_dtype(*dtype));
    if pairs.is_empty() {
        skip("no device of this build has f16 or bf16, and f64");
    }
    for (device, dtype) in pairs {
        let x = Param::from_tensor(vector(&[0.5, -0.25, 1.5, 0.75, 0.125, -0.875], &device, dtype));
        let loss = |x: &Param<Tensor<1>>| (x.val().exp() * 0.3).sum();
        let report = check(&x, loss, &Options { points: 4, ..Options::default() });
        assert!(report.passed() && report.unresolved() == 0, "{dtype:?}: {report}");
        for factor in [0.0, -1.0, 0.5, 2.0] {
            let mut gradients = GradientsParams::new();
            gradients.register(x.id, x.val().exp() * 0.3 * factor);
            let report = compare(&x, loss, &[("by hand", gradients)], &Options::default());
            assert_eq!(report.failed(), 6, "{dtype:?}, {factor}: {report}");
        }
    }
}
