use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::Tensor;
use chainrule_data::{BatchOrder, Shuffle};
use chainrule_models::{Classifier, CostAndGradient, L2, autodiff, closed_form};
use chainrule_records::{
    EarlyStopping, Evaluation, FinalMetrics, Generator, GradientSource, History, Judgement, ShuffleConfig, TrainConfig,
};

use crate::evaluate::{evaluate, evaluate_both};
use crate::{Examples, Observer};

/// Steps whose losses may wait on the device before they are read back: reading makes the device finish its work first.
const LOSSES_ON_DEVICE: usize = 256;

/// Why a training cannot start.
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
/// Where a batch is larger than the training rows. A training that diverges is no error here: see [`Ending`].
pub fn train<M: Classifier>(
    model: M,
    examples: &Examples,
    validation: &Examples,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained<M>, TrainError> {
    let (descent, stopping) = (config.descent(), config.early_stopping());
    let steps_per_epoch = steps_per_epoch(config, examples.len())?;
    let evaluation_interval = (steps_per_epoch / stopping.evaluations_per_epoch).max(1);

    let mut descending = Descent {
        model: model.train(),
        optimizer: SgdConfig::new().init(),
        learning_rate: descent.learning_rate,
        gradient: descent.gradient,
        l2: L2 { strength: config.objective().l2, penalize_bias: config.objective().penalize_bias },
    };
    let mut order = BatchOrder::new(shuffle(&descent.shuffle));
    order.skip(descent.shuffle.skip_epochs, examples.len());
    let mut losses = Losses::default();
    let mut evaluations = Vec::new();
    let mut early_stopping = EarlyStopping::new(stopping.patience);
    let mut best_model = None;

    let mut ending = Ending::Completed;
    let mut steps = 0usize;
    'descent: for epoch in 0..descent.epochs {
        let rows = order.next_epoch(examples.len());
        for batch in rows.chunks_exact(descent.batch_size) {
            let step = steps;
            losses.push(descending.step(&examples.batch(batch)));
            steps += 1;

            if step.is_multiple_of(evaluation_interval) {
                if let Err(step) = losses.read() {
                    ending = Ending::Diverged { step };
                    break 'descent;
                }
                observer.evaluation_begins();
                let model = descending.model.valid();
                let (metrics, train_accuracy) = evaluate_both(&model, validation, examples);
                if !metrics.loss.is_finite() {
                    ending = Ending::Diverged { step };
                    break 'descent;
                }
                let evaluation = Evaluation {
                    step,
                    epoch,
                    validation_loss: metrics.loss,
                    train_accuracy,
                    validation_accuracy: metrics.accuracy,
                };
                evaluations.push(evaluation);
                observer.evaluation_ends(&evaluation);
                match early_stopping.judge(step, metrics.loss) {
                    Judgement::Improved if stopping.restore_best => best_model = Some(model),
                    Judgement::Improved | Judgement::Missed => {}
                    Judgement::Stop => {
                        ending = Ending::StoppedEarly;
                        break 'descent;
                    }
                }
            }
            if observer.step_taken(step).is_break() {
                ending = Ending::Interrupted;
                break 'descent;
            }
        }
    }
    let diverged = |ending| matches!(ending, Ending::Diverged { .. });
    if let (Err(step), false) = (losses.read(), diverged(ending)) {
        ending = Ending::Diverged { step };
    }

    let model = best_model.unwrap_or_else(|| descending.model.valid());
    let (train, validation) = (evaluate(&model, examples), evaluate(&model, validation));
    let final_metrics = FinalMetrics {
        train_loss: train.loss,
        validation_loss: validation.loss,
        train_accuracy: train.accuracy,
        validation_accuracy: validation.accuracy,
    };
    let is_finite = train.loss.is_finite() && validation.loss.is_finite();
    if !is_finite && !diverged(ending) {
        ending = Ending::Diverged { step: steps - 1 };
    }
    let history = History { train_loss: losses.read_back, evaluations };
    Ok(Trained { model, history, ending, steps, steps_per_epoch, best: early_stopping.best(), final_metrics })
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
    read_back: Vec<f64>,
    first_not_finite: Option<usize>,
}

impl Losses {
    fn push(&mut self, loss: Tensor<1>) {
        self.on_device.push(loss);
        if self.on_device.len() >= LOSSES_ON_DEVICE {
            // What it finds is kept and told at the next evaluation.
            let _ = self.read();
        }
    }

    /// Reads what is on the device, up to the first loss that is not finite, whose step is the error.
    fn read(&mut self) -> Result<(), usize> {
        let on_device = std::mem::take(&mut self.on_device);
        if !on_device.is_empty() && self.first_not_finite.is_none() {
            let block = Tensor::cat(on_device, 0).try_into_vec_as::<f64>();
            let block = block.expect("the device gives back what it computed");
            let finite = block.iter().take_while(|loss| loss.is_finite()).count();
            self.read_back.extend_from_slice(&block[..finite]);
            if finite < block.len() {
                self.first_not_finite = Some(self.read_back.len());
            }
        }
        self.first_not_finite.map_or(Ok(()), Err)
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
