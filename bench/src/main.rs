//! `cargo xtask bench`: an epoch of training by every gradient source and backend of this build, held against what the processor could do at
//! best, and with `--peers` beside other tools on the same bytes in the same run.

#![expect(clippy::print_stdout, reason = "this is a program")]

mod epoch;
mod page;
mod peers;
mod scale;
mod whole;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chainrule_data::{Counts, Data, Request, find};
use chainrule_kernels::{Isa, limits};
use chainrule_records::TrainConfig;
use clap::Parser;

/// Measures an epoch of training, and whole runs, by every gradient source and backend of this build.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  cargo xtask bench
  cargo xtask bench --features flex,ndarray --peers --data path/to/mnist --write docs/benchmarks.md")]
struct Options {
    /// auto | mnist | embedded | a folder of IDX files.
    #[arg(long = "data", value_name = "SOURCE", default_value = "auto")]
    source: String,
    /// Run other tools, too, on the same bytes: `pip install -r bench/requirements.txt`; `CHAINRULE_PYTHON` names the Python, else python3.
    #[arg(long)]
    peers: bool,
    /// Put the tables into this page, between its marks.
    #[arg(long, value_name = "PAGE")]
    write: Option<PathBuf>,
    /// Epochs that everyone makes, besides the first, which is not counted.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(2..))]
    epochs: u16,
    /// Measure instead how an epoch grows with digits that stay in their file; they are written to this folder and deleted afterwards.
    #[arg(long, value_name = "DIR")]
    scale: Option<PathBuf>,
    /// How many digits that is, time after time, 784 bytes each; the last as many as MNIST8M has.
    #[arg(long, value_name = "N,…", value_delimiter = ',', requires = "scale", default_values_t = [1_000_000, 2_000_000, 4_000_000, 8_000_000])]
    scale_images: Vec<u32>,
    /// One of its trainings in a process of its own.
    #[arg(long, hide = true, num_args = 3)]
    one_scale: Option<Vec<String>>,
    /// One whole run in a process of its own, to see its memory: what this program calls itself with.
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    one: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match (&options.one, &options.one_scale) {
        (Some(arguments), _) => return whole::one(arguments),
        (None, Some(arguments)) => return scale::one(arguments),
        (None, None) => bench(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The experiments that are measured.
const SOFTMAX: &str = "configs/softmax.toml";
const LOGISTIC: &str = "configs/logistic.toml";

/// What every measurement needs.
struct Bench {
    data: Data,
    softmax: TrainConfig,
    logistic: TrainConfig,
    /// One, and all that this machine runs at once.
    threads: Vec<usize>,
    limits: Vec<Limit>,
}

/// What so many threads could do at best.
struct Limit {
    threads: usize,
    multiply_adds_per_second: f64,
    bytes_per_second: f64,
}

fn bench(options: &Options) -> Result<()> {
    let all = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = if all == 1 { vec![1] } else { vec![1, all] };
    if let Some(folder) = &options.scale {
        println!("{}", scale::measure(folder, &options.scale_images, &threads)?);
        return Ok(());
    }
    let read = |path: &str| TrainConfig::read(path.as_ref(), &[]).context("run this from the repository's folder");
    let (softmax, logistic) = (read(SOFTMAX)?, read(LOGISTIC)?);
    let request = match options.source.as_str() {
        "auto" => Request::Auto,
        "mnist" => Request::Mnist,
        "embedded" => Request::Embedded,
        folder => Request::Folder(PathBuf::from(folder)),
    };
    let data = find(&request, Counts { train: 20_000, validation: 10_000 }, &mut |line| println!("{line}"))?;
    let limits = threads.iter().map(|&threads| Limit {
        threads,
        multiply_adds_per_second: limits::multiply_adds_per_second(Isa::best(), threads),
        bytes_per_second: limits::bytes_per_second(threads),
    });
    let bench = Bench { data, softmax, logistic, limits: limits.collect(), threads };

    let mut epochs = epoch::measure(&bench, options.epochs.into())?;
    let mut runs = whole::measure(&bench, &options.source)?;
    let mut skipped = vec![];
    if options.peers {
        let found = peers::measure(&bench, options.epochs.into())?;
        epochs.extend(found.epochs);
        runs.extend(found.runs);
        skipped = found.skipped;
    }
    let page = page::page(&bench, &epochs, &runs, &skipped);
    println!("\n{page}");
    match &options.write {
        Some(path) => page::write(path, &page),
        None => Ok(()),
    }
}
