//! The output of a sweep.

use std::fs::read;
use std::process::Output;

use chainrule_tests_macros::test;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{FAST_SETTINGS, json_of, outcome, points, succeeds, sweep};
use crate::command::{ask, call, code, folder, text};
use crate::support::cpu;

/// A sweep in `grid` whose best point is not the first: its JSON, and the order of the points.
struct Ranked {
    folder: TempDir,
    output: Output,
    results: Value,
    ranked: Vec<usize>,
}

impl Ranked {
    fn new() -> Self {
        let folder = folder();
        let grid = ["--grid", "descent.learning_rate=0.001,0.1,0.01", "--out", "grid"];
        let output = succeeds(folder.path(), &sweep(&grid));
        let results = json_of(&folder.path().join("grid/sweep.json"));
        let losses: Vec<f64> =
            (0..3).map(|point| results["rows"][point]["validation_loss"].as_f64().unwrap()).collect();
        let mut ranked: Vec<usize> = vec![0, 1, 2];
        ranked.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]));
        assert_ne!(ranked, [0, 1, 2], "a sorted table must differ from the grid's order");
        Self { folder, output, results, ranked }
    }

    fn file(&self, name: &str) -> String {
        text(&read(self.folder.path().join("grid").join(name)).unwrap())
    }
}

#[test]
fn the_json_matches_the_summaries() {
    let Ranked { folder, results, ranked, .. } = Ranked::new();
    let rows = results["rows"].as_array().unwrap();
    for (row, point) in rows.iter().zip(points(&folder.path().join("grid"))) {
        let summary = json_of(&point.join("summary.json"));
        for (name, expected) in [
            ("validation_loss", &summary["final"]["validation_loss"]),
            ("validation_accuracy", &summary["final"]["validation_accuracy"]),
            ("train_loss", &summary["final"]["train_loss"]),
            ("train_accuracy", &summary["final"]["train_accuracy"]),
            ("best_step", &summary["best_step"]),
            ("best_validation_loss", &summary["best_validation_loss"]),
            ("weight_norm", &summary["weight_norm"]["frobenius"]),
            ("last_step", &summary["stop_step"]),
        ] {
            assert_eq!(&row[name], expected, "{name}");
        }
        assert_eq!(folder.path().join("grid").join(row["folder"].as_str().unwrap()), point);
    }
    let rates: Vec<&Value> = rows.iter().map(|row| &row["values"]["descent.learning_rate"]).collect();
    assert_eq!(rates, [&json!(0.001), &json!(0.1), &json!(0.01)]);
    assert_eq!(results["best"], rows[ranked[0]]);
}

#[test]
fn the_table_is_sorted_by_validation_loss() {
    let Ranked { output, ranked, .. } = Ranked::new();
    let number = |line: &str, before: &str| line.strip_prefix(before)?.split_whitespace().next()?.parse::<usize>().ok();
    let printed = text(&output.stdout);
    let table: Vec<&str> = printed.lines().filter(|line| number(line, "* ").or(number(line, "  ")).is_some()).collect();
    let numbers: Vec<usize> = table.iter().map(|line| number(&line[1..], " ").unwrap() - 1).collect();
    assert_eq!(numbers, ranked, "{printed}");
    assert!(table[0].starts_with('*') && table[1..].iter().all(|line| line.starts_with(' ')), "{printed}");
    assert!(printed.contains("too optimistic an estimate"), "{printed}");
}

#[test]
fn the_page_is_sorted_by_validation_loss() {
    let sweep = Ranked::new();
    let page = sweep.file("sweep.md");
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(table[0].starts_with(&format!("| **{}** |", sweep.ranked[0] + 1)), "{page}");
    assert!(table[2].starts_with(&format!("| {} |", sweep.ranked[2] + 1)), "{page}");
}

#[test]
fn the_csv_has_the_points_in_grid_order() {
    let sweep = Ranked::new();
    let sheet = sweep.file("sweep.csv");
    let mut lines = sheet.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heads = lines.next().unwrap();
    assert_eq!(heads[..3], ["point", "descent.learning_rate", "validation_loss"]);
    for (line, row) in lines.zip(sweep.results["rows"].as_array().unwrap()) {
        let loss = row["validation_loss"].as_f64().unwrap();
        assert_eq!((line.len(), line[2].parse::<f64>().unwrap()), (heads.len(), loss));
        assert_eq!(line[heads.len() - 1], row["folder"].as_str().unwrap());
    }
}

#[test]
fn common_facts_are_printed_once() {
    let stderr = text(&Ranked::new().output.stderr);
    let lines = |is_one: fn(&str) -> bool| stderr.lines().filter(|line| is_one(line)).count();
    assert_eq!(lines(|line| line.starts_with("point ")), 3, "{stderr}");
    assert_eq!(lines(|line| line.starts_with("data: ") || line.starts_with("sweep: ")), 2, "{stderr}");
    assert_eq!(lines(|line| line.contains("of 600 training rows (")), 1, "{stderr}");
}

