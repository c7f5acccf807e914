//! Softmax regression by linfa-logistic's lbfgs, to the optimum of mean cross-entropy + l2/2 sum
//! w^2.
//!
//! One JSON document on the first line says on what; then each line says how many iterations a fit
//! may make, and gets one line of JSON: the seconds of `fit`, and W `[d, k]` row by row, then b
//! `[k]`. linfa shows nothing on its way, so each is a fit by itself. Where the bias is penalised,
//! too, it is the weight of a feature that is always 1.

#![allow(clippy::print_stdout, reason = "this is a program")]

use std::time::Instant;

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::MultiLogisticRegression;
use ndarray::{Array1, Array2};
use serde::Deserialize;

#[derive(Deserialize)]
struct TrainingJob {
    pixels: String,
    labels: String,
    rows: usize,
    features: usize,
    classes: usize,
    l2: f64,
    penalize_bias: bool,
    precision: String,
}

/// The trait of the floats that linfa's logistic models take is private, so that this is written
/// out for each.
macro_rules! fit {
    ($float:ty, $ask:expr, $pixels:expr, $labels:expr) => {{
        let data = Dataset::new(features($ask, $pixels, |x| x as $float), $labels);
        // The tolerance is out of reach, so that the iterations decide.
        let model = MultiLogisticRegression::<$float>::new()
            .with_intercept(!$ask.penalize_bias)
            .alpha(($ask.l2 * $ask.rows as f64) as $float)
            .gradient_tolerance(1e-9);
        for line in std::io::stdin().lines() {
            let iterations = line.expect("a line").trim().parse().expect("a number of iterations");
            let model = model.clone().max_iterations(iterations);
            let start = Instant::now();
            let fitted = model.fit(&data).expect("a fit");
            let seconds = start.elapsed().as_secs_f64();
            answer($ask, seconds, fitted.params().mapv(f64::from), fitted.intercept().mapv(f64::from));
        }
    }};
}

fn main() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    let ask: TrainingJob = serde_json::from_str(&line).expect("what to fit");
    let pixels = std::fs::read(&ask.pixels).expect("the pixels");
    let labels: Array1<u8> = std::fs::read(&ask.labels).expect("the labels").into();
    println!("{}", serde_json::json!({ "version": "linfa-logistic 0.8.1" }));
    match ask.precision.as_str() {
        "float32" => fit!(f32, &ask, &pixels, labels),
        "float64" => fit!(f64, &ask, &pixels, labels),
        other => panic!("precision {other:?}"),
    }
}

/// `[n, d]`, and where the bias is a weight a column of ones.
fn features<F: Clone>(ask: &TrainingJob, pixels: &[u8], round: impl Fn(f64) -> F) -> Array2<F> {
    let columns = ask.features + usize::from(ask.penalize_bias);
    Array2::from_shape_fn((ask.rows, columns), |(row, column)| {
        let is_pixel = column < ask.features;
        round(if is_pixel { f64::from(pixels[row * ask.features + column]) / 127.5 - 1.0 } else { 1.0 })
    })
}

fn answer(ask: &TrainingJob, seconds: f64, weight: Array2<f64>, bias: Array1<f64>) {
    let mut parameters: Vec<f64> = weight.iter().copied().collect();
    if !ask.penalize_bias {
        parameters.extend(bias);
    }
    assert_eq!(parameters.len(), (ask.features + 1) * ask.classes, "a weight for each feature and class, and a bias");
    let answer = serde_json::json!({
        "seconds": seconds,
        "parameters": parameters,
        "peak_bytes": peak_bytes(),
    });
    println!("{answer}");
}

/// The most memory that this process held; 0 where the system does not say.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|text| text.trim().parse().ok());
    1024 * kilobytes.unwrap_or(0u64)
}
