use std::num::NonZero;
use std::sync::Arc;

use chainrule_core::{
    Certificate, EarlyStopping, EngineKind, Evaluation, FinalMetrics, Generator, History, Link, MissingAbility,
    Parameters, ShuffleConfig, Solver, StoppingDecision, TrainConfig, count,
};
use chainrule_data::{BatchOrder, DataError, Shuffle};
use chainrule_kernels::NoThreads;

use crate::engine::{Engine, EngineError, EvaluationResult};
use crate::fused::KernelEngine;
use crate::optimum::SearchState;
use crate::schedule::LearningRates;
use crate::{Checkpoint, FusedRows, Observer};

/// Why a training gave no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// There is no whole batch in an epoch, and others are dropped.
    #[error(
        "descent.batch_size = {batch_size}: there are only {rows} training rows; make batches of at most {rows}, or keep the last one of an epoch (descent.drop_last = false)"
    )]
    BatchTooLarge {
        /// Rows a batch.
        batch_size: usize,
        /// Training rows.
        rows: usize,
    },
    /// The system does not give so many threads.
    #[error("{} cannot be had ({problem}); take fewer", count(*.threads, "thread"))]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// What the system said.
        #[source]
        problem: NoThreads,
    },
    /// The device has no kernels that do a whole step.
    #[error("{device} has no fused kernels in this build; take descent.gradient = \"closed-form\"")]
    NoKernels {
        /// The device as it calls itself.
        device: String,
    },
    /// The config asks for what fused kernels cannot do.
    #[error("the fused kernels cannot: {problem}; take descent.gradient = \"closed-form\"")]
    BeyondKernels {
        /// What that is.
        problem: MissingAbility,
    },
    /// The plain loops make plain steps.
    #[error("without Burn there is no optimizer but plain sgd; take descent.optimizer = \"sgd\" without momentum")]
    NoOptimizer,
    /// The weights are not those of the classes.
    #[error(
        "objective.class_weights: {}, and the data has {}; expected one for each of {classes}, in this order",
        count(*.found, "number"),
        count(*.k, "class")
    )]
    ClassWeights {
        /// Numbers given.
        found: usize,
        /// Classes.
        k: usize,
        /// Their names, in the order of their labels.
        classes: String,
    },
    /// A weight is of a class that the data has not.
    #[error("objective.class_weights: there is no class {class}; the data has {classes}")]
    UnknownClass {
        /// Its name.
        class: String,
        /// Those that are there, in the order of their labels.
        classes: String,
    },
    /// A class cannot be balanced.
    #[error(
        "objective.class_weights = \"balanced\": no training row is of class {class}; leave it out of data.classes, or give numbers"
    )]
    EmptyClass {
        /// Its name.
        class: String,
    },
    /// The training cannot go on from where it was told to.
    #[error("the checkpoint of step {steps} is another training's: {problem}")]
    Checkpoint {
        /// Its number of steps.
        steps: usize,
        /// What does not fit.
        problem: String,
    },
    /// The observer ended it before there was anything to keep.
    #[error("interrupted before the first step")]
    Interrupted,
    /// The device stopped answering.
    #[error("the device stopped answering: {}", .0.reason)]
    DeviceLost(Box<DeviceLost>),
    /// Rows that stay in their file cannot be read any more.
    #[error("{}", .0.reason)]
    DataLost(Box<DeviceLost>),
}

impl From<DataError> for TrainError {
    fn from(error: DataError) -> Self {
        EngineError::from(error).lost(History::default(), None)
    }
}

/// What a training came to before its device stopped answering, or its data could not be read any
/// more.
#[derive(Clone, Debug)]
pub struct DeviceLost {
    /// What the backend said, or what is wrong with the data.
    pub reason: String,
    /// The losses and evaluations: those that were read from a device, or all.
    pub history: History,
    /// The parameters after a step, and which: after the last evaluation's, or the last of all.
    pub parameters: Option<(usize, Parameters)>,
}

/// How a training ended. The last three are those of [`Solver::Lbfgs`]; [`Trained::certificate`]
/// says what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// All epochs were made.
    Completed,
    /// Patience ran out.
    StoppedEarly,
    /// The observer ended it.
    Interrupted,
    /// The minimum was reached within `optimum.tolerance`.
    Converged,
    /// `optimum.max_iterations` were made before that.
    UsedUp,
    /// Rounding hides what is left of the way to the minimum.
    Rounding,
    /// The loss of this step, or of the evaluation after it, is not finite.
    Diverged {
        /// The step, from 0.
        step: usize,
    },
}

