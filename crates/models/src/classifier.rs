use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Int, Tensor};

/// What a linear classifier must tell for its closed-form gradient to follow: everything but the
/// residual is shared.
///
/// Both models see their logits here as a matrix `[n, k]`; the logistic model's has the single
/// column `k = 1`.
pub trait Classifier: Module {
    /// The affine map `Z = X W + b`, with weight `[d, k]` and bias `[k]`.
    fn linear(&self) -> &Linear;

    /// The same, to set its parameters.
    fn linear_mut(&mut self) -> &mut Linear;

    /// Cross-entropy of each row, computed from logits and finite wherever they are.
    ///
    /// # Shapes
    /// - logits `[n, k]`, labels `[n]` -> `[n]`, in nats
    fn cross_entropy(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1>;

    /// The derivative of each row's cross-entropy by its logits, `dC/dz`: Eq. (6) and Eq. (17).
    ///
    /// # Shapes
    /// - logits `[n, k]`, labels `[n]` -> `[n, k]`
    fn residual(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<2>;

    /// How each row's residual moves as its logits move: Eq. (25) and Eq. (26).
    ///
    /// # Shapes
    /// - logits `[n, k]`, their movement `[n, k]` -> `[n, k]`
    fn residual_along(&self, logits: Tensor<2>, moved: Tensor<2>) -> Tensor<2>;

    /// The label that each row's logits speak for.
    ///
    /// # Shapes
    /// - logits `[n, k]` -> `[n]`
    fn classify(&self, logits: Tensor<2>) -> Tensor<1, Int>;

    /// # Shapes
    /// - features `[n, d]` -> logits `[n, k]`
    fn scores(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear().forward(features)
    }
}
