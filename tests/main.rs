//! The workspace's integration tests, in one binary, with a harness of their own: a test is a
//! function with `#[test]`, for which its module has `use chainrule_tests_macros::test`. Where a
//! test goes:
//!
//! - `derivation`: one equation of `docs/derivation.md` by itself
//! - `gradients`: closed form against autodiff, and wrong gradients being refused
//! - `gradcheck`: the gradient checker on our models and on every backend, and curvature by it
//! - `kernels`: the fused kernels against the closed forms by tensor operations
//! - `ops`: the loss as one Burn operation, and a GPU's own steps
//! - `losses`: values of the losses, at the extremes too
//! - `properties`: what holds of the models whatever the data
//! - `hostile`: files and numbers as an enemy chose them, and what is checked by `fuzz/`
//! - `picture`: MNIST's digits drawn on a sheet
//! - `mnist`: the real files, and burn-dataset's own reader of them
//! - `download`: MNIST from servers that are slow, broken or hostile, and into the cache
//! - `config`: the experiments that are inside the program
//! - `training`: the trainer, on small data
//! - `memory`: what a step leaves behind, by every gradient source and optimizer
//! - `descent`: optimizers by their papers, schedules by their formulas, and the weights of classes
//! - `optimum`: the minimum of J by tensors and by the program, and its certificate
//! - `image_folders`: pictures by class, and IDX files of other sizes than MNIST's
//! - `tables`: CSV files, trained on and asked about
//! - `protocol`: the report's numbers on MNIST
//! - `architecture`: the invariants of `docs/architecture.md`
//! - `backends`: every backend of the build against every other
//! - `remote`: a device that another process offers
//! - `page`: the report's page in a browser
//! - `board`: the page to draw on, in a browser
//! - `reproduce`: the command that makes the runs and writes the report
//! - `sweep`: an experiment at every point of a grid
//! - `standardize`: runs on features less their mean, over their standard deviation
//! - `stream`: training on images that stay in their file
//! - `resume`: runs that were killed, interrupted, damaged or left without a disk
//! - `numerics`: the bits that small trainings come to, by the version of the numerics
//! - `determinism`: the same bytes again, and numbers within a bound on other threads
//! - `command`: the program as a person or a script calls it
//! - `output`: files that a person names, standard output, Ctrl-C and terminals
//! - `messages`: what a slip is told
//! - `manual`: shell completions and man pages
//! - `docs`: the commands, outputs, links and formulas of the documentation
//! - `evaluate`: a trained model judged by labelled images
//! - `predict`: a trained model asked about pictures
//! - `export`: a model in other tools' files, read by these tools
//! - `import`: other tools' weights
//! - `inspect`: what a trained model has learnt
//! - `library`: `Samples`, `Estimator` and `Fitted` beside the program, and the examples
//! - `formulas`: the formulas of the docs are those of the derivation
//! - `browser`: how tests drive one
//! - `made_up`, `svg`, `weight_files`: what crates' tests share with these, by path
//! - `support`: what they share
//! - `harness`: how they are run, and those counted that cannot be
//!
//! What one crate does without the program, a device or a tool is tested in that crate.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod architecture;
mod backends;
mod board;
mod browser;
mod command;
mod config;
mod derivation;
mod descent;
mod determinism;
mod docs;
mod download;
mod evaluate;
mod export;
mod formulas;
mod gradcheck;
mod gradients;
mod harness;
mod hostile;
mod image_folders;
mod import;
mod inspect;
mod kernels;
mod library;
mod losses;
#[path = "../crates/audit/tests/made_up/mod.rs"]
mod made_up;
mod manual;
mod memory;
mod messages;
mod mnist;
mod numerics;
mod ops;
mod optimum;
mod output;
mod page;
mod picture;
mod predict;
mod properties;
mod protocol;
mod remote;
mod reproduce;
mod resume;
mod standardize;
mod stream;
mod support;
#[path = "../crates/report/tests/svg/mod.rs"]
mod svg;
mod sweep;
mod tables;
mod training;
#[path = "../crates/formats/tests/files/mod.rs"]
mod weight_files;

fn main() -> std::process::ExitCode {
    harness::main()
}
