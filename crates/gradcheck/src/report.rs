//! The report of a check.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of a check. It displays few lines if the check passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The loss at the point.
    #[serde(with = "number")]
    pub loss: f64,
    /// The largest estimated rounding error of the loss.
    #[serde(with = "number")]
    pub noise: f64,
    /// The names of the checked gradients.
    #[serde(rename = "sources")]
    pub gradient_names: Vec<String>,
    /// The results per parameter.
    pub parameters: Vec<ParameterReport>,
    /// The problems and remarks that concern the whole check.
    pub findings: Vec<Finding>,
    /// Whether every coordinate was checked. Otherwise random directions were.
    pub exhaustive: bool,
    /// The seed of the random directions.
    pub seed: u64,
    /// The number of evaluations of the loss.
    pub evaluations: usize,
    /// The largest allowed fraction of unresolved comparisons. A check with more does not pass.
    #[serde(with = "number")]
    pub max_unresolved: f64,
}

/// The result for one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterReport {
    /// The parameter's path in the module.
    pub name: String,
    /// The parameter's shape.
    pub shape: Vec<usize>,
    /// The number of coordinates or directions that were checked.
    pub checked: usize,
    /// The number of kinks. There, the one-sided slopes differ and every gradient is between them.
    pub kinks: usize,
    /// The number of slopes whose differences ended at a kink, a jump or a detail of the loss near
    /// the point.
    #[serde(default)]
    pub changes: usize,
    /// The result for each gradient, in the order of [`Report::gradient_names`].
    #[serde(rename = "sources")]
    pub gradients: Vec<GradientReport>,
}

/// The result for one gradient of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientReport {
    /// The number of comparisons that passed: the distance is allowed, and the bound is narrow
    /// enough to reveal a wrong gradient. At a kink, the gradient is between the one-sided slopes.
    pub passed: usize,
    /// The number of comparisons beyond the allowed distance.
    pub failed: usize,
    /// The number of comparisons whose bound is too wide to decide.
    pub unresolved: usize,
    /// A failed comparison, or else an unresolved one, or else any: the one with the largest
    /// distance, relative to the allowed distance.
    pub worst: Option<Mismatch>,
    /// All comparisons that failed.
    #[serde(default)]
    pub failures: Vec<Mismatch>,
}

/// A gradient compared with the differences along one coordinate or direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mismatch {
    /// The coordinate. `None` for a random direction for which no single coordinate was found.
    pub index: Option<Vec<usize>>,
    /// The slopes of all gradients, in the order of [`Report::gradient_names`].
    #[serde(with = "numbers")]
    pub gradients: Vec<f64>,
    /// The slope estimated by the differences.
    #[serde(rename = "differences", with = "number")]
    pub estimate: f64,
    /// The bound on the error of the estimate.
    #[serde(with = "number")]
    pub bound: f64,
    /// The distance of this gradient from the estimate.
    #[serde(rename = "absolute", with = "number")]
    pub distance: f64,
    /// The distance relative to the larger of gradient and estimate.
    #[serde(rename = "relative", with = "number")]
    pub relative_distance: f64,
    /// The distance in units of the last place (ULP) of the gradient's type.
    #[serde(with = "number")]
    pub ulps: f64,
    /// The allowed distance: three times the bound, the rounding of the gradient's type, and the
    /// tolerances of the options.
    #[serde(with = "number")]
    pub allowed: f64,
}

