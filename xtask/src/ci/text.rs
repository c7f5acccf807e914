//! Checks the layout of text: comments of at most 100 columns, and pages with one sentence per line
//! and with formulas that every renderer of Markdown shows.

use std::process::Command;

use super::CheckOutcome;
use crate::{print_error, root};

/// The maximum width of a comment line.
const MAX_COLUMNS: usize = 100;

/// Generated pages.
const GENERATED: [&str; 2] = ["docs/commands.md", "docs/report/"];

/// Abbreviations, whose period does not end a sentence.
const ABBREVIATIONS: [&str; 14] =
    ["e.g", "i.e", "cf", "vs", "Eq", "Eqs", "Fig", "Figs", "No", "no", "p", "pp", "al", "approx"];

/// Checks every file that git tracks.
pub(super) fn layout() -> CheckOutcome {
    let files = Command::new("git").args(["ls-files", "-z", "*.rs", "*.md"]).current_dir(root()).output();
    let files = match files {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => return CheckOutcome::Skipped("git cannot list the files".to_owned()),
    };
    let mut is_clean = true;
    for name in files.split('\0').filter(|name| !name.is_empty()) {
        let path = root().join(name);
        // A link's target is listed by itself.
        if path.is_symlink() {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let is_generated = GENERATED.iter().any(|generated| name.starts_with(generated));
        let mut faults = if name.ends_with(".rs") { wide_comments(&text) } else { escapes_in_formulas(&text) };
        if name.ends_with(".md") && !is_generated {
            faults.extend(lines_with_two_sentences(&text));
        }
        for (line, fault) in faults {
            print_error(&format!("{name}:{line}: {fault}"));
            is_clean = false;
        }
    }
    if is_clean { CheckOutcome::Passed } else { CheckOutcome::Failed }
}

/// Returns the comment lines that are too wide. Code examples, tables and links are exempt.
fn wide_comments(text: &str) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut faults = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let comment = line.trim_start();
        let Some(words) = comment.strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']).trim_start())
        else {
            is_code = false;
            continue;
        };
        is_code ^= words.starts_with("```");
        let columns = line.chars().count();
        let is_one_word = !words.trim().contains(' ');
        if columns > MAX_COLUMNS && !is_code && !words.starts_with('|') && !is_one_word {
            faults.push((i + 1, format!("the comment has {columns} columns; the limit is {MAX_COLUMNS}")));
        }
    }
    faults
}

/// Returns the lines of a page on which a second sentence starts.
fn lines_with_two_sentences(text: &str) -> Vec<(usize, String)> {
    let (mut fence, mut is_formula) = (None, false);
    let mut faults = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark)) {
            fence = if fence.is_none() { Some(mark) } else { fence.filter(|&open| open != mark) };
            continue;
        }
        if start.starts_with("$$") {
            is_formula ^= start.matches("$$").count() % 2 == 1;
            continue;
        }
        let is_prose = fence.is_none() && !is_formula && !start.starts_with(['#', '|', '<']);
        if is_prose && let Some(next) = second_sentence(start) {
            faults.push((i + 1, format!("a second sentence begins at {next:?}; one a line")));
        }
    }
    faults
}

/// Returns the backslashes before punctuation in formulas, such as `\,`. The renderers of forges
/// take them for escapes of Markdown, and remove them. At the end of a row of a displayed formula,
/// `\\` survives.
fn escapes_in_formulas(text: &str) -> Vec<(usize, String)> {
    let (mut is_code, mut is_displayed) = (false, false);
    let mut faults = Vec::new();
    for (i, line) in text.lines().enumerate() {
        is_code ^= ["```", "~~~"].iter().any(|mark| line.trim_start().starts_with(mark));
        if is_code {
            continue;
        }
        // Code is no formula, whatever it contains.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        let mut is_inline = false;
        let mut characters = prose.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '$' if characters.next_if_eq(&'$').is_some() => is_displayed = !is_displayed,
                '$' => is_inline = !is_inline,
                '\\' => {
                    let next = characters.next();
                    let is_row_end = next == Some('\\') && is_displayed;
                    if let Some(mark) = next.filter(char::is_ascii_punctuation)
                        && (is_inline || is_displayed)
                        && !is_row_end
                    {
                        faults.push((i + 1, format!(r"\{mark} in a formula: forges remove the backslash")));
                    }
                }
                _ => {}
            }
        }
    }
    faults
}

