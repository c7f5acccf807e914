//! Checks every `=` of a document.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Sub;

use crate::diagnose::{Diagnosis, WrongClaim};
use crate::document::{Assumption, Document, Item, Part, Role};
use crate::error::position;
use crate::evaluate::Context;
use crate::latex::latex;
use crate::report::{Counterexample, Line, Mistake, Report, Step, Verdict, number};
use crate::samples::{Outcome, Sample, Setting, compare};
use crate::tree::{Expr, Kind, Span};
use crate::typing::Model;
use crate::value::EvaluationError;
use crate::witness::{Differences, Question, Witness};

/// The settings of a check.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The seed of the random points. The verdicts do not depend on it.
    pub seed: u64,
    /// The witnesses that confirm the derivatives on left sides.
    pub witnesses: &'a [&'a dyn Witness],
    /// The maximum number of operations, which bounds the time: a million take about a second.
    pub operations: u64,
    /// Whether wrong steps get the kind of mistake and a counterexample of round numbers.
    pub explain: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { seed: 0, witnesses: &[&Differences], operations: 8_000_000, explain: true }
    }
}

/// The part of all operations that one statement may use.
const SHARE: u64 = 4;

/// Checks every step of a derivation.
pub fn check(document: &Document, options: &Options<'_>) -> Report {
    check_from(document, options, 0)
}

/// Checks the statements that begin at a byte of the document or after it.
pub(crate) fn check_from(document: &Document, options: &Options<'_>, start: usize) -> Report {
    let mut lines: Vec<(usize, Line)> = Vec::new();
    let mut left = options.operations;
    for part in &document.parts {
        left = check_part(part, options, start, left, &mut lines);
    }
    // The scopes of a document may alternate.
    lines.sort_by_key(|(start, _)| *start);
    let lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).collect();
    let is_wrong = |line: &Line| line.steps.iter().any(|step| matches!(step.verdict, Verdict::Wrong { .. }));
    let prose = match document.parts.first() {
        Some(part) => document.prose.iter().map(|&at| part.line(at)).collect(),
        None => Vec::new(),
    };
    Report { first_wrong: lines.iter().position(is_wrong), lines, prose }
}

/// Checks the statements of a scope. Returns the number of operations that are left.
fn check_part(document: &Part, options: &Options<'_>, start: usize, left: u64, lines: &mut Vec<(usize, Line)>) -> u64 {
    for unread in document.unread.iter().filter(|unread| !unread.inherited && unread.span.start >= start) {
        let (line, column) = position(&document.text, unread.error.at);
        let verdict = Verdict::NotRead { column, reason: unread.error.message.clone() };
        let steps = vec![Step { line, right: String::new(), right_latex: String::new(), verdict }];
        let line = document.line(unread.span.start);
        let left = source(document, unread.span);
        let left_latex = String::new();
        let start = unread.span.start;
        let line = Line { line, label: None, left, start, left_latex, condition: None, steps, confirmed_by: None };
        lines.push((start, line));
    }
    // The types of what was read fit.
    let Ok(model) = Model::new(document) else { return left };
    let mut checker = Checker { document, model, options, left, wrong: Vec::new(), confirmed_by: None };
    for (place, item) in document.items.iter().enumerate() {
        // A statement about several names is one line.
        if item.inherited || item.span.start < start || (place > 0 && document.items[place - 1].span == item.span) {
            continue;
        }
        let steps = checker.steps(place, item);
        let left = match item.role {
            Role::Assumption(_) | Role::NotChecked(_) => source(document, item.span),
            _ => source(document, item.members[0].span),
        };
        let left_latex = match item.role {
            // What is not read as an expression is typeset as it is written.
            Role::Assumption(_) | Role::NotChecked(_) => without_number(&left),
            _ => latex(&item.members[0]),
        };
        let line = Line {
            line: document.line(item.span.start),
            label: item.label.clone(),
            left,
            start: item.span.start,
            left_latex,
            condition: item.condition.as_ref().map(ToString::to_string),
            steps,
            confirmed_by: checker.confirmed_by.take(),
        };
        lines.push((item.span.start, line));
    }
    checker.left
}

