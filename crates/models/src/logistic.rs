//! Binary logistic regression. With z = x.w + b, p = sigmoid(z), y in {0, 1} and n rows:
//!
//! ```text
//! C     = (1/n) sum( (1 - y) z - log sigmoid(z) )        which is  -(1/n) sum( y ln p + (1 - y) ln(1 - p) )
//! dC/dw = X^T (p - y) / n        dC/db = mean(p - y)
//! ```

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, FloatDType, Int, Tensor};

use crate::Classifier;

/// Creates a [`LogisticRegression`] with [`init`](LogisticRegressionConfig::init).
#[derive(Config, Debug)]
pub struct LogisticRegressionConfig {
    /// The number of features, d.
    pub n_features: usize,
    /// The initializer of weights and bias. Zeros are reproducible, and as good as any other start,
    /// because the objective is convex.
    #[config(default = "Initializer::Zeros")]
    pub initializer: Initializer,
}

/// Binary logistic regression: features `[n, d]` -> logits `[n]`, the log-odds of label 1.
///
#[doc = include_str!("../formulas/eq-1.html")]
///
#[doc = include_str!("../formulas/eq-2.html")]
///
#[doc = include_str!("../formulas/eq-39.html")]
#[derive(Module, Debug)]
pub struct LogisticRegression {
    /// Weight `[d, 1]` and bias `[1]`.
    pub linear: Linear,
}

impl LogisticRegressionConfig {
    /// Creates a model on `device`, in the device's default float type (see
    /// [`to_precision`](crate::to_precision)).
    pub fn init(&self, device: &Device) -> LogisticRegression {
        let linear = LinearConfig::new(self.n_features, 1).with_initializer(self.initializer.clone());
        LogisticRegression { linear: linear.init(device) }
    }
}

impl LogisticRegression {
    /// Returns the logits.
    ///
    /// # Shapes
    /// - features `[n, d]` -> logits `[n]`
    pub fn forward(&self, features: Tensor<2>) -> Tensor<1> {
        self.scores(features).squeeze_dim(1)
    }

    /// Returns the probability of label 1, Eq. (2).
    ///
    #[doc = include_str!("../formulas/eq-2.html")]
    ///
    /// # Shapes
    /// - features `[n, d]` -> `[n]`
    pub fn probabilities(&self, features: Tensor<2>) -> Tensor<1> {
        sigmoid(self.forward(features))
    }
}

/// Returns p = sigmoid(z), Eq. (2), in the precision of z.
///
/// On ndarray, Burn's `sigmoid` (0.22.1) converts all types to f32, with an error of 1e-8.
fn sigmoid<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    log_sigmoid(z).exp()
}

impl Classifier for LogisticRegression {
    fn linear(&self) -> &Linear {
        &self.linear
    }

    fn linear_mut(&mut self) -> &mut Linear {
        &mut self.linear
    }

    /// Eq. (3) in logits.
    ///
    /// The usual form `ln(1 + exp(-|z|)) + max(z, 0) - y z` has the same value. But `|z|` and
    /// `max(z, 0)` are not differentiable at z = 0, and z is 0 for every row if the weights are
    /// zero. Autodiff picks a subgradient for each term, and their sum is wrong.
    fn cross_entropy(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        let z: Tensor<1> = logits.squeeze_dim(1);
        let y = labels.cast(FloatDType::from(z.dtype()));
        (-y + 1.0) * z.clone() - log_sigmoid(z)
    }

    /// p - y, Eq. (6).
    fn residual(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<2> {
        let y = labels.cast(FloatDType::from(logits.dtype())).unsqueeze_dim(1);
        sigmoid(logits) - y
    }

    /// p (1 - p) u, Eq. (26).
    fn residual_jvp(&self, logits: Tensor<2>, tangent: Tensor<2>) -> Tensor<2> {
        sigmoid(logits.clone()) * sigmoid(-logits) * tangent
    }

    /// 1 if p > 1/2, which is equivalent to z > 0.
    fn classify(&self, logits: Tensor<2>) -> Tensor<1, Int> {
        logits.squeeze_dim::<1>(1).greater_elem(0.0).int()
    }
}
