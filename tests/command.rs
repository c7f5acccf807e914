//! The program as users and scripts call it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use chainrule_tests_macros::test;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use crate::harness::starts_processes;

/// Returns a command for a program. All tests start processes through this function: a quick run
/// skips the test here.
pub(crate) fn process(program: impl AsRef<OsStr>) -> Command {
    starts_processes();
    Command::new(program)
}

/// Runs the program in this folder. It can use only the data that the arguments name, and cannot
/// download any.
pub(crate) fn call(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// Returns the command that [`call`] runs.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = process(env!("CARGO_BIN_EXE_chainrule-under-test"));
    isolate(command.args(arguments), folder);
    command
}

/// Sets a command's folder and gives it neither data nor a way to download any.
pub(crate) fn isolate(command: &mut Command, folder: &Path) {
    command
        .current_dir(folder)
        .env_remove("CHAINRULE_DATA")
        .env_remove("CHAINRULE_TOKEN")
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("CHAINRULE_MNIST_URL", "http://127.0.0.1:9")
        // Without it, Mesa's Vulkan driver writes warnings to standard error.
        .env("XDG_RUNTIME_DIR", folder)
        // Keeps Mesa's shader cache out of the folders that tests compare.
        .env("MESA_SHADER_CACHE_DISABLE", "true");
}

pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    for (from, to) in [("", "configs"), ("derivations", "configs/derivations")] {
        let to = folder.path().join(to);
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(configs.join(from)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    folder
}

/// A training of one second.
const FAST_SETTINGS: [&str; 10] = [
    "train",
    "--set",
    "data.source=embedded",
    "--set",
    "data.train_images=600",
    "--set",
    "data.validation_images=300",
    "--set",
    "descent.epochs=2",
    "--quiet",
];

fn with_fast_settings<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&FAST_SETTINGS, more].concat()
}

