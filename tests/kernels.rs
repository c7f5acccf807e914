//! Compares the fused kernels with the closed forms by tensor operations, for every shape and
//! instruction set.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use chainrule_core::{Logistic, Preprocessing};
use chainrule_core::{Parameters, Precision};
use chainrule_engines::{Examples, evaluate, with_parameters};
use chainrule_kernels::{Float, FusedModel, Isa, with_threads};
use chainrule_models::{
    Classifier, CostAndGradient, L2, LogisticRegressionConfig, SoftmaxRegressionConfig, closed_form, to_precision,
};
use chainrule_solve::{Ending, FusedRows};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, folder, text};
use crate::support::{digits, experiment, f64_devices, fit, mnist, skip, values};

#[path = "../crates/kernels/tests/problem/mod.rs"]
mod problem;

use problem::{OFFSET, Problem, SCALE, relative_error};

/// Rows, features, classes: sizes of one, sizes around those of a vector, a tile and a thread's
/// share, and many classes.
const SHAPES: [[usize; 3]; 13] = [
    [1, 1, 1],
    [1, 1, 2],
    [7, 3, 8],
    [9, 17, 9],
    [8, 16, 16],
    [33, 31, 17],
    [128, 784, 10],
    [65, 100, 33],
    [130, 65, 1],
    [64, 1, 3],
    [5, 6, 1000],
    [401, 17, 10],
    [40, 7, 2049],
];

/// Returns the possible heights and widths of an image with this number of features.
fn sizes(problem: &Problem) -> impl Iterator<Item = [usize; 2]> + use<> {
    let d = problem.shape[1];
    (1..=d).filter(move |height| d.is_multiple_of(*height)).map(move |height| [height, d / height])
}

/// Computes loss, gradients of W and b, and the number of correct rows by tensor operations.
fn by_tensors(problem: &Problem, device: &Device) -> (f64, Vec<f64>, Vec<f64>, usize) {
    let [_, d, k] = problem.shape;
    if k == 1 {
        with(problem, to_precision(LogisticRegressionConfig::new(d).init(device), FloatDType::F64), device)
    } else {
        with(problem, to_precision(SoftmaxRegressionConfig::new(d, k).init(device), FloatDType::F64), device)
    }
}

fn with<M: Classifier>(problem: &Problem, model: M, device: &Device) -> (f64, Vec<f64>, Vec<f64>, usize) {
    let [n, d, k] = problem.shape;
    let features: Vec<f64> = problem.bytes.iter().map(|&byte| SCALE * f64::from(byte) + OFFSET).collect();
    let features = Tensor::<2>::from_data(TensorData::new(features, [n, d]), (device, DType::F64));
    let labels: Vec<i32> = problem.labels.iter().map(|&label| label as i32).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), device);
    let (weight, bias) = (problem.weight.clone(), problem.bias.clone());
    let model = with_parameters(model, &Parameters { n_features: d, columns: k, weight, bias });
    let CostAndGradient { cross_entropy, gradient, .. } =
        closed_form(&model, features.clone(), labels.clone(), L2::NONE);
    let actual = evaluate(&model, &Examples { features, labels, weights: None }).unwrap();
    let right = (actual.accuracy * n as f64).round() as usize;
    (values(cross_entropy)[0], values(gradient.weight), values(gradient.bias), right)
}

/// Returns a device with f64. Skips the test if there is none.
fn f64_device() -> Device {
    f64_devices().into_iter().next().unwrap_or_else(|| skip("no device of this build has f64"))
}

