//! The writer, by the parquet crate.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{ColumnType, Values};

/// The rows of a row group. It is in memory until it is complete.
const ROWS_PER_GROUP: usize = 1 << 16;
/// A row group ends earlier if it takes more bytes than these.
const BYTES_PER_GROUP: usize = 16 << 20;

/// Writes a Parquet file, row group by row group, without compression.
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: Arc<Schema>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Whether this build can write Parquet.
    pub const IS_THERE: bool = true;

    /// Starts a file with these columns.
    ///
    /// # Errors
    /// Fails if nothing can be written to `sink`.
    pub fn new(sink: W, columns: &[(String, ColumnType)]) -> io::Result<Self> {
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
        let writer = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties)).map_err(into_io_error)?;
        Ok(Self { writer, schema })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// Fails if they cannot be written, or if they do not have the columns of the file.
    pub fn write(&mut self, columns: Vec<Values>) -> io::Result<()> {
        let arrays = columns.into_iter().map(|values| -> ArrayRef {
            match values {
                Values::Whole(values) => Arc::new(Int64Array::from(values)),
                Values::Numbers(values) => Arc::new(Float64Array::from(values)),
                Values::Texts(values) => Arc::new(StringArray::from(values)),
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect()).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(into_io_error)?;
        if self.writer.in_progress_size() > BYTES_PER_GROUP {
            self.writer.flush().map_err(into_io_error)?;
        }
        Ok(())
    }

    /// Ends the file and returns the sink.
    ///
    /// # Errors
    /// Fails if the end cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.writer.into_inner().map_err(into_io_error)
    }
}

/// Returns the error of the sink, if it is one.
fn into_io_error(problem: ParquetError) -> io::Error {
    match problem {
        ParquetError::External(source) => source.downcast().map_or_else(io::Error::other, |problem| *problem),
        other => io::Error::other(other),
    }
}
