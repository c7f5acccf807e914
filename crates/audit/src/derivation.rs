//! The report's derivations, checked line by line: a table for each task, and one of misprints.

use std::sync::OnceLock;

use chainrule_derive::{DERIVATIONS, Document as Derivation, MISPRINTS, Options, Report, Verdict, check};
use chainrule_report::document::{Block, Section, literal};

/// The blocks of the page: one for each derivation, by name, and a section on misprints.
#[derive(Clone)]
struct Checked {
    derivations: Vec<(&'static str, Vec<Block>)>,
    misprints: Section,
}

/// Checks the derivations and what was misprinted in them, once in a process: the result depends on
/// nothing else.
fn all_checked() -> &'static Checked {
    static CHECKED: OnceLock<Checked> = OnceLock::new();
    CHECKED.get_or_init(|| Checked { derivations: derivations().collect(), misprints: misprints() })
}

/// Returns the report's derivation of this name (`logistic`, `softmax` or `l2`), with a verdict on
/// each step.
///
/// # Panics
/// If there is no such derivation.
pub(crate) fn blocks(name: &str) -> Vec<Block> {
    let found = all_checked().derivations.iter().find(|(other, _)| *other == name);
    found.expect("a derivation of this project").1.clone()
}

/// Returns the section on lines that look misprinted.
pub(crate) fn section() -> Section {
    all_checked().misprints.clone()
}

fn derivations() -> impl Iterator<Item = (&'static str, Vec<Block>)> {
    DERIVATIONS.iter().map(|derivation| {
        let report = checked(derivation.text);
        let about = format!(
            "The program also read the report's derivation as text, and checked each step by evaluating both of its sides; derivatives come from the definitions. {}",
            literal(&report.summary())
        );
        let table = Block::Table { head: strings(["step", "result"]), rows: rows(&report, |_| String::new()) };
        (derivation.name, vec![Block::Text(about), table])
    })
}

fn misprints() -> Section {
    let mut blocks = vec![Block::Text(
        "Some lines of the report's derivations look misprinted, as a machine read them. The same check on these lines:".into(),
    )];
    let report = checked(MISPRINTS.text);
    let text: Vec<&str> = MISPRINTS.text.lines().collect();
    // A sentence before each line says what looks misprinted.
    let reason = |line: usize| {
        let before = text[..line - 1].iter().rev().find(|line| line.ends_with(':'));
        before.map(|sentence| format!("{}: ", sentence.trim_end_matches(':'))).unwrap_or_default()
    };
    blocks.push(Block::Table { head: strings(["line", "result"]), rows: rows(&report, reason) });
    Section { id: "misprints".into(), title: "Lines of the derivations that look misprinted".into(), blocks }
}

fn checked(text: &str) -> Report {
    let document = Derivation::parse(text).expect("a file of this project is readable");
    check(&document, &Options::default())
}

/// Returns a row for each step that says something about a side, with a text before it.
fn rows(report: &Report, before: impl Fn(usize) -> String) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for line in &report.lines {
        // The left side stands before the first step that is shown.
        let mut left = line.left.as_str();
        for step in &line.steps {
            if matches!(step.verdict, Verdict::Definition | Verdict::Assumption | Verdict::NotChecked { .. }) {
                continue;
            }
            // Markdown has no formula that begins with a space.
            let formula = format!("{left} = {}", step.right);
            rows.push(vec![format!("{}${}$", before(step.line), formula.trim()), result(&step.verdict)]);
            left = "";
        }
    }
    rows
}

/// Returns a verdict, with its assumptions as formulas.
fn result(verdict: &Verdict) -> String {
    match verdict {
        Verdict::HoldsUnder { assumptions } => {
            let formulas: Vec<String> = assumptions.iter().map(|formula| format!("${formula}$")).collect();
            format!("holds only where {}", formulas.join(" and "))
        }
        other => literal(&other.to_string()),
    }
}

fn strings<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_formula_begins_or_ends_with_a_space() {
        let blocks = all_checked().derivations.iter().flat_map(|(_, blocks)| blocks.clone());
        let tables = blocks.chain(section().blocks).filter_map(|block| match block {
            Block::Table { rows, .. } => Some(rows),
            _ => None,
        });
        let cells: Vec<String> = tables.flatten().flatten().collect();
        // Formulas stand between the first and the second dollar sign of a cell, and so on.
        let formulas: Vec<&str> = cells.iter().flat_map(|cell| cell.split('$').skip(1).step_by(2)).collect();
        assert!(formulas.len() > 44, "{} formulas", formulas.len());
        assert!(!formulas[0].starts_with('='), "{} has no left side", formulas[0]);
        for formula in formulas {
            assert_eq!(formula, formula.trim());
        }
    }
}
