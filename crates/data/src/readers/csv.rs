//! CSV (RFC 4180), and other text formats with one separator character.

use std::io;

use csv::{ByteRecord, ReaderBuilder};

use super::{Input, READERS, Read, Reader, Record, Records};
use crate::checksum::Checksum;
use crate::foreign::is_foreign;
use crate::table::MAX_ROW_LENGTH;

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
        Read::Table(|input, max_bytes| separated(input, max_bytes, b','))
    }
}

/// Returns the records of a text of at most `max_bytes`. Fields are separated by `separator` and
/// may be quoted.
pub(super) fn separated<'a>(input: Input<'a>, max_bytes: u64, separator: u8) -> Box<dyn Records + 'a> {
    let source = NormalizedSource::new(input, max_bytes);
    // Accept ragged rows here; the caller reports them with their line.
    let mut builder = ReaderBuilder::new();
    let reader = builder.has_headers(false).flexible(true).delimiter(separator).from_reader(source);
    Box::new(Separated { reader, separator })
}

struct Separated<'a> {
    reader: csv::Reader<NormalizedSource<Input<'a>>>,
    separator: u8,
}

impl Records for Separated<'_> {
    fn next(&mut self, record: &mut Record) -> Result<bool, String> {
        let Record { fields, has_quotes } = record;
        let start = self.reader.position().clone();
        let source = self.reader.get_mut();
        (source.remaining_in_row, source.is_too_long) = (MAX_ROW_LENGTH, false);
        let read = self.reader.read_byte_record(fields);
        if self.reader.get_ref().is_too_long {
            return Err(format!(
                "line {}: the row has more than {MAX_ROW_LENGTH} bytes; perhaps a quote is not closed",
                start.line()
            ));
        }
        let is_read = read.map_err(problem)?;
        let is_first = start.byte() == 0;
        if let Some(other) = other_separator(fields, self.separator).filter(|_| is_first) {
            let [name, supported] = [other, self.separator].map(separator_name);
            return Err(format!(
                "line 1: its columns seem to be separated by {name}; save it with {supported} instead"
            ));
        }
        // In a row without quotes each byte is part of a field, a separator or a line end, and
        // every line before it is blank. Only a byte order mark (3 bytes) is none of these.
        let line_breaks = fields.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
        let lines = (self.reader.position().line() - start.line()).saturating_sub(line_breaks);
        let plain = fields.as_slice().len() as u64 + (fields.len() as u64).saturating_sub(1) + lines;
        let extra_bytes = (self.reader.position().byte() - start.byte()).saturating_sub(plain);
        *has_quotes = extra_bytes > 0 && !(is_first && extra_bytes == 3);
        Ok(is_read)
    }

    fn line(&self, record: &Record) -> Result<u64, String> {
        let text = record.fields.as_slice();
        // csv's own position of a record is that of the blank lines before it. The reader's
        // position is past the record's line end and past its line breaks in quotes.
        let inside = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let end = self.reader.position().line();
        // An unclosed quote takes in the rest of the file with its last line end.
        if text.ends_with(b"\n") {
            return Err(format!(
                "line {}: a quote is not closed, or closed only after a line break",
                end.saturating_sub(inside)
            ));
        }
        Ok(end.saturating_sub(1 + inside))
    }

    fn sha256(self: Box<Self>) -> String {
        self.reader.into_inner().checksum.finish()
    }
}

fn problem(error: csv::Error) -> String {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        other => format!("not CSV: {other:?}"),
    }
}

/// Returns the separator that the file seems to use instead of `supported`: a tab in any field,
/// or a `;` or `|` in the only field.
fn other_separator(record: &ByteRecord, supported: u8) -> Option<u8> {
    let mut fields = record.iter();
    let has_tab = supported != b'\t' && record.iter().any(|field| field.contains(&b'\t'));
    match (fields.next(), fields.next()) {
        _ if has_tab => Some(b'\t'),
        (Some(only), None) => [b';', b'|'].into_iter().find(|separator| only.contains(separator)),
        _ => None,
    }
}

fn separator_name(separator: u8) -> String {
    match separator {
        b'\t' => "tabs".to_owned(),
        b',' => "commas".to_owned(),
        other => format!("{:?}", char::from(other)),
    }
}

/// A reader that computes a checksum, limits the bytes of the file and of a row, and normalises
/// line ends to `\n`. It also ends the last line with `\n`.
struct NormalizedSource<R> {
    source: R,
    checksum: Checksum,
    remaining: u64,
    max_bytes: u64,
    /// The bytes left for the current row, and whether the row exceeded them.
    remaining_in_row: u64,
    is_too_long: bool,
    after_return: bool,
    ends_line: bool,
}

impl<R> NormalizedSource<R> {
    fn new(source: R, max_bytes: u64) -> Self {
        Self {
            source,
            checksum: Checksum::default(),
            remaining: max_bytes,
            max_bytes,
            remaining_in_row: MAX_ROW_LENGTH,
            is_too_long: false,
            after_return: false,
            ends_line: true,
        }
    }
}

impl<R: io::Read> io::Read for NormalizedSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.source.read(buffer)?;
            let Some(first) = buffer.first_mut() else { return Ok(0) };
            if count == 0 {
                if self.ends_line {
                    return Ok(0);
                }
                *first = b'\n';
                self.ends_line = true;
                return Ok(1);
            }
            self.remaining = self.remaining.checked_sub(count as u64).ok_or_else(|| {
                let max_bytes = self.max_bytes;
                io::Error::other(format!(
                    "it has more than the {max_bytes} bytes that data.resident_bytes allows in memory"
                ))
            })?;
            let remaining_in_row = self.remaining_in_row.checked_sub(count as u64);
            self.is_too_long = remaining_in_row.is_none();
            self.remaining_in_row = remaining_in_row.ok_or_else(|| io::Error::other("a row is too long"))?;
            self.checksum.update(&buffer[..count]);
            let mut kept = 0;
            for i in 0..count {
                let byte = buffer[i];
                let is_second_half = self.after_return && byte == b'\n';
                self.after_return = byte == b'\r';
                if !is_second_half {
                    buffer[kept] = if self.after_return { b'\n' } else { byte };
                    kept += 1;
                }
            }
            if kept > 0 {
                self.ends_line = buffer[kept - 1] == b'\n';
                return Ok(kept);
            }
        }
    }
}
