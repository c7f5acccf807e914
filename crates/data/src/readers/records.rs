use std::ops::Range;

use chainrule_core::{BadRows, ColumnKind, TextEncoding, pluralize};
use csv::ByteRecord;

use crate::cells::is_marked;
use crate::days::days;
use crate::decimal::NumberFormat;
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

    /// Reads some of the next records, without the first one. Returns false at the end. `block` may
    /// leave it to its reader to split lines, so that another thread does it.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    fn next_block(&mut self, block: &mut RecordBlock) -> Result<bool, String> {
        collect(self, block)
    }

    /// Returns the first line, from 1, of the record that was read last.
    fn line(&self) -> u64;

    /// Returns what the file was taken for, and the rows that were left out so far.
    fn read_as(&self) -> ReadAs;

    /// Says which fields must have a value of a kind, for rows to be left out that have another
    /// one. It has an effect only if `data.bad_rows` says so.
    fn require(&mut self, fields: Vec<Required>);

    /// Returns rows that cannot be read in their places, each with what is wrong, instead of
    /// failing or leaving them out. Call it before the first row.
    fn keep_bad_rows(&mut self);

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
    /// What is wrong with it, if [bad rows are kept](Records::keep_bad_rows). It may then have any
    /// number of fields.
    pub(crate) problem: Option<String>,
}

/// The bytes of the fields of a block, more or less.
pub(super) const BLOCK_BYTES: usize = 1 << 17;

/// Consecutive records.
#[derive(Debug, Default)]
pub struct RecordBlock {
    /// The bytes of the fields.
    text: Vec<u8>,
    records: BlockRecords,
}

/// Where the records of a block are.
#[derive(Debug)]
enum BlockRecords {
    /// The records were split and checked: the place of each field, and the records.
    Split(Vec<Range<u32>>, Vec<SplitRecord>),
    /// Each line that is not blank is a record. Its fields are split at each separator.
    Lines(Lines),
}

#[derive(Debug)]
struct SplitRecord {
    /// The places of its fields.
    fields: Range<u32>,
    line: u64,
    has_quotes: bool,
    problem: Option<String>,
}

/// How the lines of a block become records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) separator: u8,
    /// The line of the first byte, from 1.
    pub(super) first_line: u64,
    pub(super) n_lines: u64,
    /// The number of fields of each line, and a phrase for why.
    pub(super) expected: (usize, &'static str),
    pub(super) encoding: TextEncoding,
    /// Whether the last of these fields is empty and no column.
    pub(super) has_empty_last: bool,
    pub(super) numbers: NumberFormat,
}

impl Default for BlockRecords {
    fn default() -> Self {
        Self::Split(Vec::new(), Vec::new())
    }
}

/// A record of a block.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The bytes of the block, and the same as a text if they are UTF-8.
    bytes: &'a [u8],
    text: Option<&'a str>,
    fields: &'a [Range<u32>],
    /// Its first line, from 1.
    pub(crate) line: u64,
    /// Whether the record has quotes. White space in a record with quotes may belong to a field.
    pub(crate) has_quotes: bool,
}

impl<'a> Row<'a> {
    /// Returns the number of fields.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns a field.
    pub(crate) fn field(&self, index: usize) -> &'a [u8] {
        let Range { start, end } = self.fields[index];
        &self.bytes[start as usize..end as usize]
    }

    /// Returns a field's text without the white space around it.
    ///
    /// # Errors
    /// Fails if it is not UTF-8.
    pub(crate) fn trimmed(&self, index: usize) -> Result<&'a str, &'static str> {
        let Range { start, end } = self.fields[index];
        // Checking a whole block at once is faster than field by field.
        match self.text.and_then(|text| text.get(start as usize..end as usize)) {
            Some(text) => Ok(text.trim_ascii()),
            None => std::str::from_utf8(self.field(index).trim_ascii()).map_err(|_| "not UTF-8"),
        }
    }

    /// Iterates over the fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        self.fields.iter().map(move |field| &bytes[field.start as usize..field.end as usize])
    }
}

impl RecordBlock {
    /// Creates a block of lines.
    pub(super) fn of_lines(text: Vec<u8>, lines: Lines) -> Self {
        Self { text, records: BlockRecords::Lines(lines) }
    }

    /// Returns the bytes of the fields.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Returns the number of records that were split.
    fn len(&self) -> usize {
        if let BlockRecords::Split(_, records) = &self.records { records.len() } else { 0 }
    }

    /// Returns a number that is not smaller than that of the records, if each has so many fields.
    pub(crate) fn max_records(&self, n_fields: usize) -> usize {
        match &self.records {
            BlockRecords::Split(_, records) => records.len(),
            // A blank line is no record, and each field takes a byte.
            BlockRecords::Lines(lines) => (lines.n_lines as usize).min(self.text.len() / n_fields.max(1)),
        }
    }

