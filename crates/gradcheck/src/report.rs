//! The report of a check.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of a check. Its `Display` is short if the check passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The loss at the point.
    pub loss: f64,
    /// The estimated rounding error of the loss.
    pub noise: f64,
    /// The names of the checked gradients.
    pub sources: Vec<String>,
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
    /// The largest fraction of unresolved coordinates with which a check can pass.
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
    /// The number of kinks, where the one-sided slopes differ and every gradient lies between them.
    pub kinks: usize,
    /// The result for each gradient, in the order of [`Report::sources`].
    pub sources: Vec<GradientReport>,
}

/// The result for one gradient of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientReport {
    /// The number of comparisons that agree within a bound that would reveal a wrong gradient.
    pub passed: usize,
    /// The number of comparisons in which the gradient cannot be right if the differences are.
    pub failed: usize,
    /// The number of comparisons that the differences cannot decide.
    pub unresolved: usize,
    /// The worst mismatch, relative to what is allowed.
    pub worst: Option<Mismatch>,
}

/// A gradient and the differences at one coordinate or direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mismatch {
    /// The coordinate. `None` for a random direction for which no single coordinate was found.
    pub index: Option<Vec<usize>>,
    /// All gradients here, in the order of [`Report::sources`].
    pub gradients: Vec<f64>,
    /// The estimate of the differences.
    pub differences: f64,
    /// The bound on the error of the estimate.
    pub bound: f64,
    /// The distance of this gradient from the estimate.
    pub absolute: f64,
    /// The distance relative to the larger of the two.
    pub relative: f64,
    /// The distance in units of the last place (ULP) of the gradient's type.
    pub ulps: f64,
    /// The allowed distance: the bound, the rounding of the gradient's type, and the tolerances of
    /// the options.
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
        /// The second value.
        second: f64,
    },
    /// The loss is not finite at the point.
    LossNotFinite {
        /// The value.
        value: f64,
    },
    /// No parameter requires a gradient, so there is nothing to check.
    NoParameters,
    /// Neither the loss nor any gradient moves: the loss does not depend on the parameters.
    Constant,
    /// A gradient has no value for this parameter: the loss does not reach it, or the graph is cut.
    Unreached {
        /// The gradient.
        source: String,
        /// The parameter.
        parameter: String,
        /// Whether the loss depends on the parameter. If so, the check fails.
        matters: bool,
    },
    /// A gradient is not finite.
    NotFinite {
        /// The gradient.
        source: String,
        /// The parameter.
        parameter: String,
        /// The first such coordinate.
        index: Vec<usize>,
        /// The value as text, because JSON cannot represent it as a number.
        value: String,
    },
    /// One gradient disagrees with the differences, and all others agree with them.
    SingleOutlier {
        /// The gradient.
        source: String,
    },
    /// All gradients agree with each other, but none agrees with the differences. They may belong
    /// to another loss.
    LossMismatch,
    /// The failing gradient is right nearby: at this point it takes the wrong side of a kink in an
    /// intermediate step.
    RightNearby {
        /// The gradient.
        source: String,
    },
    /// The device cannot evaluate the loss in f64, so the parameters' own type was used.
    NoF64,
}

impl Finding {
    /// Whether a check with this finding cannot pass.
    pub fn is_failure(&self) -> bool {
        match self {
            Finding::NotDeterministic { .. }
            | Finding::LossNotFinite { .. }
            | Finding::NoParameters
            | Finding::Constant
            | Finding::NotFinite { .. }
            | Finding::SingleOutlier { .. }
            | Finding::LossMismatch => true,
            Finding::Unreached { matters, .. } => *matters,
            Finding::RightNearby { .. } | Finding::NoF64 => false,
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
        self.sources_of_all().map(|source| source.failed).sum()
    }

    /// The number of unresolved comparisons, over all gradients.
    pub fn unresolved(&self) -> usize {
        self.sources_of_all().map(|source| source.unresolved).sum()
    }

    /// The number of coordinates or directions at a kink.
    pub fn kinks(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.kinks).sum()
    }

    /// Whether the check passed: no comparison failed, no finding is a failure, and at most
    /// [`Report::max_unresolved`] of the comparisons are unresolved.
    pub fn passed(&self) -> bool {
        let verdicts = (self.checked() * self.sources.len()).max(1);
        let unresolved = self.unresolved() as f64 / verdicts as f64;
        self.failed() == 0 && !self.findings.iter().any(Finding::is_failure) && unresolved <= self.max_unresolved
    }

    /// Panics with the whole report unless it [passed](Report::passed).
    ///
    /// # Panics
    /// If the check did not pass.
    #[track_caller]
    pub fn assert_pass(&self) {
        assert!(self.passed(), "{self}");
    }

