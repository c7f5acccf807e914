//! The written forms of numbers: `3.14`, `3,14`, `1.234,5`.

/// Parses a number as [`f64::from_str`](std::str::FromStr) does, but faster.
pub(crate) fn decimal(text: &[u8]) -> Option<f64> {
    short_decimal(text).or_else(|| fast_float2::parse(text).ok())
}

/// Powers of ten, which `f64` represents exactly.
const POWERS: [f64; MAX_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
/// Whole numbers of so many digits are exact in `f64`.
const MAX_DIGITS: usize = 15;

/// Parses a number of few digits without an exponent, as most are. Its digits and its power of ten
/// are exact, so that their quotient is rounded correctly.
fn short_decimal(text: &[u8]) -> Option<f64> {
    // Indices, because a processor cannot predict a branch on random signs.
    let is_negative = usize::from(text.first() == Some(&b'-'));
    let (sign, digits) = ([1.0, -1.0][is_negative], &text[is_negative..]);
    if digits.len() > MAX_DIGITS + 1 {
        return None;
    }
    // One loop for each side of the point, so that no digit has to ask for it.
    let (whole, n_whole) = leading_digits(digits, 0);
    let Some((b'.', fraction)) = digits[n_whole..].split_first() else {
        let is_whole = n_whole == digits.len() && (1..=MAX_DIGITS).contains(&n_whole);
        return is_whole.then_some(sign * whole as f64);
    };
    let (number, places) = leading_digits(fraction, whole);
    let is_fraction = places == fraction.len() && (1..=MAX_DIGITS).contains(&(n_whole + places));
    is_fraction.then(|| sign * (number as f64 / POWERS[places]))
}

/// Appends the leading digits of a text to a number. Returns the number, and how many there are.
fn leading_digits(text: &[u8], mut number: i64) -> (i64, usize) {
    let mut count = 0;
    while let Some(digit) = text.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
        number = 10 * number + i64::from(digit);
        count += 1;
    }
    (number, count)
}

/// The form of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `12`, `-3e5`
    Whole,
    /// `3.14`, `.5`, `1.5e3`
    Point,
    /// `1.234`: a number with a decimal point, or with a point that groups its digits.
    PointOrGroup,
    /// `1.234.567`: points group the digits.
    PointGroups,
    /// `3,14`
    Comma,
    /// `1,234`: a number with a decimal comma, or with a comma that groups its digits.
    CommaOrGroup,
    /// `1,234,567`: commas group the digits.
    CommaGroups,
    /// `1.234,5`: points group the digits, and the comma is the decimal one.
    PointsThenComma,
    /// `1,234.5`: commas group the digits, and the point is the decimal one.
    CommasThenPoint,
    /// No number of these forms.
    Other,
}

impl Form {
    /// Returns the form of a field without white space around it.
    pub(crate) fn of(field: &[u8]) -> Self {
        let Some(&first) = field.first() else { return Self::Other };
        let unsigned = if matches!(first, b'+' | b'-') { &field[1..] } else { field };
        let (digits, has_exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            None => (unsigned, false),
            Some(at) => {
                let exponent = &unsigned[at + 1..];
                let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
                if exponent.is_empty() || !exponent.iter().all(u8::is_ascii_digit) {
                    return Self::Other;
                }
                (&unsigned[..at], true)
            }
        };
        let count = |mark: u8| digits.iter().filter(|&&byte| byte == mark).count();
        let (points, commas) = (count(b'.'), count(b','));
        if !digits.iter().any(u8::is_ascii_digit)
            || digits.iter().any(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b','))
        {
            return Self::Other;
        }
        let is_grouped = |digits: &[u8], mark: u8| {
            let mut groups = digits.split(|&byte| byte == mark);
            let first = groups.next().unwrap_or_default();
            let is_first = (1..=3).contains(&first.len()) && first[0] != b'0';
            is_first && groups.all(|group| group.len() == 3) && !has_exponent
        };
        let ends_in = |mark: u8| digits.last() == Some(&mark);
        // Groups before the decimal mark, and none after it.
        let is_mixed = |group: u8, decimal: u8| {
            let at = digits.iter().position(|&byte| byte == decimal).unwrap_or_default();
            digits[..at].contains(&group) && is_grouped(&digits[..at], group) && !digits[at..].contains(&group)
        };
        match (points, commas) {
            (0, 0) => Self::Whole,
            (1, 0) if is_grouped(digits, b'.') => Self::PointOrGroup,
            (1, 0) => Self::Point,
            (0, 1) if is_grouped(digits, b',') => Self::CommaOrGroup,
            (0, 1) if !ends_in(b',') => Self::Comma,
            (_, 0) if is_grouped(digits, b'.') => Self::PointGroups,
            (0, _) if is_grouped(digits, b',') => Self::CommaGroups,
            (1.., 1) if is_mixed(b'.', b',') && !ends_in(b',') => Self::PointsThenComma,
            (1, 1..) if is_mixed(b',', b'.') => Self::CommasThenPoint,
            _ => Self::Other,
        }
    }

    /// Returns whether Rust and Python read the field as a number.
    pub(crate) fn has_point_at_most(self) -> bool {
        matches!(self, Self::Whole | Self::Point | Self::PointOrGroup)
    }

    /// Returns whether a decimal comma makes the field a number.
    pub(crate) fn has_comma(self) -> bool {
        matches!(self, Self::Comma | Self::CommaOrGroup | Self::PointsThenComma)
    }
}

