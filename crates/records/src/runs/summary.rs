use std::collections::BTreeMap;

use chainrule_core::{
    Certificate, Class, DataKind, FinalMetrics, GradientSource, Identification, ModelKind, Precision, Recipe, Schema,
    UnusedFiles, WeightNorms,
};
use serde::{Deserialize, Serialize};

/// The results of a run: `summary.json`, and the output of `train --json`.
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
    /// The float type.
    pub precision: Precision,
    /// The gradient source.
    pub gradient: GradientSource,
    /// The threads of the fused kernels. It is 1 for other gradients; the backend chooses their
    /// threads.
    pub threads: usize,
    /// The training data.
    pub data: DataSummary,
    /// The weight of a row of each class in the objective, in the order of `data.classes`; absent
    /// means 1. All cross-entropies of the run use these weights; its accuracies do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f64>>,
    /// The seed of the shuffle.
    pub seed: u64,
    /// The number of steps.
    pub steps: usize,
    /// The number of steps per epoch.
    pub steps_per_epoch: usize,
    /// The training rows of each epoch that fill no whole batch and were dropped
    /// (`descent.drop_last`).
    #[serde(default)]
    pub dropped_rows: usize,
    /// The number of complete epochs.
    pub epochs_completed: usize,
    /// Whether early stopping ended the training.
    pub stopped_early: bool,
    /// Whether Ctrl-C ended the training.
    pub interrupted: bool,
    /// The epoch in which training ended, from 0.
    pub stop_epoch: usize,
    /// The last step, from 0.
    pub stop_step: usize,
    /// The step of the lowest validation loss.
    pub best_step: usize,
    /// The lowest validation loss of all evaluations.
    pub best_validation_loss: f64,
    /// The proven distance of the saved weights from the minimum of `J`, for L-BFGS and Newton's
    /// method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// What makes the minimum unique, if it was searched without a penalty: which weights were
    /// fixed at 0. If the classes are separated, the features that separate them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identification: Option<Identification<String, Class>>,
    /// The metrics of the saved weights, measured after the training.
    #[serde(rename = "final")]
    pub final_metrics: FinalMetrics,
    /// The metrics of the constant model, which predicts the class frequencies of the training rows
    /// for every row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant: Option<FinalMetrics>,
    /// How much more `J` falls within ten iterations of L-BFGS from the saved weights, as a
    /// fraction of `J`. Measured on tables, for solvers without a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further_decrease: Option<f64>,
    /// The norms of the saved weights.
    pub weight_norm: WeightNorms,
    /// The wall-clock time.
    pub seconds: Seconds,
    /// The SHA-256 of the run's other files, by name. The summary is written last and seals them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

impl DataSummary {
    /// Returns the part of the summary that defines the model's input and classes.
    pub fn schema(&self) -> Schema {
        let Self { kind, image_size, mut features, recipe, classes, .. } = self.clone();
        if let Some(recipe) = recipe.as_ref().filter(|recipe| recipe.is_sparse()) {
            features = recipe.feature_names();
        }
        Schema { kind, image_size, features, recipe, classes }
    }
}

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// The origin.
    pub source: String,
    /// The kind of the data.
    #[serde(default)]
    pub kind: DataKind,
    /// The SHA-256 over the files' own SHA-256.
    pub sha256: String,
    /// Training rows, after classes were chosen.
    pub train: usize,
    /// Validation rows, after classes were chosen.
    pub validation: usize,
    /// The height and width of an image in pixels; the features are its pixel rows, one after
    /// another. A table has 1 x d.
    pub image_size: [usize; 2],
    /// The feature names of a table. Empty for sparse features, which the recipe lists in short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// How the columns of a table became these features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// The rows of a table that were left out because `data.classes` does not have their class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_of_other_classes: Option<usize>,
    /// Whether the validation rows are the training rows, since none were held out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_validated_on_training: bool,
    /// The class names in the order of the model's outputs; for the logistic model the negative
    /// class comes first.
    pub classes: Vec<Class>,
    /// The files of the data folder that are not used.
    #[serde(flatten)]
    pub unused: UnusedFiles,
}

/// Wall-clock time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// From the start of loading the data to the summary.
    pub total: f64,
    /// In steps.
    pub training: f64,
    /// In evaluations.
    pub validation: f64,
}
