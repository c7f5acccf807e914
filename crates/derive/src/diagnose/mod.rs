//! What kind of mistake a wrong step looks like.
//!
//! Each kind is a candidate: an expression that would be equal to the other side if the mistake
//! were of this kind. It is named only if the candidate is equal at every point.

use std::collections::BTreeSet;
use std::ops::{Div, Mul, Neg};

use crate::document::{Assumption, Item};
use crate::real::Real;
use crate::report::Mistake;
use crate::samples::{Outcome, Sample, Setting, compare};
use crate::tree::{Expr, Function, Index, Kind, Name, Operator, Span};
use crate::typing::{Model, free_letters};
use crate::value::Value;

mod build;
mod follows;

use build::{add, derivative, expr, integer, named, product, quotient, simple_derivative, subtract};
pub(crate) use follows::WrongClaim;

/// The value of a factor in a sample.
type FactorOf<'a> = dyn Fn(&Sample) -> Option<Real> + 'a;

/// Which factors are tried.
#[derive(Clone, Copy)]
enum Factors {
    /// Numbers and sizes.
    Constants,
    /// λ.
    Lambda,
    /// Inputs that are one number.
    Names,
}

/// A chain with its samples.
pub(crate) struct Diagnosis<'a> {
    item: &'a Item,
    exprs: &'a [&'a Expr],
    setting: &'a Setting<'a>,
    samples: Vec<&'a Sample>,
}

/// The maximum number of parts of a side in which names are swapped.
const PARTS: usize = 40;

/// The number of samples that a candidate is tested on.
const SAMPLES: usize = 24;

