//! The commands of the program, as clap types.

use clap::{Parser, Subcommand};

use crate::evaluate::EvaluateOptions;
use crate::export::ExportOptions;
use crate::import::ImportOptions;
use crate::inspect::InspectOptions;
use crate::options::{
    BackendsOptions, CompletionsOptions, DataOptions, GradcheckOptions, ManOptions, ReproduceOptions, ServeOptions,
    SweepOptions, TrainOptions,
};
use crate::page::PageOptions;
use crate::predict::{PredictOptions, about_files};

/// Help that applies to every command. It ends the long help, the man page and the reference.
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

/// Trains the two linear classifiers whose gradients everyone derives by hand once, on those
/// gradients or on Burn's autodiff.
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
    /// Train an experiment at every point of a grid over its keys, several at once; one table and
    /// one plot of what came of them.
    #[command(after_help = "\
A point is a run's folder below DIR/points, which evaluate, inspect, export, page and predict take. DIR/sweep.md and sweep.csv have the table, sweep.svg and sweep.png the plot,
sweep.json the numbers and the grid. What is best is chosen by the validation rows, whose loss is therefore no estimate of the loss on new ones.

Examples:
  chainrule sweep --grid objective.l2=0,0.001,0.01,0.1
  chainrule sweep --grid descent.optimizer=sgd,adam --grid descent.learning_rate=1e-3,1e-2,1e-1 --set descent.epochs=10
  chainrule sweep logistic --grid data.classes=[2,3],[4,9] --out runs/pairs
  chainrule sweep --resume runs/sweep-1")]
    Sweep(SweepOptions),
    /// Show where the data is and whether it is MNIST; fetch it, or write the embedded digits as
    /// IDX files.
    #[command(after_help = "\
Examples:
  chainrule data
  chainrule data --fetch
  chainrule data --data path/to/fashion-mnist
  chainrule data --data flowers.csv
  chainrule data --write-idx digits --train-images 60000 --seed 7")]
    Data(DataOptions),
    /// Hold closed form, autodiff and differences against each other, for both models; exit code 1
    /// on any disagreement.
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
    #[command(after_help = about_files())]
    Predict(PredictOptions),
    /// Judge a trained model by labelled images: loss, accuracy, confusion, precision and recall,
    /// calibration.
    #[command(after_help = "\
It is judged by the run's own images unless --data names others, of which all are taken.

Examples:
  chainrule evaluate runs/softmax-1
  chainrule evaluate runs/softmax-1 --split train --json
  chainrule evaluate runs/softmax-1 --data path/to/folder --wrong wrong.png")]
    Evaluate(EvaluateOptions),
    /// Show what a trained model has learnt: its weights as pictures, their norms, and what speaks
    /// for a class in an image.
    #[command(after_help = "\
A terminal gets colours, unless NO_COLOR is set, and a pipe plain characters.

Examples:
  chainrule inspect runs/softmax-1
  chainrule inspect runs/softmax-1 --png weights.png
  chainrule inspect runs/softmax-1 --image seven.png --class 1
  chainrule inspect runs/softmax-1 --image t10k-images-idx3-ubyte.gz --index 247 --json")]
    Inspect(InspectOptions),
    /// Make a page to draw on: what a trained model says of a drawing, why, and the gradient step
    /// that would teach it.
    #[command(after_help = "\
The page is one file that needs no network: weights, examples and arithmetic are in it.

Examples:
  chainrule page runs/softmax-1
  chainrule page runs/softmax-1 --out docs/draw.html")]
    Page(PageOptions),
    /// Write a trained model for another tool: PyTorch, NumPy and scikit-learn, onnxruntime, or
    /// whatever reads JSON.
    #[command(after_help = "\
What is in each of them, and the Python that loads it: docs/models.md.

Examples:
  chainrule export runs/softmax-1 --format onnx
  chainrule export runs/softmax-1 --out softmax.npz")]
    Export(ExportOptions),
    /// Take another tool's weights: a folder that predict, evaluate, inspect, export and page take
    /// as a run's.
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
