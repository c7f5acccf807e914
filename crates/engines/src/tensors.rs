//! The engine that uses Burn's tensor operations, on any device.

use burn::module::Param;
use burn::tensor::{DType, FloatDType, Tensor, TensorData, TensorReadError};
use std::sync::Arc;

use chainrule_core::{Gradient, GradientSource, History, Link, ModelKind, Parameters, TrainConfig};
use chainrule_models::{Classifier, CostAndGradient, L2, Targets, autodiff, closed_form};
use chainrule_solve::{
    Engine, EngineError, EvaluationResult, GradientSums, Metrics, OptimizerState, TrainError, class_names,
    class_weights,
};

use crate::optimizer::{Optimizer, optimizer};
use crate::{Examples, lost};

/// The most steps, and the most rows in them, whose losses stay on the device before they are read.
/// A read makes the device finish its work first.
const STEPS_ON_DEVICE: usize = 256;
const LOSSES_ON_DEVICE: usize = 1 << 16;

/// The most rows that are read at once, or whose gradient is summed in the device's float type. The
/// results of several such parts are combined in f64.
const ROWS_PER_SUM: usize = 1 << 12;

/// Trains a model with tensor operations.
pub(crate) struct TensorEngine<'a, M> {
    model: M,
    optimizer: Box<dyn Optimizer>,
    link: Arc<dyn Link>,
    gradient: GradientSource,
    l2: L2,
    examples: &'a Examples,
    validation: &'a Examples,
    weights: Option<Weights>,
    /// The losses of the rows, one tensor per step.
    losses_on_device: Vec<Tensor<1>>,
    rows_on_device: usize,
    losses: Vec<f64>,
}

/// The class weights.
struct Weights {
    /// `[k]`, on the host and on the device.
    of_class: Vec<f64>,
    on_device: Tensor<1>,
    /// The weight of each training row and of each validation row.
    of_row: [Vec<f64>; 2],
}

impl Weights {
    /// Returns the class weights if the config has any. The host waits for the device.
    fn new<M: Classifier>(model: &M, splits: [&Examples; 2], config: &TrainConfig) -> Result<Option<Self>, TrainError> {
        if config.objective().class_weights.is_none() {
            return Ok(None);
        }
        let [_, columns] = model.linear().weight.dims();
        let k = if config.model().kind == ModelKind::Logistic { 2 } else { columns };
        let read = |examples: &Examples| {
            let labels = examples.labels.clone().try_into_vec_as::<u8>();
            labels.map_err(|error| lost(error).into_train_error(History::default(), None))
        };
        let labels = [read(splits[0])?, read(splits[1])?];
        let names = class_names(config, k);
        let Some(of_class) = class_weights(config, &names, &labels[0])? else { return Ok(None) };
        let like = &splits[0].features;
        let data = TensorData::new(of_class.clone(), [k]);
        let on_device = Tensor::from_data(data, (&like.device(), like.dtype()));
        let of_row = labels.map(|labels| labels.into_iter().map(|label| of_class[usize::from(label)]).collect());
        Ok(Some(Self { of_class, on_device, of_row }))
    }
}

impl<'a, M: Classifier> TensorEngine<'a, M> {
    pub(crate) fn new(
        model: M,
        examples: &'a Examples,
        validation: &'a Examples,
        config: &TrainConfig,
    ) -> Result<Self, TrainError> {
        let [_, columns] = model.linear().weight.dims();
        Ok(Self {
            link: config.model().kind.link(columns),
            weights: Weights::new(&model, [examples, validation], config)?,
            // Parameters that require a gradient are in a Burn graph that only a backward pass
            // clears (docs/burn-gradients.md).
            model: if config.descent().gradient == GradientSource::Autodiff { model.train() } else { model.valid() },
            optimizer: optimizer(config.descent().update()),
            gradient: config.descent().gradient,
            l2: L2 { strength: config.objective().l2, penalize_bias: config.objective().penalize_bias },
            examples,
            validation,
            losses_on_device: Vec::new(),
            rows_on_device: 0,
            losses: Vec::new(),
        })
    }

    fn gradient(&self, Examples { features, labels }: Examples, l2: L2) -> CostAndGradient {
        let targets = match &self.weights {
            None => labels.into(),
            Some(weights) => Targets::with_class_weights(labels, weights.on_device.clone()),
        };
        match self.gradient {
            GradientSource::Autodiff => autodiff(&self.model, features, targets, l2),
            GradientSource::Auto | GradientSource::ClosedForm | GradientSource::Fused => {
                closed_form(&self.model, features, targets, l2)
            }
        }
    }

    /// Returns the weights of the training rows (split 0) or of the validation rows (split 1).
    fn of_row(&self, split: usize) -> Option<&[f64]> {
        self.weights.as_ref().map(|weights| &weights.of_row[split][..])
    }

