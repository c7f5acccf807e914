//! The check, on plain slices.

use std::cmp::Ordering;

use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::report::{Finding, GradientReport, Mismatch, ParameterReport, Report};
use crate::slope::{Slope, slope};
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
    /// The measured rounding error of each coordinate, in the order of the point. If it is `None`,
    /// a coordinate fails only beyond 32 machine epsilons of the parameter's largest one, and if
    /// that much would hide an error of the coordinate itself, it is unresolved.
    pub rounding: Option<Vec<f64>>,
}

impl Gradient {
    /// A gradient whose rounding error was not measured.
    pub fn new(name: impl Into<String>, values: Vec<Option<Vec<f64>>>, epsilon: f64) -> Self {
        Self { name: name.into(), values, epsilon, rounding: None }
    }

    /// Returns a finding for each parameter with a value that is not finite.
    pub(crate) fn not_finite(&self, parameters: &[Parameter]) -> impl Iterator<Item = Finding> {
        self.values.iter().zip(parameters).filter_map(|(values, parameter)| {
            let values = values.as_ref()?;
            let index = values.iter().position(|value| !value.is_finite())?;
            Some(Finding::NotFinite {
                gradient: self.name.clone(),
                parameter: parameter.name.clone(),
                index: parameter.unravel(index),
                value: values[index].to_string(),
            })
        })
    }

    /// Returns why the gradient is not one of these parameters, if it is not.
    fn mismatched(&self, parameters: &[Parameter]) -> Option<Finding> {
        if self.values.len() != parameters.len() {
            return Some(Finding::WrongParameters {
                gradient: self.name.clone(),
                expected: parameters.len(),
                found: self.values.len(),
            });
        }
        self.values.iter().zip(parameters).find_map(|(values, parameter)| {
            let found = values.as_ref().filter(|values| values.len() != parameter.len())?.len();
            Some(Finding::WrongShape {
                gradient: self.name.clone(),
                parameter: parameter.name.clone(),
                expected: parameter.shape.clone(),
                found: vec![found],
            })
        })
    }
}

/// The allowed rounding error of a gradient, in machine epsilons: of the value itself if the
/// rounding was measured, and of the parameter's largest coordinate if not. It is more than 1,
/// because a sum of many terms is rounded many times.
const GRADIENT_ROUNDINGS: [f64; 2] = [8.0, 32.0];

/// The allowed distance, in bounds of the slope. A bound that is false, which is rare, is mostly so
/// by little.
const BOUNDS: f64 = 3.0;

/// The distances, in lengths of scale, and the number of directions in which a loss without slopes
/// is evaluated, to tell a stationary point from a constant.
const FAR: [f64; 4] = [1e-3, 0.03, 0.3, 1.0];
const FAR_DIRECTIONS: usize = 3;

/// The least sum of the jumps of a group of kinks, relative to their absolute values, that does not
/// vanish by chance.
const LEAST_JUMP: f64 = 0.01;

/// The number of coordinates of 0 that are checked one by one where a direction has a kink.
const ZEROS: usize = 16;

/// The number of directions per parameter for [`Coverage::Auto`], if there are too many
/// coordinates.
const DIRECTIONS: usize = 4;

/// The largest slope that counts as zero: `sqrt(epsilon) * min(magnitude, 1)`, with the magnitude
/// of the loss. A comparison is resolved if the slope and its uncertainty add up to at most this,
/// even if the uncertainty is wider than [`Options::resolution`] allows.
pub(crate) fn negligible_slope(epsilon: f64, magnitude: f64) -> f64 {
    // If the loss is 0, only the smallest numbers are negligible.
    (epsilon.sqrt() * magnitude.min(1.0)).max(1e-290)
}

/// Returns whether a number is a length: positive and finite.
fn is_length(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}

