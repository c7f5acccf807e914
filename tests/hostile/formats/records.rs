//! The JSON documents of a run.

use std::fmt::Debug;

use chainrule_core::History;
use chainrule_records::{GradientChecks, Manifest, Summary};
use serde::Serialize;
use serde::de::DeserializeOwned;

const HISTORY: &str = r#"{"train_loss": [2.302585, 1.5], "evaluations": [{"step": 0, "epoch": 0, "validation_loss": 2.25,
    "train_accuracy": 0.125, "validation_accuracy": 0.1}]}"#;

const MANIFEST: &str = r#"{"versions": {"chainrule": "0.1.0", "git_revision": "unknown", "source": "00", "burn": "0.22.1"},
    "backend": "ndarray", "device": "Cpu", "platform": "linux x86_64", "data_source": "embedded digits",
    "data_files": [{"name": "train-images-idx3-ubyte", "sha256": "00"}], "seed": 0}"#;

const SUMMARY: &str = r#"{"experiment": "softmax", "model": "softmax", "backend": "ndarray", "device": "Cpu", "precision": "f32",
    "gradient": "fused", "threads": 2, "data": {"source": "embedded digits", "sha256": "00", "train": 20, "validation": 10,
    "image_size": [2, 3], "classes": [0, 1, 2]}, "seed": 0, "steps": 2, "steps_per_epoch": 2, "epochs_completed": 1,
    "stopped_early": false, "interrupted": false, "stop_epoch": 0, "stop_step": 1, "best_step": 0, "best_validation_loss": 2.25,
    "certificate": {"objective": 1.5, "gradient_norm": 1e-9, "bound": 1e-12, "tolerance": 1e-6, "ended": "converged",
    "iterations": 4, "gradients": 7}, "final": {"train_loss": 1.5, "validation_loss": 2.25, "train_accuracy": 0.5,
    "validation_accuracy": 0.1}, "weight_norm": {"frobenius": 2.0, "frobenius_squared": 4.0, "spectral": 1.5},
    "seconds": {"total": 0.5, "training": 0.25, "validation": 0.125}}"#;

const CHECKS: &str = r#"{"backend": "ndarray", "device": "Cpu", "seed": 0, "passed": true, "rows": [{"subject": "softmax",
    "precision": "f64", "what": "weight", "sources": "fused", "checks": 3, "coordinates": 9, "failed": 0, "unresolved": 0,
    "kinks": 0, "worst_relative": 1e-9, "passed": true, "problem": null}]}"#;

pub fn seeds() -> Vec<Vec<u8>> {
    [HISTORY, MANIFEST, SUMMARY, CHECKS].map(|text| text.as_bytes().to_vec()).into()
}

/// Returns history, manifest and summary for a run folder.
pub(super) fn of_a_run() -> [Vec<u8>; 3] {
    [HISTORY, MANIFEST, SUMMARY].map(|text| text.as_bytes().to_vec())
}

pub fn check(bytes: &[u8]) {
    check_one::<History>(bytes);
    check_one::<Manifest>(bytes);
    check_one::<Summary>(bytes);
    check_one::<GradientChecks>(bytes);
}

/// A document that can be read does not change when written and read again.
fn check_one<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<T>(bytes) {
        let written = serde_json::to_vec_pretty(&record).expect("a record is JSON");
        assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written"), record);
    }
}
