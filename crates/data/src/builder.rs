//! Builds a table from blocks of records or batches of columns. Each is converted by itself, and
//! the parts are then joined in their order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chainrule_core::{ColumnKind, MAX_ABS_VALUE, MAX_CLASSES, listed, name_problem, one_line};

use crate::DataError;
use crate::cells::{Cell, Cells, Texts, is_marked};
use crate::column::{Column, ColumnPart};
use crate::decimal::decimal;
use crate::header::{is_missing, name};
use crate::labels::RowCodes;
use crate::readers::{Batch, Field, Fields, RecordBlock, Row};
use crate::row_lines::RowLines;
use crate::same_number::number_or_text;
use crate::scratch::Scratch;
use crate::sparse::SparsePart;
use crate::table::Columns;

/// The indices of the selected columns in a row.
pub(crate) struct ColumnIndices {
    features: Vec<usize>,
    /// Whether all fields of a feature column are texts.
    are_texts: Vec<bool>,
    /// The sparse column, if the file has one. It is the only feature column then.
    sparse: Option<usize>,
    label: Option<usize>,
    group: Option<usize>,
    weight: Option<usize>,
    /// Texts that mark a missing group or weight, besides the usual ones.
    missing: Vec<String>,
}

impl ColumnIndices {
    pub(crate) fn new(header: &[String], columns: Columns, kinds: &[(String, ColumnKind)]) -> Result<Self, String> {
        let Columns { features, ignored, label, group, weight, texts, missing, required, .. } = columns;
        let places: BTreeMap<&str, usize> = header.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let place = |name: &str, what: &str| {
            places
                .get(name)
                .copied()
                .ok_or_else(|| format!("no column {name:?}{what}; its columns are {}", listed(header)))
        };
        let label = label.map(|label| place(label, " for the label")).transpose()?;
        let group = group.map(|group| place(group, ", by which data.group groups the rows")).transpose()?;
        let weight = weight.map(|weight| place(weight, ", which data.weight names")).transpose()?;
        ignored.iter().try_for_each(|name| place(name, ", which data.ignore names").map(drop))?;
        let is_sparse = |(_, kind): &&(String, ColumnKind)| *kind == ColumnKind::Sparse;
        let sparse = kinds.iter().find(is_sparse).and_then(|(name, _)| places.get(name.as_str()).copied());
        if let Some(name) = sparse.filter(|column| [label, group, weight].contains(&Some(*column))).map(|i| &header[i])
        {
            return Err(format!(
                "column {name:?} has the sparse features of the rows; its columns are {}",
                listed(header)
            ));
        }
        let features: Vec<usize> = match features {
            None => {
                let is_feature = |i: &usize| {
                    let is_used = [label, group, weight].contains(&Some(*i)) || ignored.contains(&header[*i]);
                    !is_used && (sparse.is_none() || sparse == Some(*i))
                };
                (0..header.len()).filter(is_feature).collect()
            }
            Some(features) => {
                let unknown: Vec<String> =
                    features.iter().filter(|name| !places.contains_key(name.as_str())).cloned().collect();
                if !unknown.is_empty() {
                    let (unknown, known) = (listed(&unknown), listed(header));
                    return Err(format!("no column {unknown}, which the model needs; its columns are {known}"));
                }
                features.iter().map(|name| places[name.as_str()]).collect()
            }
        };
        if features.is_empty() {
            return Err(format!("no feature column is left; its columns are {}", listed(header)));
        }
        let sparse = sparse.filter(|column| features.contains(column));
        let needed = required.iter().find(is_sparse).map(|(name, _)| name);
        if let Some(name) = needed.filter(|name| sparse.is_none_or(|column| header[column] != **name)) {
            return Err(format!(
                "column {name:?} has one value in each row, but INDEX:VALUE entries are needed, as in an svmlight file"
            ));
        }
        if let Some(name) = sparse.map(|column| &header[column])
            && (features.len() > 1 || needed.is_none() && required.iter().any(|(column, _)| column == name))
        {
            return Err(format!("column {name:?} has INDEX:VALUE entries, but one value in each row is needed"));
        }
        let features = if sparse.is_some() { Vec::new() } else { features };
        let is_category = |name: &String| kinds.iter().any(|(own, kind)| own == name && *kind == ColumnKind::Category);
        let are_texts = features.iter().map(|&i| texts.contains(&header[i]) || is_category(&header[i])).collect();
        Ok(Self { features, are_texts, sparse, label, group, weight, missing: missing.to_vec() })
    }

    /// Returns the feature columns that are not sparse, and whether all their fields are texts.
    pub(crate) fn columns(&self) -> impl ExactSizeIterator<Item = (usize, bool)> {
        self.features.iter().copied().zip(self.are_texts.iter().copied())
    }

