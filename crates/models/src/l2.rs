use burn::nn::Linear;
use burn::tensor::Tensor;

use crate::Gradient;

/// The L2 penalty `lambda R` of the objective `J = C + lambda R`, with `R = 1/2 sum w^2`: Eq. (21).
///
/// The penalty is added to the mean over the batch. It is not divided by the number of rows. Its
/// gradient is `lambda w`, Eq. (22). Another common convention is `R = sum w^2`, with the gradient
/// `2 lambda w`.
///
#[doc = include_str!("../formulas/eq-21.html")]
///
#[doc = include_str!("../formulas/eq-23.html")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L2 {
    /// The strength lambda, zero or positive.
    pub strength: f64,
    /// Whether w includes the bias. Most texts do not penalise the bias, because it only shifts the
    /// logits.
    pub penalize_bias: bool,
}

impl L2 {
    /// No penalty: `J = C`.
    pub const NONE: L2 = L2 { strength: 0.0, penalize_bias: false };

    /// Returns `lambda/2 sum w^2` for the parameters of `linear`, `[1]`.
    pub fn penalty(&self, linear: &Linear) -> Tensor<1> {
        let mut sum = linear.weight.val().square().sum();
        if let (true, Some(bias)) = (self.penalize_bias, &linear.bias) {
            sum = sum + bias.val().square().sum();
        }
        sum * (self.strength / 2.0)
    }

    /// Adds the gradient of the penalty to the gradient of C: `dJ/dw = dC/dw + lambda w`, Eq. (23).
    pub fn add_to(&self, mut gradient: Gradient, linear: &Linear) -> Gradient {
        if self.strength == 0.0 {
            return gradient;
        }
        gradient.weight = gradient.weight + linear.weight.val().inner() * self.strength;
        if let (true, Some(bias)) = (self.penalize_bias, &linear.bias) {
            gradient.bias = gradient.bias + bias.val().inner() * self.strength;
        }
        gradient
    }
}
