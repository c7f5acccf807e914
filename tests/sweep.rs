//! An experiment at every point of a grid: the same runs as one by one, several at once, cut off and gone on with; and what is told of them.

use std::fs::read;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use chainrule_records::{RunFolder, SweepFolder};
use chainrule_tests_macros::test;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{ask, call, code, command, files_below, folder, is_refused, text, without_seal};
use crate::support::cpu;
use crate::svg::texts;

/// A sweep whose points take a moment each.
fn sweep<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["sweep", "--backend", cpu()][..], &FEW, more].concat()
}

const FEW: [&str; 8] = [
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

/// The points' folders, in the grid's order.
fn points(sweep: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(sweep.join("points")).unwrap();
    let mut points: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    points.sort();
    points
}

/// All that a sweep wrote, by name: bytes, and of a run's summary all but the time.
fn outcome(sweep: &Path) -> Vec<(PathBuf, String)> {
    let is_lasting = |path: &PathBuf| path.is_file() && !path.components().any(|part| part.as_os_str() == "checkpoint");
    let told = |path: PathBuf| {
        let content = if path.ends_with("summary.json") {
            let mut summary = json_of(&path);
            summary.as_object_mut().unwrap().remove("seconds").unwrap();
            without_seal(summary).to_string()
        } else {
            chainrule_data::sha256([&read(&path).unwrap()[..]])
        };
        (path.strip_prefix(sweep).unwrap().to_owned(), content)
    };
    files_below(sweep).into_iter().filter(is_lasting).map(told).collect()
}

#[test]
fn a_grid_is_the_runs_that_train_makes_one_by_one() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &sweep(&[&TWO_BY_TWO[..], &["--out", "grid", "--quiet"]].concat()));
    let made = points(&folder.join("grid"));
    let names: Vec<_> = made.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let expected = [
        "1-learning_rate=0.01-l2=0",
        "2-learning_rate=0.01-l2=0.5",
        "3-learning_rate=0.1-l2=0",
        "4-learning_rate=0.1-l2=0.5",
    ];
    assert_eq!(names, expected);
    let values = [("0.01", "0"), ("0.01", "0.5"), ("0.1", "0"), ("0.1", "0.5")];
    for (point, (rate, l2)) in made.iter().zip(values) {
        let (rate, l2) = (format!("descent.learning_rate={rate}"), format!("objective.l2={l2}"));
        let alone = ["train", "--backend", cpu(), "--threads", "1", "--out", "alone", "--force", "--quiet"];
        succeeds(folder, &[&alone[..], &FEW, &["--set", &rate, "--set", &l2]].concat());
        for file in ["model.safetensors", "history.json", "config.toml", "manifest.json"] {
            assert_eq!(read(point.join(file)).unwrap(), read(folder.join("alone").join(file)).unwrap(), "{point:?}");
        }
        // And every other command takes it.
        let judged = ask(folder, &["evaluate", point.to_str().unwrap()]);
        let summary = json_of(&point.join("summary.json"));
        let apart = judged["loss"].as_f64().unwrap() - summary["final"]["validation_loss"].as_f64().unwrap();
        assert!(apart.abs() < 1e-5, "{apart}");
    }
}

#[test]
fn any_number_of_jobs_gives_the_same_bytes() {
    let folder = folder();
    let folder = folder.path();
    let grid = [
        "--grid",
        "descent.optimizer=sgd,adam",
        "--grid",
        "data.train_images=300,600",
        "--grid",
        "objective.l2=0,1e-3",
    ];
    let made = |jobs: &str| {
        succeeds(folder, &sweep(&[&grid[..], &["--jobs", jobs, "--out", jobs, "--quiet"]].concat()));
        outcome(&folder.join(jobs))
    };
    let alone = made("1");
    // Eight points of five files, and six of the sweep's own.
    assert_eq!(alone.len(), 8 * 5 + 6);
    for jobs in ["2", "5"] {
        assert_eq!(made(jobs), alone, "{jobs} jobs");
    }
}

/// A sweep in `grid` whose best point is not the first, its JSON, and which points are better.
struct Ranked {
    folder: TempDir,
    output: Output,
    told: Value,
    ranked: Vec<usize>,
}

