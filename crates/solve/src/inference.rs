//! A trained model on rows as the data has them, bytes of an image or numbers of a table, by host
//! arithmetic in f64: what it predicts, and why.
//!
//! All models of classes are read as a softmax of logits, which their [`Link`] gives:
//! - logistic, of 0 and z: `softmax(0, z) = (1 - sigmoid(z), sigmoid(z))`
//! - one class against the rest, of log sigmoid(z):
//!   `softmax(log sigmoid(z))_k = sigmoid(z_k) / sum_l sigmoid(z_l)`

use std::sync::Arc;

use chainrule_core::{
    ContentError, Features, LARGEST_NUMBER, Link, LinkKind, Parameters, Preprocessing, Targets, count,
};

/// A trained model, for asking.
#[derive(Clone, Debug)]
pub struct Predictor {
    link: Arc<dyn Link>,
    parameters: Parameters,
    preprocessing: Preprocessing,
    /// The logits of a row whose features are all 0; of pixels, of an image whose bytes are all 0,
    /// which most of an image's are: `b_k + offset * sum_j w_jk`.
    of_blank: Vec<f64>,
}

/// Why a model cannot be asked about a row.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// It is longer or shorter than a row is.
    #[error("the row has {found} numbers, and the model takes {expected}")]
    Length {
        /// Numbers given.
        found: usize,
        /// Features, d.
        expected: usize,
    },
    /// The model's targets are numbers, of which it tells the [mean](Predictor::mean).
    #[error("the model tells no classes apart: its targets are numbers, of which it knows the mean")]
    NoClasses,
    /// It has something else than what the model was trained on.
    #[error("number {position} of the row (from 0) is {value:?}; the model takes {expected}")]
    Number {
        /// Where, from 0.
        position: usize,
        /// What is there.
        value: f64,
        /// What may be there.
        expected: &'static str,
    },
}

/// What a model says of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// `[k]`, in the order of the classes, whose softmax the probabilities are; for the logistic
    /// model 0 and z, for one class against the rest `log sigmoid(z_k)`.
    pub logits: Vec<f64>,
    /// `[k]`, in the order of the classes.
    pub probabilities: Vec<f64>,
    /// The position of the class with the largest z, of equal ones the first.
    pub class: usize,
}

impl Prediction {
    /// The cross-entropy, in nats, where `class` is the right one: `log sum_k exp(z_k) - z_class`.
    pub fn cross_entropy(&self, class: usize) -> f64 {
        let highest = self.logits[self.class];
        self.logits.iter().map(|z| (z - highest).exp()).sum::<f64>().ln() + (highest - self.logits[class])
    }
}

impl Predictor {
    /// Of one of this workspace's models.
    ///
    /// # Errors
    /// As [`with_link`](Self::with_link).
    ///
    /// # Panics
    /// Where there are not as many statistics as features.
    pub fn new(
        link: impl Into<LinkKind>,
        parameters: Parameters,
        preprocessing: Preprocessing,
    ) -> Result<Self, ContentError> {
        Self::with_link(link.into().link(parameters.columns), parameters, preprocessing)
    }

