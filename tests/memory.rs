//! A training step leaves no memory behind except its loss in the history, for every gradient
//! source and optimizer.
//!
//! Measure many more steps by hand (see docs/testing.md): `CHAINRULE_MEMORY=500000 cargo test -p
//! chainrule-tests -- --ignored --nocapture memory::trains`.

use std::num::NonZero;

use burn::nn::Linear;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use chainrule_core::TrainConfig;
use chainrule_engines::{Examples, train_by_tensors};
use chainrule_kernels::PackedRows;
use chainrule_models::{Gradient, L2, SoftmaxRegression, SoftmaxRegressionConfig, closed_form};
use chainrule_records::ConfigFile;
use chainrule_solve::{Observer, train_fused};
use chainrule_tests_macros::test;

use crate::command::{process, text};
use crate::support::{device, skip, uniform};

/// Rows, features and classes.
const SHAPE: [usize; 3] = [60, 3, 3];
const BATCH: usize = 6;

/// The limit in bytes per step. A history has 8 bytes per step in a buffer that doubles, and an
/// evaluation, every ten steps, has 40.
const MOST: f64 = 48.0;

/// Returns the resident memory of this process in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    1024.0 * line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
}

/// Reads the memory after a tenth of the steps, when all one-time allocations exist, and at the
/// last step.
struct MemoryProbe {
    steps: usize,
    at: Vec<f64>,
}

impl MemoryProbe {
    fn new(steps: usize) -> Self {
        Self { steps, at: Vec::new() }
    }

    fn sample_memory(&mut self, step: usize) {
        if step == self.steps / 10 || step + 1 == self.steps {
            self.at.push(resident());
        }
    }

    fn bytes_a_step(&self) -> f64 {
        let &[first, last] = &self.at[..] else { panic!("{} looks at {} steps", self.at.len(), self.steps) };
        (last - first) / (0.9 * self.steps as f64)
    }
}

impl Observer for MemoryProbe {
    fn on_step(&mut self, step: usize) -> std::ops::ControlFlow<()> {
        self.sample_memory(step);
        std::ops::ControlFlow::Continue(())
    }
}

fn config(steps: usize, sets: &str) -> TrainConfig {
    let epochs = (steps / (SHAPE[0] / BATCH)).to_string();
    let text = format!(
        "[model]\nkind = 'softmax'\n[objective]\nl2 = 0.01\n[descent]\nbatch_size = {BATCH}\nepochs = {epochs}\nlearning_rate = 1e-4\n"
    );
    let sets: Vec<String> = sets.split_whitespace().map(|set| format!("descent.{set}")).collect();
    TrainConfig::parse("memory", &text, &sets).unwrap()
}

fn model(device: &Device) -> SoftmaxRegression {
    SoftmaxRegressionConfig::new(SHAPE[1], SHAPE[2]).init(device)
}

fn examples(device: &Device) -> Examples {
    let [n, d, k] = SHAPE;
    let labels: Vec<i32> = (0..n).map(|row| (row % k) as i32).collect();
    Examples {
        features: Tensor::from_data(TensorData::new(uniform(1, n * d), [n, d]), device),
        labels: Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), device),
        weights: None,
    }
}

/// Trains by tensor operations for this number of steps.
fn by_tensors(steps: usize, sets: &str) -> f64 {
    let (device, mut scales) = (device(), MemoryProbe::new(steps));
    let examples = examples(&device);
    train_by_tensors(model(&device), &examples, &examples, &config(steps, sets), &mut scales).unwrap();
    scales.bytes_a_step()
}

fn by_kernels(steps: usize) -> f64 {
    let [n, d, k] = SHAPE;
    let bytes: Vec<u8> = (0..n * d).map(|i| (i * 37) as u8).collect();
    let rows = PackedRows::new(&bytes, [1, d], (0..n).map(|row| (row % k) as u32).collect(), 1.0 / 255.0, 0.0).into();
    let mut scales = MemoryProbe::new(steps);
    let one = NonZero::<usize>::MIN;
    let config = config(steps, "");
    train_fused(&config.model().kind.link(k), &rows, &rows, &config, one, &mut scales).unwrap();
    scales.bytes_a_step()
}

