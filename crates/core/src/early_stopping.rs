/// Watches the validation loss: strictly lower than ever resets the count, and `patience` misses in
/// a row stop.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    patience: Option<usize>,
    misses: usize,
    best: Option<(usize, f64)>,
}

/// What an evaluation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppingDecision {
    /// The lowest loss so far.
    Improved,
    /// Not lower, but go on.
    Missed,
    /// Not lower, once too often.
    Stop,
}

impl EarlyStopping {
    /// Stops at the `patience`-th miss in a row; never with `None`.
    pub fn new(patience: Option<usize>) -> Self {
        Self { patience, misses: 0, best: None }
    }

    /// Takes the next evaluation's validation loss.
    pub fn judge(&mut self, step: usize, loss: f64) -> StoppingDecision {
        if self.best.is_none_or(|(_, best)| loss < best) {
            self.best = Some((step, loss));
            self.misses = 0;
            return StoppingDecision::Improved;
        }
        self.misses += 1;
        if self.patience.is_some_and(|patience| self.misses >= patience) {
            StoppingDecision::Stop
        } else {
            StoppingDecision::Missed
        }
    }

    /// Step and loss of the best evaluation.
    pub fn best(&self) -> Option<(usize, f64)> {
        self.best
    }
}
