//! Tables: a header of names, rows of numbers, and one label column. The file may have any table
//! format of the [`readers`](crate::readers).
//!
//! White space around a field is ignored. A name that may have white space inside quotes is
//! refused. Rows are identified by their lines in the file; the header is line 1. A field that is
//! not a number is an error; nothing is guessed.
//!
//! A table needs up to 4 times as much memory as its file has bytes, decompressed. [`TableSummary`]
//! needs at most that much and at most 2 KiB a column. Both need at most 100 MB more for the header
//! and one line. [`MAX_COLUMNS`] and [`MAX_ROW_LENGTH`] limit these.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;

use serde::Serialize;

use crate::numbers::Values;
use crate::readers::{Record, Records, records};
use chainrule_core::{ContentError, MAX_ABS_VALUE, MAX_CLASSES};

/// The selection of columns.
#[derive(Clone, Copy, Debug)]
pub enum Columns<'a> {
    /// All columns except the label and the ignored columns are features.
    AllBut {
        /// The label column.
        label: &'a str,
        /// The ignored columns.
        ignored: &'a [String],
    },
    /// These feature columns, in this order. All other columns are ignored.
    Named {
        /// The feature columns.
        features: &'a [String],
        /// The label column, if labels are needed.
        label: Option<&'a str>,
    },
}

/// A table in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The feature names.
    pub columns: Vec<String>,
    /// `n * d` numbers, row by row.
    pub values: Values,
    /// The position of each row's label in `classes`. Empty if no labels were requested.
    pub labels: Vec<u8>,
    /// The labels that occur, in numeric order if all are numbers, else in character order.
    pub classes: Vec<String>,
    /// The line of each row, from 2.
    pub lines: Vec<u32>,
    /// The SHA-256 of the file, decompressed.
    pub sha256: String,
}

/// The largest number of columns.
pub const MAX_COLUMNS: usize = 100_000;
/// The largest number of bytes in a row, including all line breaks.
pub const MAX_ROW_LENGTH: u64 = 4 << 20;
/// The largest number of characters in a name.
const MAX_NAME_LENGTH: usize = 100;
/// An error stops listing names after this many bytes.
const MAX_LIST_LENGTH: usize = 250;

impl Table {
    /// Reads a table, plain or gzipped.
    ///
    /// `max_bytes` limits both the decompressed file and the numbers in memory.
    ///
    /// # Errors
    /// Returns what is wrong, with line and column.
    pub fn read(reader: impl Read, columns: Columns, max_bytes: u64) -> Result<Self, ContentError> {
        Ok(parse(records(reader, max_bytes)?, columns, max_bytes)?)
    }

    /// Returns the column names of the first line.
    ///
    /// # Errors
    /// Fails if these are not valid names.
    pub fn header(reader: impl Read, max_bytes: u64) -> Result<Vec<String>, ContentError> {
        Ok(header(&mut *records(reader, max_bytes)?)?)
    }

    /// Returns the number of features, d.
    pub fn n_features(&self) -> usize {
        self.columns.len()
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the numbers of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn row(&self, row: usize) -> Vec<f64> {
        self.values.row(self.n_features(), row)
    }
}

/// A summary of a column, whether or not it can be used for training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnSummary {
    /// The name.
    pub name: String,
    /// The number of fields that are numbers.
    pub numbers: u64,
    /// The number of empty fields.
    pub missing: u64,
    /// The number of other fields.
    pub texts: u64,
    /// The smallest number.
    pub smallest: Option<f64>,
    /// The largest number.
    pub largest: Option<f64>,
    /// The number of distinct fields; `None` if there are too many for classes.
    pub different: Option<usize>,
}

/// A summary of a table, whether or not it can be used for training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableSummary {
    /// The number of rows below the header.
    pub rows: u64,
    /// The SHA-256 of the file, decompressed.
    pub sha256: String,
    /// The columns.
    pub columns: Vec<ColumnSummary>,
}

