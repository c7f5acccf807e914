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
use crate::{Examples, device_error};

/// The number of steps after which the losses on the device are read. Each read makes the host wait
/// for the device.
const MAX_STEPS_ON_DEVICE: usize = 256;

/// The number of rows after which the losses on the device are read, even after fewer steps.
const MAX_ROWS_ON_DEVICE: usize = 1 << 16;

/// The maximum number of rows that are read at once, or whose gradient the device sums in its own
/// float type. The sums of several chunks are combined in f64.
const ROWS_PER_CHUNK: usize = 1 << 12;

/// Trains a model with tensor operations.
pub(crate) struct TensorEngine<'a, M> {
    model: M,
    optimizer: Box<dyn Optimizer>,
    link: Arc<dyn Link>,
    gradient: GradientSource,
    l2: L2,
    examples: &'a Examples,
    validation: &'a Examples,
    class_weights: Option<ClassWeights>,
    /// The weight of each training row, and of each validation row, multiplied by that of its
    /// class. `None` if there are no weights.
    row_weights: [Option<Vec<f64>>; 2],
    /// The losses of the rows, one tensor per step.
    losses_on_device: Vec<Tensor<1>>,
    /// The number of these losses.
    rows_on_device: usize,
    /// The losses that were read, one per step.
    losses: Vec<f64>,
}

/// The class weights, if the config has any.
struct ClassWeights {
    /// The weight of each class, `[k]`, on the host.
    per_class: Vec<f64>,
    /// The same on the device.
    on_device: Tensor<1>,
}

impl ClassWeights {
    /// Returns the class weights if the config has any. The host waits for the device.
    fn new<M: Classifier>(model: &M, train: &Examples, config: &TrainConfig) -> Result<Option<Self>, TrainError> {
        if config.objective().class_weights.is_none() {
            return Ok(None);
        }
        let [_, columns] = model.linear().weight.dims();
        let k = if config.model().kind == ModelKind::Logistic { 2 } else { columns };
        let names = class_names(config, k);
        let labels = train.labels.clone().try_into_vec_as::<u16>().map_err(train_error)?;
        let weights = train.weights.clone().map(Tensor::try_into_vec_as::<f64>).transpose().map_err(train_error)?;
        let weight = |row: usize| weights.as_ref().map_or(1.0, |weights| weights[row]);
        let rows = labels.into_iter().enumerate().map(|(row, label)| (label, weight(row)));
        let Some(per_class) = class_weights(config, &names, rows)? else { return Ok(None) };
        let features = &train.features;
        let data = TensorData::new(per_class.clone(), [k]);
        let on_device = Tensor::from_data(data, (&features.device(), features.dtype()));
        Ok(Some(Self { per_class, on_device }))
    }
}

/// Returns the weight of each row, multiplied by that of its class. `None` if there are no weights.
fn row_weights(examples: &Examples, of_classes: Option<&ClassWeights>) -> Result<Option<Vec<f64>>, TensorReadError> {
    let of_rows = examples.weights.clone().map(Tensor::try_into_vec_as::<f64>).transpose()?;
    let Some(of_classes) = of_classes else { return Ok(of_rows) };
    let labels = examples.labels.clone().try_into_vec_as::<u16>()?;
    let weights = labels.into_iter().map(|label| of_classes.per_class[usize::from(label)]);
    Ok(Some(match of_rows {
        None => weights.collect(),
        Some(of_rows) => weights.zip(of_rows).map(|(of_class, of_row)| of_class * of_row).collect(),
    }))
}

/// Returns the error of a training before its first step.
fn train_error(error: TensorReadError) -> TrainError {
    device_error(error).into_train_error(History::default(), None)
}

impl<'a, M: Classifier> TensorEngine<'a, M> {
    pub(crate) fn new(
        model: M,
        examples: &'a Examples,
        validation: &'a Examples,
        config: &TrainConfig,
    ) -> Result<Self, TrainError> {
        let [_, columns] = model.linear().weight.dims();
        let class_weights = ClassWeights::new(&model, examples, config)?;
        let [of_training, of_validation] =
            [examples, validation].map(|rows| row_weights(rows, class_weights.as_ref()).map_err(train_error));
        Ok(Self {
            link: config.model().kind.link(columns),
            class_weights,
            row_weights: [of_training?, of_validation?],
            // For a closed form, no parameter may require a gradient: Burn would keep a graph, and
            // only a backward pass clears it (docs/burn-gradients.md).
            model: if config.descent().gradient == GradientSource::Autodiff { model.train() } else { model.valid() },
            optimizer: optimizer(config.descent().update_rule()),
            gradient: config.descent().gradient,
            l2: L2 { strength: config.objective().l2, penalize_bias: config.objective().penalize_bias },
            examples,
            validation,
            losses_on_device: Vec::new(),
            rows_on_device: 0,
            losses: Vec::new(),
        })
    }

