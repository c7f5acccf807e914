//! Predictions of a trained model for stored rows (bytes of an image or numbers of a table), on the
//! CPU in f64. [`Predictor::explain`] takes a prediction apart into what each feature contributes.
//!
//! A row has the same bits alone, among others, on each thread and on each processor with the same
//! exponential function.
//!
//! The probabilities of every classifier are the softmax of its class logits. The model's [`Link`]
//! returns the class logits:
//! - logistic: 0 and z, because `softmax(0, z) = (1 - sigmoid(z), sigmoid(z))`
//! - one-vs-rest: log sigmoid(z), because
//!   `softmax(log sigmoid(z))_k = sigmoid(z_k) / sum_l sigmoid(z_l)`

use std::sync::Arc;

use chainrule_core::{
    ContentError, FeatureLayout, Link, LinkKind, MAX_ABS_VALUE, Parameters, Preprocessing, Standardization, TargetKind,
    pluralize,
};
use chainrule_data::{Rows, SparseEntries};
use chainrule_kernels::{Isa, LogitMap, Number};

use crate::predictions::{
    BatchError, BatchPredictor, Predictions, RowPrediction, RowsPredictor, predicted_class, write_probabilities,
};

/// A trained model that makes predictions. Any number of threads may use it at once.
///
/// - [`predict`](Self::predict): a row
/// - [`predict_into`](Self::predict_into): a row, without allocation
/// - [`predict_batch`](Self::predict_batch): rows in memory
/// - [`of_rows`](Self::of_rows): the rows of a data set
#[derive(Clone, Debug)]
pub struct Predictor {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) parameters: Parameters,
    pub(crate) preprocessing: Preprocessing,
    map: RowMap,
}

/// The map from a stored row to z.
#[derive(Clone, Debug)]
enum RowMap {
    /// For pixels, with the logits of a blank image, `b_k + offset * sum_j w_jk`. Most bytes of an
    /// image are 0 and are skipped.
    Pixels { blank: Vec<f64> },
    /// For all other numbers.
    Numbers(LogitMap),
}

/// The number of stored numbers of a block of rows: they stay in the L1 cache.
const BLOCK: usize = 1 << 12;
/// The largest number of rows of a block.
pub(crate) const MAX_BLOCK_ROWS: usize = 64;

/// An invalid row.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The row has the wrong length.
    #[error("the row has {found} numbers, and the model takes {expected}")]
    Length {
        /// The number of values given.
        found: usize,
        /// The number of features, d.
        expected: usize,
    },
    /// The model's targets are numbers, not classes. Use [`Predictor::mean`].
    #[error("the model has no classes: its targets are numbers, and it predicts their mean")]
    NoClasses,
    /// A value is outside the range that the model accepts.
    #[error("number {position} of the row (from 0) is {value:?}; the model takes {expected}")]
    Number {
        /// Its position, counted from 0.
        position: usize,
        /// Its value.
        value: f64,
        /// The accepted values.
        expected: &'static str,
    },
}

/// The prediction for one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The logits `[k]`, in the order of the classes. Their softmax gives the probabilities. For
    /// the logistic model they are 0 and z; for one-vs-rest, `log sigmoid(z_k)`.
    pub logits: Vec<f64>,
    /// The probabilities `[k]`, in the order of the classes.
    pub probabilities: Vec<f64>,
    /// The index of the class with the largest logit; the first one in a tie.
    pub class: usize,
}

impl Prediction {
    /// Returns the cross-entropy in nats if `class` is the true class:
    /// `log sum_k exp(z_k) - z_class`.
    pub fn cross_entropy(&self, class: usize) -> f64 {
        let Self { logits, class: predicted, .. } = self;
        RowPrediction { logits, class: *predicted }.score(class).cross_entropy
    }
}

impl Predictor {
    /// Creates a predictor for a built-in model.
    ///
    /// # Errors
    /// As [`with_link`](Self::with_link).
    ///
    /// # Panics
    /// If the preprocessing has statistics for another number of features.
    pub fn new(
        link: impl Into<LinkKind>,
        parameters: Parameters,
        preprocessing: Preprocessing,
    ) -> Result<Self, ContentError> {
        Self::with_link(link.into().link(parameters.columns), parameters, preprocessing)
    }

