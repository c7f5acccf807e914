//! What to say where a file or folder that a person named is not there.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use chainrule_records::alike;

use crate::experiment::DEFAULT;

/// So many names are a help, and more are a list to search.
const SHOWN: usize = 8;

/// Refuses an experiment or a plan that is not there, and names those that are.
pub(crate) fn is_config(path: &Path) -> Result<()> {
    let is_toml = |path: &Path| path.extension().is_some_and(|ending| ending == "toml") && path.is_file();
    if is_there(path) {
        return Ok(());
    }
    let folder = Path::new(DEFAULT).parent().unwrap_or(Path::new("."));
    bail!("{}: no such file{}", path.display(), instead(path, folder, is_toml))
}

/// Refuses a folder of a run, an imported model or a sweep that is not there, and names those that are.
pub(crate) fn is_folder(path: &Path) -> Result<()> {
    let holds_one =
        |path: &Path| ["config.toml", "imported.json", "sweep.toml"].iter().any(|name| path.join(name).is_file());
    if is_there(path) {
        return match path.is_dir() {
            true => Ok(()),
            false => bail!("{}: it is a file, and the folder of a run is meant here", path.display()),
        };
    }
    bail!("{}: no such folder{}", path.display(), instead(path, Path::new("runs"), holds_one))
}

/// Whatever else is wrong with it, is told where it is read.
fn is_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// The rest of the sentence: those beside it and in a folder where they are looked for whose names are like its own, else all.
fn instead(path: &Path, folder: &Path, is_one: impl Fn(&Path) -> bool) -> String {
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in [beside, folder] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let entries =
            entries.map(|entry| if folder == Path::new(".") { entry.file_name().into() } else { entry.path() });
        found.extend(entries.filter(|path: &PathBuf| is_one(path)));
    }
    found.sort();
    found.dedup();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = found.iter().map(|path| name(path)).collect();
    let meant = alike(&name(path), names.iter().map(String::as_str));
    let shown = |paths: &[&PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    if let Some((last, before)) = shown(&meant.iter().take(3).map(|&i| &found[i]).collect::<Vec<_>>()).split_last() {
        let before = if before.is_empty() { String::new() } else { format!("{} or ", before.join(", ")) };
        return format!("; did you mean {before}{last}?");
    }
    match shown(&found.iter().take(SHOWN).collect::<Vec<_>>()) {
        none if none.is_empty() => String::new(),
        some => format!("; there are {}{}", some.join(", "), if found.len() > SHOWN { ", …" } else { "" }),
    }
}
