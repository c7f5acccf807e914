use std::collections::BTreeMap;

use chainrule_core::{History, Parameters};
use serde::{Deserialize, Serialize};

use crate::optimum::SearchState;

/// The state of a training between two steps. With the same rows, config and engine, a resumed
/// training ends with the same bits as an uninterrupted one.
///
/// It does not contain what follows from the rest: early stopping is replayed from the evaluations,
/// the row order is drawn again, and the learning-rate schedule is computed again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of updates; for L-BFGS, iterations.
    pub(crate) steps: usize,
    /// The parameters after these updates.
    pub(crate) parameters: Parameters,
    /// The parameters of the best evaluation, if the run keeps them.
    pub(crate) best: Option<Parameters>,
    pub(crate) history: History,
    /// The optimizer's state, if it has one.
    pub(crate) memory: Option<OptimizerState>,
    /// The state of L-BFGS.
    pub(crate) search: Option<SearchState>,
}

impl Checkpoint {
    /// Starts a mini-batch training at these parameters.
    pub fn start(parameters: Parameters) -> Self {
        let history = History { train_loss: Vec::new(), evaluations: Vec::new() };
        Self { steps: 0, parameters, best: None, history, memory: None, search: None }
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
    /// The engine's state tensors by name, such as `weight.momentum.moment_1`. Each has as many
    /// numbers as its parameter.
    pub tensors: BTreeMap<String, Vec<f64>>,
    /// The engine's step counters by name.
    pub counts: BTreeMap<String, u64>,
}

/// The problem with a state that belongs to another optimizer.
pub const ANOTHER_OPTIMIZER: &str = "its descent.optimizer is another";
