//! Measures whole runs of `configs/softmax.toml`. Each run is a separate process, so that its
//! memory can be measured. The competitors take turns.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use chainrule::backend::Backend;
use chainrule_records::Summary;
use serde::Deserialize;
use serde_json::json;

use crate::epoch::{median, write};
use crate::machine::{peak_bytes, with_threads};
use crate::peers::script;
use crate::turns::Process;
use crate::{Bench, SOFTMAX, Skipped};

/// A measured run.
pub(crate) struct WholeRun {
    pub(crate) name: String,
    pub(crate) threads: Option<usize>,
    pub(crate) seconds: f64,
    pub(crate) peak_bytes: u64,
    pub(crate) is_peer: bool,
}

/// The number of repetitions. The median is reported.
pub(crate) const REPEATS: usize = 3;

/// A competitor.
enum Runner {
    /// This program with these options.
    Chainrule { name: String, threads: Option<usize>, options: Vec<String> },
    /// The protocol in NumPy.
    NumPy { threads: usize },
}

/// Name, seconds and peak memory in bytes.
type Measurement = (String, f64, u64);

/// Measures every gradient source on every backend of this build, and NumPy if `with_peers`.
pub(crate) fn measure(
    bench: &Bench,
    source: &str,
    with_peers: bool,
    folder: &Path,
) -> Result<(Vec<WholeRun>, Vec<Skipped>)> {
    let mut runners = Vec::new();
    for &threads in &bench.threads {
        let options = vec!["--gradient=fused".to_owned(), format!("--threads={threads}")];
        runners.push(Runner::Chainrule { name: "chainrule, fused".to_owned(), threads: Some(threads), options });
    }
    for backend in Backend::built()? {
        for (gradient, name) in [("closed-form", "closed form"), ("autodiff", "autodiff")] {
            let name = format!("Burn {backend}, {name} by tensor operations");
            let options = vec![format!("--gradient={gradient}"), format!("--backend={}", backend.name())];
            runners.push(Runner::Chainrule { name, threads: None, options });
        }
    }
    if with_peers {
        runners.extend(bench.threads.iter().map(|&threads| Runner::NumPy { threads }));
    }
    let job = protocol_job(bench, folder)?;
    let mut skipped = Vec::new();
    let mut runs: Vec<(Runner, Vec<Measurement>)> = runners.into_iter().map(|runner| (runner, Vec::new())).collect();
    for round in 1..=REPEATS {
        println!("whole runs, round {round} of {REPEATS}");
        for (runner, measurements) in &mut runs {
            match runner.run(source, &job) {
                Ok(run) => measurements.push(run),
                Err(problem) if runner.is_peer() => Skipped::add(&mut skipped, "NumPy, whole run", &problem),
                Err(problem) => return Err(problem),
            }
        }
    }
    let whole_runs =
        runs.into_iter().filter(|(_, measurements)| !measurements.is_empty()).map(|(runner, measurements)| WholeRun {
            name: measurements[0].0.clone(),
            threads: runner.threads(),
            seconds: median(measurements.iter().map(|run| run.1).collect()),
            peak_bytes: measurements.iter().map(|run| run.2).max().unwrap_or(0),
            is_peer: runner.is_peer(),
        });
    Ok((whole_runs.collect(), skipped))
}

/// Writes the rows to files and returns the job for NumPy.
fn protocol_job(bench: &Bench, folder: &Path) -> Result<serde_json::Value> {
    let config = &bench.softmax;
    let data = config.data();
    let (splits, classes) = bench.data.select(data.train_images, data.validation_images, None)?;
    let (pixels, labels) = write(folder, "train", &splits[0])?;
    let (validation_pixels, validation_labels) = write(folder, "validation", &splits[1])?;
    Ok(json!({
        "pixels": pixels,
        "labels": labels,
        "validation_pixels": validation_pixels,
        "validation_labels": validation_labels,
        "features": splits[0].n_features(),
        "classes": classes.len(),
        "batch": config.descent().batch_size,
        "learning_rate": config.descent().learning_rate,
        "epochs": config.descent().epochs,
        "precision": "float32",
    }))
}

/// The answer of the protocol in NumPy.
#[derive(Deserialize)]
struct Answer {
    version: String,
    seconds: f64,
    loss: f64,
    peak_bytes: u64,
}

impl Runner {
    fn threads(&self) -> Option<usize> {
        match self {
            Runner::Chainrule { threads, .. } => *threads,
            Runner::NumPy { threads } => Some(*threads),
        }
    }

    fn is_peer(&self) -> bool {
        matches!(self, Runner::NumPy { .. })
    }

    fn run(&self, source: &str, job: &serde_json::Value) -> Result<Measurement> {
        match self {
            Runner::Chainrule { name, threads, options } => {
                let folder = tempfile::tempdir()?;
                let program = std::env::current_exe()?;
                let mut command = match threads {
                    Some(threads) => with_threads(program.as_os_str(), *threads),
                    None => Command::new(program),
                };
                command.args(["--one", "train", SOFTMAX, "--quiet", "--json", "--data", source]).args(options);
                // Train all epochs, as the peers do.
                command.args(["--set", "early_stopping.patience=1000000000"]);
                let output = command.arg("--out").arg(folder.path().join("run")).output()?;
                ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
                let text = String::from_utf8(output.stdout)?;
                let (summary, peak) =
                    text.rsplit_once("peak ").context("the output of a run does not end with its memory")?;
                let summary: Summary = serde_json::from_str(summary)?;
                Ok((name.clone(), summary.seconds.total, peak.trim().parse()?))
            }
            Runner::NumPy { threads } => {
                let mut process = Process::start(script("numpy_protocol.py", *threads))?;
                let answer: Answer = process.request(&job.to_string())?;
                ensure!(answer.loss.is_finite(), "the loss is not finite: it did not train");
                Ok((answer.version, answer.seconds, answer.peak_bytes))
            }
        }
    }
}

/// Runs the program with these arguments and then prints its peak memory.
pub(crate) fn one(arguments: &[String]) -> ExitCode {
    let program = std::iter::once("chainrule").map(OsString::from);
    let code = chainrule_cli::run(program.chain(arguments.iter().map(OsString::from)));
    println!("peak {}", peak_bytes());
    ExitCode::from(code)
}
