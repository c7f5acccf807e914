use std::borrow::Cow;
use std::fmt::Display;

use unicode_width::UnicodeWidthStr;

/// Text that this program did not write, for a terminal: control characters, and those that turn
/// the direction of what follows, as Rust writes them, `\n` and `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Whether a character is not shown, but steers what shows it: controls, line and paragraph
/// separators, and Unicode's marks, embeddings, overrides and isolates of direction.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text from a file as a part of an error: in one line, without what would steer a terminal, and no
/// longer than one reads.
pub fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let mut line = String::new();
    // What is cut off is never looked at, however long it is.
    for (count, c) in text.trim().chars().enumerate() {
        if count == MOST {
            line.push('…');
            break;
        }
        if c.is_whitespace() {
            if !line.ends_with(' ') {
                line.push(' ');
            }
        } else if steers(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Columns of a terminal that a text takes as it is printed, with what steers the terminal shown.
pub fn display_width(text: &str) -> usize {
    visible(text).width()
}

/// A text as it is printed, at the left of so many columns at least.
pub fn to_left(text: impl Display, columns: usize) -> String {
    let text = text.to_string();
    let text = visible(&text);
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// The same at the right.
pub fn to_right(text: impl Display, columns: usize) -> String {
    let text = text.to_string();
    let text = visible(&text);
    format!("{}{text}", " ".repeat(columns.saturating_sub(text.width())))
}

/// So many of them: "1 class", "3 classes".
pub fn count(number: usize, noun: &str) -> String {
    match (number, noun.ends_with('s')) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{number} {noun}es"),
        (_, false) => format!("{number} {noun}s"),
    }
}

/// The places of those names that may be meant by what was written, the one that is most like it
/// first.
pub fn alike<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let written = plain(written);
    let mut alike: Vec<(usize, usize)> = names
        .enumerate()
        .filter_map(|(place, name)| Some((slips(&written, &plain(name), share_of(&written))?, place)))
        .collect();
    alike.sort_unstable();
    alike.into_iter().map(|(_, place)| place).collect()
}

/// The name that is most like what was written, where one is near it.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let names: Vec<&str> = names.into_iter().collect();
    alike(written, names.iter().copied()).first().map(|&place| names[place])
}

/// A name without what people take for the same: capitals, and what is between its words.
pub fn plain(name: &str) -> String {
    // Abridged: no name is so long, and the distance of a long text takes long.
    name.chars()
        .take(LONGEST)
        .flat_map(char::to_lowercase)
        .map(|c| if c == '-' || c == ' ' { '_' } else { c })
        .collect()
}

/// Characters of a name that are compared.
const LONGEST: usize = 100;

/// Slips that a name of this length may have and still be meant: one in three characters, and one
/// in a short name.
pub fn share_of(written: &str) -> usize {
    (written.chars().count() / 3).clamp(1, 4)
}

/// How many characters are to be changed, put in, left out or swapped to make one plain name of the
/// other, where these are at most so many.
pub fn slips(written: &str, name: &str, most: usize) -> Option<usize> {
    let apart = written.chars().count().abs_diff(name.chars().count());
    // Where every character is another, nothing is alike.
    let most = most.min(written.chars().count().max(name.chars().count()).saturating_sub(1));
    (apart <= most).then(|| strsim::damerau_levenshtein(written, name)).filter(|&slips| slips <= most)
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
            assert_eq!(display_width(&to_right(text, 12)), 12, "{text:?}");
            assert_eq!(display_width(&to_left(text, 12)), 12, "{text:?}");
            assert_eq!(to_right(text, 0), visible(text), "{text:?}");
        }
        assert_eq!((to_right("a", 3), to_left(7, 3)), ("  a".into(), "7  ".into()));
    }

    #[test]
    fn what_steers_a_terminal_is_shown_and_all_else_stays() {
        let plain = "naïve 漢字 🙂 \\n {}";
        assert_eq!(visible(plain), plain);
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
        assert_eq!(alike("sofmax.toml", names()), [1, 2]);
        assert_eq!(alike("penguins", names()), [0; 0]);
        assert_eq!(
            (count(1, "class"), count(2, "class"), count(0, "row")),
            ("1 class".into(), "2 classes".into(), "0 rows".into())
        );
    }
}