/// A training's results.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The last parameters, or with `restore_best` the best ones, or those nearest to the minimum,
    /// as far as is certain.
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
    /// What they are worth; not finite where training diverged.
    pub final_metrics: FinalMetrics,
    /// How near to the minimum they are, where [`Solver::Lbfgs`] went for it.
    pub certificate: Option<Certificate>,
    /// By how much a row of each class counted, where not all counted 1, in the order of the
    /// labels.
    pub class_weights: Option<Vec<f64>>,
}

/// Updates that a training on `rows` rows makes at most.
///
/// # Errors
/// As [`steps_per_epoch`].
pub fn most_steps(config: &TrainConfig, rows: usize) -> Result<usize, TrainError> {
    let steps_per_epoch = steps_per_epoch(config, rows)?;
    Ok(match config.descent().solver {
        Solver::Sgd => config.descent().epochs.saturating_mul(steps_per_epoch),
        Solver::Lbfgs => config.optimum().max_iterations,
    })
}

/// Updates in an epoch of `rows` training rows: its batches, the last of which may be smaller
/// unless `descent.drop_last` leaves it out, or with [`Solver::Lbfgs`] all rows at once.
///
/// # Errors
/// Where smaller batches are left out, and there is no whole one.
pub fn steps_per_epoch(config: &TrainConfig, rows: usize) -> Result<usize, TrainError> {
    if config.descent().solver == Solver::Lbfgs {
        return Ok(1);
    }
    let batch_size = config.descent().batch_size;
    match rows - dropped_rows(config, rows) {
        0 => Err(TrainError::BatchTooLarge { batch_size, rows }),
        taken => Ok(taken.div_ceil(batch_size)),
    }
}

/// Rows of an epoch of `rows` training rows that are in none of its batches, since they fill no
/// whole one (`descent.drop_last`).
pub fn dropped_rows(config: &TrainConfig, rows: usize) -> usize {
    let descent = config.descent();
    if descent.solver == Solver::Sgd && descent.drop_last { rows % descent.batch_size } else { 0 }
}

/// [`train()`] by the fused kernels, on as many threads, from parameters that are 0: one pass over
/// a batch's features gives loss, gradient and update. Of rows that stay in their file as many
/// threads again read ahead; the steps are the same, bit for bit, and a loss on more rows than make
/// a chunk is rounded otherwise.
///
/// # Errors
/// As [`train()`]; where the config asks for what the kernels cannot do, or there are not so many
/// threads to be had; and where a file cannot be read any more, with what the training came to
/// until then.
pub fn train_fused(
    link: &Arc<dyn Link>,
    examples: &FusedRows,
    validation: &FusedRows,
    config: &TrainConfig,
    threads: NonZero<usize>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    within_kernels(config)?;
    let threads = threads.get();
    let mut engine = KernelEngine::new(Arc::clone(link), examples, validation, config, threads);
    let trained = chainrule_kernels::with_threads(threads, || train(&mut engine, config, observer));
    trained.map_err(|problem| TrainError::Threads { threads, problem })?
}

/// Refuses what no fused kernel does, rather than to do something else.
///
/// # Errors
/// Where the config asks for that.
pub fn within_kernels(config: &TrainConfig) -> Result<(), TrainError> {
    EngineKind::Kernels.missing(config).map_or(Ok(()), |problem| Err(TrainError::BeyondKernels { problem }))
}

