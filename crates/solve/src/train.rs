use std::num::NonZero;
use std::sync::Arc;

use chainrule_core::{
    Certificate, EarlyStopping, EngineKind, Evaluation, FinalMetrics, Generator, History, Identification, Link,
    MissingAbility, Parameters, SearchEnd, ShuffleConfig, Solver, StoppingDecision, TrainConfig, pluralize,
};
use chainrule_data::{BatchOrder, DataError, Rows, Shuffle};
use chainrule_kernels::ThreadPoolError;

use crate::engine::{Engine, EngineError, EvaluationResult};
use crate::fused::KernelEngine;
use crate::optimum::SearchState;
use crate::schedule::LearningRates;
use crate::{Checkpoint, FusedRows, MAX_NEWTON_PARAMETERS, Metrics, Observer, Optimizer};

/// An error that prevents or ends a training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The training rows do not fill one batch, and incomplete batches are dropped.
    #[error(
        "descent.batch_size = {batch_size}: there are only {rows} training rows; use batches of at most {rows} rows, or keep the last batch of an epoch (descent.drop_last = false)"
    )]
    BatchTooLarge {
        /// Rows per batch.
        batch_size: usize,
        /// The number of training rows.
        rows: usize,
    },
    /// The system does not provide this many threads.
    #[error("the system does not provide {} ({problem}); use fewer", pluralize(*.threads, "thread"))]
    Threads {
        /// The requested number of threads.
        threads: usize,
        /// The system's error.
        #[source]
        problem: ThreadPoolError,
    },
    /// The device has no fused kernels.
    #[error("{device} has no fused kernels in this build; use descent.gradient = \"closed-form\"")]
    NoKernels {
        /// The device's name.
        device: String,
    },
    /// The config needs an ability that the fused kernels lack.
    #[error("the fused kernels cannot train this: {problem}; use descent.gradient = \"closed-form\"")]
    UnsupportedByKernels {
        /// The missing ability.
        problem: MissingAbility,
    },
    /// The weights do not fit in memory.
    #[error(
        "{} and {} have so many weights that the solver needs {gigabytes} GB; use fewer of them (data.ignore, data.max_categories, data.classes), a smaller optimum.memory, or descent.solver = \"sgd\"",
        pluralize(*.features, "feature"), pluralize(*.classes, "class")
    )]
    TooManyWeights {
        /// The number of features, d.
        features: usize,
        /// The number of classes, k.
        classes: usize,
        /// The memory that the solver needs.
        gigabytes: u64,
    },
    /// The engine computes no Hessian, which Newton's method needs.
    #[error(
        "descent.solver = \"newton\": there is no Hessian of this model; it needs a table on the CPU, with at most {MAX_NEWTON_PARAMETERS} weights and biases; use descent.solver = \"lbfgs\" with an objective.l2 above 0"
    )]
    NoHessian,
    /// The config has an optimizer other than plain SGD, and there is none, because optimizers are
    /// Burn's.
    #[error("without Burn the only optimizer is plain sgd; use descent.optimizer = \"sgd\" without momentum")]
    UnsupportedOptimizer,
    /// The number of class weights is not the number of classes.
    #[error(
        "objective.class_weights: {}, and the data has {}; expected one for each of {classes}, in this order",
        pluralize(*.found, "number"),
        pluralize(*.k, "class")
    )]
    ClassWeights {
        /// The number of weights.
        found: usize,
        /// The number of classes.
        k: usize,
        /// The names of the classes, in the order of their labels.
        classes: String,
    },
    /// The config gives a weight to a class that the data does not have.
    #[error("objective.class_weights: there is no class {class}; the data has {classes}")]
    UnknownClass {
        /// The name of the class.
        class: String,
        /// The classes of the data, in the order of their labels.
        classes: String,
    },
    /// A class without rows cannot be balanced.
    #[error(
        "objective.class_weights = \"balanced\": no training row is of class {class}; leave it out of data.classes, or give numbers"
    )]
    EmptyClass {
        /// The name of the class.
        class: String,
    },
    /// All rows of a class have the weight 0.
    #[error(
        "all training rows of class {class} have the weight 0, so nothing could be learnt about it; leave the class out of data.classes, or give a row of it a weight above 0"
    )]
    WeightlessClass {
        /// The name of the class.
        class: String,
    },
    /// The training cannot resume from this checkpoint.
    #[error("the checkpoint of step {steps} belongs to another training: {problem}")]
    Checkpoint {
        /// The checkpoint's number of steps.
        steps: usize,
        /// What does not match.
        problem: String,
    },
    /// The observer stopped the training before there were any results.
    #[error("interrupted before the first step")]
    Interrupted,
    /// The device stopped responding.
    #[error("the device stopped answering: {}", .0.reason)]
    DeviceLost(Box<PartialResults>),
    /// Rows that stay in their file can no longer be read.
    #[error("{}", .0.reason)]
    DataLost(Box<PartialResults>),
}