impl TableSummary {
    /// Reads a table of any length without keeping its rows.
    ///
    /// # Errors
    /// Fails if the table has no header, or if a row has a different number of fields.
    pub fn read(reader: impl Read) -> Result<Self, ContentError> {
        let mut records = records(reader, u64::MAX)?;
        let header = header(&mut *records)?;
        let mut columns: Vec<ColumnSummary> = header.iter().map(|name| ColumnSummary::new(name)).collect();
        let mut seen: Vec<DistinctValues> = header.iter().map(|_| DistinctValues::default()).collect();
        let (mut rows, mut record) = (0, Record::default());
        while records.next(&mut record)? {
            if record.fields.len() != header.len() {
                return Err(format!("line {}{}", records.line(&record)?, wrong_field_count(&record, &header)).into());
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

/// The sorted hashes of distinct fields; `None` once there are too many for classes. So few 64-bit
/// hashes do not collide in practice.
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
        let Err(index) = hashes.binary_search(&hasher.finish()) else { return };
        if hashes.len() == MAX_CLASSES {
            self.0 = None;
            return;
        }
        // Grow slowly: with 100,000 columns, doubling each vector would cost much memory.
        if hashes.len() == hashes.capacity() {
            hashes.reserve_exact(4.max(hashes.len() / 4));
        }
        hashes.insert(index, hasher.finish());
    }
}

impl ColumnSummary {
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

fn wrong_field_count(record: &Record, header: &[String]) -> String {
    format!(": {} fields, but the header has {}", record.fields.len(), header.len())
}

/// Returns a name without the white space around it.
///
/// White space inside quotes belongs to the name, but csv does not distinguish it from white space
/// around the name. Such a name is refused, so that two different names are never confused.
fn name(field: &[u8], has_quotes: bool) -> Result<&str, &'static str> {
    let name = field.trim_ascii();
    if name.starts_with(b"\"") && !field.starts_with(b"\"") {
        return Err("begins with white space before a quote, so the quote would be part of it; remove the white space");
    }
    if has_quotes && name.len() < field.len() {
        return Err(
            "begins or ends with white space in a row with quotes, where it may be part of the name; remove the white space or the quotes",
        );
    }
    std::str::from_utf8(name).map_err(|_| "is not UTF-8")
}

fn parse(mut records: Box<dyn Records + '_>, columns: Columns, max_bytes: u64) -> Result<Table, String> {
    let header = header(&mut *records)?;
    let selected = ColumnIndices::new(&header, columns)?;
    let mut rows = TableBuilder::default();
    let mut record = Record::default();
    while records.next(&mut record)? {
        let line = records.line(&record)?;
        rows.add(&record, line, &header, &selected).map_err(|problem| format!("line {line}{problem}"))?;
        if rows.values.bytes() > max_bytes {
            return Err(format!(
                "line {line}: its numbers so far take {} bytes, more than data.resident_bytes = {max_bytes} allows in memory",
                rows.values.bytes()
            ));
        }
    }
    if rows.lines.is_empty() {
        return Err("it has no rows below its header".to_owned());
    }
    let names: Vec<String> = selected.features.iter().map(|&column| header[column].clone()).collect();
    if let (Columns::AllBut { .. }, Some(j)) = (columns, rows.constant(names.len())) {
        let (name, value) = (&names[j], rows.values.get(j));
        return Err(format!(
            "column {name:?} is {value} in every row, so it cannot distinguish classes; exclude it with data.ignore = [{name:?}]"
        ));
    }
    let (labels, classes) = rows.with_sorted_classes();
    Ok(Table { columns: names, values: rows.values, labels, classes, lines: rows.lines, sha256: records.sha256() })
}

/// Reads the column names from the first record.
fn header(records: &mut dyn Records) -> Result<Vec<String>, String> {
    let mut record = Record::default();
    records.next(&mut record)?;
    let Record { fields, has_quotes } = record;
    let mut header: Vec<String> = Vec::new();
    if fields.len() > MAX_COLUMNS {
        return Err(format!("line 1: it has {} columns; at most {MAX_COLUMNS} are supported", fields.len()));
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

/// Returns why this is not a valid name.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        name if name.chars().count() > MAX_NAME_LENGTH => Some("has more than 100 characters"),
        name if name.chars().any(char::is_control) => Some("has a control character"),
        _ => None,
    }
}

/// Lists some names for an error.
pub(crate) fn listed(names: &[String]) -> String {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        if text.len() > MAX_LIST_LENGTH {
            return text + &format!(" and {} more", names.len() - i);
        }
        text += if i == 0 { "" } else { ", " };
        text += name;
    }
    text
}

/// The indices of the selected columns in a record.
struct ColumnIndices {
    features: Vec<usize>,
    label: Option<usize>,
}

impl ColumnIndices {
    fn new(header: &[String], columns: Columns) -> Result<Self, String> {
        let index = |name: &str| header.iter().position(|column| column == name);
        let column_list = || format!("its columns are {}", listed(header));
        let label_index =
            |label: &str| index(label).ok_or_else(|| format!("no label column {label:?}; {}", column_list()));
        match columns {
            Columns::AllBut { label, ignored } => {
                let label = label_index(label)?;
                if let Some(unknown) = ignored.iter().find(|name| index(name).is_none()) {
                    return Err(format!("no column {unknown:?}, which data.ignore names; {}", column_list()));
                }
                let features: Vec<usize> =
                    (0..header.len()).filter(|&i| i != label && !ignored.contains(&header[i])).collect();
                if features.is_empty() {
                    return Err(format!("no feature column is left; {}", column_list()));
                }
                Ok(Self { features, label: Some(label) })
            }
            Columns::Named { features, label } => {
                let indices: BTreeMap<&str, usize> =
                    header.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
                let missing: Vec<String> =
                    features.iter().filter(|name| !indices.contains_key(name.as_str())).cloned().collect();
                if !missing.is_empty() {
                    return Err(format!("no column {}, which the model needs; {}", listed(&missing), column_list()));
                }
                let features = features.iter().map(|name| indices[name.as_str()]).collect();
                Ok(Self { features, label: label.map(label_index).transpose()? })
            }
        }
    }
}

/// The rows read so far.
#[derive(Default)]
struct TableBuilder {
    values: Values,
    /// Label positions in the order of first occurrence.
    labels: Vec<u8>,
    classes: BTreeMap<String, u8>,
    lines: Vec<u32>,
}

impl TableBuilder {
    fn add(&mut self, record: &Record, line: u64, header: &[String], selected: &ColumnIndices) -> Result<(), String> {
        let Record { fields, has_quotes } = record;
        if fields.len() != header.len() {
            return Err(wrong_field_count(record, header));
        }
        for &column in &selected.features {
            let value = number(fields[column].trim_ascii())
                .map_err(|problem| format!(", column {:?}: {problem}", header[column]))?;
            self.values.push(value);
        }
        if let Some(column) = selected.label {
            let wrong = |problem: &str| format!(", column {:?}: the label {problem}", header[column]);
            let label = name(&fields[column], *has_quotes).map_err(wrong)?;
            if let Some(problem) = name_problem(label) {
                return Err(wrong(problem));
            }
            let found = self.classes.len();
            let position = match self.classes.get(label) {
                Some(&position) => position,
                None if found == MAX_CLASSES => {
                    return Err(format!(
                        ", column {:?}: this is the {}th different label; at most {MAX_CLASSES} classes are supported; is this the right column (data.label)?",
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
        self.lines.push(u32::try_from(line).map_err(|_| ": lines after line 4294967295 cannot be read".to_owned())?);
        Ok(())
    }

    /// Returns the first of d features that has the same value in all rows. Returns `None` for a
    /// single row.
    fn constant(&self, d: usize) -> Option<usize> {
        let value = |row: usize, j: usize| self.values.get(row * d + j);
        let is_constant = |&j: &usize| (1..self.lines.len()).all(|row| value(row, j) == value(0, j));
        (0..d).filter(|_| self.lines.len() > 1).find(is_constant)
    }

    /// Returns the labels as positions among the sorted classes, and the classes. See
    /// [`sorted_labels`].
    fn with_sorted_classes(&self) -> (Vec<u8>, Vec<String>) {
        let classes = sorted_labels(self.classes.keys().cloned().collect());
        let mut position = [0; MAX_CLASSES];
        for (i, name) in (0..=u8::MAX).zip(&classes) {
            position[usize::from(self.classes[name])] = i;
        }
        (self.labels.iter().map(|&first| position[usize::from(first)]).collect(), classes)
    }
}

/// Sorts labels: in numeric order if all are numbers, else in character order.
pub fn sorted_labels(labels: BTreeSet<String>) -> Vec<String> {
    let sizes: Option<Vec<f64>> = labels.iter().map(|label| number(label.as_bytes()).ok()).collect();
    let labels: Vec<String> = labels.into_iter().collect();
    let Some(sizes) = sizes else { return labels };
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by(|&i, &j| sizes[i].total_cmp(&sizes[j]));
    by_size.into_iter().map(|i| labels[i].clone()).collect()
}

pub(crate) fn number(field: &[u8]) -> Result<f64, String> {
    let advice = "fill it in, remove the row, or ignore the column (data.ignore)";
    if field.is_empty() {
        return Err(format!("a value is missing; {advice}"));
    }
    let text = std::str::from_utf8(field).map_err(|_| "not UTF-8".to_owned())?;
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number.abs() <= MAX_ABS_VALUE => Ok(number),
        Ok(number) if number.is_finite() => Err(format!("{number:e} is not between ±{MAX_ABS_VALUE:e}")),
        _ => {
            let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(40).collect();
            Err(format!("{shown:?} is not a number; {advice}"))
        }
    }
}
