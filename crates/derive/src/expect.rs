//! Compares a submission with what was asked: a derivation whose claims must be there.
//!
//! The definitions and assumptions of the asked derivation come first, so a submission that defines
//! a name in another way makes a wrong claim. A claim that is asked must be there with the same
//! left side, up to the letters of its indices. Its last right side must not leave the work to
//! derivatives, unless the asked one does.

use std::fmt;

use serde::Serialize;

use crate::check::{Options, check};
use crate::document::{Assumption, Document, Item, Part, Role};
use crate::error::ParseError;
use crate::latex::{head, latex};
use crate::report::{Report, Verdict};
use crate::tree::{Expr, Index, Kind};

/// What a submission says about a claim that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Every step holds.
    Holds,
    /// A step is wrong, or follows from a wrong one.
    Wrong,
    /// A step cannot be decided.
    Undecided,
    /// Every step holds, but the last right side still has derivatives.
    Unfinished,
    /// The claim is not there, or its right side is empty.
    Missing,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Wrong => "wrong",
            Self::Undecided => "undecided",
            Self::Unfinished => "unfinished",
            Self::Missing => "missing",
        })
    }
}

/// A derivation that others shall write, with the claims that must be there.
pub struct Exercise {
    /// The definitions and assumptions, one a line.
    given: String,
    asked: Vec<Asked>,
}

struct Asked {
    left: String,
    key: String,
    /// Whether its last right side has derivatives.
    has_derivative: bool,
}

/// A checked submission.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The report on its lines.
    pub report: Report,
    /// The formulas that cannot be read.
    pub unread: Vec<ParseError>,
    /// For each claim that was asked, what the submission says about it.
    pub answers: Vec<Answer>,
}

impl Submission {
    /// Returns whether every claim that was asked holds, and nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.report.is_right() && self.unread.is_empty() && self.answers.iter().all(|answer| *answer == Answer::Holds)
    }
}

impl Exercise {
    /// Takes the claims of a derivation. Empty right sides are claims too, so a template can be
    /// asked.
    ///
    /// # Errors
    ///
    /// One sentence: the derivation has scopes, formulas that cannot be read, or no claim.
    pub fn new(document: &Document) -> Result<Self, String> {
        if let Some(error) = document.unread().first() {
            return Err(error.to_string());
        }
        let [part] = document.parts.as_slice() else {
            return Err("what is asked cannot have scopes".into());
        };
        let mut exercise = Self { given: String::new(), asked: Vec::new() };
        for item in &part.items {
            match &item.role {
                Role::Definition => push(&mut exercise.given, &equation(&item.members[..2])),
                Role::Assumption(assumption) => {
                    given(assumption, item, part).iter().for_each(|line| push(&mut exercise.given, line));
                }
                Role::Claim => exercise.ask(item),
                Role::NotChecked(_) => {}
            }
        }
        if exercise.asked.is_empty() {
            return Err("nothing is asked: there is no claim".into());
        }
        Ok(exercise)
    }

    fn ask(&mut self, item: &Item) {
        let [left, .., last] = item.members.as_slice() else { return };
        let key = key(item);
        if self.asked.iter().all(|asked| asked.key != key) {
            let has_derivative = has_derivative(last);
            let condition = item.condition.as_ref().map(|when| format!(" for {when}")).unwrap_or_default();
            self.asked.push(Asked { left: format!("{left}{condition}"), key, has_derivative });
        }
    }

    /// Returns the left sides of the claims that are asked.
    pub fn asked(&self) -> Vec<&str> {
        self.asked.iter().map(|asked| asked.left.as_str()).collect()
    }

    /// Checks a submission.
    ///
    /// # Errors
    ///
    /// As [`Document::parse`].
    pub fn check(&self, text: &str, options: &Options<'_>) -> Result<Submission, Vec<ParseError>> {
        let lines = self.given.matches('\n').count();
        let own = |line: usize| line.saturating_sub(lines);
        let own_error = |error: &ParseError| ParseError { line: own(error.line), ..error.clone() };
        let document = Document::parse(&format!("{}{text}", self.given))
            .map_err(|errors| errors.iter().map(own_error).collect::<Vec<_>>())?;
        let mut report = check(&document, options);
        let answers = self.asked.iter().map(|asked| answer(asked, &document, &report, self.given.len())).collect();
        let unread = document.unread().iter().map(own_error).collect();
        report.keep_lines_after(lines);
        Ok(Submission { report, unread, answers })
    }
}