impl From<DataError> for TrainError {
    fn from(error: DataError) -> Self {
        EngineError::from(error).into_train_error(History::default(), None)
    }
}

/// The results of a training that failed, because its device stopped responding or its data could
/// no longer be read.
#[derive(Clone, Debug)]
pub struct PartialResults {
    /// The message of the device's or the data's error.
    pub reason: String,
    /// The losses and evaluations that could be read.
    pub history: History,
    /// A step, and the parameters after it. If mini-batch gradient descent lost only its data, the
    /// step is its last one. In all other cases it is that of the last evaluation, or of the
    /// checkpoint.
    pub parameters: Option<(usize, Parameters)>,
}

/// How a training ended. `Converged`, `IterationsUsedUp`, `Rounding` and `Separated` occur only
/// with a [search for the minimum](Solver::is_search); then [`Trained::certificate`] has the proven
/// distance to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// All epochs were completed.
    Completed,
    /// Early stopping: the validation loss did not improve for `early_stopping.patience`
    /// evaluations.
    StoppedEarly,
    /// The observer stopped it.
    Interrupted,
    /// The minimum was reached within `optimum.tolerance`.
    Converged,
    /// `optimum.max_iterations` were made before the minimum was reached.
    IterationsUsedUp,
    /// Rounding errors prevented any further progress towards the minimum.
    Rounding,
    /// The classes are separated, so J has no minimum without a penalty:
    /// [`Trained::identification`] has the features.
    Separated,
    /// The loss of this step, or of the evaluation after it, is not finite.
    Diverged {
        /// The step, counted from 0.
        step: usize,
    },
}

impl From<SearchEnd> for Ending {
    fn from(ended: SearchEnd) -> Self {
        match ended {
            SearchEnd::Converged => Self::Converged,
            SearchEnd::IterationsUsedUp => Self::IterationsUsedUp,
            SearchEnd::Rounding => Self::Rounding,
            SearchEnd::Separated => Self::Separated,
            SearchEnd::Interrupted => Self::Interrupted,
        }
    }
}

/// The results of a training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The last parameters. With `restore_best`, those of the best evaluation. Of a [search for the
    /// minimum](Solver::is_search), those with the lowest bound.
    pub parameters: Parameters,
    /// The losses up to the first that is not finite, and the evaluations.
    pub history: History,
    /// How the training ended.
    pub ending: Ending,
    /// The number of updates.
    pub steps: usize,
    /// The number of steps in an epoch.
    pub steps_per_epoch: usize,
    /// The step and the validation loss of the best evaluation, if there was one.
    pub best: Option<(usize, f64)>,
    /// The metrics at `parameters`. They may not be finite if the training diverged.
    pub final_metrics: FinalMetrics,
    /// The proven distance to the minimum, if it was [searched](Solver::is_search) and a proof
    /// exists.
    pub certificate: Option<Certificate>,
    /// What makes the minimum unique, if it was searched without a penalty.
    pub identification: Option<Identification>,
    /// The weight of each class's rows in the order of the labels, if there are class weights.
    pub class_weights: Option<Vec<f64>>,
}

/// The maximum number of updates of a training on `rows` rows.
///
/// # Errors
/// As [`steps_per_epoch`].
pub fn max_steps(config: &TrainConfig, rows: usize) -> Result<usize, TrainError> {
    let steps_per_epoch = steps_per_epoch(config, rows)?;
    Ok(match config.descent().solver {
        Solver::Sgd => config.descent().epochs.saturating_mul(steps_per_epoch),
        Solver::Lbfgs | Solver::Newton => config.optimum().max_iterations,
    })
}

