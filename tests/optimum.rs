//! The minimum of J and its certificate: Eqs. (29) to (34) of `docs/derivation.md`, and
//! L-BFGS with them.

use std::ops::ControlFlow;

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use chainrule_core::{Certificate, ModelKind, Parameters, Precision, SearchEnd, TrainConfig};
use chainrule_data::Rows;
use chainrule_engines::Examples;
use chainrule_models::{LogisticRegressionConfig, SoftmaxRegressionConfig, to_precision};
use chainrule_records::ConfigFile;
use chainrule_solve::{Ending, Observer, Trained};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, folder, text};
use crate::support::{assert_close, cpu, device, devices, digits, experiment, f64_devices, fit, skip, uniform};

#[path = "../crates/solve/tests/plain/mod.rs"]
mod plain;

use plain::{Dense, KINDS, config};

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Rows of two or three classes: each once, each repeated by its class weight, and validation rows.
struct Repeated {
    kind: ModelKind,
    once: Rows,
    duplicated: Rows,
    validation: Rows,
}

impl Repeated {
    fn new(kind: ModelKind) -> Self {
        let ([rows, validation], _) = digits(200, 50).select(None, None, Some(&[3, 8, 5])).unwrap();
        let again: Vec<usize> =
            (0..rows.len()).flat_map(|row| std::iter::repeat_n(row, [3, 1, 2][usize::from(rows.label(row))])).collect();
        // The logistic model uses the last two classes, as with data.classes.
        let is_logistic = kind == ModelKind::Logistic;
        let classes: &[Option<u16>] =
            if is_logistic { &[None, Some(0), Some(1)] } else { &[Some(0), Some(1), Some(2)] };
        let only = |all: &Rows, rows: &[usize]| all.select(rows).with_classes(classes);
        let all = |rows: &Rows| (0..rows.len()).collect::<Vec<_>>();
        let (once, duplicated) = (only(&rows, &all(&rows)), only(&rows, &again));
        Self { kind, once, duplicated, validation: only(&validation, &all(&validation)) }
    }

    fn weights(&self) -> &'static str {
        match self.kind {
            ModelKind::Softmax => "objective.class_weights=[3, 1, 2]",
            ModelKind::Logistic => "objective.class_weights={1 = 2}",
        }
    }

    /// Returns the parameters and certificate after the iterations of this config.
    fn minimum(&self, rows: &Rows, sets: &[&str]) -> (Parameters, Certificate) {
        let config = config(self.kind, sets);
        let device = &f64_devices()[0];
        let [train, validation] =
            [rows, &self.validation].map(|rows| crate::support::examples(rows, Precision::F64, device));
        let d = rows.n_features();
        let trained = match self.kind {
            ModelKind::Softmax => {
                let model = to_precision(SoftmaxRegressionConfig::new(d, 3).init(device), FloatDType::F64);
                chainrule_engines::train_by_tensors(model, &train, &validation, &config, &mut ())
            }
            ModelKind::Logistic => {
                let model = to_precision(LogisticRegressionConfig::new(d).init(device), FloatDType::F64);
                chainrule_engines::train_by_tensors(model, &train, &validation, &config, &mut ())
            }
        };
        let trained = trained.unwrap();
        (trained.parameters, trained.certificate.unwrap())
    }

    /// J with class weights at lambda equals m times J of the repeated rows at lambda / m, with the
    /// mean weight m.
    fn agrees(&self, penalize_bias: bool, iterations: usize) {
        let m = self.duplicated.len() as f64 / self.once.len() as f64;
        let bias = format!("objective.penalize_bias={penalize_bias}");
        let iterations_at_most = format!("optimum.max_iterations={iterations}");
        let common = [&*bias, &*iterations_at_most, "optimum.tolerance=1e-9"];
        let [l2, l2_of_repeated] = [0.02, 0.02 / m].map(|l2| format!("objective.l2={l2:e}"));
        let weighted = [&common[..], &[&*l2, self.weights()]].concat();
        let (weighted, certificate) = self.minimum(&self.once, &weighted);
        let (repeated, expected) = self.minimum(&self.duplicated, &[&common[..], &[&*l2_of_repeated]].concat());
        let what = format!("{:?}, bias penalised: {penalize_bias}, {iterations} iterations", self.kind);
        let near = |actual: f64, expected: f64, tolerance: f64| (actual / (m * expected) - 1.0).abs() < tolerance;
        assert!(near(certificate.objective, expected.objective, 1e-8), "{what}: {certificate:?} {expected:?}");
        if iterations < 10 {
            assert_close(&weighted.weight, &repeated.weight, 1e-7, &what);
            assert_close(&weighted.bias, &repeated.bias, 1e-7, &what);
            assert!(near(certificate.bound, expected.bound, 1e-6), "{what}: {certificate:?} {expected:?}");
            assert!(certificate.bound > 1e-6, "{what}: {certificate:?}");
        } else {
            assert!(certificate.holds(), "{what}: {certificate:?}");
        }
    }
}

