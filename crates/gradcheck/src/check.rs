//! The check itself, over plain slices.

use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::report::{Finding, Mismatch, ParameterReport, Report, SourceReport};
use crate::slope::{Slope, noise, slope};
use crate::{Options, Search};

/// A parameter by name: a stretch of the flat point.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its shape; the product of it is its length.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// Its coordinates.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no coordinate.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The coordinates of a flat index, the last axis running fastest.
    fn unravel(&self, flat: usize) -> Vec<usize> {
        let mut rest = flat;
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

/// A gradient to hold against the differences.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// What it is called in the report.
    pub name: String,
    /// For each parameter its values, or nothing where the gradient has none for it.
    pub values: Vec<Option<Vec<f64>>>,
    /// The relative rounding of the type that it was computed in.
    pub epsilon: f64,
}

/// Roundings of the largest coordinate that a gradient may be off: a sum of many terms has more
/// than one.
const GRADIENT_ROUNDINGS: f64 = 32.0;

/// Directions along which the noise of the loss is measured.
const NOISE_DIRECTIONS: usize = 3;

/// Directions a parameter where coordinates are too many.
const DIRECTIONS: usize = 4;

/// What is as good as no slope: one that moves the loss by less than the root of its rounding, a
/// unit along. There, being able to say so is enough, and no finer resolution is needed.
fn flat(epsilon: f64, loss: f64) -> f64 {
    epsilon.sqrt() * loss.abs().min(1.0)
}

/// Holds `gradients` against differences of `loss` at `point`, which is the `parameters` one after
/// the other.
///
/// `epsilon` is the relative rounding of the type that `loss` computes in.
///
/// # Panics
/// Where the lengths of `point`, `parameters` and `gradients` do not fit each other.
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
            "the gradient {} has not the shape of the parameters",
            gradient.name
        );
    }

    let mut checker = Checker::new(parameters, point, loss, epsilon, gradients, options);
    if let Some(finding) = checker.cannot_be_checked() {
        checker.report.findings.push(finding);
        return checker.report;
    }
    checker.note_what_is_not_finite();
    for parameter in 0..parameters.len() {
        checker.check_parameter(parameter);
    }
    checker.conclude();
    checker.report
}

struct Checker<'a> {
    parameters: &'a [Parameter],
    point: &'a [f64],
    loss: &'a mut dyn FnMut(&[f64]) -> f64,
    epsilon: f64,
    gradients: &'a [Gradient],
    options: &'a Options,
    rng: ChaCha8Rng,
    /// Where each parameter begins in the point.
    offsets: Vec<usize>,
    /// Whether the loss was seen to depend on anything.
    moves: bool,
    report: Report,
}

