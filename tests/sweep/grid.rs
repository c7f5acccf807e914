//! The points of a grid: the same runs as single trainings, several at once, on any data.

use std::fs::read;

use chainrule_tests_macros::test;
use serde_json::Value;

use super::{FAST_SETTINGS, TWO_BY_TWO, json_of, outcome, points, succeeds, sweep};
use crate::command::{ask, folder, is_refused, text};
use crate::support::cpu;
use crate::svg::texts;

#[test]
fn a_grid_gives_the_same_runs_as_train() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &sweep(&[&TWO_BY_TWO[..], &["--out", "grid", "--quiet"]].concat()));
    let points_of_grid = points(&folder.join("grid"));
    let names: Vec<_> = points_of_grid.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let expected = [
        "1-learning_rate=0.01-l2=0",
        "2-learning_rate=0.01-l2=0.5",
        "3-learning_rate=0.1-l2=0",
        "4-learning_rate=0.1-l2=0.5",
    ];
    assert_eq!(names, expected);
    let values = [("0.01", "0"), ("0.01", "0.5"), ("0.1", "0"), ("0.1", "0.5")];
    for (point, (rate, l2)) in points_of_grid.iter().zip(values) {
        let (rate, l2) = (format!("descent.learning_rate={rate}"), format!("objective.l2={l2}"));
        let alone = ["train", "--backend", cpu(), "--threads", "1", "--out", "alone", "--force", "--quiet"];
        succeeds(folder, &[&alone[..], &FAST_SETTINGS, &["--set", &rate, "--set", &l2]].concat());
        for file in ["model.safetensors", "history.json", "config.toml", "manifest.json"] {
            assert_eq!(read(point.join(file)).unwrap(), read(folder.join("alone").join(file)).unwrap(), "{point:?}");
        }
        // Every other command accepts the point as a run.
        let judged = ask(folder, &["evaluate", point.to_str().unwrap()]);
        let summary = json_of(&point.join("summary.json"));
        let difference = judged["loss"].as_f64().unwrap() - summary["final"]["validation_loss"].as_f64().unwrap();
        assert!(difference.abs() < 1e-5, "{difference}");
    }
}

#[test]
fn the_number_of_jobs_changes_no_byte() {
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
    let outcome_of = |jobs: &str| {
        succeeds(folder, &sweep(&[&grid[..], &["--jobs", jobs, "--out", jobs, "--quiet"]].concat()));
        outcome(&folder.join(jobs))
    };
    let alone = outcome_of("1");
    // Eight points of five files, and six files of the sweep.
    assert_eq!(alone.len(), 8 * 5 + 6);
    for jobs in ["2", "5"] {
        assert_eq!(outcome_of(jobs), alone, "{jobs} jobs");
    }
}

#[test]
fn losses_of_different_data_are_not_compared() {
    let folder = folder();
    let folder = folder.path();
    let grid = ["--grid", "objective.l2=0,1", "--grid", "data.train_images=200,400", "--out", "grid", "--quiet"];
    let output = succeeds(folder, &sweep(&grid));
    let rows: Vec<Value> = points(&folder.join("grid"))
        .iter()
        .map(|point| json_of(&point.join("summary.json"))["data"]["train"].clone())
        .collect();
    assert_eq!(rows, [200, 400, 200, 400]);
    let note = "Not all points use the same validation rows";
    assert!(!text(&output.stdout).contains(note), "the validation rows are the same");

    // With a table, the seed selects the rows of the validation set. Seeds are repetitions, so
    // combinations of other keys remain comparable.
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
    let seeds = of("descent.shuffle.seed=1,2,3");
    assert!(seeds.contains("each seed holds out its own") && !seeds.contains(note), "{seeds}");
    assert!(!of("descent.learning_rate=0.1,0.2").contains(note));
}

