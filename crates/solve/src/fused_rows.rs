//! Rows for the fused kernels. They are packed in memory, or they stay in a file: then threads read
//! the next chunks while the kernels compute.

use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

use chainrule_core::{MissingAbility, Precision, Preprocessing, Solver, Standardization};
use chainrule_data::{DataError, FeatureColumns, FeatureReader, Order, Prefetcher, RowBuffer, Rows, Scratch};
use chainrule_kernels::{FeatureMoments, PackedLayout, PackedRows, RowOrder, TableBuilder, sample_size, sampled_row};

use crate::TrainError;

/// The size of a chunk's features, unless a single batch is larger. At this size, the chunk being
/// read and the chunk in use mostly stay in the processor's cache.
const CHUNK_BYTES: usize = 1 << 19;
/// The rows of a chunk of a table are a multiple of this, so that passes over them are whole.
const CHUNK_ROWS: usize = 64;

/// Rows for the fused kernels, in memory or in a file.
#[derive(Clone, Debug)]
pub struct FusedRows(Storage);

/// `(scale, offset)`, the same for all features.
type Affine = (f64, f64);

#[derive(Clone, Debug)]
enum Storage {
    Packed(Arc<PackedRows>),
    InFile(Source),
}

/// Rows that stay in a file.
#[derive(Clone, Debug)]
enum Source {
    /// Images, which are packed when they are read.
    Images(Arc<Rows>, Affine),
    /// Packed rows of a table.
    Table(Arc<PackedFile>),
}

/// Packed rows of a table in a file without a name.
#[derive(Debug)]
struct PackedFile {
    scratch: Arc<Scratch>,
    /// Where the rows begin in the file.
    start: u64,
    layout: PackedLayout,
    /// The moments of the features.
    moments: FeatureMoments,
}

impl PackedFile {
    /// Reads rows. Consecutive ones are read at once. In units of several rows, they begin with a
    /// unit and are consecutive.
    fn read(&self, rows: impl Iterator<Item = usize>, bytes: &mut Vec<u8>) -> Result<PackedRows, DataError> {
        let (size, unit_bytes) = (self.layout.unit_rows(), self.layout.unit_bytes());
        let (mut filled, mut n) = (0, 0);
        let mut rows = rows.peekable();
        while let Some(first) = rows.next() {
            let mut end = first + 1;
            while rows.next_if_eq(&end).is_some() {
                end += 1;
            }
            assert!(first.is_multiple_of(size) && n % size == 0, "rows of whole units");
            let (place, next) = (first / size * unit_bytes, filled + (end - first).div_ceil(size) * unit_bytes);
            if bytes.len() < next {
                bytes.resize(next, 0);
            }
            self.scratch.read(self.start + place as u64, &mut bytes[filled..next])?;
            filled = next;
            n += end - first;
        }
        Ok(self.layout.rows(n, &bytes[..filled]))
    }
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Images(rows, _) => rows.len(),
            Self::Table(file) => file.layout.len(),
        }
    }

    fn n_features(&self) -> usize {
        match self {
            Self::Images(rows, _) => rows.n_features(),
            Self::Table(file) => file.layout.n_features(),
        }
    }

    /// Returns how many batches of `batch_size` rows fit in a chunk, at least 1.
    fn batches_per_chunk(&self, batch_size: usize) -> usize {
        let row_bytes = match self {
            Self::Images(rows, _) => rows.n_features(),
            Self::Table(file) => file.layout.unit_bytes().div_ceil(file.layout.unit_rows()),
        };
        (CHUNK_BYTES / row_bytes.saturating_mul(batch_size).max(1)).max(1)
    }

    /// Returns the number of rows of a chunk of a pass over all rows.
    fn rows_per_chunk(&self) -> usize {
        match self {
            Self::Images(..) => self.batches_per_chunk(1),
            Self::Table(_) => (self.batches_per_chunk(1) / CHUNK_ROWS).max(1) * CHUNK_ROWS,
        }
    }

    fn pack(
        &self,
        chosen: impl ExactSizeIterator<Item = usize> + Clone,
        (buffer, bytes): &mut (RowBuffer, Vec<u8>),
    ) -> Result<PackedRows, DataError> {
        match self {
            Self::Images(rows, affine) => Ok(pack(rows, chosen, *affine, buffer)?.expect("rows in a file are bytes")),
            Self::Table(file) => file.read(chosen, bytes),
        }
    }

    /// Reads the rows at these positions of a selection on `threads` threads. Each chunk has
    /// `rows_per_chunk` rows.
    fn chunks<I: ExactSizeIterator<Item = usize> + Clone>(
        &self,
        rows: impl Fn(Range<usize>) -> I + Clone + Send + 'static,
        positions: Range<usize>,
        rows_per_chunk: usize,
        threads: usize,
    ) -> Result<Prefetcher<Result<PackedRows, DataError>>, DataError> {
        let Range { start, end } = positions;
        let new_reader = || {
            let (source, rows, mut buffer) = (self.clone(), rows.clone(), <(RowBuffer, Vec<u8>)>::default());
            move |i: usize| {
                let first = start + i * rows_per_chunk;
                source.pack(rows(first..(first + rows_per_chunk).min(end)), &mut buffer)
            }
        };
        Prefetcher::new((end - start).div_ceil(rows_per_chunk), threads, new_reader)
            .map_err(|problem| DataError::Thread { problem })
    }
}

