//! Two linear classifiers on hand-derived gradients: load data, fit, ask, check.
//!
//! ```
//! # fn main() -> Result<(), chainrule::Error> {
//! use chainrule::{Estimator, Samples};
//!
//! let [train, validation] = Samples::digits(1000, 7).split(0.2, 0)?; // or Samples::csv("penguins.csv", "species")?
//! let estimator = Estimator::softmax().l2(0.01).learning_rate(0.05).epochs(20);
//! let report = estimator.check_gradient(&train)?; // by hand = by autodiff = by differences
//! report.assert_pass();
//!
//! let fitted = estimator.fit(&train, &validation)?;
//! println!("accuracy {:.1} %", 100.0 * fitted.score(&validation)?);
//! let probabilities = fitted.predict_proba(&validation)?; // [n][k]
//! assert!((probabilities[0].iter().sum::<f64>() - 1.0).abs() < 1e-12);
//! # Ok(())
//! # }
//! ```
//!
//! [`Samples`] are labelled rows, from CSV, images, pictures in folders or memory; an [`Estimator`] is a model with the settings of its training; a
//! [`Fitted`] model is asked, saved, and exported for other tools. They stand on crates that can be used by themselves, and are here by shorter names:
//! [`models`] (the Burn modules and their closed-form gradients), [`gradcheck`] (the checker, for any Burn module),
//! [`data`], [`solve`] (trainings, whatever computes them), [`engines`] (what computes them on Burn), [`records`] and [`burn`] itself, in the one version that fits.
//!
//! The same package is the program `chainrule`: [`run()`] is all of it. [`backend`] makes Burn devices for those who drive the other crates themselves.

pub use burn;
pub use chainrule_data as data;
pub use chainrule_engines as engines;
pub use chainrule_gradcheck as gradcheck;
pub use chainrule_models as models;
pub use chainrule_records as records;
pub use chainrule_solve as solve;

pub mod backend;
mod backends;
mod builtin;
mod check_gradients;
mod checkpoints;
mod commands;
mod crew;
mod dataset;
mod destination;
mod evaluate;
mod exit;
mod experiment;
mod export;
mod given;
mod import;
mod inspect;
mod library;
mod machine;
mod manual;
mod missing;
mod model;
mod norms;
mod options;
mod output;
mod page;
mod panics;
mod predict;
mod progress;
mod reproduce;
mod rows;
mod run;
mod serve;
mod shades;
mod show_data;
mod source;
mod sweep;
mod table;
mod train;
mod usage;

pub use library::{Error, Estimator, Fitted, Samples, Training};

use std::ffi::OsString;

use clap::Parser;

use commands::{Command, Options};

/// Runs the program on these arguments, the first being its name, and gives its exit code: 0 done, 1 a check did not hold, 2 a usage,
/// config or data error or an answer that cannot be written, 130 interrupted with the run saved, 141 nobody reads the answer.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let options = match Options::try_parse_from(&arguments) {
        Ok(options) => options,
        Err(error) => return usage::tell(&error, &arguments),
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

#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
struct Page;
