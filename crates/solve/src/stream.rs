//! Rows that are too many for memory, read and prepared chunk by chunk while the chunk before is computed with.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainrule_data::{Ahead, DataError, Order, Selection};
use chainrule_kernels::Rows;

use crate::rows::kernel_rows;

/// Bytes of a chunk's pixels, unless a batch has more: so few that preparing one and computing with another hardly leave a processor's cache.
const CHUNK: usize = 1 << 19;

/// Labelled rows in a file, as the fused kernels take them: a chunk at a time.
#[derive(Clone, Debug)]
pub struct Stream {
    selection: Arc<Selection>,
    file: PathBuf,
}

impl Stream {
    /// Rows that stay in their file.
    pub fn new(selection: Selection) -> Self {
        let file = selection.file().map(Path::to_owned).unwrap_or_default();
        Self { selection: Arc::new(selection), file }
    }

    /// Rows, n.
    pub fn len(&self) -> usize {
        self.selection.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        self.selection.n_features()
    }

    /// The file that the images are in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whole units of `unit` rows, a batch or a single row, that make a chunk.
    pub(crate) fn units_a_chunk(&self, unit: usize) -> usize {
        (CHUNK / self.n_features().saturating_mul(unit).max(1)).max(1)
    }

    /// The rows at these places of `order`, `rows_a_chunk` at a time, read and prepared by so many threads. What is read ahead is at most two chunks a
    /// thread.
    ///
    /// # Errors
    /// Where there are not so many threads to be had; each chunk, where the file cannot be read any more.
    pub fn chunks(
        &self,
        order: &Arc<Order>,
        places: Range<usize>,
        rows_a_chunk: usize,
        threads: usize,
    ) -> Result<Ahead<Result<Rows, DataError>>, DataError> {
        let Range { start, end } = places;
        let maker = || {
            let (selection, order) = (Arc::clone(&self.selection), Arc::clone(order));
            let mut room = Vec::new();
            move |i: usize| {
                let first = start + i * rows_a_chunk;
                let places = first..(first + rows_a_chunk).min(end);
                let mut labels = Vec::with_capacity(places.len());
                let rows = order.range(places).inspect(|&row| labels.push(u32::from(selection.label(row))));
                selection.read_rows(rows, &mut room)?;
                Ok(kernel_rows(&room, selection.size(), labels))
            }
        };
        Ahead::new((end - start).div_ceil(rows_a_chunk), threads, maker)
            .map_err(|problem| DataError::Thread { problem })
    }
}
