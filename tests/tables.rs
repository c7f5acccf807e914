//! CSV files: reading, training and predicting.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use chainrule_tests_macros::test;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{ask, call, code, command, folder, is_refused, text};
use crate::standardize::{matrix, scikit_learn};
use crate::support::{assert_close, cpu};

const FEATURES: [&str; 5] = ["length", "altitude (m)", "width", "year", "always"];

/// Returns the synthetic table of scikit-learn's fixture with these rows and this number of
/// features, and the label in the middle.
pub(crate) fn flowers(rows: impl Iterator<Item = usize>, features: usize) -> String {
    let table = scikit_learn();
    let (values, labels) = (matrix(&table["rows"]), &table["labels"]);
    let names = FEATURES[..features].iter().map(ToString::to_string);
    let mut lines = vec![with_label(names.collect(), "species")];
    for row in rows {
        let species = table["classes"][labels[row].as_u64().unwrap() as usize].as_str().unwrap();
        let numbers = values[row][..features].iter().map(ToString::to_string);
        // One species has a comma in its name.
        lines.push(with_label(numbers.collect(), &format!("\"{species}\"")));
    }
    lines.join("\n") + "\n"
}

fn with_label(mut fields: Vec<String>, label: &str) -> String {
    fields.insert(2, label.to_owned());
    fields.join(",")
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

const MODEL: [&str; 4] = ["train", "configs/softmax.toml", "--set", "descent.batch_size=16"];

pub(crate) const ON_FLOWERS: [&str; 4] = ["--data", "flowers.csv", "--set", "data.label=species"];

pub(crate) fn train(folder: &Path, more: &[&str]) -> Value {
    let output = call(folder, &[&MODEL[..], &["--backend", cpu(), "--json", "--quiet", "--out", "run"], more].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns a folder with flowers and a run on them, and the run's summary.
fn trained() -> (TempDir, Value) {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..120, 4));
    let more = ["--set", "data.standardize=true", "--set", "descent.learning_rate=0.5"];
    let summary = train(folder.path(), &[&ON_FLOWERS[..], &more].concat());
    (folder, summary)
}

/// Returns all flowers with an additional column and the columns in another order.
fn in_another_order() -> String {
    flowers(0..120, 4).lines().enumerate().fold(String::new(), |text, (i, line)| {
        // The label is the third field, in quotes because of its comma.
        let (front, year) = line.rsplit_once(',').unwrap();
        let note = if i == 0 { "note".to_owned() } else { format!("no {i}") };
        text + &format!("{year},{note},{front}\n")
    })
}

#[test]
fn a_csv_file_can_be_trained_on() {
    let (_folder, summary) = trained();
    let data = &summary["data"];
    assert_eq!((&data["train"], &data["validation"], &data["kind"]), (&json!(96), &json!(24), &json!("table")));
    assert_eq!(data["classes"], json!(["iris", "lily, white", "rose"]));
    assert_eq!(data["features"], json!(["length", "altitude (m)", "width", "year"]));
    assert!(summary["final"]["validation_accuracy"].as_f64().unwrap() > 0.85, "{summary}");
}

#[test]
fn evaluation_uses_the_held_out_rows() {
    let (folder, summary) = trained();
    for (split, loss) in [("train", "train_loss"), ("validation", "validation_loss")] {
        let actual = ask(folder.path(), &["evaluate", "run", "--split", split]);
        let expected = summary["final"][loss].as_f64().unwrap();
        assert!((actual["loss"].as_f64().unwrap() / expected - 1.0).abs() < 1e-5, "{actual}");
        assert_eq!(
            (&actual["data"]["is_the_runs_own"], &actual["classes"]),
            (&json!(true), &summary["data"]["classes"])
        );
    }
}

#[test]
fn column_order_and_extra_columns_change_no_loss() {
    let (folder, _) = trained();
    write(folder.path(), "other.csv", in_another_order());
    let whole = ask(folder.path(), &["evaluate", "run", "--data", "flowers.csv"]);
    let actual = ask(folder.path(), &["evaluate", "run", "--data", "other.csv"]);
    assert_eq!((&actual["rows"], &actual["loss"]), (&json!(120), &whole["loss"]));
}

/// Returns the notes that are not about the training of the model: these few epochs stop far from
/// the minimum.
fn other_notes(stderr: &str) -> impl Iterator<Item = &str> {
    stderr.lines().filter(|line| !line.starts_with("note: in its training, "))
}

#[test]
fn evaluate_names_its_rows_and_overlap() {
    let (folder, _) = trained();
    write(folder.path(), "other.csv", in_another_order());
    for (file, is_own, expected, note) in [
        (
            "flowers.csv",
            true,
            "flowers.csv, all 120 rows, the run's own data with its training rows\n",
            "was trained on",
        ),
        ("other.csv", false, "other.csv, all 120 rows, not the run's own data\n", "this is not the data of the run"),
    ] {
        let actual = ask(folder.path(), &["evaluate", "run", "--data", file]);
        assert_eq!((&actual["data"]["split"], &actual["data"]["is_the_runs_own"]), (&json!("all"), &json!(is_own)));
        let output = call(folder.path(), &["evaluate", "run", "--data", file]);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(stdout.contains(expected) && stderr.contains(note), "{stdout}{stderr}");
        assert_eq!(other_notes(&stderr).count(), 1, "{stderr}");
    }
    let kept = call(folder.path(), &["evaluate", "run"]);
    assert!(text(&kept.stdout).contains("flowers.csv, 24 validation rows, the run's own data\n"));
    assert_eq!(other_notes(&text(&kept.stderr)).count(), 0);
}

#[test]
fn wrong_rows_are_named_by_line() {
    let (folder, _) = trained();
    write(folder.path(), "other.csv", in_another_order());
    let actual = ask(folder.path(), &["evaluate", "run", "--data", "other.csv"]);
    let wrong = actual["most_confidently_wrong"].as_array().unwrap();
    let lines = actual["most_confidently_wrong_lines"].as_array().unwrap();
    assert!(!wrong.is_empty());
    for (wrong, line) in wrong.iter().zip(lines) {
        assert_eq!(wrong["row"].as_u64().unwrap() + 2, line.as_u64().unwrap());
    }
}

#[test]
fn predict_and_evaluate_agree() {
    let (folder, _) = trained();
    write(folder.path(), "other.csv", in_another_order());
    let actual = ask(folder.path(), &["evaluate", "run", "--data", "other.csv"]);
    let answer = ask(folder.path(), &["predict", "run", "other.csv"]);
    let predictions = answer["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 120);
    let table = scikit_learn();
    let is_right =
        |row: usize| predictions[row]["class"] == table["classes"][table["labels"][row].as_u64().unwrap() as usize];
    assert_eq!((0..120).filter(|&row| is_right(row)).count() as u64, actual["right"].as_u64().unwrap());
}

#[test]
fn predict_needs_no_label_column() {
    let (folder, _) = trained();
    let labelled = in_another_order();
    write(folder.path(), "other.csv", &labelled);
    let unlabelled: String = labelled
        .lines()
        .map(|line| {
            let (front, _) = line.rsplit_once(',').unwrap();
            let parts: Vec<&str> = front.splitn(5, ',').collect();
            format!("{},{},{},{}\n", parts[0], parts[2], parts[3], line.rsplit_once(',').unwrap().1)
        })
        .collect();
    write(folder.path(), "unlabelled.csv", unlabelled);
    let [with, without] = ["other.csv", "unlabelled.csv"].map(|file| ask(folder.path(), &["predict", "run", file]));
    assert_eq!(without["predictions"][7]["probabilities"], with["predictions"][7]["probabilities"]);
    assert_eq!(without["predictions"][7]["line"], json!(9));
}

#[test]
fn inspect_lists_the_largest_weights_first() {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..120, 4));
    train(folder.path(), &[&ON_FLOWERS[..], &["--set", "data.standardize=true"]].concat());
    let actual = ask(folder.path(), &["inspect", "run"]);
    let features = actual["features"].as_array().unwrap();
    let largest = |feature: &Value| {
        feature["weights"].as_array().unwrap().iter().fold(0.0, |m: f64, w| m.max(w.as_f64().unwrap().abs()))
    };
    assert!(features.len() == 4 && features.is_sorted_by(|a, b| largest(a) > largest(b)), "{features:?}");
    let year = features.iter().find(|feature| feature["name"] == "year").unwrap();
    assert!((year["mean_and_scale"][0].as_f64().unwrap() - 2000.17).abs() < 0.05, "{year}");
    let shown = text(&call(folder.path(), &["inspect", "run"]).stdout);
    let order: Vec<usize> =
        features.iter().map(|feature| shown.rfind(feature["name"].as_str().unwrap()).unwrap()).collect();
    assert!(order.is_sorted() && shown.contains("lily, white"), "{shown}");
    is_refused(
        folder.path(),
        &["inspect", "run", "--image", "flowers.csv"],
        &["--image: the model was trained on a table"],
    );
    is_refused(
        folder.path(),
        &["evaluate", "run", "--wrong", "wrong.png"],
        &["--wrong: the model was trained on a table"],
    );
}

