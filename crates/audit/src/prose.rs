//! Compares the words of two reports. Their numbers are compared in [`Numbers`](crate::Numbers),
//! which knows how far they may differ between machines.

/// A line of a page that differs from the stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleLine {
    /// The number of the line in the new page, from 1.
    pub line: usize,
    /// The stored line, or `None` if there are fewer.
    pub old: Option<String>,
    /// The new line, or `None` if there are fewer.
    pub new: Option<String>,
}

/// Returns the first line of a page whose words differ, or `None` if all are the same. Numbers,
/// drawings and data in the page are not compared.
pub fn stale_line(old: &str, new: &str) -> Option<StaleLine> {
    let (old, new) = (without_data(old), without_data(new));
    let (mut old, mut new) = (old.lines(), new.lines());
    for line in 1.. {
        let (old, new) = (old.next(), new.next());
        if old.is_none() && new.is_none() {
            break;
        }
        if old.map(words) != new.map(words) {
            let owned = |line: Option<&str>| line.map(str::to_owned);
            return Some(StaleLine { line, old: owned(old), new: owned(new) });
        }
    }
    None
}

/// Drawings and data of a page in HTML, from the first text to the second.
const DATA: [[&str; 2]; 2] = [["<svg", "</svg>"], ["<script type=\"application/json\">", "</script>"]];

fn without_data(page: &str) -> String {
    let mut text = page.to_owned();
    for [start, end] in DATA {
        let mut kept = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(start) {
            kept += before;
            rest = after.split_once(end).map_or("", |(_, after)| after);
        }
        text = kept + rest;
    }
    text
}

/// Replaces each number, with its sign, by one mark.
fn words(line: &str) -> String {
    let mut words = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let is_digit = |character: &char| character.is_ascii_digit();
        let is_sign = matches!(character, '-' | '+' | '−') && characters.peek().is_some_and(is_digit);
        if !is_digit(&character) && !is_sign {
            words.push(character);
            continue;
        }
        words.push('#');
        while let Some(next) = characters.peek().copied() {
            let after = characters.clone().nth(1);
            if is_digit(&next) || (next == '.' && after.is_some_and(|after| is_digit(&after))) {
                characters.next();
            } else {
                break;
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::stale_line;

    #[test]
    fn words_are_compared_and_numbers_are_not() {
        let old = "The gap is 0.68 ± 0.66 points.\nz is +9.2.\n";
        assert_eq!(stale_line(old, "The gap is 1 ± 0.7 points.\nz is −9.\n"), None);
        for (new, line) in [
            ("The gap is 0.68 ± 0.66 nats.\nz is +9.2.\n", 1),
            ("The gap is 0.68 ± 0.66 points.\nz was +9.2.\n", 2),
            ("The gap is 0.68 ± 0.66 points.\n", 2),
            ("The gap is 0.68 ± 0.66 points.\nz is +9.2.\nMore.\n", 3),
            ("The gap is 0.68 0.2 ± 0.66 points.\nz is +9.2.\n", 1),
            ("The gap is 0.68. ± 0.66 points.\nz is +9.2.\n", 1),
        ] {
            assert_eq!(stale_line(old, new).map(|stale| stale.line), Some(line), "{new}");
        }
    }

    #[test]
    fn drawings_and_data_are_not_compared() {
        let page = |svg: &str, data: &str, text: &str| {
            format!("<p>a</p><svg>{svg}</svg>{text}<script type=\"application/json\">{data}</script>\n<p>b</p>")
        };
        let old = page("line", "{}", "x");
        assert_eq!(stale_line(&old, &page("other", "[a]", "x")), None);
        assert!(stale_line(&old, &page("line", "{}", "y")).is_some());
    }
}