impl Ranked {
    fn new() -> Self {
        let folder = folder();
        let grid = ["--grid", "descent.learning_rate=0.001,0.1,0.01", "--out", "grid"];
        let output = succeeds(folder.path(), &sweep(&grid));
        let told = json_of(&folder.path().join("grid/sweep.json"));
        let losses: Vec<f64> = (0..3).map(|point| told["rows"][point]["validation_loss"].as_f64().unwrap()).collect();
        let mut ranked: Vec<usize> = vec![0, 1, 2];
        ranked.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]));
        assert_ne!(ranked, [0, 1, 2], "a sorted table must differ from the grid's order");
        Self { folder, output, told, ranked }
    }

    fn file(&self, name: &str) -> String {
        text(&read(self.folder.path().join("grid").join(name)).unwrap())
    }
}

#[test]
fn the_json_of_a_sweep_has_what_its_points_summaries_have() {
    let Ranked { folder, told, ranked, .. } = Ranked::new();
    let rows = told["rows"].as_array().unwrap();
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
    assert_eq!(told["best"], rows[ranked[0]]);
}

#[test]
fn the_table_of_a_sweep_is_sorted_by_validation_loss() {
    let Ranked { output, ranked, .. } = Ranked::new();
    let number = |line: &str, before: &str| line.strip_prefix(before)?.split_whitespace().next()?.parse::<usize>().ok();
    let printed = text(&output.stdout);
    let table: Vec<&str> = printed.lines().filter(|line| number(line, "* ").or(number(line, "  ")).is_some()).collect();
    let numbers: Vec<usize> = table.iter().map(|line| number(&line[1..], " ").unwrap() - 1).collect();
    assert_eq!(numbers, ranked, "{printed}");
    assert!(table[0].starts_with('*') && table[1..].iter().all(|line| line.starts_with(' ')), "{printed}");
    assert!(printed.contains("too good an estimate"), "{printed}");
}

#[test]
fn the_page_of_a_sweep_is_sorted_by_validation_loss() {
    let sweep = Ranked::new();
    let page = sweep.file("sweep.md");
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(table[0].starts_with(&format!("| **{}** |", sweep.ranked[0] + 1)), "{page}");
    assert!(table[2].starts_with(&format!("| {} |", sweep.ranked[2] + 1)), "{page}");
}

#[test]
fn the_sheet_of_a_sweep_has_a_line_for_each_point_in_the_grids_order() {
    let sweep = Ranked::new();
    let sheet = sweep.file("sweep.csv");
    let mut lines = sheet.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heads = lines.next().unwrap();
    assert_eq!(heads[..3], ["point", "descent.learning_rate", "validation_loss"]);
    for (line, row) in lines.zip(sweep.told["rows"].as_array().unwrap()) {
        let loss = row["validation_loss"].as_f64().unwrap();
        assert_eq!((line.len(), line[2].parse::<f64>().unwrap()), (heads.len(), loss));
        assert_eq!(line[heads.len() - 1], row["folder"].as_str().unwrap());
    }
}

/// The data, the sweep, and a line for each point.
#[test]
fn a_sweep_says_once_what_is_of_all_points_and_a_line_for_each() {
    let said = text(&Ranked::new().output.stderr);
    let lines = |is_one: fn(&str) -> bool| said.lines().filter(|line| is_one(line)).count();
    assert_eq!(lines(|line| line.starts_with("point ")), 3, "{said}");
    assert_eq!(lines(|line| line.starts_with("data: ") || line.starts_with("sweep: ")), 2, "{said}");
    assert_eq!(lines(|line| line.contains("of 600 training rows are left out of each epoch")), 1, "{said}");
}

