//! Splits Arrow's batches into batches of limited size.

use std::collections::BTreeSet;
use std::collections::VecDeque;

use arrow_array::{Array, RecordBatch};

use super::fields::fields;
use crate::readers::Batch;

/// The fields of a batch. Fewer rows of a wide table are converted at a time.
const FIELDS: usize = 1 << 20;

/// The chosen columns of a table.
#[derive(Default)]
pub(in crate::readers) struct Projection {
    /// The chosen columns in their order, perhaps repeated.
    chosen: Vec<usize>,
    /// The columns to read, in ascending order.
    pub(in crate::readers) read: Vec<usize>,
}

impl Projection {
    pub(in crate::readers) fn new(columns: &[usize]) -> Self {
        let read: BTreeSet<usize> = columns.iter().copied().collect();
        Self { chosen: columns.to_vec(), read: read.into_iter().collect() }
    }

    /// Returns the number of rows to convert at a time.
    pub(in crate::readers) fn rows_at_a_time(&self) -> usize {
        (FIELDS / self.read.len().max(1)).clamp(64, 1 << 16)
    }
}

/// Rows that were read and not yet converted.
#[derive(Default)]
pub(in crate::readers) struct Rows {
    batches: VecDeque<RecordBatch>,
    /// The number of rows converted so far.
    converted: u64,
}

impl Rows {
    /// Adds a batch of the columns to read.
    pub(in crate::readers) fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.batches.push_back(batch);
        }
    }

    /// Converts the next rows. Returns `None` if there are none.
    pub(in crate::readers) fn next(&mut self, projection: &Projection) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        let n_rows = batch.num_rows().min(projection.rows_at_a_time());
        if n_rows < batch.num_rows() {
            self.batches.push_front(batch.slice(n_rows, batch.num_rows() - n_rows));
        }
        let columns = projection.chosen.iter().map(|column| {
            let column = projection.read.binary_search(column).expect("all chosen columns are read");
            fields(&batch.column(column).slice(0, n_rows))
        });
        let columns = columns.collect();
        let first_row = self.converted + 1;
        self.converted += n_rows as u64;
        Some(Batch { first_row, n_rows, columns })
    }

    /// Returns the number of rows converted so far.
    pub(in crate::readers) fn converted(&self) -> u64 {
        self.converted
    }
}