/// Trains by mini-batch gradient descent, or to the minimum by L-BFGS, as `config` says, from the
/// engine's parameters.
///
/// A step is the mean over its batch's rows; the last batch of an epoch has the rows that are left,
/// and a learning rate that is as much smaller, or is dropped by `descent.drop_last`. After the
/// update of every step that is a multiple of `steps_per_epoch / evaluations_per_epoch` (steps
/// counted from 0 over all epochs) the model is evaluated, and where the best weights are kept
/// after the last step, too. A step of L-BFGS is an iteration, on all rows, and the evaluations are
/// `optimum.evaluate_every` apart.
///
/// With `objective.class_weights` each row's cross-entropy is times its class's weight
/// ([`class_weights`](crate::class_weights()), of the training rows), in the gradients, in the
/// history and in the final metrics.
///
/// # Errors
/// Where no batch is whole and the last one is dropped, and where the engine fails, with what was
/// read from it until then. A training that diverges is no error here: see [`Ending`].
pub fn train(
    engine: &mut dyn Engine,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let steps_per_epoch = steps_per_epoch(config, engine.rows())?;
    let mut walk = TrainLoop {
        config,
        steps_per_epoch,
        evaluation_interval: (steps_per_epoch / config.early_stopping().evaluations_per_epoch).max(1),
        steps: 0,
        history: History { train_loss: Vec::new(), evaluations: Vec::new() },
        early_stopping: EarlyStopping::new(config.early_stopping().patience),
        best: None,
        last: None,
        certificate: None,
    };
    let from = observer.resume_from().map(|from| walk.resume(engine, from)).transpose()?.flatten();
    match walk.to_its_end(from, engine, observer) {
        Ok((Ending::Interrupted, ..)) if walk.steps == 0 => Err(TrainError::Interrupted),
        Ok((ending, final_metrics, parameters)) => Ok(Trained {
            ending,
            steps: walk.steps,
            steps_per_epoch,
            history: walk.history,
            parameters,
            best: walk.early_stopping.best(),
            final_metrics,
            certificate: walk.certificate,
            class_weights: engine.class_weights(),
        }),
        Err(failure) => {
            // What was computed is still there, where it is the data that is lost.
            let parameters = match failure {
                // Where L-BFGS is, it may only be trying.
                EngineError::Data(_) if config.descent().solver == Solver::Sgd => {
                    let read = walk.read_losses(engine).and_then(|_| engine.parameters());
                    read.ok().filter(|_| walk.steps > 0).map(|parameters| (walk.steps - 1, parameters))
                }
                EngineError::Data(_) | EngineError::Device(_) => walk.last,
            };
            Err(failure.lost(walk.history, parameters))
        }
    }
}

/// A training under way.
pub(crate) struct TrainLoop<'a> {
    pub(crate) config: &'a TrainConfig,
    steps_per_epoch: usize,
    evaluation_interval: usize,
    pub(crate) steps: usize,
    /// What was read from the engine, up to the first loss that is not finite.
    pub(crate) history: History,
    early_stopping: EarlyStopping,
    /// The parameters to end with, where these are not the last: those of the best evaluation, or
    /// nearest to the minimum.
    pub(crate) best: Option<Parameters>,
    /// The parameters at the last evaluation, and its step.
    last: Option<(usize, Parameters)>,
    pub(crate) certificate: Option<Certificate>,
}

