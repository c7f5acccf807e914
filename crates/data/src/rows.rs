use std::iter::Peekable;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use chainrule_core::{ContentError, FeatureKind, Features, MAX_ABS_VALUE, Preprocessing, Recipe, Standardization};

use crate::cells::Cells;
use crate::checksum::Checksum;
use crate::column::{BLOCK, Column, Numbers};
use crate::encode::{Encoder, Unseen};
use crate::feature_reader::{FeatureColumns, FeatureReader};
use crate::idx::IdxImages;
use crate::labels::RowCodes;
use crate::learn::{RecipeOptions, learn};
use crate::row_indices::RowIndices;
use crate::scratch::Scratch;
use crate::spread::{MIN_SCALE, Spread};
use crate::{DataError, Images};

/// Rows, each with its class position: images in memory or in their file, or the numbers of a
/// table.
///
/// `Rows` is a view. A part, a selection of classes and a selection of columns share the stored
/// data, so a table is in memory once. Training reads the data with [`chunk`](Self::chunk),
/// [`row`](Self::row) and [`moments`](Self::moments).
#[derive(Clone, Debug)]
pub struct Rows {
    store: Store,
    selected: RowIndices,
    /// The selected columns in their order; `None` means all columns as stored.
    columns: Option<Arc<[usize]>>,
    /// The label of each stored row.
    labels: Arc<RowCodes>,
    /// The class position of each label; `None` for labels outside the classes. Without positions,
    /// each label is a class position.
    positions: Option<Arc<[Option<u16>]>>,
    /// The class position of each chosen row, if the rows were given other labels.
    relabelled: Option<Arc<[u16]>>,
    /// The weight of each chosen row, if the rows were given other weights.
    reweighted: Option<Arc<[f64]>>,
}

#[derive(Clone, Debug)]
enum Store {
    Images(Arc<Images>),
    /// A table. Without an encoder its cells are the features.
    Table(Arc<Cells>, Option<Arc<Encoder>>),
}

/// A reusable buffer for a chunk of rows that is not contiguous in memory.
#[derive(Clone, Debug, Default)]
pub struct RowBuffer {
    bytes: Vec<u8>,
    numbers: Vec<f64>,
    /// The stored rows of the chunk.
    indices: Vec<usize>,
    /// All features of the rows, if only some are selected.
    all: Vec<f64>,
}

/// The squares of smaller deviations lose digits, because they come near the smallest f64.
const MIN_PRECISE_VARIANCE: f64 = 1e-280;

/// The largest number of features of a chunk of sparse rows, of which most are 0: 1 GiB.
const MAX_CHUNK: usize = 1 << 27;
/// The largest number of features that tensors hold of sparse rows, of which most are 0: 4 GiB.
const MAX_EXPANDED: usize = 1 << 29;

/// The number of rows converted to features at a time.
const ROWS_AT_ONCE: usize = 64;

/// Returns the feature of a pixel: 0..=255 scaled to -1..=1.
pub fn pixel_value(pixel: u8) -> f64 {
    Preprocessing::Pixels.value(0, pixel.into())
}

impl Rows {
    /// Returns the images of `range` with a label in `classes`, in their order. A class may have no
    /// rows.
    pub(crate) fn of_images(
        images: &Arc<Images>,
        range: Range<usize>,
        classes: impl IntoIterator<Item = Option<u8>>,
    ) -> Self {
        let mut positions = [None; 256];
        for (position, class) in (0..).zip(classes) {
            if let Some(label) = class {
                positions[usize::from(label)] = Some(position);
            }
        }
        let labels = RowCodes::Bytes(images.labels().to_vec());
        Self::with_known_labels(Store::Images(Arc::clone(images)), RowIndices::All(range), labels.into(), &positions)
    }

    /// Creates rows from images with `height` lines and `width` columns. The pixels are `[n *
    /// height * width]`; each label is a class position.
    ///
    /// # Panics
    /// Panics if the numbers of images and labels differ.
    pub fn of_pixels([height, width]: [usize; 2], pixels: Vec<u8>, labels: Vec<u8>) -> Self {
        Images::new(IdxImages { height, width, pixels }, labels).into()
    }

    /// Creates rows of d numbers from `[n * d]` values, row by row. Each label is a class position.
    ///
    /// # Panics
    /// Panics if the numbers of rows and labels differ.
    pub fn of_values(n_features: usize, values: &[f64], labels: Vec<u16>) -> Self {
        let mut numbers = Numbers::default();
        values.chunks(n_features).for_each(|row| numbers.push(row.iter().copied()));
        Self::of_numbers(numbers, labels)
    }

