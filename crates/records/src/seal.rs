//! The seal of a document: the SHA-256 of all bytes before the digits, stored near its end. Every
//! read verifies it, so a change of any bit is noticed, even in the seal or in a key.

use std::io::ErrorKind;
use std::path::Path;

use chainrule_core::one_line;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksum::sha256;
use crate::{RunError, inside};

/// The text before and after the 64 digits.
pub(crate) struct Seal {
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
}

/// The last member of a JSON object.
const JSON: Seal = Seal { before: ",\n  \"seal\": \"", after: "\"\n}\n" };

impl Seal {
    pub(crate) fn put(&self, content: &str) -> Vec<u8> {
        let mut sealed = [content.as_bytes(), self.before.as_bytes()].concat();
        sealed.extend(sha256(&sealed).into_bytes());
        sealed.extend(self.after.as_bytes());
        sealed
    }

    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let without = |bytes: &[u8]| {
            let sealed = bytes.strip_suffix(self.after.as_bytes())?;
            let (content, digits) = sealed.split_at_checked(sealed.len().checked_sub(64)?)?;
            Some(content.ends_with(self.before.as_bytes()) && digits == sha256(content).as_bytes())
        };
        without(bytes).unwrap_or(false)
    }
}

/// The error for a missing or wrong seal. The program cannot tell damage from a change.
pub(crate) const BROKEN: &str =
    "it is damaged or was changed, or an earlier version wrote it: the SHA-256 at its end is not that of its content";

/// Adds a seal to a JSON object.
///
/// # Panics
/// Panics if the text does not end like an object.
pub fn seal_json(text: &str) -> Vec<u8> {
    JSON.put(text.trim_end().strip_suffix('}').expect("an object ends with a brace").trim_end())
}

/// Returns a record as a sealed JSON document.
pub fn sealed(record: &impl Serialize) -> Vec<u8> {
    seal_json(&serde_json::to_string_pretty(record).expect("records hold only what JSON can"))
}

/// Parses a sealed JSON document.
///
/// # Errors
/// Returns a message if the seal does not match or the content is not such a record.
pub(crate) fn unsealed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if !JSON.holds(bytes) {
        return Err(BROKEN.to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| one_line(&error.to_string()))
}

/// Reads a file of this program, without following a link.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    inside::read(path, u64::MAX).map_err(|problem| match problem.kind() {
        ErrorKind::NotFound | ErrorKind::InvalidInput => {
            RunError::Incomplete { path: path.to_owned(), problem: problem.to_string() }
        }
        _ => RunError::Read { path: path.to_owned(), problem },
    })
}

/// Reads a sealed record from a file, without following a link. `advice` is the advice in the
/// error message.
///
/// # Errors
/// Fails if the file cannot be read, if the seal does not match, or if the content is not such a
/// record.
pub fn read_sealed<T: DeserializeOwned>(path: &Path, advice: &str) -> Result<T, RunError> {
    let unfinished = |problem| RunError::Incomplete { path: path.to_owned(), problem: format!("{problem}; {advice}") };
    unsealed(&read(path)?).map_err(unfinished)
}
