//! The command `explain` on tables and digits that are drawn here.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn call(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chainrule"));
    command.current_dir(folder).env_remove("CHAINRULE_DATA").args(arguments.split(' ')).output().unwrap()
}

/// Returns standard output. The command must succeed.
fn stdout(folder: &Path, arguments: &str) -> String {
    let output = call(folder, arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(0), "{arguments}: {stderr}");
    stdout
}

fn json(folder: &Path, arguments: &str) -> Value {
    serde_json::from_str(&stdout(folder, &format!("{arguments} --json --quiet"))).unwrap()
}

/// Expects an error of one line with this text.
fn is_refused(folder: &Path, arguments: &str, expected: &str) {
    let output = call(folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{arguments}: {error}");
    assert!(error.contains(expected), "{arguments}: {error:?} does not say {expected:?}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// A folder with the table `people.csv` and these runs on it, each with its label.
fn folder(runs: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "age,city,size,day,answer,mood\n".to_owned();
    for i in 0..120 {
        let age = if i % 9 == 4 { String::new() } else { (20 + i * 37 % 41).to_string() };
        let size = if i % 7 == 3 { "" } else { ["S", "M", "L"][i % 3] };
        let answer = if i * 37 % 41 + i * i % 17 > 27 { "yes" } else { "no" };
        let mood = ["glad", "sad", "so, so"][(i * i + i * 37 % 41 / 14) % 3];
        writeln!(
            text,
            "{age},{},{size},2024-0{}-11,{answer},\"{mood}\"",
            ["Rome", "Oslo", "Bonn"][i * i % 5 % 3],
            1 + i % 9
        )
        .unwrap();
    }
    std::fs::write(folder.path().join("people.csv"), text).unwrap();
    let new = "age,city,size,day\n31,Paris,,2025-02-28\n,Rome,S,2024-05-05\nold,Rome,S,2024-05-05\n";
    std::fs::write(folder.path().join("new.csv"), new).unwrap();
    for (name, label) in runs {
        let other = if *label == "mood" { "answer" } else { "mood" };
        let train = "train --data people.csv --validation 0 --backend cpu --quiet";
        stdout(folder.path(), &format!("{train} --label {label} --set data.ignore=[\"{other}\"] --out {name}"));
    }
    folder
}

/// The contributions add up to the logits, and the logits give the probabilities of `predict`.
fn adds_up(folder: &Path, run: &str, file: &str, row: usize, key: &str) -> Value {
    let answer = json(folder, &format!("explain {run} {file} --row {row}"));
    let predicted = json(folder, &format!("predict {run} {file} --bad-rows skip"));
    let of_row = predicted["predictions"].as_array().unwrap().iter().find(|of_row| of_row[key] == row).unwrap();
    assert_eq!((&answer["class"], &answer[key]), (&of_row["class"], &of_row[key]));
    let (p, expected) = (numbers(&answer["probabilities"]), numbers(&of_row["probabilities"]));
    assert!(p.iter().zip(&expected).all(|(p, expected)| (p - expected).abs() < 1e-12), "{p:?}, not {expected:?}");
    let mut logits: Vec<f64> = answer["logits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|logit| {
            let contributions = logit["contributions"].as_array().unwrap();
            let terms: Vec<f64> = contributions.iter().map(|term| number(&term["contribution"])).collect();
            assert!(terms.windows(2).all(|pair| pair[0].abs() >= pair[1].abs()), "{terms:?}");
            for term in contributions.iter().filter(|term| !term["per_unit"].is_null()) {
                let [per_unit, value, from] = ["per_unit", "number", "reference"].map(|key| number(&term[key]));
                assert!((per_unit * (value - from) - number(&term["contribution"])).abs() < 1e-12, "{term}");
            }
            let sum = number(&logit["bias"]) + terms.iter().sum::<f64>();
            assert!((sum - number(&logit["logit"])).abs() < 1e-12);
            sum
        })
        .collect();
    if logits.len() == 1 {
        logits.insert(0, 0.0);
    }
    let sum: f64 = logits.iter().map(|z| z.exp()).sum();
    assert!(logits.iter().zip(&p).all(|(z, p)| (z.exp() / sum - p).abs() < 1e-12), "{logits:?}: {p:?}");
    answer
}

/// Returns the last cells of the lines from the one after `title` to the one that begins with
/// `last`, as multiples of their last digit.
fn column(text: &str, title: &str, last: &str) -> Vec<f64> {
    let lines = text.lines().skip_while(|line| !line.starts_with(title)).skip(1);
    let mut cells = Vec::new();
    for line in lines {
        let cell = line.split_whitespace().next_back().unwrap();
        let decimals = cell.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        cells.push((cell.parse::<f64>().unwrap_or_else(|_| panic!("{line}")) * 10f64.powi(decimals as i32)).round());
        if line.starts_with(last) {
            return cells;
        }
    }
    panic!("{text} has no {last} after {title}")
}

/// Whether the last of these numbers is the sum of the others.
fn is_sum(cells: &[f64]) -> bool {
    let (sum, terms) = cells.split_last().unwrap();
    terms.len() > 2 && terms.iter().sum::<f64>() == *sum
}

#[test]
fn contributions_of_a_table_add_up() {
    let folder = folder(&[("two", "answer"), ("three", "mood")]);
    let folder = folder.path();
    for run in ["two", "three"] {
        for (file, row) in [("people.csv", 2), ("people.csv", 6), ("new.csv", 2), ("new.csv", 3)] {
            let answer = adds_up(folder, run, file, row, "line");
            assert_eq!(
                (&answer["file"], answer["logits"][0]["contributions"].as_array().unwrap().len()),
                (&file.into(), 4)
            );
        }
    }
    let answer = adds_up(folder, "two", "new.csv", 2, "line");
    let terms = answer["logits"][0]["contributions"].as_array().unwrap();
    let of = |name: &str| terms.iter().find(|term| term["name"] == name).unwrap();
    assert_eq!((&of("age")["value"], number(&of("age")["number"])), (&"31".into(), 31.0));
    assert_eq!(of("day")["value"], "2025-02-28");
    // Days since 1970
    assert_eq!(number(&of("day")["number"]), 20_147.0);
    assert_eq!((&of("city")["value"], number(&of("city")["contribution"])), (&"Paris (unknown)".into(), 0.0));
    assert_eq!((&of("size")["value"], &of("size")["per_unit"]), (&"(missing)".into(), &Value::Null));
    let answer = adds_up(folder, "two", "new.csv", 3, "line");
    let terms = answer["logits"][0]["contributions"].as_array().unwrap();
    let age = terms.iter().find(|term| term["name"] == "age").unwrap();
    assert_eq!((&age["value"], &age["per_unit"]), (&"(missing)".into(), &Value::Null));
    assert_ne!(number(&age["contribution"]), 0.0);
}

#[test]
fn the_text_adds_up_as_it_is_shown() {
    let folder = folder(&[("two", "answer"), ("three", "mood")]);
    let folder = folder.path();
    for row in 2..40 {
        let text = stdout(folder, &format!("explain two people.csv --row {row}"));
        assert!(text.contains(&format!("people.csv, line {row}\npredicted      ")), "{text}");
        assert!(is_sum(&column(&text, "yes against no ", "logit")), "{text}");
        let text = stdout(folder, &format!("explain three people.csv --row {row}"));
        for class in ["for glad ", "for sad ", "for so, so "] {
            assert!(is_sum(&column(&text, class, "logit")), "{text}");
        }
    }
    let one = stdout(folder, "explain three people.csv --row 5 --class sad");
    assert!(one.contains("for sad ") && !one.contains("for glad"), "{one}");
    let csv = stdout(folder, "explain three people.csv --row 5 --format csv");
    assert!(csv.starts_with("class,name,value,contribution,per_unit,number,reference\nglad,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 3 * 5);
    assert!(csv.contains("\n\"so, so\",(bias),,"), "{csv}");
    stdout(folder, "explain three people.csv --row 5 --format csv --out why.csv");
    assert_eq!(std::fs::read_to_string(folder.join("why.csv")).unwrap(), csv);
    is_refused(folder, "explain three people.csv --row 5 --format csv --out why.csv", "add --force to replace it");
}

#[test]
fn the_gradient_is_worked_out_with_numbers() {
    let folder = folder(&[("two", "answer"), ("three", "mood")]);
    let folder = folder.path();
    for (run, row, column_of_class) in [("two", 2, 0), ("three", 5, 2)] {
        let explain = format!("explain {run} people.csv --row {row} --worked-gradient");
        let gradient = &json(folder, &explain)["gradient"];
        let [x, z, p, y, residual, weight] =
            ["x", "z", "p", "y", "residual", "weight"].map(|key| numbers(&gradient[key]));
        let k = z.len();
        assert_eq!((x.len(), weight.len()), (gradient["features"].as_array().unwrap().len(), x.len() * k));
        let expected = if run == "two" { "no" } else { "so, so" };
        assert_eq!((&gradient["target"], y[column_of_class]), (&expected.into(), if k == 1 { 0.0 } else { 1.0 }));
        for i in 0..k {
            assert!((residual[i] - (p[i] - y[i])).abs() < 1e-15);
            assert!((0..x.len()).all(|j| (weight[j * k + i] - x[j] * residual[i]).abs() < 1e-15));
        }
        let text = stdout(folder, &explain);
        let (equation, last) = if k == 1 { ("Eq. (1)", "z ") } else { ("Eq. (11)", "z_k ") };
        let mut table = &text[text.find(equation).unwrap()..];
        if k > 1 {
            // The line with the classes.
            table = table.split_once('\n').unwrap().1;
        }
        assert!(is_sum(&column(table, "", last)), "{text}");
        let equations: &[&str] = if k == 1 {
            &["Eq. (2): p = ", "Eq. (3): C = ", "Eq. (6): dC/dz = p - y", "Eq. (8): dC/dw_j = ", "(Eq. (9))"]
        } else {
            &["Eq. (12): p_k = ", "Eq. (13): C = ", "Eq. (17): dC/dz_k = ", "Eq. (18): dC/dW_jk = ", "(Eq. (19))"]
        };
        let places: Vec<Option<usize>> = equations.iter().map(|equation| text.find(equation)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
        assert!(text.contains("features are 0: nothing in z, and a gradient of 0"), "{text}");
        let all = stdout(folder, &format!("{explain} --all"));
        assert!(!all.contains("features are 0") && all.contains("city=Oslo"), "{all}");
    }
    // Without a label in the file.
    let gradient = &json(folder, "explain two new.csv --row 2 --worked-gradient --target yes")["gradient"];
    assert_eq!((&gradient["target"], numbers(&gradient["y"])), (&"yes".into(), vec![1.0]));
    let missing = "no column \"answer\", which is to be kept";
    is_refused(folder, "explain two new.csv --row 2 --worked-gradient", missing);
    is_refused(folder, "explain two new.csv --row 2 --worked-gradient", "--target CLASS says what class the row has");
    is_refused(folder, "explain two people.csv --row 2 --worked-gradient --label mood", "its classes are [no, yes]");
    is_refused(folder, "explain two new.csv --row 2 --worked-gradient --target maybe", "--target maybe: no class");
    is_refused(folder, "explain two people.csv --row 2 --worked-gradient --format csv", "--json has both");
}

#[test]
fn a_row_that_is_not_there_is_an_error() {
    let folder = folder(&[("two", "answer")]);
    let folder = folder.path();
    is_refused(folder, "explain two people.csv", "has 120 rows; name one by its line, from 2 to 121, as in --row 2");
    is_refused(folder, "explain two people.csv --row 1", "--row 1: people.csv has 120 rows, from line 2 to 121");
    is_refused(folder, "explain two people.csv --row 122", "from line 2 to 121");
    is_refused(folder, "explain two new.csv --row 4", "new.csv, line 4: column \"age\": ");
    is_refused(folder, "explain two nwe.csv --row 4", "no such file; did you mean new.csv?");
    is_refused(folder, "explain two people.csv --row 2 --class no", "the logit of no is 0 by definition");
    is_refused(folder, "explain two people.csv --row 2 --class maybe", "the model's classes are [no, yes]");
    std::fs::write(folder.join("one.csv"), "age,city,size,day\n31,Rome,S,2025-02-28\n").unwrap();
    assert_eq!(json(folder, "explain two one.csv")["line"], 2);
    is_refused(folder, "explain two one.csv --row 1", "--row 1: one.csv has a single row, line 2");
}

#[test]
fn sparse_rows_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |i: usize| format!("{} {}:{} {}:1\n", i % 3, 1 + i % 5, 1 + i * i % 7, 7 + (i + i / 9) % 3);
    std::fs::write(folder.join("rows.svm"), (0..90).map(row).collect::<String>()).unwrap();
    stdout(folder, "train --data rows.svm --label label --validation 0 --backend cpu --quiet --out run");
    let answer = adds_up(folder, "run", "rows.svm", 5, "line");
    // A row contributes by what it lists.
    let terms = answer["logits"][0]["contributions"].as_array().unwrap();
    let mut names: Vec<&str> = terms.iter().map(|term| term["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["index 5", "index 8"], "{answer}");
    let gradient = &json(folder, "explain run rows.svm --row 5 --worked-gradient")["gradient"];
    assert_eq!(gradient["target"], "1");
}

#[test]
fn the_largest_pixels_of_an_image_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    stdout(folder, "data --write-idx digits --train-images 200 --validation-images 40");
    let train = "train softmax-optimum --data digits --set data.train_images=200 --set data.validation_images=40";
    stdout(folder, &format!("{train} --set objective.l2=0.1 --backend cpu --quiet --out run"));
    let file = "digits/t10k-images-idx3-ubyte";
    let answer = adds_up(folder, "run", file, 7, "number");
    let terms = answer["logits"][0]["contributions"].as_array().unwrap();
    assert_eq!((terms.len(), &answer["reference"]), (784, &"blank".into()));
    // Pixels without ink contribute nothing.
    for term in terms {
        assert!((term["value"] == "0") == (number(&term["contribution"]) == 0.0), "{term}");
    }
    let explain = format!("explain run {file} --row 7 --class 3");
    let text = stdout(folder, &explain);
    assert!(text.contains("(774 others)") && text.contains("(blank image)") && text.contains(&format!("{file}[7]\n")));
    assert!(is_sum(&column(&text, "for 3 ", "logit")), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("row ")).count(), 10);
    let all = stdout(folder, &format!("{explain} --all"));
    assert_eq!(all.lines().filter(|line| line.starts_with("row ")).count(), 784);

    is_refused(folder, &format!("explain run {file}"), "has 40 images; name one by its index, from 0 to 39");
    is_refused(folder, &format!("explain run {file} --row 40"), "has 40 images, and the first index is 0");
    is_refused(folder, &format!("{explain} --worked-gradient"), "name");
    let worked = stdout(folder, &format!("{explain} --worked-gradient --target 3"));
    for part in ["x_j = value / 127.5 - 1", "(others)", "left out: 774 features and 5 classes", "Eq. (18)"] {
        assert!(worked.contains(part), "{worked} has no {part:?}");
    }
}