#[test]
fn a_sweep_answers_with_one_json_document_and_is_quiet_where_it_is_asked_to_be() {
    let folder = folder();
    // `ask` takes nothing on standard error.
    let mut told = ask(folder.path(), &sweep(&["--grid", "objective.l2=0,1"]));
    assert_eq!((told["folder"].take(), told["interrupted"].take()), (json!("runs/sweep-1"), json!(false)));
    let written = json_of(&folder.path().join("runs/sweep-1/sweep.json"));
    // The file has the checksums of those beside it, and a seal.
    let keys: Vec<&String> =
        written.as_object().unwrap().keys().filter(|key| !["files", "seal"].contains(&key.as_str())).collect();
    assert!(keys.len() >= 7);
    for key in keys {
        assert_eq!(told[key], written[key], "{key}");
    }
    assert_eq!((&told["points"], &told["finished"], &told["diverged"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!(ask(folder.path(), &sweep(&["--grid", "objective.l2=0,1"]))["folder"], "runs/sweep-2");
}

/// Points of half a second, with as many checkpoints as there is time for.
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
fn a_sweep_that_was_killed_goes_on_to_the_same_bytes_and_makes_no_whole_point_again() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &long("whole"));
    let whole = outcome(&folder.join("whole"));
    let mut went_on = 0;
    for kills in [0, 1, 2] {
        let cut = folder.join("cut");
        let mut child = command(folder, &long("cut")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // As soon as so many points are whole, and another one has a checkpoint to go on from.
        let goes_on = |point: &Path| {
            // It may be gone in between, where the point comes to its end.
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
        let said = text(&succeeds(folder, &["sweep", "--resume", "cut"]).stderr);
        assert_eq!(written(&ready), before, "a whole point was made again");
        assert!(ready.is_empty() || said.contains(&format!("{} of them found in cut", ready.len())), "{said}");
        went_on += said.matches("going on from step ").count();
        assert_eq!(outcome(&cut), whole, "{kills}");
        let hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
        assert_eq!(files_below(&cut).into_iter().filter(hidden).collect::<Vec<_>>(), Vec::<PathBuf>::new());
        std::fs::remove_dir_all(&cut).unwrap();
    }
    assert!(went_on >= 2, "{went_on} points went on from a checkpoint");

    // A finished sweep has nothing left to do, and tells the same again.
    let said = text(&succeeds(folder, &["sweep", "--resume", "whole"]).stderr);
    assert!(said.contains("6 of them found") && !said.contains("\npoint "), "{said}");
    assert_eq!(outcome(&folder.join("whole")), whole);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_the_runs_tells_of_those_that_are_finished_and_the_sweep_goes_on() {
    let folder = folder();
    let folder = folder.path();
    let arguments = [&long("cut")[..], &["--json"]].concat();
    let mut child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let cut = folder.join("cut");
    wait_until(&mut child, || !ended(&cut).is_empty());
    assert!(crate::command::process("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("interrupted; sweep --resume cut goes on"), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finished = told["finished"].as_u64().unwrap();
    assert!((1..6).contains(&finished) && told["interrupted"] == true, "{told}");
    assert_eq!(told["rows"].as_array().unwrap().len() as u64, finished);
    assert!(text(&read(cut.join("sweep.md")).unwrap()).contains(&format!("{finished} of 6 points are finished.")));
    // Those under way were saved as train saves a run, and are not told of as finished.
    let ends: Vec<Value> = points(&cut).iter().map(|point| json_of(&point.join("summary.json"))).collect();
    let interrupted = ends.iter().filter(|summary| summary["interrupted"] == true).count();
    assert_eq!(finished as usize, ends.len() - interrupted);
    assert!(interrupted >= 1);

    let said = text(&succeeds(folder, &["sweep", "--resume", "cut"]).stderr);
    assert!(said.matches("going on from step ").count() >= 1, "{said}");
    succeeds(folder, &long("whole"));
    assert_eq!(outcome(&cut), outcome(&folder.join("whole")));
}

#[test]
fn a_sweep_does_not_go_on_with_another_grid_config_data_or_code() {
    let folder = folder();
    let folder = folder.path();
    let digits = ["data", "--write-idx", "digits", "--train-images", "600", "--validation-images", "300"];
    succeeds(folder, &digits);
    let on_files =
        ["sweep", "--backend", cpu(), "--data", "digits", "--grid", "objective.l2=0,1", "--out", "grid", "--quiet"];
    succeeds(folder, &[&on_files[..], &FEW[2..]].concat());
    std::fs::remove_file(folder.join("grid/points/2-l2=1/summary.json")).unwrap();
    let refuses = |more: &[&str], expected: &str| {
        let arguments = [&["sweep", "--resume", "grid", "--quiet"][..], more].concat();
        is_refused(folder, &arguments, &["--resume grid: it would not go on as it began: ", expected]);
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
    // A point that someone put there from elsewhere.
    let manifest = folder.join("grid/points/1-l2=0/manifest.json");
    let kept = read(&manifest).unwrap();
    let mut other = json_of(&manifest);
    other["versions"]["numerics"] = 1_000_000.into();
    let other = without_seal(other).to_string();
    std::fs::write(&manifest, chainrule_records::seal_json(&other)).unwrap();
    refuses(&[], "code: chainrule ");
    std::fs::write(&manifest, kept).unwrap();

    // The same files elsewhere are the same data, and what changed in a config's file since does not matter.
    std::fs::rename(folder.join("digits"), folder.join("elsewhere")).unwrap();
    std::fs::write(folder.join("configs/softmax.toml"), "[model]\nkind = 'logistic'").unwrap();
    let said = text(&succeeds(folder, &["sweep", "--resume", "grid", "--data", "elsewhere"]).stderr);
    assert!(said.contains("1 of them found"), "{said}");
}

#[test]
fn what_no_point_could_be_is_refused_before_the_first_begins() {
    let folder = folder();
    let folder = folder.path();
    let long = format!("descent.shuffle.seed={}", (0..77).map(|seed| seed.to_string()).collect::<Vec<_>>().join(","));
    let thirteen = "descent.epochs=1,2,3,4,5,6,7,8,9,10,11,12,13";
    for (grid, expected) in [
        (
            &["objective.l2=0,0.1,-1"][..],
            &["point 3, objective.l2 = -1: ", "objective.l2 = -1.0: expected a number from 0"][..],
        ),
        (
            &["descent.epochs=1,2", "descent.batch_size=64,601"],
            &["point 2, descent.epochs = 1, descent.batch_size = 601: descent.batch_size = 601: there are only 600"],
        ),
        (&["data.classes=[1,2],[1,77]"], &["point 2, data.classes = [1, 77]", "77"]),
        (&["descent.optimizer=sgd,adamm"], &["point 2, descent.optimizer = \"adamm\": ", "adamm"]),
        (&["objective.l3=0"], &["point 1, objective.l3 = 0: ", "did you mean objective.l2?"]),
        (&["objective.l2=0,"], &["--grid objective.l2=0,: expected a key and its values"]),
        (&["objective.l2"], &["--grid objective.l2: expected a key and its values"]),
        (&["objective.l2=0", "objective.l2=1"], &["--grid: the grid has objective.l2 twice"]),
        (
            &["objective.l2=0.1,1,1e-1"],
            &["point 1, objective.l2 = 0.1 and point 3, objective.l2 = 1e-1 are the same experiment"],
        ),
        (&["descent.gradient=auto,fused"], &["are the same experiment"]),
        // 77 x 13 points.
        (&[&long, thirteen], &["the grid has 1001 points, and a sweep makes 1000 at most"]),
    ] {
        let grid: Vec<&str> = grid.iter().flat_map(|grid| ["--grid", grid]).collect();
        let small = ["--set", "descent.batch_size=64", "--out", "grid", "--quiet"];
        is_refused(folder, &sweep(&[&grid[..], &small].concat()), expected);
    }
    assert_eq!(code(&call(folder, &sweep(&[]))), Some(2));
    is_refused(folder, &["sweep", "--resume", "nowhere"], &["nowhere: no such folder"]);
    is_refused(folder, &["sweep", "no.toml", "--grid", "objective.l2=0"], &["no.toml: "]);
}

#[test]
fn a_folder_is_replaced_by_force_only_and_where_nothing_but_a_sweep_is_in_it() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &sweep(&["--grid", "objective.l2=0,1", "--out", "grid", "--quiet"]));
    let again = ["--grid", "objective.l2=3", "--out", "grid", "--quiet"];
    is_refused(folder, &sweep(&again), &["grid exists already; name another folder with --out, or add --force"]);
    let before = outcome(&folder.join("grid"));
    for mine in ["grid/notes.txt", "grid/points/notes.txt", "grid/points/2-l2=1/notes.txt"] {
        std::fs::write(folder.join(mine), "mine").unwrap();
        let refused = format!("{mine}: this is not what this program wrote");
        is_refused(folder, &sweep(&[&again[..], &["--force"]].concat()), &[&refused, "nothing was replaced"]);
        std::fs::remove_file(folder.join(mine)).unwrap();
    }
    assert_eq!(outcome(&folder.join("grid")), before);
    succeeds(folder, &sweep(&[&again[..], &["--force"]].concat()));
    let names: Vec<_> = points(&folder.join("grid")).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["1-l2=3"]);

    // One process at a time has a sweep, and a run in it.
    let held = SweepFolder::open(&folder.join("grid")).unwrap();
    is_refused(folder, &["sweep", "--resume", "grid"], &["grid: process ", "writes into it"]);
    drop(held);
    let held = RunFolder::open(&folder.join("grid/points/1-l2=3")).unwrap();
    is_refused(folder, &["sweep", "--resume", "grid", "--quiet"], &["1-l2=3: process ", "writes into it"]);
    drop(held);
    succeeds(folder, &["sweep", "--resume", "grid"]);
}

#[test]
fn a_point_that_diverges_stands_in_the_table_and_is_not_made_again() {
    let folder = folder();
    let folder = folder.path();
    let reckless =
        ["--set", "descent.learning_rate=1000", "--set", "early_stopping.patience=100", "--grid", "objective.l2=1e6,0"];
    let output = succeeds(folder, &sweep(&[&reckless[..], &["--out", "grid"]].concat()));
    let told = json_of(&folder.join("grid/sweep.json"));
    let row = &told["rows"][0];
    let step = row["last_step"].as_u64().unwrap();
    assert_eq!(
        (&row["ended"], &row["validation_loss"], &told["diverged"]),
        (&json!("diverged"), &Value::Null, &json!(1))
    );
    assert_eq!(told["best"]["point"], 2);
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    assert!(printed.lines().any(|line| line.ends_with(&format!("diverged at step {step}"))), "{printed}");
    assert!(said.contains(&format!("point 1-l2=1e6: diverged: the loss of step {step} is not finite")), "{said}");
    // It has its losses up to there, and no model.
    let run = folder.join("grid/points/1-l2=1e6");
    let history = json_of(&run.join("history.json"));
    // The loss that is not finite is the step's own, or that of the evaluation after it.
    let losses = history["train_loss"].as_array().unwrap().len() as u64;
    assert!((step..=step + 1).contains(&losses) && losses > 0, "{losses} losses and step {step}");
    assert!(!run.join("model.safetensors").exists());
    let diverged = std::fs::metadata(run.join("diverged.json")).unwrap().modified().unwrap();

    let before = outcome(&folder.join("grid"));
    let said = text(&succeeds(folder, &["sweep", "--resume", "grid"]).stderr);
    assert!(said.contains("2 of them found in grid"), "{said}");
    assert_eq!(std::fs::metadata(run.join("diverged.json")).unwrap().modified().unwrap(), diverged);
    assert_eq!(outcome(&folder.join("grid")), before);
    // A divergence that was changed is found out, and made again.
    let changed = text(&read(run.join("diverged.json")).unwrap()).replacen("\"step\": ", "\"step\": 1", 1);
    std::fs::write(run.join("diverged.json"), changed).unwrap();
    let said = text(&succeeds(folder, &["sweep", "--resume", "grid"]).stderr);
    assert!(said.contains("diverged.json: it is damaged") && said.contains("1 of them found in grid"), "{said}");
    assert_eq!(outcome(&folder.join("grid")), before);
    // What another config makes of the folder is no divergence any more.
    let sound = ["train", "--backend", cpu(), "--out", "grid/points/1-l2=1e6", "--force", "--quiet"];
    succeeds(folder, &[&sound[..], &FEW].concat());
    assert!(!run.join("diverged.json").exists());

    // Where there is no model at all there is nothing to choose.
    let output =
        call(folder, &sweep(&[&reckless[..4], &["--grid", "objective.l2=1e6,9e5", "--quiet", "--json"]].concat()));
    assert_eq!(code(&output), Some(2));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["best"], &told["diverged"]), (&Value::Null, &json!(2)));
    assert_eq!(text(&output.stderr), "error: every point diverged; try smaller values of descent.learning_rate\n");
}

#[test]
fn points_of_other_data_are_made_on_theirs_and_the_table_says_where_losses_do_not_compare() {
    let folder = folder();
    let folder = folder.path();
    let grid = ["--grid", "objective.l2=0,1", "--grid", "data.train_images=200,400", "--out", "grid", "--quiet"];
    let output = succeeds(folder, &sweep(&grid));
    let rows: Vec<Value> = points(&folder.join("grid"))
        .iter()
        .map(|point| json_of(&point.join("summary.json"))["data"]["train"].clone())
        .collect();
    assert_eq!(rows, [200, 400, 200, 400]);
    let note = "Not all points are judged on the same validation rows";
    assert!(!text(&output.stdout).contains(note), "the validation rows are the same");

    // Of a table the seed keeps other rows for the validation.
    let lines: String = (0..60).map(|i| format!("{},{}\n", i % 7, if i % 7 > 3 { "yes" } else { "no" })).collect();
    std::fs::write(folder.join("table.csv"), format!("x,label\n{lines}")).unwrap();
    let table = [
        "sweep",
        "--backend",
        cpu(),
        "--data",
        "table.csv",
        "--set",
        "data.label=label",
        "--set",
        "descent.batch_size=10",
        "--quiet",
    ];
    let of = |grid: &str| text(&succeeds(folder, &[&table[..], &["--grid", grid]].concat()).stdout);
    assert!(of("descent.shuffle.seed=1,2,3").contains(note));
    assert!(!of("descent.learning_rate=0.1,0.2").contains(note));
}

#[test]
fn a_minimum_that_is_not_certified_is_told_by_the_exit_code() {
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
    let made = |iterations: &str| {
        let output =
            call(folder.path(), &[&optimum[..], &["--set", &format!("optimum.max_iterations={iterations}")]].concat());
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        (code(&output), told["rows"][0]["ended"].as_str().unwrap().to_owned())
    };
    assert_eq!(made("2"), (Some(1), "iterations-used-up".to_owned()));
    assert_eq!(made("1000"), (Some(0), "converged".to_owned()));
}

#[test]
fn losses_of_other_class_weights_do_not_compare_and_none_is_the_best() {
    let folder = folder();
    let folder = folder.path();
    let weights = "objective.class_weights=balanced,[1,1,1],[0.1,0.1,0.1]";
    let few = ["--set", "data.classes=[1,2,3]", "--out", "weights"];
    let told = text(&succeeds(folder, &sweep(&[&["--grid", weights][..], &few].concat())).stdout);
    assert!(told.contains("none is called the best") && !told.contains("The best was chosen"), "{told}");
    assert!(told.lines().all(|line| !line.starts_with('*')), "{told}");
    let page = String::from_utf8(read(folder.join("weights/sweep.md")).unwrap()).unwrap();
    assert!(page.contains("means of the weighted cross-entropy") && !page.contains("Best:"), "{page}");
    assert_eq!(json_of(&folder.join("weights/sweep.json"))["best"], Value::Null);
    let plot = String::from_utf8(read(folder.join("weights/sweep.svg")).unwrap()).unwrap();
    assert!(texts(&plot).iter().any(|text| text == "losses do not compare"), "{:?}", texts(&plot));
    // By name, and one class's at a time.
    for (grid, shown) in
        [("objective.class_weights={1=1},{1=5,2=2}", "{ 1 = 5, 2 = 2 }"), ("objective.class_weights.1=1,25", "25")]
    {
        let points = sweep(&[&["--grid", grid, "--force"][..], &few].concat());
        let told = text(&succeeds(folder, &points).stdout);
        assert!(told.contains(shown) && told.contains("none is called the best"), "{grid}: {told}");
    }
    // A wrong list in the last point is found before the first begins.
    let wrong = "objective.class_weights=balanced,[1,2]";
    is_refused(
        folder,
        &sweep(&["--grid", wrong, "--set", "data.classes=[1,2,3]"]),
        &["point 2", "class_weights = [1, 2]"],
    );

    // Nor do those of other classes.
    let classes = "data.classes=[1,2],[3,4]";
    let told = text(
        &succeeds(folder, &sweep(&["--grid", classes, "--set", "descent.batch_size=50", "--out", "classes"])).stdout,
    );
    assert!(told.contains("none is called the best"), "{told}");
}

#[test]
fn a_runs_folder_is_no_sweeps_and_the_other_way_round() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &[&["train", "--backend", cpu(), "--out", "run", "--quiet"][..], &FEW].concat());
    succeeds(folder, &sweep(&["--grid", "objective.l2=0,0.1", "--out", "grid", "--quiet"]));
    is_refused(folder, &sweep(&["--grid", "objective.l2=0,1", "--out", "run", "--force"]), &["run", "a run's folder"]);
    let train = ["train", "--backend", cpu(), "--out", "grid", "--force"];
    is_refused(folder, &[&train[..], &FEW].concat(), &["grid", "a sweep's folder", "points"]);
    is_refused(folder, &["evaluate", "grid"], &["grid", "a sweep's folder", "points"]);
    is_refused(folder, &["train", "--resume", "grid"], &["a sweep's folder", "sweep --resume"]);
    is_refused(folder, &["sweep", "--grid", "objective.l2=0", "0.1"], &["0.1: no such file", "without spaces"]);
}

