//! Mini-batch gradient descent of a linear classifier, on closed-form or autodiff gradients.
//!
//! [`train()`] walks the path that a checked [`TrainConfig`](chainrule_records::TrainConfig) describes and gives the model,
//! the history, and how it ended. It knows no clock and no console: an [`Observer`] is told what happens, and may stop it.

mod evaluate;
mod examples;
mod observer;
mod train;

pub use evaluate::{Metrics, evaluate};
pub use examples::{Examples, Expansion, label_order};
pub use observer::Observer;
pub use train::{DeviceLost, Ending, TrainError, Trained, steps_per_epoch, train};
