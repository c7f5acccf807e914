//! The workspace's integration tests, in one binary with its own harness. A test is a function with
//! `#[test]`, in a module with `use chainrule_tests_macros::test`. The modules:
//!
//! - `derivation`: single equations of `docs/derivation.md`
//! - `gradients`: closed form against autodiff, and rejection of wrong gradients
//! - `gradcheck`: the gradient checker on this project's models and every backend, and curvature
//! - `kernels`: the fused kernels against the closed forms by tensor operations
//! - `ops`: the loss as one Burn operation, and a GPU's own steps
//! - `losses`: values of the losses, including extreme logits
//! - `properties`: properties of the models that hold for any data
//! - `hostile`: hostile files and numbers, with the checks that `fuzz/` shares
//! - `picture`: MNIST's digits drawn on a sheet
//! - `mnist`: the real files, also read by burn-dataset
//! - `download`: MNIST from slow, broken or hostile servers, and the cache
//! - `config`: the experiments that are embedded in the program
//! - `training`: the training loop on small data
//! - `memory`: the memory that a step leaves behind, for every gradient source and optimizer
//! - `descent`: optimizers and schedules against their formulas, and class weights
//! - `optimum`: the minimum of J by tensors and by the program, and its certificate
//! - `image_folders`: pictures by class, and IDX files of other sizes than MNIST's
//! - `tables`: training and prediction on CSV files
//! - `predict_files`: files of answers for tables of any size
//! - `reference_tables`: twelve real tables against scikit-learn
//! - `raw_rows`: structs and maps against files, and other tools, on the twelve real tables
//! - `protocol`: the report's numbers on MNIST
//! - `architecture`: the invariants of `docs/architecture.md`
//! - `backends`: every backend of the build against every other
//! - `remote`: a device served by another process
//! - `page`: the report's page in a browser
//! - `board`: the drawing page in a browser
//! - `reproduce`: the command that makes the runs and writes the report
//! - `sweep`: an experiment at every point of a grid
//! - `standardize`: runs on standardised features
//! - `stream`: training on images that stay in their file
//! - `resume`: runs that were killed, interrupted, damaged, or out of disk space
//! - `numerics`: the exact bits of small trainings, by version of the numerics
//! - `determinism`: identical bytes in repeated runs, and bounds for other numbers of threads
//! - `command`: the program as users and scripts call it
//! - `output`: files named by the user, standard output, Ctrl-C and terminals
//! - `messages`: error messages for wrong input
//! - `manual`: shell completions and man pages
//! - `derive`: a written derivation is checked by the program, and the examples of its page
//! - `exercise`: the checker in a derivation's page, in a browser
//! - `docs`: the commands, outputs, links and formulas of the documentation
//! - `evaluate`: a trained model on labelled images
//! - `predict`: predictions of a trained model for pictures
//! - `export`: models in other tools' files, read by these tools
//! - `import`: other tools' weights
//! - `inspect`: the weights of a trained model
//! - `library`: `Samples`, `Estimator` and `Fitted` against the program, and the examples
//! - `formulas`: the formulas in the docs against the derivation
//! - `browser`: a browser driver for tests
//! - `synthetic`, `svg`, `weight_files`: helpers of the crates' tests, included by path
//! - `support`: shared helpers
//! - `harness`: the test runner, which counts the tests that could not run
//!
//! Tests of one crate that need no program, device or tool are in that crate.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod architecture;
mod backends;
mod board;
mod browser;
mod command;
mod config;
mod derivation;
mod derive;
mod descent;
mod determinism;
mod docs;
mod download;
mod evaluate;
mod exercise;
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
mod predict_files;
mod properties;
mod protocol;
mod raw_rows;
mod reference_tables;
mod remote;
mod reproduce;
mod resume;
mod round_trips;
mod standardize;
mod stream;
mod support;
#[path = "../crates/report/tests/svg/mod.rs"]
mod svg;
mod sweep;
#[path = "../crates/audit/tests/synthetic/mod.rs"]
mod synthetic;
mod tables;
mod training;
#[path = "../crates/formats/tests/files/mod.rs"]
mod weight_files;

fn main() -> std::process::ExitCode {
    harness::main()
}