    /// Creates rows of numbers. Each label is a class position.
    ///
    /// # Panics
    /// Panics if the numbers of rows and labels differ.
    pub fn of_numbers(numbers: Numbers, labels: Vec<u16>) -> Self {
        let (n, columns) = numbers.finish();
        assert_eq!(n, labels.len(), "one label per row");
        // The names are not used: nothing encodes these rows.
        let cells = Cells { names: vec![String::new(); columns.len()], columns, ..Cells::default() };
        let labels: RowCodes = labels.into_iter().collect();
        Self::of_cells(Arc::new(cells), None, RowIndices::All(0..n), labels.into(), None)
    }

    /// Creates rows from cells of a table. Each label is a class position, or `positions` has the
    /// class position of each label.
    pub(crate) fn of_cells(
        cells: Arc<Cells>,
        encoder: Option<Arc<Encoder>>,
        selected: RowIndices,
        labels: Arc<RowCodes>,
        positions: Option<Arc<[Option<u16>]>>,
    ) -> Self {
        let store = Store::Table(cells, encoder);
        Self { positions, ..Self::of_store(store, selected, labels) }
    }

    fn of_store(store: Store, selected: RowIndices, labels: Arc<RowCodes>) -> Self {
        Self { store, selected, columns: None, labels, positions: None, relabelled: None, reweighted: None }
    }

    /// Keeps the chosen rows with a label of one of the classes.
    fn with_known_labels(store: Store, selected: RowIndices, labels: Arc<RowCodes>, positions: &[Option<u16>]) -> Self {
        let mut rows = Self { positions: Some(positions.into()), ..Self::of_store(store, selected, labels) };
        let is_known = |row: &usize| positions.get(usize::from(rows.labels.get(*row))).copied().flatten().is_some();
        if !rows.selected.iter().all(|row| is_known(&row)) {
            let kept = rows.selected.iter().filter(is_known).map(|row| row as u32).collect();
            rows.selected = RowIndices::Some(kept);
        }
        rows
    }

    /// Returns the number of rows, n.
    pub fn len(&self) -> usize {
        self.selected.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the lines and columns of an image, or `[1, d]` for a table.
    pub fn size(&self) -> [usize; 2] {
        match &self.store {
            Store::Images(images) => images.size().into(),
            Store::Table(..) => {
                [1, self.columns.as_ref().map_or_else(|| self.stored_columns(), |indices| indices.len())]
            }
        }
    }

    /// Returns the number of features, d: the pixels of an image, or the table's feature columns.
    pub fn n_features(&self) -> usize {
        self.size().into_iter().product()
    }

    /// Returns the type in which the features are stored.
    pub fn kind(&self) -> FeatureKind {
        match self.store {
            Store::Images(_) => FeatureKind::Bytes,
            Store::Table(..) => FeatureKind::Numbers,
        }
    }

    /// Returns the file that the rows stay in, if they are not in memory.
    pub fn file(&self) -> Option<&Path> {
        match &self.store {
            Store::Images(images) => images.file(),
            Store::Table(..) => None,
        }
    }

    /// Returns whether these are the same rows of the same store, in the same order.
    pub fn are_same_as(&self, other: &Self) -> bool {
        let have_same_store = match (&self.store, &other.store) {
            (Store::Images(own), Store::Images(other)) => Arc::ptr_eq(own, other),
            (Store::Table(own, own_encoder), Store::Table(other, other_encoder)) => {
                Arc::ptr_eq(own, other) && same(own_encoder.as_ref(), other_encoder.as_ref())
            }
            _ => false,
        };
        have_same_store
            && self.selected.are_same_as(&other.selected)
            && Arc::ptr_eq(&self.labels, &other.labels)
            && self.columns == other.columns
            && self.positions == other.positions
            && same(self.relabelled.as_ref(), other.relabelled.as_ref())
            && same(self.reweighted.as_ref(), other.reweighted.as_ref())
    }

    /// Returns whether the rows stay in a file: images that were not read, or rows of a table that
    /// do not fit in memory.
    pub fn stays_in_file(&self) -> bool {
        match &self.store {
            Store::Images(images) => images.file().is_some(),
            Store::Table(cells, _) => cells.scratch.as_ref().is_some_and(|scratch| {
                let bytes = (self.len() * size_of::<f32>()) as u64 * cells.columns.len() as u64;
                bytes > scratch.resident_bytes()
            }),
        }
    }

    /// Returns the size of the features in bytes, in memory or in their file.
    pub fn bytes(&self) -> u64 {
        let of_feature = match self.kind() {
            FeatureKind::Bytes => size_of::<u8>(),
            FeatureKind::Numbers => size_of::<f64>(),
        };
        (self.len() * of_feature) as u64 * self.n_features() as u64
    }

    /// Returns the class position of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn label(&self, row: usize) -> u16 {
        if let Some(labels) = &self.relabelled {
            return labels[row];
        }
        let label = self.labels.get(self.stored_index(row));
        match &self.positions {
            None => label,
            Some(positions) => positions[usize::from(label)].expect("rows of other classes are not chosen"),
        }
    }

