//! Tables: a header of names, rows of fields, and one label column. The file may have any table
//! format of the [`readers`](crate::readers).
//!
//! White space around a field is ignored. A column or a label whose name may have white space
//! inside quotes is refused. Rows are identified by their lines in the file; the header is line 1.
//! Rows of a table that is stored by columns are identified by their numbers, from 1.
//! A table stores its fields as they were read. A recipe, which is learnt from training rows, turns
//! them into features.
//!
//! A table needs up to 4 times as much memory as its file has bytes, decompressed. [`TableSummary`]
//! needs at most that much and at most 2 KiB a column. Both need at most 100 MB more for the header
//! and one line. [`MAX_COLUMNS`] and [`MAX_ROW_LENGTH`] limit these.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;

use serde::Serialize;

use chainrule_core::{ContentError, MAX_ABS_VALUE, name_problem};

use crate::builder::{ColumnIndices, TableBuilder, TablePart};
use crate::cells::{Cells, MISSING, Unit};
use crate::column::Column;
use crate::decimal::decimal;
use crate::in_order::convert_in_order;
use crate::readers::{Batches, Field, Fields, HowMany, Input, OpenTable, Record, RecordBlock, Records, open_table};

/// The selection of columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns<'a> {
    /// The feature columns, in this order. `None` means all columns that nothing else names.
    pub features: Option<&'a [String]>,
    /// The ignored columns.
    pub ignored: &'a [String],
    /// The label column, if labels are needed.
    pub label: Option<&'a str>,
    /// The column whose values group the rows, if any. It is no feature.
    pub group: Option<&'a str>,
    /// Feature columns whose fields are all read as texts, even if they look like numbers.
    pub texts: &'a [String],
}

/// A table in memory. Its fields are stored as they were read. A [`Recipe`] turns them into
/// features.
///
/// [`Recipe`]: chainrule_core::Recipe
#[derive(Clone, Debug)]
pub struct Table {
    /// The feature columns.
    pub(crate) cells: Cells,
    /// The names of all columns of the file.
    header: Vec<String>,
    /// The position of each row's label in `classes`. Empty if no labels were requested.
    pub labels: Vec<u16>,
    /// The labels that occur, also marks of missing ones, in the order of their first rows.
    pub classes: Vec<String>,
    /// The group of each row, from 0. Empty if no groups were requested.
    pub(crate) groups: Vec<u32>,
    /// The SHA-256 of the file, decompressed.
    pub sha256: String,
}

/// The largest number of columns.
pub const MAX_COLUMNS: usize = 100_000;
/// The largest number of bytes in a row, including all line breaks.
pub const MAX_ROW_LENGTH: u64 = 4 << 20;
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
        Self::read_input(Input::new(reader), columns, max_bytes)
    }

    /// As [`Table::read`].
    pub(crate) fn read_input(input: Input, columns: Columns, max_bytes: u64) -> Result<Self, ContentError> {
        Ok(parse(open_table(input, max_bytes)?, columns, max_bytes)?)
    }

    /// Returns the column names.
    ///
    /// # Errors
    /// Fails if these are not valid names.
    pub(crate) fn header(input: Input, max_bytes: u64) -> Result<Vec<String>, ContentError> {
        Ok(header(&mut open_table(input, max_bytes)?)?)
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.cells.lines.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.cells.lines.is_empty()
    }

    /// Returns the names of the feature columns.
    pub fn columns(&self) -> &[String] {
        &self.cells.names
    }

    /// Returns whether the file has a column with this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.header.iter().any(|column| column == name)
    }

    /// Lists the columns of the file for an error.
    pub(crate) fn known(&self) -> String {
        format!("its columns are {}", listed(&self.header))
    }
}

/// A summary of a column, whether or not it can be used for training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnSummary {
    /// The name.
    pub name: String,
    /// The number of fields that are numbers.
    pub numbers: u64,
    /// The number of empty fields and of the usual [marks of missing values](crate::MISSING).
    pub missing: u64,
    /// The number of other fields.
    pub texts: u64,
    /// The smallest number.
    pub smallest: Option<f64>,
    /// The largest number.
    pub largest: Option<f64>,
    /// The number of distinct fields; `None` if there are more than 256.
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
        Self::read_input(Input::new(reader))
    }

    /// As [`TableSummary::read`].
    pub(crate) fn read_input(input: Input) -> Result<Self, ContentError> {
        let mut table = open_table(input, u64::MAX)?;
        let header = header(&mut table)?;
        let mut columns: Vec<ColumnCounts> = header.iter().map(|name| ColumnCounts::new(name)).collect();
        let rows = match &mut table {
            OpenTable::Records(records) => count_records(&mut **records, &header, &mut columns)?,
            OpenTable::Batches(batches) => count_batches(&mut **batches, &mut columns)?,
        };
        let columns = columns.into_iter().enumerate().map(|(j, ColumnCounts { mut summary, seen })| {
            summary.different = seen.0.map(|hashes| hashes.len());
            if !table.is_readable(j) {
                (summary.texts, summary.different) = (rows, None);
            }
            summary
        });
        let columns = columns.collect();
        Ok(Self { rows, sha256: table.sha256(), columns })
    }
}

