//! The commands of the program, as clap types.

use clap::{Parser, Subcommand};

use crate::compare::CompareOptions;
use crate::cross_validate::CvOptions;
use crate::derive::DeriveOptions;
use crate::evaluate::EvaluateOptions;
use crate::explain::ExplainOptions;
use crate::export::ExportOptions;
use crate::import::ImportOptions;
use crate::inspect::InspectOptions;
use crate::options::{
    BackendsOptions, CompletionsOptions, DataOptions, GradcheckOptions, ManOptions, ReproduceOptions, ServeOptions,
    SweepOptions, TrainOptions,
};
use crate::page::PageOptions;
use crate::plot::PlotOptions;
use crate::predict::{PredictOptions, about_files};
use crate::summary::SummaryOptions;

/// Help that applies to every command. It ends the long help, the man page and the reference.
const COMMON_HELP: &str = "\
Example: chainrule train

Existing files and folders are replaced only with --force.
A file is written completely or not at all.

Exit codes:
  0    success
  1    a check failed
  2    a usage, config or data error, reported in one line; or the output cannot be written
  130  interrupted; a training has saved its run, and --resume continues it
  141  the reader closed the pipe, as in chainrule man | head -1

Environment variables:
  CHAINRULE_BACKENDS       allowed backends of this build, as in flex,ndarray [default: all]
  CHAINRULE_DATA           data set for --data auto: a file or folder that --data accepts
  CHAINRULE_MNIST_URL      URL to download MNIST from, instead of the built-in mirror
  CHAINRULE_MNIST_SECONDS  time limit of the download in seconds [default: 60]
  CHAINRULE_TOKEN          access token: `serve` requires it, and a client sends it
  NO_COLOR                 disable colours, also on a terminal";

/// Train logistic and softmax regression with gradients derived by hand, or with Burn's autodiff.
#[derive(Debug, Parser)]
#[command(name = "chainrule", version, arg_required_else_help = true, after_help = "Example: chainrule train", after_long_help = COMMON_HELP)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a model and write a run folder.
    #[command(after_help = "\
Examples:
  chainrule train
  chainrule train logistic --gradient autodiff --precision f64
  chainrule train softmax --set objective.l2=0.1 --set descent.epochs=10 --out runs/penalised
  chainrule train --data flowers.csv --label species
  chainrule train --data photographs --set data.validation_fraction=0.3 --set objective.class_weights=balanced
  chainrule train --resume runs/softmax-1
  chainrule train --data embedded --quiet --json | jq .final.validation_accuracy")]
    Train(TrainOptions),
    /// Grid search: train a model for every combination of config values, several at once, and
    /// compare them in a table and a plot.
    #[command(after_help = "\
Each point of the grid is a run folder in DIR/points.
The commands evaluate, inspect, export, page and predict accept it.
DIR/sweep.md and sweep.csv contain the table, sweep.svg and sweep.png the plot,
sweep.json the numbers and the grid.
With several values of descent.shuffle.seed, the points of a combination are repetitions:
their means are compared, and sweep-means.csv contains them.
The best point is selected on the validation data.
Its validation loss is therefore no unbiased estimate of the loss on new data.

Examples:
  chainrule sweep --grid objective.l2=0,0.001,0.01,0.1
  chainrule sweep --grid descent.optimizer=sgd,adam --grid descent.learning_rate=1e-3,1e-2,1e-1 --set descent.epochs=10
  chainrule sweep --grid objective.l2=0.001,0.01,0.1 --grid descent.shuffle.seed=0,1,2,3,4
  chainrule sweep logistic --grid data.classes=[2,3],[4,9] --out runs/pairs
  chainrule sweep --resume runs/sweep-1")]
    Sweep(SweepOptions),
    /// Cross-validate a model: train it on all folds of the rows but one, score it on that one, for
    /// each fold. With --lambdas, choose the penalty.
    #[command(after_help = "\
Everything that is learnt from rows is learnt anew in each fold.
All rows are used, unless --validation keeps some for a final test.
The folds have equal shares of each class. With data.group, rows of a group stay together.
Nothing is written.

Examples:
  chainrule cv --data people.csv --label survived
  chainrule cv --data people.csv --label survived --lambdas 1,0.1,0.01,0.001
  chainrule cv --data people.csv --label survived --folds 10 --repeats 3 --set data.group=family
  chainrule cv --data days.csv --label rain --time-ordered --json
  chainrule cv softmax-optimum --lambdas 0.1,0.01,0.001")]
    Cv(CvOptions),
    /// Describe a data set, download MNIST, or write the embedded digits as IDX files.
    #[command(after_help = "\
