//! Options that several commands share, and the options of commands without a file of their own.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use chainrule::backend::Backend;
use chainrule_core::{BadRows, Decimal, Separator, TextEncoding, TextOptions};
use chainrule_data::readers::{self, TABLES};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checkpoints::CheckpointInterval;

/// Returns a parser for whole numbers in a range.
pub(crate) fn number<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number =
            text.parse().ok().filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

#[derive(Args, Debug)]
pub(crate) struct TrainOptions {
    /// Experiment config: a TOML file or a built-in experiment (softmax, softmax-optimum, logistic,
    /// logistic-shuffled) [default: softmax].
    #[arg(value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) override_options: OverrideOptions,
    #[command(flatten)]
    pub(crate) table: TableOptions,
    #[command(flatten)]
    pub(crate) backend_options: BackendOptions,
    /// Number of threads of the fused kernels [default: all that this machine runs in parallel].
    /// It changes the results only by rounding.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Run folder [default: the first unused of runs/NAME-1, runs/NAME-2, …].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing run in --out. Refused if the folder contains other files.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Resume an interrupted or killed run from its last checkpoint. The result is bit-identical to
    /// an uninterrupted run. Refused if config, data, code or machine differ.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "force"])]
    pub(crate) resume: Option<PathBuf>,
    /// Checkpoint interval: a number of steps (500), of seconds (30s), or never [default: 10s].
    /// Ctrl-C always writes a checkpoint.
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint_every: Option<CheckpointInterval>,
    /// Also print the norms of the weights, and steps as the files of the run count them.
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

/// Shortcuts for data that has one part or a label column.
#[derive(Args, Clone, Debug)]
pub(crate) struct TableOptions {
    /// The label column of a table (data.label). Without CONFIG, the defaults suit tables then: the
    /// minimum by L-BFGS, standardised numbers, lambda = 1/n.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// The fraction of the rows to hold out for validation (`data.validation_fraction`); 0 trains
    /// on all rows [default: 0.2, or the data's own validation part].
    #[arg(long, value_name = "FRACTION")]
    pub(crate) validation: Option<f64>,
    #[command(flatten)]
    pub(crate) text: TextArgs,
}

/// The heading of these options in the help.
const TEXT: &str = "Text of tables";

/// What is known of the text of a table. All else is recognised.
#[derive(Args, Clone, Debug)]
pub(crate) struct TextArgs {
    /// What separates the fields: comma, semicolon, tab or bar (data.separator) [default:
    /// recognised].
    #[arg(long, help_heading = TEXT, value_name = "NAME", value_parser = word::<Separator>)]
    pub(crate) separator: Option<Separator>,
    /// Decimal mark: point or comma (data.decimal) [default: recognised].
    #[arg(long, help_heading = TEXT, value_name = "NAME", value_parser = word::<Decimal>)]
    pub(crate) decimal: Option<Decimal>,
    /// Encoding: utf-8, utf-16le, utf-16be, windows-1252 or latin-1 (data.encoding) [default:
    /// recognised].
    #[arg(long, help_heading = TEXT, value_name = "NAME", value_parser = word::<TextEncoding>)]
    pub(crate) encoding: Option<TextEncoding>,
    /// The first line has the names of the columns (data.header = true) [default: recognised].
    #[arg(long, help_heading = TEXT, conflicts_with = "no_header")]
    pub(crate) header: bool,
    /// The first line is a row; the columns are named `column_1`, `column_2`, … (data.header =
    /// false).
    #[arg(long, help_heading = TEXT)]
    pub(crate) no_header: bool,
    /// What becomes of a row that cannot be read (`data.bad_rows`): error, or skip, which counts
    /// and names them [default: error].
    #[arg(long, help_heading = TEXT, value_name = "NAME", value_parser = word::<BadRows>)]
    pub(crate) bad_rows: Option<BadRows>,
}

impl TextArgs {
    fn has_header(&self) -> Option<bool> {
        (self.header || self.no_header).then_some(self.header)
    }

