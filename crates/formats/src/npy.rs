//! NumPy's `.npy` (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>): a line of text that says what follows, and the numbers.
//!
//! Of someone else's file nothing is believed: a header is short, a shape is held against the bytes
//! that are there, and of objects, which are pickled, those are read that are names; what would run
//! code is refused.

use crate::pickle;

/// Reads one array.
///
/// # Errors
/// What is wrong with it, or with us: another version, another type.
pub(crate) fn read(bytes: &[u8]) -> Result<Array, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("it does not begin as a NumPy array does")?;
    let breaks_off = || "it breaks off".to_owned();
    let (&[major, _], rest) = rest.split_first_chunk().ok_or_else(breaks_off)?;
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(breaks_off)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(breaks_off)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        other => return Err(format!("version {other} of NumPy's format is not known")),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(breaks_off)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text".to_owned())?;
    let header = Header::parse(header).ok_or_else(|| "its header is not what NumPy writes".to_owned())?;
    header.array(data)
}

/// What an array holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values,
}

/// In the order of the last index running fastest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Whether they were f32.
    Floats {
        values: Vec<f64>,
        are_f32: bool,
    },
    Integers(Vec<i64>),
    /// Truth values and objects, too, as Python's `str` writes them.
    Texts(Vec<String>),
}

impl Values {
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

/// Dimensions of an array, at most: more than a model has.
const MOST_DIMENSIONS: usize = 4;

impl<'a> Header<'a> {
    /// A Python dictionary with just these three keys, in any order.
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
                        dimensions.map(|n| n.trim_end_matches('L').parse().ok()).take(MOST_DIMENSIONS + 1).collect();
                    shape = Some(dimensions.filter(|dimensions| dimensions.len() <= MOST_DIMENSIONS)?);
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
        let whole = |size: usize| match count.checked_mul(size) {
            Some(bytes) if bytes == data.len() => Ok(()),
            _ => Err(format!("a shape of {shape:?} is not what its {} bytes hold", data.len())),
        };
        let values = match descr {
            "<f4" | ">f4" => {
                whole(4)?;
                let read = if descr.starts_with('<') { f32::from_le_bytes } else { f32::from_be_bytes };
                let values = data.as_chunks().0.iter().map(|&chunk| f64::from(read(chunk))).collect();
                Values::Floats { values, are_f32: true }
            }
            "<f8" | ">f8" => {
                whole(8)?;
                let read = if descr.starts_with('<') { f64::from_le_bytes } else { f64::from_be_bytes };
                Values::Floats { values: data.as_chunks().0.iter().map(|&chunk| read(chunk)).collect(), are_f32: false }
            }
            "<i8" => {
                whole(8)?;
                Values::Integers(integers(data, i64::from_le_bytes))
            }
            "<u4" => {
                whole(4)?;
                Values::Integers(integers(data, u32::from_le_bytes))
            }
            "<i4" => {
                whole(4)?;
                Values::Integers(integers(data, i32::from_le_bytes))
            }
            "<u2" => {
                whole(2)?;
                Values::Integers(integers(data, u16::from_le_bytes))
            }
            "<i2" => {
                whole(2)?;
                Values::Integers(integers(data, i16::from_le_bytes))
            }
            "|u1" => {
                whole(1)?;
                Values::Integers(integers(data, u8::from_le_bytes))
            }
            "|i1" => {
                whole(1)?;
                Values::Integers(integers(data, i8::from_le_bytes))
            }
            "|b1" => {
                whole(1)?;
                let name = |&byte: &u8| if byte == 0 { "False" } else { "True" }.to_owned();
                Values::Texts(data.iter().map(name).collect())
            }
            _ if descr.starts_with("<U") => {
                let length: usize = descr[2..].parse().map_err(|_| format!("type {descr} is not known"))?;
                let size = length.checked_mul(4).filter(|&size| size > 0);
                let size = size.ok_or_else(|| format!("type {descr} is not known"))?;
                whole(size)?;
                let text = |bytes: &[u8]| {
                    let units = bytes.as_chunks().0.iter().map(|&chunk| u32::from_le_bytes(chunk));
                    let text: Option<String> = units.take_while(|&unit| unit != 0).map(char::from_u32).collect();
                    text.ok_or_else(|| "a text in it is none".to_owned())
                };
                Values::Texts(data.chunks_exact(size).map(text).collect::<Result<_, _>>()?)
            }
            "|O" => {
                let names = pickle::names(data)?;
                if names.len() != count {
                    return Err(format!("a shape of {shape:?} is not what its {} objects are", names.len()));
                }
                Values::Texts(names)
            }
            other => {
                let other: String = other.chars().filter(|c| !c.is_control()).take(20).collect();
                return Err(format!("type {other} is not known; save it as float32, float64, int64 or text"));
            }
        };
        let values = match (fortran_order, shape.as_slice()) {
            (false, _) | (true, [] | [_]) => values,
            // Column by column: scikit-learn's coefficients may come so.
            (true, &[rows, columns]) => {
                let order: Vec<usize> = (0..rows).flat_map(|i| (0..columns).map(move |j| j * rows + i)).collect();
                values.permuted(&order)
            }
            (true, _) => return Err(format!("a shape of {shape:?} in Fortran's order is not read")),
        };
        Ok(Array { shape, values })
    }
}

fn integers<const N: usize, T: Into<i64>>(data: &[u8], read: fn([u8; N]) -> T) -> Vec<i64> {
    data.as_chunks().0.iter().map(|&chunk| read(chunk).into()).collect()
}