/// On scikit-learn's own rows, standardised by their own statistics, the minimum is scikit-learn's.
#[test]
fn the_minimum_on_a_standardised_table_matches_scikit_learn() {
    let folder = folder();
    let table = flowers(0..120, 4);
    write(folder.path(), "flowers/train.csv", &table);
    write(folder.path(), "flowers/validation.csv", &table);
    let arguments = [
        "train",
        "configs/softmax-optimum.toml",
        "--backend",
        cpu(),
        "--data",
        "flowers",
        "--set",
        "data.label=species",
        "--set",
        "data.standardize=true",
        "--set",
        "objective.l2=0.01",
        "--set",
        "objective.penalize_bias=false",
        "--set",
        "optimum.tolerance=1e-12",
        "--precision",
        "f64",
        "--out",
        "run",
        "--json",
        "--quiet",
    ];
    let output = call(folder.path(), &arguments);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let expected = scikit_learn();
    let answer = ask(folder.path(), &["predict", "run", "flowers/train.csv"]);
    for (row, expected) in matrix(&expected["probabilities"]).iter().enumerate() {
        let actual: Vec<f64> = serde_json::from_value(answer["predictions"][row]["probabilities"].clone()).unwrap();
        assert_close(&actual, expected, 1e-5, "probabilities");
    }
    let features = ask(folder.path(), &["inspect", "run"])["features"].clone();
    for (j, weights) in matrix(&expected["weight"])[..4].iter().enumerate() {
        let actual = features.as_array().unwrap().iter().find(|feature| feature["name"] == FEATURES[j]).unwrap();
        // The biases may differ by a constant. The weights may not: those of each feature sum to 0.
        assert_close(
            &serde_json::from_value::<Vec<f64>>(actual["weights"].clone()).unwrap(),
            weights,
            1e-5,
            FEATURES[j],
        );
    }
}

