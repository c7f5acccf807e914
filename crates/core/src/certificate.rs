use serde::{Deserialize, Serialize};

/// A proven upper bound on `J - J*` at the saved weights. `J = C + lambda/2 sum w^2`, and J* is its
/// minimum.
///
/// The bound is computed in f64 for a run of any precision. It uses the saved weights, and the
/// features rounded to the run's precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// J: the mean cross-entropy over all training rows plus the penalty, in nats.
    pub objective: f64,
    /// The Euclidean norm of the gradient of J with respect to all parameters.
    pub gradient_norm: f64,
    /// The bound on `J - J*`, in nats: Eq. (29) of `docs/derivation.md`, or Eq. (33) if the bias
    /// has no penalty; Eq. (38) of Newton's method. It assumes nothing about the data.
    pub bound: f64,
    /// The requested tolerance: [`OptimumConfig::tolerance`](crate::OptimumConfig::tolerance).
    pub tolerance: f64,
    /// How the search ended.
    pub ended: SearchEnd,
    /// The number of iterations.
    pub iterations: usize,
    /// The number of passes over the training rows, including those for the certificate. Each pass
    /// computes J and its gradient.
    pub gradients: usize,
}

/// How a search for the minimum ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchEnd {
    /// The bound is at most the tolerance.
    Converged,
    /// The search reached the maximum number of iterations.
    IterationsUsedUp,
    /// Rounding errors prevent any further progress.
    Rounding,
    /// The classes are separated, so J has no minimum without a penalty.
    Separated,
    /// The observer stopped it.
    Interrupted,
}

impl Certificate {
    /// Whether J is proven to be within the tolerance of its minimum, however the search ended.
    pub fn holds(&self) -> bool {
        self.objective.is_finite() && self.bound <= self.tolerance && self.ended != SearchEnd::Separated
    }
}
