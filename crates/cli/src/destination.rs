//! Checks output paths: without `--force` no file or folder is replaced.

use std::path::Path;

use anyhow::{Result, anyhow};
use chainrule_records::{Destination, RunError};

use crate::output::Lines;

/// Checks the file that `option` names. An existing file needs `--force`.
pub(crate) fn destination(file: &Path, force: bool, option: &str) -> Result<Destination> {
    Destination::new(file, force).map_err(|error| match error {
        RunError::Exists(_) => anyhow!("{error}; name another file with {option}, or add --force to replace it"),
        other => other.into(),
    })
}

/// Writes a text to a file, or prints its lines. Names and fields of a table may steer a terminal.
pub(crate) fn write_or_print(out: Option<Destination>, text: &str) -> Result<()> {
    match out {
        Some(file) => file.write(text.as_bytes())?,
        None => {
            let mut lines = Lines::default();
            text.lines().for_each(|line| lines.add(line));
            lines.print()?;
        }
    }
    Ok(())
}

/// Turns "folder exists" into an error that names `--out` and `--force`.
pub(crate) fn explain_existing_folder(error: RunError) -> anyhow::Error {
    match error {
        RunError::Exists(_) => {
            anyhow!("{error}; name another folder with --out, or add --force to replace what this program wrote there")
        }
        other => other.into(),
    }
}
