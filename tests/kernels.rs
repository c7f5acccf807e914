//! The fused kernels, against the closed forms by tensor operations, for every shape and set of instructions.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use chainrule_core::{Parameters, Precision};
use chainrule_data::{BatchOrder, Shuffle};
use chainrule_engines::{Examples, Expansion, evaluate, with_parameters};
use chainrule_kernels::{Float, Fused, Isa, Model, Rows, Step, with_threads};
use chainrule_models::{
    Classifier, CostAndGradient, L2, LogisticRegressionConfig, SoftmaxRegressionConfig, closed_form, to_precision,
};
use chainrule_solve::{Ending, fused_rows};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, folder, text};
use crate::support::{digits, experiment, f64_devices, fit, mnist, noise, skip, values};

/// Rows, features, classes: one of each, one more and one less than what fits a vector, a tile or a thread, and many classes.
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

/// A problem that looks random: some bytes, labels, parameters.
struct Problem {
    bytes: Vec<u8>,
    labels: Vec<u32>,
    parameters: Parameters,
    shape: [usize; 3],
}

const STEP: Step = Step { learning_rate: 0.1, l2: 0.01, penalize_bias: true };

const SCALE: f64 = 2.0 / 255.0;
const OFFSET: f64 = -1.0;

impl Problem {
    fn new([rows, d, k]: [usize; 3]) -> Self {
        let classes = k.max(2);
        let labels = noise(3, rows).iter().map(|x| ((x + 1.0) * 1e6) as u32 % classes as u32).collect();
        // Whole stretches of background, and between them bytes half of which are 0.
        let byte = |(i, x): (usize, &f64)| if (i / 40).is_multiple_of(3) { 0 } else { (255.0 * x).max(0.0) as u8 };
        Self {
            bytes: noise(1, rows * d).iter().enumerate().map(byte).collect(),
            labels,
            parameters: Parameters { n_features: d, n_classes: k, weight: noise(5, d * k), bias: noise(7, k) },
            shape: [rows, d, k],
        }
    }

    fn model(&self) -> Model {
        let [_, _, k] = self.shape;
        if k == 1 { Model::Logistic } else { Model::Softmax { n_classes: k } }
    }

    fn rows(&self) -> Rows {
        self.images([1, self.shape[1]])
    }

    fn images(&self, size: [usize; 2]) -> Rows {
        Rows::new(&self.bytes, size, self.labels.clone(), SCALE, OFFSET)
    }

    /// The heights and widths that an image of so many features may have.
    fn sizes(&self) -> impl Iterator<Item = [usize; 2]> {
        let d = self.shape[1];
        (1..=d).filter(move |height| d.is_multiple_of(*height)).map(move |height| [height, d / height])
    }

    fn fused(&self, float: Float, threads: usize, isa: Isa) -> Fused {
        let mut fused = Fused::new(self.model(), self.shape[1], float, threads, isa);
        fused.set(&self.parameters.weight, &self.parameters.bias);
        fused
    }

    /// Loss, gradient by W and by b, and rows classified rightly, by tensor operations.
    fn by_tensors(&self, device: &Device) -> (f64, Vec<f64>, Vec<f64>, usize) {
        let [_, d, k] = self.shape;
        if k == 1 {
            self.with(to_precision(LogisticRegressionConfig::new(d).init(device), FloatDType::F64), device)
        } else {
            self.with(to_precision(SoftmaxRegressionConfig::new(d, k).init(device), FloatDType::F64), device)
        }
    }

    fn with<M: Classifier>(&self, model: M, device: &Device) -> (f64, Vec<f64>, Vec<f64>, usize) {
        let [n, d, _] = self.shape;
        let features: Vec<f64> = self.bytes.iter().map(|&byte| SCALE * f64::from(byte) + OFFSET).collect();
        let features = Tensor::<2>::from_data(TensorData::new(features, [n, d]), (device, DType::F64));
        let labels: Vec<i32> = self.labels.iter().map(|&label| label as i32).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), device);
        let model = with_parameters(model, &self.parameters);
        let CostAndGradient { cross_entropy, gradient, .. } =
            closed_form(&model, features.clone(), labels.clone(), L2::NONE);
        let found = evaluate(&model, &Examples { features, labels }).unwrap();
        let right = (found.accuracy * n as f64).round() as usize;
        (values(cross_entropy)[0], values(gradient.weight), values(gradient.bias), right)
    }
}

