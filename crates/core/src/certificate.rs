use serde::{Deserialize, Serialize};

/// A proven bound on how far `J = C + lambda/2 sum w^2` is above its minimum J*, at the saved
/// weights.
///
/// It is computed and summed in f64, whatever the run's precision. It uses the saved weights and
/// the features as rounded to that precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// J: the mean cross-entropy over all training rows plus the penalty, in nats.
    pub objective: f64,
    /// The length of the gradient of J with respect to all parameters.
    pub gradient_norm: f64,
    /// The bound on `J - J*`, in nats: Eq. (28) of `docs/derivation.md`, or Eq. (32) if the bias
    /// has no penalty. It assumes nothing about the data.
    pub bound: f64,
    /// The tolerance that the bound should reach.
    pub tolerance: f64,
    /// How the search ended.
    pub ended: SearchEnd,
    /// The number of iterations.
    pub iterations: usize,
    /// The number of passes over the training rows. Each one computes J and its gradient. The
    /// passes for the certificate are included.
    pub gradients: usize,
}

/// How a search for the minimum ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchEnd {
    /// The bound is within the tolerance.
    Converged,
    /// The search reached the maximum number of iterations first.
    IterationsUsedUp,
    /// Rounding errors prevent any further progress.
    Rounding,
    /// The observer stopped it.
    Interrupted,
}

impl Certificate {
    /// Whether J is proven to be within the tolerance. It does not matter how the search ended.
    pub fn holds(&self) -> bool {
        self.objective.is_finite() && self.bound <= self.tolerance
    }
}
