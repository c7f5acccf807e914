//! The program `chainrule`: the only crate that picks backends and names files and the console.
//!
//! [`run()`] is the whole program; [`backend`] makes Burn devices for those who drive the other crates themselves.

pub mod backend;
mod backends;
mod checkpoints;
mod data;
mod dataset;
mod evaluate;
mod experiment;
mod export;
mod given;
mod gradcheck;
mod import;
mod inspect;
mod manual;
mod model;
mod options;
mod page;
mod panics;
mod predict;
mod progress;
mod reproduce;
mod run;
mod serve;
mod shades;
mod table;
mod train;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use clap::Parser;

use options::{Command, Options};

/// Exit codes that scripts may rely on.
mod exit {
    pub(crate) const DONE: u8 = 0;
    pub(crate) const CHECK: u8 = 1;
    pub(crate) const INPUT: u8 = 2;
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Runs the program on these arguments, the first being its name, and gives its exit code: 0 done, 1 a check did not hold, 2 a usage,
/// config or data error, 130 interrupted with the run saved.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Help and version go to standard output and end well.
            let _ = error.print();
            return if error.use_stderr() { exit::INPUT } else { exit::DONE };
        }
    };
    let result = match &options.command {
        Command::Train(train) => train::train(train),
        Command::Backends(backends) => backends::backends(backends),
        Command::Data(data) => data::data(data),
        Command::Serve(serve) => serve::serve(serve),
        Command::Reproduce(reproduce) => reproduce::reproduce(reproduce),
        Command::Evaluate(evaluate) => evaluate::evaluate(evaluate),
        Command::Inspect(inspect) => inspect::inspect(inspect),
        Command::Export(export) => export::export(export),
        Command::Import(import) => import::import(import),
        Command::Page(page) => page::page(page),
        Command::Predict(predict) => predict::predict(predict),
        Command::Gradcheck(gradcheck) => gradcheck::gradcheck(gradcheck),
        Command::Completions(completions) => manual::completions(completions),
        Command::Man(man) => manual::man(man),
    };
    result.unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        exit::INPUT
    })
}

/// One line for the person watching, on standard error; where nobody can hear, nothing is lost.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The result, on standard output. A reader that left early (`| head`) is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn print_json(value: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(value).expect("records hold only what JSON can");
    print(&format!("{text}\n"));
}

/// Whether a progress bar has someone to show itself to.
fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