/// Returns the start of the second sentence of a line. Code, formulas, link targets and text in
/// parentheses are skipped.
fn second_sentence(line: &str) -> Option<&str> {
    let bytes = line.as_bytes();
    let (mut i, mut depth) = (0, 0usize);
    while i < bytes.len() {
        match bytes[i] {
            mark @ (b'`' | b'$') => {
                // Skip to the closing mark, if there is one.
                i += line[i + 1..].find(char::from(mark)).map_or(0, |length| length + 1);
            }
            b']' if bytes.get(i + 1) == Some(&b'(') => i += line[i..].find(')').unwrap_or(0),
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'.' | b'!' | b'?' => {
                let rest = &line[i + 1..];
                let after_quotes = rest.trim_start_matches(['"', '\'', ')', '*', '_', ']']);
                let is_inside = depth > 0 && !rest[..rest.len() - after_quotes.len()].contains(')');
                let next = after_quotes.trim_start();
                let starts_sentence = next.starts_with(|c: char| {
                    c.is_uppercase() || c.is_ascii_digit() || ['[', '*', '_', '"', '(', '`', '$'].contains(&c)
                });
                let is_end = bytes[i] != b'.' || !is_abbreviation(&line[..i]);
                if next.len() < after_quotes.len() && starts_sentence && is_end && !is_inside {
                    return Some(next.get(..next.len().min(24)).unwrap_or(next));
                }
            }
            _ => {}
        }
        i += 1;
    }
    None
}

/// Whether the last word is an abbreviation, an initial or the number of a list item. A period
/// after such a word does not end a sentence.
fn is_abbreviation(text: &str) -> bool {
    let word = text.rsplit([' ', '(', '[', '*', '_']).next().unwrap_or_default();
    let is_initial = word.len() == 1 && word.starts_with(|c: char| c.is_ascii_uppercase());
    let before = text.strip_suffix(word).unwrap_or_default();
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_item = is_number && before.chars().all(|c| [' ', '-', '*', '['].contains(&c));
    is_initial || is_item || ABBREVIATIONS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_formulas_are_found() {
        for text in [r"$y \in \{0, 1\}$", r"$$a\, b$$", "$$\na \\; b\n$$", r"$a \\ b$", r"`x` and $\|w\|$"] {
            assert!(!escapes_in_formulas(text).is_empty(), "{text}");
        }
        for text in
            [r"$\sum_k y_k$", r"`$\{0, 1\}$`", r"\$3 and \*", "$$a \\\\ b$$", "```math\n$a\\, b$\n```", r"$a$ \, $b$"]
        {
            assert_eq!(escapes_in_formulas(text), [], "{text}");
        }
    }

    #[test]
    fn second_sentences_are_found_without_false_alarms() {
        for line in [
            "One sentence. Another.",
            "Is it one? No.",
            "*One.* `two` begins.",
            "(One in parentheses.) Another.",
            "- An item. 3 of them.",
        ] {
            assert!(second_sentence(line).is_some(), "{line}");
        }
        for line in [
            "One sentence with `code. And more` in it.",
            "1. An item.",
            "- [12. A link](page.md)",
            "*Eq. (5)* is a sentence.",
            "Eq. (5), see p. 12 of T. Chan, G. Golub.",
            "It says so (elsewhere. As before) and goes on.",
            "A [link](some. Where) and a formula $a. B$.",
            "Version 1.2 of it, e.g. NumPy's.",
            "config.toml is a file. and small letters go on",
        ] {
            assert_eq!(second_sentence(line), None, "{line}");
        }
    }

    #[test]
    fn code_tables_and_formulas_are_skipped() {
        let page = "# A. Title\n| a. B | c |\n```sh\necho One. Two.\n```\n$$\nA. B\n$$\nOne. Two.\n";
        assert_eq!(lines_with_two_sentences(page).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn wide_comments_are_reported_with_their_line() {
        let wide = "word ".repeat(25);
        let code = format!("let x = 1; // {wide}\n");
        let text = format!("{code}// {wide}\n/// ```\n/// {wide}\n/// ```\n/// | {wide} |\n    // {wide}\n");
        assert_eq!(wide_comments(&text).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 7]);
    }
}
