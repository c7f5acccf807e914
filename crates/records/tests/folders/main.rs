//! Folders of runs, sweeps and imported models that are damaged, contain links or foreign files, or
//! are used by two processes. With `CHAINRULE_ATTACK=all` every bit is flipped: `cargo test -p
//! chainrule-records --test folders`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod damage;
mod foreign;
mod links;
mod locks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chainrule_core::{Parameters, Preprocessing, TrainConfig};
use chainrule_records::{ConfigFile, Grid, GridKey, Imported, RunError, RunFiles, RunFolder, SweepFolder, SweepPlan};

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

/// A run on images of 2 x 3 pixels and 3 classes, small enough to flip every bit of its files.
pub(crate) fn tiny_run() -> RunFiles {
    let config = "[data]\nsource = \"embedded\"\n[model]\nkind = \"softmax\"\n";
    let weight = (0..18).map(|i| f64::from(i) / 4.0).collect();
    RunFiles {
        config: TrainConfig::parse("config.toml", config, &[]).unwrap(),
        manifest: serde_json::from_str(MANIFEST).unwrap(),
        history: serde_json::from_str(HISTORY).unwrap(),
        summary: serde_json::from_str(SUMMARY).unwrap(),
        parameters: Parameters { n_features: 6, columns: 3, weight, bias: vec![0.0, 1.0, -1.0] },
        preprocessing: Preprocessing::Pixels,
    }
}

/// Writes a finished run with a checkpoint.
pub(crate) fn write_run(path: &Path) {
    let run = tiny_run();
    let folder = RunFolder::create(path, false, &run.config, &run.manifest).unwrap();
    finish(&folder);
}

pub(crate) fn finish(folder: &RunFolder) {
    let run = tiny_run();
    folder.write_checkpoint(7, &"where it stood").unwrap();
    folder.finish(&run.history, &run.parameters, &run.preprocessing, run.summary).unwrap();
}

/// Writes an imported model in which all weights are `weight`.
pub(crate) fn import(path: &Path, replace: bool, weight: f64) -> Result<(), RunError> {
    let RunFiles { summary, mut parameters, preprocessing, .. } = tiny_run();
    parameters.weight.fill(weight);
    let imported = Imported {
        model: summary.model.into(),
        precision: summary.precision,
        data: summary.data.schema(),
        weight_norm: summary.weight_norm,
        from: None,
        trained_on: None,
        files: BTreeMap::new(),
    };
    imported.write(path, replace, &parameters, &preprocessing)
}

/// Returns the weight of an imported model.
pub(crate) fn imported(path: &Path) -> Result<f64, RunError> {
    Imported::read(path).map(|(_, parameters, _)| parameters.weight[0])
}

pub(crate) fn plan() -> SweepPlan {
    SweepPlan {
        config: "softmax.toml".to_owned(),
        text: "[data]\nsource = \"embedded\"\n[model]\nkind = \"softmax\"\n".to_owned(),
        set: Vec::new(),
        of_sgd: Vec::new(),
        threads: 1,
        grid: Grid::new(vec![GridKey::parse("objective.l2=0,1").unwrap()]).unwrap(),
        manifests: vec![tiny_run().manifest],
    }
}

pub(crate) const SWEEP_FILES: [&str; 6] =
    ["sweep-means.csv", "sweep.csv", "sweep.json", "sweep.md", "sweep.svg", "sweep.png"];

pub(crate) const POINT: &str = "1-l2=0";

/// Writes the tables of a finished sweep.
pub(crate) fn write_tables(folder: &SweepFolder, text: &str) -> Result<(), RunError> {
    let others = SWEEP_FILES.into_iter().filter(|name| *name != "sweep.json").map(|name| (name, text.into()));
    folder.write_tables(&format!("{{ \"rows\": \"{text}\" }}"), &others.collect::<Vec<(&str, Vec<u8>)>>())
}

pub(crate) fn write_sweep(path: &Path) {
    let folder = SweepFolder::create(path, false, &plan()).unwrap();
    write_run(&folder.point(POINT).unwrap());
    write_tables(&folder, "told").unwrap();
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    files_below(folder).iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
}

/// Returns every file below a folder with its bytes.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(folder).into_iter().filter(|path| path.is_file());
    files.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        }
        files.push(path);
    }
    files.sort();
    files
}

/// Asserts that an error is one line of readable length.
pub(crate) fn assert_one_line(message: &str) {
    assert!(!message.is_empty() && !message.contains(['\n', '\r']), "not one line: {message:?}");
    assert!(message.chars().count() <= 1000, "{} characters: {message:?}", message.chars().count());
}

/// A named operation on a folder, which may fail.
pub(crate) type Attempt<'a> = (&'static str, &'a dyn Fn(&Path) -> Result<(), RunError>);

/// A function that makes a folder.
pub(crate) type Make<'a> = &'a dyn Fn(&Path);

pub(crate) fn write_model_folder(path: &Path) {
    import(path, false, 1.0).unwrap();
}
