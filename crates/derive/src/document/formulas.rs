//! Which parts of a text are formulas.

use super::states;
use crate::error::ParseError;
use crate::lex::{Notation, is_letter};
use crate::words::is_known_word;

/// LaTeX environments that contain text.
const TEXT_ENVIRONMENTS: [&str; 19] = [
    "document",
    "abstract",
    "center",
    "quote",
    "itemize",
    "enumerate",
    "description",
    "proof",
    "theorem",
    "lemma",
    "proposition",
    "corollary",
    "definition",
    "remark",
    "example",
    "exercise",
    "problem",
    "solution",
    "answer",
];

/// How a line of LaTeX begins that has no formula to check.
const TEXT_COMMANDS: [&str; 9] = [
    "%",
    "\\documentclass",
    "\\usepackage",
    "\\title",
    "\\author",
    "\\section",
    "\\subsection",
    "\\subsubsection",
    "\\paragraph",
];

/// A formula of a text.
#[derive(Clone)]
pub(super) struct Formula {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) notation: Notation,
    /// Whether it stands in a line of prose.
    pub(super) inline: bool,
    /// Why it is not checked, if a comment says so: `<!-- not checked: … -->`.
    pub(super) reason: Option<String>,
    /// No formula, but a comment that begins a scope or goes on with one: `<!-- scope: … -->`.
    pub(super) scope: Option<String>,
}

impl Formula {
    /// Returns the rows: one that cannot be read does not hide the others.
    pub(super) fn rows(&self, text: &str) -> Vec<Self> {
        let mut rows = Vec::new();
        let mut start = self.from;
        let mut at = self.from;
        // Rows of cases, and what is between braces, are parts of a row.
        let outer = usize::from(text[self.from..self.to].trim_start().starts_with("\\begin{"));
        let mut depth: usize = 0;
        while at < self.to {
            let rest = &text[at..self.to];
            let begins = |what: &str| rest.starts_with(what);
            if begins("\\\\") && depth <= outer {
                rows.push(Self { from: start, to: at + 2, ..self.clone() });
                start = at + 2;
            } else if begins("\\begin{") || begins("{") {
                depth += 1;
            } else if begins("\\end{") || begins("}") {
                depth = depth.saturating_sub(1);
            }
            let is_pair = ["\\\\", "\\{", "\\}"].iter().any(|pair| begins(pair));
            at += if is_pair { 2 } else { rest.chars().next().map_or(1, char::len_utf8) };
        }
        rows.push(Self { from: start, ..self.clone() });
        rows
    }
}

