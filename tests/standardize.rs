//! Runs on standardised features.

use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, folder, text};
use crate::predict::train;

/// Returns scikit-learn's results on a synthetic table. The script is beside the fixture.
pub(crate) fn scikit_learn() -> Value {
    serde_json::from_str(include_str!("../crates/solve/tests/fixtures/sklearn_table.json")).unwrap()
}

pub(crate) fn matrix(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn standardisation_is_saved_with_the_run() {
    let folder = folder();
    for (config, precision, tolerance) in [
        ("configs/softmax.toml", "f64", 1e-12),
        ("configs/softmax.toml", "f32", 1e-5),
        ("configs/softmax-optimum.toml", "f64", 1e-12),
    ] {
        let more = ["--precision", precision, "--set", "data.standardize=true", "--force"];
        let summary = train(folder.path(), config, &more);
        assert_eq!(summary["gradient"], "closed-form");
        let output = call(folder.path(), &["evaluate", "run", "--json", "--quiet"]);
        let actual: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = summary["final"]["validation_loss"].as_f64().unwrap();
        let difference = (actual["loss"].as_f64().unwrap() / expected - 1.0).abs();
        assert!(
            difference < tolerance && actual["accuracy"] == summary["final"]["validation_accuracy"],
            "{difference}"
        );
    }
}

#[test]
fn fused_kernels_refuse_standardisation() {
    let folder = folder();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/softmax.toml");
    let arguments = ["train", config, "--set", "data.standardize=true", "--gradient", "fused", "--data", "embedded"];
    let output = call(folder.path(), &arguments);
    let message = text(&output.stderr);
    assert_eq!(code(&output), Some(2));
    assert!(message.contains("data.standardize") && message.contains("closed-form"), "{message}");
}
