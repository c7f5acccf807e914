//! `chainrule import`: other tools' weights and this project's own exports.

use std::path::Path;

use chainrule::{Fitted, Samples};
use chainrule_formats::Weights;
use chainrule_tests_macros::test;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{ask, call, folder, is_refused, text};
use crate::export::{FORMATS, HARNESS, blocks, needs_python, python};
use crate::predict::{train, write_digits};
use crate::support::in_part;
use crate::tables;
use crate::weight_files::{npy, npz, safetensors};

const DIGITS: &str = "digits/t10k-images-idx3-ubyte";

/// Returns the probabilities of a file's rows, concatenated.
fn probabilities(folder: &Path, model: &str, file: &str) -> Vec<f64> {
    let answer = ask(folder, &["predict", model, file]);
    let rows = answer["predictions"].as_array().unwrap();
    rows.iter().flat_map(|row| serde_json::from_value::<Vec<f64>>(row["probabilities"].clone()).unwrap()).collect()
}

fn max_distance(actual: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    actual.iter().zip(expected).map(|(actual, expected)| (actual - expected).abs()).fold(0.0, f64::max)
}

#[test]
fn an_exported_model_is_imported_unchanged() {
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
            let max_distance = max_distance(&probabilities(folder, &again, DIGITS), &expected);
            // npz stores a softmax of two classes as the equivalent logistic model.
            let bound = if exact || format == "safetensors" { 0.0 } else { 1e-12 };
            assert!(max_distance <= bound, "{config} {more:?} by {format}: {max_distance}");
        }
    }
}

#[test]
fn an_imported_model_works_like_a_run() {
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
    // The two values may come from different devices.
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

    // An imported model is not a run and stays unchanged.
    is_refused(folder, &["train", "--resume", "again", "--quiet"], &["again"]);
    is_refused(folder, &["import", "run.npz", "--out", "again"], &["again exists already"]);
    is_refused(
        folder,
        &["import", "run.npz", "--out", "run", "--force"],
        &["run/config.toml: this is not what this program wrote as a part of an imported model"],
    );
    ask(folder, &["import", "run.npz", "--out", "again", "--force"]);
    let weights = folder.join("again/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    is_refused(folder, &["predict", "again", DIGITS], &["again/model.safetensors: it is damaged or was changed"]);
}

#[test]
fn pytorchs_layout_and_pixel_range_are_converted() {
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
            let actual = probabilities(folder, &out, DIGITS);
            // Weights for raw grey levels are multiplied by a scale and stored in f32, like the
            // original weights.
            let bound = if range == "0..255" { 1e-3 } else { 1e-6 };
            let max_distance = max_distance(&actual, &expected);
            assert!(max_distance < bound, "{file} {range}: {max_distance}");
            std::fs::remove_dir_all(folder.join(out)).unwrap();
        }
    }
}

#[test]
fn options_that_do_not_fit_the_weights_are_refused() {
    let folder = folder();
    let folder = folder.path();
    let d = 784;
    let layer = safetensors(&[("linear.weight", &[3, d], vec![0.25; 3 * d]), ("linear.bias", &[3], vec![0.0; 3])]);
    std::fs::write(folder.join("torch.safetensors"), layer).unwrap();
    let twice = vec!["a"; d].join(",");
    let unnamed = (0..d).map(|j| if j == 5 { String::new() } else { j.to_string() }).collect::<Vec<_>>().join(",");
    for (arguments, expected) in [
        (&["--classes", "0,1,2"][..], "--trained-on 0..1"),
        (&["--trained-on", "0..1"], "--classes 0,1,2"),
        (&["--trained-on", "0..1", "--classes", "0,1"], "weights of 3 classes, and names of 2"),
        (&["--trained-on", "0..1", "--classes", "0,1,1"], "the class 1 is named twice"),
        (&["--trained-on", "0..1", "--classes", "0,1,2", "--image-size", "28x29"], "an image of 28 x 29"),
        (&["--trained-on", "numbers", "--classes", "0,1,2"], "--columns"),
        (&["--trained-on", "numbers", "--classes", "0,1,2", "--columns", &twice], "two columns are called \"a\""),
        (&["--trained-on", "numbers", "--classes", "0,1,2", "--columns", &unnamed], "the name of a column is empty"),
    ] {
        is_refused(folder, &[&["import", "torch.safetensors", "--out", "out"], arguments].concat(), &[expected]);
    }
}

