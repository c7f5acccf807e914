//! The values of several expressions at the same points, and what they say about equality.

use std::cell::Cell;
use std::collections::BTreeSet;

use crate::document::Assumption;
use crate::evaluate::{Context, Evaluator};
use crate::number::{Jet, Number};
use crate::point::{Point, Random, STYLES, Sampler};
use crate::real::Real;
use crate::tree::{Condition, Expr, Index};
use crate::typing::{Model, Typing};
use crate::value::{EvaluationError, Value};

/// The number of points at which all expressions shall be defined. Every style of point is tried at
/// least once, from tiny to large numbers.
const POINTS: usize = 12;
/// The maximum number of points that are tried.
const TRIES: usize = 96;
/// The maximum number of combinations of the free indices at one point.
const COMBINATIONS: usize = 6;
/// The number of points that must decide before two expressions count as equal.
const LEAST: usize = 3;
/// Values whose errors are smaller than this count as evidence too: where a sum is zero because its
/// terms cancel, there is no size to compare the error with.
const NEGLIGIBLE: f64 = 1e-20;
/// The relative resolution that a value needs to count as evidence of equality.
const RESOLUTION: f64 = 1e-12;

/// The values of the free indices.
pub(crate) type Letters = Vec<(String, usize)>;

/// A value where the expression is defined, and otherwise why it is not.
pub(crate) type Evaluated = Result<(Option<Value<Real>>, Option<String>), EvaluationError>;

/// A point with values of the free indices, and the values of the expressions there.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) point: Point,
    pub(crate) number: usize,
    pub(crate) letters: Letters,
    pub(crate) values: Vec<Option<Value<Real>>>,
}

/// What the samples say about two expressions.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Equal,
    /// They certainly differ in the sample of this number.
    Different(usize),
    /// One is a vector or matrix of another shape.
    Shapes,
    Unknown(String),
}

/// What a statement needs to be evaluated.
pub(crate) struct Setting<'a> {
    pub(crate) model: &'a Model,
    pub(crate) typing: &'a Typing,
    pub(crate) item: usize,
    pub(crate) condition: Option<&'a Condition>,
    pub(crate) inputs: &'a [String],
    pub(crate) seed: u64,
    pub(crate) budget: &'a Cell<u64>,
}

impl<'a> Setting<'a> {
    pub(crate) fn sampler(&'a self, assumptions: &'a [&'a Assumption]) -> Sampler<'a> {
        Sampler { model: self.model, ranges: &self.typing.ranges, inputs: self.inputs, assumptions, seed: self.seed }
    }

    pub(crate) fn context(&self, point: &'a Point) -> Context<'a> {
        Context { model: self.model, typing: self.typing, point, item: self.item, budget: self.budget }
    }

    /// Evaluates an expression at a point.
    pub(crate) fn value(&self, expr: &Expr, point: &Point, letters: &Letters) -> Evaluated {
        self.value_with(self.model, self.typing, expr, point, letters)
    }

    /// Evaluates an expression with types of its own, such as a candidate of the diagnosis.
    pub(crate) fn value_with(
        &self,
        model: &Model,
        typing: &Typing,
        expr: &Expr,
        point: &Point,
        letters: &Letters,
    ) -> Evaluated {
        let context = Context { model, typing, point, item: self.item, budget: self.budget };
        let mut evaluator = Evaluator::<Jet>::new(context, letters);
        if let Some((_, row)) = letters.iter().find(|(letter, _)| letter == "n") {
            evaluator.set_row(*row);
        }
        let value = evaluator.evaluate(expr)?;
        let value = Value {
            rows: value.rows,
            columns: value.columns,
            entries: value.entries.iter().map(Number::real).collect(),
        };
        let is_defined = value.entries.iter().all(|entry| entry.is_defined());
        let reason = (!is_defined).then(|| match evaluator.undefined() {
            Some((what, _)) => what,
            None => "a value that is too large or not defined".into(),
        });
        Ok((is_defined.then_some(value), reason))
    }

    /// Returns combinations of the free indices: all if they are few, otherwise some, of which the
    /// first has equal indices.
    pub(crate) fn combinations(&self, point: &Point, number: usize) -> Vec<Letters> {
        let free = &self.typing.free;
        let lengths: Vec<usize> = free.iter().map(|(_, range)| point.length(&self.typing.ranges, *range)).collect();
        let total = lengths.iter().fold(1usize, |total, &length| total.saturating_mul(length));
        let combination = |mut number: usize| -> Letters {
            let mut letters = Vec::new();
            for ((letter, _), length) in free.iter().zip(&lengths) {
                letters.push((letter.clone(), number % length));
                number /= length;
            }
            letters
        };
        let mut all: Vec<Letters> = if total <= 64 {
            (0..total).map(combination).collect()
        } else {
            let mut random = Random::new(7, number as u64);
            (0..64).map(|_| combination(random.below(total))).collect()
        };
        all.retain(|letters| self.condition.is_none_or(|condition| holds(condition, letters, self.model.base, point)));
        if all.len() > COMBINATIONS {
            // Some with equal indices and some without, others at every point.
            let mut random = Random::new(11, number as u64);
            let is_equal = |letters: &Letters| letters.windows(2).any(|pair| pair[0].1 == pair[1].1);
            let (mut equal, mut other): (Vec<_>, Vec<_>) = all.into_iter().partition(is_equal);
            let mut chosen = Vec::new();
            while chosen.len() < COMBINATIONS && !(equal.is_empty() && other.is_empty()) {
                for from in [&mut equal, &mut other] {
                    if !from.is_empty() {
                        chosen.push(from.swap_remove(random.below(from.len())));
                    }
                }
            }
            all = chosen;
        }
        all
    }

    /// Evaluates expressions at points where all are defined, as far as such are found. Returns
    /// also why each was not defined where it was not.
    pub(crate) fn gather(
        &self,
        exprs: &[&Expr],
        assumptions: &[&Assumption],
    ) -> Result<(Vec<Sample>, Vec<Option<String>>), EvaluationError> {
        let sampler = self.sampler(assumptions);
        let mut samples = Vec::new();
        let mut reasons: Vec<Option<String>> = vec![None; exprs.len()];
        let mut complete = 0;
        for number in 0..TRIES {
            if complete >= POINTS && number >= STYLES.len() {
                break;
            }
            let point = sampler.point(number);
            let mut all_defined = true;
            for letters in self.combinations(&point, number) {
                let mut values = Vec::new();
                for (expr, reason) in exprs.iter().zip(&mut reasons) {
                    let (value, undefined) = self.value(expr, &point, &letters)?;
                    all_defined &= value.is_some();
                    *reason = reason.take().or(undefined);
                    values.push(value);
                }
                if values.iter().flatten().count() > 1 {
                    samples.push(Sample { point: point.clone(), number, letters, values });
                }
            }
            complete += usize::from(all_defined);
        }
        Ok((samples, reasons))
    }

    /// Searches a counterexample of round numbers. Returns the simplest that is found.
    pub(crate) fn counterexample(&self, a: &Expr, b: &Expr, assumptions: &[&Assumption]) -> Option<Sample> {
        let sampler = self.sampler(assumptions);
        let mut best: Option<(usize, Sample)> = None;
        for number in 0..144 {
            if number % 24 == 0 && best.is_some() {
                break;
            }
            let point = sampler.round(number);
            for letters in self.combinations(&point, number) {
                let Ok((Some(left), _)) = self.value(a, &point, &letters) else { continue };
                let Ok((Some(right), _)) = self.value(b, &point, &letters) else { continue };
                let values = vec![Some(left), Some(right)];
                let sample = Sample { point: point.clone(), number, letters, values };
                if !clearly_differs(&sample) {
                    continue;
                }
                let cost = self.inputs.iter().flat_map(|head| sample.point.rows(head)).flat_map(|value| &value.entries);
                let cost = cost.map(|entry| digits(entry.value())).sum::<usize>()
                    + sample
                        .values
                        .iter()
                        .flatten()
                        .flat_map(|value| &value.entries)
                        .map(|e| digits(e.value()))
                        .sum::<usize>();
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, sample));
                }
            }
        }
        best.map(|(_, sample)| sample)
    }
}

