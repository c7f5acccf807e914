//! Hessian-vector products of `J`. Burn's autodiff does not compute second derivatives.

use burn::nn::Linear;
use burn::tensor::Tensor;

use crate::{Classifier, Gradient, L2, targets};

/// Returns the Hessian-vector product of `J` by the closed forms, Eqs. (26) to (28).
///
#[doc = include_str!("../formulas/eq-26.html")]
///
#[doc = include_str!("../formulas/eq-27.html")]
///
#[doc = include_str!("../formulas/eq-28.html")]
///
/// The direction is `(V, v_b)`. Along it, the logits change by `U = X V + v_b`:
///
/// ```text
/// softmax    Hv = X^T (P * (U - rowsum(P * U))) / n + lambda V
///               = X^T (diag p - p p^T) X V / n + lambda V
/// logistic   Hv = X^T (p * (1 - p) * U) / n + lambda V
/// ```
///
/// For the bias, column sums replace `X^T`, and lambda applies only if the bias is penalised.
///
/// With row weights, each row of the matrix that `X^T` multiplies is scaled by its weight, as in
/// Eq. (25). The Hessian does not depend on the labels, except through these weights.
///
/// # Shapes
/// - features `[n, d]`, weights `[n]`, direction `[d, k]` and `[k]` -> `[d, k]` and `[k]`
pub fn hessian_vector_product<M: Classifier>(
    model: &M,
    features: Tensor<2>,
    weights: Option<Tensor<1>>,
    direction: &Gradient,
    l2: L2,
) -> Gradient {
    let [n_rows, _] = features.dims();
    let Linear { weight, bias } = model.linear();
    let affine = |weight: Tensor<2>, bias: Tensor<1>| features.clone().matmul(weight) + bias.unsqueeze_dim(0);
    let bias = bias.as_ref().expect("both models have a bias").val().inner();
    let logits = affine(weight.val().inner(), bias);
    let tangent = affine(direction.weight.clone(), direction.bias.clone()); // U, [n, k]
    let residual_tangent = targets::weighted(model.residual_jvp(logits, tangent), weights) / n_rows as f64; // [n, k]
    let mut product = Gradient {
        weight: features.transpose().matmul(residual_tangent.clone()) + direction.weight.clone() * l2.strength,
        bias: residual_tangent.sum_dim(0).squeeze_dim(0),
    };
    if l2.penalize_bias {
        product.bias = product.bias + direction.bias.clone() * l2.strength;
    }
    product
}
