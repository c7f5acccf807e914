//! The report as a document, which is then written as Markdown or HTML.
//!
//! Texts use a part of Markdown's markup: `` `code` ``, `$LaTeX$`, `*emphasis*`, `**strong**`, and
//! a backslash before a literal character. [`literal`] escapes text from other sources.

use crate::Claim;
use crate::DrawingPage;
use crate::figure::Figure;

/// A titled list of sections.
#[derive(Clone, Debug)]
pub struct Document {
    /// The title.
    pub title: String,
    /// The introduction, in a few sentences.
    pub lead: String,
    /// The sections.
    pub sections: Vec<Section>,
}

/// A titled list of blocks.
#[derive(Clone, Debug)]
pub struct Section {
    /// The name for links.
    pub id: String,
    /// The title.
    pub title: String,
    /// The content.
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Clone, Debug)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A displayed formula in LaTeX.
    Equation(&'static str),
    /// A table of texts.
    Table {
        /// The names of the columns.
        head: Vec<String>,
        /// The rows.
        rows: Vec<Vec<String>>,
    },
    /// All claims with their verdicts, as a table.
    Verdicts(Vec<Claim>),
    /// A page to draw digits on. Only the HTML page contains it.
    DrawingPage(Box<DrawingPage>),
    /// A figure.
    Figure(Figure),
    /// A claim with its verdict.
    Claim(Claim),
    /// Long text that the reader can expand.
    Details {
        /// The summary, as plain text.
        summary: String,
        /// The content, as plain text.
        code: String,
    },
}

/// A span of text in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Plain text.
    Plain(String),
    /// Code.
    Code(String),
    /// LaTeX.
    Math(String),
    /// Italic.
    Emphasis(String),
    /// Bold.
    Strong(String),
}

/// Parses the spans of a text. A mark without a partner is plain text.
pub fn spans(text: &str) -> Vec<Span> {
    type Make = fn(String) -> Span;
    const MARKS: [(&str, Make); 4] =
        [("`", Span::Code), ("$", Span::Math), ("**", Span::Strong), ("*", Span::Emphasis)];
    let mut spans = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let marked = MARKS.iter().find_map(|(mark, span)| {
            let (inner, after) = rest.strip_prefix(mark)?.split_once(mark)?;
            Some((span(inner.to_owned()), after))
        });
        if let Some((span, after)) = marked {
            if !plain.is_empty() {
                spans.push(Span::Plain(std::mem::take(&mut plain)));
            }
            spans.push(span);
            rest = after;
            continue;
        }
        let escaped = rest.strip_prefix('\\').and_then(|escaped| escaped.chars().next());
        plain.push(escaped.unwrap_or(first));
        rest = &rest[escaped.map_or(first.len_utf8(), |c| 1 + c.len_utf8())..];
    }
    if !plain.is_empty() {
        spans.push(Span::Plain(plain));
    }
    spans
}

/// Escapes a text, so that it is shown literally on one line.
pub fn literal(text: &str) -> String {
    let mut result = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '$' | '*' | '_' | '<' | '>' | '[' | ']' | '|' | '#' | '&' | '~' | '!' => {
                result.push('\\');
                result.push(c);
            }
            c if c.is_control() => result.push(' '),
            c => result.push(c),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_text_parses_as_one_plain_span() {
        for text in ["a `b` $c$ \\ d", "<script>alert(1)</script>", "| x | [y](z) *w*", "ends in \\"] {
            assert_eq!(spans(&literal(text)), [Span::Plain(text.to_owned())]);
        }
    }

    #[test]
    fn code_and_formulas_are_separate_spans() {
        let expected = [
            Span::Plain("see ".into()),
            Span::Code("a_b".into()),
            Span::Plain(" and ".into()),
            Span::Math("x < y".into()),
            Span::Plain(", 5 $ left".into()),
        ];
        assert_eq!(spans("see `a_b` and $x < y$, 5 \\$ left"), expected);
        assert_eq!(spans("one $ alone"), [Span::Plain("one $ alone".into())]);
    }
}
