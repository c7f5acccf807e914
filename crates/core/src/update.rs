//! The parameters of optimizers and schedules, with their defaults and ranges.

use crate::config::{DescentConfig, Optimizer, Schedule};
use crate::ranges::check_range;

/// An update rule with all its parameters. The defaults are Burn's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// `w - learning_rate g`
    Plain,
    /// Gradient descent with momentum.
    Momentum {
        /// The momentum coefficient.
        momentum: f64,
        /// Each step adds `1 - dampening` times the gradient to the velocity.
        dampening: f64,
        /// Whether it is Nesterov momentum.
        nesterov: bool,
    },
    /// Adam.
    Adam {
        /// The decay rate of the running mean of gradients.
        beta_1: f64,
        /// The decay rate of the running mean of squared gradients.
        beta_2: f64,
        /// The constant added to the denominator.
        epsilon: f64,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// As for Adam.
        beta_1: f64,
        /// As for Adam.
        beta_2: f64,
        /// As for Adam.
        epsilon: f64,
        /// Each step multiplies the parameters by `1 - learning_rate * decoupled_weight_decay`.
        decoupled_weight_decay: f64,
    },
    /// `RMSprop`.
    RmsProp {
        /// The decay rate of the running mean of squared gradients.
        alpha: f64,
        /// The momentum coefficient.
        momentum: f64,
        /// The constant added to the denominator.
        epsilon: f64,
    },
    /// `AdaGrad`.
    AdaGrad {
        /// The constant added to the denominator.
        epsilon: f64,
    },
}

/// A learning-rate schedule with all its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LearningRateSchedule {
    /// A constant learning rate.
    Constant,
    /// Linear change at every step, over all epochs.
    Linear {
        /// The learning rate at the end.
        final_learning_rate: f64,
    },
    /// Cosine decay (half a period) at every step, over all epochs.
    Cosine {
        /// The learning rate at the end.
        final_learning_rate: f64,
    },
    /// Reduction after every epoch.
    Exponential {
        /// The factor.
        gamma: f64,
    },
    /// Reduction after every `epochs` epochs.
    Step {
        /// The factor.
        gamma: f64,
        /// The number of epochs between two reductions.
        epochs: usize,
    },
}

