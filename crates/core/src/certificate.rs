use serde::{Deserialize, Serialize};

/// How near to its minimum J* an objective `J = C + lambda/2 sum w^2` is at the weights that were
/// saved.
///
/// Computed and summed in f64, whatever the run's precision, from those very weights and from the
/// rows as that precision has them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// J, the mean cross-entropy of all training rows with the penalty, in nats.
    pub objective: f64,
    /// The length of the gradient of J by all parameters.
    pub gradient_norm: f64,
    /// `J - J*` is at most this, in nats: Eq. (28) of `docs/derivation.md`, or Eq. (32) where the
    /// bias is free. Nothing is assumed of the data.
    pub bound: f64,
    /// What the bound was to come down to.
    pub tolerance: f64,
    /// How the search ended.
    pub ended: SearchEnd,
    /// Iterations made.
    pub iterations: usize,
    /// Passes over the training rows, each for J and its gradient, those of the certificate
    /// included.
    pub gradients: usize,
}

/// How a search for the minimum ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchEnd {
    /// The bound is within the tolerance.
    Converged,
    /// All iterations were made before it was.
    IterationsUsedUp,
    /// Rounding hides what is left of the way.
    Rounding,
    /// The observer ended it.
    Interrupted,
}

impl Certificate {
    /// Whether J is proven to be within the tolerance, however the search ended.
    pub fn holds(&self) -> bool {
        self.bound <= self.tolerance
    }
}
