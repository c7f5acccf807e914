//! Predictions of a trained model for stored rows (bytes of an image or numbers of a table), on the
//! CPU in f64. [`Predictor::evidence`] explains a prediction by the contribution of each feature.
//!
//! The probabilities of every classifier are the softmax of its class logits. The model's [`Link`]
//! returns the class logits:
//! - logistic: 0 and z, because `softmax(0, z) = (1 - sigmoid(z), sigmoid(z))`
//! - one-vs-rest: log sigmoid(z), because
//!   `softmax(log sigmoid(z))_k = sigmoid(z_k) / sum_l sigmoid(z_l)`

use std::sync::Arc;

use chainrule_core::{
    ContentError, Features, Link, LinkKind, MAX_ABS_VALUE, Parameters, Preprocessing, TargetKind, pluralize,
};

/// A trained model that makes predictions.
#[derive(Clone, Debug)]
pub struct Predictor {
    link: Arc<dyn Link>,
    parameters: Parameters,
    preprocessing: Preprocessing,
    /// The initial values of the logits: the bias. For pixels, the logits of a blank image,
    /// `b_k + offset * sum_j w_jk`, because most bytes of an image are 0 and can then be skipped.
    initial_logits: Vec<f64>,
}

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
#[derive(Clone, Debug, PartialEq)]
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
        let highest = self.logits[self.class];
        self.logits.iter().map(|z| (z - highest).exp()).sum::<f64>().ln() + (highest - self.logits[class])
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
        let mut initial_logits = parameters.bias.clone();
        for (class, z) in initial_logits.iter_mut().enumerate() {
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
        Ok(Self { link, initial_logits, parameters, preprocessing })
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
        if self.n_classes() == 0 {
            return Err(RowError::NoClasses);
        }
        let z = self.logits(raw)?;
        let logits = self.link.class_logits(&z);
        // If each class has its own z, compare the z: the class logits computed from them may have
        // lost digits.
        let scores = if z.len() == logits.len() { &z } else { &logits };
        let mut class = 0;
        for (k, z) in scores.iter().enumerate() {
            if *z > scores[class] {
                class = k;
            }
        }
        let exponentials: Vec<f64> = logits.iter().map(|z| (z - logits[class]).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        Ok(Prediction {
            probabilities: exponentials.iter().map(|exponential| exponential / sum).collect(),
            logits,
            class,
        })
    }

    /// Predicts every row of a chunk.
    pub fn predict_each<'a>(
        &'a self,
        rows: Features<'a>,
    ) -> Box<dyn Iterator<Item = Result<Prediction, RowError>> + 'a> {
        let d = self.n_features();
        match rows {
            Features::Bytes(bytes) => Box::new(bytes.chunks_exact(d).map(|row| self.predict(row))),
            Features::Numbers(numbers) => Box::new(numbers.chunks_exact(d).map(|row| self.predict(row))),
        }
    }

    /// Returns the expected target: the probability of each class, or the mean if the target is a
    /// number.
    ///
    /// # Errors
    /// As [`Predictor::predict`], except that the targets need not be classes.
    pub fn mean<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<Vec<f64>, RowError> {
        Ok(self.link.mean(&self.logits(raw)?))
    }

    /// `z = x W + b`
    fn logits<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<Vec<f64>, RowError> {
        self.check(raw)?;
        let columns = self.parameters.columns;
        let mut logits = self.initial_logits.clone();
        // For pixels, the initial logits already contain the offset. Other numbers are standardised
        // first: if the mean is large, adding the terms of scale and offset separately would lose
        // most digits of the feature.
        let are_pixels = self.preprocessing == Preprocessing::Pixels;
        for (j, (&raw, weights)) in raw.iter().zip(self.parameters.weight.chunks_exact(columns)).enumerate() {
            let raw = raw.into();
            let x = if are_pixels { self.preprocessing.affine(j).0 * raw } else { self.preprocessing.value(j, raw) };
            if x == 0.0 {
                continue;
            }
            logits.iter_mut().zip(weights).for_each(|(z, w)| *z += x * w);
        }
        Ok(logits)
    }

    /// Checks the length and the values of a row.
    fn check<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<(), RowError> {
        let (found, expected) = (raw.len(), self.n_features());
        if found != expected {
            return Err(RowError::Length { found, expected });
        }
        let (range, expected) = match self.preprocessing {
            Preprocessing::Pixels => (0.0..=255.0, "numbers from 0 to 255"),
            Preprocessing::Raw | Preprocessing::Standardized(_) => {
                (-MAX_ABS_VALUE..=MAX_ABS_VALUE, "finite numbers up to 1e30")
            }
        };
        // No range contains NaN.
        let invalid = raw.iter().map(|&raw| raw.into()).enumerate().find(|(_, value)| !range.contains(value));
        invalid.map_or(Ok(()), |(position, value)| Err(RowError::Number { position, value, expected }))
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
