//! The rows of a file for a model, some at a time. So a file may have any size.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use chainrule_core::{BadRows, ContentError, Recipe, TextOptions, listed};

use crate::builder::{ColumnIndices, push_field, push_value};
use crate::cells::{Cell, Cells, Unit};
use crate::column::{Column, ColumnPart};
use crate::encode::{Encoder, PreparedRecipe, Unseen};
use crate::header::Names;
use crate::in_order::convert_in_order;
use crate::input_files::{STANDARD_INPUT, open};
use crate::labels::RowCodes;
use crate::readers::{self, Batch, Input, Limits, OpenTable, RecordBlock, Row, TableContent};
use crate::row_indices::RowIndices;
use crate::sparse::{SparseColumn, SparsePart};
use crate::table::{Columns, header};
use crate::tables::{categories, kinds};
use crate::{ReadAs, Rows, scratch_folder};

/// The most bytes in memory of a file that is not read line by line.
const MAX_MEMORY: u64 = 1 << 30;

/// Reads the rows of files for a model. A file may have any format of
/// [`READERS`](crate::readers::READERS) and any size.
///
/// The model's columns are found by name. All others are ignored, also the label, except those that
/// are kept.
#[derive(Clone, Debug)]
pub struct InputReader {
    prepared: Arc<PreparedRecipe>,
    kept: Vec<String>,
    text: TextOptions,
}

/// The rows of a file: an iterator of batches.
///
/// A row that cannot be read is a [problem](InputBatch::problems) of its batch, and the rows after
/// it are read all the same. A damaged file is an error, which ends the iteration.
pub struct InputRows<'a> {
    table: OpenTable<'a>,
    parser: Parser,
    /// What was changed in the names.
    notes: Vec<String>,
    has_rows: bool,
    is_at_end: bool,
}

/// Consecutive rows of a file.
#[derive(Clone, Debug)]
pub struct InputBatch {
    /// The features of the rows that can be read. All labels are 0.
    pub rows: Rows,
    /// For each row, also those that cannot be read, its line, from 1. In a table that is stored by
    /// columns, it is the number of the row, from 1.
    pub lines: Vec<u64>,
    /// What the lines count: `line`, or `row` in a table that is stored by columns.
    pub unit: &'static str,
    /// What is wrong with the rows that cannot be read, by their position in `lines`.
    pub problems: BTreeMap<usize, String>,
    /// The kept columns, in the order in which they were named.
    pub kept: Vec<KeptColumn>,
    /// Values that no training row has.
    pub unseen: Vec<Unseen>,
}

/// The fields of a column as texts.
#[derive(Clone, Debug, Default)]
pub struct KeptColumn {
    text: String,
    ends: Vec<usize>,
}

impl InputBatch {
    /// Returns a sentence for each row that cannot be read: where it is, and what is wrong with it.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|(&position, problem)| {
            let (unit, line) = (self.unit, self.lines[position]);
            let mark = if problem.starts_with("column ") { "," } else { ":" };
            format!("{unit} {line}{mark} {problem}")
        })
    }
}

impl KeptColumn {
    /// Returns the field of a row, as CSV has it. It is empty if the value is missing, or if the
    /// row cannot be split into fields.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn get(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        &self.text[start..self.ends[row]]
    }

    fn push(&mut self, field: &str) {
        self.text.push_str(field);
        self.ends.push(self.text.len());
    }
}

impl InputReader {
    /// Creates a reader for a model with this recipe, which also returns the columns `kept`.
    ///
    /// Each row is answered, so `text.bad_rows` has no effect.
    pub fn new(recipe: Recipe, kept: Vec<String>, text: TextOptions) -> Self {
        // Every row is returned, also a bad one.
        let text = TextOptions { bad_rows: BadRows::Error, ..text };
        Self { prepared: Arc::new(PreparedRecipe::new(recipe)), kept, text }
    }

    /// Returns the names of the kept columns.
    pub fn kept(&self) -> &[String] {
        &self.kept
    }

