//! Tells whether two texts are the same number, such as `1`, `1.0` and `01`.

use std::borrow::Cow;

use crate::table::number;

/// Returns a text that is the same for all forms of one number, and `None` for other texts. Whole
/// numbers keep all their digits, also beyond 2^53.
pub(crate) fn same_number(text: &str) -> Option<String> {
    if let Some((is_negative, digits)) = whole_number(text) {
        return Some(format!("{}{digits}", if is_negative { "-" } else { "" }));
    }
    // f64 tells decimals of 15 digits apart.
    let is_exact =
        || text.split(['e', 'E']).next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count() <= 15;
    match number(text.as_bytes())? {
        number if number.fract() == 0.0 && (number.abs() < 1e15 || is_exact()) => {
            let digits = format!("{}", number.abs());
            Some(format!("{}{}", if number < 0.0 { "-" } else { "" }, digits.trim_start_matches('0')))
        }
        number => Some(format!("{number:?}")),
    }
}

/// Like [`same_number`], but other texts stay as they are. No text is another one's number: those
/// of numbers begin with a blank, which no field does.
pub(crate) fn number_or_text(text: &str) -> Cow<'_, str> {
    same_number(text).map_or(Cow::Borrowed(text), |number| Cow::Owned(format!(" {number}")))
}

/// Returns the sign and the digits of a whole number, without leading zeros; `None` for other text.
fn whole_number(text: &str) -> Option<(bool, &str)> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    Some((is_negative && !digits.is_empty(), digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_number_are_the_same() {
        for forms in [
            &["1", "1.0", "01", "+1", "1e0", "1.", "0.1e1"][..],
            &["0", "-0", "0.0", "000", "-0.0"],
            &["-12", "-12.00", "-1.2e1", "-012"],
            &["0.5", ".5", "5e-1", "0.50"],
            &["9007199254740993", "+09007199254740993"],
            &["100000000000000000000000", "1e23", "1.0E+23"],
        ] {
            let first = same_number(forms[0]);
            assert!(first.is_some() && forms.iter().all(|form| same_number(form) == first), "{forms:?}");
        }
        let different = ["1", "-1", "10", "0", "0.1", "9007199254740992", "9007199254740993", "9007199254740993.0"];
        for (i, one) in different.iter().enumerate() {
            assert!(different[..i].iter().all(|other| same_number(other) != same_number(one)), "{one}");
        }
        for text in ["", "a", "1a", "nan", "inf", "1e31", "-", "+", "1 2"] {
            assert_eq!((same_number(text), number_or_text(text)), (None, text.into()), "{text:?}");
        }
    }
}