/// The number of updates in an epoch of `rows` training rows: one per batch. An incomplete last
/// batch is dropped with `descent.drop_last`. In a [search for the minimum](Solver::is_search), an
/// epoch is a single update on all rows.
///
/// # Errors
/// If incomplete batches are dropped and no batch is complete.
pub fn steps_per_epoch(config: &TrainConfig, rows: usize) -> Result<usize, TrainError> {
    if config.descent().solver.is_search() {
        return Ok(1);
    }
    let batch_size = config.descent().batch_size;
    match rows - dropped_rows(config, rows) {
        0 => Err(TrainError::BatchTooLarge { batch_size, rows }),
        rows_per_epoch => Ok(rows_per_epoch.div_ceil(batch_size)),
    }
}

/// The number of rows that an epoch leaves out, because they do not fill a batch
/// (`descent.drop_last`).
pub fn dropped_rows(config: &TrainConfig, rows: usize) -> usize {
    let descent = config.descent();
    if descent.solver == Solver::Sgd && descent.drop_last { rows % descent.batch_size } else { 0 }
}

/// Runs [`train()`] with the fused kernels on `threads` threads. The parameters start at zero.
/// One pass over a batch's features computes loss, gradient and update.
///
/// If the rows stay in their file, the same number of additional threads read ahead. The steps of
/// mini-batch gradient descent have the same bits as with rows in memory. A loss or a gradient over
/// more than one chunk is rounded differently, so the steps of L-BFGS may have other bits.
///
/// # Errors
/// As [`train()`]; if the config needs an ability that the kernels lack, or an optimizer (see
/// [`train_fused_with()`]); if the system does not provide the threads; and if a file can no longer
/// be read ([`TrainError::DataLost`]).
pub fn train_fused(
    link: &Arc<dyn Link>,
    train_rows: &FusedRows,
    validation_rows: &FusedRows,
    config: &TrainConfig,
    threads: NonZero<usize>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    train_fused_with(None, link, train_rows, validation_rows, config, threads, observer)
}

/// Like [`train_fused()`], with the optimizer that the config names, if that is not plain gradient
/// descent. The kernels compute the gradients, and the optimizer updates the parameters.
///
/// # Errors
/// As [`train_fused()`], and if the config and `optimizer` do not both have an optimizer.
pub fn train_fused_with(
    optimizer: Option<Box<dyn Optimizer>>,
    link: &Arc<dyn Link>,
    train_rows: &FusedRows,
    validation_rows: &FusedRows,
    config: &TrainConfig,
    threads: NonZero<usize>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    check_kernel_support(config)?;
    let threads = threads.get();
    let mut engine = KernelEngine::new(Arc::clone(link), train_rows, validation_rows, config, threads, optimizer)?;
    let trained = chainrule_kernels::with_threads(threads, || train(&mut engine, config, observer));
    trained.map_err(|problem| TrainError::Threads { threads, problem })?
}

/// Checks that the fused kernels support the config.
///
/// # Errors
/// If they do not.
pub fn check_kernel_support(config: &TrainConfig) -> Result<(), TrainError> {
    EngineKind::Kernels
        .missing_ability(config)
        .map_or(Ok(()), |problem| Err(TrainError::UnsupportedByKernels { problem }))
}

/// Checks that the weights of a model of these rows fit in memory, with what the solver keeps for
/// each of them. Newton's method has a Hessian of the rows of a table, with at most
/// [`MAX_NEWTON_PARAMETERS`] weights and biases.
///
/// # Errors
/// If they do not, or if there is no Hessian.
pub fn check_weights(config: &TrainConfig, rows: &Rows, n_classes: usize) -> Result<(), TrainError> {
    let columns = config.model().kind.link(n_classes).columns();
    let weights = (rows.n_features() + 1).saturating_mul(columns);
    let has_hessian = weights <= MAX_NEWTON_PARAMETERS && rows.feature_reader().is_some();
    if config.descent().solver == Solver::Newton && !has_hessian {
        return Err(TrainError::NoHessian);
    }
    // The weights, their gradient, its sums, the best so far, and steps with changes of gradients.
    let kept = match config.descent().solver {
        Solver::Lbfgs => 2 * config.optimum().memory + 8,
        Solver::Newton | Solver::Sgd => 6,
    };
    let bytes = (weights as u64).saturating_mul(8 * kept as u64);
    if bytes > MAX_WEIGHT_BYTES {
        let (features, gigabytes) = (rows.n_features(), bytes.div_ceil(1_000_000_000));
        return Err(TrainError::TooManyWeights { features, classes: n_classes, gigabytes });
    }
    Ok(())
}