    /// Computes the full gradient in f64 on the host: a device may have no f64.
    fn sums_in_f64(&self, parameters: &Parameters) -> Result<Gradient, TensorReadError> {
        let mut sums = GradientSums::new(&*self.link, parameters);
        for Examples { features, labels } in self.examples.parts(ROWS_PER_SUM) {
            let rows = features.flatten::<1>(0, 1).try_into_vec_as::<f64>()?;
            let labels = labels.try_into_vec_as::<u8>()?;
            let weight = |label: usize| self.weights.as_ref().map_or(1.0, |weights| weights.of_class[label]);
            sums.add(&rows, labels.into_iter().map(|label| (f64::from(label), weight(label.into()))));
        }
        Ok(sums.mean())
    }

    fn read_losses(&mut self) -> Result<(), TensorReadError> {
        self.rows_on_device = 0;
        self.losses.extend(read_all(std::mem::take(&mut self.losses_on_device))?.iter().map(|losses| mean(losses)));
        Ok(())
    }
}

impl<M: Classifier> Engine for TensorEngine<'_, M> {
    fn link(&self) -> &dyn Link {
        &*self.link
    }

    fn rows(&self) -> usize {
        self.examples.len()
    }

    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), EngineError> {
        let CostAndGradient { losses, gradient, .. } = self.gradient(self.examples.batch(batch), self.l2);
        self.optimizer.step(learning_rate, self.model.linear_mut(), gradient);
        self.losses_on_device.push(losses);
        self.rows_on_device += batch.len();
        if self.losses_on_device.len() >= STEPS_ON_DEVICE || self.rows_on_device >= LOSSES_ON_DEVICE {
            self.read_losses().map_err(lost)?;
        }
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f64>, EngineError> {
        self.read_losses().map_err(lost)?;
        Ok(std::mem::take(&mut self.losses))
    }

    fn class_weights(&self) -> Option<Vec<f64>> {
        self.weights.as_ref().map(|weights| weights.of_class.clone())
    }

    fn mean_weight(&self) -> f64 {
        self.of_row(0).map_or(1.0, |weights| weights.iter().sum::<f64>() / weights.len() as f64)
    }

    fn full_gradient(&mut self) -> Result<Gradient, EngineError> {
        let parts = self.examples.parts(ROWS_PER_SUM).flat_map(|rows| {
            let CostAndGradient { losses, gradient, .. } = self.gradient(rows, L2::NONE);
            [losses, gradient.weight.flatten(0, 1), gradient.bias]
        });
        let (n, parts) = (self.examples.len() as f64, read_all(parts.collect()).map_err(lost)?);
        let [d, k] = self.model.linear().weight.dims();
        let mut all = Gradient { loss: 0.0, weight: vec![0.0; d * k], bias: vec![0.0; k] };
        for part in parts.chunks_exact(3) {
            let part_of_all = part[0].len() as f64 / n;
            let [losses, weight, bias] = [0, 1, 2].map(|i| part[i].clone());
            all.add_scaled(&Gradient { loss: mean(&losses), weight, bias }, part_of_all);
        }
        Ok(all)
    }

    fn full_gradient_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, EngineError>> {
        if self.examples.features.dtype() == DType::F64 {
            return None;
        }
        Some(self.sums_in_f64(parameters).map_err(lost))
    }

    /// The host waits for the device once.
    fn evaluate(&mut self) -> Result<EvaluationResult, EngineError> {
        let (model, validation, train) = (self.model.valid(), self.validation, self.examples);
        let logits = model.scores(validation.features.clone());
        let [weight, bias] = flat(&model);
        let parts = [
            losses(&model, logits.clone(), validation),
            right(&model, logits, validation),
            right(&model, model.scores(train.features.clone()), train),
            weight,
            bias,
        ];
        let [losses, right, train_right, weight, bias] = read(parts).map_err(lost)?;
        Ok(EvaluationResult {
            validation: metrics(&losses, self.of_row(1), right[0], validation),
            train_accuracy: train_right[0] / train.len() as f64,
            parameters: Parameters { n_features: train.n_features(), columns: bias.len(), weight, bias },
        })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], EngineError> {
        let model = self.model.valid();
        let of = |examples, split| evaluate_weighted(&model, examples, self.of_row(split));
        Ok([of(self.examples, 0).map_err(lost)?, of(self.validation, 1).map_err(lost)?])
    }

    fn parameters(&mut self) -> Result<Parameters, EngineError> {
        let [weight, bias] = read(flat(&self.model.valid())).map_err(lost)?;
        Ok(Parameters { n_features: self.examples.n_features(), columns: bias.len(), weight, bias })
    }

    fn set(&mut self, parameters: &Parameters) {
        self.model = with_parameters(self.model.clone(), parameters);
    }

    fn optimizer_state(&mut self) -> Option<OptimizerState> {
        self.optimizer.state()
    }

    fn restore_optimizer_state(&mut self, memory: Option<&OptimizerState>) -> Result<(), String> {
        self.optimizer.restore_optimizer_state(memory, self.model.linear())
    }
}

