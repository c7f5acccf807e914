use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::{Tensor, TensorReadError};
use chainrule_data::{BatchOrder, Shuffle};
use chainrule_models::{Classifier, CostAndGradient, L2, autodiff, closed_form};
use chainrule_records::{
    EarlyStopping, Evaluation, FinalMetrics, Generator, GradientSource, History, Judgement, Parameters, ShuffleConfig,
    TrainConfig,
};

use crate::evaluate::{evaluate, evaluate_both, parameters};
use crate::{Examples, Observer};

/// Steps whose losses may wait on the device before they are read back: reading makes the device finish its work first.
const LOSSES_ON_DEVICE: usize = 256;

/// Why a training gave no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// There is no whole batch in an epoch.
    #[error("descent.batch_size = {batch_size}: there are only {rows} training rows; make batches of at most {rows}")]
    BatchTooLarge {
        /// Rows a batch.
        batch_size: usize,
        /// Training rows.
        rows: usize,
    },
    /// The device stopped answering.
    #[error("the device stopped answering: {}", .0.reason)]
    DeviceLost(Box<DeviceLost>),
}

/// What a training had read from its device before that stopped answering.
#[derive(Clone, Debug)]
pub struct DeviceLost {
    /// What the backend said.
    pub reason: String,
    /// The losses and evaluations.
    pub history: History,
    /// The step of the last evaluation, and the parameters after it.
    pub parameters: Option<(usize, Parameters)>,
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs were made.
    Completed,
    /// Patience ran out.
    StoppedEarly,
    /// The observer ended it.
    Interrupted,
    /// The loss of this step, or of the evaluation after it, is not finite.
    Diverged {
        /// The step, from 0.
        step: usize,
    },
}

/// A training's results.
#[derive(Clone, Debug)]
pub struct Trained<M> {
    /// The last weights, or with `restore_best` the best ones; no autodiff.
    pub model: M,
    /// Its parameters, on the host.
    pub parameters: Parameters,
    /// All finite losses.
    pub history: History,
    /// How it ended.
    pub ending: Ending,
    /// Updates made.
    pub steps: usize,
    /// Steps in an epoch.
    pub steps_per_epoch: usize,
    /// Step and validation loss of the best evaluation, if there was one.
    pub best: Option<(usize, f64)>,
    /// What `model` is worth; not finite where training diverged.
    pub final_metrics: FinalMetrics,
}

/// Updates in an epoch of `rows` training rows: whole batches.
///
/// # Errors
/// Where there is none.
pub fn steps_per_epoch(config: &TrainConfig, rows: usize) -> Result<usize, TrainError> {
    let batch_size = config.descent().batch_size;
    if batch_size > rows { Err(TrainError::BatchTooLarge { batch_size, rows }) } else { Ok(rows / batch_size) }
}

/// Trains `model` by plain mini-batch gradient descent, as `config` says.
///
/// The last rows of an epoch that fill no whole batch are dropped. After the update of every step that is a multiple of
/// `steps_per_epoch / evaluations_per_epoch` (steps counted from 0 over all epochs) the model is evaluated.
///
/// # Errors
/// Where a batch is larger than the training rows, and where the device stops answering, with what was read from it until
/// then. A training that diverges is no error here: see [`Ending`].
pub fn train<M: Classifier>(
    model: M,
    examples: &Examples,
    validation: &Examples,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained<M>, TrainError> {
    let (descent, stopping) = (config.descent(), config.early_stopping());
    let steps_per_epoch = steps_per_epoch(config, examples.len())?;
    let mut walk = Walk {
        config,
        examples,
        validation,
        evaluation_interval: (steps_per_epoch / stopping.evaluations_per_epoch).max(1),
        descent: Descent {
            model: model.train(),
            optimizer: SgdConfig::new().init(),
            learning_rate: descent.learning_rate,
            gradient: descent.gradient,
            l2: L2 { strength: config.objective().l2, penalize_bias: config.objective().penalize_bias },
        },
        steps: 0,
        losses: Losses::default(),
        evaluations: Vec::new(),
        early_stopping: EarlyStopping::new(stopping.patience),
        best_model: None,
        parameters: None,
    };
    match walk.finish(observer) {
        Ok((ending, model, final_metrics, parameters)) => Ok(Trained {
            model,
            parameters,
            ending,
            steps: walk.steps,
            steps_per_epoch,
            best: walk.early_stopping.best(),
            final_metrics,
            history: walk.history(),
        }),
        Err(error) => {
            // Some errors of Burn go on with a backtrace.
            let reason = error.to_string().lines().take(3).map(str::trim).collect::<Vec<_>>().join(" ");
            let parameters = walk.parameters.take();
            Err(TrainError::DeviceLost(Box::new(DeviceLost { reason, history: walk.history(), parameters })))
        }
    }
}

/// A training under way.
struct Walk<'a, M> {
    config: &'a TrainConfig,
    examples: &'a Examples,
    validation: &'a Examples,
    evaluation_interval: usize,
    descent: Descent<M>,
    steps: usize,
    losses: Losses,
    evaluations: Vec<Evaluation>,
    early_stopping: EarlyStopping,
    best_model: Option<M>,
    /// The parameters at the last evaluation, and its step.
    parameters: Option<(usize, Parameters)>,
}

