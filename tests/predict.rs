//! `chainrule predict`: predictions of a trained model for pictures.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use chainrule_core::{Parameters, Preprocessing};
use chainrule_records::write_weights;
use chainrule_tests_macros::test;
use image::{GrayImage, ImageFormat};
use serde_json::Value;

use crate::command::{call, code, command, folder, seal_again, text};
use crate::picture::{claims, encoded, seven};
use crate::support::cpu;

/// Trains a small model into `run`.
pub(crate) fn train(folder: &Path, config: &str, more: &[&str]) -> Value {
    let small =
        ["--set", "data.source=embedded", "--set", "data.train_images=600", "--set", "data.validation_images=300"];
    let settings =
        ["--set", "descent.epochs=3", "--set", "descent.batch_size=100", "--out", "run", "--quiet", "--json"];
    let output = call(folder, &[&["train", config, "--backend", cpu()][..], &small, &settings, more].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Writes the digits of [`train`] as IDX files into `digits`.
pub(crate) fn write_digits(folder: &Path) {
    let counts = ["--train-images", "600", "--validation-images", "300"];
    let output = call(folder, &[&["data", "--write-idx", "digits", "--quiet"][..], &counts].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

/// Expects exit code 2 and one line on standard error with this text.
fn refuses(folder: &Path, arguments: &[&str], expected: &str) {
    let output = call(folder, arguments);
    let error = text(&output.stderr);
    assert_eq!((code(&output), error.lines().count()), (Some(2), 1), "{arguments:?}: {error}");
    assert!(error.starts_with("error: ") && error.contains(expected), "{error:?} does not say {expected:?}");
}

/// Expects the probabilities of a file's images to give the loss and accuracy of the training's own
/// evaluation.
fn agrees_with_the_training(config: &str, more: &[&str], tolerance: f64) {
    let folder = folder();
    let summary = train(folder.path(), config, more);
    write_digits(folder.path());
    let file = "digits/t10k-images-idx3-ubyte";
    let output = call(folder.path(), &["predict", "run", file, "--json"]);
    assert_eq!((code(&output), text(&output.stderr).as_str()), (Some(0), ""));
    let answer = json(&output);
    let labels = chainrule_data::idx::read_labels(&folder.path().join("digits/t10k-labels-idx1-ubyte")).unwrap();
    let classes: Vec<u8> = serde_json::from_value(answer["classes"].clone()).unwrap();
    let predictions = answer["predictions"].as_array().unwrap();
    assert_eq!(
        (predictions.len(), &classes),
        (300, &serde_json::from_value(summary["data"]["classes"].clone()).unwrap())
    );
    let (mut loss, mut right, mut rows) = (0.0, 0usize, 0);
    for (i, (predicted, label)) in predictions.iter().zip(labels).enumerate() {
        assert_eq!((&predicted["number"], &predicted["file"]), (&i.into(), &file.into()));
        let Some(position) = classes.iter().position(|&class| class == label) else { continue };
        let probabilities: Vec<f64> = serde_json::from_value(predicted["probabilities"].clone()).unwrap();
        assert_eq!(probabilities.len(), classes.len());
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        loss -= probabilities[position].ln();
        right += usize::from(predicted["class"] == label);
        rows += 1;
    }
    let loss = loss / f64::from(rows);
    let expected = |key: &str| summary["final"][key].as_f64().unwrap();
    let difference = (loss / expected("validation_loss") - 1.0).abs();
    assert!(difference <= tolerance, "{config} {more:?}: {loss} and {}", expected("validation_loss"));
    // Compares counts, because serde_json may read a number with another last digit.
    assert_eq!(right, (expected("validation_accuracy") * f64::from(rows)).round() as usize, "{config} {more:?}");
}

#[test]
fn softmax_probabilities_match_the_trained_model() {
    agrees_with_the_training("configs/softmax.toml", &["--precision", "f64", "--gradient", "autodiff"], 1e-12);
    agrees_with_the_training("configs/softmax.toml", &["--precision", "f32", "--gradient", "fused"], 1e-6);
}

#[test]
fn logistic_probabilities_match_the_trained_model() {
    agrees_with_the_training("configs/logistic.toml", &["--precision", "f64", "--gradient", "closed-form"], 1e-12);
    agrees_with_the_training("configs/logistic.toml", &["--precision", "f32", "--gradient", "autodiff"], 1e-6);
}

#[test]
fn predict_reads_pictures_folders_and_standard_input() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    train(folder.path(), "configs/softmax.toml", &[]);
    std::fs::create_dir_all(path("pictures/below")).unwrap();
    let png = encoded(seven(90, 170, 0, 255), ImageFormat::Png);
    std::fs::write(path("pictures/b.png"), &png).unwrap();
    std::fs::write(path("pictures/a.jpeg"), encoded(seven(90, 170, 0, 255), ImageFormat::Jpeg)).unwrap();
    std::fs::write(path("pictures/notes.txt"), "none").unwrap();

    let output = call(folder.path(), &["predict", "run", "pictures", "--json"]);
    assert_eq!(code(&output), Some(0));
    let answer = json(&output);
    let files: Vec<_> = answer["predictions"].as_array().unwrap().iter().map(|p| p["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["pictures/a.jpeg", "pictures/b.png"]);
    let treatment = &answer["predictions"][1]["treatment"];
    assert_eq!((&treatment["format"], &treatment["inverted"]), (&"PNG".into(), &true.into()));
    assert_eq!(treatment["size"], serde_json::json!([170, 90]));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("pictures: 2 other files have no images and are skipped"), "{stderr}");
    assert!(stderr.contains("pictures/b.png: PNG of 170 x 90, dark ink on light background: inverted"), "{stderr}");

    let mut child = command(folder.path(), &["predict", "run", "-", "--json", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&png).unwrap();
    let piped = child.wait_with_output().unwrap();
    assert_eq!((code(&piped), text(&piped.stderr).as_str()), (Some(0), ""));
    let piped = json(&piped);
    assert_eq!(piped["predictions"][0]["probabilities"], answer["predictions"][1]["probabilities"]);
    assert_eq!(piped["predictions"][0]["file"], "-");

    let table = call(folder.path(), &["predict", "run", "pictures/b.png", "--quiet"]);
    let (table, class) = (text(&table.stdout), &answer["predictions"][1]["class"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[2].trim_start().starts_with(&class.to_string()) && lines[2].ends_with("pictures/b.png"), "{table}");
}

#[test]
fn predict_reads_gzipped_and_plain_idx_files() {
    let folder = folder();
    train(folder.path(), "configs/softmax.toml", &[]);
    write_digits(folder.path());
    let plain = std::fs::read(folder.path().join("digits/t10k-images-idx3-ubyte")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    std::fs::write(folder.path().join("zipped"), gzip.finish().unwrap()).unwrap();
    let ask = |file| {
        let mut predictions = json(&call(folder.path(), &["predict", "run", file, "--json"]))["predictions"].take();
        predictions.as_array_mut().unwrap().iter_mut().for_each(|p| drop(p["file"].take()));
        predictions
    };
    let predictions = ask("digits/t10k-images-idx3-ubyte");
    assert_eq!(predictions, ask("zipped"));
    // Of a data folder's four files, those with images are read. A picture of a single image gives
    // the same prediction.
    let all = json(&call(folder.path(), &["predict", "run", "digits", "--json"]));
    assert_eq!(all["predictions"].as_array().unwrap().len(), 900);
    let alone = GrayImage::from_raw(28, 28, plain[16..][..784].to_vec()).unwrap();
    std::fs::write(folder.path().join("first.png"), encoded(alone, ImageFormat::Png)).unwrap();
    assert_eq!(ask("first.png")[0]["probabilities"], predictions[0]["probabilities"]);
}

#[test]
fn bad_files_do_not_stop_the_others() {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    train(folder.path(), "configs/softmax.toml", &[]);
    let png = encoded(seven(90, 170, 0, 255), ImageFormat::Png);
    write("good.png", &png);
    write("cut.png", &png[..png.len() / 2]);
    write("huge.png", &claims(100_000, 100_000));
    write("empty.png", b"");
    write("text.png", b"a picture, really");
    write("small", &[&chainrule_data::idx::images_header(1, 8, 8)[..], &[0; 64]].concat());
    std::fs::create_dir(folder.path().join("void")).unwrap();
    let bad = [
        ("cut.png", "damaged PNG: "),
        ("huge.png", "100000 x 100000 pixels exceed the limit of 64 megapixels"),
        ("empty.png", "it is empty"),
        ("text.png", "neither a PNG, a JPEG nor an IDX file"),
        ("small", "images of 8 x 8 pixels, but the model expects 28 x 28"),
        ("void", "no PNG, JPEG or IDX file of images in this folder"),
        ("absent.png", "no such file"),
    ];
    let names: Vec<&str> = bad.iter().map(|(name, _)| *name).chain(["good.png"]).collect();
    let output = call(folder.path(), &[&["predict", "run", "--json", "--quiet"], &names[..]].concat());
    assert_eq!(code(&output), Some(2));
    let answer = json(&output);
    assert_eq!(
        (answer["predictions"].as_array().unwrap().len(), &answer["predictions"][0]["file"]),
        (1, &"good.png".into())
    );
    let (stderr, problems) = (text(&output.stderr), answer["problems"].as_array().unwrap());
    assert_eq!((stderr.lines().count(), problems.len()), (bad.len(), bad.len()), "{stderr}");
    for ((line, problem), (name, expected)) in stderr.lines().zip(problems).zip(bad) {
        assert!(line.starts_with(&format!("error: {name}: ")) && line.contains(expected), "{line:?}: {expected:?}");
        assert_eq!((&problem["file"], problem["problem"].as_str().unwrap()), (&name.into(), &line[9 + name.len()..]));
        refuses(folder.path(), &["predict", "run", name], expected);
    }
    assert_eq!(text(&call(folder.path(), &["predict", "run", "cut.png", "good.png"]).stdout).lines().count(), 3);
}

#[test]
fn a_folder_without_a_finished_run_is_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("a.png"), encoded(seven(90, 170, 0, 255), ImageFormat::Png)).unwrap();
    refuses(folder.path(), &["predict", "nowhere", "a.png"], "nowhere: no such folder");
    train(folder.path(), "configs/softmax.toml", &[]);
    let model = folder.path().join("run/model.safetensors");
    // Weights for other classes, and weights that are not finite.
    let parameters = |weight: f64, classes: usize| Parameters {
        n_features: 784,
        columns: classes,
        weight: vec![weight; 784 * classes],
        bias: vec![0.0; classes],
    };
    std::fs::write(&model, write_weights(&parameters(0.0, 10), chainrule_core::Precision::F64, &Preprocessing::Raw))
        .unwrap();
    refuses(folder.path(), &["predict", "run", "a.png"], "run/model.safetensors: it is damaged or was changed");
    for (weight, classes, expected) in [
        (0.0, 3, "the shape [784, 3], but it describes images of 28 x 28 and 10 classes"),
        (f64::NAN, 10, "number 0 of linear.weight is NaN"),
        (1e308, 10, "so large that their sums are not finite"),
    ] {
        std::fs::write(
            &model,
            write_weights(&parameters(weight, classes), chainrule_core::Precision::F64, &Preprocessing::Raw),
        )
        .unwrap();
        seal_again(&folder.path().join("run"));
        refuses(folder.path(), &["predict", "run", "a.png"], expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn pipes_and_huge_pictures_are_refused() {
    let folder = folder();
    train(folder.path(), "configs/softmax.toml", &[]);
    let pipe = folder.path().join("pipe");
    assert!(crate::command::process("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(folder.path().join("huge.png"), claims(100_000, 100_000)).unwrap();
    let sh = |script: &str| {
        let arguments = ["-c", script, env!("CARGO_BIN_EXE_chainrule-under-test")];
        crate::command::process("sh").args(arguments).current_dir(folder.path()).output().unwrap()
    };
    // With a timeout, in case the program waits for the pipe.
    let output = sh("exec timeout 60 \"$0\" predict run pipe");
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{error}");
    assert!(error.starts_with("error: pipe: it is not a regular file"), "{error}");
    let output = sh("ulimit -v 1000000; exec \"$0\" predict run huge.png");
    assert_eq!(code(&output), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("100000 x 100000 pixels exceed"), "{}", text(&output.stderr));
}