    fn push(&mut self, record: &Record, line: u64) {
        let BlockRecords::Split(fields, records) = &mut self.records else { return };
        let first = fields.len() as u32;
        for field in &record.fields {
            let start = self.text.len() as u32;
            self.text.extend_from_slice(field);
            fields.push(start..self.text.len() as u32);
        }
        let fields = first..fields.len() as u32;
        let (has_quotes, problem) = (record.has_quotes, record.problem.clone());
        records.push(SplitRecord { fields, line, has_quotes, problem });
    }

    /// Calls `visit` with each record, until it fails.
    ///
    /// # Errors
    /// Fails as `visit` does, or if a line is no record.
    pub(crate) fn each(&self, mut visit: impl FnMut(Row) -> Result<(), String>) -> Result<(), String> {
        self.each_row(|row, problem| match problem {
            None => visit(row),
            Some(problem) => Err(bad_row(row.line, &problem)),
        })
    }

    /// Calls `visit` with each record, and with what is wrong with it if it is a bad one, until it
    /// fails. A bad record may have any number of fields.
    ///
    /// # Errors
    /// Fails as `visit` does.
    pub(crate) fn each_row(
        &self,
        mut visit: impl FnMut(Row, Option<String>) -> Result<(), String>,
    ) -> Result<(), String> {
        let (bytes, text) = (&self.text[..], std::str::from_utf8(&self.text).ok());
        match &self.records {
            BlockRecords::Split(fields, records) => records.iter().try_for_each(|record| {
                let &SplitRecord { fields: Range { start, end }, line, has_quotes, ref problem } = record;
                let fields = &fields[start as usize..end as usize];
                visit(Row { bytes, text, fields, line, has_quotes }, problem.clone())
            }),
            BlockRecords::Lines(lines) => lines.each(bytes, text, visit),
        }
    }
}

impl Lines {
    /// Calls `visit` with the record of each line that is not blank, and with what is wrong with
    /// it.
    fn each(
        &self,
        bytes: &[u8],
        text: Option<&str>,
        mut visit: impl FnMut(Row, Option<String>) -> Result<(), String>,
    ) -> Result<(), String> {
        let has_only_text = text.is_some() && memchr::memchr(0, bytes).is_none();
        let (mut fields, mut start, mut line) = (Vec::new(), 0, self.first_line);
        // The fields of a row with a decimal comma.
        let (mut own, mut with_points) = (Vec::new(), Vec::new());
        for end in memchr::memchr2_iter(self.separator, b'\n', bytes) {
            let is_line_end = bytes[end] == b'\n';
            let is_blank = is_line_end && fields.is_empty() && start == end;
            if !is_blank {
                fields.push(start as u32..end as u32);
            }
            start = end + 1;
            if is_line_end && !is_blank {
                let mut problem = self.check(bytes, &fields, has_only_text).err();
                if self.has_empty_last {
                    fields.pop();
                }
                let (mut bytes, mut text) = (bytes, text);
                if self.numbers != NumberFormat::Point && problem.is_none() {
                    own.clear();
                    match self.with_points(bytes, &fields, &mut own, &mut with_points) {
                        Ok(()) => {
                            std::mem::swap(&mut fields, &mut with_points);
                            (bytes, text) = (&own, std::str::from_utf8(&own).ok());
                        }
                        Err(wrong) => problem = Some(wrong),
                    }
                }
                visit(Row { bytes, text, fields: &fields, line, has_quotes: false }, problem)?;
                fields.clear();
            }
            line += u64::from(is_line_end);
        }
        Ok(())
    }

    /// Checks the fields of a row as they are in the file.
    fn check(&self, bytes: &[u8], fields: &[Range<u32>], has_only_text: bool) -> Result<(), String> {
        let field = |field: &Range<u32>| &bytes[field.start as usize..field.end as usize];
        if !has_only_text {
            check_text(fields.iter().map(field), self.encoding)?;
        }
        let (expected, why) = self.expected;
        if fields.len() != expected {
            return Err(wrong_field_count(fields.len(), why, expected));
        }
        match fields.last() {
            Some(last) if self.has_empty_last => check_is_empty(field(last)),
            _ => Ok(()),
        }
    }

    /// Appends the fields with decimal points to `own`. `places` are then their places there.
    fn with_points(
        &self,
        bytes: &[u8],
        fields: &[Range<u32>],
        own: &mut Vec<u8>,
        places: &mut Vec<Range<u32>>,
    ) -> Result<(), String> {
        places.clear();
        for (i, field) in fields.iter().enumerate() {
            let (start, place) = (own.len() as u32, field.start as usize..field.end as usize);
            self.numbers.append_with_point(&bytes[place], own).map_err(|problem| wrong_number(i, &problem))?;
            places.push(start..own.len() as u32);
        }
        Ok(())
    }
}