/// How the numbers of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberFormat {
    /// With a decimal point.
    Point,
    /// The beginning of the file has no fractions, and its separator would allow a decimal comma.
    Unknown,
    /// With a decimal comma, and perhaps with points that group the digits.
    Comma {
        /// Whether points group digits.
        has_groups: bool,
    },
}

impl NumberFormat {
    /// Appends the field with a decimal point. A field that is no number is not changed.
    ///
    /// # Errors
    /// Fails if the field may be one number or another.
    pub(crate) fn append_with_point(self, field: &[u8], text: &mut Vec<u8>) -> Result<(), String> {
        let mark = memchr::memchr2(b',', b'.', field).filter(|_| self != Self::Point);
        let Some(mark) = mark else {
            text.extend_from_slice(field);
            return Ok(());
        };
        // Most numbers need no more than this.
        if matches!(self, Self::Comma { .. }) && is_simple(field, mark) {
            text.extend_from_slice(&field[..mark]);
            text.push(b'.');
            text.extend_from_slice(&field[mark + 1..]);
            return Ok(());
        }
        let trimmed = field.trim_ascii();
        let shown = || String::from_utf8_lossy(trimmed);
        let form = Form::of(trimmed);
        let digits = trimmed.iter().filter(|&&byte| byte != b'.');
        let number = digits.map(|&byte| if byte == b',' { b'.' } else { byte });
        match (form, self) {
            (form, Self::Unknown) if form.has_comma() => {
                return Err(format!(
                    "{:?} may have a decimal comma, and no number before it shows whether; set data.decimal to \"comma\" or \"point\"",
                    shown()
                ));
            }
            (Form::Comma | Form::CommaOrGroup | Form::PointsThenComma, Self::Comma { .. })
            | (Form::PointOrGroup | Form::PointGroups, Self::Comma { has_groups: true }) => text.extend(number),
            (Form::PointOrGroup, Self::Comma { .. }) => {
                return Err(format!(
                    "{0:?} may be {1} or {0}, since the decimal comma is used; data.decimal = \"comma\" reads it as {1}",
                    shown(),
                    String::from_utf8_lossy(&number.collect::<Vec<u8>>())
                ));
            }
            (Form::Point, Self::Comma { .. }) => {
                return Err(format!(
                    "{:?} has a decimal point, but the numbers of this file have a decimal comma; correct it, or set data.decimal to \"point\"",
                    shown()
                ));
            }
            _ => text.extend_from_slice(field),
        }
        Ok(())
    }
}

/// Returns whether a field is a sign, digits, a comma at this place and more digits.
fn is_simple(field: &[u8], comma: usize) -> bool {
    let (whole, fraction) = (&field[..comma], &field[comma + 1..]);
    let whole = whole.strip_prefix(b"-").or(whole.strip_prefix(b"+")).unwrap_or(whole);
    let are_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    field[comma] == b',' && !fraction.is_empty() && are_digits(whole) && are_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_field_follows_from_its_marks() {
        for (form, fields) in [
            (Form::Whole, &["0", "12", "-3", "+4e5", "1E-3", "007"][..]),
            (Form::Point, &["3.14", ".5", "1.", "-0.123", "1234.567", "1.234e5", "1.2345", "0.5"]),
            (Form::PointOrGroup, &["1.234", "-12.345", "123.456"]),
            (Form::PointGroups, &["1.234.567", "12.345.678"]),
            (Form::Comma, &["3,14", ",5", "-0,123", "1234,567", "1,234e5", "1,5e3"]),
            (Form::CommaOrGroup, &["1,234", "-12,345"]),
            (Form::CommaGroups, &["1,234,567"]),
            (Form::PointsThenComma, &["1.234,5", "-1.234.567,89"]),
            (Form::CommasThenPoint, &["1,234.5", "1,234,567.89", "1,234."]),
            (
                Form::Other,
                &[
                    "",
                    "-",
                    "e5",
                    ".",
                    ",",
                    "1,",
                    "1e",
                    "x",
                    "01.02.2020",
                    "1.2.3",
                    "1,2,3",
                    "12,34.5",
                    "1.5,5",
                    "1.234,5.6",
                    "nan",
                    "1 2",
                ],
            ),
        ] {
            for field in fields {
                assert_eq!(Form::of(field.as_bytes()), form, "{field}");
                let is_number = field.parse::<f64>().is_ok_and(f64::is_finite);
                assert_eq!(form.has_point_at_most(), is_number, "{field}");
            }
        }
    }

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
