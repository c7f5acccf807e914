//! The fields of Arrow's arrays. A field becomes what pandas writes to a CSV file, so that a table
//! has the same recipe in all formats.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray, LargeStringArray, PrimitiveArray, StringArray, StringViewArray};
use arrow_schema::{DataType, TimeUnit};
use jiff::SignedDuration;
use jiff::civil::{Time, date};

use crate::decimal::decimal;
use crate::readers::{Field, Fields};

/// Returns what the values of a type are if they cannot be read. `None` if they can.
pub(in crate::readers) fn unsupported(of: &DataType) -> Option<&'static str> {
    match of {
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => Some("lists"),
        DataType::Struct(_) => Some("structures"),
        DataType::Map(..) => Some("maps"),
        DataType::Union(..) => Some("unions"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Some("bytes"),
        DataType::Duration(_) | DataType::Interval(_) => Some("durations"),
        DataType::RunEndEncoded(..) => Some("run-length encoded values"),
        DataType::Dictionary(_, values) => unsupported(values),
        _ => None,
    }
}

/// Returns the fields of an array of a supported type.
pub(super) fn fields(array: &ArrayRef) -> Box<dyn Fields> {
    match array.data_type() {
        DataType::Boolean => Box::new(Booleans(array.as_boolean().clone())),
        DataType::Int8 => integers::<Int8Type>(array, |x| x as f64),
        DataType::Int16 => integers::<Int16Type>(array, |x| x as f64),
        DataType::Int32 => integers::<Int32Type>(array, |x| x as f64),
        DataType::Int64 => integers::<Int64Type>(array, |x| x as f64),
        DataType::UInt8 => integers::<UInt8Type>(array, |x| x as f64),
        DataType::UInt16 => integers::<UInt16Type>(array, |x| x as f64),
        DataType::UInt32 => integers::<UInt32Type>(array, |x| x as f64),
        DataType::UInt64 => integers::<UInt64Type>(array, |x| x as f64),
        DataType::Float16 => floats::<Float16Type>(array, f64::from, |x| format!("{:?}", x.to_f32())),
        DataType::Float32 => floats::<Float32Type>(array, f64::from, |x| format!("{x:?}")),
        DataType::Float64 => floats::<Float64Type>(array, |x| x, |x| format!("{x:?}")),
        DataType::Decimal32(..) => decimals::<Decimal32Type>(array),
        DataType::Decimal64(..) => decimals::<Decimal64Type>(array),
        DataType::Decimal128(..) => decimals::<Decimal128Type>(array),
        DataType::Decimal256(..) => decimals::<Decimal256Type>(array),
        DataType::Utf8 => Box::new(array.as_string::<i32>().clone()),
        DataType::LargeUtf8 => Box::new(array.as_string::<i64>().clone()),
        DataType::Utf8View => Box::new(array.as_string_view().clone()),
        DataType::Date32 => times::<Date32Type>(array, |days| instant(i128::from(days), 1, 86_400, false)),
        DataType::Date64 => times::<Date64Type>(array, |x| instant(i128::from(x), 1000, 1, false)),
        DataType::Timestamp(unit, zone) => timestamps(array, *unit, zone.is_some()),
        DataType::Time32(TimeUnit::Second) => times::<Time32SecondType>(array, |x| time(x.into(), 1)),
        DataType::Time32(_) => times::<Time32MillisecondType>(array, |x| time(x.into(), 1000)),
        DataType::Time64(TimeUnit::Microsecond) => times::<Time64MicrosecondType>(array, |x| time(x, 1_000_000)),
        DataType::Time64(_) => times::<Time64NanosecondType>(array, |x| time(x, 1_000_000_000)),
        DataType::Dictionary(..) => dictionary(array),
        // The type without values.
        _ => Box::new(Nothing),
    }
}

struct Nothing;

impl Fields for Nothing {
    fn field(&self, _: usize) -> Field<'_> {
        Field::Missing
    }
}

struct Booleans(BooleanArray);