/// A gradient against the differences.
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
        let exhaustive = match options.search {
            Search::Exhaustive => true,
            Search::Auto { coordinates } => point.len() <= coordinates,
            Search::Directions { .. } => false,
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
            sources: gradients.iter().map(|gradient| gradient.name.clone()).collect(),
            parameters: Vec::new(),
            findings: Vec::new(),
            exhaustive,
            seed: options.seed,
            evaluations: 0,
            max_unresolved: options.max_unresolved,
        };
        let rng = ChaCha8Rng::seed_from_u64(options.seed);
        Self { parameters, point, loss, epsilon, gradients, options, rng, offsets, moves: false, report }
    }

    /// What forbids any differences. On the way, the loss and its noise are measured.
    fn cannot_be_checked(&mut self) -> Option<Finding> {
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
        // Along directions in which every coordinate moves, by another amount each: with equal
        // steps, a symmetry of the loss (two logits that move together) could hide its rounding.
        let epsilon = self.epsilon;
        self.report.noise = 0.0;
        for _ in 0..NOISE_DIRECTIONS {
            let mut direction = self.random_direction(0, 0..self.point.len());
            for (_, by) in &mut direction {
                *by *= self.rng.random_range(0.5..1.5);
            }
            let measured = self.along(&direction, |f| noise(f, 1.0, epsilon));
            self.report.noise = self.report.noise.max(measured);
        }
        None
    }

    fn note_what_is_not_finite(&mut self) {
        for gradient in self.gradients {
            for (parameter, values) in self.parameters.iter().zip(&gradient.values) {
                let at = values.as_ref().and_then(|values| values.iter().position(|value| !value.is_finite()));
                if let (Some(at), Some(values)) = (at, values) {
                    self.report.findings.push(Finding::NotFinite {
                        source: gradient.name.clone(),
                        parameter: parameter.name.clone(),
                        index: parameter.unravel(at),
                        value: values[at].to_string(),
                    });
                }
            }
        }
    }

    fn check_parameter(&mut self, parameter: usize) {
        let empty = SourceReport { passed: 0, failed: 0, unresolved: 0, worst: None };
        self.report.parameters.push(ParameterReport {
            name: self.parameters[parameter].name.clone(),
            shape: self.parameters[parameter].shape.clone(),
            checked: 0,
            kinks: 0,
            sources: vec![empty; self.gradients.len()],
        });
        let length = self.parameters[parameter].len();
        if self.report.exhaustive {
            for coordinate in 0..length {
                let direction = vec![(self.offsets[parameter] + coordinate, 1.0)];
                let slope = self.slope_along(&direction);
                self.judge(parameter, Some(coordinate), &direction, slope);
            }
        } else {
            let count = match self.options.search {
                Search::Directions { count } => count,
                Search::Auto { .. } | Search::Exhaustive => DIRECTIONS,
            };
            for _ in 0..count {
                let direction = self.random_direction(self.offsets[parameter], 0..length);
                let slope = self.slope_along(&direction);
                if let Some(source) = self.judge(parameter, None, &direction, slope) {
                    self.find_guilty(parameter, source, direction);
                    break;
                }
            }
        }
        let found = &self.report.parameters[parameter];
        for (source, gradient) in self.gradients.iter().enumerate() {
            if gradient.values[parameter].is_none() {
                self.report.findings.push(Finding::Unreached {
                    source: gradient.name.clone(),
                    parameter: found.name.clone(),
                    matters: found.sources[source].failed > 0,
                });
            }
        }
    }

    /// Halves a direction along which a gradient failed, until one coordinate is left or neither
    /// half fails alone.
    fn find_guilty(&mut self, parameter: usize, source: usize, direction: Vec<(usize, f64)>) {
        let mut suspects = direction;
        while suspects.len() > 1 {
            let (left, right) = suspects.split_at(suspects.len() / 2);
            let mut halves = [left, right].map(|half| {
                // Of unit length again, so that the slope keeps its size.
                let length = (half.len() as f64).sqrt();
                half.iter().map(|&(at, sign)| (at, sign.signum() / length)).collect::<Vec<_>>()
            });
            let badness = [0, 1].map(|half| {
                let slope = self.slope_along(&halves[half]);
                self.mismatch(parameter, source, None, &halves[half], slope).badness()
            });
            let worse = usize::from(badness[1] > badness[0]);
            if badness[worse] <= 1.0 {
                return;
            }
            suspects = std::mem::take(&mut halves[worse]);
        }
        let coordinate = suspects[0].0 - self.offsets[parameter];
        let direction = [(suspects[0].0, 1.0)];
        let slope = self.slope_along(&direction);
        let mismatch = self.mismatch(parameter, source, Some(coordinate), &direction, slope);
        self.report.parameters[parameter].sources[source].worst = Some(mismatch);
    }

    /// Counts a slope for every gradient; gives the first that failed.
    fn judge(
        &mut self,
        parameter: usize,
        coordinate: Option<usize>,
        direction: &[(usize, f64)],
        slope: Slope,
    ) -> Option<usize> {
        self.moves |= slope.value.abs() > slope.bound.max(self.stillness()) || slope.kink.is_some();
        let mut first_failed = None;
        let mut between = 0;
        for source in 0..self.gradients.len() {
            let mismatch = self.mismatch(parameter, source, coordinate, direction, slope);
            // At a kink any slope between the two sides is a gradient.
            let half_jump = slope.kink.map_or(0.0, |jump| jump.abs() / 2.0);
            let is_between = slope.kink.is_some() && mismatch.absolute <= half_jump + mismatch.allowed;
            between += usize::from(is_between);
            let verdict = if is_between {
                Comparison::Passed
            } else if mismatch.absolute.is_nan() || mismatch.absolute > mismatch.allowed {
                Comparison::Failed
            } else if self.tells(parameter, source, &mismatch) {
                Comparison::Passed
            } else {
                Comparison::Unresolved
            };
            let found = &mut self.report.parameters[parameter].sources[source];
            match verdict {
                Comparison::Passed => found.passed += 1,
                Comparison::Failed => found.failed += 1,
                Comparison::Unresolved => found.unresolved += 1,
            }
            if matches!(verdict, Comparison::Failed) {
                first_failed = first_failed.or(Some(source));
            }
            if found.worst.as_ref().is_none_or(|worst| mismatch.badness() > worst.badness()) {
                found.worst = Some(mismatch);
            }
        }
        let found = &mut self.report.parameters[parameter];
        found.checked += 1;
        found.kinks += usize::from(between > 0 && between == self.gradients.len());
        first_failed
    }

    /// Whether what is allowed here is narrow enough that a wrong gradient would have been told.
    fn tells(&self, parameter: usize, source: usize, mismatch: &Mismatch) -> bool {
        let allowed = mismatch.allowed - self.options.atol - self.options.rtol * mismatch.differences.abs();
        let here = mismatch.gradients[source].abs().max(mismatch.differences.abs());
        let resolution = self.options.resolution.unwrap_or_else(|| (30.0 * self.epsilon.sqrt()).max(1e-3));
        allowed <= resolution * here.max(self.largest(parameter, source))
            || here + allowed <= flat(self.epsilon, self.report.loss)
    }

    /// The largest finite coordinate of a gradient of a parameter.
    fn largest(&self, parameter: usize, source: usize) -> f64 {
        let values = self.gradients[source].values[parameter].as_deref().unwrap_or_default();
        values.iter().filter(|value| value.is_finite()).fold(0.0, |largest, value| value.abs().max(largest))
    }

    fn mismatch(
        &self,
        parameter: usize,
        source: usize,
        coordinate: Option<usize>,
        direction: &[(usize, f64)],
        slope: Slope,
    ) -> Mismatch {
        let offset = self.offsets[parameter];
        let component = |gradient: &Gradient| match &gradient.values[parameter] {
            None => 0.0,
            Some(values) => direction.iter().map(|&(at, by)| values[at - offset] * by).sum(),
        };
        let gradients: Vec<f64> = self.gradients.iter().map(component).collect();
        let found = gradients[source];
        let epsilon = self.gradients[source].epsilon;
        // A direction adds up the roundings of its coordinates, which are as often down as up.
        let size = found.abs().max(slope.value.abs()).max(self.largest(parameter, source));
        let rounding = GRADIENT_ROUNDINGS * epsilon * size;
        let absolute = (found - slope.value).abs();
        let larger = found.abs().max(slope.value.abs());
        Mismatch {
            index: coordinate.map(|coordinate| self.parameters[parameter].unravel(coordinate)),
            differences: slope.value,
            bound: slope.bound,
            absolute,
            relative: if larger > 0.0 { absolute / larger } else { 0.0 },
            ulps: if larger > 0.0 { absolute / (epsilon * larger) } else { 0.0 },
            allowed: slope.bound + rounding + self.options.atol + self.options.rtol * slope.value.abs(),
            gradients,
        }
    }

    /// One over the root of n, up or down, for each of these coordinates.
    fn random_direction(&mut self, offset: usize, coordinates: std::ops::Range<usize>) -> Vec<(usize, f64)> {
        let length = (coordinates.len() as f64).sqrt();
        coordinates.map(|at| (offset + at, if self.rng.random::<bool>() { 1.0 } else { -1.0 } / length)).collect()
    }

    fn slope_along(&mut self, direction: &[(usize, f64)]) -> Slope {
        let noise = self.report.noise;
        // Far from zero, steps must be larger for the numbers to differ by what they should.
        let scale = direction.iter().fold(1.0f64, |scale, &(at, by)| scale.max(self.point[at].abs() * by.abs()));
        self.along(direction, |f| slope(f, scale, noise))
    }

    /// Gives the loss along a direction through the point to `measure`.
    fn along<T>(&mut self, direction: &[(usize, f64)], measure: impl FnOnce(&mut dyn FnMut(f64) -> f64) -> T) -> T {
        let mut moved = self.point.to_vec();
        let (point, loss, evaluations) = (self.point, &mut *self.loss, &mut self.report.evaluations);
        let mut f = |t: f64| {
            for &(at, by) in direction {
                moved[at] = point[at] + t * by;
            }
            *evaluations += 1;
            loss(&moved)
        };
        measure(&mut f)
    }

    /// Says of the whole what the parts show.
    fn conclude(&mut self) {
        let stillness = self.stillness();
        let still =
            |gradient: &Gradient| gradient.values.iter().flatten().flatten().all(|value| value.abs() <= stillness);
        if !self.moves && self.gradients.iter().all(still) {
            self.report.findings.push(Finding::Constant);
        }
        let fails = |source: usize| self.report.parameters.iter().any(|p| p.sources[source].failed > 0);
        let failing: Vec<usize> = (0..self.gradients.len()).filter(|&source| fails(source)).collect();
        if self.gradients.len() < 2 {
            return;
        }
        if let [odd] = failing[..] {
            self.report.findings.push(Finding::OddOneOut { source: self.gradients[odd].name.clone() });
        } else if failing.len() == self.gradients.len() && self.gradients_agree() {
            self.report.findings.push(Finding::LossIsOdd);
        }
    }

    /// A slope that moves the loss no farther than its own noise, a unit along.
    fn stillness(&self) -> f64 {
        8.0 * self.report.noise
    }

    /// Whether all gradients are the same to their rounding.
    fn gradients_agree(&self) -> bool {
        let first = &self.gradients[0];
        self.gradients[1..].iter().all(|other| {
            (0..self.parameters.len()).all(|parameter| {
                let (Some(a), Some(b)) = (&first.values[parameter], &other.values[parameter]) else { return false };
                let size = self.largest(parameter, 0);
                let rounding = GRADIENT_ROUNDINGS * first.epsilon.max(other.epsilon) * size;
                a.iter().zip(b).all(|(a, b)| (a - b).abs() <= rounding)
            })
        })
    }
}
