//! Takes the values of a row from its `Serialize`, without a copy of the row.

use std::fmt::{Debug, Display};

use serde::Serialize;
use serde::ser::{self, Impossible, SerializeMap, SerializeStruct, Serializer};

use super::{EncodedRow, RawRowEncoder, RawRowError};

impl ser::Error for RawRowError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Serialize(message.to_string())
    }
}

/// Implements methods of [`Serializer`] that refuse what they are given.
macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $ok:ty: $found:literal;)+) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$ok, RawRowError> {
            Err(self.refused($found))
        })+
    };
}

/// Implements the types of composite values that are refused.
macro_rules! impossible {
    ($($kind:ident)+) => {
        $(type $kind = Impossible<Self::Ok, RawRowError>;)+
    };
}

/// Takes the fields of a row.
pub(super) struct RowSerializer<'a> {
    encoder: &'a RawRowEncoder,
    encoded: &'a mut EncodedRow,
    /// Where the next column probably is.
    guess: usize,
    /// The column of a map's next value, if the recipe has it.
    column: Option<usize>,
}

impl<'a> RowSerializer<'a> {
    pub(super) fn new(encoder: &'a RawRowEncoder, encoded: &'a mut EncodedRow) -> Self {
        Self { encoder, encoded, guess: 0, column: None }
    }

    fn refused(&self, found: &'static str) -> RawRowError {
        RawRowError::NoRow { found }
    }

    /// Takes the value of a column, unless the recipe does not use it.
    fn take<T: Serialize + ?Sized>(&mut self, column: Option<usize>, value: &T) -> Result<(), RawRowError> {
        let Some(column) = column else { return Ok(()) };
        self.mark(column)?;
        value.serialize(ValueSerializer { encoder: self.encoder, encoded: self.encoded, column })
    }

    /// Notes that a column is there.
    fn mark(&mut self, column: usize) -> Result<(), RawRowError> {
        if std::mem::replace(&mut self.encoded.has_column[column], true) {
            return Err(RawRowError::DuplicateColumn { column: self.encoder.name(column).to_owned() });
        }
        self.encoded.n_columns += 1;
        Ok(())
    }
}

impl<'a> Serializer for RowSerializer<'a> {
    type Ok = ();
    type Error = RawRowError;
    type SerializeMap = RowSerializer<'a>;
    type SerializeStruct = RowSerializer<'a>;
    impossible! { SerializeSeq SerializeTuple SerializeTupleStruct SerializeTupleVariant SerializeStructVariant }

    refuse! {
        serialize_bool(bool) -> (): "a truth value";
        serialize_i8(i8) -> (): "a number";
        serialize_i16(i16) -> (): "a number";
        serialize_i32(i32) -> (): "a number";
        serialize_i64(i64) -> (): "a number";
        serialize_i128(i128) -> (): "a number";
        serialize_u8(u8) -> (): "a number";
        serialize_u16(u16) -> (): "a number";
        serialize_u32(u32) -> (): "a number";
        serialize_u64(u64) -> (): "a number";
        serialize_u128(u128) -> (): "a number";
        serialize_f32(f32) -> (): "a number";
        serialize_f64(f64) -> (): "a number";
        serialize_char(char) -> (): "a text";
        serialize_str(&str) -> (): "a text";
        serialize_bytes(&[u8]) -> (): "bytes";
        serialize_none() -> (): "null";
        serialize_unit() -> (): "null";
        serialize_unit_struct(&'static str) -> (): "a struct without fields";
        serialize_unit_variant(&'static str, u32, &'static str) -> (): "a variant of an enum";
        serialize_seq(Option<usize>) -> Self::SerializeSeq: "a list";
        serialize_tuple(usize) -> Self::SerializeTuple: "a list";
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct: "a list";
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant:
            "a variant of an enum";
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant:
            "a variant of an enum";
    }

    fn serialize_some<T: Serialize + ?Sized>(self, row: &T) -> Result<(), RawRowError> {
        row.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, row: &T) -> Result<(), RawRowError> {
        row.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), RawRowError> {
        Err(self.refused("a variant of an enum"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, RawRowError> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, RawRowError> {
        Ok(self)
    }
}

impl SerializeStruct for RowSerializer<'_> {
    type Ok = ();
    type Error = RawRowError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), RawRowError> {
        let column = self.encoder.find(name, &mut self.guess);
        self.take(column, value)
    }

    fn skip_field(&mut self, name: &'static str) -> Result<(), RawRowError> {
        let column = self.encoder.find(name, &mut self.guess);
        self.take(column, &())
    }

    fn end(self) -> Result<(), RawRowError> {
        Ok(())
    }
}

impl SerializeMap for RowSerializer<'_> {
    type Ok = ();
    type Error = RawRowError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), RawRowError> {
        self.column = key.serialize(KeySerializer { encoder: self.encoder, guess: &mut self.guess })?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RawRowError> {
        let column = self.column.take();
        self.take(column, value)
    }

    fn end(self) -> Result<(), RawRowError> {
        Ok(())
    }
}

/// Takes the name of a column, and returns its position, if the recipe has it.
struct KeySerializer<'a> {
    encoder: &'a RawRowEncoder,
    guess: &'a mut usize,
}

