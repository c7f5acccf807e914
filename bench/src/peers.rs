//! Other tools, each in a process of its own, on the same bytes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use chainrule_data::Split;
use chainrule_records::{ModelKind, Precision};
use serde::Deserialize;
use serde_json::json;

use crate::Bench;
use crate::epoch::{Epoch, median};
use crate::whole::{REPEATS, Whole};

/// What the peers of this machine took.
#[derive(Default)]
pub(crate) struct Peers {
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) runs: Vec<Whole>,
    /// Who could not be asked, and why.
    pub(crate) skipped: Vec<String>,
}

/// A script in `bench/peers`, and what it measures.
struct Peer {
    name: &'static str,
    script: &'static str,
    is_whole_run: bool,
}

const PEERS: [Peer; 3] = [
    Peer { name: "NumPy", script: "numpy_epoch.py", is_whole_run: false },
    Peer { name: "JAX", script: "jax_epoch.py", is_whole_run: false },
    Peer { name: "NumPy", script: "numpy_protocol.py", is_whole_run: true },
];

/// What a script answers.
#[derive(Deserialize)]
struct Answer {
    version: String,
    milliseconds: Vec<f64>,
    loss: f64,
    peak_bytes: u64,
}

/// Asks every peer, on one thread and on all.
pub(crate) fn measure(bench: &Bench, epochs: usize) -> Result<Peers> {
    let folder = tempfile::tempdir()?;
    let config = &bench.softmax;
    let asked = config.data();
    let (splits, classes) = bench.data.split(asked.train_images, asked.validation_images, None)?;
    write(folder.path(), "train", &splits[0])?;
    write(folder.path(), "validation", &splits[1])?;
    let mut peers = Peers::default();
    for peer in PEERS {
        for precision in [Precision::F32, Precision::F64] {
            if precision == Precision::F64 && peer.is_whole_run {
                continue;
            }
            for &threads in &bench.threads {
                let ask = json!({
                    "pixels": folder.path().join("train.pixels"),
                    "labels": folder.path().join("train.labels"),
                    "validation_pixels": folder.path().join("validation.pixels"),
                    "validation_labels": folder.path().join("validation.labels"),
                    "rows": splits[0].len(),
                    "features": splits[0].n_features(),
                    "classes": classes.len(),
                    "batch": config.descent().batch_size,
                    "learning_rate": config.descent().learning_rate,
                    "epochs": if peer.is_whole_run { config.descent().epochs } else { epochs + 1 },
                    "precision": if precision == Precision::F32 { "float32" } else { "float64" },
                });
                println!("{}, {threads} threads", peer.script);
                let answers: Result<Vec<Answer>> = (0..if peer.is_whole_run { REPEATS } else { 1 })
                    .map(|_| call(peer.script, &ask, threads))
                    .collect();
                match answers {
                    Ok(answers) => peers.add(&peer, precision, threads, &answers),
                    Err(problem) => {
                        let line = format!("{} ({}): {problem:#}", peer.name, peer.script);
                        println!("skipped: {line}");
                        if !peers.skipped.contains(&line) {
                            peers.skipped.push(line);
                        }
                    }
                }
            }
        }
    }
    Ok(peers)
}

impl Peers {
    fn add(&mut self, peer: &Peer, precision: Precision, threads: usize, answers: &[Answer]) {
        let who = answers[0].version.clone();
        assert!(answers.iter().all(|answer| answer.loss.is_finite()), "{who} did not train");
        let times: Vec<f64> = answers.iter().flat_map(|answer| answer.milliseconds.iter().copied()).collect();
        let threads = Some(threads);
        if peer.is_whole_run {
            let peak_bytes = answers.iter().map(|answer| answer.peak_bytes).max().unwrap_or(0);
            self.runs.push(Whole { who, threads, seconds: median(times) / 1e3, peak_bytes });
        } else {
            let model = ModelKind::Softmax;
            self.epochs.push(Epoch::new(who, model, precision, threads, &times[1..], true));
        }
    }
}

fn write(folder: &Path, name: &str, split: &Split) -> Result<()> {
    std::fs::write(folder.join(format!("{name}.pixels")), &split.pixels)?;
    std::fs::write(folder.join(format!("{name}.labels")), &split.labels)?;
    Ok(())
}

/// Calls a script on so many processors.
fn call(script: &str, ask: &serde_json::Value, threads: usize) -> Result<Answer> {
    let python = std::env::var("CHAINRULE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    // Not every library can be told its threads; the system can.
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &format!("0-{}", threads - 1), &python]).arg(path);
    for variable in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(variable, threads.to_string());
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("taskset")?;
    child.stdin.take().context("a pipe was asked for")?.write_all(ask.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{}", error.lines().last().unwrap_or("it failed without a word"));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
