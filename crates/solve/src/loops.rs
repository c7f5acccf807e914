//! The engine of plain loops on the CPU. It trains on any rows with any preprocessing.

use std::sync::Arc;

use chainrule_core::{
    EngineKind, Gradient, Link, MissingAbility, Parameters, Precision, Preprocessing, TargetKind, TrainConfig,
};
use chainrule_data::{DataError, RowBuffer, RowWeights, Rows};

use crate::engine::{Engine, EngineError, EvaluationResult, smallest_weight};
use crate::host::{GradientSums, for_each_loss};
use crate::{Metrics, Observer, TrainError, Trained, class_names, class_weights, train};

/// Runs [`train()`] with plain loops on one thread. The parameters start at zero. Features are
/// computed from the rows when they are needed. Features and parameters are rounded to the config's
/// precision; all sums are in f64.
///
/// # Errors
/// - As [`train()`].
/// - If the config has an optimizer other than plain SGD.
/// - If the class weights do not match the classes, or if all rows have the weight 0.
pub fn train_by_loops(
    link: &Arc<dyn Link>,
    train_rows: &Rows,
    validation_rows: &Rows,
    preprocessing: &Preprocessing,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    if EngineKind::Loops.missing_ability(config) == Some(MissingAbility::Optimizer) {
        return Err(TrainError::UnsupportedOptimizer);
    }
    let precision = config.descent().precision;
    let [train_rows, validation_rows] =
        [train_rows, validation_rows].map(|rows| FeatureRows::new(rows, preprocessing, precision));
    train(&mut LoopEngine::new(Arc::clone(link), train_rows?, validation_rows?, config)?, config, observer)
}

/// Rows, and the preprocessing that computes their features.
#[derive(Clone, Copy)]
struct FeatureRows<'a> {
    rows: &'a Rows,
    weights: Option<RowWeights<'a>>,
    preprocessing: &'a Preprocessing,
    precision: Precision,
}

/// Buffers for stored numbers and for features.
#[derive(Default)]
struct RowBuffers {
    raw: RowBuffer,
    features: Vec<f64>,
}

/// The number of rows whose features are computed together.
const ROWS_PER_BLOCK: usize = 64;

impl<'a> FeatureRows<'a> {
    fn new(rows: &'a Rows, preprocessing: &'a Preprocessing, precision: Precision) -> Result<Self, DataError> {
        Ok(Self { rows, weights: rows.weights()?, preprocessing, precision })
    }

    /// Computes the features `[n, d]` of these rows.
    fn features<'b>(&self, rows: &[usize], buffer: &'b mut RowBuffers) -> Result<&'b [f64], DataError> {
        let RowBuffers { raw, features } = buffer;
        features.clear();
        for &row in rows {
            self.preprocessing.append_features(self.rows.row(row, raw)?, self.precision, features);
        }
        Ok(features)
    }

    fn class(&self, row: usize) -> usize {
        self.rows.label(row).into()
    }
}

/// Calls `callback` with blocks of at most [`ROWS_PER_BLOCK`] rows.
fn in_blocks(
    mut rows: impl Iterator<Item = usize>,
    mut callback: impl FnMut(&[usize]) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut block = Vec::with_capacity(ROWS_PER_BLOCK);
    loop {
        block.clear();
        block.extend(rows.by_ref().take(ROWS_PER_BLOCK));
        if block.is_empty() {
            return Ok(());
        }
        callback(&block)?;
    }
}

/// The state of a training by plain loops.
struct LoopEngine<'a> {
    link: Arc<dyn Link>,
    precision: Precision,
    l2: f64,
    penalize_bias: bool,
    parameters: Parameters,
    train: FeatureRows<'a>,
    validation: FeatureRows<'a>,
    /// The weight of each class's rows, if there are class weights.
    class_weights: Option<Vec<f64>>,
    losses: Vec<f64>,
}

impl<'a> LoopEngine<'a> {
    fn new(
        link: Arc<dyn Link>,
        train: FeatureRows<'a>,
        validation: FeatureRows<'a>,
        config: &TrainConfig,
    ) -> Result<Self, TrainError> {
        let (d, columns) = (train.rows.n_features(), link.columns());
        let class_weights = match link.target_kind() {
            TargetKind::Classes(k) => class_weights(config, &class_names(config, k), train.rows.weighted_labels()?)?,
            _ => None,
        };
        Ok(Self {
            link,
            precision: config.descent().precision,
            l2: config.objective().l2,
            penalize_bias: config.objective().penalize_bias,
            parameters: Parameters::zeros(d, columns),
            train,
            validation,
            class_weights,
            losses: Vec::new(),
        })
    }