#[test]
fn raw_numbers_of_any_size_have_a_certified_minimum() {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..120, 4));
    let arguments = [
        &["train", "configs/softmax-optimum.toml", "--backend", cpu(), "--precision", "f64", "--json", "--quiet"][..],
        &ON_FLOWERS,
        &["--set", "objective.l2=1"],
    ]
    .concat();
    let output = call(folder.path(), &arguments);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    assert!(summary["certificate"]["bound"].as_f64().unwrap() <= summary["certificate"]["tolerance"].as_f64().unwrap());
}

/// The logistic model, classes by name, both precisions, autodiff: the final scores match those of
/// evaluate.
#[test]
fn every_gradient_and_model_trains_on_a_table() {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..120, 4));
    let two = ["--set", "data.classes=[\"rose\", \"iris\"]"];
    for more in [
        &["--precision", "f64", "--gradient", "autodiff"][..],
        &["--precision", "f32", "--gradient", "closed-form"],
        &["--precision", "f64", "--set", "model.kind=logistic", two[0], two[1]],
        &["--precision", "f32", two[0], two[1]],
        &["--precision", "f32", "--gradient", "fused"],
        &["--precision", "f32", "--gradient", "fused", "--set", "descent.momentum=0.9"],
    ] {
        let more = [&ON_FLOWERS[..], more, &["--set", "data.standardize=true", "--force"]].concat();
        let summary = train(folder.path(), &more);
        let actual = ask(folder.path(), &["evaluate", "run"]);
        let expected = summary["final"]["validation_loss"].as_f64().unwrap();
        assert!((actual["loss"].as_f64().unwrap() / expected - 1.0).abs() < 1e-5, "{more:?}: {actual}");
        if more.contains(&two[1]) {
            let is_logistic = more.contains(&"model.kind=logistic");
            let order = if is_logistic { json!(["iris", "rose"]) } else { json!(["rose", "iris"]) };
            assert_eq!((&summary["data"]["classes"], &actual["data"]["left_out"]), (&order, &json!(0)));
        }
    }
}

#[test]
fn a_run_on_a_table_resumes_to_the_same_bytes() {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..120, 4));
    let more = [&ON_FLOWERS[..], &["--set", "data.standardize=true"]].concat();
    train(folder.path(), &[&more[..], &["--checkpoint-every", "7"]].concat());
    let model = |name: &str| std::fs::read(folder.path().join(name).join("model.safetensors")).unwrap();
    let whole = model("run");
    // Killed after the last checkpoint: these files do not exist yet.
    for name in ["summary.json", "model.safetensors", "history.json"] {
        std::fs::remove_file(folder.path().join("run").join(name)).unwrap();
    }
    write(folder.path(), "flowers.csv", flowers(1..120, 4));
    is_refused(folder.path(), &["train", "--resume", "run", "--quiet"], &["flowers.csv with SHA-256"]);
    write(folder.path(), "flowers.csv", flowers(0..120, 4));
    let output = call(folder.path(), &["train", "--resume", "run"]);
    assert!(text(&output.stderr).contains("resuming from step"), "{}", text(&output.stderr));
    assert!(model("run") == whole);
}

#[test]
fn without_a_label_the_columns_are_listed() {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..9, 4));
    let arguments = [&MODEL[..], &["--data", "flowers.csv"]].concat();
    is_refused(folder.path(), &arguments, &["--label COLUMN", "length, altitude (m), species, width, year"]);
    let arguments = [&MODEL[..], &["--data", "flowers.csv", "--set", "data.label=kind"]].concat();
    is_refused(folder.path(), &arguments, &["flowers.csv: no column \"kind\"", "length, altitude (m), species"]);
}

#[test]
fn data_describes_a_table_without_a_label() {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..120, 2).replace("\n5", "\n ,1,rose\n5"));
    let actual = ask(folder.path(), &["data", "--data", "flowers.csv"]);
    let (table, columns) = (&actual["tables"][0], &actual["tables"][0]["columns"]);
    let rows = table["rows"].as_u64().unwrap();
    let count = |column: usize| ["numbers", "missing", "texts"].map(|key| columns[column][key].as_u64().unwrap());
    assert!(rows > 130 && count(0) == [120, rows - 120, 0] && count(1) == [rows, 0, 0], "{actual}");
    assert_eq!((count(2), &columns[2]["name"]), ([0, 0, rows], &json!("species")));
    assert_eq!((&columns[2]["different"], &columns[1]["smallest"]), (&json!(3), &json!(1.0)));
    let shown = text(&call(folder.path(), &["data", "--data", "flowers.csv"]).stdout);
    assert!(shown.contains("species") && shown.contains("--label COLUMN"), "{shown}");
}

