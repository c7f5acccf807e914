//! Logistic and softmax regression as Burn modules, with closed-form gradients.
//!
//! - [`LogisticRegression`]: features `[n, d]` -> logits `[n]`
//! - [`SoftmaxRegression`]: features `[n, d]` -> logits `[n, k]`
//!
//! Both models compute their cross-entropy from logits. Both have two gradients, which must agree:
//! the closed form of `docs/derivation.md` ([`closed_form`]), and Burn's autodiff ([`autodiff`]).
//! The module [`derivation`] has one function per equation, so each step can be checked separately.
//!
//! ```
//! use burn::{module::Module, tensor::{Device, Tensor, Tolerance}};
//! use chainrule_models::{L2, SoftmaxRegressionConfig, autodiff, closed_form, objective};
//!
//! let device = Device::default();
//! let model = SoftmaxRegressionConfig::new(2, 3).init(&device);
//! let x = Tensor::from_data([[1.0, -2.0], [0.5, 4.0]], &device); // [n, d]
//! let labels = Tensor::from_data([2, 0], &device); // [n]
//! let by_hand = closed_form(&model, x.clone(), labels.clone(), L2::NONE).gradient;
//! let by_burn = autodiff(&model.train(), x, labels, L2::NONE).gradient;
//! by_hand.weight.into_data().assert_approx_eq::<f32>(&by_burn.weight.into_data(), Tolerance::default());
//! ```

mod classifier;
mod curvature;
pub mod derivation;
mod gradient;
mod l2;
mod logistic;
mod norms;
mod precision;
mod softmax;
mod targets;

pub use classifier::Classifier;
pub use curvature::hessian_vector_product;
pub use gradient::{CostAndGradient, Gradient, autodiff, closed_form, objective};
pub use l2::L2;
pub use logistic::{LogisticRegression, LogisticRegressionConfig};
pub use norms::{WeightNorm, weight_norm};
pub use precision::to_precision;
pub use softmax::{SoftmaxRegression, SoftmaxRegressionConfig};
pub use targets::Targets;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