/// A device that has f64; no test goes on where there is none.
fn f64_device() -> Device {
    f64_devices().into_iter().next().unwrap_or_else(|| skip("no device of this build has f64"))
}

/// The largest distance, relative to the largest number.
fn apart(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    let distances = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    distances.fold(0.0, |a: f64, b| if b <= a { a } else { b }) / largest.max(f64::MIN_POSITIVE)
}

#[test]
fn one_pass_gives_the_closed_forms_gradient() {
    let device = f64_device();
    let instructions = Isa::available();
    assert_eq!(instructions[0], Isa::Portable);
    for shape in SHAPES {
        let problem = Problem::new(shape);
        let (loss, weight, bias, right) = problem.by_tensors(&device);
        let all: Vec<usize> = (0..shape[0]).collect();
        for size in problem.sizes() {
            let rows = problem.images(size);
            for &isa in &instructions {
                for threads in [1, 3] {
                    for (float, bound) in [(Float::F64, 1e-12), (Float::F32, 2e-5)] {
                        let case = format!("{shape:?} {size:?} {isa} {threads} threads {float:?}");
                        let mut fused = problem.fused(float, threads, isa);
                        let found = with_threads(threads, || fused.gradient(&rows, &all)).unwrap();
                        assert!(apart(&[found.loss], &[loss]) <= bound, "{case}: loss {} {loss}", found.loss);
                        assert!(apart(&found.weight, &weight) <= bound, "{case}: {}", apart(&found.weight, &weight));
                        assert!(apart(&found.bias, &bias) <= bound, "{case}: {}", apart(&found.bias, &bias));
                        let evaluation = fused.evaluate(&rows);
                        assert!(apart(&[evaluation.loss], &[loss]) <= bound, "{case}");
                        assert_eq!((evaluation.right, fused.right(&rows)), (right, right), "{case}");
                        let again = fused.gradient(&rows, &all);
                        assert!(apart(&again.weight, &weight) <= bound, "{case}: sums were left over");
                    }
                }
            }
        }
    }
}

/// Rows that are sorted by class: on the way a sum grows far beyond what it ends with.
#[test]
fn sums_over_all_rows_do_not_lose_digits_with_their_number() {
    let (n, d) = (200_000, 20);
    let bytes: Vec<u8> = noise(2, n * d).iter().map(|x| (200.0 + 50.0 * x) as u8).collect();
    let rows = Rows::new(&bytes, [1, d], (0..n).map(|row| u32::from(row >= n / 2)).collect(), SCALE, OFFSET);
    let all: Vec<usize> = (0..n).collect();
    for model in [Model::Logistic, Model::Softmax { n_classes: 2 }] {
        let columns = if matches!(model, Model::Logistic) { 1 } else { 2 };
        // Residuals of many digits.
        let weight: Vec<f64> = noise(3, d * columns).iter().map(|x| 0.1 * x).collect();
        let [mut exact, mut fused] = [Float::F64, Float::F32].map(|float| Fused::new(model, d, float, 1, Isa::best()));
        exact.set(&weight, &vec![0.01; columns]);
        fused.set(&weight, &vec![0.01; columns]);
        let exact = exact.gradient(&rows, &all);
        let at_once = apart(&fused.gradient(&rows, &all).weight, &exact.weight);
        let in_parts = fused.gradient_of_all(&rows);
        let distance = apart(&in_parts.weight, &exact.weight);
        assert!(distance < at_once / 5.0, "{model:?}: {distance:e}, and {at_once:e} in one sum");
        let of_bias = [&fused.gradient(&rows, &all).bias, &in_parts.bias].map(|bias| apart(bias, &exact.bias));
        assert!(of_bias[1] < of_bias[0] / 5.0, "{model:?}: bias {of_bias:?}");
        assert!(apart(&[in_parts.loss], &[exact.loss]) < 1e-7, "{model:?}: {} {}", in_parts.loss, exact.loss);
    }
}

