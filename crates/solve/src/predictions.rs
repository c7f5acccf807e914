//! Predictions of many rows.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use chainrule_core::{FeatureLayout, Features, Link, LinkKind};
use chainrule_data::{DataError, FeatureColumns, FeatureReader, InputBatch, RowBuffer, Rows};
use chainrule_kernels::LogitMap;

use crate::inference::{MAX_BLOCK_ROWS, Prediction, Predictor, RowError};

/// The predictions for some rows. It keeps its memory when it is used again.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    n_classes: usize,
    /// `[n, k]`
    logits: Vec<f64>,
    classes: Vec<usize>,
    /// The logits of the columns of W, of the rows that are being appended.
    z: Vec<f64>,
}

/// The prediction for one row of [`Predictions`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowPrediction<'a> {
    /// The logits `[k]`, as in [`Prediction`].
    pub logits: &'a [f64],
    /// The index of the class with the largest logit; the first one in a tie.
    pub class: usize,
}

/// How a prediction compares with the true class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The probability of the predicted class.
    pub confidence: f64,
    /// The cross-entropy in nats: `log sum_k exp(z_k) - z_class`.
    pub cross_entropy: f64,
}

/// An invalid row of a batch.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("row {row} (from 0): {error}")]
pub struct BatchError {
    /// The number of the row, from 0.
    pub row: usize,
    /// What is wrong with it.
    pub error: RowError,
}

/// Rows of a data set that cannot be predicted.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The rows cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A row is invalid.
    #[error(transparent)]
    Row(#[from] BatchError),
}

impl Predictions {
    /// The number of rows, n.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The index of the predicted class of each row, `[n]`.
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// The logits `[n, k]`, row by row, as in [`Prediction`].
    pub fn logits(&self) -> &[f64] {
        &self.logits
    }

    /// Returns each row's prediction, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowPrediction<'_>> {
        let logits = self.logits.chunks_exact(self.n_classes.max(1));
        logits.zip(&self.classes).map(|(logits, &class)| RowPrediction { logits, class })
    }

    /// Removes all rows, and makes room for n rows of a model of k classes.
    pub(crate) fn start(&mut self, n: usize, n_classes: usize) {
        self.n_classes = n_classes;
        self.logits.clear();
        self.logits.reserve(n * n_classes);
        self.classes.clear();
        self.classes.reserve(n);
    }

    /// Returns a buffer for z.
    pub(crate) fn z(&mut self, len: usize) -> &mut [f64] {
        self.z.resize(len, 0.0);
        &mut self.z
    }

    /// Appends the rows of this z, `[n, columns]`.
    pub(crate) fn append_z(&mut self, link: &dyn Link) {
        let (k, start) = (self.n_classes, self.logits.len());
        if link.kind() == Some(LinkKind::Softmax) {
            self.logits.extend_from_slice(&self.z);
            self.classes.extend(self.z.chunks_exact(k).map(|z| predicted_class(z, z)));
            return;
        }
        let z = self.z.chunks_exact(link.columns());
        self.logits.resize(start + z.len() * k, 0.0);
        self.classes.extend(z.zip(self.logits[start..].chunks_exact_mut(k)).map(|(z, logits)| {
            link.write_class_logits(z, logits);
            predicted_class(z, logits)
        }));
    }
}

impl RowPrediction<'_> {
    /// Returns the probabilities `[k]`, in the order of the classes.
    pub fn probabilities(self) -> Vec<f64> {
        let mut probabilities = vec![0.0; self.logits.len()];
        self.write_probabilities(&mut probabilities);
        probabilities
    }

    /// Writes the probabilities to a slice `[k]`.
    ///
    /// # Panics
    /// If the slice has another length.
    pub fn write_probabilities(self, probabilities: &mut [f64]) {
        write_probabilities(self.logits, self.class, probabilities);
    }

    /// Compares the prediction with the true class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn score(self, class: usize) -> Score {
        let highest = self.logits[self.class];
        let sum = sum_of_exp(self.logits, self.class);
        Score { confidence: 1.0 / sum, cross_entropy: sum.ln() + (highest - self.logits[class]) }
    }
}