#[test]
fn losses_of_different_class_weights_are_not_compared() {
    let folder = folder();
    let folder = folder.path();
    let weights = "objective.class_weights=balanced,[1,1,1],[0.1,0.1,0.1]";
    let settings = ["--set", "data.classes=[1,2,3]", "--out", "weights"];
    let stdout = text(&succeeds(folder, &sweep(&[&["--grid", weights][..], &settings].concat())).stdout);
    assert!(
        stdout.contains("no point is marked as the best") && !stdout.contains("The best point was chosen"),
        "{stdout}"
    );
    assert!(stdout.lines().all(|line| !line.starts_with('*')), "{stdout}");
    let page = String::from_utf8(read(folder.join("weights/sweep.md")).unwrap()).unwrap();
    assert!(page.contains("means of the weighted cross-entropy") && !page.contains("Best:"), "{page}");
    assert_eq!(json_of(&folder.join("weights/sweep.json"))["best"], Value::Null);
    let plot = String::from_utf8(read(folder.join("weights/sweep.svg")).unwrap()).unwrap();
    assert!(texts(&plot).iter().any(|text| text == "the losses are not comparable"), "{:?}", texts(&plot));
    // By class name, for all classes or for one.
    for (grid, shown) in
        [("objective.class_weights={1=1},{1=5,2=2}", "{ 1 = 5, 2 = 2 }"), ("objective.class_weights.1=1,25", "25")]
    {
        let points = sweep(&[&["--grid", grid, "--force"][..], &settings].concat());
        let stdout = text(&succeeds(folder, &points).stdout);
        assert!(stdout.contains(shown) && stdout.contains("no point is marked as the best"), "{grid}: {stdout}");
    }
    // A wrong list in the last point is found before the first point starts.
    let wrong = "objective.class_weights=balanced,[1,2]";
    is_refused(
        folder,
        &sweep(&["--grid", wrong, "--set", "data.classes=[1,2,3]"]),
        &["point 2", "class_weights = [1, 2]"],
    );

    // The losses of different classes are not comparable either.
    let classes = "data.classes=[1,2],[3,4]";
    let stdout = text(
        &succeeds(folder, &sweep(&["--grid", classes, "--set", "descent.batch_size=50", "--out", "classes"])).stdout,
    );
    assert!(stdout.contains("no point is marked as the best"), "{stdout}");

    // Nor are those of different weights of rows.
    let lines: String = (0..60).map(|i| format!("{},{},{},{}\n", i % 7, i % 3, i % 5, i % 7 > 3)).collect();
    std::fs::write(folder.join("rows.csv"), format!("x,few,many,label\n{lines}")).unwrap();
    let of_rows = ["sweep", "--backend", cpu(), "--data", "rows.csv", "--label", "label", "--out", "rows", "--quiet"];
    let stdout = text(&succeeds(folder, &[&of_rows[..], &["--grid", "data.weight=few,many"]].concat()).stdout);
    assert!(stdout.contains("no point is marked as the best"), "{stdout}");
    let page = String::from_utf8(read(folder.join("rows/sweep.md")).unwrap()).unwrap();
    assert!(page.contains("means of the weighted cross-entropy"), "{page}");
}

#[test]
fn class_names_in_grid_keys_can_be_quoted() {
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
    // The page shows foreign names literally.
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

    let refuses = |set: &str, expected: &[&str]| {
        is_refused(folder, &[&["train"], &of_rows[..], &["--set", set]].concat(), expected);
    };
    refuses("objective.class_weights.x.y=3", &["unknown key objective.class_weights.x.y", "stands in quotes"]);
    refuses("objective.class_weights.\"x.y\"=much", &["objective.class_weights.\"x.y\" = \"much\": ", "a number"]);
    refuses("objective.class_weights.\"x.z\"=3", &["no class x.z; the data has"]);
    // A section and a key in one pair of quotes are an unknown key.
    refuses("\"descent.epochs\"=3", &["unknown key \"descent.epochs\"; did you mean descent.epochs?"]);
    // However long the key, the error is a single line and comes at once.
    refuses(&format!("a{}=1", ".\"b\"".repeat(20_000)), &["unknown key"]);
    refuses(&format!("\"{}\"=1", "\\".repeat(50_000)), &["unknown key"]);
    refuses(&format!("{}=1", "\"=".repeat(20_000)), &["unknown key"]);
}
