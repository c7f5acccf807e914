//! The loss as one differentiable operation on every backend of the build, and whole GPU steps.
//! Both are compared with tensor operations and the closed forms.

use std::num::NonZero;

use burn::tensor::{Device, FloatDType, Int, Tensor};
use chainrule::backend::Backend;
use chainrule::machine::Machine;
use chainrule_core::{FeatureKind, GradientSource, LinkKind, Preprocessing, Step};
use chainrule_data::{BatchOrder, Rows, Shuffle};
use chainrule_engines::with_parameters;
use chainrule_gradcheck::f64_works;
use chainrule_kernels::{Float, FusedModel, Isa, PackedRows};
use chainrule_models::{
    Classifier, L2, LogisticRegressionConfig, SoftmaxRegressionConfig, autodiff, closed_form, to_precision,
};
use chainrule_ops::{
    DeviceSteps, Loss, StepFeatures, StepProblem, StepRows, Unsupported, device_steps, linear_loss,
    logistic_regression, softmax_regression, supports_device_steps, supports_linear_loss,
};
use chainrule_solve::{Ending, FusedRows, train_by_loops};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, folder, text};
use crate::reference_tables::tables_folder;
use crate::support::{
    assert_close, device, devices, devices_and_precisions, digits, experiment, fit, fit_rows, into_fit, labels, matrix,
    skip, table, tolerance, uniform, values, vector,
};

/// Rows, features, columns: sizes of one, sizes around those of a word, a vector, a tile and a
/// cube, and many classes.
const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [1, 1, 2],
    [7, 3, 8],
    [9, 17, 9],
    [8, 16, 12],
    [33, 31, 13],
    [128, 784, 10],
    [65, 100, 33],
    [130, 65, 1],
    [64, 1, 3],
    [5, 6, 1000],
    [40, 7, 2049],
];

fn loss_of(columns: usize) -> Loss {
    if columns == 1 { Loss::Logistic } else { Loss::Softmax }
}

/// Returns pseudorandom features, labels, weight and bias.
fn problem(
    [n, d, k]: [usize; 3],
    device: &Device,
    dtype: FloatDType,
) -> (Tensor<2>, Tensor<1, Int>, Tensor<2>, Tensor<1>) {
    (
        matrix(&uniform(1, n * d), [n, d], device, dtype),
        labels(2, n, k.max(2), device),
        matrix(&uniform(3, d * k), [d, k], device, dtype),
        vector(&uniform(4, k), device, dtype),
    )
}

