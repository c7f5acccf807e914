//! The formulas in the docs of `chainrule-models` are those of `docs/derivation.md`, as MathML,
//! which browsers display natively.
//!
//! After a change of the derivation, `CHAINRULE_RENEW=1 cargo test -p chainrule-tests formulas::`
//! rewrites them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chainrule_tests_macros::test;
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{Parser, RenderConfig, Storage, push_mathml};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the numbered equations of the derivation in LaTeX, without their numbers.
fn equations() -> BTreeMap<usize, String> {
    let derivation = std::fs::read_to_string(root().join("docs/derivation.md")).unwrap();
    // Between two pairs of dollars.
    let displayed = derivation.split("$$").skip(1).step_by(2);
    let numbered = displayed.map(|latex| {
        let (formula, number) = latex.rsplit_once("\\tag{").unwrap();
        // MathML has no box that all browsers display.
        let formula = formula.trim().replace('\n', " ").replace("\\boxed{", "{");
        (number.trim_end_matches('}').parse().unwrap(), formula)
    });
    numbered.collect()
}

fn mathml(number: usize, latex: &str) -> String {
    let storage = Storage::new();
    let mut mathml = String::new();
    let config = RenderConfig { display_mode: DisplayMode::Block, ..RenderConfig::default() };
    push_mathml(&mut mathml, Parser::new(latex, &storage), config).unwrap();
    assert!(!mathml.contains("<merror"), "Eq. ({number}): {mathml}");
    // As in a textbook, the number is at the right. The space above and below prevents scroll bars
    // in rustdoc.
    format!(
        "<div style=\"display: flex; align-items: center; padding: 0.4em 0; overflow-y: hidden\"><div style=\"flex: 1\">{mathml}</div><div>({number})</div></div>\n"
    )
}

#[test]
fn doc_comments_have_the_derivations_formulas() {
    let equations = equations();
    assert_eq!(equations.keys().copied().collect::<Vec<_>>(), (1..=equations.len()).collect::<Vec<_>>());
    let folder = root().join("crates/models/formulas");
    let renews = std::env::var_os("CHAINRULE_RENEW").is_some();
    let sources = std::fs::read_dir(root().join("crates/models/src")).unwrap();
    let sources: String = sources.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let mut used = 0;
    for (number, latex) in equations {
        let file = folder.join(format!("eq-{number}.html"));
        let is_shown = sources.contains(&format!("formulas/eq-{number}.html"));
        assert!(is_shown || !file.exists(), "{} is shown nowhere", file.display());
        if !is_shown {
            continue;
        }
        used += 1;
        let expected = mathml(number, &latex);
        if renews {
            std::fs::write(&file, &expected).unwrap();
        }
        let actual = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            actual == expected,
            "{} is not Eq. ({number}) any more; CHAINRULE_RENEW=1 writes it anew",
            file.display()
        );
    }
    assert!(used > 10, "only {used} equations are shown");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, used, "every file is an equation's");
}
