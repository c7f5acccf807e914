//! Rounding for people: how many decimals numbers need, and terms that still add up.

/// The most decimals.
const MAX_DECIMALS: usize = 12;

/// Returns the number of decimals with which the largest of these numbers has `significant` digits.
pub(crate) fn decimals(numbers: impl IntoIterator<Item = f64>, significant: i32) -> usize {
    let largest = numbers.into_iter().fold(0.0, |largest: f64, number| largest.max(number.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return (significant - 1).max(0) as usize;
    }
    // Rounding may carry, as that of 9.9996 does.
    let exponent = format!("{largest:.*e}", (significant - 1).max(0) as usize);
    let exponent: i32 = exponent.rsplit('e').next().and_then(|digits| digits.parse().ok()).unwrap_or_default();
    ((significant - 1 - exponent).max(0) as usize).min(MAX_DECIMALS)
}

/// Formats a number without a sign before 0.
pub(crate) fn fixed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.to_owned(),
        _ => text,
    }
}

/// Formats terms and their sum, so that the rounded terms add up to the rounded sum: each is the
/// difference of two rounded partial sums. So a term is off by less than a unit of its last digit,
/// and a term of 0 stays 0.
pub(crate) fn add_up(terms: &[f64], decimals: usize) -> (Vec<String>, String) {
    let unit = 10f64.powi(decimals as i32);
    let (mut sum, mut rounded) = (0.0, 0.0);
    let shown = terms.iter().map(|term| {
        sum += term;
        let next = (sum * unit).round();
        let difference = next - rounded;
        rounded = next;
        fixed(difference / unit, decimals)
    });
    (shown.collect(), fixed(rounded / unit, decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_has_the_significant_digits() {
        for (numbers, expected) in [
            (&[12.3, -0.001][..], 2),
            (&[-0.001_23], 6),
            (&[9.9996], 2),
            (&[9.9994], 3),
            (&[123_456.0], 0),
            (&[1e-30], MAX_DECIMALS),
            (&[0.0], 3),
            (&[], 3),
        ] {
            assert_eq!(decimals(numbers.iter().copied(), 4), expected, "{numbers:?}");
        }
    }

    #[test]
    fn rounded_terms_add_up() {
        let terms: Vec<f64> =
            (0..50).map(|i| (f64::from(i) * 7.3).sin() * if i % 7 == 0 { 0.0 } else { 1.0 }).collect();
        for decimals in 0..6 {
            let (shown, sum) = add_up(&terms, decimals);
            let unit = 10f64.powi(decimals as i32);
            let whole = |text: &String| (text.parse::<f64>().expect("a number") * unit).round();
            assert_eq!(shown.iter().map(whole).sum::<f64>(), whole(&sum));
            assert!((whole(&sum) - terms.iter().sum::<f64>() * unit).abs() <= 0.5 + 1e-6);
            for (shown, term) in shown.iter().zip(&terms) {
                assert!((whole(shown) - term * unit).abs() < 1.0 + 1e-6, "{shown}, not {term}");
                assert!(*term != 0.0 || whole(shown) == 0.0);
                assert!(!shown.starts_with('-') || whole(shown) < 0.0, "{shown}");
            }
        }
        assert_eq!(add_up(&[0.4, 0.4, 0.4], 0), (vec!["0".to_owned(), "1".to_owned(), "0".to_owned()], "1".to_owned()));
    }
}
