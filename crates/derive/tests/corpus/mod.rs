//! A corpus of right and wrong steps, made from the project's derivations by rules.

use std::collections::BTreeSet;

use chainrule_derive::{Document, Options, Step, Verdict, check, check_steps};
use serde_json::Value;

const FILES: [&str; 8] = [
    include_str!("../../configs/logistic.md"),
    include_str!("../../configs/softmax.md"),
    include_str!("../../configs/l2.md"),
    include_str!("../../configs/linear.md"),
    include_str!("../../configs/mlp.md"),
    include_str!("../../configs/layer-norm.md"),
    include_str!("../../configs/attention.md"),
    include_str!("../../configs/misprints.md"),
];

/// A page, and a step that continues it.
pub(crate) struct Case {
    pub(crate) page: String,
    pub(crate) step: String,
}

/// The number of cases.
pub(crate) const SIZE: usize = 300;

/// What is replaced by what: first by the same, then signs, numbers, indices, names, brackets and
/// functions.
const CHANGES: [(&str, &str); 18] = [
    ("= ", "= 0 + "),
    (" - ", " + (-1) "),
    (" + ", " - (-1) "),
    (" - ", " + "),
    (" + ", " - "),
    ("1", "2"),
    ("_k", "_j"),
    ("_j", "_i"),
    ("= ", "= -"),
    ("= ", "= 2 "),
    ("p", "y"),
    ("x", "w"),
    ("^{(n)}", ""),
    (r"\frac1N", ""),
    (r"\sum", "2 "),
    (r"\top", "2"),
    ("(", ""),
    (r"\ln", r"\lnn"),
];

/// Returns the steps of the derivations as they are, and each with one change. Some of them are
/// right, some wrong, and some cannot be read.
pub(crate) fn corpus() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |page: &str, step: String| {
        if seen.insert((page.len(), step.clone())) {
            cases.push(Case { page: page.to_owned(), step });
        }
    };
    for page in FILES {
        let document = Document::parse(page).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let quick = Options { operations: 1_000, witnesses: &[], explain: false, ..Options::default() };
        for line in check(&document, &quick).lines {
            let condition = line.condition.map(|when| format!(" if {when}")).unwrap_or_default();
            for step in line.steps.iter().filter(|step| !step.right.is_empty()) {
                let statement = format!("{} = {}{condition}", line.left, step.right);
                add(page, statement.clone());
                for (from, to) in CHANGES {
                    add(page, statement.replacen(from, to, 1));
                }
            }
        }
    }
    // Evenly spread over the files and changes.
    let count = cases.len();
    assert!(count >= SIZE, "{count} cases");
    let mut place = 0;
    cases.retain(|_| {
        place += 1;
        place * SIZE / count > (place - 1) * SIZE / count
    });
    cases
}

/// Returns what the library says about a case: the report, or the problem that it cannot be read.
/// Counts the cases that hold, that are wrong, and that are neither.
pub(crate) fn answer(case: &Case, counts: &mut [usize; 3]) -> Value {
    match check_steps(&case.page, &case.step, &Options::default()) {
        Ok(report) => {
            let holds = |step: &Step| matches!(step.verdict, Verdict::Holds | Verdict::HoldsUnder { .. });
            let wrong = !report.is_right();
            let right = !report.lines.is_empty() && report.lines.iter().flat_map(|line| &line.steps).all(holds);
            counts[if wrong {
                1
            } else if right {
                0
            } else {
                2
            }] += 1;
            serde_json::to_value(report).unwrap_or_default()
        }
        Err(errors) => {
            counts[2] += 1;
            Value::String(errors[0].to_string())
        }
    }
}
