//! The steps of `docs/derivation.md` on a batch of rows: one function per equation.
//!
//! Training uses [`closed_form`](crate::closed_form), which these steps simplify to. With them,
//! tests compare each step with autodiff: see `tests/derivation.rs`.

use burn::tensor::Tensor;

/// Eq. (3): `C = -(y ln p + (1 - y) ln(1 - p))`, the binary cross-entropy.
///
#[doc = include_str!("../formulas/eq-3.html")]
///
/// # Shapes
/// - p `[n]`, y `[n]` -> `[n]`
pub fn binary_cross_entropy(p: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    -(y.clone() * p.clone().log() + (-y + 1.0) * (-p + 1.0).log())
}

/// Eq. (4): `dC/dp = (p - y) / (p (1 - p))`.
///
#[doc = include_str!("../formulas/eq-4.html")]
///
/// # Shapes
/// - p `[n]`, y `[n]` -> `[n]`
pub fn binary_cross_entropy_by_probability(p: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    (p.clone() - y) / (p.clone() * (-p + 1.0))
}

/// Eq. (5): `dp/dz = p (1 - p)`, the derivative of the sigmoid.
///
#[doc = include_str!("../formulas/eq-5.html")]
///
/// # Shapes
/// - p `[n]` -> `[n]`
pub fn sigmoid_by_logit(p: Tensor<1>) -> Tensor<1> {
    p.clone() * (-p + 1.0)
}

/// Eq. (6): `dC/dz = p - y`.
///
#[doc = include_str!("../formulas/eq-6.html")]
///
/// # Shapes
/// - p `[n]`, y `[n]` -> `[n]`
pub fn binary_cross_entropy_by_logit(p: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    p - y
}

/// Eq. (8): `dC/dw = -(y - p) x`, for each row separately.
///
#[doc = include_str!("../formulas/eq-8.html")]
///
/// # Shapes
/// - x `[n, d]`, p `[n]`, y `[n]` -> `[n, d]`
pub fn binary_cross_entropy_by_weight(x: Tensor<2>, p: Tensor<1>, y: Tensor<1>) -> Tensor<2> {
    x * -(y - p).unsqueeze_dim::<2>(1)
}

/// Eq. (13): `C = -sum_k y_k ln p_k`, the categorical cross-entropy.
///
#[doc = include_str!("../formulas/eq-13.html")]
///
/// # Shapes
/// - p `[n, k]`, y `[n, k]` -> `[n]`
pub fn cross_entropy(p: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    -(y * p.log()).sum_dim(1).squeeze_dim::<1>(1)
}

/// Eq. (14): `dC/dp_k = -y_k / p_k`.
///
#[doc = include_str!("../formulas/eq-14.html")]
///
/// # Shapes
/// - p `[n, k]`, y `[n, k]` -> `[n, k]`
pub fn cross_entropy_by_probability(p: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    -(y / p)
}

/// Eq. (15): `dp_k/dz_k = p_k (1 - p_k)`, the diagonal of each row's softmax Jacobian.
///
#[doc = include_str!("../formulas/eq-15.html")]
///
/// # Shapes
/// - p `[n, k]` -> `[n, k]`
pub fn softmax_jacobian_diagonal(p: Tensor<2>) -> Tensor<2> {
    p.clone() * (-p + 1.0)
}

/// Eq. (16): `dp_k/dz_j = -p_k p_j` for j != k, the off-diagonal entries of the softmax Jacobian.
///
#[doc = include_str!("../formulas/eq-16.html")]
///
/// # Shapes
/// - p `[n, k]` -> `[n, k, k]`, indexed `[row, k, j]`; ignore the entries with j = k
pub fn softmax_jacobian_off_diagonal(p: Tensor<2>) -> Tensor<3> {
    -(p.clone().unsqueeze_dim::<3>(2) * p.unsqueeze_dim::<3>(1))
}

/// Eq. (17): `dC/dz_j = p_j - y_j`, if y sums to one.
///
#[doc = include_str!("../formulas/eq-17.html")]
///
/// # Shapes
/// - p `[n, k]`, y `[n, k]` -> `[n, k]`
pub fn cross_entropy_by_logit(p: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    p - y
}

/// Eq. (18): `dC/dw_jk = -x_j (y_k - p_k)`, for each row separately.
///
#[doc = include_str!("../formulas/eq-18.html")]
///
/// # Shapes
/// - x `[n, d]`, p `[n, k]`, y `[n, k]` -> `[n, d, k]`
pub fn cross_entropy_by_weight(x: Tensor<2>, p: Tensor<2>, y: Tensor<2>) -> Tensor<3> {
    x.unsqueeze_dim::<3>(2) * -(y - p).unsqueeze_dim::<3>(1)
}
