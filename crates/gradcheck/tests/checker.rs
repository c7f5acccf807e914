//! Tests of the checker on Burn modules and on plain slices: it must catch planted errors and pass
//! correct gradients. The workspace's tests cover all backends and this project's models.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::module::{Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Distribution, FloatDType, Tensor, TensorData};
use chainrule_gradcheck::{
    Coverage, DifferencePrecision, Finding, Gradient, Options, Parameter, Report, check, check_output, check_slices,
    compare,
};

/// Returns pseudorandom numbers from -1 to 1, the same in every run.
fn noise(seed: u64, count: usize) -> Vec<f64> {
    let step = |i: usize| (seed as f64 + 12.9898 * i as f64).sin() * 43_758.545_3;
    (1..=count).map(|i| 2.0 * (step(i) - step(i).floor()) - 1.0).collect()
}

fn matrix(seed: u64, [rows, columns]: [usize; 2], device: &Device, dtype: FloatDType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(noise(seed, rows * columns), [rows, columns]), (device, DType::from(dtype)))
}

/// Returns a layer with the same weights in every run.
fn linear(seed: u64, [d, k]: [usize; 2], device: &Device, dtype: FloatDType) -> Linear {
    let mut linear = LinearConfig::new(d, k).init(device);
    linear.weight = Param::from_tensor(matrix(seed, [d, k], device, dtype));
    linear.bias = Some(Param::from_tensor(matrix(seed + 1, [1, k], device, dtype).squeeze_dim(0)));
    linear
}

fn has(report: &Report, condition: impl Fn(&Finding) -> bool) -> bool {
    report.findings.iter().any(condition)
}

#[test]
fn an_error_of_0_1_percent_in_one_of_1600_coordinates_is_located() {
    let device = Device::default();
    let mut model = LinearConfig::new(40, 40).with_bias(false).init(&device);
    model.weight = Param::from_tensor(matrix(8, [40, 40], &device, FloatDType::F64));
    let x = matrix(9, [3, 40], &device, FloatDType::F64);
    let loss = |model: &Linear| softmax(model.forward(x.clone()), 1).square().sum();

    let trained = model.clone().train();
    let mut gradients = GradientsParams::from_grads(loss(&trained).backward(), &trained);
    let correct: Tensor<2> = gradients.remove(model.weight.id).unwrap();
    let wrong_index = [37, 18];
    let element = correct.clone().slice([37..38, 18..19]);
    let wrong = correct.slice_assign([37..38, 18..19], element * 1.001);

    let check_with = |coverage| {
        let mut gradient = GradientsParams::new();
        gradient.register(model.weight.id, wrong.clone());
        compare(&model, loss, &[("by-hand", gradient)], &Options { coverage, ..Options::default() })
    };
    for report in [check_with(Coverage::Directions { count: 2 }), check_with(Coverage::Exhaustive)] {
        assert!(!report.passed(), "{report}");
        let worst = report.parameters[0].gradients[1].worst.as_ref().unwrap();
        assert_eq!(worst.index.as_deref(), Some(&wrong_index[..]), "{report}");
        assert!((5e-4..2e-3).contains(&worst.relative_distance), "{report}");
    }
}

#[test]
fn a_million_parameters_are_checked_along_directions() {
    let device = Device::default();
    let model = linear(21, [1000, 1000], &device, FloatDType::F32);
    let x = matrix(22, [2, 1000], &device, FloatDType::F32);
    let loss = |model: &Linear| {
        let x = x.clone().cast(FloatDType::from(model.weight.val().dtype()));
        model.forward(x).square().mean()
    };
    let report = check(&model, loss, &Options::default());
    report.assert_pass();
    assert!(!report.exhaustive);
    assert_eq!(report.parameters.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["weight", "bias"]);
}

#[test]
fn a_parameter_that_autodiff_never_reached_is_caught() {
    let device = Device::default();
    let model = linear(20, [3, 2], &device, FloatDType::F64);
    let x = matrix(10, [2, 3], &device, FloatDType::F64);
    // The weight is detached from the graph, and the bias is not.
    let detached_weight = |model: &Linear| {
        let z = x.clone().matmul(model.weight.val().detach()) + model.bias.as_ref().unwrap().val().unsqueeze_dim(0);
        z.exp().mean()
    };
    let report = check(&model, detached_weight, &Options::default());
    assert!(!report.passed());
    let unreached =
        |f: &Finding| matches!(f, Finding::Unreached { parameter, matters: true, .. } if parameter == "weight");
    assert!(has(&report, unreached), "{report}");
}

