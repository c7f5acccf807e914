//! The check, on plain slices.

use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::report::{Finding, GradientReport, Mismatch, ParameterReport, Report};
use crate::slope::{Slope, noise, slope};
use crate::{Coverage, Options};

/// A named parameter. The point at which the loss is evaluated contains its flattened values.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The name of the parameter.
    pub name: String,
    /// The shape. Its product is the number of coordinates.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// The number of coordinates.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the parameter has no coordinates.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Converts a flat index to a multi-index. The last axis varies fastest.
    fn unravel(&self, flat_index: usize) -> Vec<usize> {
        let mut rest = flat_index;
        let mut index: Vec<usize> = self
            .shape
            .iter()
            .rev()
            .map(|&size| {
                let i = rest % size;
                rest /= size;
                i
            })
            .collect();
        index.reverse();
        index
    }
}

/// A gradient to compare with the finite differences.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The name in the report.
    pub name: String,
    /// The gradient of each parameter, flattened. It is `None` for a parameter without a gradient.
    pub values: Vec<Option<Vec<f64>>>,
    /// The machine epsilon of the type in which the gradient was computed.
    pub epsilon: f64,
}

/// The allowed rounding error of a gradient, in machine epsilons of its largest coordinate. It is
/// more than 1, because a sum of many terms is rounded many times.
const GRADIENT_ROUNDINGS: f64 = 32.0;

/// The number of directions along which the noise of the loss is measured.
const NOISE_DIRECTIONS: usize = 3;

/// The number of directions per parameter for [`Coverage::Auto`], if there are too many
/// coordinates.
const DIRECTIONS: usize = 4;

/// The largest slope that counts as zero: `sqrt(epsilon) * min(|loss|, 1)`. A comparison is
/// resolved if the slope and its uncertainty add up to at most this, even if the uncertainty is
/// wider than [`Options::resolution`] allows.
fn negligible_slope(epsilon: f64, loss: f64) -> f64 {
    epsilon.sqrt() * loss.abs().min(1.0)
}

/// Compares `gradients` with finite differences of `loss` at `point`. The point contains the
/// flattened values of all `parameters` in order.
///
/// `epsilon` is the machine epsilon of the type in which `loss` computes.
///
/// # Panics
/// If the lengths of `point`, `parameters` and `gradients` do not match.
pub fn check_slices(
    parameters: &[Parameter],
    point: &[f64],
    loss: &mut dyn FnMut(&[f64]) -> f64,
    epsilon: f64,
    gradients: &[Gradient],
    options: &Options,
) -> Report {
    let total: usize = parameters.iter().map(Parameter::len).sum();
    assert_eq!(point.len(), total, "coordinates of the point, and of {} parameters", parameters.len());
    for gradient in gradients {
        let lengths = gradient.values.iter().zip(parameters);
        assert!(
            gradient.values.len() == parameters.len()
                && lengths.clone().all(|(values, p)| values.as_ref().is_none_or(|values| values.len() == p.len())),
            "the gradient {} has another shape than the parameters",
            gradient.name
        );
    }

    let mut checker = Checker::new(parameters, point, loss, epsilon, gradients, options);
    if let Some(finding) = checker.check_preconditions() {
        checker.report.findings.push(finding);
        return checker.report;
    }
    checker.record_non_finite();
    for parameter in 0..parameters.len() {
        checker.check_parameter(parameter);
    }
    checker.add_findings();
    checker.report
}

/// The state of a running check.
struct Checker<'a> {
    parameters: &'a [Parameter],
    point: &'a [f64],
    loss: &'a mut dyn FnMut(&[f64]) -> f64,
    epsilon: f64,
    gradients: &'a [Gradient],
    options: &'a Options,
    rng: ChaCha8Rng,
    /// The index of each parameter's first coordinate in the point.
    offsets: Vec<usize>,
    /// Whether a slope of the loss was clearly not zero.
    has_nonzero_slope: bool,
    report: Report,
}

/// The result of one comparison of a gradient with the finite differences.
enum Comparison {
    Passed,
    Failed,
    Unresolved,
}

