//! Other witnesses of a derivative: another kind of differentiation, and one that is wrong.

use std::cell::RefCell;
use std::rc::Rc;

use chainrule_derive::{
    Differences, Document, Estimate, Number, Options, Question, Real, Report, Verdict, Witness, check,
};

/// The operations of an evaluation: for each result, its operands with the derivatives by them.
type Tape = Rc<RefCell<Vec<[(usize, f64); 2]>>>;

/// A number of reverse-mode differentiation, like those of a tensor library.
#[derive(Clone)]
struct Recorded {
    value: f64,
    /// The place on the tape, unless it is a constant.
    node: Option<(Tape, usize)>,
}

impl Recorded {
    fn result(value: f64, operands: [(&Self, f64); 2]) -> Self {
        let Some(tape) =
            operands.iter().find_map(|(operand, _)| operand.node.as_ref()).map(|(tape, _)| Rc::clone(tape))
        else {
            return Self { value, node: None };
        };
        let edge =
            |(operand, slope): (&Self, f64)| operand.node.as_ref().map_or((0, 0.0), |(_, place)| (*place, slope));
        tape.borrow_mut().push(operands.map(edge));
        let place = tape.borrow().len() - 1;
        Self { value, node: Some((tape, place)) }
    }

    fn unary(&self, value: f64, slope: f64) -> Self {
        Self::result(value, [(self, slope), (self, 0.0)])
    }
}

impl Number for Recorded {
    fn constant(value: Real) -> Self {
        Self { value: value.value(), node: None }
    }
    fn real(&self) -> Real {
        Real::new(self.value)
    }
    fn add(&self, other: &Self) -> Self {
        Self::result(self.value + other.value, [(self, 1.0), (other, 1.0)])
    }
    fn mul(&self, other: &Self) -> Self {
        Self::result(self.value * other.value, [(self, other.value), (other, self.value)])
    }
    fn neg(&self) -> Self {
        self.unary(-self.value, -1.0)
    }
    fn recip(&self) -> Self {
        self.unary(1.0 / self.value, -1.0 / (self.value * self.value))
    }
    fn exp(&self) -> Self {
        self.unary(self.value.exp(), self.value.exp())
    }
    fn ln(&self) -> Self {
        self.unary(self.value.ln(), 1.0 / self.value)
    }
    fn powi(&self, exponent: i32) -> Self {
        self.unary(self.value.powi(exponent), f64::from(exponent) * self.value.powi(exponent - 1))
    }
    fn perturb(&self, _: usize) -> Option<Self> {
        None
    }
    fn slope(&self, _: usize) -> Option<Self> {
        None
    }
}

/// Reverse mode. It multiplies its results by a factor, which should be 1.
struct Reverse {
    factor: f64,
    answers: RefCell<usize>,
}

impl Witness for Reverse {
    fn name(&self) -> &str {
        "reverse mode"
    }

    fn derivative(&self, question: &Question<'_>) -> Option<Estimate> {
        let tape: Tape = Rc::default();
        tape.borrow_mut().push([(0, 0.0); 2]);
        let variable = Recorded { value: question.variable()?.value(), node: Some((Rc::clone(&tape), 0)) };
        let output = question.evaluate(variable)?;
        let tape = tape.borrow();
        let mut gradients = vec![0.0; tape.len()];
        if let Some((_, place)) = output.node {
            gradients[place] = 1.0;
        }
        for place in (1..tape.len()).rev() {
            for (operand, slope) in tape[place] {
                gradients[operand] += gradients[place] * slope;
            }
        }
        *self.answers.borrow_mut() += 1;
        Some(Estimate { value: gradients[0] * self.factor, bound: 1e-9, kink: false })
    }
}

fn report(witnesses: &[&dyn Witness]) -> Report {
    let text = include_str!("../configs/mlp.md");
    let document = Document::parse(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    check(&document, &Options { witnesses, ..Options::default() })
}

#[test]
fn witnesses_agree_with_the_definitions() {
    let reverse = Reverse { factor: 1.0, answers: RefCell::default() };
    let mut both = report(&[&Differences, &reverse]);
    let derivatives = both.lines.iter().filter(|line| line.confirmed_by.is_some()).count();
    let said = format!("Confirmed of {derivatives} derivatives on left sides: {derivatives} by finite differences, ");
    assert!(both.to_string().contains(&said), "{both}");
    both.lines.iter_mut().for_each(|line| line.confirmed_by = None);
    assert_eq!(both, report(&[]));
    assert!(both.is_right() && *reverse.answers.borrow() >= 8, "{}", reverse.answers.borrow());
}

/// If a witness contradicts, nothing is called right or wrong.
#[test]
fn a_contradiction_of_a_witness_is_reported() {
    let wrong = Reverse { factor: 1.01, answers: RefCell::default() };
    let report = report(&[&wrong]);
    let verdicts = report.lines.iter().flat_map(|line| &line.steps).map(|step| &step.verdict);
    let said = verdicts.filter(|verdict| match verdict {
        Verdict::Undecided { reason } => reason.starts_with("reverse mode found"),
        _ => false,
    });
    assert!(said.count() >= 8, "{report}");
}
