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
use std::sync::Arc;

use serde::Serialize;

use chainrule_core::{ColumnKind, ContentError, DataConfig, MAX_ABS_VALUE, MISSING, TextOptions, listed, pluralize};

use crate::builder::{ColumnIndices, Memory, TableBuilder, TablePart};
use crate::cells::{Cells, FileRows, Unit};
use crate::decimal::{Form, decimal};
use crate::header::Names;
use crate::in_order::convert_in_order;
use crate::labels::RowCodes;
use crate::read_as::ReadAs;
use crate::readers::{
    Batches, Field, Fields, Input, Limits, OpenTable, Record, RecordBlock, Records, Required, TableContent,
};
use crate::sparse::each_entry;

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
    /// The column whose numbers weigh the rows, if any. It is no feature.
    pub weight: Option<&'a str>,
    /// Feature columns whose fields are all read as texts, even if they look like numbers.
    pub texts: &'a [String],
    /// How the text of the file is read.
    pub text: TextOptions,
    /// Columns whose values must be of a kind. A row with another value is bad (`data.bad_rows`).
    pub required: &'a [(String, ColumnKind)],
    /// Texts that mark a missing value in these columns, besides the usual ones.
    pub missing: &'a [String],
    /// Whether long columns keep every number exactly. A model has a scale of its own, so what is
    /// little for these rows may be much for it.
    pub exact: bool,
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
    pub(crate) labels: Arc<RowCodes>,
    /// The labels that occur, also marks of missing ones, in the order of their first rows.
    pub classes: Vec<String>,
    /// The group of each row, from 0. Empty if no groups were requested.
    pub(crate) groups: Vec<u32>,
    /// The kinds of columns that the file declares.
    pub(crate) kinds: Vec<(String, ColumnKind)>,
    /// The files that were read.
    pub files: Vec<TableFile>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct TableFile {
    /// The name, or the path beside other files. Empty if the content came from memory.
    pub name: String,
    /// What it was taken for.
    pub read_as: ReadAs,
    /// The SHA-256 of the content, decompressed.
    pub sha256: String,
}

/// The largest number of columns.
pub const MAX_COLUMNS: usize = 100_000;
/// The largest number of bytes in a row, including all line breaks.
pub const MAX_ROW_LENGTH: u64 = 4 << 20;

impl Table {
    /// Reads a table, plain or compressed.
    ///
    /// `max_bytes` limits both the decompressed file and the numbers in memory.
    ///
    /// # Errors
    /// Returns what is wrong, with line and column.
    pub fn read(reader: impl Read, columns: Columns, max_bytes: u64) -> Result<Self, ContentError> {
        let mut tables = TableReader::new(columns, Memory { bytes: max_bytes, folder: None });
        tables.add(String::new(), Input::within(reader, max_bytes))?;
        tables.finish()
    }

    /// Returns the names of the columns.
    ///
    /// # Errors
    /// Fails if these are not valid names.
    pub(crate) fn header(input: Input, options: TextOptions, max_bytes: u64) -> Result<Vec<String>, ContentError> {
        Ok(header(&mut OpenTable::new(input, options, Limits::of_rows(max_bytes))?.content)?.names)
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.cells.lines.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.cells.lines.is_empty()
    }

    /// Returns the label of a row, or `None` if no labels were requested.
    pub fn label(&self, row: usize) -> Option<&str> {
        (row < self.labels.len()).then(|| self.classes[usize::from(self.labels.get(row))].as_str())
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
    /// The number of distinct fields; `None` if there are more than 256, or for sparse features.
    pub different: Option<usize>,
    /// The number of `INDEX:VALUE` entries, if the fields are sparse features. Each field is a text
    /// then, or missing, and the smallest and the largest number are values of entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
}

/// A summary of a table, whether or not it can be used for training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableSummary {
    /// What the file was taken for, and why.
    pub read_as: ReadAs,
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
        Self::read_with(reader, TextOptions::default())
    }

    /// Like [`read`](Self::read), with what is known of the text.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with(reader: impl Read, options: TextOptions) -> Result<Self, ContentError> {
        let memory = DataConfig::default().resident_bytes;
        Self::read_input(Input::within(reader, memory), options, memory)
    }

    /// As [`read_with`](Self::read_with). `memory` limits what is in memory of a file that is not
    /// read line by line.
    pub(crate) fn read_input(input: Input, options: TextOptions, memory: u64) -> Result<Self, ContentError> {
        let mut table = OpenTable::new(input, options, Limits::of_summary(memory))?;
        let Names { names: header, notes } = header(&mut table.content)?;
        let mut columns: Vec<ColumnCounts> = header.iter().map(|name| ColumnCounts::new(name)).collect();
        for (name, _) in table.content.kinds().iter().filter(|(_, kind)| *kind == ColumnKind::Sparse) {
            let sparse = columns.iter_mut().filter(|column| column.summary.name == *name);
            sparse.for_each(|column| column.summary.entries = Some(0));
        }
        let rows = match &mut table.content {
            TableContent::Records(records) => count_records(&mut **records, &mut columns)?,
            TableContent::Batches(batches) => count_batches(&mut **batches, &mut columns)?,
        };
        let columns = columns.into_iter().enumerate().map(|(j, ColumnCounts { mut summary, seen })| {
            summary.different = seen.0.map(|hashes| hashes.len());
            if table.content.unsupported(j).is_some() {
                (summary.texts, summary.different) = (rows, None);
            }
            if summary.entries.is_some() {
                summary.different = None;
            }
            summary
        });
        let columns = columns.collect();
        Ok(Self { read_as: table.read_as(notes), rows, sha256: table.sha256(), columns })
    }
}