impl<'a> Checker<'a> {
    fn new(
        parameters: &'a [Parameter],
        point: &'a [f64],
        loss: &'a mut dyn FnMut(&[f64]) -> f64,
        epsilon: f64,
        gradients: &'a [Gradient],
        options: &'a Options,
    ) -> Self {
        let exhaustive = match options.coverage {
            Coverage::Exhaustive => true,
            Coverage::Auto { coordinates } => point.len() <= coordinates,
            Coverage::Directions { .. } => false,
        };
        let offsets = parameters.iter().scan(0, |next, parameter| {
            let offset = *next;
            *next += parameter.len();
            Some(offset)
        });
        let offsets = offsets.collect();
        let report = Report {
            loss: f64::NAN,
            noise: f64::NAN,
            gradient_names: gradients.iter().map(|gradient| gradient.name.clone()).collect(),
            parameters: Vec::new(),
            findings: Vec::new(),
            exhaustive,
            seed: options.seed,
            evaluations: 0,
            max_unresolved: options.max_unresolved,
        };
        let rng = ChaCha8Rng::seed_from_u64(options.seed);
        Self { parameters, point, loss, epsilon, gradients, options, rng, offsets, has_nonzero_slope: false, report }
    }

    /// Measures the loss and its noise. Returns a finding if finite differences of this loss would
    /// be meaningless.
    fn check_preconditions(&mut self) -> Option<Finding> {
        if self.point.is_empty() {
            return Some(Finding::NoParameters);
        }
        let (first, second) = ((self.loss)(self.point), (self.loss)(self.point));
        self.report.evaluations += 2;
        self.report.loss = first;
        if !first.is_finite() {
            return Some(Finding::LossNotFinite { value: first });
        }
        if first.to_bits() != second.to_bits() {
            return Some(Finding::NotDeterministic { first, second });
        }
        // These directions move every coordinate by a different amount. With equal steps, a
        // symmetry of the loss (two logits that move together) could hide the rounding.
        let epsilon = self.epsilon;
        self.report.noise = 0.0;
        for _ in 0..NOISE_DIRECTIONS {
            let mut direction = self.random_direction(0, 0..self.point.len());
            for (_, component) in &mut direction {
                *component *= self.rng.random_range(0.5..1.5);
            }
            let noise = self.measure_along(&direction, |f| noise(f, 1.0, epsilon));
            self.report.noise = self.report.noise.max(noise);
        }
        None
    }

    /// Adds a finding for each gradient that is not finite.
    fn record_non_finite(&mut self) {
        for gradient in self.gradients {
            for (parameter, values) in self.parameters.iter().zip(&gradient.values) {
                let index = values.as_ref().and_then(|values| values.iter().position(|value| !value.is_finite()));
                if let (Some(index), Some(values)) = (index, values) {
                    self.report.findings.push(Finding::NotFinite {
                        gradient: gradient.name.clone(),
                        parameter: parameter.name.clone(),
                        index: parameter.unravel(index),
                        value: values[index].to_string(),
                    });
                }
            }
        }
    }

    /// Checks all gradients of a parameter.
    fn check_parameter(&mut self, parameter: usize) {
        let empty = GradientReport { passed: 0, failed: 0, unresolved: 0, worst: None };
        self.report.parameters.push(ParameterReport {
            name: self.parameters[parameter].name.clone(),
            shape: self.parameters[parameter].shape.clone(),
            checked: 0,
            kinks: 0,
            gradients: vec![empty; self.gradients.len()],
        });
        let length = self.parameters[parameter].len();
        if self.report.exhaustive {
            for coordinate in 0..length {
                let direction = vec![(self.offsets[parameter] + coordinate, 1.0)];
                let slope = self.slope_along(&direction);
                self.compare_gradients(parameter, Some(coordinate), &direction, slope);
            }
        } else {
            let count = match self.options.coverage {
                Coverage::Directions { count } => count,
                Coverage::Auto { .. } | Coverage::Exhaustive => DIRECTIONS,
            };
            for _ in 0..count {
                let direction = self.random_direction(self.offsets[parameter], 0..length);
                let slope = self.slope_along(&direction);
                if let Some(gradient_index) = self.compare_gradients(parameter, None, &direction, slope) {
                    self.bisect_failure(parameter, gradient_index, direction);
                    break;
                }
            }
        }
        let parameter_report = &self.report.parameters[parameter];
        for (gradient_index, gradient) in self.gradients.iter().enumerate() {
            if gradient.values[parameter].is_none() {
                self.report.findings.push(Finding::Unreached {
                    gradient: gradient.name.clone(),
                    parameter: parameter_report.name.clone(),
                    matters: parameter_report.gradients[gradient_index].failed > 0,
                });
            }
        }
    }