/// Returns a part of the document on one line, without characters that control a terminal.
pub(crate) fn source(document: &Part, span: Span) -> String {
    // What `\right` closes, `\left` opens.
    let before = document.text[..span.start].trim_end();
    let start = before.strip_suffix("\\left").map_or(span.start, str::len);
    let words: Vec<&str> = document.text[start..span.end].split_whitespace().collect();
    words.join(" ").replace(char::is_control, "�")
}

/// Returns a formula without its number and box, which a page shows in its own way.
fn without_number(formula: &str) -> String {
    let text = formula.replace("\\boxed{", "{");
    match text.split_once("\\tag{").and_then(|(before, rest)| Some((before, rest.split_once('}')?.1))) {
        Some((before, after)) => format!("{before}{after}"),
        None => text,
    }
}

struct Checker<'a> {
    document: &'a Part,
    model: Model,
    options: &'a Options<'a>,
    /// The number of operations that are left.
    left: u64,
    wrong: Vec<WrongClaim>,
    /// Which witnesses confirm the derivative on the left side of the statement.
    confirmed_by: Option<Vec<String>>,
}

impl Checker<'_> {
    fn steps(&mut self, place: usize, item: &Item) -> Vec<Step> {
        let line = self.document.line(item.span.start);
        let only = |verdict| vec![Step { line, right: String::new(), right_latex: String::new(), verdict }];
        match &item.role {
            Role::Assumption(_) => return only(Verdict::Assumption),
            Role::NotChecked(reason) => return only(Verdict::NotChecked { reason: reason.clone() }),
            Role::Definition | Role::Claim => {}
        }
        let first = if matches!(item.role, Role::Definition) { 2 } else { 1 };
        let mut steps = Vec::new();
        let mut step = |member: &Expr, verdict| {
            let right = source(self.document, member.span);
            let line = position(&self.document.text, member.span.start).0;
            steps.push(Step { line, right, right_latex: latex(member), verdict });
        };
        if first == 2 {
            step(&item.members[1], Verdict::Definition);
        }
        let verdicts = if item.members.len() > first { self.verdicts(place, item, first) } else { Vec::new() };
        for (member, verdict) in item.members[first..].iter().zip(verdicts) {
            step(member, verdict);
        }
        steps
    }

    fn verdicts(&mut self, place: usize, item: &Item, first: usize) -> Vec<Verdict> {
        let share = (self.options.operations / SHARE).min(self.left);
        let budget = Cell::new(share);
        let verdicts = self.chain(place, item, first, &budget);
        self.left -= share - budget.get();
        verdicts
    }

    /// Returns why expressions cannot be judged, if they depend on what a formula may say that was
    /// not read.
    fn missing_definition(&self, exprs: &[&Expr]) -> Option<String> {
        let needed = dependencies(&self.model, exprs);
        let found = needed.iter().find_map(|head| Some((head, self.document.unread_about(head)?)));
        found.map(|(head, unread)| {
            let line = position(&self.document.text, unread.error.at).0;
            format!("line {line}, which was not read, may say what `{head}` is")
        })
    }

    fn chain(&mut self, place: usize, item: &Item, first: usize, budget: &Cell<u64>) -> Vec<Verdict> {
        let members = &item.members;
        let mut verdicts: Vec<Verdict> = members
            .iter()
            .map(|member| match member.kind {
                Kind::Missing => Verdict::Missing,
                _ => Verdict::NotChecked { reason: String::new() },
            })
            .collect();
        let condition: Vec<_> = item.condition.iter().collect();
        // Members whose types do not fit are left out.
        let mut good: Vec<usize> = Vec::new();
        let mut typing = None;
        let mut merged: Vec<String> = Vec::new();
        let mut merged_by: Vec<Vec<String>> = vec![Vec::new(); members.len()];
        for (place, member) in members.iter().enumerate() {
            if member.kind == Kind::Missing {
                continue;
            }
            let exprs: Vec<&Expr> = good.iter().map(|&place| &members[place]).chain([member]).collect();
            match self.model.typing(&exprs, &condition) {
                Ok((found, _)) => {
                    let all = self.model.merged_sizes(&found);
                    merged_by[place] = all.iter().filter(|sizes| !merged.contains(sizes)).cloned().collect();
                    merged = all;
                    typing = Some(found);
                    good.push(place);
                }
                Err(error) => {
                    let (line, column) = position(&self.document.text, error.at);
                    let reason = format!("{} (line {line}, column {column})", error.message);
                    verdicts[place] = Verdict::Undecided { reason };
                }
            }
        }
        if good.first() != Some(&0) {
            let reason = match &verdicts[0] {
                Verdict::Undecided { reason } => reason.clone(),
                _ => "the left side is missing".into(),
            };
            return verdicts
                .into_iter()
                .skip(first)
                .map(|verdict| match verdict {
                    Verdict::NotChecked { .. } => Verdict::Undecided { reason: reason.clone() },
                    verdict => verdict,
                })
                .collect();
        }
        let Some(typing) = typing else { return verdicts.split_off(first) };
        let exprs: Vec<&Expr> = good.iter().map(|&place| &members[place]).collect();
        if let Some(reason) = self.missing_definition(&exprs) {
            for &member in &good {
                verdicts[member] = Verdict::Undecided { reason: reason.clone() };
            }
            return verdicts.split_off(first);
        }
        let inputs = inputs(&self.model, &exprs);
        let setting = Setting {
            model: &self.model,
            typing: &typing,
            item: place,
            condition: item.condition.as_ref(),
            inputs: &inputs,
            seed: self.options.seed,
            budget,
        };
        let found = match Evidence::gather(self.document, setting, &exprs) {
            Ok(evidence) => {
                let first = if first == 2 && good.get(1) == Some(&1) { 2 } else { 1 };
                let testimony = Testimony::gather(self.options.witnesses, exprs[0], &evidence);
                self.confirmed_by = testimony.confirmed_by;
                match testimony.contradiction {
                    None => judge(self.document, self.options, &self.wrong, item, &exprs, &evidence, first),
                    Some(reason) => exprs.iter().map(|_| Verdict::Undecided { reason: reason.clone() }).collect(),
                }
            }
            Err(error) => exprs.iter().map(|_| Verdict::Undecided { reason: explain(&error) }).collect(),
        };
        for (&member, mut verdict) in good.iter().zip(found) {
            // A sum over the rows where one over the classes is meant is right only if both are as
            // many.
            let sizes = &merged_by[member];
            match &mut verdict {
                Verdict::HoldsUnder { assumptions } => assumptions.extend(sizes.iter().cloned()),
                Verdict::Holds if !sizes.is_empty() => verdict = Verdict::HoldsUnder { assumptions: sizes.clone() },
                _ => {}
            }
            if let Verdict::Wrong { .. } = verdict {
                let line = position(&self.document.text, members[member].span.start).0;
                self.wrong.push(WrongClaim { line, left: members[0].clone(), right: members[member].clone() });
            }
            verdicts[member] = verdict;
        }
        verdicts.split_off(first)
    }
}

