//! CSV (RFC 4180), and other text formats with one separator character.

use super::separated::Separated;
use super::{OpenTable, READERS, Read, Reader};
use crate::foreign::is_foreign;

pub(super) const READER: Csv = Csv;

/// The reader of CSV files.
pub(super) struct Csv;

impl Reader for Csv {
    fn name(&self) -> &'static str {
        "CSV"
    }

    fn one(&self) -> &'static str {
        "a CSV file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["csv"]
    }

    fn about(&self) -> &'static str {
        "a table: a header of names, then rows of numbers and labels, separated by commas"
    }

    /// CSV has no magic bytes. A file counts as CSV if no other reader accepts it and it is not a
    /// known unsupported format.
    fn sniff(&self, beginning: &[u8]) -> bool {
        let mut others = READERS.iter().filter(|other| other.name() != self.name());
        others.all(|other| !other.sniff(beginning)) && !is_foreign(beginning)
    }

    fn read(&self) -> Read {
        Read::Table(|input, max_bytes| Ok(OpenTable::Records(Box::new(Separated::new(input, max_bytes, b',')))))
    }
}
