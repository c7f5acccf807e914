use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checked::MOST_BYTES;
use crate::checksum::sha256;
use crate::file::{clear_drafts, write_whole};
use crate::lock::{LOCK, Lock};
use crate::sentence::one_line;
use crate::sweep_folder::PLAN;
use crate::{History, Manifest, Parameters, Preprocessing, Summary, TrainConfig, checkpoints, read_whole};

/// What can go wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is something in it already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A folder of the other kind.
    #[error("{}: {what}", .path.display())]
    Another {
        /// The folder.
        path: PathBuf,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// Another process writes into it.
    #[error("{}: {holder} writes into it; wait until it ends, or name another folder", .folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
        /// The process.
        holder: String,
    },
    /// It is no run, or not a whole one.
    #[error("{}: {problem}", .path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It cannot be read.
    #[error("{}: {problem}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}: {problem}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
}

/// A folder for one run's files, each of which appears whole or not at all. Only one process at a time has it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    config: TrainConfig,
    manifest: Manifest,
    lock: Lock,
}

/// The files that a run writes, and that `--force` therefore replaces, with its checkpoints.
const FILES: [&str; 5] = [CONFIG, MANIFEST, HISTORY, MODEL, SUMMARY];
pub(crate) const CONFIG: &str = "config.toml";
const MANIFEST: &str = "manifest.json";
const HISTORY: &str = "history.json";
/// What a training that diverged leaves in place of a model and a summary.
const DIVERGED: &str = "diverged.json";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const SUMMARY: &str = "summary.json";

impl RunFolder {
    /// Makes a folder for a new run, and writes `config.toml` and `manifest.json`.
    ///
    /// With `replace`, the files of a run that lies there are deleted first, and nothing else is.
    ///
    /// # Errors
    /// Where something is there and `replace` is not set, another process has the folder, or it cannot be written.
    pub fn create(path: &Path, replace: bool, config: &TrainConfig, manifest: &Manifest) -> Result<Self, RunError> {
        is_no_sweep(path)?;
        let error = |problem| RunError::Write { path: path.to_owned(), problem };
        std::fs::create_dir_all(path).map_err(error)?;
        let lock = Lock::take(path)?;
        clear_drafts(path);
        let mut others = std::fs::read_dir(path).map_err(error)?.flatten().filter(|entry| entry.file_name() != LOCK);
        if !replace && others.next().is_some() {
            return Err(RunError::Exists(path.to_owned()));
        }
        remove_files(path)?;
        let folder = Self { path: path.to_owned(), config: config.clone(), manifest: manifest.clone(), lock };
        if let Err(error) = folder.write_beginning() {
            // Half a beginning is of no use to anyone, and in the way of the next try.
            let _ = std::fs::remove_file(path.join(CONFIG));
            return Err(error);
        }
        Ok(folder)
    }

