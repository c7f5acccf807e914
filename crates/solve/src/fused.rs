//! The engine of the fused kernels.

use std::ops::Range;
use std::sync::Arc;

use chainrule_core::{Gradient, Link, Parameters, Precision, Step, TargetKind, TrainConfig, UpdateRule};
use chainrule_data::{DataError, Order};
use chainrule_kernels::{Curvature, FeatureMoments, Float, FusedModel, Isa, Margins, sample_size};

use crate::engine::{Engine, EngineError, EvaluationResult, smallest_weight};
use crate::fused_rows::Batches;
use crate::host::logits_of;
use crate::optimizer::restore_state;
use crate::{
    FusedRows, MAX_NEWTON_PARAMETERS, Metrics, Optimizer, OptimizerState, TrainError, class_names, class_weights,
};

/// The state of a training by the fused kernels.
pub(crate) struct KernelEngine<'a> {
    fused: FusedModel,
    /// The same model in f64, created on first use. It is used only if `fused` is in f32.
    fused_f64: Option<FusedModel>,
    link: Arc<dyn Link>,
    precision: Precision,
    step: Step,
    /// The update rule, if it is not plain gradient descent, which the kernels do themselves.
    optimizer: Option<Box<dyn Optimizer>>,
    train: &'a FusedRows,
    validation: &'a FusedRows,
    /// The weight of each class's rows, if there are class weights.
    class_weights: Option<Vec<f64>>,
    /// The mean weight of a training row.
    mean_weight: f64,
    /// The smallest weight of a training row above 0, if rows have weights.
    smallest_row_weight: Option<f64>,
    threads: usize,
    /// What the last evaluation knows of the training rows, if they are in memory.
    margins: Margins,
    /// The remaining batches of the epoch.
    batches: Batches,
    losses: Vec<f64>,
}

impl<'a> KernelEngine<'a> {
    pub(crate) fn new(
        link: Arc<dyn Link>,
        train: &'a FusedRows,
        validation: &'a FusedRows,
        config: &TrainConfig,
        threads: usize,
        optimizer: Option<Box<dyn Optimizer>>,
    ) -> Result<Self, TrainError> {
        if (config.descent().update_rule() == UpdateRule::Plain) != optimizer.is_none() {
            return Err(TrainError::UnsupportedOptimizer);
        }
        let class_weights = match link.target_kind() {
            TargetKind::Classes(k) if config.objective().class_weights.is_some() => {
                let mut rows = Vec::with_capacity(train.len());
                train.each_target(threads, |label, weight| rows.push((label, weight)))?;
                class_weights(config, &class_names(config, k), rows)?
            }
            _ => None,
        };
        let (mut mean_weight, mut smallest_row_weight) = (1.0, None);
        if class_weights.is_some() || train.have_weights() {
            let (mut sum, mut smallest) = (0.0, f64::INFINITY);
            train.each_target(threads, |label, weight| {
                sum += class_weights.as_ref().map_or(1.0, |weights| weights[usize::from(label)]) * weight;
                smallest = if weight > 0.0 { weight.min(smallest) } else { smallest };
            })?;
            mean_weight = sum / train.len() as f64;
            smallest_row_weight = train.have_weights().then_some(smallest);
        }
        let float = match config.descent().precision {
            Precision::F32 => Float::F32,
            Precision::F64 => Float::F64,
        };
        Ok(Self {
            fused: new_model(&link, train.n_features(), float, threads, class_weights.as_deref()),
            fused_f64: None,
            link,
            precision: config.descent().precision,
            step: Step {
                learning_rate: config.descent().learning_rate,
                l2: config.objective().l2,
                penalize_bias: config.objective().penalize_bias,
            },
            optimizer,
            train,
            validation,
            threads,
            margins: Margins::default(),
            class_weights,
            mean_weight,
            smallest_row_weight,
            batches: Batches::none(),
            losses: Vec::new(),
        })
    }

    fn metrics_on(&mut self, rows: &FusedRows) -> Result<Metrics, DataError> {
        let n = rows.len() as f64;
        let (mut loss, mut n_correct) = (0.0, 0);
        rows.for_each_chunk(self.threads, |rows| {
            let evaluation = self.fused.evaluate(rows);
            // With a single chunk the factor is exactly 1, so it does not round the loss.
            loss += evaluation.loss * (rows.len() as f64 / n);
            n_correct += evaluation.n_correct;
        })?;
        Ok(Metrics { loss, accuracy: n_correct as f64 / n })
    }

