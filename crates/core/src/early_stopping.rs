/// Monitors the validation loss. A new strict minimum resets the count; `patience` misses in a row
/// stop the training.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    patience: Option<usize>,
    misses: usize,
    best: Option<(usize, f64)>,
}

/// The result of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppingDecision {
    /// The loss is the lowest so far.
    Improved,
    /// The loss is not lower, but the patience is not used up.
    NotImproved,
    /// The loss is not lower, and the patience is used up.
    Stop,
}

impl EarlyStopping {
    /// Stops at the `patience`-th miss in a row, or never if `None`.
    pub fn new(patience: Option<usize>) -> Self {
        Self { patience, misses: 0, best: None }
    }

    /// Records the validation loss of the next evaluation and returns the decision.
    pub fn record(&mut self, step: usize, loss: f64) -> StoppingDecision {
        if self.best.is_none_or(|(_, best)| loss < best) {
            self.best = Some((step, loss));
            self.misses = 0;
            return StoppingDecision::Improved;
        }
        self.misses += 1;
        if self.patience.is_some_and(|patience| self.misses >= patience) {
            StoppingDecision::Stop
        } else {
            StoppingDecision::NotImproved
        }
    }

    /// The step and the loss of the best evaluation.
    pub fn best(&self) -> Option<(usize, f64)> {
        self.best
    }
}