#[test]
fn one_pass_gives_the_closed_forms_gradient() {
    let device = f64_device();
    let instructions = Isa::available();
    assert_eq!(instructions[0], Isa::Portable);
    for shape in SHAPES {
        let problem = Problem::new(shape);
        let (loss, weight, bias, right) = by_tensors(&problem, &device);
        let all: Vec<usize> = (0..shape[0]).collect();
        for size in sizes(&problem) {
            let rows = problem.images(size);
            for &isa in &instructions {
                for threads in [1, 3] {
                    for (float, bound) in [(Float::F64, 1e-12), (Float::F32, 2e-5)] {
                        let case = format!("{shape:?} {size:?} {isa} {threads} threads {float:?}");
                        let mut fused = problem.fused(float, threads, isa);
                        let actual = with_threads(threads, || fused.gradient(&rows, &all)).unwrap();
                        assert!(
                            relative_error(&[actual.loss], &[loss]) <= bound,
                            "{case}: loss {} {loss}",
                            actual.loss
                        );
                        assert!(
                            relative_error(&actual.weight, &weight) <= bound,
                            "{case}: {}",
                            relative_error(&actual.weight, &weight)
                        );
                        assert!(
                            relative_error(&actual.bias, &bias) <= bound,
                            "{case}: {}",
                            relative_error(&actual.bias, &bias)
                        );
                        let evaluation = fused.evaluate(&rows);
                        assert!(relative_error(&[evaluation.loss], &[loss]) <= bound, "{case}");
                        assert_eq!((evaluation.n_correct, fused.n_correct(&rows)), (right, right), "{case}");
                        let again = fused.gradient(&rows, &all);
                        assert!(relative_error(&again.weight, &weight) <= bound, "{case}: sums were left over");
                    }
                }
            }
        }
    }
}

#[test]
fn training_matches_the_closed_form() {
    let device = f64_device();
    let data = digits(600, 300);
    for kind in ["softmax.toml", "logistic-shuffled.toml"] {
        for (precision, bound) in [("f64", 1e-10), ("f32", 1e-4)] {
            for l2 in ["0.0", "0.1"] {
                let [fused, tensors] = ["fused", "closed-form"].map(|gradient| {
                    let gradient = format!("descent.gradient={gradient}");
                    let (precision, l2) = (format!("descent.precision={precision}"), format!("objective.l2={l2}"));
                    let small = ["data.train_images=600", "data.validation_images=300", "descent.batch_size=25"];
                    let more = ["descent.epochs=6", "early_stopping.patience=1000", &gradient, &precision, &l2];
                    fit(&experiment(kind, &[&small[..], &more].concat()), &data, &device, &mut ())
                });
                assert_eq!((fused.steps, fused.ending), (tensors.steps, tensors.ending));
                assert!(
                    relative_error(&fused.history.train_loss, &tensors.history.train_loss) < bound,
                    "{kind} {precision} {l2}"
                );
                assert!(
                    relative_error(&fused.weight, &tensors.weight) < bound
                        && relative_error(&fused.bias, &tensors.bias) < bound
                );
                assert_eq!(fused.history.evaluations.len(), tensors.history.evaluations.len());
                for (fused, tensors) in fused.history.evaluations.iter().zip(&tensors.history.evaluations) {
                    assert!((fused.validation_loss / tensors.validation_loss - 1.0).abs() < bound);
                    assert_eq!(fused.train_accuracy, tensors.train_accuracy);
                    assert_eq!(fused.validation_accuracy, tensors.validation_accuracy);
                }
            }
        }
    }
}

#[test]
fn on_mnist_they_stop_as_in_the_report() {
    let data = mnist();
    let device = f64_device();
    for precision in ["f32", "f64"] {
        let settings = ["descent.gradient=fused".to_owned(), format!("descent.precision={precision}")];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let actual = fit(&experiment("logistic.toml", &settings), &data, &device, &mut ());
        assert_eq!(
            (actual.ending, actual.steps, actual.best.unwrap().0),
            (Ending::StoppedEarly, 1039, 978),
            "{precision}"
        );
        let actual = fit(&experiment("logistic-shuffled.toml", &settings), &data, &device, &mut ());
        assert_eq!(
            (actual.ending, actual.steps, actual.best.unwrap().0),
            (Ending::StoppedEarly, 523, 462),
            "{precision}"
        );
    }
}