    /// Returns the fraction of training rows classified correctly.
    fn train_accuracy(&mut self) -> Result<f64, DataError> {
        let (rows, mut n_correct) = (self.train, 0);
        if let Some(rows) = rows.packed() {
            return Ok(self.fused.n_correct_again(rows, &mut self.margins) as f64 / rows.len() as f64);
        }
        rows.for_each_chunk(self.threads, |rows| n_correct += self.fused.n_correct(rows))?;
        Ok(n_correct as f64 / rows.len() as f64)
    }
}

pub(crate) fn new_model(
    link: &Arc<dyn Link>,
    n_features: usize,
    float: Float,
    threads: usize,
    class_weights: Option<&[f64]>,
) -> FusedModel {
    let model = FusedModel::new(Arc::clone(link), n_features, float, threads, Isa::best());
    match class_weights {
        Some(weights) => model.with_class_weights(weights),
        None => model,
    }
}

/// Returns the mean gradient over all rows.
pub(crate) fn gradient(fused: &mut FusedModel, rows: &FusedRows, threads: usize) -> Result<Gradient, DataError> {
    let n = rows.len() as f64;
    let mut mean: Option<Gradient> = None;
    rows.for_each_chunk(threads, |rows| {
        let gradient = fused.full_gradient(rows);
        let Some(mean) = &mut mean else {
            mean = Some(gradient.scaled_by(rows.len() as f64 / n));
            return;
        };
        mean.add_scaled(&gradient, rows.len() as f64 / n);
    })?;
    Ok(mean.expect("at least one row"))
}

/// Returns the mean loss of all rows with its gradient and its Hessian, or `None` if the kernels
/// have none: see [`Engine::curvature`].
pub(crate) fn curvature(
    fused: &FusedModel,
    rows: &FusedRows,
    parameters: &Parameters,
    centre: &[f64],
    threads: usize,
) -> Result<Option<Curvature>, DataError> {
    let bias = logits_of(centre, parameters);
    let (n, mut sum) = (rows.len() as f64, None::<Curvature>);
    rows.for_each_chunk(threads, |rows| {
        let Some(own) = fused.curvature(rows, &parameters.weight, &bias, centre) else { return };
        // With a single chunk the factor is exactly 1.
        let own = own.scaled_by(rows.len() as f64 / n);
        match &mut sum {
            None => sum = Some(own),
            Some(sum) => sum.add(&own),
        }
    })?;
    Ok(sum)
}