/// Counts the fields of all records. Returns the number of records.
fn count_records(records: &mut dyn Records, header: &[String], columns: &mut [ColumnCounts]) -> Result<u64, String> {
    let (mut rows, mut block) = (0, RecordBlock::default());
    while records.next(&mut block, HowMany::Some)? {
        block.each(|record| {
            if record.len() != header.len() {
                return Err(format!("line {}{}", record.line, wrong_field_count(&record, header)));
            }
            rows += 1;
            record.iter().zip(&mut *columns).for_each(|(field, column)| column.add(field.trim_ascii()));
            Ok(())
        })?;
    }
    Ok(rows)
}

/// Counts the fields of all columns that can be read. Returns the number of rows.
fn count_batches(batches: &mut dyn Batches, columns: &mut [ColumnCounts]) -> Result<u64, String> {
    let readable: Vec<usize> = (0..columns.len()).filter(|&column| batches.unsupported(column).is_none()).collect();
    batches.choose(&readable);
    let mut rows = 0;
    while let Some(batch) = batches.next()? {
        rows += batch.n_rows as u64;
        for (&column, fields) in readable.iter().zip(&batch.columns) {
            (0..batch.n_rows).for_each(|row| columns[column].add_value(&**fields, row));
        }
    }
    Ok(rows)
}

impl OpenTable<'_> {
    fn unit(&self) -> Unit {
        match self {
            Self::Records(_) => Unit::Line,
            Self::Batches(_) => Unit::Row,
        }
    }

    fn is_readable(&self, column: usize) -> bool {
        match self {
            Self::Records(_) => true,
            Self::Batches(batches) => batches.unsupported(column).is_none(),
        }
    }

    fn sha256(self) -> String {
        match self {
            Self::Records(records) => records.sha256(),
            Self::Batches(batches) => batches.sha256(),
        }
    }
}

/// The largest number of distinct fields that are counted.
const MAX_DISTINCT: usize = 256;

/// The sorted hashes of distinct fields; `None` once there are more than [`MAX_DISTINCT`]. So few
/// 64-bit hashes do not collide in practice.
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
        if hashes.len() == MAX_DISTINCT {
            self.0 = None;
            return;
        }
        // Grow slowly: with 100,000 columns, doubling each vector would cost much memory.
        if hashes.len() == hashes.capacity() {
            hashes.reserve_exact(4.max(hashes.len() / 4));
        }
        hashes.insert(place, hasher.finish());
    }
}

/// The summary of a column, while it is read.
struct ColumnCounts {
    summary: ColumnSummary,
    seen: DistinctValues,
}

impl ColumnCounts {
    fn new(name: &str) -> Self {
        Self { summary: ColumnSummary::new(name), seen: DistinctValues::default() }
    }

    fn add(&mut self, field: &[u8]) {
        self.summary.add(field);
        self.seen.add(field);
    }

    /// Adds a field of a batch.
    fn add_value(&mut self, fields: &dyn Fields, row: usize) {
        let text = || fields.text(row).unwrap_or_default();
        match fields.field(row) {
            // Writing a number takes long.
            Field::Number(number) if number.abs() <= MAX_ABS_VALUE => {
                self.summary.add_number(number);
                if self.seen.0.is_some() {
                    self.seen.add(text().as_bytes());
                }
            }
            _ => self.add(text().as_bytes().trim_ascii()),
        }
    }
}

impl ColumnSummary {
    fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, numbers: 0, missing: 0, texts: 0, smallest: None, largest: None, different: None }
    }

    fn add_number(&mut self, number: f64) {
        self.numbers += 1;
        self.smallest = Some(self.smallest.map_or(number, |smallest| smallest.min(number)));
        self.largest = Some(self.largest.map_or(number, |largest| largest.max(number)));
    }

    fn add(&mut self, field: &[u8]) {
        match number(field) {
            Some(number) => self.add_number(number),
            None if field.is_empty() || MISSING.iter().any(|mark| mark.as_bytes() == field) => self.missing += 1,
            None => self.texts += 1,
        }
    }
}

pub(crate) fn wrong_field_count(record: &Record, header: &[String]) -> String {
    format!(": {} fields, but the header has {}", record.len(), header.len())
}

/// Returns a name without the white space around it.
///
/// White space inside quotes belongs to the name, but csv does not distinguish it from white space
/// around the name. Such a name is refused, so that two different names are never confused.
pub(crate) fn name(field: &[u8], has_quotes: bool) -> Result<&str, &'static str> {
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

