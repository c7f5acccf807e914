//! A reference implementation for tests of a minimum, here and in the tests with tensors.

use chainrule_core::{ModelKind, Parameters, TrainConfig};
use chainrule_records::ConfigFile;

pub(crate) const KINDS: [ModelKind; 2] = [ModelKind::Softmax, ModelKind::Logistic];

/// Returns an experiment on the synthetic rows.
pub(crate) fn config(kind: ModelKind, more: &[&str]) -> TrainConfig {
    let (kind, classes) = match kind {
        ModelKind::Softmax => ("softmax", ""),
        ModelKind::Logistic => ("logistic", "[data]\nclasses = [1, 0]\n"),
    };
    let text = format!(
        "{classes}[model]\nkind = '{kind}'\n[objective]\nl2 = 0.01\n[descent]\nsolver = 'lbfgs'\nprecision = 'f64'"
    );
    let overrides: Vec<String> = more.iter().map(|&text| text.to_owned()).collect();
    TrainConfig::parse("optimum", &text, &overrides).unwrap()
}

/// The models by plain loops over the formulas of the derivation, without code under test. The
/// logistic model has two probabilities.
pub(crate) struct Dense {
    pub(crate) x: Vec<Vec<f64>>,
    pub(crate) y: Vec<usize>,
    pub(crate) k: usize,
    pub(crate) kind: ModelKind,
}

impl Dense {
    /// Returns the logits of a row. The logistic model's are 0 and z.
    pub(crate) fn logits(&self, at: &Parameters, row: usize) -> Vec<f64> {
        let z = |class: usize| {
            at.bias[class] + self.x[row].iter().zip(at.weights_of_class(class)).map(|(x, w)| x * w).sum::<f64>()
        };
        match self.kind {
            ModelKind::Softmax => (0..self.k).map(z).collect(),
            ModelKind::Logistic => vec![0.0, z(0)],
        }
    }

    pub(crate) fn n(&self) -> f64 {
        self.y.len() as f64
    }

    pub(crate) fn objective(&self, at: &Parameters, lambda: f64, penalize_bias: bool) -> f64 {
        let cost = |row| {
            let z = self.logits(at, row);
            log_sum(&z) - z[self.y[row]]
        };
        let square = |values: &[f64]| values.iter().map(|w| w * w).sum::<f64>();
        let penalty = square(&at.weight) + if penalize_bias { square(&at.bias) } else { 0.0 };
        (0..self.y.len()).map(cost).sum::<f64>() / self.n() + lambda / 2.0 * penalty
    }
}

pub(crate) fn log_sum(z: &[f64]) -> f64 {
    let max = z.iter().fold(f64::NEG_INFINITY, |a: f64, &b| a.max(b));
    max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
}