impl KeySerializer<'_> {
    fn refused(&self, found: &'static str) -> RawRowError {
        RawRowError::NoRow { found }
    }
}

/// The keys that are no names of columns.
macro_rules! refused_keys {
    ($($method:ident($($argument:ty),*) -> $ok:ty;)+) => {
        refuse! { $($method($($argument),*) -> $ok: "a map whose keys are no texts";)+ }
    };
}

impl Serializer for KeySerializer<'_> {
    type Ok = Option<usize>;
    type Error = RawRowError;
    impossible! {
        SerializeSeq SerializeTuple SerializeTupleStruct SerializeTupleVariant SerializeMap SerializeStruct
        SerializeStructVariant
    }

    refused_keys! {
        serialize_bool(bool) -> Self::Ok;
        serialize_i8(i8) -> Self::Ok;
        serialize_i16(i16) -> Self::Ok;
        serialize_i32(i32) -> Self::Ok;
        serialize_i64(i64) -> Self::Ok;
        serialize_u8(u8) -> Self::Ok;
        serialize_u16(u16) -> Self::Ok;
        serialize_u32(u32) -> Self::Ok;
        serialize_u64(u64) -> Self::Ok;
        serialize_f32(f32) -> Self::Ok;
        serialize_f64(f64) -> Self::Ok;
        serialize_bytes(&[u8]) -> Self::Ok;
        serialize_none() -> Self::Ok;
        serialize_unit() -> Self::Ok;
        serialize_unit_struct(&'static str) -> Self::Ok;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn serialize_str(self, name: &str) -> Result<Self::Ok, RawRowError> {
        Ok(self.encoder.find(name, self.guess))
    }

    fn serialize_char(self, name: char) -> Result<Self::Ok, RawRowError> {
        self.serialize_str(name.encode_utf8(&mut [0; 4]))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<Self::Ok, RawRowError> {
        self.serialize_str(name)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, name: &T) -> Result<Self::Ok, RawRowError> {
        name.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        name: &T,
    ) -> Result<Self::Ok, RawRowError> {
        name.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Self::Ok, RawRowError> {
        Err(self.refused("a map whose keys are no texts"))
    }
}

/// Takes the value of a column.
struct ValueSerializer<'a> {
    encoder: &'a RawRowEncoder,
    encoded: &'a mut EncodedRow,
    column: usize,
}

impl ValueSerializer<'_> {
    fn refused(&self, found: &'static str) -> RawRowError {
        let problem = format!("the value is {found}; expected a number, a text, a truth value or null");
        self.encoder.value_error(self.column, problem)
    }

    fn number<T: Copy + Debug>(self, number: T, as_f64: impl FnOnce(T) -> f64) -> Result<(), RawRowError> {
        // Long integers keep all digits, and f32 its few.
        self.encoder.set_number(self.column, as_f64(number), || format!("{number:?}"), self.encoded)
    }
}

/// Implements the methods for numbers.
macro_rules! numbers {
    ($($method:ident($number:ty),)+) => {
        $(fn $method(self, number: $number) -> Result<(), RawRowError> {
            self.number(number, |number| number as f64)
        })+
    };
}

impl Serializer for ValueSerializer<'_> {
    type Ok = ();
    type Error = RawRowError;
    impossible! {
        SerializeSeq SerializeTuple SerializeTupleStruct SerializeTupleVariant SerializeMap SerializeStruct
        SerializeStructVariant
    }

    numbers! {
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
    }

    refuse! {
        serialize_bytes(&[u8]) -> (): "bytes";
        serialize_seq(Option<usize>) -> Self::SerializeSeq: "a list";
        serialize_tuple(usize) -> Self::SerializeTuple: "a list";
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct: "a list";
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant: "a list";
        serialize_map(Option<usize>) -> Self::SerializeMap: "a map";
        serialize_struct(&'static str, usize) -> Self::SerializeStruct: "a struct";
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant: "a struct";
    }

    fn serialize_bool(self, value: bool) -> Result<(), RawRowError> {
        self.encoder.set_bool(self.column, value, self.encoded)
    }

    fn serialize_char(self, text: char) -> Result<(), RawRowError> {
        self.serialize_str(text.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), RawRowError> {
        self.encoder.set_text(self.column, text, self.encoded)
    }

    fn serialize_none(self) -> Result<(), RawRowError> {
        self.serialize_unit()
    }

    fn serialize_unit(self) -> Result<(), RawRowError> {
        self.encoder.set_missing(self.column, self.encoded)
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), RawRowError> {
        self.serialize_str(name)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), RawRowError> {
        self.serialize_str(variant)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), RawRowError> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), RawRowError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), RawRowError> {
        Err(self.refused("a variant of an enum with a field"))
    }
}