/// A problem or a remark that concerns the whole check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Finding {
    /// Two evaluations at the same point differ, so differences are meaningless.
    NotDeterministic {
        /// The first value.
        first: f64,
        /// The second value, as text.
        second: String,
    },
    /// The loss is not finite at the point.
    LossNotFinite {
        /// The value, as text.
        value: String,
    },
    /// No parameter requires a gradient, so there is nothing to check.
    NoParameters,
    /// The loss does not depend on the parameters: all slopes and all gradients are zero, and the
    /// loss is the same further away.
    Constant,
    /// All slopes and all gradients are zero at this point, but not the loss further away.
    Stationary,
    /// All second derivatives that were checked are zero at this point.
    NoCurvature,
    /// The loss or its gradient panicked.
    Panicked {
        /// What was computed.
        what: String,
        /// The message.
        message: String,
    },
    /// The loss panicked in f64, so the differences use the type of the parameters.
    OwnPrecision {
        /// The message.
        message: String,
    },
    /// A gradient has values for another number of parameters.
    WrongParameters {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
        /// The number of parameters.
        expected: usize,
        /// The number of parameters of the gradient.
        found: usize,
    },
    /// A gradient has another shape than its parameter.
    WrongShape {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
        /// The parameter.
        parameter: String,
        /// The shape of the parameter.
        expected: Vec<usize>,
        /// The shape of the gradient.
        found: Vec<usize>,
    },
    /// A gradient has another type than its parameter.
    WrongType {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
        /// The parameter.
        parameter: String,
        /// The type of the parameter.
        expected: String,
        /// The type of the gradient.
        found: String,
    },
    /// Coordinates that have a kink each, such as equal maxima, have another slope together.
    WrongAtTie {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
        /// The parameter, or several.
        parameter: String,
        /// The number of coordinates.
        coordinates: usize,
        /// The slope if all of them grow equally.
        #[serde(with = "number")]
        estimate: f64,
        /// The sum of the gradient over them.
        #[serde(with = "number")]
        value: f64,
    },
    /// No parameter has a name that [`crate::Options::parameters`] asks for.
    UnknownParameter {
        /// The name.
        name: String,
        /// The names of the parameters.
        known: Vec<String>,
    },
    /// A gradient has no value for this parameter: the loss does not reach it, or the graph is cut.
    Unreached {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
        /// The parameter.
        parameter: String,
        /// Whether the loss depends on the parameter. If so, the check fails.
        matters: bool,
    },
    /// A gradient has no value for this parameter, and no slope was seen at this point, but the
    /// loss is another one if the parameter changes more.
    UnreachedHere {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
        /// The parameter.
        parameter: String,
    },
    /// A coordinate of the point is not finite, so it has no neighbours, and no slope.
    InfiniteCoordinate {
        /// The parameter.
        parameter: String,
        /// The first coordinate that is not finite.
        index: Vec<usize>,
        /// The value, as text.
        value: String,
    },
    /// The scale of the options is not a length.
    InvalidScale {
        /// The value, as text.
        value: String,
    },
    /// No coordinate and no direction was checked.
    NothingCompared,
    /// A gradient is not finite.
    NotFinite {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
        /// The parameter.
        parameter: String,
        /// The first coordinate that is not finite.
        index: Vec<usize>,
        /// The value as text, because JSON cannot represent it as a number.
        value: String,
    },
    /// One gradient disagrees with the differences, and all others agree with them.
    #[serde(rename = "OddOneOut")]
    SingleOutlier {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
    },
    /// All gradients agree with each other, but none agrees with the differences. They may belong
    /// to another loss.
    #[serde(rename = "LossIsOdd")]
    LossMismatch,
    /// The gradient fails at this point but is right nearby. It probably takes the wrong side of a
    /// kink in an intermediate step.
    RightNearby {
        /// The name of the gradient.
        #[serde(rename = "source")]
        gradient: String,
    },
    /// The device cannot compute in f64, so the differences use the type of the parameters.
    #[serde(rename = "NoWitness")]
    NoF64,
}

