//! `chainrule page`: the drawing page in a browser. Its arithmetic is compared with the program's.

use std::path::Path;

use chainrule_core::{ModelKind, Parameters, Preprocessing};
use chainrule_data::picture;
use chainrule_kernels::{Float, FusedModel, Isa};
use chainrule_records::{RunFolder, read_parameters};
use chainrule_solve::{FusedRows, Predictor};
use chainrule_tests_macros::test;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::command::{call, code, folder, text};
use crate::predict::train;
use crate::support::{assert_close, digits};

/// Trains a model into `run` and opens its page with an empty board: without the link to one, an
/// example draws itself.
fn open(browser: &Browser, folder: &Path, config: &str, more: &[&str]) -> Predictor {
    train(folder, config, more);
    let output = call(folder, &["page", "run"]);
    assert_eq!((code(&output), text(&output.stderr), text(&output.stdout)), (Some(0), "".into(), "run.html\n".into()));
    browser.post("/url", &json!({ "url": format!("file://{}#board=", folder.join("run.html").display()) }));
    let run = RunFolder::read(&folder.join("run")).unwrap();
    Predictor::new(run.summary.model, run.parameters, run.preprocessing).unwrap()
}

fn parameters(folder: &Path) -> Parameters {
    read_parameters(&std::fs::read(folder.join("run/model.safetensors")).unwrap()).unwrap()
}

/// The object of the page whose methods the tests call.
const BOARD: &str = "const board = document.querySelector('.board').board;";

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Both models, in f32 (half the bytes in the page) and in f64.
const MODELS: [(&str, &[&str], ModelKind); 3] = [
    ("configs/softmax.toml", &["--precision", "f64"], ModelKind::Softmax),
    ("configs/softmax.toml", &[], ModelKind::Softmax),
    ("configs/logistic.toml", &["--precision", "f64"], ModelKind::Logistic),
];

#[test]
fn the_page_has_the_programs_probabilities_and_evidence() {
    let browser = Browser::start();
    let images = digits(1000, 1).train;
    let standardized = ("configs/softmax.toml", &["--set", "data.standardize=true"][..], ModelKind::Softmax);
    for (config, more, _) in [&MODELS[..], &[standardized]].concat() {
        let folder = folder();
        let predictor = open(&browser, folder.path(), config, more);
        let script = format!(
            "{BOARD} return arguments[0].map((image) => {{ const prediction = board.model.predict(image); const last = prediction.logits.length - 1;
             return [prediction.logits, prediction.probabilities, prediction.class, prediction.loss(last), [...board.model.evidence(image, last)]]; }});"
        );
        for first in (0..1000).step_by(100) {
            let rows: Vec<&[u8]> = (first..first + 100).map(|row| images.pixels(row)).collect();
            let actual = browser.script(&script, &json!([rows]));
            for (pixels, actual) in rows.into_iter().zip(actual.as_array().unwrap()) {
                let expected = predictor.predict(pixels).unwrap();
                let last = expected.logits.len() - 1;
                assert_close(&numbers(&actual[0]), &expected.logits, 1e-12, "logits");
                assert_close(&numbers(&actual[1]), &expected.probabilities, 1e-12, "probabilities");
                assert_eq!(actual[2].as_u64(), Some(expected.class as u64));
                assert_close(&[actual[3].as_f64().unwrap()], &[expected.cross_entropy(last)], 1e-12, "loss");
                // The page shows the evidence of the ink: the program's evidence minus that of an
                // empty board.
                let (of_image, _) = predictor.evidence(pixels, last).unwrap();
                let (of_blank, _) = predictor.evidence(&vec![0; pixels.len()], last).unwrap();
                let of_ink: Vec<f64> = of_image.iter().zip(of_blank).map(|(image, blank)| image - blank).collect();
                assert_close(&numbers(&actual[4]), &of_ink, 1e-12, "evidence");
            }
        }
    }
}

