//! Load, fit, ask, check: the crates of this workspace behind three types, for who trains from a program of their own.

mod estimator;
mod fitted;
mod samples;

pub use estimator::Estimator;
pub use fitted::{Fitted, Training};
pub use samples::Samples;

use std::fmt::{self, Debug, Display, Formatter};

use chainrule_data::DataError;
use chainrule_records::{ConfigError, RunError};
use chainrule_solve::{RowError, TrainError};

/// Why nothing came of it, in one line: what is wrong, where, and what to do.
///
/// The line has the cause in it; [`source`](std::error::Error::source) gives it as a value where there is one, as the system's error where a file cannot be read.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be, by its key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Data that cannot be read, by file and place.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Samples that are not what is asked for: of other columns, classes or sizes.
    #[error("{0}")]
    Samples(String),
    /// A row that a model cannot be asked about.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A backend that this build or this machine lacks, or that cannot do what is asked of it.
    #[error("{0}")]
    Backend(String),
    /// A training that could not go on.
    #[error(transparent)]
    Training(#[from] TrainError),
    /// A loss, or the weights, that are not finite any more.
    #[error("{problem}: training diverged; try {remedy}, or standardize")]
    Diverged {
        /// What is not finite, with its step.
        problem: String,
        /// What may keep it from that.
        remedy: String,
    },
    /// A folder that a model cannot be read from or written to.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// A model whose weights are too large to compute with, or that cannot be read.
    #[error("{0}")]
    Model(String),
}

/// The same line: what a `main` that gives an error shows people.
impl Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}
