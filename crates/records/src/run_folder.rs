use std::io::Write as _;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use serde::Serialize;

use crate::{History, Manifest, Summary, TrainConfig};

/// What can go wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is something in it already.
    #[error("{} exists already; name another folder with --out, or add --force to replace the run in it", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A folder for one run's files, each of which appears whole or not at all.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// The files that a run writes, and that `--force` therefore replaces.
const FILES: [&str; 5] = ["config.toml", "manifest.json", "history.json", "summary.json", "model.safetensors"];

impl RunFolder {
    /// Makes a folder for a new run.
    ///
    /// With `replace`, the files of a run that lies there are deleted first, and nothing else is.
    ///
    /// # Errors
    /// Where something is there and `replace` is not set, or the folder cannot be written.
    pub fn create(path: &Path, replace: bool) -> Result<Self, RunError> {
        let error = |source| RunError::Write { path: path.to_owned(), source };
        let is_taken = match std::fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => false,
            Err(source) => return Err(error(source)),
        };
        if is_taken && !replace {
            return Err(RunError::Exists(path.to_owned()));
        }
        std::fs::create_dir_all(path).map_err(error)?;
        for file in FILES.map(|file| path.join(file)) {
            match std::fs::remove_file(&file) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(RunError::Write { path: file, source });
                }
                _ => {}
            }
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Makes the first free one of `runs/NAME-1`, `runs/NAME-2`, …
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create_numbered(runs: &Path, name: &str) -> Result<Self, RunError> {
        std::fs::create_dir_all(runs).map_err(|source| RunError::Write { path: runs.to_owned(), source })?;
        for number in 1u64.. {
            let path = runs.join(format!("{name}-{number}"));
            // Creating tells atomically who was first, where another run starts at the same moment.
            match std::fs::create_dir(&path) {
                Ok(()) => return Self::create(&path, false),
                Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(RunError::Write { path, source }),
            }
        }
        unreachable!("there are more numbers than folders")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `config.toml`.
    pub fn write_config(&self, config: &TrainConfig) -> Result<(), RunError> {
        self.write("config.toml", config.to_toml().as_bytes())
    }

    /// Writes `manifest.json`.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), RunError> {
        self.write_json("manifest.json", manifest)
    }

    /// Writes `history.json`.
    pub fn write_history(&self, history: &History) -> Result<(), RunError> {
        self.write_json("history.json", history)
    }

    /// Writes `summary.json`.
    pub fn write_summary(&self, summary: &Summary) -> Result<(), RunError> {
        self.write_json("summary.json", summary)
    }

    /// Writes `model.safetensors`.
    pub fn write_model(&self, safetensors: &[u8]) -> Result<(), RunError> {
        self.write("model.safetensors", safetensors)
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), RunError> {
        let mut text = serde_json::to_vec_pretty(value).expect("records hold only what JSON can");
        text.push(b'\n');
        self.write(name, &text)
    }

    /// Writes beside the file's place, syncs, then renames.
    fn write(&self, name: &str, content: &[u8]) -> Result<(), RunError> {
        let path = self.path.join(name);
        let write = || {
            let mut file = AtomicWriteFile::open(&path)?;
            file.write_all(content)?;
            file.commit()
        };
        write().map_err(|source| RunError::Write { path: path.clone(), source })
    }
}