#[test]
fn its_steps_match_the_kernels() {
    let browser = Browser::start();
    let data = digits(40, 60);
    for (config, more, kind) in MODELS {
        let folder = folder();
        open(&browser, folder.path(), config, more);
        let mut parameters = parameters(folder.path());
        let classes: Option<&[u8]> = (kind == ModelKind::Logistic).then_some(&[3, 2]);
        let ([split, _], _) = data.select(None, None, classes).unwrap();
        let rows = FusedRows::new(split.clone(), &Preprocessing::Pixels).unwrap();
        let rows = rows.packed().unwrap();
        let mut fused = FusedModel::new(kind.link(10), parameters.n_features, Float::F64, 1, Isa::best());
        fused.set(&parameters.weight, &parameters.bias);
        for row in 0..5 {
            fused.step(rows, &[row], chainrule_core::Step { learning_rate: 0.02, l2: 0.0, penalize_bias: false });
        }
        (parameters.weight, parameters.bias) = fused.parameters();

        let pixels = crate::support::pixels(&split);
        let steps: Vec<_> = (0..5).map(|row| json!([pixels[row * 784..][..784], split.label(row)])).collect();
        let script = format!(
            "{BOARD} for (const [image, y] of arguments[0]) board.model.step(image, y, 0.02); return board.model.parameters();"
        );
        let actual = browser.script(&script, &json!([steps]));
        assert_close(&numbers(&actual["weight"]), &parameters.weight, 1e-12, "weights");
        assert_close(&numbers(&actual["bias"]), &parameters.bias, 1e-12, "bias");
    }
}

/// Draws a stroke with the mouse through points in the unit square.
fn drag(browser: &Browser, points: &[[f64; 2]]) {
    let [left, top, width, height] = browser.place("[data-part=pad]");
    let step = |[x, y]: [f64; 2]| json!({ "type": "pointerMove", "x": (left + x * width).round(), "y": (top + y * height).round(), "duration": 0 });
    let mut actions: Vec<Value> = points.iter().copied().map(step).collect();
    actions.insert(1, json!({ "type": "pointerDown", "button": 0 }));
    actions.push(json!({ "type": "pointerUp", "button": 0 }));
    let mouse =
        json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
    browser.post("/actions", &json!({ "actions": [mouse] }));
}

/// A seven, as points in the unit square.
const SEVEN: [[f64; 2]; 4] = [[0.3, 0.3], [0.7, 0.3], [0.55, 0.5], [0.45, 0.8]];

/// Returns the image that the model gets.
fn seen(browser: &Browser) -> Vec<u8> {
    serde_json::from_value(browser.script(&format!("{BOARD} return [...board.pixels()];"), &json!([]))).unwrap()
}

/// Returns for each class its share of the bar in percent, and its probability and residual as
/// displayed.
fn shown(browser: &Browser) -> Vec<(f64, String, String)> {
    let script = "return [...document.querySelectorAll('[data-part=class]')].map((row) => { const of = (name) => row.querySelector(`[data-of=${name}]`);
        return [parseFloat(of('bar').style.width), of('probability').textContent, of('residual').textContent]; });";
    serde_json::from_value(browser.script(script, &json!([]))).unwrap()
}

/// Waits until the page's status, which screen readers announce, contains this text.
fn status(browser: &Browser, expected: &str) {
    let read = || browser.script("return document.querySelector('[role=status]').textContent", &json!([]));
    for _ in 0..100 {
        if read().as_str().unwrap().contains(expected) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{} does not say {expected:?}", read());
}

fn press(browser: &Browser, keys: &str) {
    let keys: Vec<Value> = keys
        .chars()
        .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })))
        .collect();
    browser.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] }));
}

