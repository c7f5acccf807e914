//! The command line program `chainrule`. The library has one function, [`run()`].
//!
//! To train from another Rust program, use the package `chainrule` instead.

mod answers;
#[cfg(feature = "burn")]
mod autodiff_witness;
#[cfg(not(feature = "burn"))]
#[path = "no_autodiff_witness.rs"]
mod autodiff_witness;
mod backends;
mod builtin;
#[cfg(feature = "burn")]
mod check_gradients;
#[cfg(not(feature = "burn"))]
#[path = "no_gradient_checks.rs"]
mod check_gradients;
mod checkpoints;
mod commands;
mod compare;
mod cross_validate;
mod cv_folder;
mod derive;
mod destination;
mod evaluate;
mod exit;
mod experiment;
mod explain;
mod explained_row;
mod explanation;
mod export;
mod heatmaps;
mod import;
mod inspect;
mod jobs;
mod labelled_rows;
mod manual;
mod marked_part;
mod missing;
mod model;
mod model_plots;
mod options;
mod output;
mod page;
mod plot;
mod predict;
mod progress;
mod reproduce;
mod rounding;
mod rows;
mod run;
mod serve;
mod show_data;
mod summary;
mod sweep;
mod table;
mod table_defaults;
mod train;
mod usage;
mod worked_gradient;

use std::ffi::OsString;

use clap::Parser;

use commands::{Command, Options};

/// Runs the program and returns its exit code. The first argument is the program's name.
///
/// - 0: done
/// - 1: a check failed
/// - 2: an error in the usage, the config or the data, or the output cannot be written
/// - 130: interrupted; the run is saved
/// - 141: the reader closed the pipe
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let options = match Options::try_parse_from(&arguments) {
        Ok(options) => options,
        Err(error) => return usage::log(&error, &arguments),
    };
    let result = match &options.command {
        Command::Train(train) => train::train(train),
        Command::Sweep(sweep) => sweep::sweep(sweep),
        Command::Backends(backends) => backends::backends(backends),
        Command::Data(data) => show_data::data(data),
        Command::Serve(serve) => serve::serve(serve),
        Command::Derive(derive) => derive::derive(derive),
        Command::Reproduce(reproduce) => reproduce::reproduce(reproduce),
        Command::Evaluate(evaluate) => evaluate::evaluate(evaluate),
        Command::Cv(cv) => cross_validate::cross_validate(cv),
        Command::Compare(compare) => compare::compare(compare),
        Command::Summary(summary) => summary::summary(summary),
        Command::Explain(explain) => explain::explain(explain),
        Command::Inspect(inspect) => inspect::inspect(inspect),
        Command::Export(export) => export::export(export),
        Command::Import(import) => import::import(import),
        Command::Page(page) => page::page(page),
        Command::Plot(plot) => plot::plot(plot),
        Command::Predict(predict) => predict::predict(predict),
        Command::Gradcheck(options) => check_gradients::gradcheck(options),
        Command::Completions(completions) => manual::completions(completions),
        Command::Man(man) => manual::man(man),
    };
    result.unwrap_or_else(|error| output::report_error(&error))
}