impl DescentConfig {
    /// For error messages: the key to change for plain gradient descent.
    pub fn update_rule_key(&self) -> &'static str {
        if self.optimizer == Optimizer::Sgd { "descent.momentum" } else { "descent.optimizer" }
    }

    /// Returns the update rule. Missing parameters get Burn's defaults.
    pub fn update_rule(&self) -> UpdateRule {
        let (beta_1, beta_2) = (self.beta_1.unwrap_or(0.9), self.beta_2.unwrap_or(0.999));
        let epsilon = self.epsilon.unwrap_or(1e-5);
        match self.optimizer {
            Optimizer::Sgd => match self.momentum {
                None | Some(0.0) => UpdateRule::Plain,
                Some(momentum) => UpdateRule::Momentum {
                    momentum,
                    dampening: self.dampening.unwrap_or(0.1),
                    nesterov: self.nesterov.unwrap_or(false),
                },
            },
            Optimizer::Adam => UpdateRule::Adam { beta_1, beta_2, epsilon },
            Optimizer::AdamW => UpdateRule::AdamW {
                beta_1,
                beta_2,
                epsilon,
                decoupled_weight_decay: self.decoupled_weight_decay.unwrap_or(1e-4),
            },
            Optimizer::RmsProp => UpdateRule::RmsProp {
                alpha: self.alpha.unwrap_or(0.99),
                momentum: self.momentum.unwrap_or(0.9),
                epsilon,
            },
            Optimizer::AdaGrad => UpdateRule::AdaGrad { epsilon },
        }
    }

    /// Returns the schedule. Missing parameters default to a final rate of 0, a gamma of 0.9
    /// (`exponential`) or 0.1 (`step`), and 10 epochs a step.
    pub fn learning_rate_schedule(&self) -> LearningRateSchedule {
        let final_learning_rate = self.final_learning_rate.unwrap_or(0.0);
        match self.schedule {
            Schedule::Constant => LearningRateSchedule::Constant,
            Schedule::Linear => LearningRateSchedule::Linear { final_learning_rate },
            Schedule::Cosine => LearningRateSchedule::Cosine { final_learning_rate },
            Schedule::Exponential => LearningRateSchedule::Exponential { gamma: self.gamma.unwrap_or(0.9) },
            Schedule::Step => {
                LearningRateSchedule::Step { gamma: self.gamma.unwrap_or(0.1), epochs: self.step_epochs.unwrap_or(10) }
            }
        }
    }

    /// Fills in the missing parameters of [`DescentConfig::update_rule`] and
    /// [`DescentConfig::learning_rate_schedule`], so that a stored config is complete.
    pub(crate) fn fill_defaults(&mut self) {
        match self.update_rule() {
            UpdateRule::Plain => {}
            UpdateRule::Momentum { dampening, nesterov, .. } => {
                (self.dampening, self.nesterov) = (Some(dampening), Some(nesterov));
            }
            UpdateRule::Adam { beta_1, beta_2, epsilon } => {
                (self.beta_1, self.beta_2, self.epsilon) = (Some(beta_1), Some(beta_2), Some(epsilon));
            }
            UpdateRule::AdamW { beta_1, beta_2, epsilon, decoupled_weight_decay } => {
                (self.beta_1, self.beta_2, self.epsilon) = (Some(beta_1), Some(beta_2), Some(epsilon));
                self.decoupled_weight_decay = Some(decoupled_weight_decay);
            }
            UpdateRule::RmsProp { alpha, momentum, epsilon } => {
                (self.alpha, self.momentum, self.epsilon) = (Some(alpha), Some(momentum), Some(epsilon));
            }
            UpdateRule::AdaGrad { epsilon } => self.epsilon = Some(epsilon),
        }
        match self.learning_rate_schedule() {
            LearningRateSchedule::Constant => {}
            LearningRateSchedule::Linear { final_learning_rate }
            | LearningRateSchedule::Cosine { final_learning_rate } => {
                self.final_learning_rate = Some(final_learning_rate);
            }
            LearningRateSchedule::Exponential { gamma } => self.gamma = Some(gamma),
            LearningRateSchedule::Step { gamma, epochs } => {
                (self.gamma, self.step_epochs) = (Some(gamma), Some(epochs));
            }
        }
    }

    /// Returns an error for the first key that does not apply to the optimizer or the schedule, or
    /// that has an invalid value.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let is_sgd = self.optimizer == Optimizer::Sgd;
        let is_adam = matches!(self.optimizer, Optimizer::Adam | Optimizer::AdamW);
        let has_momentum = is_sgd && self.momentum.is_some_and(|momentum| momentum != 0.0);
        let has_final_rate = matches!(self.schedule, Schedule::Linear | Schedule::Cosine);
        let has_gamma = matches!(self.schedule, Schedule::Exponential | Schedule::Step);
        let keys = [
            (
                "descent.momentum",
                self.momentum.is_some(),
                is_sgd || self.optimizer == Optimizer::RmsProp,
                "sgd and rmsprop",
            ),
            ("descent.dampening", self.dampening.is_some(), has_momentum, "sgd with descent.momentum above 0"),
            ("descent.nesterov", self.nesterov.is_some(), has_momentum, "sgd with descent.momentum above 0"),
            ("descent.beta_1", self.beta_1.is_some(), is_adam, "adam and adamw"),
            ("descent.beta_2", self.beta_2.is_some(), is_adam, "adam and adamw"),
            ("descent.alpha", self.alpha.is_some(), self.optimizer == Optimizer::RmsProp, "rmsprop"),
            ("descent.epsilon", self.epsilon.is_some(), !is_sgd, "adam, adamw, rmsprop and adagrad"),
            (
                "descent.decoupled_weight_decay",
                self.decoupled_weight_decay.is_some(),
                self.optimizer == Optimizer::AdamW,
                "adamw; the penalty of J is objective.l2",
            ),
            (
                "descent.final_learning_rate",
                self.final_learning_rate.is_some(),
                has_final_rate,
                "schedule = \"linear\" or \"cosine\"",
            ),
            ("descent.gamma", self.gamma.is_some(), has_gamma, "schedule = \"exponential\" or \"step\""),
            ("descent.step_epochs", self.step_epochs.is_some(), self.schedule == Schedule::Step, "schedule = \"step\""),
        ];
        for (key, is_set, is_allowed, applies_to) in keys {
            if is_set && !is_allowed {
                return Err((key, format!("it applies only to {applies_to}; remove it, or use that")));
            }
        }
        let below_one = [
            ("descent.momentum", self.momentum),
            ("descent.beta_1", self.beta_1),
            ("descent.beta_2", self.beta_2),
            ("descent.alpha", self.alpha),
        ];
        for (key, value) in below_one {
            // Burn stores these values in f32. A value closer to 1 would be rounded to 1, and the
            // running mean would never change.
            if value.is_some_and(|value| !(0.0..=0.999_999).contains(&value)) {
                return Err((key, "expected a number from 0 to 0.999999".to_owned()));
            }
        }
        let ensure =
            |key, is_valid: bool, problem: &str| if is_valid { Ok(()) } else { Err((key, problem.to_owned())) };
        let is_within = |value: Option<f64>, smallest: f64, largest: f64| {
            value.is_none_or(|value| (smallest..=largest).contains(&value))
        };
        ensure("descent.dampening", is_within(self.dampening, 0.0, 1.0), "expected a number from 0 to 1")?;
        ensure("descent.epsilon", is_within(self.epsilon, 1e-12, 1.0), "expected a number from 1e-12 to 1")?;
        ensure(
            "descent.decoupled_weight_decay",
            is_within(self.decoupled_weight_decay, 0.0, 1e3),
            "expected a number from 0 (no decay) to 1000",
        )?;
        ensure("descent.gamma", is_within(self.gamma, 1e-6, 1.0), "expected a number from 1e-6 to 1")?;
        check_range("descent.step_epochs", self.step_epochs.unwrap_or(1) as u64)?;
        // Burn's schedules accept rates up to 1.
        let rate = self.learning_rate;
        ensure(
            "descent.learning_rate",
            self.schedule == Schedule::Constant || rate <= 1.0,
            "expected at most 1 with a descent.schedule other than \"constant\"",
        )?;
        let highest = if self.schedule == Schedule::Cosine { rate } else { 1.0 };
        ensure(
            "descent.final_learning_rate",
            is_within(self.final_learning_rate, 0.0, highest),
            if self.schedule == Schedule::Cosine {
                "expected a number from 0 to descent.learning_rate; only a linear schedule may increase"
            } else {
                "expected a number from 0 to 1"
            },
        )
    }
}
