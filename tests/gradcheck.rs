//! The gradient checker: what it must catch, each planted, and what it must pass.

use burn::module::{Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Distribution, FloatDType, Int, Tensor, TensorData};
use chainrule::backend::Backend;
use chainrule_gradcheck::{
    Finding, Gradient as Slices, Options, Parameter, Report, Search, Witness, against_differences, check, check_output,
    check_slices, compare, controls, f64_works,
};
use chainrule_models::{
    Classifier, Gradient, L2, LogisticRegression, LogisticRegressionConfig, SoftmaxRegression, SoftmaxRegressionConfig,
    Targets, closed_form, hessian_vector_product, to_precision,
};
use chainrule_tests_macros::test;

use crate::support::{
    devices, devices_and_precisions, f64_devices, labels, matrix, noise, skip, vector, with_parameters,
};

const ROWS: usize = 12;
const FEATURES: usize = 5;
const CLASSES: usize = 4;
const SOME: L2 = L2 { strength: 0.1, penalize_bias: false };

/// A layer whose weights are the same in every run.
fn linear(seed: u64, [d, k]: [usize; 2], device: &Device, dtype: FloatDType) -> Linear {
    let linear = to_precision(LinearConfig::new(d, k).init(device), dtype);
    with_parameters(
        linear,
        matrix(&noise(seed, d * k), [d, k], device, dtype),
        vector(&noise(seed + 1, k), device, dtype),
    )
}

/// A problem away from zero, with biases that a penalty would show on.
struct Problem<M> {
    model: M,
    features: Tensor<2>,
    labels: Tensor<1, Int>,
}

fn softmax_problem(device: &Device, dtype: FloatDType) -> Problem<SoftmaxRegression> {
    let mut model = to_precision(SoftmaxRegressionConfig::new(FEATURES, CLASSES).init(device), dtype);
    let weight = matrix(&noise(1, FEATURES * CLASSES), [FEATURES, CLASSES], device, dtype);
    model.linear = with_parameters(model.linear, weight, vector(&noise(2, CLASSES), device, dtype));
    let features = matrix(&noise(3, ROWS * FEATURES), [ROWS, FEATURES], device, dtype);
    Problem { model, features, labels: labels(4, ROWS, CLASSES, device) }
}

fn logistic_problem(device: &Device, dtype: FloatDType) -> Problem<LogisticRegression> {
    let mut model = to_precision(LogisticRegressionConfig::new(FEATURES).init(device), dtype);
    let weight = matrix(&noise(5, FEATURES), [FEATURES, 1], device, dtype);
    model.linear = with_parameters(model.linear, weight, vector(&[0.7], device, dtype));
    let features = matrix(&noise(6, ROWS * FEATURES), [ROWS, FEATURES], device, dtype);
    Problem { model, features, labels: labels(7, ROWS, 2, device) }
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
        let witness = if f64_works(&device) { Witness::F64 } else { Witness::Own };
        let options = Options { witness, ..Options::default() };
        for l2 in [L2::NONE, SOME, L2 { penalize_bias: true, ..SOME }] {
            let (one, two) = (softmax_problem(&device, dtype), logistic_problem(&device, dtype));
            let one = one.compare(l2, one.closed_form(l2), &options);
            let two = two.compare(l2, two.closed_form(l2), &options);
            for report in [one, two] {
                report.assert_pass();
                assert!(report.checked() > 5 && report.sources == ["autodiff", "closed-form"]);
                assert!(report.unresolved() == 0 && report.kinks() == 0, "{report}");
                assert_eq!(report.parameters[0].name, "linear.weight");
            }
        }
    }
}

#[test]
fn an_f32_loss_has_honest_bounds() {
    for device in devices() {
        let problem = softmax_problem(&device, FloatDType::F32);
        let report = problem.compare(SOME, problem.closed_form(SOME), &Options::default());
        report.assert_pass();
        assert!(report.noise > 1e-9, "{}", report.noise);
        let bound = report.parameters[0].sources[0].worst.as_ref().unwrap().bound;
        assert!((1e-8..1e-3).contains(&bound), "{bound:e}");
    }
}