/// The most memory that the weights may take, with what a solver keeps for each of them.
const MAX_WEIGHT_BYTES: u64 = 8 << 30;

/// Trains by mini-batch gradient descent, by L-BFGS or by Newton's method, as `config` says. It
/// starts at the engine's parameters.
///
/// A step uses the mean gradient over its batch. The last batch of an epoch contains the remaining
/// rows, and its learning rate is reduced in proportion. With `descent.drop_last` it is dropped.
///
/// Steps are counted from 0 over all epochs. The model is evaluated after step 0 and then every
/// `steps_per_epoch / evaluations_per_epoch` steps. With `early_stopping.restore_best`, it is also
/// evaluated after the last step.
///
/// A step of L-BFGS or Newton's method is one iteration on all rows. The model is evaluated every
/// `optimum.evaluate_every` iterations.
///
/// With `objective.class_weights`, each row's cross-entropy is multiplied by its class weight. This
/// affects the gradients, the history and the final metrics. Balanced weights are computed from the
/// training rows: see [`class_weights`](crate::class_weights()). Weights of the rows have the same
/// effect, and they multiply the class weights. They are scaled to a mean of 1 over the training
/// rows, and over the validation rows.
///
/// # Errors
/// - If incomplete batches are dropped and no batch is complete.
/// - If the checkpoint does not fit, or the observer stops the training before the first step.
/// - If the engine fails. The error contains the results so far.
///
/// Divergence is not an error: see [`Ending`].
pub fn train(
    engine: &mut dyn Engine,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let steps_per_epoch = steps_per_epoch(config, engine.rows())?;
    let mut train_loop = TrainLoop {
        config,
        steps_per_epoch,
        evaluation_interval: (steps_per_epoch / config.early_stopping().evaluations_per_epoch).max(1),
        steps: 0,
        history: History { train_loss: Vec::new(), evaluations: Vec::new() },
        early_stopping: EarlyStopping::new(config.early_stopping().patience),
        best: None,
        last_known: None,
        certificate: None,
        identification: None,
    };
    let checkpoint = observer.resume_from();
    let search = checkpoint.map(|checkpoint| train_loop.resume(engine, checkpoint)).transpose()?.flatten();
    match train_loop.run(search, engine, observer) {
        Ok((Ending::Interrupted, ..)) if train_loop.steps == 0 => Err(TrainError::Interrupted),
        Ok((ending, final_metrics, parameters)) => Ok(Trained {
            ending,
            steps: train_loop.steps,
            steps_per_epoch,
            history: train_loop.history,
            parameters,
            best: train_loop.early_stopping.best(),
            final_metrics,
            certificate: train_loop.certificate,
            identification: train_loop.identification,
            class_weights: engine.class_weights(),
        }),
        Err(error) => {
            // If only the data is lost, the engine still has its losses and parameters.
            let parameters = match error {
                // A search may be at a trial point of its line search.
                EngineError::Data(_) if config.descent().solver == Solver::Sgd => {
                    let read = train_loop.read_losses(engine).and_then(|_| engine.parameters());
                    read.ok().filter(|_| train_loop.steps > 0).map(|parameters| (train_loop.steps - 1, parameters))
                }
                _ => train_loop.last_known,
            };
            Err(error.into_train_error(train_loop.history, parameters))
        }
    }
}

/// The state of a training.
pub(crate) struct TrainLoop<'a> {
    pub(crate) config: &'a TrainConfig,
    steps_per_epoch: usize,
    evaluation_interval: usize,
    pub(crate) steps: usize,
    /// The losses read from the engine, up to the first that is not finite, and the evaluations.
    pub(crate) history: History,
    early_stopping: EarlyStopping,
    /// The parameters to return, if they are not the last: those of the best evaluation, or those
    /// with the lowest bound.
    pub(crate) best: Option<Parameters>,
    /// The step and the parameters of the last evaluation, or of the checkpoint if none followed.
    last_known: Option<(usize, Parameters)>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) identification: Option<Identification>,
}

