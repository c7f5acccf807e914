//! Softmax regression. With Z = X W + b, P = softmax(Z) along the classes, one-hot Y and n rows:
//!
//! ```text
//! C     = -(1/n) sum( Y * log P )          (a mean over rows, never divided by the number of classes)
//! dC/dW = X^T (P - Y) / n        dC/db = column means of P - Y
//! ```

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor};

use crate::Classifier;

/// Creates a [`SoftmaxRegression`] with [`init`](SoftmaxRegressionConfig::init).
#[derive(Config, Debug)]
pub struct SoftmaxRegressionConfig {
    /// The number of features, d.
    pub n_features: usize,
    /// The number of classes, k.
    pub n_classes: usize,
    /// The initializer of weights and bias. Zeros are reproducible, and as good as any other start,
    /// because the objective is convex.
    #[config(default = "Initializer::Zeros")]
    pub initializer: Initializer,
}

/// Softmax (multinomial logistic) regression: features `[n, d]` -> logits `[n, k]`.
///
#[doc = include_str!("../formulas/eq-11.html")]
///
#[doc = include_str!("../formulas/eq-12.html")]
///
#[doc = include_str!("../formulas/eq-13.html")]
#[derive(Module, Debug)]
pub struct SoftmaxRegression {
    /// Weight `[d, k]` and bias `[k]`.
    pub linear: Linear,
}

impl SoftmaxRegressionConfig {
    /// Creates a model on `device`, in the device's default float type (see
    /// [`to_precision`](crate::to_precision)).
    pub fn init(&self, device: &Device) -> SoftmaxRegression {
        let linear = LinearConfig::new(self.n_features, self.n_classes).with_initializer(self.initializer.clone());
        SoftmaxRegression { linear: linear.init(device) }
    }
}

impl SoftmaxRegression {
    /// Returns the logits.
    ///
    /// # Shapes
    /// - features `[n, d]` -> logits `[n, k]`
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        self.scores(features)
    }

    /// Returns the probability of each class, Eq. (12).
    ///
    #[doc = include_str!("../formulas/eq-12.html")]
    ///
    /// # Shapes
    /// - features `[n, d]` -> `[n, k]`, rows summing to one
    pub fn probabilities(&self, features: Tensor<2>) -> Tensor<2> {
        softmax(self.forward(features), 1)
    }
}

impl Classifier for SoftmaxRegression {
    fn linear(&self) -> &Linear {
        &self.linear
    }

    fn linear_mut(&mut self) -> &mut Linear {
        &mut self.linear
    }

    /// Eq. (13) in logits. The target is one-hot, so the sum over classes has one term: -ln p of
    /// the true class.
    fn cross_entropy(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1)).squeeze_dim::<1>(1).neg()
    }

    /// P - Y, Eq. (17).
    fn residual(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<2> {
        // Subtract 1 from P at the class of each row. Burn's `one_hot` reads the labels back to
        // check them, so the host would wait for the device at every step.
        let minus_one = logits.zeros_like().narrow(1, 0, 1) - 1.0; // [n, 1]
        softmax(logits, 1).scatter(1, labels.unsqueeze_dim::<2>(1), minus_one, IndexingUpdateOp::Add)
    }

    fn residual_jvp(&self, logits: Tensor<2>, tangent: Tensor<2>) -> Tensor<2> {
        let p = softmax(logits, 1);
        let mean = (p.clone() * tangent.clone()).sum_dim(1); // p^T s, [n, 1]
        p * (tangent - mean)
    }

    /// Returns the class of the largest logit.
    fn classify(&self, logits: Tensor<2>) -> Tensor<1, Int> {
        logits.argmax(1).squeeze_dim(1)
    }
}
