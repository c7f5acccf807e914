//! Both models in candle, with the protocol of `turns.py`: by autodiff (`nn`'s loss, backward,
//! `SGD`), or by the closed form in tensor operations.

#![allow(clippy::print_stdout, reason = "this is a program")]

use std::time::Instant;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module, Optimizer, SGD, loss, ops};
use serde::Deserialize;

#[derive(Deserialize)]
struct TrainingJob {
    model: String,
    method: String,
    pixels: String,
    labels: String,
    rows: usize,
    features: usize,
    classes: usize,
    batch: usize,
    learning_rate: f64,
    precision: String,
}

/// The rows, split once into batches: views that `narrow` returns.
struct Rows {
    is_softmax: bool,
    columns: usize,
    dtype: DType,
    learning_rate: f64,
    batches: Vec<Batch>,
}

struct Batch {
    /// `[n, d]`
    x: Tensor,
    /// The classes, `[n]`; for the logistic model floats, `[n, 1]`.
    y: Tensor,
    /// `[n, k]`, with a 1 for the class of each row.
    one_hot: Tensor,
}

fn main() -> Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let job: TrainingJob = serde_json::from_str(&line).expect("the job");
    let rows = Rows::read(&job)?;
    println!("{}", serde_json::json!({ "version": "candle 0.11.1" }));
    for line in std::io::stdin().lines() {
        let epochs: usize = line?.trim().parse().expect("a number of epochs");
        let (milliseconds, loss) = match job.method.as_str() {
            "autograd" => rows.by_autograd(job.features, epochs)?,
            "closed form" => rows.by_closed_form(job.features, epochs)?,
            other => panic!("method {other:?}"),
        };
        let answer = serde_json::json!({ "milliseconds": milliseconds, "loss": loss, "peak_bytes": peak_bytes() });
        println!("{answer}");
    }
    Ok(())
}

impl Rows {
    fn read(job: &TrainingJob) -> Result<Self> {
        let (n, d, batch) = (job.rows / job.batch * job.batch, job.features, job.batch);
        let dtype = if job.precision == "float64" { DType::F64 } else { DType::F32 };
        let mut pixels = std::fs::read(&job.pixels)?;
        pixels.truncate(n * d);
        let mut labels = std::fs::read(&job.labels)?;
        labels.truncate(n);
        let is_softmax = job.model == "softmax";
        let columns = if is_softmax { job.classes } else { 1 };
        let x: Vec<f64> = pixels.iter().map(|&pixel| f64::from(pixel) / 127.5 - 1.0).collect();
        let x = Tensor::from_vec(x, (n, d), &Device::Cpu)?.to_dtype(dtype)?;
        let classes: Vec<u32> = labels.iter().copied().map(u32::from).collect();
        let one_hot: Vec<f64> = classes
            .iter()
            .flat_map(|&class| {
                (0..columns)
                    .map(move |k| if is_softmax { f64::from(u8::from(k == class as usize)) } else { f64::from(class) })
            })
            .collect();
        let one_hot = Tensor::from_vec(one_hot, (n, columns), &Device::Cpu)?.to_dtype(dtype)?;
        let y = if is_softmax { Tensor::from_vec(classes, n, &Device::Cpu)? } else { one_hot.clone() };
        let batch_at = |first: usize| {
            let part = |tensor: &Tensor| tensor.narrow(0, first * batch, batch);
            Ok(Batch { x: part(&x)?, y: part(&y)?, one_hot: part(&one_hot)? })
        };
        let batches = (0..n / batch).map(batch_at).collect::<Result<_>>()?;
        Ok(Self { is_softmax, columns, dtype, learning_rate: job.learning_rate, batches })
    }

    /// Returns the milliseconds of each epoch and the last loss.
    fn by_autograd(&self, d: usize, epochs: usize) -> Result<(Vec<f64>, f64)> {
        let weight = Var::zeros((self.columns, d), self.dtype, &Device::Cpu)?;
        let bias = Var::zeros(self.columns, self.dtype, &Device::Cpu)?;
        let mut optimizer = SGD::new(vec![weight.clone(), bias.clone()], self.learning_rate)?;
        timed(epochs, || {
            let mut last = None;
            for batch in &self.batches {
                let linear = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
                let logits = linear.forward(&batch.x)?;
                let loss = if self.is_softmax {
                    loss::cross_entropy(&logits, &batch.y)?
                } else {
                    cross_entropy_of_two(&logits, &batch.y)?.mean_all()?
                };
                optimizer.backward_step(&loss)?;
                last = Some(loss);
            }
            last.expect("there is at least one batch").to_dtype(DType::F64)?.to_scalar()
        })
    }

    /// Returns the milliseconds of each epoch and the last loss.
    fn by_closed_form(&self, d: usize, epochs: usize) -> Result<(Vec<f64>, f64)> {
        let mut weight = Tensor::zeros((d, self.columns), self.dtype, &Device::Cpu)?;
        let mut bias = Tensor::zeros(self.columns, self.dtype, &Device::Cpu)?;
        timed(epochs, || {
            let mut last = None;
            for batch in &self.batches {
                let n = batch.x.dim(0)? as f64;
                let logits = batch.x.matmul(&weight)?.broadcast_add(&bias)?;
                let (probabilities, loss) = if self.is_softmax {
                    let log_p = ops::log_softmax(&logits, D::Minus1)?;
                    ((log_p.exp()?), (((&log_p * &batch.one_hot)?.sum_all()? * (-1.0 / n))?))
                } else {
                    (ops::sigmoid(&logits)?, cross_entropy_of_two(&logits, &batch.y)?.mean_all()?)
                };
                let residual = ((probabilities - &batch.one_hot)? * (self.learning_rate / n))?;
                weight = (weight.clone() - batch.x.t()?.matmul(&residual)?)?;
                bias = (bias.clone() - residual.sum(0)?)?;
                last = Some(loss);
            }
            last.expect("there is at least one batch").to_dtype(DType::F64)?.to_scalar()
        })
    }
}

/// Returns `max(z, 0) - y z + ln(1 + e^-|z|)`. candle's loss takes the logarithm of a sigmoid,
/// which is not finite if the sigmoid is 0.
fn cross_entropy_of_two(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (logits.relu()? - (logits * y)?)? + tail
}

fn timed(epochs: usize, mut epoch: impl FnMut() -> Result<f64>) -> Result<(Vec<f64>, f64)> {
    let (mut milliseconds, mut loss) = (Vec::with_capacity(epochs), f64::NAN);
    for _ in 0..epochs {
        let start = Instant::now();
        loss = epoch()?;
        milliseconds.push(1e3 * start.elapsed().as_secs_f64());
    }
    Ok((milliseconds, loss))
}

/// Returns the peak memory of this process in bytes, or 0 if the system does not provide it.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|text| text.trim().parse().ok());
    1024 * kilobytes.unwrap_or(0u64)
}