#[test]
fn labels_that_cannot_be_split_are_refused() {
    let folder = folder();
    let on = |source: &'static str| [&MODEL[..], &["--data", source, "--set", "data.label=y"]].concat();
    write(folder.path(), "one.csv", "a,y\n1,u\n2,u\n");
    is_refused(folder.path(), &on("one.csv"), &["one.csv: the label is \"u\" in every row"]);
    write(folder.path(), "single.csv", "a,y\n1,u\n2,v\n3,u\n");
    is_refused(folder.path(), &on("single.csv"), &["single.csv: line 3: the only row of the label \"v\""]);
    write(folder.path(), "two/train.csv", "a,y\n1,u\n2,v\n");
    is_refused(folder.path(), &on("two"), &["two: no validation.csv, valid.csv, val.csv or test.csv here"]);
    write(folder.path(), "two/test.csv", "y,a\nu,1\nw,2\n");
    is_refused(folder.path(), &on("two"), &["test.csv: line 3: the label \"w\" occurs in no row of two"]);
    let named = [&on("two")[..], &["--set", "data.classes=[\"u\", \"w\"]"]].concat();
    is_refused(
        folder.path(),
        &named,
        &["two/train.csv: no row has the class \"w\" of data.classes; the labels are u, v"],
    );
    is_refused(folder.path(), &["data", "--data", "missing.csv"], &["missing.csv"]);
}

#[test]
fn evaluate_and_predict_report_missing_columns() {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..120, 4));
    let output = call(folder.path(), &[&MODEL[..], &["--backend", cpu(), "--out", "run"], &ON_FLOWERS].concat());
    // The altitudes are in the thousands, without standardisation.
    assert!(text(&output.stderr).contains("data.standardize=true"), "{output:?}");
    write(folder.path(), "short.csv", "species,year\nrose,2000\n");
    is_refused(
        folder.path(),
        &["evaluate", "run", "--data", "short.csv"],
        &["no column length, altitude (m), width, which the model needs"],
    );
    is_refused(folder.path(), &["predict", "run", "short.csv"], &["short.csv: no column length"]);
    is_refused(folder.path(), &["evaluate", "run", "--data", "embedded"], &["the model was trained on a table"]);
    write(folder.path(), "new.csv", flowers(0..5, 4).replace("iris", "tulip"));
    is_refused(
        folder.path(),
        &["evaluate", "run", "--data", "new.csv", "--quiet"],
        &["4 of 5 rows have classes that the model does not know: tulip (4)"],
    );
}