    /// Returns the sparse column, if the file has one and it is used.
    pub(crate) fn sparse(&self) -> Option<usize> {
        self.sparse
    }

    /// Returns all selected columns: the features, the label, the group and the weight.
    pub(crate) fn used(&self) -> Vec<usize> {
        self.features.iter().copied().chain(self.label).chain(self.group).chain(self.weight).collect()
    }
}

/// The positions of a column's texts, row by row.
#[derive(Default)]
struct Positions {
    of_row: Vec<u32>,
    texts: Texts,
}

impl Positions {
    fn push(&mut self, text: &str) {
        self.of_row.push(self.texts.position(text));
    }

    /// Appends a label. An empty one is missing.
    fn push_label(&mut self, field: &[u8], has_quotes: bool) -> Result<(), String> {
        let wrong = |problem: &str| format!("the label {problem}");
        let label = name(field, has_quotes).map_err(wrong)?;
        if let Some(problem) = name_problem(label).filter(|_| !label.is_empty()) {
            return Err(wrong(problem));
        }
        self.push(label);
        Ok(())
    }

    /// Appends a group. Equal numbers are one group.
    fn push_group(&mut self, group: &str, marks: &[String]) -> Result<(), String> {
        if is_missing(group.as_bytes()) || is_marked(group, marks) {
            let mark = if group.is_empty() { String::new() } else { format!(" ({group:?})") };
            return Err(format!("the group is missing{mark}; leave out the row, or data.group"));
        }
        self.push(&number_or_text(group));
        Ok(())
    }
}

/// Returns the weight in a field, which is this number, if it is one, and this text.
fn weight(number: Option<f64>, text: &str, marks: &[String]) -> Result<f64, String> {
    if is_missing(text.as_bytes()) || is_marked(text, marks) {
        let mark = if text.is_empty() { String::new() } else { format!(" ({text:?})") };
        return Err(format!("the weight is missing{mark}; leave out the row, or data.weight"));
    }
    // Adding 0 removes the sign of -0.
    let number = number.filter(|number| (0.0..=MAX_ABS_VALUE).contains(number)).map(|number| number + 0.0);
    number.ok_or_else(|| {
        format!("expected a weight, a number from 0 to {MAX_ABS_VALUE:e} (data.weight), found {:?}", one_line(text))
    })
}

/// The parsed records of a block, or the rows of a batch.
pub(crate) struct TablePart {
    columns: Vec<ColumnPart>,
    sparse: SparsePart,
    labels: Positions,
    groups: Positions,
    weights: ColumnPart,
    lines: RowLines,
}

impl TablePart {
    /// Parses the fields of a block.
    ///
    /// # Errors
    /// Returns what is wrong with a record, with line and column.
    pub(crate) fn parse(block: &RecordBlock, header: &[String], chosen: &ColumnIndices) -> Result<Self, String> {
        let n = block.max_records(header.len());
        let columns = chosen.features.iter().map(|_| ColumnPart::with_capacity(n)).collect();
        let mut part = Self {
            columns,
            sparse: SparsePart::default(),
            labels: Positions::default(),
            groups: Positions::default(),
            weights: ColumnPart::default(),
            lines: RowLines::default(),
        };
        block.each(|row| part.add(&row, header, chosen).map_err(|problem| format!("line {}{problem}", row.line)))?;
        Ok(part)
    }

    /// Converts the fields of a batch of [`used`](ColumnIndices::used) columns.
    ///
    /// # Errors
    /// Returns what is wrong with a row, with its number and column.
    pub(crate) fn of_batch(batch: &Batch, header: &[String], chosen: &ColumnIndices) -> Result<Self, String> {
        let last = batch.first_row + batch.n_rows as u64 - 1;
        if u32::try_from(last).is_err() {
            return Err("rows after row 4294967295 cannot be read".to_owned());
        }
        let (mut labels, mut groups) = (Positions::default(), Positions::default());
        let mut fields = batch.columns.iter();
        let features = chosen.are_texts.iter().zip(fields.by_ref());
        let columns = features.map(|(&is_text, fields)| {
            let mut cells = ColumnPart::with_capacity(batch.n_rows);
            (0..batch.n_rows).for_each(|row| push_value(&**fields, row, is_text, &mut cells));
            cells
        });
        let columns = columns.collect();
        let at = |row: usize, column: usize, problem: &str| {
            format!("row {}, column {:?}: {problem}", batch.first_row + row as u64, header[column])
        };
        if let Some(column) = chosen.label
            && let Some(fields) = fields.next()
        {
            for row in 0..batch.n_rows {
                let label = fields.text(row).unwrap_or_default();
                labels.push_label(label.as_bytes(), false).map_err(|problem| at(row, column, &problem))?;
            }
        }
        if let Some(column) = chosen.group
            && let Some(fields) = fields.next()
        {
            for row in 0..batch.n_rows {
                let group = fields.text(row).unwrap_or_default();
                let pushed = groups.push_group(group.trim_ascii(), &chosen.missing);
                pushed.map_err(|problem| at(row, column, &problem))?;
            }
        }
        let mut weights = ColumnPart::default();
        if let Some(column) = chosen.weight
            && let Some(fields) = fields.next()
        {
            for row in 0..batch.n_rows {
                let text = fields.text(row).unwrap_or_default();
                let text = text.trim_ascii();
                let weight = weight(number_in(&**fields, row), text, &chosen.missing)
                    .map_err(|problem| at(row, column, &problem))?;
                weights.push(Cell::Number(weight));
            }
        }
        let mut lines = RowLines::default();
        (batch.first_row..=last).for_each(|row| lines.push(row as u32));
        Ok(Self { columns, sparse: SparsePart::default(), labels, groups, weights, lines })
    }

