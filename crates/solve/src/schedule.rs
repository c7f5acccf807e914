//! The learning rate of every step, by the formulas of Burn's schedules and with Burn's rounding.

use std::f64::consts::PI;

use chainrule_core::{DescentConfig, LearningRateSchedule};

/// Computes the learning rates of a training's steps.
pub(crate) struct LearningRates {
    learning_rate_schedule: LearningRateSchedule,
    initial_rate: f64,
    /// The number of steps in all epochs.
    steps: usize,
    steps_per_epoch: usize,
    /// The epoch of the last requested step, and its learning rate. Only exponential decay uses it.
    last_decay: (usize, f64),
}

impl LearningRates {
    pub(crate) fn new(descent: &DescentConfig, steps_per_epoch: usize) -> Self {
        let (learning_rate_schedule, initial_rate) = (descent.learning_rate_schedule(), descent.learning_rate);
        // Burn's exponential schedule starts at `initial_rate / gamma` and multiplies by gamma
        // before the first step. This gives the same rounding.
        let first_rate = if let LearningRateSchedule::Exponential { gamma } = learning_rate_schedule {
            initial_rate / gamma * gamma
        } else {
            initial_rate
        };
        let steps = descent.epochs.saturating_mul(steps_per_epoch);
        Self { learning_rate_schedule, initial_rate, steps, steps_per_epoch, last_decay: (0, first_rate) }
    }

    /// Returns the learning rate of a step, counted from 0 over all epochs. Steps must be requested
    /// in order.
    pub(crate) fn at_step(&mut self, step: usize) -> f64 {
        let (initial_rate, epoch) = (self.initial_rate, step / self.steps_per_epoch);
        match self.learning_rate_schedule {
            LearningRateSchedule::Constant => initial_rate,
            LearningRateSchedule::Linear { final_learning_rate: final_rate } => {
                final_rate - (final_rate - initial_rate) / self.steps as f64 * (self.steps - step) as f64
            }
            LearningRateSchedule::Cosine { final_learning_rate: final_rate } => {
                final_rate + 0.5 * (initial_rate - final_rate) * (1.0 + (step as f64 / self.steps as f64 * PI).cos())
            }
            LearningRateSchedule::Exponential { gamma } => {
                let (last_epoch, last_rate) = self.last_decay;
                self.last_decay = (epoch, (last_epoch..epoch).fold(last_rate, |rate, _| rate * gamma));
                self.last_decay.1
            }
            LearningRateSchedule::Step { gamma, epochs } => initial_rate * gamma.powi((epoch / epochs) as i32),
        }
    }
}
