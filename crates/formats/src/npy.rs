//! NumPy's `.npy` (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>): a
//! text header that describes the data, and the data.
//!
//! Files are not trusted. The header has a bounded length, and the shape is compared with the
//! number of bytes. Arrays of objects are pickled; only objects that are names are read, and
//! anything that would run code is refused.

use crate::pickle;

/// Reads one array.
///
/// # Errors
/// Fails if the array is damaged, or has an unsupported version or type.
pub(crate) fn read(bytes: &[u8]) -> Result<Array, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("it does not begin as a NumPy array does")?;
    let truncated = || "it breaks off".to_owned();
    let (&[major, _], rest) = rest.split_first_chunk().ok_or_else(truncated)?;
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        other => return Err(format!("version {other} of NumPy's format is not known")),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text".to_owned())?;
    let header = Header::parse(header).ok_or_else(|| "its header is not what NumPy writes".to_owned())?;
    header.array(data)
}

/// An array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values,
}

/// The elements in C order: the last index runs fastest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// `are_f32` says whether the elements were f32.
    Floats {
        values: Vec<f64>,
        are_f32: bool,
    },
    Integers(Vec<i128>),
    /// Texts. Booleans and objects are converted as Python's `str` does; bytes are decoded as
    /// UTF-8.
    Texts(Vec<String>),
}

impl Values {
    /// Returns each element as Python's `str` writes it. Returns `None` if an element is not a
    /// name, such as a number that is not finite.
    pub(crate) fn names(self) -> Option<Vec<String>> {
        match self {
            Self::Floats { values, are_f32 } => values.into_iter().map(|x| float_name(x, are_f32)).collect(),
            Self::Integers(values) => Some(values.iter().map(i128::to_string).collect()),
            Self::Texts(names) => Some(names),
        }
    }

    fn permuted(self, order: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], order: &[usize]) -> Vec<T> {
            order.iter().map(|&i| values[i].clone()).collect()
        }
        match self {
            Self::Floats { values, are_f32 } => Self::Floats { values: pick(&values, order), are_f32 },
            Self::Integers(values) => Self::Integers(pick(&values, order)),
            Self::Texts(values) => Self::Texts(pick(&values, order)),
        }
    }
}

struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// The largest number of dimensions. A model needs fewer.
const MAX_DIMENSIONS: usize = 4;

