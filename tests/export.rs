//! `chainrule export`: other tools read the exported files, with the Python code of docs/models.md.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chainrule_tests_macros::test;
use serde_json::{Value, json};

use crate::command::{ask, call, code, folder, isolate, process, text};
use crate::predict::{train, write_digits};
use crate::support::{cpu, in_part, skip, uniform};
use crate::weight_files::{npy, npz};
use crate::{reference_tables, tables};

pub(crate) const FORMATS: [&str; 4] = ["safetensors", "npz", "onnx", "json"];

/// Both models, both precisions, and standardised features.
const MODELS: [(&str, &[&str]); 5] = [
    ("configs/softmax.toml", &[]),
    ("configs/softmax.toml", &["--precision", "f64"]),
    ("configs/softmax.toml", &["--set", "data.standardize=true"]),
    ("configs/softmax.toml", &["--set", "data.classes=[4, 7]"]),
    ("configs/logistic.toml", &["--precision", "f64"]),
];

fn export(folder: &Path) {
    for format in FORMATS {
        let file = format!("softmax.{format}");
        let output = call(folder, &["export", "run", "--out", &file, "--force"]);
        let outputs = (code(&output), text(&output.stderr), text(&output.stdout));
        assert_eq!(outputs, (Some(0), String::new(), format!("{file}\n")));
    }
}

