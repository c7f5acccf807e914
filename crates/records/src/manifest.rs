use serde::{Deserialize, Serialize};

/// What a run ran on, so that every number in it can be traced: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What was built.
    pub versions: Versions,
    /// The Burn backend.
    pub backend: String,
    /// The device, as Burn names it.
    pub device: String,
    /// Operating system and processor architecture.
    pub platform: String,
    /// Where the data came from.
    pub data_source: String,
    /// The four files and their checksums.
    pub data_files: Vec<DataFile>,
    /// The seed of the shuffle.
    pub seed: u64,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// This program.
    pub chainrule: String,
    /// Its git revision, `-dirty` where files were changed; `unknown` outside a checkout.
    pub git_revision: String,
    /// A digest of the source files that decide a run's numbers, and of the compiler's hash function.
    pub source: String,
    /// Burn.
    pub burn: String,
}

/// One of the four files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// MNIST's name for it.
    pub name: String,
    /// SHA-256 of its decompressed bytes.
    pub sha256: String,
}
