//! Error messages for files and folders that do not exist, with suggestions.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use chainrule_core::similar_names;
use chainrule_data::readers::table_endings;

use crate::builtin::EXPERIMENTS;

/// The most names that a message lists.
const SHOWN: usize = 8;

/// The kind of TOML file that is expected.
#[derive(Clone, Copy)]
pub(crate) enum Config {
    /// An experiment. Some are built into the program.
    Experiment,
    /// The plan of a report.
    Plan,
}

/// Checks that an experiment or a plan exists. If not, the error lists the existing ones. For a
/// file or folder of another kind, the error names the option that takes it.
pub(crate) fn check_config_exists(path: &Path, kind: Config) -> Result<()> {
    let shown = path.display();
    if path.is_dir() {
        let what = if path.join("imported.json").is_file() {
            "an imported model, which is already trained; use it with predict or evaluate".to_owned()
        } else if path.join("sweep.toml").is_file() {
            format!("a sweep folder; sweep --resume {shown} continues the sweep")
        } else if is_run(path) {
            let config = path.join("config.toml");
            format!("a run folder; train --resume {shown} continues the run, and its config is {}", config.display())
        } else {
            format!("a folder; name a data set with --data {shown}")
        };
        bail!("{shown}: expected the TOML file of an experiment, but this is {what}");
    }
    if is_there(path) {
        return match is_table(path) {
            false => Ok(()),
            true => bail!(
                "{shown}: expected the TOML file of an experiment, but this is a table; --data {shown} --set data.label=COLUMN trains on it"
            ),
        };
    }
    let is_toml = |path: &Path| path.extension().is_some_and(|ending| ending == "toml") && path.is_file();
    let (what, inside) = match kind {
        Config::Experiment => ("file or experiment", EXPERIMENTS.iter().map(|(name, _)| PathBuf::from(name)).collect()),
        Config::Plan => ("file", Vec::new()),
    };
    bail!("{shown}: no such {what}{}", suggestions(path, inside, is_toml))
}

/// Checks that the folder of a run, an imported model or a sweep exists. If not, the error lists
/// the existing ones.
pub(crate) fn check_folder_exists(path: &Path) -> Result<()> {
    let holds_one =
        |path: &Path| ["config.toml", "imported.json", "sweep.toml"].iter().any(|name| path.join(name).is_file());
    let shown = path.display();
    if !is_there(path) {
        bail!("{shown}: no such folder{}", suggestions(path, runs(holds_one), holds_one));
    }
    if !path.is_dir() {
        let own = path.parent().filter(|folder| is_run(folder) || holds_one(folder));
        let meant = own.map(|folder| format!("; did you mean {}?", folder.display())).unwrap_or_default();
        bail!("{shown}: expected the folder of a run, but this is a file{meant}");
    }
    let parts = ["model.safetensors", "history.json", "sweep.json"];
    if !holds_one(path) && !is_run(path) && !parts.iter().any(|name| path.join(name).exists()) {
        bail!("{shown}: this folder contains no run{}", suggestions(path, runs(holds_one), holds_one));
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
    table_endings().any(|ending| name.ends_with(&ending)) && path.is_file()
}

/// Whether the path exists. Reading reports all other problems.
fn is_there(path: &Path) -> bool {
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
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = known;
    found.extend(entries(beside).into_iter().filter(|path| is_one(path)));
    found.sort();
    found.dedup();
    // Names are compared without `.toml`, which may be missing or superfluous.
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_suffix(".toml").map_or(name.clone(), str::to_owned)
    };
    let names: Vec<String> = found.iter().map(|path| name(path)).collect();
    let mut meant = similar_names(&name(path), names.iter().map(String::as_str));
    if let Some(place) = names.iter().position(|other| *other == name(path)) {
        meant = vec![place];
    }
    let shown = |paths: &[&PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    if let Some((last, before)) = shown(&meant.iter().take(3).map(|&i| &found[i]).collect::<Vec<_>>()).split_last() {
        let before = if before.is_empty() { String::new() } else { format!("{} or ", before.join(", ")) };
        return format!("; did you mean {before}{last}?");
    }
    match &shown(&found.iter().take(SHOWN).collect::<Vec<_>>())[..] {
        [] => String::new(),
        [one] => format!("; there is {one}"),
        some => format!("; there are {}{}", some.join(", "), if found.len() > SHOWN { ", …" } else { "" }),
    }
}
