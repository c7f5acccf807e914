//! Training of a linear classifier: mini-batch gradient descent, or L-BFGS and Newton's method with
//! a proven distance to the minimum.
//!
//! - [`train()`] runs the training that a checked [`TrainConfig`](chainrule_core::TrainConfig)
//!   describes on an [`Engine`]. It returns the parameters, the history, and the reason why the
//!   training ended.
//! - [`train_fused()`] uses the fused kernels, which do a step in one pass. Rows may stay in their
//!   file.
//! - [`train_by_loops()`] uses plain loops, on any rows.
//! - [`find_optimum()`] minimises the objective by L-BFGS or Newton's method with the fused
//!   kernels, without evaluations.
//! - [`train_path()`] finds the minima for several penalties, each from the one before it.
//! - [`constant_model()`] and [`further_decrease()`] judge a result: is it better than no model,
//!   and is it near the minimum?
//! - [`summarize()`] computes the coefficients of a model with their errors.
//! - A [`Predictor`] predicts with a trained model, and [explains](Predictor::explain) what it
//!   predicts. A [`RawRowPredictor`] takes structs and maps.
//! - An [`Observer`] receives the events of a training and may stop it.
//!
//! This crate uses no tensor library, no clock and no console, and it opens no files.

mod baseline;
mod bound;
mod checkpoint;
mod class_weights;
mod coordinates;
mod engine;
mod explanation;
mod further;
mod fused;
mod fused_rows;
mod host;
mod inference;
mod lbfgs;
mod linear_algebra;
mod loops;
mod newton;
mod observer;
mod optimizer;
mod optimum;
mod path;
mod predictions;
mod raw_rows;
mod schedule;
mod slice;
mod summary;
mod train;
mod training_statistics;
mod whitening;

pub use baseline::constant_model;
pub use checkpoint::{Checkpoint, OPTIMIZER_MISMATCH, OptimizerState};
pub use class_weights::{class_names, class_weights};
pub use engine::{Engine, EngineError, EvaluationResult};
pub use explanation::{Explanation, RowGradient};
pub use further::{FurtherDecrease, further_decrease};
pub use fused_rows::FusedRows;
pub use host::GradientSums;
pub use inference::{Prediction, Predictor, RowError};
pub use loops::train_by_loops;
pub use observer::{Observer, Progress};
pub use optimizer::Optimizer;
pub use optimum::{Iterate, Optimum, find_optimum};
pub use path::train_path;
pub use predictions::{
    Answer, Answers, BatchError, BatchPredictor, Predictions, RowPrediction, RowsError, RowsPredictor, Score,
};
pub use raw_rows::{RawRowPrediction, RawRowPredictor};
pub use slice::LossSlice;
pub use summary::{
    Coefficient, ErrorKind, ErrorSource, EstimateKind, LikelihoodRatio, ModelSummary, SummaryError, SummaryModel,
    SummaryOptions, VarianceInflation, summarize,
};
pub use train::{
    Ending, PartialResults, TrainError, Trained, check_kernel_support, check_weights, dropped_rows, max_steps,
    steps_per_epoch, train, train_fused, train_fused_with,
};
pub use training_statistics::TrainingStatistics;

/// The version of all code that determines a training's bits: kernels, closed forms, optimizers,
/// the order of the rows, and preprocessing. The code is in this crate and in the crates that it
/// uses. A training resumes, and a finished run is reused, only if the version is the same. If the
/// bits of the small trainings in `tests/fixtures/numerics.json` change, a test fails until this
/// number is raised.
pub const NUMERICS_VERSION: u32 = 2;

/// The maximum number of weights and biases of Newton's method. The Hessian has the square of this
/// number of entries.
pub const MAX_NEWTON_PARAMETERS: usize = 1000;

/// The metrics on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// The mean cross-entropy in nats, without the penalty. In a training, each row's loss is
    /// multiplied by its class weight.
    pub loss: f64,
    /// The fraction of rows classified correctly.
    pub accuracy: f64,
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
