//! `chainrule inspect`: the weights of a trained model and the evidence for its predictions.

use std::path::Path;

use chainrule_tests_macros::test;
use image::ImageFormat;
use serde_json::Value;

use crate::command::{call, code, folder, text};
use crate::picture::{encoded, seven};
use crate::predict::{train, write_digits};

fn inspect(folder: &Path, more: &[&str]) -> Value {
    let output = call(folder, &[&["inspect", "run", "--json", "--quiet"], more].concat());
    assert_eq!((code(&output), text(&output.stderr).as_str()), (Some(0), ""));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn norms_match_the_summary() {
    for (config, classes) in [("configs/softmax.toml", 10), ("configs/logistic.toml", 1)] {
        let folder = folder();
        let summary = train(folder.path(), config, &["--precision", "f64"]);
        let actual = inspect(folder.path(), &[]);
        for norm in ["frobenius", "frobenius_squared", "spectral"] {
            let [actual, expected] = [&actual, &summary].map(|value| number(&value["weight_norm"][norm]));
            assert!((actual - expected).abs() <= 1e-12 * expected, "{config}, {norm}: {actual} and {expected}");
        }
        let weights = actual["weights"].as_array().unwrap();
        assert_eq!(weights.len(), classes);
        let squared = |key: &str| weights.iter().map(|class| number(&class[key]).powi(2)).sum::<f64>();
        let whole = number(&actual["weight_norm"]["frobenius_squared"]);
        assert!((squared("frobenius") + squared("bias") - whole).abs() < 1e-12 * whole);
        // The logistic model's weights are those of the positive class, which the experiment names
        // first.
        assert_eq!(weights.last().unwrap()["class"], if classes == 1 { 2 } else { 9 });
    }
}

/// The evidence of all pixels and the bias add up to the logit. The logits give the probabilities
/// of `predict`.
fn evidence_adds_up(config: &str) {
    let folder = folder();
    train(folder.path(), config, &[]);
    write_digits(folder.path());
    let file = "digits/t10k-images-idx3-ubyte";
    let predicted: Value =
        serde_json::from_slice(&call(folder.path(), &["predict", "run", file, "--json"]).stdout).unwrap();
    for index in [0, 7] {
        let of_image = |class: &Value| {
            let (index, class) = (index.to_string(), class.to_string());
            inspect(folder.path(), &["--image", file, "--index", &index, "--class", &class])["image"].take()
        };
        let classes = predicted["classes"].as_array().unwrap();
        let images: Vec<Value> = classes.iter().map(of_image).collect();
        for image in &images {
            let evidence = &image["evidence"];
            let pixels: Vec<f64> = serde_json::from_value(evidence["pixels"].clone()).unwrap();
            let logit = number(&evidence["logit"]);
            assert!((pixels.iter().sum::<f64>() + number(&evidence["bias"]) - logit).abs() < 1e-12);
            assert_eq!(image["probabilities"], predicted["predictions"][index]["probabilities"]);
            assert_eq!(image["predicted"], predicted["predictions"][index]["class"]);
            // The first entry is the largest of all.
            let first = &evidence["most_for"][0];
            let at = number(&first["row"]) as usize * 28 + number(&first["column"]) as usize;
            let largest = pixels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert_eq!((number(&first["evidence"]), pixels[at]), (largest, largest));
        }
        // The logistic model's evidence for one class is the negative of that for the other.
        // Softmax compares the logits.
        let logits: Vec<f64> = images.iter().map(|image| number(&image["evidence"]["logit"])).collect();
        let powers: Vec<f64> = match logits.as_slice() {
            [a, b] => {
                assert!((a + b).abs() < 1e-12);
                vec![1.0, b.exp()]
            }
            many => many.iter().map(|z| z.exp()).collect(),
        };
        for (k, power) in powers.iter().enumerate() {
            let probability = number(&images[0]["probabilities"][k]);
            assert!((power / powers.iter().sum::<f64>() - probability).abs() < 1e-12, "{index}, {k}");
        }
    }
}

#[test]
fn evidence_sums_to_softmax_probabilities() {
    evidence_adds_up("configs/softmax.toml");
}

#[test]
fn evidence_sums_to_logistic_probabilities() {
    evidence_adds_up("configs/logistic.toml");
}

#[test]
fn a_pipe_gets_plain_characters() {
    let folder = folder();
    train(folder.path(), "configs/softmax.toml", &[]);
    std::fs::write(folder.path().join("seven.png"), encoded(seven(90, 170, 0, 255), ImageFormat::Png)).unwrap();
    let weights = call(folder.path(), &["inspect", "run", "--png", "weights.png"]);
    let stdout = text(&weights.stdout);
    assert!(!stdout.contains('\u{1b}') && !stdout.contains('▀'), "{stdout}");
    for part in ["weight norm", "class 0", "class 9", "for: + * #   against: - ~ ="] {
        assert!(stdout.contains(part), "{stdout} does not say {part:?}");
    }
    // Ten pictures of 14 lines, in pairs beside each other.
    assert!(stdout.lines().count() > 5 * 14, "{stdout}");
    let sheet = image::open(folder.path().join("weights.png")).unwrap().to_rgb8();
    // All pictures share one scale: only the largest weight has the strongest colour.
    let strongest = sheet.pixels().filter(|pixel| [[178, 24, 43], [33, 102, 172]].contains(&pixel.0)).count();
    assert_eq!(strongest, 64, "pixels of a weight");

    let why = call(folder.path(), &["inspect", "run", "--image", "seven.png"]);
    let (out, error) = (text(&why.stdout), text(&why.stderr));
    assert!(error.starts_with("seven.png: PNG of 170 x 90, dark ink on light background: inverted"), "{error}");
    for part in ["predicted", "most for", "most against", "the image", "logit"] {
        assert!(out.contains(part), "{out} does not say {part:?}");
    }
}

#[test]
fn what_is_not_there_is_refused_in_one_line() {
    let folder = folder();
    train(folder.path(), "configs/logistic.toml", &[]);
    std::fs::write(folder.path().join("seven.png"), encoded(seven(90, 170, 0, 255), ImageFormat::Png)).unwrap();
    for (arguments, expected) in [
        (&["--image", "seven.png", "--class", "7"][..], "--class 7: the model's classes are [3, 2]"),
        (&["--image", "seven.png", "--index", "1"], "--index 1: seven.png has 1 image, and the first index is 0"),
        (&["--image", "absent.png"], "absent.png: no such file"),
        (&["--png", "no/such/folder.png"], "cannot write no/such/folder.png: "),
    ] {
        let output = call(folder.path(), &[&["inspect", "run", "--quiet"], arguments].concat());
        let error = text(&output.stderr);
        assert_eq!((code(&output), error.lines().count()), (Some(2), 1), "{arguments:?}: {error}");
        assert!(error.starts_with("error: ") && error.contains(expected), "{error:?} does not say {expected:?}");
    }
}
