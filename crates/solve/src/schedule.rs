//! The learning rate of every step, by the formulas of Burn's schedules and with Burn's rounding.

use std::f64::consts::PI;

use chainrule_core::{DescentConfig, LearningRateSchedule};

/// Computes the learning rates of a training's steps.
pub(crate) struct LearningRates {
    learning_rate_schedule: LearningRateSchedule,
    rate: f64,
    /// The number of steps in all epochs.
    steps: usize,
    steps_per_epoch: usize,
    /// For exponential decay: the last requested epoch, and its rate.
    decayed: (usize, f64),
}

impl LearningRates {
    pub(crate) fn new(descent: &DescentConfig, steps_per_epoch: usize) -> Self {
        let (learning_rate_schedule, rate) = (descent.learning_rate_schedule(), descent.learning_rate);
        let first = if let LearningRateSchedule::Exponential { gamma } = learning_rate_schedule {
            rate / gamma * gamma
        } else {
            rate
        };
        let steps = descent.epochs.saturating_mul(steps_per_epoch);
        Self { learning_rate_schedule, rate, steps, steps_per_epoch, decayed: (0, first) }
    }

    /// Returns the learning rate of a step, counted from 0 over all epochs. Steps must be requested
    /// in order.
    pub(crate) fn of(&mut self, step: usize) -> f64 {
        let (rate, epoch) = (self.rate, step / self.steps_per_epoch);
        match self.learning_rate_schedule {
            LearningRateSchedule::Constant => rate,
            LearningRateSchedule::Linear { final_learning_rate: last } => {
                last - (last - rate) / self.steps as f64 * (self.steps - step) as f64
            }
            LearningRateSchedule::Cosine { final_learning_rate: last } => {
                last + 0.5 * (rate - last) * (1.0 + (step as f64 / self.steps as f64 * PI).cos())
            }
            LearningRateSchedule::Exponential { gamma } => {
                let (of, before) = self.decayed;
                self.decayed = (epoch, (of..epoch).fold(before, |rate, _| rate * gamma));
                self.decayed.1
            }
            LearningRateSchedule::Step { gamma, epochs } => rate * gamma.powi((epoch / epochs) as i32),
        }
    }
}
