//! `chainrule predict --out`: tables of any size, of which each row is answered.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use chainrule_core::{Recipe, TextOptions};
use chainrule_data::InputReader;
use chainrule_data::readers::READERS;
use chainrule_tests_macros::test;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{call, code, command, folder, is_refused, text};
use crate::support::cpu;

const COLUMNS: &str = "id,size,colour,class\n";

/// Rows of a table, whose label is called like a column of the answers.
fn rows(n: usize) -> String {
    (0..n).fold(String::new(), |mut rows, i| {
        let (colour, class) = (["red", "green", "blue"][i % 3], ["small", "la,rge"][usize::from(i * 7 % 20 > 9)]);
        writeln!(rows, "\"x\"\"{i}\",{}.5,{colour},\"{class}\"", i * 7 % 20).unwrap();
        rows
    })
}

/// Returns a folder with a model of such rows in `run`.
fn trained() -> TempDir {
    let folder = folder();
    write(folder.path(), "train.csv", COLUMNS.to_owned() + &rows(60));
    let arguments =
        ["train", "--data", "train.csv", "--label", "class", "--validation", "0", "--out", "run", "--quiet"];
    let output =
        call(folder.path(), &[&arguments[..], &["--backend", cpu(), "--set", "data.ignore=[\"id\"]"]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    folder
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), content).unwrap();
}

