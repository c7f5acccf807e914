//! What the files of our folders are called that more than one kind of folder has, or that say
//! which kind it is.

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const SUMMARY: &str = "summary.json";
/// The file that makes a folder one of an imported model.
pub(crate) const IMPORTED: &str = "imported.json";
/// The weights of a model that replaces another, until `imported.json` tells of them. Whoever was
/// killed then left them to be read under this name.
pub(crate) const NEXT: &str = ".model.safetensors.next";
/// The file that makes a folder a sweep's.
pub(crate) const PLAN: &str = "sweep.toml";