#[test]
fn a_too_large_rate_is_a_divergence() {
    let data = digits(600, 300);
    let settings = [
        "descent.gradient=fused",
        "descent.learning_rate=1000",
        "objective.l2=1",
        "early_stopping.patience=1000",
        "data.train_images=600",
    ];
    for kind in ["softmax.toml", "logistic.toml"] {
        let device = crate::support::device();
        let config =
            experiment(kind, &[&settings[..], &["data.validation_images=300", "descent.batch_size=20"]].concat());
        let actual = fit(&config, &data, &device, &mut ());
        assert!(matches!(actual.ending, Ending::Diverged { .. }), "{kind}: {:?}", actual.ending);
        assert!(actual.history.train_loss.iter().all(|loss| loss.is_finite()));
    }
}

#[test]
fn features_match_the_tensors() {
    let (splits, _) = digits(600, 300).select(Some(600), Some(300), None).unwrap();
    let device = crate::support::device();
    let tensors = values(crate::support::examples(&splits[0], Precision::F32, &device).features);
    let bytes = crate::support::pixels(&splits[0]);
    let rows =
        FusedRows::new(splits[0].clone().with_labels(&vec![1; splits[0].len()]), &Preprocessing::Pixels).unwrap();
    let rows = rows.packed().unwrap();
    let mut fused = FusedModel::new(Logistic, rows.n_features(), Float::F64, 1, Isa::best());
    // At zero weights a row's gradient is its features times p - y, which is one half.
    let half = fused.gradient(rows, &[3]).weight;
    assert!(bytes[3 * 784..][..784].iter().any(|&byte| byte > 0));
    for (feature, half) in tensors[3 * 784..][..784].iter().zip(half) {
        assert!((feature - half.abs() * 2.0 * feature.signum()).abs() < 1e-6, "{feature} {half}");
    }
}

#[test]
fn the_program_uses_them_by_default() {
    let folder = folder();
    let train = |more: &[&str]| {
        let settings =
            ["train", "--data", "embedded", "--set", "data.train_images=600", "--set", "descent.epochs=2", "--json"];
        let output = call(folder.path(), &[&settings[..], more].concat());
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        (summary, text(&output.stderr))
    };
    f64_device();
    let cpu = if chainrule::backend::Backend::Flex.is_built() { "flex" } else { "ndarray" };
    let (summary, stderr) = train(&["--backend", cpu, "--threads", "2"]);
    assert_eq!((&summary["gradient"], &summary["threads"]), (&"fused".into(), &2.into()));
    assert!(stderr.contains(&format!("kernels: {}, 2 threads; they read ", Isa::best())), "{stderr}");
    let config = std::fs::read_to_string(folder.path().join("runs/softmax-1/config.toml")).unwrap();
    assert!(config.contains("gradient = \"fused\""), "what ran is what is kept: {config}");
    let (summary, stderr) = train(&["--backend", cpu, "--gradient", "closed-form"]);
    assert_eq!((&summary["gradient"], &summary["threads"]), (&"closed-form".into(), &1.into()));
    assert!(!stderr.contains("kernels"), "{stderr}");
}

#[test]
fn the_programs_gradient_check_includes_them() {
    use chainrule::backend::Backend;
    let Some(cpu) = [Backend::Flex, Backend::Ndarray].into_iter().find(Backend::is_built) else {
        skip("no CPU backend is in this build");
    };
    let folder = folder();
    let output = call(folder.path(), &["gradcheck", "--backend", cpu.name(), "--json"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let actual: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = actual["rows"].as_array().unwrap();
    let with_them = rows.iter().filter(|row| row["sources"] == "autodiff = closed-form = fused = operation");
    // Two models, two precisions, three penalties.
    assert_eq!(with_them.count(), 12, "{actual}");
    // Also with class weights, closed form and autodiff, for both models and precisions, and the
    // Hessian of each.
    let weighted = |row: &&Value| row["what"].as_str().unwrap().contains("class weights") && row["passed"] == true;
    let sources: Vec<&Value> = rows.iter().filter(weighted).map(|row| &row["sources"]).collect();
    assert_eq!(sources.iter().filter(|sources| **sources == "autodiff = closed-form").count(), 4, "{actual}");
    assert_eq!(sources.len(), 6, "{actual}");
}