fn explain(error: &EvaluationError) -> String {
    match error {
        EvaluationError::TooLarge => "it takes too many operations".into(),
        EvaluationError::Meaningless(message) => message.clone(),
    }
}

/// The samples of a chain, with the assumptions of the document and without.
struct Evidence<'a> {
    setting: Setting<'a>,
    assumptions: Vec<(&'a Assumption, String)>,
    assumed: Vec<Sample>,
    reasons: Vec<Option<String>>,
    free: Option<(Vec<Sample>, Vec<Option<String>>)>,
}

impl<'a> Evidence<'a> {
    fn gather(document: &'a Part, setting: Setting<'a>, exprs: &[&Expr]) -> Result<Self, EvaluationError> {
        let is_relevant = |assumption: &Assumption| match assumption {
            Assumption::SumOne(head) | Assumption::OneOf(head, _) | Assumption::Between(head, ..) => {
                setting.inputs.contains(head)
            }
            Assumption::Size(..) => true,
            Assumption::Declaration => false,
        };
        let assumptions: Vec<(&Assumption, String)> = document
            .items
            .iter()
            .filter_map(|item| match &item.role {
                Role::Assumption(assumption) if is_relevant(assumption) => {
                    Some((assumption, source(document, item.span)))
                }
                _ => None,
            })
            .collect();
        let all: Vec<&Assumption> = assumptions.iter().map(|(assumption, _)| *assumption).collect();
        let (assumed, reasons) = setting.gather(exprs, &all)?;
        let free = if all.is_empty() { None } else { Some(setting.gather(exprs, &[])?) };
        Ok(Self { setting, assumptions, assumed, reasons, free })
    }