/// Returns the number of characters of a number, but none for zero.
fn digits(value: f64) -> usize {
    if value == 0.0 { 0 } else { crate::report::number(value).len() }
}

fn clearly_differs(sample: &Sample) -> bool {
    let (Some(left), Some(right)) = (&sample.values[0], &sample.values[1]) else { return false };
    if (left.rows, left.columns) != (right.rows, right.columns) {
        return true;
    }
    left.entries.iter().zip(&right.entries).any(|(a, b)| {
        let distance = (a.value() - b.value()).abs();
        a.differs(*b) && distance > 1e-3 * (a.value().abs() + b.value().abs())
    })
}

/// Returns whether the condition of a statement holds.
fn holds(condition: &Condition, letters: &Letters, base: i64, point: &Point) -> bool {
    let of_letter = |letter: &str| letters.iter().find(|(known, _)| known == letter).map(|(_, value)| *value as i64);
    let value = |index: &Index| match index {
        Index::Number(number) => Some(number - base),
        Index::Letter(letter) => of_letter(letter),
        Index::Offset(letter, by) => of_letter(letter).map(|value| value + by),
        Index::Value(name) => {
            let row = match &name.row {
                None => letters.iter().find(|(known, _)| known == "n").map_or(0, |(_, row)| *row),
                Some(Index::Letter(letter)) => usize::try_from(of_letter(letter)?).ok()?,
                Some(_) => return None,
            };
            let value = point.value(&name.head, row)?;
            (name.indices.is_empty() && value.is_scalar()).then(|| value.entries[0].value() as i64 - base)
        }
    };
    (value(&condition.left) == value(&condition.right)) == condition.equal
}

/// Compares two of the expressions of samples.
pub(crate) fn compare(samples: &[Sample], a: usize, b: usize, reasons: &[Option<String>]) -> Outcome {
    let mut decided = BTreeSet::new();
    let mut seen = false;
    for (place, sample) in samples.iter().enumerate() {
        let (Some(left), Some(right)) = (&sample.values[a], &sample.values[b]) else { continue };
        seen = true;
        if (left.rows, left.columns) != (right.rows, right.columns) {
            return Outcome::Shapes;
        }
        let scale =
            left.entries.iter().chain(&right.entries).fold(0.0f64, |scale, entry| scale.max(entry.value().abs()));
        let mut resolved = true;
        for (x, y) in left.entries.iter().zip(&right.entries) {
            if x.differs(*y) {
                return Outcome::Different(place);
            }
            resolved &= x.error() + y.error() <= (RESOLUTION * scale).max(NEGLIGIBLE);
        }
        if resolved {
            decided.insert(sample.number);
        }
    }
    if decided.len() >= LEAST {
        return Outcome::Equal;
    }
    if seen {
        return Outcome::Unknown("rounding hides whether the sides are equal".into());
    }
    let reason = reasons[b].as_ref().map(|why| ("right", why)).or(reasons[a].as_ref().map(|why| ("left", why)));
    Outcome::Unknown(match reason {
        Some((side, why)) => format!("no point was found where both sides are defined: the {side} side has {why}"),
        None => "no indices satisfy the condition".into(),
    })
}
