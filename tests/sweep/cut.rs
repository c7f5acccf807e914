//! Sweeps that were cut off and resume.

use std::fs::read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use chainrule_tests_macros::test;
use serde_json::Value;

use super::{FAST_SETTINGS, json_of, outcome, points, succeeds, sweep};
use crate::command::{code, command, files_below, folder, is_refused, text, without_seal};
use crate::support::cpu;

/// Points of half a second that write checkpoints as fast as possible.
fn long(out: &str) -> Vec<&str> {
    let long = ["--set", "descent.epochs=400", "--set", "early_stopping.patience=1000000", "--checkpoint-every", "20"];
    let grid = ["--grid", "objective.l2=0,0.001,0.01,0.1,1,10", "--jobs", "2"];
    [&sweep(&[])[..], &long, &grid, &["--out", out]].concat()
}

fn wait_until(child: &mut Child, what: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !what() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < limit, "the sweep ended before");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn ended(sweep: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(sweep.join("points")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).filter(|point| point.join("summary.json").exists()).collect()
}

#[test]
fn a_killed_sweep_resumes_to_the_same_bytes() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &long("whole"));
    let whole = outcome(&folder.join("whole"));
    let mut went_on = 0;
    for kills in [0, 1, 2] {
        let cut = folder.join("cut");
        let mut child = command(folder, &long("cut")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The kill comes when this number of points is finished and another one has a checkpoint.
        let goes_on = |point: &Path| {
            // The folder may vanish meanwhile, when the point ends.
            let mut checkpoints = std::fs::read_dir(point.join("checkpoint")).into_iter().flatten().flatten();
            checkpoints.any(|file| file.path().extension().is_some_and(|end| end == "mpk"))
                && !point.join("summary.json").exists()
        };
        let points = || std::fs::read_dir(cut.join("points")).into_iter().flatten().flatten();
        wait_until(&mut child, || ended(&cut).len() >= kills && points().any(|point| goes_on(&point.path())));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!cut.join("sweep.json").exists());
        let written = |points: &[PathBuf]| -> Vec<_> {
            points
                .iter()
                .map(|point| std::fs::metadata(point.join("summary.json")).unwrap().modified().unwrap())
                .collect()
        };
        let ready = ended(&cut);
        let before = written(&ready);
        let stderr = text(&succeeds(folder, &["sweep", "--resume", "cut"]).stderr);
        assert_eq!(written(&ready), before, "a whole point was made again");
        assert!(ready.is_empty() || stderr.contains(&format!("{} of them found in cut", ready.len())), "{stderr}");
        went_on += stderr.matches("resuming from step ").count();
        assert_eq!(outcome(&cut), whole, "{kills}");
        let hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
        assert_eq!(files_below(&cut).into_iter().filter(hidden).collect::<Vec<_>>(), Vec::<PathBuf>::new());
        std::fs::remove_dir_all(&cut).unwrap();
    }
    assert!(went_on >= 2, "{went_on} points went on from a checkpoint");

    // A finished sweep has nothing left to do and prints the same again.
    let stderr = text(&succeeds(folder, &["sweep", "--resume", "whole"]).stderr);
    assert!(stderr.contains("6 of them found") && !stderr.contains("\npoint "), "{stderr}");
    assert_eq!(outcome(&folder.join("whole")), whole);
}