    /// Compares two members. Returns also the assumptions that their equality needs.
    fn decide(&self, exprs: &[&Expr], a: usize, b: usize) -> (Outcome, Vec<String>) {
        if let Some((free, reasons)) = &self.free
            && matches!(compare(free, a, b, reasons), Outcome::Equal)
        {
            return (Outcome::Equal, Vec::new());
        }
        let outcome = compare(&self.assumed, a, b, &self.reasons);
        if !matches!(outcome, Outcome::Equal) || self.free.is_none() {
            return (outcome, Vec::new());
        }
        // Leave out one assumption after the other, as long as the sides stay equal.
        let mut needed: Vec<&(&Assumption, String)> = self.assumptions.iter().collect();
        let mut place = 0;
        while place < needed.len() {
            let without: Vec<&Assumption> =
                needed.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, a)| a.0).collect();
            let equal = match self.setting.gather(&[exprs[a], exprs[b]], &without) {
                Ok((samples, reasons)) => !matches!(compare(&samples, 0, 1, &reasons), Outcome::Different(_)),
                Err(_) => false,
            };
            if equal {
                needed.remove(place);
            } else {
                place += 1;
            }
        }
        (outcome, needed.into_iter().map(|(_, text)| text.clone()).collect())
    }
}

/// Judges the steps of a chain. Members before `first` have no step.
fn judge(
    document: &Part,
    options: &Options<'_>,
    wrong: &[WrongClaim],
    item: &Item,
    exprs: &[&Expr],
    evidence: &Evidence<'_>,
    first: usize,
) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Definition; exprs.len().min(first)];
    // The line of the last wrong step, while the chain has not come back to the right value.
    let mut wrong_line = None;
    for place in first..exprs.len() {
        let before = place - 1;
        let (outcome, assumptions) = evidence.decide(exprs, before, place);
        let is_true = || matches!(evidence.decide(exprs, 0, place).0, Outcome::Equal);
        let line = document.line(exprs[place].span.start);
        let verdict = match (&outcome, wrong_line) {
            (Outcome::Equal, None) if assumptions.is_empty() => Verdict::Holds,
            (Outcome::Equal, None) => Verdict::HoldsUnder { assumptions },
            (Outcome::Equal, Some(from_line)) => Verdict::Follows { from_line },
            (Outcome::Unknown(reason), _) => Verdict::Undecided { reason: reason.clone() },
            (_, Some(_)) if is_true() => {
                wrong_line = None;
                Verdict::RightAgain
            }
            (Outcome::Different(_) | Outcome::Shapes, None) if is_update(evidence.setting.model, &exprs[..=place]) => {
                let reason = "the name on the left is on the right too, and nothing defines it. An update is no \
                              equation; give the new value a name of its own";
                Verdict::Undecided { reason: reason.into() }
            }
            (Outcome::Different(_) | Outcome::Shapes, _) => {
                let diagnosis = Diagnosis::new(item, exprs, &evidence.setting, &evidence.assumed);
                // The mistake is judged against the left side where the step before is right.
                match diagnosis.follows(wrong, before, place) {
                    Some(from_line) => {
                        wrong_line = Some(from_line);
                        Verdict::Follows { from_line }
                    }
                    None => {
                        wrong_line = Some(line);
                        let kind = options.explain.then(|| diagnosis.kind(before, place)).flatten();
                        let kind = kind.or_else(|| defined_otherwise(document, &exprs[..=place]));
                        let counterexample = counterexample(options, exprs, before, place, evidence, &outcome);
                        Verdict::Wrong { kind, counterexample }
                    }
                }
            }
        };
        verdicts.push(verdict);
    }
    verdicts
}

