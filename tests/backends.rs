//! Compares the backends of the build: the same features, the same training and the same model in a
//! file.

use std::path::Path;

use burn::tensor::{Device, FloatDType};
use burn_store::{ModuleSnapshot, SafetensorsStore};
use chainrule::backend::Backend;
use chainrule_core::{Precision, Preprocessing, Standardization};
use chainrule_data::Rows;
use chainrule_engines::{Examples, Expansion, evaluate};
use chainrule_gradcheck::f64_works;
use chainrule_models::{Classifier, SoftmaxRegression, SoftmaxRegressionConfig, to_precision};
use chainrule_records::{read_parameters, write_weights};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, command, folder, text};
use crate::support::{
    cpu, device, devices, devices_and_precisions, digits, examples, experiment, fit, uniform, values,
};

#[test]
fn bytes_become_the_same_features_on_a_device() {
    // Every byte value, and a length that is not a multiple of four.
    let pixels: Vec<u8> = (0..=255).chain([7, 255, 0]).collect();
    let rows = Rows::of_pixels([1, 37], pixels, vec![0; 7]);
    for (device, precision) in devices_and_precisions() {
        let precision = if precision == FloatDType::F64 { Precision::F64 } else { Precision::F32 };
        let [host, there] = [Expansion::Host, Expansion::Device].map(|expansion| {
            let rows = rows.clone();
            Examples::new(rows, &Preprocessing::Pixels, precision, &device, expansion).unwrap().features
        });
        assert_eq!(host.dims(), [7, 37]);
        assert_eq!((host.dims(), host.dtype()), (there.dims(), there.dtype()), "{device:?}");
        assert_eq!(values(host), values(there), "{device:?}");
    }
}

/// The largest relative distance between a loss in f32 and that of the first backend. Each of some
/// hundred steps rounds at 2^-24.
const BOUND: f64 = 1e-4;

#[test]
fn every_backend_trains_alike() {
    let data = digits(600, 300);
    for kind in ["softmax.toml", "logistic.toml"] {
        for gradient in ["closed-form", "autodiff"] {
            let gradient = format!("descent.gradient={gradient}");
            let small = ["data.train_images=600", "data.validation_images=300", "descent.batch_size=20"];
            let whole = ["descent.epochs=4", "early_stopping.patience=1000000", &gradient];
            let config = experiment(kind, &[small, whole].concat());
            let first = fit(&config, &data, &device(), &mut ());
            for device in devices() {
                let other = fit(&config, &data, &device, &mut ());
                let losses = other.history.train_loss.iter().zip(&first.history.train_loss);
                assert!(losses.len() >= 4, "{} steps", losses.len());
                for (step, (other, first)) in losses.enumerate() {
                    assert!((other - first).abs() <= BOUND * first, "{kind}, {device:?}, step {step}: {other} {first}");
                }
                for (other, first) in other.history.evaluations.iter().zip(&first.history.evaluations) {
                    let difference = (other.validation_loss - first.validation_loss).abs();
                    assert!(difference <= BOUND * first.validation_loss, "{kind}, {device:?}: {other:?} {first:?}");
                    assert!((other.validation_accuracy - first.validation_accuracy).abs() <= 1.0 / 100.0);
                }
            }
        }
    }
}

#[test]
fn a_model_is_the_same_on_every_backend() {
    let folder = folder();
    let data = digits(600, 300);
    let (splits, _) = data.select(Some(600), Some(300), None).unwrap();
    for saver in Backend::built().unwrap() {
        let name = saver.name();
        let run = format!("saved-on-{name}");
        let arguments = [
            "train",
            "--data",
            "embedded",
            "--set",
            "data.train_images=600",
            "--set",
            "data.validation_images=300",
            "--set",
            "descent.epochs=3",
            "--backend",
            name,
            "--out",
            &run,
            "--quiet",
        ];
        let output = call(folder.path(), &arguments);
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        // The reader skips statistics beside the weights.
        let statistics = Standardization { mean: vec![0.5; 784], scale: vec![2.0; 784] };
        let read = |file: &str| std::fs::read(folder.path().join(&run).join(file)).unwrap();
        let summary: Value = serde_json::from_slice(&read("summary.json")).unwrap();
        for device in devices() {
            let saved = read("model.safetensors");
            let parameters = read_parameters(&saved).unwrap();
            let with_statistics =
                write_weights(&parameters, Precision::F32, &Preprocessing::Standardized(statistics.clone()));
            let other = load(&with_statistics, &device);
            let model = load(&saved, &device);
            assert_eq!(values(other.linear().weight.val()), values(model.linear().weight.val()));
            let examples = examples(&splits[1], Precision::F32, &device);
            let actual = evaluate(&model, &examples).unwrap();
            let expected = summary["final"]["validation_loss"].as_f64().unwrap();
            assert!(
                (actual.loss - expected).abs() <= 1e-6 * expected,
                "{name} to {device:?}: {} {expected}",
                actual.loss
            );
        }
    }
}

