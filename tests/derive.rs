//! `chainrule derive`, and the examples of its page.

use std::path::Path;

use chainrule_derive::{Document, Options, Verdict, check};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, folder, text};

/// Every example of the page holds. The page is one document.
#[test]
fn examples_of_the_page_hold() {
    let page = include_str!("../docs/howto/derive.md");
    let language = page.split("## The language").nth(1).and_then(|rest| rest.split("## What it cannot").next());
    let blocks = language.unwrap().split("```text\n").skip(1);
    let lines: Vec<&str> = blocks.flat_map(|block| block.split("```").next().unwrap().lines()).collect();
    assert!(lines.len() >= 30, "{} examples", lines.len());
    let document = Document::parse(&lines.join("\n")).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(document.unread().is_empty(), "{:?}", document.unread());
    let report = check(&document, &Options::default());
    let is_right = |verdict: &Verdict| {
        matches!(verdict, Verdict::Definition | Verdict::Assumption | Verdict::Holds | Verdict::HoldsUnder { .. })
    };
    let steps = report.lines.iter().flat_map(|line| &line.steps);
    assert!(steps.clone().all(|step| is_right(&step.verdict)), "{report}");
    assert!(steps.count() >= lines.len() && report.prose.is_empty(), "{report}");
}

#[test]
fn the_exit_code_says_whether_a_step_is_wrong() {
    let folder = folder();
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    let model = "z = w x + b\np = sigma(z)\nC = -(y ln p + (1 - y) ln(1 - p))\n";
    write("right.md", format!("{model}dC/dw = (p - y) x\n").as_bytes());
    write("wrong.md", format!("{model}dC/dw = p - y\n").as_bytes());
    write("unknown.md", format!("{model}$$dC/dw = \\sigm(z)$$\n").as_bytes());
    write("open.md", b"z = 1\n$p = 2\n");
    write("latin.md", b"z = 1\ncaf\xe9\n");
    for (file, expected, said) in [
        ("right.md", 0, "1 step holds."),
        ("wrong.md", 1, "wrong: the inner derivative ∂z/∂w is missing"),
        ("unknown.md", 2, "unknown.md, line 4, column 11: unknown command `\\sigm`; did you mean `\\sigma`?"),
        ("unknown.md", 2, "No step holds: 1 not read."),
        ("open.md", 2, "open.md, line 2, column 1: this `$` has no partner"),
        ("latin.md", 2, "latin.md, line 2: expected text in UTF-8"),
        ("none.md", 2, "reading none.md"),
    ] {
        let output = call(folder.path(), &["derive", file]);
        let printed = text(&output.stdout) + &text(&output.stderr);
        assert!(code(&output) == Some(expected) && printed.contains(said), "{file}: {printed}");
    }
    let output = call(folder.path(), &["derive", "wrong.md", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let step = &report["lines"][3]["steps"][0];
    assert_eq!((step["verdict"].as_str(), step["kind"]["mistake"].as_str()), (Some("wrong"), Some("missing_inner")));
    assert_eq!((code(&output), report["first_wrong"].as_u64()), (Some(1), Some(3)));
}

/// A folder of submissions becomes a table: a line for each file, whatever is in it.
#[test]
fn submissions_become_a_table() {
    let folder = folder();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    std::fs::create_dir(folder.path().join("class")).unwrap();
    write("asked.md", "p = sigma(w x)\nC = -(y ln p + (1 - y) ln(1 - p))\ndC/dw = ?\ndp/dx = p (1 - p) w\n");
    write("class/a.md", "dC/dw = (p - y) x\ndp/dx = w p (1 - p)\n");
    write("class/b,c.md", "dp/dx = p w\n");
    write("class/d.txt", "dC/dw = dC/dw\n$$dp/dx = \\foo$$\n");
    write("class/e.md", "$p = 1\n");
    write("class/notes.pdf", "no submission");
    let output = call(folder.path(), &["derive", "--expect", "asked.md", "class"]);
    let expected = "file,∂C/∂w,∂p/∂x,first wrong line,problem\n\
                    a.md,holds,holds,,\n\
                    \"b,c.md\",missing,wrong,1,\n\
                    d.txt,unfinished,missing,,\"line 2, column 11: unknown command `\\foo`\"\n\
                    e.md,,,,\"e.md, line 1, column 1: this `$` has no partner\"\n";
    assert_eq!((text(&output.stdout).as_str(), code(&output)), (expected, Some(0)), "{}", text(&output.stderr));
    let one = call(folder.path(), &["derive", "--expect", "asked.md", "class/b,c.md"]);
    assert!(code(&one) == Some(1) && text(&one.stdout).contains("asked: ∂C/∂w: missing\n"), "{}", text(&one.stdout));
    let right = call(folder.path(), &["derive", "--expect", "asked.md", "class/a.md"]);
    assert_eq!(code(&right), Some(0), "{}", text(&right.stderr));
}

/// A page is written once, and replaced with `--force`.
#[test]
fn a_derivation_becomes_a_page() {
    let folder = folder();
    std::fs::write(folder.path().join("mine.md"), "z = w x\ndz/dw = -x\n").unwrap();
    let arguments = ["derive", "mine.md", "--html", "mine.html"];
    assert_eq!(code(&call(folder.path(), &arguments)), Some(1));
    let page = std::fs::read_to_string(folder.path().join("mine.html")).unwrap();
    assert!(page.contains("<title>mine.md</title>") && page.contains("the sign is flipped everywhere"), "{page}");
    let again = call(folder.path(), &arguments);
    assert!(code(&again) == Some(2) && text(&again.stderr).contains("--force"), "{}", text(&again.stderr));
    assert_eq!(code(&call(folder.path(), &["derive", "mine.md", "--html", "mine.html", "--force"])), Some(1));
}

/// What holds becomes code, and what does not is named. No file is written without any.
#[test]
fn a_derivation_becomes_code() {
    let folder = folder();
    std::fs::write(folder.path().join("mine.md"), "z = w x\ndz/dw = x\ndz/dx = -w\n").unwrap();
    let arguments = ["derive", "mine.md", "--code", "mine.rs"];
    let output = call(folder.path(), &arguments);
    let said = text(&output.stderr);
    assert!(code(&output) == Some(1) && said.contains("no code for line 3, ∂z/∂x: it has a wrong step"), "{said}");
    let written = std::fs::read_to_string(folder.path().join("mine.rs")).unwrap();
    assert!(written.contains("pub fn d_z_d_w(x: Tensor<1>) -> Tensor<1>") && !written.contains("d_z_d_x"), "{written}");
    assert!(written.contains("of `mine.md`."), "{written}");
    let again = call(folder.path(), &arguments);
    assert!(code(&again) == Some(2) && text(&again.stderr).contains("--force"), "{}", text(&again.stderr));
    std::fs::write(folder.path().join("none.md"), "z = w x\n").unwrap();
    let none = call(folder.path(), &["derive", "none.md", "--code", "none.rs"]);
    assert!(code(&none) == Some(2) && !folder.path().join("none.rs").exists(), "{}", text(&none.stderr));
}

/// What `--new` prints can be filled in: before that, nothing is wrong.
#[test]
fn a_new_derivation_asks_for_its_right_sides() {
    let folder = folder();
    for model in ["logistic", "softmax", "l2", "linear", "mlp"] {
        let new = call(folder.path(), &["derive", "--new", model]);
        std::fs::write(folder.path().join("mine.md"), &new.stdout).unwrap();
        let output = call(folder.path(), &["derive", "mine.md"]);
        let printed = text(&output.stdout);
        assert!(code(&output) == Some(0) && printed.contains("still to be derived"), "{model}: {printed}");
    }
}

/// Finite differences and Burn's autodiff confirm every first derivative of these pages.
#[test]
fn derivatives_have_two_witnesses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let configs = std::fs::read_dir(root.join("configs/derivations")).unwrap();
    let pages = configs.map(|entry| entry.unwrap().path()).chain([root.join("docs/derivation.md")]);
    let folder = folder();
    let mut derivatives = 0;
    for page in pages {
        let output = call(folder.path(), &["derive", page.to_str().unwrap(), "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        for line in report["lines"].as_array().unwrap() {
            let Some(names) = line["confirmed_by"].as_array() else { continue };
            derivatives += 1;
            let witnesses = ["finite differences", "Burn's autodiff"];
            assert!(names.iter().map(|name| name.as_str().unwrap()).eq(witnesses), "{}: {line}", page.display());
        }
    }
    assert!(derivatives > 60, "{derivatives}");
    // No tensor differentiates what contains a derivative.
    std::fs::write(folder.path().join("mine.md"), "C = w^3 x\ng = dC/dw\ndg/dw = 6 w x\ndC/dx = w^3\n").unwrap();
    let output = text(&call(folder.path(), &["derive", "mine.md"]).stdout);
    let said = "Confirmed of 2 derivatives on left sides: 2 by finite differences, 1 by Burn's autodiff.";
    assert!(output.contains(said), "{output}");
}
