//! `chainrule import`: other tools' weights, and our own exports back again.

use std::path::Path;

use chainrule_formats::{Layout, Weights};
use chainrule_tests_macros::test;
use serde_json::{Value, json};

use crate::command::{ask, folder, is_refused, unseal};
use crate::export::{needs_python, python};
use crate::predict::{train, write_digits};
use crate::tables;

const DIGITS: &str = "digits/t10k-images-idx3-ubyte";

/// The probabilities of a file's rows, one after the other.
fn probabilities(folder: &Path, model: &str, file: &str) -> Vec<f64> {
    let answer = ask(folder, &["predict", model, file]);
    let rows = answer["predictions"].as_array().unwrap();
    rows.iter().flat_map(|row| serde_json::from_value::<Vec<f64>>(row["probabilities"].clone()).unwrap()).collect()
}

fn apart(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max)
}

/// A safetensors file of f32 tensors, as other tools write one.
pub(crate) fn safetensors(tensors: &[(&str, &[usize], Vec<f32>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        header
            .insert((*name).to_owned(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }));
    }
    let header = Value::from(header).to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// A NumPy array with this header.
pub(crate) fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

/// A file of NumPy arrays, not compressed.
pub(crate) fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = rawzip::ZipArchiveWriter::new(Vec::new());
    for (name, content) in arrays {
        let (mut entry, config) = zip.new_file(*name).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        std::io::Write::write_all(&mut writer, content).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    zip.finish().unwrap()
}

#[test]
fn what_was_exported_comes_back_with_the_same_probabilities() {
    for (config, more, exact) in [
        ("configs/softmax.toml", &["--precision", "f64"][..], true),
        ("configs/softmax.toml", &[], true),
        ("configs/softmax.toml", &["--set", "data.standardize=true"], true),
        ("configs/softmax.toml", &["--set", "data.classes=[4, 7]", "--precision", "f64"], false),
        ("configs/logistic.toml", &["--precision", "f64"], true),
    ] {
        let folder = folder();
        let folder = folder.path();
        train(folder, config, more);
        write_digits(folder);
        let expected = probabilities(folder, "run", DIGITS);
        for format in ["safetensors", "npz"] {
            let (file, again) = (format!("run.{format}"), format!("again-{format}"));
            ask(folder, &["export", "run", "--format", format]);
            let imported = ask(folder, &["import", &file, "--out", &again]);
            assert_eq!(imported["from"]["name"], json!(file));
            let apart = apart(&probabilities(folder, &again, DIGITS), &expected);
            // A softmax of two comes back from npz as the logistic model that it is.
            let bound = if exact || format == "safetensors" { 0.0 } else { 1e-12 };
            assert!(apart <= bound, "{config} {more:?} by {format}: {apart}");
        }
    }
}

#[test]
fn an_imported_model_is_asked_as_a_run_is() {
    let folder = folder();
    let folder = folder.path();
    train(folder, "configs/softmax.toml", &[]);
    write_digits(folder);
    ask(folder, &["export", "run", "--format", "npz"]);
    ask(folder, &["import", "run.npz", "--out", "again"]);

    let [run, again] = ["run", "again"].map(|model| ask(folder, &["evaluate", model, "--data", "digits"]));
    assert_eq!((&run["loss"], &run["confusion"]), (&again["loss"], &again["confusion"]));
    is_refused(folder, &["evaluate", "again"], &["name data with --data"]);
    let [run, again] = ["run", "again"].map(|model| ask(folder, &["inspect", model]));
    assert_eq!(run["weights"], again["weights"]);
    // Computed on another device, perhaps.
    let [run, again] = [run, again].map(|model| model["weight_norm"]["spectral"].as_f64().unwrap());
    assert!((run - again).abs() < 1e-5 * run, "{run} {again}");
    ask(folder, &["page", "again"]);
    let page = std::fs::read_to_string(folder.join("again.html")).unwrap();
    assert!(page.contains("The model that came in run.npz: softmax regression"));
    ask(folder, &["export", "again", "--out", "twice.npz"]);
    assert_eq!(
        Weights::read(&std::fs::read(folder.join("twice.npz")).unwrap(), None).unwrap(),
        Weights::read(&std::fs::read(folder.join("run.npz")).unwrap(), None).unwrap()
    );

    // It is no run, and stays what it is.
    is_refused(folder, &["train", "--resume", "again", "--quiet"], &["again"]);
    is_refused(folder, &["import", "run.npz", "--out", "again"], &["again exists already"]);
    is_refused(folder, &["import", "run.npz", "--out", "run", "--force"], &["run exists already"]);
    ask(folder, &["import", "run.npz", "--out", "again", "--force"]);
    let weights = folder.join("again/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    is_refused(folder, &["predict", "again", DIGITS], &["again/model.safetensors: it is damaged or was changed"]);
    unseal(&folder.join("run"));
}

#[test]
fn pytorchs_layout_is_turned_and_its_pixels_become_ours() {
    let folder = folder();
    let folder = folder.path();
    write_digits(folder);
    let (d, k) = (784, 3);
    let weight = |class: usize, j: usize| (((class * d + j) * 7919) % 201) as f32 / 2000.0 - 0.05;
    let by_class: Vec<f32> = (0..k).flat_map(|class| (0..d).map(move |j| weight(class, j))).collect();
    let by_feature: Vec<f32> = (0..d).flat_map(|j| (0..k).map(move |class| weight(class, j))).collect();
    let bias = vec![0.5f32, -0.25, 0.0];
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).unwrap();
    write(
        "torch.safetensors",
        safetensors(&[("linear.weight", &[k, d], by_class), ("linear.bias", &[k], bias.clone())]),
    );
    write("burn.safetensors", safetensors(&[("weight", &[d, k], by_feature), ("bias", &[k], bias.clone())]));

    let bytes = std::fs::read(folder.join(DIGITS)).unwrap();
    for (range, feature) in [("0..1", (0.0, 255.0)), ("0..255", (0.0, 1.0)), ("-1..1", (127.5, 127.5))] {
        let (mean, scale) = feature;
        let expected: Vec<f64> = bytes[16..]
            .chunks_exact(d)
            .flat_map(|pixels| {
                let logit = |class: usize| {
                    let terms = pixels.iter().enumerate();
                    terms.map(|(j, &p)| f64::from(weight(class, j)) * (f64::from(p) - mean) / scale).sum::<f64>()
                        + f64::from(bias[class])
                };
                let logits = [logit(0), logit(1), logit(2)];
                let highest = logits.iter().copied().fold(f64::MIN, f64::max);
                let powers = logits.map(|z| (z - highest).exp());
                powers.map(|power| power / powers.iter().sum::<f64>())
            })
            .collect();
        for file in ["torch.safetensors", "burn.safetensors"] {
            let out = format!("{file}-{}", range.len());
            ask(folder, &["import", file, "--out", &out, "--trained-on", range, "--classes", "0,1,2", "--force"]);
            let found = probabilities(folder, &out, DIGITS);
            // Weights for grey levels as they are become a hundred times as large, and are kept in f32 as they came.
            let bound = if range == "0..255" { 1e-3 } else { 1e-6 };
            let apart = apart(&found, &expected);
            assert!(apart < bound, "{file} {range}: {apart}");
            std::fs::remove_dir_all(folder.join(out)).unwrap();
        }
    }

    for (arguments, expected) in [
        (&["--classes", "0,1,2"][..], "--trained-on 0..1"),
        (&["--trained-on", "0..1"], "--classes 0,1,2"),
        (&["--trained-on", "0..1", "--classes", "0,1"], "weights of 3 classes, and names of 2"),
        (&["--trained-on", "0..1", "--classes", "0,1,1"], "the class 1 is named twice"),
        (&["--trained-on", "0..1", "--classes", "0,1,2", "--image-size", "28x29"], "an image of 28 x 29"),
        (&["--trained-on", "numbers", "--classes", "0,1,2"], "--columns"),
    ] {
        is_refused(folder, &[&["import", "torch.safetensors", "--out", "out"], arguments].concat(), &[expected]);
    }
}

#[test]
fn where_a_matrix_is_square_one_must_say_which_way_it_lies() {
    let square = safetensors(&[("weight", &[2, 2], vec![1.0, 2.0, 3.0, 4.0]), ("bias", &[2], vec![0.0, 0.0])]);
    let problem = Weights::read(&square, None).unwrap_err();
    assert!(problem.contains("--layout"), "{problem}");
    let weights = |layout| Weights::read(&square, Some(layout)).unwrap().parameters.weight;
    assert_eq!(weights(Layout::RowPerFeature), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(weights(Layout::RowPerClass), [1.0, 3.0, 2.0, 4.0]);
    // Without a bias it has zeros, and is told so.
    let alone = safetensors(&[("weight", &[3, 2], vec![1.0; 6])]);
    let found = Weights::read(&alone, Some(Layout::RowPerClass)).unwrap();
    assert_eq!((found.parameters.bias.as_slice(), found.has_bias), ([0.0; 3].as_slice(), false));
}

/// scikit-learn on a table and on digits, saved in both orders of memory, and what it says itself.
const SCIKIT_LEARN: &str = "
import json, sys
import numpy as np
from sklearn.linear_model import LogisticRegression
pixels = np.fromfile('digits/t10k-images-idx3-ubyte', np.uint8, offset=16).reshape(-1, 784) / 255
labels = np.fromfile('digits/t10k-labels-idx1-ubyte', np.uint8, offset=8)
many = LogisticRegression(max_iter=50).fit(pixels, labels)
np.savez('many.npz', coef_=many.coef_, intercept_=many.intercept_, classes_=many.classes_.astype(np.int64))
np.savez_compressed('fortran.npz', coef=np.asfortranarray(many.coef_), intercept=many.intercept_, classes=many.classes_.astype(str))
two = labels < 2
binary = LogisticRegression(max_iter=50).fit(pixels[two], np.where(labels[two] == 1, 'one', 'a zero'))
np.savez('binary.npz', coef=binary.coef_.astype(np.float32), intercept=binary.intercept_.astype(np.float32), classes=binary.classes_)
np.savez('objects.npz', coef=np.array([{}, 1], dtype=object))
json.dump([many.predict_proba(pixels).ravel().tolist(), binary.predict_proba(pixels).ravel().tolist()], sys.stdout)
";

#[test]
fn scikit_learns_coefficients_give_scikit_learns_probabilities() {
    let folder = folder();
    let folder = folder.path();
    write_digits(folder);
    needs_python(folder, &["sklearn"]);
    let expected = python(folder, SCIKIT_LEARN, &json!(null));
    let [many, binary] = [0, 1].map(|i| serde_json::from_value::<Vec<f64>>(expected[i].clone()).unwrap());
    for (file, expected, bound, classes) in [
        ("many", &many, 1e-9, json!(0)),
        ("fortran", &many, 1e-9, json!(0)),
        ("binary", &binary, 1e-5, json!("a zero")),
    ] {
        let npz = format!("{file}.npz");
        let imported = ask(folder, &["import", &npz, "--out", file, "--trained-on", "0..1"]);
        assert_eq!(imported["data"]["classes"][0], classes);
        let apart = apart(&probabilities(folder, file, DIGITS), expected);
        assert!(apart < bound, "{file}: {apart}");
    }
    is_refused(folder, &["import", "objects.npz", "--out", "out", "--trained-on", "0..1"], &["Python objects"]);
}

#[test]
fn a_tables_model_is_asked_by_its_columns_names() {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("flowers.csv"), tables::flowers(0..120, 4)).unwrap();
    tables::train(
        folder,
        &[&tables::ON_FLOWERS[..], &["--set", "data.standardize=true", "--precision", "f64"]].concat(),
    );
    ask(folder, &["export", "run", "--format", "safetensors"]);
    ask(folder, &["import", "run.safetensors", "--out", "again"]);
    let expected = probabilities(folder, "run", "flowers.csv");
    assert_eq!(probabilities(folder, "again", "flowers.csv"), expected);
    let [run, again] = [("run", None), ("again", Some("species"))].map(|(model, label)| {
        let label = label.map(|label| ["--label", label]).into_iter().flatten();
        ask(folder, &["evaluate", model, "--data", "flowers.csv"].into_iter().chain(label).collect::<Vec<_>>())
    });
    assert_eq!(run["loss"], again["loss"]);
    is_refused(folder, &["evaluate", "again", "--data", "flowers.csv"], &["--label"]);
}

#[test]
fn what_is_no_file_of_weights_is_refused_in_one_line() {
    let folder = folder();
    let folder = folder.path();
    let coef = |header: &str, data: &[u8]| npz(&[("coef.npy", npy(header, data))]);
    let two = [1.0f64, f64::NAN].map(f64::to_le_bytes).concat();
    let deep = format!("{{'descr': {}", "(".repeat(30_000));
    for (bytes, expected) in [
        (Vec::new(), "neither a safetensors nor an npz file"),
        (b"\x80\x04\x95 a pickle".to_vec(), "it is a pickle"),
        (npz(&[("archive/data.pkl", vec![0])]), "it is a pickle"),
        (npz(&[("x.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", &two))]), "but x"),
        (coef("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", &two), "NaN"),
        (coef("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", &two), "not what its 16 bytes hold"),
        (coef("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2), }", &two), "too large"),
        (coef("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", &two), "Python objects"),
        (coef("{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }", &two), "type <c16 is not known"),
        (coef(&deep, &two), "its header is not what NumPy writes"),
        (safetensors(&[("a", &[1, 2], vec![1.0; 2]), ("b", &[2, 1], vec![1.0; 2])]), "2 tensors: a, b"),
        (safetensors(&[("a", &[2], vec![1.0; 2])]), "1 tensors: a"),
        (safetensors(&[("a", &[3, 2], vec![1.0; 6]), ("b", &[5], vec![1.0; 5])]), "which is neither"),
    ] {
        std::fs::write(folder.join("weights"), bytes).unwrap();
        is_refused(folder, &["import", "weights", "--out", "out", "--trained-on", "numbers"], &[expected]);
    }
}