/// Computes the mean cross-entropy by tensor operations.
fn by_tensors(features: Tensor<2>, labels: Tensor<1, Int>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<1> {
    fn with<M: Classifier>(model: &M, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        model.cross_entropy(logits, labels).mean()
    }
    let ([d, k], device) = (weight.dims(), weight.device());
    let logits = features.matmul(weight) + bias.unsqueeze_dim(0);
    if k == 1 {
        with(&LogisticRegressionConfig::new(d).init(&device), logits, labels)
    } else {
        with(&SoftmaxRegressionConfig::new(d, k).init(&device), logits, labels)
    }
}

/// Returns J and its gradients with respect to features, weight and bias. The loss is one part of
/// J.
fn gradients(
    shape: [usize; 3],
    device: &Device,
    dtype: FloatDType,
    loss: fn(Tensor<2>, Tensor<1, Int>, Tensor<2>, Tensor<1>) -> Tensor<1>,
) -> [Vec<f64>; 4] {
    let (features, labels, weight, bias) = problem(shape, device, dtype);
    let features = features.autodiff().require_grad();
    let (weight, bias) = (weight.autodiff().require_grad(), bias.autodiff().require_grad());
    let loss = loss(features.clone(), labels, weight.clone(), bias.clone());
    assert_eq!((loss.dims(), loss.dtype()), ([1], dtype.into()));
    // Scaled and with a penalty: the incoming gradient is not 1, and dJ/dW has another part.
    let objective = loss * 3.0 + weight.clone().powi_scalar(2).sum() * 0.05;
    let actual = objective.backward();
    [
        values(objective.inner()),
        values(features.grad(&actual).unwrap()),
        values(weight.grad(&actual).unwrap()),
        values(bias.grad(&actual).unwrap()),
    ]
}

#[test]
fn the_operation_matches_autodiff_of_the_tensor_loss() {
    for (device, dtype) in devices_and_precisions() {
        for shape in SHAPES {
            let expected = gradients(shape, &device, dtype, by_tensors);
            let actual = gradients(shape, &device, dtype, |features, labels, weight, bias| {
                let [_, k] = weight.dims();
                linear_loss(loss_of(k), features, labels, weight, bias).unwrap()
            });
            for ((actual, expected), what) in actual.iter().zip(&expected).zip(["J", "dJ/dX", "dJ/dW", "dJ/db"]) {
                assert_close(actual, expected, tolerance(dtype), &format!("{what}, {device:?} {dtype:?} {shape:?}"));
            }
        }
    }
}

#[test]
fn the_operation_matches_the_closed_form() {
    for (device, dtype) in devices_and_precisions() {
        for [n, d, k] in [[33, 17, 10], [33, 17, 1]] {
            let (features, labels, weight, bias) = problem([n, d, k], &device, dtype);
            let parameters = chainrule_core::Parameters {
                n_features: d,
                columns: k,
                weight: values(weight.clone()),
                bias: values(bias.clone()),
            };
            let (weight, bias) = (weight.autodiff().require_grad(), bias.autodiff().require_grad());
            let (x, y, w, b) = (features.clone(), labels.clone(), weight.clone(), bias.clone());
            let (loss, expected) = if k == 1 {
                let model = to_precision(LogisticRegressionConfig::new(d).init(&device), dtype);
                let expected = closed_form(&with_parameters(model, &parameters), features, labels, L2::NONE);
                (logistic_regression(x, y, w, b).unwrap(), expected)
            } else {
                let model = to_precision(SoftmaxRegressionConfig::new(d, k).init(&device), dtype);
                let expected = closed_form(&with_parameters(model, &parameters), features, labels, L2::NONE);
                (softmax_regression(x, y, w, b).unwrap(), expected)
            };
            let actual = loss.backward();
            let case = format!("{device:?} {dtype:?} {k} columns");
            let close = |actual, expected| assert_close(&values(actual), &values(expected), tolerance(dtype), &case);
            close(weight.grad(&actual).unwrap(), expected.gradient.weight);
            assert_close(
                &values(bias.grad(&actual).unwrap()),
                &values(expected.gradient.bias),
                tolerance(dtype),
                &case,
            );
            assert_close(&values(loss.inner()), &values(expected.cross_entropy), tolerance(dtype), &case);
        }
    }
}

#[test]
fn only_tracked_tensors_get_gradients() {
    for device in devices() {
        let dtype = FloatDType::F32;
        let all = gradients([9, 5, 4], &device, dtype, by_tensors);
        for tracked in 0..3 {
            let (features, labels, weight, bias) = problem([9, 5, 4], &device, dtype);
            let mut inputs = (features.autodiff(), weight.autodiff(), bias.autodiff());
            match tracked {
                0 => inputs.0 = inputs.0.require_grad(),
                1 => inputs.1 = inputs.1.require_grad(),
                _ => inputs.2 = inputs.2.require_grad(),
            }
            let loss = softmax_regression(inputs.0.clone(), labels, inputs.1.clone(), inputs.2.clone()).unwrap() * 3.0;
            let actual = loss.backward();
            let of = [
                inputs.0.grad(&actual).map(values),
                inputs.1.grad(&actual).map(values),
                inputs.2.grad(&actual).map(values),
            ];
            assert_eq!([0, 1, 2].map(|i| of[i].is_some()), [0, 1, 2].map(|i| i == tracked), "{device:?}");
            // The weight's gradient in `all` includes the penalty, which is not part of this loss.
            if tracked != 1 {
                let actual = of[tracked].as_ref().unwrap();
                assert_close(actual, &all[1 + tracked], tolerance(dtype), &format!("{device:?} {tracked}"));
            }
        }
        // Without autodiff the operation is a plain loss.
        let (features, labels, weight, bias) = problem([9, 5, 4], &device, dtype);
        let expected = values(by_tensors(features.clone(), labels.clone(), weight.clone(), bias.clone()));
        let actual = values(softmax_regression(features, labels, weight, bias).unwrap());
        assert_close(&actual, &expected, tolerance(dtype), &format!("{device:?}"));
    }
}

#[test]
fn the_operation_is_finite_at_saturated_probabilities() {
    for (device, dtype) in devices_and_precisions() {
        for k in [1, 3] {
            let (_, _, _, bias) = problem([2, 2, k], &device, dtype);
            let features = matrix(&[1e4, 0.0, 0.0, -1e4], [2, 2], &device, dtype);
            let weight = matrix(&vec![1.0; 2 * k], [2, k], &device, dtype);
            let weight = (weight * matrix(&uniform(3, 2 * k), [2, k], &device, dtype)).autodiff().require_grad();
            let y = labels(1, 2, k.max(2), &device);
            let loss = linear_loss(loss_of(k), features, y, weight.clone(), bias.autodiff()).unwrap();
            let gradient = values(weight.grad(&loss.backward()).unwrap());
            assert!(
                values(loss.inner())[0].is_finite() && gradient.iter().all(|g| g.is_finite()),
                "{device:?} {gradient:?}"
            );
        }
    }
}

#[test]
fn the_operation_reads_strided_tensors() {
    for device in devices() {
        let dtype = FloatDType::F32;
        let (features, labels, weight, bias) = problem([9, 5, 4], &device, dtype);
        let expected =
            values(softmax_regression(features.clone(), labels.clone(), weight.clone(), bias.clone()).unwrap());
        // The same numbers in another memory layout.
        let features = Tensor::cat(vec![features.clone() * 7.0, features], 0).narrow(0, 9, 9);
        let weight = values(weight.transpose());
        let weight = matrix(&weight, [4, 5], &device, dtype).transpose();
        let actual = values(softmax_regression(features, labels, weight, bias).unwrap());
        assert_close(&actual, &expected, tolerance(dtype), &format!("{device:?}"));
    }
}

#[test]
fn mixed_float_types_are_refused() {
    let Some((device, _)) = devices_and_precisions().into_iter().find(|(_, dtype)| *dtype == FloatDType::F64) else {
        skip("no device of this build has f64");
    };
    let (features, labels, weight, bias) = problem([3, 2, 2], &device, FloatDType::F64);
    let problem = softmax_regression(features.cast(FloatDType::F32), labels, weight, bias).unwrap_err();
    assert_eq!(problem, Unsupported::Float { found: "f32 and f64".to_owned() });
    assert!(!problem.to_string().contains('\n'));
}

#[test]
fn an_invalid_label_is_refused_on_a_cpu() {
    let cpu = [Backend::Flex, Backend::Ndarray].into_iter().find(Backend::is_built);
    let Some(cpu) = cpu else { skip("no CPU backend is in this build") };
    let device = cpu.device().unwrap();
    let message = panic_of(|| {
        let (features, _, weight, bias) = problem([2, 2, 3], &device, FloatDType::F32);
        drop(softmax_regression(features, Tensor::from_data([0, 3], &device), weight, bias));
    });
    assert!(message.contains("labels: expected 0..3, found 3 at row 1"), "{message}");
}

/// Returns the panic message of `f`.
fn panic_of(f: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("a panic");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// Returns the devices of this build with their own whole steps.
fn devices_with_steps() -> Vec<Device> {
    let devices: Vec<Device> = devices().into_iter().filter(supports_device_steps).collect();
    if devices.is_empty() {
        skip("no device of this build has steps of its own");
    }
    devices
}

const SCALE: f64 = 2.0 / 255.0;
const OFFSET: f64 = -1.0;

/// How the rows of a problem are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stored {
    Bytes,
    Numbers,
}

const EACH_STORED: [Stored; 2] = [Stored::Bytes, Stored::Numbers];

/// Pseudorandom rows, labels and parameters.
struct Problem {
    shape: [usize; 3],
    stored: Stored,
    bytes: Vec<u8>,
    numbers: Vec<f64>,
    labels: Vec<u32>,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Problem {
    fn new([n, d, k]: [usize; 3], stored: Stored) -> Self {
        let classes = k.max(2) as u32;
        let numbers = uniform(1, n * d);
        Self {
            shape: [n, d, k],
            stored,
            bytes: numbers.iter().map(|x| (255.0 * x).max(0.0) as u8).collect(),
            // Numbers that f32 holds, so that all engines have the same rows.
            numbers: numbers.iter().map(|&x| f64::from(x as f32)).collect(),
            labels: uniform(3, n).iter().map(|x| ((x + 1.0) * 1e6) as u32 % classes).collect(),
            weight: uniform(5, d * k),
            bias: uniform(7, k),
        }
    }

    fn on(&self, device: &Device, dtype: FloatDType) -> Box<dyn DeviceSteps> {
        let [_, d, k] = self.shape;
        let in_f32: Vec<f32> = self.numbers.iter().map(|&x| x as f32).collect();
        let ((scale, offset), features) = match (self.stored, dtype) {
            (Stored::Bytes, _) => ((SCALE, OFFSET), StepFeatures::Bytes(&self.bytes)),
            (Stored::Numbers, FloatDType::F64) => ((1.0, 0.0), StepFeatures::F64(&self.numbers)),
            (Stored::Numbers, _) => ((1.0, 0.0), StepFeatures::F32(&in_f32)),
        };
        let (n_features, n_columns) = (d, k);
        let problem = StepProblem { loss: loss_of(k), n_features, n_columns, scale, offset, dtype: dtype.into() };
        let rows = StepRows { features, labels: &self.labels };
        let mut steps = device_steps(device, problem, [rows, rows]).unwrap();
        steps.set(&self.weight, &self.bias);
        steps
    }

    /// Returns the host's kernels in f64, with the packed rows.
    fn by_kernels(&self) -> (FusedModel, PackedRows) {
        let [_, d, k] = self.shape;
        let model = if k == 1 { LinkKind::Logistic } else { LinkKind::Softmax }.link(k);
        let mut fused = FusedModel::new(model, d, Float::F64, 1, Isa::best());
        fused.set(&self.weight, &self.bias);
        let rows = match self.stored {
            Stored::Bytes => PackedRows::new(&self.bytes, [1, d], self.labels.clone(), SCALE, OFFSET),
            Stored::Numbers => {
                let labels = self.labels.iter().map(|&label| label as u16).collect();
                let rows = Rows::of_values(d, &self.numbers, labels);
                FusedRows::new(rows, &Preprocessing::Raw).unwrap().packed().unwrap().clone()
            }
        };
        (fused, rows)
    }
}

/// Returns the devices with whole steps, each with its float types, and each type of rows.
fn devices_types_and_rows() -> Vec<(Device, FloatDType, Stored)> {
    let with_f64 = devices_with_steps().into_iter().filter(f64_works).map(|device| (device, FloatDType::F64));
    let all = devices_with_steps().into_iter().map(|device| (device, FloatDType::F32)).chain(with_f64);
    all.flat_map(|(device, dtype)| EACH_STORED.map(|stored| (device.clone(), dtype, stored))).collect()
}

/// The bound for rounding in sums.
fn bound(dtype: FloatDType) -> f64 {
    if dtype == FloatDType::F64 { 1e-12 } else { 2e-5 }
}

#[test]
fn a_devices_gradient_matches_the_closed_form() {
    // More rows than the device sums in its own float type.
    let shapes = SHAPES.into_iter().chain([[4100, 6, 3]]);
    for (device, dtype, stored) in devices_types_and_rows() {
        for shape in shapes.clone() {
            let problem = Problem::new(shape, stored);
            let (mut fused, rows) = problem.by_kernels();
            let mut steps = problem.on(&device, dtype);
            let all: Vec<usize> = (0..shape[0]).collect();
            let some: Vec<usize> = all.iter().rev().copied().step_by(3).collect();
            let case = format!("{device:?} {dtype:?} {stored:?} {shape:?}");
            for batch in [&all, &some] {
                let (actual, expected) = (steps.gradient(batch).unwrap(), fused.gradient(&rows, batch));
                let case = format!("{case} {} rows", batch.len());
                assert_close(&[actual.loss], &[expected.loss], bound(dtype), &case);
                assert_close(&actual.weight, &expected.weight, bound(dtype), &case);
                assert_close(&actual.bias, &expected.bias, bound(dtype), &case);
            }
            let (weight, bias) = steps.parameters().unwrap();
            assert_close(&weight, &problem.weight, 1e-7, "a gradient changes no weight");
            assert_close(&bias, &problem.bias, 1e-7, "nor a bias");
            let (actual, expected) = (steps.evaluate().unwrap(), fused.evaluate(&rows));
            for actual in actual {
                assert_close(&[actual.loss], &[expected.loss], bound(dtype), &case);
                assert_eq!(actual.n_correct, expected.n_correct, "{case}");
            }
        }
    }
}

#[test]
fn a_devices_step_matches_the_kernels_step() {
    for (device, dtype, stored) in devices_types_and_rows() {
        for shape in [[130, 65, 10], [130, 65, 1], [65, 30, 33]] {
            let problem = Problem::new(shape, stored);
            let order = BatchOrder::new(Shuffle::ChaCha { seed: 5 }).next_epoch(shape[0]);
            for penalize_bias in [true, false] {
                let (mut fused, rows) = problem.by_kernels();
                let mut steps = problem.on(&device, dtype);
                let step = Step { learning_rate: 0.1, l2: 0.07, penalize_bias };
                let mut expected = Vec::new();
                for batch in order.chunks(37) {
                    steps.step(batch, step).unwrap();
                    expected.push(fused.step(&rows, batch, step));
                }
                let case = format!("{device:?} {dtype:?} {stored:?} {shape:?}");
                assert_close(&steps.losses().unwrap(), &expected, bound(dtype), &case);
                assert_eq!(steps.losses().unwrap(), [] as [f64; 0], "losses are told once");
                let ((weight, bias), expected) = (steps.parameters().unwrap(), fused.parameters());
                assert_close(&weight, &expected.0, bound(dtype), &case);
                assert_close(&bias, &expected.1, bound(dtype), &case);
            }
        }
    }
}

#[test]
fn a_device_reports_more_losses_than_its_queue_holds() {
    for device in devices_with_steps() {
        let problem = Problem::new([700, 4, 3], Stored::Bytes);
        let mut steps = problem.on(&device, FloatDType::F32);
        let all: Vec<usize> = (0..700).collect();
        let step = Step { learning_rate: 0.01, l2: 0.0, penalize_bias: false };
        for _ in 0..200 {
            steps.step(&all, step).unwrap();
        }
        let losses = steps.losses().unwrap();
        assert_eq!(losses.len(), 200);
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
    }
}

#[test]
fn device_training_matches_the_closed_form() {
    let data = digits(600, 300);
    for device in devices_with_steps() {
        for kind in ["softmax.toml", "logistic-shuffled.toml"] {
            for l2 in ["0.0", "0.1"] {
                let [fused, tensors] = ["fused", "closed-form"].map(|gradient| {
                    let (gradient, l2) = (format!("descent.gradient={gradient}"), format!("objective.l2={l2}"));
                    let small = ["data.train_images=600", "data.validation_images=300", "descent.batch_size=25"];
                    let more = ["descent.epochs=4", "early_stopping.patience=1000", &gradient, &l2];
                    fit(&experiment(kind, &[&small[..], &more].concat()), &data, &device, &mut ())
                });
                assert_eq!((fused.steps, fused.ending), (tensors.steps, tensors.ending));
                let case = format!("{device:?} {kind} {l2}");
                assert_close(&fused.history.train_loss, &tensors.history.train_loss, 1e-4, &case);
                assert_close(&fused.weight, &tensors.weight, 1e-4, &case);
                assert_close(&fused.bias, &tensors.bias, 1e-4, &case);
                assert_eq!(fused.history.evaluations.len(), tensors.history.evaluations.len());
                for (fused, tensors) in fused.history.evaluations.iter().zip(&tensors.history.evaluations) {
                    assert!((fused.validation_loss / tensors.validation_loss - 1.0).abs() < 1e-4, "{case}");
                    // Rounding may change the class of a row with nearly equal logits.
                    assert!((fused.train_accuracy - tensors.train_accuracy).abs() <= 2.0 / 600.0, "{case}");
                    assert!((fused.validation_accuracy - tensors.validation_accuracy).abs() <= 2.0 / 300.0, "{case}");
                }
            }
        }
    }
}

/// Trains on standardised numbers: by mini-batches with an incomplete last one, with a penalty, and
/// by L-BFGS on more rows than the device sums in its own float type.
#[test]
fn device_training_on_numbers_matches_tensors_and_plain_loops() {
    let steps = ["descent.batch_size=25", "descent.drop_last=false", "descent.shuffle.generator=chacha"];
    let few = ["descent.epochs=4", "descent.learning_rate=0.3", "early_stopping.patience=1000"];
    let sgd = [&steps[..], &few].concat();
    let lbfgs = ["objective.l2=0.01", "optimum.tolerance=1e-6"];
    let cases: [(&str, usize, [usize; 2], Vec<&str>); 4] = [
        ("softmax.toml", 3, [310, 100], sgd.clone()),
        ("softmax.toml", 13, [310, 100], [&sgd[..], &["objective.l2=0.1", "objective.penalize_bias=true"]].concat()),
        ("logistic.toml", 2, [310, 100], [&sgd[..], &["objective.l2=0.1"]].concat()),
        ("softmax-optimum.toml", 3, [4200, 100], lbfgs.to_vec()),
    ];
    for device in devices_with_steps() {
        for (name, k, n, settings) in &cases {
            let (rows, preprocessing) = table(*n, *k);
            let [fused, closed_form] = ["fused", "closed-form"].map(|gradient| {
                let gradient = format!("descent.gradient={gradient}");
                experiment(name, &[&settings[..], &[&gradient, "descent.precision=f32"]].concat())
            });
            let actual = fit_rows(&fused, &rows, *k, &preprocessing, &device, &mut ());
            let tensors = fit_rows(&closed_form, &rows, *k, &preprocessing, &device, &mut ());
            let link = fused.model().kind.link(*k);
            let loops = train_by_loops(&link, &rows[0], &rows[1], &preprocessing, &closed_form, &mut ());
            for (expected, of) in [(tensors, "tensors"), (into_fit(loops.unwrap()), "loops")] {
                let case = format!("{device:?} {name} {k} {of}");
                if let [Some(actual), Some(expected)] = [actual.certificate, expected.certificate] {
                    assert!(actual.holds(), "{case}: {actual:?}");
                    assert!((actual.objective - expected.objective).abs() < 2e-6, "{case}: {actual:?} {expected:?}");
                    continue;
                }
                assert_eq!((actual.steps, actual.ending), (expected.steps, expected.ending), "{case}");
                assert_close(&actual.history.train_loss, &expected.history.train_loss, 1e-4, &case);
                assert_close(&actual.weight, &expected.weight, 1e-4, &case);
                assert_close(&actual.bias, &expected.bias, 1e-4, &case);
                let [actual, expected] = [&actual, &expected].map(|fit| fit.history.evaluations.last().unwrap());
                assert!((actual.validation_loss / expected.validation_loss - 1.0).abs() < 1e-4, "{case}");
                // Rounding may change the class of a row with nearly equal logits.
                assert!((actual.train_accuracy - expected.train_accuracy).abs() <= 2.0 / 310.0, "{case}");
                assert!((actual.validation_accuracy - expected.validation_accuracy).abs() <= 0.02, "{case}");
            }
        }
    }
}

#[test]
fn a_devices_loss_propagates_nan() {
    for (device, dtype, stored) in devices_types_and_rows() {
        for k in [1, 3, 40] {
            let mut problem = Problem::new([7, 3, k], stored);
            problem.labels.fill(0);
            problem.bias[0] = f64::NAN;
            let actual = problem.on(&device, dtype).evaluate().unwrap()[0];
            assert!(actual.loss.is_nan() && actual.n_correct == 0, "{device:?} {stored:?} {k} columns: {actual:?}");
        }
    }
    for device in devices_with_steps() {
        let settings = ["descent.gradient=fused", "descent.learning_rate=1000", "objective.l2=1"];
        let small = ["early_stopping.patience=1000", "data.train_images=600", "data.validation_images=300"];
        let actual = fit(&experiment("softmax.toml", &[settings, small].concat()), &digits(600, 300), &device, &mut ());
        assert!(matches!(actual.ending, Ending::Diverged { .. }), "{:?}", actual.ending);
        assert!(actual.history.train_loss.iter().all(|loss| loss.is_finite()));
    }
}

#[test]
fn an_invalid_row_is_refused_by_a_device() {
    for device in devices_with_steps() {
        let step = Step { learning_rate: 0.1, l2: 0.0, penalize_bias: false };
        let message = panic_of(|| {
            drop(Problem::new([7, 3, 3], Stored::Numbers).on(&device, FloatDType::F32).step(&[0, 7], step));
        });
        assert!(message.contains("rows of a batch: expected 0..7, found 7"), "{message}");
    }
}

#[test]
fn a_gpu_trains_by_its_own_kernels_by_default() {
    if !Backend::Wgpu.is_built() {
        skip("wgpu is not in this build");
    }
    let folder = folder();
    let train = |more: &[&str]| {
        let settings = ["train", "--data", "embedded", "--set", "data.train_images=600", "--set", "descent.epochs=1"];
        let output = call(folder.path(), &[&settings[..], &["--backend", "wgpu", "--json"], more].concat());
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), text(&output.stderr))
    };
    let (summary, stderr) = train(&[]);
    assert_eq!((&summary["gradient"], &summary["threads"]), (&"fused".into(), &1.into()));
    assert!(stderr.contains("kernels: the device's own, two launches per step"), "{stderr}");
    let (summary, stderr) = train(&["--gradient", "closed-form"]);
    assert_eq!(summary["gradient"], "closed-form");
    assert!(!stderr.contains("kernels"), "{stderr}");
}

