//! Options that several commands share, and the options of commands without a file of their own.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use chainrule::backend::Backend;
use chainrule_data::readers::{self, TABLES};
use clap::{Args, ValueEnum};

use crate::checkpoints::CheckpointInterval;

/// Returns a parser for whole numbers in a range.
fn number<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number =
            text.parse().ok().filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

#[derive(Args, Debug)]
pub(crate) struct TrainOptions {
    /// The experiment: a TOML file, or one of those inside: softmax, softmax-optimum, logistic,
    /// logistic-shuffled [default: softmax].
    #[arg(value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) place: BackendOptions,
    /// Threads of the fused kernels [default: as many as this machine runs at once]. More give the
    /// same results up to rounding.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// The run's folder [default: the first free of runs/NAME-1, runs/NAME-2, …].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the run that lies in --out, where nothing else does.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Go on with a run that was interrupted or killed, from its last checkpoint. It ends as if
    /// nothing had happened, bit for bit, and is refused where config, data, code or machine are
    /// others.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "force"])]
    pub(crate) resume: Option<PathBuf>,
    /// Write a checkpoint every so many steps (500) or seconds (30s), or never [default: 10s].
    /// Ctrl-C always writes one.
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint_every: Option<CheckpointInterval>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct SweepOptions {
    /// The experiment: a TOML file, or one of those inside: softmax, softmax-optimum, logistic,
    /// logistic-shuffled [default: softmax].
    #[arg(value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// A key of the experiment and the values to try, as in objective.l2=0,0.01,0.1; repeatable,
    /// for every combination. Lists in brackets and texts in quotes hold together. It wins over
    /// --set and the other options.
    #[arg(long = "grid", value_name = "KEY=VALUE,…", required_unless_present = "resume")]
    pub(crate) grid: Vec<String>,
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) place: BackendOptions,
    /// Trainings at once [default: as many as this machine has cores for; on a GPU 1]. The results
    /// are the same.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Threads of the fused kernels for each training [default: 1]. More give the same results up
    /// to rounding.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// The sweep's folder [default: the first free of runs/sweep-1, runs/sweep-2, …].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the sweep that lies in --out, where nothing else does.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Go on with a sweep that was interrupted or killed: make the points that are missing, and end
    /// those that were begun, to the same bytes. It is refused where config, grid, data, code or
    /// machine are others.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "force"])]
    pub(crate) resume: Option<PathBuf>,
    /// Write a checkpoint of each training every so many steps (500) or seconds (30s), or never
    /// [default: 10s]. Ctrl-C always writes them.
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint_every: Option<CheckpointInterval>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct BackendOptions {
    /// Where it runs: cuda, wgpu, flex, ndarray or remote:HOST:PORT
    /// [default: the first in this build of the local ones].
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<Backend>,
}

/// What the command line may choose otherwise than an experiment's file.
#[derive(Args, Debug)]
pub(crate) struct Choices {
    #[command(flatten)]
    pub(crate) data: DataSource,
    /// Override a key of the experiment, as in descent.epochs=10; repeatable. none takes back a key
    /// that may be absent, as in `early_stopping.patience=none`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Where the gradients come from.
    #[arg(long, value_enum)]
    pub(crate) gradient: Option<GradientOption>,
    /// The float type of weights and features.
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionOption>,
    /// The seed of the shuffle.
    #[arg(long, value_name = "N", value_parser = number::<u64>(0..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct ReproduceOptions {
    /// The runs of the report
    /// [default: those inside, as `configs/report.toml` of the sources has them].
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) place: BackendOptions,
    /// Make this figure only, and the runs that it needs.
    #[arg(long, value_name = "FIGURE", conflicts_with = "check")]
    pub(crate) only: Option<String>,
    /// The report's folder
    /// [default: in a checkout docs/report for MNIST, else runs/report-on-DATA, where it is made
    /// again].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the report's files that lie in --out.
    #[arg(long, requires = "out", conflicts_with = "check")]
    pub(crate) force: bool,
    /// Where finished runs are kept, and taken from where config, data, code and device are the
    /// same.
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    pub(crate) runs: PathBuf,
    /// Write nothing, but compare with the report that lies there; exit code 1 where counts, steps,
    /// epochs, norms or verdicts differ.
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct DataOptions {
    #[command(flatten)]
    pub(crate) data: DataSource,
    /// Download MNIST to burn-dataset's cache folder, verified, unless it is there.
    #[arg(long, conflicts_with = "write_idx")]
    pub(crate) fetch: bool,
    /// Write the embedded digits as four plain IDX files into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) write_idx: Option<PathBuf>,
    /// Training digits to draw.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = number::<u32>(1..=u32::MAX.into()))]
    pub(crate) train_images: u32,
    /// Validation digits to draw.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = number::<u32>(1..=u32::MAX.into()))]
    pub(crate) validation_images: u32,
    /// The seed of the digits that --write-idx draws.
    #[arg(long, value_name = "N", default_value_t = chainrule_data::digits::SEED, value_parser = number::<u64>(0..=u64::MAX), requires = "write_idx")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct GradcheckOptions {
    /// Check Burn's own `nn` instead: layers, activations and losses, on this backend.
    #[arg(long)]
    pub(crate) burn: bool,
    /// The seed of weights, features and directions.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = number::<u64>(0..=u64::MAX))]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) place: BackendOptions,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct ServeOptions {
    /// What is offered: cuda, wgpu, flex or ndarray [default: the first in this build].
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<Backend>,
    /// The address and port to listen on; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,
}

#[derive(Args, Debug)]
pub(crate) struct BackendsOptions {
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManOptions {
    /// Write chainrule.1 and a page of every command into this folder, and print their paths.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the pages that are there.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Print all of them as the one page in Markdown that is docs/commands.md.
    #[arg(long, conflicts_with = "out", hide = true)]
    pub(crate) markdown: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DataSource {
    #[arg(long = "data", value_name = "SOURCE", help = sources())]
    pub(crate) source: Option<String>,
}

/// The help for the data source, from the list of readers.
fn sources() -> String {
    format!(
        "auto | mnist | embedded | {} | a folder of IDX files, of {}, or of pictures for each class, in train and validation \
         or all in one. auto is `$CHAINRULE_DATA`, else MNIST from the cache, else a verified download, else the embedded digits",
        readers::files(TABLES, "or"),
        readers::pairs_of_tables()
    )
}

#[derive(Args, Debug)]
pub(crate) struct Output {
    /// Print exactly one JSON document to standard output, and everything else to standard error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing but errors and the result.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GradientOption {
    /// Fused where the device has it, else closed-form.
    Auto,
    /// The hand derivation as kernels of its own: on CPUs a step in one pass, on GPUs in two
    /// launches.
    Fused,
    /// The hand derivation by tensor operations.
    ClosedForm,
    /// Burn's autodiff.
    Autodiff,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PrecisionOption {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}
