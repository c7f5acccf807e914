use std::fmt::Write;
use std::path::{Path, PathBuf};

use chainrule_core::{ContentError, HeldOutRow, History, Parameters, Preprocessing, TrainConfig, one_line};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum::sha256;
use crate::claim::{Claim, FolderKind, entries, is_lock_or_leftover, remove};
use crate::file::{clear_drafts, is_draft, write_whole};
use crate::lock::{LOCK, Lock};
use crate::names::{CONFIG, DIVERGED, HELD_OUT, HISTORY, MANIFEST, MODEL, PLAN, SUMMARY};
use crate::runs::checkpoints;
use crate::runs::run_start::RunStart;
use crate::seal::{read, read_sealed, sealed, unsealed};
use crate::{Manifest, RunError, Summary, inside, read_parameters, read_preprocessing, write_weights};

/// The folder of one run. Each file is written atomically. One process owns the folder at a time.
#[derive(Debug)]
pub struct RunFolder {
    run_start: RunStart,
    claim: Claim,
}

/// The files of a run, besides its checkpoints.
const FILES: [&str; 6] = [CONFIG, MANIFEST, HISTORY, MODEL, HELD_OUT, SUMMARY];
/// The first line of [`HELD_OUT`], with one file and with several.
const HELD_OUT_HEADERS: [&str; 2] = ["row,line\n", "file,row,line\n"];

