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
    /// Whether every line holds.
    pub passed: bool,
    /// The lines.
    pub rows: Vec<GradientCheck>,
}

/// Many checks of one kind, in one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientCheck {
    /// What was checked: a model, a layer, or `derivation`.
    pub subject: String,
    /// `f32` or `f64`.
    pub precision: String,
    /// Which gradient of it, or which equation of the derivation.
    pub what: String,
    /// The gradients that were held against the differences and each other.
    pub sources: String,
    /// Problems tried.
    pub checks: usize,
    /// Coordinates looked at.
    pub coordinates: usize,
    /// Coordinates of a gradient that cannot be right.
    pub failed: usize,
    /// Coordinates where the differences cannot tell.
    pub unresolved: usize,
    /// Coordinates where the one-sided slopes differ.
    pub kinks: usize,
    /// The largest distance from the differences, relative to the larger of the two, where the
    /// differences could tell.
    pub worst_relative: f64,
    /// Whether it holds.
    pub passed: bool,
    /// The first report that is no pass, or what else went wrong.
    pub problem: Option<String>,
}
