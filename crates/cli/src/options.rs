//! What the command line may say.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::backend::Backend;
use crate::checkpoints::Every;
use crate::evaluate::EvaluateOptions;
use crate::export::ExportOptions;
use crate::import::ImportOptions;
use crate::inspect::InspectOptions;
use crate::page::PageOptions;
use crate::predict::PredictOptions;

/// What holds of all commands: at the end of the long help, the man page and the reference.
const OF_ALL: &str = "\
Example: chainrule train

A file or folder that is there is replaced with --force only, and a file appears whole or not at all.

Exit codes:
  0    done
  1    a check did not hold
  2    a usage, config or data error, told in one line; or an answer that cannot be written, as on a full disk
  130  interrupted; a training has saved its run, and --resume goes on with it
  141  nobody reads the answer any more, as in chainrule man | head -1

Environment:
  CHAINRULE_BACKENDS       the backends to choose from, of those that are built, as in flex,ndarray [default: all]
  CHAINRULE_DATA           the data where --data is auto: a file or folder that --data takes
  CHAINRULE_MNIST_URL      where MNIST is downloaded from, in place of its mirror
  CHAINRULE_MNIST_SECONDS  how long that download may take [default: 60]
  CHAINRULE_TOKEN          what `serve` asks of a client, and what a client shows
  NO_COLOR                 no colours, on a terminal either";

/// Trains the two linear classifiers whose gradients everyone derives by hand once, on those gradients or on Burn's autodiff.
#[derive(Debug, Parser)]
#[command(name = "chainrule", version, arg_required_else_help = true, after_help = "Example: chainrule train", after_long_help = OF_ALL)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train one experiment and write a run folder.
    #[command(after_help = "\
Examples:
  chainrule train
  chainrule train logistic --gradient autodiff --precision f64
  chainrule train softmax --set objective.l2=0.1 --set descent.epochs=10 --out runs/penalised
  chainrule train --data flowers.csv --set data.label=species --set data.standardize=true
  chainrule train --data photographs --set data.validation_fraction=0.3 --set objective.class_weights=balanced
  chainrule train --resume runs/softmax-1
  chainrule train --data embedded --quiet --json | jq .final.validation_accuracy")]
    Train(TrainOptions),
    /// Train an experiment at every point of a grid over its keys, several at once; one table and one plot of what came of them.
    #[command(after_help = "\
A point is a run's folder below DIR/points, which evaluate, inspect, export, page and predict take. DIR/sweep.md and sweep.csv have the table, sweep.svg and sweep.png the plot,
sweep.json the numbers and the grid. What is best is chosen by the validation rows, whose loss is therefore no estimate of the loss on new ones.

Examples:
  chainrule sweep --grid objective.l2=0,0.001,0.01,0.1
  chainrule sweep --grid descent.optimizer=sgd,adam --grid descent.learning_rate=1e-3,1e-2,1e-1 --set descent.epochs=10
  chainrule sweep logistic --grid data.classes=[2,3],[4,9] --out runs/pairs
  chainrule sweep --resume runs/sweep-1")]
    Sweep(SweepOptions),
    /// Show where the data is and whether it is MNIST; fetch it, or write the embedded digits as IDX files.
    #[command(after_help = "\
Examples:
  chainrule data
  chainrule data --fetch
  chainrule data --data path/to/fashion-mnist
  chainrule data --data flowers.csv
  chainrule data --write-idx digits --train-images 60000 --seed 7")]
    Data(DataOptions),
    /// Hold closed form, autodiff and differences against each other, for both models; exit code 1 on any disagreement.
    #[command(after_help = "\
Examples:
  chainrule gradcheck
  chainrule gradcheck --seed 7 --json
  chainrule gradcheck --burn")]
    Gradcheck(GradcheckOptions),
    /// List the backends of this build, and the devices that this machine has for them.
    #[command(after_help = "\
Examples:
  chainrule backends
  chainrule backends --json")]
    Backends(BackendsOptions),
    /// Offer this machine's device to `--backend remote:HOST:PORT` elsewhere, until Ctrl-C.
    #[command(after_help = "\
Whoever reaches the address can compute on this device, and what is sent is not encrypted. Where CHAINRULE_TOKEN is set, a client needs the
same one; the token too is sent as it is, so that it keeps strays out and nobody else.