/// A gradient that is wrong in one way is failed, and named as the odd one out.
fn is_caught(spoil: impl Fn(Gradient, &Problem<SoftmaxRegression>) -> Gradient) {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let wrong = spoil(problem.closed_form(SOME), &problem);
    let report = problem.compare(SOME, wrong, &Options::default());
    assert!(!report.passed() && report.failed() > 0, "{report}");
    assert!(has(&report, |f| matches!(f, Finding::OddOneOut { source } if source == "closed-form")), "{report}");
    assert_eq!(report.parameters.iter().map(|p| p.sources[0].failed).sum::<usize>(), 0, "autodiff is right: {report}");
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
fn one_coordinate_of_ten_thousand_off_by_a_thousandth_is_caught_and_found() {
    let device = cpu();
    let model = LinearConfig::new(100, 100).with_bias(false).init(&device);
    let mut model = to_precision(model, FloatDType::F64);
    model.weight = model.weight.map(|_| matrix(&noise(8, 10_000), [100, 100], &device, FloatDType::F64));
    let x = matrix(&noise(9, 300), [3, 100], &device, FloatDType::F64);
    let loss = |model: &Linear| softmax(model.forward(x.clone()), 1).square().sum();

    let trained = model.clone().train();
    let mut right = GradientsParams::from_grads(loss(&trained).backward(), &trained);
    let right: Tensor<2> = right.remove(model.weight.id).unwrap();
    let guilty = [37, 58];
    let at = right.clone().slice([37..38, 58..59]);
    let off = right.slice_assign([37..38, 58..59], at * 1.001);

    let search = |search| {
        let mut gradient = GradientsParams::new();
        gradient.register(model.weight.id, off.clone());
        compare(&model, loss, &[("by-hand", gradient)], &Options { search, ..Options::default() })
    };
    for report in [search(Search::Directions { count: 2 }), search(Search::Exhaustive)] {
        assert!(!report.passed(), "{report}");
        let worst = report.parameters[0].sources[1].worst.as_ref().unwrap();
        assert_eq!(worst.index.as_deref(), Some(&guilty[..]), "{report}");
        assert!((5e-4..2e-3).contains(&worst.relative), "{report}");
    }
}

#[test]
fn a_million_parameters_are_checked_along_directions() {
    let device = cpu();
    let model = linear(21, [1000, 1000], &device, FloatDType::F32);
    let x = matrix(&noise(22, 2000), [2, 1000], &device, FloatDType::F32);
    let loss = |model: &Linear| {
        let x = x.clone().cast(FloatDType::from(model.weight.val().dtype()));
        model.forward(x).square().mean()
    };
    let report = check(&model, loss, &Options { witness: Witness::F64, ..Options::default() });
    report.assert_pass();
    assert!(!report.exhaustive);
    assert_eq!(report.parameters.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["weight", "bias"]);
}

#[test]
fn a_parameter_that_autodiff_never_reached_is_caught() {
    let device = cpu();
    let model = linear(20, [3, 2], &device, FloatDType::F64);
    let x = matrix(&noise(10, 6), [2, 3], &device, FloatDType::F64);
    // The weight's graph is cut, the bias's is not.
    let cut = |model: &Linear| {
        let z = x.clone().matmul(model.weight.val().detach()) + model.bias.as_ref().unwrap().val().unsqueeze_dim(0);
        z.exp().mean()
    };
    let report = check(&model, cut, &Options::default());
    assert!(!report.passed());
    let unreached =
        |f: &Finding| matches!(f, Finding::Unreached { parameter, matters: true, .. } if parameter == "weight");
    assert!(has(&report, unreached), "{report}");

    // A parameter that the loss does not depend on is said, not failed.
    let ignores_bias = |model: &Linear| x.clone().matmul(model.weight.val()).exp().mean();
    let report = check(&model, ignores_bias, &Options::default());
    report.assert_pass();
    let said = |f: &Finding| matches!(f, Finding::Unreached { parameter, matters: false, .. } if parameter == "bias");
    assert!(has(&report, said), "{report}");
}

#[test]
fn a_gradient_that_is_not_finite_is_caught_by_its_index() {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let mut gradient = problem.closed_form(SOME);
    let nan = Tensor::full([1, 1], f64::NAN, (&problem.features.device(), DType::F64));
    gradient.weight = gradient.weight.slice_assign([2..3, 1..2], nan);
    let report = problem.compare(SOME, gradient, &Options::default());
    assert!(!report.passed());
    assert!(has(&report, |f| matches!(f, Finding::NotFinite { index, .. } if index == &[2, 1])), "{report}");
}

#[test]
fn a_loss_that_is_not_deterministic_is_caught() {
    let device = cpu();
    let model = linear(20, [3, 2], &device, FloatDType::F32);
    let loss = |model: &Linear| {
        let x = Tensor::<2>::random([2, 3], Distribution::Default, &device);
        model.forward(x).mean()
    };
    let report = check(&model, loss, &Options::default());
    assert!(!report.passed() && has(&report, |f| matches!(f, Finding::NotDeterministic { .. })), "{report}");
}

/// One number as a module.
fn number(value: f64, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(vector(&[value], device, FloatDType::F64))
}

#[test]
fn a_kink_is_said_and_not_failed() {
    for device in f64_devices() {
        // ln(1 + exp(-|z|)) at z = 0: slopes -1/2 and 1/2 on its two sides, and autodiff's 0 is between them.
        let loss = |z: &Param<Tensor<1>>| z.val().abs().neg().exp().add_scalar(1.0).log();
        let report = check(&number(0.0, &device), loss, &Options::default());
        report.assert_pass();
        assert_eq!(report.kinks(), 1, "{report}");
        let report = check(&number(0.5, &device), loss, &Options::default());
        report.assert_pass();
        assert_eq!(report.kinks(), 0, "{report}");
    }
}

/// The usual logistic loss is smooth, and autodiff's gradient of it at zero weights is wrong by one half: no kink to forgive.
#[test]
fn the_usual_logistic_loss_fails_at_zero_weights_and_is_right_nearby() {
    for device in f64_devices() {
        let model = to_precision(LogisticRegressionConfig::new(3).init(&device), FloatDType::F64);
        let x = matrix(&noise(11, 12), [4, 3], &device, FloatDType::F64);
        let y = vector(&[0.0, 1.0, 0.0, 0.0], &device, FloatDType::F64);
        let usual = |model: &LogisticRegression| {
            let z = model.forward(x.clone());
            (z.clone().abs().neg().exp().add_scalar(1.0).log() + z.clone().clamp_min(0.0) - y.clone() * z).mean()
        };
        let report = check(&model, usual, &Options::default());
        assert!(!report.passed() && report.kinks() == 0, "{report}");
        let bias = report.parameters.iter().find(|p| p.name == "linear.bias").unwrap();
        let worst = bias.sources[0].worst.as_ref().unwrap();
        assert!((worst.absolute - 0.5).abs() < 1e-6, "{report}");
        assert!(has(&report, |f| matches!(f, Finding::RightNearby { .. })), "{report}");
    }
}

#[test]
fn a_constant_loss_proves_nothing() {
    let device = cpu();
    let model = linear(20, [3, 2], &device, FloatDType::F64);
    let x = matrix(&noise(12, 6), [2, 3], &device, FloatDType::F64);
    // A softmax's outputs always add up to one.
    let report = check(&model, |model: &Linear| softmax(model.forward(x.clone()), 1).sum(), &Options::default());
    assert!(!report.passed() && has(&report, |f| matches!(f, Finding::Constant)), "{report}");
    // Random cotangents see what their sum does not.
    let report = check_output(&model, |model: &Linear| softmax(model.forward(x.clone()), 1), &Options::default());
    report.assert_pass();
    assert_eq!(report.checked(), 3 * 8, "three cotangents, 6 weights and 2 biases");
}

#[test]
fn a_gradient_of_another_loss_is_told() {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let parameters = [Parameter { name: "x".into(), shape: vec![2] }];
    let values = vec![Some(vec![2.0, 4.0])];
    let gradients = ["a", "b"].map(|name| Slices { name: name.into(), values: values.clone(), epsilon: f64::EPSILON });
    let mut cube = |x: &[f64]| x.iter().map(|x| x.powi(3)).sum::<f64>();
    let report = check_slices(&parameters, &[1.0, 2.0], &mut cube, f64::EPSILON, &gradients, &Options::default());
    assert!(has(&report, |f| matches!(f, Finding::LossIsOdd)), "{report}");
    // And the same gradients fit their own.
    let mut square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
    check_slices(&parameters, &[1.0, 2.0], &mut square, f64::EPSILON, &gradients, &Options::default()).assert_pass();
    drop(problem);
}

#[test]
fn what_the_differences_cannot_resolve_is_no_pass() {
    let device = cpu();
    // Far out, f32 has no digit left for the slope.
    let loss = |z: &Param<Tensor<1>>| z.val().mul_scalar(1e-3).add_scalar(1e6);
    let z = Param::from_tensor(vector(&[1.0], &device, FloatDType::F32));
    let report = check(&z, loss, &Options::default());
    assert!(!report.passed() && report.unresolved() == 1 && report.failed() == 0, "{report}");
    check(&z, loss, &Options { witness: Witness::F64, ..Options::default() }).assert_pass();
}

#[test]
fn users_may_forgive_with_atol_and_rtol() {
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
fn inputs_are_checked_as_parameters_beside_the_module() {
    let device = cpu();
    let model = linear(20, [3, 2], &device, FloatDType::F64);
    let input = Param::from_tensor(matrix(&noise(13, 6), [2, 3], &device, FloatDType::F64));
    let report = check(
        &(model, input),
        |(model, input): &(Linear, Param<Tensor<2>>)| model.forward(input.val()).tanh().mean(),
        &Options::default(),
    );
    report.assert_pass();
    let names: Vec<_> = report.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["0.weight", "0.bias", "1"]);
}

#[test]
fn a_module_in_training_mode_is_checked_in_training_mode() {
    let device = cpu();
    let model: BatchNorm = BatchNormConfig::new(3).init(&device);
    // Batch normalisation takes an input with autodiff for training.
    let x = matrix(&noise(23, 24), [8, 3], &device, FloatDType::F32).autodiff();
    let report = check_output(&model, |model: &BatchNorm| model.forward(x.clone()).exp(), &Options::default());
    report.assert_pass();
    let names: Vec<_> = report.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["gamma", "beta"], "running statistics are no parameters");
}