/// Repeats short L-BFGS trainings of at most ten iterations until they add up to `steps`, because
/// one search would converge much earlier. This also covers the memory of new models.
fn to_the_minimum(steps: usize, sets: &str) -> f64 {
    let (device, mut scales) = (device(), MemoryProbe::new(steps));
    let examples = examples(&device);
    let sets = format!("{sets} solver=lbfgs");
    let text =
        "[model]\nkind = 'softmax'\n[objective]\nl2 = 0.01\n[optimum]\nmax_iterations = 10\ntolerance = 1e-300\n";
    let sets: Vec<String> = sets.split_whitespace().map(|set| format!("descent.{set}")).collect();
    let config = TrainConfig::parse("memory", text, &sets).unwrap();
    let mut done = 0;
    while done < steps {
        let actual = train_by_tensors(model(&device), &examples, &examples, &config, &mut ()).unwrap();
        assert!((1..=10).contains(&actual.steps));
        for step in done..done + actual.steps {
            scales.sample_memory(step);
        }
        done += actual.steps;
    }
    scales.bytes_a_step()
}

/// A user's own loop with a closed form and an optimizer of Burn, as in `examples/own_loop.rs`.
fn own_loop(steps: usize, into_params: impl Fn(Gradient, &Linear) -> GradientsParams) -> f64 {
    let (device, mut scales) = (device(), MemoryProbe::new(steps));
    let Examples { features, labels, .. } = examples(&device);
    let mut model = model(&device.clone().autodiff());
    let mut optimizer = AdamConfig::new().init();
    for step in 0..steps {
        let gradient = closed_form(&model, features.clone(), labels.clone(), L2::NONE).gradient;
        let gradient = into_params(gradient, &model.linear);
        model = optimizer.step(1e-3, model, gradient);
        scales.sample_memory(step);
    }
    scales.bytes_a_step()
}

/// The same as `into_params`, but without the backward pass.
fn by_hand(Gradient { weight, bias }: Gradient, linear: &Linear) -> GradientsParams {
    let mut params = GradientsParams::new();
    params.register(linear.weight.id, weight);
    params.register(linear.bias.as_ref().unwrap().id, bias);
    params
}

const UPSTREAM: &str = "the same without a backward pass";

const OPTIMIZERS: [&str; 6] =
    ["optimizer=sgd", "momentum=0.9", "optimizer=adam", "optimizer=adamw", "optimizer=rmsprop", "optimizer=adagrad"];

#[test]
#[ignore = "the process that the test on memory starts, and a person for many steps"]
#[expect(clippy::print_stdout, reason = "they listen")]
fn trains_in_a_separate_process() {
    let steps: usize = std::env::var("CHAINRULE_MEMORY").unwrap().parse().unwrap();
    let is_short = steps < 100_000;
    let log = |what: &str, bytes: f64| println!("{bytes:8.1} bytes a step: {what}");
    // Autodiff comes last. A backward pass frees what others left, and later trainings would reuse
    // that memory.
    log("a loop of one's own", own_loop(steps, Gradient::into_params));
    log("gradient=fused", by_kernels(steps));
    for gradient in ["closed-form", "autodiff"] {
        for optimizer in OPTIMIZERS {
            // Autodiff is slower, and its optimizers are the same.
            if gradient == "closed-form" || !is_short || optimizer == "optimizer=adam" {
                let sets = format!("{optimizer} gradient={gradient}");
                log(&sets, by_tensors(steps, &sets));
            }
        }
        let sets = format!("gradient={gradient}");
        log(&format!("solver=lbfgs {sets}"), to_the_minimum(steps, &sets));
    }
    // The memory that Burn keeps, with few steps: docs/burn-gradients.md.
    log(UPSTREAM, own_loop(20_000, by_hand));
}

#[test]
fn a_step_leaks_no_memory() {
    if !cfg!(target_os = "linux") {
        skip("a process's memory is read from Linux's /proc");
    }
    let output = process(std::env::current_exe().unwrap())
        .args(["memory::trains_in_a_separate_process", "--exact", "--ignored", "--nocapture"])
        .env("CHAINRULE_MEMORY", "20000")
        .output()
        .unwrap();
    let stdout = text(&output.stdout);
    let actual: Vec<(f64, &str)> = stdout
        .lines()
        .filter_map(|line| line.split_once(" bytes a step: "))
        .map(|(bytes, what)| (bytes.trim().parse().unwrap(), what))
        .collect();
    assert_eq!(actual.len(), 12, "{stdout}{}", text(&output.stderr));
    for (bytes, what) in actual {
        if what == UPSTREAM {
            assert!(
                bytes > 500.0,
                "{bytes} bytes a step: Burn frees them itself now, and models::gradient need not\n{stdout}"
            );
            continue;
        }
        assert!(bytes < MOST, "{what}: {bytes} bytes a step\n{stdout}");
    }
}
