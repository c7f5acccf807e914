//! Witnesses: other ways to find the derivative on the left side of a claim.
//!
//! The checker's own derivatives are exact (forward mode). A witness that contradicts them shows a
//! point without a derivative, or a mistake of the checker. Either way, nothing is decided.

use chainrule_gradcheck::slope;

use crate::evaluate::{Context, Evaluator};
use crate::number::{Jet, Number};
use crate::real::Real;
use crate::tree::{Expr, Name};

/// A derivative by a witness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The derivative.
    pub value: f64,
    /// The bound on its error.
    pub bound: f64,
    /// Whether the function has a kink there.
    pub kink: bool,
}

/// A function of one variable at a point of a derivation: what a witness differentiates.
pub struct Question<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) letters: &'a [(String, usize)],
    pub(crate) of: &'a Expr,
    pub(crate) by: &'a Name,
}

impl Question<'_> {
    /// Returns the function at a distance from the point, or not a number where it is not defined.
    pub fn at(&self, distance: f64) -> f64 {
        let mut evaluator = Evaluator::<Jet>::new(self.context, self.letters);
        evaluator.moved(self.of, self.by, distance).unwrap_or(f64::NAN)
    }

    /// Returns the variable's value at the point.
    pub fn variable(&self) -> Option<Real> {
        let mut evaluator = Evaluator::<Jet>::new(self.context, self.letters);
        let name = Expr::new(crate::tree::Kind::Name(self.by.clone()), self.by.span);
        evaluator.evaluate(&name).ok()?.entries.first().map(Number::real)
    }

    /// Evaluates the function with numbers of another type, such as those of a library for
    /// automatic differentiation.
    pub fn evaluate<N: Number>(&self, variable: N) -> Option<N> {
        Evaluator::<N>::new(self.context, self.letters).with_variable(self.of, self.by, variable).ok()
    }
}

/// Another way to find a derivative.
pub trait Witness {
    /// The name, for messages: "the differences".
    fn name(&self) -> &str;
    /// Returns the derivative, if the witness can find it.
    fn derivative(&self, question: &Question<'_>) -> Option<Estimate>;
}

/// Finite differences with bounds on their errors, by `chainrule-gradcheck`.
pub struct Differences;

impl Witness for Differences {
    fn name(&self) -> &str {
        "the differences"
    }

    fn derivative(&self, question: &Question<'_>) -> Option<Estimate> {
        let size = question.variable()?.value().abs();
        let slope = slope(&mut |distance| question.at(distance), size.max(1.0), size, f64::EPSILON);
        let estimate = Estimate { value: slope.value, bound: slope.bound, kink: slope.kink.is_some() };
        (slope.value.is_finite() && slope.bound.is_finite()).then_some(estimate)
    }
}
