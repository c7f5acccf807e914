//! The operation on Burn's tensors, with its backward pass, and the supported backends.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor};

use crate::Loss;

/// The device or the float type is not supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// This build does not have the operation for the backend of the device.
    #[error(
        "{device} has no fused loss in this build; use tensor operations, or the backend ndarray, flex, wgpu or cuda"
    )]
    Device {
        /// The name of the device.
        device: String,
    },
    /// The floats are not all f32 or all f64.
    #[error("the fused loss needs f32 or f64, found {found}; cast features, weight and bias to one of them")]
    Float {
        /// The float type of features, weight and bias, or the types if they differ.
        found: String,
    },
}

/// Returns the mean cross-entropy of softmax regression. The forward pass also computes the
/// gradients.
///
/// # Shapes
/// - features `[n, d]`, labels `[n]`, weight `[d, k]`, bias `[k]` -> `[1]`, in nats
///
/// The backward pass computes gradients for weight, bias and features, if they are tracked. A label
/// is a class less than k. With other labels, a CPU panics, and a GPU returns meaningless numbers.
///
/// # Errors
/// If the backend does not have the operation, or if the floats are not all f32 or all f64.
///
/// # Panics
/// If the shapes do not match, or if a dimension is 0.
pub fn softmax_regression(
    features: Tensor<2>,
    labels: Tensor<1, Int>,
    weight: Tensor<2>,
    bias: Tensor<1>,
) -> Result<Tensor<1>, Unsupported> {
    linear_loss(Loss::Softmax, features, labels, weight, bias)
}

/// Returns the mean cross-entropy of logistic regression. The forward pass also computes the
/// gradients.
///
/// # Shapes
/// - features `[n, d]`, labels `[n]` of 0 and 1, weight `[d, 1]`, bias `[1]` -> `[1]`, in nats
///
/// # Errors
/// As [`softmax_regression`].
///
/// # Panics
/// As [`softmax_regression`].
pub fn logistic_regression(
    features: Tensor<2>,
    labels: Tensor<1, Int>,
    weight: Tensor<2>,
    bias: Tensor<1>,
) -> Result<Tensor<1>, Unsupported> {
    linear_loss(Loss::Logistic, features, labels, weight, bias)
}

/// Computes [`softmax_regression`] or [`logistic_regression`], selected by `loss`.
///
/// # Errors
/// As [`softmax_regression`].
///
/// # Panics
/// As [`softmax_regression`].
pub fn linear_loss(
    loss: Loss,
    features: Tensor<2>,
    labels: Tensor<1, Int>,
    weight: Tensor<2>,
    bias: Tensor<1>,
) -> Result<Tensor<1>, Unsupported> {
    let ([n, d], [d_of_weight, k]) = (features.dims(), weight.dims());
    assert!(n > 0 && d > 0 && k > 0, "features [{n}, {d}] and weight [{d_of_weight}, {k}]: no dimension may be 0");
    assert_eq!(d, d_of_weight, "features of [{n}, {d}] and of weight [{d_of_weight}, {k}]");
    assert_eq!(labels.dims(), [n], "labels of [{n}, {d}] features");
    assert_eq!(bias.dims(), [k], "bias of weight [{d}, {k}]");
    assert!(loss == Loss::Softmax || k == 1, "weight of logistic regression is [{d}, 1], not [{d}, {k}]");
    if !supports_linear_loss(&features.device()) {
        return Err(Unsupported::Device { device: format!("{:?}", features.device().inner()) });
    }
    let types = [features.dtype(), weight.dtype(), bias.dtype()];
    if types != [DType::F32; 3] && types != [DType::F64; 3] {
        let mut names: Vec<&str> = types.iter().map(DType::name).collect();
        names.dedup();
        return Err(Unsupported::Float { found: names.join(" and ") });
    }
    let [features, weight, bias] = [features.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    let loss = <Dispatch as LinearLoss>::mean_cross_entropy(features, labels.into_dispatch(), weight, bias, loss);
    Ok(Tensor::from_dispatch(loss))
}

/// Whether this build supports [`linear_loss`] on the device.
pub fn supports_linear_loss(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "cube")]
        DispatchDevice::Cube(_) => true,
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        #[allow(unreachable_patterns, reason = "reachable if Burn has a backend that is not listed here")]
        _ => false,
    }
}