/// Returns a field of a CSV file, in quotes if it needs them.
fn csv_field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) || text.trim() != text {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// The folder kind of a run. Its marker file is the manifest.
pub(crate) const RUN: FolderKind = FolderKind {
    name: "a run",
    is_leftover: is_draft,
    is_one: |folder| RunStart::read_manifest(folder).is_ok(),
    deletable_paths: |folder| {
        Ok(deletable_files(folder)?.into_iter().filter(|path| !path.ends_with(MANIFEST)).collect())
    },
};

impl RunFolder {
    /// Creates the folder of a new run with `config.toml` and `manifest.json`, atomically.
    ///
    /// With `replace`, an existing run is replaced if the folder has nothing else and its seals are
    /// valid.
    ///
    /// # Errors
    /// Fails if the folder exists and cannot be replaced, if another process owns it, or if it
    /// cannot be written.
    pub fn create(path: &Path, replace: bool, config: &TrainConfig, manifest: &Manifest) -> Result<Self, RunError> {
        reject_sweep(path)?;
        let run_start = RunStart::new(config, manifest);
        let claim = Claim::create(path, replace, &RUN, &|folder| run_start.write(folder))?;
        Ok(Self { run_start, claim })
    }

    /// Creates the first free folder of `runs/NAME-1`, `runs/NAME-2`, …. NAME is the experiment's
    /// name.
    ///
    /// # Errors
    /// Fails if the folder cannot be written.
    pub fn create_numbered(runs: &Path, config: &TrainConfig, manifest: &Manifest) -> Result<Self, RunError> {
        let run_start = RunStart::new(config, manifest);
        let claim = Claim::create_numbered(runs, config.experiment(), &RUN, &|folder| run_start.write(folder))?;
        Ok(Self { run_start, claim })
    }

    /// Deletes all files with the names of a run's files, valid or not, and the folder if it is
    /// then empty. Use it only for folders that belong to this program.
    ///
    /// # Errors
    /// Fails if another process owns the folder, or if it cannot be deleted.
    pub fn remove(path: &Path) -> Result<(), RunError> {
        if !path.is_dir() {
            return Ok(());
        }
        let lock = Lock::take(path)?;
        clear_drafts(path);
        remove_files(path)?;
        drop(lock);
        // Other files stay.
        let _ = std::fs::remove_dir(path);
        Ok(())
    }

    /// Opens the folder of an existing run to resume it. Writes `config.toml` again if it is
    /// missing.
    ///
    /// # Errors
    /// Fails if there is no run, if it was changed, if a link leads out of the folder, if another
    /// process owns it, or if it cannot be written.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        reject_sweep(path)?;
        // Read twice: a foreign folder must not get a lock, and another process may change the run
        // before we hold the lock.
        RunStart::read(path)?;
        let claim = Claim::take(path)?;
        let run_start = RunStart::read(path)?;
        let error = |path: PathBuf| move |problem| RunError::Write { path, problem };
        for file in FILES.iter().chain([&DIVERGED]).map(|name| path.join(name)) {
            inside::check(&file, false).map_err(error(file))?;
        }
        checkpoints::check(path)?;
        clear_drafts(path);
        if !run_start.has_config(path)? {
            run_start.write_config(path)?;
        }
        Ok(Self { run_start, claim })
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Returns the config of `config.toml`.
    pub fn config(&self) -> &TrainConfig {
        &self.run_start.config
    }

    /// Returns the content of `manifest.json`.
    pub fn manifest(&self) -> &Manifest {
        &self.run_start.manifest
    }

    /// Moves the folder to `path` and replaces an existing run there, complete or not.
    ///
    /// # Errors
    /// Fails if the folder cannot be moved, or if something else is there.
    pub fn move_to(self, path: &Path) -> Result<(), RunError> {
        Self::remove(path)?;
        self.claim.move_to(path)
    }

    /// Deletes the run.
    ///
    /// # Errors
    /// Fails if the run cannot be deleted.
    pub fn discard(self) -> Result<(), RunError> {
        let path = self.path().to_owned();
        remove_files(&path)?;
        drop(self);
        let _ = std::fs::remove_dir(&path);
        Ok(())
    }

    /// Returns whether a run was started in a folder.
    pub fn is_run(path: &Path) -> bool {
        inside::is_there(&path.join(MANIFEST))
    }

    /// Returns whether the run has a summary, because it finished or was interrupted.
    pub fn has_summary(&self) -> bool {
        inside::is_there(&self.path().join(SUMMARY))
    }

    /// Returns how the training diverged, if it did.
    ///
    /// # Errors
    /// Fails if `diverged.json` cannot be read or is damaged.
    pub fn divergence(&self) -> Result<Option<Divergence>, RunError> {
        let path = self.path().join(DIVERGED);
        if inside::is_there(&path) { read_sealed(&path, "the run is made again").map(Some) } else { Ok(None) }
    }

    /// Writes the files of a diverged training: `history.json` and `diverged.json`.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn write_divergence(&self, history: &History, divergence: &Divergence) -> Result<(), RunError> {
        self.write_history(history)?;
        self.write(DIVERGED, &sealed(divergence))
    }

    /// Writes `history.json` of a training without a summary.
    pub fn write_history(&self, history: &History) -> Result<(), RunError> {
        self.write(HISTORY, &json(history))
    }

    /// Writes `model.safetensors` of a training without a summary.
    pub fn write_model(&self, parameters: &Parameters, preprocessing: &Preprocessing) -> Result<(), RunError> {
        self.write(MODEL, &write_weights(parameters, self.config().descent().precision, preprocessing))
    }

    /// Writes `held_out.csv`, which lists the rows of a table that are held out for validation. If
    /// there are several files, all rows have theirs. [`finish`](Self::finish) seals it.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_held_out<'a>(&self, rows: impl IntoIterator<Item = HeldOutRow<'a>>) -> Result<(), RunError> {
        let mut rows = rows.into_iter().peekable();
        let has_files = rows.peek().is_some_and(|row| row.file.is_some());
        let mut text = HELD_OUT_HEADERS[usize::from(has_files)].to_owned();
        for HeldOutRow { file, row, line } in rows {
            let file = file.map(|file| csv_field(file) + ",").unwrap_or_default();
            writeln!(text, "{file}{row},{line}").expect("writing to a String cannot fail");
        }
        self.write(HELD_OUT, text.as_bytes())
    }

    /// Writes the results of a training. The summary is written last, with the checksums of the
    /// other files, and is sealed.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn finish(
        &self,
        history: &History,
        parameters: &Parameters,
        preprocessing: &Preprocessing,
        mut summary: Summary,
    ) -> Result<Summary, RunError> {
        let files = [
            (MANIFEST, self.run_start.document.clone()),
            (CONFIG, self.run_start.text.clone().into_bytes()),
            (HISTORY, json(history)),
            (MODEL, write_weights(parameters, self.config().descent().precision, preprocessing)),
        ];
        // Delete the results of an earlier end first: that summary describes files that are
        // replaced now.
        for old in [SUMMARY, DIVERGED] {
            remove(&self.path().join(old))?;
        }
        for (name, content) in &files {
            // The files from before the first step exist already, unless someone changed them.
            if std::fs::read(self.path().join(name)).ok().as_ref() != Some(content) {
                self.write(name, content)?;
            }
        }
        summary.files = files.map(|(name, content)| (name.to_owned(), sha256(&content))).into();
        let held_out = self.path().join(HELD_OUT);
        if inside::is_there(&held_out) {
            summary.files.insert(HELD_OUT.to_owned(), sha256(&read(&held_out)?));
        }
        self.write(SUMMARY, &sealed(&summary))?;
        Ok(summary)
    }

    /// Reads the run of a folder.
    ///
    /// # Errors
    /// Fails if a file is missing, invalid or changed, or if the files do not belong to one run.
    pub fn read(folder: &Path) -> Result<RunFiles, RunError> {
        reject_sweep(folder)?;
        // Check the bytes that were read: another process may write at the same time.
        let [history, model, summary] = [HISTORY, MODEL, SUMMARY].map(|name| folder.join(name));
        let damaged = |path: PathBuf, problem: &str| RunError::Damaged {
            path,
            problem: problem.to_owned(),
            run: folder.to_owned(),
        };
        let read_existing = |path: &Path, problem| match inside::is_there(path) {
            true => read(path),
            false => Err(damaged(path.to_owned(), problem)),
        };
        let run_start = RunStart::read(folder)?;
        let summary_bytes = read_existing(&summary, "it is not there, as in a run that has not ended")?;
        let summary: Summary = unsealed(&summary_bytes).map_err(|problem| damaged(summary, &problem))?;
        let check = |name: &str, bytes: &[u8]| {
            if summary.files.get(name) == Some(&sha256(bytes)) {
                return Ok(());
            }
            Err(damaged(folder.join(name), "it is damaged or was changed: its SHA-256 is not the one in summary.json"))
        };
        check(MANIFEST, &run_start.document)?;
        check(CONFIG, run_start.text.as_bytes())?;
        if !run_start.has_config(folder)? {
            return Err(damaged(folder.join(CONFIG), "it is gone"));
        }
        if summary.files.contains_key(HELD_OUT) {
            check(HELD_OUT, &read_existing(&folder.join(HELD_OUT), "it is gone")?)?;
        }
        let history_bytes = read_existing(&history, "it is gone")?;
        check(HISTORY, &history_bytes)?;
        let weights = read_existing(&model, "it is gone")?;
        check(MODEL, &weights)?;
        let unfinished =
            |problem: ContentError| RunError::Incomplete { path: model.clone(), problem: problem.to_string() };
        let run = RunFiles {
            history: parse_json(&history, &history_bytes)?,
            parameters: read_parameters(&weights).map_err(unfinished)?,
            preprocessing: read_preprocessing(&weights, summary.data.kind).map_err(unfinished)?,
            config: run_start.config,
            manifest: run_start.manifest,
            summary,
        };
        match run.contradiction() {
            None => Ok(run),
            Some((file, problem)) => Err(RunError::Incomplete { path: folder.join(file), problem }),
        }
    }

    /// Writes a file. Creates the folder again if it was removed.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), RunError> {
        self.claim.hold(&RUN, &|folder| self.run_start.write(folder))?;
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