/// Returns a command's JSON output. Standard error must be empty.
pub(crate) fn ask(folder: &Path, arguments: &[&str]) -> Value {
    let output = call(folder, &[arguments, &["--json", "--quiet"]].concat());
    assert_eq!((code(&output), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Expects exit code 2, a one-line error with these texts, and no new file.
pub(crate) fn is_refused(folder: &Path, arguments: &[&str], expected: &[&str]) {
    let before = files_below(folder);
    let output = call(folder, arguments);
    let error = text(&output.stderr);
    assert_eq!((code(&output), error.lines().count()), (Some(2), 1), "{arguments:?}: {error}");
    for expected in expected {
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    assert_eq!(files_below(folder), before, "{arguments:?}");
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn checksum(path: &Path) -> String {
    chainrule_data::sha256([&std::fs::read(path).unwrap()[..]])
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Renews the seals of a run after a test changed its files.
pub(crate) fn seal_again(run: &Path) {
    let seal = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut document = read_json(&run.join(name));
        document.as_object_mut().unwrap().remove("seal");
        change(&mut document);
        std::fs::write(run.join(name), chainrule_records::seal_json(&document.to_string())).unwrap();
    };
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    seal("manifest.json", &|manifest| manifest["config"] = config.as_str().into());
    let sealed = ["config.toml", "manifest.json", "history.json", "model.safetensors"];
    let files: serde_json::Map<String, Value> =
        sealed.iter().map(|name| ((*name).to_owned(), checksum(&run.join(name)).into())).collect();
    seal("summary.json", &|summary| summary["files"] = files.clone().into());
}

/// Returns a document of a run without its seal.
pub(crate) fn without_seal(mut document: Value) -> Value {
    assert!(document.as_object_mut().unwrap().remove("seal").is_some());
    document
}

/// Expects exit code 2, one line on standard error, nothing on standard output and no new file.
fn refuses(folder: &Path, arguments: &[&str], expected: &str) {
    let before = files_below(folder);
    let output = call(folder, arguments);
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), Some(2), "{arguments:?}: {error}");
    assert!(error.contains(expected), "{arguments:?}: {error:?} does not say {expected:?}");
    assert!(error.starts_with("error: ") && error.trim_end().lines().count() == 1, "{arguments:?}: {error:?}");
    assert_eq!((out.as_str(), files_below(folder)), ("", before), "{arguments:?}");
}

pub(crate) fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
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

#[test]
fn train_prints_json_and_writes_a_run_folder() {
    let folder = folder();
    let output = call(folder.path(), &with_fast_settings(&["--json"]));
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = folder.path().join("runs/softmax-1");
    assert_eq!(printed, without_seal(read_json(&run.join("summary.json"))));

    for key in [
        "experiment",
        "model",
        "backend",
        "device",
        "precision",
        "gradient",
        "data",
        "seed",
        "steps",
        "epochs_completed",
        "stopped_early",
        "stop_epoch",
        "stop_step",
        "best_step",
        "best_validation_loss",
        "final",
        "weight_norm",
        "seconds",
    ] {
        assert!(!printed[key].is_null(), "{key}");
    }
    assert_eq!(printed["data"]["source"], "embedded digits");
    assert_eq!((&printed["data"]["train"], &printed["data"]["validation"]), (&600.into(), &300.into()));
    assert_eq!(printed["data"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&printed["steps"], &printed["stop_step"], &printed["stop_epoch"]), (&8.into(), &7.into(), &1.into()));
    for (table, keys) in [
        ("final", &["train_loss", "validation_loss", "train_accuracy", "validation_accuracy"][..]),
        ("weight_norm", &["frobenius", "frobenius_squared", "spectral"]),
        ("seconds", &["total", "training", "validation"]),
    ] {
        for key in keys {
            assert!(printed[table][key].is_f64(), "{table}.{key}");
        }
    }

    let history = read_json(&run.join("history.json"));
    assert_eq!(history["train_loss"].as_array().unwrap().len(), 8);
    for key in ["step", "epoch", "validation_loss", "train_accuracy", "validation_accuracy"] {
        assert!(history["evaluations"][1][key].is_number(), "{key}");
    }
    let manifest = read_json(&run.join("manifest.json"));
    assert_eq!(manifest["data_files"].as_array().unwrap().len(), 4);
    assert!(std::fs::read_to_string(run.join("config.toml")).unwrap().contains("train_images = 600"));
    let mut files: Vec<_> = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["config.toml", "history.json", "manifest.json", "model.safetensors", "summary.json"]);
}

#[test]
fn the_manifest_has_the_version_of_burn() {
    let lock = include_str!("../Cargo.lock");
    let (_, after) = lock.split_once("name = \"burn\"\nversion = \"").unwrap();
    let folder = folder();
    call(folder.path(), &with_fast_settings(&[]));
    let manifest = read_json(&folder.path().join("runs/softmax-1/manifest.json"));
    assert_eq!(manifest["versions"]["burn"].as_str(), after.split('"').next());
}

#[test]
fn a_resolved_config_trains_to_the_same_weights() {
    let folder = folder();
    assert_eq!(code(&call(folder.path(), &with_fast_settings(&[]))), Some(0));
    let again = ["train", "runs/softmax-1/config.toml", "--out", "again", "--quiet"];
    assert_eq!(code(&call(folder.path(), &again)), Some(0));
    let weights = |run: &str| checksum(&folder.path().join(run).join("model.safetensors"));
    assert_eq!(weights("runs/softmax-1"), weights("again"));
}

#[test]
fn saved_weights_are_named_linear_weight_and_bias() {
    let folder = folder();
    call(folder.path(), &with_fast_settings(&["--out", "run", "--precision", "f32"]));
    let bytes = std::fs::read(folder.path().join("run/model.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    assert_eq!(header["linear.weight"]["shape"], serde_json::json!([784, 10]));
    assert_eq!(header["linear.bias"]["shape"], serde_json::json!([10]));
    assert_eq!(header["linear.weight"]["dtype"], "F32");
}

#[test]
fn the_final_table_shows_result_and_folder() {
    let folder = folder();
    let output = call(folder.path(), &with_fast_settings(&[]));
    let table = text(&output.stdout);
    for part in ["softmax regression", "closed-form", "embedded digits (600 + 300 rows)", "2 epochs completed: 8 steps"]
    {
        assert!(table.contains(part), "{table} does not say {part:?}");
    }
    assert!(table.trim_end().ends_with("runs/softmax-1"), "{table}");
    assert_eq!(text(&output.stderr), "", "--quiet");
}

#[test]
fn a_run_folder_is_not_overwritten_without_force() {
    let folder = folder();
    let to = |more: &[&'static str]| with_fast_settings(&[&["--out", "run"], more].concat());
    assert_eq!(code(&call(folder.path(), &to(&[]))), Some(0));
    refuses(folder.path(), &to(&[]), "run exists already");
    assert_eq!(code(&call(folder.path(), &to(&["--force", "--seed", "5"]))), Some(0));
    assert_eq!(read_json(&folder.path().join("run/summary.json"))["seed"], 5);
    // Without --out, the run gets the next free number.
    assert_eq!(code(&call(folder.path(), &with_fast_settings(&[]))), Some(0));
    assert_eq!(code(&call(folder.path(), &with_fast_settings(&[]))), Some(0));
    assert!(folder.path().join("runs/softmax-2/summary.json").exists());
}

#[test]
fn an_unwritable_output_folder_is_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "").unwrap();
    refuses(folder.path(), &with_fast_settings(&["--out", "file"]), "cannot write file: ");
    refuses(folder.path(), &with_fast_settings(&["--out", "file/run"]), "cannot write file/run: ");
}

#[test]
fn invalid_input_exits_with_2_and_one_line() {
    let folder = folder();
    let refuses = |more: &[&str], expected: &str| refuses(folder.path(), &with_fast_settings(more), expected);
    refuses(
        &["--set", "descent.learning_rate=0"],
        "command line: descent.learning_rate = 0.0: expected a number above 0",
    );
    refuses(&["--set", "descent.learnin_rate=1"], "did you mean descent.learning_rate?");
    refuses(&["--set", "descent.batch_size=601"], "descent.batch_size = 601: there are only 600 training rows");
    refuses(&["--set", "data.classes=[3, 12]"], "no image of class 12");
    refuses(&["--data", "no/such/folder"], "no/such/folder: ");
    refuses(&["--data", "mnist"], "no MNIST: ");
    refuses(&["no/such.toml"], "no/such.toml: ");
}

#[test]
fn a_missing_backend_names_its_feature() {
    use chainrule::backend::Backend;
    let folder = folder();
    let missing = [Backend::Wgpu, Backend::Flex, Backend::Ndarray].into_iter().find(|backend| !backend.is_built());
    let Some(missing) = missing else { crate::support::skip("every backend is in this build") };
    let expected = format!("this build has no {0} backend; add --features {0}", missing.name());
    refuses(folder.path(), &with_fast_settings(&["--backend", missing.name()]), &expected);
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    let folder = folder();
    assert_eq!(code(&call(folder.path(), &["train", "--no-such-option"])), Some(2));
    assert_eq!(code(&call(folder.path(), &["conjure"])), Some(2));
    for command in [&["--help"][..], &["train", "--help"], &["data", "--help"]] {
        let output = call(folder.path(), command);
        assert_eq!(code(&output), Some(0));
        assert!(text(&output.stdout).contains("Example"), "{command:?} shows an example");
    }
}

#[test]
fn a_diverged_training_keeps_its_history() {
    let folder = folder();
    let reckless = ["--set", "descent.learning_rate=1000", "--set", "objective.l2=1e6", "--out", "run"];
    let output = call(folder.path(), &with_fast_settings(&reckless));
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{error}");
    assert!(error.contains("is not finite: training diverged; try a descent.learning_rate below 1000"), "{error}");
    let history = read_json(&folder.path().join("run/history.json"));
    assert!(!history["train_loss"].as_array().unwrap().is_empty());
    assert!(!folder.path().join("run/model.safetensors").exists());
}

#[test]
fn embedded_digits_replace_missing_data() {
    let folder = folder();
    let small = ["--set", "data.train_images=600", "--set", "data.validation_images=300", "--set", "descent.epochs=1"];
    let output = call(folder.path(), &[&["train", "--json"], &small[..]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["data"]["source"], "embedded digits");
    assert!(text(&output.stderr).contains("using the embedded digits"), "{}", text(&output.stderr));
}

#[test]
fn embedded_digits_can_be_written_as_idx_files() {
    let folder = folder();
    let counts = ["--train-images", "600", "--validation-images", "300"];
    let output = call(folder.path(), &[&["data", "--write-idx", "digits", "--json"], &counts[..]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let written: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&written["height"], &written["files"][0]["count"]), (&28.into(), &600.into()));
    assert_eq!(written["files"][0]["is_mnist"], false);

    let shown = call(folder.path(), &["data", "--data", "digits"]);
    assert!(text(&shown.stdout).contains(written["sha256"].as_str().unwrap()), "{}", text(&shown.stdout));

    call(folder.path(), &with_fast_settings(&["--out", "drawn"]));
    let read = [&["train", "--data", "digits", "--out", "read"], &FAST_SETTINGS[3..]].concat();
    assert_eq!(code(&call(folder.path(), &read)), Some(0));
    let weights = |run: &str| checksum(&folder.path().join(run).join("model.safetensors"));
    assert_eq!(weights("drawn"), weights("read"));

    refuses(folder.path(), &["data", "--write-idx", "digits", "--quiet"], "exists already");
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_the_run_and_exits_130() {
    let folder = folder();
    let endless =
        ["train", "--data", "embedded", "--set", "data.train_images=600", "--set", "data.validation_images=300"];
    let child = process(env!("CARGO_BIN_EXE_chainrule-under-test"))
        .args(endless)
        .args([
            "--set",
            "descent.epochs=1000000",
            "--set",
            "early_stopping.patience=1000000000",
            "--out",
            "run",
            "--json",
        ])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // The manifest is written just before the first step.
    while !folder.path().join("run/manifest.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    process("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(130));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["interrupted"], true);
    let steps = summary["steps"].as_u64().unwrap() as usize;
    let history = read_json(&folder.path().join("run/history.json"));
    assert_eq!(history["train_loss"].as_array().unwrap().len(), steps);
    assert!(folder.path().join("run/model.safetensors").exists());
}

#[test]
fn files_take_precedence_over_builtin_experiments() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let small = ["--data", "embedded", "--quiet", "--set", "descent.epochs=1", "--set", "descent.batch_size=50"];
    let succeeds = |arguments: &[&str]| {
        let output = call(folder, &[arguments, &small].concat());
        assert_eq!(code(&output), Some(0), "{arguments:?}: {}", text(&output.stderr));
    };
    let experiment = |run: &str| read_json(&folder.join(run).join("summary.json"))["experiment"].clone();
    succeeds(&["train"]);
    assert_eq!(experiment("runs/softmax-1"), "softmax");
    succeeds(&["train", "logistic-shuffled"]);
    assert_eq!(experiment("runs/logistic-shuffled-1"), "logistic-shuffled");
    succeeds(&["sweep", "logistic", "--grid", "objective.l2=0,0.1"]);
    let plan = std::fs::read_to_string(folder.join("runs/sweep-1/sweep.toml")).unwrap();
    assert!(plan.contains("config = \"logistic\""), "{plan}");
    std::fs::write(folder.join("logistic"), "experiment = 'mine'\n[model]\nkind = 'softmax'").unwrap();
    succeeds(&["train", "logistic", "--out", "own"]);
    assert_eq!(experiment("own"), "mine");
}