impl Fields for Booleans {
    fn field(&self, row: usize) -> Field<'_> {
        match (self.0.is_null(row), self.0.value(row)) {
            (true, _) => Field::Missing,
            (false, true) => Field::Text("True".into()),
            (false, false) => Field::Text("False".into()),
        }
    }
}

/// Numbers, with their conversion and their text.
struct Numbers<T: ArrowPrimitiveType> {
    array: PrimitiveArray<T>,
    number: fn(T::Native) -> f64,
    text: fn(T::Native) -> String,
}

impl<T: ArrowPrimitiveType> Fields for Numbers<T> {
    fn field(&self, row: usize) -> Field<'_> {
        if self.array.is_null(row) {
            return Field::Missing;
        }
        match (self.number)(self.array.value(row)) {
            // pandas writes nothing.
            number if number.is_nan() => Field::Missing,
            number => Field::Number(number),
        }
    }

    fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        // Long integers keep all digits, and f32 its few.
        (self.field(row) != Field::Missing).then(|| (self.text)(self.array.value(row)).into())
    }
}

fn integers<T: ArrowPrimitiveType<Native: ToString>>(
    array: &ArrayRef,
    number: fn(T::Native) -> f64,
) -> Box<dyn Fields> {
    Box::new(Numbers { array: array.as_primitive::<T>().clone(), number, text: |x| x.to_string() })
}

fn floats<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    number: fn(T::Native) -> f64,
    text: fn(T::Native) -> String,
) -> Box<dyn Fields> {
    Box::new(Numbers { array: array.as_primitive::<T>().clone(), number, text })
}

struct Decimals<T: DecimalType>(PrimitiveArray<T>);

impl<T: DecimalType> Fields for Decimals<T> {
    fn field(&self, row: usize) -> Field<'_> {
        match self.text(row) {
            None => Field::Missing,
            // Rounding once, from the digits.
            Some(text) => decimal(text.as_bytes()).map_or(Field::Text(text), Field::Number),
        }
    }

    fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        let array = &self.0;
        (!array.is_null(row)).then(|| T::format_decimal(array.value(row), array.precision(), array.scale()).into())
    }
}

fn decimals<T: DecimalType>(array: &ArrayRef) -> Box<dyn Fields> {
    Box::new(Decimals(array.as_primitive::<T>().clone()))
}

/// Implements the fields of arrays of texts.
macro_rules! texts {
    ($($array:ty,)+) => {
        $(impl Fields for $array {
            fn field(&self, row: usize) -> Field<'_> {
                if self.is_null(row) { Field::Missing } else { Field::Text(self.value(row).into()) }
            }
        })+
    };
}

texts! {
    StringArray,
    LargeStringArray,
    StringViewArray,
}

/// Dates and times, with their text.
struct Times<T: ArrowPrimitiveType> {
    array: PrimitiveArray<T>,
    text: Box<dyn Fn(T::Native) -> String + Send>,
}

impl<T: ArrowPrimitiveType> Fields for Times<T> {
    fn field(&self, row: usize) -> Field<'_> {
        if self.array.is_null(row) {
            return Field::Missing;
        }
        Field::Text((self.text)(self.array.value(row)).into())
    }
}

fn times<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    text: impl Fn(T::Native) -> String + Send + 'static,
) -> Box<dyn Fields> {
    Box::new(Times { array: array.as_primitive::<T>().clone(), text: Box::new(text) })
}

fn timestamps(array: &ArrayRef, unit: TimeUnit, has_zone: bool) -> Box<dyn Fields> {
    let text = move |per_second: i128| move |x: i64| instant(x.into(), per_second, 1, has_zone);
    match unit {
        TimeUnit::Second => times::<TimestampSecondType>(array, text(1)),
        TimeUnit::Millisecond => times::<TimestampMillisecondType>(array, text(1000)),
        TimeUnit::Microsecond => times::<TimestampMicrosecondType>(array, text(1_000_000)),
        TimeUnit::Nanosecond => times::<TimestampNanosecondType>(array, text(1_000_000_000)),
    }
}