fn load(bytes: &[u8], device: &Device) -> SoftmaxRegression {
    let mut model = to_precision(SoftmaxRegressionConfig::new(784, 10).init(device), FloatDType::F32);
    let zero: f64 = values(model.linear().weight.val().abs()).iter().sum();
    assert_eq!(zero, 0.0);
    model.load_from(&mut SafetensorsStore::from_bytes(Some(bytes.to_vec()))).unwrap();
    assert!(values(model.linear().weight.val().abs()).iter().sum::<f64>() > 1.0, "nothing was loaded");
    model
}

#[test]
fn the_program_lists_backends_and_their_features() {
    let folder = folder();
    let output = call(folder.path(), &["backends", "--json"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 6);
    assert_eq!((&rows[5]["backend"], rows[5]["device"].is_null()), (&"remote".into(), true));
    let cpu = (&rows[4]["backend"], &rows[4]["built"], &rows[4]["gradients"]);
    assert_eq!(cpu, (&"cpu".into(), &true.into(), &serde_json::json!(["fused", "closed-form"])));
    for (row, backend) in rows.iter().zip(Backend::LOCAL) {
        assert_eq!((&row["backend"], &row["built"]), (&backend.name().into(), &backend.is_built().into()));
        if let Ok(device) = backend.device() {
            assert!(row["device"].as_str().is_some_and(|name| !name.is_empty()), "{row}");
            let has_f64 = row["precisions"].as_array().unwrap().contains(&"f64".into());
            assert_eq!(has_f64, f64_works(&device), "{row}");
        } else {
            assert!(row["device"].is_null() && row["problem"].is_string(), "{row}");
        }
    }
    assert_eq!(rows.iter().filter(|row| row["default"] == true).count(), 1);
}

#[test]
fn an_environment_variable_selects_the_backend() {
    let folder = folder();
    let called = |chosen: &str, arguments: &[&str]| {
        command(folder.path(), arguments).env("CHAINRULE_BACKENDS", chosen).output().unwrap()
    };
    for backend in Backend::built().unwrap().into_iter().chain([Backend::Cpu]) {
        let output = called(&format!(" {} ", backend.name()), &["backends", "--json"]);
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        for row in rows {
            assert_eq!(row["default"], row["backend"] == backend.name(), "{row}");
        }
    }
    let first = Backend::built().unwrap().remove(0);
    for stranger in ["", "nvidia", &format!("{},nvidia", first.name())] {
        for arguments in [&["train", "--data", "embedded", "--quiet"][..], &["backends"]] {
            let output = called(stranger, arguments);
            let error = text(&output.stderr);
            assert_eq!((code(&output), error.lines().count()), (Some(2), 1), "{stranger:?}: {error}");
            assert!(error.contains("CHAINRULE_BACKENDS") && error.contains(first.name()), "{error}");
        }
    }
    assert!(!folder.path().join("runs").exists());
}

/// Returns a run's history and weights, and its summary.
fn run(folder: &Path, name: &str, arguments: &[&str]) -> ([Vec<u8>; 2], Value) {
    let output = call(folder, &[&["train", "--quiet", "--threads", "1", "--out", name], arguments].concat());
    assert_eq!(code(&output), Some(0), "{name}: {}", text(&output.stderr));
    let read = |file: &str| std::fs::read(folder.join(name).join(file)).unwrap();
    let summary = serde_json::from_slice(&read("summary.json")).unwrap();
    (["history.json", "model.safetensors"].map(read), summary)
}

#[test]
fn training_without_burn_matches_burns_backends() {
    let folder = folder();
    // The fused kernels are the same for every backend.
    let digits = ["--data", "embedded", "--set", "descent.epochs=2", "--set", "data.train_images=600"];
    let (here, summary) = run(folder.path(), "digits-here", &[&digits[..], &["--backend", "cpu"]].concat());
    assert_eq!(summary["gradient"], "fused");
    assert_eq!(here, run(folder.path(), "digits-there", &[&digits[..], &["--backend", cpu()]].concat()).0);
    // Plain loops and tensors round differently.
    let rows = uniform(2, 900);
    let table: String = rows.chunks(3).fold("a,b,c,kind\n".to_owned(), |table, row| {
        let kind = ["x", "y", "z"][usize::from(row[0] + 0.5 * row[1] > 0.3) + usize::from(row[2] > 0.8)];
        table + &format!("{},{},{},{kind}\n", row[0], 10.0 * row[1], 100.0 * row[2])
    });
    std::fs::write(folder.path().join("table.csv"), table).unwrap();
    let ways: [&[&str]; 3] = [
        &["--set", "descent.epochs=5", "--set", "objective.class_weights=balanced"],
        &["--set", "descent.epochs=5", "--set", "model.kind=logistic", "--set", "data.classes=[\"x\",\"y\"]"],
        &["softmax-optimum", "--set", "objective.l2=0.01", "--set", "optimum.tolerance=1e-10"],
    ];
    let common = ["--data", "table.csv", "--set", "data.label=kind", "--set", "data.standardize=true"];
    for (number, way) in ways.iter().enumerate() {
        let more = |backend| ["--precision", "f64", "--gradient", "closed-form", "--backend", backend];
        let all = |backend| [&common[..], way, &more(backend)].concat();
        let [here, there] = ["cpu", cpu()].map(|backend| {
            let (_, summary) = run(folder.path(), &format!("table-{number}-{backend}"), &all(backend));
            assert_eq!((&summary["backend"], &summary["gradient"]), (&backend.into(), &"closed-form".into()));
            summary
        });
        for key in ["train_loss", "validation_loss"] {
            let [a, b] = [&here, &there].map(|summary| summary["final"][key].as_f64().unwrap());
            assert!((a - b).abs() < 1e-8 * b, "way {number}, {key}: {a} and {b}");
        }
        let [a, b] = [&here, &there].map(|summary| summary["weight_norm"]["spectral"].as_f64().unwrap());
        assert!((a - b).abs() < 1e-4 * b, "way {number}: {a} and {b}");
    }
    let arguments = ["evaluate", "table-0-cpu", "--data", "table.csv", "--json"];
    assert_eq!(code(&call(folder.path(), &arguments)), Some(0));
}

#[test]
fn unsupported_settings_without_burn_are_refused() {
    let folder = folder();
    let train = ["train", "--data", "embedded", "--backend", "cpu"];
    let cases: [(&[&str], &str); 4] = [
        (&[&train[..], &["--set", "descent.optimizer=adam"]].concat(), "descent.optimizer: cpu makes plain steps only"),
        (&[&train[..], &["--gradient", "autodiff"]].concat(), "descent.gradient = \"autodiff\": cpu has none"),
        (&["gradcheck", "--backend", "cpu"], "gradients are checked against Burn's autodiff"),
        (&["reproduce", "--backend", "cpu", "--data", "embedded"], "gradients are checked against Burn's autodiff"),
    ];
    for (arguments, expected) in cases {
        let output = call(folder.path(), arguments);
        let error = text(&output.stderr);
        assert_eq!((code(&output), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains(expected) && error.contains("--features"), "{error}");
    }
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn an_unavailable_backend_is_refused() {
    let folder = folder();
    for backend in [Backend::Cuda, Backend::Wgpu, Backend::Flex].into_iter().filter(|backend| backend.device().is_err())
    {
        let output = call(folder.path(), &["train", "--data", "embedded", "--backend", backend.name(), "--quiet"]);
        assert_eq!(code(&output), Some(2), "{}", backend.name());
        let error = text(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(backend.name()) || error.contains("no device was found"), "{error}");
        assert!(error.contains("--features"), "{error}");
        assert!(!folder.path().join("runs").exists());
    }
}