Examples:
  chainrule data
  chainrule data --fetch
  chainrule data --data path/to/fashion-mnist
  chainrule data --data flowers.csv
  chainrule data --write-idx digits --train-images 60000 --seed 7")]
    Data(DataOptions),
    /// Compare the gradients of closed form, autodiff and finite differences for both models. The
    /// exit code is 1 if any differ.
    #[command(after_help = "\
Examples:
  chainrule gradcheck
  chainrule gradcheck --seed 7 --json
  chainrule gradcheck --burn")]
    Gradcheck(GradcheckOptions),
    /// List the backends of this build and their devices on this machine.
    #[command(after_help = "\
Examples:
  chainrule backends
  chainrule backends --json")]
    Backends(BackendsOptions),
    /// Serve this machine's device to other machines, which use it with `--backend
    /// remote:HOST:PORT`. Ctrl-C stops the server.
    #[command(after_help = "\
Anyone who can reach the address can compute on this device. The connection is not encrypted.
If CHAINRULE_TOKEN is set, a client must have the same token.
The token is sent in plain text, so it stops accidental access only, not an attacker.

Examples:
  chainrule serve
  CHAINRULE_TOKEN=$(cat token) chainrule serve --backend wgpu --listen 192.168.0.2:3000")]
    Serve(ServeOptions),
    /// Check a written derivation line by line, and name the first wrong step. The exit code is 1
    /// if a step is wrong, and 2 if one cannot be read.
    #[command(after_help = "\
The file has definitions like z = sum_j x_j w_j + b and claims like dC/dw_j = (p - y) x_j.
docs/howto/derive.md describes the language: LaTeX and plain notation.

Examples:
  chainrule derive --new softmax > mine.md
  chainrule derive mine.md
  chainrule derive mine.md --watch
  chainrule derive mine.md --json
  chainrule derive mine.md --html mine.html
  chainrule derive mine.md --code mine.rs
  chainrule derive --expect asked.md submissions > table.csv")]
    Derive(DeriveOptions),
    /// Reproduce the report: train its runs, draw its figures, test its claims and write its pages.
    #[command(after_help = "\
Examples:
  chainrule reproduce
  chainrule reproduce --only figure-3 --out figures
  chainrule reproduce --gradient autodiff --precision f32 --out report-f32
  chainrule reproduce --data path/to/fashion-mnist
  chainrule reproduce --check")]
    Reproduce(ReproduceOptions),
    /// Predict the class probabilities of images or table rows with a trained model.
    #[command(after_help = about_files())]
    Predict(PredictOptions),
    /// Evaluate a trained model on labelled data: loss, accuracy, area under the ROC curve,
    /// confusion matrix, precision and recall, calibration.
    #[command(after_help = "\
Without --data, the model is evaluated on the run's own data.
With --data, all rows of the other data set are used.

Examples:
  chainrule evaluate runs/softmax-1
  chainrule evaluate runs/softmax-1 --split train --json
  chainrule evaluate runs/people-1 --more --beta 2 --costs 0,1/5,0
  chainrule evaluate runs/people-1 --curves curves.csv
  chainrule evaluate runs/softmax-1 --data path/to/folder --wrong wrong.png")]
    Evaluate(EvaluateOptions),
    /// Compare trained models on the same rows by paired tests: accuracy by McNemar's test, loss by
    /// a t test and a bootstrap, area under the ROC curve by DeLong's test.
    #[command(after_help = "\
Without --data, the runs must have the same validation rows.
A row that is hard for one model is often hard for another.
So the difference of two models is known better than their separate confidence intervals suggest.

Examples:
  chainrule compare runs/softmax-1 runs/softmax-2
  chainrule compare runs/people-1 runs/people-2 runs/people-3 --json
  chainrule compare runs/softmax-1 models/torch --data path/to/folder")]
    Compare(CompareOptions),
    /// Show what a table model says of its columns: coefficients with standard errors, tests and
    /// intervals, odds ratios, and how well the model fits.
    #[command(after_help = "\
Without a penalty (objective.l2 = 0), these are maximum likelihood's.
With one, they are a Laplace posterior under a Gaussian prior, which has no tests.
docs/howto/summary.md explains the table.

