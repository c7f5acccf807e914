use std::fmt::{self, Debug, Display, Formatter};
use std::panic::Location;
use std::path::PathBuf;

use chainrule_core::{SettingError, Settings, one_line};
use chainrule_data::DataError;
use chainrule_formats::ImportError;
use chainrule_records::RunError;
use chainrule_solve::{RowError, TrainError};

use crate::SamplesError;

/// Why nothing came of it, in one line: what is wrong, where, and what to do.
///
/// The line has the cause in it; [`source`](std::error::Error::source) gives it as a value where
/// there is one, as the system's error where a file cannot be read.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be.
    #[error("{}{} = {value}: {}", at(.place), .error.key, .error.problem)]
    Setting {
        /// The line of code that made it, where one did.
        place: Option<&'static Location<'static>>,
        /// Its value, as JSON has it.
        value: String,
        /// Its key, and what is wrong.
        #[source]
        error: SettingError,
    },
    /// Data that cannot be read, by file and place.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Samples that are not what is asked for: of other columns, classes or sizes.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The content of another tool's file that gives no model.
    #[error("{0}{hint}", hint = hint(.0))]
    Import(#[source] ImportError),
    /// The same of a file.
    #[error("{}: {error}{}", .file.display(), hint(.error))]
    ImportOf {
        /// The file.
        file: PathBuf,
        /// What is wrong, or missing.
        #[source]
        error: ImportError,
    },
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

/// The place of a line of code, before what is wrong there.
fn at(place: &Option<&'static Location<'static>>) -> String {
    place.map(|place| format!("{}:{}: ", place.file(), place.line())).unwrap_or_default()
}

/// Where to say what a file does not.
fn hint(error: &ImportError) -> String {
    error.hint().map(|field| format!(" (Hints: {field})")).unwrap_or_default()
}

/// The same line: what a `main` that gives an error shows people.
impl Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Error {
    /// With the value that a key has.
    pub(crate) fn setting(settings: &Settings, error: SettingError, place: Option<&'static Location<'static>>) -> Self {
        let written = serde_json::to_value(settings).unwrap_or_default();
        let value = written.pointer(&format!("/{}", error.key.replace('.', "/")));
        let value = match value {
            None => "absent".to_owned(),
            // JSON has no word for it.
            Some(serde_json::Value::Null) => "not a finite number".to_owned(),
            Some(value) => one_line(&value.to_string()),
        };
        Self::Setting { place, value, error }
    }
}
