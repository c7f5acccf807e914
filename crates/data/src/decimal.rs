//! Decimal numbers.

/// The powers of ten that `f64` represents exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Whole numbers up to this are exact in `f64`.
const MAX_WHOLE: u64 = 1 << 53;
/// So many digits cannot exceed `u64`.
const MAX_DIGITS: usize = 19;

/// Parses a number as [`f64::from_str`](std::str::FromStr) does, but short ones faster.
///
/// Digits and a point are a whole number divided by a power of ten. If `f64` represents both
/// exactly, one division rounds correctly: W. D. Clinger, How to read floating point numbers
/// accurately, PLDI 1990.
pub(crate) fn decimal(text: &[u8]) -> Option<f64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.len() > MAX_DIGITS + 1 {
        return slowly(text);
    }
    let mut whole = 0_u64;
    let mut count = |digits: &[u8]| {
        let mut count = 0;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            whole = whole.wrapping_mul(10).wrapping_add(digit.into());
            count += 1;
        }
        count
    };
    let places = count(digits);
    let decimals = match digits.get(places) {
        Some(b'.') => count(&digits[places + 1..]),
        _ => 0,
    };
    let has_point = usize::from(places < digits.len());
    let n = places + decimals;
    if n == 0 || n > MAX_DIGITS || n + has_point < digits.len() || whole > MAX_WHOLE {
        return slowly(text);
    }
    let size = whole as f64 / POWERS[decimals];
    Some(if is_negative { -size } else { size })
}

fn slowly(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_those_of_the_standard_library() {
        let check = |text: &str| {
            let expected = text.parse::<f64>().ok().map(f64::to_bits);
            assert_eq!(decimal(text.as_bytes()).map(f64::to_bits), expected, "{text:?}");
        };
        for sign in ["", "-", "+", "--"] {
            let few = ["0", "1", ".", "1.", ".5", "0.1", "3.3", "1e5", "1.5e-7", "inf", "NaN", "1.2.3", "", "00.10"];
            let long = [
                "9007199254740992",
                "9007199254740993",
                "9007199254740994",
                "0.9007199254740993",
                "1234567890123456789",
                "12345678901234567890",
                "123456789.0123456789",
                "0.00000000000000000001",
                ".0000000000000000001",
                "1.7976931348623157",
                "99999999999999999999",
                "18446744073709551616",
                "000000000000000000000001",
            ];
            few.iter().chain(&long).for_each(|text| check(&format!("{sign}{text}")));
        }
        // Random numbers of random lengths.
        let mut state = 1_u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = (state >> 11) % 10_u64.pow((state % 16) as u32 + 1);
            let places = (state >> 5) as usize % 19;
            let text = format!("{digits:0width$}", width = places + 1);
            let (whole, decimals) = text.split_at(text.len() - places);
            check(&format!("{whole}.{decimals}"));
        }
    }
}
