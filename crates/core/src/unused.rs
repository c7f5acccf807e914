use serde::{Deserialize, Serialize};

use crate::sentence::visible;

/// The files in a data set's folder that are not used, in the order of their folders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusedFiles {
    /// At most [`UnusedFiles::MOST`] files.
    #[serde(rename = "unused", default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<UnusedFile>,
    /// The number of files that are not listed.
    #[serde(rename = "unused_left_out", default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// A file that is not used, or a folder that has no used file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct UnusedFile {
    /// The path relative to the data set's folder. Names are separated by `/`, and a folder's path
    /// ends with `/`.
    pub path: String,
    /// The reason, if it is known.
    pub reason: Option<String>,
}

/// The format in a summary. Earlier versions wrote plain texts with a few names each.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Path(String),
    File { path: String, reason: Option<String> },
}

impl From<Written> for UnusedFile {
    fn from(written: Written) -> Self {
        match written {
            Written::Path(path) => Self { path, reason: None },
            Written::File { path, reason } => Self { path, reason },
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The limits of a message: names for each folder, and folders.
const NAMES: usize = 3;
const FOLDERS: usize = 10;
/// The maximum number of characters printed of a name.
const LONGEST: usize = 60;

impl UnusedFiles {
    /// The maximum number of files and folders that are listed.
    pub const MOST: usize = 1000;

    /// Summarises the list for a message: a few names for each folder.
    pub fn summary(&self) -> Vec<String> {
        let folder = |file: &UnusedFile| {
            let path = file.path.strip_suffix('/').unwrap_or(&file.path);
            path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
        };
        let folders: Vec<&[UnusedFile]> = self.files.chunk_by(|a, b| folder(a) == folder(b)).collect();
        let mut told: Vec<String> = folders.iter().take(FOLDERS).map(|files| few(files)).collect();
        let more = folders.len().saturating_sub(FOLDERS);
        if more > 0 {
            told.push(format!("more in {more} other {}", if more == 1 { "folder" } else { "folders" }));
        }
        if self.left_out > 0 {
            told.push(format!("and {} more", self.left_out));
        }
        told
    }
}

/// Lists the first names of one folder.
fn few(files: &[UnusedFile]) -> String {
    let names: Vec<String> = files.iter().take(NAMES).map(|file| shown(&file.path)).collect();
    let more = files.len() - names.len();
    names.join(", ") + &if more > 0 { format!(" and {more} more beside it") } else { String::new() }
}

/// Formats a path for printing.
fn shown(path: &str) -> String {
    let (name, ending) = path.strip_suffix('/').map_or((path, ""), |name| (name, "/"));
    let mut text: String = visible(name).chars().take(LONGEST + 1).collect();
    if text.chars().count() > LONGEST {
        text.pop();
        text.push('…');
    }
    text + ending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_a_few_names_and_how_many_more_there_are() {
        let unused = |paths: &[&str], left_out| UnusedFiles {
            files: paths.iter().map(|path| UnusedFile { path: (*path).to_owned(), reason: None }).collect(),
            left_out,
        };
        let check = |paths: &[&str], left_out, expected: &[&str]| {
            assert_eq!(unused(paths, left_out).summary(), expected);
        };
        check(&[], 0, &[]);
        check(&["a", "b/", "c/d", "c/e/"], 0, &["a, b/", "c/d, c/e/"]);
        check(&["a", "b", "c", "d", "e"], 7, &["a, b, c and 2 more beside it", "and 7 more"]);
        check(&["\u{1b}[31m"], 0, &["\\u{1b}[31m"]);
        let long = "x".repeat(100) + "/";
        assert_eq!(unused(&[&long], 0).summary(), ["x".repeat(60) + "…/"]);
        let folders: Vec<String> = (0..12).map(|folder| format!("{folder}/a")).collect();
        let told = unused(&folders.iter().map(String::as_str).collect::<Vec<_>>(), 0).summary();
        assert_eq!((told.len(), told[10].as_str()), (11, "more in 2 other folders"));
    }

    #[test]
    fn a_summary_that_has_texts_is_read() {
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
