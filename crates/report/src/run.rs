//! Finished runs: the input of figures and verdicts.

use std::collections::BTreeMap;
use std::path::Path;

use chainrule_core::{Certificate, Evaluation, History, Parameters, Preprocessing, TrainConfig};
use chainrule_records::{Manifest, RunError, RunFolder, Summary};

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The name of the run in the plan.
    pub name: String,
    /// The config.
    pub config: TrainConfig,
    /// Versions, backend and data of the run.
    pub manifest: Manifest,
    /// The losses and metrics over the steps.
    pub history: History,
    /// The final metrics and how the run ended.
    pub summary: Summary,
    /// The weights and the bias.
    pub parameters: Parameters,
    /// The conversion of stored values to features.
    pub preprocessing: Preprocessing,
}

/// An error of [`Run::read`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or damaged.
    #[error(transparent)]
    Files(#[from] RunError),
    /// The run was interrupted.
    #[error("{}: the run was interrupted", .0.display())]
    Interrupted(std::path::PathBuf),
}

impl Run {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// If the run was interrupted, or a file is missing or damaged.
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

    /// Returns the strength of the L2 penalty.
    pub fn lambda(&self) -> f64 {
        self.config.objective().l2
    }

    /// Whether the run ended within the requested tolerance of the minimum of J, as proven.
    pub fn is_certified(&self) -> bool {
        self.summary.certificate.as_ref().is_some_and(Certificate::holds)
    }

    /// Returns the evaluations.
    pub fn evaluations(&self) -> &[Evaluation] {
        &self.history.evaluations
    }

    /// Returns the number of steps between two evaluations.
    pub fn evaluation_interval(&self) -> usize {
        (self.summary.steps_per_epoch / self.config.early_stopping().evaluations_per_epoch).max(1)
    }

    /// Returns the standard error of an accuracy p over the n validation rows, `sqrt(p (1 - p) /
    /// n)`.
    pub fn standard_error(&self, p: f64) -> f64 {
        (p * (1.0 - p) / self.summary.data.validation as f64).sqrt()
    }

    /// Returns the numbers of correctly classified training and validation rows at the end.
    pub fn correct_counts(&self) -> [usize; 2] {
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

    /// Returns the run with this name. Every caller declares the runs that it needs.
    ///
    /// # Panics
    /// If there is no such run.
    pub fn get(&self, name: &str) -> &Run {
        self.runs.get(name).unwrap_or_else(|| panic!("there is no run {name:?}"))
    }

    /// Whether there is a run with this name.
    pub fn has(&self, name: &str) -> bool {
        self.runs.contains_key(name)
    }

    /// Returns all runs in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// Returns the runs `NAME-0`, `NAME-1` and so on, which differ only in their seed.
    pub fn seeds(&self, name: &str) -> Vec<&Run> {
        (0..).map(|seed| format!("{name}-{seed}")).map_while(|name| self.runs.get(&name)).collect()
    }
}