impl Finding {
    /// Returns whether this finding fails the check.
    pub fn is_failure(&self) -> bool {
        match self {
            Finding::NotDeterministic { .. }
            | Finding::LossNotFinite { .. }
            | Finding::NoParameters
            | Finding::Constant
            | Finding::NotFinite { .. }
            | Finding::UnknownParameter { .. }
            | Finding::Panicked { .. }
            | Finding::WrongParameters { .. }
            | Finding::WrongShape { .. }
            | Finding::WrongType { .. }
            | Finding::WrongAtTie { .. }
            | Finding::InvalidScale { .. }
            | Finding::NothingCompared
            | Finding::SingleOutlier { .. }
            | Finding::LossMismatch => true,
            Finding::Unreached { matters, .. } => *matters,
            Finding::NoCurvature
            | Finding::UnreachedHere { .. }
            | Finding::InfiniteCoordinate { .. }
            | Finding::RightNearby { .. }
            | Finding::NoF64
            | Finding::OwnPrecision { .. }
            | Finding::Stationary => false,
        }
    }
}

impl Report {
    /// The number of coordinates or directions that were checked.
    pub fn checked(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.checked).sum()
    }

    /// The number of failed comparisons, over all gradients.
    pub fn failed(&self) -> usize {
        self.gradient_reports().map(|gradient| gradient.failed).sum()
    }

    /// The number of unresolved comparisons, over all gradients.
    pub fn unresolved(&self) -> usize {
        self.gradient_reports().map(|gradient| gradient.unresolved).sum()
    }

    /// The number of checked coordinates or directions at a kink.
    pub fn kinks(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.kinks).sum()
    }

    /// Returns whether the check passed: no comparison failed, no finding is a failure, and at most
    /// the fraction [`Report::max_unresolved`] of the comparisons is unresolved.
    pub fn passed(&self) -> bool {
        let comparisons = (self.checked() * self.gradient_names.len()).max(1);
        let unresolved = self.unresolved() as f64 / comparisons as f64;
        self.failed() == 0 && !self.findings.iter().any(Finding::is_failure) && unresolved <= self.max_unresolved
    }

    /// Returns whether nothing is wrong, but too many comparisons are unresolved.
    pub fn is_unresolved(&self) -> bool {
        !self.passed() && self.failed() == 0 && !self.findings.iter().any(Finding::is_failure)
    }

    /// Panics with the whole report unless it [passed](Report::passed).
    ///
    /// # Panics
    /// If the check did not pass.
    #[track_caller]
    pub fn assert_pass(&self) {
        assert!(self.passed(), "{self}");
    }

    fn gradient_reports(&self) -> impl Iterator<Item = &GradientReport> {
        self.parameters.iter().flat_map(|parameter| &parameter.gradients)
    }

    /// Adds the results of another check of the same module.
    pub fn merge(&mut self, other: Report) {
        self.evaluations += other.evaluations;
        self.noise = self.noise.max(other.noise);
        for finding in other.findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        for (parameter, other) in self.parameters.iter_mut().zip(other.parameters) {
            parameter.checked += other.checked;
            parameter.kinks += other.kinks;
            parameter.changes += other.changes;
            for (gradient, other) in parameter.gradients.iter_mut().zip(other.gradients) {
                if other.badness() > gradient.badness() {
                    gradient.worst = other.worst;
                }
                gradient.passed += other.passed;
                gradient.failed += other.failed;
                gradient.unresolved += other.unresolved;
                gradient.failures.extend(other.failures);
            }
        }
    }
}

impl GradientReport {
    /// How bad the worst comparison is: a failed one is worse than any that is unresolved.
    fn badness(&self) -> (bool, bool, f64) {
        let distance = self.worst.as_ref().map_or(-1.0, Mismatch::normalized_distance);
        (self.failed > 0, self.unresolved > 0, distance)
    }
}

impl Mismatch {
    fn location(&self) -> String {
        self.index.as_ref().map_or("a direction".to_owned(), |index| format!("{index:?}"))
    }

