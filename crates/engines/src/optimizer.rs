//! Burn's optimizers for the weight and bias of a linear classifier. Their state can be saved.
//!
//! The optimizers are built for one tensor (`AdamConfig::build`), not for a module
//! (`AdamConfig::init`). Burn 0.22.1 loads a module's optimizer record in the default float type on
//! the process's default device, so a resumed training in f64 would lose half the digits.

use burn::module::Param;
use burn::nn::Linear;
use burn::optim::momentum::{MomentumConfig, MomentumState};
use burn::optim::{
    AdaGrad, AdaGradConfig, AdaGradState, Adam, AdamConfig, AdamState, AdamW, AdamWConfig, AdamWState,
    AdaptiveMomentumState, CenteredState, LrDecayState, Optimizer as BurnOptimizer, RecordState, RmsProp,
    RmsPropConfig, RmsPropMomentumState, RmsPropState, Sgd, SgdConfig, SgdState, SquareAvgState, StateSink,
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use chainrule_core::{Parameters, UpdateRule};
use chainrule_models::Gradient;
use chainrule_solve::{OPTIMIZER_MISMATCH, OptimizerState};

/// One of Burn's optimizers, for parameters on the host. The fused kernels train with it.
pub(crate) struct HostOptimizer {
    optimizer: Box<dyn Optimizer>,
    device: Device,
    dtype: DType,
}

impl HostOptimizer {
    pub(crate) fn new(update: UpdateRule, device: &Device, dtype: DType) -> Self {
        Self { optimizer: optimizer(update), device: device.clone(), dtype }
    }

    fn tensor<const D: usize>(&self, values: &[f64], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), (&self.device, self.dtype))
    }

    fn linear(&self, parameters: &Parameters) -> Linear {
        let (d, k) = (parameters.n_features, parameters.columns);
        Linear {
            weight: Param::from_tensor(self.tensor(&parameters.weight, [d, k])),
            bias: Some(Param::from_tensor(self.tensor(&parameters.bias, [k]))),
        }
    }
}

impl chainrule_solve::Optimizer for HostOptimizer {
    fn step(&mut self, learning_rate: f64, parameters: &mut Parameters, gradient: &chainrule_core::Gradient) {
        let (d, k) = (parameters.n_features, parameters.columns);
        let mut linear = self.linear(parameters);
        let gradient =
            Gradient { weight: self.tensor(&gradient.weight, [d, k]), bias: self.tensor(&gradient.bias, [k]) };
        self.optimizer.step(learning_rate, &mut linear, gradient);
        let on_this_processor = "the device is this processor";
        parameters.weight = linear.weight.val().try_into_vec_as().expect(on_this_processor);
        let bias = linear.bias.expect("set above").val();
        parameters.bias = bias.try_into_vec_as().expect(on_this_processor);
    }

    fn state(&self) -> Option<OptimizerState> {
        self.optimizer.state()
    }

    fn restore_state(&mut self, state: &OptimizerState, parameters: &Parameters) -> Result<(), String> {
        let linear = self.linear(parameters);
        self.optimizer.restore_state(Some(state), &linear)
    }
}

/// Updates the parameters of a linear layer from their gradient.
pub(crate) trait Optimizer: Send {
    /// Makes one update of `linear`.
    fn step(&mut self, learning_rate: f64, linear: &mut Linear, gradient: Gradient);

    /// Returns the state, or `None` for plain SGD and before the first step.
    fn state(&self) -> Option<OptimizerState>;

    /// Restores the optimizer's state for the parameters of `linear`.
    ///
    /// # Errors
    /// If the state does not fit the optimizer. The message says why.
    fn restore_state(&mut self, state: Option<&OptimizerState>, linear: &Linear) -> Result<(), String>;
}

/// Creates the optimizer for an update rule.
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

fn boxed<O: RestorableOptimizer>(rule: O, has_state: bool) -> Box<dyn Optimizer> {
    Box::new(StatefulOptimizer { rule, has_state, weight_state: None, bias_state: None })
}

/// An update rule with its state for each parameter.
struct StatefulOptimizer<O: BurnOptimizer> {
    rule: O,
    /// Whether the rule has a state.
    has_state: bool,
    weight_state: Option<O::State<2>>,
    bias_state: Option<O::State<1>>,
}

impl<O: RestorableOptimizer> Optimizer for StatefulOptimizer<O> {
    fn step(&mut self, learning_rate: f64, linear: &mut Linear, gradient: Gradient) {
        let rule = &self.rule;
        (linear.weight, self.weight_state) =
            update(rule, learning_rate, linear.weight.clone(), gradient.weight, self.weight_state.take());
        linear.bias = linear.bias.take().map(|bias| {
            let (bias, state) = update(rule, learning_rate, bias, gradient.bias, self.bias_state.take());
            self.bias_state = state;
            bias
        });
    }

    fn state(&self) -> Option<OptimizerState> {
        let mut sink = StateSink::default();
        if let Some(state) = &self.weight_state {
            state.state_flatten("weight", &mut sink);
        }
        if let Some(state) = &self.bias_state {
            state.state_flatten("bias", &mut sink);
        }
        let numbers = |data: TensorData| data.convert::<f64>().try_into_vec::<f64>().expect("converted to f64");
        let state = OptimizerState {
            tensors: sink.tensors.into_iter().map(|(name, data)| (name, numbers(data))).collect(),
            counts: sink.scalars.into_iter().filter_map(|(name, count)| Some((name, count.try_into().ok()?))).collect(),
        };
        (state != OptimizerState::default()).then_some(state)
    }

