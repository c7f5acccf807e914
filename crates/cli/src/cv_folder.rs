//! The folder of a cross-validation: what it is of, and the scores of each finished fold. An
//! interrupted one goes on with the same command.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chainrule::{Error, FoldModel, FoldStore};
use chainrule_records::{read_sealed, sealed, write_whole};
use serde::{Deserialize, Serialize};

/// What a cross-validation is of: everything that can change its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CvKey {
    /// The config of the experiment, as TOML.
    pub(crate) config: String,
    /// The SHA-256 of the data.
    pub(crate) data: String,
    /// How the rows are divided, with the numbers of folds and repeats.
    pub(crate) folds: String,
    /// The penalties, in their order. None without `--lambdas`.
    pub(crate) lambdas: Vec<f64>,
    /// The backend, the instruction set and the number of threads, which change the rounding.
    pub(crate) machine: String,
    /// The version of the numerics.
    pub(crate) numerics: u32,
}

impl CvKey {
    /// Returns what differs from another key, by name.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            ("the experiment", self.config != other.config),
            ("the data", self.data != other.data),
            ("the folds", self.folds != other.folds),
            ("the penalties", self.lambdas != other.lambdas),
            ("the machine, its backend or its threads", self.machine != other.machine),
            ("the version of the program", self.numerics != other.numerics),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// A folder for finished folds.
pub(crate) struct CvFolder {
    path: PathBuf,
}

const KEY: &str = "key.json";
/// The result, as `--json` prints it.
const RESULT: &str = "cv.json";
const ADVICE: &str = "remove the file, and its fold is fitted again";

impl CvFolder {
    /// Creates a folder, or opens that of an interrupted cross-validation with the same key.
    ///
    /// # Errors
    /// If it is of another cross-validation, if it holds something else, or if it cannot be
    /// created.
    pub(crate) fn open(path: &Path, key: &CvKey) -> Result<Self> {
        let name = path.display();
        let folder = Self { path: path.to_owned() };
        let key_file = path.join(KEY);
        if key_file.exists() {
            let old: CvKey = read_sealed(&key_file, "choose another folder for --out")?;
            let differences = key.differences(&old);
            if !differences.is_empty() {
                bail!(
                    "--out {name}: it is of another cross-validation: {} differ; choose another folder, or remove this one",
                    differences.join(", ")
                );
            }
            return Ok(folder);
        }
        let is_used = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        if is_used || path.is_file() {
            bail!("--out {name}: it is there, and is no cross-validation; choose another folder");
        }
        std::fs::create_dir_all(path).with_context(|| format!("--out {name}: cannot create the folder"))?;
        write_whole(&key_file, &sealed(key))?;
        Ok(folder)
    }

    /// Returns a store for the folds of one cross-validation in this folder: `fold`, or `nested`
    /// for the choice of the penalty.
    pub(crate) fn store(&self, prefix: &'static str) -> FoldFiles<'_> {
        FoldFiles { folder: self, prefix }
    }

    /// Writes the result.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn finish(&self, answer: &impl Serialize) -> Result<()> {
        Ok(write_whole(&self.path.join(RESULT), &sealed(answer))?)
    }
}

/// What is read of a finished cross-validation.
#[derive(Deserialize)]
pub(crate) struct CvResult {
    pub(crate) penalties: Vec<PenaltyResult>,
    /// The positions of two penalties.
    pub(crate) best: usize,
    pub(crate) one_standard_error: usize,
}

/// The mean scores of a penalty.
#[derive(Deserialize)]
pub(crate) struct PenaltyResult {
    pub(crate) l2: f64,
    pub(crate) loss: MeanResult,
    pub(crate) accuracy: MeanResult,
}

/// A mean over folds.
#[derive(Deserialize)]
pub(crate) struct MeanResult {
    pub(crate) mean: f64,
    pub(crate) standard_error: f64,
}

impl CvResult {
    /// Reads the result in a folder.
    ///
    /// # Errors
    /// If the cross-validation is not finished, or if the folder is none of one.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(RESULT);
        if !file.exists() {
            let name = folder.display();
            if folder.join(KEY).exists() {
                bail!("{name}: the cross-validation is not finished; the same command of cv goes on");
            }
            bail!("{name}: no cross-validation; make one with cv --lambdas 1,0.1,0.01 --out {name}");
        }
        Ok(read_sealed(&file, "make it again with the same command of cv")?)
    }
}

/// A file for each finished fold.
pub(crate) struct FoldFiles<'a> {
    folder: &'a CvFolder,
    prefix: &'static str,
}

/// The content of such a file.
#[derive(Serialize, Deserialize)]
struct FoldFile {
    models: Vec<FoldModel>,
}

impl FoldFiles<'_> {
    fn file(&self, split: usize) -> PathBuf {
        self.folder.path.join(format!("{}-{}.json", self.prefix, split + 1))
    }

    /// Returns how many of the first `splits` folds are finished.
    pub(crate) fn finished(&self, splits: usize) -> usize {
        (0..splits).filter(|&split| self.file(split).exists()).count()
    }
}

impl FoldStore for FoldFiles<'_> {
    fn load(&mut self, split: usize) -> Result<Option<Vec<FoldModel>>, Error> {
        let file = self.file(split);
        if !file.exists() {
            return Ok(None);
        }
        let FoldFile { models } = read_sealed(&file, ADVICE)?;
        Ok(Some(models))
    }

    fn save(&mut self, split: usize, models: &[FoldModel]) -> Result<(), Error> {
        let content = sealed(&FoldFile { models: models.to_vec() });
        write_whole(&self.file(split), &content).map_err(|error| Error::FoldStore(error.into()))
    }
}
