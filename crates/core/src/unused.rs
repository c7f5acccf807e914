use serde::{Deserialize, Serialize};

use crate::text::escape_controls;

/// The unused files in a data set's folder. Files of the same subfolder are adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusedFiles {
    /// At most [`UnusedFiles::MAX_LISTED`] files.
    #[serde(rename = "unused", default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<UnusedFile>,
    /// The number of files that are not listed.
    #[serde(rename = "unused_left_out", default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// An unused file, or a folder without a used file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct UnusedFile {
    /// The path relative to the data set's folder. Names are separated by `/`, and a folder's path
    /// ends with `/`.
    pub path: String,
    /// The reason, if it is known.
    pub reason: Option<String>,
}

/// The format in a run's summary. Earlier versions stored one string with a few names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Path(String),
    File { path: String, reason: Option<String> },
}

impl From<Stored> for UnusedFile {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Path(path) => Self { path, reason: None },
            Stored::File { path, reason } => Self { path, reason },
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The maximum number of names per folder in a message.
const MAX_NAMES: usize = 3;
/// The maximum number of folders in a message.
const MAX_FOLDERS: usize = 10;
/// The maximum number of characters of a printed name.
const MAX_CHARACTERS: usize = 60;

impl UnusedFiles {
    /// The maximum number of files and folders that are listed.
    pub const MAX_LISTED: usize = 1000;

    /// Summarises the list for a message: a few names for each folder.
    pub fn summary(&self) -> Vec<String> {
        let folder = |file: &UnusedFile| {
            let path = file.path.strip_suffix('/').unwrap_or(&file.path);
            path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
        };
        let folders: Vec<&[UnusedFile]> = self.files.chunk_by(|a, b| folder(a) == folder(b)).collect();
        let mut lines: Vec<String> = folders.iter().take(MAX_FOLDERS).map(|files| first_names(files)).collect();
        let more = folders.len().saturating_sub(MAX_FOLDERS);
        if more > 0 {
            lines.push(format!("more in {more} other {}", if more == 1 { "folder" } else { "folders" }));
        }
        if self.left_out > 0 {
            lines.push(format!("and {} more", self.left_out));
        }
        lines
    }
}

/// Lists the first names of one folder.
fn first_names(files: &[UnusedFile]) -> String {
    let names: Vec<String> = files.iter().take(MAX_NAMES).map(|file| shortened(&file.path)).collect();
    let more = files.len() - names.len();
    names.join(", ") + &if more > 0 { format!(" and {more} more in that folder") } else { String::new() }
}

/// Escapes and shortens a path for printing.
fn shortened(path: &str) -> String {
    let (name, ending) = path.strip_suffix('/').map_or((path, ""), |name| (name, "/"));
    let mut text: String = escape_controls(name).chars().take(MAX_CHARACTERS + 1).collect();
    if text.chars().count() > MAX_CHARACTERS {
        text.pop();
        text.push('…');
    }
    text + ending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_lists_a_few_names_and_counts_the_rest() {
        let unused = |paths: &[&str], left_out| UnusedFiles {
            files: paths.iter().map(|path| UnusedFile { path: (*path).to_owned(), reason: None }).collect(),
            left_out,
        };
        let check = |paths: &[&str], left_out, expected: &[&str]| {
            assert_eq!(unused(paths, left_out).summary(), expected);
        };
        check(&[], 0, &[]);
        check(&["a", "b/", "c/d", "c/e/"], 0, &["a, b/", "c/d, c/e/"]);
        check(&["a", "b", "c", "d", "e"], 7, &["a, b, c and 2 more in that folder", "and 7 more"]);
        check(&["\u{1b}[31m"], 0, &["\\u{1b}[31m"]);
        let long = "x".repeat(100) + "/";
        assert_eq!(unused(&[&long], 0).summary(), ["x".repeat(60) + "…/"]);
        let folders: Vec<String> = (0..12).map(|folder| format!("{folder}/a")).collect();
        let summary = unused(&folders.iter().map(String::as_str).collect::<Vec<_>>(), 0).summary();
        assert_eq!((summary.len(), summary[10].as_str()), (11, "more in 2 other folders"));
    }

    #[test]
    fn summaries_of_earlier_versions_are_read() {
        let read = |json: &str| serde_json::from_str::<UnusedFiles>(json).map_err(|error| error.to_string());
        assert_eq!(read("{}"), Ok(UnusedFiles::default()));
        let files = vec![UnusedFile { path: "a, b".to_owned(), reason: None }];
        assert_eq!(read("{\"unused\": [\"a, b\"]}"), Ok(UnusedFiles { files, left_out: 0 }));
        let files = vec![UnusedFile { path: "a".to_owned(), reason: Some("b".to_owned()) }];
        let unused = UnusedFiles { files, left_out: 3 };
        assert_eq!(
            serde_json::to_string(&unused).map_err(|error| error.to_string()).and_then(|json| read(&json)),
            Ok(unused)
        );
    }
}