fn parse(mut table: OpenTable, columns: Columns, max_bytes: u64) -> Result<Table, String> {
    let header = header(&mut table)?;
    let chosen = ColumnIndices::new(&header, columns)?;
    let mut rows = TableBuilder::new(&header, &chosen, table.unit());
    let append = |part| rows.append(part, max_bytes);
    match &mut table {
        OpenTable::Records(records) => convert_in_order(
            || {
                let mut block = RecordBlock::default();
                Ok(records.next(&mut block, HowMany::Some)?.then_some(block))
            },
            |block| TablePart::parse(&block, &header, &chosen),
            append,
        )?,
        OpenTable::Batches(batches) => {
            let used = chosen.used();
            for &column in &used {
                if let Some(what) = batches.unsupported(column) {
                    return Err(format!(
                        "column {:?}: {what} are not supported; convert them to numbers or texts, or leave the column out (data.ignore)",
                        header[column]
                    ));
                }
            }
            batches.choose(&used);
            convert_in_order(|| batches.next(), |batch| TablePart::of_batch(&batch, &header, &chosen), append)?;
        }
    }
    let TableBuilder { mut cells, labels, classes, groups, .. } = rows;
    cells.columns.iter_mut().for_each(Column::close);
    let classes = classes.iter().map(str::to_owned).collect();
    if cells.lines.is_empty() {
        return Err(match cells.unit {
            Unit::Line => "it has no rows below its header".to_owned(),
            Unit::Row => "it has no rows".to_owned(),
        });
    }
    Ok(Table { cells, labels, classes, groups, sha256: table.sha256(), header })
}

/// Reads the column names.
fn header(table: &mut OpenTable) -> Result<Vec<String>, String> {
    let records = match table {
        OpenTable::Batches(batches) => {
            let names = batches.names();
            return match names.is_empty() {
                true => Err("it has no columns".to_owned()),
                false => self::names(&names.iter().map(String::as_bytes).collect::<Vec<_>>(), false),
            };
        }
        OpenTable::Records(records) => records,
    };
    let mut block = RecordBlock::default();
    records.next(&mut block, HowMany::One)?;
    let mut header = Vec::new();
    block.each(|record| {
        let fields: Vec<&[u8]> = record.iter().collect();
        header = names(&fields, record.has_quotes).map_err(|problem| format!("line 1: {problem}"))?;
        if header.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err("line 1: it has only numbers; expected a header row of names".to_owned());
        }
        Ok::<_, String>(())
    })?;
    if header.is_empty() {
        return Err("it is empty; expected a header row of names".to_owned());
    }
    Ok(header)
}

/// Returns the column names.
fn names(fields: &[&[u8]], has_quotes: bool) -> Result<Vec<String>, String> {
    let mut header: Vec<String> = Vec::new();
    if fields.len() > MAX_COLUMNS {
        return Err(format!("it has {} columns; at most {MAX_COLUMNS} are supported", fields.len()));
    }
    for (i, name) in fields.iter().enumerate() {
        let column = i + 1;
        let name = self::name(name, has_quotes).map_err(|problem| format!("the name of column {column} {problem}"))?;
        // As pandas names them. It writes its index without a name.
        if name.is_empty() {
            let is_taken = |name: &String| {
                fields.iter().any(|field| field.trim_ascii() == name.as_bytes()) || header.contains(name)
            };
            let again = (1..).map(|times| format!("Unnamed: {i}.{times}"));
            let free = std::iter::once(format!("Unnamed: {i}")).chain(again).find(|name| !is_taken(name));
            header.push(free.expect("some number is free"));
            continue;
        }
        if let Some(problem) = name_problem(name) {
            return Err(format!("the name of column {column} {problem}"));
        }
        header.push(name.to_owned());
    }
    let mut sorted: Vec<&String> = header.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two columns are named {:?}", pair[0])),
        None => Ok(header),
    }
}

/// Lists some names in quotes for an error.
pub(crate) fn quoted(names: &[String]) -> String {
    listed(&names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>())
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

/// Sorts labels: in numeric order if all are numbers, else in character order.
pub fn sorted_labels(labels: BTreeSet<String>) -> Vec<String> {
    let sizes: Option<Vec<f64>> = labels.iter().map(|label| number(label.as_bytes())).collect();
    let labels: Vec<String> = labels.into_iter().collect();
    let Some(sizes) = sizes else { return labels };
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by(|&i, &j| sizes[i].total_cmp(&sizes[j]));
    by_size.into_iter().map(|i| labels[i].clone()).collect()
}

/// Parses a number of at most [`MAX_ABS_VALUE`].
pub(crate) fn number(field: &[u8]) -> Option<f64> {
    let number = decimal(field)?;
    (number.abs() <= MAX_ABS_VALUE).then_some(number)
}

/// What to do about a field that is not a number.
const ADVICE: &str = "correct it or remove the row; in a training, data.missing names marks of missing values, data.ignore leaves the column out, and data.columns makes it a category";

/// The problem of a text in a column of numbers.
pub(crate) fn no_number(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => format!("{number:e} is not between ±{MAX_ABS_VALUE:e}"),
        _ => {
            let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(40).collect();
            format!("{shown:?} is not a number; {ADVICE}")
        }
    }
}

/// The problem of a missing number.
pub(crate) fn missing_value() -> String {
    format!("a value is missing; {ADVICE}")
}
