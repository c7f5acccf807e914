//! Decimal numbers.

/// Parses a number as [`f64::from_str`](std::str::FromStr) does, but faster.
pub(crate) fn decimal(text: &[u8]) -> Option<f64> {
    fast_float2::parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        let check = |text: &str| {
            let expected = text.parse::<f64>().ok().map(f64::to_bits);
            assert_eq!(decimal(text.as_bytes()).map(f64::to_bits), expected, "{text:?}");
        };
        for sign in ["", "-", "+", "--"] {
            let few = [
                "0", "1", ".", "1.", ".5", "0.1", "3.3", "1e5", "1.5e-7", "1E+9", "1e", "e1", "inf", "Infinity", "NaN",
                "infin", "1.2.3", "", "00.10", "1 ", "1_0", "0x10", "1f", "1e400", "1e-400", "4.9e-324",
            ];
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
