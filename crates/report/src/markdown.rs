//! Writes a document as Markdown, for readers of the repository.

use std::fmt::Write;

use crate::Claim;
use crate::document::{Block, Document};

/// Returns the whole document. Figures are links to `figures/`.
pub fn render(document: &Document) -> String {
    let mut text = format!("# {}\n\n{}\n", document.title, document.lead);
    for section in &document.sections {
        write!(text, "\n## {}\n", section.title).expect(STRING_WRITE);
        for block in &section.blocks {
            text.push('\n');
            render_block(&mut text, block);
        }
    }
    rows_without_escapes(&text)
}

/// Writes the ends of rows in formulas as `\cr`. The renderers of forges take `\\` for an escape of
/// Markdown, and leave one backslash.
fn rows_without_escapes(text: &str) -> String {
    let mut parts = Vec::new();
    for (i, part) in text.split('$').enumerate() {
        // Parts with odd numbers are formulas.
        parts.push(if i % 2 == 1 { part.replace(r"\\", r"\cr") } else { part.to_owned() });
    }
    parts.join("$")
}

const STRING_WRITE: &str = "writing to a String cannot fail";

/// The columns of the table of verdicts.
pub(crate) const VERDICTS: [&str; 4] = ["Task", "Claim", "Verdict", "Why"];

fn render_block(text: &mut String, block: &Block) {
    match block {
        Block::Text(paragraph) => writeln!(text, "{paragraph}"),
        Block::Equation(latex) => writeln!(text, "$${latex}$$"),
        Block::Table { head, rows } => {
            text.push_str(&table(head, rows));
            Ok(())
        }
        Block::Verdicts(claims) => {
            let row = |claim: &Claim| {
                vec![claim.id.clone(), claim.claim.clone(), format!("**{}**", claim.verdict.name()), claim.why.clone()]
            };
            text.push_str(&table(&VERDICTS.map(str::to_owned), &claims.iter().map(row).collect::<Vec<_>>()));
            Ok(())
        }
        Block::DrawingPage(_) => writeln!(text, "The drawing board is on the page `index.html` in the same folder."),
        Block::Figure(figure) => writeln!(
            text,
            "![{title}](figures/{id}.png)\n\n*{name}{title}.* {caption} {runs}",
            title = figure.title,
            id = figure.id,
            name = name_of(figure.id),
            caption = figure.caption,
            runs = runs(&figure.runs)
        ),
        Block::Claim(claim) => writeln!(
            text,
            "> **Claim {}.** {}\n>\n> **Verdict: {}.** {}\n>\n> *Measured.* {}\n>\n> *Rule.* The verdict is {}",
            claim.id,
            claim.claim,
            claim.verdict.name(),
            claim.why,
            [claim.measured.clone(), runs(&claim.runs)].join(" ").trim_end(),
            claim.rule
        ),
        Block::Details { summary, code } => {
            writeln!(text, "<details><summary>{summary}</summary>\n\n```toml\n{}\n```\n\n</details>", code.trim_end())
        }
    }
    .expect(STRING_WRITE);
}

/// Returns a table of texts.
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | ").replace('\n', " "));
    let mut text = line(head);
    text.push_str(&line(&vec!["---".to_owned(); head.len()]));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

/// Returns "Figure 3: " for a figure of the report, and an empty text for a figure of the audit.
pub(crate) fn name_of(id: &str) -> String {
    id.strip_prefix("figure-").map(|number| format!("Figure {number}: ")).unwrap_or_default()
}

fn runs(names: &[String]) -> String {
    let names: Vec<String> = grouped(names).into_iter().map(|(shown, _)| format!("`{shown}`")).collect();
    if names.is_empty() { String::new() } else { format!("Runs: {}.", names.join(", ")) }
}

/// Groups runs that differ only in their seed. Returns the name of each group with its first run.
pub(crate) fn grouped(names: &[String]) -> Vec<(String, String)> {
    let mut groups: Vec<(String, String)> = Vec::new();
    let mut last: Option<(&str, u64)> = None;
    for name in names {
        let seed = name.rsplit_once("-seed-").and_then(|(stem, seed)| Some((stem, seed.parse::<u64>().ok()?)));
        let continues = matches!((last, seed), (Some((last_stem, last_seed)), Some((stem, next))) if last_stem == stem && next == last_seed + 1);
        let is_listed = groups.iter().any(|entry| entry.1 == *name);
        match (groups.last_mut(), seed) {
            (Some(entry), Some((_, next))) if continues => entry.0 = format!("{} to {next}", entry.1),
            _ if is_listed => {}
            _ => groups.push((name.clone(), name.clone())),
        }
        last = seed;
    }
    groups
}