    /// Opens a file, plain or compressed, or standard input (`-`).
    ///
    /// # Errors
    /// Fails if the file cannot be opened or is no table, or if it lacks a column.
    pub fn open(&self, file: &Path) -> Result<InputRows<'static>, ContentError> {
        let input = match file == Path::new(STANDARD_INPUT) {
            true => Input::within(io::stdin(), MAX_MEMORY),
            false => Input::of_file(open(file, u64::MAX)?, MAX_MEMORY),
        };
        self.rows(input)
    }

    /// Reads rows from any source.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read<'a>(&self, source: impl Read + 'a) -> Result<InputRows<'a>, ContentError> {
        self.rows(Input::within(source, MAX_MEMORY))
    }

    /// Reads record batches in memory. A value is what it is in a Parquet file.
    ///
    /// # Errors
    /// Fails if they lack a column.
    #[cfg(feature = "arrow")]
    pub fn record_batches<'a>(
        &self,
        batches: impl arrow_array::RecordBatchReader + 'a,
    ) -> Result<InputRows<'a>, ContentError> {
        self.rows_of(OpenTable::of_record_batches(batches))
    }

    fn rows<'a>(&self, input: Input<'a>) -> Result<InputRows<'a>, ContentError> {
        self.rows_of(OpenTable::new(with_random_access(input)?, self.text, Limits::of_summary(MAX_MEMORY))?)
    }

    fn rows_of<'a>(&self, mut table: OpenTable<'a>) -> Result<InputRows<'a>, ContentError> {
        let recipe = self.prepared.recipe();
        let (features, texts, required) = (recipe.column_names(), categories(recipe), kinds(recipe));
        let columns = Columns {
            features: Some(&features),
            texts: &texts,
            text: self.text,
            required: &required,
            missing: &recipe.missing,
            exact: true,
            ..Columns::default()
        };
        let Names { names, notes } = header(&mut table.content)?;
        let features = ColumnIndices::new(&names, columns, table.content.kinds())?;
        let kept = self.kept.iter().map(|name| {
            let place = names.iter().position(|column| column == name);
            place.ok_or_else(|| format!("no column {name:?}, which is to be kept; its columns are {}", listed(&names)))
        });
        let kept = kept.collect::<Result<Vec<usize>, String>>()?;
        // A batch has each column once.
        let mut used = features.used();
        let kept_in_batch = kept.iter().map(|column| {
            used.iter().position(|used| used == column).unwrap_or_else(|| {
                used.push(*column);
                used.len() - 1
            })
        });
        let kept_in_batch = kept_in_batch.collect();
        match &mut table.content {
            TableContent::Records(records) => records.keep_bad_rows(),
            TableContent::Batches(batches) => {
                for &column in &used {
                    if let Some(what) = batches.unsupported(column) {
                        return Err(ContentError::new(format!(
                            "column {:?}: {what} are not supported; convert them to numbers or texts",
                            names[column]
                        )));
                    }
                }
                batches.choose(&used);
            }
        }
        let prepared = Arc::clone(&self.prepared);
        let parser = Parser { prepared, names, features, kept, kept_in_batch };
        Ok(InputRows { table, parser, notes, has_rows: false, is_at_end: false })
    }
}

/// Copies what has no random access, such as standard input or a compressed file, to a file without
/// a name on a disk, if its format needs random access. Its size is then not limited by memory.
fn with_random_access(mut input: Input) -> Result<Input, ContentError> {
    let reader = readers::sniff(input.beginning());
    if input.is_plain_file() || !reader.is_some_and(readers::Reader::needs_random_access) {
        return Ok(input);
    }
    let folder = scratch_folder();
    let copied = tempfile::tempfile_in(&folder).and_then(|mut file| {
        io::copy(&mut input, &mut file)?;
        file.rewind()?;
        Ok(file)
    });
    match copied {
        Ok(file) => Ok(Input::of_file(file, MAX_MEMORY)),
        Err(problem) => Err(ContentError::new(format!(
            "it is copied to a file of {}, because its format needs random access: {problem}",
            folder.display()
        ))),
    }
}

/// Rows as they were read, which another thread can convert.
enum Unparsed {
    Records(Vec<RecordBlock>),
    Batch(Batch),
}

