//! Witnesses: other ways to find the derivative on the left side of a claim.
//!
//! The checker's own derivatives are exact (forward mode). A witness that contradicts them shows a
//! point without a derivative, or a mistake of the checker. Either way, nothing is decided.

use chainrule_gradcheck::slope;

use crate::evaluate::{Context, Evaluator};
use crate::number::{Jet, Number};
use crate::real::Real;
use crate::tree::{Expr, Kind, Name};
use crate::value::Value;

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
    /// Which entry of the function's value.
    pub(crate) output: usize,
    pub(crate) by: &'a Name,
    /// Which entry of the variable, if its name has no indices.
    pub(crate) input: usize,
}

impl Question<'_> {
    /// Returns the function at a distance from the point, or not a number where it is not defined.
    pub fn at(&self, distance: f64) -> f64 {
        let mut evaluator = Evaluator::<Jet>::new(self.context, self.letters);
        let moved = |entry: &Jet| entry.add(&Jet::constant(Real::new(distance)));
        let values = evaluator.replaced(self.of, self.by, self.input, moved);
        values.ok().and_then(|values| Some(values.entries.get(self.output)?.real().value())).unwrap_or(f64::NAN)
    }

    /// Returns the variable's value at the point.
    pub fn variable(&self) -> Option<Real> {
        self.named()?.entries.get(self.input).map(Number::real)
    }

    /// Returns the number of entries of the name that is the variable.
    pub(crate) fn variables(&self) -> usize {
        self.named().map_or(1, |value| value.entries.len())
    }

    fn named(&self) -> Option<Value<Jet>> {
        let name = Expr::new(Kind::Name(self.by.clone()), self.by.span);
        Evaluator::<Jet>::new(self.context, self.letters).evaluate(&name).ok()
    }

    /// Evaluates the function with numbers of another type, such as those of a library for
    /// automatic differentiation.
    pub fn evaluate<N: Number>(&self, variable: N) -> Option<N> {
        let mut evaluator = Evaluator::<N>::new(self.context, self.letters);
        let values = evaluator.replaced(self.of, self.by, self.input, |_| variable).ok()?;
        values.entries.get(self.output).cloned()
    }
}

/// Another way to find a derivative.
pub trait Witness {
    /// The name, for messages: "finite differences".
    fn name(&self) -> &str;
    /// Returns the derivative, if the witness can find it.
    fn derivative(&self, question: &Question<'_>) -> Option<Estimate>;
}

/// Finite differences with bounds on their errors, by `chainrule-gradcheck`.
pub struct Differences;

impl Witness for Differences {
    fn name(&self) -> &str {
        "finite differences"
    }

    fn derivative(&self, question: &Question<'_>) -> Option<Estimate> {
        let size = question.variable()?.value().abs();
        let slope = slope(&mut |distance| question.at(distance), size.max(1.0), size, f64::EPSILON);
        let estimate = Estimate { value: slope.value, bound: slope.bound, kink: slope.kink.is_some() };
        (slope.value.is_finite() && slope.bound.is_finite()).then_some(estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, Options, Verdict, check};

    /// A witness that is right but for one entry.
    struct Liar {
        entry: [usize; 2],
    }

    impl Witness for Liar {
        fn name(&self) -> &str {
            "the liar"
        }

        fn derivative(&self, question: &Question<'_>) -> Option<Estimate> {
            let lie = if [question.output, question.input] == self.entry { 1.0 } else { 0.0 };
            let estimate = Differences.derivative(question)?;
            Some(Estimate { value: estimate.value + lie, ..estimate })
        }
    }

    fn verdicts(text: &str, witnesses: &[&dyn Witness]) -> (Verdict, Option<Vec<String>>) {
        let document = Document::parse(text).expect("the text is readable");
        let report = check(&document, &Options { witnesses, ..Options::default() });
        let line = report.lines.last().expect("a claim");
        (line.steps[0].verdict.clone(), line.confirmed_by.clone())
    }

    /// Every entry counts: of a number by a name, of a vector by an entry, and of a Jacobian.
    #[test]
    fn a_witness_that_contradicts_one_entry_leaves_it_open() {
        let gradient = "C = sum_(j=1)^d w_j^2 x_j\ndC/dw = 2 w \\odot x\n";
        let jacobian = "a \\in R^d\ns_i = a_i^2\nds/da = 2 diag(a)\n";
        for (text, entry) in [(gradient, [0, 1]), (gradient, [0, 0]), (jacobian, [1, 0]), (jacobian, [1, 1])] {
            let (verdict, confirmed) = verdicts(text, &[&Liar { entry }]);
            let Verdict::Undecided { reason } = verdict else { panic!("{verdict:?}") };
            assert!(reason.starts_with("the liar found") && confirmed.is_none(), "{reason}");
        }
        let honest = verdicts(gradient, &[&Differences, &Liar { entry: [1, 0] }]);
        assert_eq!(honest, (Verdict::Holds, Some(vec!["finite differences".into(), "the liar".into()])));
    }

    /// Where a witness has no answer, or one that says little, it confirms nothing.
    #[test]
    fn a_witness_without_an_answer_confirms_nothing() {
        struct Vague;
        impl Witness for Vague {
            fn name(&self) -> &str {
                "the vague one"
            }

            fn derivative(&self, question: &Question<'_>) -> Option<Estimate> {
                Some(Estimate { bound: 1.0, ..Differences.derivative(question)? })
            }
        }
        struct Silent;
        impl Witness for Silent {
            fn name(&self) -> &str {
                "the silent one"
            }

            fn derivative(&self, _question: &Question<'_>) -> Option<Estimate> {
                None
            }
        }
        let found = verdicts("z = w x\ndz/dw = x\n", &[&Vague, &Silent, &Differences]);
        assert_eq!(found, (Verdict::Holds, Some(vec!["finite differences".into()])));
    }
}