/// Returns where the name on the left is defined, if a chain says directly what it is.
fn defined_otherwise(document: &Part, members: &[&Expr]) -> Option<Mistake> {
    let [Expr { kind: Kind::Name(left), .. }, _] = members else { return None };
    let definition = document.definitions.iter().find(|definition| definition.name.head == left.head)?;
    let line = document.line(definition.name.span.start);
    Some(Mistake::DefinedOtherwise { name: left.head.clone(), line })
}

/// Returns whether a chain begins like `v = \beta v + g`, where v is free.
fn is_update(model: &Model, members: &[&Expr]) -> bool {
    let [Expr { kind: Kind::Name(left), .. }, right] = members else { return false };
    let mut is_used = false;
    right.visit_names(&mut |name| is_used |= name.head == left.head);
    is_used && model.is_input(&left.head)
}

/// What the witnesses say about the derivative on a left side.
#[derive(Default)]
struct Testimony {
    /// The names of those that found the same derivative, if they were asked.
    confirmed_by: Option<Vec<String>>,
    /// Why nothing can be decided.
    contradiction: Option<String>,
}

/// The maximum number of entries of a derivative that witnesses are asked for.
const ENTRIES: usize = 36;

impl Testimony {
    fn gather(witnesses: &[&dyn Witness], left: &Expr, evidence: &Evidence<'_>) -> Self {
        let Kind::Derivative(of, by) = &left.kind else { return Self::default() };
        let [by] = by.as_slice() else { return Self::default() };
        if witnesses.is_empty() {
            return Self::default();
        }
        let sample = evidence.assumed.iter().find_map(|sample| Some((sample, sample.values[0].as_ref()?)));
        let Some((sample, exact)) = sample else { return Self::default() };
        // What witnesses compute does not count: it must not make a statement too large to decide.
        let budget = Cell::new(evidence.setting.budget.get() / SHARE);
        let context = Context { budget: &budget, ..evidence.setting.context(&sample.point) };
        let mut confirmed_by = Vec::new();
        for witness in witnesses {
            let mut confirmed = true;
            for (entry, exact) in exact.entries.iter().enumerate().take(ENTRIES) {
                let mut question = Question { context, letters: &sample.letters, of, output: 0, by, input: 0 };
                // A row for each entry of what is differentiated, and a column for each variable.
                let variables = if by.indices.is_empty() { question.variables() } else { 1 };
                (question.output, question.input) = (entry / variables, entry % variables);
                let Some(estimate) = witness.derivative(&question) else {
                    confirmed = false;
                    break;
                };
                if estimate.kink {
                    let reason = "the left side has a kink, where the derivative does not exist";
                    return Self { confirmed_by: None, contradiction: Some(reason.into()) };
                }
                // A bound is an estimate itself, so a contradiction must be clear.
                let tolerance = 10.0 * estimate.bound + 1e-6 * exact.value().abs() + 1e-12;
                if (estimate.value - exact.value()).abs() > tolerance {
                    let reason = format!(
                        "{} found {} for the left side, and the definitions give {}",
                        witness.name(),
                        number(estimate.value),
                        number(exact.value())
                    );
                    return Self { confirmed_by: None, contradiction: Some(reason) };
                }
                confirmed &= tolerance <= 1e-3 * exact.value().abs().max(1e-6);
            }
            if confirmed {
                confirmed_by.push(witness.name().to_owned());
            }
        }
        Self { confirmed_by: Some(confirmed_by), contradiction: None }
    }
}

