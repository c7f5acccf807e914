//! Identifiers of Rust for the names of a derivation.

use std::collections::BTreeSet;

use crate::words::{ACCENTS, GREEK};

/// Words that are no identifiers, and what the generated code uses itself.
const RESERVED: &str = "abstract as async await become box break const continue crate do dyn else enum extern false \
    final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct \
    super trait true try type typeof union unsized use virtual where while yield \
    burn f64 usize tests delta is_positive sigmoid relu softmax tensor between one_of one_hot shares agrees \
    weights by_hand moved loss part test unsafe";

/// The identifiers that are taken.
#[derive(Clone, Debug)]
pub(super) struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { taken: RESERVED.split_whitespace().map(str::to_owned).collect() }
    }

    /// Takes the first of some identifiers that is free, or numbers the last one.
    pub(super) fn take(&mut self, candidates: &[String]) -> String {
        let last = candidates.last().map_or("value", String::as_str);
        let numbered = (2..).map(|number| format!("{last}_{number}"));
        // There are more numbers than names.
        let mut all = candidates.iter().cloned().chain(numbered);
        let free = all.find(|candidate| !self.taken.contains(candidate)).unwrap_or_default();
        self.taken.insert(free.clone());
        free
    }
}

/// Spells a name: `σ` is `sigma`, `ŷ` is `y_hat`, and `f'` is `f_prime`.
pub(super) fn identifier(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            'ŷ' => text.push_str("y_hat_"),
            '𝜋' => text.push_str("pi_"),
            'ȳ' => text.push_str("y_bar_"),
            '\'' | '′' => text.push_str("_prime_"),
            '∂' => text.push('d'),
            c if c.is_ascii_alphanumeric() => text.push(c.to_ascii_lowercase()),
            c => match spelled(c) {
                Some(word) => text.push_str(&word),
                None if c.is_alphabetic() => text.push_str(&format!("u{:x}_", c as u32)),
                None => text.push('_'),
            },
        }
    }
    let words: Vec<&str> = text.split('_').filter(|word| !word.is_empty()).collect();
    let text = words.join("_");
    if text.is_empty() {
        "value".to_owned()
    } else if text.starts_with(|c: char| c.is_ascii_digit()) {
        format!("value_{text}")
    } else {
        text
    }
}

/// Spells a Greek letter, an accent or a bold letter.
fn spelled(c: char) -> Option<String> {
    if let Some((word, _)) = GREEK.iter().find(|(_, letter)| letter.chars().eq([c])) {
        return Some(format!("{}_", word.to_lowercase()));
    }
    if c == 'σ' {
        return Some("sigma_".into());
    }
    if let Some((word, _)) = ACCENTS.iter().find(|(_, accent)| *accent == c) {
        return Some(format!("_{word}_"));
    }
    // The mathematical bold letters from 𝐀 to 𝐳.
    let bold = u32::from(c).checked_sub(0x1D400).filter(|place| *place < 52)?;
    let letter = char::from(b'a' + (bold % 26) as u8);
    Some(format!("bold_{letter}_"))
}

/// Returns the identifiers that fit a name, the best first. An upper-case letter beside the same
/// one in lower case is a big one.
pub(super) fn candidates(name: &str) -> Vec<String> {
    let plain = identifier(name);
    if name.starts_with(char::is_uppercase) {
        let big = format!("big_{plain}");
        return vec![plain, big];
    }
    vec![plain]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled() {
        for (name, expected) in [
            ("w", "w"),
            ("W", "w"),
            ("ŷ", "y_hat"),
            ("z\u{302}", "z_hat"),
            ("x̄", "x_bar"),
            ("λ", "lambda"),
            ("σ", "sigma"),
            ("f'", "f_prime"),
            ("W^(1)", "w_1"),
            ("z_0", "z_0"),
            ("0", "value_0"),
            ("𝐱", "bold_x"),
            ("ж", "u436"),
            ("", "value"),
        ] {
            assert_eq!(identifier(name), expected, "{name}");
        }
    }

    #[test]
    fn two_names_never_get_one_identifier() {
        let mut names = Names::new();
        let all = ["w", "W", "w'", "w_prime", "W", "type", "in", "σ", "sigma"];
        let taken = all.map(|name| names.take(&candidates(name)));
        assert_eq!(taken, ["w", "big_w", "w_prime", "w_prime_2", "big_w_2", "type_2", "in_2", "sigma", "sigma_2"]);
    }
}
