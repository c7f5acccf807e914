use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Int, Tensor};

/// The part of a linear classifier that its closed-form gradient depends on. Two models differ only
/// in cross-entropy and residual; everything else is shared.
///
/// Both models have logits of the shape `[n, k]` here. The logistic model has `k = 1`.
pub trait Classifier: Module {
    /// The affine map `Z = X W + b`, with weight `[d, k]` and bias `[k]`.
    fn linear(&self) -> &Linear;

    /// The affine map, mutable, to set its parameters.
    fn linear_mut(&mut self) -> &mut Linear;

    /// Returns the cross-entropy of each row. It is computed from logits, and finite for finite
    /// logits.
    ///
    /// # Shapes
    /// - logits `[n, k]`, labels `[n]` -> `[n]`, in nats
    fn cross_entropy(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1>;

    /// Returns the derivative of each row's cross-entropy by its logits, `dC/dz`: Eq. (6) and Eq.
    /// (17).
    ///
    /// # Shapes
    /// - logits `[n, k]`, labels `[n]` -> `[n, k]`
    fn residual(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<2>;

    /// Returns the directional derivative of each row's residual along a change of its logits: Eq.
    /// (25) and Eq. (26).
    ///
    /// # Shapes
    /// - logits `[n, k]`, their change `[n, k]` -> `[n, k]`
    fn residual_along(&self, logits: Tensor<2>, moved: Tensor<2>) -> Tensor<2>;

    /// Returns the predicted label of each row.
    ///
    /// # Shapes
    /// - logits `[n, k]` -> `[n]`
    fn classify(&self, logits: Tensor<2>) -> Tensor<1, Int>;

    /// Returns the logits.
    ///
    /// # Shapes
    /// - features `[n, d]` -> logits `[n, k]`
    fn scores(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear().forward(features)
    }
}
