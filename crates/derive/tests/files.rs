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
