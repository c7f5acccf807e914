//! Tables: a header of names, rows of fields, and one label column. The file may have any table
//! format of the [`readers`](crate::readers).
//!
//! White space around a field is ignored. A column or a label whose name may have white space
//! inside quotes is refused. Rows are identified by their lines in the file; the header is line 1.
//! A table stores its fields as they were read. A recipe, which is learnt from training rows, turns
//! them into features.
//!
//! A table needs up to 4 times as much memory as its file has bytes, decompressed. [`TableSummary`]
//! needs at most that much and at most 2 KiB a column. Both need at most 100 MB more for the header
//! and one line. [`MAX_COLUMNS`] and [`MAX_ROW_LENGTH`] limit these.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;

use serde::Serialize;

use chainrule_core::{ContentError, MAX_ABS_VALUE, MAX_CLASSES, name_problem};

use crate::cells::{Cell, Cells, MISSING, Texts};
use crate::numbers::Values;
use crate::readers::{Record, Records, records};

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
    /// Reads a table, plain or compressed.
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
        &self.cells.columns
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

impl ColumnSummary {
    fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, numbers: 0, missing: 0, texts: 0, smallest: None, largest: None, different: None }
    }

    fn add(&mut self, field: &[u8]) {
        match number(field) {
            Some(number) => {
                self.numbers += 1;
                self.smallest = Some(self.smallest.map_or(number, |smallest| smallest.min(number)));
                self.largest = Some(self.largest.map_or(number, |largest| largest.max(number)));
            }
            None if field.is_empty() || MISSING.iter().any(|mark| mark.as_bytes() == field) => self.missing += 1,
            None => self.texts += 1,
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
    let chosen = ColumnIndices::new(&header, columns)?;
    let mut rows =
        TableBuilder { texts: chosen.features.iter().map(|_| Texts::default()).collect(), ..TableBuilder::default() };
    let mut record = Record::default();
    while records.next(&mut record)? {
        let line = records.line(&record)?;
        rows.add(&record, line, &header, &chosen).map_err(|problem| format!("line {line}{problem}"))?;
        if rows.bytes() > max_bytes {
            return Err(format!(
                "line {line}: its rows so far take {} bytes, more than data.resident_bytes = {max_bytes} allows in memory",
                rows.bytes()
            ));
        }
    }
    if rows.lines.is_empty() {
        return Err("it has no rows below its header".to_owned());
    }
    let TableBuilder { values, texts, labels, classes, groups, lines, .. } = rows;
    let columns = chosen.features.iter().map(|&column| header[column].clone()).collect();
    let classes = classes.iter().map(str::to_owned).collect();
    let cells = Cells { columns, values, texts, lines };
    Ok(Table { cells, header, labels, classes, groups, sha256: records.sha256() })
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
            return Err(format!("line 1: the name of column {column} {problem}"));
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

/// The indices of the selected columns in a record.
struct ColumnIndices {
    features: Vec<usize>,
    /// Whether all fields of a feature column are texts.
    are_texts: Vec<bool>,
    label: Option<usize>,
    group: Option<usize>,
}

impl ColumnIndices {
    fn new(header: &[String], columns: Columns) -> Result<Self, String> {
        let Columns { features, ignored, label, group, texts } = columns;
        let places: BTreeMap<&str, usize> = header.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let place = |name: &str, what: &str| {
            places
                .get(name)
                .copied()
                .ok_or_else(|| format!("no column {name:?}{what}; its columns are {}", listed(header)))
        };
        let label = label.map(|label| place(label, " for the label")).transpose()?;
        let group = group.map(|group| place(group, ", by which data.group groups the rows")).transpose()?;
        ignored.iter().try_for_each(|name| place(name, ", which data.ignore names").map(drop))?;
        let features: Vec<usize> = match features {
            None => {
                let is_feature = |i: &usize| Some(*i) != label && Some(*i) != group && !ignored.contains(&header[*i]);
                (0..header.len()).filter(is_feature).collect()
            }
            Some(features) => {
                let missing: Vec<String> =
                    features.iter().filter(|name| !places.contains_key(name.as_str())).cloned().collect();
                if !missing.is_empty() {
                    let (missing, known) = (listed(&missing), listed(header));
                    return Err(format!("no column {missing}, which the model needs; its columns are {known}"));
                }
                features.iter().map(|name| places[name.as_str()]).collect()
            }
        };
        if features.is_empty() {
            return Err(format!("no feature column is left; its columns are {}", listed(header)));
        }
        let are_texts = features.iter().map(|&i| texts.contains(&header[i])).collect();
        Ok(Self { features, are_texts, label, group })
    }
}

/// The rows read so far.
#[derive(Default)]
struct TableBuilder {
    values: Values,
    texts: Vec<Texts>,
    labels: Vec<u16>,
    classes: Texts,
    groups: Vec<u32>,
    of_group: Texts,
    lines: Vec<u32>,
}

impl TableBuilder {
    fn add(&mut self, record: &Record, line: u64, header: &[String], chosen: &ColumnIndices) -> Result<(), String> {
        let Record { fields, has_quotes } = record;
        if fields.len() != header.len() {
            return Err(wrong_field_count(record, header));
        }
        let at = |column: usize, problem: &str| format!(", column {:?}: {problem}", header[column]);
        for ((&column, &is_text), texts) in chosen.features.iter().zip(&chosen.are_texts).zip(&mut self.texts) {
            let cell = cell(&fields[column], is_text, texts).map_err(|problem| at(column, problem))?;
            self.values.push(cell.to_stored());
        }
        if let Some(column) = chosen.label {
            let wrong = |problem: &str| at(column, &format!("the label {problem}"));
            let label = name(&fields[column], *has_quotes).map_err(wrong)?;
            // An empty label is a missing one.
            if let Some(problem) = name_problem(label).filter(|_| !label.is_empty()) {
                return Err(wrong(problem));
            }
            if self.classes.len() == MAX_CLASSES && !self.classes.has(label) {
                return Err(at(
                    column,
                    &format!(
                        "this is the {}th different label; at most {MAX_CLASSES} classes are supported; is this the right column (data.label)?",
                        MAX_CLASSES + 1
                    ),
                ));
            }
            self.labels.push(self.classes.position(label) as u16);
        }
        if let Some(column) = chosen.group {
            let group = text(&fields[column]).map_err(|problem| at(column, problem))?;
            if group.is_empty() {
                return Err(at(column, "the group is missing; leave out the row, or data.group"));
            }
            self.groups.push(self.of_group.position(group));
        }
        self.lines.push(u32::try_from(line).map_err(|_| ": lines after line 4294967295 cannot be read".to_owned())?);
        Ok(())
    }

    /// Returns the memory that the fields take, in bytes.
    fn bytes(&self) -> u64 {
        let texts = self.texts.iter().chain([&self.classes, &self.of_group]);
        self.values.bytes() + texts.map(Texts::bytes).sum::<u64>()
    }
}

/// Returns the cell of a field.
fn cell(field: &[u8], is_text: bool, texts: &mut Texts) -> Result<Cell, &'static str> {
    let text = text(field)?;
    if text.is_empty() {
        return Ok(Cell::Empty);
    }
    // Numbers that are too large or not finite are texts here. The recipe refuses them.
    let number = if is_text { None } else { text.parse::<f64>().ok().filter(|number| number.abs() <= MAX_ABS_VALUE) };
    Ok(number.map_or_else(|| Cell::Text(texts.position(text)), Cell::Number))
}

/// Returns a field's text without the white space around it.
fn text(field: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(field.trim_ascii()).map_err(|_| "not UTF-8")
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
    let number = std::str::from_utf8(field).ok()?.parse::<f64>().ok()?;
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
