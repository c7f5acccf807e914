//! The exercise on a derivation's page: the checker as WebAssembly in a browser gives the reports
//! of the library.

use std::collections::BTreeSet;

use chainrule_derive::{Document, Options, Report, Step, Verdict, check, check_steps};
use chainrule_tests_macros::test;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::command::{call, code, folder, text};

/// The derivations whose steps are checked, right and wrong ones.
const FILES: [&str; 8] = [
    include_str!("../crates/derive/configs/logistic.md"),
    include_str!("../crates/derive/configs/softmax.md"),
    include_str!("../crates/derive/configs/l2.md"),
    include_str!("../crates/derive/configs/linear.md"),
    include_str!("../crates/derive/configs/mlp.md"),
    include_str!("../crates/derive/configs/layer-norm.md"),
    include_str!("../crates/derive/configs/attention.md"),
    include_str!("../crates/derive/configs/misprints.md"),
];

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

/// The number of steps that are compared.
const CASES: usize = 300;

/// Returns steps, each with the page that it continues: those of the derivations as they are, and
/// with one change.
fn corpus() -> Vec<(&'static str, String)> {
    let mut cases = Vec::new();
    for page in FILES {
        let mut seen = BTreeSet::new();
        // Only the text of the statements is of use here.
        let quick = Options { operations: 1_000, witnesses: &[], explain: false, ..Options::default() };
        for line in check(&Document::parse(page).unwrap(), &quick).lines {
            let condition = line.condition.map(|when| format!(" if {when}")).unwrap_or_default();
            for step in line.steps.iter().filter(|step| !step.right.is_empty()) {
                let statement = format!("{} = {}{condition}", line.left, step.right);
                let changed = CHANGES.iter().map(|(from, to)| statement.replacen(from, to, 1));
                let steps = std::iter::once(statement.clone()).chain(changed);
                cases.extend(steps.filter(|step| seen.insert(step.clone())).map(|step| (page, step)));
            }
        }
    }
    // Evenly spread over the files and changes.
    let count = cases.len();
    assert!(count >= CASES, "{count} cases");
    (0..CASES).map(|place| cases[place * count / CASES].clone()).collect()
}

/// Returns what the library says: the report, or why there is none.
fn native((page, step): &(&str, String)) -> Result<Report, String> {
    check_steps(page, step, &Options::default()).map_err(|errors| errors[0].to_string())
}

/// Writes a derivation and its page, and opens the page in a browser.
fn opened(derivation: &str) -> (Browser, TempDir) {
    let browser = Browser::start();
    let folder = folder();
    std::fs::write(folder.path().join("mine.md"), derivation).unwrap();
    let output = call(folder.path(), &["derive", "mine.md", "--html", "mine.html"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    browser.post("/url", &json!({ "url": format!("file://{}", folder.path().join("mine.html").display()) }));
    (browser, folder)
}

/// Values in the reports, not only verdicts, are the same.
#[test]
fn the_checker_in_a_browser_gives_the_reports_of_the_library() {
    let (browser, _folder) = opened("f = u^2\n");
    let cases = corpus();
    let library = std::thread::spawn({
        let cases = cases.clone();
        move || cases.iter().map(native).collect::<Vec<_>>()
    });
    browser.post("/timeouts", &json!({ "script": 600_000 }));
    let script = "const [cases] = arguments, answers = []; let next = 0;
        const some = async () => {
            while (next < cases.length) {
                const at = next++, { report, problem } = await checkSteps(...cases[at], { seconds: 300 });
                answers[at] = report ?? problem;
            }
        };
        return Promise.all([some(), some()]).then(() => answers);";
    let answers = browser.script(script, &json!([cases]));
    let reports = library.join().unwrap();
    let holds = |step: &Step| matches!(step.verdict, Verdict::Holds | Verdict::HoldsUnder { .. });
    let has_step = |report: &Report| report.lines.iter().flat_map(|line| &line.steps).any(holds);
    let is_wrong = |report: &&Report| !report.is_right();
    let right = reports.iter().flatten().filter(|report| report.is_right() && has_step(report)).count();
    let wrong = reports.iter().flatten().filter(is_wrong).count();
    assert!(right >= 50 && wrong >= 100 && reports.len() - right - wrong >= 30, "{right} right, {wrong} wrong");
    for (place, ((_, step), expected)) in cases.iter().zip(&reports).enumerate() {
        let expected = match expected {
            Ok(report) => serde_json::to_value(report).unwrap(),
            Err(problem) => Value::from(problem.as_str()),
        };
        assert_eq!(answers[place], expected, "{step}");
    }
}

/// Types steps and returns what the page says about them.
fn typed(browser: &Browser, steps: &str) -> String {
    let script = "const e = document.querySelector('#exercise-steps'); e.value = arguments[0]; e.dispatchEvent(new Event('input'));";
    browser.script(script, &json!([steps]));
    for _ in 0..1000 {
        let script = "const e = document.querySelector('#exercise-answer'); return e.ariaBusy === 'true' ? null : e.textContent;";
        if let Some(answer) = browser.script(script, &json!([])).as_str() {
            return answer.to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{steps}: no answer");
}

#[test]
fn steps_are_checked_while_they_are_typed() {
    let (browser, _folder) = opened("z = w x + b\np = sigma(z)\n$$\\frac{\\partial p}{\\partial z} = $$\n");
    let begun = browser.script("return document.querySelector('#exercise-steps').value", &json!([]));
    assert_eq!(begun, "\\frac{\\partial p}{\\partial z} = ");
    for (steps, expected) in [
        ("dp/dw = p (1 - p) x", "1 step holds."),
        ("dp/dw = p (1 - p)", "the inner derivative ∂z/∂w is missing"),
        ("dp/dw = p (1 - p)", "at b = "),
        ("dp/dw = \\foo", "unknown command"),
        ("$dp/dw", "Not checked: line 1, column 1: this `$` has no partner."),
        ("words", "There is no formula"),
    ] {
        let answer = typed(&browser, steps);
        assert!(answer.contains(expected), "{steps}: {answer}");
    }
    assert_eq!(typed(&browser, " ").trim(), "");
    // A check that takes too long is ended.
    let late = "return checkSteps('', 'a = a', { seconds: 0 }).then(answer => answer.problem)";
    assert_eq!(browser.script(late, &json!([])), "the check was stopped after 0 seconds");
}

/// The reader chooses the scope, whose definitions hold.
#[test]
fn steps_are_checked_in_a_scope() {
    let (browser, _folder) = opened("<!-- scope: one -->\nf = u^2\n<!-- scope: two -->\nf = u^3\n");
    assert!(typed(&browser, "df/du = 3 u^2").contains("1 step holds."));
    browser.script("document.querySelector('#exercise-scope').value = 'one'", &json!([]));
    let answer = typed(&browser, "df/du = 3 u^2");
    assert!(answer.contains("1 wrong"), "{answer}");
}
