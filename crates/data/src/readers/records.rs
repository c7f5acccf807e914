use chainrule_core::{BadRows, ColumnKind, TextEncoding};
use csv::ByteRecord;

use crate::days::days;
use crate::header::is_missing;
use crate::read_as::{ReadAs, Skipped};
use crate::table::number;

/// The records of a table. The first record has the column names.
pub trait Records {
    /// Reads the next record. Returns false at the end.
    ///
    /// # Errors
    /// Fails if the record cannot be read or is invalid; the error gives its line.
    fn next(&mut self, record: &mut Record) -> Result<bool, String>;

    /// Returns the first line, from 1, of the record that was read last.
    fn line(&self) -> u64;

    /// Returns what the file was taken for, and the rows that were left out so far.
    fn read_as(&self) -> ReadAs;

    /// Says which fields must have a value of a kind, for rows to be left out that have another
    /// one. It has an effect only if `data.bad_rows` says so.
    fn require(&mut self, fields: Vec<Required>);

    /// Returns the kinds of columns that the file itself declares.
    fn kinds(&self) -> &[(String, ColumnKind)] {
        &[]
    }

    /// Returns the SHA-256 of the file, decompressed. Call it after the last record.
    fn sha256(self: Box<Self>) -> String;
}

/// A record.
#[derive(Debug, Default)]
pub struct Record {
    /// The fields.
    pub(crate) fields: ByteRecord,
    /// Whether the record has quotes. White space in a record with quotes may belong to a field.
    pub(crate) has_quotes: bool,
}

/// What a field must have.
#[derive(Clone, Debug)]
pub struct Required {
    /// The position of the field.
    pub(crate) position: usize,
    /// The name of its column.
    pub(crate) name: String,
    /// The kind of its values.
    pub(crate) kind: ColumnKind,
    /// Marks of a missing value, besides the usual ones.
    pub(crate) missing: Vec<String>,
}

impl Required {
    fn check(&self, fields: &ByteRecord) -> Result<(), String> {
        let field = fields.get(self.position).unwrap_or_default().trim_ascii();
        let is_mark = || self.missing.iter().any(|mark| mark.trim().as_bytes() == field);
        let Ok(text) = std::str::from_utf8(field) else { return Ok(()) };
        let is_value = match self.kind {
            ColumnKind::Number => number(field).is_some(),
            ColumnKind::Date => days(text).is_some(),
            ColumnKind::Category => true,
        };
        if is_value || is_missing(field) || is_mark() {
            return Ok(());
        }
        let what = if self.kind == ColumnKind::Date { "date" } else { "number" };
        Err(format!("column {:?}: {:?} is no {what}", self.name, text.chars().take(40).collect::<String>()))
    }
}

/// Checks the rows of a text, and counts those that are left out.
pub(super) struct RowCheck {
    pub(super) required: Vec<Required>,
    encoding: TextEncoding,
    bad_rows: BadRows,
    readable: u32,
    pub(super) skipped: Skipped,
}

impl RowCheck {
    pub(super) fn new(encoding: TextEncoding, bad_rows: BadRows) -> Self {
        Self { required: Vec::new(), encoding, bad_rows, readable: 0, skipped: Skipped::default() }
    }

    /// Checks that the fields are text.
    pub(super) fn check_text(&self, fields: &ByteRecord) -> Result<(), String> {
        let text = fields.as_slice();
        if text.contains(&0) {
            return Err("it has a NUL byte, which no text has".to_owned());
        }
        if text.is_ascii() {
            return Ok(());
        }
        for (i, field) in fields.iter().enumerate() {
            if let Err(error) = std::str::from_utf8(field) {
                let column = i + 1;
                return Err(match self.encoding {
                    TextEncoding::Utf8 => format!(
                        "field {column}: the byte 0x{:02X} is not UTF-8, unlike the beginning of the file; if all is Western European text, set data.encoding to \"windows-1252\", else correct it",
                        field[error.valid_up_to()]
                    ),
                    other => format!("field {column}: it has bytes that are no character of {}", other.name()),
                });
            }
        }
        Ok(())
    }

    /// Checks that the fields of a row have the required values, if it would be left out otherwise.
    pub(super) fn check_values(&self, fields: &ByteRecord) -> Result<(), String> {
        match self.bad_rows {
            BadRows::Skip => self.required.iter().try_for_each(|required| required.check(fields)),
            BadRows::Error => Ok(()),
        }
    }

    /// Returns whether a row is used. A bad row is counted, if the options say so.
    pub(super) fn accept(&mut self, row: Result<(), String>, line: u64) -> Result<bool, String> {
        match row {
            Ok(()) => {
                self.readable = self.readable.saturating_add(1);
                Ok(true)
            }
            Err(problem) if self.bad_rows == BadRows::Skip => {
                self.skipped.add(|| format!("line {line}: {problem}"), self.readable);
                Ok(false)
            }
            Err(problem) => Err(format!("line {line}: {problem}; data.bad_rows = \"skip\" leaves such rows out")),
        }
    }
}