    /// The weight of a row: that of its class, multiplied by its own. Both are 1 without weights.
    fn weight_of(&self, row: usize, data: &FeatureRows) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| weights[data.class(row)])
            * data.weights.as_ref().map_or(1.0, |weights| weights.get(row))
    }

    /// Returns the mean gradient over these rows, without the penalty.
    fn gradient(&self, rows: impl Iterator<Item = usize>, at: &Parameters) -> Result<Gradient, DataError> {
        let (mut sums, mut buffer) = (GradientSums::new(&*self.link, at), RowBuffers::default());
        in_blocks(rows, |rows| {
            let target = |&row: &usize| (self.train.class(row) as f64, self.weight_of(row, &self.train));
            let targets = rows.iter().map(target);
            sums.add(self.train.features(rows, &mut buffer)?, targets);
            Ok(())
        })?;
        Ok(sums.mean())
    }

    fn metrics_on(&self, data: FeatureRows<'_>) -> Result<Metrics, DataError> {
        let (mut loss, mut n_correct, mut buffer, mut logits) = (0.0, 0usize, RowBuffers::default(), Vec::new());
        in_blocks(0..data.rows.len(), |rows| {
            let mut weights = rows.iter().map(|&row| self.weight_of(row, &data));
            let targets = rows.iter().map(|&row| data.class(row) as f64);
            let features = data.features(rows, &mut buffer)?;
            for_each_loss(&*self.link, &self.parameters, features, targets, &mut logits, |row_loss, is_correct| {
                loss += weights.next().unwrap_or(1.0) * row_loss;
                n_correct += usize::from(is_correct);
            });
            Ok(())
        })?;
        let n = data.rows.len() as f64;
        Ok(Metrics { loss: loss / n, accuracy: n_correct as f64 / n })
    }

    /// Rounds the parameters to the config's precision.
    fn round(&mut self) {
        if self.precision == Precision::F32 {
            let Parameters { weight, bias, .. } = &mut self.parameters;
            weight.iter_mut().chain(bias).for_each(|w| *w = f64::from(*w as f32));
        }
    }
}

impl Engine for LoopEngine<'_> {
    fn link(&self) -> &dyn Link {
        &*self.link
    }

    fn rows(&self) -> usize {
        self.train.rows.len()
    }

    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), EngineError> {
        let gradient = self.gradient(batch.iter().copied(), &self.parameters)?;
        let bias_l2 = if self.penalize_bias { self.l2 } else { 0.0 };
        let Parameters { weight, bias, .. } = &mut self.parameters;
        for (parameters, gradient, l2) in [(weight, &gradient.weight, self.l2), (bias, &gradient.bias, bias_l2)] {
            parameters.iter_mut().zip(gradient).for_each(|(w, g)| *w -= learning_rate * (g + l2 * *w));
        }
        self.round();
        self.losses.push(gradient.loss);
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f64>, EngineError> {
        Ok(std::mem::take(&mut self.losses))
    }

    fn class_weights(&self) -> Option<Vec<f64>> {
        self.class_weights.clone()
    }

    fn mean_weight(&self) -> f64 {
        let n = self.rows();
        (0..n).map(|row| self.weight_of(row, &self.train)).sum::<f64>() / n as f64
    }

    fn smallest_weight(&self) -> Option<f64> {
        let of_rows = self.train.weights.as_ref().map(|weights| [weights.smallest()]);
        smallest_weight(self.class_weights.as_deref(), of_rows)
    }

    fn full_gradient(&mut self) -> Result<Gradient, EngineError> {
        Ok(self.gradient(0..self.rows(), &self.parameters)?)
    }

    fn full_gradient_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, EngineError>> {
        // All sums are in f64 already. The only difference from `full_gradient` is that these
        // parameters are not rounded.
        (self.precision == Precision::F32).then(|| Ok(self.gradient(0..self.rows(), parameters)?))
    }

    fn evaluate(&mut self) -> Result<EvaluationResult, EngineError> {
        Ok(EvaluationResult {
            validation: self.metrics_on(self.validation)?,
            train_accuracy: self.metrics_on(self.train)?.accuracy,
            parameters: self.parameters.clone(),
        })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], EngineError> {
        Ok([self.metrics_on(self.train)?, self.metrics_on(self.validation)?])
    }

    fn parameters(&mut self) -> Result<Parameters, EngineError> {
        Ok(self.parameters.clone())
    }

    fn set(&mut self, parameters: &Parameters) {
        self.parameters = parameters.clone();
        self.round();
    }
}
