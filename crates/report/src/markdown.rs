//! The document as Markdown, for who reads the repository.

use std::fmt::Write;

use crate::claims::Claim;
use crate::document::{Block, Document};

/// The whole document; figures are links to `figures/`.
pub(crate) fn render(document: &Document) -> String {
    let mut text = format!("# {}\n\n{}\n", document.title, document.lead);
    for section in &document.sections {
        write!(text, "\n## {}\n", section.title).expect(INTO_A_STRING);
        for block in &section.blocks {
            text.push('\n');
            render_block(&mut text, block);
        }
    }
    text
}

const INTO_A_STRING: &str = "writing to a String cannot fail";

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
        Block::Figure(figure) => writeln!(
            text,
            "![{title}](figures/{id}.png)\n\n*{name}{title}.* {caption}",
            title = figure.title,
            id = figure.id,
            name = name_of(figure.id),
            caption = figure.caption
        ),
        Block::Claim(claim) => writeln!(
            text,
            "> **Claim {}.** {}\n>\n> **Verdict: {}.** {}\n>\n> *Measured.* {}",
            claim.id,
            claim.claim,
            claim.verdict.name(),
            claim.why,
            claim.measured
        ),
        Block::Details { summary, code } => {
            writeln!(text, "<details><summary>{summary}</summary>\n\n```toml\n{}\n```\n\n</details>", code.trim_end())
        }
    }
    .expect(INTO_A_STRING);
}

/// A table whose cells are texts.
pub(crate) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head);
    text.push_str(&line(&vec!["---".to_owned(); head.len()]));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

/// "Figure 3: " for the report's own, nothing for the audit's.
pub(crate) fn name_of(id: &str) -> String {
    id.strip_prefix("figure-").map(|number| format!("Figure {number}: ")).unwrap_or_default()
}
