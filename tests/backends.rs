//! Every backend of the build against every other: the same features, the same training, the same model in a file.

use burn::tensor::{Device, FloatDType};
use burn_store::{ModuleSnapshot, SafetensorsStore};
use chainrule::backend::Backend;
use chainrule_data::Split;
use chainrule_engines::{Examples, Expansion, evaluate};
use chainrule_gradcheck::f64_works;
use chainrule_models::{Classifier, SoftmaxRegression, SoftmaxRegressionConfig, to_precision};
use chainrule_records::{Parameters, Precision, Preprocessing, Standardization};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, command, folder, text};
use crate::support::{device, devices, devices_and_precisions, digits, experiment, fit, values};

#[test]
fn bytes_that_cross_to_a_device_are_the_features_that_would_have() {
    // Not a multiple of four bytes, and every byte there is.
    let pixels: Vec<u8> = (0..=255).chain([7, 255, 0]).collect();
    let split = Split { size: [1, 37], labels: vec![0; 7], pixels };
    for (device, precision) in devices_and_precisions() {
        let precision = if precision == FloatDType::F64 { Precision::F64 } else { Precision::F32 };
        let [host, there] = [Expansion::Host, Expansion::Device]
            .map(|expansion| Examples::new(&split, precision, &device, expansion).features);
        assert_eq!(host.dims(), [7, 37]);
        assert_eq!((host.dims(), host.dtype()), (there.dims(), there.dtype()), "{device:?}");
        assert_eq!(values(host), values(there), "{device:?}");
    }
}

/// How far a loss may be from the first backend's in f32, relative to it: some hundred steps each round at 2^-24.
const BOUND: f64 = 1e-4;

#[test]
fn every_backend_walks_the_same_path() {
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
                    let apart = (other.validation_loss - first.validation_loss).abs();
                    assert!(apart <= BOUND * first.validation_loss, "{kind}, {device:?}: {other:?} {first:?}");
                    assert!((other.validation_accuracy - first.validation_accuracy).abs() <= 1.0 / 100.0);
                }
            }
        }
    }
}

#[test]
fn a_model_saved_on_one_backend_is_the_same_on_every_other() {
    let folder = folder();
    let data = digits(600, 300);
    let (splits, _) = data.split(Some(600), Some(300), None).unwrap();
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
        // Statistics beside the weights are passed over.
        let statistics = Standardization { mean: vec![0.5; 784], scale: vec![2.0; 784] };
        let read = |file: &str| std::fs::read(folder.path().join(&run).join(file)).unwrap();
        let summary: Value = serde_json::from_slice(&read("summary.json")).unwrap();
        for device in devices() {
            let saved = read("model.safetensors");
            let parameters = Parameters::from_safetensors(&saved).unwrap();
            let with_statistics =
                parameters.to_safetensors_with(Precision::F32, &Preprocessing::Standardized(statistics.clone()));
            let other = load(&with_statistics, &device);
            let model = load(&saved, &device);
            assert_eq!(values(other.linear().weight.val()), values(model.linear().weight.val()));
            let examples = Examples::new(&splits[1], Precision::F32, &device, Expansion::Host);
            let found = evaluate(&model, &examples).unwrap();
            let expected = summary["final"]["validation_loss"].as_f64().unwrap();
            assert!(
                (found.loss - expected).abs() <= 1e-6 * expected,
                "{name} to {device:?}: {} {expected}",
                found.loss
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
fn the_program_lists_its_backends_and_what_they_can() {
    let folder = folder();
    let output = call(folder.path(), &["backends", "--json"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!((&rows[4]["backend"], rows[4]["device"].is_null()), (&"remote".into(), true));
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
fn an_environment_variable_chooses_among_the_backends_of_a_build() {
    let folder = folder();
    let called = |chosen: &str, arguments: &[&str]| {
        command(folder.path(), arguments).env("CHAINRULE_BACKENDS", chosen).output().unwrap()
    };
    for backend in Backend::built().unwrap() {
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

#[test]
fn a_backend_that_is_not_there_is_refused_in_one_line() {
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