/// scikit-learn on a table and on digits, saved in both memory orders, with its own probabilities.
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
fn scikit_learn_weights_give_its_probabilities() {
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
        let max_distance = max_distance(&probabilities(folder, file, DIGITS), expected);
        assert!(max_distance < bound, "{file}: {max_distance}");
    }
    is_refused(folder, &["import", "objects.npz", "--out", "out", "--trained-on", "0..1"], &["Python objects"]);
}

#[test]
fn a_tables_model_predicts_by_column_names() {
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
fn invalid_weight_files_are_refused() {
    let folder = folder();
    let folder = folder.path();
    let coef = |header: &str, data: &[u8]| npz(&[("coef.npy", npy(header, data))]);
    let two = [1.0f64, f64::NAN].map(f64::to_le_bytes).concat();
    let deep = format!("{{'descr': {}", "(".repeat(30_000));
    for (bytes, expected) in [
        (Vec::new(), "no file of weights that is read (safetensors, npz or json)"),
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

/// Returns a table with an interval of x per class and equally many rows per class.
fn stretches(labels: &[&str]) -> String {
    let rows = (0..12 * labels.len()).map(|row| {
        let class = row % labels.len();
        format!("{},{}\n", class as f64 + 0.05 * (row / labels.len()) as f64, labels[class])
    });
    "x,label\n".to_owned() + &rows.collect::<String>()
}

#[test]
fn every_format_keeps_class_names() {
    let folder = folder();
    let folder = folder.path();
    for labels in [&["007", "010"][..], &["-1", "250", "300"], &["7", "10"], &["+1", "1e3", "١"], &["False", "True"]] {
        std::fs::write(folder.join("table.csv"), stretches(labels)).unwrap();
        let more = ["--set", "data.label=label", "--set", "data.standardize=true", "--force"];
        tables::train(folder, &[&["--data", "table.csv"], &more[..]].concat());
        let predicted = |model: &str| {
            let answer = ask(folder, &["predict", model, "table.csv"]);
            let predictions = answer["predictions"].as_array().unwrap();
            (answer["classes"].clone(), predictions.iter().map(|row| row["class"].clone()).collect::<Vec<_>>())
        };
        let expected = predicted("run");
        assert_eq!(expected.0, json!(labels));
        for format in ["safetensors", "npz", "json"] {
            let file = format!("run.{format}");
            ask(folder, &["export", "run", "--format", format, "--out", &file, "--force"]);
            let imported = ask(folder, &["import", &file, "--out", "again", "--force"]);
            assert_eq!(imported["data"]["classes"], json!(labels), "{format}");
            assert_eq!(predicted("again"), expected, "{format}");
            let judged = ask(folder, &["evaluate", "again", "--data", "table.csv", "--label", "label"]);
            assert_eq!(
                (&judged["rows"], &judged["data"]["left_out"], &judged["classes"]),
                (&json!(12 * labels.len()), &json!(0), &json!(labels)),
                "{format}"
            );
        }
    }
}

/// Classes of every type that can hold names, with Python's names for them.
const NUMPYS_CLASSES: &str = "
import json, sys
import numpy as np
texts, numbers = ['no', 'yes, but', 'möglich'], [1, 2, 127]
kinds = [np.array(texts), np.array(texts, dtype=object), np.array([np.str_(text) for text in texts], dtype=object)]
kinds += [np.array(numbers, dtype=kind) for kind in ['u1', 'u2', 'u4', 'u8', 'i1', 'i2', 'i4', 'i8', '>i8', 'f4', 'f8']]
kinds += [np.array(list(kind), dtype=object) for kind in kinds[3:]] + [np.array(numbers, dtype='u8').astype(object)]
kinds += [np.array([True, False, np.True_], dtype=object)[:2], np.array([b'a', b'b', b'c'])]
kinds += [np.array([np.bytes_(b'a'), b'b', np.str_('c')], dtype=object)]
answers = []
for i, kind in enumerate(kinds):
    k = len(kind)
    np.savez(f'{i}.npz', coef_=np.arange(3.0 * k).reshape(k, 3), intercept_=np.zeros(k), classes_=kind)
    answers.append([c.decode() if isinstance(c, bytes) else str(c) for c in kind])
json.dump(answers, sys.stdout)
";

#[test]
fn numpy_classes_are_named_as_in_python() {
    let folder = folder();
    let folder = folder.path();
    needs_python(folder, &["numpy"]);
    let answers = python(folder, NUMPYS_CLASSES, &json!(null));
    for (i, expected) in answers.as_array().unwrap().iter().enumerate() {
        let weights = Weights::read(&std::fs::read(folder.join(format!("{i}.npz"))).unwrap(), None);
        assert_eq!(json!(weights.unwrap().about.classes.unwrap()), *expected, "{i}");
    }
}

/// scikit-learn's other multi-class strategies, with its scaler and with typical class types. Also
/// a model of two classes on the first two features.
const ONE_VS_REST: &str = "
import json, sys
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler
rows, y = load_iris(return_X_y=True)
names = np.array(['setosa', 'versicolor', 'virginica'], dtype=object)
answers = {}
def save(file, model, classes, rows, **more):
    estimators = getattr(model, 'estimators_', None)
    coef, intercept = (model.coef_, model.intercept_) if estimators is None else (
        np.vstack([e.coef_ for e in estimators]), np.hstack([e.intercept_ for e in estimators]))
    np.savez(file + '.npz', coef=coef, intercept=intercept, classes=classes, **more)
    return coef
scaler = StandardScaler().fit(rows)
sgd = SGDClassifier(loss='log_loss', alpha=0.01, random_state=0).fit(scaler.transform(rows), names[y])
save('sgd', sgd, sgd.classes_, rows, mean=scaler.mean_, scale=scaler.scale_)
answers['sgd'] = sgd.predict_proba(scaler.transform(rows)).ravel().tolist()
# On rows as they are its logits are in the hundreds.
wild = SGDClassifier(loss='log_loss', alpha=1e-5, random_state=0).fit(rows, y.astype(float))
save('wild', wild, wild.classes_, rows)
answers['wild'] = wild.predict_proba(rows).ravel().tolist()
rest = OneVsRestClassifier(LogisticRegression()).fit(rows, y.astype(np.int8))
save('rest', rest, rest.classes_, rows)
answers['rest'] = rest.predict_proba(rows).ravel().tolist()
two = SGDClassifier(loss='log_loss', random_state=0).fit(scaler.transform(rows), y > 0)
save('two', two, two.classes_, rows, mean=scaler.mean_, scale=scaler.scale_)
answers['two'] = two.predict_proba(scaler.transform(rows)).ravel().tolist()
with open('iris.csv', 'w') as file:
    print('a,b,c,d,species', file=file)
    for row, label in zip(rows.tolist(), y):
        print(*row, names[label], sep=',', file=file)
json.dump([answers, y.tolist()], sys.stdout)
";

/// Returns a folder with scikit-learn's models, and its own probabilities.
fn of_scikit_learn() -> (TempDir, Value) {
    let folder = folder();
    needs_python(folder.path(), &["sklearn"]);
    let answers = python(folder.path(), ONE_VS_REST, &json!(null));
    (folder, answers)
}

/// The same with a one-vs-rest model imported, and its probabilities.
fn one_vs_rest() -> (TempDir, Value, Vec<f64>) {
    let (folder, answers) = of_scikit_learn();
    ask(folder.path(), &["import", "sgd.npz", "--out", "sgd", "--columns", "a,b,c,d", "--one-vs-rest"]);
    let actual = probabilities(folder.path(), "sgd", "iris.csv");
    (folder, answers, actual)
}

#[test]
fn one_vs_rest_matches_scikit_learn() {
    let (folder, answers) = of_scikit_learn();
    let folder = folder.path();
    for (name, classes, link) in [
        ("sgd", json!(["setosa", "versicolor", "virginica"]), "one-vs-rest"),
        ("wild", json!(["0.0", "1.0", "2.0"]), "one-vs-rest"),
        ("rest", json!(["0", "1", "2"]), "one-vs-rest"),
        ("two", json!(["False", "True"]), "logistic"),
    ] {
        let expected: Vec<f64> = serde_json::from_value(answers[0][name].clone()).unwrap();
        let (file, more) = (format!("{name}.npz"), ["--columns", "a,b,c,d", "--one-vs-rest"]);
        let numbers = if ["wild", "rest"].contains(&name) { &["--trained-on", "numbers"][..] } else { &[] };
        let imported = ask(folder, &[&["import", &file, "--out", name], &more[..], numbers].concat());
        assert_eq!((&imported["data"]["classes"], &imported["model"]), (&classes, &json!(link)), "{name}");
        let actual = probabilities(folder, name, "iris.csv");
        assert!(max_distance(&actual, &expected) < 1e-9, "{name}: {}", max_distance(&actual, &expected));
        // The exported model is the same and names its own kind.
        for format in ["npz", "safetensors", "json"] {
            let again = format!("{name}-again.{format}");
            ask(folder, &["export", name, "--out", &again]);
            let imported = ask(folder, &["import", &again, "--out", "again", "--force"]);
            assert_eq!((&imported["data"]["classes"], &imported["model"]), (&classes, &json!(link)), "{again}");
            assert_eq!(probabilities(folder, "again", "iris.csv"), actual, "{again}");
        }
    }
}

#[test]
fn one_vs_rest_cross_entropy_uses_its_probabilities() {
    let (folder, answers, actual) = one_vs_rest();
    let folder = folder.path();
    let judged = ask(folder, &["evaluate", "sgd", "--data", "iris.csv", "--label", "species"]);
    let labels: Vec<usize> = serde_json::from_value(answers[1].clone()).unwrap();
    let loss = labels.iter().enumerate().map(|(row, label)| -actual[3 * row + label].ln()).sum::<f64>() / 150.0;
    assert!((judged["loss"].as_f64().unwrap() / loss - 1.0).abs() < 1e-12, "{} {loss}", judged["loss"]);
}

#[test]
fn inspect_and_library_read_one_vs_rest_alike() {
    let (folder, _, actual) = one_vs_rest();
    let folder = folder.path();
    let inspected = call(folder, &["inspect", "sgd"]);
    let expected = "sgd: one-vs-rest logistic regression, 4 features, 3 classes";
    assert!(text(&inspected.stdout).contains(expected), "{}", text(&inspected.stdout));
    let fitted = Fitted::load(folder.join("sgd")).unwrap();
    let samples = Samples::csv(folder.join("iris.csv"), "species").unwrap();
    assert_eq!(fitted.predict_proba(&samples).unwrap().concat(), actual);
    fitted.save(folder.join("saved")).unwrap();
    assert_eq!(probabilities(folder, "saved", "iris.csv"), actual);
}

#[test]
fn one_vs_rest_exports_work_as_documented() {
    let (folder, _, actual) = one_vs_rest();
    let folder = folder.path();
    let page = include_str!("../docs/models.md");
    let [lines, tool] = ["`p = 1 / (1 + np.exp(-z))`", "`SGDClassifier(loss=\"log_loss\")`"];
    assert!(page.contains(lines) && page.contains(tool));
    FORMATS.iter().for_each(|format| drop(ask(folder, &["export", "sgd", "--out", &format!("softmax.{format}")])));
    let rows = "import json\nimport numpy as np\npixels = np.loadtxt('iris.csv', delimiter=',', skiprows=1, usecols=range(4))\n";
    let for_one_vs_rest = |block: &str| {
        block
            .replace("p = np.exp(z - z.max(axis=1, keepdims=True))", lines.trim_matches('`'))
            .replace("LogisticRegression()", tool.trim_matches('`'))
            .replace("LogisticRegression", "SGDClassifier")
    };
    let code: Vec<String> = std::iter::once(rows.to_owned())
        .chain(blocks()[1..].iter().filter(|block| !block.contains("torch")).map(|block| for_one_vs_rest(block)))
        .collect();
    let of_tools = python(folder, HARNESS, &json!(code));
    assert_eq!(of_tools.as_array().unwrap().len(), 5);
    for (block, answer) in code[1..].iter().zip(of_tools.as_array().unwrap()) {
        if let Some(module) = answer.as_str() {
            in_part(&format!("no Python module {module}"));
            continue;
        }
        let probabilities: Vec<Vec<f64>> = serde_json::from_value(answer.clone()).unwrap();
        assert!(max_distance(&probabilities.concat(), &actual) < 1e-9, "{block}");
    }
}

/// Without a statement the weights count as softmax regression, and a note says so. A file that
/// states softmax regression cannot be overridden.
#[test]
fn weights_without_metadata_are_softmax_regressions() {
    let (folder, _, actual) = one_vs_rest();
    let folder = folder.path();
    let guessed = call(folder, &["import", "sgd.npz", "--out", "softmax", "--columns", "a,b,c,d"]);
    let note = "note: sgd.npz does not say what kind of model it is; it is imported as softmax regression; use --one-vs-rest if";
    assert!(text(&guessed.stderr).starts_with(note), "{}", text(&guessed.stderr));
    assert!(text(&guessed.stdout).starts_with("softmax: softmax regression, 4 columns to 3 classes"));
    assert!(max_distance(&probabilities(folder, "softmax", "iris.csv"), &actual) > 0.05);
    ask(folder, &["export", "softmax", "--out", "own.npz"]);
    is_refused(
        folder,
        &["import", "own.npz", "--out", "out", "--one-vs-rest"],
        &["--one-vs-rest", "says itself that it is of softmax regression"],
    );
}

/// A scaler gives features, but they may be columns of a table or pixels of a 2 x 2 image.
#[test]
fn the_kind_of_rows_must_be_given() {
    let (folder, ..) = one_vs_rest();
    let folder = folder.path();
    is_refused(folder, &["import", "sgd.npz", "--out", "out"], &["--columns", "--image-size"]);
    is_refused(folder, &["page", "sgd"], &["the page needs a model of images"]);
}

#[test]
fn one_vs_rest_has_no_drawing_page() {
    let folder = folder();
    let folder = folder.path();
    let file = safetensors(&[("weight", &[3, 4], vec![0.25; 12]), ("bias", &[3], vec![0.0, 1.0, -1.0])]);
    std::fs::write(folder.join("torch.safetensors"), file).unwrap();
    let more = ["--trained-on", "0..1", "--classes", "0,1,2", "--one-vs-rest"];
    ask(folder, &[&["import", "torch.safetensors", "--out", "model"], &more[..]].concat());
    is_refused(folder, &["page", "model"], &["the model is one-vs-rest logistic regression", "the page supports only"]);
}

#[test]
fn ignored_parts_of_a_file_are_named() {
    let folder = folder();
    let folder = folder.path();
    let floats = |shape: &str, numbers: &[f64]| {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        npy(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"), &bytes)
    };
    let arrays = [
        ("coef.npy", floats("(1, 2)", &[1.0, -1.0])),
        ("intercept.npy", floats("(1,)", &[0.5])),
        ("mean_.npy", floats("(2,)", &[3.0, 4.0])),
        ("n_iter_.npy", floats("(1,)", &[7.0])),
    ];
    std::fs::write(folder.join("more.npz"), npz(&arrays)).unwrap();
    let output = call(folder, &["import", "more.npz", "--out", "out", "--columns", "a,b"]);
    assert_eq!(text(&output.stderr), "note: more.npz also has n_iter_, which is not imported\n");
}
