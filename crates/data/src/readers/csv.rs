//! CSV (RFC 4180) in all its dialects: commas, semicolons, tabs or bars, any of the usual
//! encodings.

use chainrule_core::{BadRows, TextOptions};
use csv::ByteRecord;

use super::records::{Lines, RecordBlock, RowCheck, collect, wrong_field_count, wrong_number, check_is_empty};
use super::splitter::{Splitter, WholeLines};
use super::text::{Beginning, TextSource, text_source};
use super::{Input, Limits, READERS, Read, Reader, Record, Records, Required, TableContent};
use crate::decimal::NumberFormat;
use crate::dialect::{Dialect, Shape};
use crate::foreign::is_foreign;
use crate::header::{ROW_NAMES, number_name};
use crate::read_as::ReadAs;

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
        &["csv", "tsv", "txt"]
    }

    fn about(&self) -> &'static str {
        "a table of numbers and texts, separated by commas, semicolons, tabs or bars"
    }

    /// CSV has no magic bytes. A file counts as CSV if no other reader accepts it and it is not a
    /// known unsupported format.
    fn sniff(&self, beginning: &[u8]) -> bool {
        let mut others = READERS.iter().filter(|other| other.name() != self.name());
        others.all(|other| !other.sniff(beginning)) && !is_foreign(beginning)
    }

    fn read(&self) -> Read {
        Read::Table(separated)
    }
}

/// Returns the records of a text, as its dialect and the options say.
pub(super) fn separated<'a>(
    mut input: Input<'a>,
    options: TextOptions,
    limits: Limits,
) -> Result<TableContent<'a>, String> {
    let beginning = Beginning::read(&mut input);
    let dialect = Dialect::of(beginning.sample(), &options)?;
    let source = text_source(beginning, input, dialect.encoding, limits.file);
    let splitter = Splitter::new(source, dialect.separator.byte());
    let rows = RowCheck::new(dialect.encoding, options.bad_rows);
    let records = Separated { splitter, dialect, rows, line: 1, fields: None, held: None };
    Ok(TableContent::Records(Box::new(records)))
}

struct Separated<'a> {
    splitter: Splitter<TextSource<'a>>,
    dialect: Dialect,
    rows: RowCheck,
    /// The first line of the record that was returned last.
    line: u64,
    /// The number of fields of each row. It is known after the first record.
    fields: Option<usize>,
    /// The first row of a table without a header, and its line. It is returned after the names.
    held: Option<(Record, u64)>,
}

impl Separated<'_> {
    /// Reads the next record as it is in the file.
    fn read(&mut self, record: &mut Record) -> Result<bool, String> {
        let Some(line) = self.splitter.next(record)? else { return Ok(false) };
        self.line = line;
        Ok(true)
    }

    /// Reads the first record, which fixes the number of fields.
    fn first(&mut self, record: &mut Record) -> Result<bool, String> {
        if self.dialect.has_separator_line {
            self.read(record)?;
        }
        if !self.read(record)? {
            return Ok(false);
        }
        self.rows.check_text(&record.fields).map_err(|problem| format!("line {}: {problem}", self.line))?;
        let fields = record.fields.len();
        if !self.dialect.has_header {
            self.fields = Some(fields);
            let names = fields - usize::from(self.dialect.shape != Shape::Plain);
            let held = std::mem::take(record);
            record.fields = (0..names).map(number_name).collect::<Vec<_>>().into();
            self.held = Some((held, self.line));
            return Ok(true);
        }
        self.fields = Some(match self.dialect.shape {
            Shape::Plain => fields,
            Shape::EmptyLast { in_header: true } => {
                record.fields.truncate(fields - 1);
                fields
            }
            Shape::EmptyLast { in_header: false } => fields + 1,
            Shape::RowNames => {
                let names = std::iter::once(ROW_NAMES.as_bytes()).chain(&record.fields);
                record.fields = names.collect::<Vec<_>>().into();
                fields + 1
            }
        });
        Ok(true)
    }

    /// Says why rows need a number of fields.
    fn why_expected(&self) -> &'static str {
        match (self.dialect.has_header, self.dialect.shape) {
            (true, Shape::Plain) => "the header has",
            (false, Shape::Plain) => "the first row has",
            _ => "other rows have",
        }
    }

    /// Gives a row the form that the names expect.
    fn normalize(&self, record: &mut Record, expected: usize) -> Result<(), String> {
        let fields = &mut record.fields;
        if fields.len() != expected {
            return Err(wrong_field_count(fields.len(), self.why_expected(), expected));
        }
        if matches!(self.dialect.shape, Shape::EmptyLast { .. }) {
            check_is_empty(&fields[expected - 1])?;
            fields.truncate(expected - 1);
        }
        if self.dialect.numbers != NumberFormat::Point {
            let (mut own, mut text) = (ByteRecord::with_capacity(fields.as_slice().len(), expected), Vec::new());
            for (i, field) in fields.iter().enumerate() {
                text.clear();
                let appended = self.dialect.numbers.append_with_point(field, &mut text);
                appended.map_err(|problem| wrong_number(i, &problem))?;
                own.push_field(&text);
            }
            *fields = own;
        }
        Ok(())
    }
}

impl Records for Separated<'_> {
    fn next(&mut self, record: &mut Record) -> Result<bool, String> {
        let Some(expected) = self.fields else { return self.first(record) };
        loop {
            match self.held.take() {
                Some((held, line)) => (*record, self.line) = (held, line),
                None if !self.read(record)? => return Ok(false),
                None => {}
            }
            let row = self.rows.check_text(&record.fields).and_then(|()| self.normalize(record, expected));
            let row = row.and_then(|()| self.rows.check_values(&record.fields));
            if self.rows.accept(row, self.line, record)? {
                return Ok(true);
            }
        }
    }

    fn next_block(&mut self, block: &mut RecordBlock) -> Result<bool, String> {
        let may_split_later = self.rows.bad_rows == BadRows::Error && self.held.is_none();
        if let Some(expected) = self.fields.filter(|_| may_split_later)
            && let Some(WholeLines { text, first_line, n_lines }) = self.splitter.next_lines()?
        {
            let &Dialect { separator, numbers, shape, .. } = &self.dialect;
            let (separator, encoding) = (separator.byte(), self.rows.encoding);
            let expected = (expected, self.why_expected());
            let has_empty_last = matches!(shape, Shape::EmptyLast { .. });
            let lines = Lines { separator, first_line, n_lines, expected, encoding, has_empty_last, numbers };
            *block = RecordBlock::of_lines(text, lines);
            return Ok(true);
        }
        collect(self, block)
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn require(&mut self, fields: Vec<Required>) {
        self.rows.required = fields;
    }

    fn keep_bad_rows(&mut self) {
        self.rows.keeps_bad = true;
    }

    fn read_as(&self) -> ReadAs {
        ReadAs {
            format: READER.name(),
            facts: self.dialect.facts.clone(),
            notes: Vec::new(),
            skipped: self.rows.skipped.clone(),
        }
    }

    fn sha256(self: Box<Self>) -> String {
        self.splitter.into_source().sha256()
    }
}