Examples:
  chainrule serve
  CHAINRULE_TOKEN=$(cat token) chainrule serve --backend wgpu --listen 192.168.0.2:3000")]
    Serve(ServeOptions),
    /// Make every run and figure of the report, judge its claims, and write its pages.
    #[command(after_help = "\
Examples:
  chainrule reproduce
  chainrule reproduce --only figure-3 --out figures
  chainrule reproduce --gradient autodiff --precision f32 --out report-f32
  chainrule reproduce --data path/to/fashion-mnist
  chainrule reproduce --check")]
    Reproduce(ReproduceOptions),
    /// Ask a trained model what pictures show: probabilities of every class.
    #[command(after_help = "\
A PNG or JPEG of any size is made what MNIST's images are: grey, light ink on a dark ground (inverted where its border is light), the ink fitted
into 20 x 20 pixels of 28 x 28 and centred by its mass. What was done to each is told. Images in IDX files are taken as they are. A model of pictures by class takes a picture as
its training did, and a model of a table takes CSV files, whose columns it finds by name.

Examples:
  chainrule predict runs/softmax-1 seven.png
  chainrule predict runs/softmax-1 photographs t10k-images-idx3-ubyte.gz --json
  chainrule predict runs/flowers new.csv --json
  chainrule predict runs/softmax-1 - < seven.png")]
    Predict(PredictOptions),
    /// Judge a trained model by labelled images: loss, accuracy, confusion, precision and recall, calibration.
    #[command(after_help = "\
It is judged by the run's own images unless --data names others, of which all are taken.

Examples:
  chainrule evaluate runs/softmax-1
  chainrule evaluate runs/softmax-1 --split train --json
  chainrule evaluate runs/softmax-1 --data path/to/folder --wrong wrong.png")]
    Evaluate(EvaluateOptions),
    /// Show what a trained model has learnt: its weights as pictures, their norms, and what speaks for a class in an image.
    #[command(after_help = "\
A terminal gets colours, unless NO_COLOR is set, and a pipe plain characters.

Examples:
  chainrule inspect runs/softmax-1
  chainrule inspect runs/softmax-1 --png weights.png
  chainrule inspect runs/softmax-1 --image seven.png --class 1
  chainrule inspect runs/softmax-1 --image t10k-images-idx3-ubyte.gz --index 247 --json")]
    Inspect(InspectOptions),
    /// Make a page to draw on: what a trained model says of a drawing, why, and the gradient step that would teach it.
    #[command(after_help = "\
The page is one file that needs no network: weights, examples and arithmetic are in it.

Examples:
  chainrule page runs/softmax-1
  chainrule page runs/softmax-1 --out docs/draw.html")]
    Page(PageOptions),
    /// Write a trained model for another tool: PyTorch, NumPy and scikit-learn, onnxruntime, or whatever reads JSON.
    #[command(after_help = "\
What is in each of them, and the Python that loads it: docs/models.md.

Examples:
  chainrule export runs/softmax-1 --format onnx
  chainrule export runs/softmax-1 --out softmax.npz")]
    Export(ExportOptions),
    /// Take another tool's weights: a folder that predict, evaluate, inspect, export and page take as a run's.
    #[command(after_help = "\
Weights for pixels of another range become weights for pixels from -1 to 1, which is what this program makes of them. What to save of a scaler, and which models are \
one against the rest: docs/models.md.

Examples:
  chainrule import mnist.safetensors --out models/torch --trained-on 0..1 --classes 0,1,2,3,4,5,6,7,8,9
  chainrule import iris.npz --out models/iris --trained-on numbers --columns length,width
  chainrule import iris.npz --out models/rest --trained-on numbers --columns length,width --one-vs-rest
  chainrule import exported.npz --out models/again")]
    Import(ImportOptions),
    /// Print what makes a shell complete this program's commands and options.
    #[command(after_help = "\
Examples:
  chainrule completions bash > ~/.local/share/bash-completion/completions/chainrule
  chainrule completions zsh > ~/.zfunc/_chainrule
  chainrule completions fish > ~/.config/fish/completions/chainrule.fish")]
    Completions(CompletionsOptions),
    /// Print the program's man page, or write it and one of every command into a folder.
    #[command(after_help = "\
Examples:
  chainrule man | man -l -
  chainrule man --out ~/.local/share/man/man1")]
    Man(ManOptions),
}