    /// Creates a predictor for any model.
    ///
    /// # Errors
    /// If a parameter or a possible logit is not finite, if the parameters and the link have
    /// different numbers of columns, or if a link for k classes does not return k class logits.
    ///
    /// # Panics
    /// If the preprocessing has statistics for another number of features.
    pub fn with_link(
        link: Arc<dyn Link>,
        parameters: Parameters,
        preprocessing: Preprocessing,
    ) -> Result<Self, ContentError> {
        if !parameters.weight.iter().chain(&parameters.bias).all(|x| x.is_finite()) {
            return Err(ContentError::new("its weights are not all finite"));
        }
        let columns = parameters.columns;
        if columns == 0 || parameters.n_features == 0 {
            return Err(ContentError::new("it has no weights"));
        }
        if link.columns() != columns {
            let (name, needed_columns) = (link.kind(), link.columns());
            let name = if name == Some(LinkKind::Logistic) { "a logistic" } else { "this kind of" };
            let needed = pluralize(needed_columns, "column");
            return Err(format!("{name} model needs {needed} of weights, and it has {columns}").into());
        }
        if let TargetKind::Classes(k) = link.target_kind() {
            let found = link.class_logits(&vec![0.0; columns]).len();
            if found != k {
                return Err(format!(
                    "its link returns {} for {}; implement Link::class_logits",
                    pluralize(found, "class logit"),
                    pluralize(k, "class")
                )
                .into());
            }
        }
        let statistics = preprocessing.standardization();
        assert!(
            statistics.is_none_or(|statistics| statistics.n_features() == parameters.n_features),
            "one mean and scale per feature"
        );
        let mut blank = parameters.bias.clone();
        for (class, z) in blank.iter_mut().enumerate() {
            let weights = parameters.weights_of_class(class);
            // An upper bound on every partial sum of a logit.
            let terms = weights.iter().enumerate().map(|(j, w)| w.abs() * preprocessing.max_abs(j));
            // The factor 3 is for pixels: |offset| is at most max_abs, and |scale raw| is at most
            // 2 max_abs.
            let largest = z.abs() + 3.0 * terms.sum::<f64>();
            if !largest.is_finite() {
                return Err(ContentError::new("its weights are so large that their sums are not finite"));
            }
            if preprocessing == Preprocessing::Pixels {
                *z += preprocessing.affine(0).1 * weights.iter().sum::<f64>();
            }
        }
        let map = if preprocessing == Preprocessing::Pixels {
            RowMap::Pixels { blank }
        } else {
            RowMap::Numbers(logit_map(&FeatureLayout::of_numbers(parameters.n_features), &parameters, &preprocessing))
        };
        Ok(Self { link, parameters, preprocessing, map })
    }

    /// The number of features, d.
    pub fn n_features(&self) -> usize {
        self.parameters.n_features
    }

    /// The number of classes, k: 2 for the logistic model, 0 if the targets are numbers.
    pub fn n_classes(&self) -> usize {
        match self.link.target_kind() {
            TargetKind::Classes(k) => k,
            _ => 0,
        }
    }

    /// The map from stored numbers to features.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Predicts a stored row: the bytes of an image, or the numbers of a table.
    ///
    /// # Errors
    /// If the length of `raw` is not d, or if a value is out of range: from 0 to 255 for an image,
    /// otherwise finite with an absolute value up to 1e30.
    pub fn predict<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<Prediction, RowError> {
        let mut prediction = Prediction::default();
        self.predict_into(raw, &mut prediction)?;
        Ok(prediction)
    }

