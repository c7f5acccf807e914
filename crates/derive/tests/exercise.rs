//! Steps that continue a page, and the page that has a form for them.

use chainrule_derive::{Document, Options, Report, Verdict, check, check_steps};

const PAGE: &str = "\u{feff}z = w x + b\r\n\r\np = sigma(z)\r\nC = -(y ln p + (1 - y) ln(1 - p))\r\ndC/dw = p - y\r\n";

fn steps(page: &str, steps: &str) -> Report {
    check_steps(page, steps, &Options::default()).unwrap_or_else(|errors| panic!("{steps}: {errors:?}"))
}

fn verdicts(report: &Report) -> Vec<(usize, &'static str)> {
    let name = |verdict: &Verdict| match verdict {
        Verdict::Holds | Verdict::HoldsUnder { .. } => "holds",
        Verdict::Wrong { .. } => "wrong",
        Verdict::Definition => "definition",
        Verdict::NotRead { .. } => "not read",
        Verdict::Undecided { .. } => "undecided",
        _ => "other",
    };
    report.lines.iter().flat_map(|line| &line.steps).map(|step| (step.line, name(&step.verdict))).collect()
}

#[test]
fn steps_have_the_page_s_definitions_and_their_own_lines() {
    for (text, expected) in [
        ("dC/dz = p - y\ndC/db = y - p\n", vec![(1, "holds"), (2, "wrong")]),
        // The page's own claim is wrong, and does not make it right to go on from it.
        ("dC/dw = p - y\n", vec![(1, "wrong")]),
        ("\nq = p - y\n\ndC/dw = q x = x\n", vec![(2, "definition"), (4, "holds"), (4, "wrong")]),
        (r"\frac{\partial C}{\partial z} = \foo", vec![(1, "not read")]),
        ("Nothing to check.", vec![]),
        // It would go on with the page's claim.
        ("= (p - y) x", vec![]),
    ] {
        assert_eq!(verdicts(&steps(PAGE, text)), expected, "{text}");
    }
    let error = check_steps(PAGE, "dC/dz = p\n$p", &Options::default()).expect_err("an open formula");
    assert_eq!((error[0].line, error[0].column), (2, 1), "{error:?}");
}

/// A scope of the page goes on with its comment.
#[test]
fn steps_belong_to_a_scope_of_the_page() {
    let page = "<!-- scope: one -->\nf = u^2\n<!-- scope: two -->\nf = u^3\n";
    assert_eq!(verdicts(&steps(page, "df/du = 3 u^2\n")), [(1, "holds")]);
    let one = "<!-- scope: one -->\n";
    assert_eq!(verdicts(&steps(&format!("{page}{one}"), "df/du = 3 u^2\n")), [(1, "wrong")]);
    let document = Document::parse(page).expect("a document");
    let html = check(&document, &Options::default()).to_exercise_html("Two", &document);
    assert!(html.contains("<option>two</option><option>one</option>"), "{html}");
}

/// Nothing of the file becomes markup, and the first right side that is missing is asked for.
#[test]
fn the_exercise_has_the_page_and_the_checker() {
    let text = "f = u^2\n$$\\frac{df}{du} = $$\nProse of </pre><script>alert(1)</script> & more.\n";
    let document = Document::parse(text).expect("a document");
    let html = check(&document, &Options::default()).to_exercise_html("<b>", &document);
    for part in [
        "<title>&lt;b&gt;</title>",
        "\n\\frac{df}{du} = </textarea>",
        "Prose of &lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; more.\n</pre>",
        "script-src 'unsafe-inline' 'wasm-unsafe-eval'; worker-src blob:",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("http://") && !html.contains("https://"));
    assert!(html.len() < 420_000, "{} bytes", html.len());
}