impl<'a> Diagnosis<'a> {
    pub(crate) fn new(item: &'a Item, exprs: &'a [&'a Expr], setting: &'a Setting<'a>, samples: &'a [Sample]) -> Self {
        // From all points, with equal and with different indices.
        // Those alternate, so the step is odd.
        let step = (samples.len() / SAMPLES) | 1;
        Self { item, exprs, setting, samples: samples.iter().step_by(step).collect() }
    }

    /// Returns whether a candidate is equal to a member in the samples that a filter selects.
    fn equals_where(&self, candidate: &Expr, member: usize, is: &dyn Fn(&Sample) -> bool) -> bool {
        let mut model: Model = self.setting.model.clone();
        let exprs: Vec<&Expr> = self.exprs.iter().copied().chain([candidate]).collect();
        let conditions: Vec<_> = self.item.condition.iter().collect();
        let Ok((typing, _)) = model.typing(&exprs, &conditions) else { return false };
        let mut compared = BTreeSet::new();
        let mut all_zero = true;
        for sample in self.samples.iter().filter(|sample| is(sample)) {
            let Some(value) = &sample.values[member] else { continue };
            let found = self.setting.value_with(&model, &typing, candidate, &sample.point, &sample.letters);
            let Ok((Some(Value { entries, .. }), _)) = found else { continue };
            if entries.len() != value.entries.len() || entries.iter().zip(&value.entries).any(|(a, b)| a.differs(*b)) {
                return false;
            }
            all_zero &= !entries.iter().any(|entry| entry.is_nonzero());
            compared.insert((sample.number, sample.letters.clone()));
        }
        compared.len() >= 3 && !all_zero
    }

    fn equals(&self, candidate: &Expr, member: usize) -> bool {
        self.equals_where(candidate, member, &|_| true)
    }

    /// Names the mistake of the step from member `a` to member `b`.
    pub(crate) fn kind(&self, a: usize, b: usize) -> Option<Mistake> {
        let right = self.exprs[b];
        let transposed = expr(Kind::Call(Function::Transpose, vec![right.clone()]));
        let shapes_differ = self.samples.iter().any(|sample| match (&sample.values[a], &sample.values[b]) {
            (Some(a), Some(b)) => (a.rows, a.columns) != (b.rows, b.columns),
            _ => false,
        });
        if shapes_differ {
            return self.equals(&transposed, a).then_some(Mistake::Transposed).or_else(|| self.transposed_factor(a, b));
        }
        self.swapped_difference(a, b)
            .or_else(|| self.factor(a, b, Factors::Constants))
            .or_else(|| self.swapped_indices(a, b))
            .or_else(|| self.diagonal(a, b))
            .or_else(|| self.swapped_names(a, b))
            .or_else(|| self.equals(&transposed, a).then_some(Mistake::Transposed))
            .or_else(|| self.factor(a, b, Factors::Lambda))
            .or_else(|| self.chain_rule(a, b))
            .or_else(|| self.factor(a, b, Factors::Names))
            .or_else(|| self.penalty(a, b))
            .or_else(|| self.penalty_of_objective(a, b))
            .or_else(|| self.sign_of_term(a, b))
            .or_else(|| self.transposed_factor(a, b))
            .or_else(|| self.missing_sum(a, b))
            .or_else(|| self.derivative_of_sum(a, b))
    }

    /// `\frac{d}{dw} w^2 + w` is a derivative of the product alone, but that of the sum is meant.
    fn derivative_of_sum(&self, a: usize, b: usize) -> Option<Mistake> {
        let (sum, by) = without_derivative(self.exprs[a])?;
        let meant = expr(Kind::Derivative(Box::new(sum), by));
        self.equals(&meant, b).then_some(Mistake::ParenthesesMissing)
    }

    /// A vector sums to one, but no line says so.
    fn missing_sum(&self, a: usize, b: usize) -> Option<Mistake> {
        let model = self.setting.model;
        let is_vector = |head: &&String| model.ranks.get(*head) == Some(&1);
        self.setting.inputs.iter().filter(is_vector).find_map(|head| {
            let assumption = Assumption::SumOne(head.clone());
            let (samples, reasons) = self.setting.gather(&[self.exprs[a], self.exprs[b]], &[&assumption]).ok()?;
            let is_equal = matches!(compare(&samples, 0, 1, &reasons), Outcome::Equal);
            is_equal.then(|| Mistake::AssumptionMissing { assumption: format!("\\sum_k {head}_k = 1") })
        })
    }

    /// One factor is transposed, or its transpose is missing.
    fn transposed_factor(&self, a: usize, b: usize) -> Option<Mistake> {
        let right = self.exprs[b];
        let mut parts: Vec<&Expr> = Vec::new();
        right.visit(&mut |part| match &part.kind {
            Kind::Name(name) if name.indices.is_empty() => parts.push(part),
            Kind::Call(Function::Transpose, _) => parts.push(part),
            _ => {}
        });
        parts.iter().take(PARTS).find_map(|part| {
            let (inner, new) = match &part.kind {
                Kind::Call(Function::Transpose, all) => (&all[0], all[0].clone()),
                _ => (*part, expr(Kind::Call(Function::Transpose, vec![(*part).clone()]))),
            };
            let whole = right
                .map(&|other| if other.span == part.span && other.kind == part.kind { new.clone() } else { other });
            self.equals(&whole, a).then(|| Mistake::FactorTransposed { factor: inner.to_string() })
        })
    }

    /// One term is added where it is to be subtracted, or the other way round.
    fn sign_of_term(&self, a: usize, b: usize) -> Option<Mistake> {
        let right = self.exprs[b];
        let mut parts: Vec<&Expr> = Vec::new();
        right.visit(&mut |part| parts.push(part));
        let candidates =
            parts.iter().flat_map(|part| with_flipped_signs(part).into_iter().map(move |new| (*part, new)));
        candidates.take(PARTS).find_map(|(part, (term, new))| {
            let is_part = |other: &Expr| other.span == part.span && other.kind == part.kind;
            let whole = right.map(&|other| if is_part(&other) { new.clone() } else { other });
            self.equals(&whole, a).then(|| Mistake::TermSign { term: term.to_string() })
        })
    }

    /// The values of both sides, entry by entry.
    fn pairs(&self, a: usize, b: usize) -> Vec<(&Sample, Real, Real)> {
        let mut pairs = Vec::new();
        for sample in &self.samples {
            if let (Some(left), Some(right)) = (&sample.values[a], &sample.values[b]) {
                pairs.extend(left.entries.iter().zip(&right.entries).map(|(&l, &r)| (*sample, l, r)));
            }
        }
        pairs
    }

    /// The names of a difference are swapped: `y - p` for `p - y`. Only the sign differs, but a
    /// written minus sign is a mistake of the sign.
    fn swapped_difference(&self, a: usize, b: usize) -> Option<Mistake> {
        let right = self.exprs[b];
        let mut differences: Vec<(&Name, &Name)> = Vec::new();
        let mut has_sign = false;
        right.visit(&mut |part| match &part.kind {
            Kind::Neg(_) => has_sign = true,
            Kind::Binary(Operator::Sub, left, right) => {
                if let (Kind::Name(left), Kind::Name(right)) = (&left.kind, &right.kind) {
                    differences.push((left, right));
                }
            }
            _ => {}
        });
        let [(first, second)] = differences.as_slice() else { return None };
        let negative = expr(Kind::Neg(Box::new(right.clone())));
        (!has_sign && self.equals(&negative, a))
            .then(|| Mistake::Swapped { first: first.head.clone(), second: second.head.clone() })
    }

    /// One factor everywhere.
    fn factor(&self, a: usize, b: usize, factors: Factors) -> Option<Mistake> {
        let pairs = self.pairs(a, b);
        let nonzero = pairs.iter().filter(|(_, left, right)| left.is_nonzero() && right.is_nonzero());
        let nonzero: Vec<_> = nonzero.collect();
        let points: BTreeSet<usize> = nonzero.iter().map(|(sample, ..)| sample.number).collect();
        // Where one side is zero, the other one is too.
        let zeros_agree = pairs.iter().all(|(_, left, right)| left.is_nonzero() == right.is_nonzero());
        if points.len() < 3 || !zeros_agree {
            return None;
        }
        let is = |factor: &FactorOf| {
            nonzero
                .iter()
                .all(|(sample, left, right)| factor(sample).is_some_and(|factor| !left.mul(factor).differs(*right)))
        };
        match factors {
            Factors::Constants => {}
            // The strength of a penalty is no inner derivative.
            Factors::Lambda => return self.named_factor(&is, &|head| head == "λ"),
            Factors::Names => return self.named_factor(&is, &|_| true),
        }
        let sign = |negative: bool, text: &str| if negative { format!("-{text}") } else { text.to_owned() };
        for negative in [false, true] {
            let signed = |value: Real| if negative { value.neg() } else { value };
            if negative && is(&|_| Some(signed(Real::ONE))) {
                return Some(Mistake::Sign);
            }
            for (text, value) in [("2", 2.0), ("1/2", 0.5)] {
                if is(&|_| Some(signed(Real::new(value)))) {
                    return Some(Mistake::Factor { factor: sign(negative, text) });
                }
            }
            for (head, &range) in &self.setting.model.sizes {
                let length =
                    |sample: &Sample| Real::new(sample.point.length(&self.setting.typing.ranges, range) as f64);
                let is_rows = head == "N" && !negative;
                if is(&|sample| Some(signed(length(sample)))) {
                    let factor = sign(negative, head);
                    return Some(if is_rows { Mistake::SumForMean } else { Mistake::Factor { factor } });
                }
                if is(&|sample| Some(signed(Real::ONE.div(length(sample))))) {
                    let factor = sign(negative, &format!("1/{head}"));
                    return Some(if is_rows { Mistake::MeanForSum } else { Mistake::Factor { factor } });
                }
            }
        }
        // Another constant.
        let ratio = nonzero[0].2.div(nonzero[0].1);
        for below in 1..=12 {
            let above = (ratio.value() * f64::from(below)).round();
            let value = Real::new(above).div(Real::new(f64::from(below)));
            if above.abs() <= 144.0 && above != 0.0 && is(&|_| Some(value)) {
                let factor = if below == 1 { format!("{above}") } else { format!("{above}/{below}") };
                return Some(Mistake::Factor { factor });
            }
        }
        None
    }

    fn named_factor(&self, is: &dyn Fn(&FactorOf) -> bool, is_meant: &dyn Fn(&str) -> bool) -> Option<Mistake> {
        for head in self.scalars().into_iter().filter(|head| is_meant(head)) {
            let value = |sample: &Sample| sample.point.value(&head, 0).map(|value| value.entries[0]);
            let inverse = |sample: &Sample| value(sample).map(|value| Real::ONE.div(value));
            let factors: [(String, &FactorOf); 4] = [
                (head.clone(), &value),
                (format!("1/{head}"), &inverse),
                (format!("-{head}"), &|sample| value(sample).map(Real::neg)),
                (format!("-1/{head}"), &|sample| inverse(sample).map(Real::neg)),
            ];
            if let Some((factor, _)) = factors.into_iter().find(|(_, factor)| is(factor)) {
                return Some(Mistake::Factor { factor });
            }
        }
        None
    }

    /// The inputs that are one number for all rows, like λ.
    fn scalars(&self) -> Vec<String> {
        let model = self.setting.model;
        let is_scalar = |head: &&String| model.ranks.get(*head) == Some(&0) && !model.by_row.contains(*head);
        self.setting.inputs.iter().filter(is_scalar).cloned().collect()
    }

    /// Right where two indices are equal, and wrong elsewhere.
    fn diagonal(&self, a: usize, b: usize) -> Option<Mistake> {
        let letters: Vec<&String> = self.setting.typing.free.iter().map(|(letter, _)| letter).collect();
        for (place, first) in letters.iter().enumerate() {
            for second in &letters[place + 1..] {
                let value = |sample: &Sample, letter: &str| {
                    sample.letters.iter().find(|(known, _)| known == letter).map(|(_, value)| *value)
                };
                let on = |sample: &Sample| value(sample, first) == value(sample, second);
                let (on, off): (Vec<_>, Vec<_>) = self.pairs(a, b).into_iter().partition(|(sample, ..)| on(sample));
                let right =
                    |pairs: &[(&Sample, Real, Real)]| pairs.iter().all(|(_, left, right)| !left.differs(*right));
                if on.len() >= 3 && off.len() >= 3 && right(&on) && !right(&off) && self.is_jacobian() {
                    return Some(Mistake::DiagonalOnly { what: format!("it holds for {first} = {second} only") });
                }
            }
        }
        None
    }

    /// Returns whether the left side is a derivative of an entry by an entry.
    fn is_jacobian(&self) -> bool {
        match simple_derivative(self.exprs[0]) {
            Some((of, by)) => !of.indices.is_empty() && !by.indices.is_empty(),
            None => true,
        }
    }

    fn swapped_indices(&self, a: usize, b: usize) -> Option<Mistake> {
        let right = self.exprs[b];
        let letters: Vec<String> = free_letters(right).into_iter().collect();
        for (place, first) in letters.iter().enumerate() {
            for second in &letters[place + 1..] {
                let swap = |index: &Index| match index {
                    Index::Letter(letter) if letter == first => Index::Letter(second.clone()),
                    Index::Letter(letter) if letter == second => Index::Letter(first.clone()),
                    other => other.clone(),
                };
                if self.equals(&right.map_indices(&swap), a) {
                    return Some(Mistake::IndicesSwapped { first: first.clone(), second: second.clone() });
                }
            }
        }
        // One index stands for another in a single name, or a name has its two indices swapped.
        let mut names: Vec<Name> = Vec::new();
        right.visit_names(&mut |name| {
            if !name.indices.is_empty()
                && !names.iter().any(|known| known.head == name.head && known.indices == name.indices)
            {
                names.push(name.clone());
            }
        });
        let free: BTreeSet<String> = self.setting.typing.free.iter().map(|(letter, _)| letter.clone()).collect();
        for name in &names {
            if let [Index::Letter(first), Index::Letter(second)] = name.indices.as_slice() {
                let swapped = right.map_names(&|other| {
                    if other.head == name.head && other.indices == name.indices {
                        other.indices.reverse();
                    }
                });
                if self.equals(&swapped, a) {
                    return Some(Mistake::IndicesSwapped { first: first.clone(), second: second.clone() });
                }
            }
            for (slot, index) in name.indices.iter().enumerate() {
                for letter in &free {
                    let other = Index::Letter(letter.clone());
                    if other == *index {
                        continue;
                    }
                    let changed = right.map_names(&|found| {
                        if found.head == name.head && found.indices == name.indices {
                            found.indices[slot] = other.clone();
                        }
                    });
                    if self.equals(&changed, a) {
                        return Some(Mistake::IndicesSwapped { first: index.to_string(), second: letter.clone() });
                    }
                }
            }
        }
        None
    }

    fn swapped_names(&self, a: usize, b: usize) -> Option<Mistake> {
        let right = self.exprs[b];
        let model = self.setting.model;
        let mut heads = BTreeSet::new();
        let mut has_derivative = false;
        right.visit(&mut |part| has_derivative |= matches!(part.kind, Kind::Derivative(..)));
        if has_derivative {
            return None;
        }
        right.visit_names(&mut |name| {
            heads.insert(name.head.clone());
        });
        let heads: Vec<String> = heads.into_iter().filter(|head| !model.sizes.contains_key(head)).collect();
        for (place, first) in heads.iter().enumerate() {
            for second in &heads[place + 1..] {
                if model.ranks.get(first) != model.ranks.get(second) {
                    continue;
                }
                let swap = |part: &Expr| {
                    part.map_names(&|name| {
                        if name.head == *first {
                            name.head.clone_from(second);
                        } else if name.head == *second {
                            name.head.clone_from(first);
                        }
                    })
                };
                // In the whole side, or in one part of it.
                let mut parts: Vec<&Expr> = Vec::new();
                right.visit(&mut |part| parts.push(part));
                let is_swapped = parts.iter().take(PARTS).any(|&part| {
                    let swapped = swap(part);
                    let whole = right.map(&|other| if other.span == part.span { swapped.clone() } else { other });
                    whole != *right && self.equals(&whole, a)
                });
                if is_swapped {
                    return Some(Mistake::Swapped { first: first.clone(), second: second.clone() });
                }
            }
        }
        None
    }

    /// All ways to write a name with the free indices of the chain.
    fn with_indices(&self, head: &str) -> Vec<Name> {
        let model = self.setting.model;
        let letters: Vec<Index> = self
            .setting
            .typing
            .free
            .iter()
            .map(|(letter, _)| letter)
            .filter(|letter| *letter != "n")
            .cloned()
            .map(Index::Letter)
            .collect();
        let rows: Vec<Option<Index>> = self.rows(head);
        let name = |indices: Vec<Index>, row: &Option<Index>| Name {
            head: head.to_owned(),
            indices,
            row: row.clone(),
            span: Span::default(),
        };
        let mut names = Vec::new();
        for row in &rows {
            match model.ranks.get(head).copied().unwrap_or(0) {
                0 => names.push(name(Vec::new(), row)),
                1 => names.extend(letters.iter().map(|letter| name(vec![letter.clone()], row))),
                2 => {
                    for first in &letters {
                        names.extend(
                            letters
                                .iter()
                                .filter(|second| *second != first)
                                .map(|second| name(vec![first.clone(), second.clone()], row)),
                        );
                    }
                }
                // There would be too many candidates.
                _ => {}
            }
        }
        names
    }

    /// The rows that a name can have here: none, or the row of the right sides.
    fn rows(&self, head: &str) -> Vec<Option<Index>> {
        let model = self.setting.model;
        let mut rows = vec![None];
        if model.has_rows && (model.by_row.contains(head) || !model.is_input(head)) {
            let mut found = BTreeSet::new();
            for expr in self.exprs {
                expr.visit_names(&mut |name| {
                    found.extend(name.row.clone());
                });
            }
            rows.extend(found.into_iter().map(Some));
        }
        rows
    }

    /// The pairs of a defined name and a name that its definition contains.
    fn links(&self) -> Vec<(String, String)> {
        let model = self.setting.model;
        let mut links = BTreeSet::new();
        for definition in &model.definitions {
            definition.body.visit_names(&mut |name| {
                if !model.sizes.contains_key(&name.head) && name.head != definition.name.head {
                    links.insert((definition.name.head.clone(), name.head.clone()));
                }
            });
        }
        links.into_iter().collect()
    }

    fn chain_rule(&self, a: usize, b: usize) -> Option<Mistake> {
        let (of, by) = simple_derivative(self.exprs[0])?;
        let other = || self.other_derivative(of, by, b);
        let missing = || self.missing_inner(a, b);
        // A derivative by a parameter lacks its last factor; one by a name in between is another
        // one.
        let found =
            if self.setting.model.is_input(&by.head) { missing().or_else(other) } else { other().or_else(missing) };
        found.or_else(|| self.diagonal_of_sum(of, by, b))
    }

    fn other_derivative(&self, of: &Name, by: &Name, b: usize) -> Option<Mistake> {
        let model = self.setting.model;
        let heads = model.ranks.keys().filter(|head| **head != by.head && **head != of.head);
        for head in heads.filter(|head| !model.sizes.contains_key(*head)) {
            for name in self.with_indices(head) {
                let candidate = derivative(of, &name);
                if self.equals(&candidate, b) {
                    return Some(Mistake::OtherDerivative { derivative: candidate.to_string() });
                }
            }
        }
        None
    }

    fn missing_inner(&self, a: usize, b: usize) -> Option<Mistake> {
        let right = self.exprs[b];
        for (outer, inner) in self.links() {
            for outer in self.with_indices(&outer) {
                for inner in self.with_indices(&inner) {
                    let factor = derivative(&outer, &inner);
                    if factor.to_string() == self.exprs[0].to_string() {
                        continue;
                    }
                    let mut candidates = vec![product(right.clone(), factor.clone())];
                    // The factor belongs inside of a sum over rows.
                    if outer.row.is_some() || inner.row.is_some() {
                        candidates.push(in_sums(right, &factor));
                    }
                    if candidates.iter().any(|candidate| self.equals(candidate, a)) {
                        return Some(Mistake::MissingInner { derivative: factor.to_string() });
                    }
                }
            }
        }
        None
    }

    /// A chain rule over a vector of which only one term is there: `∂C/∂p_k ∂p_k/∂z_k`.
    fn diagonal_of_sum(&self, of: &Name, by: &Name, b: usize) -> Option<Mistake> {
        for (outer, inner) in self.links() {
            for outer in self.with_indices(&outer) {
                for inner in self.with_indices(&inner) {
                    if outer.indices.is_empty() || outer.indices != inner.indices {
                        continue;
                    }
                    let jacobian = derivative(&outer, &inner);
                    let mut candidate = product(derivative(of, &outer), jacobian.clone());
                    if inner.head != by.head {
                        candidate = product(candidate, derivative(&inner, by));
                    }
                    if self.equals(&candidate, b) {
                        let what = format!("{jacobian} is one term of a sum over all entries of {}", outer.head);
                        return Some(Mistake::DiagonalOnly { what });
                    }
                }
            }
        }
        None
    }

    /// The inputs that have this many indices and the same value in all rows.
    fn inputs_of_rank(&self, rank: usize) -> Vec<Name> {
        let model = self.setting.model;
        let is = |head: &&String| {
            model.ranks[*head] == rank
                && !model.by_row.contains(*head)
                && model.is_input(head)
                && !model.sizes.contains_key(*head)
        };
        let name = |head: &String| Name { head: head.clone(), indices: Vec::new(), row: None, span: Span::default() };
        model.ranks.keys().filter(is).map(name).collect()
    }

    /// A parameter that is penalised or not, in the objective itself.
    fn penalty_of_objective(&self, a: usize, b: usize) -> Option<Mistake> {
        if !matches!(self.exprs[0].kind, Kind::Name(_)) {
            return None;
        }
        let right = self.exprs[b];
        let parameters: Vec<Name> = (0..=2).flat_map(|rank| self.inputs_of_rank(rank)).collect();
        for scalar in self.inputs_of_rank(0) {
            for parameter in parameters.iter().filter(|parameter| parameter.head != scalar.head) {
                let norm = expr(Kind::Call(Function::Norm, vec![named(parameter)]));
                let square = expr(Kind::Binary(Operator::Pow, Box::new(norm), Box::new(integer(2.0))));
                let term = product(named(&scalar), square);
                let is_number = self.setting.model.ranks.get(&parameter.head) == Some(&0);
                let shown = if is_number { format!("{parameter}²") } else { format!("‖{parameter}‖²") };
                for (term, end) in [(quotient(term.clone(), integer(2.0)), "/2"), (term, "")] {
                    let text = format!("{scalar} {shown}{end}");
                    if self.equals(&add(right.clone(), term.clone()), a) {
                        return Some(Mistake::PenaltyMissing { term: text });
                    }
                    if self.equals(&subtract(right.clone(), term), a) {
                        return Some(Mistake::PenaltyAdded { term: text });
                    }
                }
            }
        }
        None
    }

    fn penalty(&self, a: usize, b: usize) -> Option<Mistake> {
        let (_, by) = simple_derivative(self.exprs[0])?;
        let right = self.exprs[b];
        for scalar in &self.inputs_of_rank(0) {
            let term = product(named(scalar), named(by));
            let terms = [
                term.clone(),
                product(integer(2.0), term.clone()),
                quotient(term.clone(), integer(2.0)),
                quotient(
                    term.clone(),
                    expr(Kind::Name(Name { head: "N".into(), indices: Vec::new(), row: None, span: Span::default() })),
                ),
            ];
            for term in terms {
                if self.equals(&add(right.clone(), term.clone()), a) {
                    return Some(Mistake::PenaltyMissing { term: term.to_string() });
                }
                if self.equals(&subtract(right.clone(), term.clone()), a) {
                    return Some(Mistake::PenaltyAdded { term: term.to_string() });
                }
            }
        }
        None
    }
}

/// Returns a sum or difference without the derivative in its first term, and what that is by.
fn without_derivative(sum: &Expr) -> Option<(Expr, Vec<Name>)> {
    let Kind::Binary(operator @ (Operator::Add | Operator::Sub), first, last) = &sum.kind else { return None };
    let (first, by) = match &first.kind {
        Kind::Derivative(of, by) => ((**of).clone(), by.clone()),
        _ => without_derivative(first)?,
    };
    Some((expr(Kind::Binary(*operator, Box::new(first), last.clone())), by))
}

/// Returns the terms of a sum or difference, each with the whole in which its sign is flipped.
fn with_flipped_signs(part: &Expr) -> Vec<(&Expr, Expr)> {
    let (operator, first, last) = match &part.kind {
        Kind::Binary(operator @ (Operator::Add | Operator::Sub), first, last) => (*operator, first, last),
        Kind::Neg(inner) => return vec![(inner, (**inner).clone())],
        _ => return Vec::new(),
    };
    let other = if operator == Operator::Add { Operator::Sub } else { Operator::Add };
    let mut all: Vec<(&Expr, Expr)> = vec![(last, expr(Kind::Binary(other, first.clone(), last.clone())))];
    // What begins with a sign, or is a sum itself, is looked at by itself.
    if !matches!(first.kind, Kind::Neg(_) | Kind::Binary(Operator::Add | Operator::Sub, ..)) {
        let negative = Box::new(expr(Kind::Neg(first.clone())));
        all.push((first, expr(Kind::Binary(operator, negative, last.clone()))));
    }
    all
}

/// Multiplies the bodies of all sums by a factor.
fn in_sums(right: &Expr, factor: &Expr) -> Expr {
    right.map(&|mut part| {
        if let Kind::Sum { body, .. } = &mut part.kind {
            **body = product((**body).clone(), factor.clone());
        }
        part
    })
}