fn counterexample(
    options: &Options<'_>,
    exprs: &[&Expr],
    before: usize,
    place: usize,
    evidence: &Evidence<'_>,
    outcome: &Outcome,
) -> Counterexample {
    let assumptions: Vec<&Assumption> = evidence.assumptions.iter().map(|(assumption, _)| *assumption).collect();
    let setting = &evidence.setting;
    let search = || setting.counterexample(exprs[before], exprs[place], &assumptions);
    let round = options.explain.then(search).flatten();
    let (sample, left, right) = match (&round, outcome) {
        (Some(sample), _) => (sample, 0, 1),
        (None, Outcome::Different(found)) => (&evidence.assumed[*found], before, place),
        (None, _) => (&evidence.assumed[0], before, place),
    };
    let mut used = BTreeSet::new();
    let both = [exprs[before], exprs[place]];
    used.extend(inputs(setting.model, &both));
    let mut values: Vec<String> = Vec::new();
    for head in setting.inputs.iter().filter(|head| used.contains(*head)) {
        let count = if rows_matter(setting.model, &both) { usize::MAX } else { 1 };
        let rows: Vec<String> = sample.point.rows(head).iter().take(count).map(text).collect();
        values.push(format!("{head} = {}", rows.join("; ")));
    }
    for (letter, value) in &sample.letters {
        let is_used = both.iter().any(|expr| crate::typing::free_letters(expr).contains(letter));
        if is_used {
            values.push(format!("{letter} = {}", *value as i64 + setting.model.base));
        }
    }
    let side = |place: usize| sample.values[place].as_ref().map_or_else(|| "not defined".into(), text);
    let (left_text, mut right_text) = (side(left), side(right));
    if left_text == right_text
        && let (Some(left), Some(right)) = (&sample.values[left], &sample.values[right])
    {
        // Nearly equal: how far apart they are says more than their digits.
        let distances = left.entries.iter().zip(&right.entries).map(|(a, b)| b.sub(*a).value());
        let largest = distances.fold(0.0f64, |largest, d| if d.abs() > largest.abs() { d } else { largest });
        right_text = format!("{right_text}, which differs by {largest:.2e}");
    }
    Counterexample { values, left: left_text, right: right_text }
}

/// Writes a value: a number, a vector in parentheses, or a matrix with its rows in brackets.
fn text(value: &crate::value::Value<crate::real::Real>) -> String {
    let entries: Vec<String> = value.entries.iter().map(|entry| number(entry.value())).collect();
    match (value.rows, value.columns) {
        (1, 1) => entries.concat(),
        (_, 1) => format!("({})", entries.join(", ")),
        (1, _) => format!("[{}]", entries.join(" ")),
        (_, columns) => {
            let rows: Vec<String> = entries.chunks(columns).map(|row| row.join(" ")).collect();
            format!("[{}]", rows.join("; "))
        }
    }
}

/// Returns whether expressions depend on more rows than their own.
fn rows_matter(model: &Model, exprs: &[&Expr]) -> bool {
    let mut found = false;
    for expr in exprs {
        expr.visit_names(&mut |name| found |= name.row.is_some());
    }
    let used = dependencies(model, exprs);
    for definition in model.definitions.iter().filter(|definition| used.contains(&definition.name.head)) {
        definition.body.visit_names(&mut |name| found |= name.row.is_some() && definition.name.row.is_none());
    }
    found
}

/// Returns the names that expressions depend on.
fn dependencies(model: &Model, exprs: &[&Expr]) -> BTreeSet<String> {
    let mut heads: BTreeSet<String> = BTreeSet::new();
    let mut queue: Vec<String> = Vec::new();
    for expr in exprs {
        expr.visit_names(&mut |name| queue.push(name.head.clone()));
    }
    while let Some(head) = queue.pop() {
        if !heads.insert(head.clone()) {
            continue;
        }
        for definition in model.definitions.iter().filter(|definition| definition.name.head == head) {
            definition.body.visit_names(&mut |name| queue.push(name.head.clone()));
        }
    }
    heads
}

/// Returns the names without a definition that expressions depend on.
pub(crate) fn inputs(model: &Model, exprs: &[&Expr]) -> Vec<String> {
    let is_constant = |head: &String| model.sizes.contains_key(head) || head == "e" || head == "π";
    dependencies(model, exprs).into_iter().filter(|head| model.is_input(head) && !is_constant(head)).collect()
}
