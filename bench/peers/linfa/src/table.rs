//! Logistic or softmax regression on a table of numbers.
//!
//! Each line of the input is a tolerance to fit with. The answer is one line of JSON: the seconds
//! of `fit`, the parameters W `[d, k]` row by row and then b `[k]`, and the peak memory in bytes
//! before and in the fit. linfa does not tell its iterations.

use std::path::Path;
use std::time::Instant;

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct TableJob {
    folder: String,
    rows: usize,
    numbers: usize,
    classes: usize,
    l2: f64,
    precision: String,
}

/// Reads values of four bytes.
fn read<T>(job: &TableJob, name: &str, convert: impl Fn([u8; 4]) -> T) -> Vec<T> {
    let bytes = std::fs::read(Path::new(&job.folder).join(name)).expect("reading the table");
    bytes.chunks_exact(4).map(|value| convert(value.try_into().expect("four bytes"))).collect()
}

/// The float trait of linfa's logistic models is private, so a macro writes this for each float.
macro_rules! fit {
    ($float:ty, $job:expr) => {{
        let numbers = read($job, "numbers", |bytes| f32::from_le_bytes(bytes) as $float);
        let numbers = Array2::from_shape_vec(($job.rows, $job.numbers), numbers).expect("a matrix");
        let labels: Array1<u32> = read($job, "labels", u32::from_le_bytes).into();
        let data = Dataset::new(numbers, labels);
        // linfa minimises the sum over the rows, and the tolerance is that of the mean.
        let (alpha, rows) = (($job.l2 * $job.rows as f64) as $float, $job.rows as $float);
        println!("{}", serde_json::json!({ "version": "linfa-logistic 0.8.1" }));
        for line in std::io::stdin().lines() {
            let tolerance: $float = line.expect("a line").trim().parse().expect("a tolerance");
            let tolerance = tolerance * rows;
            let (before, start) = (crate::peak_bytes(), Instant::now());
            let parameters: Vec<f64> = if $job.classes == 2 {
                let model = LogisticRegression::<$float>::default();
                let model = model.alpha(alpha).gradient_tolerance(tolerance).max_iterations(1000);
                let fitted = model.fit(&data).expect("a fit");
                // The parameters are those of the class that linfa calls positive.
                let sign = if fitted.labels().pos.class == 1 { 1.0 } else { -1.0 };
                let weight = fitted.params().iter().map(|&w| sign * f64::from(w));
                weight.chain([sign * f64::from(fitted.intercept())]).collect()
            } else {
                let model = MultiLogisticRegression::<$float>::default();
                let model = model.alpha(alpha).gradient_tolerance(tolerance).max_iterations(1000);
                let fitted = model.fit(&data).expect("a fit");
                fitted.params().iter().chain(fitted.intercept()).map(|&w| f64::from(w)).collect()
            };
            let (seconds, peak_bytes) = (start.elapsed().as_secs_f64(), [before, crate::peak_bytes()]);
            let iterate = serde_json::json!({ "seconds": seconds, "iterations": null, "parameters": parameters });
            println!("{}", serde_json::json!({ "iterates": [iterate], "peak_bytes": peak_bytes }));
        }
    }};
}

pub fn answer(job: &TableJob) {
    match job.precision.as_str() {
        "float32" => fit!(f32, job),
        "float64" => fit!(f64, job),
        other => panic!("precision {other:?}"),
    }
}
