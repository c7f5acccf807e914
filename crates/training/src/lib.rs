//! Mini-batch gradient descent of a linear classifier, or L-BFGS to the certified minimum, on closed-form or autodiff gradients.
//!
//! [`train()`] walks the path that a checked [`TrainConfig`](chainrule_records::TrainConfig) describes and gives the model,
//! the history, and how it ended; [`train_fused()`] walks it by kernels that do a step in one pass, [`train_streamed()`] on rows that stay in
//! their file, too, [`train_on_device()`] by a GPU's own, in two launches a step, and [`find_optimum()`] goes by them to the minimum and gives nothing else. A
//! [`Predictor`] asks a model that was trained. It knows no clock and no console: an [`Observer`] is
//! told what happens, and may stop it.

mod bound;
mod checkpoint;
mod class_weights;
mod coordinates;
mod device;
mod engine;
mod examples;
mod fused;
mod host;
mod inference;
mod lbfgs;
mod observer;
mod optimizer;
mod optimum;
mod pace;
mod prepared;
mod standardize;
mod stream;
mod tensors;
mod train;

pub use checkpoint::Checkpoint;
pub use class_weights::class_weights;
pub use examples::{Examples, Expansion, fused_rows, label_order};
pub use fused::Source;
pub use inference::{Prediction, Predictor, RowError};
pub use observer::Observer;
pub use optimum::{Iterate, Optimum, find_optimum};
pub use prepared::{Bytes, Chosen, Prepared, float_type};
pub use standardize::standardization;
pub use stream::Stream;
pub use tensors::{evaluate, with_parameters};
pub use train::{
    DeviceLost, Ending, TrainError, Trained, dropped_rows, most_steps, steps_per_epoch, train, train_fused,
    train_on_device, train_streamed,
};

/// The version of all that decides a training's bits, here and in the crates below: kernels, closed forms, optimizers,
/// the order of the rows, what features are made by. A training goes on, and a finished one is taken for what would be
/// made, only where it is the same. Small trainings whose bits are noted (`tests/fixtures/numerics.json`) fail until it
/// is raised.
pub const NUMERICS: u32 = 1;

/// What a model is worth on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Mean cross-entropy in nats, without the penalty; in a training each row's times the weight of its class.
    pub loss: f64,
    /// Fraction of rows classified rightly.
    pub accuracy: f64,
}
