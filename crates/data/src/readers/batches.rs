use std::borrow::Cow;

use crate::read_as::ReadAs;

/// A table that is stored by columns, read some rows at a time.
pub trait Batches {
    /// Returns the names of all columns.
    fn names(&self) -> Vec<String>;

    /// Returns why the fields of a column cannot be read, such as `lists`. `None` if they can.
    fn unsupported(&self, column: usize) -> Option<&'static str>;

    /// Chooses the columns of the batches. Call it once, before the first batch.
    fn choose(&mut self, columns: &[usize]);

    /// Reads the next rows. Returns `None` at the end.
    ///
    /// # Errors
    /// Fails if the file is damaged or needs what is not supported.
    fn next(&mut self) -> Result<Option<Batch>, String>;

    /// Returns what the file was taken for.
    fn read_as(&self) -> ReadAs;

    /// Returns the SHA-256 of the file, decompressed. Call it after the last batch.
    fn sha256(self: Box<Self>) -> String;
}

/// Consecutive rows as they were read.
pub struct Batch {
    /// The number of the first row, from 1.
    pub first_row: u64,
    /// The number of rows.
    pub n_rows: usize,
    /// The chosen columns, in the order in which they were chosen.
    pub columns: Vec<Box<dyn Fields>>,
}

/// A column of a batch.
pub trait Fields: Send {
    /// Returns a field.
    fn field(&self, row: usize) -> Field<'_>;

    /// Returns a field as CSV has it. `None` if it is missing.
    fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        match self.field(row) {
            Field::Missing => None,
            // As Python writes it: 1.0, 1e+16 without its plus.
            Field::Number(number) => Some(format!("{number:?}").into()),
            Field::Text(text) => Some(text),
        }
    }
}

/// A field of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'a> {
    /// No value.
    Missing,
    /// A number, also an infinite one.
    Number(f64),
    /// A text, which may be the text of a number.
    Text(Cow<'a, str>),
}