    /// The distance divided by the allowed distance. Above 1 the comparison failed.
    pub(crate) fn normalized_distance(&self) -> f64 {
        if self.distance.is_nan() { f64::INFINITY } else { self.distance / self.allowed }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.passed(), self.is_unresolved()) {
            (true, _) => "passed",
            (false, true) => "unresolved",
            (false, false) => "FAILED",
        };
        if self.parameters.is_empty() {
            writeln!(f, "gradcheck {verdict}: nothing was compared")?;
            return self.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"));
        }
        let slopes =
            if self.exhaustive { "coordinates".to_owned() } else { format!("random directions (seed {})", self.seed) };
        write!(f, "gradcheck {verdict}: {} parameters, {} {slopes}", self.parameters.len(), self.checked())?;
        for (count, name) in [(self.failed(), "failed"), (self.unresolved(), "unresolved"), (self.kinks(), "at a kink")]
        {
            if count > 0 {
                write!(f, ", {count} {name}")?;
            }
        }
        let gradient_names = self.gradient_names.join(", ");
        writeln!(
            f,
            "; {gradient_names}; loss {:.6} ± {:.0e}, {} evaluations",
            self.loss, self.noise, self.evaluations
        )?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        if self.passed() && self.unresolved() == 0 {
            return Ok(());
        }
        for parameter in self.parameters.iter().filter(|parameter| parameter.checked > 0) {
            for (name, gradient) in self.gradient_names.iter().zip(&parameter.gradients) {
                let GradientReport { passed, failed, unresolved, worst, failures } = gradient;
                write!(
                    f,
                    "  {} {:?}, {name}: {} checked, {passed} passed",
                    parameter.name, parameter.shape, parameter.checked
                )?;
                write!(f, ", {failed} failed, {unresolved} unresolved, {} at a kink", parameter.kinks)?;
                writeln!(f, ", {} near a kink, a jump or a detail", parameter.changes)?;
                if let Some(worst) = worst.as_ref().filter(|_| failed + unresolved > 0) {
                    let location = worst.location();
                    let values = self.gradient_names.iter().zip(&worst.gradients);
                    let values: Vec<_> = values.map(|(name, value)| format!("{name} {value:.9e}")).collect();
                    writeln!(
                        f,
                        "    worst at {location}: {}, differences {:.9e} ± {:.1e}",
                        values.join(", "),
                        worst.estimate,
                        worst.bound
                    )?;
                    let Mismatch { distance, relative_distance, ulps, allowed, .. } = worst;
                    writeln!(
                        f,
                        "    distance {distance:.2e} (relative {relative_distance:.1e}, {ulps:.1e} ULP); allowed {allowed:.1e}"
                    )?;
                }
                // Several checks may fail at the same coordinate: with several cotangents or
                // points.
                let worst_location = worst.as_ref().filter(|_| *failed > 0).map(Mismatch::location);
                let mut locations: Vec<String> = Vec::new();
                for location in failures.iter().map(Mismatch::location) {
                    if worst_location.as_ref() != Some(&location) && !locations.contains(&location) {
                        locations.push(location);
                    }
                }
                if !locations.is_empty() {
                    let shown = locations.len().min(MAX_LOCATIONS);
                    let rest = locations.len() - shown;
                    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
                    writeln!(f, "    failed at {}{more}, too", locations[..shown].join(", "))?;
                }
            }
        }
        Ok(())
    }
}