#[test]
fn a_drawing_is_scaled_and_predicted_as_by_the_program() {
    let browser = Browser::start();
    let folder = folder();
    let predictor = open(&browser, folder.path(), "configs/softmax.toml", &[]);
    status(&browser, "The board is empty.");
    drag(&browser, &SEVEN);
    let image = seen(&browser);
    let prediction = predictor.predict(&image).unwrap();
    for ((bar, probability, _), expected) in shown(&browser).iter().zip(&prediction.probabilities) {
        assert!((bar - 100.0 * expected).abs() < 1e-3, "a bar of {bar} % for {expected}");
        assert_eq!(probability, &format!("{:.1} %", 100.0 * expected));
    }
    status(&browser, &format!("Most probable: {} at ", prediction.class));

    // 20 rows of ink, centred by mass, and close to what the program reads from a picture of the
    // board.
    let rows = (0..28).filter(|row| image[row * 28..][..28].iter().any(|&level| level > 63)).count();
    assert!((19..=20).contains(&rows), "{rows} rows of ink");
    let mass: f64 = image.iter().copied().map(f64::from).sum();
    let moment =
        |place: fn(usize) -> usize| (0..784).map(|j| place(j) as f64 * f64::from(image[j])).sum::<f64>() / mass;
    let (row, column) = (moment(|j| j / 28), moment(|j| j % 28));
    assert!((row - 14.0).abs() <= 0.5 && (column - 14.0).abs() <= 0.5, "the mass is at {row}, {column}");
    let url = browser.script("return document.querySelector('[data-part=pad]').toDataURL('image/png')", &json!([]));
    let png =
        base64::Engine::decode(&base64::prelude::BASE64_STANDARD, url.as_str().unwrap().split_once(',').unwrap().1);
    let of_program = picture::read(&png.unwrap(), [28, 28]).unwrap().pixels;
    let difference: f64 = image.iter().zip(&of_program).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / mass;
    assert!(difference < 0.15, "{difference} of the ink is elsewhere");

    // Without fitting, the ink stays as drawn. Undo removes it.
    browser.click("[data-part=fit]");
    assert!(seen(&browser).iter().copied().map(f64::from).sum::<f64>() < 0.7 * mass);
    browser.click("[data-part=fit]");
    assert_eq!(seen(&browser), image);
    browser.click("[data-part=undo]");
    assert_eq!(seen(&browser), vec![0; 784]);
    status(&browser, "The board is empty.");
    let fetched = browser.script("return performance.getEntriesByType('resource').length", &json!([]));
    assert_eq!(fetched, 0, "the page fetched something");
}

#[test]
fn a_step_raises_its_class_and_can_be_undone() {
    let browser = Browser::start();
    let folder = folder();
    let predictor = open(&browser, folder.path(), "configs/softmax.toml", &[]);
    let is_disabled =
        |part: &str| browser.script("return document.querySelector(arguments[0]).disabled", &json!([part]));
    assert_eq!(is_disabled("[data-part=once]"), true, "there is nothing to learn from");
    drag(&browser, &SEVEN);
    let image = seen(&browser);
    let before = predictor.predict(&image).unwrap();
    // A wrong class.
    let taught = (before.class + 1) % 10;
    browser.click(&format!("[data-part=class]:nth-of-type({}) [data-of=truth]", taught + 1));
    for (k, (_, _, residual)) in shown(&browser).iter().enumerate() {
        let expected = before.probabilities[k] - f64::from(u8::from(k == taught));
        let residual: f64 = residual.replace('−', "-").parse().unwrap();
        assert!((residual - expected).abs() <= 0.000_501, "class {k}: {residual} for {expected}");
    }
    browser.click("[data-part=once]");
    let probability = |class: usize| shown(&browser)[class].0 / 100.0;
    let once = probability(taught);
    assert!(once > before.probabilities[taught], "{once} after a step, {} before", before.probabilities[taught]);
    browser.click("[data-part=often]");
    assert!(probability(taught) > once);
    let says = |what: &str| browser.script("return document.querySelector(arguments[0]).textContent", &json!([what]));
    assert_eq!(says("[data-part=steps]"), "The model has 11 steps more than after its training.");
    status(&browser, &format!("{taught}: from "));
    browser.click("[data-part=reset]");
    assert!((probability(taught) - before.probabilities[taught]).abs() < 1e-5);
    assert_eq!(says("[data-part=steps]"), "The model has its trained weights.");

    // A step that raises weights shows the ink in one colour, a step that lowers them in the other.
    let colors =
        "const own = document.querySelectorAll('[data-part=class]')[arguments[0]].querySelector('[data-of=step]');
        return [...own.getContext('2d').getImageData(0, 0, 28, 28).data];";
    let colors = |class: usize| numbers(&browser.script(colors, &json!([class])));
    let ink = image.iter().position(|&level| level == 255).unwrap();
    let at_ink = |class: usize| colors(class)[4 * ink..][..3].to_vec();
    let is_blue = |rgb: &[f64]| rgb[2] > rgb[0];
    assert!(
        is_blue(&at_ink(taught)) && !is_blue(&at_ink(before.class)),
        "{:?} {:?}",
        at_ink(taught),
        at_ink(before.class)
    );
}