#[test]
fn a_step_is_the_gradients_step_for_any_rows_in_any_order() {
    let problem = Problem::new([130, 65, 10]);
    let step = Step { learning_rate: 0.3, l2: 0.07, penalize_bias: true };
    let batch = &BatchOrder::new(Shuffle::ChaCha { seed: 5 }).next_epoch(130)[..37];
    for penalize_bias in [true, false] {
        let step = Step { penalize_bias, ..step };
        for size in [[1, 65], [5, 13], [13, 5]] {
            let rows = problem.images(size);
            let mut fused = problem.fused(Float::F64, 1, Isa::best());
            let gradient = fused.gradient(&rows, batch);
            assert_eq!(fused.step(&rows, batch, step), gradient.loss);
            let moved = |old: &[f64], gradient: &[f64], l2: f64| -> Vec<f64> {
                old.iter().zip(gradient).map(|(w, g)| w - 0.3 * (g + l2 * w)).collect()
            };
            let (weight, bias) = fused.parameters();
            assert!(apart(&weight, &moved(&problem.parameters.weight, &gradient.weight, 0.07)) < 1e-14);
            let of_bias = if penalize_bias { 0.07 } else { 0.0 };
            assert!(apart(&bias, &moved(&problem.parameters.bias, &gradient.bias, of_bias)) < 1e-14);
            // What the step left behind is what the next one begins with.
            let mut fresh = Fused::new(problem.model(), 65, Float::F64, 1, Isa::best());
            fresh.set(&weight, &bias);
            let [found, expected] = [&mut fused, &mut fresh].map(|fused| fused.gradient(&rows, batch));
            assert!(apart(&found.weight, &expected.weight) < 1e-13);
        }
    }
}

#[test]
fn training_on_them_walks_the_closed_forms_path() {
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
                    apart(&fused.history.train_loss, &tensors.history.train_loss) < bound,
                    "{kind} {precision} {l2}"
                );
                assert!(apart(&fused.weight, &tensors.weight) < bound && apart(&fused.bias, &tensors.bias) < bound);
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
fn on_mnist_they_stop_where_the_report_does() {
    let data = mnist();
    let device = f64_device();
    for precision in ["f32", "f64"] {
        let settings = ["descent.gradient=fused".to_owned(), format!("descent.precision={precision}")];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let found = fit(&experiment("logistic.toml", &settings), &data, &device, &mut ());
        assert_eq!(
            (found.ending, found.steps, found.best.unwrap().0),
            (Ending::StoppedEarly, 1039, 978),
            "{precision}"
        );
        let found = fit(&experiment("logistic-shuffled.toml", &settings), &data, &device, &mut ());
        assert_eq!((found.ending, found.steps, found.best.unwrap().0), (Ending::StoppedEarly, 523, 462), "{precision}");
    }
}

#[test]
fn as_many_threads_give_the_same_bits_and_others_nearly_so() {
    let problem = Problem::new([1100, 100, 10]);
    let rows = problem.rows();
    let order: Vec<usize> = (0..1100).collect();
    let walk = |threads: usize| {
        let mut fused = problem.fused(Float::F32, threads, Isa::best());
        with_threads(threads, || {
            order.chunks(500).cycle().take(30).for_each(|batch| {
                fused.step(&rows, batch, STEP);
            });
        })
        .unwrap();
        fused.parameters().0
    };
    for threads in 1..=4 {
        assert_eq!(walk(threads), walk(threads), "{threads} threads");
        assert!(apart(&walk(threads), &walk(1)) < 1e-5, "{threads} threads");
    }
    assert_ne!(walk(3), walk(1), "the rows were not shared");
}