fn answer(asked: &Asked, document: &Document, report: &Report, given: usize) -> Answer {
    let mut answer = Answer::Missing;
    for part in &document.parts {
        for item in part.items.iter().filter(|item| !item.inherited && item.span.start >= given) {
            if !matches!(item.role, Role::Claim) || key(item) != asked.key {
                continue;
            }
            let Some(line) = report.lines.iter().find(|line| line.start == item.span.start) else { continue };
            let is = |of: fn(&Verdict) -> bool| line.steps.iter().any(|step| of(&step.verdict));
            if is(|verdict| matches!(verdict, Verdict::Wrong { .. } | Verdict::Follows { .. })) {
                return Answer::Wrong;
            }
            let last = item.members.last();
            let found = if is(|verdict| matches!(verdict, Verdict::Missing)) {
                Answer::Missing
            } else if is(|verdict| matches!(verdict, Verdict::Undecided { .. })) {
                Answer::Undecided
            } else if !asked.has_derivative && last.is_some_and(|last| needs_derivative(last, part, given)) {
                Answer::Unfinished
            } else {
                Answer::Holds
            };
            // The best of several lines, since none of them is wrong.
            answer = match (answer, found) {
                (Answer::Holds, _) | (_, Answer::Missing) => answer,
                (_, found) => found,
            };
        }
    }
    answer
}

fn push(text: &mut String, line: &str) {
    *text += line;
    text.push('\n');
}

fn equation(members: &[Expr]) -> String {
    let members: Vec<String> = members.iter().map(latex).collect();
    format!("$${}$$", members.join(" = "))
}

/// Writes an assumption.
fn given(assumption: &Assumption, item: &Item, part: &Part) -> Vec<String> {
    let bound = |value: f64, relation: &str, name: &str| {
        value.is_finite().then(|| format!("$${} {relation} {value}$$", head(name)))
    };
    match assumption {
        Assumption::SumOne(_) | Assumption::Size(..) => vec![equation(&item.members)],
        Assumption::OneOf(name, numbers) => {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            vec![format!(r"$${} \in \{{{}\}}$$", head(name), numbers.join(", "))]
        }
        Assumption::Between(name, low, high) => {
            [bound(*low, ">", name), bound(*high, "<", name)].into_iter().flatten().collect()
        }
        Assumption::Declaration => {
            let text = &part.text[item.span.start..item.span.end];
            vec![format!("$${}$$", text.split_whitespace().collect::<Vec<_>>().join(" "))]
        }
    }
}

/// Returns the left side with its condition, whatever letters the indices have.
fn key(item: &Item) -> String {
    let mut letters: Vec<String> = Vec::new();
    item.members[0].visit_indices(&mut |index| {
        index.for_each_letter(&mut |letter| {
            if !letters.iter().any(|known| known == letter) {
                letters.push(letter.to_owned());
            }
        });
    });
    let new = |letter: &str| letters.iter().position(|known| known == letter).map(|place| format!("index{place}"));
    let rename = |index: &Index| match index {
        Index::Letter(letter) => Index::Letter(new(letter).unwrap_or_else(|| letter.clone())),
        other => other.clone(),
    };
    let left = item.members[0].map_indices(&rename);
    let condition = item.condition.as_ref().map(|when| {
        let mut sides = [rename(&when.left).to_string(), rename(&when.right).to_string()];
        sides.sort();
        format!(" {} {}", sides.join(" "), when.equal)
    });
    format!("{left}{}", condition.unwrap_or_default())
}

fn has_derivative(expr: &Expr) -> bool {
    let mut found = false;
    expr.visit(&mut |part| found |= matches!(part.kind, Kind::Derivative(..) | Kind::Along(..)));
    found
}

/// Returns whether an expression has a derivative, or a name that the submission defines by one.
fn needs_derivative(expr: &Expr, part: &Part, given: usize) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    let mut queue = vec![expr];
    while let Some(expr) = queue.pop() {
        if has_derivative(expr) {
            return true;
        }
        expr.visit_names(&mut |name| {
            let own = part.definitions.iter().filter(|d| d.name.head == name.head && d.name.span.start >= given);
            for definition in own {
                if !seen.contains(&definition.name.head.as_str()) {
                    seen.push(&definition.name.head);
                    queue.push(&definition.body);
                }
            }
        });
    }
    false
}