    /// Returns these options, and those of `config` where they say nothing.
    pub(crate) fn or(&self, config: TextOptions) -> TextOptions {
        TextOptions {
            separator: self.separator.or(config.separator),
            decimal: self.decimal.or(config.decimal),
            encoding: self.encoding.or(config.encoding),
            header: self.has_header().or(config.header),
            bad_rows: self.bad_rows.unwrap_or(config.bad_rows),
        }
    }

    /// Returns the options as overrides of a config.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = String> {
        let word = |key: &str, value: Option<toml::Value>| value.map(|value| format!("data.{key}={value}"));
        [
            word("separator", self.separator.and_then(value)),
            word("decimal", self.decimal.and_then(value)),
            word("encoding", self.encoding.and_then(value)),
            word("header", self.has_header().and_then(value)),
            word("bad_rows", self.bad_rows.and_then(value)),
        ]
        .into_iter()
        .flatten()
    }
}

/// Returns the value of a config for an option.
fn value(option: impl Serialize) -> Option<toml::Value> {
    toml::Value::try_from(option).ok()
}

/// Parses a word as a config does. The error lists the words.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::Value::from(text).try_into().map_err(|error: toml::de::Error| {
        let message = error.message().replace('`', "");
        message.find("expected").map_or(message.clone(), |at| message[at..].to_owned())
    })
}