#[test]
fn a_point_whose_config_is_damaged_is_told_and_not_made_anew() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &sweep(&["--grid", "objective.l2=0,0.1", "--out", "grid", "--quiet"]));
    let config = points(&folder.join("grid"))[1].join("config.toml");
    std::fs::write(&config, "[data\n").unwrap();
    let before = outcome(&folder.join("grid"));
    is_refused(
        folder,
        &["sweep", "--resume", "grid"],
        &["2-l2=0.1", "config.toml: it is damaged", "or take the folder away"],
    );
    assert_eq!(outcome(&folder.join("grid")), before);
    // What the other point came to is made again, said.
    let summary = points(&folder.join("grid"))[0].join("summary.json");
    std::fs::write(&summary, text(&read(&summary).unwrap()).replacen("\"best_step\": ", "\"best_step\": 1", 1))
        .unwrap();
    is_refused(folder, &["evaluate", "grid/points/1-l2=0"], &["summary.json: it is damaged", "--resume"]);
    // Where it is taken away, the point is made anew.
    std::fs::remove_dir_all(config.parent().unwrap()).unwrap();
    let said = text(&succeeds(folder, &["sweep", "--resume", "grid"]).stderr);
    assert!(said.contains("summary.json: it is damaged") && !said.contains("of them found"), "{said}");
    assert_eq!(points(&folder.join("grid")).len(), 2);
}