    /// Returns the class position of each row.
    pub fn labels(&self) -> Vec<u16> {
        self.each_label().collect()
    }

    /// Iterates over the class position of each row.
    fn each_label(&self) -> Box<dyn Iterator<Item = u16> + '_> {
        if let Some(labels) = &self.relabelled {
            return Box::new(labels.iter().copied());
        }
        let labels = self.selected.iter().map(|row| self.labels.get(row));
        match &self.positions {
            None => Box::new(labels),
            Some(positions) => {
                let position = |label| positions[usize::from(label)].expect("rows of other classes are not chosen");
                Box::new(labels.map(position))
            }
        }
    }

    /// Fails if rows in a file could not be read or written.
    pub(crate) fn check_scratch(&self) -> Result<(), DataError> {
        match &self.store {
            Store::Images(_) => Ok(()),
            Store::Table(cells, _) => cells.check(),
        }
    }

    /// Returns the file that the rows of a table are kept in, if they do not fit in memory.
    pub fn scratch(&self) -> Option<&Arc<Scratch>> {
        match &self.store {
            Store::Images(_) => None,
            Store::Table(cells, _) => cells.scratch.as_ref(),
        }
    }

    /// Returns the weight of a row as it was read or set. Without weights, it is 1.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn weight(&self, row: usize) -> f64 {
        match (&self.reweighted, &self.store) {
            (Some(weights), _) => weights[row],
            (None, Store::Table(cells, _)) => {
                cells.weights.as_ref().map_or(1.0, |weights| weights.get(self.stored_index(row)))
            }
            (None, Store::Images(_)) => 1.0,
        }
    }

    fn have_weights(&self) -> bool {
        self.reweighted.is_some() || matches!(&self.store, Store::Table(cells, _) if cells.weights.is_some())
    }

    /// Returns the weights of the rows, scaled to a mean of 1. Returns `None` if all weights are
    /// equal: they change nothing.
    ///
    /// # Errors
    /// Fails if all weights are 0.
    pub fn weights(&self) -> Result<Option<RowWeights<'_>>, DataError> {
        if !self.have_weights() || self.is_empty() {
            return Ok(None);
        }
        RowWeights::of(self)
    }

    /// Iterates over the class position of each row and its [weight](Self::weights), which is 1
    /// without weights.
    ///
    /// # Errors
    /// Fails if all weights are 0.
    pub fn weighted_labels(&self) -> Result<impl Iterator<Item = (u16, f64)>, DataError> {
        let weights = self.weights()?;
        let weight = move |row| weights.map_or(1.0, |weights| weights.get(row));
        Ok(self.each_label().enumerate().map(move |(row, label)| (label, weight(row))))
    }

    /// Returns the position of the first class without rows, of n classes.
    pub(crate) fn empty_class(&self, n_classes: usize) -> Option<usize> {
        let mut has_rows = vec![false; n_classes];
        (0..self.len()).for_each(|row| has_rows[usize::from(self.label(row))] = true);
        has_rows.iter().position(|has_rows| !has_rows)
    }

    /// Returns the index of a row among the stored rows, from 0. For images in a file, this is the
    /// index in the file.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn stored_index(&self, row: usize) -> usize {
        self.selected.get(row)
    }

    /// Returns the indices of consecutive rows among the stored rows.
    pub(crate) fn stored_indices(&self, rows: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        self.selected.range(rows)
    }

    /// Returns the line of a row in its file, from 1. For a table that is stored by columns, it is
    /// the number of the row, from 1. `None` for images and for rows from memory.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn line(&self, row: usize) -> Option<u32> {
        match &self.store {
            Store::Images(_) => None,
            Store::Table(cells, _) => cells.lines.get(self.stored_index(row)),
        }
    }

    /// Returns where a row of a table is, in words: `line 7`, `row 6` in a table that is stored by
    /// columns, or `b.csv, line 7` if there are several files. `None` for images and for rows from
    /// memory.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn place(&self, row: usize) -> Option<String> {
        let Store::Table(cells, _) = &self.store else { return None };
        self.line(row).map(|_| cells.place(self.stored_index(row)))
    }

    /// Returns the number of a row's file among those of its table, and the number of the row in
    /// it, from 0, without rows that cannot be read. `None` for images and for rows from memory.
    pub(crate) fn index_in_file(&self, row: usize) -> Option<(usize, usize)> {
        let (Store::Table(cells, _), row) = (&self.store, self.stored_index(row)) else { return None };
        let file = cells.files.partition_point(|file| file.first <= row).checked_sub(1)?;
        Some((file, row - cells.files[file].first))
    }

    /// Returns the features of these rows, one row after another.
    ///
    /// Contiguous images in memory are returned without a copy. All other rows are copied to
    /// `buffer`. Consecutive rows of a file are read at once.
    ///
    /// # Errors
    /// Fails if the rows stay in their file and it can no longer be read.
    ///
    /// # Panics
    /// Panics if a row is past the end.
    pub fn chunk<'a>(
        &'a self,
        rows: impl ExactSizeIterator<Item = usize>,
        buffer: &'a mut RowBuffer,
    ) -> Result<Features<'a>, DataError> {
        match &self.store {
            Store::Table(cells, encoder) => {
                buffer.numbers.clear();
                self.check_expanded(rows.len(), self.stored_columns(), MAX_CHUNK)?;
                self.append(cells, encoder.as_deref(), rows, buffer);
                cells.check()?;
                Ok(Features::Numbers(&buffer.numbers))
            }
            Store::Images(images) => {
                let n = rows.len();
                let stored = rows.map(|row| self.stored_index(row));
                let mut ranges = ContiguousRanges(stored.peekable());
                let first = ranges.next();
                if let Some(pixels) =
                    first.clone().filter(|range| range.len() == n).and_then(|range| images.resident(range))
                {
                    return Ok(Features::Bytes(pixels));
                }
                read(images, n, first.into_iter().chain(ranges), &mut buffer.bytes)?;
                Ok(Features::Bytes(&buffer.bytes))
            }
        }
    }

    /// Returns the features of a row as numbers `[d]`.
    ///
    /// # Errors
    /// See [`chunk`](Self::chunk).
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn row<'a>(&self, row: usize, buffer: &'a mut RowBuffer) -> Result<&'a [f64], DataError> {
        self.numbers(std::iter::once(row), buffer)
    }

    /// Returns the features of these rows as numbers `[n, d]`. Consecutive rows of a table in a
    /// file are read at once.
    ///
    /// # Errors
    /// See [`chunk`](Self::chunk).
    ///
    /// # Panics
    /// Panics if a row is past the end.
    pub fn numbers<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
        buffer: &'a mut RowBuffer,
    ) -> Result<&'a [f64], DataError> {
        buffer.numbers.clear();
        match &self.store {
            Store::Table(cells, encoder) => {
                self.append(cells, encoder.as_deref(), rows, buffer);
                cells.check()?;
            }
            Store::Images(images) => {
                buffer.bytes.resize(self.n_features(), 0);
                for row in rows {
                    images.read_pixels(self.stored_index(row), &mut buffer.bytes)?;
                    buffer.numbers.extend(buffer.bytes.iter().copied().map(f64::from));
                }
            }
        }
        Ok(&buffer.numbers)
    }

    /// Appends the selected features of these rows to the buffer's numbers.
    fn append(
        &self,
        cells: &Cells,
        encoder: Option<&Encoder>,
        rows: impl Iterator<Item = usize>,
        buffer: &mut RowBuffer,
    ) {
        let RowBuffer { numbers, indices, all, .. } = buffer;
        indices.clear();
        indices.extend(rows.map(|row| self.stored_index(row)));
        match (encoder, &self.columns) {
            (None, None) => append_numbers(cells.columns.iter(), indices, numbers),
            (None, Some(chosen)) => {
                append_numbers(chosen.iter().map(|&column| &cells.columns[column]), indices, numbers);
            }
            (Some(encoder), None) => encoder.append(cells, indices, numbers),
            (Some(encoder), Some(chosen)) => {
                all.clear();
                encoder.append(cells, indices, all);
                let rows = all.chunks_exact(encoder.recipe().n_features());
                numbers.extend(rows.flat_map(|row| chosen.iter().map(|&place| row[place])));
            }
        }
    }

    /// Returns the largest absolute value of each feature, `[d]`, if the features are sparse.
    pub fn max_abs_of_sparse(&self) -> Option<Vec<f64>> {
        let reader = self.feature_reader().filter(|reader| !reader.layout().sparse.is_empty())?;
        let (mut largest, mut columns) = (vec![0.0; self.n_features()], FeatureColumns::default());
        for row in 0..self.len() {
            // Sparse rows are in memory.
            reader.read(row..row + 1, &mut columns).ok()?;
            for (position, value) in columns.sparse.rows().flat_map(|(positions, values)| positions.iter().zip(values))
            {
                let largest: &mut f64 = &mut largest[*position as usize];
                *largest = largest.max(value.abs());
            }
        }
        Some(largest)
    }

    /// Checks that [`into_features`](Self::into_features) can convert the rows.
    ///
    /// # Errors
    /// If the rows are sparse and would take too much memory with the features that are 0.
    pub fn check_features(&self) -> Result<(), DataError> {
        self.check_expanded(self.len(), self.n_features(), MAX_EXPANDED)
    }

    /// Returns an error if sparse rows would take too much memory with the features that are 0.
    fn check_expanded(&self, n: usize, d: usize, most: usize) -> Result<(), DataError> {
        let is_sparse = matches!(&self.store, Store::Table(cells, _) if cells.sparse.is_some());
        match n.checked_mul(d) {
            Some(count) if count <= most || !is_sparse => Ok(()),
            _ => Err(DataError::TooSparse { n, d }),
        }
    }

    /// Returns a reader of the rows of a table. `None` for images.
    pub fn feature_reader(&self) -> Option<FeatureReader<'_>> {
        match &self.store {
            Store::Images(_) => None,
            Store::Table(cells, encoder) => {
                Some(FeatureReader::new(self, cells, encoder.as_deref(), self.columns.as_deref()))
            }
        }
    }

    /// Calls `visit` with each row as numbers `[d]`.
    fn each(&self, mut visit: impl FnMut(&[f64])) -> Result<(), DataError> {
        let (mut buffer, mut row_numbers) = (RowBuffer::default(), Vec::new());
        let (n, d) = (self.len(), self.n_features());
        for first in (0..n).step_by(ROWS_AT_ONCE) {
            match self.chunk(first..n.min(first + ROWS_AT_ONCE), &mut buffer)? {
                Features::Numbers(numbers) => numbers.chunks_exact(d.max(1)).for_each(&mut visit),
                Features::Bytes(bytes) => bytes.chunks_exact(d.max(1)).for_each(|row| {
                    row_numbers.clear();
                    row_numbers.extend(row.iter().copied().map(f64::from));
                    visit(&row_numbers);
                }),
            }
        }
        Ok(())
    }

    /// Returns the mean and standard deviation of each feature.
    ///
    /// The computation takes two passes in f64 and follows scikit-learn's `StandardScaler`. The
    /// variance is divided by n. A feature that is constant up to rounding gets the scale 1, so it
    /// is only centred. Features for which the two passes are not precise enough, because their
    /// numbers are tiny or differ little, are computed again, from exact differences.
    ///
    /// # Errors
    /// See [`chunk`](Self::chunk).
    ///
    /// # Panics
    /// Panics if there are no rows.
    pub fn moments(&self) -> Result<Standardization, DataError> {
        assert!(!self.is_empty(), "moments need at least one row");
        let (d, n) = (self.n_features(), self.len() as f64);
        let mut mean = vec![0.0; d];
        self.each(|row| mean.iter_mut().zip(row).for_each(|(sum, raw)| *sum += raw))?;
        mean.iter_mut().for_each(|sum| *sum /= n);
        let (mut squares, mut deviation_sum) = (vec![0.0; d], vec![0.0; d]);
        self.each(|row| {
            for (j, raw) in row.iter().enumerate() {
                let deviation = raw - mean[j];
                squares[j] += deviation * deviation;
                deviation_sum[j] += deviation;
            }
        })?;
        let mut imprecise = Vec::new();
        let scale = (0..d).map(|j| {
            // In exact arithmetic the second sum is 0. It corrects the rounding of the mean: T.
            // Chan, G. Golub, R. LeVeque, Algorithms for computing the sample variance, The
            // American Statistician 37(3), 1983, Eq. (1.7).
            let variance = (squares[j] - deviation_sum[j] * deviation_sum[j] / n) / n;
            // scikit-learn takes the feature for constant then (`_is_constant_feature` in
            // sklearn/preprocessing/_data.py), or squares underflow.
            let mean_rounding = n * f64::EPSILON * mean[j];
            let is_imprecise = variance <= n * f64::EPSILON * variance + mean_rounding * mean_rounding;
            if is_imprecise || variance < MIN_PRECISE_VARIANCE {
                imprecise.push(j);
            }
            variance.sqrt()
        });
        let mut scale: Vec<f64> = scale.collect();
        match &self.store {
            Store::Table(..) => self.exact_moments(&imprecise, &mut mean, &mut scale)?,
            // The sums of bytes are exact.
            Store::Images(_) => imprecise.iter().for_each(|&j| scale[j] = 1.0),
        }
        Ok(Standardization { scale, mean })
    }

    /// Computes the mean and the scale of these features from their differences to the smallest
    /// number, in units of the largest difference. So neither the mean's rounding nor an underflow
    /// matters.
    fn exact_moments(&self, features: &[usize], mean: &mut [f64], scale: &mut [f64]) -> Result<(), DataError> {
        if features.is_empty() {
            return Ok(());
        }
        let mut spreads = vec![Spread::default(); features.len()];
        self.each(|row| spreads.iter_mut().zip(features).for_each(|(spread, &j)| spread.add(row[j])))?;
        // The mean and the sum of squared deviations: B. P. Welford, Note on a method for
        // calculating corrected sums of squares and products, Technometrics 4(3), 1962.
        let (mut sums, mut count) = (vec![(0.0, 0.0); features.len()], 0.0);
        self.each(|row| {
            count += 1.0;
            for ((&j, spread), (mean, squares)) in features.iter().zip(&spreads).zip(&mut sums) {
                let width = spread.width();
                let x = if width > 0.0 { (row[j] - spread.smallest) / width } else { 0.0 };
                let deviation = x - *mean;
                *mean += deviation / count;
                *squares += deviation * (x - *mean);
            }
        })?;
        for ((&j, spread), (of_mean, squares)) in features.iter().zip(&spreads).zip(sums) {
            mean[j] = spread.smallest + spread.width() * of_mean;
            let deviation = spread.width() * (squares / count).sqrt();
            scale[j] = if spread.is_constant() || deviation < MIN_SCALE { 1.0 } else { deviation };
        }
        Ok(())
    }

    /// Returns the largest absolute value of the features, or 0 if there are no rows.
    ///
    /// # Errors
    /// See [`chunk`](Self::chunk).
    pub fn max_abs(&self) -> Result<f64, DataError> {
        if let Some(largest) = self.max_abs_of_sparse() {
            return Ok(largest.into_iter().fold(0.0, f64::max));
        }
        let mut largest = 0.0;
        self.each(|row| largest = row.iter().fold(largest, |largest: f64, x| largest.max(x.abs())))?;
        Ok(largest)
    }

    /// Returns the SHA-256 of the features (bytes or little-endian f64), followed by the labels and
    /// by the weights, if there are any.
    ///
    /// # Errors
    /// See [`chunk`](Self::chunk).
    pub fn sha256(&self) -> Result<String, DataError> {
        let (mut checksum, mut buffer) = (Checksum::default(), RowBuffer::default());
        for row in 0..self.len() {
            match self.chunk(row..row + 1, &mut buffer)? {
                Features::Bytes(bytes) => checksum.update(bytes),
                Features::Numbers(numbers) => numbers.iter().for_each(|x| checksum.update(x.to_le_bytes())),
            }
        }
        // A label of up to 255 is one byte, so that older records stay valid.
        for row in 0..self.len() {
            let label = self.label(row);
            match u8::try_from(label) {
                Ok(byte) => checksum.update([byte]),
                Err(_) => checksum.update(label.to_le_bytes()),
            }
        }
        if self.have_weights() {
            (0..self.len()).for_each(|row| checksum.update(self.weight(row).to_le_bytes()));
        }
        Ok(checksum.finish())
    }

    /// Converts the rows to features `[n, d]`, row by row, each rounded by `round`. Frees the
    /// stored data on the way if nothing else shares it.
    ///
    /// # Errors
    /// See [`chunk`](Self::chunk).
    pub fn into_features<T: Copy>(
        mut self,
        preprocessing: &Preprocessing,
        round: impl Fn(f64) -> T,
    ) -> Result<Vec<T>, DataError> {
        let (n, d) = (self.len(), self.n_features());
        self.check_features()?;
        let mut features = Vec::with_capacity(n * d);
        let are_all = matches!(&self.selected, RowIndices::All(range) if *range == (0..self.labels.len()));
        // Without standardisation all features share one scale, so a table of 256 values serves all
        // bytes.
        let feature_of_byte: Vec<T> = match preprocessing {
            Preprocessing::Standardized(_) => Vec::new(),
            _ => (0..=u8::MAX).map(|byte| round(preprocessing.value(0, byte.into()))).collect(),
        };
        let mut buffer = RowBuffer::default();
        for first in (0..n).step_by(ROWS_AT_ONCE) {
            if are_all
                && first > 0
                && first.is_multiple_of(BLOCK)
                && let Store::Table(cells, _) = &mut self.store
                && let Some(own) = Arc::get_mut(cells)
            {
                own.free(first / BLOCK - 1);
            }
            let feature = |(j, raw)| round(preprocessing.value(j, raw));
            match self.chunk(first..n.min(first + ROWS_AT_ONCE), &mut buffer)? {
                Features::Bytes(bytes) if !feature_of_byte.is_empty() => {
                    features.extend(bytes.iter().map(|&byte| feature_of_byte[usize::from(byte)]));
                }
                Features::Bytes(bytes) => {
                    features.extend((0..d).cycle().zip(bytes.iter().copied().map(f64::from)).map(feature));
                }
                Features::Numbers(numbers) => {
                    features.extend((0..d).cycle().zip(numbers.iter().copied()).map(feature));
                }
            }
        }
        Ok(features)
    }

    /// Loads the selected images into memory, without the other stored images.
    ///
    /// Images in a file stay there if they have more than `resident_bytes` bytes. Tables are
    /// returned unchanged.
    ///
    /// # Errors
    /// See [`chunk`](Self::chunk).
    pub fn into_memory(self, resident_bytes: u64) -> Result<Self, DataError> {
        let Store::Images(images) = &self.store else { return Ok(self) };
        let stays_in_file = images.file().is_some() && self.bytes() > resident_bytes;
        let are_all = images.file().is_none() && self.len() == self.labels.len();
        if stays_in_file || are_all {
            return Ok(self);
        }
        let (n, mut pixels) = (self.len(), Vec::new());
        read(images, n, ContiguousRanges((0..n).map(|row| self.stored_index(row)).peekable()), &mut pixels)?;
        let images = Images::new(IdxImages { height: self.size()[0], width: self.size()[1], pixels }, vec![0; n]);
        let labels: RowCodes = self.labels().into_iter().collect();
        Ok(Self { labels: labels.into(), positions: None, ..Self::from(images) })
    }

    /// Selects these rows, in this order.
    ///
    /// # Panics
    /// Panics if a row is past the end.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let selected = rows.iter().map(|&row| self.stored_index(row) as u32).collect();
        let relabelled = self.relabelled.as_ref().map(|labels| rows.iter().map(|&row| labels[row]).collect());
        let reweighted = self.reweighted.as_ref().map(|weights| rows.iter().map(|&row| weights[row]).collect());
        Self { selected: RowIndices::Some(selected), relabelled, reweighted, ..self.clone() }
    }

    /// Keeps the rows whose class has a position in `positions`, and gives them that position.
    #[must_use]
    pub fn with_classes(&self, positions: &[Option<u16>]) -> Self {
        let position = |own: u16| positions.get(usize::from(own)).copied().flatten();
        if self.relabelled.is_some() || self.reweighted.is_some() {
            let known: Vec<usize> = (0..self.len()).filter(|&row| position(self.label(row)).is_some()).collect();
            let labels: Vec<u16> = known.iter().filter_map(|&row| position(self.label(row))).collect();
            return self.select(&known).with_labels(&labels);
        }
        let composed: Vec<Option<u16>> = match &self.positions {
            None => positions.to_vec(),
            Some(own) => own.iter().map(|own| own.and_then(position)).collect(),
        };
        let rows =
            Self::with_known_labels(self.store.clone(), self.selected.clone(), Arc::clone(&self.labels), &composed);
        Self { columns: self.columns.clone(), ..rows }
    }

    /// Replaces the labels. Each label is a class position.
    ///
    /// # Panics
    /// Panics if the numbers of rows and labels differ.
    #[must_use]
    pub fn with_labels(self, labels: &[u16]) -> Self {
        assert_eq!(labels.len(), self.len(), "one label per row");
        Self { relabelled: Some(labels.into()), ..self }
    }

    /// Replaces the weights.
    ///
    /// # Errors
    /// Fails if a weight is negative or not finite, if all are 0, or if the rows are images.
    ///
    /// # Panics
    /// Panics if the numbers of rows and weights differ.
    pub fn with_weights(self, weights: Vec<f64>) -> Result<Self, DataError> {
        assert_eq!(weights.len(), self.len(), "one weight per row");
        if self.kind() == FeatureKind::Bytes {
            return Err(DataError::WeightOfImages { data: "these rows".to_owned() });
        }
        let is_valid = |weight: f64| (0.0..=MAX_ABS_VALUE).contains(&weight);
        if let Some((row, &weight)) = weights.iter().enumerate().find(|(_, weight)| !is_valid(**weight)) {
            return Err(DataError::Weight { row, weight });
        }
        let rows = Self { reweighted: Some(weights.into()), ..self };
        rows.weights()?;
        Ok(rows)
    }

    /// Gives all rows the same weight.
    #[must_use]
    pub fn without_weights(self) -> Self {
        match self.have_weights() {
            true => Self { reweighted: Some(vec![1.0; self.len()].into()), ..self },
            false => self,
        }
    }

    /// Selects columns of a table, in this order.
    ///
    /// # Panics
    /// Panics if a column is past the end, or if the rows are images.
    #[must_use]
    pub fn with_columns(self, indices: &[usize]) -> Self {
        let own = match (&self.columns, self.kind()) {
            (_, FeatureKind::Bytes) => panic!("images have no columns to select"),
            (None, _) => indices.to_vec(),
            (Some(before), _) => indices.iter().map(|&index| before[index]).collect(),
        };
        assert!(indices.iter().all(|&index| index < self.n_features()), "columns {indices:?} of {}", self.n_features());
        let are_all = own.iter().copied().eq(0..self.stored_columns());
        Self { columns: (!are_all).then(|| own.into()), ..self }
    }

    /// Encodes the rows of a table by another recipe. Returns the values that the recipe's training
    /// rows did not have.
    ///
    /// # Errors
    /// Returns an error if the rows are no table, if a column is missing, or if a value does not
    /// fit its column.
    pub fn with_recipe(&self, recipe: &Recipe) -> Result<(Self, Vec<Unseen>), ContentError> {
        let Store::Table(cells, _) = &self.store else { return Err(ContentError::new("the rows are images")) };
        let encoder = Encoder::new(cells, recipe).map_err(|missing| {
            let (missing, columns) = (chainrule_core::quoted(&missing), chainrule_core::listed(&cells.names));
            format!("no column {missing}, which the model needs; the columns are {columns}")
        })?;
        let unseen = encoder.check(cells, self.selected.iter())?;
        let store = Store::Table(Arc::clone(cells), Some(Arc::new(encoder)));
        Ok((Self { store, columns: None, ..self.clone() }, unseen))
    }

    /// Learns from these rows of a table how its columns become features.
    ///
    /// # Errors
    /// Returns an error if the rows are no table of named columns, if no column is left, or if a
    /// value does not fit the kind of its column.
    pub fn learn_recipe(&self, options: &RecipeOptions) -> Result<Recipe, ContentError> {
        let Store::Table(cells, _) = &self.store else { return Err(ContentError::new("the rows are images")) };
        Ok(learn(cells, &self.selected, options)?)
    }

    fn stored_columns(&self) -> usize {
        match &self.store {
            Store::Images(_) => self.n_features(),
            Store::Table(cells, None) => cells.columns.len(),
            Store::Table(_, Some(encoder)) => encoder.recipe().n_features(),
        }
    }
}