Examples:
  chainrule train --data people.csv --label survived --set objective.l2=0 --set descent.solver=newton
  chainrule summary runs/people-1
  chainrule summary runs/people-1 --robust --standardized
  chainrule summary runs/people-1 --format latex --out table.tex")]
    Summary(SummaryOptions),
    /// Explain the prediction for a row: what each column or pixel contributes to the logit of each
    /// class, and how they add up. On demand, the gradient of the row, worked out with numbers.
    #[command(after_help = "\
A contribution is relative to the mean of the training rows, or to a blank image.
The contributions and the bias add up to the logit.
docs/howto/one-row.md has an example.

Examples:
  chainrule explain runs/people-1 new.csv --row 5
  chainrule explain runs/people-1 people.csv --row 42 --worked-gradient
  chainrule explain runs/people-1 new.csv --row 5 --format csv --out why.csv
  chainrule explain runs/softmax-1 seven.png --class 7 --class 1")]
    Explain(ExplainOptions),
    /// Show a trained model's weights as images, their norms, and the evidence for a class in an
    /// image.
    #[command(after_help = "\
Output to a terminal is coloured unless NO_COLOR is set. Output to a pipe uses plain characters.

Examples:
  chainrule inspect runs/softmax-1
  chainrule inspect runs/softmax-1 --png weights.png
  chainrule inspect runs/softmax-1 --image seven.png --class 1
  chainrule inspect runs/softmax-1 --image t10k-images-idx3-ubyte.gz --index 247 --json")]
    Inspect(InspectOptions),
    /// Draw runs: loss and accuracy over the training, coefficients with intervals, ROC and
    /// precision-recall curves, calibration, the confusion matrix, the decision boundary, weights
    /// as images, or the loss over two weights. As SVG or PNG, or on the terminal.
    #[command(after_help = "\
The colours are distinguishable with any common colour blindness.
A drawing on the terminal has colours unless NO_COLOR is set, and plain characters in a pipe.

Examples:
  chainrule plot runs/softmax-1
  chainrule plot runs/softmax-1 runs/softmax-2 --out curves.svg
  chainrule plot runs/softmax-1 --out curves.png --title 'Softmax regression' --theme dark
  chainrule plot runs/people-1 --kind coefficients
  chainrule plot runs/people-1 runs/people-2 --kind roc --out roc.svg
  chainrule plot runs/softmax-1 --kind calibration --class 3 --class 8
  chainrule plot runs/softmax-1 --kind weights --out weights.svg
  chainrule plot runs/moons-1 --kind boundary --out boundary.png
  chainrule plot runs/moons-1 --kind surface --learning-rate 1 --learning-rate 20")]
    Plot(PlotOptions),
    /// Write an HTML page to draw on. It shows the prediction for the drawing, the evidence, and a
    /// gradient step that corrects the model.
    #[command(after_help = "\
The page is one file and works offline. It contains the weights, the examples and the code.

Examples:
  chainrule page runs/softmax-1
  chainrule page runs/softmax-1 --out docs/draw.html")]
    Page(PageOptions),
    /// Export a trained model to another tool: PyTorch, NumPy and scikit-learn, onnxruntime, or any
    /// tool that reads JSON.
    #[command(after_help = "\
docs/models.md describes each format and has the Python code that loads it.

Examples:
  chainrule export runs/softmax-1 --format onnx
  chainrule export runs/softmax-1 --out softmax.npz")]
    Export(ExportOptions),
    /// Import another tool's weights as a model folder. The commands predict, evaluate, inspect,
    /// export and page accept it like a run.
    #[command(after_help = "\
This program scales pixels to -1..1. Weights for another pixel range are converted to this range.
docs/models.md describes what to save of a scaler, and which models are one-vs-rest.

Examples:
  chainrule import mnist.safetensors --out models/torch --trained-on 0..1 --classes 0,1,2,3,4,5,6,7,8,9
  chainrule import iris.npz --out models/iris --trained-on numbers --columns length,width
  chainrule import iris.npz --out models/rest --trained-on numbers --columns length,width --one-vs-rest
  chainrule import exported.npz --out models/again")]
    Import(ImportOptions),
    /// Print a shell completion script.
    #[command(after_help = "\
Examples:
  chainrule completions bash > ~/.local/share/bash-completion/completions/chainrule
  chainrule completions zsh > ~/.zfunc/_chainrule
  chainrule completions fish > ~/.config/fish/completions/chainrule.fish")]
    Completions(CompletionsOptions),
    /// Print the program's man page, or write the man pages of all commands into a folder.
    #[command(after_help = "\
Examples:
  chainrule man | man -l -
  chainrule man --out ~/.local/share/man/man1")]
    Man(ManOptions),
}
