//! What a check found.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a check found. Its `Display` is short where all is well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The loss at the point.
    pub loss: f64,
    /// How far values of the loss are off, from rounding.
    pub noise: f64,
    /// The names of the gradients that were held against the differences.
    pub sources: Vec<String>,
    /// Each parameter.
    pub parameters: Vec<ParameterReport>,
    /// What is wrong or odd about the whole.
    pub findings: Vec<Finding>,
    /// Whether coordinates were looked at one by one, or along random directions.
    pub exhaustive: bool,
    /// The seed of the random directions.
    pub seed: u64,
    /// How often the loss was evaluated.
    pub evaluations: usize,
    /// The fraction of unresolved coordinates beyond which it is no pass.
    pub max_unresolved: f64,
}

/// What was found of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterReport {
    /// The name that the module gives it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Coordinates, or directions, looked at.
    pub checked: usize,
    /// Where the one-sided slopes differ, and every gradient lies between them.
    pub kinks: usize,
    /// Each gradient, in the order of [`Report::sources`].
    pub sources: Vec<SourceReport>,
}

/// What was found of one gradient of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Agree with the differences, within a bound that would have told.
    pub passed: usize,
    /// Cannot be right if the differences are.
    pub failed: usize,
    /// The differences cannot tell.
    pub unresolved: usize,
    /// The worst of all, measured by its bound.
    pub worst: Option<Mismatch>,
}

/// A gradient and the differences, side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Which coordinate; none where it is a random direction that could not be narrowed down.
    pub index: Option<Vec<usize>>,
    /// All gradients here, in the order of [`Report::sources`].
    pub gradients: Vec<f64>,
    /// What the differences give.
    pub differences: f64,
    /// How far that may be off.
    pub bound: f64,
    /// The distance of this gradient from the differences.
    pub absolute: f64,
    /// The distance relative to the larger of the two.
    pub relative: f64,
    /// The distance in units of the last place of the gradient's type.
    pub ulps: f64,
    /// What a distance may be here: the bound, the rounding of the gradient's type, and what the
    /// options forgive.
    pub allowed: f64,
}

/// What is wrong or odd about the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Finding {
    /// Two evaluations at the same point differ: differences mean nothing.
    NotDeterministic {
        /// The first value.
        first: f64,
        /// The second.
        second: f64,
    },
    /// The loss is not finite at the point.
    LossNotFinite {
        /// Its value.
        value: f64,
    },
    /// There is nothing to check.
    NoParameters,
    /// Neither the loss nor any gradient moves: whatever was meant to be checked is not in it.
    Constant,
    /// A gradient has no value for this parameter: the loss does not reach it, or the graph was
    /// cut.
    Unreached {
        /// The gradient.
        source: String,
        /// The parameter.
        parameter: String,
        /// Whether the loss does depend on it, which makes it a failure.
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
        /// Its value, as text, since JSON has no such number.
        value: String,
    },
    /// One gradient disagrees with the differences and all the others agree with them.
    OddOneOut {
        /// The gradient.
        source: String,
    },
    /// All gradients agree with each other and none with the differences: perhaps they belong to
    /// another loss.
    LossIsOdd,
    /// Away from this point the failing gradient is right: it takes the wrong side of a kink in
    /// some intermediate step.
    RightNearby {
        /// The gradient.
        source: String,
    },
    /// The device cannot evaluate the loss in f64, so the parameters' own type was used.
    NoWitness,
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
            | Finding::OddOneOut { .. }
            | Finding::LossIsOdd => true,
            Finding::Unreached { matters, .. } => *matters,
            Finding::RightNearby { .. } | Finding::NoWitness => false,
        }
    }
}

impl Report {
    /// Coordinates, or directions, looked at.
    pub fn checked(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.checked).sum()
    }

    /// Verdicts that a gradient cannot be right, over all gradients.
    pub fn failed(&self) -> usize {
        self.sources_of_all().map(|source| source.failed).sum()
    }

    /// Verdicts that the differences cannot tell, over all gradients.
    pub fn unresolved(&self) -> usize {
        self.sources_of_all().map(|source| source.unresolved).sum()
    }

    /// Coordinates at a kink.
    pub fn kinks(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.kinks).sum()
    }

    /// Whether every gradient is proven right: none failed, nothing about the whole forbids it, and
    /// few enough are unresolved.
    pub fn passed(&self) -> bool {
        let verdicts = (self.checked() * self.sources.len()).max(1);
        let unresolved = self.unresolved() as f64 / verdicts as f64;
        self.failed() == 0 && !self.findings.iter().any(Finding::is_failure) && unresolved <= self.max_unresolved
    }

    /// Panics with the whole report unless it [passed](Report::passed).
    ///
    /// # Panics
    /// Where the check is no pass.
    #[track_caller]
    pub fn assert_pass(&self) {
        assert!(self.passed(), "{self}");
    }

    fn sources_of_all(&self) -> impl Iterator<Item = &SourceReport> {
        self.parameters.iter().flat_map(|parameter| &parameter.sources)
    }

    /// Adds what another check of the same module found.
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
                let badness = |worst: &Option<Mismatch>| worst.as_ref().map_or(-1.0, Mismatch::badness);
                if badness(&theirs.worst) > badness(&mine.worst) {
                    mine.worst = theirs.worst;
                }
            }
        }
    }
}

impl Mismatch {
    /// The distance over what it may be: above one, it failed.
    pub(crate) fn badness(&self) -> f64 {
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
                let SourceReport { passed, failed, unresolved, worst } = source;
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
            Finding::OddOneOut { source } => {
                write!(f, "{source} is the odd one out: all else agrees with the differences")
            }
            Finding::LossIsOdd => {
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
            Finding::NoWitness => write!(f, "this device has no f64: the parameters' own type was the witness"),
        }
    }
}