    /// Makes the first free one of `runs/NAME-1`, `runs/NAME-2`, …, NAME being the experiment's.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create_numbered(runs: &Path, config: &TrainConfig, manifest: &Manifest) -> Result<Self, RunError> {
        first_free(runs, config.experiment(), |path| Self::create(path, false, config, manifest))
    }

    /// Deletes the files of a run, and its folder where nothing else is in it. A folder without a run is left as it is.
    ///
    /// # Errors
    /// Where another process has it, or it cannot be deleted.
    pub fn remove(path: &Path) -> Result<(), RunError> {
        if !path.join(CONFIG).exists() {
            return Ok(());
        }
        let lock = Lock::take(path)?;
        clear_drafts(path);
        remove_files(path)?;
        drop(lock);
        // Whatever else is in it stays.
        let _ = std::fs::remove_dir(path);
        Ok(())
    }

    /// Takes the folder of a run that was begun, to go on with it.
    ///
    /// # Errors
    /// Where there is none, another process has it, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        is_no_sweep(path)?;
        let (config, manifest) = read_beginning(path)?;
        let lock = Lock::take(path)?;
        clear_drafts(path);
        Ok(Self { path: path.to_owned(), config, manifest, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// `manifest.json`
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Moves the folder to its place, in place of what lies there.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn move_to(mut self, path: &Path) -> Result<(), RunError> {
        removed(std::fs::remove_dir_all(path), path)?;
        std::fs::rename(&self.path, path).map_err(|problem| RunError::Write { path: path.to_owned(), problem })?;
        self.lock.moved_to(path);
        Ok(())
    }

    /// Whether a run was begun in a folder, whatever became of it: config and manifest are written first.
    pub fn was_begun(path: &Path) -> bool {
        path.join(CONFIG).exists() && path.join(MANIFEST).exists()
    }

    /// Whether a summary lies there, of a run that came to an end or was interrupted.
    pub fn has_summary(&self) -> bool {
        self.path.join(SUMMARY).exists()
    }

    /// How the training diverged, where it is known to have.
    ///
    /// # Errors
    /// Where what says so cannot be read.
    pub fn divergence(&self) -> Result<Option<Divergence>, RunError> {
        let path = self.path.join(DIVERGED);
        if !path.exists() { Ok(None) } else { parse_json(&path, &read(&path)?).map(Some) }
    }

    /// Writes what is left of a training that diverged: `history.json`, and `diverged.json`, which tells it.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write_divergence(&self, history: &History, divergence: &Divergence) -> Result<(), RunError> {
        self.write_history(history)?;
        self.write(DIVERGED, &json(divergence))
    }

    /// Writes `history.json` of a training that has no summary.
    pub fn write_history(&self, history: &History) -> Result<(), RunError> {
        self.write(HISTORY, &json(history))
    }

    /// Writes `model.safetensors` of a training that has no summary.
    pub fn write_model(&self, parameters: &Parameters, preprocessing: &Preprocessing) -> Result<(), RunError> {
        self.write(MODEL, &parameters.to_safetensors_with(self.config.descent().precision, preprocessing))
    }

    /// Writes what a training came to, the summary last, which gets the files' checksums.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn finish(
        &self,
        history: &History,
        parameters: &Parameters,
        preprocessing: &Preprocessing,
        mut summary: Summary,
    ) -> Result<Summary, RunError> {
        let files = [
            (CONFIG, self.config.to_toml().into_bytes()),
            (MANIFEST, json(&self.manifest)),
            (HISTORY, json(history)),
            (MODEL, parameters.to_safetensors_with(self.config.descent().precision, preprocessing)),
        ];
        // Those of a run that ended before, otherwise: its summary seals what is no more.
        for old in [SUMMARY, DIVERGED].map(|name| self.path.join(name)) {
            removed(std::fs::remove_file(&old), &old)?;
        }
        for (name, content) in &files {
            // Those from before the first step are there, unless someone changed them.
            if std::fs::read(self.path.join(name)).ok().as_ref() != Some(content) {
                self.write(name, content)?;
            }
        }
        summary.files = files.map(|(name, content)| (name.to_owned(), sha256(&content))).into();
        self.write(SUMMARY, &json(&summary))?;
        Ok(summary)
    }

    /// Reads the run that lies in a folder.
    ///
    /// # Errors
    /// Where a file of it is absent, is not what a run writes, or was changed since, and where two of them are not of one run.
    pub fn read(folder: &Path) -> Result<RunFiles, RunError> {
        is_no_sweep(folder)?;
        // What is checked is what is read, should another process be writing there.
        let [config, manifest, history, model, summary] = FILES.map(|name| folder.join(name));
        let summary: Summary = parse_json(&summary, &read(&summary)?)?;
        let sealed = |path: &Path| {
            let bytes = read(path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match summary.files.get(&*name) {
                Some(expected) if *expected != sha256(&bytes) => {
                    let way_out = match &*name {
                        HISTORY | MODEL => format!("train --resume {} makes it again", folder.display()),
                        _ => "put back what was there, or train anew".to_owned(),
                    };
                    let problem =
                        format!("it is damaged or was changed: its SHA-256 is not the one in summary.json; {way_out}");
                    Err(RunError::Unfinished { path: path.to_owned(), problem })
                }
                _ => Ok(bytes),
            }
        };
        let unfinished = |problem| RunError::Unfinished { path: model.clone(), problem };
        let weights = sealed(&model)?;
        let run = RunFiles {
            config: parse_config(&config, &sealed(&config)?)?,
            manifest: parse_json(&manifest, &sealed(&manifest)?)?,
            history: parse_json(&history, &sealed(&history)?)?,
            parameters: Parameters::from_safetensors(&weights).map_err(unfinished)?,
            preprocessing: Preprocessing::from_safetensors(&weights, summary.data.kind).map_err(unfinished)?,
            summary,
        };
        match run.contradiction() {
            None => Ok(run),
            Some((file, problem)) => Err(RunError::Unfinished { path: folder.join(file), problem }),
        }
    }

    /// Writes what stands in the folder before the first step.
    fn write_beginning(&self) -> Result<(), RunError> {
        write_whole(&self.path.join(CONFIG), self.config.to_toml().as_bytes())?;
        write_whole(&self.path.join(MANIFEST), &json(&self.manifest))
    }

    /// Writes a file, in a folder made anew where someone took it away meanwhile.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), RunError> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            let is_new = !self.path.exists();
            std::fs::create_dir_all(folder).map_err(|problem| RunError::Write { path: folder.to_owned(), problem })?;
            if is_new {
                self.write_beginning()?;
            }
        }
        write_whole(&path, content)
    }
}

/// How a training left the floats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The step, from 0, whose loss is not finite, or after which a weight is too large to be squared.
    pub step: usize,
    /// What is not finite, in words.
    pub problem: String,
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
    /// What the features are made by, from the same file.
    pub preprocessing: Preprocessing,
}

