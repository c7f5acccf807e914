//! Data and settings that are numerically difficult. Each training ends with finite numbers or
//! reports divergence.

use std::path::Path;

use burn::tensor::{Device, FloatDType};
use chainrule_core::TrainConfig;
use chainrule_data::idx::{IdxImages, write_images, write_labels};
use chainrule_data::{Data, read_folder};
use chainrule_engines::evaluate;
use chainrule_models::{SoftmaxRegressionConfig, to_precision};
use chainrule_records::ConfigFile;
use chainrule_solve::Ending;
use chainrule_tests_macros::test;
use serde_json::Value;

use super::formats::assert_one_line;
use crate::command::{call, code, folder, text};
use crate::support::{Fit, cpu, devices_and_precisions, f64_devices, fit, with_parameters};

/// Images of two by two pixels, each of a single grey level, and their labels.
#[derive(Clone, Copy)]
struct Extreme {
    name: &'static str,
    train: &'static [(u8, u8)],
    validation: &'static [(u8, u8)],
}

const EXTREMES: [Extreme; 8] = [
    Extreme { name: "constant", train: &[(9, 0), (9, 1), (9, 0), (9, 1)], validation: &[(9, 1), (9, 0)] },
    Extreme { name: "black", train: &[(0, 0), (0, 1)], validation: &[(0, 0), (0, 1)] },
    Extreme { name: "white", train: &[(255, 0), (255, 1)], validation: &[(255, 0), (255, 1)] },
    Extreme { name: "one row a class", train: &[(0, 0), (255, 1)], validation: &[(0, 0), (255, 1)] },
    Extreme {
        name: "duplicates",
        train: &[(0, 0), (0, 0), (0, 0), (255, 1), (255, 1)],
        validation: &[(0, 0), (255, 1)],
    },
    Extreme { name: "all wrong", train: &[(0, 0), (255, 1), (0, 0), (255, 1)], validation: &[(0, 1), (255, 0)] },
    Extreme { name: "one row", train: &[(7, 0)], validation: &[(7, 0)] },
    Extreme { name: "one class", train: &[(0, 0), (255, 0), (3, 0)], validation: &[(4, 0)] },
];

impl Extreme {
    fn write(self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for (split, rows) in [("train", self.train), ("t10k", self.validation)] {
            let pixels = rows.iter().flat_map(|&(grey, _)| [grey; 4]).collect();
            let labels: Vec<u8> = rows.iter().map(|&(_, label)| label).collect();
            let images = IdxImages { height: 2, width: 2, pixels };
            write_images(&folder.join(format!("{split}-images-idx3-ubyte")), &images).unwrap();
            write_labels(&folder.join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
        }
    }

    fn data(self) -> Data {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        read_folder(folder.path()).unwrap()
    }

    fn has_two_classes(self) -> bool {
        self.train.iter().any(|&(_, label)| label == 1)
    }
}

fn config(overrides: &[&str]) -> TrainConfig {
    let text =
        "[model]\nkind = 'softmax'\n[descent]\nbatch_size = 1\nepochs = 4\n[descent.shuffle]\ngenerator = 'none'\n";
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    TrainConfig::parse("strange", text, &overrides).unwrap()
}

const GRADIENTS: [&str; 3] = ["descent.gradient=fused", "descent.gradient=closed-form", "descent.gradient=autodiff"];
const PRECISIONS: [&str; 2] = ["descent.precision=f32", "descent.precision=f64"];
const LOGISTIC: [&str; 2] = ["model.kind=logistic", "data.classes=[1, 0]"];

/// Asserts that all reported numbers are finite. Returns whether the training converged without
/// divergence.
fn is_finite(fit: &Fit, case: &str) -> bool {
    let evaluations = fit.history.evaluations.iter();
    let numbers = evaluations.flat_map(|e| [e.validation_loss, e.train_accuracy, e.validation_accuracy]);
    let mut numbers: Vec<f64> = numbers.chain(fit.history.train_loss.iter().copied()).collect();
    numbers.extend(fit.best.map(|(_, loss)| loss));
    let diverged = matches!(fit.ending, Ending::Diverged { .. });
    if !diverged {
        let last = fit.final_metrics;
        numbers.extend([last.train_loss, last.validation_loss, last.train_accuracy, last.validation_accuracy]);
        numbers.extend(fit.weight.iter().chain(&fit.bias));
    }
    assert!(numbers.iter().all(|number| number.is_finite()), "{case}: {numbers:?}");
    let losses = fit.history.train_loss.iter().chain(fit.history.evaluations.iter().map(|e| &e.validation_loss));
    assert!(losses.into_iter().all(|loss| loss.is_sign_positive()), "{case}: a loss of -0 or less");
    !diverged
}

/// Returns every gradient source on every device of the build, in each of its precisions.
fn every_engine() -> impl Iterator<Item = (&'static str, (Device, &'static str))> {
    let on = || {
        devices_and_precisions().into_iter().map(|(device, precision)| match precision {
            FloatDType::F64 => (device, PRECISIONS[1]),
            _ => (device, PRECISIONS[0]),
        })
    };
    GRADIENTS.into_iter().flat_map(move |gradient| on().map(move |engine| (gradient, engine)))
}

