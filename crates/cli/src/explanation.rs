//! The explanation of a prediction as a document, for people and as CSV.

use std::fmt::Write as _;

use chainrule_core::{Class, LinkKind, align_left, align_right, display_width};
use chainrule_data::picture::Treatment;
use serde::Serialize;

use crate::answers::Place;
use crate::output::{Lines, csv_field};
use crate::rounding::{add_up, decimals};
use crate::summary::digits;
use crate::worked_gradient::WorkedGradient;

/// How many contributions of a class are shown.
const SHOWN: usize = 10;

/// What `explain --json` prints.
#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) run: String,
    pub(crate) model: LinkKind,
    pub(crate) file: String,
    #[serde(flatten)]
    pub(crate) place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) treatment: Option<&'a Treatment>,
    pub(crate) classes: &'a [Class],
    /// The predicted class.
    pub(crate) class: &'a Class,
    pub(crate) probabilities: &'a [f64],
    /// What contributes nothing: the mean of the training rows, a blank image, or zero.
    pub(crate) reference: &'static str,
    pub(crate) logits: Vec<Logit<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gradient: Option<&'a WorkedGradient>,
}

/// A logit: the sum of `bias` and the contributions.
#[derive(Serialize)]
pub(crate) struct Logit<'a> {
    pub(crate) class: &'a Class,
    pub(crate) logit: f64,
    /// The logit of the reference.
    pub(crate) bias: f64,
    /// The largest first.
    pub(crate) contributions: Vec<Contribution<'a>>,
}

#[derive(Serialize)]
pub(crate) struct Contribution<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
    pub(crate) contribution: f64,
    /// The contribution is `per_unit * (number - reference)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_unit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<f64>,
}

/// The name of the first column for what no column contributes.
fn reference_name(reference: &str) -> &'static str {
    if reference == "blank" { "(blank image)" } else { "(bias)" }
}

/// The cells of a line of a table: the value, per unit, from, and the contribution.
type Cells = [String; 4];

/// Formats the explanation for a person.
pub(crate) fn describe(answer: &Answer, kind: &str, has_all: bool) -> Lines {
    let mut lines = Lines::default();
    let place = match answer.place {
        Some(Place::Line(line)) => format!(", line {line}"),
        Some(Place::Row(row)) => format!(", row {row}"),
        Some(Place::Image(index)) => format!("[{index}]"),
        None => String::new(),
    };
    let mut by_probability: Vec<_> = answer.classes.iter().zip(answer.probabilities).collect();
    by_probability.sort_by(|a, b| b.1.total_cmp(a.1));
    let predicted = by_probability.iter().map(|(class, p)| format!("{class} at {:.2} %", 100.0 * *p));
    lines.empty_line();
    lines.add(format!("{:<14} {}: {kind}", "model", answer.run));
    lines.add(format!("{:<14} {}{place}", if answer.reference == "blank" { "image" } else { "row" }, answer.file));
    lines.add(format!("{:<14} {}", "predicted", predicted.take(3).collect::<Vec<_>>().join(", then ")));
    let all = answer.logits.iter().flat_map(|logit| {
        let terms = logit.contributions.iter().map(|term| term.contribution);
        terms.chain([logit.bias, logit.logit])
    });
    let decimals = decimals(all, 5);
    for logit in &answer.logits {
        lines.empty_line();
        describe_logit(logit, answer, has_all, decimals, &mut lines);
    }
    lines.empty_line();
    notes(answer).iter().for_each(|note| lines.add(note));
    lines
}

