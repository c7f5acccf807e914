//! The project's own derivation. The package does not contain this test, because the page is not a
//! part of it.

use chainrule_derive::{Document, Options, Verdict, check};

/// Every equation of the project's derivation is checked, or has a test that exists.
#[test]
fn every_equation_of_the_derivation_is_checked() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let page = read("docs/derivation.md");
    let tests = read("crates/solve/tests/optimum.rs") + &read("tests/optimum.rs");
    let document = Document::parse(&page).unwrap_or_else(|errors| panic!("{errors:?}"));
    // The witness has tests of its own.
    let report = check(&document, &Options { witnesses: &[], ..Options::default() });
    let mut steps = 0;
    for step in report.lines.iter().flat_map(|line| &line.steps) {
        match &step.verdict {
            Verdict::Definition | Verdict::Assumption => {}
            Verdict::Holds | Verdict::HoldsUnder { .. } => steps += 1,
            Verdict::NotChecked { reason } if reason.starts_with("a condition in prose") => {}
            Verdict::NotChecked { reason } => {
                let name = reason.split('`').nth(1).unwrap_or_else(|| panic!("{reason} names no test"));
                assert!(tests.contains(&format!("fn {name}(")), "line {}: no test `{name}`", step.line);
            }
            verdict => panic!("line {}: {verdict:?}\n{report}", step.line),
        }
    }
    assert_eq!((steps, report.prose.len()), (67, 0), "{report}");
    // None is passed over, and they are numbered as they come.
    let labels: Vec<usize> = report
        .lines
        .iter()
        .filter_map(|line| line.label.as_ref())
        .map(|label| label.parse().expect("a number"))
        .collect();
    assert_eq!(labels, (1..=39).collect::<Vec<_>>());
    assert_eq!(page.matches("\\tag{").count(), 39);
    // Its page has every formula, typeset.
    let html = report.to_html("The derivation");
    let all: usize = report.lines.iter().map(|line| line.steps.len()).sum();
    assert_eq!((html.matches("</math>").count(), html.contains("<code>")), (all, false));
}