#[test]
fn extreme_data_gives_the_same_finite_numbers() {
    for extreme in EXTREMES {
        let data = extreme.data();
        let models: &[&[&str]] = if extreme.has_two_classes() { &[&[], &LOGISTIC] } else { &[&[]] };
        for model in models {
            for solver in [&["descent.solver=sgd"][..], &["descent.solver=lbfgs", "objective.l2=0.1"]] {
                let mut losses = Vec::new();
                for (gradient, (device, precision)) in every_engine() {
                    let overrides = [*model, solver, &[gradient, precision]].concat();
                    let case = format!("{}, {device:?}, {overrides:?}", extreme.name);
                    let fit = fit(&config(&overrides), &data, &device, &mut ());
                    assert!(is_finite(&fit, &case), "{case} diverged");
                    losses.push((fit.final_metrics.train_loss, case));
                }
                for (loss, case) in &losses {
                    assert!((loss - losses[0].0).abs() < 1e-3, "{case}: {loss}, not {}", losses[0].0);
                }
            }
        }
    }
}

#[test]
fn huge_steps_diverge_or_stay_finite() {
    let largest = ["descent.learning_rate=1000", "objective.l2=1e6", "descent.epochs=1"];
    const ROWS: [(u8, u8); 40] = {
        let mut rows = [(0, 0); 40];
        let mut i = 1;
        while i < 40 {
            rows[i] = (255, 1);
            i += 2;
        }
        rows
    };
    let data = Extreme { name: "alternating", train: &ROWS, validation: &[(0, 0), (255, 1)] }.data();
    let mut diverged = 0;
    let cpu = &f64_devices()[0];
    for (gradient, precision) in GRADIENTS.iter().flat_map(|g| PRECISIONS.map(|p| (*g, p))) {
        for model in [&[][..], &LOGISTIC] {
            for steps in 2..=40 {
                let rows = format!("data.train_images={steps}");
                let overrides = [&largest[..], model, &[gradient, precision, &rows]].concat();
                let fit = fit(&config(&overrides), &data, cpu, &mut ());
                diverged += usize::from(!is_finite(&fit, &format!("{overrides:?}")));
            }
        }
    }
    assert!(diverged > 100, "{diverged} of 468");
}

/// Returns the exit code and the one-line error, if any. The output must not contain `null`, which
/// is NaN in JSON.
fn train(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = call(
        folder,
        &[&["train", "strange.toml", "--backend", cpu(), "--quiet", "--json", "--out", "run", "--force"], arguments]
            .concat(),
    );
    let (code, error) = (code(&output).expect("no signal"), text(&output.stderr));
    match code {
        0 | 1 => assert_no_null(&serde_json::from_slice(&output.stdout).unwrap(), arguments),
        _ => {
            assert!(error.starts_with("error: "), "{arguments:?}: {error}");
            assert_one_line(error.trim_end());
        }
    }
    for name in ["summary.json", "history.json", "manifest.json"] {
        if let Ok(bytes) = std::fs::read(folder.join("run").join(name)) {
            assert_no_null(&serde_json::from_slice(&bytes).unwrap(), arguments);
        }
    }
    assert_eq!(code < 2, folder.join("run/summary.json").exists(), "{arguments:?}");
    let _ = std::fs::remove_dir_all(folder.join("run"));
    (code, error)
}