/// A row of weight 2 equals a row that occurs twice.
#[test]
fn eq_34_an_integer_weight_repeats_its_row_in_the_bound() {
    for kind in KINDS {
        let rows = Repeated::new(kind);
        for penalize_bias in [true, false] {
            // Early, when the bound is far from 0, and at the end.
            for iterations in [1, 4, 1000] {
                rows.agrees(penalize_bias, iterations);
            }
        }
    }
}

#[test]
fn the_minimum_is_not_above_long_descent() {
    let data = digits(600, 300);
    for (name, penalize_bias) in
        [("softmax.toml", "true"), ("softmax.toml", "false"), ("logistic.toml", "true"), ("logistic.toml", "false")]
    {
        for precision in ["f32", "f64"] {
            let rows = [
                "data.train_images=600",
                "data.validation_images=300",
                "objective.l2=0.05",
                "descent.gradient=closed-form",
            ];
            let (penalize_bias, precision) =
                (format!("objective.penalize_bias={penalize_bias}"), format!("descent.precision={precision}"));
            if precision.ends_with("f64") && f64_devices().is_empty() {
                continue;
            }
            let device = if precision.ends_with("f64") { f64_devices().remove(0) } else { device() };
            let common = [&rows[..], &[&penalize_bias, &precision]].concat();
            let long = [
                "descent.epochs=300",
                "descent.batch_size=100",
                "descent.learning_rate=0.02",
                "early_stopping.patience=1000000",
            ];
            let by_descent = fit(&experiment(name, &[&common[..], &long].concat()), &data, &device, &mut ());
            let config = minimum_of(name, &common, "optimum.tolerance=1e-5");
            let actual = fit(&config, &data, &device, &mut ());
            let j = |fit: &crate::support::Fit| {
                let bias = if config.objective().penalize_bias { dot(&fit.bias, &fit.bias) } else { 0.0 };
                fit.final_metrics.train_loss + 0.025 * (dot(&fit.weight, &fit.weight) + bias)
            };
            assert_eq!(actual.ending, Ending::Converged, "{name} {penalize_bias} {precision}");
            let (descent, minimum) = (j(&by_descent), j(&actual));
            assert!(minimum <= descent + 1e-5, "{name} {penalize_bias} {precision}: {minimum} {descent}");
            // Gradient descent approaches the same minimum, so both use the same J.
            assert!(descent < minimum + 0.05, "{name} {penalize_bias} {precision}: {minimum} {descent}");
        }
    }
}