    fn add(&mut self, row: &Row, header: &[String], chosen: &ColumnIndices) -> Result<(), String> {
        let at = |column: usize, problem: &str| format!(", column {:?}: {problem}", header[column]);
        for ((&column, &is_text), cells) in chosen.features.iter().zip(&chosen.are_texts).zip(&mut self.columns) {
            push_field(row, column, is_text, cells).map_err(|problem| at(column, problem))?;
        }
        if let Some(column) = chosen.sparse {
            let pushed = self.sparse.push(row.field(column));
            pushed
                .map_err(|problem| at(column, &format!("{problem}; data.bad_rows = \"skip\" leaves such rows out")))?;
        }
        if let Some(column) = chosen.label {
            let pushed = self.labels.push_label(row.field(column), row.has_quotes);
            pushed.map_err(|problem| at(column, &problem))?;
        }
        if let Some(column) = chosen.group {
            let group = row.trimmed(column).map_err(|problem| at(column, problem))?;
            let pushed = self.groups.push_group(group, &chosen.missing);
            pushed.map_err(|problem| at(column, &problem))?;
        }
        if let Some(column) = chosen.weight {
            let text = row.trimmed(column).map_err(|problem| at(column, problem))?;
            let weight = weight(decimal(text.as_bytes()), text, &chosen.missing);
            self.weights.push(Cell::Number(weight.map_err(|problem| at(column, &problem))?));
        }
        let line = u32::try_from(row.line).map_err(|_| ": lines after line 4294967295 cannot be read")?;
        self.lines.push(line);
        Ok(())
    }
}

/// Appends a field to its column.
pub(crate) fn push_field(row: &Row, field: usize, is_text: bool, cells: &mut ColumnPart) -> Result<(), &'static str> {
    if !is_text && push_number(decimal(row.field(field).trim_ascii()), cells) {
        return Ok(());
    }
    push_text(row.trimmed(field)?, cells);
    Ok(())
}

/// Appends a field of a batch to its column. It becomes the same cell as its text in a CSV file.
pub(crate) fn push_value(fields: &dyn Fields, row: usize, is_text: bool, cells: &mut ColumnPart) {
    if !is_text && push_number(number_in(fields, row), cells) {
        return;
    }
    push_text(fields.text(row).unwrap_or_default().trim_ascii(), cells);
}

/// Returns the number in a field of a batch, if it is one.
fn number_in(fields: &dyn Fields, row: usize) -> Option<f64> {
    match fields.field(row) {
        Field::Missing => None,
        Field::Number(number) => Some(number),
        Field::Text(text) => decimal(text.as_bytes().trim_ascii()),
    }
}

/// Appends a number. Returns false if there is none. Numbers that are too large are texts here; the
/// recipe refuses them.
fn push_number(number: Option<f64>, cells: &mut ColumnPart) -> bool {
    let number = number.filter(|number| number.abs() <= MAX_ABS_VALUE);
    number.into_iter().for_each(|number| cells.push(Cell::Number(number)));
    number.is_some()
}

fn push_text(text: &str, cells: &mut ColumnPart) {
    match text {
        "" => cells.push(Cell::Empty),
        text => cells.push_text(text),
    }
}

/// The memory of a table that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory<'a> {
    /// The largest number of bytes of its rows.
    pub(crate) bytes: u64,
    /// The folder on whose disk further rows are kept, if they may be.
    pub(crate) folder: Option<&'a Path>,
}

/// Once a table does not fit in memory, its rows are moved to a file in pieces of about this size.
const PIECE: u64 = 16 << 20;

