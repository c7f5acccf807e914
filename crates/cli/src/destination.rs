//! Where a person wants a result: nothing is replaced there that was not asked for.

use std::path::Path;

use anyhow::{Result, anyhow};
use chainrule_records::{Destination, RunError};

/// The file that `option` names; one that is there is replaced with `--force` only.
pub(crate) fn destination(file: &Path, force: bool, option: &str) -> Result<Destination> {
    Destination::new(file, force).map_err(|error| match error {
        RunError::Exists(_) => anyhow!("{error}; name another file with {option}, or add --force to replace it"),
        other => other.into(),
    })
}

/// The same of a folder that was to be made.
pub(crate) fn folder_exists(error: RunError) -> anyhow::Error {
    match error {
        RunError::Exists(_) => {
            anyhow!("{error}; name another folder with --out, or add --force to replace what this program wrote there")
        }
        other => other.into(),
    }
}
