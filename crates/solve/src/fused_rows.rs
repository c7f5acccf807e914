//! Rows for the fused kernels. They are packed in memory, or they stay in their file: then threads
//! read and pack the next chunks while the kernels compute.

use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

use chainrule_core::{MissingAbility, Precision, Preprocessing, Solver, Standardization};
use chainrule_data::{DataError, FeatureColumns, FeatureReader, Order, Prefetcher, RowBuffer, Rows};
use chainrule_kernels::{PackedRows, RowOrder, TableBuilder};

use crate::TrainError;

/// The size of a chunk's features, unless a single batch is larger. At this size, the chunk being
/// packed and the chunk in use mostly stay in the processor's cache.
const CHUNK_BYTES: usize = 1 << 19;

/// Rows for the fused kernels, in memory or in a file.
#[derive(Clone, Debug)]
pub struct FusedRows(Storage);

/// `(scale, offset)`, the same for all features.
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
    /// Packs rows for L-BFGS in f64: see [`FusedRows::for_solver`].
    ///
    /// # Errors
    /// As [`FusedRows::for_solver`].
    pub fn new(rows: Rows, preprocessing: &Preprocessing) -> Result<Self, TrainError> {
        Self::for_solver(rows, preprocessing, Precision::F64, Solver::Lbfgs)
    }

    /// Packs rows that are in memory, in the layout that is best for the solver. Rows in a file are
    /// packed later, when they are read.
    ///
    /// The numbers of a table are stored in four bytes each, and in eight only if the precision is
    /// f64, the table is short and f32 does not hold them.
    ///
    /// # Errors
    /// If the rows are bytes and each feature has its own scale, if all rows have the weight 0, or
    /// if the rows cannot be read.
    pub fn for_solver(
        rows: Rows,
        preprocessing: &Preprocessing,
        precision: Precision,
        solver: Solver,
    ) -> Result<Self, TrainError> {
        if let Some(reader) = rows.feature_reader() {
            return Ok(pack_table(&rows, &reader, preprocessing, precision, solver)?.into());
        }
        let not_supported = |problem| TrainError::UnsupportedByKernels { problem };
        let affine = preprocessing.shared_affine().ok_or(not_supported(MissingAbility::Standardization))?;
        if rows.file().is_some() {
            return Ok(Self(Storage::InFile(Arc::new(rows), affine)));
        }
        let packed = pack(&rows, 0..rows.len(), affine, &mut RowBuffer::default())?;
        packed.map(Self::from).ok_or(not_supported(MissingAbility::Features(rows.kind())))
    }

    /// The class of each row.
    pub(crate) fn labels(&self) -> Vec<u16> {
        match &self.0 {
            Storage::Packed(rows) => rows.labels().iter().map(|&label| label as u16).collect(),
            Storage::InFile(rows, _) => rows.labels(),
        }
    }

    /// The weight of each row, if the rows have weights. Rows in a file have none.
    pub(crate) fn weights(&self) -> Option<&[f64]> {
        self.packed()?.weights()
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

    /// The file of the rows, if they stay in their file.
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

    /// Calls `f` with all rows in order: once for rows in memory, otherwise with each chunk.
    pub(crate) fn for_each_chunk(&self, threads: usize, mut f: impl FnMut(&PackedRows)) -> Result<(), DataError> {
        let (rows, affine) = match &self.0 {
            Storage::Packed(rows) => {
                f(rows);
                return Ok(());
            }
            Storage::InFile(rows, affine) => (rows, *affine),
        };
        let n = rows.len();
        let rows_per_chunk = batches_per_chunk(rows, 1);
        for chunk in chunks(rows, affine, &Arc::new(Order::of_file(n)), 0..n, rows_per_chunk, threads)? {
            f(&chunk?);
        }
        Ok(())
    }

    /// Returns the batches of an epoch. They contain the rows at these positions of `order`. Each
    /// thread reads at most two chunks ahead.
    pub(crate) fn batches(
        &self,
        order: &Arc<Order>,
        positions: Range<usize>,
        batch_size: usize,
        threads: usize,
    ) -> Result<Batches, DataError> {
        let Storage::InFile(rows, affine) = &self.0 else { return Ok(Batches(None)) };
        let batches_per_chunk = batches_per_chunk(rows, batch_size).min(positions.len().div_ceil(batch_size));
        let rows_per_chunk = batches_per_chunk * batch_size;
        Ok(Batches(Some(Chunked {
            chunks: chunks(rows, *affine, order, positions, rows_per_chunk, threads)?,
            current: None,
            batch: 0..0,
            indices: (0..rows_per_chunk.min(order.len())).collect(),
            batch_size,
        })))
    }
}