impl RunFiles {
    /// A file that contradicts another, and how.
    fn contradiction(&self) -> Option<(&'static str, String)> {
        let (kind, configured) = (self.summary.model, self.config.model().kind);
        if kind != configured {
            return Some(("summary.json", format!("model is {kind:?}, but config.toml says {configured:?}")));
        }
        if self.summary.steps_per_epoch == 0 {
            return Some(("summary.json", "steps_per_epoch is 0, and no run has such epochs".to_owned()));
        }
        if let Some(problem) = self.summary.data.schema().contradiction(kind, &self.parameters, &self.preprocessing) {
            return Some(("summary.json", problem));
        }
        let (asked, weights) = (&self.config.objective().class_weights, &self.summary.class_weights);
        let found = weights.as_ref().map(Vec::len);
        if found != asked.as_ref().map(|_| self.summary.data.classes.len()) {
            return Some((
                "summary.json",
                "class_weights are not there for each class, or are there against config.toml's objective.class_weights".to_owned(),
            ));
        }
        if self.preprocessing.standardization().is_some() != self.config.data().standardize {
            return Some((
                "model.safetensors",
                "features.mean is there, or is not, against config.toml's data.standardize".to_owned(),
            ));
        }
        None
    }
}

/// Makes the first free one of `runs/NAME-1`, `runs/NAME-2`, ….
pub(crate) fn first_free<T>(
    runs: &Path,
    name: &str,
    make: impl Fn(&Path) -> Result<T, RunError>,
) -> Result<T, RunError> {
    std::fs::create_dir_all(runs).map_err(|problem| RunError::Write { path: runs.to_owned(), problem })?;
    for number in 1u64.. {
        let path = runs.join(format!("{name}-{number}"));
        // Creating tells atomically who was first, where another run starts at the same moment.
        match std::fs::create_dir(&path) {
            Ok(()) => {
                return make(&path).inspect_err(|_| {
                    // It is empty, unless someone else put something there.
                    let _ = std::fs::remove_dir(&path);
                });
            }
            Err(problem) if problem.kind() == ErrorKind::AlreadyExists => {}
            Err(problem) => return Err(RunError::Write { path, problem }),
        }
    }
    unreachable!("there are more numbers than folders")
}

/// Refuses the folder of a sweep, where a run's is wanted.
fn is_no_sweep(path: &Path) -> Result<(), RunError> {
    if path.join(PLAN).exists() {
        let what = "this is a sweep's folder, and its runs are in points below it; sweep --resume goes on with it";
        return Err(RunError::Another { path: path.to_owned(), what });
    }
    Ok(())
}

/// Deletes what a run wrote.
fn remove_files(folder: &Path) -> Result<(), RunError> {
    for file in FILES.iter().chain([&DIVERGED]).map(|file| folder.join(file)) {
        removed(std::fs::remove_file(&file), &file)?;
    }
    let checkpoints = folder.join(checkpoints::FOLDER);
    removed(std::fs::remove_dir_all(&checkpoints), &checkpoints)
}

/// It is gone, whether it was there or not.
pub(crate) fn removed(result: std::io::Result<()>, path: &Path) -> Result<(), RunError> {
    match result {
        Err(problem) if problem.kind() != ErrorKind::NotFound => {
            Err(RunError::Write { path: path.to_owned(), problem })
        }
        _ => Ok(()),
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    let most = if path.ends_with(CONFIG) { MOST_BYTES } else { u64::MAX };
    read_whole(path, most).map_err(|problem| match problem.kind() {
        ErrorKind::NotFound | ErrorKind::InvalidInput => {
            RunError::Unfinished { path: path.to_owned(), problem: problem.to_string() }
        }
        _ => RunError::Read { path: path.to_owned(), problem },
    })
}

fn read_beginning(folder: &Path) -> Result<(TrainConfig, Manifest), RunError> {
    let [config, manifest] = [CONFIG, MANIFEST].map(|name| folder.join(name));
    let begun = (parse_config(&config, &read(&config)?)?, parse_json(&manifest, &read(&manifest)?)?);
    Ok(begun)
}

fn parse_config(path: &Path, bytes: &[u8]) -> Result<TrainConfig, RunError> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned());
    // Its name in errors is the file's, and the whole path stands before them.
    let parsed = text.and_then(|text| TrainConfig::parse(CONFIG, text, &[]).map_err(|error| error.to_string()));
    parsed.map_err(|problem| RunError::Unfinished { path: path.to_owned(), problem })
}

pub(crate) fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, RunError> {
    serde_json::from_slice(bytes)
        .map_err(|error| RunError::Unfinished { path: path.to_owned(), problem: one_line(&error.to_string()) })
}

pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("records hold only what JSON can");
    text.push(b'\n');
    text
}