/// The rows read so far.
pub(crate) struct TableBuilder {
    pub(crate) cells: Cells,
    /// The position of each row's label in `classes`.
    pub(crate) labels: RowCodes,
    pub(crate) classes: Texts,
    /// The position of each row's group.
    pub(crate) groups: Vec<u32>,
    of_group: Texts,
    /// The label column's name.
    label: String,
}

impl TableBuilder {
    pub(crate) fn new(header: &[String], chosen: &ColumnIndices, is_exact: bool) -> Self {
        let names = chosen.features.iter().chain(&chosen.sparse).map(|&column| header[column].clone()).collect();
        let columns = chosen.features.iter().map(|_| Column::new(is_exact)).collect();
        let sparse = chosen.sparse.map(|_| Box::default());
        let weights = chosen.weight.map(|_| Box::new(Column::new(true)));
        Self {
            cells: Cells { names, columns, sparse, weights, ..Cells::default() },
            labels: RowCodes::default(),
            classes: Texts::default(),
            groups: Vec::new(),
            of_group: Texts::default(),
            label: chosen.label.map(|column| header[column].clone()).unwrap_or_default(),
        }
    }

    /// Appends the rows that follow. Rows that do not fit in memory are moved to a file.
    ///
    /// # Errors
    /// Fails if there are too many classes, or if the rows take too much memory and cannot be
    /// moved.
    pub(crate) fn append(&mut self, part: TablePart, memory: &Memory) -> Result<(), String> {
        let TablePart { columns, sparse, labels, groups, weights, lines } = part;
        self.cells.columns.iter_mut().zip(columns).for_each(|(column, part)| column.append(part));
        self.cells.sparse.iter_mut().zip([sparse]).for_each(|(column, part)| column.append(part));
        self.cells.weights.iter_mut().zip([weights]).for_each(|(column, part)| column.append(part));
        let mut positions = Vec::with_capacity(labels.texts.len());
        for (own, label) in (0..).zip(labels.texts.iter()) {
            if self.classes.len() == MAX_CLASSES && !self.classes.has(label) {
                let row = labels.of_row.iter().position(|&label| label == own).unwrap_or_default();
                return Err(format!(
                    "{} {}, column {:?}: this is the {}th different label; at most {MAX_CLASSES} classes are supported; is this the right column (data.label)?",
                    self.cells.unit(),
                    lines.get(row).unwrap_or_default(),
                    self.label,
                    MAX_CLASSES + 1
                ));
            }
            positions.push(self.classes.position(label) as u16);
        }
        labels.of_row.iter().for_each(|&label| self.labels.push(positions[label as usize]));
        let positions: Vec<u32> = groups.texts.iter().map(|group| self.of_group.position(group)).collect();
        self.groups.extend(groups.of_row.iter().map(|&group| positions[group as usize]));
        let max_bytes = memory.bytes;
        let mut bytes = self.bytes();
        // A table that is long begins to move when it fills the memory, and goes on in pieces.
        let allowed = if self.cells.scratch.is_some() { max_bytes.min(PIECE) } else { max_bytes };
        if bytes > allowed
            && let Some(folder) = memory.folder.filter(|_| self.cells.sparse.is_none())
        {
            let problem = |problem: DataError| problem.to_string();
            let scratch = match &self.cells.scratch {
                Some(scratch) => Arc::clone(scratch),
                None => Arc::new(Scratch::new(folder, max_bytes).map_err(problem)?),
            };
            self.cells.move_to_file(&scratch).map_err(problem)?;
            self.cells.check().map_err(problem)?;
            bytes = self.bytes();
        }
        match lines.last().filter(|_| bytes > max_bytes) {
            Some(line) => Err(format!(
                "{} {line}: its rows so far take {bytes} bytes{}, more than data.resident_bytes = {max_bytes} allows in memory; increase it if this machine has the memory, or leave columns out with data.ignore",
                self.cells.unit(),
                if self.cells.scratch.is_some() {
                    " besides their file (labels, different texts, the latest rows)"
                } else {
                    ""
                }
            )),
            None => {
                self.cells.lines.append(&lines);
                Ok(())
            }
        }
    }

    /// Returns the memory that the fields take, in bytes.
    fn bytes(&self) -> u64 {
        let columns = self.cells.columns.iter().map(Column::bytes).sum::<u64>();
        let sparse = self.cells.sparse.as_ref().map_or(0, |column| column.bytes());
        let weights = self.cells.weights.as_ref().map_or(0, |column| column.bytes());
        let rows = self.labels.bytes() + size_of_val(&self.groups[..]) as u64;
        columns + sparse + weights + rows + self.classes.bytes() + self.of_group.bytes()
    }
}