/// Returns the text of a time since 1970: the date alone at midnight, and the offset of UTC if the
/// column has a time zone. Years that no ISO date has become a text that is no date.
fn instant(count: i128, per_second: i128, seconds: i128, has_zone: bool) -> String {
    let (whole, part) = ((count * seconds).div_euclid(per_second), (count * seconds).rem_euclid(per_second));
    let nanoseconds = (part * (1_000_000_000 / per_second)) as i32;
    let since = i64::try_from(whole).map(|whole| SignedDuration::new(whole, nanoseconds));
    let time = since.ok().and_then(|since| date(1970, 1, 1).at(0, 0, 0, 0).checked_add(since).ok());
    match time {
        None => format!("{whole} seconds after 1970"),
        Some(time) if has_zone => format!("{} {}+00:00", time.date(), time.time()),
        Some(time) if time.time() == Time::midnight() => time.date().to_string(),
        Some(time) => format!("{} {}", time.date(), time.time()),
    }
}

/// Returns the text of a time of day.
fn time(count: i64, per_second: i64) -> String {
    let time = instant(count.into(), per_second.into(), 1, true);
    let is_valid = (0..86_400 * i128::from(per_second)).contains(&count.into());
    match time.strip_prefix("1970-01-01 ").and_then(|rest| rest.strip_suffix("+00:00")) {
        Some(time) if is_valid => time.to_owned(),
        _ => format!("{} seconds", count / per_second),
    }
}

/// Values that are stored once each. Batches may have different ones, so they are told apart by
/// their value, never by their position.
struct Dictionary {
    /// The position of each row's value. `None` if it is missing.
    keys: Vec<Option<usize>>,
    values: Box<dyn Fields>,
}

impl Fields for Dictionary {
    fn field(&self, row: usize) -> Field<'_> {
        self.keys[row].map_or(Field::Missing, |key| self.values.field(key))
    }

    fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        self.values.text(self.keys[row]?)
    }
}

fn dictionary(array: &ArrayRef) -> Box<dyn Fields> {
    let dictionary = array.as_any_dictionary();
    if dictionary.values().is_empty() {
        return Box::new(Nothing);
    }
    let is_missing = |row| dictionary.keys().is_null(row);
    let keys = dictionary.normalized_keys().into_iter().enumerate();
    let keys = keys.map(|(row, key)| (!is_missing(row)).then_some(key)).collect();
    Box::new(Dictionary { keys, values: fields(dictionary.values()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::days::days;

    #[test]
    fn times_have_the_texts_of_a_csv_file() {
        let check = |count: i128, per_second: i128, has_zone: bool, expected: &str| {
            assert_eq!(instant(count, per_second, 1, has_zone), expected, "{count}");
        };
        check(0, 1, false, "1970-01-01");
        check(-1, 1, false, "1969-12-31 23:59:59");
        check(1_795_955_400_500, 1000, false, "2026-11-29 12:30:00.5");
        check(0, 1_000_000_000, true, "1970-01-01 00:00:00+00:00");
        check(i64::MAX.into(), 1, true, "9223372036854775807 seconds after 1970");
        assert_eq!(instant(20_786, 1, 86_400, false), "2026-11-29");
        assert_eq!(time(45_000_250, 1000), "12:30:00.25");
        assert_eq!(time(-1, 1), "-1 seconds");
        assert_eq!(time(86_400, 1), "86400 seconds");
        // They are dates for the recipe.
        for (count, has_zone) in [(0, true), (-1, true), (1_795_955_400_500, true), (253_402_300_799_000, false)] {
            let text = instant(count, 1000, 1, has_zone);
            assert_eq!(days(&text), Some(count as f64 / 86_400_000.0), "{text}");
        }
        for count in [i128::from(i64::MAX), i128::from(i64::MIN)] {
            assert_eq!(days(&instant(count, 1, 1, false)), None);
        }
    }
}