#[test]
fn the_public_controls_are_caught_on_a_users_own_module() {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let result = controls(&problem.model, problem.loss(SOME), &Options::default());
    result.assert_all_caught();
    assert_eq!(result.controls.len(), 9);
    assert!(result.controls.iter().all(|control| control.caught == Some(true)), "{result}");
    // At zero weights no penalty shows: that is said, not counted as caught.
    let zero = to_precision(SoftmaxRegressionConfig::new(FEATURES, CLASSES).init(&cpu()), FloatDType::F64);
    let result = controls(&zero, problem.loss(SOME), &Options::default());
    result.assert_all_caught();
    assert_eq!(result.controls.iter().filter(|control| control.caught.is_none()).count(), 2, "{result}");
}

#[test]
fn the_report_is_short_when_all_is_well_and_tells_all_when_not() {
    let problem = softmax_problem(&cpu(), FloatDType::F64);
    let well = problem.compare(SOME, problem.closed_form(SOME), &Options::default());
    assert_eq!(well.to_string().lines().count(), 1, "{well}");
    let gradient = problem.closed_form(SOME);
    let ill = problem.compare(SOME, Gradient { weight: -gradient.weight, bias: gradient.bias }, &Options::default());
    let text = ill.to_string();
    for part in ["FAILED", "closed-form is the odd one out", "linear.weight [5, 4]", "worst at [", "ULP", "differences"]
    {
        assert!(text.contains(part), "{text} does not say {part:?}");
    }
    let json = serde_json::to_string(&well).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap().checked(), well.checked());
}

