//! A device served by another process over loopback.

use std::io::{BufRead, BufReader};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use chainrule::backend::Backend;
use chainrule_core::History;
use chainrule_ops::softmax_regression;
use chainrule_records::read_parameters;
use chainrule_tests_macros::test;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{call, code, command, folder, text};
use crate::support::skip;

/// A process that serves the first device of this build. It is killed on drop.
struct Server {
    process: Child,
    /// The value for `--backend`.
    backend: String,
}

impl Server {
    /// Skips the test if this build cannot serve or use a device.
    fn start(folder: &TempDir, token: Option<&str>) -> Self {
        if !Backend::Remote(String::new()).is_built() {
            skip("remote is not in this build");
        }
        let mut serve = command(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        let mut process =
            serve.envs(token.map(|token| ("CHAINRULE_TOKEN", token))).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let backend = line.split_once("--backend ").and_then(|(_, rest)| rest.split_once(';'));
        let backend = backend.unwrap_or_else(|| panic!("{line}")).0.to_owned();
        // Keeps reading, because later logs must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, backend }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn train(folder: &TempDir, config: &str, backend: &str, out: &str, gradient: &str) -> Output {
    let small = [
        "--set",
        "data.train_images=600",
        "--set",
        "data.validation_images=300",
        "--set",
        "descent.epochs=4",
        "--set",
        "descent.batch_size=20",
    ];
    let more = ["--data", "embedded", "--backend", backend, "--out", out, "--gradient", gradient, "--quiet", "--json"];
    call(folder.path(), &[&["train", config], &small[..], &more[..]].concat())
}

#[test]
fn a_remote_device_gives_the_same_run() {
    let folder = folder();
    let server = Server::start(&folder, None);
    let local = Backend::built().unwrap()[0].to_string();
    for config in ["configs/softmax.toml", "configs/logistic-shuffled.toml"] {
        for gradient in ["closed-form", "autodiff"] {
            let summaries = [("here", &local), ("there", &server.backend)].map(|(out, backend)| {
                let out = format!("{out}-{gradient}-{}", config.len());
                let output = train(&folder, config, backend, &out, gradient);
                assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
                let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
                let file = |name| std::fs::read(folder.path().join(&out).join(name)).unwrap();
                (summary, file("history.json"), file("model.safetensors"))
            });
            let [here, there] = &summaries;
            assert_eq!(here.0["backend"], local.as_str());
            assert_eq!(there.0["backend"], server.backend.as_str());
            for key in ["steps", "stop_epoch", "stop_step", "best_step"] {
                assert_eq!(here.0[key], there.0[key], "{config} {gradient} {key}");
            }
            assert!(here.0["steps"].as_u64().unwrap() >= 4);
            // The same device runs the same operations, so even the histories are equal.
            assert!(here.1 == there.1, "{config} {gradient}: the histories differ");
            assert!(here.2 == there.2, "{config} {gradient}: the models differ");
        }
    }
}

#[test]
fn a_remote_device_refuses_custom_kernels() {
    let folder = folder();
    let server = Server::start(&folder, None);
    let output = train(&folder, "configs/softmax.toml", &server.backend, "fused", "fused");
    assert_eq!(code(&output), Some(2));
    assert!(text(&output.stderr).contains("has no fused kernels; take closed-form"), "{}", text(&output.stderr));
    let auto = ["train", "--set", "data.train_images=600", "--set", "descent.epochs=1", "--data", "embedded", "--json"];
    let output = call(folder.path(), &[&auto[..], &["--backend", &server.backend]].concat());
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["gradient"], "closed-form");

    let device = server.backend.parse::<Backend>().unwrap().device().unwrap();
    let ones = Tensor::<2>::ones([2, 2], &device);
    let labels = Tensor::from_data([0, 1], &device);
    let refused = softmax_regression(ones.clone(), labels, ones, Tensor::ones([2], &device)).unwrap_err();
    assert!(refused.to_string().contains("has no fused loss in this build"), "{refused}");
}

#[test]
fn a_lost_server_leaves_a_saved_run() {
    let folder = folder();
    let mut server = Server::start(&folder, None);
    let endless = ["train", "--set", "data.train_images=600", "--set", "data.validation_images=300"];
    let more = ["--set", "descent.epochs=1000000", "--set", "early_stopping.patience=100000000", "--data", "embedded"];
    let device = ["--backend", &server.backend, "--out", "run", "--quiet"];
    let arguments = [&endless[..], &more[..], &device[..]].concat();
    let mut training = command(folder.path(), &arguments).stderr(Stdio::piped()).spawn().unwrap();
    let manifest = folder.path().join("run/manifest.json");
    let began = Instant::now();
    while !manifest.exists() {
        assert!(training.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    // Time for some evaluations of one or two milliseconds each.
    std::thread::sleep(Duration::from_secs(2));
    assert!(training.try_wait().unwrap().is_none(), "it ended by itself");

    server.process.kill().unwrap();
    let killed = Instant::now();
    while training.try_wait().unwrap().is_none() {
        if killed.elapsed() > Duration::from_secs(60) {
            training.kill().unwrap();
            panic!("the training hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = training.wait_with_output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains(&server.backend) && error.contains("stopped responding after step"), "{error}");

    let file = |name: &str| std::fs::read(folder.path().join("run").join(name)).unwrap();
    let history: History = serde_json::from_slice(&file("history.json")).unwrap();
    assert!(history.evaluations.len() > 1, "killed before the second evaluation");
    assert!(history.train_loss.len() > history.evaluations.last().unwrap().step);
    assert!(history.train_loss.last() < history.train_loss.first());
    let parameters = read_parameters(&file("model.safetensors")).unwrap();
    assert_eq!((parameters.n_features, parameters.columns), (784, 10));
    assert!(parameters.weight.iter().any(|&weight| weight != 0.0));
    // Without a summary the run does not count as finished.
    assert!(!folder.path().join("run/summary.json").exists());
}

#[test]
fn the_server_requires_the_token() {
    let folder = folder();
    let server = Server::start(&folder, Some("sesame"));
    for (token, is_served) in [(None, false), (Some("sesam"), false), (Some("sesame"), true)] {
        let settings = ["train", "--data", "embedded", "--set", "data.train_images=600", "--set", "descent.epochs=1"];
        let arguments = [&settings[..], &["--backend", &server.backend, "--quiet"]].concat();
        let output =
            command(folder.path(), &arguments).envs(token.map(|token| ("CHAINRULE_TOKEN", token))).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(code(&output), Some(if is_served { 0 } else { 2 }), "{token:?}: {error}");
        assert_eq!(error.contains("CHAINRULE_TOKEN"), !is_served, "{error}");
    }
}

#[test]
fn a_build_without_remote_says_so() {
    if Backend::Remote(String::new()).is_built() {
        skip("this build can");
    }
    let folder = folder();
    for (arguments, feature) in [
        (&["serve", "--listen", "127.0.0.1:0"][..], "--features remote-server"),
        (&["train", "--data", "embedded", "--backend", "remote:127.0.0.1:1"], "--features remote"),
    ] {
        let output = call(folder.path(), arguments);
        let error = text(&output.stderr);
        assert_eq!(code(&output), Some(2), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.trim_end().ends_with(feature), "{error}");
    }
}

#[test]
fn an_invalid_address_is_refused() {
    let folder = folder();
    for address in ["remote:", "remote:host", "remote::1", "remote:host:port", "remote:host:70000"] {
        let output = call(folder.path(), &["train", "--backend", address]);
        assert_eq!(code(&output), Some(2));
        assert!(text(&output.stderr).contains("is not remote:HOST:PORT"), "{}", text(&output.stderr));
    }
}
