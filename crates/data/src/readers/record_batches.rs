//! Arrow's record batches in memory.

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use chainrule_core::one_line;

use super::arrow_types::{Projection, Rows, unsupported};
use super::{Batch, Batches};
use crate::checksum::sha256;
use crate::read_as::ReadAs;

/// A table that is a sequence of record batches.
pub(crate) struct RecordBatches<'a> {
    schema: SchemaRef,
    source: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + 'a>,
    projection: Projection,
    rows: Rows,
}

impl<'a> RecordBatches<'a> {
    pub(crate) fn new(source: impl RecordBatchReader + 'a) -> Self {
        let schema = source.schema();
        Self { schema, source: Box::new(source), projection: Projection::default(), rows: Rows::default() }
    }
}

impl Batches for RecordBatches<'_> {
    fn names(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn unsupported(&self, column: usize) -> Option<&'static str> {
        unsupported(self.schema.field(column).data_type())
    }

    fn choose(&mut self, columns: &[usize]) {
        self.projection = Projection::new(columns);
    }

    fn next(&mut self) -> Result<Option<Batch>, String> {
        loop {
            if let Some(batch) = self.rows.next(&self.projection) {
                return Ok(Some(batch));
            }
            let at = |problem: String| format!("after row {}: {problem}", self.rows.converted());
            let Some(batch) = self.source.next() else { return Ok(None) };
            let batch = batch.map_err(|problem| at(one_line(&problem.to_string())))?;
            // Metadata may differ, as may what can be missing.
            let types = |schema: &SchemaRef| {
                schema
                    .fields()
                    .iter()
                    .map(|field| (field.name().clone(), field.data_type().clone()))
                    .collect::<Vec<_>>()
            };
            if types(&batch.schema()) != types(&self.schema) {
                return Err(at("a record batch has other columns than the schema".to_owned()));
            }
            let batch = batch.project(&self.projection.read).map_err(|problem| at(problem.to_string()))?;
            self.rows.push(batch);
        }
    }

    fn read_as(&self) -> ReadAs {
        ReadAs { format: "record batches", ..ReadAs::default() }
    }

    fn sha256(self: Box<Self>) -> String {
        // They are no file.
        sha256([])
    }
}
