use serde::{Deserialize, Serialize};

/// The gradient checks of a build on a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientChecks {
    /// The Burn backend.
    pub backend: String,
    /// The device, as Burn names it.
    pub device: String,
    /// The seed of weights, features and directions.
    pub seed: u64,
    /// Whether all checks passed.
    pub passed: bool,
    /// The results.
    pub rows: Vec<GradientCheck>,
}

/// The results of many checks of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientCheck {
    /// The subject: a model, a layer, or `derivation`.
    pub subject: String,
    /// `f32` or `f64`.
    pub precision: String,
    /// The gradient, or the equation of the derivation.
    pub what: String,
    /// The gradients that were compared with finite differences and with each other.
    pub sources: String,
    /// The number of problems tried.
    pub checks: usize,
    /// The number of coordinates checked.
    pub coordinates: usize,
    /// The number of coordinates with a wrong gradient.
    pub failed: usize,
    /// The number of coordinates where finite differences are not precise enough.
    pub unresolved: usize,
    /// The number of coordinates where the one-sided slopes differ.
    pub kinks: usize,
    /// The largest difference from finite differences, relative to the larger of the two, where
    /// they are precise enough.
    pub worst_relative: f64,
    /// Whether all checks of this kind passed.
    pub passed: bool,
    /// The first failure report, or another error.
    pub problem: Option<String>,
}
