use std::collections::BTreeMap;

use chainrule_core::{
    Certificate, Class, DataKind, FinalMetrics, GradientSource, ModelKind, Precision, Schema, Unused, WeightNorms,
};
use serde::{Deserialize, Serialize};

/// How a run went: `summary.json`, and what `train --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The experiment's name.
    pub experiment: String,
    /// Softmax or logistic.
    pub model: ModelKind,
    /// The Burn backend.
    pub backend: String,
    /// The device, as Burn names it.
    pub device: String,
    /// Float type.
    pub precision: Precision,
    /// Where the gradients came from.
    pub gradient: GradientSource,
    /// Threads of the fused kernels; 1 for other gradients, whose threads are the backend's affair.
    pub threads: usize,
    /// What it was trained on.
    pub data: DataSummary,
    /// By how much a row of each class counted in the objective, in the order of `data.classes`;
    /// where absent, 1. All cross-entropies of the run have these weights, and its accuracies have
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f64>>,
    /// The seed of the shuffle.
    pub seed: u64,
    /// Updates made.
    pub steps: usize,
    /// Updates in an epoch.
    pub steps_per_epoch: usize,
    /// Training rows that were in no step of an epoch, since they fill no whole batch
    /// (`descent.drop_last`).
    #[serde(default)]
    pub dropped_rows: usize,
    /// Whole passes over the training rows.
    pub epochs_completed: usize,
    /// Whether patience ended it.
    pub stopped_early: bool,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// The epoch in which training ended, from 0.
    pub stop_epoch: usize,
    /// The last step, from 0.
    pub stop_step: usize,
    /// The step of the lowest validation loss.
    pub best_step: usize,
    /// The lowest validation loss of all evaluations.
    pub best_validation_loss: f64,
    /// How near to the minimum of `J` the saved weights are, where L-BFGS went for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Measured after training ended, with the weights that were saved.
    #[serde(rename = "final")]
    pub final_metrics: FinalMetrics,
    /// The size of the saved weights.
    pub weight_norm: WeightNorms,
    /// Wall-clock time.
    pub seconds: Seconds,
    /// SHA-256 of the run's other files, by name. The summary is written last and seals them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

impl DataSummary {
    /// What of it the model is told by.
    pub fn schema(&self) -> Schema {
        let Self { kind, image_size, features, classes, .. } = self.clone();
        Schema { kind, image_size, features, classes }
    }
}

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Where it came from.
    pub source: String,
    /// What it is made of.
    #[serde(default)]
    pub kind: DataKind,
    /// SHA-256 over the files' own SHA-256.
    pub sha256: String,
    /// Training rows, after classes were chosen.
    pub train: usize,
    /// Validation rows, after classes were chosen.
    pub validation: usize,
    /// Height and width of an image in pixels; the features are its rows, one after the other. A
    /// table's row is one of 1 x d.
    pub image_size: [usize; 2],
    /// The features' names, of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The classes as the data calls them, in the order of the model's outputs; for the logistic
    /// model the
    /// negative class first.
    pub classes: Vec<Class>,
    /// What its folder holds and is not used.
    #[serde(flatten)]
    pub unused: Unused,
}

/// Wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// From the first byte of data to the summary.
    pub total: f64,
    /// In steps.
    pub training: f64,
    /// In evaluations.
    pub validation: f64,
}
