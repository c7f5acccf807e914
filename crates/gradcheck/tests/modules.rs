//! Tests of the checker on networks of Burn, and on modules that panic or give odd gradients.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../examples/networks/network.rs"]
mod network;

use burn::module::Param;
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::optim::GradientsParams;
use burn::tensor::activation::{leaky_relu, relu, softmax};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use chainrule_gradcheck::{
    DifferencePrecision, Finding, Options, Report, check, check_output, check_second_order, compare, gradcheck,
};
use network::check_networks;

fn has(report: &Report, condition: impl Fn(&Finding) -> bool) -> bool {
    report.findings.iter().any(condition)
}

fn vector(values: &[f64], dtype: DType) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (&Device::default(), dtype)))
}

#[test]
fn networks_with_kinks_pass() {
    for dtype in [FloatDType::F32, FloatDType::F64] {
        for (hidden, batch) in [(16, 8), (16, 32)] {
            let [passed, failed] = check_networks(4, hidden, batch, dtype, relu);
            assert_eq!((passed, failed), (4, 0), "{dtype:?}, 8-{hidden}-1, batch {batch}");
        }
        assert_eq!(check_networks(2, 16, 32, dtype, |z| leaky_relu(z, 0.1)), [2, 0]);
    }
}

#[test]
fn captured_inputs_of_another_type_are_told() {
    let device = Device::default();
    let x = Tensor::<1>::from_data([0.3f32, -0.7], &device);
    let weight = vector(&[0.5, -0.25], DType::F32);
    // f64 parameters times f32 inputs panic inside Burn.
    let report =
        check(&weight, |weight: &Param<Tensor<1>>| (weight.val() * x.clone()).exp().sum(), &Options::default());
    assert!(report.passed() && has(&report, |f| matches!(f, Finding::OwnPrecision { .. })), "{report}");
    let cast = |weight: &Param<Tensor<1>>| {
        let weight = weight.val();
        let x = x.clone().cast(FloatDType::from(weight.dtype()));
        (weight * x).exp().sum()
    };
    let report = check(&weight, cast, &Options::default());
    assert!(report.passed() && report.findings.is_empty(), "{report}");
}

/// The gradient of a constant may consist of rounding errors.
#[test]
fn the_sum_of_a_softmax_is_a_constant() {
    for dtype in [DType::F32, DType::F64] {
        let x = vector(&[0.3, -0.4, 1.1, 0.2], dtype);
        let report = check(&x, |x: &Param<Tensor<1>>| softmax(x.val(), 0).sum(), &Options::default());
        assert!(!report.passed() && has(&report, |f| *f == Finding::Constant), "{dtype:?}: {report}");
    }
}

#[test]
fn panics_are_findings() {
    let weight = vector(&[0.5, -0.25], DType::F32);
    let report = check(&weight, |_: &Param<Tensor<1>>| panic!("no such layer"), &Options::default());
    let is_told = |f: &Finding| matches!(f, Finding::Panicked { message, .. } if message == "no such layer");
    assert!(!report.passed() && has(&report, is_told), "{report}");
}

#[test]
fn gradients_of_other_shapes_and_types_are_findings() {
    let weight = vector(&[0.5, -0.25], DType::F32);
    let loss = |weight: &Param<Tensor<1>>| weight.val().exp().sum();
    let compare_with = |gradient: Tensor<1>| {
        let mut gradients = GradientsParams::new();
        gradients.register(weight.id, gradient);
        compare(&weight, loss, &[("by hand", gradients)], &Options::default())
    };
    let device = Device::default();
    let report = compare_with(Tensor::from_data([1.0f32, 2.0, 3.0], &device));
    assert!(!report.passed() && has(&report, |f| matches!(f, Finding::WrongShape { .. })), "{report}");
    let report = compare_with(Tensor::from_data(TensorData::from([1.0f64, 2.0]), (&device, DType::F64)));
    assert!(!report.passed() && has(&report, |f| matches!(f, Finding::WrongType { .. })), "{report}");
    compare_with(weight.val().exp()).assert_pass();
}