/// The results of one pass over a batch.
pub(crate) struct FusedOutput<B: Backend> {
    /// The mean cross-entropy C, `[1]`
    pub(crate) loss: FloatTensor<B>,
    /// `dC/dW`, `[d, k]`
    pub(crate) weight: FloatTensor<B>,
    /// `dC/db`, `[k]`
    pub(crate) bias: FloatTensor<B>,
    /// `D = (P - Y) / n`, `[n, k]`
    pub(crate) residual: FloatTensor<B>,
}

/// A backend that computes the loss and its gradients in one pass over the batch.
pub(crate) trait FusedLoss: Backend {
    /// Computes the loss and its gradients. The floats are all f32 or all f64.
    ///
    /// # Shapes
    /// - features `[n, d]`, labels `[n]`, weight `[d, k]`, bias `[k]`
    fn one_pass(
        features: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        loss: Loss,
    ) -> FusedOutput<Self>;
}

/// The operation as a backend extension. Burn's dispatch calls the implementation of each backend.
#[backend_extension(
    Autodiff,
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray")
)]
pub(crate) trait LinearLoss: Backend {
    /// Returns the mean cross-entropy, `[1]`.
    fn mean_cross_entropy(
        features: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        loss: Loss,
    ) -> FloatTensor<Self>;
}

/// Implements the operation for a backend without autodiff. It returns only the loss.
macro_rules! without_autodiff {
    ($backend:ty) => {
        impl LinearLoss for $backend {
            fn mean_cross_entropy(
                features: FloatTensor<Self>,
                labels: IntTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                loss: Loss,
            ) -> FloatTensor<Self> {
                Self::one_pass(features, labels, weight, bias, loss).loss
            }
        }
    };
}

#[cfg(feature = "cube")]
without_autodiff!(burn::backend::Cube);
#[cfg(feature = "flex")]
without_autodiff!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
without_autodiff!(burn::backend::NdArray);

impl<B: FusedLoss, C: CheckpointStrategy> LinearLoss for Autodiff<B, C> {
    fn mean_cross_entropy(
        features: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        loss: Loss,
    ) -> FloatTensor<Self> {
        let inputs = [features.node(), weight.node(), bias.node()];
        let tracks_features = features.is_tracked();
        let (features, weight, bias) = (features.into_primitive(), weight.into_primitive(), bias.into_primitive());
        match LinearLossBackward.prepare::<C>(inputs).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::one_pass(features, labels, weight.clone(), bias, loss);
                let residual_and_weight = tracks_features.then_some((output.residual, weight));
                prepared.finish(
                    SavedForBackward { weight: output.weight, bias: output.bias, residual_and_weight },
                    output.loss,
                )
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::one_pass(features, labels, weight, bias, loss).loss),
        }
    }
}

/// The tensors that the forward pass saves for the backward pass.
#[derive(Clone, Debug)]
struct SavedForBackward<B: Backend> {
    /// `dC/dW`
    weight: FloatTensor<B>,
    /// `dC/db`
    bias: FloatTensor<B>,
    /// D and W, for the gradient of the features. `None` if the features are not tracked.
    residual_and_weight: Option<(FloatTensor<B>, FloatTensor<B>)>,
}

/// The backward pass, which scales the saved gradients.
#[derive(Debug)]
struct LinearLossBackward;

impl<B: Backend> Backward<B, 3> for LinearLossBackward {
    type State = SavedForBackward<B>;

    fn backward(self, ops: Ops<SavedForBackward<B>, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [features, weight, bias] = ops.parents;
        let saved = ops.state;
        // dJ/dC, `[1]`. `backward` was called on J.
        let incoming = gradients.consume::<B>(&ops.node);
        let scaled = |gradient: FloatTensor<B>| {
            let ones = Shape::from(vec![1; gradient.shape().num_dims()]);
            B::float_mul(gradient, B::float_reshape(incoming.clone(), ones))
        };
        if let Some(node) = weight {
            gradients.register::<B>(node.id, scaled(saved.weight));
        }
        if let Some(node) = bias {
            gradients.register::<B>(node.id, scaled(saved.bias));
        }
        if let (Some(node), Some((residual, weight))) = (features, saved.residual_and_weight) {
            // dC/dX = D W^T.
            let gradient = B::float_matmul(residual, B::float_transpose(weight));
            gradients.register::<B>(node.id, scaled(gradient));
        }
    }
}