/// The batches of an epoch, in order. `None` for packed rows, and before the first epoch.
pub(crate) struct Batches(Option<Chunked>);

/// Batches that are read in chunks. A chunk holds several batches.
struct Chunked {
    chunks: Prefetcher<Result<PackedRows, DataError>>,
    current: Option<PackedRows>,
    /// The rows of the current batch, as positions in the current chunk.
    batch: Range<usize>,
    /// `0, 1, 2, …`. The indices of each batch are a slice of this vector.
    indices: Vec<usize>,
    batch_size: usize,
}

impl Batches {
    /// No batches: for packed rows, or before an epoch begins.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Returns the next batch, as packed rows and indices into them. `batch` holds the same rows,
    /// as indices into `all`.
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
        if self.current.as_ref().is_none_or(|rows| self.batch.end >= rows.len()) {
            self.current = None;
            self.current = Some(self.chunks.next().expect("the epoch has another batch")?);
            self.batch = 0..0;
        }
        let rows = self.current.as_ref().expect("set above");
        self.batch = self.batch.end..rows.len().min(self.batch.end + self.batch_size);
        Ok((rows, &self.indices[self.batch.clone()]))
    }
}

/// Returns how many batches of `batch_size` rows fit in a chunk, at least 1.
fn batches_per_chunk(rows: &Rows, batch_size: usize) -> usize {
    (CHUNK_BYTES / rows.n_features().saturating_mul(batch_size).max(1)).max(1)
}

/// Reads and packs the rows at these positions of `order` on `threads` threads. Each chunk has
/// `rows_per_chunk` rows.
fn chunks(
    rows: &Arc<Rows>,
    affine: Affine,
    order: &Arc<Order>,
    positions: Range<usize>,
    rows_per_chunk: usize,
    threads: usize,
) -> Result<Prefetcher<Result<PackedRows, DataError>>, DataError> {
    let Range { start, end } = positions;
    let new_reader = || {
        let (rows, order, mut buffer) = (Arc::clone(rows), Arc::clone(order), RowBuffer::default());
        move |i: usize| {
            let first = start + i * rows_per_chunk;
            let positions = first..(first + rows_per_chunk).min(end);
            Ok(pack(&rows, order.range(positions), affine, &mut buffer)?.expect("rows in a file are bytes"))
        }
    };
    Prefetcher::new((end - start).div_ceil(rows_per_chunk), threads, new_reader)
        .map_err(|problem| DataError::Thread { problem })
}

/// Packs the chosen rows. Returns `None` if no kernel supports their storage type.
fn pack(
    rows: &Rows,
    chosen: impl ExactSizeIterator<Item = usize> + Clone,
    (scale, offset): Affine,
    buffer: &mut RowBuffer,
) -> Result<Option<PackedRows>, DataError> {
    let labels = chosen.clone().map(|row| u32::from(rows.label(row))).collect();
    Ok(PackedRows::from_features(rows.chunk(chosen, buffer)?, rows.size(), labels, scale, offset))
}

/// Tables with up to this many rows may store their numbers in eight bytes each. In longer tables
/// they are rounded when they are read, too.
const MAX_ROWS_IN_F64: usize = 1 << 16;
/// Numbers are centred if their mean is larger than this many standard deviations. Rounding to f32
/// would lose what is small beside their mean, and sums in f64 some of its digits.
const MAX_RELATIVE_MEAN: f64 = 8.0;
/// The largest deviations from the mean of a column that is stored without a unit.
const ORDINARY_SCALES: RangeInclusive<f64> = 1e-15..=1e15;
/// The number of rows that are read at a time.
const ROWS_AT_ONCE: usize = 1 << 10;