/// The bytes of a batch for each column. What a batch costs for each column, whatever its rows, is
/// then little beside reading them.
const BYTES_PER_COLUMN: usize = 256;
/// The most bytes of a batch, unless a single block has more.
const MAX_BYTES: usize = 8 << 20;

impl InputRows<'_> {
    /// Returns what the file was taken for. Some formats know it only after the last batch.
    pub fn read_as(&self) -> ReadAs {
        self.table.read_as(self.notes.clone())
    }

    /// Calls `convert` with each batch, on several threads, and `consume` with the results in the
    /// order of the file. A few batches are in memory at a time.
    ///
    /// # Errors
    /// Returns the first error: of the file, of `convert` or of `consume`.
    pub fn each<T: Send, E: From<ContentError> + Send>(
        &mut self,
        convert: impl Fn(InputBatch) -> Result<T, E> + Sync,
        mut consume: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { table, parser, has_rows, .. } = self;
        let mut failure = None;
        let converted = convert_in_order(
            || next(table, parser.names.len()),
            |unparsed| {
                let batch = parser.parse(unparsed)?;
                Ok((!batch.lines.is_empty(), convert(batch)))
            },
            |(has_some, result)| {
                *has_rows |= has_some;
                // The error is not a text, as it is where it was converted.
                result.and_then(&mut consume).map_err(|error| {
                    failure = Some(error);
                    String::new()
                })
            },
        );
        match (failure, converted) {
            (Some(error), _) => Err(error),
            (None, Err(problem)) => Err(E::from(problem.into())),
            (None, Ok(())) if !self.has_rows => Err(E::from(self.no_rows())),
            (None, Ok(())) => Ok(()),
        }
    }

    fn no_rows(&self) -> ContentError {
        ContentError::new(match self.table.content.unit() {
            Unit::Line => "it has no rows below its header",
            Unit::Row => "it has no rows",
        })
    }
}

impl Iterator for InputRows<'_> {
    type Item = Result<InputBatch, ContentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_at_end {
            return None;
        }
        let batch = next(&mut self.table, self.parser.names.len()).transpose();
        let batch = batch.map(|unparsed| unparsed.and_then(|unparsed| self.parser.parse(unparsed)));
        self.is_at_end = !matches!(batch, Some(Ok(_)));
        match batch {
            None if !self.has_rows => Some(Err(self.no_rows())),
            None => None,
            Some(Ok(batch)) => {
                self.has_rows |= !batch.lines.is_empty();
                Some(Ok(batch))
            }
            Some(Err(problem)) => Some(Err(problem.into())),
        }
    }
}

/// Reads the next rows.
fn next(table: &mut OpenTable, n_columns: usize) -> Result<Option<Unparsed>, String> {
    Ok(match &mut table.content {
        TableContent::Records(records) => {
            let (mut blocks, mut bytes) = (Vec::new(), 0);
            while blocks.is_empty() || bytes < MAX_BYTES.min(n_columns * BYTES_PER_COLUMN) {
                let mut block = RecordBlock::default();
                if !records.next_block(&mut block)? {
                    break;
                }
                bytes += block.bytes();
                blocks.push(block);
            }
            (!blocks.is_empty()).then_some(Unparsed::Records(blocks))
        }
        TableContent::Batches(batches) => batches.next()?.map(Unparsed::Batch),
    })
}

/// Converts rows to features.
struct Parser {
    prepared: Arc<PreparedRecipe>,
    names: Vec<String>,
    features: ColumnIndices,
    /// The kept columns in the file, and in a batch.
    kept: Vec<usize>,
    kept_in_batch: Vec<usize>,
}

impl Parser {
    fn parse(&self, unparsed: Unparsed) -> Result<InputBatch, String> {
        match unparsed {
            Unparsed::Records(blocks) => self.parse_records(&blocks),
            Unparsed::Batch(batch) => self.convert(&batch),
        }
    }