/// Returns an experiment of the report with the L-BFGS solver.
fn minimum_of(name: &str, common: &[&str], tolerance: &str) -> TrainConfig {
    let text = std::fs::read_to_string(format!("{}/../configs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let text = text.replace("patience = 10 ", "# ");
    let overrides = [common, &["descent.solver=lbfgs", tolerance]].concat();
    TrainConfig::parse(name, &text, &overrides.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn every_gradient_source_and_backend_finds_the_same_minimum() {
    let data = digits(600, 300);
    for name in ["softmax.toml", "logistic.toml"] {
        let common =
            ["data.train_images=600", "data.validation_images=300", "objective.l2=0.1", "objective.penalize_bias=true"];
        let find = |gradient: &str, device: &Device| {
            let gradient = format!("descent.gradient={gradient}");
            let config = minimum_of(name, &[&common[..], &[&gradient]].concat(), "optimum.tolerance=1e-6");
            let actual = fit(&config, &data, device, &mut ());
            assert_eq!(actual.ending, Ending::Converged, "{name} {gradient}");
            actual
        };
        let fused = find("fused", &device());
        for device in devices() {
            for gradient in ["closed-form", "autodiff"] {
                let actual = find(gradient, &device);
                // J is lambda-strongly convex: at 1e-6 above the minimum the parameters are at most
                // (2e-6 / 0.1)^(1/2) away from it.
                assert_close(&actual.weight, &fused.weight, 0.02, "weights");
                let (a, b) = (actual.final_metrics.train_loss, fused.final_metrics.train_loss);
                assert!((a - b).abs() < 1e-3, "{name} {gradient}: {a} {b}");
            }
        }
    }
}

#[test]
fn the_history_counts_iterations_and_ends_with_an_evaluation() {
    let common = ["data.train_images=600", "data.validation_images=300", "objective.l2=0.1", "descent.gradient=fused"];
    let config = minimum_of("softmax.toml", &common, "optimum.evaluate_every=7");
    let actual = fit(&config, &digits(600, 300), &device(), &mut ());
    assert_eq!(actual.history.train_loss.len(), actual.steps);
    assert!((actual.history.train_loss[0] - 10f64.ln()).abs() < 1e-6, "{}", actual.history.train_loss[0]);
    assert!(actual.steps > 7);
    let at: Vec<_> = actual.history.evaluations.iter().map(|evaluation| evaluation.step).collect();
    let mut expected: Vec<_> = (0..actual.steps).step_by(7).collect();
    if expected.last() != Some(&(actual.steps - 1)) {
        expected.push(actual.steps - 1);
    }
    assert_eq!(at, expected);
    assert!(actual.history.evaluations.iter().all(|evaluation| evaluation.epoch == evaluation.step));
}

/// Ends the search after this number of iterations.
struct StopAfter(usize);

impl Observer for StopAfter {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        if step + 1 == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn each_ending_is_reported_and_keeps_the_weights() {
    let data = digits(600, 300);
    let common =
        ["data.train_images=600", "data.validation_images=300", "objective.l2=0.001", "descent.gradient=fused"];
    let find = |more: &[&str], tolerance, observer: &mut dyn Observer| {
        fit(&minimum_of("softmax.toml", &[&common[..], more].concat(), tolerance), &data, &device(), observer)
    };
    let used_up = find(&["optimum.max_iterations=6"], "optimum.tolerance=1e-9", &mut ());
    assert_eq!((used_up.ending, used_up.steps), (Ending::IterationsUsedUp, 6));
    let interrupted = find(&[], "optimum.tolerance=1e-9", &mut StopAfter(4));
    assert_eq!((interrupted.ending, interrupted.steps), (Ending::Interrupted, 4));
    // f32 cannot reach this tolerance.
    let rounding = find(&[], "optimum.tolerance=1e-15", &mut ());
    assert_eq!(rounding.ending, Ending::Rounding);
    let converged = find(&[], "optimum.tolerance=1e-4", &mut ());
    assert_eq!(converged.ending, Ending::Converged);
    for actual in [used_up, interrupted, rounding, converged] {
        assert!(actual.weight.iter().any(|&w| w != 0.0) && actual.final_metrics.train_loss < 2.0);
    }
}

/// Returns a device with f64. Skips the test if there is none.
fn f64_device() -> Device {
    f64_devices().into_iter().next().unwrap_or_else(|| skip("no device of this build has f64"))
}

/// Returns a table in f32 and its examples.
fn table(n: usize, [d, k]: [usize; 2], feature: impl Fn(f64, usize) -> f64) -> (Dense, Examples) {
    let numbers: Vec<f32> = uniform(5, n * d).iter().enumerate().map(|(i, &x)| feature(x, i) as f32).collect();
    // The labels are noise, too, with about equally many rows per class.
    let labels: Vec<usize> = uniform(6, n).iter().map(|x| (((x + 1.0) / 2.0 * k as f64) as usize).min(k - 1)).collect();
    let device = f64_device();
    let features = Tensor::<2>::from_data(TensorData::new(numbers.clone(), [n, d]), (&device, DType::F32));
    let y: Vec<i32> = labels.iter().map(|&label| label as i32).collect();
    let labels_on_device = Tensor::<1, Int>::from_data(TensorData::new(y, [n]), &device);
    let x = numbers.chunks(d).map(|row| row.iter().copied().map(f64::from).collect()).collect();
    (
        Dense { x, y: labels, k, kind: ModelKind::Softmax },
        Examples { features, labels: labels_on_device, weights: None },
    )
}

/// Trains on such a table by tensor operations.
fn fit_table(examples: &Examples, k: usize, sets: &[&str]) -> Trained {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let config = TrainConfig::parse("table", "[model]\nkind = 'softmax'\n", &sets).unwrap();
    let dtype = FloatDType::from(examples.features.dtype());
    let model = to_precision(SoftmaxRegressionConfig::new(examples.n_features(), k).init(&f64_device()), dtype);
    chainrule_engines::train_by_tensors(model, examples, examples, &config, &mut ()).unwrap()
}

#[test]
fn the_certificate_is_computed_in_f64() {
    type Feature = fn(f64, usize) -> f64;
    let cases: [(usize, [usize; 2], &str, Feature); 3] = [
        // A sum of this number of rows in f32 has only four correct digits.
        (200_000, [2, 7], "objective.l2=0.001", |x, _| x),
        (20_000, [3, 4], "objective.l2=1e-4", |x, i| if i % 3 == 0 { 30.0 + x } else { 5.0 * x }),
        // Here f32 gets nowhere near the tolerance.
        (5_000, [2, 3], "objective.l2=1e-5", |x, _| 1e4 + 100.0 * x),
    ];
    for (n, [d, k], l2, feature) in cases {
        let (dense, examples) = table(n, [d, k], feature);
        let lambda = l2.split_once('=').unwrap().1.parse().unwrap();
        let in_f64 = Examples { features: examples.features.clone().cast(FloatDType::F64), ..examples.clone() };
        let to_the_end = ["descent.solver=lbfgs", l2, "optimum.tolerance=1e-11", "optimum.max_iterations=3000"];
        let exact = fit_table(&in_f64, k, &[&to_the_end[..], &["descent.precision=f64"]].concat());
        let exact = exact.certificate.unwrap();
        assert!(exact.bound < 1e-9, "{n}: {exact:?}");
        for gradient in ["descent.gradient=closed-form", "descent.gradient=autodiff"] {
            let what = format!("{n} rows, {gradient}");
            let actual = fit_table(&examples, k, &["descent.solver=lbfgs", l2, gradient, "optimum.tolerance=1e-7"]);
            let certificate = actual.certificate.unwrap();
            let objective = dense.objective(&actual.parameters, lambda, false);
            assert!((certificate.objective / objective - 1.0).abs() < 1e-12, "{what}: {objective} {certificate:?}");
            // The certificate is never below the minimum, and the minimum lies within its bound.
            assert!(certificate.objective >= exact.objective - exact.bound, "{what}: {certificate:?} {exact:?}");
            assert!(objective <= exact.objective + certificate.bound + 1e-13, "{what}: {certificate:?} {exact:?}");
            assert_eq!(certificate.ended == SearchEnd::Converged, certificate.holds(), "{what}: {certificate:?}");
            if n == 200_000 {
                assert!(certificate.holds() && certificate.iterations > 0, "{what}: {certificate:?}");
                assert!(objective < 7f64.ln() - 1e-6, "{what}: {objective}");
            }
        }
    }
}

#[test]
fn losses_of_many_rows_are_summed_in_f64() {
    let (_, examples) = table(200_000, [2, 7], |x, _| x);
    for gradient in ["descent.gradient=closed-form", "descent.gradient=autodiff"] {
        let all_at_once = ["descent.batch_size=200000", "descent.epochs=1", "descent.shuffle.generator=none", gradient];
        let actual = fit_table(&examples, 7, &all_at_once);
        let first = actual.history.train_loss[0];
        // Each row has seven digits in f32, and their mean keeps them.
        assert!((first - 7f64.ln()).abs() < 1e-7, "{gradient}: {first}");
    }
}

#[test]
fn a_search_ended_by_rounding_gives_advice() {
    let folder = folder();
    let rows: String = uniform(8, 900)
        .chunks_exact(3)
        .map(|row| format!("{},{},{}\n", 100.0 + row[0], row[1], if row[0] + row[2] > 0.0 { "up" } else { "down" }))
        .collect();
    std::fs::write(folder.path().join("table.csv"), format!("a,b,class\n{rows}")).unwrap();
    let lbfgs = ["--set", "descent.solver=lbfgs", "--set", "objective.l2=0.001", "--set", "optimum.tolerance=1e-60"];
    let softmax = folder.path().join("softmax.toml");
    std::fs::write(&softmax, "[model]\nkind = 'softmax'\n").unwrap();
    let train =
        ["train", "softmax.toml", "--data", "table.csv", "--set", "data.label=class", "--force", "--out", "run"];
    // On a CPU, which has f64.
    let train = [&train[..], &["--backend", cpu()]].concat();
    for (more, expected) in [
        (&[][..], "; use --precision f64 and --set data.standardize=true"),
        (&["--set", "data.standardize=true"][..], "; use --precision f64\n"),
        (&["--precision", "f64"][..], "; use --set data.standardize=true\n"),
        (
            &["--precision", "f64", "--set", "data.standardize=true"][..],
            "; f64 is the most precise type: increase the tolerance with --set optimum.tolerance",
        ),
    ] {
        let output = call(folder.path(), &[&train[..], &lbfgs, more].concat());
        assert_eq!(code(&output), Some(1), "{more:?}: {}", text(&output.stderr));
        let stdout = text(&output.stdout);
        assert!(stdout.contains("stopped by rounding errors"), "{more:?}: {stdout}");
        assert!(stdout.contains(&format!("the tolerance is 1e-60{expected}")), "{more:?}: {stdout}");
    }
}

/// The program on a few drawn digits.
const FAST_SETTINGS: [&str; 8] = [
    "train",
    "configs/softmax-optimum.toml",
    "--data",
    "embedded",
    "--set",
    "data.train_images=600",
    "--set",
    "data.validation_images=300",
];

#[test]
fn the_program_writes_the_certificate() {
    let folder = folder();
    let output = call(folder.path(), &[&FAST_SETTINGS[..], &["--json", "--quiet"]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let certificate = &summary["certificate"];
    assert_eq!((&certificate["ended"], &certificate["tolerance"]), (&"converged".into(), &1e-6.into()), "{summary}");
    assert!(certificate["bound"].as_f64().unwrap() <= 1e-6);
    let penalty = 0.005 * summary["weight_norm"]["frobenius_squared"].as_f64().unwrap();
    let objective = summary["final"]["train_loss"].as_f64().unwrap() + penalty;
    assert!((certificate["objective"].as_f64().unwrap() - objective).abs() < 1e-5, "{summary}");
    assert_eq!(summary["steps"], certificate["iterations"]);
    assert!(certificate["gradients"].as_u64() > certificate["iterations"].as_u64());
    let run = chainrule_records::RunFolder::read(&folder.path().join("runs/softmax-optimum-1")).unwrap();
    assert_eq!(serde_json::to_value(run.summary.certificate).unwrap(), *certificate);
    assert_eq!(run.history.train_loss.len(), run.summary.steps);
}

#[test]
fn table_and_exit_code_report_the_certificate() {
    let folder = folder();
    let output = call(folder.path(), &FAST_SETTINGS);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("within 1e-6 of the minimum, after "), "{stdout}");
    assert!(stdout.contains("is at most ") && stdout.contains(" above the minimum (gradient norm "), "{stdout}");
    let output = call(folder.path(), &[&FAST_SETTINGS[..], &["--set", "optimum.max_iterations=3"]].concat());
    assert_eq!(code(&output), Some(1), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("all iterations completed, after 3 iterations") && stdout.contains("; the tolerance is 1e-6"),
        "{stdout}"
    );
    assert!(folder.path().join("runs/softmax-optimum-2/model.safetensors").is_file());
    let descent = call(
        folder.path(),
        &["train", "--data", "embedded", "--set", "data.train_images=600", "--set", "descent.epochs=1"],
    );
    assert!(!text(&descent.stdout).contains("minimum"), "{}", text(&descent.stdout));
}
