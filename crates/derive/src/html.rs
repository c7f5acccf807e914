//! A report as a page: typeset formulas, a mark on each step, and the counterexamples.

use pulldown_latex::config::DisplayMode;
use pulldown_latex::{Parser, RenderConfig, Storage, push_mathml};

use crate::report::{Line, Report, Step, Verdict};

const STYLE: &str = include_str!("../assets/page.css");

/// The content security policy of a page without scripts.
const NO_SCRIPTS: &str = "default-src 'none'; style-src 'unsafe-inline'";

impl Report {
    /// Writes the report as a page that needs nothing else: formulas are MathML, and there are no
    /// scripts. `title` is plain text.
    pub fn to_html(&self, title: &str) -> String {
        self.page(title, NO_SCRIPTS, "")
    }

    /// Writes the statements as items of a list, as [`to_html`](Self::to_html) has them, but
    /// without the names that links need.
    pub fn to_html_items(&self) -> String {
        let mut items = String::new();
        self.lines.iter().for_each(|line| push_line(&mut items, line, ""));
        items
    }

    /// Writes a page with this content security policy and `end` below the report.
    pub(crate) fn page(&self, title: &str, policy: &str, end: &str) -> String {
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p>{}</p>\n<ol>\n",
            escape(&self.summary()),
            title = escape(title),
        );
        for line in &self.lines {
            push_line(&mut page, line, &format!(" id=\"line-{}\"", line.line));
        }
        page += "</ol>\n";
        for line in &self.prose {
            page += &format!("<p>Line {line} has <code>=</code> and was read as prose.</p>\n");
        }
        page += end;
        page += "</main>\n</body>\n</html>\n";
        page
    }
}

fn push_line(page: &mut String, line: &Line, id: &str) {
    let wrong = line.steps.iter().any(|step| matches!(step.verdict, Verdict::Wrong { .. }));
    *page += &format!("<li{}{id}>\n", if wrong { " class=\"has-wrong\"" } else { "" });
    let number = match &line.label {
        Some(label) => format!("line {}, ({})", line.line, escape(label)),
        None => format!("line {}", line.line),
    };
    *page += &format!("<span class=\"place\">{number}</span>\n");
    for (place, step) in line.steps.iter().enumerate() {
        let left = if place == 0 { line.left_latex.as_str() } else { "" };
        let formula = match (&step.right_latex, step.right.is_empty()) {
            (_, true) if line.left_latex.is_empty() => source(&line.left),
            (_, true) => typeset(left, &line.left),
            (right, false) => typeset(&format!("{left} = {right}"), &format!("{} = {}", line.left, step.right)),
        };
        push_step(page, step, &formula, (place == 0).then_some(line.condition.as_deref()).flatten());
    }
    *page += "</li>\n";
}

fn push_step(page: &mut String, step: &Step, formula: &str, condition: Option<&str>) {
    let verdict = &step.verdict;
    let notes = step.notes();
    // The tip shows all notes where a mouse rests on the step; the text below has them too.
    let tip = if notes.is_empty() { verdict.name().to_owned() } else { notes.join("; ") };
    *page += &format!(
        "<div class=\"step {}\" title=\"{}\">\n<span class=\"mark\" role=\"img\" aria-label=\"{}\">{}</span>\n<div class=\"formula\">{formula}{}</div>\n",
        verdict.class(),
        escape(&tip),
        verdict.name(),
        verdict.mark(),
        condition
            .map(|condition| format!(" <span class=\"condition\">for {}</span>", escape(condition)))
            .unwrap_or_default(),
    );
    match (verdict, notes.as_slice()) {
        (Verdict::Wrong { .. }, [kind, example]) => {
            *page += &format!(
                "<div class=\"note\">{}<details><summary>Where it is wrong</summary>{}</details></div>\n",
                escape(kind),
                escape(example)
            );
        }
        (_, []) => {}
        _ => *page += &format!("<div class=\"note\">{}</div>\n", escape(&notes.join("; "))),
    }
    *page += "</div>\n";
}

/// Typesets LaTeX, or shows the source where that is not possible.
fn typeset(latex: &str, fallback: &str) -> String {
    let storage = Storage::new();
    let mut mathml = String::new();
    let config = RenderConfig { display_mode: DisplayMode::Block, ..RenderConfig::default() };
    match push_mathml(&mut mathml, Parser::new(latex, &storage), config) {
        Ok(()) if !mathml.contains("<merror") => mathml,
        _ => source(fallback),
    }
}

fn source(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