/// Packs sparse rows for passes in f64 over all of them. Returns `None` if the rows have other
/// features.
pub(crate) fn pack_sparse(rows: &Rows, preprocessing: &Preprocessing) -> Result<Option<PackedRows>, DataError> {
    let reader = rows.feature_reader().filter(|reader| !reader.layout().sparse.is_empty());
    reader.map(|reader| pack_table(rows, &reader, preprocessing, Precision::F64, Solver::Lbfgs)).transpose()
}

/// Packs the rows of a table.
fn pack_table(
    rows: &Rows,
    reader: &FeatureReader,
    preprocessing: &Preprocessing,
    precision: Precision,
    solver: Solver,
) -> Result<PackedRows, DataError> {
    let (n, layout, mut columns) = (rows.len(), reader.layout(), FeatureColumns::default());
    let order = match solver {
        Solver::Lbfgs | Solver::Newton => RowOrder::Groups,
        Solver::Sgd => RowOrder::Rows,
    };
    let scaling = |feature| match preprocessing.standardization() {
        Some(Standardization { mean, scale }) => (1.0 / scale[feature], mean[feature]),
        None => {
            let (a, c) = preprocessing.affine(feature);
            (a, -c / a)
        }
    };
    let scaling = (0..layout.n_features).map(scaling).collect();
    let are_f64 = precision == Precision::F64 && n <= MAX_ROWS_IN_F64;
    let mut builder = TableBuilder::new(layout.clone(), n, scaling, storage(reader, n), are_f64, order);
    for first in (0..n).step_by(ROWS_AT_ONCE) {
        let end = n.min(first + ROWS_AT_ONCE);
        reader.read(first..end, &mut columns);
        let numbers: Vec<&[f64]> = columns.numbers.iter().map(Vec::as_slice).collect();
        let codes: Vec<&[u32]> = columns.codes.iter().map(Vec::as_slice).collect();
        builder.push(end - first, &numbers, &codes);
        columns.sparse.rows().for_each(|(positions, values)| builder.push_sparse(positions, values));
    }
    let packed = PackedRows::of_table(builder, rows.labels().into_iter().map(u32::from).collect());
    Ok(match rows.weights()? {
        Some(weights) => packed.with_weights(weights.iter().collect()),
        None => packed,
    })
}

/// Returns the centre and the unit in which each number is stored, computed from the first rows.
/// The centre is the mean if it is large beside the standard deviation, else 0. The unit is 1,
/// unless f32 could not hold the numbers or their products with weights.
fn storage(reader: &FeatureReader, n: usize) -> Vec<(f64, f64)> {
    let (n, n_numbers) = (n.min(MAX_ROWS_IN_F64), reader.layout().numbers.len());
    // Some rows at a time, because a wide table would take much memory in f64.
    let sums = |add: &dyn Fn(usize, f64, f64) -> f64| {
        let (mut sums, mut columns) = (vec![0.0; n_numbers], FeatureColumns::default());
        for first in (0..n).step_by(ROWS_AT_ONCE) {
            reader.read(first..n.min(first + ROWS_AT_ONCE), &mut columns);
            for (j, (sum, numbers)) in sums.iter_mut().zip(&columns.numbers).enumerate() {
                *sum = numbers.iter().fold(*sum, |sum, &number| add(j, sum, number));
            }
        }
        sums
    };
    let mean: Vec<f64> = sums(&|_, sum, number| sum + number).iter().map(|sum| sum / n as f64).collect();
    let largest = sums(&|j, largest, number| largest.max((number - mean[j]).abs()));
    // A power of two rounds nothing. The squares of tiny deviations would be 0.
    let scale_of =
        |&largest: &f64| if largest > 0.0 { largest.log2().round().clamp(-1000.0, 1000.0).exp2() } else { 1.0 };
    let scale: Vec<f64> = largest.iter().map(scale_of).collect();
    let squares = sums(&|j, sum, number| sum + ((number - mean[j]) / scale[j]).powi(2));
    let of_column = |j: usize| {
        let deviation = (squares[j] / n as f64).sqrt() * scale[j];
        let centre = if mean[j].abs() > MAX_RELATIVE_MEAN * deviation { mean[j] } else { 0.0 };
        (centre, if ORDINARY_SCALES.contains(&scale[j]) { 1.0 } else { scale[j] })
    };
    (0..n_numbers).map(of_column).collect()
}