/// The closed-form Hessian-vector product against differences of the closed-form gradient: along each coordinate of the
/// parameters, the slope of `gradient . direction` is that coordinate of `H direction`.
fn curvature_is_right<M: Classifier>(problem: &Problem<M>) {
    let weights = || vector(&noise(16, ROWS), &problem.features.device(), FloatDType::F64) + 1.25;
    let penalised = L2 { penalize_bias: true, ..SOME };
    for (l2, weights) in [(L2::NONE, None), (SOME, None), (penalised, None), (penalised, Some(weights()))] {
        let targets = Targets { labels: problem.labels.clone(), weights: weights.clone() };
        let [d, k] = problem.model.linear().weight.dims();
        let device = problem.features.device();
        let direction = Gradient {
            weight: matrix(&noise(14, d * k), [d, k], &device, FloatDType::F64),
            bias: vector(&noise(15, k), &device, FloatDType::F64),
        };
        let product = hessian_vector_product(&problem.model, problem.features.clone(), weights, &direction, l2);
        let along = |model: &M| {
            let gradient = closed_form(model, problem.features.clone(), targets.clone(), l2).gradient;
            (gradient.weight * direction.weight.clone()).sum() + (gradient.bias * direction.bias.clone()).sum()
        };
        let by_hand = product.into_params(problem.model.linear());
        let report = against_differences(&problem.model, along, &[("closed-form", by_hand)], &Options::default());
        report.assert_pass();
        assert_eq!((report.checked(), report.unresolved()), (d * k + k, 0), "{report}");
    }
}

#[test]
fn eqs_25_27_the_logistic_hessian_vector_product_matches_differences_of_the_gradient() {
    f64_devices().iter().for_each(|device| curvature_is_right(&logistic_problem(device, FloatDType::F64)));
}

#[test]
fn eqs_26_27_the_softmax_hessian_vector_product_matches_differences_of_the_gradient() {
    f64_devices().iter().for_each(|device| curvature_is_right(&softmax_problem(device, FloatDType::F64)));
}

/// What `docs/burn-gradients.md` says of Burn on ndarray. Should this fail, Burn has mended something, and the page must say so.
#[test]
fn burns_known_faults_are_still_there() {
    let Ok(device) = Backend::Ndarray.device() else { skip("ndarray is not in this build") };
    let gelu = |x: &Param<Tensor<1>>| burn::tensor::activation::gelu(x.val());
    let report = check(&number(-1.5, &device), gelu, &Options::default());
    let worst = report.parameters[0].sources[0].worst.as_ref().unwrap();
    assert!(report.failed() == 1 && (1e-5..1e-2).contains(&worst.absolute), "gelu: {report}");

    let p = burn::tensor::activation::sigmoid(vector(&[1.0], &device, FloatDType::F64)).into_scalar::<f64>();
    let off = (p - 1.0 / (1.0 + (-1f64).exp())).abs();
    assert!((1e-10..1e-6).contains(&off), "sigmoid: {off:e}");
}
