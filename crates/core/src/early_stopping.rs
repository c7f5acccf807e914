/// Monitors the validation loss. The training stops after `patience` consecutive evaluations
/// without a strictly lower loss.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    patience: Option<usize>,
    without_improvement: usize,
    best: Option<(usize, f64)>,
}

/// The decision after one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppingDecision {
    /// The loss is the lowest so far.
    Improved,
    /// The loss is not lower, but the patience is not exhausted.
    NotImproved,
    /// The loss is not lower, and the patience is exhausted.
    Stop,
}

impl EarlyStopping {
    /// Creates the monitor. Without a patience it never stops the training.
    pub fn new(patience: Option<usize>) -> Self {
        Self { patience, without_improvement: 0, best: None }
    }

    /// Records the validation loss of the next evaluation and returns the decision.
    pub fn record(&mut self, step: usize, loss: f64) -> StoppingDecision {
        if self.best.is_none_or(|(_, best)| loss < best) {
            self.best = Some((step, loss));
            self.without_improvement = 0;
            return StoppingDecision::Improved;
        }
        self.without_improvement += 1;
        if self.patience.is_some_and(|patience| self.without_improvement >= patience) {
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
