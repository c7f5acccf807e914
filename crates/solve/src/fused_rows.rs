//! Rows as the fused kernels take them: packed in memory, or read and packed chunk by chunk while
//! the chunk before is computed with.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use chainrule_core::MissingAbility;
use chainrule_data::{DataError, Order, Prefetcher, RowBuffer, Rows, pixel_value};
use chainrule_kernels::PackedRows;

use crate::TrainError;

/// Bytes of a chunk's features, unless a batch has more: so few that preparing one and computing
/// with another hardly leave a processor's cache.
const CHUNK: usize = 1 << 19;

/// Rows as the fused kernels take them, wherever they lie.
#[derive(Clone, Debug)]
pub struct FusedRows(Storage);

#[derive(Clone, Debug)]
enum Storage {
    Packed(PackedRows),
    InFile(Arc<Rows>),
}

impl From<PackedRows> for FusedRows {
    fn from(rows: PackedRows) -> Self {
        Self(Storage::Packed(rows))
    }
}

impl FusedRows {
    /// Packs rows in memory; those in a file are packed as they are read. Their features are
    /// [`pixel_value`]s.
    ///
    /// # Errors
    /// Where there are no kernels for what the features are stored as.
    pub fn new(rows: Rows) -> Result<Self, TrainError> {
        if rows.file().is_some() {
            return Ok(Self(Storage::InFile(Arc::new(rows))));
        }
        let packed = pack(&rows, 0..rows.len(), &mut RowBuffer::default())?;
        packed.map(Self::from).ok_or(TrainError::BeyondKernels { problem: MissingAbility::Features(rows.kind()) })
    }

    /// Rows, n.
    pub fn len(&self) -> usize {
        match &self.0 {
            Storage::Packed(rows) => rows.len(),
            Storage::InFile(rows) => rows.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        match &self.0 {
            Storage::Packed(rows) => rows.n_features(),
            Storage::InFile(rows) => rows.n_features(),
        }
    }

    /// The file that they stay in, where they do.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Storage::Packed(_) => None,
            Storage::InFile(rows) => rows.file(),
        }
    }

    /// All of them packed, where they are in memory.
    pub fn packed(&self) -> Option<&PackedRows> {
        match &self.0 {
            Storage::Packed(rows) => Some(rows),
            Storage::InFile(_) => None,
        }
    }

    /// All rows in their order, at once or a chunk at a time.
    pub(crate) fn each(&self, threads: usize, mut f: impl FnMut(&PackedRows)) -> Result<(), DataError> {
        let rows = match &self.0 {
            Storage::Packed(rows) => {
                f(rows);
                return Ok(());
            }
            Storage::InFile(rows) => rows,
        };
        let n = rows.len();
        for chunk in chunks(rows, &Arc::new(Order::of_file(n)), 0..n, units_a_chunk(rows, 1), threads)? {
            f(&chunk?);
        }
        Ok(())
    }

    /// The batches of an epoch, whose rows are at these places of `order`. What is read ahead is at
    /// most two chunks a thread.
    pub(crate) fn batches(
        &self,
        order: &Arc<Order>,
        places: Range<usize>,
        batch_size: usize,
        threads: usize,
    ) -> Result<Batches, DataError> {
        let Storage::InFile(rows) = &self.0 else { return Ok(Batches(None)) };
        let batches_a_chunk = units_a_chunk(rows, batch_size).min(places.len().div_ceil(batch_size));
        let rows_a_chunk = batches_a_chunk * batch_size;
        Ok(Batches(Some(Chunked {
            chunks: chunks(rows, order, places, rows_a_chunk, threads)?,
            current: None,
            next: 0..0,
            places: (0..rows_a_chunk.min(order.len())).collect(),
            batch_size,
        })))
    }
}

/// An epoch's batches, one after the other.
pub(crate) struct Batches(Option<Chunked>);

/// Several batches a chunk.
struct Chunked {
    chunks: Prefetcher<Result<PackedRows, DataError>>,
    current: Option<PackedRows>,
    /// The next batch's rows of the current chunk.
    next: Range<usize>,
    /// `0..`, of which each batch is a part.
    places: Vec<usize>,
    batch_size: usize,
}

impl Batches {
    /// None of rows that are packed; of others before an epoch begins.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// The next batch, which is of these rows of `all`: packed rows, and which of them it is.
    pub(crate) fn next<'a>(
        &'a mut self,
        all: &'a FusedRows,
        batch: &'a [usize],
    ) -> Result<(&'a PackedRows, &'a [usize]), DataError> {
        match (&all.0, &mut self.0) {
            (Storage::Packed(rows), _) => Ok((rows, batch)),
            (Storage::InFile(_), Some(chunked)) => chunked.next(),
            (Storage::InFile(_), None) => unreachable!("an epoch begins before its first step"),
        }
    }
}

impl Chunked {
    fn next(&mut self) -> Result<(&PackedRows, &[usize]), DataError> {
        if self.current.as_ref().is_none_or(|rows| self.next.end >= rows.len()) {
            self.current = None;
            self.current = Some(self.chunks.next().expect("as many batches as the epoch has")?);
            self.next = 0..0;
        }
        let rows = self.current.as_ref().expect("taken just now");
        self.next = self.next.end..rows.len().min(self.next.end + self.batch_size);
        Ok((rows, &self.places[self.next.clone()]))
    }
}

/// Whole units of `unit` rows, a batch or a single row, that make a chunk.
fn units_a_chunk(rows: &Rows, unit: usize) -> usize {
    (CHUNK / rows.n_features().saturating_mul(unit).max(1)).max(1)
}

/// The rows at these places of `order`, `rows_a_chunk` at a time, read and packed by so many
/// threads.
fn chunks(
    rows: &Arc<Rows>,
    order: &Arc<Order>,
    places: Range<usize>,
    rows_a_chunk: usize,
    threads: usize,
) -> Result<Prefetcher<Result<PackedRows, DataError>>, DataError> {
    let Range { start, end } = places;
    let maker = || {
        let (rows, order, mut buffer) = (Arc::clone(rows), Arc::clone(order), RowBuffer::default());
        move |i: usize| {
            let first = start + i * rows_a_chunk;
            let places = first..(first + rows_a_chunk).min(end);
            Ok(pack(&rows, order.range(places), &mut buffer)?.expect("what stays in a file is bytes"))
        }
    };
    Prefetcher::new((end - start).div_ceil(rows_a_chunk), threads, maker)
        .map_err(|problem| DataError::Thread { problem })
}

/// Some of the rows as the kernels read them, where there are kernels for them.
fn pack(
    rows: &Rows,
    chosen: impl ExactSizeIterator<Item = usize> + Clone,
    buffer: &mut RowBuffer,
) -> Result<Option<PackedRows>, DataError> {
    let labels = chosen.clone().map(|row| u32::from(rows.label(row))).collect();
    let (scale, offset) = scale_and_offset();
    Ok(PackedRows::of_features(rows.chunk(chosen, buffer)?, rows.size(), labels, scale, offset))
}

/// Those of [`pixel_value`]: of a line two points tell all.
pub fn scale_and_offset() -> (f64, f64) {
    ((pixel_value(255) - pixel_value(0)) / 255.0, pixel_value(0))
}
