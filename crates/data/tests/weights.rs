//! The weights of a table's rows (`data.weight`).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use chainrule_core::{ModelKind, Settings, TextOptions, TrainConfig};
use chainrule_data::{DataError, Dataset, Holdout, RecipeOptions, RecipeSource, Rows, TableRequest, Tables};

fn request() -> TableRequest {
    TableRequest {
        label: Some("y".to_owned()),
        ignored: Vec::new(),
        group: None,
        weight: Some("w".to_owned()),
        text: TextOptions::default(),
        recipe: RecipeSource::Learn(RecipeOptions { missing: vec!["none".to_owned()], ..RecipeOptions::default() }),
        classes: None,
        holdout: None,
        resident_bytes: 1 << 24,
        scratch: None,
    }
}

/// Writes files to a folder and reads one of them, or the folder.
fn read(files: &[(&str, &str)], path: &str, request: &TableRequest) -> Result<Tables, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let path = if path.is_empty() { folder.path().to_owned() } else { folder.path().join(path) };
    Tables::read(&path, request).map_err(|error| error.to_string())
}

fn weights(rows: &Rows) -> Vec<f64> {
    (0..rows.len()).map(|row| rows.weight(row)).collect()
}

/// The weight of a row in the file.
fn weight(row: usize) -> f64 {
    (row * 5 % 7) as f64 * 0.1
}

/// A table of n rows with this weight of each.
fn table(n: usize, weight: impl Fn(usize) -> String) -> String {
    let row =
        |i: usize| format!("{},{},{},{}\n", (i * 37 % 101) as f64 / 7.0, weight(i), i * i % 11, ["u", "v"][i % 2]);
    "a,w,b,y\n".to_owned() + &(0..n).map(row).collect::<String>()
}

#[test]
fn each_row_keeps_its_weight_and_the_column_is_no_feature() {
    // Long columns are rounded to f32, except weights.
    for n in [60, 70_000] {
        let request = TableRequest { holdout: Some(Holdout { fraction: 0.25, seed: 3 }), ..request() };
        let tables = read(&[("t.csv", &table(n, |i| format!(" {} ", weight(i))))], "t.csv", &request).unwrap();
        assert_eq!(tables.recipe.column_names(), ["a", "b"]);
        for part in &tables.parts {
            let rows = &part.rows;
            let of_file = |rows: &Rows| (0..rows.len()).map(|row| weight(rows.stored_index(row))).collect::<Vec<_>>();
            assert_eq!(weights(rows), of_file(rows));
            let scaled: Vec<f64> = rows.weights().unwrap().unwrap().iter().collect();
            let sum: f64 = weights(rows).iter().sum();
            for (scaled, weight) in scaled.iter().zip(weights(rows)) {
                assert!((scaled - weight * rows.len() as f64 / sum).abs() < 1e-12, "{scaled} {weight}");
            }
            // Selections keep the weights of their rows.
            let chosen = rows.select(&[5, 2, 2, 9]);
            assert_eq!(weights(&chosen), of_file(&chosen));
            let second = rows.with_classes(&[None, Some(0)]);
            assert_eq!(weights(&second), of_file(&second));
            let other = rows.clone().with_weights((0..rows.len()).map(|row| row as f64).collect()).unwrap();
            assert_eq!(weights(&other.select(&[5, 2, 2, 9])), [5.0, 2.0, 2.0, 9.0]);
            let of_class = other.with_classes(&[None, Some(0)]);
            let expected = (0..rows.len()).filter(|&row| rows.label(row) == 1).map(|row| row as f64);
            assert_eq!(weights(&of_class), expected.collect::<Vec<_>>());
            assert_ne!(other.sha256().unwrap(), rows.sha256().unwrap());
        }
    }
    // The column has another place in the file for validation, and svmlight's qid is a column, too.
    let files =
        [("train.csv", table(20, |i| (i % 3).to_string())), ("val.csv", "w,y,b,a\n1,u,2,3\n4,v,5,6\n".to_owned())];
    let tables = read(&files.each_ref().map(|(name, text)| (*name, &text[..])), "", &request()).unwrap();
    assert_eq!(weights(&tables.parts[1].rows), [1.0, 4.0]);
    let of_svmlight = TableRequest { label: Some("label".to_owned()), weight: Some("qid".to_owned()), ..request() };
    let tables = read(&[("t.svm", "0 qid:3 1:2\n1 qid:1 2:4\n0 qid:2 1:7\n")], "t.svm", &of_svmlight).unwrap();
    assert_eq!(weights(&tables.parts[0].rows), [3.0, 1.0, 2.0]);
}