/// With differences in f64, what remains is the rounding of the f32 gradient, which is measured.
#[test]
fn small_errors_of_an_f32_gradient_are_found() {
    let n = 100_000;
    let values: Vec<f64> = (0..n).map(|i| (f64::from(i) * 0.37).sin()).collect();
    let weight = vector(&values, DType::F32);
    let loss = |weight: &Param<Tensor<1>>| weight.val().exp().sum();
    let right = weight.val().exp();
    let compare_with = |gradient: Tensor<1>| {
        let mut gradients = GradientsParams::new();
        gradients.register(weight.id, gradient);
        compare(&weight, loss, &[("by hand", gradients)], &Options::default())
    };
    compare_with(right.clone()).assert_pass();
    assert!(compare_with(right.clone() * 1.01).failed() > 0, "all 1 % too large");
    let largest = right.clone().argmax(0);
    let zeroed = right.clone().scatter(
        0,
        largest.clone(),
        -right.clone().gather(0, largest),
        burn::tensor::IndexingUpdateOp::Add,
    );
    assert!(compare_with(zeroed).failed() > 0, "the largest coordinate zeroed");

    // A coordinate below a millionth of the largest.
    let weight = vector(&[1.0, 1.0], DType::F32);
    let factors = Tensor::<1>::from_data([1.0f32, 1e-7], &Device::default());
    let loss = |weight: &Param<Tensor<1>>| {
        let weight = weight.val();
        let factors = factors.clone().cast(FloatDType::from(weight.dtype()));
        (weight.exp() * factors).sum()
    };
    for factor in [0.0, -1.0, 2.0] {
        let mut gradients = GradientsParams::new();
        let e = 1f32.exp();
        gradients.register(weight.id, Tensor::<1>::from_data([e, factor * 1e-7 * e], &Device::default()));
        let report = compare(&weight, loss, &[("by hand", gradients)], &Options::default());
        assert_eq!(report.failed(), 1, "{factor}: {report}");
    }
}

#[test]
fn second_derivatives_are_checked() {
    let x = vector(&[0.5, -0.25, 1.5], DType::F64);
    let loss = |x: &Param<Tensor<1>>| x.val().sin().prod().reshape([1]);
    check_second_order(&x, loss, None, &Options::default()).assert_pass();

    let loss = |x: &Param<Tensor<1>>| x.val().exp().sum();
    let product = |factor: f64| {
        move |x: &Param<Tensor<1>>, direction: &GradientsParams| {
            let mut product = GradientsParams::new();
            product.register(x.id, direction.get::<1>(x.id).unwrap() * x.val().inner().exp() * factor);
            product
        }
    };
    check_second_order(&x, loss, Some(&product(1.0)), &Options::default()).assert_pass();
    let report = check_second_order(&x, loss, Some(&product(1.0001)), &Options::default());
    assert!(report.failed() > 0, "{report}");

    // The second factor is cut from the graph: the result is the gradient of no loss.
    let cut = |x: &Param<Tensor<1>>| {
        let x = x.val();
        let (a, b) = (x.clone().narrow(0, 0, 1), x.narrow(0, 1, 1).detach());
        a.clone() * a * b
    };
    let report = check_second_order(&x, cut, None, &Options::default());
    assert!(report.failed() > 0, "{report}");
}

#[test]
fn several_and_complex_outputs_are_checked() {
    let angle = vector(&[0.5, -0.25, 1.5], DType::F64);
    let unit = |angle: &Param<Tensor<1>>| (angle.val().cos(), angle.val().sin());
    check_output(&angle, unit, &Options::default()).assert_pass();
    let cut = |angle: &Param<Tensor<1>>| (angle.val().cos(), angle.val().detach().sin());
    assert!(!check_output(&angle, cut, &Options::default()).passed());
    let powers = |angle: &Param<Tensor<1>>| vec![angle.val(), angle.val().square()];
    check_output(&angle, powers, &Options::default()).assert_pass();
}

#[test]
fn parameters_and_points_can_be_chosen() {
    let pair = (vector(&[0.5, -0.25], DType::F64), vector(&[1.5], DType::F64));
    let loss = |(a, b): &(Param<Tensor<1>>, Param<Tensor<1>>)| a.val().exp().sum() * b.val().detach();
    let of = |name: &str| Options { parameters: vec![name.to_owned()], ..Options::default() };
    assert!(!check(&pair, loss, &Options::default()).passed());
    let report = check(&pair, loss, &of("0"));
    assert!(report.passed() && report.checked() == 2, "{report}");
    let report = check(&pair, loss, &of("2"));
    assert!(has(&report, |f| matches!(f, Finding::UnknownParameter { .. })), "{report}");
    let report = check(&pair, loss, &Options { points: 3, ..of("0") });
    assert!(report.passed() && report.checked() == 6, "{report}");
}

#[test]
fn all_coordinates_that_fail_are_listed() {
    let x = vector(&[0.5, -0.25, 1.5, 2.0], DType::F64);
    let mut gradients = GradientsParams::new();
    gradients.register(
        x.id,
        x.val().exp()
            * Tensor::<1>::from_data(TensorData::from([1.0, 1.1, 1.0, 0.9]), (&Device::default(), DType::F64)),
    );
    let report =
        compare(&x, |x: &Param<Tensor<1>>| x.val().exp().sum(), &[("by hand", gradients)], &Options::default());
    let failures = &report.parameters[0].gradients[1].failures;
    let indices: Vec<_> = failures.iter().map(|failure| failure.index.clone().unwrap()).collect();
    assert_eq!(indices, [vec![1], vec![3]], "{report}");
}

