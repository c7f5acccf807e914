//! `cargo xtask bench`: measures an epoch of training with every gradient source and backend of
//! this build, and compares it with the limits of the processor. With `--peers`, it also measures
//! other tools on the same bytes in the same run.

#![expect(clippy::print_stdout, reason = "this is a program")]

mod engine;
mod epoch;
mod growth;
mod machine;
mod optimum;
mod page;
mod peers;
mod prediction;
mod reading;
mod scale;
mod steps;
mod synthetic_tables;
mod table_growth;
mod tables;
mod turns;
mod whole;
mod work;

use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use chainrule_core::{Features, TrainConfig};
use chainrule_data::{Counts, Data, Dataset, Request, RowBuffer, Rows, find};
use chainrule_kernels::{Isa, limits};
use chainrule_records::ConfigFile;
use clap::{Parser, ValueEnum};

use page::Measured;

/// Measures an epoch of training and whole runs with every gradient source and backend of this
/// build.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  cargo xtask bench
  cargo xtask bench --features flex,ndarray --peers --data path/to/mnist --write docs/benchmarks.md")]
struct Options {
    /// auto
    /// mnist
    /// embedded
    /// a folder of IDX files.
    #[arg(long = "data", value_name = "SOURCE", default_value = "auto")]
    source: String,
    /// Also measure other tools on the same bytes: `pip install -r bench/requirements.txt`. The
    /// Python is that of `CHAINRULE_PYTHON`, by default python3.
    #[arg(long)]
    peers: bool,
    /// Write the tables between the markers of this page, and the plots to the folder `benchmarks`
    /// next to it.
    #[arg(long, value_name = "PAGE")]
    write: Option<PathBuf>,
    /// Number of rounds. Each competitor takes one turn per round.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Number of timed epochs per turn, after one warm-up epoch.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    epochs: u16,
    /// Measure only epochs on digits that stay in their file. They are written to this folder and
    /// deleted afterwards.
    #[arg(long, value_name = "DIR")]
    scale: Option<PathBuf>,
    /// Numbers of digits, 784 bytes each, for --scale. The last default is about the size of
    /// MNIST8M.
    #[arg(long, value_name = "N,…", value_delimiter = ',', requires = "scale", default_values_t = [1_000_000, 2_000_000, 4_000_000, 8_000_000])]
    scale_images: Vec<u32>,
    /// Measure only the reading of a table of numbers. It needs no backend: --features= builds
    /// without one.
    #[arg(long, conflicts_with_all = ["scale", "only", "write"])]
    reading: bool,
    /// Number of rows for --reading.
    #[arg(long, value_name = "N", requires = "reading", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..))]
    reading_rows: u32,
    /// Measure only fits of tables that are made by code, and how a pass grows. It needs no backend
    /// either. With --peers, also real tables that scikit-learn has.
    #[arg(long, conflicts_with_all = ["scale", "only", "reading"])]
    tables: bool,
    /// Largest number of rows of a table, for --tables.
    #[arg(long, value_name = "N", requires = "tables", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1000..))]
    tables_rows: u32,
    /// Measure only training steps, on images and on tables of numbers: by the kernels of each
    /// backend of this build, on one thread or in two launches of a GPU, and by tensor operations.
    #[arg(long, conflicts_with_all = ["scale", "only", "write", "reading", "tables"])]
    steps: bool,
    /// Run one training of `--scale` in a separate process. Used internally.
    #[arg(long, hide = true, num_args = 3)]
    one_scale: Option<Vec<String>>,
    /// Measure only this part.
    #[arg(long, value_enum, value_name = "PART", conflicts_with = "write")]
    only: Option<Part>,
    /// Answer turns as one of this project's engines. Used internally.
    #[arg(long, hide = true)]
    turns: bool,
    /// Read a table in a separate process. Used internally.
    #[arg(long, hide = true)]
    one_reading: bool,
    /// Fit a table in a separate process. Used internally.
    #[arg(long, hide = true)]
    one_table: bool,
    /// Run one whole training in a separate process, to measure its memory. Used internally.
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    one: Option<Vec<String>>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Epochs of both models.
    Epochs,
    /// Whole runs.
    Runs,
    /// Solvers: time to the minimum.
    Optimum,
    /// Growth of the time with the sizes.
    Growth,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match (&options.one, &options.one_scale) {
        (Some(arguments), _) => return whole::one(arguments),
        (None, Some(arguments)) => return scale::one(arguments),
        (None, None) if options.turns => turns::answer(),
        (None, None) if options.one_reading => reading::answer(),
        (None, None) if options.one_table => tables::answer(),
        (None, None) => bench(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The caller reads standard error.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The measured experiments.
const SOFTMAX: &str = "configs/softmax.toml";
const LOGISTIC: &str = "configs/logistic.toml";

/// The inputs of all measurements.
struct Bench {
    data: Data,
    softmax: TrainConfig,
    logistic: TrainConfig,
    /// The numbers of threads to measure: 1, and the machine's number of hardware threads.
    threads: Vec<usize>,
    limits: Vec<Limit>,
}

impl Bench {
    /// Returns the training rows of a config and the number of their classes.
    fn train_rows(&self, config: &TrainConfig) -> Result<(Rows, usize)> {
        let ([train, _], schema) = Dataset::Images(self.data.clone()).into_rows(config)?;
        Ok((train, schema.classes.len()))
    }
}

/// Returns the bytes of images.
fn pixels(rows: &Rows) -> Result<Vec<u8>> {
    match rows.chunk(0..rows.len(), &mut RowBuffer::default())? {
        Features::Bytes(pixels) => Ok(pixels.to_vec()),
        Features::Numbers(_) => anyhow::bail!("a table has no pixels"),
    }
}

/// The peak rates of the machine with a number of threads.
struct Limit {
    threads: usize,
    multiply_adds_per_second: f64,
    bytes_per_second: f64,
}

impl Limit {
    fn measure(threads: usize) -> Self {
        Self {
            threads,
            multiply_adds_per_second: limits::multiply_adds_per_second(Isa::best(), threads),
            bytes_per_second: limits::bytes_per_second(threads),
        }
    }

    fn or_better(&self, other: &Self) -> Self {
        Self {
            threads: self.threads,
            multiply_adds_per_second: self.multiply_adds_per_second.max(other.multiply_adds_per_second),
            bytes_per_second: self.bytes_per_second.max(other.bytes_per_second),
        }
    }
}

/// A competitor that could not be measured, with the reason.
#[derive(PartialEq, Eq)]
struct Skipped {
    name: String,
    reason: String,
}

impl Skipped {
    /// Adds a competitor and prints the reason, unless it is listed already.
    fn add(all: &mut Vec<Skipped>, name: &str, problem: &anyhow::Error) {
        let skipped = Skipped { name: name.to_owned(), reason: format!("{problem:#}") };
        if !all.contains(&skipped) {
            println!("skipped: {name}: {}", skipped.reason);
            all.push(skipped);
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    let start = Instant::now();
    let all = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = if all == 1 { vec![1] } else { vec![1, all] };
    if let Some(folder) = &options.scale {
        println!("{}", scale::measure(folder, &options.scale_images, &threads)?);
        return Ok(());
    }
    if options.reading {
        let (rows, rounds) = (options.reading_rows as usize, options.rounds.into());
        println!("\n{}", reading::measure(rows, rounds, &threads, options.peers)?);
        return Ok(());
    }
    if options.tables {
        let (rows, rounds) = (options.tables_rows as usize, options.rounds.into());
        let tables::Measurements { text, growths } = tables::measure(rows, rounds, &threads, options.peers)?;
        println!("\n{text}");
        if let Some(path) = &options.write {
            page::write(path, "cargo xtask bench --tables", &text, &growths)?;
        }
        println!("measured in {} s", start.elapsed().as_secs());
        return Ok(());
    }
    let read = |path: &str| TrainConfig::read(path.as_ref(), &[]).context("run this in the folder of the repository");
    let (softmax, logistic) = (read(SOFTMAX)?, read(LOGISTIC)?);
    let request = Request::from(options.source.as_str());
    let data = find(&request, Counts { train: 20_000, validation: 10_000 }, &mut |line| println!("{line}"))?;
    let limits = threads.iter().map(|&threads| Limit::measure(threads));
    let mut bench = Bench { data, softmax, logistic, limits: limits.collect(), threads };

    if options.steps {
        println!("\n{}", steps::measure(&bench, options.rounds.into(), options.epochs.into())?);
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let is_selected = |part: Part| options.only.is_none_or(|only| only == part);
    let (rounds, epochs_a_turn) = (options.rounds.into(), options.epochs.into());
    let mut measured = Measured { rounds, epochs_a_turn, ..Measured::default() };
    if is_selected(Part::Epochs) {
        let (epochs, skipped) = epoch::measure(&bench, rounds, epochs_a_turn, options.peers, folder.path())?;
        measured.epochs = epochs;
        measured.skip(skipped);
    }
    if is_selected(Part::Runs) {
        let (runs, skipped) = whole::measure(&bench, &options.source, options.peers, folder.path())?;
        measured.runs = runs;
        measured.skip(skipped);
    }
    if is_selected(Part::Optimum) {
        let (problems, skipped) = optimum::measure(&bench, options.peers, folder.path())?;
        measured.problems = problems;
        measured.skip(skipped);
    }
    if is_selected(Part::Growth) {
        measured.growths = growth::measure(&bench)?;
    }
    // Measure the limits again and keep the better result.
    for limit in &mut bench.limits {
        *limit = limit.or_better(&Limit::measure(limit.threads));
    }
    let page = page::page(&bench, &measured)?;
    println!("\n{page}");
    if let Some(path) = &options.write {
        page::write(path, "cargo xtask bench", &page, &measured.growths)?;
    }
    println!("measured in {} s", start.elapsed().as_secs());
    Ok(())
}
