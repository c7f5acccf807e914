//! Tables: a header of names, below it numbers, and one column of labels, from any file that one of
//! the [`readers`](crate::readers) takes for a table.
//!
//! White space around a field is none of it, and names that may have some in quotes are refused.
//! Rows are counted by the lines of the file, the header's being 1. What is not a number is refused
//! and never guessed.
//!
//! A table takes up to 4 times as much memory as its file has bytes, decompressed, and
//! [`AboutTable`] no more than that and at most 2 KiB a column, beside 100 MB at most for a header
//! and a line: of these a file may have [`MOST_COLUMNS`] and [`LONGEST_ROW`].

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;

use serde::Serialize;

use crate::numbers::Values;
use crate::readers::{Record, Records, records};
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
        Ok(parse(records(reader, most_bytes)?, columns, most_bytes)?)
    }

    /// The names in the first line.
    ///
    /// # Errors
    /// Where these are no names.
    pub fn header(reader: impl Read, most_bytes: u64) -> Result<Vec<String>, ContentError> {
        Ok(header(&mut *records(reader, most_bytes)?)?)
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
        let mut records = records(reader, u64::MAX)?;
        let header = header(&mut *records)?;
        let mut columns: Vec<AboutColumn> = header.iter().map(|name| AboutColumn::new(name)).collect();
        let mut seen: Vec<DistinctValues> = header.iter().map(|_| DistinctValues::default()).collect();
        let (mut rows, mut record) = (0, Record::default());
        while records.next(&mut record)? {
            if record.fields.len() != header.len() {
                return Err(format!("line {}{}", records.line(&record)?, ragged(&record, &header)).into());
            }
            rows += 1;
            for ((field, column), seen) in record.fields.iter().map(<[u8]>::trim_ascii).zip(&mut columns).zip(&mut seen)
            {
                column.add(field);
                seen.add(field);
            }
        }
        for (column, seen) in columns.iter_mut().zip(seen) {
            column.different = seen.0.map(|hashes| hashes.len());
        }
        Ok(Self { rows, sha256: records.sha256(), columns })
    }
}

/// Hashes of the fields that differ, in order, until there are more than can be told apart as
/// classes. That two of so few have the same of 2^64 hashes does not happen.
struct DistinctValues(Option<Vec<u64>>);

impl Default for DistinctValues {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl DistinctValues {
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

fn ragged(record: &Record, header: &[String]) -> String {
    format!(": {} fields, and the header has {}", record.fields.len(), header.len())
}

/// A name without the white space around it. White space in its quotes would be a part of it, and
/// is not told apart: such a name is refused, so that no two of them are taken for one.
fn name(field: &[u8], has_quotes: bool) -> Result<&str, &'static str> {
    let name = field.trim_ascii();
    if name.starts_with(b"\"") && !field.starts_with(b"\"") {
        return Err("begins with a quote behind a blank, so that the quote would be a part of it; leave the blank out");
    }
    if has_quotes && name.len() < field.len() {
        return Err(
            "begins or ends with a blank, in a row with quotes, where it may be a part of it; leave the blank out, or the quotes",
        );
    }
    std::str::from_utf8(name).map_err(|_| "is not UTF-8")
}

fn parse(mut records: Box<dyn Records + '_>, columns: Columns, most_bytes: u64) -> Result<Table, String> {
    let header = header(&mut *records)?;
    let chosen = ColumnIndices::new(&header, columns)?;
    let mut rows = TableBuilder::default();
    let mut record = Record::default();
    while records.next(&mut record)? {
        let line = records.line(&record)?;
        rows.add(&record, line, &header, &chosen).map_err(|problem| format!("line {line}{problem}"))?;
        if rows.values.bytes() > most_bytes {
            return Err(format!(
                "line {line}: its numbers up to here take {} bytes, more than data.resident_bytes = {most_bytes} takes into memory",
                rows.values.bytes()
            ));
        }
    }
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
    Ok(Table { columns: names, values: rows.values, labels, classes, lines: rows.lines, sha256: records.sha256() })
}

/// The names in the first record.
fn header(records: &mut dyn Records) -> Result<Vec<String>, String> {
    let mut record = Record::default();
    records.next(&mut record)?;
    let Record { fields, has_quotes } = record;
    let mut header: Vec<String> = Vec::new();
    if fields.len() > MOST_COLUMNS {
        return Err(format!("line 1: it has {} columns, and at most {MOST_COLUMNS} are read", fields.len()));
    }
    for (i, name) in fields.iter().enumerate() {
        let column = i + 1;
        let name =
            self::name(name, has_quotes).map_err(|problem| format!("line 1: the name of column {column} {problem}"))?;
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
struct ColumnIndices {
    features: Vec<usize>,
    label: Option<usize>,
}

impl ColumnIndices {
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
struct TableBuilder {
    values: Values,
    /// In the order of their first rows.
    labels: Vec<u8>,
    classes: BTreeMap<String, u8>,
    lines: Vec<u32>,
}

impl TableBuilder {
    fn add(&mut self, record: &Record, line: u64, header: &[String], chosen: &ColumnIndices) -> Result<(), String> {
        let Record { fields, has_quotes } = record;
        if fields.len() != header.len() {
            return Err(ragged(record, header));
        }
        for &column in &chosen.features {
            let value = number(fields[column].trim_ascii())
                .map_err(|problem| format!(", column {:?}: {problem}", header[column]))?;
            self.values.push(value);
        }
        if let Some(column) = chosen.label {
            let wrong = |problem: &str| format!(", column {:?}: the label {problem}", header[column]);
            let label = name(&fields[column], *has_quotes).map_err(wrong)?;
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
