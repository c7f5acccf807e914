use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use chainrule_core::{Gradient, History, Link, Parameters};
use chainrule_data::{DataError, Order};

use crate::checkpoint::{ANOTHER_OPTIMIZER, OptimizerState};
use crate::{DeviceLost, Metrics, TrainError};

/// What computes: parameters on their way down, and the rows that they are fitted to.
pub trait Engine: Send {
    /// What makes the model.
    fn link(&self) -> &dyn Link;

    /// Training rows.
    fn rows(&self) -> usize;

    /// An epoch begins, whose steps take the rows at these places of this order, one batch of this
    /// size after the other; the last may be smaller.
    fn begin_epoch(&mut self, order: &Arc<Order>, places: Range<usize>, batch_size: usize) -> Result<(), EngineError> {
        let _ = (order, places, batch_size);
        Ok(())
    }

    /// One update, of this learning rate.
    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), EngineError>;

    /// The batches' mean cross-entropies, each before its update, of the steps since this was last
    /// asked.
    fn losses(&mut self) -> Result<Vec<f64>, EngineError>;

    /// By how much a row of each class counts, `[k]`, where not all count 1.
    fn class_weights(&self) -> Option<Vec<f64>> {
        None
    }

    /// By how much a training row counts on average.
    fn mean_weight(&self) -> f64 {
        1.0
    }

    /// The mean cross-entropy of all training rows, without the penalty, and its gradient, at the
    /// parameters.
    fn full_gradient(&mut self) -> Result<Gradient, EngineError>;

    /// The same in f64 at these parameters, where the engine computes with less and could do with
    /// more.
    fn full_gradient_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, EngineError>> {
        let _ = parameters;
        None
    }

    /// What the parameters are worth, between two steps.
    fn evaluate(&mut self) -> Result<EvaluationResult, EngineError>;

    /// What they are worth on the training rows and on the validation rows.
    fn metrics(&mut self) -> Result<[Metrics; 2], EngineError>;

    /// The parameters, on the host.
    fn parameters(&mut self) -> Result<Parameters, EngineError>;

    /// Takes on these parameters.
    fn set(&mut self, parameters: &Parameters);

    /// What the updates remember of those before, where they do.
    fn optimizer_state(&mut self) -> Option<OptimizerState> {
        None
    }

    /// Takes on such a memory, once the parameters are set; gives what is wrong with it.
    fn restore_optimizer_state(&mut self, memory: Option<&OptimizerState>) -> Result<(), String> {
        memory.map_or(Ok(()), |_| Err(ANOTHER_OPTIMIZER.to_owned()))
    }
}

/// Why an engine cannot go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// The device does not give back what it computed.
    Device(Box<dyn Error + Send + Sync>),
    /// The rows cannot be read any more.
    Data(DataError),
}

impl EngineError {
    /// As the training's error, with what the training had come to.
    pub fn lost(self, history: History, parameters: Option<(usize, Parameters)>) -> TrainError {
        let lost = |reason| Box::new(DeviceLost { reason, history, parameters });
        match self {
            Self::Device(error) => {
                // Some errors of Burn go on with a backtrace.
                let reason = error.to_string().lines().take(3).map(str::trim).collect::<Vec<_>>().join(" ");
                TrainError::DeviceLost(lost(reason))
            }
            Self::Data(error) => TrainError::DataLost(lost(error.to_string())),
        }
    }
}

impl From<DataError> for EngineError {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

/// What one evaluation finds.
pub struct EvaluationResult {
    /// What the parameters are worth on the validation rows.
    pub validation: Metrics,
    /// Fraction of the training rows that they classify rightly.
    pub train_accuracy: f64,
    /// These parameters.
    pub parameters: Parameters,
}
