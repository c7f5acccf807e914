//! The names of the files of runs, imported models and sweeps.

use std::path::Path;

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const HISTORY: &str = "history.json";
/// The rows of a table that were held out for validation.
pub(crate) const HELD_OUT: &str = "held_out.csv";
/// The file that a diverged training leaves instead of a model and a summary.
pub(crate) const DIVERGED: &str = "diverged.json";
pub(crate) const SUMMARY: &str = "summary.json";
/// The marker file of an imported model.
pub(crate) const IMPORTED: &str = "imported.json";
/// The weights of a replacement until `imported.json` describes them. After a kill they are read
/// under this name.
pub(crate) const PENDING_MODEL: &str = ".model.safetensors.next";
/// The marker file of a sweep.
pub(crate) const PLAN: &str = "sweep.toml";

/// Returns whether a file of this name is part of the run, the model or the sweep in its folder.
pub(crate) fn is_part_of_its_folder(file: &Path) -> bool {
    let is_there = |name| file.with_file_name(name).is_file();
    let own = [CONFIG, MANIFEST, MODEL, HISTORY, HELD_OUT, DIVERGED, SUMMARY, IMPORTED, PLAN];
    file.file_name().is_some_and(|name| own.iter().any(|own| name == *own))
        && [MANIFEST, IMPORTED, PLAN].into_iter().any(is_there)
}
