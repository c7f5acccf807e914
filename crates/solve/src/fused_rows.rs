//! Rows for the fused kernels. They are packed in memory, or read and packed in chunks while the
//! kernels compute on the previous chunk.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use chainrule_core::{MissingAbility, Preprocessing};
use chainrule_data::{DataError, Order, Prefetcher, RowBuffer, Rows};
use chainrule_kernels::PackedRows;

use crate::TrainError;

/// Bytes of features in a chunk, unless one batch has more. The chunk being packed and the one
/// in use then stay mostly in the processor's cache.
const CHUNK: usize = 1 << 19;

/// Rows for the fused kernels, in memory or in a file.
#[derive(Clone, Debug)]
pub struct FusedRows(Storage);

/// `(scale, offset)` of all features.
type Affine = (f64, f64);

#[derive(Clone, Debug)]
enum Storage {
    Packed(PackedRows),
    InFile(Arc<Rows>, Affine),
}

impl From<PackedRows> for FusedRows {
    fn from(rows: PackedRows) -> Self {
        Self(Storage::Packed(rows))
    }
}

impl FusedRows {
    /// Packs rows in memory. Rows in a file are packed when they are read.
    ///
    /// # Errors
    /// If there are no kernels for the storage type of the features, if each feature has its own
    /// scale, or if the rows cannot be read.
    pub fn new(rows: Rows, preprocessing: &Preprocessing) -> Result<Self, TrainError> {
        let beyond = |problem| TrainError::BeyondKernels { problem };
        let affine = preprocessing.shared_affine().ok_or(beyond(MissingAbility::Standardization))?;
        if rows.file().is_some() {
            return Ok(Self(Storage::InFile(Arc::new(rows), affine)));
        }
        let packed = pack(&rows, 0..rows.len(), affine, &mut RowBuffer::default())?;
        packed.map(Self::from).ok_or(beyond(MissingAbility::Features(rows.kind())))
    }

    /// The number of rows, n.
    pub fn len(&self) -> usize {
        match &self.0 {
            Storage::Packed(rows) => rows.len(),
            Storage::InFile(rows, _) => rows.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of features, d.
    pub fn n_features(&self) -> usize {
        match &self.0 {
            Storage::Packed(rows) => rows.n_features(),
            Storage::InFile(rows, _) => rows.n_features(),
        }
    }

    /// The file in which the rows stay, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Storage::Packed(_) => None,
            Storage::InFile(rows, _) => rows.file(),
        }
    }

    /// The packed rows, if they are in memory.
    pub fn packed(&self) -> Option<&PackedRows> {
        match &self.0 {
            Storage::Packed(rows) => Some(rows),
            Storage::InFile(..) => None,
        }
    }

    /// Calls `f` with all rows in order, at once or in chunks.
    pub(crate) fn each(&self, threads: usize, mut f: impl FnMut(&PackedRows)) -> Result<(), DataError> {
        let (rows, affine) = match &self.0 {
            Storage::Packed(rows) => {
                f(rows);
                return Ok(());
            }
            Storage::InFile(rows, affine) => (rows, *affine),
        };
        let n = rows.len();
        for chunk in chunks(rows, affine, &Arc::new(Order::of_file(n)), 0..n, units_a_chunk(rows, 1), threads)? {
            f(&chunk?);
        }
        Ok(())
    }

    /// Returns the batches of an epoch, made of the rows at these places of `order`. Each thread
    /// reads at most two chunks ahead.
    pub(crate) fn batches(
        &self,
        order: &Arc<Order>,
        places: Range<usize>,
        batch_size: usize,
        threads: usize,
    ) -> Result<Batches, DataError> {
        let Storage::InFile(rows, affine) = &self.0 else { return Ok(Batches(None)) };
        let batches_a_chunk = units_a_chunk(rows, batch_size).min(places.len().div_ceil(batch_size));
        let rows_a_chunk = batches_a_chunk * batch_size;
        Ok(Batches(Some(Chunked {
            chunks: chunks(rows, *affine, order, places, rows_a_chunk, threads)?,
            current: None,
            next: 0..0,
            places: (0..rows_a_chunk.min(order.len())).collect(),
            batch_size,
        })))
    }
}

/// The batches of an epoch, one after the other.
pub(crate) struct Batches(Option<Chunked>);

/// Batches that are read in chunks of several batches.
struct Chunked {
    chunks: Prefetcher<Result<PackedRows, DataError>>,
    current: Option<PackedRows>,
    /// The rows of the current batch within the current chunk.
    next: Range<usize>,
    /// `0..`; each batch is a slice of it.
    places: Vec<usize>,
    batch_size: usize,
}

impl Batches {
    /// No batches: for packed rows, or before an epoch begins.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Returns the next batch, as packed rows and indices into them. `batch` has its rows as
    /// indices into `all`.
    pub(crate) fn next<'a>(
        &'a mut self,
        all: &'a FusedRows,
        batch: &'a [usize],
    ) -> Result<(&'a PackedRows, &'a [usize]), DataError> {
        match (&all.0, &mut self.0) {
            (Storage::Packed(rows), _) => Ok((rows, batch)),
            (Storage::InFile(..), Some(chunked)) => chunked.next(),
            (Storage::InFile(..), None) => unreachable!("an epoch begins before its first step"),
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

/// The number of whole units in a chunk. A unit is `unit` rows: a batch or a single row.
fn units_a_chunk(rows: &Rows, unit: usize) -> usize {
    (CHUNK / rows.n_features().saturating_mul(unit).max(1)).max(1)
}

/// Reads and packs the rows at these places of `order` with this number of threads, `rows_a_chunk`
/// at a time.
fn chunks(
    rows: &Arc<Rows>,
    affine: Affine,
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
            Ok(pack(&rows, order.range(places), affine, &mut buffer)?.expect("what stays in a file is bytes"))
        }
    };
    Prefetcher::new((end - start).div_ceil(rows_a_chunk), threads, maker)
        .map_err(|problem| DataError::Thread { problem })
}

/// Packs the chosen rows. Returns `None` if there are no kernels for them.
fn pack(
    rows: &Rows,
    chosen: impl ExactSizeIterator<Item = usize> + Clone,
    (scale, offset): Affine,
    buffer: &mut RowBuffer,
) -> Result<Option<PackedRows>, DataError> {
    let labels = chosen.clone().map(|row| u32::from(rows.label(row))).collect();
    Ok(PackedRows::from_features(rows.chunk(chosen, buffer)?, rows.size(), labels, scale, offset))
}