/// A real table, of numbers and categories with missing values.
#[test]
fn a_gpu_trains_a_table_by_its_own_kernels_by_default() {
    if !Backend::Wgpu.is_built() {
        skip("wgpu is not in this build");
    }
    let table = tables_folder().join("palmerpenguins-penguins.csv");
    let folder = folder();
    let train = |backend: &str| {
        let settings = ["train", "--data", &table.to_string_lossy(), "--label", "species", "--backend", backend];
        let small = ["--set", "descent.solver=sgd", "--set", "descent.epochs=5", "--json", "--out", backend];
        let output = call(folder.path(), &[settings, small].concat());
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["gradient"], "fused");
        (summary["final"]["validation_loss"].as_f64().unwrap(), text(&output.stderr))
    };
    let (loss, stderr) = train("wgpu");
    assert!(stderr.contains("kernels: the device's own, two launches per step"), "{stderr}");
    let (expected, _) = train("cpu");
    assert!((loss / expected - 1.0).abs() < 1e-4, "{loss} {expected}");
}

/// What a GPU's kernels do not support is trained by tensors, unless they are asked for.
#[test]
fn a_gpu_trains_by_tensors_what_its_kernels_do_not_support() {
    if !Backend::Wgpu.is_built() {
        skip("wgpu is not in this build");
    }
    let machine = Machine::new(Some(&Backend::Wgpu), NonZero::<usize>::MIN).unwrap();
    let standardize = "data.standardize=true";
    for (setting, kind, reason) in [
        (standardize, FeatureKind::Numbers, None),
        (standardize, FeatureKind::Bytes, Some("data.standardize")),
        ("descent.momentum=0.9", FeatureKind::Numbers, Some("no optimizer except sgd without momentum")),
        ("objective.class_weights=balanced", FeatureKind::Numbers, Some("objective.class_weights")),
        ("data.weight=people", FeatureKind::Numbers, Some("data.weight")),
        // Weights of rows in memory, which no setting names.
        ("weights", FeatureKind::Numbers, Some("data.weight")),
    ] {
        let have_weights = setting == "weights";
        let setting = if have_weights { "experiment=weights" } else { setting };
        let resolved = |gradient: &str| {
            let config = experiment("softmax.toml", &[setting, &format!("descent.gradient={gradient}")]);
            machine.resolve_defaults_for(config, kind, have_weights)
        };
        let selected = resolved("auto").unwrap().descent().gradient;
        let asked = resolved("fused").map_err(|error| error.to_string());
        match reason {
            None => assert_eq!((selected, asked.is_ok()), (GradientSource::Fused, true), "{setting}"),
            Some(reason) => {
                assert_eq!(selected, GradientSource::ClosedForm, "{setting}");
                let error = asked.expect_err(setting);
                assert!(error.contains("the fused kernels cannot train this: ") && error.contains(reason), "{error}");
            }
        }
    }
    // Sparse rows are expanded, unless they are too many. The refusal precedes the training.
    let folder = folder();
    let rows = (1..=30_000).map(|row| format!("{} {row}:1\n", row % 2)).collect::<String>();
    std::fs::write(folder.path().join("words.svm"), rows).unwrap();
    let arguments = ["train", "--data", "words.svm", "--label", "label", "--backend", "wgpu", "--quiet"];
    let output =
        call(folder.path(), &[&arguments[..], &["--precision", "f32", "--set", "data.standardize=false"]].concat());
    let error = text(&output.stderr);
    assert!(code(&output) == Some(2) && error.contains("train by the fused kernels of a CPU"), "{error}");
    assert!(!error.contains("the training stopped"), "{error}");
}

#[test]
fn every_local_backend_has_the_operation() {
    for device in devices() {
        assert!(supports_linear_loss(&device) && supports_linear_loss(&device.clone().autodiff()), "{device:?}");
    }
    // Autodiff and the operation in one objective, compared with autodiff alone.
    let device = device();
    let model = SoftmaxRegressionConfig::new(3, 4).init(&device);
    let (features, labels, ..) = problem([6, 3, 4], &device, FloatDType::F32);
    let expected = autodiff(&burn::module::Module::train(model), features.clone(), labels.clone(), L2::NONE);
    let weight = Tensor::<2>::zeros([3, 4], &device).autodiff().require_grad();
    let bias = Tensor::<1>::zeros([4], &device).autodiff();
    let (x, y) = (features.autodiff(), labels);
    let both = softmax_regression(x.clone(), y.clone(), weight.clone(), bias.clone()).unwrap()
        + by_tensors(x, y, weight.clone(), bias);
    let actual = values(weight.grad(&both.backward()).unwrap());
    let twice = values(expected.gradient.weight * 2.0);
    assert_close(&actual, &twice, tolerance(FloatDType::F32), "twice the gradient");
}