/// Finds the formulas of a text. Returns also the lines with `=` that are read as prose.
pub(super) fn formulas(text: &str, errors: &mut Vec<ParseError>) -> (Vec<Formula>, Vec<usize>) {
    let mut formulas = Vec::new();
    let mut prose = Vec::new();
    let mut at = 0;
    let mut line_start = true;
    let plain = |from, to, notation, inline| Formula { from, to, notation, inline, reason: None, scope: None };
    let latex = |from, to, inline| plain(from, to, Notation::Latex, inline);
    while at < text.len() {
        let rest = &text[at..];
        let line_end = rest.find('\n').map_or(text.len(), |end| at + end);
        if line_start {
            line_start = false;
            let line = &text[at..line_end];
            let trimmed = line.trim_start();
            if let Some(language) = trimmed.strip_prefix("```").or_else(|| trimmed.strip_prefix("~~~")) {
                let body = (line_end + 1).min(text.len());
                let fence = &trimmed[..3];
                let close = find_line(text, body, |line| line.trim_start().starts_with(fence));
                let Some((close, after)) = close else {
                    errors.push(ParseError::new(at, "this fence is not closed"));
                    break;
                };
                if language.trim() == "math" {
                    formulas.push(latex(body, close, false));
                }
                at = after;
                line_start = true;
                continue;
            }
            if TEXT_COMMANDS.iter().any(|command| trimmed.starts_with(command)) {
                at = line_end + 1;
                line_start = true;
                continue;
            }
            if trimmed.starts_with("\\begin{") {
                let name_start = at + (line.len() - trimmed.len()) + "\\begin{".len();
                let name = text[name_start..].split('}').next().unwrap_or_default();
                if TEXT_ENVIRONMENTS.contains(&name.trim_end_matches('*')) {
                    at = line_end + 1;
                    line_start = true;
                    continue;
                }
                let end = format!("\\end{{{name}}}");
                match text[at..].find(&end) {
                    Some(found) => {
                        formulas.push(latex(at, at + found + end.len(), false));
                        at += found + end.len();
                    }
                    None => {
                        errors.push(ParseError::new(at, format!("`\\begin{{{name}}}` has no `{end}`")));
                        break;
                    }
                }
                continue;
            }
            if trimmed.starts_with("<!--") {
                at += line.len() - trimmed.len();
                at = comment(text, at, &mut formulas);
                continue;
            }
            let marked = line.contains('$') || line.contains("\\[") || line.contains("\\(");
            if !marked {
                match bare(text, at, line_end) {
                    Bare::Formula(from, to, notation) => formulas.push(plain(from, to, notation, false)),
                    Bare::Prose if line.contains('=') && !trimmed.starts_with(['#', '|', '<']) => prose.push(at),
                    Bare::Prose => {}
                }
                at = line_end + 1;
                line_start = true;
                continue;
            }
        }
        let c = rest.chars().next().unwrap_or('\n');
        match c {
            '\n' => {
                line_start = true;
                at += 1;
            }
            '`' => {
                let close = text[at + 1..line_end.max(at + 1)].find('`');
                at += close.map_or(1, |close| close + 2);
            }
            '<' if rest.starts_with("<!--") => at = comment(text, at, &mut formulas),
            '\\' if rest.starts_with("\\$") => at += 2,
            '\\' if rest.starts_with("\\[") || rest.starts_with("\\(") => {
                let close = if rest.starts_with("\\[") { "\\]" } else { "\\)" };
                let Some(end) = rest.find(close) else {
                    errors.push(ParseError::new(at, format!("`{}` has no `{close}`", &rest[..2])));
                    break;
                };
                formulas.push(latex(at + 2, at + end, close == "\\)"));
                at += end + 2;
            }
            '$' => {
                let display = rest.starts_with("$$");
                let mark = if display { "$$" } else { "$" };
                let from = at + mark.len();
                // An inline formula ends in its paragraph.
                let end = text[from..].find(mark).filter(|&end| display || !text[from..from + end].contains("\n\n"));
                let Some(end) = end else {
                    errors.push(ParseError::new(at, format!("this `{mark}` has no partner")));
                    break;
                };
                formulas.push(latex(from, from + end, !display));
                at = from + end + mark.len();
            }
            c => at += c.len_utf8(),
        }
    }
    (give_reasons(text, formulas, errors), prose)
}

/// Reads a comment. Returns the place after it.
fn comment(text: &str, at: usize, formulas: &mut Vec<Formula>) -> usize {
    let end = text[at..].find("-->").map_or(text.len(), |end| at + end + 3);
    let inside = text[at + 4..end].trim_end_matches("-->").trim();
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = inside.strip_prefix("not checked:").map(line);
    let scope = inside.strip_prefix("scope:").map(line);
    if reason.is_some() || scope.is_some() {
        formulas.push(Formula { from: at, to: end, notation: Notation::Latex, inline: true, reason, scope });
    }
    end
}

/// Gives the reasons of the comments to the formulas that follow them.
fn give_reasons(text: &str, found: Vec<Formula>, errors: &mut Vec<ParseError>) -> Vec<Formula> {
    let mut formulas: Vec<Formula> = Vec::new();
    let mut reason: Option<(usize, String)> = None;
    let unused = |at| ParseError::new(at, "no formula with a relation follows this comment");
    for mut formula in found {
        let is_comment = text[formula.from..].starts_with("<!--");
        if is_comment && formula.reason.is_some() {
            if let Some((at, _)) = reason.replace((formula.from, formula.reason.take().unwrap_or_default())) {
                errors.push(unused(at));
            }
            continue;
        }
        if !is_comment && states(&text[formula.from..formula.to]) {
            formula.reason = reason.take().map(|(_, reason)| reason);
        }
        formulas.push(formula);
    }
    errors.extend(reason.map(|(at, _)| unused(at)));
    formulas
}

/// Finds the first line from a place with a property: its start, and the start of the next.
fn find_line(text: &str, from: usize, is: impl Fn(&str) -> bool) -> Option<(usize, usize)> {
    let mut at = from;
    while at < text.len() {
        let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        if is(&text[at..end]) {
            return Some((at, (end + 1).min(text.len())));
        }
        at = end + 1;
    }
    None
}

enum Bare {
    Formula(usize, usize, Notation),
    Prose,
}