    /// Bisects a direction along which a gradient failed. Stops at one coordinate, or if neither
    /// half fails alone.
    fn bisect_failure(&mut self, parameter: usize, gradient_index: usize, direction: Vec<(usize, f64)>) {
        let mut suspects = direction;
        while suspects.len() > 1 {
            let (left, right) = suspects.split_at(suspects.len() / 2);
            let mut halves = [left, right].map(|half| {
                // Scale each half to unit length. Otherwise its slope would shrink at each split.
                let length = (half.len() as f64).sqrt();
                half.iter().map(|&(index, component)| (index, component.signum() / length)).collect::<Vec<_>>()
            });
            let normalized_distances = [0, 1].map(|half| {
                let slope = self.slope_along(&halves[half]);
                self.mismatch(parameter, gradient_index, None, &halves[half], slope).normalized_distance()
            });
            let worse = usize::from(normalized_distances[1] > normalized_distances[0]);
            if normalized_distances[worse] <= 1.0 {
                return;
            }
            suspects = std::mem::take(&mut halves[worse]);
        }
        let coordinate = suspects[0].0 - self.offsets[parameter];
        let direction = [(suspects[0].0, 1.0)];
        let slope = self.slope_along(&direction);
        let mismatch = self.mismatch(parameter, gradient_index, Some(coordinate), &direction, slope);
        self.report.parameters[parameter].gradients[gradient_index].worst = Some(mismatch);
    }

    /// Compares every gradient with a slope and counts the results. Returns the index of the first
    /// gradient that failed.
    fn compare_gradients(
        &mut self,
        parameter: usize,
        coordinate: Option<usize>,
        direction: &[(usize, f64)],
        slope: Slope,
    ) -> Option<usize> {
        self.has_nonzero_slope |=
            slope.value.abs() > slope.bound.max(self.zero_slope_threshold()) || slope.kink.is_some();
        let mut first_failed = None;
        let mut n_between = 0;
        for gradient_index in 0..self.gradients.len() {
            let mismatch = self.mismatch(parameter, gradient_index, coordinate, direction, slope);
            // At a kink, every slope between the two one-sided slopes is accepted.
            let half_jump = slope.kink.map_or(0.0, |jump| jump.abs() / 2.0);
            let is_between = slope.kink.is_some() && mismatch.distance <= half_jump + mismatch.allowed;
            n_between += usize::from(is_between);
            let comparison = if is_between {
                Comparison::Passed
            } else if mismatch.distance.is_nan() || mismatch.distance > mismatch.allowed {
                Comparison::Failed
            } else if self.is_resolved(parameter, gradient_index, &mismatch) {
                Comparison::Passed
            } else {
                Comparison::Unresolved
            };
            let counts = &mut self.report.parameters[parameter].gradients[gradient_index];
            match comparison {
                Comparison::Passed => counts.passed += 1,
                Comparison::Failed => counts.failed += 1,
                Comparison::Unresolved => counts.unresolved += 1,
            }
            if matches!(comparison, Comparison::Failed) {
                first_failed = first_failed.or(Some(gradient_index));
            }
            if counts.worst.as_ref().is_none_or(|worst| mismatch.normalized_distance() > worst.normalized_distance()) {
                counts.worst = Some(mismatch);
            }
        }
        let parameter_report = &mut self.report.parameters[parameter];
        parameter_report.checked += 1;
        parameter_report.kinks += usize::from(n_between > 0 && n_between == self.gradients.len());
        first_failed
    }

    /// Returns whether the bound is narrow enough to reveal a wrong gradient.
    fn is_resolved(&self, parameter: usize, gradient_index: usize, mismatch: &Mismatch) -> bool {
        // The tolerances of the options do not count: only the bound and the rounding error must be
        // small.
        let uncertainty = mismatch.allowed - self.options.atol - self.options.rtol * mismatch.estimate.abs();
        let size = mismatch.gradients[gradient_index].abs().max(mismatch.estimate.abs());
        let resolution = self.options.resolution.unwrap_or_else(|| (30.0 * self.epsilon.sqrt()).max(1e-3));
        uncertainty <= resolution * size.max(self.largest_coordinate(parameter, gradient_index))
            || size + uncertainty <= negligible_slope(self.epsilon, self.report.loss)
    }

    /// Returns the largest absolute value among the finite coordinates of a parameter's gradient.
    fn largest_coordinate(&self, parameter: usize, gradient_index: usize) -> f64 {
        let values = self.gradients[gradient_index].values[parameter].as_deref().unwrap_or_default();
        values.iter().filter(|value| value.is_finite()).fold(0.0, |largest, value| value.abs().max(largest))
    }