/// Returns the probabilities of `predict`, one row per image.
fn expected(folder: &Path) -> Vec<Vec<f64>> {
    let output = call(folder, &["predict", "run", "digits/t10k-images-idx3-ubyte", "--json", "--quiet"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of_image = |image: &Value| serde_json::from_value(image["probabilities"].clone()).unwrap();
    answer["predictions"].as_array().unwrap().iter().map(of_image).collect()
}

/// Returns the Python blocks of the page. The first reads the pixels, each other one computes
/// probabilities.
pub(crate) fn blocks() -> Vec<&'static str> {
    let page = include_str!("../docs/models.md");
    page.split("```python\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

/// Runs every block and writes its probabilities, or the name of the missing module.
pub(crate) const HARNESS: &str = "
import json, sys
blocks = json.load(sys.stdin)
answers = []
for block in blocks[1:]:
    names = {}
    try:
        exec(blocks[0] + block, names)
        answers.append(names['p'].tolist())
    except ModuleNotFoundError as error:
        answers.append(error.name)
json.dump(answers, sys.stdout)
";

/// Returns Python's answer, within two minutes. Skips the test if there is no Python.
pub(crate) fn python(folder: &Path, script: &str, input: &Value) -> Value {
    let python = std::env::var_os("CHAINRULE_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = process(python);
    command.args(["-c", script]).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        skip("no Python");
    };
    // A script that reads no input may have exited already.
    let _ = serde_json::to_writer(child.stdin.take().unwrap(), input);
    let deadline = Instant::now() + Duration::from_secs(120);
    let out = std::thread::spawn({
        let mut stdout = child.stdout.take().unwrap();
        move || std::io::read_to_string(&mut stdout).unwrap()
    });
    let errors = std::thread::spawn({
        let mut stderr = child.stderr.take().unwrap();
        move || std::io::read_to_string(&mut stderr).unwrap()
    });
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(Instant::now() < deadline, "Python takes too long"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{}", errors.join().unwrap());
    serde_json::from_str(&out.join().unwrap()).unwrap()
}

/// Names the first of these modules that Python does not have.
const PROBE: &str = "
import importlib, json, sys
absent = None
for name in json.load(sys.stdin):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        absent = absent or error.name
json.dump(absent, sys.stdout)
";

/// Skips the test if Python or one of these modules is missing.
pub(crate) fn needs_python(folder: &Path, modules: &[&str]) {
    if let Value::String(module) = python(folder, PROBE, &json!(modules)) {
        skip(&format!("no Python module {module}"));
    }
}

#[test]
fn every_tool_gives_the_programs_probabilities() {
    for (config, more) in MODELS {
        let folder = folder();
        let folder = folder.path();
        train(folder, config, more);
        write_digits(folder);
        export(folder);
        let expected = expected(folder);
        let blocks = blocks();
        assert_eq!(blocks.len(), 7, "the pixels, and six ways to come to probabilities");
        let answers = python(folder, HARNESS, &json!(blocks));
        for (block, answer) in blocks[1..].iter().zip(answers.as_array().unwrap()) {
            if let Some(module) = answer.as_str() {
                in_part(&format!("no Python module {module}"));
                continue;
            }
            let actual: Vec<Vec<f64>> = serde_json::from_value(answer.clone()).unwrap();
            assert_eq!(actual.len(), expected.len());
            for (actual, expected) in actual.iter().flatten().zip(expected.iter().flatten()) {
                assert!((actual - expected).abs() < 1e-6, "{config} {more:?}: {actual} for {expected} by\n{block}");
            }
            assert_eq!(actual[0].len(), expected[0].len());
        }
    }
}

/// Checks the file with ONNX's own checker. Returns the label of each digit and the file's
/// metadata.
const ONNX: &str = "
import json, sys
import numpy as np
import onnx, onnxruntime
model = onnx.load('softmax.onnx')
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession('softmax.onnx')
pixels = np.fromfile('digits/t10k-images-idx3-ubyte', np.uint8, offset=16).reshape(-1, 784)
dtype = {'tensor(float)': np.float32, 'tensor(double)': np.float64}[session.get_inputs()[0].type]
p, label = session.run(None, {'input': pixels.astype(dtype)})
one, _ = session.run(None, {'input': pixels[:1].astype(dtype)})
about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
json.dump([label.tolist(), bool(np.array_equal(one[0], p[0])), about['chainrule']['classes']], sys.stdout)
";

#[test]
fn onnx_is_valid_and_matches_predict() {
    for (config, more) in MODELS {
        let folder = folder();
        let folder = folder.path();
        train(folder, config, more);
        write_digits(folder);
        export(folder);
        needs_python(folder, &["onnx", "onnxruntime"]);
        let output = call(folder, &["predict", "run", "digits/t10k-images-idx3-ubyte", "--json", "--quiet"]);
        let predicted: Value = serde_json::from_slice(&output.stdout).unwrap();
        let labels: Vec<&Value> =
            predicted["predictions"].as_array().unwrap().iter().map(|image| &image["class"]).collect();
        let actual = python(folder, ONNX, &json!(null));
        assert_eq!(actual[0].as_array().unwrap().iter().collect::<Vec<_>>(), labels);
        assert_eq!(actual[1], true, "a single row is judged as it is among others");
        let classes: Vec<String> = predicted["classes"].as_array().unwrap().iter().map(Value::to_string).collect();
        assert_eq!(actual[2], json!(classes));
    }
}

/// A table has class names and rows of numbers of any size.
const TABLE: &str = "
import json, sys
import numpy as np
rows = json.load(sys.stdin)
answers = {}
model = np.load('softmax.npz')
x = (np.array(rows) - model['mean']) / model['scale']
z = x @ model['coef'].T + model['intercept']
p = np.exp(z - z.max(axis=1, keepdims=True))
answers['npz'] = [(p / p.sum(axis=1, keepdims=True)).tolist(), model['classes'][z.argmax(axis=1)].tolist()]
try:
    import onnxruntime
    p, label = onnxruntime.InferenceSession('softmax.onnx').run(None, {'input': np.array(rows)})
    answers['onnx'] = [p.tolist(), label.tolist()]
except ModuleNotFoundError as error:
    answers['onnx'] = error.name
json.dump(answers, sys.stdout)
";

#[test]
fn exported_tables_keep_class_names() {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("flowers.csv"), tables::flowers(0..120, 4)).unwrap();
    let more = ["--set", "data.standardize=true", "--precision", "f64", "--set", "descent.epochs=20"];
    tables::train(folder, &[&tables::ON_FLOWERS[..], &more].concat());
    export(folder);
    let output = call(folder, &["predict", "run", "flowers.csv", "--json", "--quiet"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let predictions = answer["predictions"].as_array().unwrap();
    let table = tables::flowers(0..120, 4);
    let rows: Vec<Vec<f64>> =
        table.lines().skip(1).map(|line| line.split(',').filter_map(|field| field.parse().ok()).collect()).collect();
    let document: Value = serde_json::from_slice(&std::fs::read(folder.join("softmax.json")).unwrap()).unwrap();
    assert_eq!(document["row"], json!({ "numbers": { "names": ["length", "altitude (m)", "width", "year"] } }));

    let page = call(folder, &["page", "run"]);
    assert_eq!((code(&page), folder.join("run.html").exists()), (Some(2), false));
    assert!(text(&page.stderr).contains("the page needs a model of images"), "{}", text(&page.stderr));

    needs_python(folder, &["numpy"]);
    for (tool, answer) in python(folder, TABLE, &json!(rows)).as_object().unwrap() {
        if let Some(module) = answer.as_str() {
            in_part(&format!("no Python module {module}"));
            continue;
        }
        let actual: (Vec<Vec<f64>>, Vec<String>) = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(actual.0.len(), predictions.len());
        for ((actual, label), expected) in actual.0.iter().zip(&actual.1).zip(predictions) {
            let probabilities: Vec<f64> = serde_json::from_value(expected["probabilities"].clone()).unwrap();
            for (actual, expected) in actual.iter().zip(&probabilities) {
                assert!((actual - expected).abs() < 1e-9, "{tool}: {actual} for {expected}");
            }
            assert_eq!(Some(label.as_str()), expected["class"].as_str(), "{tool}");
        }
    }
}

/// Runs the script that compares ONNX models of tables with `predict`.
fn compare_tables(tables: &Path) {
    let folder = folder();
    needs_python(folder.path(), &["numpy", "onnx", "onnxruntime"]);
    let mut command = process(std::env::var_os("CHAINRULE_PYTHON").unwrap_or_else(|| "python3".into()));
    isolate(&mut command, folder.path());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/onnx_tables.py"));
    command.arg(env!("CARGO_BIN_EXE_chainrule-under-test")).arg(tables);
    // A GPU, which may be the first backend of the build, computes in f32.
    let output = command.args(["--backend", cpu()]).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn onnx_takes_the_raw_columns_of_real_tables() {
    compare_tables(&reference_tables::tables_folder());
}

/// Runs the page's code for the columns of a table.
const TABLE_BLOCK: &str = "
import json, sys
names = {}
exec(json.load(sys.stdin), names)
json.dump([names['p'].tolist(), names['label'].tolist()], sys.stdout)
";

#[test]
fn the_pages_code_gives_the_columns_of_a_table() {
    let folder = folder();
    let folder = folder.path();
    let row = |(i, draw): (usize, &f64)| {
        let city = ["Rome", "Oslo", "", "New York"][i % 4];
        // A column of whole numbers with a missing one is a column of floats in pandas.
        let rooms = ["1", "2", "3", "", "4"][i % 5];
        let born = if i % 6 == 0 { String::new() } else { format!("19{}-0{}-12T08:30:00", 50 + i, 1 + i % 9) };
        let species = if *draw + (i % 4) as f64 > 1.2 { "cat" } else { "dog" };
        format!("{city},{rooms},{born},{draw:.3},{species}\n")
    };
    let rows: String = uniform(2, 48).iter().enumerate().map(row).collect();
    std::fs::write(folder.join("new.csv"), format!("city,rooms,born,size,species\n{rows}")).unwrap();
    let levels = ["--set", "data.columns={rooms = \"category\"}"];
    let train = ["train", "--data", "new.csv", "--label", "species", "--backend", cpu(), "--out", "people"];
    ask(folder, &[&train[..], &levels].concat());
    assert_eq!(code(&call(folder, &["export", "people", "--out", "people.onnx"])), Some(0));
    needs_python(folder, &["numpy", "onnxruntime", "pandas"]);
    let (_, block) = include_str!("../docs/models.md").split_once("```py\n").unwrap();
    let answer = python(folder, TABLE_BLOCK, &json!(block.split_once("```").unwrap().0));
    let (p, labels): (Vec<Vec<f64>>, Vec<String>) = serde_json::from_value(answer).unwrap();
    let predicted = ask(folder, &["predict", "people", "new.csv"]);
    let predictions = predicted["predictions"].as_array().unwrap();
    assert_eq!((p.len(), predictions.len()), (48, 48));
    for ((p, label), expected) in p.iter().zip(&labels).zip(predictions) {
        let probabilities: Vec<f64> = serde_json::from_value(expected["probabilities"].clone()).unwrap();
        assert!(p.iter().zip(&probabilities).all(|(p, expected)| (p - expected).abs() < 1e-9), "{p:?} {expected}");
        assert_eq!(expected["class"], *label);
    }
}

/// Columns with the names of the graph's own values, categories of numbers, marks of missing values
/// that are numbers, dates with times, and rare levels.
#[test]
fn onnx_takes_the_raw_columns_of_odd_tables() {
    let folder = folder();
    let draws = uniform(5, 6 * 300);
    let rows = draws.chunks_exact(6).enumerate().map(|(i, draw)| {
        let [a, b, c, d, e, f] = *draw else { unreachable!() };
        let weight = if a > 0.7 { "-99".to_owned() } else { format!("{:.3}", 1000.0 + 10.0 * a) };
        let level = if b > 0.8 {
            format!("rare {i}")
        } else {
            ["u", "v", "w", "-", "é ü"][(10.0 * b).abs() as usize % 5].to_owned()
        };
        let code = ["1", "2.0", "07", "none", "-99.0"][(10.0 * c).abs() as usize % 5];
        let date = if d > 0.9 {
            String::new()
        } else {
            format!("2026-{:02}-{:02}T{:02}:30:00", 1 + (i % 12), 1 + (i % 28), i % 24)
        };
        let class = if a + b + 0.3 * f > 0.5 {
            "yes"
        } else if c + e > 0.0 {
            "no"
        } else {
            "perhaps"
        };
        let two = if class == "yes" { "12" } else { "7" };
        format!("{weight},{level},{code},{date},{:.3},{:.4},{class},{two}\n", 3.0 * e, 1e6 + f)
    });
    let rows: String = rows.collect();
    let table = format!("weight,label,mean,probabilities,column_0_filled,input,class,two\n{rows}");
    let columns = "data.columns={mean = \"category\"}";
    let marks = ["--set", columns, "--set", "data.missing=[\"-99\", \"none\"]", "--set", "data.min_rows=3"];
    let mut references = json!({});
    for (name, label, other, more) in [
        ("three", "class", "two", vec![]),
        ("two", "two", "class", vec![]),
        ("unscaled", "two", "class", vec!["--set", "data.standardize=false"]),
        ("softmax", "two", "class", vec!["--set", "model.kind=softmax", "--precision", "f32"]),
    ] {
        std::fs::write(folder.path().join(format!("{name}.csv")), &table).unwrap();
        let ignored = format!("data.ignore=[\"{other}\"]");
        let options = [&marks[..], &["--set", &ignored], &more].concat();
        references[name] = json!({ "label": label, "options": options });
    }
    std::fs::write(folder.path().join("reference.json"), references.to_string()).unwrap();
    compare_tables(folder.path());
}

#[test]
fn exports_are_reproducible_and_replace_nothing() {
    let folder = folder();
    let folder = folder.path();
    train(folder, "configs/softmax.toml", &[]);
    export(folder);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for format in FORMATS {
        let file = format!("softmax.{format}");
        let before = read(&file);
        let refused = call(folder, &["export", "run", "--out", &file]);
        let error = text(&refused.stderr);
        assert_eq!((code(&refused), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains("exists already") && error.contains("--force"), "{error}");
        // Without --out, the file is written beside the run, with the same bytes.
        let output = call(folder, &["export", "run", "--format", format, "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (answer["file"].as_str(), answer["format"].as_str()),
            (Some(&*format!("run.{format}")), Some(format))
        );
        assert!(read(&format!("run.{format}")) == before, "{file} is another file the second time");
        assert_eq!(answer["bytes"], before.len());
    }
    let unknown = call(folder, &["export", "run", "--out", "softmax.pickle"]);
    assert_eq!(code(&unknown), Some(2));
    assert!(text(&unknown.stderr).contains("safetensors, npz, onnx, json"), "{}", text(&unknown.stderr));
}

/// Returns onnxruntime's answer for rows: the input type of a file, the probabilities and the
/// labels.
const ONNX_OF_ROWS: &str = "
import json, sys
import numpy as np
import onnx, onnxruntime
answers = []
for file, rows in json.load(sys.stdin):
    onnx.checker.check_model(onnx.load(file), full_check=True)
    session = onnxruntime.InferenceSession(file)
    kind = session.get_inputs()[0].type
    dtype = {'tensor(float)': np.float32, 'tensor(double)': np.float64}[kind]
    p, label = session.run(None, {'input': np.array(rows, dtype)})
    answers.append([kind, p.ravel().tolist(), label.tolist()])
json.dump(answers, sys.stdout)
";

/// Imports a model with f32 weights on two columns, a and b. One row of weights is a model of two
/// classes, three rows of three classes.
fn imported(
    folder: &Path,
    name: &str,
    [coef, intercept]: [&[f32]; 2],
    statistics: Option<[[f64; 2]; 2]>,
    more: &[&str],
) {
    let array = |descr: &str, shape: &str, bytes: Vec<u8>| {
        npy(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"), &bytes)
    };
    let f4 = |shape: &str, x: &[f32]| array("<f4", shape, x.iter().flat_map(|x| x.to_le_bytes()).collect());
    let f8 = |x: [f64; 2]| array("<f8", "(2,)", x.iter().flat_map(|x| x.to_le_bytes()).collect());
    let k = intercept.len();
    let mut arrays =
        vec![("coef.npy", f4(&format!("({k}, 2)"), coef)), ("intercept.npy", f4(&format!("({k},)"), intercept))];
    arrays.extend(statistics.into_iter().flat_map(|[mean, scale]| [("mean.npy", f8(mean)), ("scale.npy", f8(scale))]));
    std::fs::write(folder.join(format!("{name}.npz")), npz(&arrays)).unwrap();
    let options = ["import", &format!("{name}.npz"), "--out", name, "--columns", "a,b"];
    ask(folder, &[&options[..], more].concat());
}

/// The feature `time` holds Unix seconds within 150 of 1.7e9. Neighbouring f32 numbers are 128
/// apart there, too coarse to separate the classes.
#[test]
fn onnx_uses_doubles_if_f32_cannot_hold_the_rows() {
    let folder = folder();
    let folder = folder.path();
    let draws = uniform(3, 240);
    let seconds: Vec<[f64; 2]> =
        draws.chunks_exact(2).map(|draw| [(1.7e9 + 150.0 * draw[0]).round(), draw[1]]).collect();
    let table = seconds.iter().map(|[t, x]| format!("{t},{x},{}\n", if *t + 30.0 * x > 1.7e9 { "010" } else { "007" }));
    std::fs::write(folder.join("seconds.csv"), "time,x,label\n".to_owned() + &table.collect::<String>()).unwrap();
    let more = ["--set", "data.label=label", "--set", "data.standardize=true", "--set", "descent.learning_rate=1"];
    let summary = tables::train(folder, &[&["--data", "seconds.csv"], &more[..]].concat());
    assert_eq!(summary["precision"], "f32");

    let near = |mean: f64, scale: f64| draws.chunks_exact(2).map(move |x| [mean + scale * x[0], scale * x[1]]);
    let weights: [&[f32]; 2] = [&[4.0, -3.0], &[0.25]];
    let one_each: [&[f32]; 2] = [&[2.0, -1.0, -3.0, 0.5, 0.75, 2.5], &[0.0, -1.0, 0.5]];
    let rest = ["--classes", "r,s,t", "--one-vs-rest"];
    imported(folder, "raw", [&[0.01, 1.0], &[-1.7e7]], None, &["--trained-on", "numbers"]);
    imported(folder, "held", weights, Some([[2.0, 0.0], [1.0, 1.0]]), &[]);
    imported(folder, "steep", [&[160.0, -120.0], &[0.0]], Some([[1.8, 0.0], [1.0, 1.0]]), &[]);
    imported(folder, "above", weights, Some([[-2.01, 0.0], [1.0, 1.0]]), &[]);
    imported(folder, "tiny", weights, Some([[0.0, 0.0], [1e-39, 1e-39]]), &[]);
    imported(folder, "rest", one_each, Some([[1.0, 0.0], [1.0, 1.0]]), &rest);
    imported(folder, "rest-far", one_each, Some([[1e6, 0.0], [1.0, 1.0]]), &rest);
    let cases = [
        ("run", "double", seconds.clone()),
        ("raw", "double", seconds.clone()),
        ("held", "float", near(2.0, 1.0).collect()),
        ("steep", "double", near(1.8, 1.0).collect()),
        ("above", "double", near(-2.01, 1.0).collect()),
        ("tiny", "double", near(0.0, 1e-39).collect()),
        ("rest", "float", near(1.0, 1.0).collect()),
        // Also far out, where the sigmoids are 0 or 1.
        ("rest-far", "double", near(1e6, 1.0).chain(near(1e6, 1e3)).collect::<Vec<[f64; 2]>>()),
    ];
    for (name, _, _) in &cases {
        ask(folder, &["export", name, "--format", "onnx"]);
    }
    needs_python(folder, &["numpy", "onnx", "onnxruntime"]);
    let requests: Vec<Value> = cases.iter().map(|(name, _, rows)| json!([format!("{name}.onnx"), rows])).collect();
    let answers = python(folder, ONNX_OF_ROWS, &json!(requests));
    for ((name, float_type, rows), answer) in cases.iter().zip(answers.as_array().unwrap()) {
        let first = if *name == "run" { "time,x\n" } else { "a,b\n" };
        let table = rows.iter().map(|[a, b]| format!("{a},{b}\n")).collect::<String>();
        std::fs::write(folder.join("rows.csv"), first.to_owned() + &table).unwrap();
        let expected = ask(folder, &["predict", name, "rows.csv"]);
        let (actual_type, actual, labels): (String, Vec<f64>, Value) = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(actual_type, format!("tensor({float_type})"), "{name}");
        let predictions = expected["predictions"].as_array().unwrap();
        let expected = predictions.iter().flat_map(|row| row["probabilities"].as_array().unwrap().clone());
        let distances = actual.iter().zip(expected).map(|(p, expected)| (p - expected.as_f64().unwrap()).abs());
        let max_distance = distances.fold(0.0, f64::max);
        assert!(actual.len() >= 2 * rows.len() && max_distance < 1e-6, "{name}: {max_distance}");
        if *name == "run" {
            let expected: Vec<&Value> = predictions.iter().map(|row| &row["class"]).collect();
            assert_eq!(labels.as_array().unwrap().iter().collect::<Vec<_>>(), expected);
        }
    }
}
