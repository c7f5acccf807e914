//! `chainrule evaluate`: a trained model on labelled images.

use std::path::Path;

use chainrule_tests_macros::test;
use serde_json::{Value, json};

use crate::command::{call, code, folder, is_refused, seal_again, text};
use crate::predict::{train, write_digits};
use crate::tables;

/// Returns the JSON output. Standard error must be empty.
fn evaluate(folder: &Path, more: &[&str]) -> Value {
    let output = call(folder, &[&["evaluate", "run", "--json", "--quiet"], more].concat());
    assert_eq!((code(&output), text(&output.stderr).as_str()), (Some(0), ""));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Expects the loss and accuracy of both splits to match the summary, and the other numbers to
/// follow from the confusion matrix.
fn agrees_with_the_summary(config: &str, more: &[&str], tolerance: f64) {
    let folder = folder();
    let summary = train(folder.path(), config, more);
    for (split, loss, accuracy, rows) in [
        ("train", "train_loss", "train_accuracy", "train"),
        ("validation", "validation_loss", "validation_accuracy", "validation"),
    ] {
        let scores = evaluate(folder.path(), &["--split", split]);
        let expected = number(&summary["final"][loss]);
        let difference = (number(&scores["loss"]) / expected - 1.0).abs();
        assert!(difference <= tolerance, "{config} {more:?}: {} {expected}", scores["loss"]);
        assert_eq!((&scores["accuracy"], &scores["rows"]), (&summary["final"][accuracy], &summary["data"][rows]));
        assert_eq!(
            (&scores["classes"], &scores["data"]["sha256"]),
            (&summary["data"]["classes"], &summary["data"]["sha256"])
        );
        // Of ten classes, some are not among those of the run.
        let left_out = number(&scores["data"]["left_out"]) > 0.0;
        assert_eq!((&scores["data"]["is_the_runs_own"], left_out), (&true.into(), config == "configs/logistic.toml"));

        let confusion: Vec<Vec<u64>> = serde_json::from_value(scores["confusion"].clone()).unwrap();
        let sum: u64 = confusion.iter().flatten().sum();
        let right: u64 = (0..confusion.len()).map(|k| confusion[k][k]).sum();
        assert_eq!((&scores["rows"], &scores["right"]), (&sum.into(), &right.into()));
        let bins: u64 = scores["reliability"].as_array().unwrap().iter().map(|bin| bin["rows"].as_u64().unwrap()).sum();
        assert_eq!(bins, sum);
        let wrong = scores["most_confidently_wrong"].as_array().unwrap();
        assert_eq!(wrong.len() as u64, (sum - right).min(40));
        assert!(wrong.is_sorted_by_key(|wrong| -number(&wrong["confidence"])));
    }
}

#[test]
fn softmax_numbers_match_the_summary() {
    agrees_with_the_summary("configs/softmax.toml", &["--precision", "f64", "--gradient", "autodiff"], 1e-12);
    agrees_with_the_summary("configs/softmax.toml", &["--precision", "f32", "--gradient", "fused"], 1e-6);
}

#[test]
fn logistic_numbers_match_the_summary() {
    agrees_with_the_summary("configs/logistic.toml", &["--precision", "f64", "--gradient", "fused"], 1e-12);
    agrees_with_the_summary("configs/logistic.toml", &["--precision", "f32", "--gradient", "closed-form"], 1e-6);
}

#[test]
fn other_data_is_evaluated_completely() {
    let folder = folder();
    train(folder.path(), "configs/softmax.toml", &[]);
    write_digits(folder.path());
    // The run's own files, in another folder.
    let result = evaluate(folder.path(), &["--data", "digits"]);
    assert_eq!((&result["data"]["is_the_runs_own"], &result["data"]["source"]), (&true.into(), &"digits".into()));
    assert_eq!(result["loss"], evaluate(folder.path(), &[])["loss"]);

    let more = ["--train-images", "600", "--validation-images", "450", "--seed", "7", "--quiet"];
    call(folder.path(), &[&["data", "--write-idx", "others"], &more[..]].concat());
    let output = call(folder.path(), &["evaluate", "run", "--data", "others", "--json"]);
    let scores: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&scores["data"]["is_the_runs_own"], &scores["rows"]), (&false.into(), &450.into()));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("note: this is not the data of the run; the run used embedded digits"), "{stderr}");
    assert!(text(&call(folder.path(), &["evaluate", "run", "--data", "others"]).stdout).contains("not the run's own"));
}