impl TrainLoop<'_> {
    fn run(
        &mut self,
        search: Option<SearchState>,
        engine: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Result<(Ending, FinalMetrics, Parameters), EngineError> {
        let mut ending = match self.config.descent().solver {
            Solver::Sgd => {
                let ending = self.run_sgd(engine, observer)?;
                self.evaluate_last(ending, engine, observer)?
            }
            Solver::Lbfgs | Solver::Newton => self.run_search(search, engine, observer)?,
        };
        if !matches!(ending, Ending::Diverged { .. })
            && let Some(step) = self.read_losses(engine)?
        {
            ending = Ending::Diverged { step };
        }
        if let Some(best) = &self.best {
            engine.set(best);
        }
        let metrics = engine.metrics()?;
        let is_finite = metrics.iter().all(|metrics| metrics.loss.is_finite());
        if !is_finite && !matches!(ending, Ending::Diverged { .. }) {
            ending = Ending::Diverged { step: self.steps.saturating_sub(1) };
        }
        Ok((ending, final_metrics(metrics), engine.parameters()?))
    }

    /// Restores a checkpoint. Returns the state of the search for the minimum, if there is one.
    fn resume(&mut self, engine: &mut dyn Engine, checkpoint: Checkpoint) -> Result<Option<SearchState>, TrainError> {
        let current = engine.parameters().map_err(|error| error.into_train_error(History::default(), None))?;
        let shape = [current.n_features, current.columns];
        let Checkpoint { steps, parameters, best, history, optimizer_state, search } = checkpoint;
        let problem = if !parameters.has_shape(shape) || best.as_ref().is_some_and(|best| !best.has_shape(shape)) {
            Some(format!("its parameters are not {} x {}", shape[0], shape[1]))
        } else if history.train_loss.len() != steps {
            Some(format!("its history has {} steps", history.train_loss.len()))
        } else if steps > 0 && search.as_ref().map_or(Solver::Sgd, SearchState::solver) != self.config.descent().solver
        {
            Some("its descent.solver is different".to_owned())
        } else if search.as_ref().is_some_and(|search| !search.fits(shape)) {
            Some("the shape of its search for the minimum is different".to_owned())
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(TrainError::Checkpoint { steps, problem });
        }
        engine.set(&parameters);
        engine
            .restore_optimizer_state(optimizer_state.as_ref())
            .map_err(|problem| TrainError::Checkpoint { steps, problem })?;
        for evaluation in &history.evaluations {
            self.early_stopping.record(evaluation.step, evaluation.validation_loss);
        }
        self.steps = steps;
        self.history = history;
        self.best = best;
        self.last_known = steps.checked_sub(1).map(|step| (step, parameters));
        Ok(search)
    }

    /// Makes all remaining steps and evaluations.
    fn run_sgd(&mut self, engine: &mut dyn Engine, observer: &mut dyn Observer) -> Result<Ending, EngineError> {
        let descent = self.config.descent();
        let (steps_per_epoch, batch_size) = (self.steps_per_epoch, descent.batch_size);
        let rows_per_epoch = engine.rows() - dropped_rows(self.config, engine.rows());
        let mut first_batch = self.steps % steps_per_epoch;
        let first_epoch = self.steps / steps_per_epoch;
        let mut order = BatchOrder::new(shuffle(&descent.shuffle));
        // Skipping a million epochs takes seconds. Skip one at a time, so that the observer can
        // stop in between.
        for _ in 0..descent.shuffle.skip_epochs + first_epoch {
            if observer.should_stop() {
                return Ok(Ending::Interrupted);
            }
            order.skip(1, engine.rows());
        }
        let full_batch = batch_size.min(rows_per_epoch);
        let mut batch = Vec::with_capacity(full_batch);
        let mut learning_rates = LearningRates::new(descent, steps_per_epoch);
        for epoch in first_epoch..descent.epochs {
            let epoch_order = Arc::new(order.next_order(engine.rows()));
            engine.begin_epoch(&epoch_order, first_batch * batch_size..rows_per_epoch, batch_size)?;
            for first in (first_batch..steps_per_epoch).map(|batch| batch * batch_size) {
                batch.clear();
                batch.extend(epoch_order.range(first..rows_per_epoch.min(first + batch_size)));
                let step = self.steps;
                // Without this factor, a single remaining row would move the weights as far as a
                // full batch.
                let fraction = batch.len() as f64 / full_batch as f64;
                engine.step(&batch, fraction * learning_rates.at_step(step))?;
                self.steps += 1;
                if step.is_multiple_of(self.evaluation_interval)
                    && let Some(ending) = self.evaluate(engine, step, epoch, observer)?
                {
                    return Ok(ending);
                }
                let flow = observer.on_step(step);
                if observer.wants_checkpoint(step) {
                    if let Some(step) = self.read_losses(engine)? {
                        return Ok(Ending::Diverged { step });
                    }
                    observer.save_checkpoint(Checkpoint {
                        steps: self.steps,
                        parameters: engine.parameters()?,
                        best: self.best.clone(),
                        history: self.history.clone(),
                        optimizer_state: engine.optimizer_state(),
                        search: None,
                    });
                }
                if flow.is_break() {
                    return Ok(Ending::Interrupted);
                }
            }
            first_batch = 0;
        }
        Ok(Ending::Completed)
    }

    /// Evaluates the last parameters with `restore_best`, because they may be the best. Without it,
    /// the final metrics are those of the last parameters, and the evaluations in the history keep
    /// their regular interval.
    fn evaluate_last(
        &mut self,
        ending: Ending,
        engine: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Result<Ending, EngineError> {
        let Some(step) = self.steps.checked_sub(1) else { return Ok(ending) };
        let is_evaluated = self.history.evaluations.last().is_some_and(|last| last.step == step);
        let has_diverged = matches!(ending, Ending::Diverged { .. });
        if is_evaluated || has_diverged || !self.config.early_stopping().restore_best {
            return Ok(ending);
        }
        // Early stopping has no effect after the last step.
        Ok(match self.evaluate(engine, step, step / self.steps_per_epoch, observer)? {
            Some(diverged @ Ending::Diverged { .. }) => diverged,
            _ => ending,
        })
    }

    /// Evaluates the model. Returns the [`Ending`] if the training ends here.
    pub(crate) fn evaluate(
        &mut self,
        engine: &mut dyn Engine,
        step: usize,
        epoch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Ending>, EngineError> {
        if let Some(step) = self.read_losses(engine)? {
            return Ok(Some(Ending::Diverged { step }));
        }
        observer.on_evaluation_start();
        let EvaluationResult { validation, train_accuracy, parameters } = engine.evaluate()?;
        if !validation.loss.is_finite() {
            return Ok(Some(Ending::Diverged { step }));
        }
        let evaluation = Evaluation {
            step,
            epoch,
            validation_loss: validation.loss,
            train_accuracy,
            validation_accuracy: validation.accuracy,
        };
        self.history.evaluations.push(evaluation);
        let flow = observer.on_evaluation(&evaluation);
        let decision = self.early_stopping.record(step, validation.loss);
        if decision == StoppingDecision::Improved && self.config.early_stopping().restore_best {
            self.best = Some(parameters.clone());
        }
        self.last_known = Some((step, parameters));
        if decision == StoppingDecision::Stop {
            return Ok(Some(Ending::StoppedEarly));
        }
        Ok(flow.is_break().then_some(Ending::Interrupted))
    }

    /// Appends the losses since the last call to the history. Stops at the first loss that is not
    /// finite and returns its step.
    fn read_losses(&mut self, engine: &mut dyn Engine) -> Result<Option<usize>, EngineError> {
        let losses = engine.losses()?;
        let finite = losses.iter().take_while(|loss| loss.is_finite()).count();
        self.history.train_loss.extend_from_slice(&losses[..finite]);
        Ok((finite < losses.len()).then_some(self.history.train_loss.len()))
    }
}

/// Returns the metrics on the training rows and on the validation rows side by side.
pub(crate) fn final_metrics([train, validation]: [Metrics; 2]) -> FinalMetrics {
    FinalMetrics {
        train_loss: train.loss,
        validation_loss: validation.loss,
        train_accuracy: train.accuracy,
        validation_accuracy: validation.accuracy,
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
