use std::path::{Path, PathBuf};

use chainrule_core::{ContentError, History, Parameters, Preprocessing, TrainConfig, one_line};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum::sha256;
use crate::claim::{Claim, FolderKind, entries, is_of_no_account, remove};
use crate::file::{clear_drafts, is_draft, write_whole};
use crate::lock::{LOCK, Lock};
use crate::names::{CONFIG, MANIFEST, MODEL, PLAN, SUMMARY};
use crate::runs::begun::RunStart;
use crate::runs::checkpoints;
use crate::seal::{read, read_sealed, sealed, unsealed};
use crate::{Manifest, RunError, Summary, inside, read_parameters, read_preprocessing, write_weights};

/// A folder for one run's files, each of which appears whole or not at all. Only one process at a
/// time has it.
#[derive(Debug)]
pub struct RunFolder {
    begun: RunStart,
    claim: Claim,
}

/// The files that a run writes, with its checkpoints.
const FILES: [&str; 5] = [CONFIG, MANIFEST, HISTORY, MODEL, SUMMARY];
const HISTORY: &str = "history.json";
/// What a training that diverged leaves in place of a model and a summary.
const DIVERGED: &str = "diverged.json";

/// A folder of a run is one by its manifest.
pub(crate) const RUN: FolderKind = FolderKind {
    name: "a run",
    is_leftover: is_draft,
    is_one: |folder| RunStart::read_manifest(folder).is_ok(),
    to_replace: |folder| Ok(own_files(folder)?.into_iter().filter(|path| !path.ends_with(MANIFEST)).collect()),
};

impl RunFolder {
    /// Makes a folder for a new run, whole with `config.toml` and `manifest.json` or not at all.
    ///
    /// With `replace`, a run that lies there is replaced, if nothing else does and its seals are
    /// whole.
    ///
    /// # Errors
    /// Where something is there and `replace` is not set or does not allow it, another process has
    /// the folder, or it cannot be written.
    pub fn create(path: &Path, replace: bool, config: &TrainConfig, manifest: &Manifest) -> Result<Self, RunError> {
        is_no_sweep(path)?;
        let begun = RunStart::new(config, manifest);
        let claim = Claim::create(path, replace, &RUN, &|folder| begun.write(folder))?;
        Ok(Self { begun, claim })
    }