#[test]
fn training_too_fast_diverges_rather_than_reports_a_loss() {
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
        let found = fit(&config, &data, &device, &mut ());
        assert!(matches!(found.ending, Ending::Diverged { .. }), "{kind}: {:?}", found.ending);
        assert!(found.history.train_loss.iter().all(|loss| loss.is_finite()));
    }
}

#[test]
fn threads_without_rows_do_nothing() {
    let problem = Problem::new([700, 30, 10]);
    let rows = problem.rows();
    let all: Vec<usize> = (0..700).collect();
    let walk = |threads| {
        let mut fused = problem.fused(Float::F64, threads, Isa::best());
        // First on many parts, then on few, whose sums must be all that is added up.
        let steps = || [&all[..], &all[..5], &all[3..300]].map(|batch| fused.step(&rows, batch, STEP));
        (with_threads(threads, steps).unwrap(), fused.parameters().0)
    };
    let (losses, weight) = walk(1);
    let (losses_of_many, weight_of_many) = walk(40);
    assert!(apart(&losses_of_many, &losses) < 1e-13 && apart(&weight_of_many, &weight) < 1e-13);
}

#[test]
#[should_panic(expected = "label 10 of 10 classes")]
fn a_label_that_is_no_class_is_refused() {
    let mut problem = Problem::new([7, 3, 10]);
    problem.labels[2] = 10;
    problem.fused(Float::F32, 1, Isa::best()).evaluate(&problem.rows());
}

#[test]
#[should_panic(expected = "label 2 of 2 classes")]
fn the_logistic_model_has_two_labels() {
    let mut problem = Problem::new([7, 3, 1]);
    problem.labels[2] = 2;
    problem.fused(Float::F32, 1, Isa::best()).step(&problem.rows(), &[0], STEP);
}

#[test]
#[should_panic(expected = "a row at least")]
fn a_batch_without_rows_is_refused() {
    let problem = Problem::new([7, 3, 10]);
    problem.fused(Float::F32, 1, Isa::best()).step(&problem.rows(), &[], STEP);
}

#[test]
fn logits_that_are_no_numbers_are_never_right_and_show_in_the_loss() {
    for class in [0, 3, 9] {
        let mut problem = Problem::new([7, 3, 10]);
        problem.labels.fill(class);
        let rows = problem.rows();
        let mut fused = problem.fused(Float::F32, 1, Isa::best());
        problem.parameters.bias[class as usize] = f64::NAN;
        fused.set(&problem.parameters.weight, &problem.parameters.bias);
        let found = fused.evaluate(&rows);
        assert!(found.loss.is_nan() && found.right == 0, "class {class}: {found:?}");
    }
    for class in [0, 1] {
        let mut problem = Problem::new([7, 3, 1]);
        problem.labels.fill(class);
        problem.parameters.bias[0] = f64::NAN;
        let found = problem.fused(Float::F32, 1, Isa::best()).evaluate(&problem.rows());
        assert!(found.loss.is_nan() && found.right == 0, "logistic, class {class}: {found:?}");
    }
    // However far below zero all logits are.
    let mut problem = Problem::new([7, 3, 10]);
    problem.parameters.bias.fill(-1e31);
    let found = problem.fused(Float::F32, 1, Isa::best()).evaluate(&problem.rows());
    assert!(found.loss < 10.0, "{found:?}");
}

#[test]
fn blocks_that_are_all_zero_are_left_out() {
    let kept = |size: [usize; 2], ink: &[usize]| {
        let mut bytes = vec![0; size[0] * size[1]];
        ink.iter().for_each(|&pixel| bytes[pixel] = 1);
        Rows::new(&bytes, size, vec![0], SCALE, OFFSET).kept()
    };
    assert_eq!(kept([28, 28], &[]), 0.0);
    // Four pixels in a square are one block of 49 in an image; in line they lie in two.
    assert_eq!(kept([28, 28], &[0, 3, 84, 87]), 1.0 / 49.0);
    assert_eq!(kept([1, 784], &[0, 3, 84, 87]), 2.0 / 49.0);
    // Blocks at the edges are filled up: five by five pixels are four.
    assert_eq!(kept([5, 5], &[24]), 1.0 / 4.0);
    assert_eq!(kept([5, 5], &[0, 4, 20, 24]), 1.0);
    assert_eq!(kept([3, 7], &[20]), 1.0 / 2.0);
}

