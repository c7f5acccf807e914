//! CSV: a header of names, below it numbers, and one column of labels.
//!
//! Fields are parted by commas and may be quoted, as RFC 4180 has it; white space around them is
//! none of them, and names that may have some in quotes are refused. Rows are counted by the lines
//! of the file, the header's being 1. What is not a number is refused and never guessed.
//!
//! A table takes up to 4 times as much memory as its file has bytes, decompressed, and
//! [`AboutTable`] no more than that and at most 2 KiB a column, beside 100 MB at most for a header
//! and a line: of these a file may have [`MOST_COLUMNS`] and [`LONGEST_ROW`].

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, BufReader, Read};

use csv::{ByteRecord, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;
use serde::Serialize;

use crate::checksum::Checksum;
use crate::foreign::foreign;
use crate::numbers::Values;
use chainrule_core::ContentError;

/// Which columns are read.
#[derive(Clone, Copy, Debug)]
pub enum Columns<'a> {
    /// All are features but the label's and these.
    AllBut {
        /// The column of labels.
        label: &'a str,
        /// Columns that are passed over.
        ignored: &'a [String],
    },
    /// These, in this order; others are passed over.
    Named {
        /// The features.
        features: &'a [String],
        /// The column of labels, where these are wanted.
        label: Option<&'a str>,
    },
}

/// A table in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The features' names.
    pub columns: Vec<String>,
    /// `n * d` numbers, row by row.
    pub values: Values,
    /// For each row the position of its label among the `classes`; empty where no labels were
    /// wanted.
    pub labels: Vec<u8>,
    /// The labels that occur: by size where all are numbers, else by their characters.
    pub classes: Vec<String>,
    /// For each row its line, from 2.
    pub lines: Vec<u32>,
    /// SHA-256 of the file, decompressed.
    pub sha256: String,
}

/// Columns of a table, at most.
pub const MOST_COLUMNS: usize = 100_000;
/// Bytes of a row with all of its line breaks, at most.
pub const LONGEST_ROW: u64 = 4 << 20;
/// The largest number, up to its sign.
const LARGEST: f64 = 1e30;
/// Labels that differ, at most.
const MOST_CLASSES: usize = 256;
/// Characters of a name, at most.
const LONGEST_NAME: usize = 100;
/// Bytes of names after which an error lists no more.
const LONGEST_LIST: usize = 250;

impl Table {
    /// Reads a table, plain or gzipped, of up to so many bytes, decompressed, and numbers of up to
    /// as many.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn read(reader: impl Read, columns: Columns, most_bytes: u64) -> Result<Self, ContentError> {
        Ok(parse(decompressed(reader)?, columns, most_bytes)?)
    }

    /// The names in the first line.
    ///
    /// # Errors
    /// Where these are no names.
    pub fn header(reader: impl Read, most_bytes: u64) -> Result<Vec<String>, ContentError> {
        let mut source = Hashed::new(decompressed(reader)?, most_bytes);
        Ok(header(&mut csv_reader(&mut source))?)
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        self.columns.len()
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The numbers of a row.
    ///
    /// # Panics
    /// Where `row` is past the end.
    pub fn row(&self, row: usize) -> Vec<f64> {
        self.values.row(self.n_features(), row)
    }
}

/// What is in a column, whatever it may be good for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AboutColumn {
    /// Its name.
    pub name: String,
    /// Fields that are numbers.
    pub numbers: u64,
    /// Fields that are empty.
    pub missing: u64,
    /// Fields that are something else.
    pub texts: u64,
    /// The smallest number.
    pub smallest: Option<f64>,
    /// The largest number.
    pub largest: Option<f64>,
    /// Fields that differ, where they are no more than can be told apart as classes.
    pub different: Option<usize>,
}

/// What is in a table, whatever it may be good for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AboutTable {
    /// Rows below the header.
    pub rows: u64,
    /// SHA-256 of the file, decompressed.
    pub sha256: String,
    /// Column by column.
    pub columns: Vec<AboutColumn>,
}

