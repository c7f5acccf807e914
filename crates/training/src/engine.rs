use burn::tensor::TensorReadError;
use chainrule_records::Parameters;

use crate::Metrics;

/// What computes: parameters on their way down, and the rows that they are fitted to.
pub(crate) trait Engine: Send {
    /// Training rows.
    fn rows(&self) -> usize;

    /// One update.
    fn step(&mut self, batch: &[usize]) -> Result<(), TensorReadError>;

    /// The batches' mean cross-entropies, each before its update, of the steps since this was last asked.
    fn losses(&mut self) -> Result<Vec<f64>, TensorReadError>;

    fn evaluate(&mut self) -> Result<Evaluated, TensorReadError>;

    /// Of the training rows and of the validation rows.
    fn metrics(&mut self) -> Result<[Metrics; 2], TensorReadError>;

    fn parameters(&mut self) -> Result<Parameters, TensorReadError>;

    fn set(&mut self, parameters: &Parameters);
}

/// What one evaluation finds.
pub(crate) struct Evaluated {
    pub(crate) validation: Metrics,
    pub(crate) train_accuracy: f64,
    pub(crate) parameters: Parameters,
}