#[test]
fn images_of_unknown_classes_are_refused_or_counted() {
    let folder = folder();
    train(folder.path(), "configs/logistic.toml", &[]);
    write_digits(folder.path());
    let both = evaluate(folder.path(), &["--data", "digits"]);
    // The run itself chose two of ten classes, so other classes are allowed in the data and
    // counted.
    assert_eq!(
        (&both["data"]["left_out"], &both["classes"]),
        (&(300 - number(&both["rows"]) as u64).into(), &json!([3, 2]))
    );
    assert_eq!(both["data"]["left_out_classes"].as_object().unwrap().len(), 8);

    let zeros = folder.path().join("zeros");
    std::fs::create_dir(&zeros).unwrap();
    for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"] {
        std::fs::copy(folder.path().join("digits").join(name), zeros.join(name)).unwrap();
    }
    chainrule_data::idx::write_labels(&zeros.join("t10k-labels-idx1-ubyte"), &[3; 300]).unwrap();
    let threes = evaluate(folder.path(), &["--data", "zeros"]);
    assert_eq!((&threes["rows"], &threes["per_class"][1]["recall"]), (&300.into(), &Value::Null));

    let all_ten = self::folder();
    train(all_ten.path(), "configs/softmax.toml", &[]);
    let elevens = all_ten.path().join("elevens");
    std::fs::rename(&zeros, &elevens).unwrap();
    let labels: Vec<u8> = (0..300).map(|i| if i < 100 { 11 } else { 1 }).collect();
    chainrule_data::idx::write_labels(&elevens.join("t10k-labels-idx1-ubyte"), &labels).unwrap();
    let expected = "elevens: 100 of 300 images have classes that the model does not know: 11 (100); its classes are [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]; --known-classes-only";
    is_refused(all_ten.path(), &["evaluate", "run", "--data", "elevens", "--quiet"], &[expected]);
    let scores = evaluate(all_ten.path(), &["--data", "elevens", "--known-classes-only"]);
    assert_eq!((&scores["data"]["left_out"], &scores["rows"]), (&100.into(), &200.into()));
    assert_eq!(scores["data"]["left_out_classes"], json!({ "11": 100 }));
    let output = call(all_ten.path(), &["evaluate", "run", "--data", "elevens", "--known-classes-only"]);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("\nleft out       100 images of other classes: 11 (100)\n"), "{stdout}");
    chainrule_data::idx::write_labels(&elevens.join("t10k-labels-idx1-ubyte"), &[11; 300]).unwrap();
    let output = call(all_ten.path(), &["evaluate", "run", "--data", "elevens", "--quiet"]);
    assert_eq!(code(&output), Some(2));
    assert!(text(&output.stderr).contains("elevens: no image of the model's classes"), "{}", text(&output.stderr));
}