/// Returns whether both are absent, or shares of the same value.
fn same<T: ?Sized>(own: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (own, other) {
        (None, None) => true,
        (Some(own), Some(other)) => Arc::ptr_eq(own, other),
        _ => false,
    }
}

/// The weights of rows, scaled to a mean of 1, so that a penalty means the same with all weights.
#[derive(Clone, Copy, Debug)]
pub struct RowWeights<'a> {
    rows: &'a Rows,
    /// The largest weight. Weights are divided by it first, so that no sum underflows.
    largest: f64,
    /// The number of rows, divided by the sum of the weights in units of the largest.
    scale: f64,
    /// The smallest weight above 0.
    smallest: f64,
}

impl<'a> RowWeights<'a> {
    fn of(rows: &'a Rows) -> Result<Option<Self>, DataError> {
        let (n, first) = (rows.len(), rows.weight(0));
        let (mut largest, mut smallest, mut are_equal) = (0.0, f64::INFINITY, true);
        for weight in (0..n).map(|row| rows.weight(row)) {
            largest = weight.max(largest);
            smallest = if weight > 0.0 { weight.min(smallest) } else { smallest };
            are_equal &= weight == first;
        }
        if largest == 0.0 {
            return Err(DataError::ZeroWeights { n });
        }
        if are_equal {
            return Ok(None);
        }
        let sum: f64 = (0..n).map(|row| rows.weight(row) / largest).sum();
        Ok(Some(Self { rows, largest, scale: n as f64 / sum, smallest }))
    }