/// How a training diverged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The step, from 0, at which the loss is not finite, or after which the square of a weight is
    /// not finite.
    pub step: usize,
    /// A description of what is not finite.
    pub problem: String,
}

/// All contents of a run folder.
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
    /// The preprocessing of the features, from the same file.
    pub preprocessing: Preprocessing,
}

impl RunFiles {
    /// Returns a file that contradicts another one, and how.
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

/// Fails if the folder is a sweep.
fn reject_sweep(path: &Path) -> Result<(), RunError> {
    if inside::is_there(&path.join(PLAN)) {
        return Err(RunError::IsSweep { folder: path.to_owned() });
    }
    Ok(())
}

/// Returns the files of a folder in the order of their deletion: an interrupted deletion leaves a
/// run as long as possible.
///
/// # Errors
/// Fails if the folder is not a run; fails with the first file that does not belong to it.
pub(crate) fn deletable_files(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let names = entries(folder)?;
    let foreign = |name: &str| RunError::Foreign { path: folder.join(name), kind: RUN.name };
    let Ok(run_start) = RunStart::read_manifest(folder) else {
        let manifest = names.iter().find(|name| *name == MANIFEST);
        return Err(foreign(manifest.or(names.first()).map_or(MANIFEST, String::as_str)));
    };
    let summary: Option<Summary> = read_sealed(&folder.join(SUMMARY), "").ok();
    // Without a summary, only the format of these files can be checked.
    let is_sealed = |name: &str, bytes: &[u8]| match &summary {
        Some(summary) => summary.files.get(name) == Some(&sha256(bytes)),
        None if name == MODEL => read_parameters(bytes).is_ok(),
        None if name == HELD_OUT => HELD_OUT_HEADERS.iter().any(|header| bytes.starts_with(header.as_bytes())),
        None => serde_json::from_slice::<History>(bytes).is_ok(),
    };
    let belongs = |name: &str, bytes: &[u8]| match name {
        MANIFEST => true,
        CONFIG => bytes == run_start.text.as_bytes(),
        HISTORY | MODEL | HELD_OUT => is_sealed(name, bytes),
        SUMMARY => summary.is_some(),
        DIVERGED => unsealed::<Divergence>(bytes).is_ok(),
        _ => false,
    };
    let mut leftovers = Vec::new();
    for name in &names {
        if is_lock_or_leftover(folder, name, &RUN) {
            leftovers.push(folder.join(name));
        } else if *name != checkpoints::FOLDER && !read(&folder.join(name)).is_ok_and(|bytes| belongs(name, &bytes)) {
            return Err(foreign(name));
        }
    }
    let checkpoints =
        checkpoints::deletable_files(folder).map_err(|path| RunError::Foreign { path, kind: RUN.name })?;
    let named = |names: &[&str]| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
    leftovers.retain(|path| !path.ends_with(LOCK));
    Ok([leftovers, named(&[SUMMARY, DIVERGED, HISTORY, MODEL, HELD_OUT]), checkpoints, named(&[CONFIG, MANIFEST])]
        .concat())
}

/// Deletes all files with the names of a run's files.
fn remove_files(folder: &Path) -> Result<(), RunError> {
    for name in FILES.iter().rev().chain([&DIVERGED]) {
        remove(&folder.join(name))?;
    }
    checkpoints::remove(folder)
}

fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, RunError> {
    serde_json::from_slice(bytes)
        .map_err(|error| RunError::Incomplete { path: path.to_owned(), problem: one_line(&error.to_string()) })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("records hold only what JSON can");
    text.push(b'\n');
    text
}
