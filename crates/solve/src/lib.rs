//! A linear classifier's training: mini-batch gradient descent, or L-BFGS to the certified minimum.
//!
//! [`train()`] walks the path that a checked [`TrainConfig`](chainrule_core::TrainConfig) describes
//! over an [`Engine`], which computes, and gives the parameters, the history, and how it ended. Two
//! engines are here: [`train_fused()`] goes by kernels that do a step in one pass, on rows that
//! stay in their file, too, and [`train_by_loops()`] by plain loops on any rows. [`find_optimum()`]
//! goes to the minimum by the kernels and gives nothing else. A [`Predictor`] asks a model that was
//! trained. It knows no Burn, no clock and no console: an [`Observer`] is told what happens, and
//! may stop it.

mod bound;
mod checkpoint;
mod class_weights;
mod coordinates;
mod engine;
mod fused;
mod fused_rows;
mod host;
mod inference;
mod lbfgs;
mod learnt;
mod loops;
mod observer;
mod optimum;
mod schedule;
mod train;

pub use checkpoint::{ANOTHER_OPTIMIZER, Checkpoint, OptimizerState};
pub use class_weights::{class_names, class_weights};
pub use engine::{Engine, EngineError, EvaluationResult};
pub use fused_rows::{FusedRows, scale_and_offset};
pub use host::GradientSums;
pub use inference::{Prediction, Predictor, RowError};
pub use learnt::TrainingStatistics;
pub use loops::train_by_loops;
pub use observer::{Observer, Progress};
pub use optimum::{Iterate, Optimum, find_optimum};
pub use train::{
    DeviceLost, Ending, TrainError, Trained, dropped_rows, most_steps, steps_per_epoch, train, train_fused,
    within_kernels,
};

/// The version of all that decides a training's bits, here and in the crates below: kernels, closed
/// forms, optimizers, the order of the rows, what features are made by. A training goes on, and a
/// finished one is taken for what would be made, only where it is the same. Small trainings whose
/// bits are noted (`tests/fixtures/numerics.json`) fail until it is raised.
pub const NUMERICS: u32 = 1;

/// What a model is worth on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Mean cross-entropy in nats, without the penalty; in a training each row's times the weight
    /// of its class.
    pub loss: f64,
    /// Fraction of rows classified rightly.
    pub accuracy: f64,
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
