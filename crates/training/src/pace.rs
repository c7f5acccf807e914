//! The learning rate of every step, by Burn's schedules.

use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::exponential::ExponentialLrSchedulerConfig;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::step::StepLrSchedulerConfig;
use chainrule_records::{DescentConfig, Pace};

/// Gives the learning rates one after the other.
pub(crate) struct LearningRates {
    /// Nothing where the rate never moves.
    schedule: Option<ModuleLrScheduler>,
    /// Steps from one move to the next: 1, or those of an epoch.
    every: usize,
    rate: f64,
}

impl LearningRates {
    /// Those of the steps from `made` on.
    ///
    /// They follow from the number of steps, so that a checkpoint needs nothing else: Burn's schedule is run to there.
    pub(crate) fn new(descent: &DescentConfig, steps_per_epoch: usize, made: usize) -> Self {
        let (rate, steps) = (descent.learning_rate, descent.epochs.saturating_mul(steps_per_epoch));
        let checked = "checked with the config";
        let (schedule, every) = match descent.pace() {
            Pace::Constant => (None, 1),
            Pace::Linear { final_learning_rate } => {
                (Some(LinearLrSchedulerConfig::new(rate, final_learning_rate, steps).init().expect(checked)), 1)
            }
            Pace::Cosine { final_learning_rate } => {
                let config = CosineAnnealingLrSchedulerConfig::new(rate, steps).with_min_lr(final_learning_rate);
                (Some(config.init().expect(checked)), 1)
            }
            Pace::Exponential { gamma } => {
                (Some(ExponentialLrSchedulerConfig::new(rate, gamma).init().expect(checked)), steps_per_epoch)
            }
            Pace::Step { gamma, epochs } => {
                let config = StepLrSchedulerConfig::new(rate, epochs).with_gamma(gamma);
                (Some(config.init().expect(checked)), steps_per_epoch)
            }
        };
        let mut rates = Self { schedule, every, rate };
        // As often as it moved before the step `made`; where that one is a move of its own, the call for it makes it.
        for _ in 0..made.div_ceil(rates.every) {
            rates.moves();
        }
        rates
    }

    /// That of this step, the next one.
    pub(crate) fn of(&mut self, step: usize) -> f64 {
        if step.is_multiple_of(self.every) {
            self.moves();
        }
        self.rate
    }

    fn moves(&mut self) {
        if let Some(schedule) = &mut self.schedule {
            self.rate = schedule.step().base();
        }
    }
}
