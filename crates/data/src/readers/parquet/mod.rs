//! Parquet.

mod delta;
mod headers;
mod pages;
mod source;

use std::sync::Arc;

use chainrule_core::one_line;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Type;

use super::arrow_types::{Projection, Rows, guarded, unsupported};
use super::{Batch, Batches, Input, Limits, Read, Reader, TableContent};
use crate::read_as::{Fact, ReadAs};
use pages::{RowGroup, compression};
use source::Source;

pub(super) const READER: Parquet = Parquet;

/// The reader of Parquet files.
pub(super) struct Parquet;

/// The first and the last bytes.
const MAGIC: &[u8] = b"PAR1";

impl Reader for Parquet {
    fn name(&self) -> &'static str {
        "Parquet"
    }

    fn one(&self) -> &'static str {
        "a Parquet file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["parquet", "pq"]
    }

    fn about(&self) -> &'static str {
        "a table: columns with their types, compressed"
    }

    fn sniff(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(MAGIC)
    }

    /// Its footer says where the columns are.
    fn needs_random_access(&self) -> bool {
        true
    }

    fn read(&self) -> Read {
        // The text options have no effect: the columns have types.
        Read::Table(|input, _, limits| Ok(TableContent::Batches(Box::new(Table::open(input, limits)?))))
    }
}

/// A table that is read row group by row group.
struct Table {
    source: Arc<Source>,
    sha256: String,
    metadata: ArrowReaderMetadata,
    /// The largest number of bytes of a page.
    max_page: u64,
    projection: Projection,
    /// The next row group, and the one that is being read.
    next_group: usize,
    group: Option<OpenGroup>,
    rows: Rows,
}

struct OpenGroup {
    reader: ParquetRecordBatchReader,
    /// The number of rows that are left.
    left: usize,
}

/// The largest size of a number of fixed length. The longest supported one is a decimal.
const MAX_FIXED: i32 = 32;

impl Table {
    fn open(input: Input, limits: Limits) -> Result<Self, String> {
        let (source, sha256) = Source::read(input, limits).map_err(|problem| problem.to_string())?;
        let metadata = guarded(|| {
            headers::check_footer(&source)?;
            ArrowReaderMetadata::load(&source, ArrowReaderOptions::new()).map_err(|problem| problem.to_string())
        });
        let metadata = metadata.map_err(|problem| damaged(0, &problem))?;
        Ok(Self {
            source: Arc::new(source),
            sha256,
            metadata,
            max_page: limits.memory,
            projection: Projection::default(),
            next_group: 0,
            group: None,
            rows: Rows::default(),
        })
    }

    /// Opens the next row group.
    fn open_group(&mut self) -> Result<OpenGroup, String> {
        let (metadata, schema) = (self.metadata.metadata(), self.metadata.parquet_schema());
        let mask = ProjectionMask::roots(schema, self.projection.read.iter().copied());
        let group = metadata.row_group(self.next_group);
        let leaves = (0..schema.num_columns()).filter(|&leaf| mask.leaf_included(leaf));
        for (leaf, chunk) in leaves.map(|leaf| (schema.column(leaf), group.column(leaf))) {
            compression(chunk)?;
            if leaf.physical_type() == Type::FIXED_LEN_BYTE_ARRAY && !(0..=MAX_FIXED).contains(&leaf.type_length()) {
                return Err(format!("column {:?} has numbers of {} bytes", leaf.name(), leaf.type_length()));
            }
        }
        let fields = Some(self.metadata.schema().fields());
        let levels = parquet_to_arrow_field_levels(schema, mask, fields).map_err(|problem| problem.to_string())?;
        let left = usize::try_from(group.num_rows()).map_err(|_| "a row group has a negative number of rows")?;
        let (source, metadata) = (Arc::clone(&self.source), Arc::clone(metadata));
        let group = RowGroup::new(source, metadata, self.next_group, self.max_page);
        let n = self.projection.rows_at_a_time();
        let reader = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, n, None);
        Ok(OpenGroup { reader: reader.map_err(|problem| problem.to_string())?, left })
    }

    /// Reads rows. Returns false at the end.
    fn read(&mut self) -> Result<bool, String> {
        let Some(group) = &mut self.group else {
            if self.next_group == self.metadata.metadata().num_row_groups() {
                let (rows, expected) = (self.rows.converted(), self.metadata.metadata().file_metadata().num_rows());
                if u64::try_from(expected) != Ok(rows) {
                    return Err(format!("its footer promises {expected} rows, but it has {rows}"));
                }
                return Ok(false);
            }
            self.group = Some(self.open_group()?);
            self.next_group += 1;
            return Ok(true);
        };
        match group.reader.next().transpose().map_err(|problem| problem.to_string())? {
            Some(batch) => {
                let left = group.left.checked_sub(batch.num_rows());
                group.left = left.ok_or("a row group has more rows than it promises")?;
                self.rows.push(batch);
            }
            None if group.left > 0 => return Err(format!("{} rows of a row group are missing", group.left)),
            None => self.group = None,
        }
        Ok(true)
    }
}

/// The error of a file of which so many rows could be read.
fn damaged(rows: u64, problem: &str) -> String {
    let problem: String = one_line(problem).chars().take(300).collect();
    format!("cannot read this Parquet file after row {rows}: {problem}; write the file again, such as with pandas")
}

impl Batches for Table {
    fn names(&self) -> Vec<String> {
        self.metadata.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn unsupported(&self, column: usize) -> Option<&'static str> {
        unsupported(self.metadata.schema().field(column).data_type())
    }

    fn choose(&mut self, columns: &[usize]) {
        self.projection = Projection::new(columns);
    }

    fn next(&mut self) -> Result<Option<Batch>, String> {
        loop {
            if let Some(batch) = self.rows.next(&self.projection) {
                return Ok(Some(batch));
            }
            let rows = self.rows.converted();
            if !guarded(|| self.read()).map_err(|problem| damaged(rows, &problem))? {
                return Ok(None);
            }
        }
    }

    fn read_as(&self) -> ReadAs {
        let fact = |what, is| Fact { what, is, why: "its footer".to_owned(), unusual: None };
        let metadata = self.metadata.metadata();
        let mut facts = vec![fact("row groups", metadata.num_row_groups().to_string())];
        let writer = metadata.file_metadata().created_by();
        facts.extend(writer.map(|writer| fact("writer", one_line(writer).chars().take(60).collect())));
        ReadAs { format: READER.name(), facts, ..ReadAs::default() }
    }

    fn sha256(self: Box<Self>) -> String {
        self.sha256
    }
}