#[test]
fn equal_weights_are_no_weights() {
    for all in ["1", "0.3", "1e-30", "7e20"] {
        let tables = read(&[("t.csv", &table(20, |_| all.to_owned()))], "t.csv", &request()).unwrap();
        assert!(tables.parts[0].rows.weights().unwrap().is_none(), "{all}");
    }
    let rows = Rows::of_values(1, &[1.0, 2.0], vec![0, 1]);
    assert_eq!((rows.weights().unwrap().is_none(), rows.weight(1)), (true, 1.0));
}

#[test]
fn a_wrong_weight_is_an_error_with_its_line_and_column() {
    let check = |field: &str, expected: &str| {
        let text = table(12, |i| if i == 6 { field.to_owned() } else { "2".to_owned() });
        let problem = read(&[("t.csv", &text)], "t.csv", &request()).unwrap_err();
        let expected = format!("line 8, column \"w\": {expected}");
        assert!(problem.contains(&expected) && problem.lines().count() == 1, "{problem}, not {expected}");
    };
    check("", "the weight is missing; leave out the row, or data.weight");
    check("NA", "the weight is missing (\"NA\");");
    check("none", "the weight is missing (\"none\");");
    for field in ["-1", "-1e-300", "inf", "1e31", "heavy", "1 2"] {
        check(field, &format!("expected a weight, a number from 0 to 1e30 (data.weight), found {field:?}"));
    }
    let check = |files: &[(&str, &str)], path: &str, request: &TableRequest, expected: &str| {
        let problem = read(files, path, request).unwrap_err();
        assert!(problem.contains(expected) && problem.lines().count() == 1, "{problem}, not {expected}");
    };
    let (good, zero) = (table(12, |i| i.to_string()), table(12, |_| "0".to_owned()));
    let all_zero = |rows: &str| format!("column \"w\": all {rows} rows have the weight 0; at least one needs");
    check(&[("t.csv", &zero)], "t.csv", &request(), &all_zero("training"));
    check(&[("train.csv", &good), ("test.csv", &zero)], "", &request(), &all_zero("validation"));
    let without = "a,b,y\n1,2,u\n3,4,v\n";
    let missing = "no column \"w\", which data.weight names; its columns are a, b, y";
    check(&[("t.csv", without)], "t.csv", &request(), missing);
    check(&[("train.csv", &good), ("test.csv", without)], "", &request(), missing);
    let label = TableRequest { weight: Some("y".to_owned()), ..request() };
    check(&[("t.csv", &good)], "t.csv", &label, "data.weight = \"y\": this is the column of the labels");
    let sparse = TableRequest { label: Some("label".to_owned()), weight: Some("features".to_owned()), ..request() };
    check(&[("t.svm", "0 1:2\n1 2:4\n")], "t.svm", &sparse, "has the sparse features of the rows");
}

#[test]
fn images_have_no_weights() {
    let mut settings = Settings::of(ModelKind::Softmax);
    (settings.data.source, settings.data.weight) = ("embedded".to_owned(), Some("w".to_owned()));
    let config = TrainConfig::try_from(settings).unwrap();
    let error = Dataset::find(&config, &mut |_| ()).err().unwrap();
    assert!(matches!(error, DataError::WeightOfImages { .. }), "{error}");
    assert_eq!(error.to_string(), "embedded: images have no weights; data.weight names a column of a table");
    let images = Rows::of_pixels([1, 2], vec![0; 4], vec![0, 1]);
    assert!(images.with_weights(vec![1.0, 2.0]).is_err());
    assert!(!Path::new("embedded").exists());
}