/// Says that a row has more or fewer fields than expected, and why these are expected.
pub(super) fn wrong_field_count(found: usize, why: &str, expected: usize) -> String {
    format!("{}, but {why} {expected}", pluralize(found, "field"))
}

/// Checks that nothing stands after the last separator.
pub(super) fn check_is_empty(last: &[u8]) -> Result<(), String> {
    let last = last.trim_ascii();
    if last.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the last field is {:?}, but in the first rows nothing stands after the last separator; name its column in the header",
        String::from_utf8_lossy(last)
    ))
}

/// Says which field has a number that cannot be read.
pub(super) fn wrong_number(field: usize, problem: &str) -> String {
    format!("field {}: {problem}", field + 1)
}

/// The error of a bad row.
fn bad_row(line: u64, problem: &str) -> String {
    format!("line {line}: {problem}; data.bad_rows = \"skip\" leaves such rows out")
}

/// Checks that fields are text.
fn check_text<'a>(fields: impl Iterator<Item = &'a [u8]>, encoding: TextEncoding) -> Result<(), String> {
    for (i, field) in fields.enumerate() {
        let column = i + 1;
        if field.contains(&0) {
            return Err("it has a NUL byte, which no text has".to_owned());
        }
        if let Err(error) = std::str::from_utf8(field) {
            return Err(match encoding {
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

/// Collects records one by one. Returns false at the end.
pub(super) fn collect<R: Records + ?Sized>(records: &mut R, block: &mut RecordBlock) -> Result<bool, String> {
    *block = RecordBlock::default();
    let mut record = Record::default();
    while block.text.len() < BLOCK_BYTES && block.len() < BLOCK_BYTES && records.next(&mut record)? {
        block.push(&record, records.line());
    }
    Ok(block.len() > 0)
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
        let Ok(text) = std::str::from_utf8(field) else { return Ok(()) };
        let is_value = match self.kind {
            ColumnKind::Number => number(field).is_some(),
            ColumnKind::Date => days(text).is_some(),
            // The reader checks the entries.
            ColumnKind::Category | ColumnKind::Sparse => true,
        };
        if is_value || is_missing(field) || is_marked(text, &self.missing) {
            return Ok(());
        }
        let what = if self.kind == ColumnKind::Date { "date" } else { "number" };
        Err(format!("column {:?}: {:?} is no {what}", self.name, text.chars().take(40).collect::<String>()))
    }
}

/// Checks the rows of a text, and counts those that are left out.
pub(super) struct RowCheck {
    pub(super) required: Vec<Required>,
    pub(super) encoding: TextEncoding,
    pub(super) bad_rows: BadRows,
    /// Whether bad rows are returned in their places.
    pub(super) keeps_bad: bool,
    readable: u32,
    pub(super) skipped: Skipped,
}

impl RowCheck {
    pub(super) fn new(encoding: TextEncoding, bad_rows: BadRows) -> Self {
        Self { required: Vec::new(), encoding, bad_rows, keeps_bad: false, readable: 0, skipped: Skipped::default() }
    }

    /// Checks that the fields are text.
    pub(super) fn check_text(&self, fields: &ByteRecord) -> Result<(), String> {
        let text = fields.as_slice();
        if text.is_ascii() && !text.contains(&0) { Ok(()) } else { check_text(fields.iter(), self.encoding) }
    }

    /// Checks that the fields of a row have the required values, if it would be left out otherwise.
    pub(super) fn check_values(&self, fields: &ByteRecord) -> Result<(), String> {
        match self.bad_rows {
            BadRows::Skip => self.required.iter().try_for_each(|required| required.check(fields)),
            BadRows::Error => Ok(()),
        }
    }

    /// Returns whether a row is used. A bad row is kept or counted, if the options say so.
    pub(super) fn accept(&mut self, row: Result<(), String>, line: u64, record: &mut Record) -> Result<bool, String> {
        record.problem = None;
        match row {
            Err(problem) if self.keeps_bad => {
                record.problem = Some(problem);
                Ok(true)
            }
            Ok(()) => {
                self.readable = self.readable.saturating_add(1);
                Ok(true)
            }
            Err(problem) if self.bad_rows == BadRows::Skip => {
                self.skipped.add(|| format!("line {line}: {problem}"), self.readable);
                Ok(false)
            }
            Err(problem) => Err(bad_row(line, &problem)),
        }
    }
}
