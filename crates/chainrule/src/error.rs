use std::fmt::{self, Debug, Display, Formatter};
use std::panic::Location;
use std::path::PathBuf;

use chainrule_core::{SettingError, Settings, one_line};
use chainrule_data::{DataError, RawRowError};
use chainrule_formats::ImportError;
use chainrule_records::RunError;
use chainrule_solve::{BatchError, RowError, RowsError, SummaryError, TrainError};

use crate::SamplesError;

/// An error of the library, as one line: what is wrong, where, and what to do.
///
/// The line includes the cause. [`source`](std::error::Error::source) returns the cause as a value
/// if there is one, such as the I/O error of a file.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid setting.
    #[error("{}{} = {value}: {}", at(.place), .error.key, .error.problem)]
    Setting {
        /// The line of code that set it, if known.
        place: Option<&'static Location<'static>>,
        /// Its value as JSON.
        value: String,
        /// Its key, and what is wrong with it.
        #[source]
        error: SettingError,
    },
    /// Data that cannot be read, with file and position.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Samples with the wrong columns, classes or sizes.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// A model file of another tool, given as bytes, that cannot be imported.
    #[error("{0}{hint}", hint = hint(.0))]
    Import(#[source] ImportError),
    /// A model file of another tool that cannot be imported.
    #[error("{}: {error}{}", .file.display(), hint(.error))]
    ImportFile {
        /// The file.
        file: PathBuf,
        /// What is wrong, or missing.
        #[source]
        error: ImportError,
    },
    /// A row that the model cannot predict.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A struct or a map that the model cannot predict.
    #[error(transparent)]
    RawRow(#[from] RawRowError),
    /// A row of several that the model cannot predict.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A backend that is missing in this build or on this machine, or that lacks a required
    /// ability.
    #[error("{0}")]
    Backend(String),
    /// A training that failed.
    #[error(transparent)]
    Training(#[from] TrainError),
    /// A fold of a cross-validation that failed.
    #[error("fold {fold}{}: {error}", .repeat.map(|repeat| format!(" of repeat {repeat}")).unwrap_or_default())]
    Fold {
        /// The fold, from 1.
        fold: usize,
        /// The repeat, from 1, if there are several.
        repeat: Option<usize>,
        /// What failed.
        #[source]
        error: Box<Error>,
    },
    /// Scores of folds that cannot be kept or read: the error of a [`FoldStore`](crate::FoldStore).
    #[error("{0}")]
    FoldStore(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Coefficients that have no errors.
    #[error(transparent)]
    Summary(#[from] SummaryError),
    /// A loss or weights that are no longer finite.
    #[error("{problem}: training diverged; try {divergence_hint}, or standardize")]
    Diverged {
        /// What is not finite, and at which step.
        problem: String,
        /// A suggested change of the settings.
        divergence_hint: String,
    },
    /// A model folder that cannot be read or written.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// A model that cannot be read, or whose weights are too large to compute with.
    #[error("{0}")]
    Model(String),
}

impl From<RowsError> for Error {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Row(error) => Self::Batch(error),
            RowsError::Data(error) => Self::Data(error),
        }
    }
}

/// Returns the prefix `file:line: ` of a message.
fn at(place: &Option<&'static Location<'static>>) -> String {
    place.map(|place| format!("{}:{}: ", place.file(), place.line())).unwrap_or_default()
}

/// Returns the hint that supplies what the file does not contain.
fn hint(error: &ImportError) -> String {
    error.hint().map(|field| format!(" (Hints: {field})")).unwrap_or_default()
}

/// Shows the same line as `Display`, because `main` prints errors with `Debug`.
impl Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Error {
    /// Adds the setting's value to the error.
    pub(crate) fn setting(settings: &Settings, error: SettingError, place: Option<&'static Location<'static>>) -> Self {
        let written = serde_json::to_value(settings).unwrap_or_default();
        let value = written.pointer(&format!("/{}", error.key.replace('.', "/")));
        let value = match value {
            None => "absent".to_owned(),
            // JSON writes NaN and infinities as null.
            Some(serde_json::Value::Null) => "not a finite number".to_owned(),
            Some(value) => one_line(&value.to_string()),
        };
        Self::Setting { place, value, error }
    }
}
