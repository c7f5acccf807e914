//! Softmax regression by linfa-logistic's lbfgs, to the optimum of mean cross-entropy + l2/2 sum
//! w^2, on images or on a table (`table.rs`).
//!
//! The first line of the input is the job, as JSON. Each further line is the maximum number of
//! iterations of a fit. The answer is one line of JSON: the seconds of `fit`, and W `[d, k]` row by
//! row, then b `[k]`. linfa does not report its iterates, so each line is a separate fit. If the
//! bias is penalised, it is the weight of a feature that is always 1.

#![allow(clippy::print_stdout, reason = "this is a program")]

mod table;

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

/// The float trait of linfa's logistic models is private, so a macro writes this for each float.
macro_rules! fit {
    ($float:ty, $job:expr, $pixels:expr, $labels:expr) => {{
        let data = Dataset::new(features($job, $pixels, |x| x as $float), $labels);
        // The tolerance is too small to be reached, so the number of iterations decides.
        let model = MultiLogisticRegression::<$float>::new()
            .with_intercept(!$job.penalize_bias)
            .alpha(($job.l2 * $job.rows as f64) as $float)
            .gradient_tolerance(1e-9);
        for line in std::io::stdin().lines() {
            let iterations = line.expect("a line").trim().parse().expect("a number of iterations");
            let model = model.clone().max_iterations(iterations);
            let start = Instant::now();
            let fitted = model.fit(&data).expect("a fit");
            let seconds = start.elapsed().as_secs_f64();
            answer($job, seconds, fitted.params().mapv(f64::from), fitted.intercept().mapv(f64::from));
        }
    }};
}

fn main() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    if let Ok(job) = serde_json::from_str(&line) {
        return table::answer(&job);
    }
    let job: TrainingJob = serde_json::from_str(&line).expect("the job");
    let pixels = std::fs::read(&job.pixels).expect("reading the pixels");
    let labels: Array1<u8> = std::fs::read(&job.labels).expect("reading the labels").into();
    println!("{}", serde_json::json!({ "version": "linfa-logistic 0.8.1" }));
    match job.precision.as_str() {
        "float32" => fit!(f32, &job, &pixels, labels),
        "float64" => fit!(f64, &job, &pixels, labels),
        other => panic!("precision {other:?}"),
    }
}

/// Returns features `[n, d]`, with a column of ones if the bias is a weight.
fn features<F: Clone>(job: &TrainingJob, pixels: &[u8], round: impl Fn(f64) -> F) -> Array2<F> {
    let columns = job.features + usize::from(job.penalize_bias);
    Array2::from_shape_fn((job.rows, columns), |(row, column)| {
        let is_pixel = column < job.features;
        round(if is_pixel { f64::from(pixels[row * job.features + column]) / 127.5 - 1.0 } else { 1.0 })
    })
}

fn answer(job: &TrainingJob, seconds: f64, weight: Array2<f64>, bias: Array1<f64>) {
    let mut parameters: Vec<f64> = weight.iter().copied().collect();
    if !job.penalize_bias {
        parameters.extend(bias);
    }
    assert_eq!(parameters.len(), (job.features + 1) * job.classes, "a weight for each feature and class, and a bias");
    let answer = serde_json::json!({
        "seconds": seconds,
        "parameters": parameters,
        "peak_bytes": peak_bytes(),
    });
    println!("{answer}");
}

/// Returns the peak memory of this process in bytes, or 0 if the system does not provide it.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|text| text.trim().parse().ok());
    1024 * kilobytes.unwrap_or(0u64)
}