    /// Returns the weight of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn get(&self, row: usize) -> f64 {
        self.scaled(self.rows.weight(row))
    }

    /// Returns the weight of each row.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        (0..self.rows.len()).map(|row| self.get(row))
    }

    /// Returns the smallest weight above 0.
    pub fn smallest(&self) -> f64 {
        self.scaled(self.smallest)
    }

    fn scaled(&self, weight: f64) -> f64 {
        weight / self.largest * self.scale
    }
}

/// Takes all images. Each label is a class position.
impl From<Images> for Rows {
    fn from(images: Images) -> Self {
        let n = images.labels().len();
        Self::of_images(&Arc::new(images), 0..n, (0..=u8::MAX).map(Some))
    }
}

/// Appends the numbers of these rows, one row after the other.
fn append_numbers<'a>(columns: impl ExactSizeIterator<Item = &'a Column>, rows: &[usize], numbers: &mut Vec<f64>) {
    let (d, start) = (columns.len(), numbers.len());
    numbers.resize(start + rows.len() * d, 0.0);
    for (first, column) in (start..).zip(columns) {
        let mut cells = column.reader();
        for (&row, place) in rows.iter().zip((first..).step_by(d)) {
            numbers[place] = cells.get(row);
        }
    }
}

/// Groups stored rows into contiguous ranges.
struct ContiguousRanges<I: Iterator<Item = usize>>(Peekable<I>);

impl<I: Iterator<Item = usize>> Iterator for ContiguousRanges<I> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.0.next()?;
        let mut end = start + 1;
        while self.0.next_if_eq(&end).is_some() {
            end += 1;
        }
        Some(start..end)
    }
}

/// Reads the pixels of n stored images, one contiguous range at a time.
fn read(
    images: &Images,
    n: usize,
    ranges: impl Iterator<Item = Range<usize>>,
    pixels: &mut Vec<u8>,
) -> Result<(), DataError> {
    let (height, width) = images.size();
    let d = height * width;
    pixels.resize(n * d, 0);
    let mut filled = 0;
    for Range { start, end } in ranges {
        let next = filled + (end - start) * d;
        images.read_pixels(start, &mut pixels[filled..next])?;
        filled = next;
    }
    Ok(())
}