    fn sources_of_all(&self) -> impl Iterator<Item = &GradientReport> {
        self.parameters.iter().flat_map(|parameter| &parameter.sources)
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
        for (mine, theirs) in self.parameters.iter_mut().zip(other.parameters) {
            mine.checked += theirs.checked;
            mine.kinks += theirs.kinks;
            for (mine, theirs) in mine.sources.iter_mut().zip(theirs.sources) {
                mine.passed += theirs.passed;
                mine.failed += theirs.failed;
                mine.unresolved += theirs.unresolved;
                let relative_to_allowed =
                    |worst: &Option<Mismatch>| worst.as_ref().map_or(-1.0, Mismatch::relative_to_allowed);
                if relative_to_allowed(&theirs.worst) > relative_to_allowed(&mine.worst) {
                    mine.worst = theirs.worst;
                }
            }
        }
    }
}

impl Mismatch {
    /// The distance divided by the allowed distance. Above 1 the comparison failed.
    pub(crate) fn relative_to_allowed(&self) -> f64 {
        if self.absolute.is_nan() { f64::INFINITY } else { self.absolute / self.allowed }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        let what =
            if self.exhaustive { "coordinates".to_owned() } else { format!("random directions (seed {})", self.seed) };
        write!(f, "gradcheck {verdict}: {} parameters, {} {what}", self.parameters.len(), self.checked())?;
        for (count, name) in [(self.failed(), "failed"), (self.unresolved(), "unresolved"), (self.kinks(), "at a kink")]
        {
            if count > 0 {
                write!(f, ", {count} {name}")?;
            }
        }
        let sources = self.sources.join(", ");
        writeln!(f, "; {sources}; loss {:.6} ± {:.0e}, {} evaluations", self.loss, self.noise, self.evaluations)?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        if self.passed() && self.unresolved() == 0 {
            return Ok(());
        }
        for parameter in &self.parameters {
            for (name, source) in self.sources.iter().zip(&parameter.sources) {
                let GradientReport { passed, failed, unresolved, worst } = source;
                write!(
                    f,
                    "  {} {:?}, {name}: {} checked, {passed} passed",
                    parameter.name, parameter.shape, parameter.checked
                )?;
                writeln!(f, ", {failed} failed, {unresolved} unresolved, {} at a kink", parameter.kinks)?;
                if let Some(worst) = worst.as_ref().filter(|_| failed + unresolved > 0) {
                    let place = worst.index.as_ref().map_or("a direction".to_owned(), |index| format!("{index:?}"));
                    let values = self.sources.iter().zip(&worst.gradients);
                    let values: Vec<_> = values.map(|(name, value)| format!("{name} {value:.9e}")).collect();
                    writeln!(
                        f,
                        "    worst at {place}: {}, differences {:.9e} ± {:.1e}",
                        values.join(", "),
                        worst.differences,
                        worst.bound
                    )?;
                    let Mismatch { absolute, relative, ulps, allowed, .. } = worst;
                    writeln!(
                        f,
                        "    apart {absolute:.2e} (relative {relative:.1e}, {ulps:.1e} ULP); allowed {allowed:.1e}"
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NotDeterministic { first, second } => {
                write!(
                    f,
                    "the loss is not deterministic: {first:e}, then {second:e} at the same point; switch off dropout and the like"
                )
            }
            Finding::LossNotFinite { value } => write!(f, "the loss is {value} at the point"),
            Finding::NoParameters => write!(f, "no parameter requires a gradient: there is nothing to check"),
            Finding::Constant => write!(f, "the loss does not depend on any parameter: this proves nothing"),
            Finding::Unreached { source, parameter, matters: true } => {
                write!(f, "{source} has no gradient for {parameter}, on which the loss does depend: the graph is cut")
            }
            Finding::Unreached { source, parameter, matters: false } => {
                write!(f, "{source} has no gradient for {parameter}, on which the loss does not depend")
            }
            Finding::NotFinite { source, parameter, index, value } => {
                write!(f, "{source} is {value} at {parameter} {index:?}")
            }
            Finding::SingleOutlier { source } => {
                write!(f, "{source} is the odd one out: all else agrees with the differences")
            }
            Finding::LossMismatch => {
                write!(
                    f,
                    "the gradients agree with each other but not with the differences: do they belong to another loss?"
                )
            }
            Finding::RightNearby { source } => {
                write!(
                    f,
                    "{source} is right nearby: at this very point it takes the wrong side of a kink in some intermediate step"
                )
            }
            Finding::NoF64 => write!(f, "this device has no f64: the parameters' own type was the witness"),
        }
    }
}
