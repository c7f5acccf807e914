//! The command that makes the runs and writes the report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::LazyLock;

use chainrule::backend::Backend;
use chainrule_audit::{Plan, needs};
use chainrule_tests_macros::test;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{call, code, files_below, folder, process, starts_processes, text};

/// Reproduces the report on a few digits in one or two seconds.
fn reproduce(folder: &Path, more: &[&str]) -> Output {
    // Uses the last backend of the build. The slowest one comes first and would take too long for
    // 124 runs.
    let backend = Backend::built().unwrap().pop().unwrap();
    let settings = [
        "reproduce",
        "--data",
        "embedded",
        "--set",
        "data.train_images=800",
        "--set",
        "data.validation_images=200",
        "--set",
        "descent.epochs=3",
        "--backend",
        backend.name(),
    ];
    let precision = if backend == Backend::Wgpu { ["--precision", "f32"] } else { ["--precision", "f64"] };
    call(folder, &[&settings[..], &precision, more].concat())
}

fn runs_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("runs/reproduce")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

const OUT: &str = "runs/report-on-embedded-digits";

/// The whole report with its runs and the output of the command. It is made once, and tests change
/// only copies.
struct SharedReport {
    output: Output,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl SharedReport {
    fn get() -> &'static Self {
        // Outside the lock: a skipped test would poison it for the others.
        starts_processes();
        static INTEGER_RANGES: LazyLock<SharedReport> = LazyLock::new(|| {
            let folder = folder();
            let output = reproduce(folder.path(), &[]);
            let files = files_below(folder.path()).into_iter().filter(|path| path.is_file());
            let name = |path: &Path| path.strip_prefix(folder.path()).unwrap().to_owned();
            let files = files.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect();
            SharedReport { output, files }
        });
        &INTEGER_RANGES
    }

    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for (name, content) in &self.files {
            let path = copy.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        copy
    }
}

#[test]
fn the_report_works_on_any_data() {
    let whole = SharedReport::get();
    let (stdout, stderr) = (text(&whole.output.stdout), text(&whole.output.stderr));
    assert_eq!(code(&whole.output), Some(0), "{stderr}");
    assert!(stderr.contains("124 runs made, 0 reused"), "{stderr}");
    assert!(stdout.contains("2e-i"), "{stdout}");
}

/// The names of the checks are the names that the report looks for.
#[test]
fn gradient_checks_are_the_evidence_of_claims() {
    let claims = &SharedReport::get().files[&Path::new(OUT).join("claims.json")];
    let claims: Value = serde_json::from_slice(claims).unwrap();
    for (claim, id) in [(0, "1a"), (1, "1b")] {
        let lines = claims[claim]["evidence"]["lines"].as_array().unwrap();
        assert_eq!(lines.iter().filter(|line| line["subject"] == "derivation").count(), 4);
        assert_eq!((&claims[claim]["id"], &claims[claim]["verdict"]), (&id.into(), &"supported".into()));
    }
    assert_eq!((&claims[6]["id"], &claims[6]["verdict"]), (&"4a".into(), &"corrected".into()));
}

#[test]
fn a_repeated_report_trains_nothing() {
    let whole = SharedReport::get();
    let folder = whole.copy();
    let again = reproduce(folder.path(), &[]);
    assert!(text(&again.stderr).contains("0 runs made, 124 reused"), "{}", text(&again.stderr));
    let page = Path::new(OUT).join("index.html");
    assert_eq!(std::fs::read(folder.path().join(&page)).unwrap(), whole.files[&page]);
}

#[test]
fn only_incomplete_or_changed_runs_are_repeated() {
    let folder = SharedReport::get().copy();
    let folder = folder.path();
    // A run that was cut off is the only one made again, although others start from its random
    // stream.
    let cut =
        runs_of(folder).into_iter().find(|run| run.to_string_lossy().contains("softmax-l2-1-full-length")).unwrap();
    std::fs::remove_file(cut.join("summary.json")).unwrap();
    // Also a run with a changed digit, and the gradient checks with a changed digit.
    let turn = |path: &Path, text: &str| {
        let whole = std::fs::read_to_string(path).unwrap();
        assert!(whole.contains(text));
        std::fs::write(path, whole.replacen(text, &text.replace('0', "1"), 1)).unwrap();
    };
    let turned = runs_of(folder).into_iter().find(|run| run.to_string_lossy().contains("softmax-l2-0.01-")).unwrap();
    turn(&turned.join("summary.json"), "\"validation_accuracy\": 0");
    let checks = std::fs::read_dir(folder.join("runs/reproduce")).unwrap().map(|entry| entry.unwrap().path());
    let checks = checks.into_iter().find(|path| path.to_string_lossy().contains("gradcheck-")).unwrap();
    turn(&checks, "\"seed\": 0");
    let again = reproduce(folder, &["--check", "--out", OUT]);
    let stderr = text(&again.stderr);
    assert!(stderr.contains("2 runs made, 122 reused"), "{stderr}");
    for file in [turned.join("summary.json"), checks] {
        let file = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(stderr.contains(&format!("{file}: it is damaged")), "{stderr}");
    }
    assert_eq!(code(&again), Some(0), "{}", text(&again.stdout));
}