    fn restore_state(&mut self, state: Option<&OptimizerState>, linear: &Linear) -> Result<(), String> {
        let state = match (state, self.has_state) {
            (Some(state), true) => state,
            (None, false) => return Ok(()),
            _ => return Err(OPTIMIZER_MISMATCH.to_owned()),
        };
        self.weight_state = Some(restore::<O, 2>(state, "weight", &linear.weight)?);
        self.bias_state = linear.bias.as_ref().map(|bias| restore::<O, 1>(state, "bias", bias)).transpose()?;
        Ok(())
    }
}

/// Returns a parameter and its state after a step.
fn update<O: BurnOptimizer, const D: usize>(
    rule: &O,
    learning_rate: f64,
    param: Param<Tensor<D>>,
    gradient: Tensor<D>,
    state: Option<O::State<D>>,
) -> (Param<Tensor<D>>, Option<O::State<D>>) {
    let mut next_state = None;
    let param = param.map(|old| {
        let is_leaf = old.is_require_grad();
        let (new, state) = rule.step(learning_rate, old.inner(), gradient, state);
        next_state = state;
        if is_leaf { Tensor::from_inner(new).require_grad() } else { new }
    });
    (param, next_state)
}

/// Restores the saved state of one parameter.
fn restore<O: RestorableOptimizer, const D: usize>(
    state: &OptimizerState,
    prefix: &str,
    param: &Param<Tensor<D>>,
) -> Result<O::State<D>, String> {
    let tensor = param.val();
    let saved = ParameterState { state, prefix, shape: tensor.dims(), device: tensor.device(), dtype: tensor.dtype() };
    O::restore(&saved).ok_or_else(|| format!("{OPTIMIZER_MISMATCH}, or its state of the {prefix} has another size"))
}

/// The saved state of one parameter.
struct ParameterState<'a, const D: usize> {
    state: &'a OptimizerState,
    prefix: &'a str,
    shape: [usize; D],
    device: Device,
    dtype: DType,
}

impl<const D: usize> ParameterState<'_, D> {
    /// Returns a tensor of the state with the parameter's shape, device and type. Returns `None` if
    /// the tensor is missing or has another size.
    fn tensor(&self, name: &str) -> Option<Tensor<D>> {
        let values = self.state.tensors.get(&format!("{}.{name}", self.prefix))?;
        if values.len() != self.shape.iter().product::<usize>() {
            return None;
        }
        Some(Tensor::from_data(TensorData::new(values.clone(), self.shape), (&self.device, self.dtype)))
    }

    /// Returns a step counter of the state.
    fn count(&self, name: &str) -> Option<usize> {
        // Burn uses the count as an i32 exponent.
        let count = *self.state.counts.get(&format!("{}.{name}", self.prefix))?;
        i32::try_from(count).ok()?.try_into().ok()
    }
}

/// A Burn optimizer whose state can be restored from a saved one.
trait RestorableOptimizer: BurnOptimizer {
    /// Returns `None` if a tensor or a counter is missing or does not fit.
    fn restore<const D: usize>(saved: &ParameterState<'_, D>) -> Option<Self::State<D>>;
}

impl RestorableOptimizer for Sgd {
    fn restore<const D: usize>(saved: &ParameterState<'_, D>) -> Option<SgdState<D>> {
        Some(SgdState::new(Some(MomentumState::new(saved.tensor("momentum.velocity")?))))
    }
}

/// Restores the moments of Adam or `AdamW`.
fn restore_moments<const D: usize>(saved: &ParameterState<'_, D>) -> Option<AdaptiveMomentumState<D>> {
    let [first, second] = [saved.tensor("momentum.moment_1")?, saved.tensor("momentum.moment_2")?];
    Some(AdaptiveMomentumState::new(saved.count("momentum.time")?, first, second))
}

impl RestorableOptimizer for Adam {
    fn restore<const D: usize>(saved: &ParameterState<'_, D>) -> Option<AdamState<D>> {
        Some(AdamState::new(restore_moments(saved)?))
    }
}

impl RestorableOptimizer for AdamW {
    fn restore<const D: usize>(saved: &ParameterState<'_, D>) -> Option<AdamWState<D>> {
        Some(AdamWState::new(restore_moments(saved)?))
    }
}

impl RestorableOptimizer for RmsProp {
    fn restore<const D: usize>(saved: &ParameterState<'_, D>) -> Option<RmsPropState<D>> {
        let square = SquareAvgState::new(saved.tensor("square_avg.square_avg")?);
        let centered = CenteredState::new(None, saved.tensor("centered.avg")?);
        // Without momentum there is no buffer.
        Some(RmsPropState::new(square, centered, saved.tensor("momentum.buf").map(RmsPropMomentumState::new)))
    }
}

impl RestorableOptimizer for AdaGrad {
    fn restore<const D: usize>(saved: &ParameterState<'_, D>) -> Option<AdaGradState<D>> {
        Some(AdaGradState::new(LrDecayState::new(saved.count("lr_decay.time")?, saved.tensor("lr_decay.sum")?)))
    }
}
