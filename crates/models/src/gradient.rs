//! The gradient of `J = C + lambda R`, by closed form and by autodiff.

use burn::nn::Linear;
use burn::optim::GradientsParams;
use burn::tensor::module::linear;
use burn::tensor::{FloatDType, Tensor};

use crate::{Classifier, L2, Targets};

/// The gradient of a linear classifier: `dJ/dw` and `dJ/db`. The tensors are not part of an
/// autodiff graph.
#[derive(Clone, Debug)]
pub struct Gradient {
    /// `dJ/dw`, `[d, k]`
    pub weight: Tensor<2>,
    /// `dJ/db`, `[k]`
    pub bias: Tensor<1>,
}

/// The cost and the gradient of a batch, for one training step.
#[derive(Clone, Debug)]
pub struct CostAndGradient {
    /// Each row's cross-entropy times its weight, `[n]`. If there are many rows, sum these in f64:
    /// the tensors' float type may lose digits.
    pub losses: Tensor<1>,
    /// The mean of `losses`, the cost C of the batch, `[1]`, without the penalty.
    pub cross_entropy: Tensor<1>,
    /// The gradient of `J`, including the penalty.
    pub gradient: Gradient,
}

impl Gradient {
    /// Converts the gradient to the type of Burn's optimizers.
    pub fn into_params(self, linear: &Linear) -> GradientsParams {
        clear_parameter_list(&linear.weight.val());
        let mut params = GradientsParams::new();
        params.register(linear.weight.id, self.weight);
        if let Some(bias) = &linear.bias {
            params.register(bias.id, self.bias);
        }
        params
    }
}

/// Clears Burn's list of parameters, by a backward pass through a single number.
///
/// Until the next backward pass, Burn (0.22.1) keeps a list of all parameters that require a
/// gradient, including old ones. Training by closed forms has no backward pass, so memory would
/// grow by about 2.5 kB per step.
fn clear_parameter_list(weight: &Tensor<2>) {
    if weight.is_require_grad() {
        drop(Tensor::<1>::zeros([1], &weight.device()).require_grad().backward());
    }
}

/// Returns cross-entropy and gradient by the closed forms: Eqs. (9), (10), (19), (20) and (23), and
/// Eq. (25) if the rows have weights.
///
#[doc = include_str!("../formulas/eq-9.html")]
///
#[doc = include_str!("../formulas/eq-10.html")]
///
#[doc = include_str!("../formulas/eq-19.html")]
///
#[doc = include_str!("../formulas/eq-20.html")]
///
#[doc = include_str!("../formulas/eq-23.html")]
///
/// With row weights:
///
#[doc = include_str!("../formulas/eq-25.html")]
///
/// # Shapes
/// - features `[n, d]`, targets `[n]`: labels, or [`Targets`] with weights
pub fn closed_form<M: Classifier>(
    model: &M,
    features: Tensor<2>,
    targets: impl Into<Targets>,
    l2: L2,
) -> CostAndGradient {
    let [n_rows, _] = features.dims();
    let targets = targets.into();
    let Linear { weight, bias } = model.linear();
    // The parameters have autodiff, because Burn's optimizers need it. Their inner tensors record
    // no graph.
    let bias = bias.as_ref().map(|bias| bias.val().inner());
    let logits = linear(features.clone(), weight.val().inner(), bias);
    let losses = targets.losses(model.cross_entropy(logits.clone(), targets.labels.clone()));
    // Divide by n before the product, because the residual `[n, k]` is smaller than the gradient
    // `[d, k]`.
    let residual = targets.weighted(model.residual(logits, targets.labels.clone())) / n_rows as f64;
    let gradient =
        Gradient { weight: features.transpose().matmul(residual.clone()), bias: residual.sum_dim(0).squeeze_dim(0) };
    let cross_entropy = losses.clone().mean();
    CostAndGradient { losses, cross_entropy, gradient: l2.add_to(gradient, model.linear()) }
}

/// Returns the objective `J = C + lambda R`, `[1]`. Features and row weights are cast to the float
/// type of the model's parameters. Finite differences use this function.
///
/// # Shapes
/// - features `[n, d]`, targets `[n]`: labels, or [`Targets`] with weights
pub fn objective<M: Classifier>(model: &M, features: Tensor<2>, targets: impl Into<Targets>, l2: L2) -> Tensor<1> {
    let dtype = FloatDType::from(model.linear().weight.val().dtype());
    let Targets { labels, weights } = targets.into();
    let targets = Targets { labels, weights: weights.map(|weights| weights.cast(dtype)) };
    let logits = model.scores(features.cast(dtype));
    let losses = targets.losses(model.cross_entropy(logits, targets.labels.clone()));
    losses.mean() + l2.penalty(model.linear())
}

/// Returns cross-entropy and gradient by Burn's autodiff, through the loss and the penalty.
///
/// # Shapes
/// - features `[n, d]`, targets `[n]`: labels, or [`Targets`] with weights
///
/// # Panics
/// If the model's parameters do not require gradients: see `Module::train`.
pub fn autodiff<M: Classifier>(model: &M, features: Tensor<2>, targets: impl Into<Targets>, l2: L2) -> CostAndGradient {
    let linear = model.linear();
    let targets = targets.into();
    let logits = model.scores(features);
    let losses = targets.losses(model.cross_entropy(logits, targets.labels.clone()));
    let cross_entropy = losses.clone().mean();
    let objective = if l2.strength == 0.0 { cross_entropy.clone() } else { cross_entropy.clone() + l2.penalty(linear) };
    let gradients = objective.backward();
    let bias = linear.bias.as_ref().expect("both models have a bias");
    let gradient = Gradient {
        weight: linear.weight.val().grad(&gradients).expect("the loss reaches the weight"),
        bias: bias.val().grad(&gradients).expect("the loss reaches the bias"),
    };
    CostAndGradient { losses: losses.inner(), cross_entropy: cross_entropy.inner(), gradient }
}