#[test]
fn autodiff_gives_the_same_report() {
    let folder = SharedReport::get().copy();
    let autodiff = reproduce(folder.path(), &["--check", "--out", OUT, "--gradient", "autodiff"]);
    assert!(text(&autodiff.stderr).contains("124 runs made"), "{}", text(&autodiff.stderr));
    assert_eq!(code(&autodiff), Some(0), "{}", text(&autodiff.stdout));
}

#[test]
fn check_detects_changed_numbers() {
    let folder = SharedReport::get().copy();
    let path = folder.path().join(OUT).join("numbers.json");
    let numbers = std::fs::read_to_string(&path).unwrap();
    let altered = numbers.replacen("\"stop_epoch\":2", "\"stop_epoch\":1", 1).replacen("corrected", "supported", 1);
    assert_ne!(numbers, altered);
    std::fs::write(&path, altered).unwrap();
    let answer = reproduce(folder.path(), &["--check", "--out", OUT, "--json"]);
    assert_eq!(code(&answer), Some(1));
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["differences"].as_array().unwrap().len(), 2, "{answer}");
}

#[test]
fn check_detects_changed_words() {
    let folder = SharedReport::get().copy();
    let out = folder.path().join(OUT);
    for page in ["report.md", "index.html"] {
        let words = std::fs::read_to_string(out.join(page)).unwrap();
        let altered = words.replacen("No number and", "A number and", 1);
        assert_ne!(words, altered);
        std::fs::write(out.join(page), altered).unwrap();
    }
    let answer = reproduce(folder.path(), &["--check", "--out", OUT]);
    let printed = text(&answer.stdout);
    assert_eq!(code(&answer), Some(1), "{printed}");
    assert!(printed.contains("2 differences"), "{printed}");
    for page in ["report.md", "index.html"] {
        let line = printed.lines().find(|line| line.contains(page)).unwrap();
        assert!(line.contains("A number and no verdict") && line.contains("No number and no verdict"), "{line}");
    }
}

#[test]
fn settings_of_the_plan_take_precedence() {
    let folder = folder();
    // With a patience of 1 every run stops at once, except those whose plan forbids it.
    let output =
        reproduce(folder.path(), &["--set", "early_stopping.patience=1", "--only", "2e-aliasing", "--out", "pictures"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let summaries = runs_of(folder.path()).into_iter().map(|run| std::fs::read(run.join("summary.json")).unwrap());
    let summaries: Vec<Value> = summaries.map(|bytes| serde_json::from_slice(&bytes).unwrap()).collect();
    let find = |name: &str| summaries.iter().find(|summary| summary["experiment"] == name).unwrap();
    let (stopped, every_step) = (find("logistic"), find("logistic-every-step"));
    assert_eq!((&stopped["stopped_early"], &every_step["stopped_early"]), (&true.into(), &false.into()));
    // It trains as many epochs as the other run started.
    let epochs = stopped["stop_epoch"].as_u64().unwrap() + 1;
    assert_eq!(every_step["epochs_completed"], epochs);
    assert!(epochs < 3, "the first run did not stop early");
}

#[test]
#[cfg(unix)]
fn a_report_resumes_after_ctrl_c() {
    let folder = folder();
    let backend = Backend::built().unwrap().pop().unwrap().name();
    let settings =
        ["--set", "data.train_images=800", "--set", "data.validation_images=200", "--set", "descent.epochs=40"];
    let command = ["reproduce", "--data", "embedded", "--precision", "f32", "--backend", backend, "--only", "2e-seeds"];
    let arguments = [&command[..], &settings].concat();
    let child = process(env!("CARGO_BIN_EXE_chainrule-under-test"))
        .args(&arguments)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let finished = || {
        let entries = std::fs::read_dir(folder.path().join("runs/reproduce"));
        let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).count()
    };
    while finished() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    process("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the same command continues"), "{}", text(&output.stderr));
    let kept = finished();
    assert!((3..102).contains(&kept), "{kept} runs were finished when it was interrupted");
    let again = call(folder.path(), &arguments);
    assert_eq!(code(&again), Some(0), "{}", text(&again.stderr));
    assert!(
        text(&again.stderr).contains(&format!("{} runs made, {kept} reused", 102 - kept)),
        "{}",
        text(&again.stderr)
    );
}

