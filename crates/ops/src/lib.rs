//! The loss of softmax and logistic regression as *one* differentiable Burn operation, and their
//! training step as two launches on a GPU.
//!
//! The gradient of a linear classifier's mean cross-entropy needs only one pass over the batch.
//! Autodiff cannot use this fact. So the forward pass of the operation computes the loss and its
//! gradients together. The backward pass returns these gradients times the incoming gradient:
//!
//! ```text
//! C = mean(cross-entropy(X W + b, y))        D = (P - Y) / n
//! dC/dW = X^T D        dC/db = column sums of D        dC/dX = D W^T
//! ```
//!
//! The loss works like the result of any Burn operation: scale it, add a penalty, call `backward`.
//!
//! ```
//! use burn::tensor::{Device, Tensor, Tolerance};
//!
//! # if !chainrule_ops::supports_linear_loss(&Device::default()) { return Ok(()); }
//! let device = Device::default().autodiff();
//! let x = Tensor::<2>::from_data([[1.0, -2.0], [0.5, 4.0]], &device); // [n, d]
//! let labels = Tensor::from_data([2, 0], &device); // [n]
//! let w = Tensor::<2>::zeros([2, 3], &device).require_grad(); // [d, k]
//! let b = Tensor::<1>::zeros([3], &device).require_grad(); // [k]
//!
//! let loss = chainrule_ops::softmax_regression(x, labels, w.clone(), b.clone())?;
//! let gradients = (loss * 3.0 + w.clone().powi_scalar(2).sum()).backward();
//! // D sums to (2/3 - 1) / 2, (2/3) / 2 and (2/3 - 1) / 2 by column. The factor is 3.
//! let expected = Tensor::<1>::from_data([-0.5, 1.0, -0.5], &device.inner());
//! b.grad(&gradients).unwrap().into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::default());
//! # Ok::<(), chainrule_ops::Unsupported>(())
//! ```
//!
//! - [`softmax_regression`], [`logistic_regression`]: the operation, on Burn's backends NdArray,
//!   Flex, and (with CubeCL) wgpu and CUDA
//! - [`supports_linear_loss`], [`supports_device_steps`]: whether this build supports a device
//! - [`device_steps`]: whole training steps and evaluations on the bytes of images or on rows of
//!   numbers, on a CubeCL device

#![cfg_attr(
    not(any(feature = "ndarray", feature = "flex", feature = "cube")),
    allow(
        unused_imports,
        unused_macros,
        unused_variables,
        dead_code,
        reason = "without a backend nothing calls the operation"
    )
)]

#[cfg(feature = "cube")]
mod cube;
#[cfg(any(feature = "ndarray", feature = "flex"))]
#[cfg_attr(feature = "ndarray", expect(deprecated, reason = "NdArray: docs/decisions/0002-backends.md"))]
mod host;
mod loss;
#[cfg_attr(feature = "ndarray", expect(deprecated, reason = "NdArray: docs/decisions/0002-backends.md"))]
mod operation;
mod steps;

pub use loss::Loss;
pub use operation::{Unsupported, linear_loss, logistic_regression, softmax_regression, supports_linear_loss};
pub use steps::{
    DeviceEvaluation, DeviceSteps, StepFeatures, StepProblem, StepRows, device_steps, supports_device_steps,
};