impl TrainLoop<'_> {
    #[expect(clippy::wrong_self_convention, reason = "it is the end that it goes to")]
    fn to_its_end(
        &mut self,
        from: Option<SearchState>,
        engine: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Result<(Ending, FinalMetrics, Parameters), EngineError> {
        let mut ending = match self.config.descent().solver {
            Solver::Sgd => {
                let ending = self.descend(engine, observer)?;
                self.look_at_the_end(ending, engine, observer)?
            }
            Solver::Lbfgs => self.to_the_minimum(from, engine, observer)?,
        };
        if !matches!(ending, Ending::Diverged { .. })
            && let Some(step) = self.read_losses(engine)?
        {
            ending = Ending::Diverged { step };
        }
        if let Some(best) = &self.best {
            engine.set(best);
        }
        let [train, validation] = engine.metrics()?;
        let is_finite = train.loss.is_finite() && validation.loss.is_finite();
        if !is_finite && !matches!(ending, Ending::Diverged { .. }) {
            ending = Ending::Diverged { step: self.steps.saturating_sub(1) };
        }
        let metrics = FinalMetrics {
            train_loss: train.loss,
            validation_loss: validation.loss,
            train_accuracy: train.accuracy,
            validation_accuracy: validation.accuracy,
        };
        Ok((ending, metrics, engine.parameters()?))
    }

    /// Takes on what a training had come to; gives where its search for the minimum was, if that is
    /// what it did.
    fn resume(&mut self, engine: &mut dyn Engine, from: Checkpoint) -> Result<Option<SearchState>, TrainError> {
        let own = engine.parameters().map_err(|failure| failure.lost(History::default(), None))?;
        let shape = [own.n_features, own.columns];
        let Checkpoint { steps, parameters, best, history, memory, search } = from;
        let problem = if !parameters.has_shape(shape) || best.as_ref().is_some_and(|best| !best.has_shape(shape)) {
            Some(format!("its parameters are not {} x {}", shape[0], shape[1]))
        } else if history.train_loss.len() != steps {
            Some(format!("its history has {} steps", history.train_loss.len()))
        } else if search.is_some() != (self.config.descent().solver == Solver::Lbfgs) {
            Some("its descent.solver is another".to_owned())
        } else if search.as_ref().is_some_and(|search| !search.fits(shape)) {
            Some("its search has another shape".to_owned())
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(TrainError::Checkpoint { steps, problem });
        }
        engine.set(&parameters);
        engine.restore_optimizer_state(memory.as_ref()).map_err(|problem| TrainError::Checkpoint { steps, problem })?;
        for evaluation in &history.evaluations {
            self.early_stopping.judge(evaluation.step, evaluation.validation_loss);
        }
        self.steps = steps;
        self.history = history;
        self.best = best;
        self.last = steps.checked_sub(1).map(|step| (step, parameters));
        Ok(search)
    }

    /// All steps and evaluations that are left.
    fn descend(&mut self, engine: &mut dyn Engine, observer: &mut dyn Observer) -> Result<Ending, EngineError> {
        let descent = self.config.descent();
        let (steps_per_epoch, batch_size) = (self.steps_per_epoch, descent.batch_size);
        let taken = engine.rows() - dropped_rows(self.config, engine.rows());
        let mut made = self.steps % steps_per_epoch;
        let begun = self.steps / steps_per_epoch;
        let mut order = BatchOrder::new(shuffle(&descent.shuffle));
        // One by one: a million of them take seconds.
        for _ in 0..descent.shuffle.skip_epochs + begun {
            if observer.should_stop() {
                return Ok(Ending::Interrupted);
            }
            order.skip(1, engine.rows());
        }
        let whole = batch_size.min(taken);
        let mut batch = Vec::with_capacity(whole);
        let mut rates = LearningRates::new(descent, steps_per_epoch);
        for epoch in begun..descent.epochs {
            let rows = Arc::new(order.next_order(engine.rows()));
            engine.begin_epoch(&rows, made * batch_size..taken, batch_size)?;
            for first in (made..steps_per_epoch).map(|batch| batch * batch_size) {
                batch.clear();
                batch.extend(rows.range(first..taken.min(first + batch_size)));
                let step = self.steps;
                // One row left over would else move the weights as far as a whole batch does.
                let share = batch.len() as f64 / whole as f64;
                engine.step(&batch, share * rates.of(step))?;
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
                        memory: engine.optimizer_state(),
                        search: None,
                    });
                }
                if flow.is_break() {
                    return Ok(Ending::Interrupted);
                }
            }
            made = 0;
        }
        Ok(Ending::Completed)
    }

    /// Where the best weights are kept the last ones may be these, on the grid or off it. Who keeps
    /// the last has them evaluated anyway, and the history is the grid's.
    fn look_at_the_end(
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
        // A miss too many ends nothing any more.
        Ok(match self.evaluate(engine, step, step / self.steps_per_epoch, observer)? {
            Some(diverged @ Ending::Diverged { .. }) => diverged,
            _ => ending,
        })
    }

    /// One evaluation; gives how the training ends, where it does.
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
        observer.on_evaluation(&evaluation);
        let judgement = self.early_stopping.judge(step, validation.loss);
        if judgement == StoppingDecision::Improved && self.config.early_stopping().restore_best {
            self.best = Some(parameters.clone());
        }
        self.last = Some((step, parameters));
        Ok((judgement == StoppingDecision::Stop).then_some(Ending::StoppedEarly))
    }

    /// Adds the losses since the last time to the history, up to the first that is not finite,
    /// whose step it gives.
    fn read_losses(&mut self, engine: &mut dyn Engine) -> Result<Option<usize>, EngineError> {
        let losses = engine.losses()?;
        let finite = losses.iter().take_while(|loss| loss.is_finite()).count();
        self.history.train_loss.extend_from_slice(&losses[..finite]);
        Ok((finite < losses.len()).then_some(self.history.train_loss.len()))
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
