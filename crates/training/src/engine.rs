use std::ops::Range;
use std::sync::Arc;

use burn::tensor::TensorReadError;
use chainrule_data::{DataError, Order};
use chainrule_kernels::Gradient;
use chainrule_records::Parameters;

use crate::Metrics;
use crate::optimizer::{ANOTHER, Memory};

/// What computes: parameters on their way down, and the rows that they are fitted to.
pub(crate) trait Engine: Send {
    /// Training rows.
    fn rows(&self) -> usize;

    /// An epoch begins, whose steps take the rows at these places of this order, one batch of this size after the other; the last may be smaller.
    fn begin_epoch(&mut self, order: &Arc<Order>, places: Range<usize>, batch_size: usize) -> Result<(), Failure> {
        let _ = (order, places, batch_size);
        Ok(())
    }

    /// One update, of this learning rate.
    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), Failure>;

    /// The batches' mean cross-entropies, each before its update, of the steps since this was last asked.
    fn losses(&mut self) -> Result<Vec<f64>, Failure>;

    /// By how much a training row counts on average.
    fn mean_weight(&self) -> f64 {
        1.0
    }

    /// The mean cross-entropy of all training rows, without the penalty, and its gradient, at the parameters.
    fn gradient_of_all(&mut self) -> Result<Gradient, Failure>;

    /// The same in f64 at these parameters, where the engine computes with less and could do with more.
    fn gradient_in_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, Failure>> {
        let _ = parameters;
        None
    }

    fn evaluate(&mut self) -> Result<Evaluated, Failure>;

    /// Of the training rows and of the validation rows.
    fn metrics(&mut self) -> Result<[Metrics; 2], Failure>;

    fn parameters(&mut self) -> Result<Parameters, Failure>;

    fn set(&mut self, parameters: &Parameters);

    /// What the updates remember of those before, where they do.
    fn memory(&mut self) -> Option<Memory> {
        None
    }

    /// Takes on such a memory, once the parameters are set; gives what is wrong with it.
    fn recall(&mut self, memory: Option<&Memory>) -> Result<(), String> {
        memory.map_or(Ok(()), |_| Err(ANOTHER.to_owned()))
    }
}

/// Why an engine cannot go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The device does not give back what it computed.
    Device(TensorReadError),
    /// The rows cannot be read any more.
    Data(DataError),
}

impl From<TensorReadError> for Failure {
    fn from(error: TensorReadError) -> Self {
        Self::Device(error)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

/// What one evaluation finds.
pub(crate) struct Evaluated {
    pub(crate) validation: Metrics,
    pub(crate) train_accuracy: f64,
    pub(crate) parameters: Parameters,
}