impl<M: Classifier> Walk<'_, M> {
    fn finish(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<(Ending, M, FinalMetrics, Parameters), TensorReadError> {
        let mut ending = self.descend(observer)?;
        let diverged = |ending| matches!(ending, Ending::Diverged { .. });
        self.losses.read()?;
        if let (Some(step), false) = (self.losses.first_not_finite, diverged(ending)) {
            ending = Ending::Diverged { step };
        }
        let model = self.best_model.take().unwrap_or_else(|| self.descent.model.valid());
        let (train, validation) = (evaluate(&model, self.examples)?, evaluate(&model, self.validation)?);
        let final_metrics = FinalMetrics {
            train_loss: train.loss,
            validation_loss: validation.loss,
            train_accuracy: train.accuracy,
            validation_accuracy: validation.accuracy,
        };
        let is_finite = train.loss.is_finite() && validation.loss.is_finite();
        if !is_finite && !diverged(ending) {
            ending = Ending::Diverged { step: self.steps - 1 };
        }
        let parameters = parameters(&model)?;
        Ok((ending, model, final_metrics, parameters))
    }

    /// All steps and evaluations.
    fn descend(&mut self, observer: &mut dyn Observer) -> Result<Ending, TensorReadError> {
        let descent = self.config.descent();
        let mut order = BatchOrder::new(shuffle(&descent.shuffle));
        order.skip(descent.shuffle.skip_epochs, self.examples.len());
        for epoch in 0..descent.epochs {
            let rows = order.next_epoch(self.examples.len());
            for batch in rows.chunks_exact(descent.batch_size) {
                let step = self.steps;
                self.losses.push(self.descent.step(&self.examples.batch(batch)))?;
                self.steps += 1;
                if step.is_multiple_of(self.evaluation_interval)
                    && let Some(ending) = self.evaluate(step, epoch, observer)?
                {
                    return Ok(ending);
                }
                if observer.step_taken(step).is_break() {
                    return Ok(Ending::Interrupted);
                }
            }
        }
        Ok(Ending::Completed)
    }

    /// One evaluation; gives how the training ends, where it does.
    fn evaluate(
        &mut self,
        step: usize,
        epoch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Ending>, TensorReadError> {
        self.losses.read()?;
        if let Some(step) = self.losses.first_not_finite {
            return Ok(Some(Ending::Diverged { step }));
        }
        observer.evaluation_begins();
        let model = self.descent.model.valid();
        let (metrics, train_accuracy, parameters) = evaluate_both(&model, self.validation, self.examples)?;
        if !metrics.loss.is_finite() {
            return Ok(Some(Ending::Diverged { step }));
        }
        let evaluation = Evaluation {
            step,
            epoch,
            validation_loss: metrics.loss,
            train_accuracy,
            validation_accuracy: metrics.accuracy,
        };
        self.parameters = Some((step, parameters));
        self.evaluations.push(evaluation);
        observer.evaluation_ends(&evaluation);
        Ok(match self.early_stopping.judge(step, metrics.loss) {
            Judgement::Stop => Some(Ending::StoppedEarly),
            Judgement::Improved => {
                if self.config.early_stopping().restore_best {
                    self.best_model = Some(model);
                }
                None
            }
            Judgement::Missed => None,
        })
    }

    fn history(self) -> History {
        History { train_loss: self.losses.read_back, evaluations: self.evaluations }
    }
}

/// A model on its way down.
struct Descent<M> {
    model: M,
    optimizer: ModuleOptimizer,
    learning_rate: f64,
    gradient: GradientSource,
    l2: L2,
}

impl<M: Classifier> Descent<M> {
    /// One update; gives the batch's mean cross-entropy before it, `[1]`.
    fn step(&mut self, batch: &Examples) -> Tensor<1> {
        let (features, labels) = (batch.features.clone(), batch.labels.clone());
        let CostAndGradient { cross_entropy, gradient } = match self.gradient {
            GradientSource::ClosedForm => closed_form(&self.model, features, labels, self.l2),
            GradientSource::Autodiff => autodiff(&self.model, features, labels, self.l2),
        };
        let gradient = gradient.into_params(self.model.linear());
        self.model = self.optimizer.step(self.learning_rate, self.model.clone(), gradient);
        cross_entropy
    }
}

/// The losses of all steps, read back from the device in blocks.
#[derive(Default)]
struct Losses {
    on_device: Vec<Tensor<1>>,
    /// Up to the first that is not finite.
    read_back: Vec<f64>,
    /// The step of that one.
    first_not_finite: Option<usize>,
}

impl Losses {
    fn push(&mut self, loss: Tensor<1>) -> Result<(), TensorReadError> {
        self.on_device.push(loss);
        // What a block finds is told at the next evaluation.
        if self.on_device.len() >= LOSSES_ON_DEVICE { self.read() } else { Ok(()) }
    }

    fn read(&mut self) -> Result<(), TensorReadError> {
        let on_device = std::mem::take(&mut self.on_device);
        if !on_device.is_empty() && self.first_not_finite.is_none() {
            let block = Tensor::cat(on_device, 0).try_into_vec_as::<f64>()?;
            let finite = block.iter().take_while(|loss| loss.is_finite()).count();
            self.read_back.extend_from_slice(&block[..finite]);
            if finite < block.len() {
                self.first_not_finite = Some(self.read_back.len());
            }
        }
        Ok(())
    }
}

fn shuffle(config: &ShuffleConfig) -> Shuffle {
    match config.generator {
        Generator::None => Shuffle::None,
        Generator::NumpyLegacy => {
            Shuffle::NumpyLegacy { seed: u32::try_from(config.seed).expect("checked with the config") }
        }
        Generator::Chacha => Shuffle::ChaCha { seed: config.seed },
    }
}