/// Returns whether a parameter is the one that is asked for, or in the module that is.
fn is_part(asked: &str, name: &str) -> bool {
    name.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Compares `gradients` with finite differences of `loss` at `point`. The point contains the
/// flattened values of all `parameters` in order.
///
/// `epsilon` is the machine epsilon of the type in which `loss` computes.
///
/// A gradient of other lengths than the parameters is a finding.
///
/// # Panics
/// If the point has another length than the parameters together.
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
    let mut checker = Checker::new(parameters, point, loss, epsilon, gradients, options);
    checker.report.findings.extend(gradients.iter().filter_map(|gradient| gradient.mismatched(parameters)));
    if checker.report.findings.is_empty() {
        let finding = checker.check_preconditions();
        checker.report.findings.extend(finding);
    }
    if !checker.report.findings.is_empty() {
        return checker.report;
    }
    checker.record_non_finite();
    checker.record_infinite_coordinates();
    for parameter in 0..parameters.len() {
        checker.check_parameter(parameter);
    }
    checker.check_ties();
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
    /// The coordinates at kinks, as indices in the point, with the jumps of the slope.
    at_kinks: Vec<(usize, f64)>,
    /// The largest absolute value of the loss along the directions.
    magnitude: f64,
    report: Report,
}

/// The result of one comparison of a gradient with the finite differences, from the best to the
/// worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Comparison {
    Passed,
    Unresolved,
    Failed,
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
        Self {
            parameters,
            point,
            loss,
            epsilon,
            gradients,
            options,
            rng,
            offsets,
            has_nonzero_slope: false,
            at_kinks: Vec::new(),
            magnitude: 0.0,
            report,
        }
    }

    /// Measures the loss and its noise. Returns a finding if finite differences of this loss would
    /// be meaningless.
    fn check_preconditions(&mut self) -> Option<Finding> {
        if self.point.is_empty() {
            return Some(Finding::NoParameters);
        }
        let mut known = self.parameters.iter().map(|parameter| &parameter.name);
        let is_unknown = |asked: &&String| !known.clone().any(|name| is_part(asked, name));
        if let Some(name) = self.options.parameters.iter().find(is_unknown).cloned() {
            return Some(Finding::UnknownParameter { name, known: known.by_ref().cloned().collect() });
        }
        if let Some(scale) = self.options.scale.filter(|scale| !is_length(*scale)) {
            return Some(Finding::InvalidScale { value: scale.to_string() });
        }
        let first = (self.loss)(self.point);
        self.report.loss = first;
        self.report.noise = 0.0;
        self.report.evaluations = 1;
        if !first.is_finite() {
            return Some(Finding::LossNotFinite { value: first.to_string() });
        }
        for _ in 1..self.options.repetitions.max(2) {
            let second = (self.loss)(self.point);
            self.report.evaluations += 1;
            if first.to_bits() != second.to_bits() {
                return Some(Finding::NotDeterministic { first, second: second.to_string() });
            }
        }
        None
    }

    /// Adds a finding for each gradient that is not finite.
    fn record_non_finite(&mut self) {
        for gradient in self.gradients {
            self.report.findings.extend(gradient.not_finite(self.parameters));
        }
    }

    /// Adds a finding for each parameter that has a coordinate that is not finite. Nothing can be
    /// added to it.
    fn record_infinite_coordinates(&mut self) {
        for (parameter, offset) in self.parameters.iter().zip(&self.offsets) {
            let values = &self.point[*offset..][..parameter.len()];
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                self.report.findings.push(Finding::InfiniteCoordinate {
                    parameter: parameter.name.clone(),
                    index: parameter.unravel(index),
                    value: values[index].to_string(),
                });
            }
        }
    }

    /// Checks all gradients of a parameter, if the options ask for it.
    fn check_parameter(&mut self, parameter: usize) {
        let empty = GradientReport { passed: 0, failed: 0, unresolved: 0, worst: None, failures: Vec::new() };
        self.report.parameters.push(ParameterReport {
            name: self.parameters[parameter].name.clone(),
            shape: self.parameters[parameter].shape.clone(),
            checked: 0,
            kinks: 0,
            changes: 0,
            gradients: vec![empty; self.gradients.len()],
        });
        let (asked, name) = (&self.options.parameters, &self.parameters[parameter].name);
        if !asked.is_empty() && !asked.iter().any(|asked| is_part(asked, name)) {
            return;
        }
        let length = self.parameters[parameter].len();
        if self.report.exhaustive {
            for coordinate in 0..length {
                self.check_coordinate(parameter, coordinate);
            }
        } else {
            let count = match self.options.coverage {
                Coverage::Directions { count } => count,
                Coverage::Auto { .. } | Coverage::Exhaustive => DIRECTIONS,
            };
            for _ in 0..count {
                let mut direction = self.random_direction(self.offsets[parameter], 0..length);
                let mut slope = self.slope_along(&direction);
                if slope.kink.is_some()
                    && let Some(away) = self.away_from_zeros(parameter, &direction)
                {
                    slope = self.slope_along(&away);
                    direction = away;
                }
                if let Some(gradient_index) = self.compare_gradients(parameter, None, &direction, slope) {
                    self.bisect_failure(parameter, gradient_index, direction);
                    break;
                }
            }
        }
        let offset = self.offsets[parameter];
        for gradient_index in 0..self.gradients.len() {
            if self.gradients[gradient_index].values[parameter].is_some() {
                continue;
            }
            let gradient = self.gradients[gradient_index].name.clone();
            let name = self.parameters[parameter].name.clone();
            let matters = self.report.parameters[parameter].gradients[gradient_index].failed > 0;
            let is_seen_constant = |checker: &mut Self| {
                checker.report.parameters[parameter].gradients[gradient_index].unresolved == 0
                    && !checker.far_values(offset..offset + length).iter().any(|value| checker.is_other_loss(*value))
            };
            let finding = if matters || is_seen_constant(self) {
                Finding::Unreached { gradient, parameter: name, matters }
            } else {
                Finding::UnreachedHere { gradient, parameter: name }
            };
            self.report.findings.push(finding);
        }
    }

    fn check_coordinate(&mut self, parameter: usize, coordinate: usize) {
        let index = self.offsets[parameter] + coordinate;
        let direction = [(index, 1.0)];
        let slope = self.slope_along(&direction);
        self.compare_gradients(parameter, Some(coordinate), &direction, slope);
        self.at_kinks.extend(slope.kink.map(|jump| (index, jump)));
    }

    /// Returns a direction without the coordinates that are 0, of which it checks some one by one.
    /// A penalty on absolute values has a kink at each of them, and together they would hide the
    /// slope along all others. Returns `None` if no coordinate is 0, or all are.
    fn away_from_zeros(&mut self, parameter: usize, direction: &[(usize, f64)]) -> Option<Vec<(usize, f64)>> {
        let (zeros, others): (Vec<_>, Vec<_>) = direction.iter().partition(|(index, _)| self.point[*index] == 0.0);
        if zeros.is_empty() || others.is_empty() {
            return None;
        }
        for _ in 0..ZEROS {
            let (index, _) = zeros[self.rng.random_range(0..zeros.len())];
            self.check_coordinate(parameter, index - self.offsets[parameter]);
        }
        let length = (others.len() as f64).sqrt();
        Some(others.into_iter().map(|(index, component)| (index, component.signum() / length)).collect())
    }

    /// Compares the gradients along directions that move several coordinates at kinks together. At
    /// a tie, such as that of two equal maxima, each coordinate has a kink, but together they have
    /// a slope, and a gradient that counts the tie twice or not at all has another one.
    ///
    /// A tie may be within a parameter or between several, and several ties may cancel. So the
    /// coordinates of each parameter are moved, those of all, and those of each value, and of these
    /// those whose slopes jump up or down.
    fn check_ties(&mut self) {
        let mut at_kinks = std::mem::take(&mut self.at_kinks);
        if !self.report.exhaustive {
            return;
        }
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut add = |group: &[(usize, f64)]| {
            let [up, down] = [1.0, -1.0]
                .map(|sign| group.iter().copied().filter(|(_, jump)| jump * sign > 0.0).collect::<Vec<(usize, f64)>>());
            for group in [group, &up, &down] {
                // Jumps that cancel vanish together, also without a tie.
                let [sum, size] =
                    [|jump: f64| jump, f64::abs].map(|f| group.iter().map(|(_, jump)| f(*jump)).sum::<f64>());
                let indices: Vec<usize> = group.iter().map(|(index, _)| *index).collect();
                if indices.len() > 1 && sum.abs() > LEAST_JUMP * size && !groups.contains(&indices) {
                    groups.push(indices);
                }
            }
        };
        for (parameter, offset) in self.parameters.iter().zip(&self.offsets) {
            let range = *offset..offset + parameter.len();
            add(&at_kinks.iter().copied().filter(|(index, _)| range.contains(index)).collect::<Vec<_>>());
        }
        add(&at_kinks);
        let value = |(index, _): &(usize, f64)| self.point[*index];
        at_kinks.sort_by(|a, b| value(a).total_cmp(&value(b)));
        at_kinks.chunk_by(|a, b| value(a) == value(b)).for_each(add);
        let mut is_told = vec![false; self.gradients.len()];
        for group in groups {
            self.check_tie(&group, &mut is_told);
        }
    }

    /// Compares the gradients along the direction that moves all coordinates of a group equally,
    /// but for those that were told to be wrong.
    fn check_tie(&mut self, group: &[usize], is_told: &mut [bool]) {
        let component = 1.0 / (group.len() as f64).sqrt();
        let direction: Vec<(usize, f64)> = group.iter().map(|&index| (index, component)).collect();
        let slope = self.slope_along(&direction);
        if slope.kink.is_some() {
            return;
        }
        let mut parameters: Vec<usize> = group.iter().map(|&index| self.parameter_of(index)).collect();
        parameters.sort_unstable();
        parameters.dedup();
        for (gradient_index, is_told) in is_told.iter_mut().enumerate() {
            let largest = |parameter: usize| self.largest_coordinate(parameter, gradient_index);
            let steepest = parameters.iter().copied().max_by(|&a, &b| largest(a).total_cmp(&largest(b)));
            let steepest = steepest.expect("a group has coordinates");
            let mismatch = self.mismatch(steepest, gradient_index, None, &direction, slope);
            if mismatch.distance > mismatch.allowed && !*is_told {
                *is_told = true;
                let names: Vec<&str> = parameters.iter().map(|&index| self.parameters[index].name.as_str()).collect();
                self.report.findings.push(Finding::WrongAtTie {
                    gradient: self.gradients[gradient_index].name.clone(),
                    parameter: names.join(", "),
                    coordinates: group.len(),
                    estimate: slope.value / component,
                    value: mismatch.gradients[gradient_index] / component,
                });
            }
        }
    }

    /// Returns the parameter of a coordinate of the point.
    fn parameter_of(&self, index: usize) -> usize {
        self.offsets.partition_point(|offset| *offset <= index) - 1
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
        let gradient = &mut self.report.parameters[parameter].gradients[gradient_index];
        gradient.failures = vec![mismatch.clone()];
        gradient.worst = Some(mismatch);
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
            slope.value.abs() > slope.bound.max(self.zero_slope_threshold(direction)) || slope.kink.is_some();
        self.report.parameters[parameter].changes += usize::from(slope.change.is_some());
        let mut first_failed = None;
        let mut n_between = 0;
        for gradient_index in 0..self.gradients.len() {
            let mismatch = self.mismatch(parameter, gradient_index, coordinate, direction, slope);
            // At a kink, every slope between the two one-sided slopes is accepted.
            let half_jump = slope.kink.map_or(0.0, |jump| jump.abs() / 2.0);
            let is_between = slope.kink.is_some() && mismatch.distance <= half_jump + mismatch.allowed;
            n_between += usize::from(is_between);
            // Along a direction, the kinks of some coordinates must not hide the slopes of others.
            let size = mismatch.gradients[gradient_index].abs().max(slope.value.abs());
            let hides_slopes = coordinate.is_none() && half_jump > self.resolution(gradient_index) * size;
            let is_known = slope.value.is_finite() && slope.bound.is_finite();
            let comparison = if !mismatch.gradients[gradient_index].is_finite() {
                Comparison::Failed
            } else if is_between {
                if hides_slopes { Comparison::Unresolved } else { Comparison::Passed }
            } else if !is_known {
                Comparison::Unresolved
            } else if mismatch.distance > mismatch.allowed {
                Comparison::Failed
            } else if self.is_resolved(parameter, gradient_index, &mismatch) {
                Comparison::Passed
            } else {
                Comparison::Unresolved
            };
            let counts = &mut self.report.parameters[parameter].gradients[gradient_index];
            let worst_so_far = match counts {
                GradientReport { failed: 1.., .. } => Comparison::Failed,
                GradientReport { unresolved: 1.., .. } => Comparison::Unresolved,
                _ => Comparison::Passed,
            };
            match comparison {
                Comparison::Passed => counts.passed += 1,
                Comparison::Failed => counts.failed += 1,
                Comparison::Unresolved => counts.unresolved += 1,
            }
            if comparison == Comparison::Failed {
                counts.failures.push(mismatch.clone());
                first_failed = first_failed.or(Some(gradient_index));
            }
            let is_worst = |worst: &Mismatch| match comparison.cmp(&worst_so_far) {
                Ordering::Less => false,
                Ordering::Equal => mismatch.normalized_distance() > worst.normalized_distance(),
                Ordering::Greater => true,
            };
            if counts.worst.as_ref().is_none_or(is_worst) {
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
        let resolution = self.resolution(gradient_index);
        // Where the rounding error was not measured, the allowed one would hide a wrong coordinate
        // that is much smaller than the largest.
        let rounding = self.guessed_rounding(parameter, gradient_index, size);
        if rounding > resolution * size && mismatch.distance > mismatch.allowed - rounding {
            return false;
        }
        uncertainty <= resolution * size.max(self.largest_coordinate(parameter, gradient_index))
            || size + uncertainty <= negligible_slope(self.epsilon, self.magnitude)
            || self.is_zero_up_to_rounding(gradient_index, mismatch, uncertainty)
    }

    /// Returns the widest uncertainty of a coordinate that is resolved, as a fraction of the
    /// parameter's largest one. A gradient in a type of few digits is not known better than these.
    fn resolution(&self, gradient_index: usize) -> f64 {
        let rounding = GRADIENT_ROUNDINGS[1] * self.gradients[gradient_index].epsilon;
        self.options.resolution.unwrap_or_else(|| (30.0 * self.epsilon.sqrt()).max(1e-3).max(rounding))
    }

    /// Returns whether the slope is 0 within its bound, and the gradient consists of rounding
    /// errors of larger terms, as that of the bias of an attention's keys: a softmax does not
    /// change if all its inputs grow.
    fn is_zero_up_to_rounding(&self, gradient_index: usize, mismatch: &Mismatch, uncertainty: f64) -> bool {
        let gradient = &self.gradients[gradient_index];
        let largest = (0..self.parameters.len()).map(|parameter| self.largest_coordinate(parameter, gradient_index));
        gradient.rounding.is_some()
            && mismatch.estimate.abs() <= mismatch.bound
            && uncertainty
                <= f64::max(
                    GRADIENT_ROUNDINGS[1] * gradient.epsilon * largest.fold(0.0, f64::max),
                    negligible_slope(gradient.epsilon, self.magnitude),
                )
    }

    /// Returns the allowed rounding error of a coordinate of this size, where none was measured.
    fn guessed_rounding(&self, parameter: usize, gradient_index: usize, size: f64) -> f64 {
        let gradient = &self.gradients[gradient_index];
        let largest = || size.max(self.largest_coordinate(parameter, gradient_index));
        if gradient.rounding.is_some() { 0.0 } else { GRADIENT_ROUNDINGS[1] * gradient.epsilon * largest() }
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
        let directional_derivative = |gradient: &Gradient| {
            let products = direction.iter().map(|&(index, component)| {
                let parameter = self.parameter_of(index);
                let values = gradient.values[parameter].as_ref();
                values.map_or(0.0, |values| values[index - self.offsets[parameter]] * component)
            });
            products.sum()
        };
        let gradients: Vec<f64> = self.gradients.iter().map(directional_derivative).collect();
        let value = gradients[gradient_index];
        let epsilon = self.gradients[gradient_index].epsilon;
        // The rounding errors of the coordinates have random signs. So the error along a direction
        // is about as large as that of one coordinate.
        let finite = [value, slope.value].into_iter().filter(|value| value.is_finite());
        let size = finite.fold(0.0f64, |size, value| size.max(value.abs()));
        let [of_itself, _] = GRADIENT_ROUNDINGS;
        let rounding = match &self.gradients[gradient_index].rounding {
            Some(rounding) => {
                let squares = direction.iter().map(|&(index, component)| (rounding[index] * component).powi(2));
                of_itself * epsilon * size + squares.sum::<f64>().sqrt()
            }
            None => self.guessed_rounding(parameter, gradient_index, size),
        };
        let distance = (value - slope.value).abs();
        let larger = value.abs().max(slope.value.abs());
        Mismatch {
            index: coordinate.map(|coordinate| self.parameters[parameter].unravel(coordinate)),
            estimate: slope.value,
            bound: slope.bound,
            distance,
            relative_distance: if larger > 0.0 { distance / larger } else { 0.0 },
            ulps: if larger > 0.0 { distance / (epsilon * larger) } else { 0.0 },
            allowed: BOUNDS * slope.bound + rounding + self.options.atol + self.options.rtol * slope.value.abs(),
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
        // The distance along the direction at which a coordinate is twice as large. Shorter steps
        // than its rounding leave the coordinate as it is.
        let far = |size: f64, &(index, component): &(usize, f64)| size.max((self.point[index] / component).abs());
        let size = direction.iter().fold(0.0, far);
        let scale = self.scale_along(direction);
        let epsilon = self.epsilon;
        let slope = self.measure_along(direction, |f| slope(f, scale, size, epsilon));
        if slope.noise.is_finite() {
            self.report.noise = self.report.noise.max(slope.noise);
            self.magnitude = self.magnitude.max(slope.magnitude);
        }
        slope
    }

    /// Returns the length scale of the loss along a direction.
    fn scale_along(&self, direction: &[(usize, f64)]) -> f64 {
        // A large coordinate has a large rounding error, so it needs larger steps.
        let along = |scale: f64, &(index, component): &(usize, f64)| scale.max((self.point[index] * component).abs());
        self.options.scale.unwrap_or_else(|| direction.iter().fold(1.0, along))
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
        // The sum of a softmax has the slope 0, and its gradient consists of rounding errors.
        let is_zero = |gradient: &Gradient| {
            let rounding = |index: usize| gradient.rounding.as_ref().map_or(0.0, |rounding| rounding[index]);
            gradient.values.iter().zip(&self.offsets).all(|(values, offset)| {
                let mut values = values.iter().flatten().zip(*offset..);
                values.all(|(value, index)| value.abs() <= self.zero_slope_threshold(&[(index, 1.0)]) + rounding(index))
            })
        };
        if self.report.checked() == 0 {
            self.report.findings.push(Finding::NothingCompared);
        } else if !self.has_nonzero_slope && self.gradients.iter().all(is_zero) {
            let finding = self.why_no_slope();
            self.report.findings.extend(finding);
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

    /// Tells a constant loss from a stationary point: is the loss another one further away? Returns
    /// `None` if its noise would hide that.
    fn why_no_slope(&mut self) -> Option<Finding> {
        let values = self.far_values(0..self.point.len());
        let loss = self.report.loss;
        let size = values.iter().fold(loss.abs(), |size, value| size.max(value.abs()));
        if values.iter().any(|value| self.is_other_loss(*value)) {
            Some(Finding::Stationary)
        } else if self.point.iter().all(|x| x.is_finite())
            && (self.report.noise <= 64.0 * self.epsilon * size || size == 0.0)
        {
            Some(Finding::Constant)
        } else {
            None
        }
    }

    /// Returns the loss further away, in random directions of these coordinates, where it is
    /// finite.
    fn far_values(&mut self, coordinates: std::ops::Range<usize>) -> Vec<f64> {
        let mut values = Vec::new();
        for _ in 0..FAR_DIRECTIONS {
            let mut direction = self.random_direction(coordinates.start, 0..coordinates.len());
            for (index, component) in &mut direction {
                let scale = self.options.scale.unwrap_or_else(|| self.point[*index].abs().max(1.0));
                *component = component.signum() * scale * self.rng.random_range(0.5..1.5);
            }
            values.extend(self.measure_along(&direction, |f| FAR.map(&mut *f)));
        }
        values.retain(|value| value.is_finite());
        values
    }

    fn is_other_loss(&self, value: f64) -> bool {
        (value - self.report.loss).abs() > 8.0 * self.report.noise
    }

    /// Returns the largest slope along a direction that may be only noise: 8 times the noise of the
    /// loss, over the scale.
    fn zero_slope_threshold(&self, direction: &[(usize, f64)]) -> f64 {
        8.0 * self.report.noise / self.scale_along(direction)
    }

    /// Returns whether all gradients are equal up to rounding.
    fn gradients_agree(&self) -> bool {
        let first = &self.gradients[0];
        self.gradients[1..].iter().all(|other| {
            (0..self.parameters.len()).all(|parameter| {
                let (Some(a), Some(b)) = (&first.values[parameter], &other.values[parameter]) else { return false };
                let size = self.largest_coordinate(parameter, 0);
                let rounding = GRADIENT_ROUNDINGS[1] * first.epsilon.max(other.epsilon) * size;
                a.iter().zip(b).all(|(a, b)| (a - b).abs() <= rounding)
            })
        })
    }
}
