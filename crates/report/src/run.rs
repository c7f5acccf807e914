//! Finished runs, as figures and verdicts look at them.

use std::collections::BTreeMap;
use std::path::Path;

use chainrule_records::{Evaluation, History, Manifest, RunError, RunFolder, Summary, TrainConfig};
use safetensors::{Dtype, SafeTensors};

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
    pub weights: Weights,
}

/// The weights of a linear model, without its bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// `d * k` numbers, the class running fastest.
    pub values: Vec<f64>,
    /// Features, d.
    pub n_features: usize,
    /// Classes, k; 1 for the logistic model.
    pub n_classes: usize,
}

/// Why a finished run is none.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file of it.
    #[error(transparent)]
    Files(#[from] RunError),
    /// Its weights.
    #[error("{}/model.safetensors: {problem}", .folder.display())]
    Weights {
        /// The run's folder.
        folder: std::path::PathBuf,
        /// What is wrong.
        problem: String,
    },
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
        let weights = Weights::parse(&files.model)
            .map_err(|problem| LoadError::Weights { folder: folder.to_owned(), problem })?;
        Ok(Self {
            name: name.to_owned(),
            config: files.config,
            manifest: files.manifest,
            history: files.history,
            summary: files.summary,
            weights,
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

impl Weights {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let weight = file.tensor("linear.weight").map_err(|error| error.to_string())?;
        let &[n_features, n_classes] = weight.shape() else {
            return Err(format!("linear.weight has the shape {:?}, not [d, k]", weight.shape()));
        };
        let values = match weight.dtype() {
            Dtype::F32 => numbers(weight.data(), |bytes| f64::from(f32::from_le_bytes(bytes))),
            Dtype::F64 => numbers(weight.data(), f64::from_le_bytes),
            other => return Err(format!("linear.weight is {other:?}, not F32 or F64")),
        };
        Ok(Self { values, n_features, n_classes })
    }

    /// The weights of one class, feature by feature.
    pub fn of_class(&self, class: usize) -> Vec<f64> {
        self.values.iter().skip(class).step_by(self.n_classes).copied().collect()
    }
}

fn numbers<const N: usize>(bytes: &[u8], read: fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.chunks_exact(N).map(|chunk| read(chunk.try_into().expect("chunks of N"))).collect()
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
    /// Where there is none: what asks for it says in [`crate::needs`] that it will.
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