    fn gradient(&self, Examples { features, labels, weights }: Examples, l2: L2) -> CostAndGradient {
        let mut targets = match &self.class_weights {
            None => labels.into(),
            Some(weights) => Targets::with_class_weights(labels, weights.on_device.clone()),
        };
        if let Some(weights) = weights {
            targets = targets.with_row_weights(weights);
        }
        match self.gradient {
            GradientSource::Autodiff => autodiff(&self.model, features, targets, l2),
            GradientSource::Auto | GradientSource::ClosedForm | GradientSource::Fused => {
                closed_form(&self.model, features, targets, l2)
            }
        }
    }

    /// Returns the weight of each training row (split 0) or validation row (split 1).
    fn row_weights(&self, split: usize) -> Option<&[f64]> {
        self.row_weights[split].as_deref()
    }

    /// Computes the full gradient in f64 on the host, because a device may have no f64.
    fn host_gradient_f64(&self, parameters: &Parameters) -> Result<Gradient, TensorReadError> {
        let mut sums = GradientSums::new(&*self.link, parameters);
        let mut first = 0;
        for Examples { features, labels, .. } in self.examples.chunks(ROWS_PER_CHUNK) {
            let rows = features.flatten::<1>(0, 1).try_into_vec_as::<f64>()?;
            let labels = labels.try_into_vec_as::<u16>()?;
            let n = labels.len();
            let weight = |row: usize| self.row_weights(0).map_or(1.0, |weights| weights[row]);
            sums.add(&rows, (first..).zip(labels).map(|(row, label)| (f64::from(label), weight(row))));
            first += n;
        }
        Ok(sums.mean())
    }

    /// Reads the losses on the device and stores the mean of each step.
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
        if self.losses_on_device.len() >= MAX_STEPS_ON_DEVICE || self.rows_on_device >= MAX_ROWS_ON_DEVICE {
            self.read_losses().map_err(device_error)?;
        }
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f64>, EngineError> {
        self.read_losses().map_err(device_error)?;
        Ok(std::mem::take(&mut self.losses))
    }

    fn class_weights(&self) -> Option<Vec<f64>> {
        self.class_weights.as_ref().map(|weights| weights.per_class.clone())
    }

    fn mean_weight(&self) -> f64 {
        self.row_weights(0).map_or(1.0, |weights| weights.iter().sum::<f64>() / weights.len() as f64)
    }

    fn smallest_weight(&self) -> Option<f64> {
        let weights = self.row_weights(0)?.iter().copied().filter(|&weight| weight > 0.0);
        Some(weights.fold(f64::INFINITY, f64::min))
    }

    fn full_gradient(&mut self) -> Result<Gradient, EngineError> {
        let tensors = self.examples.chunks(ROWS_PER_CHUNK).flat_map(|rows| {
            let CostAndGradient { losses, gradient, .. } = self.gradient(rows, L2::NONE);
            [losses, gradient.weight.flatten(0, 1), gradient.bias]
        });
        let (n, values) = (self.examples.len() as f64, read_all(tensors.collect()).map_err(device_error)?);
        let [d, k] = self.model.linear().weight.dims();
        let mut full = Gradient { loss: 0.0, weight: vec![0.0; d * k], bias: vec![0.0; k] };
        for chunk in values.chunks_exact(3) {
            let fraction = chunk[0].len() as f64 / n;
            let [losses, weight, bias] = [0, 1, 2].map(|i| chunk[i].clone());
            full.add_scaled(&Gradient { loss: mean(&losses), weight, bias }, fraction);
        }
        Ok(full)
    }

    fn full_gradient_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, EngineError>> {
        if self.examples.features.dtype() == DType::F64 {
            return None;
        }
        Some(self.host_gradient_f64(parameters).map_err(device_error))
    }