/// Reads a whole number of this range.
fn number<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number =
            text.parse().ok().filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

#[derive(Args, Debug)]
pub(crate) struct TrainOptions {
    /// The experiment: a TOML file, or one of those inside: softmax, softmax-optimum, logistic, logistic-shuffled [default: softmax].
    #[arg(value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Threads of the fused kernels [default: as many as this machine runs at once]. More give the same results up to rounding.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// The run's folder [default: the first free of runs/NAME-1, runs/NAME-2, …].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the run that lies in --out, where nothing else does.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Go on with a run that was interrupted or killed, from its last checkpoint. It ends as if nothing had happened, bit for bit, and is refused where config,
    /// data, code or machine are others.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "force"])]
    pub(crate) resume: Option<PathBuf>,
    /// Write a checkpoint every so many steps (500) or seconds (30s), or never [default: 10s]. Ctrl-C always writes one.
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint_every: Option<Every>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct SweepOptions {
    /// The experiment: a TOML file, or one of those inside: softmax, softmax-optimum, logistic, logistic-shuffled [default: softmax].
    #[arg(value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// A key of the experiment and the values to try, as in objective.l2=0,0.01,0.1; repeatable, for every combination. Lists in brackets and texts in quotes hold
    /// together. It wins over --set and the other options.
    #[arg(long = "grid", value_name = "KEY=VALUE,…", required_unless_present = "resume")]
    pub(crate) grid: Vec<String>,
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Trainings at once [default: as many as this machine has cores for; on a GPU 1]. The results are the same.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Threads of the fused kernels for each training [default: 1]. More give the same results up to rounding.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// The sweep's folder [default: the first free of runs/sweep-1, runs/sweep-2, …].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the sweep that lies in --out, where nothing else does.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Go on with a sweep that was interrupted or killed: make the points that are missing, and end those that were begun, to the same bytes. It is refused where config, grid, data,
    /// code or machine are others.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "force"])]
    pub(crate) resume: Option<PathBuf>,
    /// Write a checkpoint of each training every so many steps (500) or seconds (30s), or never [default: 10s]. Ctrl-C always writes them.
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint_every: Option<Every>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Place {
    /// Where it runs: cuda, wgpu, flex, ndarray or remote:HOST:PORT [default: the first in this build of the local ones].
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<Backend>,
}

/// What the command line may choose otherwise than an experiment's file.
#[derive(Args, Debug)]
pub(crate) struct Choices {
    #[command(flatten)]
    pub(crate) data: DataSource,
    /// Override a key of the experiment, as in descent.epochs=10; repeatable. none takes back a key that may be absent, as in `early_stopping.patience=none`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Where the gradients come from.
    #[arg(long, value_enum)]
    pub(crate) gradient: Option<GradientOption>,
    /// The float type of weights and features.
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionOption>,
    /// The seed of the shuffle.
    #[arg(long, value_name = "N", value_parser = number::<u64>(0..=u64::MAX))]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct ReproduceOptions {
    /// The runs of the report [default: those inside, as `configs/report.toml` of the sources has them].
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Make this figure only, and the runs that it needs.
    #[arg(long, value_name = "FIGURE", conflicts_with = "check")]
    pub(crate) only: Option<String>,
    /// The report's folder [default: in a checkout docs/report for MNIST, else runs/report-on-DATA, where it is made again].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the report's files that lie in --out.
    #[arg(long, requires = "out", conflicts_with = "check")]
    pub(crate) force: bool,
    /// Where finished runs are kept, and taken from where config, data, code and device are the same.
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    pub(crate) runs: PathBuf,
    /// Write nothing, but compare with the report that lies there; exit code 1 where counts, steps, epochs, norms or verdicts differ.
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
    pub(crate) place: Place,
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
    /// auto | mnist | embedded | a CSV file | a folder of IDX files, of train.csv and validation.csv, or of pictures for each class, in train and validation or all in one. auto is `$CHAINRULE_DATA`, else MNIST from the cache, else a verified
    /// download, else the embedded digits.
    #[arg(long = "data", value_name = "SOURCE")]
    pub(crate) source: Option<String>,
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
    /// The hand derivation as kernels of its own: on CPUs a step in one pass, on GPUs in two launches.
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
