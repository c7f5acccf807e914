use chainrule_core::{Gradient, Parameters};

use crate::{OPTIMIZER_MISMATCH, OptimizerState};

/// An update rule other than plain gradient descent, with its state.
pub trait Optimizer: Send {
    /// Makes one update of the parameters. The gradient is that of J, so it includes the penalty.
    fn step(&mut self, learning_rate: f64, parameters: &mut Parameters, gradient: &Gradient);

    /// Returns the state, or `None` before the first step.
    fn state(&self) -> Option<OptimizerState>;

    /// Restores the state, for these parameters.
    ///
    /// # Errors
    /// If the state does not fit the optimizer. The message says why.
    fn restore_state(&mut self, state: &OptimizerState, parameters: &Parameters) -> Result<(), String>;
}

/// Restores the state of an optimizer, if there is one. Plain gradient descent has no state.
pub(crate) fn restore_state(
    optimizer: Option<&mut (dyn Optimizer + 'static)>,
    state: Option<&OptimizerState>,
    parameters: &Parameters,
) -> Result<(), String> {
    match (optimizer, state) {
        (Some(optimizer), Some(state)) => optimizer.restore_state(state, parameters),
        (None, None) => Ok(()),
        _ => Err(OPTIMIZER_MISMATCH.to_owned()),
    }
}
