//! The report's numbers on MNIST without shuffling, where nothing is random. f64 matches to 1e-8.
//! f32 stops in the same epochs and steps, with counts of correct rows within 2. Covers every
//! gradient source and every CPU backend of the build.

use burn::tensor::Device;
use chainrule_solve::Ending;
use chainrule_tests_macros::test;

use crate::support::{Fit, experiment, f64_devices, fit, mnist};

const GRADIENTS: [&str; 3] = ["descent.gradient=closed-form", "descent.gradient=autodiff", "descent.gradient=fused"];

/// Step, validation loss, correct training rows, correct validation rows.
const LOGISTIC: [(usize, f64, f64, f64); 6] = [
    (0, 0.493_336_870_4, 3673.0, 1905.0),
    (6, 0.958_446_884_2, 2242.0, 1199.0),
    (12, 0.184_230_143_9, 3692.0, 1881.0),
    (30, 0.112_332_882_4, 3823.0, 1965.0),
    (978, 0.065_690_487_6, f64::NAN, f64::NAN), // the best step; the report gives no counts here
    (1038, 0.065_771_877_5, 3908.0, 2000.0),
];

/// Step, validation loss, validation accuracy.
const SOFTMAX: [(usize, f64, f64); 4] = [
    (0, 2.257_184_247_4, 0.1556),
    (31, 1.396_880_362_6, 0.7361),
    (62, 1.037_905_200_2, 0.8195),
    (775, 0.411_195_970_4, 0.8912),
];

/// Returns the tolerances of a precision: for losses and for counts of correct rows.
fn bounds(precision: &str) -> (f64, f64) {
    if precision == "descent.precision=f64" { (1e-8, 0.0) } else { (2e-5, 2.0) }
}

fn assert_loss(what: &str, actual: f64, expected: f64, bound: f64) {
    assert!((actual - expected).abs() <= bound, "{what}: validation loss {actual}, expected {expected} to {bound:e}");
}

fn assert_count(what: &str, accuracy: f64, rows: f64, expected: f64, bound: f64) {
    let actual = (accuracy * rows).round();
    assert!((actual - expected).abs() <= bound, "{what}: {actual} of {rows} right, expected {expected} to {bound}");
}

/// Runs a check on every CPU of the build with every gradient source. GPUs have no f64 and are slow
/// in software. Other tests compare them with the CPU on less data.
fn on_every_cpu(precision: &str, check: impl Fn(&Device, &str, &str)) {
    for device in f64_devices() {
        for gradient in GRADIENTS {
            check(&device, gradient, &format!("{device:?} {precision} {gradient}"));
        }
    }
}

fn logistic_table_holds(precision: &str) {
    let data = mnist();
    let (loss, count) = bounds(precision);
    on_every_cpu(precision, |device, gradient, what| {
        let run = fit(&experiment("logistic.toml", &[precision, gradient]), &data, device, &mut ());
        assert_eq!((run.ending, run.steps - 1, (run.steps - 1) / 31), (Ending::StoppedEarly, 1038, 33), "{what}");
        assert_eq!(run.best.map(|(step, _)| step), Some(978), "{what}");
        for (step, expected, train_right, validation_right) in LOGISTIC {
            let evaluation = run.history.evaluations.iter().find(|evaluation| evaluation.step == step).unwrap();
            let what = format!("{what} step {step}");
            assert_loss(&what, evaluation.validation_loss, expected, loss);
            if !train_right.is_nan() {
                assert_count(&what, evaluation.train_accuracy, 4005.0, train_right, count);
                assert_count(&what, evaluation.validation_accuracy, 2042.0, validation_right, count);
            }
        }
    });
}

fn softmax_table_holds(precision: &str) {
    let data = mnist();
    let (loss, count) = bounds(precision);
    on_every_cpu(precision, |device, gradient, what| {
        let unshuffled = "descent.shuffle.generator=none";
        let run: Fit = fit(&experiment("softmax.toml", &[precision, gradient, unshuffled]), &data, device, &mut ());
        assert_eq!((run.ending, run.steps), (Ending::Completed, 7800), "{what}");
        for (step, expected, accuracy) in SOFTMAX {
            let evaluation = run.history.evaluations.iter().find(|evaluation| evaluation.step == step).unwrap();
            let what = format!("{what} step {step}");
            assert_loss(&what, evaluation.validation_loss, expected, loss);
            assert_count(&what, evaluation.validation_accuracy, 10_000.0, (accuracy * 10_000.0f64).round(), count);
        }
        // The table gives the final loss to six digits.
        assert_loss(what, run.final_metrics.validation_loss, 0.298_632, loss.max(5e-7));
        assert_count(what, run.final_metrics.validation_accuracy, 10_000.0, 9143.0, count);
    });
}

#[test]
fn the_logistic_table_holds_in_f64() {
    logistic_table_holds("descent.precision=f64");
}

#[test]
fn the_logistic_table_holds_in_f32() {
    logistic_table_holds("descent.precision=f32");
}

#[test]
fn the_softmax_table_holds_in_f64() {
    softmax_table_holds("descent.precision=f64");
}

#[test]
fn the_softmax_table_holds_in_f32() {
    softmax_table_holds("descent.precision=f32");
}

#[test]
fn shuffling_stops_the_logistic_run_earlier() {
    let data = mnist();
    for device in f64_devices() {
        let by = |precision| fit(&experiment("logistic-shuffled.toml", &[precision]), &data, &device, &mut ());
        let (f64, f32) = (by("descent.precision=f64"), by("descent.precision=f32"));
        assert_eq!((f64.ending, f64.steps), (Ending::StoppedEarly, f32.steps));
        assert!(f64.steps < 1039, "{}", f64.steps);
    }
}
