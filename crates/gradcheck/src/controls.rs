//! Negative controls: does the checker detect a wrong gradient of this module?

use std::fmt;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::module::FlatModule;
use crate::{Finding, Gradient, Options, Parameter, Report};

/// A corrupted gradient and the checker's result for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// How the gradient was corrupted.
    pub name: String,
    /// Whether the checker rejected the gradient. `None` if the corruption changes nothing in this
    /// module: a bias of zero, for example, has no penalty.
    pub caught: Option<bool>,
}

/// The results of all negative controls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Controls {
    /// One control per corruption.
    pub controls: Vec<Control>,
    /// The check of autodiff's gradient and of all corrupted gradients.
    pub report: Report,
}

impl Controls {
    /// Returns whether every corrupted gradient was caught, and there was at least one.
    pub fn all_caught(&self) -> bool {
        self.controls.iter().all(|control| control.caught != Some(false))
            && self.controls.iter().any(|control| control.caught == Some(true))
    }

    /// Panics with the list of controls unless [all were caught](Controls::all_caught).
    ///
    /// # Panics
    /// If a corrupted gradient passed, or if no corruption was possible.
    #[track_caller]
    pub fn assert_all_caught(&self) {
        assert!(self.all_caught(), "{self}");
    }
}

impl fmt::Display for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for control in &self.controls {
            let outcome = match control.caught {
                Some(true) => "caught",
                Some(false) => "MISSED",
                None => "not applicable here",
            };
            writeln!(f, "{:<36} {outcome}", control.name)?;
        }
        Ok(())
    }
}

/// Corrupts autodiff's gradient in nine typical ways and reports whether the checker rejects each
/// corrupted gradient.
///
/// Call it once on a module before you trust a pass: a checker that cannot fail proves nothing.
pub fn controls<M: Module>(module: &M, loss: impl Fn(&M) -> Tensor<1>, options: &Options) -> Controls {
    let flat_module = FlatModule::new(module, &loss, options.difference_precision);
    let correct = match flat_module.autodiff_with_rounding(options.seed) {
        Ok(correct) => correct,
        Err(finding) => return Controls { controls: Vec::new(), report: Report::of_finding(finding, options) },
    };
    let corrupted: Vec<(&str, Option<Gradient>)> = CORRUPTIONS
        .iter()
        .map(|(name, corrupt)| {
            (*name, corrupt_gradient(name, *corrupt, &flat_module.parameters, &flat_module.point, &correct))
        })
        .collect();
    let mut gradients = vec![correct];
    gradients.extend(corrupted.iter().filter_map(|(_, gradient)| gradient.clone()));
    let report = flat_module.check(&gradients, options);
    let controls = corrupted.into_iter().map(|(name, gradient)| Control {
        name: name.to_owned(),
        caught: gradient.map(|gradient| is_caught(&report, &gradient.name)),
    });
    Controls { controls: controls.collect(), report }
}

fn is_caught(report: &Report, gradient_name: &str) -> bool {
    let index = report.gradient_names.iter().position(|name| name == gradient_name);
    let has_failed =
        index.is_some_and(|index| report.parameters.iter().any(|parameter| parameter.gradients[index].failed > 0));
    let is_named = |finding: &Finding| match finding {
        Finding::NotFinite { gradient, .. } | Finding::Unreached { gradient, matters: true, .. } => {
            gradient == gradient_name
        }
        _ => false,
    };
    has_failed || report.findings.iter().any(is_named)
}

/// Returns the corrupted gradient, or `None` if the corruption changes nothing.
fn corrupt_gradient(
    name: &str,
    corrupt: Corruption,
    parameters: &[Parameter],
    point: &[f64],
    correct: &Gradient,
) -> Option<Gradient> {
    let mut corrupted = correct.clone();
    name.clone_into(&mut corrupted.name);
    let mut offset = 0;
    for (index, parameter) in parameters.iter().enumerate() {
        corrupt(&mut corrupted.values[index], &parameter.shape, &point[offset..][..parameter.len()]);
        offset += parameter.len();
    }
    let differs = corrupted.values.iter().zip(&correct.values).any(|(corrupted, correct)| corrupted != correct);
    differs.then_some(corrupted)
}

/// Corrupts the gradient of one parameter. The other arguments are the parameter's shape and
/// values.
type Corruption = fn(&mut Option<Vec<f64>>, &[usize], &[f64]);

/// Typical mistakes in a gradient.
const CORRUPTIONS: [(&str, Corruption); 9] = [
    ("a wrong sign", |gradient, _, _| map_values(gradient, |g| -g)),
    ("a missing 1/N (N = 2)", |gradient, _, _| map_values(gradient, |g| 2.0 * g)),
    ("a doubled penalty (weights)", |gradient, shape, point| {
        if shape.len() > 1 {
            add_penalty(gradient, point, 0.1);
        }
    }),
    ("a penalised bias", |gradient, shape, point| {
        if shape.len() == 1 {
            add_penalty(gradient, point, 0.1);
        }
    }),
    ("a transposed weight gradient", |gradient, shape, _| {
        if let ([rows, columns], Some(values)) = (shape, gradient) {
            let transposed = (0..rows * columns).map(|i| values[i % rows * columns + i / rows]);
            *values = transposed.collect();
        }
    }),
    ("two swapped classes", |gradient, shape, _| {
        if let (Some(values), Some(&classes)) = (gradient, shape.last())
            && classes > 1
        {
            values.chunks_mut(classes).for_each(|row| row.swap(0, 1));
        }
    }),
    ("one coordinate off by 0.1 %", |gradient, _, _| {
        if let Some(values) = gradient
            && let Some(index) = index_of_largest(values)
        {
            values[index] *= 1.001;
        }
    }),
    ("a parameter never reached", |gradient, _, _| *gradient = None),
    ("a value that is not finite", |gradient, _, _| {
        if let Some(first) = gradient.as_mut().and_then(|values| values.first_mut()) {
            *first = f64::NAN;
        }
    }),
];

fn map_values(gradient: &mut Option<Vec<f64>>, change: impl Fn(f64) -> f64) {
    for value in gradient.iter_mut().flatten() {
        *value = change(*value);
    }
}

/// Adds `factor` times the parameter's values: the gradient of an L2 penalty.
fn add_penalty(gradient: &mut Option<Vec<f64>>, point: &[f64], factor: f64) {
    for (value, x) in gradient.iter_mut().flatten().zip(point) {
        *value += factor * x;
    }
}

fn index_of_largest(values: &[f64]) -> Option<usize> {
    (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()))
}
