use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::class::name_problem;
use crate::sentence::count;
use crate::unused::Unused;
use crate::{
    Certificate, Class, GradientSource, Link, ModelKind, Parameters, Precision, Preprocessing, Standardization,
};

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
    /// By how much a row of each class counted in the objective, in the order of `data.classes`; where absent, 1. All cross-entropies of the run have
    /// these weights, and its accuracies have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f64>>,
    /// The seed of the shuffle.
    pub seed: u64,
    /// Updates made.
    pub steps: usize,
    /// Updates in an epoch.
    pub steps_per_epoch: usize,
    /// Training rows that were in no step of an epoch, since they fill no whole batch (`descent.drop_last`).
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

/// What data are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// Images as IDX files have them, or drawn by code: light ink on a ground of 0.
    #[default]
    Images,
    /// Pictures of any kind, each class in a folder of its own, made grey and scaled.
    Pictures,
    /// Numbers in columns.
    Table,
}

/// What a model takes and what it tells apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// What the rows are made of.
    #[serde(default)]
    pub kind: DataKind,
    /// Height and width of an image in pixels; the features are its rows, one after the other. A table's row is one of 1 x d.
    pub image_size: [usize; 2],
    /// The features' names, of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The classes as the data calls them, in the order of the model's outputs; for the logistic model the
    /// negative class first.
    pub classes: Vec<Class>,
}

impl Schema {
    /// In what a model's weights are not of these rows and classes.
    pub(crate) fn contradiction(
        &self,
        link: impl Into<Link>,
        parameters: &Parameters,
        preprocessing: &Preprocessing,
    ) -> Option<String> {
        let ([height, width], classes, link) = (self.image_size, self.classes.len(), link.into());
        let found = [parameters.n_features, parameters.n_classes];
        let expected = [link.columns(classes), link.classes(found[1])];
        if height.checked_mul(width) != Some(found[0]) || [found[1], classes] != expected {
            return Some(format!(
                "linear.weight of model.safetensors has the shape {found:?}, but it speaks of images of {height} x {width} and of {classes} classes"
            ));
        }
        let named = if self.kind == DataKind::Table { found[0] } else { 0 };
        if self.features.len() != named {
            return Some(format!("it names {}, not {named}", count(self.features.len(), "feature")));
        }
        if let Some(problem) = self.features.iter().find_map(|name| name_problem(name)) {
            return Some(format!("the name of a feature {problem}"));
        }
        let of = preprocessing.standardization().map(Standardization::n_features).filter(|&of| of != found[0]);
        of.map(|of| format!("features.mean has {of} numbers, and linear.weight {} rows", found[0]))
    }
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
    /// Height and width of an image in pixels; the features are its rows, one after the other. A table's row is one of 1 x d.
    pub image_size: [usize; 2],
    /// The features' names, of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The classes as the data calls them, in the order of the model's outputs; for the logistic model the
    /// negative class first.
    pub classes: Vec<Class>,
    /// What its folder holds and is not used.
    #[serde(flatten)]
    pub unused: Unused,
}

/// Mean cross-entropy in nats, without the penalty, each row's times the weight of its class; and fractions classified rightly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinalMetrics {
    /// Over all training rows.
    pub train_loss: f64,
    /// Over all validation rows.
    pub validation_loss: f64,
    /// Over all training rows.
    pub train_accuracy: f64,
    /// Over all validation rows.
    pub validation_accuracy: f64,
}

/// Norms of the parameters as one matrix `[d + 1, k]`, the bias being its last row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightNorms {
    /// The root of the sum of squares.
    pub frobenius: f64,
    /// The sum of squares.
    pub frobenius_squared: f64,
    /// The largest singular value.
    pub spectral: f64,
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