/// Returns the model with these parameters, on its device and in its float type.
///
/// # Panics
/// If the parameters have another shape than the model's.
pub fn with_parameters<M: Classifier>(mut model: M, parameters: &Parameters) -> M {
    let (d, k) = (parameters.n_features, parameters.columns);
    let linear = model.linear_mut();
    assert_eq!(linear.weight.dims(), [d, k], "features and classes of the model");
    let weight = TensorData::new(parameters.weight.clone(), [d, k]);
    linear.weight = linear.weight.clone().map(|old| tensor_like(&old, weight));
    let bias = TensorData::new(parameters.bias.clone(), [k]);
    linear.bias = linear.bias.take().map(|param| param.map(|old| tensor_like(&old, bias)));
    model
}

/// Creates a tensor with the device and type of `old`. It requires a gradient if `old` does.
fn tensor_like<const D: usize>(old: &Tensor<D>, data: TensorData) -> Tensor<D> {
    let new = Tensor::from_data(data, (&old.device(), old.dtype()));
    if old.is_require_grad() { new.require_grad() } else { new }
}

/// Returns the mean loss and the accuracy over all rows of `examples`.
///
/// # Errors
/// If the device does not return its results.
pub fn evaluate<M: Classifier>(model: &M, examples: &Examples) -> Result<Metrics, TensorReadError> {
    evaluate_weighted(model, examples, None)
}

/// As [`evaluate`]. If there are weights, each row's loss is multiplied by its weight.
fn evaluate_weighted<M: Classifier>(
    model: &M,
    examples: &Examples,
    weights: Option<&[f64]>,
) -> Result<Metrics, TensorReadError> {
    let logits = model.scores(examples.features.clone());
    let [losses, right] = read([losses(model, logits.clone(), examples), right(model, logits, examples)])?;
    Ok(metrics(&losses, weights, right[0], examples))
}

fn metrics(losses: &[f64], weights: Option<&[f64]>, right: f64, examples: &Examples) -> Metrics {
    let loss = match weights {
        None => mean(losses),
        Some(weights) => mean(&losses.iter().zip(weights).map(|(loss, weight)| weight * loss).collect::<Vec<_>>()),
    };
    Metrics { loss, accuracy: right / examples.len() as f64 }
}

/// Computes the mean on the host in f64. In f32 the order of summation, which differs between
/// backends, could decide which of two nearly equal losses is lower, and so when early stopping
/// stops. An f32 mean over 200 000 rows also has no more than four digits.
fn mean(losses: &[f64]) -> f64 {
    // Starts at +0. A loss of 0 can be -0, and `sum`, which starts at -0, would then return -0.
    losses.iter().fold(0.0, |sum, loss| sum + loss) / losses.len() as f64
}

/// The cross-entropy of each row, `[n]`.
fn losses<M: Classifier>(model: &M, logits: Tensor<2>, examples: &Examples) -> Tensor<1> {
    model.cross_entropy(logits, examples.labels.clone())
}

/// The number of correctly classified rows, `[1]`. In f32 it is exact up to 2^24 rows.
fn right<M: Classifier>(model: &M, logits: Tensor<2>, examples: &Examples) -> Tensor<1> {
    let dtype = FloatDType::from(logits.dtype());
    model.classify(logits).equal(examples.labels.clone()).int().sum().cast(dtype)
}

/// Returns W row by row, `[d * k]`, and b, `[k]`.
fn flat<M: Classifier>(model: &M) -> [Tensor<1>; 2] {
    let linear = model.linear();
    let weight = linear.weight.val();
    let [_, k] = weight.dims();
    // A layer without bias gets a bias of zeros.
    let bias = linear.bias.as_ref().map_or_else(|| Tensor::zeros([k], (&weight.device(), weight.dtype())), Param::val);
    [weight.flatten(0, 1), bias]
}

/// Reads several tensors of one type at once.
fn read<const N: usize>(parts: [Tensor<1>; N]) -> Result<[Vec<f64>; N], TensorReadError> {
    Ok(read_all(parts.into())?.try_into().expect("as many as there were"))
}

/// As [`read`], for any number of tensors.
fn read_all(parts: Vec<Tensor<1>>) -> Result<Vec<Vec<f64>>, TensorReadError> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let lengths: Vec<usize> = parts.iter().map(|part| part.dims()[0]).collect();
    let all = Tensor::cat(parts, 0).try_into_vec_as::<f64>()?;
    let mut rest = all.as_slice();
    let cut = lengths.into_iter().map(|length| {
        let (part, after) = rest.split_at(length);
        rest = after;
        part.to_vec()
    });
    Ok(cut.collect())
}