/// Decides whether a line without marks is a formula: it has a relation, and never two words in a
/// row of which one is not known.
fn bare(text: &str, from: usize, to: usize) -> Bare {
    let line = &text[from..to];
    let mut body = line.trim_start();
    for marker in ["- ", "* ", "+ ", "> "] {
        body = body.strip_prefix(marker).map_or(body, str::trim_start);
    }
    body = without_label(body);
    let has_relation = body.contains('=')
        || body.contains('∈')
        || body.contains('<')
        || body.contains('>')
        || body.contains(" in {")
        || body.contains(" in (")
        || body.contains(" in R")
        || body.contains("\\in");
    let is_table = body.starts_with('|') && body.trim_end().ends_with('|');
    if !has_relation || is_table || body.starts_with(['#', '<', '!']) {
        return Bare::Prose;
    }
    // An unknown word is a name only beside an operator: "But a = b" is prose, "loss = a" is not.
    let parts: Vec<&str> = body.split_whitespace().collect();
    for (place, part) in parts.iter().enumerate() {
        let word = part.trim_matches([',', ':', '.', ';']);
        let is_word = word.chars().count() > 1 && word.chars().all(|c| is_letter(c) || c == '\'' || c == '-');
        let is_known = is_known_word(word) || is_introduction(word) || (word.starts_with('d') && word.len() == 2);
        if !is_word || (is_known && place > 0) || (is_known && is_introduction(word)) {
            continue;
        }
        let is_operator = |c: char| "+-*/=^·<>(){}|".contains(c) || c.is_ascii_digit();
        let after =
            *part == word && parts.get(place + 1).is_some_and(|next| next.starts_with(is_operator) || *next == "in");
        let before = place > 0 && parts[place - 1].ends_with(is_operator);
        if !(after || before || is_known) {
            return Bare::Prose;
        }
    }
    let notation = if body.contains('\\') { Notation::Latex } else { Notation::Plain };
    let mut start = to - body.len();
    if let Some(first) = body.split_whitespace().next()
        && is_introduction(first.trim_end_matches(':'))
    {
        start += first.len();
    }
    Bare::Formula(start, start + without_number(&text[start..to]).len(), notation)
}

/// Leaves out how a line of a list or a conclusion begins: `(a)`, `2.`, `iii)`, `=>`.
fn without_label(line: &str) -> &str {
    let Some((first, rest)) = line.split_once(char::is_whitespace) else { return line };
    let rest = rest.trim_start();
    if ["=>", "⇒", "→", "∴", "->"].contains(&first) {
        return rest;
    }
    let is_number = |label: &str| (1..3).contains(&label.len()) && label.chars().all(|c| c.is_ascii_digit());
    let is_letter = |label: &str| label.len() == 1 && label.chars().all(|c| c.is_ascii_alphabetic());
    let is_roman = |label: &str| ["ii", "iii", "iv", "vi", "vii", "viii"].contains(&label);
    let closed = first.strip_suffix(')').map(|label| label.strip_prefix('(').unwrap_or(label));
    let is_label = closed.is_some_and(|label| is_number(label) || is_letter(label) || is_roman(label))
        || first.strip_suffix('.').is_some_and(is_number);
    // `(a) - b` and `(a) (b + c)` are formulas.
    let goes_on = rest.starts_with(|c: char| "=+-*/^_(<>,·−".contains(c));
    if is_label && !goes_on { rest } else { line }
}

/// Leaves out the number of an equation at the end of a line: `(2)`, `[2a]` or `(4.91)` after a
/// space.
fn without_number(line: &str) -> &str {
    let Some((before, last)) = line.trim_end().rsplit_once(char::is_whitespace) else { return line };
    let inside = last.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let inside = inside.or(last.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')));
    let number = inside.map(|inside| inside.trim_end_matches(|c: char| c.is_ascii_lowercase()));
    let is_number = number.is_some_and(|number| {
        let mut parts = number.split('.');
        number.len() <= 8 && parts.all(|part| (1..3).contains(&part.len()) && part.chars().all(|c| c.is_ascii_digit()))
    });
    let goes_on = before.trim_end().ends_with(|c: char| "=+-*/^_(<>,·−".contains(c));
    if is_number && !goes_on { before } else { line }
}

/// Returns whether a word introduces an assumption or a definition.
fn is_introduction(word: &str) -> bool {
    ["assume", "assuming", "let", "given", "suppose", "with", "where"].contains(&word.to_lowercase().as_str())
}
