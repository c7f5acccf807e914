//! The program `chainrule`, as a library of one function: [`run()`] is all of it. Whoever trains
//! from a program of their own takes the package
//! `chainrule`.

mod backends;
mod builtin;
#[cfg(feature = "burn")]
mod check_gradients;
#[cfg(not(feature = "burn"))]
#[path = "no_gradient_checks.rs"]
mod check_gradients;
mod checkpoints;
mod commands;
mod destination;
mod evaluate;
mod exit;
mod experiment;
mod export;
mod heatmaps;
mod import;
mod inspect;
mod jobs;
mod manual;
mod missing;
mod model;
mod options;
mod output;
mod page;
mod predict;
mod progress;
mod reproduce;
mod rows;
mod run;
mod serve;
mod show_data;
mod sweep;
mod table;
mod train;
mod usage;

use std::ffi::OsString;

use clap::Parser;

use commands::{Command, Options};

/// Runs the program on these arguments, the first being its name, and gives its exit code: 0 done,
/// 1 a check did not hold, 2 a usage, config or data error or an answer that cannot be written, 130
/// interrupted with the run saved, 141 nobody reads the answer.
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
        Command::Reproduce(reproduce) => reproduce::reproduce(reproduce),
        Command::Evaluate(evaluate) => evaluate::evaluate(evaluate),
        Command::Inspect(inspect) => inspect::inspect(inspect),
        Command::Export(export) => export::export(export),
        Command::Import(import) => import::import(import),
        Command::Page(page) => page::page(page),
        Command::Predict(predict) => predict::predict(predict),
        Command::Gradcheck(options) => check_gradients::gradcheck(options),
        Command::Completions(completions) => manual::completions(completions),
        Command::Man(man) => manual::man(man),
    };
    result.unwrap_or_else(|error| output::tell_error(&error))
}
