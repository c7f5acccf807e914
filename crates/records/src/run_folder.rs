use std::io::Write as _;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{History, Manifest, Parameters, Precision, Summary, TrainConfig};

/// What can go wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is something in it already.
    #[error("{} exists already; name another folder with --out, or add --force to replace the run in it", .0.display())]
    Exists(PathBuf),
    /// It is no finished run.
    #[error("{}: {problem}", .path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It cannot be written.
    #[error("cannot write {}: {problem}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        problem: std::io::Error,
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
        let error = |problem| RunError::Write { path: path.to_owned(), problem };
        let is_taken = match std::fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => false,
            Err(problem) => return Err(error(problem)),
        };
        if is_taken && !replace {
            return Err(RunError::Exists(path.to_owned()));
        }
        std::fs::create_dir_all(path).map_err(error)?;
        for file in FILES.map(|file| path.join(file)) {
            match std::fs::remove_file(&file) {
                Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
                    return Err(RunError::Write { path: file, problem });
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
        std::fs::create_dir_all(runs).map_err(|problem| RunError::Write { path: runs.to_owned(), problem })?;
        for number in 1u64.. {
            let path = runs.join(format!("{name}-{number}"));
            // Creating tells atomically who was first, where another run starts at the same moment.
            match std::fs::create_dir(&path) {
                Ok(()) => return Self::create(&path, false),
                Err(problem) if problem.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(problem) => return Err(RunError::Write { path, problem }),
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
    pub fn write_model(&self, parameters: &Parameters, precision: Precision) -> Result<(), RunError> {
        self.write("model.safetensors", &parameters.to_safetensors(precision))
    }

    /// Reads the run that lies in a folder.
    ///
    /// # Errors
    /// Where a file of it is absent or is not what a run writes.
    pub fn read(path: &Path) -> Result<RunFiles, RunError> {
        let config_path = path.join("config.toml");
        let config = TrainConfig::read(&config_path, &[])
            .map_err(|error| RunError::Unfinished { path: config_path, problem: error.to_string() })?;
        Ok(RunFiles {
            config,
            manifest: read_json(path.join("manifest.json"))?,
            history: read_json(path.join("history.json"))?,
            summary: read_json(path.join("summary.json"))?,
            parameters: read_parameters(path.join("model.safetensors"))?,
        })
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), RunError> {
        let mut text = serde_json::to_vec_pretty(value).expect("records hold only what JSON can");
        text.push(b'\n');
        self.write(name, &text)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), RunError> {
        write_whole(&self.path.join(name), content)
    }
}

/// Everything that a run wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFiles {
    /// `config.toml`
    pub config: TrainConfig,
    /// `manifest.json`
    pub manifest: Manifest,
    /// `history.json`
    pub history: History,
    /// `summary.json`
    pub summary: Summary,
    /// `model.safetensors`
    pub parameters: Parameters,
}

/// Writes a file that appears whole or not at all: beside its place, synced, then renamed.
///
/// # Errors
/// Where it cannot be written; what lay there before still does.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), RunError> {
    let write = || {
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(content)?;
        file.commit()
    };
    write().map_err(|problem| RunError::Write { path: path.to_owned(), problem })
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    std::fs::read(path).map_err(|error| RunError::Unfinished { path: path.to_owned(), problem: error.to_string() })
}

fn read_parameters(path: PathBuf) -> Result<Parameters, RunError> {
    let bytes = read(&path)?;
    Parameters::from_safetensors(&bytes).map_err(|problem| RunError::Unfinished { path, problem })
}

fn read_json<T: DeserializeOwned>(path: PathBuf) -> Result<T, RunError> {
    let bytes = read(&path)?;
    serde_json::from_slice(&bytes).map_err(|error| RunError::Unfinished { path, problem: error.to_string() })
}