#[test]
fn every_command_refuses_spreadsheets_and_pipes() {
    let folder = folder();
    write(folder.path(), "book.xlsx", b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0[Content_Types].xml\0\0\0\0");
    for arguments in [&["data", "--data", "book.xlsx"][..], &["train", "--data", "book.xlsx", "--set", "data.label=y"]]
    {
        is_refused(
            folder.path(),
            arguments,
            &["book.xlsx: expected a table (CSV", "found an Excel spreadsheet (xlsx)", "save it as CSV"],
        );
    }
    // Piped data is not in a file.
    for arguments in
        [&["data", "--data", "/dev/stdin"][..], &["train", "--data", "/dev/stdin", "--set", "data.label=y"]]
    {
        is_refused(
            folder.path(),
            arguments,
            &["/dev/stdin: ", "expected a file or a folder", "use - (standard input)"],
        );
    }
}

/// Applies to labels that no config names as classes. Named classes are accepted.
#[test]
fn missing_and_ambiguous_labels_are_refused() {
    let folder = folder();
    for (labels, expected) in [
        (
            &["u", "NA", "u", "NA", "u", "NA"][..],
            "the label is \"u\" in every row; a model needs at least two classes (\"NA\"",
        ),
        (&["u", "-", "u", "-", "u", "-"], "if it is a class, write data.classes = [\"u\", \"-\"]"),
        (&["1", "2", "1", "1.0", "2", "1.0"], "line 5: the label \"1.0\" is the same number as \"1\" in line 2"),
        (&["02", "1", "2", "02", "1", "2"], "line 4: the label \"2\" is the same number as \"02\" in line 2"),
        (&["-0", "1", "0", "-0", "1", "0"], "line 4: the label \"0\" is the same number as \"-0\" in line 2"),
    ] {
        let rows: String = labels.iter().enumerate().map(|(i, label)| format!("{i},{label}\n")).collect();
        write(folder.path(), "mine.csv", format!("a,y\n{rows}"));
        write(folder.path(), "two/train.csv", format!("a,y\n{rows}"));
        write(folder.path(), "two/test.csv", format!("a,y\n{rows}"));
        for data in ["mine.csv", "two"] {
            let arguments = [&MODEL[..], &["--data", data, "--set", "data.label=y"]].concat();
            is_refused(folder.path(), &arguments, &[expected, "data.classes"]);
        }
        let [first, third] = [labels[0], labels[2]];
        let other = if third == first { labels[1] } else { third };
        let named = format!("data.classes=[\"{first}\", \"{other}\"]");
        let more = ["--data", "mine.csv", "--set", "data.label=y", "--set", &named, "--force"];
        let settings = ["--set", "descent.batch_size=2"];
        assert_eq!(train(folder.path(), &[&more[..], &settings].concat())["data"]["classes"], json!([first, other]));
    }
    // Long numbers are compared digit by digit. A quote after a blank does not start a quoted
    // field.
    let long = "a,y\n1,9007199254740993\n2,9007199254740992\n3,9007199254740993\n4,9007199254740992\n";
    write(folder.path(), "long.csv", long);
    let settings = ["--data", "long.csv", "--set", "data.label=y", "--set", "descent.batch_size=2", "--force"];
    let classes = train(folder.path(), &settings)["data"]["classes"].clone();
    assert_eq!(classes.as_array().unwrap().len(), 2, "{classes}");
    for rows in ["1,rose\n2, \"rose\"\n3,lily\n", "1,rose\n2,\t\"rose\"\n3,lily\n"] {
        write(folder.path(), "quote.csv", format!("a,y\n{rows}"));
        let arguments = [&MODEL[..], &["--data", "quote.csv", "--set", "data.label=y"]].concat();
        is_refused(
            folder.path(),
            &arguments,
            &["line 3, column \"y\": the label begins with white space before a quote"],
        );
    }
    // The classes of IDX files have one name each.
    let digits = ["train", "--data", "embedded", "--set", "data.classes=[\"2\", \"02\"]"];
    is_refused(folder.path(), &digits, &["no image of class 02 among"]);
}

#[test]
fn rows_outside_full_batches_are_reported() {
    let folder = folder();
    write(folder.path(), "flowers.csv", flowers(0..120, 4));
    let all = ["--backend", cpu(), "--out", "run", "--force", "--set", "data.standardize=true"];
    let call = |more: &[&str]| {
        let output = call(folder.path(), &[&MODEL[..], &ON_FLOWERS, &all, more].concat());
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        let summary = std::fs::read(folder.path().join("run/summary.json")).unwrap();
        (text(&output.stderr), serde_json::from_slice::<Value>(&summary).unwrap())
    };
    // 96 rows are 3 batches of 30 and one of 6.
    let batches = ["--set", "descent.batch_size=30"];
    let (stderr, summary) = call(&batches);
    assert!(stderr.contains("note: each epoch omits 6 of 96 training rows (different ones each time)"), "{stderr}");
    assert!(stderr.contains("descent.drop_last=false"), "{stderr}");
    assert_eq!((&summary["dropped_rows"], &summary["steps_per_epoch"]), (&json!(6), &json!(3)));
    let (stderr, _) = call(&[&batches[..], &["--set", "descent.shuffle.generator=none"]].concat());
    assert!(stderr.contains("so the model never learns from them"), "{stderr}");
    let (stderr, summary) = call(&[&batches[..], &["--set", "descent.drop_last=false"]].concat());
    assert!(!stderr.contains("each epoch omits"), "{stderr}");
    assert_eq!((&summary["dropped_rows"], &summary["steps_per_epoch"]), (&json!(0), &json!(4)));
}

#[test]
fn the_validation_table_has_four_possible_names() {
    let folder = folder();
    write(folder.path(), "two/train.csv", flowers(0..90, 4));
    write(folder.path(), "two/.hidden", "no word of it");
    let all = ["--data", "two", "--set", "data.label=species", "--set", "data.standardize=true", "--force"];
    let mut unused: Vec<&str> = Vec::new();
    for (name, rows) in [("test", 90..100), ("val", 90..101), ("valid", 90..102), ("validation", 90..103)] {
        write(folder.path(), &format!("two/{name}.csv"), flowers(rows.clone(), 4));
        let summary = train(folder.path(), &all);
        assert_eq!(summary["data"]["validation"], json!(rows.len()), "{name}");
        let of = |path: &&str| json!({ "path": path, "reason": "another table is used for this part" });
        let actual = if unused.is_empty() { Value::Null } else { unused.iter().map(of).collect() };
        assert_eq!(summary["data"]["unused"], actual);
        let about = ask(folder.path(), &["data", "--data", "two"]);
        let files: Vec<&Value> = about["tables"].as_array().unwrap().iter().map(|table| &table["file"]).collect();
        assert_eq!(files, ["two/train.csv", &format!("two/{name}.csv")]);
        unused.insert(
            0,
            match name {
                "test" => "two/test.csv",
                "val" => "two/val.csv",
                _ => "two/valid.csv",
            },
        );
        unused[0] = unused[0].strip_prefix("two/").unwrap();
        unused.sort_unstable();
    }
    let note = "not used: test.csv, val.csv, valid.csv";
    let output = call(folder.path(), &[&MODEL[..], &all, &["--backend", cpu(), "--out", "run"]].concat());
    assert!(text(&output.stderr).contains(&format!("note: {note}\n")), "{}", text(&output.stderr));
    assert!(text(&call(folder.path(), &["data", "--data", "two"]).stdout).contains(&format!("{note}\n")));
    write(folder.path(), "two/more.csv", "a\n");
    let note = "not used: more.csv, test.csv, val.csv and 1 more in that folder\n";
    assert!(text(&call(folder.path(), &["data", "--data", "two"]).stdout).contains(note));
    let about = ask(folder.path(), &["data", "--data", "two"]);
    let paths: Vec<&Value> = about["unused"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["more.csv", "test.csv", "val.csv", "valid.csv"]);
    assert_eq!((&about["unused"][0]["reason"], &about["unused_left_out"]), (&Value::Null, &json!(0)));
}

/// Returns a table of people with texts, missing values, a date and a row counter. The label
/// follows from age and city; the fare is noise.
fn people(rows: usize) -> String {
    let mut text = "id,age,city,joined,fare,happy\n".to_owned();
    for row in 0..rows {
        let age = 20 + row * 7 % 50;
        let city = ["Rome", "Oslo", "Bern"][row % 3];
        let is_happy = age > 45 || city == "Rome";
        let shown_age = if row % 11 == 5 { String::new() } else { age.to_string() };
        let shown_city = if row % 13 == 6 { "NA" } else { city };
        let (month, day) = (1 + row % 12, 1 + row % 28);
        let happy = if row % 17 == 8 { "" } else { ["no", "yes"][usize::from(is_happy)] };
        text += &format!("{},{shown_age},{shown_city},2024-{month:02}-{day:02},{},{happy}\n", row + 1, row * 13 % 29);
    }
    text
}

#[test]
fn a_label_is_all_that_a_table_needs() {
    let folder = folder();
    write(folder.path(), "people.csv", people(200));
    let arguments = ["train", "--data", "people.csv", "--label", "happy", "--backend", cpu(), "--out", "run"];
    let output = call(folder.path(), &arguments);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), Some(0), "{stderr}");
    for line in [
        "id      left out: it numbers the rows",
        "a number; missing as the mean",
        "city    3 levels: Bern, Oslo, Rome; missing as a level",
        "joined  days since 1970-01-01",
        "logistic regression; the positive class is \"yes\"",
        "note: 12 rows without a label (\"\") are left out",
    ] {
        assert!(stderr.contains(line), "{line}: {stderr}");
    }
    assert!(stdout.contains("constant model") && !stdout.contains("note: "), "{stdout}");

    let summary: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("run/summary.json")).unwrap()).unwrap();
    let [accuracy, of_constant] =
        [&summary["final"], &summary["constant"]].map(|metrics| metrics["validation_accuracy"].as_f64().unwrap());
    assert!(accuracy > 0.85 && of_constant < 0.75, "{summary}");
    let features = ["age", "age=(missing)", "city=Bern", "city=Oslo", "city=Rome", "city=(missing)", "joined", "fare"];
    assert_eq!(summary["data"]["features"], json!(features));
    let config = std::fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    let l2 = format!("l2 = {}", 1.0 / summary["data"]["train"].as_f64().unwrap());
    assert!(config.contains(&l2) && config.contains("kind = \"logistic\""), "{config}");

    // The held-out rows are listed, and evaluate uses them.
    let held_out = std::fs::read_to_string(folder.path().join("run/held_out.csv")).unwrap();
    let people = people(200);
    let lines: Vec<&str> = people.lines().collect();
    for row in held_out.lines().skip(1) {
        let (number, line) = row.split_once(',').unwrap();
        let [number, line]: [usize; 2] = [number, line].map(|text| text.parse().unwrap());
        assert!(line == number + 2 && !lines[line - 1].ends_with(','), "{row}");
    }
    assert_eq!(held_out.lines().count() as u64, 1 + summary["data"]["validation"].as_u64().unwrap());
    let evaluated = ask(folder.path(), &["evaluate", "run"]);
    let difference = evaluated["loss"].as_f64().unwrap() / summary["final"]["validation_loss"].as_f64().unwrap() - 1.0;
    assert!(difference.abs() < 1e-6, "{evaluated}");
    // A changed list is noticed.
    write(folder.path(), "run/held_out.csv", "row,line\n1,3\n");
    is_refused(folder.path(), &["evaluate", "run"], &["held_out.csv", "was changed"]);
}