#[test]
fn a_parameter_without_effect_is_reported_and_does_not_fail() {
    let device = Device::default();
    let model = linear(20, [3, 2], &device, FloatDType::F64);
    let x = matrix(10, [2, 3], &device, FloatDType::F64);
    let ignores_bias = |model: &Linear| x.clone().matmul(model.weight.val()).exp().mean();
    let report = check(&model, ignores_bias, &Options::default());
    report.assert_pass();
    let unreached =
        |f: &Finding| matches!(f, Finding::Unreached { parameter, matters: false, .. } if parameter == "bias");
    assert!(has(&report, unreached), "{report}");
}

#[test]
fn a_loss_that_is_not_deterministic_is_caught() {
    let device = Device::default();
    let model = linear(20, [3, 2], &device, FloatDType::F32);
    let loss = |model: &Linear| {
        let x = Tensor::<2>::random([2, 3], Distribution::Default, &device);
        model.forward(x).mean()
    };
    let report = check(&model, loss, &Options::default());
    assert!(!report.passed() && has(&report, |f| matches!(f, Finding::NotDeterministic { .. })), "{report}");
}

#[test]
fn a_constant_loss_fails() {
    let device = Device::default();
    let model = linear(20, [3, 2], &device, FloatDType::F64);
    let x = matrix(12, [2, 3], &device, FloatDType::F64);
    // The outputs of a softmax always sum to one.
    let report = check(&model, |model: &Linear| softmax(model.forward(x.clone()), 1).sum(), &Options::default());
    assert!(!report.passed() && has(&report, |f| matches!(f, Finding::Constant)), "{report}");
}

#[test]
fn random_cotangents_check_a_softmax() {
    let device = Device::default();
    let model = linear(20, [3, 2], &device, FloatDType::F64);
    let x = matrix(12, [2, 3], &device, FloatDType::F64);
    let report = check_output(&model, |model: &Linear| softmax(model.forward(x.clone()), 1), &Options::default());
    report.assert_pass();
    assert_eq!(report.checked(), 3 * 8, "three cotangents, 6 weights and 2 biases");
}

#[test]
fn gradients_of_another_loss_are_reported() {
    let parameters = [Parameter { name: "x".into(), shape: vec![2] }];
    let values = vec![Some(vec![2.0, 4.0])];
    let gradients = ["a", "b"].map(|name| Gradient::new(name, values.clone(), f64::EPSILON));
    let mut cube = |x: &[f64]| x.iter().map(|x| x.powi(3)).sum::<f64>();
    let report = check_slices(&parameters, &[1.0, 2.0], &mut cube, f64::EPSILON, &gradients, &Options::default());
    assert!(has(&report, |f| matches!(f, Finding::LossMismatch)), "{report}");
    // For their own loss the same gradients pass.
    let mut square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
    check_slices(&parameters, &[1.0, 2.0], &mut square, f64::EPSILON, &gradients, &Options::default()).assert_pass();
}

#[test]
fn unresolved_coordinates_do_not_pass() {
    let device = Device::default();
    // At this size f32 has no digits left for the slope.
    let loss = |z: &Param<Tensor<1>>| z.val().mul_scalar(1e-3).add_scalar(1e6);
    let z = Param::from_tensor(Tensor::<1>::from_data([1.0], (&device, DType::F32)));
    let own = Options { difference_precision: DifferencePrecision::SameAsParameters, ..Options::default() };
    let report = check(&z, loss, &own);
    assert!(!report.passed() && report.unresolved() == 1 && report.failed() == 0, "{report}");
    check(&z, loss, &Options::default()).assert_pass();
}

#[test]
fn inputs_are_checked_as_parameters_beside_the_module() {
    let device = Device::default();
    let model = linear(20, [3, 2], &device, FloatDType::F64);
    let input = Param::from_tensor(matrix(13, [2, 3], &device, FloatDType::F64));
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
fn batch_normalisation_is_checked_in_training_mode() {
    let device = Device::default();
    let model: BatchNorm = BatchNormConfig::new(3).init(&device);
    // In training, batch normalisation needs an input with autodiff.
    let x = matrix(23, [8, 3], &device, FloatDType::F32).autodiff();
    let report = check_output(&model, |model: &BatchNorm| model.forward(x.clone()).exp(), &Options::default());
    report.assert_pass();
    let names: Vec<_> = report.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["gamma", "beta"], "running statistics are not parameters");
}