impl AboutTable {
    /// Reads a table of whatever length, without keeping it.
    ///
    /// # Errors
    /// Where it has no header, or a row is ragged.
    pub fn read(reader: impl Read) -> Result<Self, ContentError> {
        let mut source = Hashed::new(decompressed(reader)?, u64::MAX);
        let mut reader = csv_reader(&mut source);
        let header = header(&mut reader)?;
        let mut columns: Vec<AboutColumn> = header.iter().map(|name| AboutColumn::new(name)).collect();
        let mut seen: Vec<Seen> = header.iter().map(|_| Seen::default()).collect();
        let (mut rows, mut record) = (0, ByteRecord::new());
        while next(&mut reader, &mut record)?.is_some() {
            if record.len() != header.len() {
                return Err(format!("line {}{}", line(&reader, &record)?, ragged(&record, &header)).into());
            }
            rows += 1;
            for ((field, column), seen) in record.iter().map(<[u8]>::trim_ascii).zip(&mut columns).zip(&mut seen) {
                column.add(field);
                seen.add(field);
            }
        }
        drop(reader);
        for (column, seen) in columns.iter_mut().zip(seen) {
            column.different = seen.0.map(|hashes| hashes.len());
        }
        Ok(Self { rows, sha256: source.checksum.finish(), columns })
    }
}

/// Hashes of the fields that differ, in order, until there are more than can be told apart as
/// classes. That two of so few have the same of 2^64 hashes does not happen.
struct Seen(Option<Vec<u64>>);

impl Default for Seen {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl Seen {
    fn add(&mut self, field: &[u8]) {
        let Some(hashes) = &mut self.0 else { return };
        let mut hasher = DefaultHasher::new();
        hasher.write(field);
        let Err(place) = hashes.binary_search(&hasher.finish()) else { return };
        if hashes.len() == MOST_CLASSES {
            self.0 = None;
            return;
        }
        // Of a hundred thousand columns room for twice as many would be felt.
        if hashes.len() == hashes.capacity() {
            hashes.reserve_exact(4.max(hashes.len() / 4));
        }
        hashes.insert(place, hasher.finish());
    }
}

impl AboutColumn {
    fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, numbers: 0, missing: 0, texts: 0, smallest: None, largest: None, different: None }
    }

    fn add(&mut self, field: &[u8]) {
        match number(field) {
            Ok(number) => {
                self.numbers += 1;
                self.smallest = Some(self.smallest.map_or(number, |smallest| smallest.min(number)));
                self.largest = Some(self.largest.map_or(number, |largest| largest.max(number)));
            }
            Err(_) if field.is_empty() => self.missing += 1,
            Err(_) => self.texts += 1,
        }
    }
}

/// The line that a record begins in, which was read last. What csv itself says is that of the blank
/// lines before it. Behind it is exactly one line end, and before that those in quotes.
fn line<R: Read>(reader: &csv::Reader<R>, record: &ByteRecord) -> Result<u64, String> {
    let inside = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
    let end = reader.position().line();
    // A quote that nobody closes takes all the rest of the file in, with its last line end.
    if record.as_slice().ends_with(b"\n") {
        return Err(format!(
            "line {}: a quote is not closed, or closed only after a line break",
            end.saturating_sub(inside)
        ));
    }
    Ok(end.saturating_sub(1 + inside))
}

fn ragged(record: &ByteRecord, header: &[String]) -> String {
    format!(": {} fields, and the header has {}", record.len(), header.len())
}

/// The text of a file, plain or gzipped, unless its beginning is that of something else.
fn decompressed<'a>(reader: impl Read + 'a) -> Result<Box<dyn Read + 'a>, String> {
    let mut reader = BufReader::new(reader);
    let is_gzip = reader.fill_buf().map_err(|error| error.to_string())?.starts_with(&[0x1f, 0x8b]);
    let mut text: BufReader<Box<dyn Read + 'a>> =
        BufReader::new(if is_gzip { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) });
    match foreign(text.fill_buf().map_err(|error| error.to_string())?) {
        Some(problem) => Err(problem),
        None => Ok(Box::new(text)),
    }
}

/// Ragged rows are let through, to be told by their line.
fn csv_reader<R: Read>(source: R) -> csv::Reader<R> {
    ReaderBuilder::new().has_headers(false).flexible(true).from_reader(source)
}

fn problem(error: csv::Error) -> String {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        other => format!("not CSV: {other:?}"),
    }
}

/// Whether a row has quotes around a field, which is not told of each.
#[derive(Clone, Copy, PartialEq)]
enum Quotes {
    Some,
    None,
}