#[test]
fn a_class_whose_name_has_a_dot_or_an_equals_sign_has_a_key_of_its_own_in_quotes() {
    let folder = folder();
    let folder = folder.path();
    let rows: String = (0..240).map(|i| format!("{},{}\n", i % 7, ["x.y", "b=c", "a/é"][i % 3])).collect();
    std::fs::write(folder.join("rows.csv"), format!("x,label\n{rows}")).unwrap();
    let of_rows = ["--data", "rows.csv", "--set", "data.label=label", "--set", "descent.epochs=1", "--quiet"];
    let [by_name, by_keys] = [
        &["--set", "objective.class_weights={\"x.y\" = 3, \"b=c\" = 2}"][..],
        &["--set", "objective.class_weights.\"x.y\"=3", "--set", "objective.class_weights.\"b=c\"=2"],
    ];
    for (more, out) in [(by_name, "by-name"), (by_keys, "by-keys")] {
        succeeds(folder, &[&["train", "--backend", cpu(), "--out", out], &of_rows[..], more].concat());
    }
    let config = |run: &str| std::fs::read_to_string(folder.join(run).join("config.toml")).unwrap();
    assert_eq!(config("by-keys"), config("by-name"));

    let grid = ["--grid", "objective.class_weights.\"x.y\"=1,3", "--grid", "objective.class_weights.a/é=2"];
    succeeds(folder, &[&["sweep", "--backend", cpu(), "--out", "grid"], &of_rows[..], by_keys, &grid].concat());
    let names: Vec<_> = points(&folder.join("grid")).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["1-x.y=1-a=2", "2-x.y=3-a=2"]);
    assert!(config("grid/points/2-x.y=3-a=2").contains("\"a/é\" = 2.0\n\"b=c\" = 2.0\n\"x.y\" = 3.0\n"));
    succeeds(folder, &["sweep", "--resume", "grid", "--quiet"]);
    // A page has what others wrote as it is written.
    std::fs::write(folder.join("page.csv"), format!("x,label\n{rows}").replace("a/é", "<b>|p")).unwrap();
    let of_page = [&["sweep", "--data", "page.csv", "--out", "page"], &of_rows[2..]].concat();
    succeeds(folder, &[&of_page[..], &["--grid", "objective.class_weights.\"<b>|p\"=1,2"]].concat());
    let page = std::fs::read_to_string(folder.join("page/sweep.md")).unwrap();
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    assert!(table[0].contains("\\<b") && table[0].contains("\\|p"), "{page}");
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(table.len() == 4 && table.iter().all(|line| bars(line) == bars(table[0])), "{page}");
    let named_twice = ["--grid", "objective.class_weights.'x.y'=1", "--grid", "objective.class_weights.\"x.y\"=2"];
    is_refused(folder, &[&["sweep"], &of_rows[..], &named_twice].concat(), &[" twice"]);

    let said = |set: &str, expected: &[&str]| {
        is_refused(folder, &[&["train"], &of_rows[..], &["--set", set]].concat(), expected);
    };
    said("objective.class_weights.x.y=3", &["unknown key objective.class_weights.x.y", "stands in quotes"]);
    said("objective.class_weights.\"x.y\"=much", &["objective.class_weights.\"x.y\" = \"much\": ", "a number"]);
    said("objective.class_weights.\"x.z\"=3", &["no class x.z; the data has"]);
    // A section and a key in one pair of quotes are no known key.
    said("\"descent.epochs\"=3", &["unknown key \"descent.epochs\"; did you mean descent.epochs?"]);
    // However long, it is one line, at once.
    said(&format!("a{}=1", ".\"b\"".repeat(20_000)), &["unknown key"]);
    said(&format!("\"{}\"=1", "\\".repeat(50_000)), &["unknown key"]);
    said(&format!("{}=1", "\"=".repeat(20_000)), &["unknown key"]);
}

