use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Int, Tensor};

/// A linear classifier. The two models differ only in their cross-entropy, the derivatives of the
/// cross-entropy, and the predicted label. All other code is shared.
///
/// In this trait, logits have the shape `[n, k]` for both models. The logistic model has `k = 1`.
pub trait Classifier: Module {
    /// The affine map `Z = X W + b`, with weight `[d, k]` and bias `[k]`.
    fn linear(&self) -> &Linear;

    /// The affine map, mutable, to set its parameters.
    fn linear_mut(&mut self) -> &mut Linear;

    /// Returns the cross-entropy of each row, computed from logits. It is finite if the logits are.
    ///
    /// # Shapes
    /// - logits `[n, k]`, labels `[n]` -> `[n]`, in nats
    fn cross_entropy(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1>;

    /// Returns the derivative of each row's cross-entropy with respect to its logits, `dC/dz`: Eqs.
    /// (6) and (17).
    ///
    /// # Shapes
    /// - logits `[n, k]`, labels `[n]` -> `[n, k]`
    fn residual(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<2>;

    /// Returns the Jacobian-vector product of each row's residual: its directional derivative along
    /// `tangent`, a change of the logits. Eqs. (26) and (27).
    ///
    /// # Shapes
    /// - logits `[n, k]`, tangent `[n, k]` -> `[n, k]`
    fn residual_jvp(&self, logits: Tensor<2>, tangent: Tensor<2>) -> Tensor<2>;

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
