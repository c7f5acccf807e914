//! The file names that several kinds of folders share, or that identify the kind.

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const SUMMARY: &str = "summary.json";
/// The marker file of an imported model.
pub(crate) const IMPORTED: &str = "imported.json";
/// The weights of a replacement until `imported.json` describes them. After a kill they are read
/// under this name.
pub(crate) const PENDING_MODEL: &str = ".model.safetensors.next";
/// The marker file of a sweep.
pub(crate) const PLAN: &str = "sweep.toml";
