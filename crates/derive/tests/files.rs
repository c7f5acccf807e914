//! The project's derivations hold, what was misprinted in the report does not, and the templates
//! ask for what the derivations answer.

use chainrule_derive::{Document, Options, Report, TEMPLATES, Verdict, check};

fn report(text: &str) -> Report {
    let document = Document::parse(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    check(&document, &Options::default())
}

fn file(name: &str) -> String {
    let path = format!("{}/configs/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_step_of_the_derivations_holds() {
    for (name, steps) in
        [("logistic", 16), ("softmax", 15), ("l2", 4), ("linear", 9), ("mlp", 12), ("layer-norm", 9), ("attention", 5)]
    {
        let report = report(&file(name));
        let verdicts: Vec<&Verdict> =
            report.lines.iter().flat_map(|line| &line.steps).map(|step| &step.verdict).collect();
        let count = verdicts.iter().filter(|v| matches!(v, Verdict::Holds | Verdict::HoldsUnder { .. })).count();
        let others = verdicts.iter().all(|verdict| {
            !matches!(
                verdict,
                Verdict::Wrong { .. } | Verdict::Follows { .. } | Verdict::Undecided { .. } | Verdict::Missing
            )
        });
        assert!(others && count == steps && report.is_right(), "{name}: {count} of {steps}\n{report}");
    }
}

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
}

#[test]
fn no_misprinted_line_holds() {
    let report = report(&file("misprints"));
    let claims =
        report.lines.iter().flat_map(|line| &line.steps).filter(|step| {
            !matches!(step.verdict, Verdict::Definition | Verdict::Assumption | Verdict::NotChecked { .. })
        });
    let verdicts: Vec<&str> = claims
        .map(|step| match &step.verdict {
            Verdict::Wrong { .. } => "wrong",
            Verdict::Undecided { .. } => "undecided",
            Verdict::HoldsUnder { assumptions } if assumptions.contains(&"K = N".to_owned()) => "only for K = N",
            other => panic!("{other:?}\n{report}"),
        })
        .collect();
    let expected = ["undecided", "wrong", "only for K = N", "wrong", "wrong", "wrong", "undecided", "wrong"];
    assert_eq!(verdicts, expected, "{report}");
}

/// Each template asks for something, and says nothing wrong.
#[test]
fn templates_have_empty_right_sides() {
    for template in TEMPLATES {
        let report = report(template.text);
        let verdicts = || report.lines.iter().flat_map(|line| &line.steps).map(|step| &step.verdict);
        let missing = verdicts().filter(|verdict| **verdict == Verdict::Missing).count();
        let allowed = verdicts().all(|v| matches!(v, Verdict::Missing | Verdict::Definition | Verdict::Assumption));
        assert!(missing >= 3 && allowed && report.is_right(), "{}: {report}", template.name);
    }
}