/// Returns the exit code and standard error of a prediction.
fn predict(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = call(folder, &[&["predict", "run"], arguments].concat());
    (code(&output), text(&output.stderr))
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn lines_of_json(folder: &Path, name: &str) -> Vec<Value> {
    read(folder, name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A table with bad rows between the good ones: with too few fields, and with a text for a number.
fn with_bad_rows(n: usize) -> String {
    let good = rows(n);
    let (front, back) = good.split_at(good.match_indices('\n').nth(n / 2 - 1).unwrap().0 + 1);
    format!("{COLUMNS}{front}short,1\n\nname,many,red,small\n{back}")
}

#[test]
fn each_row_has_its_answer_in_each_format() {
    // More rows than one batch has.
    const N: usize = 6000;
    let folder = trained();
    let folder = folder.path();
    let table = with_bad_rows(N);
    write(folder, "new.csv", &table);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(table.as_bytes()).unwrap();
    write(folder, "new.csv.gz", gzip.finish().unwrap());

    // The document has the same answers.
    let document = call(folder, &["predict", "run", "new.csv", "--json", "--keep", "id", "--keep", "class"]);
    let answer: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(
        (code(&document), &answer["problems"], &answer["classes"]),
        (Some(2), &json!([]), &json!(["la,rge", "small"]))
    );
    let error = "error: 2 of 6002 rows cannot be read and have an error instead of a class: new.csv, line 3002: 2 fields, but the header has 4; \
                 new.csv, line 3004, column \"size\": \"many\" is not a number\n";
    assert_eq!(text(&document.stderr), error);
    let expected = answer["predictions"].as_array().unwrap();
    let (bad, good): (Vec<_>, Vec<_>) = expected.iter().partition(|row| row.get("error").is_some());
    assert_eq!(
        (good.len(), bad[0]),
        (
            N,
            &json!({
                "file": "new.csv", "line": 3002, "kept": { "id": null, "class": null }, "error": "2 fields, but the header has 4"
            })
        )
    );
    assert_eq!((&bad[1]["kept"], bad[1].get("class")), (&json!({ "id": "name", "class": "small" }), None));

    for (file, standard_input) in [("new.csv", ""), ("new.csv.gz", ""), ("-", &*table)] {
        for out in ["out.csv", "out.jsonl", "again.jsonl"] {
            let arguments = ["predict", "run", file, "--out", out, "--keep", "id", "--keep", "class", "--force"];
            let mut child = command(folder, &arguments);
            let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = child.spawn().unwrap();
            child.stdin.take().unwrap().write_all(standard_input.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!((code(&output), text(&output.stdout)), (Some(2), format!("{out}\n")));
            let note = "note: the kept column \"class\" is named \"kept_class\", because \"class\" is the answer's\n";
            assert_eq!(text(&output.stderr), note.to_owned() + &error.replace("new.csv", file));
        }
        assert_eq!(read(folder, "again.jsonl"), read(folder, "out.jsonl"));
        let rows = lines_of_json(folder, "out.jsonl");
        assert_eq!(rows.len(), expected.len());
        for (row, expected) in rows.iter().zip(expected) {
            let probability = |j: usize| expected.get("probabilities").map_or(Value::Null, |all| all[j].clone());
            let of = |key: &str| expected.get(key).cloned().unwrap_or_default();
            let (id, label) = (&expected["kept"]["id"], &expected["kept"]["class"]);
            assert_eq!(
                row,
                &json!({
                    "line": of("line"), "id": id, "kept_class": label, "class": of("class"),
                    "probability_la,rge": probability(0), "probability_small": probability(1), "error": of("error"),
                })
            );
        }
        // CSV has the same cells. Two of its names and many of its fields need quotes.
        let csv = read(folder, "out.csv");
        let mut csv = csv.lines();
        let head = "line,id,kept_class,class,\"probability_la,rge\",probability_small,error";
        assert_eq!(csv.next(), Some(head));
        for (line, row) in csv.by_ref().zip(&rows) {
            let cell = |key: &str| match &row[key] {
                Value::Null => String::new(),
                Value::String(text) if text.contains([',', '"']) => format!("\"{}\"", text.replace('"', "\"\"")),
                Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            let keys = ["line", "id", "kept_class", "class", "probability_la,rge", "probability_small", "error"];
            assert_eq!(line, keys.map(cell).join(","));
        }
        assert_eq!(csv.next(), None);
    }
    // The table for people names the rows likewise.
    let shown = text(&call(folder, &["predict", "run", "new.csv", "--quiet"]).stdout);
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(shown.len(), 2 + expected.len());
    assert!(
        shown[2].ends_with("  new.csv, line 2")
            && shown[3002].ends_with("-  new.csv, line 3002: 2 fields, but the header has 4")
    );
}

#[test]
fn several_files_are_one_file_of_answers() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "a.csv", COLUMNS.to_owned() + &rows(3));
    write(folder, "b.tsv", (COLUMNS.to_owned() + &rows(2)).replace("la,rge", "large").replace(',', "\t"));
    write(
        folder,
        "c.arff",
        "@relation c\n@attribute colour {red,green,blue}\n@attribute size numeric\n@attribute id string\n@data\nred,1.5,?\nviolet,2,x\n",
    );
    let (exit_code, error) =
        predict(folder, &["a.csv", "b.tsv", "c.arff", "--out", "out.csv", "--keep", "id", "--quiet"]);
    assert_eq!(exit_code, Some(2));
    assert!(
        error.contains("1 of 7 rows cannot be read and has an error")
            && error.contains("c.arff, line 7, column \"colour\""),
        "{error}"
    );
    let out = read(folder, "out.csv");
    let rows: Vec<(&str, &str)> =
        out.lines().map(|line| line.split_at(line.match_indices(',').nth(1).unwrap().0)).collect();
    let places = ["file,line", "a.csv,2", "a.csv,3", "a.csv,4", "b.tsv,2", "b.tsv,3", "c.arff,6", "c.arff,7"];
    assert_eq!(rows.iter().map(|(place, _)| *place).collect::<Vec<_>>(), places);
    assert_eq!((rows[1].1, rows[2].1), (rows[4].1, rows[5].1));
    // On standard output, a file that cannot be read does not stop the others.
    let output = call(folder, &["predict", "run", "absent.csv", "a.csv", "--json", "--quiet"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), answer["predictions"].as_array().map(Vec::len)), (Some(2), Some(3)));
    assert_eq!(
        (&answer["problems"][0]["file"], answer["problems"].as_array().map(Vec::len)),
        (&json!("absent.csv"), Some(1))
    );
    let nothing = call(folder, &["predict", "run", "absent.csv", "--json", "--quiet"]);
    assert_eq!(serde_json::from_slice::<Value>(&nothing.stdout).unwrap()["predictions"], json!([]));
}

#[test]
fn bad_rows_are_answered_left_out_or_an_error() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "new.csv", with_bad_rows(8));
    let skipped = predict(folder, &["new.csv", "--out", "out.jsonl", "--bad-rows", "skip"]);
    let note = "note: new.csv: 2 rows that cannot be read are left out: line 6: 2 fields, but the header has 4; line 8, column \"size\": \"many\" is not a number\n";
    assert_eq!(skipped, (Some(0), note.to_owned()));
    let lines: Vec<Value> = lines_of_json(folder, "out.jsonl").iter().map(|row| row["line"].clone()).collect();
    assert_eq!(lines, [2, 3, 4, 5, 9, 10, 11, 12].map(Value::from));
    let first = ["predict", "run", "new.csv", "--out", "first.jsonl", "--bad-rows", "error"];
    is_refused(folder, &first, &["error: new.csv: line 6: 2 fields"]);
    // With no bad row, the exit code is 0.
    assert_eq!(predict(folder, &["train.csv", "--out", "train.csv.jsonl"]), (Some(0), String::new()));
}

