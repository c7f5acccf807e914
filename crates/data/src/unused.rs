//! Finds the unused files of a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chainrule_core::{UnusedFile, UnusedFiles};

use crate::class_folders::file_name;

/// Lists the entries of a folder that are not `used`, also in subfolders with used files.
///
/// `reason` may explain an entry. Names that begin with a dot are skipped. An unreadable folder is
/// skipped too, because everything needed was already read.
pub(crate) fn unused(
    folder: &Path,
    used: impl IntoIterator<Item = PathBuf>,
    reason: impl Fn(&Path) -> Option<String>,
) -> UnusedFiles {
    let used: BTreeSet<PathBuf> = used.into_iter().collect();
    let mut unused_files = UnusedFiles::default();
    collect_unused(folder, "", &used, &reason, &mut unused_files);
    unused_files
}

/// Searches one folder. `relative_path` is its path relative to the first folder.
fn collect_unused(
    folder: &Path,
    relative_path: &str,
    used: &BTreeSet<PathBuf>,
    reason: &impl Fn(&Path) -> Option<String>,
    unused_files: &mut UnusedFiles,
) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let mut inner = Vec::new();
    for path in entries {
        let name = file_name(&path);
        if name.starts_with('.') || used.contains(&path) {
            continue;
        }
        if used.range(path.clone()..).next().is_some_and(|next| next.starts_with(&path)) {
            inner.push((path, format!("{relative_path}{name}/")));
        } else if unused_files.files.len() < UnusedFiles::MAX_LISTED {
            let slash = if path.is_dir() { "/" } else { "" };
            let reason = reason(&path);
            unused_files.files.push(UnusedFile { path: format!("{relative_path}{name}{slash}"), reason });
        } else {
            unused_files.left_out += 1;
        }
    }
    for (path, relative_path) in inner {
        collect_unused(&path, &relative_path, used, reason, unused_files);
    }
}