    /// Compares one gradient with a slope.
    fn mismatch(
        &self,
        parameter: usize,
        gradient_index: usize,
        coordinate: Option<usize>,
        direction: &[(usize, f64)],
        slope: Slope,
    ) -> Mismatch {
        let offset = self.offsets[parameter];
        let directional_derivative = |gradient: &Gradient| match &gradient.values[parameter] {
            None => 0.0,
            Some(values) => direction.iter().map(|&(index, component)| values[index - offset] * component).sum(),
        };
        let gradients: Vec<f64> = self.gradients.iter().map(directional_derivative).collect();
        let value = gradients[gradient_index];
        let epsilon = self.gradients[gradient_index].epsilon;
        // The rounding errors of the coordinates have random signs. So the error along a direction
        // is about as large as that of one coordinate.
        let size = value.abs().max(slope.value.abs()).max(self.largest_coordinate(parameter, gradient_index));
        let rounding = GRADIENT_ROUNDINGS * epsilon * size;
        let distance = (value - slope.value).abs();
        let larger = value.abs().max(slope.value.abs());
        Mismatch {
            index: coordinate.map(|coordinate| self.parameters[parameter].unravel(coordinate)),
            estimate: slope.value,
            bound: slope.bound,
            distance,
            relative_distance: if larger > 0.0 { distance / larger } else { 0.0 },
            ulps: if larger > 0.0 { distance / (epsilon * larger) } else { 0.0 },
            allowed: slope.bound + rounding + self.options.atol + self.options.rtol * slope.value.abs(),
            gradients,
        }
    }

    /// Returns a random unit direction: each of the n coordinates is plus or minus `1 / sqrt(n)`.
    fn random_direction(&mut self, offset: usize, coordinates: std::ops::Range<usize>) -> Vec<(usize, f64)> {
        let length = (coordinates.len() as f64).sqrt();
        coordinates
            .map(|coordinate| (offset + coordinate, if self.rng.random::<bool>() { 1.0 } else { -1.0 } / length))
            .collect()
    }

    /// Estimates the slope of the loss along a direction.
    fn slope_along(&mut self, direction: &[(usize, f64)]) -> Slope {
        let noise = self.report.noise;
        // A large coordinate has a large rounding error, so it needs larger steps.
        let scale = direction
            .iter()
            .fold(1.0f64, |scale, &(index, component)| scale.max(self.point[index].abs() * component.abs()));
        self.measure_along(direction, |f| slope(f, scale, noise))
    }

    /// Calls `measure` with the function `t -> loss(point + t * direction)`.
    fn measure_along<T>(
        &mut self,
        direction: &[(usize, f64)],
        measure: impl FnOnce(&mut dyn FnMut(f64) -> f64) -> T,
    ) -> T {
        let mut shifted_point = self.point.to_vec();
        let (point, loss, evaluations) = (self.point, &mut *self.loss, &mut self.report.evaluations);
        let mut f = |t: f64| {
            for &(index, component) in direction {
                shifted_point[index] = point[index] + t * component;
            }
            *evaluations += 1;
            loss(&shifted_point)
        };
        measure(&mut f)
    }

    /// Adds the findings about the whole check.
    fn add_findings(&mut self) {
        let zero_slope_threshold = self.zero_slope_threshold();
        let is_zero = |gradient: &Gradient| {
            gradient.values.iter().flatten().flatten().all(|value| value.abs() <= zero_slope_threshold)
        };
        if !self.has_nonzero_slope && self.gradients.iter().all(is_zero) {
            self.report.findings.push(Finding::Constant);
        }
        let has_failed =
            |gradient_index: usize| self.report.parameters.iter().any(|p| p.gradients[gradient_index].failed > 0);
        let failing: Vec<usize> =
            (0..self.gradients.len()).filter(|&gradient_index| has_failed(gradient_index)).collect();
        if self.gradients.len() < 2 {
            return;
        }
        if let [outlier] = failing[..] {
            self.report.findings.push(Finding::SingleOutlier { gradient: self.gradients[outlier].name.clone() });
        } else if failing.len() == self.gradients.len() && self.gradients_agree() {
            self.report.findings.push(Finding::LossMismatch);
        }
    }

    /// Returns the largest slope that may be only noise: 8 times the noise of the loss.
    fn zero_slope_threshold(&self) -> f64 {
        8.0 * self.report.noise
    }

    /// Returns whether all gradients are equal up to rounding.
    fn gradients_agree(&self) -> bool {
        let first = &self.gradients[0];
        self.gradients[1..].iter().all(|other| {
            (0..self.parameters.len()).all(|parameter| {
                let (Some(a), Some(b)) = (&first.values[parameter], &other.values[parameter]) else { return false };
                let size = self.largest_coordinate(parameter, 0);
                let rounding = GRADIENT_ROUNDINGS * first.epsilon.max(other.epsilon) * size;
                a.iter().zip(b).all(|(a, b)| (a - b).abs() <= rounding)
            })
        })
    }
}