/// The number of failed coordinates that a report displays for each gradient of a parameter.
const MAX_LOCATIONS: usize = 12;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NotDeterministic { first, second } => {
                write!(
                    f,
                    "the loss is not deterministic: {first}, then {second} at the same point; switch off dropout and other randomness"
                )
            }
            Finding::LossNotFinite { value } => write!(f, "the loss is {value} at the point"),
            Finding::NoParameters => write!(f, "no parameter requires a gradient: there is nothing to check"),
            Finding::Constant => write!(f, "the loss does not depend on any parameter: this check proves nothing"),
            Finding::Unreached { gradient, parameter, matters: true } => {
                write!(f, "{gradient} has no gradient for {parameter}, but the loss depends on it: the graph is cut")
            }
            Finding::Unreached { gradient, parameter, matters: false } => {
                write!(f, "{gradient} has no gradient for {parameter}; the loss does not depend on it")
            }
            Finding::UnreachedHere { gradient, parameter } => {
                write!(
                    f,
                    "{gradient} has no gradient for {parameter}, and no slope was seen here, but the loss depends on it further away: the graph may be cut; check another point, too"
                )
            }
            Finding::InfiniteCoordinate { parameter, index, value } => {
                write!(f, "{parameter} is {value} at {index:?}: such coordinates have no slope; freeze them")
            }
            Finding::InvalidScale { value } => {
                write!(f, "the option `scale` is {value}; it is a length, so it must be positive and finite")
            }
            Finding::NothingCompared => {
                write!(f, "no coordinate and no direction was checked: this check proves nothing")
            }
            Finding::NotFinite { gradient, parameter, index, value } => {
                write!(f, "{gradient} is {value} at {parameter} {index:?}")
            }
            Finding::SingleOutlier { gradient } => {
                write!(f, "{gradient} is the only gradient that disagrees with the differences")
            }
            Finding::LossMismatch => {
                write!(
                    f,
                    "the gradients agree with each other but not with the differences: do they belong to another loss?"
                )
            }
            Finding::RightNearby { gradient } => {
                write!(
                    f,
                    "{gradient} is wrong at this point and right nearby: it may take the wrong side of a kink in an intermediate step"
                )
            }
            Finding::Stationary => {
                write!(
                    f,
                    "all slopes are zero at this point, which is stationary: a gradient of zeros would pass; check another point, too"
                )
            }
            Finding::NoCurvature => {
                write!(f, "all second derivatives are zero at this point: zeros would pass; check another loss, too")
            }
            Finding::UnknownParameter { name, known } => {
                write!(f, "no parameter is called {name:?}; there are {}", known.join(", "))
            }
            Finding::Panicked { what, message } => write!(f, "{what} panicked: {message}"),
            Finding::OwnPrecision { message } => {
                write!(
                    f,
                    "the loss panicked in f64, so the differences use the type of the parameters; cast captured inputs to it ({message})"
                )
            }
            Finding::WrongParameters { gradient, expected, found } => {
                write!(f, "{gradient} has values for {found} parameters instead of {expected}")
            }
            Finding::WrongShape { gradient, parameter, expected, found } => {
                write!(f, "{gradient} has shape {found:?} for {parameter}, whose shape is {expected:?}")
            }
            Finding::WrongType { gradient, parameter, expected, found } => {
                write!(f, "{gradient} has type {found} for {parameter}, whose type is {expected}")
            }
            Finding::WrongAtTie { gradient, parameter, coordinates, estimate, value } => {
                write!(
                    f,
                    "{gradient} is wrong where {coordinates} coordinates of {parameter} have kinks together, such as a tie: the loss grows by {estimate:.6} with all of them, and their gradients add up to {value:.6}"
                )
            }
            Finding::NoF64 => {
                write!(f, "this device does not compute in f64: the differences use the type of the parameters")
            }
        }
    }
}

/// Numbers in JSON, which has none that are not finite: they are written as text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Json {
    Number(f64),
    Text(String),
}

impl From<f64> for Json {
    fn from(x: f64) -> Self {
        if x.is_finite() { Self::Number(x) } else { Self::Text(x.to_string()) }
    }
}

impl Json {
    fn into_number<E: serde::de::Error>(self) -> Result<f64, E> {
        match self {
            Self::Number(x) => Ok(x),
            Self::Text(text) => text.parse().map_err(|_| E::custom(format!("{text:?} is not a number"))),
        }
    }
}

mod number {
    use super::Json;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Json::from(*x).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Json::deserialize(deserializer)?.into_number()
    }
}

mod numbers {
    use super::Json;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(x: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        x.iter().copied().map(Json::from).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Vec::<Json>::deserialize(deserializer)?.into_iter().map(Json::into_number).collect()
    }
}
