//! What a folder holds and is not used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chainrule_core::{Unused, UnusedFile};

use crate::class_folders::file_name;

/// What lies in a folder, and in those below it that hold something used, beside the files that are
/// `used`; `reason` may say why of a path. Names that begin with a dot are passed over, as they are
/// by other programs.
///
/// A folder that cannot be read is not spoken of: what was needed of it was read.
pub(crate) fn unused(
    folder: &Path,
    used: impl IntoIterator<Item = PathBuf>,
    reason: impl Fn(&Path) -> Option<String>,
) -> Unused {
    let used: BTreeSet<PathBuf> = used.into_iter().collect();
    let mut found = Unused::default();
    look(folder, "", &used, &reason, &mut found);
    found
}

/// The same of a folder, which `below` leads to from the first.
fn look(
    folder: &Path,
    below: &str,
    used: &BTreeSet<PathBuf>,
    reason: &impl Fn(&Path) -> Option<String>,
    found: &mut Unused,
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
            inner.push((path, format!("{below}{name}/")));
        } else if found.files.len() < Unused::MOST {
            let ending = if path.is_dir() { "/" } else { "" };
            let reason = reason(&path);
            found.files.push(UnusedFile { path: format!("{below}{name}{ending}"), reason });
        } else {
            found.left_out += 1;
        }
    }
    for (path, below) in inner {
        look(&path, &below, used, reason, found);
    }
}