/// Reads the next row, where there is one.
fn next<R: Read>(reader: &mut csv::Reader<&mut Hashed<R>>, record: &mut ByteRecord) -> Result<Option<Quotes>, String> {
    let start = reader.position().clone();
    let source = reader.get_mut();
    (source.left_of_row, source.is_too_long) = (LONGEST_ROW, false);
    let read = reader.read_byte_record(record);
    if reader.get_ref().is_too_long {
        return Err(format!(
            "line {}: it goes on for more than {LONGEST_ROW} bytes; perhaps a quote is not closed",
            start.line()
        ));
    }
    let is_read = read.map_err(problem)?;
    // Of a row without quotes each byte is a field's, a comma or the line's end, and each line
    // before it is blank.
    let breaks = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
    let lines = (reader.position().line() - start.line()).saturating_sub(breaks);
    let plain = record.as_slice().len() as u64 + (record.len() as u64).saturating_sub(1) + lines;
    let more = (reader.position().byte() - start.byte()).saturating_sub(plain);
    let is_byte_order_mark = start.byte() == 0 && more == 3;
    let quotes = if more == 0 || is_byte_order_mark { Quotes::None } else { Quotes::Some };
    Ok(is_read.then_some(quotes))
}

/// A name without the white space around it. White space in its quotes would be a part of it, and
/// is not told apart: such a name is refused, so that no two of them are taken for one.
fn name(field: &[u8], quotes: Quotes) -> Result<&str, &'static str> {
    let name = field.trim_ascii();
    if name.starts_with(b"\"") && !field.starts_with(b"\"") {
        return Err("begins with a quote behind a blank, so that the quote would be a part of it; leave the blank out");
    }
    if quotes == Quotes::Some && name.len() < field.len() {
        return Err(
            "begins or ends with a blank, in a row with quotes, where it may be a part of it; leave the blank out, or the quotes",
        );
    }
    std::str::from_utf8(name).map_err(|_| "is not UTF-8")
}

fn parse(source: impl Read, columns: Columns, most_bytes: u64) -> Result<Table, String> {
    let mut source = Hashed::new(source, most_bytes);
    let mut reader = csv_reader(&mut source);
    let header = header(&mut reader)?;
    let chosen = Chosen::new(&header, columns)?;
    let mut rows = Rows::default();
    let mut record = ByteRecord::new();
    while let Some(quotes) = next(&mut reader, &mut record)? {
        let line = line(&reader, &record)?;
        rows.add(&record, quotes, line, &header, &chosen).map_err(|problem| format!("line {line}{problem}"))?;
        if rows.values.bytes() > most_bytes {
            return Err(format!(
                "line {line}: its numbers up to here take {} bytes, more than data.resident_bytes = {most_bytes} takes into memory",
                rows.values.bytes()
            ));
        }
    }
    drop(reader);
    if rows.lines.is_empty() {
        return Err("it has no rows below its header".to_owned());
    }
    let names: Vec<String> = chosen.features.iter().map(|&column| header[column].clone()).collect();
    if let (Columns::AllBut { .. }, Some(j)) = (columns, rows.constant(names.len())) {
        let (name, value) = (&names[j], rows.values.get(j));
        return Err(format!(
            "column {name:?} is {value} in every row, so that it tells no class from another; leave it out with data.ignore = [{name:?}]"
        ));
    }
    let (labels, classes) = rows.in_order();
    Ok(Table {
        columns: names,
        values: rows.values,
        labels,
        classes,
        lines: rows.lines,
        sha256: source.checksum.finish(),
    })
}

/// The names in the first line.
fn header<R: Read>(reader: &mut csv::Reader<&mut Hashed<R>>) -> Result<Vec<String>, String> {
    let mut record = ByteRecord::new();
    let quotes = next(reader, &mut record)?.unwrap_or(Quotes::None);
    let mut header: Vec<String> = Vec::new();
    if record.len() > MOST_COLUMNS {
        return Err(format!("line 1: it has {} columns, and at most {MOST_COLUMNS} are read", record.len()));
    }
    if let Some(separator) = other_separator(&record) {
        let name = if separator == '\t' { "tabs".to_owned() } else { format!("{separator:?}") };
        return Err(format!(
            "line 1: its columns seem to be parted by {name}, and {name} are not read; save it with commas between them"
        ));
    }
    for (i, name) in record.iter().enumerate() {
        let column = i + 1;
        let name =
            self::name(name, quotes).map_err(|problem| format!("line 1: the name of column {column} {problem}"))?;
        if let Some(problem) = name_problem(name) {
            let hint = if name.is_empty() { "; pandas writes a column without a name unless index=False" } else { "" };
            return Err(format!("line 1: the name of column {column} {problem}{hint}"));
        }
        header.push(name.to_owned());
    }
    if header.is_empty() {
        return Err("it is empty; expected a header row of names".to_owned());
    }
    if header.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err("line 1: it has only numbers; expected a header row of names".to_owned());
    }
    let mut sorted: Vec<&String> = header.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("line 1: two columns are named {:?}", pair[0])),
        None => Ok(header),
    }
}

