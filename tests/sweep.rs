//! An experiment at every point of a grid.

mod cut;
mod folders;
mod grid;
mod output;

use std::fs::read;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::command::{call, code, files_below, text, without_seal};
use crate::support::cpu;

/// Returns the arguments of a sweep with points of a moment each.
fn sweep<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["sweep", "--backend", cpu()][..], &FAST_SETTINGS, more].concat()
}

const FAST_SETTINGS: [&str; 8] = [
    "--data",
    "embedded",
    "--set",
    "data.train_images=600",
    "--set",
    "data.validation_images=300",
    "--set",
    "descent.epochs=2",
];

const TWO_BY_TWO: [&str; 4] = ["--grid", "descent.learning_rate=0.01,0.1", "--grid", "objective.l2=0,0.5"];

fn succeeds(folder: &Path, arguments: &[&str]) -> Output {
    let output = call(folder, arguments);
    assert_eq!(code(&output), Some(0), "{arguments:?}: {}", text(&output.stderr));
    output
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&read(path).unwrap()).unwrap()
}

/// Returns the points' folders in the grid's order.
fn points(sweep: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(sweep.join("points")).unwrap();
    let mut points: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    points.sort();
    points
}

/// Returns every file of a sweep by name: its bytes, but summaries without the times.
fn outcome(sweep: &Path) -> Vec<(PathBuf, String)> {
    let is_lasting = |path: &PathBuf| path.is_file() && !path.components().any(|part| part.as_os_str() == "checkpoint");
    let with_content = |path: PathBuf| {
        let content = if path.ends_with("summary.json") {
            let mut summary = json_of(&path);
            summary.as_object_mut().unwrap().remove("seconds").unwrap();
            without_seal(summary).to_string()
        } else {
            chainrule_data::sha256([&read(&path).unwrap()[..]])
        };
        (path.strip_prefix(sweep).unwrap().to_owned(), content)
    };
    files_below(sweep).into_iter().filter(is_lasting).map(with_content).collect()
}
