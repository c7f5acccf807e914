//! Reports as pages.

use chainrule_derive::{Document, Options, Report, check};

fn report(text: &str) -> Report {
    let document = Document::parse(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    check(&document, &Options { witnesses: &[], ..Options::default() })
}

/// Every formula of the files is typeset, also what is only assumed or not checked.
#[test]
fn all_formulas_are_typeset() {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = std::fs::read_dir(format!("{root}/configs")).expect("the folder of the derivations");
    for file in folder.map(|entry| entry.expect("an entry").path()) {
        let text = std::fs::read_to_string(&file).expect("a derivation");
        let report = report(&text);
        let page = report.to_html("A page");
        let steps: usize = report.lines.iter().map(|line| line.steps.len()).sum();
        assert_eq!(page.matches("</math>").count(), steps, "{}", file.display());
        assert!(!page.contains("<code>"), "{}", file.display());
    }
}

/// The page says what the text says, and nothing of the file becomes markup.
#[test]
fn a_page_has_marks_and_counterexamples() {
    let text = "z = w x + b\ndz/dw = -x\ndz/db = 1\n$$z = \\foo<b>$$\n$z < 3$\n";
    let page = report(text).to_html("<i>mine</i> & \"yours\"");
    for part in [
        "<title>&lt;i&gt;mine&lt;/i&gt; &amp; &quot;yours&quot;</title>",
        "class=\"step wrong\" title=\"wrong: the sign is flipped everywhere; at b = 0",
        "<details><summary>Where it is wrong</summary>at b = 0",
        "class=\"step right\" title=\"holds\"",
        "<code>z = \\foo&lt;b&gt;</code>",
        "not read: line 4, column 7: unknown command",
        "The first wrong step is on line 2.",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(!page.contains("<b>") && !page.contains("<script") && !page.contains("http://"), "{page}");
}
