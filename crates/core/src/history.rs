use serde::{Deserialize, Serialize};

/// Every step's training loss and every evaluation: `history.json`.
///
/// A step of L-BFGS is an iteration. Its batch are all training rows, so that step and epoch count
/// the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// For each step the mean cross-entropy of its batch before its update, without the penalty, in
    /// nats. Here and below each row's is times the weight of its class, where the run has
    /// `objective.class_weights`.
    pub train_loss: Vec<f64>,
    /// The evaluations, in order.
    pub evaluations: Vec<Evaluation>,
}

/// What the model was worth after a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The step after whose update this was measured, counted from 0 over all epochs.
    pub step: usize,
    /// The epoch of that step, from 0.
    pub epoch: usize,
    /// Mean cross-entropy over all validation rows, in nats.
    pub validation_loss: f64,
    /// Fraction of all training rows that are classified rightly.
    pub train_accuracy: f64,
    /// Fraction of all validation rows that are classified rightly.
    pub validation_accuracy: f64,
}

/// Mean cross-entropy in nats, without the penalty, each row's times the weight of its class; and
/// fractions classified rightly.
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
