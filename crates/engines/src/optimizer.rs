//! Burn's optimizers for the two parameters of a linear classifier, with a state that can be saved.
//!
//! The optimizers are built for one tensor (`AdamConfig::build`), not for a module
//! (`AdamConfig::init`). A module's optimizer record is loaded in the default float type on the
//! process's default device, so a resumed training in f64 would lose half the digits (Burn 0.22.1).

use burn::module::Param;
use burn::nn::Linear;
use burn::optim::momentum::{MomentumConfig, MomentumState};
use burn::optim::{
    AdaGrad, AdaGradConfig, AdaGradState, Adam, AdamConfig, AdamState, AdamW, AdamWConfig, AdamWState,
    AdaptiveMomentumState, CenteredState, LrDecayState, Optimizer as BurnOptimizer, RecordState, RmsProp,
    RmsPropConfig, RmsPropMomentumState, RmsPropState, Sgd, SgdConfig, SgdState, SquareAvgState, StateSink,
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use chainrule_core::UpdateRule;
use chainrule_models::Gradient;
use chainrule_solve::{OPTIMIZER_MISMATCH, OptimizerState};

/// Updates the parameters of a linear layer from their gradient.
pub(crate) trait Optimizer: Send {
    fn step(&mut self, learning_rate: f64, linear: &mut Linear, gradient: Gradient);

    /// Returns the state. Returns `None` for plain SGD, and before the first step.
    fn state(&self) -> Option<OptimizerState>;

    /// Restores the optimizer's state for the parameters of `linear`. The error says what is wrong
    /// with the state.
    fn restore_optimizer_state(&mut self, memory: Option<&OptimizerState>, linear: &Linear) -> Result<(), String>;
}

/// Creates the optimizer that a config names.
pub(crate) fn optimizer(update: UpdateRule) -> Box<dyn Optimizer> {
    // Burn stores these in f32.
    let f32 = |value: f64| value as f32;
    match update {
        UpdateRule::Plain => boxed(SgdConfig::new().build(), false),
        UpdateRule::Momentum { momentum, dampening, nesterov } => {
            let momentum =
                MomentumConfig::new().with_momentum(momentum).with_dampening(dampening).with_nesterov(nesterov);
            boxed(SgdConfig::new().with_momentum(Some(momentum)).build(), true)
        }
        UpdateRule::Adam { beta_1, beta_2, epsilon } => {
            let config = AdamConfig::new().with_beta_1(f32(beta_1)).with_beta_2(f32(beta_2));
            boxed(config.with_epsilon(f32(epsilon)).build(), true)
        }
        UpdateRule::AdamW { beta_1, beta_2, epsilon, decoupled_weight_decay } => {
            let config = AdamWConfig::new().with_beta_1(f32(beta_1)).with_beta_2(f32(beta_2));
            boxed(config.with_epsilon(f32(epsilon)).with_weight_decay(f32(decoupled_weight_decay)).build(), true)
        }
        UpdateRule::RmsProp { alpha, momentum, epsilon } => {
            let config = RmsPropConfig::new().with_alpha(f32(alpha)).with_momentum(f32(momentum));
            boxed(config.with_epsilon(f32(epsilon)).build(), true)
        }
        UpdateRule::AdaGrad { epsilon } => boxed(AdaGradConfig::new().with_epsilon(f32(epsilon)).build(), true),
    }
}

fn boxed<O: RestorableOptimizer>(rule: O, remembers: bool) -> Box<dyn Optimizer> {
    Box::new(StatefulOptimizer { rule, remembers, weight: None, bias: None })
}

/// An update rule with its state for each parameter.
struct StatefulOptimizer<O: BurnOptimizer> {
    rule: O,
    /// Whether the rule has a state.
    remembers: bool,
    weight: Option<O::State<2>>,
    bias: Option<O::State<1>>,
}

impl<O: RestorableOptimizer> Optimizer for StatefulOptimizer<O> {
    fn step(&mut self, learning_rate: f64, linear: &mut Linear, gradient: Gradient) {
        let rule = &self.rule;
        let (weight, state) = moved(rule, learning_rate, linear.weight.clone(), gradient.weight, self.weight.take());
        (linear.weight, self.weight) = (weight, state);
        linear.bias = linear.bias.take().map(|bias| {
            let (bias, state) = moved(rule, learning_rate, bias, gradient.bias, self.bias.take());
            self.bias = state;
            bias
        });
    }

    fn state(&self) -> Option<OptimizerState> {
        let mut sink = StateSink::default();
        if let Some(weight) = &self.weight {
            weight.state_flatten("weight", &mut sink);
        }
        if let Some(bias) = &self.bias {
            bias.state_flatten("bias", &mut sink);
        }
        let numbers = |data: TensorData| data.convert::<f64>().try_into_vec::<f64>().expect("converted just now");
        let memory = OptimizerState {
            tensors: sink.tensors.into_iter().map(|(name, data)| (name, numbers(data))).collect(),
            counts: sink.scalars.into_iter().filter_map(|(name, count)| Some((name, count.try_into().ok()?))).collect(),
        };
        (memory != OptimizerState::default()).then_some(memory)
    }

    fn restore_optimizer_state(&mut self, memory: Option<&OptimizerState>, linear: &Linear) -> Result<(), String> {
        let memory = match (memory, self.remembers) {
            (Some(memory), true) => memory,
            (None, false) => return Ok(()),
            _ => return Err(OPTIMIZER_MISMATCH.to_owned()),
        };
        self.weight = Some(restored::<O, 2>(memory, "weight", &linear.weight)?);
        self.bias = linear.bias.as_ref().map(|bias| restored::<O, 1>(memory, "bias", bias)).transpose()?;
        Ok(())
    }
}

/// Returns a parameter and its state after a step.
fn moved<O: BurnOptimizer, const D: usize>(
    rule: &O,
    learning_rate: f64,
    param: Param<Tensor<D>>,
    gradient: Tensor<D>,
    state: Option<O::State<D>>,
) -> (Param<Tensor<D>>, Option<O::State<D>>) {
    let mut after = None;
    let param = param.map(|old| {
        let is_leaf = old.is_require_grad();
        let (new, state) = rule.step(learning_rate, old.inner(), gradient, state);
        after = state;
        if is_leaf { Tensor::from_inner(new).require_grad() } else { new }
    });
    (param, after)
}

fn restored<O: RestorableOptimizer, const D: usize>(
    memory: &OptimizerState,
    prefix: &str,
    param: &Param<Tensor<D>>,
) -> Result<O::State<D>, String> {
    let like = param.val();
    let part = ParameterState { memory, prefix, shape: like.dims(), device: like.device(), dtype: like.dtype() };
    O::restored(&part).ok_or_else(|| format!("{OPTIMIZER_MISMATCH}, or its memory of the {prefix} has another size"))
}

/// The saved state of one parameter.
struct ParameterState<'a, const D: usize> {
    memory: &'a OptimizerState,
    prefix: &'a str,
    shape: [usize; D],
    device: Device,
    dtype: DType,
}

