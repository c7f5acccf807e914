use std::collections::BTreeMap;

use chainrule_core::{History, Parameters};
use serde::{Deserialize, Serialize};

use crate::optimum::SearchState;

/// Where a training stands between two steps: all that it takes to go on and end as if nothing had
/// happened, with the same rows, config and engine.
///
/// What follows from the rest is not in it: early stopping is judged anew from the evaluations, the
/// order of the rows is drawn anew, and the schedule of the learning rate is run again to where it
/// was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Updates made; of L-BFGS, iterations.
    pub(crate) steps: usize,
    /// After these.
    pub(crate) parameters: Parameters,
    /// Those of the best evaluation, where they will be kept.
    pub(crate) best: Option<Parameters>,
    pub(crate) history: History,
    /// What the optimizer remembers, where it does.
    pub(crate) memory: Option<OptimizerState>,
    /// Of L-BFGS, the rest.
    pub(crate) search: Option<SearchState>,
}

impl Checkpoint {
    /// Of a training that begins at these parameters, and by mini-batch descent.
    pub fn start(parameters: Parameters) -> Self {
        let history = History { train_loss: Vec::new(), evaluations: Vec::new() };
        Self { steps: 0, parameters, best: None, history, memory: None, search: None }
    }

    /// Updates made; of L-BFGS, iterations.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The parameters after these.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The losses and evaluations up to there.
    pub fn history(&self) -> &History {
        &self.history
    }
}

/// What an optimizer remembers of the steps before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OptimizerState {
    /// By names of the engine's, as `weight.momentum.moment_1`, each with as many numbers as its
    /// parameter.
    pub tensors: BTreeMap<String, Vec<f64>>,
    /// Steps made, by names of the engine's.
    pub counts: BTreeMap<String, u64>,
}

/// What is wrong with a memory that is not this optimizer's.
pub const ANOTHER_OPTIMIZER: &str = "its descent.optimizer is another";