    /// Of any model.
    ///
    /// # Errors
    /// Where a parameter or a sum of them is not finite, or there are not as many columns of them
    /// as the link has.
    ///
    /// # Panics
    /// Where there are not as many statistics as features.
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
            return Err(ContentError::new("it has no weight"));
        }
        if link.columns() != columns {
            let (name, has) = (link.kind(), link.columns());
            let name = if name == Some(LinkKind::Logistic) { "a logistic" } else { "such a" };
            return Err(format!("{name} model has {} of weights, and it has {columns}", count(has, "column")).into());
        }
        let statistics = preprocessing.standardization();
        assert!(statistics.is_none_or(|by| by.n_features() == parameters.n_features), "statistics of each feature");
        let mut of_blank = parameters.bias.clone();
        for (class, z) in of_blank.iter_mut().enumerate() {
            let weights = parameters.of_class(class);
            // No sum on the way to a logit is larger than this.
            let parts = weights.iter().enumerate().map(|(j, w)| w.abs() * preprocessing.largest(j));
            let largest = z.abs() + 3.0 * parts.sum::<f64>();
            if !largest.is_finite() {
                return Err(ContentError::new("its weights are so large that their sums are not finite"));
            }
            if preprocessing == Preprocessing::Pixels {
                *z += preprocessing.affine(0).1 * weights.iter().sum::<f64>();
            }
        }
        Ok(Self { link, of_blank, parameters, preprocessing })
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        self.parameters.n_features
    }

    /// Classes, k: two for the logistic model. None where the targets are numbers.
    pub fn n_classes(&self) -> usize {
        match self.link.targets() {
            Targets::Classes(k) => k,
            _ => 0,
        }
    }

    /// What its features are made by.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// What it says of a row as the data has it: an image's bytes, or a table's numbers.
    ///
    /// # Errors
    /// Where `raw` are not d, or one of them is not what the model takes: a number, not above 1e30,
    /// or of an image one from 0 to 255.
    pub fn predict<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<Prediction, RowError> {
        if self.n_classes() == 0 {
            return Err(RowError::NoClasses);
        }
        let z = self.logits(raw)?;
        let logits = self.link.class_logits(&z);
        // Where each class has a logit of its own, that has digits which what is made of it may
        // not.
        let ranks = if z.len() == logits.len() { &z } else { &logits };
        let mut class = 0;
        for (k, z) in ranks.iter().enumerate() {
            if *z > ranks[class] {
                class = k;
            }
        }
        let powers: Vec<f64> = logits.iter().map(|z| (z - logits[class]).exp()).collect();
        let sum: f64 = powers.iter().sum();
        Ok(Prediction { probabilities: powers.iter().map(|power| power / sum).collect(), logits, class })
    }

    /// The same of each row of a chunk, one after the other.
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

    /// What it expects of a row's target, whatever its kind: the probability of each class, or the
    /// mean of a number.
    ///
    /// # Errors
    /// As [`Predictor::predict`], but for the classes.
    pub fn mean<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<Vec<f64>, RowError> {
        Ok(self.link.mean(&self.logits(raw)?))
    }

    /// `z = x W + b`
    fn logits<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<Vec<f64>, RowError> {
        self.check(raw)?;
        let columns = self.parameters.columns;
        let mut logits = self.of_blank.clone();
        // Of pixels what a blank image's are is in the logits already. Of other numbers a
        // difference is taken before it is divided: most digits of a feature whose mean is large
        // would be lost between two terms.
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

    /// Refuses what no logit can be made of.
    fn check<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<(), RowError> {
        let (found, expected) = (raw.len(), self.n_features());
        if found != expected {
            return Err(RowError::Length { found, expected });
        }
        let (range, expected) = match self.preprocessing {
            Preprocessing::Pixels => (0.0..=255.0, "numbers from 0 to 255"),
            Preprocessing::Raw | Preprocessing::Standardized(_) => {
                (-LARGEST_NUMBER..=LARGEST_NUMBER, "finite numbers up to 1e30")
            }
        };
        // What is not a number is in no range.
        let wrong = raw.iter().map(|&raw| raw.into()).enumerate().find(|(_, value)| !range.contains(value));
        wrong.map_or(Ok(()), |(position, value)| Err(RowError::Number { position, value, expected }))
    }

    /// The weights `[d]` and the bias that speak for a class; for the logistic model those of z for
    /// the positive class, the last, and of -z for the other.
    ///
    /// # Panics
    /// Where `class` is none of the k.
    pub fn of_class(&self, class: usize) -> (Vec<f64>, f64) {
        assert!(class < self.n_classes(), "class {class} of {}", self.n_classes());
        // A single logit speaks for the second class, and where it is low for the first.
        let (column, sign) = match self.parameters.columns {
            1 if self.n_classes() == 2 => (0, if class == 0 { -1.0 } else { 1.0 }),
            _ => (class, 1.0),
        };
        let weights = self.parameters.of_class(column);
        (weights.iter().map(|w| sign * w).collect(), sign * self.parameters.bias[column])
    }

    /// What speaks for a class in a row: for each feature `x_j w_jk`, and the bias `b_k`, of
    /// [`Predictor::of_class`]. Their sum is z.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    ///
    /// # Panics
    /// Where `class` is none of the k.
    pub fn evidence<T: Copy + Into<f64>>(&self, raw: &[T], class: usize) -> Result<(Vec<f64>, f64), RowError> {
        self.check(raw)?;
        let (weights, bias) = self.of_class(class);
        let features = raw.iter().enumerate().map(|(j, &raw)| self.preprocessing.value(j, raw.into()));
        Ok((features.zip(weights).map(|(x, w)| x * w).collect(), bias))
    }
}