fn assert_no_null(value: &Value, arguments: &[&str]) {
    match value {
        Value::Null => panic!("{arguments:?}: a number that is none"),
        Value::Array(values) => values.iter().for_each(|value| assert_no_null(value, arguments)),
        Value::Object(values) => values.values().for_each(|value| assert_no_null(value, arguments)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns a folder with `strange.toml` and a data folder for each strange data set.
fn extreme_folder() -> tempfile::TempDir {
    let folder = folder();
    let text =
        "[model]\nkind = 'softmax'\n[descent]\nbatch_size = 1\nepochs = 1\n[descent.shuffle]\ngenerator = 'none'\n";
    std::fs::write(folder.path().join("strange.toml"), text).unwrap();
    for extreme in EXTREMES {
        extreme.write(&folder.path().join(extreme.name));
    }
    folder
}

#[test]
fn extreme_data_gives_a_result_or_an_error() {
    let folder = extreme_folder();
    for extreme in EXTREMES {
        assert_eq!(train(folder.path(), &["--data", extreme.name]).0, 0, "{}", extreme.name);
        let mut logistic = vec!["--data", extreme.name];
        logistic.extend(LOGISTIC.iter().flat_map(|set| ["--set", set]));
        let (code, error) = train(folder.path(), &logistic);
        let lacks_one = error.contains("no image of class 1");
        assert_eq!((code, lacks_one), if extreme.has_two_classes() { (0, false) } else { (2, true) }, "{error}");
    }
}

#[test]
fn an_infinite_norm_is_a_divergence() {
    let folder = extreme_folder();
    let rows: &'static [(u8, u8)] = [(0, 0), (255, 1)].repeat(9).leak();
    Extreme { name: "eighteen", train: rows, validation: rows }.write(&folder.path().join("eighteen"));
    let largest = ["--data", "eighteen", "--set", "descent.learning_rate=1000", "--set", "objective.l2=1e6"];
    for gradient in ["fused", "closed-form", "autodiff"] {
        let (code, error) =
            train(folder.path(), &[&largest[..], &["--gradient", gradient, "--precision", "f64"]].concat());
        assert!(code == 2 && error.contains("squares of the weights is not finite: training diverged; try"), "{error}");
        let (code, error) = train(folder.path(), &[&largest[..], &["--gradient", gradient]].concat());
        assert!(code == 2 && error.contains("is not finite: training diverged; try"), "{error}");
    }
}

#[test]
fn a_too_small_penalty_is_refused() {
    let folder = extreme_folder();
    let search = ["--data", "all wrong", "--set", "descent.solver=lbfgs", "--set", "optimum.max_iterations=1"];
    for l2 in ["5e-324", "1e-300", "9e-101"] {
        let (code, error) = train(folder.path(), &[&search[..], &["--set", &format!("objective.l2={l2}")]].concat());
        assert!(code == 2 && error.contains("expected a number from 1e-100 to 1e6"), "{error}");
    }
    for (l2, gradient) in ["1e-100", "1e-30", "1e6"].iter().flat_map(|l2| GRADIENTS.map(|gradient| (l2, gradient))) {
        let (code, error) =
            train(folder.path(), &[&search[..], &["--set", &format!("objective.l2={l2}"), "--set", gradient]].concat());
        assert!(code < 2, "{error}");
    }
}

/// Keys with the error for a number out of range.
const RANGES: [(&str, &str); 3] = [
    ("objective.l2", "expected a number from 0 (no penalty) to 1e6"),
    ("descent.learning_rate", "expected a number above 0, at most 1000"),
    ("optimum.tolerance", "expected a number above 0, at most 1, the distance"),
];

#[test]
fn an_out_of_range_number_names_the_range() {
    let folder = extreme_folder();
    for set in ["objective.l2=1e30", "descent.learning_rate=1e30", "descent.learning_rate=nan"] {
        let (code, said) = train(folder.path(), &["--data", "constant", "--set", set]);
        assert!(code == 2 && RANGES.iter().any(|(_, range)| said.contains(range)), "{said}");
    }
}

#[test]
fn nan_weights_give_no_finite_loss_on_a_device() {
    for (device, dtype) in devices_and_precisions() {
        let split = EXTREMES[5].data().select(None, None, None).unwrap().0[0].clone();
        let precision =
            if dtype == FloatDType::F64 { chainrule_core::Precision::F64 } else { chainrule_core::Precision::F32 };
        let examples = crate::support::examples(&split, precision, &device);
        let mut model = to_precision(SoftmaxRegressionConfig::new(4, 2).init(&device), dtype);
        for weight in [f64::NAN, f64::INFINITY] {
            let weight = crate::support::matrix(&[weight; 8], [4, 2], &device, dtype);
            model.linear = with_parameters(model.linear, weight, crate::support::vector(&[0.0; 2], &device, dtype));
            assert!(!evaluate(&model, &examples).unwrap().loss.is_finite());
        }
    }
}