    fn parse_records(&self, blocks: &[RecordBlock]) -> Result<InputBatch, String> {
        let n = blocks.iter().map(|block| block.max_records(self.names.len())).sum();
        let mut columns: Vec<ColumnPart> = self.features.columns().map(|_| ColumnPart::with_capacity(n)).collect();
        let (mut sparse, mut kept) = (SparsePart::default(), vec![KeptColumn::default(); self.kept.len()]);
        let (mut lines, mut problems) = (Vec::with_capacity(n), BTreeMap::new());
        let mut add = |row: Row, problem: Option<String>| {
            let has_all = row.len() == self.names.len();
            let problem = problem.or_else(|| self.push(&row, &mut columns, &mut sparse).err());
            if let Some(problem) = problem {
                problems.insert(lines.len(), problem);
            }
            // A bad row takes a place in each column.
            columns.iter_mut().filter(|column| column.len() == lines.len()).for_each(|column| column.push(Cell::Empty));
            if self.features.sparse().is_some() && sparse.len() == lines.len() {
                sparse.push(&[])?;
            }
            for (&column, kept) in self.kept.iter().zip(&mut kept) {
                kept.push(if has_all { row.trimmed(column).unwrap_or_default() } else { "" });
            }
            lines.push(row.line);
            Ok(())
        };
        blocks.iter().try_for_each(|block| block.each_row(&mut add))?;
        self.batch("line", columns, sparse, lines, problems, kept)
    }

    /// Appends the fields of a row to their columns, or those before one that cannot be read.
    fn push(&self, row: &Row, columns: &mut [ColumnPart], sparse: &mut SparsePart) -> Result<(), String> {
        let at = |column: usize, problem: &str| format!("column {:?}: {problem}", self.names[column]);
        for ((column, is_text), cells) in self.features.columns().zip(columns) {
            push_field(row, column, is_text, cells).map_err(|problem| at(column, problem))?;
        }
        match self.features.sparse() {
            Some(column) => sparse.push(row.field(column)).map_err(|problem| at(column, &problem)),
            None => Ok(()),
        }
    }

    fn convert(&self, batch: &Batch) -> Result<InputBatch, String> {
        let n = batch.n_rows;
        let columns = self.features.columns().zip(&batch.columns).map(|((_, is_text), fields)| {
            let mut cells = ColumnPart::with_capacity(n);
            (0..n).for_each(|row| push_value(&**fields, row, is_text, &mut cells));
            cells
        });
        let columns = columns.collect();
        let kept = self.kept_in_batch.iter().map(|&column| {
            let (fields, mut kept) = (&batch.columns[column], KeptColumn::default());
            (0..n).for_each(|row| kept.push(fields.text(row).unwrap_or_default().trim_ascii()));
            kept
        });
        let kept = kept.collect();
        let lines = (batch.first_row..batch.first_row + n as u64).collect();
        self.batch("row", columns, SparsePart::default(), lines, BTreeMap::new(), kept)
    }

    /// Encodes the rows.
    fn batch(
        &self,
        unit: &'static str,
        columns: Vec<ColumnPart>,
        sparse: SparsePart,
        lines: Vec<u64>,
        mut problems: BTreeMap<usize, String>,
        kept: Vec<KeptColumn>,
    ) -> Result<InputBatch, String> {
        let names = self.features.columns().map(|(column, _)| column).chain(self.features.sparse());
        let mut cells = Cells {
            names: names.map(|column| self.names[column].clone()).collect(),
            columns: columns.iter().map(|_| Column::new(true)).collect(),
            sparse: self.features.sparse().map(|_| Box::new(SparseColumn::default())),
            ..Cells::default()
        };
        cells.columns.iter_mut().zip(columns).for_each(|(column, part)| column.append(part));
        cells.sparse.iter_mut().zip([sparse]).for_each(|(column, part)| column.append(part));
        let encoder = Encoder::of_prepared(&cells, &self.prepared)
            .map_err(|missing| format!("the columns {} do not fit the model", listed(&missing)))?;
        let n = lines.len();
        let unseen = encoder.check_each(&cells, n, &mut problems);
        let selected = RowIndices::ascending((0..n).filter(|row| !problems.contains_key(row)), n);
        let labels = Arc::new(RowCodes::Bytes(vec![0; n]));
        let rows = Rows::of_cells(Arc::new(cells), Some(Arc::new(encoder)), selected, labels, None);
        Ok(InputBatch { rows, lines, unit, problems, kept, unseen })
    }
}