#[cfg(unix)]
#[test]
fn a_point_that_is_a_link_is_followed_where_it_is_named_and_by_nothing_that_comes_from_its_sweep() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    let folder = folder.path();
    let again = ["--grid", "objective.l2=0,1", "--out", "grid", "--quiet"];
    succeeds(folder, &sweep(&again));
    let point = "grid/points/2-l2=1";
    ask(folder, &["data", "--write-idx", "digits", "--train-images", "9", "--validation-images", "9"]);
    for moved in ["grid/points", point] {
        std::fs::rename(folder.join(moved), folder.join("elsewhere")).unwrap();
        symlink(folder.join("elsewhere"), folder.join(moved)).unwrap();
        let before = outcome(&folder.join("elsewhere"));
        assert!(before.len() >= 5);
        for named in [
            &["evaluate", point][..],
            &["inspect", point],
            &["predict", point, "digits/t10k-images-idx3-ubyte"],
            &["page", point, "--out", "page.html", "--force"],
            &["export", point, "--out", "model.npz", "--force"],
            &["train", "--resume", point, "--quiet"],
        ] {
            succeeds(folder, named);
        }
        let expected = format!("{moved}: a symbolic link");
        is_refused(folder, &["sweep", "--resume", "grid", "--quiet"], &[&expected]);
        let force = sweep(&[&again[..], &["--force"]].concat());
        is_refused(folder, &force, &[&format!("{moved}: this is not what this program wrote")]);
        assert_eq!(outcome(&folder.join("elsewhere")), before);
        // The sweep's own folder is named, and may be one.
        std::fs::remove_file(folder.join(moved)).unwrap();
        std::fs::rename(folder.join("elsewhere"), folder.join(moved)).unwrap();
        std::fs::rename(folder.join("grid"), folder.join("elsewhere")).unwrap();
        symlink(folder.join("elsewhere"), folder.join("grid")).unwrap();
        succeeds(folder, &["sweep", "--resume", "grid", "--quiet"]);
        std::fs::remove_file(folder.join("grid")).unwrap();
        std::fs::rename(folder.join("elsewhere"), folder.join("grid")).unwrap();
    }
}