/// Formats the contributions to a logit.
fn describe_logit(logit: &Logit, answer: &Answer, has_all: bool, decimals: usize, lines: &mut Lines) {
    let n_shown = if has_all { logit.contributions.len() } else { SHOWN };
    let (shown, rest) = logit.contributions.split_at(n_shown.min(logit.contributions.len()));
    let of_rest: f64 = rest.iter().map(|rest| rest.contribution).sum();
    let mut terms: Vec<f64> = shown.iter().map(|shown| shown.contribution).collect();
    terms.extend((!rest.is_empty()).then_some(of_rest));
    terms.push(logit.bias);
    let (rounded, sum) = add_up(&terms, decimals);
    let mut rounded = rounded.into_iter();
    let mut next = || rounded.next().unwrap_or_default();

    let mut rows: Vec<(String, Cells)> = Vec::new();
    for term in shown {
        let or_empty = |number: Option<f64>| number.map(digits).unwrap_or_default();
        let cells = [shortened(term.value), or_empty(term.per_unit), or_empty(term.reference), next()];
        rows.push((term.name.to_owned(), cells));
    }
    let single =
        |name: String, contribution: String| (name, [String::new(), String::new(), String::new(), contribution]);
    if !rest.is_empty() {
        rows.push(single(format!("({} others)", rest.len()), next()));
    }
    rows.push(single(reference_name(answer.reference).to_owned(), next()));
    let title = match answer.model {
        LinkKind::Logistic => format!("{} against {}", logit.class, answer.classes[0]),
        LinkKind::OneVsRest => format!("{} against the rest", logit.class),
        LinkKind::Softmax => format!("for {}", logit.class),
    };
    rows.push(single("logit".to_owned(), sum));
    let header = ["value", "per unit", "from", "contribution"].map(str::to_owned);
    // Without a mean, numbers count from 0.
    let is_used = |i: usize| i != 2 || answer.reference == "mean";
    let is_used = |i: usize| is_used(i) && (i == 3 || rows.iter().any(|(_, cells)| !cells[i].is_empty()));
    let width =
        |i: usize| rows.iter().map(|(_, cells)| &cells[i]).chain([&header[i]]).map(|cell| display_width(cell)).max();
    let widths = [0, 1, 2, 3].map(|i| width(i).unwrap_or_default());
    let first = rows.iter().map(|(name, _)| display_width(name)).chain([display_width(&title), 14]).max().unwrap_or(14);
    let line = |name: &str, cells: &Cells| {
        let cells = cells.iter().enumerate().filter(|(i, _)| is_used(*i));
        let cells: String = cells.map(|(i, cell)| format!("  {}", align_right(cell, widths[i]))).collect();
        align_left(name, first) + &cells
    };
    lines.add(line(&title, &header));
    rows.iter().for_each(|(name, cells)| lines.add(line(name, cells)));
}

/// Shortens a long text of a table.
fn shortened(value: &str) -> String {
    const MOST: usize = 30;
    let shown: String = value.chars().take(MOST).collect();
    if shown.len() < value.len() { shown + "…" } else { shown }
}

/// Says how to read the tables.
fn notes(answer: &Answer) -> Vec<&'static str> {
    let contribution = match answer.reference {
        "blank" => "contribution: per unit times value; a blank image has the logit (blank image)",
        "mean" => {
            "contribution: of a number, per unit times (value - from), where from is the mean of the training rows; of a text, the weight of its level"
        }
        _ => "contribution: of a number, per unit times value; of a text, the weight of its level",
    };
    let probabilities = match answer.model {
        LinkKind::Logistic => "probability: 1 / (1 + e^-logit)",
        LinkKind::Softmax => {
            "probabilities: e^logit of each class, divided by their sum; so only differences of logits count"
        }
        LinkKind::OneVsRest => "probabilities: 1 / (1 + e^-logit) of each class, divided by their sum",
    };
    vec![
        contribution,
        "logit: the sum of all contributions; those shown are rounded so that they add up to it",
        probabilities,
    ]
}

/// Formats all contributions as CSV.
pub(crate) fn csv(answer: &Answer) -> String {
    let mut text = "class,name,value,contribution,per_unit,number,reference\n".to_owned();
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    for Logit { class, bias, contributions, .. } in &answer.logits {
        let class = csv_field(&class.to_string());
        for Contribution { name, value, contribution, per_unit, number: value_as_number, reference } in contributions {
            writeln!(
                text,
                "{class},{},{},{contribution},{},{},{}",
                csv_field(name),
                csv_field(value),
                number(*per_unit),
                number(*value_as_number),
                number(*reference)
            )
            .expect("writing to a String cannot fail");
        }
        writeln!(text, "{class},{},,{bias},,,", reference_name(answer.reference))
            .expect("writing to a String cannot fail");
    }
    text
}