impl From<PackedRows> for FusedRows {
    fn from(rows: PackedRows) -> Self {
        Self(Storage::Packed(Arc::new(rows)))
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

    /// Packs rows that are in memory, in the layout that is best for the solver. Images in a file
    /// are packed later, when they are read. Rows of a table that do not fit in memory are packed
    /// into a file.
    ///
    /// The numbers of a table are stored in four bytes each, and in eight only if the precision is
    /// f64, the table is short and f32 does not hold them.
    ///
    /// # Errors
    /// If the rows are bytes and each feature has its own scale, if all rows have the weight 0, or
    /// if the rows cannot be read, or written to a file.
    pub fn for_solver(
        rows: Rows,
        preprocessing: &Preprocessing,
        precision: Precision,
        solver: Solver,
    ) -> Result<Self, TrainError> {
        if let Some(reader) = rows.feature_reader() {
            let packing = Packing::new(&rows, &reader, preprocessing, precision, solver)?;
            return Ok(match rows.stays_in_file().then(|| rows.scratch()).flatten() {
                Some(scratch) => Self(Storage::InFile(Source::Table(Arc::new(packing.into_file(scratch)?)))),
                None => packing.in_memory()?.into(),
            });
        }
        let not_supported = |problem| TrainError::UnsupportedByKernels { problem };
        let affine = preprocessing.shared_affine().ok_or(not_supported(MissingAbility::Standardization))?;
        if rows.file().is_some() {
            return Ok(Self(Storage::InFile(Source::Images(Arc::new(rows), affine))));
        }
        let packed = pack(&rows, 0..rows.len(), affine, &mut RowBuffer::default())?;
        packed.map(Self::from).ok_or(not_supported(MissingAbility::Features(rows.kind())))
    }

    /// Calls `visit` with the class of each row and its weight, which is 1 without weights.
    ///
    /// # Errors
    /// Fails if the rows can no longer be read.
    pub(crate) fn each_target(&self, threads: usize, mut visit: impl FnMut(u16, f64)) -> Result<(), DataError> {
        if let Storage::InFile(Source::Images(rows, _)) = &self.0 {
            rows.labels().into_iter().for_each(|label| visit(label, 1.0));
            return Ok(());
        }
        self.for_each_chunk(threads, |rows| {
            for (row, &label) in rows.labels().iter().enumerate() {
                visit(label as u16, rows.weights().map_or(1.0, |weights| weights[row]));
            }
        })
    }

    /// Whether the rows have weights.
    pub(crate) fn have_weights(&self) -> bool {
        match &self.0 {
            Storage::Packed(rows) => rows.weights().is_some(),
            Storage::InFile(Source::Images(..)) => false,
            Storage::InFile(Source::Table(file)) => file.layout.have_weights(),
        }
    }

    /// The number of rows, n.
    pub fn len(&self) -> usize {
        match &self.0 {
            Storage::Packed(rows) => rows.len(),
            Storage::InFile(source) => source.len(),
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
            Storage::InFile(source) => source.n_features(),
        }
    }

    /// The file of the images, or the folder on whose disk the rows of a table are, if they are not
    /// in memory.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Storage::Packed(_) => None,
            Storage::InFile(Source::Images(rows, _)) => rows.file(),
            Storage::InFile(Source::Table(file)) => Some(file.scratch.folder()),
        }
    }

    /// The packed rows, if they are in memory.
    pub fn packed(&self) -> Option<&PackedRows> {
        match &self.0 {
            Storage::Packed(rows) => Some(rows),
            Storage::InFile(_) => None,
        }
    }

    /// The moments of a table's features, or `None` for images.
    pub(crate) fn feature_moments(&self) -> Option<FeatureMoments> {
        match &self.0 {
            Storage::Packed(rows) => rows.feature_moments(),
            Storage::InFile(Source::Images(..)) => None,
            Storage::InFile(Source::Table(file)) => Some(file.moments.clone()),
        }
    }

    /// The mean of each feature of a table, or `None` for images.
    pub(crate) fn feature_mean(&self) -> Option<Vec<f64>> {
        match &self.0 {
            Storage::Packed(rows) => rows.feature_mean(),
            Storage::InFile(Source::Images(..)) => None,
            Storage::InFile(Source::Table(file)) => Some(file.layout.feature_mean()),
        }
    }

    /// The feature of the most frequent level of each category that has a level in every row.
    pub(crate) fn reference_levels(&self) -> Vec<usize> {
        match &self.0 {
            Storage::Packed(rows) => rows.reference_levels(),
            Storage::InFile(Source::Images(..)) => Vec::new(),
            Storage::InFile(Source::Table(file)) => file.layout.reference_levels(),
        }
    }

    /// Calls `f` with all rows in order: once for rows in memory, otherwise with each chunk.
    pub(crate) fn for_each_chunk(&self, threads: usize, mut f: impl FnMut(&PackedRows)) -> Result<(), DataError> {
        let source = match &self.0 {
            Storage::Packed(rows) => {
                f(rows);
                return Ok(());
            }
            Storage::InFile(source) => source,
        };
        for chunk in source.chunks(|positions| positions, 0..source.len(), source.rows_per_chunk(), threads)? {
            f(&chunk?);
        }
        Ok(())
    }

    /// Calls `f` with each chunk of the [sample](sampled_row) of a table's rows in a file, or
    /// returns the rows, if they are in memory.
    pub(crate) fn for_each_sampled_chunk(
        &self,
        step: usize,
        threads: usize,
        mut f: impl FnMut(&PackedRows),
    ) -> Result<Option<&PackedRows>, DataError> {
        let source = match &self.0 {
            Storage::Packed(rows) => return Ok(Some(rows)),
            Storage::InFile(source) => source,
        };
        let rows = move |positions: Range<usize>| positions.map(move |position| sampled_row(position, step));
        let n = sample_size(source.len(), step);
        for chunk in source.chunks(rows, 0..n, source.rows_per_chunk(), threads)? {
            f(&chunk?);
        }
        Ok(None)
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
        let Storage::InFile(source) = &self.0 else { return Ok(Batches(None)) };
        let batches_per_chunk = source.batches_per_chunk(batch_size).min(positions.len().div_ceil(batch_size));
        let rows_per_chunk = batches_per_chunk * batch_size;
        let of_epoch = Arc::clone(order);
        // The order outlives the iterators of its ranges, because each of them has a share of it.
        let rows = move |positions: Range<usize>| {
            let order = Arc::clone(&of_epoch);
            positions.map(move |position| order.get(position))
        };
        Ok(Batches(Some(Chunked {
            chunks: source.chunks(rows, positions, rows_per_chunk, threads)?,
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

/// How the rows of a table are packed.
struct Packing<'a> {
    rows: &'a Rows,
    reader: &'a FeatureReader<'a>,
    /// `(a, m)` of each feature `a (x - m)`.
    scaling: Vec<(f64, f64)>,
    /// The centre and the unit of each number.
    storage: Vec<(f64, f64)>,
    are_f64: bool,
    order: RowOrder,
}

impl<'a> Packing<'a> {
    fn new(
        rows: &'a Rows,
        reader: &'a FeatureReader,
        preprocessing: &Preprocessing,
        precision: Precision,
        solver: Solver,
    ) -> Result<Self, DataError> {
        let n = rows.len();
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
        let scaling = (0..reader.layout().n_features).map(scaling).collect();
        let are_f64 = precision == Precision::F64 && n <= MAX_ROWS_IN_F64;
        Ok(Self { rows, reader, scaling, storage: storage(reader, n)?, are_f64, order })
    }

    /// Returns a builder of up to n rows at a time.
    fn builder(&self, n: usize) -> TableBuilder {
        let (scaling, storage) = (self.scaling.clone(), self.storage.clone());
        TableBuilder::new(self.reader.layout().clone(), n, scaling, storage, self.are_f64, self.order)
    }

    /// Appends rows to the builder.
    fn push(
        &self,
        rows: Range<usize>,
        columns: &mut FeatureColumns,
        builder: &mut TableBuilder,
    ) -> Result<(), DataError> {
        let n = rows.len();
        self.reader.read(rows, columns)?;
        let numbers: Vec<&[f64]> = columns.numbers.iter().map(Vec::as_slice).collect();
        let codes: Vec<&[u32]> = columns.codes.iter().map(Vec::as_slice).collect();
        builder.push(n, &numbers, &codes);
        columns.sparse.rows().for_each(|(positions, values)| builder.push_sparse(positions, values));
        Ok(())
    }

    /// The ranges of rows that are read at a time.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let n = self.rows.len();
        (0..n).step_by(ROWS_AT_ONCE).map(move |first| first..n.min(first + ROWS_AT_ONCE))
    }

    fn in_memory(self) -> Result<PackedRows, DataError> {
        let (mut builder, mut columns) = (self.builder(self.rows.len()), FeatureColumns::default());
        self.ranges().try_for_each(|rows| self.push(rows, &mut columns, &mut builder))?;
        let packed = PackedRows::of_table(builder, self.rows.labels().into_iter().map(u32::from).collect());
        Ok(match self.rows.weights()? {
            Some(weights) => packed.with_weights(weights.iter().collect()),
            None => packed,
        })
    }

    fn into_file(self, scratch: &Arc<Scratch>) -> Result<PackedFile, DataError> {
        let (mut builder, mut columns) = (self.builder(ROWS_AT_ONCE), FeatureColumns::default());
        let (mut bytes, mut start) = (Vec::new(), None);
        let all_weights = self.rows.weights()?;
        for rows in self.ranges() {
            self.push(rows.clone(), &mut columns, &mut builder)?;
            let labels: Vec<u32> = rows.clone().map(|row| self.rows.label(row).into()).collect();
            let weights: Option<Vec<f64>> = all_weights.map(|weights| rows.map(|row| weights.get(row)).collect());
            bytes.clear();
            builder.take_bytes(&labels, weights.as_deref(), &mut bytes);
            let place = scratch.append(&bytes)?;
            start.get_or_insert(place);
        }
        let (layout, start) = (builder.into_layout(), start.unwrap_or_default());
        let unit_bytes = layout.unit_bytes();
        let mut unit = vec![0; unit_bytes];
        let moments = layout.feature_moments(|row| {
            scratch.read(start + (row / layout.unit_rows() * unit_bytes) as u64, &mut unit)?;
            Ok(layout.rows(layout.unit_rows(), &unit))
        })?;
        Ok(PackedFile { scratch: Arc::clone(scratch), start, layout, moments })
    }
}

/// Returns the centre and the unit in which each number is stored, computed from the first rows.
/// The centre is the mean if it is large beside the standard deviation, else 0. The unit is 1,
/// unless f32 could not hold the numbers or their products with weights.
fn storage(reader: &FeatureReader, n: usize) -> Result<Vec<(f64, f64)>, DataError> {
    let (n, n_numbers) = (n.min(MAX_ROWS_IN_F64), reader.layout().numbers.len());
    // Some rows at a time, because a wide table would take much memory in f64.
    let sums = |add: &dyn Fn(usize, f64, f64) -> f64| {
        let (mut sums, mut columns) = (vec![0.0; n_numbers], FeatureColumns::default());
        for first in (0..n).step_by(ROWS_AT_ONCE) {
            reader.read(first..n.min(first + ROWS_AT_ONCE), &mut columns)?;
            for (j, (sum, numbers)) in sums.iter_mut().zip(&columns.numbers).enumerate() {
                *sum = numbers.iter().fold(*sum, |sum, &number| add(j, sum, number));
            }
        }
        Ok::<Vec<f64>, DataError>(sums)
    };
    let mean: Vec<f64> = sums(&|_, sum, number| sum + number)?.iter().map(|sum| sum / n as f64).collect();
    let largest = sums(&|j, largest, number| largest.max((number - mean[j]).abs()))?;
    // A power of two rounds nothing. The squares of tiny deviations would be 0.
    let scale_of =
        |&largest: &f64| if largest > 0.0 { largest.log2().round().clamp(-1000.0, 1000.0).exp2() } else { 1.0 };
    let scale: Vec<f64> = largest.iter().map(scale_of).collect();
    let squares = sums(&|j, sum, number| sum + ((number - mean[j]) / scale[j]).powi(2))?;
    let of_column = |j: usize| {
        let deviation = (squares[j] / n as f64).sqrt() * scale[j];
        let centre = if mean[j].abs() > MAX_RELATIVE_MEAN * deviation { mean[j] } else { 0.0 };
        (centre, if ORDINARY_SCALES.contains(&scale[j]) { 1.0 } else { scale[j] })
    };
    Ok((0..n_numbers).map(of_column).collect())
}