    fn evaluate(&mut self) -> Result<EvaluationResult, EngineError> {
        // Read all results at once, so that the host waits for the device only once.
        let (model, validation, train) = (self.model.valid(), self.validation, self.examples);
        let logits = model.scores(validation.features.clone());
        let [weight, bias] = flat_parameters(&model);
        let tensors = [
            losses(&model, logits.clone(), validation),
            n_correct(&model, logits, validation),
            n_correct(&model, model.scores(train.features.clone()), train),
            weight,
            bias,
        ];
        let [losses, n_correct, train_correct, weight, bias] = read(tensors).map_err(device_error)?;
        Ok(EvaluationResult {
            validation: metrics(&losses, self.row_weights(1), n_correct[0], validation),
            train_accuracy: train_correct[0] / train.len() as f64,
            parameters: Parameters { n_features: train.n_features(), columns: bias.len(), weight, bias },
        })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], EngineError> {
        let model = self.model.valid();
        let evaluate = |examples, split| evaluate_weighted(&model, examples, self.row_weights(split));
        Ok([evaluate(self.examples, 0).map_err(device_error)?, evaluate(self.validation, 1).map_err(device_error)?])
    }

    fn parameters(&mut self) -> Result<Parameters, EngineError> {
        let [weight, bias] = read(flat_parameters(&self.model.valid())).map_err(device_error)?;
        Ok(Parameters { n_features: self.examples.n_features(), columns: bias.len(), weight, bias })
    }

    fn set(&mut self, parameters: &Parameters) {
        self.model = with_parameters(self.model.clone(), parameters);
    }

    fn optimizer_state(&mut self) -> Option<OptimizerState> {
        self.optimizer.state()
    }

    fn restore_optimizer_state(&mut self, state: Option<&OptimizerState>) -> Result<(), String> {
        self.optimizer.restore_state(state, self.model.linear())
    }
}

/// Returns the model with these parameters, on its device and in its float type.
///
/// # Panics
/// If the shape of the parameters is not that of the model.
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
    let [losses, n_correct] = read([losses(model, logits.clone(), examples), n_correct(model, logits, examples)])?;
    Ok(metrics(&losses, weights, n_correct[0], examples))
}

fn metrics(losses: &[f64], weights: Option<&[f64]>, n_correct: f64, examples: &Examples) -> Metrics {
    let loss = match weights {
        None => mean(losses),
        Some(weights) => mean(&losses.iter().zip(weights).map(|(loss, weight)| weight * loss).collect::<Vec<_>>()),
    };
    Metrics { loss, accuracy: n_correct / examples.len() as f64 }
}

/// Computes the mean on the host in f64. The order of summation differs between backends. In f32 it
/// could decide which of two nearly equal losses is lower, and therefore when early stopping ends
/// the training. Also, an f32 mean over 200 000 rows has only four digits.
fn mean(losses: &[f64]) -> f64 {
    // The fold starts at +0. `sum` starts at -0 and would return -0 if all losses are -0.
    losses.iter().fold(0.0, |sum, loss| sum + loss) / losses.len() as f64
}

/// Returns the cross-entropy of each row, `[n]`.
fn losses<M: Classifier>(model: &M, logits: Tensor<2>, examples: &Examples) -> Tensor<1> {
    model.cross_entropy(logits, examples.labels.clone())
}

/// Returns the number of correctly classified rows, `[1]`. In f32 it is exact up to 2^24 rows.
fn n_correct<M: Classifier>(model: &M, logits: Tensor<2>, examples: &Examples) -> Tensor<1> {
    let dtype = FloatDType::from(logits.dtype());
    model.classify(logits).equal(examples.labels.clone()).int().sum().cast(dtype)
}

/// Returns W row by row, `[d * k]`, and b, `[k]`.
fn flat_parameters<M: Classifier>(model: &M) -> [Tensor<1>; 2] {
    let linear = model.linear();
    let weight = linear.weight.val();
    let [_, k] = weight.dims();
    // A layer without bias gets a bias of zeros.
    let bias = linear.bias.as_ref().map_or_else(|| Tensor::zeros([k], (&weight.device(), weight.dtype())), Param::val);
    [weight.flatten(0, 1), bias]
}

/// Reads several tensors of one type at once.
fn read<const N: usize>(tensors: [Tensor<1>; N]) -> Result<[Vec<f64>; N], TensorReadError> {
    Ok(read_all(tensors.into())?.try_into().expect("one result per tensor"))
}

/// As [`read`], for any number of tensors.
fn read_all(tensors: Vec<Tensor<1>>) -> Result<Vec<Vec<f64>>, TensorReadError> {
    if tensors.is_empty() {
        return Ok(Vec::new());
    }
    let lengths: Vec<usize> = tensors.iter().map(|tensor| tensor.dims()[0]).collect();
    let values = Tensor::cat(tensors, 0).try_into_vec_as::<f64>()?;
    let mut rest = values.as_slice();
    let split = lengths.into_iter().map(|length| {
        let (first, remaining) = rest.split_at(length);
        rest = remaining;
        first.to_vec()
    });
    Ok(split.collect())
}