impl<const D: usize> ParameterState<'_, D> {
    /// Returns a tensor of the state with the parameter's shape, device and type. Returns `None` if
    /// the tensor is missing or has another size.
    fn tensor(&self, name: &str) -> Option<Tensor<D>> {
        let values = self.memory.tensors.get(&format!("{}.{name}", self.prefix))?;
        if values.len() != self.shape.iter().product::<usize>() {
            return None;
        }
        Some(Tensor::from_data(TensorData::new(values.clone(), self.shape), (&self.device, self.dtype)))
    }

    fn count(&self, name: &str) -> Option<usize> {
        // Burn uses the count as an i32 exponent.
        let count = *self.memory.counts.get(&format!("{}.{name}", self.prefix))?;
        i32::try_from(count).ok()?.try_into().ok()
    }
}

/// An update rule that can restore its state from a saved one.
trait RestorableOptimizer: BurnOptimizer {
    fn restored<const D: usize>(part: &ParameterState<'_, D>) -> Option<Self::State<D>>;
}

impl RestorableOptimizer for Sgd {
    fn restored<const D: usize>(part: &ParameterState<'_, D>) -> Option<SgdState<D>> {
        Some(SgdState::new(Some(MomentumState::new(part.tensor("momentum.velocity")?))))
    }
}

/// Restores the moments of Adam and `AdamW`.
fn moments<const D: usize>(part: &ParameterState<'_, D>) -> Option<AdaptiveMomentumState<D>> {
    let [first, second] = [part.tensor("momentum.moment_1")?, part.tensor("momentum.moment_2")?];
    Some(AdaptiveMomentumState::new(part.count("momentum.time")?, first, second))
}

impl RestorableOptimizer for Adam {
    fn restored<const D: usize>(part: &ParameterState<'_, D>) -> Option<AdamState<D>> {
        Some(AdamState::new(moments(part)?))
    }
}

impl RestorableOptimizer for AdamW {
    fn restored<const D: usize>(part: &ParameterState<'_, D>) -> Option<AdamWState<D>> {
        Some(AdamWState::new(moments(part)?))
    }
}

impl RestorableOptimizer for RmsProp {
    fn restored<const D: usize>(part: &ParameterState<'_, D>) -> Option<RmsPropState<D>> {
        let square = SquareAvgState::new(part.tensor("square_avg.square_avg")?);
        let centered = CenteredState::new(None, part.tensor("centered.avg")?);
        // Without momentum there is no buffer.
        Some(RmsPropState::new(square, centered, part.tensor("momentum.buf").map(RmsPropMomentumState::new)))
    }
}

impl RestorableOptimizer for AdaGrad {
    fn restored<const D: usize>(part: &ParameterState<'_, D>) -> Option<AdaGradState<D>> {
        Some(AdaGradState::new(LrDecayState::new(part.count("lr_decay.time")?, part.tensor("lr_decay.sum")?)))
    }
}
