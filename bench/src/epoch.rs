//! Measures an epoch of training without its evaluations. Each competitor is a process, and they
//! take turns.

use std::path::Path;

use anyhow::{Result, ensure};
use chainrule::backend::Backend;
use chainrule_core::{ModelKind, Precision, TrainConfig};
use chainrule_data::Rows;
use chainrule_records::ConfigFile;

use crate::engine::with;
use crate::machine::with_threads;
use crate::peers::{Package, script};
use crate::turns::{Process, TrainingJob, Turn};
use crate::{Bench, Skipped};

/// The time and memory of an epoch.
pub(crate) struct Epoch {
    pub(crate) name: String,
    pub(crate) model: ModelKind,
    pub(crate) precision: Precision,
    /// The thread limit. `None` for backends that choose their own number of threads.
    pub(crate) threads: Option<usize>,
    pub(crate) milliseconds: f64,
    /// The median absolute deviation of the time.
    pub(crate) spread: f64,
    /// The peak memory of the whole process.
    pub(crate) peak_bytes: u64,
    /// Whether this is another tool.
    pub(crate) is_peer: bool,
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the median and the median absolute deviation.
pub(crate) fn median_and_spread(values: &[f64]) -> (f64, f64) {
    let middle = median(values.to_vec());
    (middle, median(values.iter().map(|value| (value - middle).abs()).collect()))
}

/// A program to measure.
struct Competitor {
    /// Used until the program reports its own name.
    name: String,
    program: Program,
    method: &'static str,
    threads: Option<usize>,
}

enum Program {
    /// This project's engine, on a backend if it needs one.
    Chainrule(Option<Backend>),
    Script(&'static str),
    Candle,
}

impl Competitor {
    /// Returns all competitors, each with one thread and with all threads. Burn's tensor operations
    /// and `torch.compile`, which is slow to start, run only in f32.
    fn all(bench: &Bench, precision: Precision, with_peers: bool) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        let mut add = |name: String, program, method, threads| all.push(Self { name, program, method, threads });
        for &threads in &bench.threads {
            add("chainrule, fused".to_owned(), Program::Chainrule(None), "fused", Some(threads));
        }
        if precision == Precision::F32 {
            for backend in Backend::built()? {
                for (method, name) in [("closed form", "closed form"), ("autograd", "autodiff")] {
                    let name = format!("Burn {backend}, {name} by tensor operations");
                    add(name, Program::Chainrule(Some(backend.clone())), method, None);
                }
            }
        }
        let peers = [
            (Program::Script as fn(_) -> _, "NumPy", "numpy_epoch.py", &["closed form"][..]),
            (Program::Script, "JAX", "jax_epoch.py", &["closed form"]),
            (Program::Script, "PyTorch", "torch_epoch.py", &["closed form", "autograd", "compiled"]),
            (|_| Program::Candle, "candle", "candle", &["closed form", "autograd"]),
        ];
        for (program, name, file, methods) in peers.into_iter().filter(|_| with_peers) {
            for &method in methods.iter().filter(|method| **method != "compiled" || precision == Precision::F32) {
                for &threads in &bench.threads {
                    add(name.to_owned(), program(file), method, Some(threads));
                }
            }
        }
        Ok(all)
    }

    fn start(&self, job: &TrainingJob, candle: &Package) -> Result<Running> {
        let threads = self.threads.unwrap_or(1);
        let mut job = TrainingJob { method: self.method.to_owned(), threads, ..job.clone() };
        let command = match &self.program {
            Program::Chainrule(backend) => {
                job.backend = backend.as_ref().map(|backend| backend.name().to_owned());
                let program = std::env::current_exe()?;
                let mut command = match self.threads {
                    Some(threads) => with_threads(program.as_os_str(), threads),
                    None => std::process::Command::new(program),
                };
                command.arg("--turns");
                command
            }
            Program::Script(name) => script(name, threads),
            Program::Candle => candle.command(threads)?,
        };
        let (name, is_peer) = (self.name.clone(), !self.is_chainrule());
        Ok(Running {
            name,
            threads: self.threads,
            is_peer,
            process: Process::start_job(command, &job)?,
            turns: Vec::new(),
        })
    }

    /// Returns the name for the table. Peers report their name and version.
    fn table_name(&self, version: String) -> String {
        match self.program {
            Program::Chainrule(_) => self.name.clone(),
            // NumPy and JAX have only one variant.
            Program::Script("numpy_epoch.py" | "jax_epoch.py") => version,
            Program::Script(_) | Program::Candle => format!("{version}, {}", self.method),
        }
    }

