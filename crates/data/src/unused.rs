//! What a folder holds and is not used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::class_folders::file_name;

/// Names that are listed of a folder, at most, and folders of which they are.
const NAMES: usize = 3;
const FOLDERS: usize = 10;
/// Characters of a name that are shown.
const LONGEST: usize = 60;

/// What lies in a folder, and in those below it that hold something used, beside the files that are `used`: a few names for each of these folders. Names
/// that begin with a dot are passed over, as they are by other programs.
///
/// A folder that cannot be read is not spoken of: what was needed of it was read.
pub(crate) fn unused(folder: &Path, used: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
    let used: BTreeSet<PathBuf> = used.into_iter().collect();
    let mut found = Vec::new();
    look(folder, "", &used, &mut found);
    let more = found.len().saturating_sub(FOLDERS);
    found.truncate(FOLDERS);
    if more > 0 {
        found.push(format!("more in {more} other {}", if more == 1 { "folder" } else { "folders" }));
    }
    found
}

/// The same of a folder, which `below` leads to from the first.
fn look(folder: &Path, below: &str, used: &BTreeSet<PathBuf>, found: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let (mut names, mut count, mut inner) = (Vec::new(), 0, Vec::new());
    for path in entries {
        let name = file_name(&path);
        if name.starts_with('.') || used.contains(&path) {
            continue;
        }
        if used.range(path.clone()..).next().is_some_and(|next| next.starts_with(&path)) {
            inner.push((path, format!("{below}{name}/")));
            continue;
        }
        if count < NAMES {
            names.push(shown(&format!("{below}{name}"), path.is_dir()));
        }
        count += 1;
    }
    if count > 0 {
        let more = if count > NAMES { format!(" and {} more beside it", count - NAMES) } else { String::new() };
        found.push(names.join(", ") + &more);
    }
    for (path, below) in inner {
        look(&path, &below, used, found);
    }
}

/// A name as it may be printed, and how much is in it where that is a folder.
fn shown(name: &str, is_folder: bool) -> String {
    let mut text: String = name.escape_debug().take(LONGEST + 1).collect();
    if text.chars().count() > LONGEST {
        text.pop();
        text.push('…');
    }
    if is_folder { text + "/" } else { text }
}