    /// Makes the first free one of `runs/NAME-1`, `runs/NAME-2`, …, NAME being the experiment's.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create_numbered(runs: &Path, config: &TrainConfig, manifest: &Manifest) -> Result<Self, RunError> {
        let begun = RunStart::new(config, manifest);
        let claim = Claim::create_numbered(runs, config.experiment(), &RUN, &|folder| begun.write(folder))?;
        Ok(Self { begun, claim })
    }

    /// Deletes what has the names of a run's files, whole or not, and the folder where nothing else
    /// is in it: for folders that only this program has to do with.
    ///
    /// # Errors
    /// Where another process has it, or it cannot be deleted.
    pub fn remove(path: &Path) -> Result<(), RunError> {
        if !path.is_dir() {
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

    /// Takes the folder of a run that was begun, to go on with it. A `config.toml` that is absent
    /// is written again.
    ///
    /// # Errors
    /// Where there is none, it was changed since, a link leads out of it, another process has it,
    /// or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        is_no_sweep(path)?;
        // What is no run's is left as it is; what another process does until the lock is had does
        // not count.
        RunStart::read(path)?;
        let claim = Claim::take(path)?;
        let begun = RunStart::read(path)?;
        let error = |path: PathBuf| move |problem| RunError::Write { path, problem };
        for file in FILES.iter().chain([&DIVERGED]).map(|name| path.join(name)) {
            inside::check(&file, false).map_err(error(file))?;
        }
        checkpoints::check(path)?;
        clear_drafts(path);
        if !begun.has_config(path)? {
            begun.write_config(path)?;
        }
        Ok(Self { begun, claim })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// `config.toml`
    pub fn config(&self) -> &TrainConfig {
        &self.begun.config
    }

    /// `manifest.json`
    pub fn manifest(&self) -> &Manifest {
        &self.begun.manifest
    }

    /// Moves the folder to its place, in place of a run that lies there, whole or not.
    ///
    /// # Errors
    /// Where it cannot be moved, or something else lies there.
    pub fn move_to(self, path: &Path) -> Result<(), RunError> {
        Self::remove(path)?;
        self.claim.move_to(path)
    }

    /// Deletes the run.
    ///
    /// # Errors
    /// Where it cannot be deleted.
    pub fn discard(self) -> Result<(), RunError> {
        let path = self.path().to_owned();
        remove_files(&path)?;
        drop(self);
        let _ = std::fs::remove_dir(&path);
        Ok(())
    }

    /// Whether a run was begun in a folder, whatever became of it.
    pub fn was_begun(path: &Path) -> bool {
        inside::is_there(&path.join(MANIFEST))
    }

    /// Whether a summary lies there, of a run that came to an end or was interrupted.
    pub fn has_summary(&self) -> bool {
        inside::is_there(&self.path().join(SUMMARY))
    }

    /// How the training diverged, where it is known to have.
    ///
    /// # Errors
    /// Where what says so cannot be read, or is damaged.
    pub fn divergence(&self) -> Result<Option<Divergence>, RunError> {
        let path = self.path().join(DIVERGED);
        if inside::is_there(&path) { read_sealed(&path, "the run is made again").map(Some) } else { Ok(None) }
    }

    /// Writes what is left of a training that diverged: `history.json`, and `diverged.json`, which
    /// tells it.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write_divergence(&self, history: &History, divergence: &Divergence) -> Result<(), RunError> {
        self.write_history(history)?;
        self.write(DIVERGED, &sealed(divergence))
    }

    /// Writes `history.json` of a training that has no summary.
    pub fn write_history(&self, history: &History) -> Result<(), RunError> {
        self.write(HISTORY, &json(history))
    }

    /// Writes `model.safetensors` of a training that has no summary.
    pub fn write_model(&self, parameters: &Parameters, preprocessing: &Preprocessing) -> Result<(), RunError> {
        self.write(MODEL, &write_weights(parameters, self.config().descent().precision, preprocessing))
    }

    /// Writes what a training came to, the summary last, which gets the files' checksums and seals
    /// them.
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
            (MANIFEST, self.begun.document.clone()),
            (CONFIG, self.begun.text.clone().into_bytes()),
            (HISTORY, json(history)),
            (MODEL, write_weights(parameters, self.config().descent().precision, preprocessing)),
        ];
        // Those of a run that ended before, otherwise: its summary seals what is no more.
        for old in [SUMMARY, DIVERGED] {
            remove(&self.path().join(old))?;
        }
        for (name, content) in &files {
            // Those from before the first step are there, unless someone changed them.
            if std::fs::read(self.path().join(name)).ok().as_ref() != Some(content) {
                self.write(name, content)?;
            }
        }
        summary.files = files.map(|(name, content)| (name.to_owned(), sha256(&content))).into();
        self.write(SUMMARY, &sealed(&summary))?;
        Ok(summary)
    }

    /// Reads the run that lies in a folder.
    ///
    /// # Errors
    /// Where a file of it is absent, is not what a run writes, or was changed since, and where two
    /// of them are not of one run.
    pub fn read(folder: &Path) -> Result<RunFiles, RunError> {
        is_no_sweep(folder)?;
        // What is checked is what is read, should another process be writing there.
        let [history, model, summary] = [HISTORY, MODEL, SUMMARY].map(|name| folder.join(name));
        let damaged = |path: PathBuf, problem: &str| RunError::Damaged {
            path,
            problem: problem.to_owned(),
            run: folder.to_owned(),
        };
        let there = |path: &Path, problem| match inside::is_there(path) {
            true => read(path),
            false => Err(damaged(path.to_owned(), problem)),
        };
        let begun = RunStart::read(folder)?;
        let written = there(&summary, "it is not there, as in a run that has not ended")?;
        let summary: Summary = unsealed(&written).map_err(|problem| damaged(summary, &problem))?;
        let check = |name: &str, bytes: &[u8]| {
            if summary.files.get(name) == Some(&sha256(bytes)) {
                return Ok(());
            }
            Err(damaged(folder.join(name), "it is damaged or was changed: its SHA-256 is not the one in summary.json"))
        };
        check(MANIFEST, &begun.document)?;
        check(CONFIG, begun.text.as_bytes())?;
        if !begun.has_config(folder)? {
            return Err(damaged(folder.join(CONFIG), "it is gone"));
        }
        let told = there(&history, "it is gone")?;
        check(HISTORY, &told)?;
        let weights = there(&model, "it is gone")?;
        check(MODEL, &weights)?;
        let unfinished =
            |problem: ContentError| RunError::Unfinished { path: model.clone(), problem: problem.to_string() };
        let run = RunFiles {
            history: parse_json(&history, &told)?,
            parameters: read_parameters(&weights).map_err(unfinished)?,
            preprocessing: read_preprocessing(&weights, summary.data.kind).map_err(unfinished)?,
            config: begun.config,
            manifest: begun.manifest,
            summary,
        };
        match run.contradiction() {
            None => Ok(run),
            Some((file, problem)) => Err(RunError::Unfinished { path: folder.join(file), problem }),
        }
    }

    /// Writes a file, in a folder made anew where someone took it away meanwhile.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), RunError> {
        self.claim.hold(&RUN, &|folder| self.begun.write(folder))?;
        let path = self.path().join(name);
        let error = |path: &Path| {
            let path = path.to_owned();
            move |problem| RunError::Write { path, problem }
        };
        if let Some(folder) = path.parent().filter(|folder| *folder != self.path())
            && !inside::check(folder, true).map_err(error(folder))?
        {
            std::fs::create_dir(folder).map_err(error(folder))?;
        }
        write_whole(&path, content)
    }
}