#[test]
fn the_keyboard_can_draw() {
    let browser = Browser::start();
    let folder = folder();
    open(&browser, folder.path(), "configs/logistic.toml", &[]);
    // Tab reaches the board after what to try. Then space, right arrow, down arrow.
    let (tab, right, down) = ("\u{e004}", "\u{e014}", "\u{e015}");
    let is_reached = || browser.script("return document.activeElement.dataset.part === 'pad'", &json!([])) == true;
    for _ in 0..4 {
        if !is_reached() {
            press(&browser, tab);
        }
    }
    assert!(is_reached(), "four times Tab does not reach the board");
    press(&browser, &format!(" {}{}", right.repeat(6), down.repeat(6)));
    status(&browser, "Pen down, column 20 of 28, row 20. Most probable: ");
    let image = seen(&browser);
    assert!(image.iter().filter(|&&level| level > 127).count() > 20, "{image:?}");
    // A lifted pen draws nothing.
    press(&browser, &format!(" {}", down.repeat(3)));
    status(&browser, "Pen up, column 20 of 28, row 23.");
    assert_eq!(seen(&browser), image);
    press(&browser, "\u{e003}");
    assert_eq!(seen(&browser), vec![0; 784]);
    // An example chosen by Tab and Enter is classified, and its true class is shown.
    let focused = "document.querySelectorAll('[data-part=example]')[1].focus(); return document.activeElement.getAttribute('aria-label')";
    let label = browser.script(focused, &json!([]));
    press(&browser, "\u{e007}");
    assert!(label.as_str().unwrap().starts_with("Example 2, classified "), "{label}");
    assert!(seen(&browser).iter().any(|&level| level > 127));
}

#[test]
fn the_page_fits_phones() {
    let browser = Browser::start();
    let folder = folder();
    open(&browser, folder.path(), "configs/softmax.toml", &[]);
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true });
    browser.post("/goog/cdp/execute", &json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": phone }));
    let width = browser.script("return document.documentElement.scrollWidth", &json!([]));
    assert_eq!(width, 360, "something is wider than a phone");
    // Touch targets are large enough for a finger.
    let smallest = "return Math.min(...[...document.querySelectorAll('.board button, .board th label')].filter((e) => e.offsetParent).map((e) => e.getBoundingClientRect().height))";
    assert!(browser.script(smallest, &json!([])).as_f64().unwrap() >= 38.0);
}

#[test]
fn the_page_is_written_to_out() {
    let folder = folder();
    train(folder.path(), "configs/softmax.toml", &[]);
    let output = call(folder.path(), &["page", "run", "--out", "draw.html", "--json"]);
    assert_eq!((code(&output), text(&output.stderr)), (Some(0), String::new()));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let html = std::fs::read_to_string(folder.path().join("draw.html")).unwrap();
    assert_eq!((answer["page"].as_str(), answer["bytes"].as_u64()), (Some("draw.html"), Some(html.len() as u64)));
    assert_eq!(html.matches("data-part=\"example\"").count(), 10);
    for (arguments, expected) in [
        (["page", "nothing", "--quiet", "--json"], "nothing"),
        (["page", "run", "--out", "no/such/folder/page.html"], "no/such/folder/page.html"),
    ] {
        let output = call(folder.path(), &arguments);
        let error = text(&output.stderr);
        assert_eq!((code(&output), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.starts_with("error: ") && error.contains(expected), "{error}");
    }
}