/// Counts the fields of all records. Returns the number of records.
fn count_records(records: &mut dyn Records, columns: &mut [ColumnCounts]) -> Result<u64, String> {
    let (mut rows, mut block) = (0, RecordBlock::default());
    while records.next_block(&mut block)? {
        block.each(|row| {
            rows += 1;
            row.iter().zip(&mut *columns).for_each(|(field, column)| column.add(field.trim_ascii()));
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

impl TableContent<'_> {
    pub(crate) fn unit(&self) -> Unit {
        match self {
            Self::Records(_) => Unit::Line,
            Self::Batches(_) => Unit::Row,
        }
    }

    fn unsupported(&self, column: usize) -> Option<&'static str> {
        match self {
            Self::Records(_) => None,
            Self::Batches(batches) => batches.unsupported(column),
        }
    }

    /// Returns the kinds of columns that the file itself declares.
    pub(crate) fn kinds(&self) -> &[(String, ColumnKind)] {
        match self {
            Self::Records(records) => records.kinds(),
            Self::Batches(_) => &[],
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
        if self.summary.entries.is_some() {
            self.summary.add_entries(field);
            return;
        }
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
        Self { name, numbers: 0, missing: 0, texts: 0, smallest: None, largest: None, different: None, entries: None }
    }

    fn add_number(&mut self, number: f64) {
        self.numbers += 1;
        self.extend_range(number);
    }

    /// Adds a field of sparse features. Training reports what is wrong with an entry.
    fn add_entries(&mut self, field: &[u8]) {
        let mut count = 0;
        let _ = each_entry(field, |_, value| {
            count += 1;
            self.extend_range(value);
        });
        *self.entries.get_or_insert(0) += count;
        match field {
            [] => self.missing += 1,
            _ => self.texts += 1,
        }
    }

    fn extend_range(&mut self, number: f64) {
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

/// Reads a table from one file after another. All must have the same columns.
pub(crate) struct TableReader<'a> {
    columns: Columns<'a>,
    memory: Memory<'a>,
    /// What is known after the first file.
    table: Option<(Vec<String>, ColumnIndices, TableBuilder)>,
    kinds: Vec<(String, ColumnKind)>,
    files: Vec<TableFile>,
}

impl<'a> TableReader<'a> {
    pub(crate) fn new(columns: Columns<'a>, memory: Memory<'a>) -> Self {
        Self { columns, memory, table: None, kinds: Vec::new(), files: Vec::new() }
    }

    /// Reads a file, plain or compressed.
    ///
    /// # Errors
    /// Returns what is wrong, with line and column.
    pub(crate) fn add(&mut self, name: String, input: Input) -> Result<(), ContentError> {
        // The text of a plain file is not kept. Compressed, a small file could have any size.
        let file = if input.is_plain_file() { u64::MAX } else { self.memory.bytes };
        let limits = Limits { file, ..Limits::of_rows(self.memory.bytes) };
        let mut open = OpenTable::new(input, self.columns.text, limits)?;
        let Names { names, notes } = header(&mut open.content)?;
        let (unit, kinds) = (open.content.unit(), open.content.kinds());
        let (header, chosen, rows) = match &mut self.table {
            Some(table) => {
                if let Some(problem) = other_columns(&names, &table.0) {
                    return Err(
                        format!("{problem} in {}; files of one table share a header", self.files[0].name).into()
                    );
                }
                table
            }
            table => {
                let chosen = ColumnIndices::new(&names, self.columns, kinds)?;
                self.kinds = kinds.to_vec();
                let rows = TableBuilder::new(&names, &chosen, self.columns.exact);
                table.insert((names, chosen, rows))
            }
        };
        rows.cells.files.push(FileRows { first: rows.cells.lines.len(), name: name.clone(), unit });
        let append = |part| rows.append(part, &self.memory);
        match &mut open.content {
            TableContent::Records(records) => {
                records.require(required(header, self.columns));
                convert_in_order(
                    || {
                        let mut block = RecordBlock::default();
                        Ok(records.next_block(&mut block)?.then_some(block))
                    },
                    |block| TablePart::parse(&block, header, chosen),
                    append,
                )?;
            }
            TableContent::Batches(batches) => {
                let used = chosen.used();
                for &column in &used {
                    if let Some(what) = batches.unsupported(column) {
                        return Err(ContentError::new(format!(
                            "column {:?}: {what} are not supported; convert them to numbers or texts, or leave the column out (data.ignore)",
                            header[column]
                        )));
                    }
                }
                batches.choose(&used);
                convert_in_order(|| batches.next(), |batch| TablePart::of_batch(&batch, header, chosen), append)?;
            }
        }
        self.files.push(TableFile { name, read_as: open.read_as(notes), sha256: open.sha256() });
        Ok(())
    }

    /// Returns the table.
    ///
    /// # Errors
    /// Fails if there is no row.
    pub(crate) fn finish(self) -> Result<Table, ContentError> {
        let no_rows = || ContentError::new("it has no rows below its header");
        let (header, _, rows) = self.table.ok_or_else(no_rows)?;
        let TableBuilder { mut cells, labels, classes, groups, .. } = rows;
        if cells.lines.is_empty() {
            let skipped = self.files.iter().find_map(|file| file.read_as.skipped_message());
            return Err(match (cells.unit(), skipped) {
                (Unit::Line, Some(skipped)) => ContentError::new(format!("no row is left; {skipped}")),
                (Unit::Line, None) => no_rows(),
                (Unit::Row, _) => ContentError::new("it has no rows"),
            });
        }
        if let [file] = &mut cells.files[..] {
            file.name.clear();
        }
        let classes = classes.iter().map(str::to_owned).collect();
        Ok(Table { cells, header, labels: labels.into(), classes, groups, kinds: self.kinds, files: self.files })
    }
}

/// Says how the columns of a file differ from those of the first file.
fn other_columns(names: &[String], first: &[String]) -> Option<String> {
    let different = names.iter().zip(first).position(|(own, other)| own != other);
    match different {
        Some(j) => Some(format!("its column {} is {:?}, but {:?}", j + 1, names[j], first[j])),
        None if names.len() == first.len() => None,
        None => Some(format!("it has {}, but there are {}", pluralize(names.len(), "column"), first.len())),
    }
}

/// Returns which fields must have a value of a kind.
fn required(header: &[String], columns: Columns) -> Vec<Required> {
    let of_column = |(name, kind): &(String, ColumnKind)| {
        let position = header.iter().position(|column| column == name)?;
        Some(Required { position, name: name.clone(), kind: *kind, missing: columns.missing.to_vec() })
    };
    columns.required.iter().filter_map(of_column).collect()
}

/// Reads the column names.
pub(crate) fn header(content: &mut TableContent) -> Result<Names, String> {
    match content {
        TableContent::Records(records) => {
            let mut record = Record::default();
            records.next(&mut record)?;
            if record.fields.is_empty() {
                return Err("it is empty; expected a header row of names".to_owned());
            }
            let names = Names::of(&record.fields, record.has_quotes);
            names.map_err(|problem| format!("line {}: {problem}", records.line()))
        }
        TableContent::Batches(batches) => match batches.names() {
            names if names.is_empty() => Err("it has no columns".to_owned()),
            names => Names::of(&names.into(), false),
        },
    }
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

/// Removes the advice from the problem of a row that is answered by it. There, nobody trains.
pub(crate) fn without_advice(problem: &str) -> &str {
    problem.strip_suffix(ADVICE).map_or(problem, |problem| problem.trim_end_matches("; "))
}

/// The problem of a text in a column of numbers.
pub(crate) fn no_number(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(40).collect();
    let outside = |number: &str| format!("{number} is not between ±{MAX_ABS_VALUE:e}; {ADVICE}");
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => outside(&format!("{number:e}")),
        // A number beyond f64, such as 1e400, is rounded to an infinite one.
        Ok(number) if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) => outside(&shown),
        _ => {
            let hint = match Form::of(text.as_bytes()) {
                Form::Other => "",
                form if form.has_comma() => " (its comma is a decimal mark only with data.decimal = \"comma\")",
                _ => " (marks between groups of digits are not read)",
            };
            format!("{shown:?} is not a number{hint}; {ADVICE}")
        }
    }
}

/// The problem of a missing number.
pub(crate) fn missing_value() -> String {
    format!("a value is missing; {ADVICE}")
}