/// More images than one read, and also compared with the probabilities of `predict`.
/// `predict` gives.
#[test]
fn streamed_images_give_the_same_numbers() {
    let folder = folder();
    let many = ["--train-images", "1500", "--validation-images", "300", "--quiet"];
    call(folder.path(), &[&["data", "--write-idx", "digits"], &many[..]].concat());
    train(folder.path(), "configs/softmax.toml", &["--data", "digits"]);
    let all = ["--data", "digits", "--split", "train"];
    let resident = evaluate(folder.path(), &all);
    assert_eq!(resident["rows"], 1500);

    let file = "digits/train-images-idx3-ubyte";
    let answer = call(folder.path(), &["predict", "run", file, "--json"]);
    let predictions: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let labels = chainrule_data::idx::read_labels(&folder.path().join("digits/train-labels-idx1-ubyte")).unwrap();
    let losses = predictions["predictions"].as_array().unwrap().iter().zip(labels);
    let losses = losses.map(|(predicted, label)| -number(&predicted["probabilities"][usize::from(label)]).ln());
    let loss = losses.sum::<f64>() / 1500.0;
    assert!((loss / number(&resident["loss"]) - 1.0).abs() < 1e-12, "{loss} and {}", resident["loss"]);

    // The same run with a memory limit below the size of its files.
    let config = folder.path().join("run/config.toml");
    let text_of_config = std::fs::read_to_string(&config).unwrap();
    assert!(text_of_config.contains("resident_bytes = 1073741824"), "{text_of_config}");
    std::fs::write(&config, text_of_config.replace("1073741824", "1000")).unwrap();
    seal_again(&folder.path().join("run"));
    let output = call(folder.path(), &[&["evaluate", "run", "--json"], &all[..]].concat());
    assert!(text(&output.stderr).contains("stays on disk"), "{}", text(&output.stderr));
    let streamed: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, value) in streamed.as_object().unwrap() {
        assert_eq!(&resident[key], value, "{key}");
    }
    // What needs the predictions of all rows at once is left out, and a note says so.
    assert!(resident["brier_score"].is_object() && streamed.get("brier_score").is_none());
    assert!(text(&output.stderr).contains("no AUC"), "{}", text(&output.stderr));
}

#[test]
fn the_most_confidently_wrong_images_are_drawn() {
    let folder = folder();
    train(folder.path(), "configs/softmax.toml", &[]);
    write_digits(folder.path());
    let scores = evaluate(folder.path(), &["--wrong", "wrong.png"]);
    let sheet = image::open(folder.path().join("wrong.png")).unwrap().to_rgb8();
    let wrong = scores["most_confidently_wrong"].as_array().unwrap();
    assert!(wrong.len() > 8, "{} wrong", wrong.len());
    // The first of these images is on the sheet, with each pixel as a square of 8.
    let first = scores["most_confidently_wrong_images"][0].as_u64().unwrap() as usize;
    let images = chainrule_data::idx::read_images(&folder.path().join("digits/t10k-images-idx3-ubyte")).unwrap();
    let pixels = &images.pixels[784 * first..][..784];
    let is_at = |left: u32, top: u32| {
        (0..784).all(|i| {
            let level = sheet.get_pixel(left + 8 * (i % 28) + 3, top + 8 * (i / 28) + 3).0;
            level == [pixels[i as usize]; 3]
        })
    };
    assert!((0..150).any(|top| (0..100).any(|left| is_at(left, top))), "image {first} is not the first on the sheet");
    let other = call(folder.path(), &["evaluate", "run", "--wrong", "no/such/folder.png", "--quiet"]);
    assert_eq!(code(&other), Some(2));
    assert!(text(&other.stderr).starts_with("error: cannot write no/such/folder.png: "), "{}", text(&other.stderr));
}

#[test]
fn the_text_matches_the_json() {
    let folder = folder();
    train(folder.path(), "configs/softmax.toml", &[]);
    let scores = evaluate(folder.path(), &[]);
    let output = call(folder.path(), &["evaluate", "run"]);
    assert_eq!((code(&output), text(&output.stderr).as_str()), (Some(0), ""));
    let table = text(&output.stdout);
    for part in [
        "embedded digits, 300 validation images, the run's own data".to_owned(),
        format!("{:.6}", number(&scores["loss"])),
        format!("{:.2} %, {} correct", 100.0 * number(&scores["accuracy"]), scores["right"]),
        "95 % confidence (Wilson)".to_owned(),
        "precision     recall         F1     images".to_owned(),
        format!("image {} shows", scores["most_confidently_wrong_images"][0]),
    ] {
        assert!(table.contains(&part), "{table} does not say {part:?}");
    }
}

