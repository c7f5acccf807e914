use chainrule_core::{BadRows, ColumnKind, TextEncoding};
use csv::ByteRecord;

use crate::read_as::{ReadAs, Skipped};

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

/// Checks the rows of a text, and counts those that are left out.
pub(super) struct RowCheck {
    encoding: TextEncoding,
    bad_rows: BadRows,
    readable: u32,
    pub(super) skipped: Skipped,
}

impl RowCheck {
    pub(super) fn new(encoding: TextEncoding, bad_rows: BadRows) -> Self {
        Self { encoding, bad_rows, readable: 0, skipped: Skipped::default() }
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
            Err(problem) => Err(format!("line {line}: {problem}")),
        }
    }
}
