use std::collections::BTreeMap;

use chainrule_core::{History, Parameters};
use serde::{Deserialize, Serialize};

use crate::optimum::SearchState;

/// The state of a training between two steps. With the same rows, config and engine, a resumed
/// training ends with the same bits as an uninterrupted one.
///
/// Some state is not stored, because the rest determines it. Early stopping is replayed from the
/// evaluations, the row order is drawn again, and the learning rates are computed again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of updates; in a search for the minimum, iterations.
    pub(crate) steps: usize,
    /// The parameters after these updates.
    pub(crate) parameters: Parameters,
    /// The parameters of the best evaluation, if the run keeps them.
    pub(crate) best: Option<Parameters>,
    /// The losses and evaluations so far.
    pub(crate) history: History,
    /// The optimizer's state, if it has one.
    #[serde(rename = "memory")]
    pub(crate) optimizer_state: Option<OptimizerState>,
    /// The state of a search for the minimum, if the training is one.
    pub(crate) search: Option<SearchState>,
}

impl Checkpoint {
    /// Creates a checkpoint before the first step. A training that resumes from it starts at these
    /// parameters.
    pub fn start(parameters: Parameters) -> Self {
        let history = History { train_loss: Vec::new(), evaluations: Vec::new() };
        Self { steps: 0, parameters, best: None, history, optimizer_state: None, search: None }
    }

    /// The number of updates; for L-BFGS, iterations.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The parameters after these updates.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The losses and evaluations so far.
    pub fn history(&self) -> &History {
        &self.history
    }
}

/// The internal state of an optimizer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OptimizerState {
    /// The engine's state tensors by name, such as `weight.momentum.moment_1`. Each has the
    /// size of its parameter.
    pub tensors: BTreeMap<String, Vec<f64>>,
    /// The engine's step counters by name.
    pub counts: BTreeMap<String, u64>,
}

/// The error message for a state that belongs to another optimizer.
pub const OPTIMIZER_MISMATCH: &str = "its descent.optimizer is different";