#[test]
fn the_runs_use_the_named_data() {
    let folder = folder();
    let written = ["data", "--write-idx", "raw", "--train-images", "800", "--validation-images", "200", "--seed", "7"];
    assert_eq!(code(&call(folder.path(), &written)), Some(0));
    let backend = Backend::built().unwrap().pop().unwrap().name();
    let settings =
        ["--set", "data.train_images=800", "--set", "data.validation_images=200", "--set", "descent.epochs=2"];
    let command = ["reproduce", "--data", "raw", "--precision", "f32", "--backend", backend, "--only", "figure-3"];
    let output = call(folder.path(), &[&command[..], &settings].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    for run in runs_of(folder.path()) {
        let summary: Value = serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
        assert_eq!(summary["data"]["source"], "raw");
        // The location of the files is no key of the config: the same data elsewhere gives the same
        // run.
        assert!(std::fs::read_to_string(run.join("config.toml")).unwrap().contains("source = \"auto\""));
    }
    // Different data in a folder of the same name gets a different output folder.
    let places: Vec<String> = std::fs::read_dir(folder.path().join("runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("report-on-raw-"))
        .collect();
    assert_eq!(places.len(), 1, "{}", text(&output.stdout));
    assert_eq!(places[0].len(), "report-on-raw-".len() + 8);
}

#[test]
fn one_figure_trains_only_its_runs() {
    let folder = folder();
    let output = reproduce(folder.path(), &["--only", "figure-3", "--out", "pictures", "--json"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["files"], serde_json::json!(["pictures/figures/figure-3.svg", "pictures/figures/figure-3.png"]));
    assert_eq!(std::fs::read_dir(folder.path().join("pictures")).unwrap().count(), 1);
    let mut names: Vec<String> = runs_of(folder.path())
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().rsplit_once('-').unwrap().0.to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["logistic", "logistic-shuffled"]);
}

#[test]
fn a_later_run_trains_those_before_it() {
    let folder = folder();
    let output = reproduce(folder.path(), &["--only", "figure-6", "--out", "pictures"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let configs =
        runs_of(folder.path()).into_iter().map(|run| std::fs::read_to_string(run.join("config.toml")).unwrap());
    let mut skipped: Vec<String> =
        configs.filter_map(|text| Some(text.lines().find(|line| line.starts_with("skip"))?.to_owned())).collect();
    skipped.sort();
    assert_eq!(skipped, ["skip_epochs = 0", "skip_epochs = 3"]);
}

#[test]
fn invalid_reports_are_refused() {
    let folder = folder();
    for (arguments, expected) in [
        (vec!["--only", "figure-9"], "no such figure; expected one of figure-1"),
        (vec!["no/plan.toml"], "no/plan.toml: no such file"),
        (vec!["--set", "descent.epoch=3"], "descent.epochs"),
        (vec!["--check", "--out", "nowhere"], "cannot read nowhere/numbers.json"),
    ] {
        let output = reproduce(folder.path(), &arguments);
        assert_eq!(code(&output), Some(2), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(expected), "{error}");
        assert!(error.lines().filter(|line| line.starts_with("error")).count() == 1, "{error}");
        assert!(!folder.path().join("runs").exists(), "{arguments:?} wrote something");
    }
}

#[test]
fn the_builtin_plan_is_complete() {
    let plan = Plan::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/report.toml"), &[]).unwrap();
    for need in needs(None) {
        let seed = format!("{need}-0");
        assert!(plan.runs.iter().any(|run| run.name == need || run.name == seed), "{need}");
    }
    assert_eq!(plan.runs.iter().filter(|run| run.name.starts_with("logistic-seed-")).count(), 100);
    let stream: Vec<&str> = plan
        .runs
        .iter()
        .filter(|run| run.after.is_some() && !run.name.contains("full"))
        .map(|run| &*run.name)
        .collect();
    assert_eq!(stream, ["softmax-l2-2", "softmax-l2-1", "softmax-l2-0.1", "softmax-l2-0.01", "softmax-l2-0.001"]);
}
