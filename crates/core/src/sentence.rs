use std::borrow::Cow;
use std::fmt::Display;

use unicode_width::UnicodeWidthStr;

/// Makes foreign text safe to print on a terminal. Control characters and those that change the
/// text direction are written as Rust escapes: `\n`, `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control_like) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control_like(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
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
    const MOST: usize = 200;
    let mut line = String::new();
    // The loop never looks at the part that is cut off, however long it is.
    for (count, c) in text.trim().chars().enumerate() {
        if count == MOST {
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

/// The number of terminal columns of a text as it is printed, escapes included.
pub fn display_width(text: &str) -> usize {
    visible(text).width()
}

/// Pads a text on the right to at least this many columns.
pub fn align_left(text: impl Display, columns: usize) -> String {
    let text = text.to_string();
    let text = visible(&text);
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// Pads a text on the left to at least this many columns.
pub fn align_right(text: impl Display, columns: usize) -> String {
    let text = text.to_string();
    let text = visible(&text);
    format!("{}{text}", " ".repeat(columns.saturating_sub(text.width())))
}

/// A number with its noun: "1 class", "3 classes".
pub fn count(number: usize, noun: &str) -> String {
    match (number, noun.ends_with('s')) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{number} {noun}es"),
        (_, false) => format!("{number} {noun}s"),
    }
}

/// Returns the indices of the names that `written` may mean, the most similar one first.
pub fn similar_names<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let written = normalise_name(written);
    let mut similar_names: Vec<(usize, usize)> = names
        .enumerate()
        .filter_map(|(place, name)| {
            Some((edit_distance_within(&written, &normalise_name(name), max_typos(&written))?, place))
        })
        .collect();
    similar_names.sort_unstable();
    similar_names.into_iter().map(|(_, place)| place).collect()
}

/// Returns the most similar name, if one is near enough.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let names: Vec<&str> = names.into_iter().collect();
    similar_names(written, names.iter().copied()).first().map(|&place| names[place])
}

/// Normalises a name for comparison: lower case, with `_` between words.
pub fn normalise_name(name: &str) -> String {
    // Cut to a maximum length, since the distance of long texts is slow to compute.
    name.chars()
        .take(LONGEST)
        .flat_map(char::to_lowercase)
        .map(|c| if c == '-' || c == ' ' { '_' } else { c })
        .collect()
}

/// The maximum number of characters to compare.
const LONGEST: usize = 100;

/// The number of typing errors allowed for a name of this length: one in three characters, from 1
/// to 4.
pub fn max_typos(written: &str) -> usize {
    (written.chars().count() / 3).clamp(1, 4)
}

/// The edit distance between two normalised names (substitutions, insertions, deletions and swaps),
/// if it is at most `most`.
pub fn edit_distance_within(written: &str, name: &str, most: usize) -> Option<usize> {
    let apart = written.chars().count().abs_diff(name.chars().count());
    // If every character differs, the names are not similar.
    let most = most.min(written.chars().count().max(name.chars().count()).saturating_sub(1));
    (apart <= most)
        .then(|| strsim::damerau_levenshtein(written, name))
        .filter(|&edit_distance_within| edit_distance_within <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_becomes_one_line_that_ends() {
        assert_eq!(one_line("  expected\n\n  a number\t!\r\n"), "expected a number !");
        assert_eq!(one_line("red \u{1b}[31m\0"), "red \\u{1b}[31m\\u{0}");
        assert_eq!(one_line("€".repeat(1000).as_str()), "€".repeat(200) + "…");
        assert!(one_line(&" a".repeat(1000)).len() <= 204);
    }

    #[test]
    fn columns_are_those_of_what_is_printed() {
        for (text, columns) in
            [("kind", 4), ("naïve", 5), ("e\u{301}", 1), ("漢字", 4), ("\u{1b}[31m", 10), ("\u{202e}", 8)]
        {
            assert_eq!(display_width(text), columns, "{text:?}");
            assert_eq!(display_width(&align_right(text, 12)), 12, "{text:?}");
            assert_eq!(display_width(&align_left(text, 12)), 12, "{text:?}");
            assert_eq!(align_right(text, 0), visible(text), "{text:?}");
        }
        assert_eq!((align_right("a", 3), align_left(7, 3)), ("  a".into(), "7  ".into()));
    }

    #[test]
    fn what_steers_a_terminal_is_shown_and_all_else_stays() {
        let normalise_name = "naïve 漢字 🙂 \\n {}";
        assert_eq!(visible(normalise_name), normalise_name);
        assert_eq!(visible("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(visible("\u{1b}[31m \u{9b}2J \u{7f} \u{202e}gpj"), "\\u{1b}[31m \\u{9b}2J \\u{7f} \\u{202e}gpj");
        let shown = visible("\u{2066}\u{2028}\0").into_owned();
        assert_eq!(visible(&shown), shown, "twice is once");
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let check = |written, names: &[&'static str], meant| assert_eq!(nearest(written, names.iter().copied()), meant);
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
    fn a_slip_finds_its_name_and_another_word_none() {
        let names = || ["logistic.toml", "softmax.toml", "softmax-2.toml"].into_iter();
        assert_eq!(similar_names("sofmax.toml", names()), [1, 2]);
        assert_eq!(similar_names("penguins", names()), [0; 0]);
        assert_eq!(
            (count(1, "class"), count(2, "class"), count(0, "row")),
            ("1 class".into(), "2 classes".into(), "0 rows".into())
        );
    }
}