#[test]
fn new_rows_may_have_unknown_levels_and_missing_values() {
    let folder = folder();
    write(folder.path(), "people.csv", people(200).replace(",NA,", ",Rome,"));
    let arguments =
        ["train", "--data", "people.csv", "--label", "happy", "--backend", cpu(), "--quiet", "--out", "run"];
    assert_eq!(code(&call(folder.path(), &arguments)), Some(0));
    write(
        folder.path(),
        "new.csv",
        "city,fare,joined,age\nLima,3,2024-02-03,50\n,3,2024-02-03,50\nRome,,2024-02-03,\n",
    );
    let output = call(folder.path(), &["predict", "run", "new.csv"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((code(&output), stdout.lines().count()), (Some(0), 5), "{stdout}{stderr}");
    for note in [
        "column \"city\": 1 row has a level that no training row has, such as \"Lima\"; it contributes nothing",
        "column \"fare\": 1 row has no value, unlike all training rows, and takes the mean",
    ] {
        assert!(stderr.contains(note), "{note}: {stderr}");
    }
    write(folder.path(), "bad.csv", "city,fare,joined,age\nRome,3,soon,50\n");
    is_refused(folder.path(), &["predict", "run", "bad.csv"], &["line 2, column \"joined\": \"soon\" is no ISO date"]);
}

#[test]
fn a_poor_model_is_shown_with_a_note() {
    let folder = folder();
    write(folder.path(), "people.csv", people(200));
    let base = ["train", "--data", "people.csv", "--label", "happy", "--backend", cpu(), "--out", "run", "--force"];
    let on = |more: &[&str]| {
        let output = call(folder.path(), &[&base[..], more].concat());
        (code(&output), text(&output.stdout))
    };
    let sgd = ["--set", "descent.solver=sgd"];
    let (exit, shown) = on(&sgd);
    assert!(exit == Some(0) && !shown.contains("note: "), "{shown}");
    let (exit, shown) = on(&[&sgd[..], &["--set", "descent.learning_rate=1e-6"]].concat());
    assert!(exit == Some(0) && shown.contains("note: the training stopped far from the minimum: ten more"), "{shown}");
    let inspected = text(&call(folder.path(), &["inspect", "run"]).stdout);
    assert!(inspected.contains("the training stopped far from the minimum: ten more"), "{inspected}");
    let (exit, shown) = on(&["--set", "optimum.max_iterations=2"]);
    assert!(exit == Some(1) && shown.contains("--set optimum.max_iterations=20 may go there"), "{shown}");
    // Settings that the config has already are not advised.
    let (exit, shown) = on(&[&sgd[..], &["--set", "descent.learning_rate=1e-6"]].concat());
    assert!(exit == Some(0) && shown.contains("--set descent.solver=lbfgs goes to the minimum"), "{shown}");
    assert!(!shown.contains("--set data.standardize") && !shown.contains("--set objective.l2"), "{shown}");
    let (exit, shown) = on(&[&sgd[..], &["--set", "data.standardize=false"]].concat());
    let advice = "--set data.standardize=true --set descent.solver=lbfgs goes to the minimum";
    assert!(exit == Some(0) && shown.contains("the training did not converge") && shown.contains(advice), "{shown}");
    // A model that is the constant one but for rounding is not worse.
    let (exit, shown) = on(&["--set", "objective.l2=1e6"]);
    assert!(exit == Some(0) && !shown.contains("note: "), "{shown}");
    // The fare says nothing about the label.
    let ignored = "data.ignore=[\"age\", \"city\", \"joined\"]";
    let (exit, shown) = on(&["--set", ignored, "--set", "objective.l2=1e-9"]);
    assert!(exit == Some(0), "{shown}");
    let [loss, constant] = ["final", "constant"].map(|key| {
        let summary = std::fs::read(folder.path().join("run/summary.json")).unwrap();
        serde_json::from_slice::<Value>(&summary).unwrap()[key]["validation_loss"].as_f64().unwrap()
    });
    assert_eq!(shown.contains("worse than the constant model's"), loss > constant, "{shown}");
}

/// Each point of a sweep has the config that `train` has with its settings.
#[test]
fn points_have_the_defaults_of_their_solver() {
    let folder = folder();
    write(folder.path(), "people.csv", people(200));
    let on = ["--data", "people.csv", "--label", "happy", "--backend", cpu(), "--quiet", "--set", "objective.l2=0.1"];
    let grid = ["sweep", "--grid", "descent.solver=sgd,lbfgs", "--grid", "descent.epochs=3,4", "--out", "sweep"];
    let output = call(folder.path(), &[&grid[..], &on].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let config = |path: String| std::fs::read_to_string(folder.path().join(path).join("config.toml")).unwrap();
    let points = [("1", "sgd", "3"), ("2", "sgd", "4"), ("3", "lbfgs", "3"), ("4", "lbfgs", "4")];
    for (number, solver, epochs) in points {
        let [set_solver, set_epochs] = [format!("descent.solver={solver}"), format!("descent.epochs={epochs}")];
        let sets = ["--set", &set_solver, "--set", &set_epochs, "--out", number];
        let output = call(folder.path(), &[&["train"][..], &on, &sets].concat());
        assert!(matches!(code(&output), Some(0 | 1)), "{}", text(&output.stderr));
        let of_point = config(format!("sweep/points/{number}-solver={solver}-epochs={epochs}"));
        assert_eq!(of_point, config(number.to_owned()), "{solver} {epochs}");
    }
}

/// Runs the program with this standard input. Returns the exit code, standard output and messages.
fn piped(folder: &Path, arguments: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut command = command(folder, arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (code(&output), text(&output.stdout), text(&output.stderr))
}

/// A table in several files, or from standard input, gives the model of the same table in one file.
#[test]
fn a_table_may_be_in_several_files_or_come_from_a_pipe() {
    let folder = folder();
    let people = people(200);
    let (names, rows) = people.split_once('\n').unwrap();
    write(folder.path(), "people.csv", &people);
    let lines: Vec<&str> = rows.lines().collect();
    let part = |rows: &[&str], separator: &str| format!("{names}\n{}\n", rows.join("\n")).replace(',', separator);
    write(folder.path(), "part-1.csv", part(&lines[..70], ","));
    write(folder.path(), "part-2.tsv", part(&lines[70..90], "\t"));
    write(folder.path(), "part-3.csv", part(&lines[90..], ";"));
    let model = |data: &str, out: &str, input: &[u8]| {
        let arguments = ["train", "--data", data, "--label", "happy", "--backend", cpu(), "--out", out];
        let (exit, stdout, stderr) = piped(folder.path(), &arguments, input);
        assert_eq!(exit, Some(0), "{data}: {stderr}");
        (std::fs::read(folder.path().join(out).join("model.safetensors")).unwrap(), stdout + &stderr)
    };
    let (expected, _) = model("people.csv", "one", b"");
    let (of_pattern, told) = model("part-*", "pattern", b"");
    assert!(told.contains("part-2.tsv: read as: tabs"), "{told}");
    let list = if cfg!(windows) { "part-1.csv;part-2.tsv;part-3.csv" } else { "part-1.csv:part-2.tsv:part-3.csv" };
    assert_eq!([&of_pattern, &model(list, "list", b"").0, &model("-", "pipe", people.as_bytes()).0], [&expected; 3]);
    let summary: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("pattern/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["data"]["source"], "part-*", "{summary}");
    // The same rows are held out, and each is named by its file and line.
    let held_out = |out: &str| std::fs::read_to_string(folder.path().join(out).join("held_out.csv")).unwrap();
    let (of_one, of_several) = (held_out("one"), held_out("pattern"));
    assert_eq!(of_several.lines().next(), Some("file,row,line"));
    assert_eq!(of_several.lines().count(), of_one.lines().count());
    for (row, named) in of_one.lines().zip(of_several.lines()).skip(1) {
        let row: usize = row.split(',').next().unwrap().parse().unwrap();
        let (first, file) = [(0, "part-1.csv"), (70, "part-2.tsv"), (90, "part-3.csv")]
            .into_iter()
            .rfind(|(first, _)| *first <= row)
            .unwrap();
        assert_eq!(named, format!("{file},{},{}", row - first, row - first + 2));
    }
    // The rows that were piped must come again.
    let arguments = ["evaluate", "pipe"];
    let (exit, _, stderr) = piped(folder.path(), &arguments, people.as_bytes());
    assert_eq!(exit, Some(0), "{stderr}");

    let refused = |data: &str, expected: &[&str]| {
        is_refused(folder.path(), &["train", "--data", data, "--label", "happy"], expected);
    };
    refused("part-1.csv:absent.csv", &["absent.csv", "No such file"]);
    refused("absent-*.csv", &["absent-*.csv", "no file matches this pattern"]);
    write(folder.path(), "part-4.csv", people.replace("age,city", "city,age"));
    refused("part-*", &["part-4.csv: its column 2 is \"city\", but \"age\" in part-1.csv"]);
    std::fs::remove_file(folder.path().join("part-4.csv")).unwrap();
    write(folder.path(), "part-5.csv", format!("{names}\n{}\n1,2\n", lines[0]));
    refused("part-*", &["part-5.csv: line 3: 2 fields, but the header has 6"]);
}

/// Rounded to `f32`, these times would have seven different values.
#[test]
fn a_model_of_unix_seconds_learns() {
    let folder = folder();
    let mut table = "time,late\n".to_owned();
    for i in 0..70_000 {
        table += &format!("{}.{:02},{}\n", 1_700_000_000 + i / 100, i % 100, if i > 30_000 { "yes" } else { "no" });
    }
    write(folder.path(), "times.csv", table);
    let shown =
        ask(folder.path(), &["train", "--data", "times.csv", "--label", "late", "--backend", cpu(), "--out", "run"]);
    let accuracy = shown["final"]["validation_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.999, "{accuracy}");
}

#[test]
fn without_held_out_rows_the_output_says_so() {
    let folder = folder();
    write(folder.path(), "people.csv", people(60));
    let base = ["train", "--data", "people.csv", "--label", "happy", "--backend", cpu(), "--out", "run"];
    let output = call(folder.path(), &[&base[..], &["--validation", "0"]].concat());
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), Some(0), "{stderr}");
    assert!(stderr.contains("no rows are held out") && stdout.contains("rows, none held out)"), "{stderr}{stdout}");
    assert!(!folder.path().join("run/held_out.csv").exists());
    let evaluated = ask(folder.path(), &["evaluate", "run"]);
    assert_eq!(evaluated["data"]["split"], "all");
    is_refused(
        folder.path(),
        &["train", "--data", "embedded", "--label", "happy"],
        &["--label happy: it names a column of a table"],
    );
}