#[test]
fn features_are_the_bytes_that_the_tensors_have() {
    let (splits, _) = digits(600, 300).split(Some(600), Some(300), None).unwrap();
    let device = crate::support::device();
    let tensors = values(Examples::new(&splits[0], Precision::F32, &device, Expansion::Host).features);
    let bytes = splits[0].pixels.clone();
    let mut split = splits[0].clone();
    split.labels.fill(1);
    let rows = fused_rows(&split);
    let mut fused = Fused::new(Model::Logistic, rows.n_features(), Float::F64, 1, Isa::best());
    // The gradient of a row at zero weights is its features times p - y, which is a half.
    let half = fused.gradient(&rows, &[3]).weight;
    assert!(bytes[3 * 784..][..784].iter().any(|&byte| byte > 0));
    for (feature, half) in tensors[3 * 784..][..784].iter().zip(half) {
        assert!((feature - half.abs() * 2.0 * feature.signum()).abs() < 1e-6, "{feature} {half}");
    }
}

#[test]
fn the_program_trains_on_them_unless_told_otherwise_and_says_how() {
    let folder = folder();
    let train = |more: &[&str]| {
        let quick =
            ["train", "--data", "embedded", "--set", "data.train_images=600", "--set", "descent.epochs=2", "--json"];
        let output = call(folder.path(), &[&quick[..], more].concat());
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        (summary, text(&output.stderr))
    };
    f64_device();
    let cpu = if chainrule::backend::Backend::Flex.is_built() { "flex" } else { "ndarray" };
    let (summary, said) = train(&["--backend", cpu, "--threads", "2"]);
    assert_eq!((&summary["gradient"], &summary["threads"]), (&"fused".into(), &2.into()));
    assert!(said.contains(&format!("kernels: {}, 2 threads; they read ", Isa::best())), "{said}");
    let config = std::fs::read_to_string(folder.path().join("runs/softmax-1/config.toml")).unwrap();
    assert!(config.contains("gradient = \"fused\""), "what ran is what is kept: {config}");
    let (summary, said) = train(&["--backend", cpu, "--gradient", "closed-form"]);
    assert_eq!((&summary["gradient"], &summary["threads"]), (&"closed-form".into(), &1.into()));
    assert!(!said.contains("kernels"), "{said}");
}

#[test]
fn the_programs_gradient_check_holds_them_against_the_others() {
    use chainrule::backend::Backend;
    let Some(cpu) = [Backend::Flex, Backend::Ndarray].into_iter().find(Backend::is_built) else {
        skip("no CPU backend is in this build");
    };
    let folder = folder();
    let output = call(folder.path(), &["gradcheck", "--backend", cpu.name(), "--json"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = found["rows"].as_array().unwrap();
    let with_them = rows.iter().filter(|row| row["sources"] == "autodiff = closed-form = fused = operation");
    // Two models, two precisions, three penalties.
    assert_eq!(with_them.count(), 12, "{found}");
    // And rows that count by their class, by hand and by autodiff, in both models, both precisions, and the Hessian of either.
    let weighted = |row: &&Value| row["what"].as_str().unwrap().contains("class weights") && row["passed"] == true;
    let sources: Vec<&Value> = rows.iter().filter(weighted).map(|row| &row["sources"]).collect();
    assert_eq!(sources.iter().filter(|sources| **sources == "autodiff = closed-form").count(), 4, "{found}");
    assert_eq!(sources.len(), 6, "{found}");
}
