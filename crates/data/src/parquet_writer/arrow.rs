//! Writes a table as a Parquet file.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// The rows of a row group. It is in memory until it is complete.
const ROWS_PER_GROUP: usize = 1 << 16;
/// A row group ends earlier if it takes more bytes than these.
const BYTES_PER_GROUP: usize = 16 << 20;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Whole numbers of 64 bits.
    Whole,
    /// Numbers in f64.
    Number,
    /// Texts.
    Text,
}

/// The values of a column in consecutive rows, of which any may be missing.
#[derive(Clone, Debug)]
pub enum Values {
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Texts.
    Texts(Vec<Option<String>>),
}

/// Writes a Parquet file, row group by row group, without compression.
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: Arc<Schema>,
}

/// The file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write Parquet: {0}")]
pub struct ParquetWriteError(#[from] ParquetError);

impl<W: Write + Send> ParquetWriter<W> {
    /// Starts a file with these columns.
    ///
    /// # Errors
    /// Fails if nothing can be written to `sink`.
    pub fn new(sink: W, columns: &[(String, ColumnType)]) -> Result<Self, ParquetWriteError> {
        let fields = columns.iter().map(|(name, kind)| {
            let kind = match kind {
                ColumnType::Whole => DataType::Int64,
                ColumnType::Number => DataType::Float64,
                ColumnType::Text => DataType::Utf8,
            };
            Field::new(name, kind, true)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROWS_PER_GROUP)).build();
        Ok(Self { writer: ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties))?, schema })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// Fails if they cannot be written, or if they do not have the columns of the file.
    pub fn write(&mut self, columns: Vec<Values>) -> Result<(), ParquetWriteError> {
        let arrays = columns.into_iter().map(|values| -> ArrayRef {
            match values {
                Values::Whole(values) => Arc::new(Int64Array::from(values)),
                Values::Numbers(values) => Arc::new(Float64Array::from(values)),
                Values::Texts(values) => Arc::new(StringArray::from(values)),
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect()).map_err(ParquetError::from)?;
        self.writer.write(&batch)?;
        if self.writer.in_progress_size() > BYTES_PER_GROUP {
            self.writer.flush()?;
        }
        Ok(())
    }

    /// Ends the file and returns the sink.
    ///
    /// # Errors
    /// Fails if the end cannot be written.
    pub fn finish(self) -> Result<W, ParquetWriteError> {
        Ok(self.writer.into_inner()?)
    }
}