impl<'a> Header<'a> {
    /// Parses a Python dictionary with exactly these three keys, in any order.
    fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        while let Some(after) = rest.strip_prefix('\'') {
            let (key, after) = after.split_once('\'')?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            rest = match key {
                "descr" => {
                    let (text, after) = value.strip_prefix('\'')?.split_once('\'')?;
                    descr = Some(text);
                    after
                }
                "fortran_order" => match (value.strip_prefix("True"), value.strip_prefix("False")) {
                    (Some(after), _) => {
                        fortran_order = Some(true);
                        after
                    }
                    (None, after) => {
                        fortran_order = Some(false);
                        after?
                    }
                },
                "shape" => {
                    let (dimensions, after) = value.strip_prefix('(')?.split_once(')')?;
                    let dimensions = dimensions.split(',').map(str::trim).filter(|n| !n.is_empty());
                    // Python 2 wrote 3L.
                    let dimensions: Option<Vec<usize>> =
                        dimensions.map(|n| n.trim_end_matches('L').parse().ok()).take(MAX_DIMENSIONS + 1).collect();
                    shape = Some(dimensions.filter(|dimensions| dimensions.len() <= MAX_DIMENSIONS)?);
                    after
                }
                _ => return None,
            };
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        rest.is_empty().then_some(())?;
        Some(Self { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }

    fn array(self, data: &[u8]) -> Result<Array, String> {
        let Self { descr, fortran_order, shape } = self;
        let count = shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
        let count = count.ok_or_else(|| format!("a shape of {shape:?} is too large"))?;
        let values = if descr == "|O" {
            let names = pickle::names(data)?;
            if names.len() != count {
                return Err(format!("a shape of {shape:?} is not what its {} objects are", names.len()));
            }
            Values::Texts(names)
        } else {
            let element = Element::parse(descr).ok_or_else(|| {
                let descr: String = descr.chars().filter(|c| !c.is_control()).take(20).collect();
                format!("type {descr} is not known; save it as float32, float64, int64 or text")
            })?;
            if count.checked_mul(element.size) != Some(data.len()) {
                return Err(format!("a shape of {shape:?} is not what its {} bytes hold", data.len()));
            }
            element.read(data)?
        };
        let values = match (fortran_order, shape.as_slice()) {
            (false, _) | (true, [] | [_]) => values,
            // Fortran order; scikit-learn's coefficients may have it.
            (true, &[rows, columns]) => {
                let order: Vec<usize> = (0..rows).flat_map(|i| (0..columns).map(move |j| j * rows + i)).collect();
                values.permuted(&order)
            }
            (true, _) => return Err(format!("a shape of {shape:?} in Fortran's order is not read")),
        };
        Ok(Array { shape, values })
    }
}

/// The type of an array's elements.
#[derive(Clone, Copy)]
pub(crate) struct Element {
    is_big_endian: bool,
    kind: u8,
    /// The size in bytes, never 0.
    size: usize,
}

impl Element {
    /// Parses NumPy's notation of a type, such as `<i8`. Returns `None` for unsupported types.
    pub(crate) fn parse(descr: &str) -> Option<Self> {
        let (&[order, kind], length) = descr.as_bytes().split_first_chunk()?;
        // No sign and no leading zeros.
        let length =
            std::str::from_utf8(length).ok().filter(|digits| digits.starts_with(|c| matches!(c, '1'..='9')))?;
        let length: usize = length.parse().ok()?;
        let size = if kind == b'U' { length.checked_mul(4)? } else { length };
        let is_known = match kind {
            b'b' => size == 1,
            b'i' | b'u' => matches!(size, 1 | 2 | 4 | 8),
            b'f' => matches!(size, 4 | 8),
            b'U' | b'S' => true,
            _ => false,
        };
        let has_order = size > 1 && kind != b'S';
        let is_order = if has_order { matches!(order, b'<' | b'>') } else { matches!(order, b'|' | b'<' | b'>') };
        (is_known && is_order).then_some(Self { is_big_endian: has_order && order == b'>', kind, size })
    }

    /// Returns the size in bytes.
    pub(crate) fn size(self) -> usize {
        self.size
    }

    /// Reads the elements in `data`.
    ///
    /// # Errors
    /// Fails if a text element is not valid text.
    pub(crate) fn read(self, data: &[u8]) -> Result<Values, String> {
        let Self { is_big_endian, kind, size } = self;
        let elements = data.chunks_exact(size);
        let all_valid = |texts: Option<Vec<String>>| texts.ok_or_else(|| "a text in it is none".to_owned());
        Ok(match (kind, size) {
            (b'f', 4) => {
                let read = if is_big_endian { f32::from_be_bytes } else { f32::from_le_bytes };
                let values = data.as_chunks().0.iter().map(|&chunk| f64::from(read(chunk))).collect();
                Values::Floats { values, are_f32: true }
            }
            (b'f', _) => {
                let read = if is_big_endian { f64::from_be_bytes } else { f64::from_le_bytes };
                Values::Floats { values: data.as_chunks().0.iter().map(|&chunk| read(chunk)).collect(), are_f32: false }
            }
            (b'b', _) => {
                let name = |&byte: &u8| if byte == 0 { "False" } else { "True" }.to_owned();
                Values::Texts(data.iter().map(name).collect())
            }
            (b'i' | b'u', _) => {
                let read = |bytes: &[u8]| {
                    if is_big_endian {
                        integer(bytes.iter(), kind == b'i')
                    } else {
                        integer(bytes.iter().rev(), kind == b'i')
                    }
                };
                Values::Integers(elements.map(read).collect())
            }
            (b'U', _) => {
                let read = if is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
                let text = |bytes: &[u8]| {
                    let units = bytes.as_chunks().0.iter().map(|&chunk| read(chunk));
                    units.take_while(|&unit| unit != 0).map(char::from_u32).collect()
                };
                Values::Texts(all_valid(elements.map(text).collect())?)
            }
            // Bytes of a text, padded with zeros by NumPy.
            _ => {
                let text = |bytes: &[u8]| {
                    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                    std::str::from_utf8(&bytes[..end]).map(str::to_owned).ok()
                };
                Values::Texts(all_valid(elements.map(text).collect())?)
            }
        })
    }
}

/// Reads a big-endian integer of up to 16 bytes.
pub(crate) fn integer<'a>(mut bytes: impl Iterator<Item = &'a u8> + Clone, is_signed: bool) -> i128 {
    let is_negative = is_signed && bytes.clone().next().is_some_and(|first| *first >= 0x80);
    bytes.by_ref().fold(if is_negative { -1 } else { 0 }, |number, &byte| (number << 8) | i128::from(byte))
}

/// Formats a number as Python's `str`, such as `1.0` or `1e-05`. Returns `None` if the number is
/// not finite.
pub(crate) fn float_name(number: f64, is_f32: bool) -> Option<String> {
    // Turns -0 into 0.
    let number = number + 0.0;
    let shown = if is_f32 { format!("{:?}", number as f32) } else { format!("{number:?}") };
    number.is_finite().then(|| match shown.split_once('e') {
        // Python writes an exponent with a sign and at least two digits.
        Some((digits, exponent)) => {
            let sign = if exponent.starts_with('-') { '-' } else { '+' };
            format!("{digits}e{sign}{:0>2}", exponent.trim_start_matches('-'))
        }
        None => shown,
    })
}

#[cfg(test)]
mod tests {
    use super::float_name;

    /// Expected values by Python 3.13: `str(x)`, and `str(numpy.float32(x))`.
    #[test]
    fn floats_are_named_as_python_names_them() {
        let names = [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (2.5, "2.5"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1e22, "1e+22"),
            (1e300, "1e+300"),
        ];
        for (number, name) in names {
            assert_eq!(float_name(number, false).as_deref(), Some(name));
        }
        assert_eq!(float_name(f64::from(1e-5f32), true).as_deref(), Some("1e-05"));
        assert_eq!([f64::NAN, f64::INFINITY].map(|number| float_name(number, false)), [None, None]);
    }
}
