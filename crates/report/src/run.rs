//! Finished runs, as figures and verdicts look at them.

use std::collections::BTreeMap;
use std::path::Path;

use chainrule_core::{Evaluation, History, Parameters, Preprocessing, TrainConfig};
use chainrule_records::{Manifest, RunError, RunFolder, Summary};

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its name in the plan.
    pub name: String,
    /// What was run.
    pub config: TrainConfig,
    /// What it ran on.
    pub manifest: Manifest,
    /// What happened.
    pub history: History,
    /// How it ended.
    pub summary: Summary,
    /// What came of it.
    pub parameters: Parameters,
    /// What its features are made by.
    pub preprocessing: Preprocessing,
}

/// Why a finished run is none.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file of it.
    #[error(transparent)]
    Files(#[from] RunError),
    /// It was interrupted.
    #[error("{}: the run was interrupted", .0.display())]
    Interrupted(std::path::PathBuf),
}

impl Run {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// Where the run in it is not finished, or not whole.
    pub fn read(name: &str, folder: &Path) -> Result<Self, LoadError> {
        let files = RunFolder::read(folder)?;
        if files.summary.interrupted {
            return Err(LoadError::Interrupted(folder.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            config: files.config,
            manifest: files.manifest,
            history: files.history,
            summary: files.summary,
            parameters: files.parameters,
            preprocessing: files.preprocessing,
        })
    }

    /// The penalty's strength.
    pub fn lambda(&self) -> f64 {
        self.config.objective().l2
    }

    /// The evaluations.
    pub fn evaluations(&self) -> &[Evaluation] {
        &self.history.evaluations
    }

    /// Steps from one evaluation to the next.
    pub fn evaluation_interval(&self) -> usize {
        (self.summary.steps_per_epoch / self.config.early_stopping().evaluations_per_epoch).max(1)
    }

    /// The standard error of an accuracy p over its n validation rows, `sqrt(p (1 - p) / n)`.
    pub fn standard_error(&self, p: f64) -> f64 {
        (p * (1.0 - p) / self.summary.data.validation as f64).sqrt()
    }

    /// Rows that were classified rightly at the end, of the training and of the validation rows.
    pub fn right(&self) -> [usize; 2] {
        let (last, data) = (&self.summary.final_metrics, &self.summary.data);
        let count = |fraction: f64, rows: usize| (fraction * rows as f64).round() as usize;
        [count(last.train_accuracy, data.train), count(last.validation_accuracy, data.validation)]
    }
}

/// The finished runs by name.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    runs: BTreeMap<String, Run>,
}

impl Runs {
    /// Adds a run.
    pub fn insert(&mut self, run: Run) {
        self.runs.insert(run.name.clone(), run);
    }

    /// The run of that name.
    ///
    /// # Panics
    /// Where there is none: what asks for it says before that it will.
    pub fn get(&self, name: &str) -> &Run {
        self.runs.get(name).unwrap_or_else(|| panic!("there is no run {name:?}"))
    }

    /// Whether there is a run of that name.
    pub fn has(&self, name: &str) -> bool {
        self.runs.contains_key(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// The runs of one name and many seeds, in the order of their seeds.
    pub fn seeds(&self, name: &str) -> Vec<&Run> {
        (0..).map(|seed| format!("{name}-{seed}")).map_while(|name| self.runs.get(&name)).collect()
    }
}