/// How a training left the floats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The step, from 0, whose loss is not finite, or after which a weight is too large to be
    /// squared.
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

/// Refuses the folder of a sweep, where a run's is wanted.
fn is_no_sweep(path: &Path) -> Result<(), RunError> {
    if inside::is_there(&path.join(PLAN)) {
        return Err(RunError::IsSweep { folder: path.to_owned() });
    }
    Ok(())
}

/// The files of a folder, in the order in which they are deleted so that what is left is a run for
/// as long as it can be one.
///
/// # Errors
/// Where the folder is no run's, or something else lies in it: names the first.
pub(crate) fn own_files(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let names = entries(folder)?;
    let foreign = |name: &str| RunError::Foreign { path: folder.join(name), kind: RUN.name };
    let Ok(begun) = RunStart::read_manifest(folder) else {
        let manifest = names.iter().find(|name| *name == MANIFEST);
        return Err(foreign(manifest.or(names.first()).map_or(MANIFEST, String::as_str)));
    };
    let summary: Option<Summary> = read_sealed(&folder.join(SUMMARY), "").ok();
    // Of a run that did not come to its summary nothing tells more than that they are such files.
    let is_sealed = |name: &str, bytes: &[u8]| match &summary {
        Some(summary) => summary.files.get(name) == Some(&sha256(bytes)),
        None if name == MODEL => read_parameters(bytes).is_ok(),
        None => serde_json::from_slice::<History>(bytes).is_ok(),
    };
    let is_own = |name: &str, bytes: &[u8]| match name {
        MANIFEST => true,
        CONFIG => bytes == begun.text.as_bytes(),
        HISTORY | MODEL => is_sealed(name, bytes),
        SUMMARY => summary.is_some(),
        DIVERGED => unsealed::<Divergence>(bytes).is_ok(),
        _ => false,
    };
    let mut leftovers = Vec::new();
    for name in &names {
        if is_of_no_account(folder, name, &RUN) {
            leftovers.push(folder.join(name));
        } else if *name != checkpoints::FOLDER && !read(&folder.join(name)).is_ok_and(|bytes| is_own(name, &bytes)) {
            return Err(foreign(name));
        }
    }
    let checkpoints = checkpoints::own_files(folder).map_err(|path| RunError::Foreign { path, kind: RUN.name })?;
    let named = |names: &[&str]| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
    leftovers.retain(|path| !path.ends_with(LOCK));
    Ok([leftovers, named(&[SUMMARY, DIVERGED, HISTORY, MODEL]), checkpoints, named(&[CONFIG, MANIFEST])].concat())
}

/// Deletes what has the names of a run's files.
fn remove_files(folder: &Path) -> Result<(), RunError> {
    for name in FILES.iter().rev().chain([&DIVERGED]) {
        remove(&folder.join(name))?;
    }
    checkpoints::remove(folder)
}

fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, RunError> {
    serde_json::from_slice(bytes)
        .map_err(|error| RunError::Unfinished { path: path.to_owned(), problem: one_line(&error.to_string()) })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("records hold only what JSON can");
    text.push(b'\n');
    text
}