#[cfg(unix)]
#[test]
fn a_sweep_resumes_after_ctrl_c() {
    let folder = folder();
    let folder = folder.path();
    let arguments = [&long("cut")[..], &["--json"]].concat();
    let mut child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let cut = folder.join("cut");
    wait_until(&mut child, || !ended(&cut).is_empty());
    assert!(crate::command::process("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("interrupted; sweep --resume cut continues"), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finished = json["finished"].as_u64().unwrap();
    assert!((1..6).contains(&finished) && json["interrupted"] == true, "{json}");
    assert_eq!(json["rows"].as_array().unwrap().len() as u64, finished);
    assert!(text(&read(cut.join("sweep.md")).unwrap()).contains(&format!("{finished} of 6 points are finished.")));
    // Points in progress were saved like interrupted runs and do not count as finished.
    let ends: Vec<Value> = points(&cut).iter().map(|point| json_of(&point.join("summary.json"))).collect();
    let interrupted = ends.iter().filter(|summary| summary["interrupted"] == true).count();
    assert_eq!(finished as usize, ends.len() - interrupted);
    assert!(interrupted >= 1);

    let stderr = text(&succeeds(folder, &["sweep", "--resume", "cut"]).stderr);
    assert!(stderr.matches("resuming from step ").count() >= 1, "{stderr}");
    succeeds(folder, &long("whole"));
    assert_eq!(outcome(&cut), outcome(&folder.join("whole")));
}

#[test]
fn a_sweep_does_not_resume_with_other_grid_config_data_or_code() {
    let folder = folder();
    let folder = folder.path();
    let digits = ["data", "--write-idx", "digits", "--train-images", "600", "--validation-images", "300"];
    succeeds(folder, &digits);
    let on_files =
        ["sweep", "--backend", cpu(), "--data", "digits", "--grid", "objective.l2=0,1", "--out", "grid", "--quiet"];
    succeeds(folder, &[&on_files[..], &FAST_SETTINGS[2..]].concat());
    std::fs::remove_file(folder.join("grid/points/2-l2=1/summary.json")).unwrap();
    let refuses = |more: &[&str], expected: &str| {
        let arguments = [&["sweep", "--resume", "grid", "--quiet"][..], more].concat();
        is_refused(folder, &arguments, &["--resume grid: the result would differ: ", expected]);
    };
    refuses(&["--grid", "objective.l2=0,2"], "grid: objective.l2 = 0,2, not 0,1");
    refuses(
        &["--grid", "descent.epochs=2"],
        "grid: descent.epochs = 2, not absent; grid: objective.l2 = absent, not 0,1",
    );
    refuses(&["--set", "descent.epochs=3"], "point 1, objective.l2 = 0: descent.epochs = 3, not 2");
    refuses(&["--threads", "2"], "threads 1, here 2");
    let labels = folder.join("digits/train-labels-idx1-ubyte");
    let bytes = read(&labels).unwrap();
    let mut other = bytes.clone();
    *other.last_mut().unwrap() = (other.last().unwrap() + 1) % 10;
    std::fs::write(&labels, other).unwrap();
    refuses(&[], "data: train-labels-idx1-ubyte with SHA-256 ");
    std::fs::write(&labels, bytes).unwrap();
    // A point that was copied from elsewhere.
    let manifest = folder.join("grid/points/1-l2=0/manifest.json");
    let kept = read(&manifest).unwrap();
    let mut other = json_of(&manifest);
    other["versions"]["numerics"] = 1_000_000.into();
    let other = without_seal(other).to_string();
    std::fs::write(&manifest, chainrule_records::seal_json(&other)).unwrap();
    refuses(&[], "code: chainrule ");
    std::fs::write(&manifest, kept).unwrap();

    // The same files in another folder are the same data. Later changes of the config file have no
    // effect.
    std::fs::rename(folder.join("digits"), folder.join("elsewhere")).unwrap();
    std::fs::write(folder.join("configs/softmax.toml"), "[model]\nkind = 'logistic'").unwrap();
    let stderr = text(&succeeds(folder, &["sweep", "--resume", "grid", "--data", "elsewhere"]).stderr);
    assert!(stderr.contains("1 of them found"), "{stderr}");
}

#[test]
fn a_damaged_config_of_a_point_is_reported() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &sweep(&["--grid", "objective.l2=0,0.1", "--out", "grid", "--quiet"]));
    let config = points(&folder.join("grid"))[1].join("config.toml");
    std::fs::write(&config, "[data\n").unwrap();
    let before = outcome(&folder.join("grid"));
    is_refused(
        folder,
        &["sweep", "--resume", "grid"],
        &["2-l2=0.1", "config.toml: it is damaged", "or remove the folder"],
    );
    assert_eq!(outcome(&folder.join("grid")), before);
    // The damaged result of the other point is made again, and the output says so.
    let summary = points(&folder.join("grid"))[0].join("summary.json");
    std::fs::write(&summary, text(&read(&summary).unwrap()).replacen("\"best_step\": ", "\"best_step\": 1", 1))
        .unwrap();
    is_refused(folder, &["evaluate", "grid/points/1-l2=0"], &["summary.json: it is damaged", "--resume"]);
    // After its folder is deleted, the point is made again.
    std::fs::remove_dir_all(config.parent().unwrap()).unwrap();
    let stderr = text(&succeeds(folder, &["sweep", "--resume", "grid"]).stderr);
    assert!(stderr.contains("summary.json: it is damaged") && !stderr.contains("of them found"), "{stderr}");
    assert_eq!(points(&folder.join("grid")).len(), 2);
}
