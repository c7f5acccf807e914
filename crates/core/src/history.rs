use serde::{Deserialize, Serialize};

/// The training loss of every step, and every evaluation: `history.json`.
///
/// A step of L-BFGS is one iteration. Its batch is the whole training set, so step and epoch are
/// equal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// For each step, the mean cross-entropy of its batch before the update, in nats, without the
    /// penalty. If the run has `objective.class_weights`, each row's loss here and below is
    /// multiplied by its class weight.
    pub train_loss: Vec<f64>,
    /// The evaluations, in order.
    pub evaluations: Vec<Evaluation>,
}

/// The metrics after one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The step whose update preceded this evaluation, counted from 0 over all epochs.
    pub step: usize,
    /// The epoch of that step, counted from 0.
    pub epoch: usize,
    /// Mean cross-entropy over all validation rows, in nats.
    pub validation_loss: f64,
    /// The fraction of all training rows that are classified correctly.
    pub train_accuracy: f64,
    /// The fraction of all validation rows that are classified correctly.
    pub validation_accuracy: f64,
}

/// The final metrics. A loss is the mean cross-entropy in nats, without the penalty, and with class
/// weights. An accuracy is the fraction classified correctly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinalMetrics {
    /// Over all training rows.
    pub train_loss: f64,
    /// Over all validation rows.
    pub validation_loss: f64,
    /// Over all training rows.
    pub train_accuracy: f64,
    /// Over all validation rows.
    pub validation_accuracy: f64,
}