impl Engine for KernelEngine<'_> {
    fn link(&self) -> &dyn Link {
        &*self.link
    }

    fn rows(&self) -> usize {
        self.train.len()
    }

    fn begin_epoch(
        &mut self,
        order: &Arc<Order>,
        positions: Range<usize>,
        batch_size: usize,
    ) -> Result<(), EngineError> {
        // Drop the prefetched rows of the last epoch first.
        self.batches = Batches::none();
        self.batches = self.train.batches(order, positions, batch_size, self.threads)?;
        Ok(())
    }

    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), EngineError> {
        self.step.learning_rate = learning_rate;
        let (rows, batch) = self.batches.next(self.train, batch)?;
        let Some(optimizer) = &mut self.optimizer else {
            let loss = self.fused.step(rows, batch, self.step);
            self.losses.push(loss);
            return Ok(());
        };
        let mut gradient = self.fused.gradient(rows, batch);
        let (weight, bias) = self.fused.parameters();
        let mut parameters = Parameters { n_features: self.train.n_features(), columns: bias.len(), weight, bias };
        let Step { l2, penalize_bias, .. } = self.step;
        let bias_l2 = if penalize_bias { l2 } else { 0.0 };
        let parts = [(&mut gradient.weight, &parameters.weight, l2), (&mut gradient.bias, &parameters.bias, bias_l2)];
        for (gradient, parameters, l2) in parts {
            gradient.iter_mut().zip(parameters).for_each(|(g, w)| *g += l2 * w);
        }
        optimizer.step(learning_rate, &mut parameters, &gradient);
        self.fused.set(&parameters.weight, &parameters.bias);
        self.losses.push(gradient.loss);
        Ok(())
    }

    fn optimizer_state(&mut self) -> Option<OptimizerState> {
        self.optimizer.as_ref()?.state()
    }

    fn restore_optimizer_state(&mut self, state: Option<&OptimizerState>) -> Result<(), String> {
        let (weight, bias) = self.fused.parameters();
        let parameters = Parameters { n_features: self.train.n_features(), columns: bias.len(), weight, bias };
        restore_state(self.optimizer.as_deref_mut(), state, &parameters)
    }

    fn losses(&mut self) -> Result<Vec<f64>, EngineError> {
        Ok(std::mem::take(&mut self.losses))
    }

    fn class_weights(&self) -> Option<Vec<f64>> {
        self.class_weights.clone()
    }

    fn mean_weight(&self) -> f64 {
        self.mean_weight
    }

    fn smallest_weight(&self) -> Option<f64> {
        let of_rows = self.smallest_row_weight.map(std::iter::once);
        smallest_weight(self.class_weights.as_deref(), of_rows)
    }

    fn full_gradient(&mut self) -> Result<Gradient, EngineError> {
        Ok(gradient(&mut self.fused, self.train, self.threads)?)
    }

    fn feature_mean(&mut self) -> Option<Vec<f64>> {
        self.train.feature_mean()
    }

    fn feature_moments(&mut self) -> Option<FeatureMoments> {
        self.train.feature_moments()
    }

    fn curvature(&mut self, parameters: &Parameters, centre: &[f64]) -> Option<Result<Curvature, EngineError>> {
        if parameters.weight.len() + parameters.bias.len() > MAX_NEWTON_PARAMETERS {
            return None;
        }
        match curvature(&self.fused, self.train, parameters, centre, self.threads) {
            Ok(sum) => sum.map(Ok),
            Err(problem) => Some(Err(problem.into())),
        }
    }

    fn reference_levels(&mut self) -> Vec<usize> {
        self.train.reference_levels()
    }

    fn sample_gradient(&mut self, step: usize) -> Option<Result<Gradient, EngineError>> {
        let n = sample_size(self.train.len(), step) as f64;
        let mut mean: Option<Gradient> = None;
        let read = self.train.for_each_sampled_chunk(step, self.threads, |rows| {
            let own = self.fused.full_gradient(rows).scaled_by(rows.len() as f64 / n);
            match &mut mean {
                None => mean = Some(own),
                Some(mean) => mean.add_scaled(&own, 1.0),
            }
        });
        match read {
            Ok(Some(rows)) => Some(Ok(self.fused.sample_gradient(rows, step))),
            Ok(None) => mean.map(Ok),
            Err(problem) => Some(Err(problem.into())),
        }
    }

    fn full_gradient_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, EngineError>> {
        if self.precision == Precision::F64 {
            return None;
        }
        let (link, d, threads) = (&self.link, self.train.n_features(), self.threads);
        let weights = self.class_weights.as_deref();
        let fused = self.fused_f64.get_or_insert_with(|| new_model(link, d, Float::F64, threads, weights));
        fused.set(&parameters.weight, &parameters.bias);
        Some(gradient(fused, self.train, threads).map_err(EngineError::from))
    }

    fn evaluate(&mut self) -> Result<EvaluationResult, EngineError> {
        Ok(EvaluationResult {
            validation: self.metrics_on(self.validation)?,
            train_accuracy: self.train_accuracy()?,
            parameters: self.parameters()?,
        })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], EngineError> {
        // Drop the prefetched rows: no more steps follow.
        self.batches = Batches::none();
        Ok([self.metrics_on(self.train)?, self.metrics_on(self.validation)?])
    }

    fn parameters(&mut self) -> Result<Parameters, EngineError> {
        let (weight, bias) = self.fused.parameters();
        Ok(Parameters { n_features: self.train.n_features(), columns: bias.len(), weight, bias })
    }

    fn set(&mut self, parameters: &Parameters) {
        self.fused.set(&parameters.weight, &parameters.bias);
    }
}
