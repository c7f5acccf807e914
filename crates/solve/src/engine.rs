use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use chainrule_core::{Gradient, History, Link, Parameters};
use chainrule_data::{DataError, Order};
use chainrule_kernels::{Curvature, FeatureMoments};

use crate::checkpoint::{OPTIMIZER_MISMATCH, OptimizerState};
use crate::{Metrics, PartialResults, TrainError};

/// A training engine: it holds the parameters and the rows, and computes the steps.
pub trait Engine: Send {
    /// The model's link: its loss and its prediction as functions of the logits.
    fn link(&self) -> &dyn Link;

    /// The number of training rows.
    fn rows(&self) -> usize;

    /// Prepares an epoch. Its steps use the rows at these positions of `order`, in consecutive
    /// batches of `batch_size` rows. The last batch may be smaller.
    fn begin_epoch(
        &mut self,
        order: &Arc<Order>,
        positions: Range<usize>,
        batch_size: usize,
    ) -> Result<(), EngineError> {
        let _ = (order, positions, batch_size);
        Ok(())
    }

    /// Updates the parameters with the mean gradient over the rows of a batch.
    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), EngineError>;

    /// Returns the mean cross-entropy of each batch since the last call. Each is measured before
    /// the batch's update.
    fn losses(&mut self) -> Result<Vec<f64>, EngineError>;

    /// The weight of each class's rows, `[k]`, if there are class weights.
    fn class_weights(&self) -> Option<Vec<f64>> {
        None
    }

    /// The mean weight of a training row: that of its class, multiplied by its own.
    fn mean_weight(&self) -> f64 {
        1.0
    }

    /// A lower bound on the weights of the training rows, except weights of 0. `None` if neither
    /// classes nor rows have weights.
    fn smallest_weight(&self) -> Option<f64> {
        smallest_weight(self.class_weights().as_deref(), None::<std::iter::Empty<f64>>)
    }

    /// Returns the mean cross-entropy of all training rows, without the penalty, and its gradient
    /// at the current parameters.
    fn full_gradient(&mut self) -> Result<Gradient, EngineError>;

    /// As [`Engine::full_gradient`], but at `parameters` and in f64. Returns `None` if the engine
    /// already computes in f64, or cannot.
    fn full_gradient_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, EngineError>> {
        let _ = parameters;
        None
    }

    /// Returns the mean of each feature over the training rows, `[d]`, if the engine knows it.
    fn feature_mean(&mut self) -> Option<Vec<f64>> {
        None
    }

    /// Returns the moments of the features, if the engine knows them.
    fn feature_moments(&mut self) -> Option<FeatureMoments> {
        None
    }

    /// Returns the mean cross-entropy of about one row out of `step`, without the penalty, and its
    /// gradient at the current parameters. Returns `None` if the engine takes no samples.
    fn sample_gradient(&mut self, step: usize) -> Option<Result<Gradient, EngineError>> {
        let _ = step;
        None
    }

    /// Returns the mean cross-entropy of all training rows at `parameters`, without the penalty,
    /// with its gradient and its Hessian, in f64. The features are `x - centre`, with the same
    /// logits: see [`Curvature`]. Returns `None` if the engine cannot, or if there are more than
    /// [`MAX_NEWTON_PARAMETERS`](crate::MAX_NEWTON_PARAMETERS).
    fn curvature(&mut self, parameters: &Parameters, centre: &[f64]) -> Option<Result<Curvature, EngineError>> {
        let _ = (parameters, centre);
        None
    }

    /// Returns the feature of the most frequent level of each category that has a level in every
    /// row.
    fn reference_levels(&mut self) -> Vec<usize> {
        Vec::new()
    }

    /// Evaluates the current parameters during the training.
    fn evaluate(&mut self) -> Result<EvaluationResult, EngineError>;

    /// Returns the metrics on the training rows and on the validation rows.
    /// [`train()`](crate::train()) calls it once, after the last step.
    fn metrics(&mut self) -> Result<[Metrics; 2], EngineError>;

    /// Copies the parameters to the host.
    fn parameters(&mut self) -> Result<Parameters, EngineError>;

    /// Sets the parameters.
    fn set(&mut self, parameters: &Parameters);

    /// Returns the optimizer's state, if it has one.
    fn optimizer_state(&mut self) -> Option<OptimizerState> {
        None
    }

    /// Restores the optimizer's state. The parameters have been set before.
    ///
    /// # Errors
    /// If the state does not fit the optimizer. The message says why.
    fn restore_optimizer_state(&mut self, state: Option<&OptimizerState>) -> Result<(), String> {
        state.map_or(Ok(()), |_| Err(OPTIMIZER_MISMATCH.to_owned()))
    }
}

/// Returns a lower bound on the products of the weights of classes and of rows, except those of 0.
/// `None` if there are no weights.
pub(crate) fn smallest_weight(
    of_classes: Option<&[f64]>,
    of_rows: Option<impl IntoIterator<Item = f64>>,
) -> Option<f64> {
    let smallest = |weights: &mut dyn Iterator<Item = f64>| weights.filter(|&weight| weight > 0.0).fold(1.0, f64::min);
    let of_classes = of_classes.map(|weights| smallest(&mut weights.iter().copied()));
    let of_rows = of_rows.map(|weights| smallest(&mut weights.into_iter()));
    match (of_classes, of_rows) {
        (None, None) => None,
        (of_classes, of_rows) => Some(of_classes.unwrap_or(1.0) * of_rows.unwrap_or(1.0)),
    }
}

/// An error of an engine.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// The device did not return its results.
    Device(Box<dyn Error + Send + Sync>),
    /// The rows can no longer be read.
    Data(DataError),
    /// The engine computes no Hessian of this model and these rows.
    NoHessian,
}

impl EngineError {
    /// Converts the error to a [`TrainError`] that contains the results so far. `parameters` is a
    /// step with the parameters after it.
    pub fn into_train_error(self, history: History, parameters: Option<(usize, Parameters)>) -> TrainError {
        let results = |reason| Box::new(PartialResults { reason, history, parameters });
        match self {
            Self::Device(error) => {
                // Some of Burn's errors end with a backtrace.
                let reason = error.to_string().lines().take(3).map(str::trim).collect::<Vec<_>>().join(" ");
                TrainError::DeviceLost(results(reason))
            }
            Self::Data(error) => TrainError::DataLost(results(error.to_string())),
            Self::NoHessian => TrainError::NoHessian,
        }
    }
}

impl From<DataError> for EngineError {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

/// The results of one evaluation.
pub struct EvaluationResult {
    /// The metrics on the validation rows.
    pub validation: Metrics,
    /// The fraction of training rows classified correctly.
    pub train_accuracy: f64,
    /// The evaluated parameters.
    pub parameters: Parameters,
}