#[test]
fn missing_or_resized_data_is_reported() {
    let folder = folder();
    write_digits(folder.path());
    train(folder.path(), "configs/softmax.toml", &["--data", "digits"]);
    std::fs::rename(folder.path().join("digits"), folder.path().join("moved")).unwrap();
    let says = |arguments: &[&str], expected: &str| {
        let output = call(folder.path(), &[&["evaluate", "run", "--quiet"], arguments].concat());
        let error = text(&output.stderr);
        assert_eq!((code(&output), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    };
    says(&[], "error: digits: no such file or folder");
    says(&[], "; this is the data of the run; name other data with --data\n");
    for name in ["train", "t10k"] {
        let images = [&chainrule_data::idx::images_header(2, 3, 4)[..], &[0; 24]].concat();
        std::fs::write(folder.path().join(format!("moved/{name}-images-idx3-ubyte")), images).unwrap();
        chainrule_data::idx::write_labels(&folder.path().join(format!("moved/{name}-labels-idx1-ubyte")), &[0, 1])
            .unwrap();
    }
    says(&["--data", "moved"], "moved: images of 3 x 4 pixels, but the model takes 28 x 28");
}

/// Before tables were supported, classes were numbers and the kind of data was not recorded.
#[test]
fn a_run_from_before_tables_is_read() {
    let folder = folder();
    let summary = train(folder.path(), "configs/softmax.toml", &[]);
    let run = folder.path().join("run");
    let mut old: Value = serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert!(old["data"].as_object_mut().unwrap().remove("kind").is_some());
    std::fs::write(run.join("summary.json"), old.to_string()).unwrap();
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    let is_new =
        |line: &&str| ["standardize", "validation_fraction", "image_size"].iter().any(|key| line.starts_with(key));
    assert_eq!(config.lines().filter(is_new).count(), 3);
    let old: String = config.lines().filter(|line| !is_new(line)).map(|line| format!("{line}\n")).collect();
    std::fs::write(run.join("config.toml"), old).unwrap();
    seal_again(&run);
    let scores = evaluate(folder.path(), &[]);
    assert_eq!(
        (&scores["accuracy"], &scores["classes"]),
        (&summary["final"]["validation_accuracy"], &json!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
    );
}

/// A score over the known classes says nothing about the rows of other classes.
#[test]
fn rows_of_unknown_labels_are_refused_or_counted() {
    let folder = folder();
    let write = |name: &str, labels: [&str; 4]| {
        let rows = (0..40).map(|row| format!("{},{}\n", row % 4 / 2 * 10 + row / 8, labels[row % 4]));
        std::fs::write(folder.path().join(name), "x,label\n".to_owned() + &rows.collect::<String>()).unwrap();
    };
    write("table.csv", ["no", "no", "yes", "yes"]);
    write("other.csv", ["no", "No", "yes", "maybe"]);
    let more = ["--set", "data.label=label", "--set", "data.standardize=true"];
    tables::train(folder.path(), &[&["--data", "table.csv"], &more[..]].concat());
    let expected = "other.csv: 20 of 40 rows have classes that the model does not know: No (10), maybe (10); its classes are [no, yes]";
    is_refused(folder.path(), &["evaluate", "run", "--data", "other.csv", "--json", "--quiet"], &[expected]);
    let scores = evaluate(folder.path(), &["--data", "other.csv", "--known-classes-only"]);
    assert_eq!((&scores["rows"], &scores["data"]["left_out"]), (&json!(20), &json!(20)));
    assert_eq!(scores["data"]["left_out_classes"], json!({ "No": 10, "maybe": 10 }));
    let output = call(folder.path(), &["evaluate", "run", "--data", "other.csv", "--known-classes-only"]);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("\nleft out       20 rows of other classes: No (10), maybe (10)\n"), "{stdout}");
}
