//! Negative controls: does the checker detect a wrong gradient of this module?

use std::fmt;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::module::FlatModule;
use crate::{Finding, Gradient, Options, Parameter, Report};

/// A corrupted gradient, and whether the checker detected it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// How the gradient was corrupted.
    pub name: String,
    /// Whether the checker failed the gradient. `None` if the corruption changes nothing in this
    /// module (a penalised bias of zero has no penalty).
    pub caught: Option<bool>,
}

/// The results of all negative controls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Controls {
    /// Each control.
    pub controls: Vec<Control>,
    /// The check of all corrupted gradients and of autodiff's own gradient.
    pub report: Report,
}

impl Controls {
    /// Whether every corrupted gradient was caught, and at least one was possible.
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

/// Corrupts autodiff's gradient in nine typical ways and reports whether the checker fails each
/// one.
///
/// Call it once on a module before you trust a pass: a checker that cannot fail proves nothing.
pub fn controls<M: Module>(module: &M, loss: impl Fn(&M) -> Tensor<1>, options: &Options) -> Controls {
    let subject = FlatModule::new(module, loss, options.difference_precision);
    let right = subject.autodiff(&subject.point);
    let wrong: Vec<(&str, Option<Gradient>)> = CORRUPTIONS
        .iter()
        .map(|(name, corrupt)| (*name, corrupted(name, *corrupt, &subject.parameters, &subject.point, &right)))
        .collect();
    let mut gradients = vec![right];
    gradients.extend(wrong.iter().filter_map(|(_, gradient)| gradient.clone()));
    let report = subject.check(&gradients, options);
    let controls = wrong.into_iter().map(|(name, gradient)| Control {
        name: name.to_owned(),
        caught: gradient.map(|gradient| is_caught(&report, &gradient.name)),
    });
    Controls { controls: controls.collect(), report }
}

fn is_caught(report: &Report, source: &str) -> bool {
    let at = report.sources.iter().position(|name| name == source);
    let failed = at.is_some_and(|at| report.parameters.iter().any(|parameter| parameter.sources[at].failed > 0));
    let is_named = |finding: &Finding| match finding {
        Finding::NotFinite { source: named, .. } | Finding::Unreached { source: named, matters: true, .. } => {
            named == source
        }
        _ => false,
    };
    failed || report.findings.iter().any(is_named)
}

/// Returns the corrupted gradient, or `None` if the corruption changes nothing.
fn corrupted(
    name: &str,
    corrupt: Corruption,
    parameters: &[Parameter],
    point: &[f64],
    right: &Gradient,
) -> Option<Gradient> {
    let mut wrong = right.clone();
    name.clone_into(&mut wrong.name);
    let mut offset = 0;
    for (at, parameter) in parameters.iter().enumerate() {
        corrupt(&mut wrong.values[at], &parameter.shape, &point[offset..][..parameter.len()]);
        offset += parameter.len();
    }
    let differs = wrong.values.iter().zip(&right.values).any(|(wrong, right)| wrong != right);
    differs.then_some(wrong)
}

/// Corrupts the gradient of one parameter, given its shape and values.
type Corruption = fn(&mut Option<Vec<f64>>, &[usize], &[f64]);

/// Typical mistakes in a gradient.
const CORRUPTIONS: [(&str, Corruption); 9] = [
    ("a wrong sign", |gradient, _, _| each(gradient, |g| -g)),
    ("a missing 1/N (N = 2)", |gradient, _, _| each(gradient, |g| 2.0 * g)),
    ("a doubled penalty (weights)", |gradient, shape, point| {
        if shape.len() > 1 {
            add(gradient, point, 0.1);
        }
    }),
    ("a penalised bias", |gradient, shape, point| {
        if shape.len() == 1 {
            add(gradient, point, 0.1);
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
            && let Some(at) = largest(values)
        {
            values[at] *= 1.001;
        }
    }),
    ("a parameter never reached", |gradient, _, _| *gradient = None),
    ("a value that is not finite", |gradient, _, _| {
        if let Some(first) = gradient.as_mut().and_then(|values| values.first_mut()) {
            *first = f64::NAN;
        }
    }),
];

fn each(gradient: &mut Option<Vec<f64>>, change: impl Fn(f64) -> f64) {
    for value in gradient.iter_mut().flatten() {
        *value = change(*value);
    }
}

fn add(gradient: &mut Option<Vec<f64>>, point: &[f64], times: f64) {
    for (value, x) in gradient.iter_mut().flatten().zip(point) {
        *value += times * x;
    }
}

fn largest(values: &[f64]) -> Option<usize> {
    (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()))
}
