//! Error messages for files and folders that do not exist, with suggestions.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use chainrule_core::similar_names;
use chainrule_data::readers::table_extensions;

use crate::builtin::EXPERIMENTS;

/// The most names that a message lists.
const MAX_LISTED: usize = 8;

/// The kind of TOML file that is expected.
#[derive(Clone, Copy)]
pub(crate) enum ConfigKind {
    /// An experiment. Some are built into the program.
    Experiment,
    /// The plan of a report.
    Plan,
}

/// Checks that an experiment or a plan exists. If not, the error lists the existing ones. For a
/// file or folder of another kind, the error names the option that takes it.
pub(crate) fn check_config_exists(path: &Path, kind: ConfigKind) -> Result<()> {
    let shown = path.display();
    if path.is_dir() {
        let actual = if path.join("imported.json").is_file() {
            "an imported model, which is already trained; use it with predict or evaluate".to_owned()
        } else if path.join("sweep.toml").is_file() {
            format!("a sweep folder; sweep --resume {shown} continues the sweep")
        } else if is_run(path) {
            let config = path.join("config.toml");
            format!("a run folder; train --resume {shown} continues the run, and its config is {}", config.display())
        } else {
            format!("a folder; name a data set with --data {shown}")
        };
        bail!("{shown}: expected the TOML file of an experiment, but this is {actual}");
    }
    if exists(path) {
        return match is_table(path) {
            false => Ok(()),
            true => bail!(
                "{shown}: expected the TOML file of an experiment, but this is a table; --data {shown} --label COLUMN trains on it"
            ),
        };
    }
    let is_toml = |path: &Path| path.extension().is_some_and(|ending| ending == "toml") && path.is_file();
    let (what, builtin) = match kind {
        ConfigKind::Experiment => {
            ("file or experiment", EXPERIMENTS.iter().map(|(name, _)| PathBuf::from(name)).collect())
        }
        ConfigKind::Plan => ("file", Vec::new()),
    };
    bail!("{shown}: no such {what}{}", suggestions(path, builtin, is_toml))
}

/// Checks that the folder of a run, an imported model or a sweep exists. If not, the error lists
/// the existing ones.
pub(crate) fn check_folder_exists(path: &Path) -> Result<()> {
    let is_known_folder =
        |path: &Path| ["config.toml", "imported.json", "sweep.toml"].iter().any(|name| path.join(name).is_file());
    let shown = path.display();
    if !exists(path) {
        bail!("{shown}: no such folder{}", suggestions(path, runs(is_known_folder), is_known_folder));
    }
    if !path.is_dir() {
        let parent_run = path.parent().filter(|folder| is_run(folder) || is_known_folder(folder));
        let suggestion = parent_run.map(|folder| format!("; did you mean {}?", folder.display())).unwrap_or_default();
        bail!("{shown}: expected the folder of a run, but this is a file{suggestion}");
    }
    let parts = ["model.safetensors", "history.json", "sweep.json"];
    if !is_known_folder(path) && !is_run(path) && !parts.iter().any(|name| path.join(name).exists()) {
        bail!("{shown}: this folder contains no run{}", suggestions(path, runs(is_known_folder), is_known_folder));
    }
    Ok(())
}

/// Returns the folders below `runs`, the default place.
fn runs(is_one: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    entries(Path::new("runs")).into_iter().filter(|path| is_one(path)).collect()
}

/// Whether a folder's file names are those of a run.
fn is_run(folder: &Path) -> bool {
    ["manifest.json", "summary.json"].iter().any(|name| folder.join(name).is_file())
}

/// Whether a file's name is that of a table.
fn is_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    table_extensions().any(|ending| name.ends_with(&ending)) && path.is_file()
}

/// Whether the path exists. Reading reports all other problems.
fn exists(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// Returns the entries of a folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if folder == Path::new(".") { entry.file_name().into() } else { entry.path() }).collect()
}

/// Returns the suggestions that end a message: the known and neighbouring names that are similar,
/// else all of them.
fn suggestions(path: &Path, known: Vec<PathBuf>, is_one: impl Fn(&Path) -> bool) -> String {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut candidates = known;
    candidates.extend(entries(folder).into_iter().filter(|path| is_one(path)));
    candidates.sort();
    candidates.dedup();
    // Names are compared without `.toml`, which may be missing or superfluous.
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_suffix(".toml").map_or(name.clone(), str::to_owned)
    };
    let names: Vec<String> = candidates.iter().map(|path| name(path)).collect();
    let mut similar = similar_names(&name(path), names.iter().map(String::as_str));
    if let Some(position) = names.iter().position(|other| *other == name(path)) {
        similar = vec![position];
    }
    let shown = |paths: &[&PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    if let Some((last, others)) =
        shown(&similar.iter().take(3).map(|&i| &candidates[i]).collect::<Vec<_>>()).split_last()
    {
        let others = if others.is_empty() { String::new() } else { format!("{} or ", others.join(", ")) };
        return format!("; did you mean {others}{last}?");
    }
    match &shown(&candidates.iter().take(MAX_LISTED).collect::<Vec<_>>())[..] {
        [] => String::new(),
        [one] => format!("; there is {one}"),
        some => format!("; there are {}{}", some.join(", "), if candidates.len() > MAX_LISTED { ", …" } else { "" }),
    }
}