/// The Hessian of a linear loss is zero.
#[test]
fn second_derivatives_that_are_zero_or_unknown_are_told() {
    let x = vector(&[0.5, -0.25, 1.5], DType::F64);
    let report = check_second_order(&x, |x: &Param<Tensor<1>>| x.val().sum(), None, &Options::default());
    assert!(report.passed() && report.findings == [Finding::NoCurvature], "{report}");
    let zeros = |x: &Param<Tensor<1>>, _: &GradientsParams| {
        let mut product = GradientsParams::new();
        product.register(x.id, x.val().inner().zeros_like());
        product
    };
    let report = check_second_order(&x, |x: &Param<Tensor<1>>| x.val().sum(), Some(&zeros), &Options::default());
    assert!(report.passed() && report.findings == [Finding::NoCurvature], "{report}");

    let without_backward = |x: &Param<Tensor<1>>| {
        let x = x.val();
        assert!(!x.is_require_grad(), "no backward");
        x.sum()
    };
    let report = check_second_order(&x, without_backward, None, &Options::default());
    assert!(has(&report, |f| matches!(f, Finding::Panicked { what, .. } if what == "autodiff")), "{report}");

    // The gradient of no loss, whose rounding hides that.
    let x = vector(&[0.5, -0.25, 1.5], DType::F32);
    let cut = |x: &Param<Tensor<1>>| {
        let x = x.val();
        let (a, b) = (x.clone().narrow(0, 0, 1), x.narrow(0, 1, 1));
        a.clone().square() * b.clone().detach() + a.clone() * b.exp() + (a.clone() * 1e5 - a * 99_999.0)
    };
    let options = Options { difference_precision: DifferencePrecision::SameAsParameters, ..Options::default() };
    let report = check_second_order(&x, cut, None, &options);
    assert!(!report.passed() && report.failed() + report.unresolved() > 0, "{report}");
}

/// Its running statistics are f32 tensors, and clones share them.
#[test]
fn a_batch_normalisation_is_checked_in_f64() {
    let device = Device::default();
    let norm = BatchNormConfig::new(3).init(&device);
    let values: Vec<f64> = (0..24).map(|i| (f64::from(i) * 1.7).sin()).collect();
    let x: Tensor<2> = Tensor::from_data(TensorData::new(values, [8, 3]), &device);
    let loss = |norm: &BatchNorm| {
        let x = x.clone().cast(FloatDType::from(norm.gamma.val().dtype()));
        // Without autodiff, the layer does not normalise by the batch.
        norm.forward(if norm.gamma.val().is_autodiff() { x.autodiff() } else { x }).sin().mean()
    };
    let report = check(&norm, loss, &Options { points: 2, ..Options::default() });
    assert!(report.passed() && report.findings.is_empty() && report.unresolved() == 0, "{report}");
    let mean: Vec<f32> = norm.running_mean.value_sync().try_into_vec_as().unwrap();
    assert_eq!(mean, [0.0; 3], "the statistics of the caller's module");
}

/// A softmax does not change if all its inputs grow. So the gradient of their common bias consists
/// of rounding errors.
#[test]
fn a_slope_of_zero_between_terms_that_cancel_is_resolved() {
    let shift = vector(&[0.5], DType::F32);
    let inputs = vector(&[0.3, -0.4, 1.1, 0.2], DType::F32);
    let weights = Tensor::<1>::from_data([0.9f32, -0.3, 0.4, 0.7], &Device::default());
    let loss = |(shift, inputs): &(Param<Tensor<1>>, Param<Tensor<1>>)| {
        let inputs = inputs.val();
        let weights = weights.clone().cast(FloatDType::from(inputs.dtype()));
        (softmax(inputs + shift.val(), 0) * weights).sum()
    };
    let pair = (shift, inputs);
    let report = check(&pair, loss, &Options::default());
    assert!(report.passed() && report.unresolved() == 0, "{report}");

    let equal = vector(&[0.5; 3], DType::F32);
    let report = check(&equal, |x: &Param<Tensor<1>>| x.val().var(0), &Options::default());
    assert!(report.passed() && report.unresolved() == 0, "{report}");
    assert!(has(&report, |f| *f == Finding::Stationary), "{report}");
}

#[test]
fn a_loss_that_is_no_scalar_is_told() {
    let x = vector(&[0.5, -0.25], DType::F32);
    let report = check(&x, |x: &Param<Tensor<1>>| x.val(), &Options::default());
    assert!(!report.passed() && report.to_string().contains("it has the shape [2] instead of [1]"), "{report}");
}

gradcheck!(squares_are_right, vector(&[0.5, 2.0], DType::F32), |x: &Param<Tensor<1>>| x.val().square().sum());
gradcheck!(tanh_is_right, vector(&[0.5, 2.0], DType::F64), output: |x: &Param<Tensor<1>>| x.val().tanh(), Options::default());
gradcheck!(
    #[should_panic(expected = "the graph is cut")]
    a_cut_graph_is_wrong,
    (vector(&[0.5], DType::F64), vector(&[0.25], DType::F64)),
    |(a, b): &(Param<Tensor<1>>, Param<Tensor<1>>)| a.val() * b.val().detach()
);