    /// Predicts a row like [`predict`](Self::predict), and reuses the memory of `prediction`: no
    /// call after the first allocates. (A [`Link`] of your own also has to implement
    /// [`Link::write_class_logits`].)
    ///
    /// ```
    /// use chainrule_core::{LinkKind, Parameters, Preprocessing};
    /// use chainrule_solve::{Prediction, Predictor};
    ///
    /// let (weight, bias) = (vec![1.5, -0.5], vec![0.0]);
    /// let parameters = Parameters { n_features: 2, columns: 1, weight, bias };
    /// let predictor = Predictor::new(LinkKind::Logistic, parameters, Preprocessing::Raw)?;
    /// let mut prediction = Prediction::default();
    /// for (row, class) in [([1.0, 0.0], 1), ([0.0, 4.0], 0)] {
    ///     predictor.predict_into(&row, &mut prediction)?;
    ///     assert_eq!(prediction.class, class);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict). The prediction is then that of no row.
    pub fn predict_into<T: Copy + Into<f64>>(&self, raw: &[T], prediction: &mut Prediction) -> Result<(), RowError> {
        if self.n_classes() == 0 {
            return Err(RowError::NoClasses);
        }
        self.predict_with(prediction, |z| self.write_logits(raw, z))
    }

    /// Predicts a row, and returns its z, too, `[columns]`.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub(crate) fn predict_z<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<(Prediction, Vec<f64>), RowError> {
        if self.n_classes() == 0 {
            return Err(RowError::NoClasses);
        }
        let (mut prediction, mut own_z) = (Prediction::default(), Vec::new());
        self.predict_with(&mut prediction, |z| {
            self.write_logits(raw, z)?;
            own_z.extend_from_slice(z);
            Ok(())
        })?;
        Ok((prediction, own_z))
    }

    /// Returns the logits of a blank image, or of a row whose features are all 0, `[columns]`.
    pub(crate) fn reference_logits(&self) -> &[f64] {
        match &self.map {
            RowMap::Pixels { blank } => blank,
            RowMap::Numbers(_) => &self.parameters.bias,
        }
    }

    /// Predicts the row whose z `write_z` writes to a slice `[columns]`. The targets are classes.
    ///
    /// # Errors
    /// As `write_z`.
    pub(crate) fn predict_with<E>(
        &self,
        prediction: &mut Prediction,
        write_z: impl FnOnce(&mut [f64]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (k, columns) = (self.n_classes(), self.parameters.columns);
        let Prediction { logits, probabilities, class } = prediction;
        logits.resize(k, 0.0);
        // First, z is here.
        probabilities.resize(columns.max(k), 0.0);
        let z = &mut probabilities[..columns];
        write_z(z)?;
        self.link.write_class_logits(z, logits);
        *class = predicted_class(z, logits);
        probabilities.resize(k, 0.0);
        write_probabilities(logits, *class, probabilities);
        Ok(())
    }

    /// Predicts rows, one after the other in `raw`, in less time than one by one. Reuses the memory
    /// of `predictions`, whose old rows are replaced.
    ///
    /// ```
    /// use chainrule_core::{LinkKind, Parameters, Preprocessing};
    /// use chainrule_solve::{Predictions, Predictor};
    ///
    /// let (weight, bias) = (vec![1.5, -0.5], vec![0.0]);
    /// let parameters = Parameters { n_features: 2, columns: 1, weight, bias };
    /// let predictor = Predictor::new(LinkKind::Logistic, parameters, Preprocessing::Raw)?;
    /// let mut predictions = Predictions::default();
    /// predictor.predict_batch(&[1.0, 0.0, 0.0, 4.0], &mut predictions)?;
    /// assert_eq!(predictions.classes(), [1, 0]);
    /// assert_eq!(predictions.logits(), [0.0, 1.5, 0.0, -2.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Shapes
    /// - raw `[n, d]`
    ///
    /// # Errors
    /// As [`predict`](Self::predict), with the number of the row. There are then no predictions.
    pub fn predict_batch<T: Number>(&self, raw: &[T], predictions: &mut Predictions) -> Result<(), BatchError> {
        predictions.start(raw.len() / self.n_features(), self.n_classes());
        self.append_batch(raw, predictions).inspect_err(|_| predictions.start(0, 0))
    }

    /// Like [`predict_batch`](Self::predict_batch), after the rows that are there.
    pub(crate) fn append_batch<T: Number>(&self, raw: &[T], predictions: &mut Predictions) -> Result<(), BatchError> {
        let (d, columns) = (self.n_features(), self.parameters.columns);
        for rows in raw.chunks((BLOCK / d).clamp(1, MAX_BLOCK_ROWS) * d) {
            let (first, n) = (predictions.len(), rows.len() / d);
            if !rows.len().is_multiple_of(d) {
                let error = RowError::Length { found: rows.len() % d, expected: d };
                return Err(BatchError { row: first + n, error });
            }
            match &self.map {
                RowMap::Pixels { .. } => {
                    let z = predictions.z(n * columns);
                    for (i, (raw, z)) in rows.chunks_exact(d).zip(z.chunks_exact_mut(columns)).enumerate() {
                        self.write_logits(raw, z).map_err(|error| BatchError { row: first + i, error })?;
                    }
                    predictions.append_z(&*self.link);
                }
                RowMap::Numbers(map) => self.append_rows(map, n, rows, &[], predictions, |position| position)?,
            }
        }
        Ok(())
    }

    /// Appends the predictions of n rows. `feature` returns the feature of a number of a row.
    pub(crate) fn append_rows<T: Number>(
        &self,
        map: &LogitMap,
        n: usize,
        numbers: &[T],
        codes: &[u32],
        predictions: &mut Predictions,
        feature: impl Fn(usize) -> usize,
    ) -> Result<(), BatchError> {
        let first = predictions.len();
        let sum = map.rows(Isa::best(), numbers, codes, predictions.z(n * self.parameters.columns));
        if exceeds_range(sum) {
            let invalid = numbers.iter().position(|&number| exceeds_range(number.into()));
            if let Some(position) = invalid {
                let of_row = numbers.len() / n;
                let error = self.number_error(feature(position % of_row), numbers[position].into());
                return Err(BatchError { row: first + position / of_row, error });
            }
        }
        predictions.append_z(&*self.link);
        Ok(())
    }

    /// Appends the predictions of n rows whose features are all sparse.
    pub(crate) fn append_sparse(
        &self,
        map: &LogitMap,
        n: usize,
        sparse: &SparseEntries,
        predictions: &mut Predictions,
    ) {
        let columns = self.parameters.columns;
        let z = predictions.z(n * columns);
        map.rows::<f64>(Isa::best(), &[], &[], z);
        for ((positions, values), z) in sparse.rows().zip(z.chunks_exact_mut(columns)) {
            map.add_sparse(positions, values, z);
        }
        predictions.append_z(&*self.link);
    }

    /// Returns a predictor of the rows of a data set, which reads and predicts them block by block.
    /// A category of a table takes one code a row, and no number for each level.
    ///
    /// # Errors
    /// If the rows have another number of features, or if the targets are numbers.
    pub fn of_rows<'a>(&'a self, rows: &'a Rows) -> Result<RowsPredictor<'a>, RowError> {
        let (found, expected) = (rows.n_features(), self.n_features());
        if self.n_classes() == 0 {
            return Err(RowError::NoClasses);
        }
        if found != expected {
            return Err(RowError::Length { found, expected });
        }
        Ok(RowsPredictor::new(self, rows))
    }

    /// Returns a predictor of the rows of files, for a model of `n_features`.
    ///
    /// # Errors
    /// If the model has another number of features, or if the targets are numbers.
    pub fn of_batches(&self, n_features: usize) -> Result<BatchPredictor<'_>, RowError> {
        if self.n_classes() == 0 {
            return Err(RowError::NoClasses);
        }
        if n_features != self.n_features() {
            return Err(RowError::Length { found: n_features, expected: self.n_features() });
        }
        Ok(BatchPredictor::new(self))
    }

    /// Returns the map from the numbers and categories of a table's row to z, unless the features
    /// are pixels.
    pub(crate) fn map_of(&self, layout: &FeatureLayout) -> Option<LogitMap> {
        match self.map {
            RowMap::Pixels { .. } => None,
            RowMap::Numbers(_) => Some(logit_map(layout, &self.parameters, &self.preprocessing)),
        }
    }

    /// Returns the expected target: the probability of each class, or the mean if the target is a
    /// number.
    ///
    /// # Errors
    /// As [`Predictor::predict`], except that the targets need not be classes.
    pub fn mean<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<Vec<f64>, RowError> {
        let mut z = vec![0.0; self.parameters.columns];
        self.write_logits(raw, &mut z)?;
        Ok(self.link.mean(&z))
    }

    /// Writes `z = x W + b` of a row.
    fn write_logits<T: Copy + Into<f64>>(&self, raw: &[T], z: &mut [f64]) -> Result<(), RowError> {
        let blank = match &self.map {
            RowMap::Pixels { blank } => blank,
            RowMap::Numbers(map) => {
                self.check_length(raw.len())?;
                return if exceeds_range(map.row(raw, &[], z)) { self.check(raw) } else { Ok(()) };
            }
        };
        self.check(raw)?;
        z.copy_from_slice(blank);
        let scale = self.preprocessing.affine(0).0;
        for (&raw, weights) in raw.iter().zip(self.parameters.weight.chunks_exact(z.len())) {
            let x = scale * raw.into();
            if x == 0.0 {
                continue;
            }
            z.iter_mut().zip(weights).for_each(|(z, w)| *z += x * w);
        }
        Ok(())
    }

    fn check_length(&self, found: usize) -> Result<(), RowError> {
        let expected = self.n_features();
        if found == expected { Ok(()) } else { Err(RowError::Length { found, expected }) }
    }

    /// Checks the length and each value of a row.
    fn check<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<(), RowError> {
        self.check_length(raw.len())?;
        let are_pixels = matches!(self.map, RowMap::Pixels { .. });
        let is_invalid =
            |number: f64| if are_pixels { !(0.0..=255.0).contains(&number) } else { exceeds_range(number) };
        match raw.iter().position(|&number| is_invalid(number.into())) {
            Some(position) => Err(self.number_error(position, raw[position].into())),
            None => Ok(()),
        }
    }

    fn number_error(&self, position: usize, value: f64) -> RowError {
        let expected = match self.map {
            RowMap::Pixels { .. } => "numbers from 0 to 255",
            RowMap::Numbers(_) => "finite numbers up to 1e30",
        };
        RowError::Number { position, value, expected }
    }

    /// Returns the weights `[d]` and the bias of a class. The logistic model has one z, for the
    /// positive class, which is the last one. For the other class the signs are reversed.
    ///
    /// # Panics
    /// If `class` is not below k.
    pub fn parameters_of_class(&self, class: usize) -> (Vec<f64>, f64) {
        assert!(class < self.n_classes(), "class {class} of {}", self.n_classes());
        // A single z is the logit of the second class.
        let (column, sign) = match self.parameters.columns {
            1 if self.n_classes() == 2 => (0, if class == 0 { -1.0 } else { 1.0 }),
            _ => (class, 1.0),
        };
        let weights = self.parameters.weights_of_class(column);
        (weights.iter().map(|w| sign * w).collect(), sign * self.parameters.bias[column])
    }

    /// Returns the contribution of each feature of a row to a class, `x_j w_jk`, and the bias
    /// `b_k`. The weights are those of [`Predictor::parameters_of_class`]. The sum is z.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    ///
    /// # Panics
    /// If `class` is not below k.
    pub fn evidence<T: Copy + Into<f64>>(&self, raw: &[T], class: usize) -> Result<(Vec<f64>, f64), RowError> {
        self.check(raw)?;
        let (weights, bias) = self.parameters_of_class(class);
        let features = raw.iter().enumerate().map(|(j, &raw)| self.preprocessing.value(j, raw.into()));
        Ok((features.zip(weights).map(|(x, w)| x * w).collect(), bias))
    }
}

/// Whether a number is too large or NaN. If a sum of absolute values is not, none of them is.
fn exceeds_range(number: f64) -> bool {
    number.is_nan() || number.abs() > MAX_ABS_VALUE
}

/// Returns the map of these features `(raw - mean) / scale`. The scale is part of the weights.
fn logit_map(layout: &FeatureLayout, parameters: &Parameters, preprocessing: &Preprocessing) -> LogitMap {
    let Parameters { n_features, columns, weight, bias } = parameters;
    match preprocessing.standardization() {
        None => LogitMap::new(layout, weight, bias, &vec![0.0; *n_features]),
        Some(Standardization { mean, scale }) => {
            let rows = weight.chunks_exact(*columns).zip(scale);
            let scaled: Vec<f64> = rows.flat_map(|(weights, scale)| weights.iter().map(move |w| w / scale)).collect();
            LogitMap::new(layout, &scaled, bias, mean)
        }
    }
}