impl From<RowPrediction<'_>> for Prediction {
    fn from(row: RowPrediction<'_>) -> Self {
        Self { logits: row.logits.to_vec(), probabilities: row.probabilities(), class: row.class }
    }
}

/// Predicts the rows of a data set. [`Predictor::of_rows`] makes it.
#[derive(Debug)]
pub struct RowsPredictor<'a> {
    predictor: &'a Predictor,
    rows: &'a Rows,
    /// For a table.
    table: Option<(FeatureReader<'a>, Arc<LogitMap>)>,
    buffer: RowBuffer,
    columns: FeatureColumns,
    /// The numbers and codes of a block, row by row.
    numbers: Vec<f64>,
    codes: Vec<u32>,
}

impl<'a> RowsPredictor<'a> {
    pub(crate) fn new(predictor: &'a Predictor, rows: &'a Rows) -> Self {
        Self::with_map(predictor, rows, |layout| predictor.map_of(layout).map(Arc::new))
    }

    /// Creates a predictor with the map that `map` returns for the layout of the rows.
    fn with_map(
        predictor: &'a Predictor,
        rows: &'a Rows,
        map: impl FnOnce(&FeatureLayout) -> Option<Arc<LogitMap>>,
    ) -> Self {
        let table = rows.feature_reader().and_then(|reader| {
            let map = map(reader.layout())?;
            Some((reader, map))
        });
        let (buffer, columns, numbers, codes) = Default::default();
        Self { predictor, rows, table, buffer, columns, numbers, codes }
    }

    /// Predicts these rows. They replace those of `predictions`, whose memory is reused.
    ///
    /// # Errors
    /// If the rows stay in their file and it can no longer be read, or if a number is out of range.
    /// There are then no predictions.
    ///
    /// # Panics
    /// If a row is past the end.
    pub fn predict(&mut self, rows: Range<usize>, predictions: &mut Predictions) -> Result<(), RowsError> {
        predictions.start(rows.len(), self.predictor.n_classes());
        let first = rows.start;
        self.append(rows, predictions).map_err(|error| {
            predictions.start(0, 0);
            match error {
                RowsError::Row(BatchError { row, error }) => BatchError { row: first + row, error }.into(),
                error @ RowsError::Data(_) => error,
            }
        })
    }

    fn append(&mut self, rows: Range<usize>, predictions: &mut Predictions) -> Result<(), RowsError> {
        let Self { predictor, rows: all, table, buffer, columns, numbers, codes } = self;
        let Some((reader, map)) = table else {
            match all.chunk(rows, buffer)? {
                Features::Bytes(bytes) => predictor.append_batch(bytes, predictions)?,
                Features::Numbers(numbers) => predictor.append_batch(numbers, predictions)?,
            }
            return Ok(());
        };
        for first in rows.clone().step_by(MAX_BLOCK_ROWS) {
            let end = rows.end.min(first + MAX_BLOCK_ROWS);
            reader.read(first..end, columns)?;
            if !reader.layout().sparse.is_empty() {
                predictor.append_sparse(map, end - first, &columns.sparse, predictions);
                continue;
            }
            transpose(&columns.numbers, end - first, numbers);
            transpose(&columns.codes, end - first, codes);
            let feature = |position| reader.layout().numbers[position];
            predictor.append_rows(map, end - first, numbers, codes, predictions, feature)?;
        }
        Ok(())
    }
}

/// Predicts the rows of files, batch by batch, from any number of threads.
/// [`Predictor::of_batches`] makes it.
#[derive(Debug)]
pub struct BatchPredictor<'a> {
    predictor: &'a Predictor,
    /// The layout of the first batch, and its map. All batches of a model have one layout.
    map: OnceLock<(FeatureLayout, Arc<LogitMap>)>,
}

/// The answers for consecutive rows of a file, which may have rows that cannot be read.
#[derive(Clone, Debug)]
pub struct Answers {
    batch: InputBatch,
    /// Of the rows that can be read.
    predictions: Predictions,
}

/// The answer for a row of a file.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    batch: &'a InputBatch,
    position: usize,
    /// The prediction, or what is wrong with the row.
    pub prediction: Result<RowPrediction<'a>, &'a str>,
}

