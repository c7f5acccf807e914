//! Steps and evaluations by plain loops on the host: on whatever rows are in memory, whatever their
//! features are made by.

use std::sync::Arc;

use chainrule_core::{Gradient, Link, Parameters, Precision, Preprocessing, Targets, TrainConfig, Update};

use crate::engine::{Engine, Evaluated, Failure};
use crate::host::{Sums, judge};
use crate::{Chosen, Metrics, Observer, TrainError, Trained, class_names, class_weights, train};

/// Rows as features in memory.
#[derive(Clone, Debug)]
pub struct Dense {
    n_features: usize,
    /// `n * d`, row by row.
    features: Features,
    /// Each row's class.
    labels: Vec<u8>,
}

/// In the precision of a config.
#[derive(Clone, Debug)]
enum Features {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Dense {
    /// The features that rows become.
    ///
    /// # Panics
    /// Where the rows stay in their file.
    pub fn new(rows: Chosen, preprocessing: &Preprocessing, precision: Precision) -> Self {
        let (n_features, labels) = (rows.n_features(), rows.labels());
        let features = match precision {
            Precision::F32 => Features::F32(rows.into_features(preprocessing, |x| x as f32)),
            Precision::F64 => Features::F64(rows.into_features(preprocessing, |x| x)),
        };
        Self { n_features, features, labels }
    }

    /// Rows, n.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// A row `[d]`, which is in `room` where it is not in f64 already, and its class.
    fn row<'a>(&'a self, row: usize, room: &'a mut Vec<f64>) -> (&'a [f64], usize) {
        let d = self.n_features;
        let features = match &self.features {
            Features::F64(features) => &features[row * d..][..d],
            Features::F32(features) => {
                room.clear();
                room.extend(features[row * d..][..d].iter().copied().map(f64::from));
                room
            }
        };
        (features, usize::from(self.labels[row]))
    }
}

/// [`train()`] by plain loops, from parameters that are 0, on one thread. Features and parameters
/// are in the precision of the config, which is the
/// examples'; all sums are in f64.
///
/// # Errors
/// As [`train()`], and where the config asks for an optimizer other than plain steps, or the class
/// weights are not those of the classes.
pub fn train_dense(
    link: &Arc<dyn Link>,
    examples: &Dense,
    validation: &Dense,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    if config.descent().update() != Update::Plain {
        return Err(TrainError::NoOptimizer);
    }
    train(&mut Loops::new(Arc::clone(link), examples, validation, config)?, config, observer)
}

/// A model on its way down.
struct Loops<'a> {
    link: Arc<dyn Link>,
    precision: Precision,
    l2: f64,
    penalize_bias: bool,
    parameters: Parameters,
    examples: &'a Dense,
    validation: &'a Dense,
    /// By how much a row counts, by its class, where not all count 1.
    of_class: Option<Vec<f64>>,
    losses: Vec<f64>,
}

impl<'a> Loops<'a> {
    fn new(
        link: Arc<dyn Link>,
        examples: &'a Dense,
        validation: &'a Dense,
        config: &TrainConfig,
    ) -> Result<Self, TrainError> {
        let (d, columns) = (examples.n_features, link.columns());
        let of_class = match link.targets() {
            Targets::Classes(k) => class_weights(config, &class_names(config, k), &examples.labels)?,
            _ => None,
        };
        Ok(Self {
            link,
            precision: config.descent().precision,
            l2: config.objective().l2,
            penalize_bias: config.objective().penalize_bias,
            parameters: Parameters::zeros(d, columns),
            examples,
            validation,
            of_class,
            losses: Vec::new(),
        })
    }

    fn weight_of(&self, class: usize) -> f64 {
        self.of_class.as_ref().map_or(1.0, |weights| weights[class])
    }

    /// The mean gradient of these rows, without the penalty.
    fn gradient(&self, rows: impl Iterator<Item = usize>, at: &Parameters) -> Gradient {
        let (mut sums, mut room) = (Sums::new(&*self.link, at), Vec::new());
        for row in rows {
            let (features, class) = self.examples.row(row, &mut room);
            sums.add(features, class as f64, self.weight_of(class));
        }
        sums.mean()
    }

    fn metrics_on(&self, rows: &Dense) -> Metrics {
        let (mut loss, mut right, mut room, mut logits) = (0.0, 0usize, Vec::new(), Vec::new());
        for row in 0..rows.len() {
            let (features, class) = rows.row(row, &mut room);
            let (own, is_right) = judge(&*self.link, &self.parameters, features, class as f64, &mut logits);
            loss += self.weight_of(class) * own;
            right += usize::from(is_right);
        }
        let n = rows.len() as f64;
        Metrics { loss: loss / n, accuracy: right as f64 / n }
    }

    fn round(&mut self) {
        if self.precision == Precision::F32 {
            let Parameters { weight, bias, .. } = &mut self.parameters;
            weight.iter_mut().chain(bias).for_each(|w| *w = f64::from(*w as f32));
        }
    }
}

impl Engine for Loops<'_> {
    fn link(&self) -> &dyn Link {
        &*self.link
    }

    fn rows(&self) -> usize {
        self.examples.len()
    }

    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), Failure> {
        let gradient = self.gradient(batch.iter().copied(), &self.parameters);
        let of_bias = if self.penalize_bias { self.l2 } else { 0.0 };
        let Parameters { weight, bias, .. } = &mut self.parameters;
        for (parameters, slopes, l2) in [(weight, &gradient.weight, self.l2), (bias, &gradient.bias, of_bias)] {
            parameters.iter_mut().zip(slopes).for_each(|(w, slope)| *w -= learning_rate * (slope + l2 * *w));
        }
        self.round();
        self.losses.push(gradient.loss);
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f64>, Failure> {
        Ok(std::mem::take(&mut self.losses))
    }

    fn class_weights(&self) -> Option<Vec<f64>> {
        self.of_class.clone()
    }

    fn mean_weight(&self) -> f64 {
        let weights = self.examples.labels.iter().map(|&label| self.weight_of(label.into()));
        weights.sum::<f64>() / self.examples.len() as f64
    }

    fn gradient_of_all(&mut self) -> Result<Gradient, Failure> {
        Ok(self.gradient(0..self.examples.len(), &self.parameters))
    }

    fn gradient_in_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, Failure>> {
        // Sums are in f64 as it is; what is asked for are these parameters, unrounded.
        (self.precision == Precision::F32).then(|| Ok(self.gradient(0..self.examples.len(), parameters)))
    }

    fn evaluate(&mut self) -> Result<Evaluated, Failure> {
        Ok(Evaluated {
            validation: self.metrics_on(self.validation),
            train_accuracy: self.metrics_on(self.examples).accuracy,
            parameters: self.parameters.clone(),
        })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], Failure> {
        Ok([self.metrics_on(self.examples), self.metrics_on(self.validation)])
    }

    fn parameters(&mut self) -> Result<Parameters, Failure> {
        Ok(self.parameters.clone())
    }

    fn set(&mut self, parameters: &Parameters) {
        self.parameters = parameters.clone();
        self.round();
    }
}