#[test]
fn a_sweep_prints_json_and_can_be_quiet() {
    let folder = folder();
    // `ask` expects an empty standard error.
    let mut results = ask(folder.path(), &sweep(&["--grid", "objective.l2=0,1"]));
    assert_eq!((results["folder"].take(), results["interrupted"].take()), (json!("runs/sweep-1"), json!(false)));
    let written = json_of(&folder.path().join("runs/sweep-1/sweep.json"));
    // The file contains the checksums of the files beside it, and a seal.
    let keys: Vec<&String> =
        written.as_object().unwrap().keys().filter(|key| !["files", "seal"].contains(&key.as_str())).collect();
    assert!(keys.len() >= 7);
    for key in keys {
        assert_eq!(results[key], written[key], "{key}");
    }
    assert_eq!((&results["points"], &results["finished"], &results["diverged"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!(ask(folder.path(), &sweep(&["--grid", "objective.l2=0,1"]))["folder"], "runs/sweep-2");
}

#[test]
fn a_diverged_point_is_listed_and_not_repeated() {
    let folder = folder();
    let folder = folder.path();
    let reckless =
        ["--set", "descent.learning_rate=1000", "--set", "early_stopping.patience=100", "--grid", "objective.l2=1e6,0"];
    let output = succeeds(folder, &sweep(&[&reckless[..], &["--out", "grid"]].concat()));
    let results = json_of(&folder.join("grid/sweep.json"));
    let row = &results["rows"][0];
    let step = row["last_step"].as_u64().unwrap();
    assert_eq!(
        (&row["ended"], &row["validation_loss"], &results["diverged"]),
        (&json!("diverged"), &Value::Null, &json!(1))
    );
    assert_eq!(results["best"]["point"], 2);
    let (printed, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(printed.lines().any(|line| line.ends_with(&format!("diverged at step {step}"))), "{printed}");
    assert!(stderr.contains(&format!("point 1-l2=1e6: diverged: the loss of step {step} is not finite")), "{stderr}");
    // It has the losses so far and no model.
    let run = folder.join("grid/points/1-l2=1e6");
    let history = json_of(&run.join("history.json"));
    // Either the step's own loss is not finite, or that of the evaluation after it.
    let losses = history["train_loss"].as_array().unwrap().len() as u64;
    assert!((step..=step + 1).contains(&losses) && losses > 0, "{losses} losses and step {step}");
    assert!(!run.join("model.safetensors").exists());
    let diverged = std::fs::metadata(run.join("diverged.json")).unwrap().modified().unwrap();

    let before = outcome(&folder.join("grid"));
    let stderr = text(&succeeds(folder, &["sweep", "--resume", "grid"]).stderr);
    assert!(stderr.contains("2 of them found in grid"), "{stderr}");
    assert_eq!(std::fs::metadata(run.join("diverged.json")).unwrap().modified().unwrap(), diverged);
    assert_eq!(outcome(&folder.join("grid")), before);
    // A changed divergence record is detected and made again.
    let changed = text(&read(run.join("diverged.json")).unwrap()).replacen("\"step\": ", "\"step\": 1", 1);
    std::fs::write(run.join("diverged.json"), changed).unwrap();
    let stderr = text(&succeeds(folder, &["sweep", "--resume", "grid"]).stderr);
    assert!(stderr.contains("diverged.json: it is damaged") && stderr.contains("1 of them found in grid"), "{stderr}");
    assert_eq!(outcome(&folder.join("grid")), before);
    // A run with another config in the folder replaces the divergence.
    let sound = ["train", "--backend", cpu(), "--out", "grid/points/1-l2=1e6", "--force", "--quiet"];
    succeeds(folder, &[&sound[..], &FAST_SETTINGS].concat());
    assert!(!run.join("diverged.json").exists());

    // Without any model there is no best point.
    let output =
        call(folder, &sweep(&[&reckless[..4], &["--grid", "objective.l2=1e6,9e5", "--quiet", "--json"]].concat()));
    assert_eq!(code(&output), Some(2));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&results["best"], &results["diverged"]), (&Value::Null, &json!(2)));
    assert_eq!(text(&output.stderr), "error: every point diverged; try smaller values of descent.learning_rate\n");
}

#[test]
fn an_uncertified_minimum_sets_the_exit_code() {
    let folder = folder();
    let optimum = [
        "sweep",
        "configs/softmax-optimum.toml",
        "--backend",
        cpu(),
        "--data",
        "embedded",
        "--quiet",
        "--set",
        "data.train_images=300",
    ];
    let optimum =
        [&optimum[..], &["--set", "data.validation_images=100", "--grid", "objective.l2=0.1,1", "--json"]].concat();
    let ending_of = |iterations: &str| {
        let output =
            call(folder.path(), &[&optimum[..], &["--set", &format!("optimum.max_iterations={iterations}")]].concat());
        let results: Value = serde_json::from_slice(&output.stdout).unwrap();
        (code(&output), results["rows"][0]["ended"].as_str().unwrap().to_owned())
    };
    assert_eq!(ending_of("2"), (Some(1), "iterations-used-up".to_owned()));
    assert_eq!(ending_of("1000"), (Some(0), "converged".to_owned()));
}
