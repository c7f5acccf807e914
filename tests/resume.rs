//! Runs that were killed, interrupted, damaged, or out of disk space.

mod changed;
mod damaged;
mod disk;
mod engines;
mod killed;
mod report;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use chainrule_data::{Counts, digits as drawn, mnist};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{call, code, command, folder, process, text, without_seal};
use crate::support::cpu;

/// Returns the arguments of a training on the drawn digits in `digits`, on a CPU.
fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", "digits", "--backend", cpu(), "--out", out, "--quiet"][..], more].concat()
}

fn resume<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--resume", run][..], more].concat()
}

/// Returns a folder with this number of digits in `digits`.
fn with_digits(train: usize, validation: usize) -> TempDir {
    let folder = folder();
    let digits = folder.path().join("digits");
    std::fs::create_dir(&digits).unwrap();
    let files = mnist::FILES.map(|file| digits.join(file.name));
    drawn::write_both(drawn::SEED, Counts { train, validation }, &files).unwrap();
    folder
}

/// A training of at most a second on all rows of `digits`.
const FAST_SETTINGS: [&str; 6] =
    ["--set", "data.train_images=600", "--set", "data.validation_images=200", "--set", "descent.batch_size=20"];

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = call(folder, arguments);
    assert_eq!(code(&output), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

/// Expects exit code 2 and a one-line error with this text. Returns the line.
fn refuses(folder: &Path, arguments: &[&str], expected: &str) -> String {
    let output = call(folder, arguments);
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{arguments:?}: {error}");
    assert!(error.contains(expected) && error.trim_end().lines().count() == 1, "{error:?} does not say {expected:?}");
    error
}

/// Returns the checksums of a run's files, and the summary without the times.
fn outcome(run: &Path) -> Vec<(&'static str, String)> {
    let read = |name| std::fs::read(run.join(name)).unwrap();
    let mut summary: Value = serde_json::from_slice(&read("summary.json")).unwrap();
    summary.as_object_mut().unwrap().remove("seconds").unwrap();
    let summary = without_seal(summary);
    let files = ["config.toml", "manifest.json", "history.json", "model.safetensors"];
    let checksum = |name| (name, chainrule_data::sha256([&read(name)[..]]));
    files.into_iter().map(checksum).chain([("summary.json", summary.to_string())]).collect()
}

/// Starts an endless training and waits until it has written checkpoints.
fn endless(folder: &Path, out: &str, more: &[&str]) -> Child {
    let forever = ["--set", "descent.epochs=1000000", "--set", "early_stopping.patience=1000000000"];
    let arguments = train(out, &[&FAST_SETTINGS[..], &forever, &["--checkpoint-every", "5"], more].concat());
    let mut child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let checkpoints = folder.join(out).join("checkpoint");
    while std::fs::read_dir(&checkpoints).map_or(0, Iterator::count) < 2 {
        assert!(child.try_wait().unwrap().is_none(), "the training ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    assert!(process("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap().to_string_lossy().starts_with('.')
}

/// Removes the files that a finished run writes last, as if it had been killed just before.
fn unfinish(run: &Path) {
    for file in ["history.json", "model.safetensors", "summary.json"] {
        std::fs::remove_file(run.join(file)).unwrap();
    }
}
