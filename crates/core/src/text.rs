use std::borrow::Cow;
use std::fmt::Display;

use unicode_width::UnicodeWidthStr;

/// Escapes text from an unknown source for the terminal. Control characters and characters that
/// change the text direction become Rust escapes: `\n`, `\u{1b}`.
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control_like) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control_like(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

/// Whether a character is invisible but affects the display: controls, line and paragraph
/// separators, and Unicode's directional marks, embeddings, overrides and isolates.
pub fn is_control_like(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shortens text from a file for an error message: one line, at most 200 characters, safe to print
/// on a terminal.
pub fn one_line(text: &str) -> String {
    const MAX_CHARACTERS: usize = 200;
    let mut line = String::new();
    // The loop stops at the limit, however long the text is.
    for (count, c) in text.trim().chars().enumerate() {
        if count == MAX_CHARACTERS {
            line.push('…');
            break;
        }
        if c.is_whitespace() {
            if !line.ends_with(' ') {
                line.push(' ');
            }
        } else if is_control_like(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Returns the number of terminal columns of a printed text, escapes included.
pub fn display_width(text: &str) -> usize {
    escape_controls(text).width()
}

/// Pads a text on the right to at least this many columns.
pub fn align_left(text: impl Display, columns: usize) -> String {
    let text = text.to_string();
    let text = escape_controls(&text);
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// Pads a text on the left to at least this many columns.
pub fn align_right(text: impl Display, columns: usize) -> String {
    let text = text.to_string();
    let text = escape_controls(&text);
    format!("{}{text}", " ".repeat(columns.saturating_sub(text.width())))
}

/// Returns a number in its shortest decimal form. Very large and very small ones have an exponent.
pub fn shortest(number: f64) -> String {
    let text = format!("{number:?}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Returns a number with its noun: "1 class", "3 classes".
pub fn pluralize(number: usize, noun: &str) -> String {
    match (number, noun.ends_with('s')) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{number} {noun}es"),
        (_, false) => format!("{number} {noun}s"),
    }
}

/// An error stops listing names after this many bytes.
const MAX_LIST_LENGTH: usize = 250;

/// Lists names in quotes. A long list is cut, and says how many more there are.
pub fn quoted(names: &[String]) -> String {
    listed(&names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>())
}

/// Lists names. A long list is cut, and says how many more there are.
pub fn listed(names: &[String]) -> String {
    listed_by(", ", names)
}

/// Like [`listed`], with another separator.
pub fn listed_by(separator: &str, names: &[String]) -> String {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        if text.len() > MAX_LIST_LENGTH {
            return text + &format!(" and {} more", names.len() - i);
        }
        text += if i == 0 { "" } else { separator };
        text += name;
    }
    text
}

/// Returns the indices of the names that `typed` may mean, the most similar one first.
pub fn similar_names<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let typed = normalise_name(typed);
    let mut matches: Vec<(usize, usize)> = names
        .enumerate()
        .filter_map(|(index, name)| {
            Some((edit_distance_within(&typed, &normalise_name(name), max_typos(&typed))?, index))
        })
        .collect();
    matches.sort_unstable();
    matches.into_iter().map(|(_, index)| index).collect()
}

/// Returns the most similar name, if one is similar enough.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let names: Vec<&str> = names.into_iter().collect();
    similar_names(typed, names.iter().copied()).first().map(|&index| names[index])
}

/// Normalises a name for comparison: lower case, with `_` between words.
pub fn normalise_name(name: &str) -> String {
    // The length is limited, because the distance of long texts is slow to compute.
    name.chars()
        .take(MAX_COMPARED)
        .flat_map(char::to_lowercase)
        .map(|c| if c == '-' || c == ' ' { '_' } else { c })
        .collect()
}

/// The maximum number of characters to compare.
const MAX_COMPARED: usize = 100;

/// The number of typing errors allowed for a name of this length: one for every three characters,
/// but at least 1 and at most 4.
pub fn max_typos(typed: &str) -> usize {
    (typed.chars().count() / 3).clamp(1, 4)
}

/// Returns the edit distance between two normalised names, if it is at most `max_distance`. It
/// counts substitutions, insertions, deletions and swaps.
pub fn edit_distance_within(typed: &str, name: &str, max_distance: usize) -> Option<usize> {
    let length_difference = typed.chars().count().abs_diff(name.chars().count());
    // If every character differs, the names are not similar.
    let max_distance = max_distance.min(typed.chars().count().max(name.chars().count()).saturating_sub(1));
    (length_difference <= max_distance)
        .then(|| strsim::damerau_levenshtein(typed, name))
        .filter(|&distance| distance <= max_distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_shortens_and_escapes_text() {
        assert_eq!(one_line("  expected\n\n  a number\t!\r\n"), "expected a number !");
        assert_eq!(one_line("red \u{1b}[31m\0"), "red \\u{1b}[31m\\u{0}");
        assert_eq!(one_line("€".repeat(1000).as_str()), "€".repeat(200) + "…");
        assert!(one_line(&" a".repeat(1000)).len() <= 204);
    }

    #[test]
    fn padding_counts_printed_columns() {
        for (text, columns) in
            [("kind", 4), ("naïve", 5), ("e\u{301}", 1), ("漢字", 4), ("\u{1b}[31m", 10), ("\u{202e}", 8)]
        {
            assert_eq!(display_width(text), columns, "{text:?}");
            assert_eq!(display_width(&align_right(text, 12)), 12, "{text:?}");
            assert_eq!(display_width(&align_left(text, 12)), 12, "{text:?}");
            assert_eq!(align_right(text, 0), escape_controls(text), "{text:?}");
        }
        assert_eq!((align_right("a", 3), align_left(7, 3)), ("  a".into(), "7  ".into()));
    }

    #[test]
    fn numbers_are_short() {
        let check = |number: f64, expected: &str| {
            assert_eq!(shortest(number), expected);
            assert_eq!(expected.parse(), Ok(number));
        };
        check(0.0, "0");
        check(-12.0, "-12");
        check(0.1, "0.1");
        check(1234567.5, "1234567.5");
        check(1e30, "1e30");
        check(-1.25e-300, "-1.25e-300");
    }

    #[test]
    fn only_control_characters_are_escaped() {
        let plain = "naïve 漢字 🙂 \\n {}";
        assert_eq!(escape_controls(plain), plain);
        assert_eq!(escape_controls("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(
            escape_controls("\u{1b}[31m \u{9b}2J \u{7f} \u{202e}gpj"),
            "\\u{1b}[31m \\u{9b}2J \\u{7f} \\u{202e}gpj"
        );
        let escaped = escape_controls("\u{2066}\u{2028}\0").into_owned();
        assert_eq!(escape_controls(&escaped), escaped, "escaping is idempotent");
    }

    #[test]
    fn nearest_accepts_only_small_distances() {
        let check =
            |typed, names: &[&'static str], expected| assert_eq!(nearest(typed, names.iter().copied()), expected);
        check("mnst", &["auto", "mnist", "embedded"], Some("mnist"));
        check("Embeded", &["auto", "mnist", "embedded"], Some("embedded"));
        check("closed_form", &["auto", "closed-form"], Some("closed-form"));
        check("lr", &["solver", "learning_rate"], None);
        check("f16", &["f32", "f64"], None);
        check("x", &["y"], None);
        check("kittens", &["sitting"], None);
        check("svm", &["sgd", "adam"], None);
        check(&"a".repeat(100_000), &["a"], None);
    }

    #[test]
    fn similar_names_are_sorted_by_distance() {
        let names = || ["logistic.toml", "softmax.toml", "softmax-2.toml"].into_iter();
        assert_eq!(similar_names("sofmax.toml", names()), [1, 2]);
        assert_eq!(similar_names("penguins", names()), [0; 0]);
        assert_eq!(
            (pluralize(1, "class"), pluralize(2, "class"), pluralize(0, "row")),
            ("1 class".into(), "2 classes".into(), "0 rows".into())
        );
    }
}