impl<'a> BatchPredictor<'a> {
    pub(crate) fn new(predictor: &'a Predictor) -> Self {
        Self { predictor, map: OnceLock::new() }
    }

    /// Answers the rows of a batch.
    ///
    /// # Errors
    /// As [`RowsPredictor::predict`].
    pub fn answer(&self, batch: InputBatch) -> Result<Answers, RowsError> {
        let mut predictions = Predictions::default();
        let mut of_rows = RowsPredictor::with_map(self.predictor, &batch.rows, |layout| self.map_of(layout));
        of_rows.predict(0..batch.rows.len(), &mut predictions)?;
        Ok(Answers { batch, predictions })
    }

    fn map_of(&self, layout: &FeatureLayout) -> Option<Arc<LogitMap>> {
        if let Some((of_first, map)) = self.map.get()
            && of_first == layout
        {
            return Some(Arc::clone(map));
        }
        let map = Arc::new(self.predictor.map_of(layout)?);
        // It fails if another thread was faster.
        let _ = self.map.set((layout.clone(), Arc::clone(&map)));
        Some(map)
    }
}

impl Answers {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.batch.lines.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.batch.lines.is_empty()
    }

    /// Returns the batch.
    pub fn batch(&self) -> &InputBatch {
        &self.batch
    }

    /// Returns the answer for each row, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Answer<'_>> {
        let (batch, mut predictions) = (&self.batch, self.predictions.iter());
        (0..self.len()).map(move |position| {
            let prediction = match batch.problems.get(&position) {
                Some(problem) => Err(&**problem),
                None => Ok(predictions.next().expect("each row that can be read has a prediction")),
            };
            Answer { batch, position, prediction }
        })
    }
}

impl<'a> Answer<'a> {
    /// Returns the line of the row. See [`InputBatch::lines`].
    pub fn line(&self) -> u64 {
        self.batch.lines[self.position]
    }

    /// Returns the fields of the [kept columns](InputBatch::kept).
    pub fn kept(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let Self { batch, position, .. } = *self;
        batch.kept.iter().map(move |column| column.get(position))
    }
}

/// Writes columns of n rows row by row.
fn transpose<T: Copy + Default>(columns: &[Vec<T>], n: usize, rows: &mut Vec<T>) {
    rows.resize(n * columns.len(), T::default());
    for (j, column) in columns.iter().enumerate() {
        for (place, &value) in rows[j..].iter_mut().step_by(columns.len()).zip(column) {
            *place = value;
        }
    }
}

/// Returns the class with the largest logit, the first one in a tie.
pub(crate) fn predicted_class(z: &[f64], logits: &[f64]) -> usize {
    // If each class has its own z, compare the z: the class logits computed from them may have lost
    // digits.
    let scores = if z.len() == logits.len() { z } else { logits };
    let (mut class, mut highest) = (0, scores[0]);
    for (k, &z) in scores.iter().enumerate() {
        (class, highest) = if z > highest { (k, z) } else { (class, highest) };
    }
    class
}

/// Writes the softmax of the logits, of which that of `class` is the largest.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn write_probabilities(logits: &[f64], class: usize, probabilities: &mut [f64]) {
    assert_eq!(probabilities.len(), logits.len(), "one probability per class");
    if let Some(exp) = exp_of_other(logits, class) {
        let sum = 1.0 + exp;
        probabilities[class] = 1.0 / sum;
        probabilities[1 - class] = exp / sum;
        return;
    }
    let mut sum = 0.0;
    for (probability, z) in probabilities.iter_mut().zip(logits) {
        *probability = (z - logits[class]).exp();
        sum += *probability;
    }
    probabilities.iter_mut().for_each(|probability| *probability /= sum);
}

/// Returns the sum of the exponentials of `z - z_class`.
fn sum_of_exp(logits: &[f64], class: usize) -> f64 {
    match exp_of_other(logits, class) {
        Some(exp) => 1.0 + exp,
        None => logits.iter().map(|z| (z - logits[class]).exp()).sum(),
    }
}

/// Returns the exponential of the other class, if there are two. The other exponential is 1.
fn exp_of_other(logits: &[f64], class: usize) -> Option<f64> {
    (logits.len() == 2).then(|| (logits[1 - class] - logits[class]).exp())
}
