use chainrule_records::{History, Parameters};
use serde::{Deserialize, Serialize};

use crate::optimizer::Memory;
use crate::optimum::SearchState;

/// Where a training stands between two steps: all that it takes to go on and end as if nothing had happened, with the same rows, config and engine.
///
/// What follows from the rest is not in it: early stopping is judged anew from the evaluations, the order of the rows is drawn anew, and the schedule of the
/// learning rate is run again to where it was.
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
    pub(crate) memory: Option<Memory>,
    /// Of L-BFGS, the rest.
    pub(crate) search: Option<SearchState>,
}

impl Checkpoint {
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