#[derive(Args, Debug)]
pub(crate) struct SweepOptions {
    /// Experiment config: a TOML file or a built-in experiment (softmax, softmax-optimum, logistic,
    /// logistic-shuffled) [default: softmax].
    #[arg(value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Config key and the values to try, as in objective.l2=0,0.01,0.1. Repeat for a grid of all
    /// combinations. A list in brackets or a string in quotes is one value. Takes precedence over
    /// --set and the other options.
    #[arg(long = "grid", value_name = "KEY=VALUE,…", required_unless_present = "resume")]
    pub(crate) grid: Vec<String>,
    #[command(flatten)]
    pub(crate) override_options: OverrideOptions,
    #[command(flatten)]
    pub(crate) table: TableOptions,
    #[command(flatten)]
    pub(crate) backend_options: BackendOptions,
    /// Number of parallel trainings [default: as many as the cores allow; 1 on a GPU]. It does not
    /// change the results.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Number of threads of the fused kernels for each training [default: 1]. It changes the
    /// results only by rounding.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Sweep folder [default: the first unused of runs/sweep-1, runs/sweep-2, …].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing sweep in --out. Refused if the folder contains other files.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Resume an interrupted or killed sweep: train the missing points and finish the started ones.
    /// The result is bit-identical to an uninterrupted sweep. Refused if config, grid, data, code
    /// or machine differ.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "force"])]
    pub(crate) resume: Option<PathBuf>,
    /// Checkpoint interval of each training: a number of steps (500), of seconds (30s), or never
    /// [default: 10s]. Ctrl-C always writes checkpoints.
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint_every: Option<CheckpointInterval>,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
pub(crate) struct BackendOptions {
    /// Backend to compute on: cuda, wgpu, flex, ndarray, cpu or remote:HOST:PORT
    /// [default: the first local one in this build].
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<Backend>,
}

/// Options that override the experiment's config.
#[derive(Args, Debug)]
pub(crate) struct OverrideOptions {
    #[command(flatten)]
    pub(crate) data: DataSource,
    /// Override a config key, as in descent.epochs=10. Repeatable. The value none unsets an
    /// optional key, as in `early_stopping.patience=none`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Gradient source.
    #[arg(long, value_enum)]
    pub(crate) gradient: Option<GradientOption>,
    /// Float type of weights and features.
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionOption>,
    /// Random seed of the shuffle.
    #[arg(long, value_name = "N", value_parser = number::<u64>(0..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct ReproduceOptions {
    /// TOML file that lists the runs of the report
    /// [default: the built-in list, `configs/report.toml` in the sources].
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) override_options: OverrideOptions,
    #[command(flatten)]
    pub(crate) backend_options: BackendOptions,
    /// Make only this figure and the runs that it needs.
    #[arg(long, value_name = "FIGURE", conflicts_with = "check")]
    pub(crate) only: Option<String>,
    /// Report folder. The default folder's earlier report is replaced
    /// [default: docs/report for MNIST in a checkout, else runs/report-on-DATA].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace existing files of a report in --out.
    #[arg(long, requires = "out", conflicts_with = "check")]
    pub(crate) force: bool,
    /// Folder of finished runs. A run is reused if config, data, code and device are the same.
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    pub(crate) runs: PathBuf,
    /// Compare with the existing report instead of writing. The exit code is 1 if counts, steps,
    /// epochs, norms, verdicts or words differ.
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
pub(crate) struct DataOptions {
    #[command(flatten)]
    pub(crate) data: DataSource,
    /// The label column of a table, which is no feature.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// The column of a table with the weight of each row (data.weight), which is no feature.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) weight: Option<String>,
    #[command(flatten)]
    pub(crate) text: TextArgs,
    /// Download MNIST into burn-dataset's cache folder and verify it, unless it is already there.
    #[arg(long, conflicts_with = "write_idx")]
    pub(crate) fetch: bool,
    /// Write the embedded digits as four uncompressed IDX files into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) write_idx: Option<PathBuf>,
    /// Number of training digits to draw.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = number::<u32>(1..=u32::MAX.into()))]
    pub(crate) train_images: u32,
    /// Number of validation digits to draw.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = number::<u32>(1..=u32::MAX.into()))]
    pub(crate) validation_images: u32,
    /// Random seed of the digits of --write-idx.
    #[arg(long, value_name = "N", default_value_t = chainrule_data::digits::SEED, value_parser = number::<u64>(0..=u64::MAX), requires = "write_idx")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
pub(crate) struct GradcheckOptions {
    /// Check Burn itself instead: layers, activations, losses and tensor operations on this
    /// backend.
    #[arg(long)]
    pub(crate) burn: bool,
    /// Write what is wrong in Burn, with reproductions, to this page, or to its part between marks.
    /// Every backend of the build is checked.
    #[arg(long, value_name = "FILE", requires = "burn", conflicts_with_all = ["backend", "json"])]
    pub(crate) page: Option<PathBuf>,
    /// Random seed of weights, features and directions.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = number::<u64>(0..=u64::MAX))]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) backend_options: BackendOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
pub(crate) struct ServeOptions {
    /// Backend to serve: cuda, wgpu, flex or ndarray [default: the first in this build].
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<Backend>,
    /// Address and port to listen on. Port 0 selects a free port.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,
}

#[derive(Args, Debug)]
pub(crate) struct BackendsOptions {
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsOptions {
    /// Shell to write the script for.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManOptions {
    /// Write chainrule.1 and a page for each command into this folder, and print their paths.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace existing pages.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Print all commands as one Markdown page, docs/commands.md.
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
        "Data set: auto | mnist | embedded | moons, circles or blobs (points of two features, drawn by code) | {}, several of them ('part-*.csv' or a.csv:b.csv), or - for standard input | a folder of IDX files, of {}, or with one subfolder of pictures per class, optionally split into train and \
         validation. auto tries in this order: `$CHAINRULE_DATA`, MNIST from the cache, a verified download of MNIST, the embedded digits",
        readers::files(TABLES, "or"),
        readers::pairs_of_tables()
    )
}

#[derive(Args, Debug)]
pub(crate) struct OutputOptions {
    /// Print the result as one JSON document to standard output. Other messages go to standard
    /// error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only errors and the result.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GradientOption {
    /// fused if the device supports it, else closed-form.
    Auto,
    /// The closed form in fused kernels: one pass over the data per step on a CPU, two launches on
    /// a GPU.
    Fused,
    /// The closed form, derived by hand, in tensor operations.
    ClosedForm,
    /// Burn's autodiff.
    Autodiff,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PrecisionOption {
    /// Single precision, 32 bits.
    F32,
    /// Double precision, 64 bits.
    F64,
}