/// What parts the columns where these are not parted by commas: tabs, which no name has, or what is
/// in the only name.
fn other_separator(record: &ByteRecord) -> Option<char> {
    let has = |field: &[u8], separator: char| field.contains(&(separator as u8));
    let mut fields = record.iter();
    match (fields.next(), fields.next()) {
        (Some(_), _) if record.iter().any(|field| has(field, '\t')) => Some('\t'),
        (Some(only), None) => [';', '|'].into_iter().find(|&separator| has(only, separator)),
        _ => None,
    }
}

/// Why this can be no name.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        name if name.chars().count() > LONGEST_NAME => Some("has more than 100 characters"),
        name if name.chars().any(char::is_control) => Some("has a control character in it"),
        _ => None,
    }
}

/// A few names, for an error.
pub(crate) fn listed(names: &[String]) -> String {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        if text.len() > LONGEST_LIST {
            return text + &format!(" and {} more", names.len() - i);
        }
        text += if i == 0 { "" } else { ", " };
        text += name;
    }
    text
}

/// Places of columns in a record.
struct Chosen {
    features: Vec<usize>,
    label: Option<usize>,
}

impl Chosen {
    fn new(header: &[String], columns: Columns) -> Result<Self, String> {
        let place = |name: &str| header.iter().position(|column| column == name);
        let known = || format!("its columns are {}", listed(header));
        let label_place =
            |label: &str| place(label).ok_or_else(|| format!("no column {label:?} of labels; {}", known()));
        match columns {
            Columns::AllBut { label, ignored } => {
                let label = label_place(label)?;
                if let Some(stranger) = ignored.iter().find(|name| place(name).is_none()) {
                    return Err(format!("no column {stranger:?}, which data.ignore leaves out; {}", known()));
                }
                let features: Vec<usize> =
                    (0..header.len()).filter(|&i| i != label && !ignored.contains(&header[i])).collect();
                if features.is_empty() {
                    return Err(format!("no column is left to learn from; {}", known()));
                }
                Ok(Self { features, label: Some(label) })
            }
            Columns::Named { features, label } => {
                let places: BTreeMap<&str, usize> =
                    header.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
                let missing: Vec<String> =
                    features.iter().filter(|name| !places.contains_key(name.as_str())).cloned().collect();
                if !missing.is_empty() {
                    return Err(format!("no column {}, from which the model learnt; {}", listed(&missing), known()));
                }
                let features = features.iter().map(|name| places[name.as_str()]).collect();
                Ok(Self { features, label: label.map(label_place).transpose()? })
            }
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Rows {
    values: Values,
    /// In the order of their first rows.
    labels: Vec<u8>,
    classes: BTreeMap<String, u8>,
    lines: Vec<u32>,
}

impl Rows {
    fn add(
        &mut self,
        record: &ByteRecord,
        quotes: Quotes,
        line: u64,
        header: &[String],
        chosen: &Chosen,
    ) -> Result<(), String> {
        if record.len() != header.len() {
            return Err(ragged(record, header));
        }
        for &column in &chosen.features {
            let value = number(record[column].trim_ascii())
                .map_err(|problem| format!(", column {:?}: {problem}", header[column]))?;
            self.values.push(value);
        }
        if let Some(column) = chosen.label {
            let wrong = |problem: &str| format!(", column {:?}: the label {problem}", header[column]);
            let label = name(&record[column], quotes).map_err(wrong)?;
            if let Some(problem) = name_problem(label) {
                return Err(wrong(problem));
            }
            let found = self.classes.len();
            let position = match self.classes.get(label) {
                Some(&position) => position,
                None if found == MOST_CLASSES => {
                    return Err(format!(
                        ", column {:?}: this is the {}th different label, and at most {MOST_CLASSES} classes are told apart; \
                         is it the right column (data.label)?",
                        header[column],
                        found + 1
                    ));
                }
                None => {
                    self.classes.insert(label.to_owned(), found as u8);
                    found as u8
                }
            };
            self.labels.push(position);
        }
        self.lines.push(u32::try_from(line).map_err(|_| ": beyond the 4294967295 lines that are read".to_owned())?);
        Ok(())
    }

    /// The first of d features that is the same in all rows, of which there is more than one.
    fn constant(&self, d: usize) -> Option<usize> {
        let value = |row: usize, j: usize| self.values.get(row * d + j);
        let is_constant = |&j: &usize| (1..self.lines.len()).all(|row| value(row, j) == value(0, j));
        (0..d).filter(|_| self.lines.len() > 1).find(is_constant)
    }

    /// The labels as positions among the classes, by size where all are numbers, else by their
    /// characters.
    fn in_order(&self) -> (Vec<u8>, Vec<String>) {
        let classes = in_label_order(self.classes.keys().cloned().collect());
        let mut position = [0; MOST_CLASSES];
        for (i, name) in (0..=u8::MAX).zip(&classes) {
            position[usize::from(self.classes[name])] = i;
        }
        (self.labels.iter().map(|&first| position[usize::from(first)]).collect(), classes)
    }
}

/// Labels in the order of their classes: by size where all are numbers, else by their characters.
pub fn in_label_order(labels: BTreeSet<String>) -> Vec<String> {
    let sizes: Option<Vec<f64>> = labels.iter().map(|label| number(label.as_bytes()).ok()).collect();
    let labels: Vec<String> = labels.into_iter().collect();
    let Some(sizes) = sizes else { return labels };
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by(|&i, &j| sizes[i].total_cmp(&sizes[j]));
    by_size.into_iter().map(|i| labels[i].clone()).collect()
}

pub(crate) fn number(field: &[u8]) -> Result<f64, String> {
    let way_out = "fill it in, leave out the row, or the column (data.ignore)";
    if field.is_empty() {
        return Err(format!("a value is missing; {way_out}"));
    }
    let text = std::str::from_utf8(field).map_err(|_| "not UTF-8".to_owned())?;
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number.abs() <= LARGEST => Ok(number),
        Ok(number) if number.is_finite() => Err(format!("{number:e} is larger than {LARGEST:e}")),
        _ => {
            let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(40).collect();
            Err(format!("{shown:?} is no number; {way_out}"))
        }
    }
}

/// A reader whose bytes are summed up and may only be so many, in all and between two rows. It
/// gives one `\n` for each line end, of whichever kind, and one behind the last line.
struct Hashed<R> {
    source: R,
    checksum: Checksum,
    left: u64,
    most: u64,
    /// Of the row that is being read; whether it had more.
    left_of_row: u64,
    is_too_long: bool,
    after_return: bool,
    ends_line: bool,
}

impl<R> Hashed<R> {
    fn new(source: R, most: u64) -> Self {
        Self {
            source,
            checksum: Checksum::default(),
            left: most,
            most,
            left_of_row: LONGEST_ROW,
            is_too_long: false,
            after_return: false,
            ends_line: true,
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.source.read(room)?;
            let Some(first) = room.first_mut() else { return Ok(0) };
            if count == 0 {
                if self.ends_line {
                    return Ok(0);
                }
                *first = b'\n';
                self.ends_line = true;
                return Ok(1);
            }
            self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
                let most = self.most;
                io::Error::other(format!(
                    "it has more than the {most} bytes that data.resident_bytes takes into memory"
                ))
            })?;
            let left_of_row = self.left_of_row.checked_sub(count as u64);
            self.is_too_long = left_of_row.is_none();
            self.left_of_row = left_of_row.ok_or_else(|| io::Error::other("a row is too long"))?;
            self.checksum.update(&room[..count]);
            let mut kept = 0;
            for i in 0..count {
                let byte = room[i];
                let is_second = self.after_return && byte == b'\n';
                self.after_return = byte == b'\r';
                if !is_second {
                    room[kept] = if self.after_return { b'\n' } else { byte };
                    kept += 1;
                }
            }
            if kept > 0 {
                self.ends_line = room[kept - 1] == b'\n';
                return Ok(kept);
            }
        }
    }
}