#[test]
fn a_file_of_answers_is_whole_or_not_there() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "new.csv", COLUMNS.to_owned() + &rows(5));
    let predict_to =
        |out: &'static str, more: &[&'static str]| [&["predict", "run", "new.csv", "--out", out], more].concat();
    // The ending is checked before anything is read.
    for out in ["out.txt", "out", "out.csv.gz"] {
        is_refused(
            folder,
            &["predict", "nowhere", "new.csv", "--out", out],
            &[out, "the ending names the format, which is .csv, .jsonl or .parquet"],
        );
    }
    if READERS.iter().all(|reader| reader.name() != "Parquet") {
        is_refused(folder, &["predict", "nowhere", "new.csv", "--out", "out.parquet"], &["--features parquet"]);
    } else {
        assert_eq!(predict(folder, &["new.csv", "--out", "out.parquet", "--keep", "id"]), (Some(0), String::new()));
        let kept = ["line", "id", "class", "probability_small"].map(str::to_owned);
        let recipe = Recipe::of_numbers(&["probability_small".to_owned()]);
        let mut rows =
            InputReader::new(recipe, kept.to_vec(), TextOptions::default()).open(&folder.join("out.parquet")).unwrap();
        let batch = rows.next().unwrap().unwrap();
        assert_eq!((batch.kept[0].get(4), batch.kept[1].get(4)), ("6", "x\"4"));
    }
    is_refused(folder, &predict_to("out.csv", &["--keep", "name"]), &["new.csv: no column \"name\""]);
    is_refused(folder, &predict_to("out.csv", &["--keep", "id", "--keep", "id"]), &["\"id\"", "keep each column once"]);
    is_refused(folder, &["predict", "run", "new.csv", "--keep", "id"], &["--keep needs a file"]);
    is_refused(folder, &predict_to("absent/out.csv", &[]), &["absent/out.csv"]);
    is_refused(folder, &predict_to("out.csv", &["absent.csv"]), &["absent.csv: no such file"]);
    write(folder, "cut.csv", COLUMNS.to_owned() + &rows(9000) + "\"x");
    is_refused(
        folder,
        &["predict", "run", "cut.csv", "--out", "out.csv"],
        &["cut.csv: line 9002: a quote is not closed"],
    );
    // An existing file is replaced only by --force, and only by a complete one.
    write(folder, "out.csv", "mine");
    is_refused(folder, &predict_to("out.csv", &[]), &["out.csv exists already", "--force"]);
    is_refused(folder, &["predict", "run", "cut.csv", "--out", "out.csv", "--force"], &["a quote is not closed"]);
    assert_eq!(read(folder, "out.csv"), "mine");
    assert_eq!(predict(folder, &["new.csv", "--out", "out.csv", "--force"]), (Some(0), String::new()));
    assert_eq!(read(folder, "out.csv").lines().count(), 6);
}

#[cfg(target_os = "linux")]
#[test]
fn predictions_never_replace_the_rows_that_they_are_of() {
    let folder = trained();
    let folder = folder.path();
    let table = COLUMNS.to_owned() + &rows(4);
    write(folder, "new.csv", &table);
    let (exit, stderr) = predict(folder, &["new.csv", "--out", "./new.csv", "--force"]);
    assert!(exit == Some(2) && stderr.contains("is the file to predict; name another"), "{exit:?} {stderr}");
    assert_eq!(read(folder, "new.csv"), table);
}

#[test]
fn a_killed_prediction_leaves_no_file_of_answers() {
    use crate::command::{isolate, process};

    let folder = trained();
    let folder = folder.path();
    let drafts = || {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".chainrule-") || name.starts_with("out")).collect::<Vec<_>>()
    };
    let mut child =
        command(folder, &["predict", "run", "-", "--out", "out.csv"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all((COLUMNS.to_owned() + &rows(20_000)).as_bytes()).unwrap();
    // It waits for the rest of its input, and has written what it can.
    let size = || drafts().first().map_or(0, |name| std::fs::metadata(folder.join(name)).unwrap().len());
    while size() < 1000 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    let [draft] = &drafts()[..] else { panic!("{:?}", drafts()) };
    assert!(draft.starts_with(".chainrule-"), "{draft}");
    // The next one deletes what is left.
    write(folder, "new.csv", COLUMNS.to_owned() + &rows(5));
    assert_eq!(predict(folder, &["new.csv", "--out", "out.csv"]).0, Some(0));
    assert_eq!(drafts(), ["out.csv"]);
    // Ctrl-C leaves nothing, even while the program waits for its input.
    let arguments = ["predict", "run", "-", "--out", "out.csv", "--force"];
    let mut child = command(folder, &arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all((COLUMNS.to_owned() + &rows(20_000)).as_bytes()).unwrap();
    while !drafts().iter().any(|name| name.starts_with(".chainrule-")) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(process("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), text(&output.stderr)), (Some(130), "interrupted; out.csv was not written\n".to_owned()));
    drop(input);
    assert_eq!(drafts(), ["out.csv"]);
    // A file that cannot become as long, as on a full disk, is an error that leaves nothing.
    write(folder, "long.csv", COLUMNS.to_owned() + &rows(20_000));
    let script = "trap '' XFSZ; ulimit -f 100; exec \"$0\" predict run long.csv --out out.csv --force";
    let mut shell = process("sh");
    isolate(shell.args(["-c", script]).arg(command(folder, &[]).get_program()), folder);
    let output = shell.output().unwrap();
    let error = text(&output.stderr);
    assert!(code(&output) == Some(2) && error.starts_with("error: cannot write out.csv: "), "{error}");
    assert_eq!((drafts(), read(folder, "out.csv").lines().count()), (vec!["out.csv".to_owned()], 6));
}