    fn is_chainrule(&self) -> bool {
        matches!(self.program, Program::Chainrule(_))
    }
}

/// A started competitor and its turns.
struct Running {
    name: String,
    threads: Option<usize>,
    is_peer: bool,
    process: Process,
    turns: Vec<Turn>,
}

/// Measures all competitors. In each round, each competitor trains one warm-up epoch and then
/// `epochs` timed epochs.
pub(crate) fn measure(
    bench: &Bench,
    rounds: usize,
    epochs: usize,
    with_peers: bool,
    folder: &Path,
) -> Result<(Vec<Epoch>, Vec<Skipped>)> {
    let (mut results, mut skipped, candle) = (Vec::new(), Vec::new(), Package::new("candle"));
    for config in [&bench.softmax, &bench.logistic] {
        for precision in [Precision::F32, Precision::F64] {
            let job = training_job(bench, config, precision, folder)?;
            // Start all before the first measurement, since loading libraries and rows takes long.
            let all = Competitor::all(bench, precision, with_peers)?;
            let started: Vec<Result<Running>> = all.iter().map(|one| one.start(&job, &candle)).collect();
            let mut running = Vec::new();
            for (competitor, started) in all.iter().zip(started) {
                let ready = started.and_then(|mut one| {
                    one.name = competitor.table_name(one.process.version()?);
                    Ok(one)
                });
                match ready {
                    Ok(ready) => running.push(ready),
                    Err(problem) if competitor.is_chainrule() => return Err(problem.context(competitor.name.clone())),
                    Err(problem) => Skipped::add(&mut skipped, &competitor.name, &problem),
                }
            }
            println!("{} {}: {} competitors take turns", job.model, job.precision, running.len());
            for _ in 0..rounds {
                let mut remaining = Vec::new();
                for mut one in running {
                    match one.process.request(&(epochs + 1).to_string()) {
                        Ok(turn) => one.turns.push(turn),
                        Err(problem) if !one.is_peer => return Err(problem.context(one.name)),
                        Err(problem) => {
                            Skipped::add(&mut skipped, &one.name, &problem);
                            continue;
                        }
                    }
                    remaining.push(one);
                }
                running = remaining;
            }
            let kind = config.model().kind;
            let reference = running.first().and_then(|ours| ours.turns.first()).map_or(f64::NAN, |turn| turn.loss);
            for one in running {
                let (loss, tolerance) = (one.turns[0].loss, if precision == Precision::F32 { 1e-4 } else { 1e-9 });
                let is_same = (loss - reference).abs() <= tolerance * reference;
                let trained = epochs + 1;
                ensure!(
                    is_same,
                    "{}: after {trained} epochs, the loss is {loss}, not {reference}: the competitor did other work",
                    one.name
                );
                results.push(one.result(kind, precision));
            }
        }
    }
    Ok((results, skipped))
}

impl Running {
    fn result(&self, model: ModelKind, precision: Precision) -> Epoch {
        let times: Vec<f64> = self.turns.iter().flat_map(|turn| &turn.milliseconds[1..]).copied().collect();
        let (milliseconds, spread) = median_and_spread(&times);
        let peak_bytes = self.turns.iter().map(|turn| turn.peak_bytes).max().unwrap_or(0);
        let (name, threads, is_peer) = (self.name.clone(), self.threads, self.is_peer);
        Epoch { name, model, precision, threads, milliseconds, spread, peak_bytes, is_peer }
    }
}

/// Writes the rows to files and returns the job for all competitors.
fn training_job(bench: &Bench, config: &TrainConfig, precision: Precision, folder: &Path) -> Result<TrainingJob> {
    let (split, classes) = bench.train_rows(config)?;
    let (model, name) = match config.model().kind {
        ModelKind::Softmax => ("softmax", "ten"),
        ModelKind::Logistic => ("logistic", "two"),
    };
    let (pixels, labels) = write(folder, name, &split)?;
    let setting = format!("descent.precision={}", if precision == Precision::F32 { "f32" } else { "f64" });
    Ok(TrainingJob {
        model: model.to_owned(),
        method: String::new(),
        backend: None,
        config: with(config, &[setting])?.to_toml(),
        pixels,
        labels,
        rows: split.len(),
        features: split.n_features(),
        size: split.size(),
        classes,
        batch: config.descent().batch_size,
        learning_rate: config.descent().learning_rate,
        precision: if precision == Precision::F32 { "float32" } else { "float64" }.to_owned(),
        threads: 1,
    })
}

/// Writes the bytes and labels of the rows to two files in the folder. Returns their paths.
pub(crate) fn write(folder: &Path, name: &str, rows: &Rows) -> Result<(String, String)> {
    let [pixels, labels] = ["pixels", "labels"].map(|what| folder.join(format!("{name}.{what}")));
    std::fs::write(&pixels, crate::pixels(rows)?)?;
    let bytes: Vec<u8> = rows.labels().into_iter().map(u8::try_from).collect::<Result<_, _>>()?;
    std::fs::write(&labels, bytes)?;
    Ok((pixels.display().to_string(), labels.display().to_string()))
}
