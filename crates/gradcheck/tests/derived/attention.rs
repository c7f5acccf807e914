//! The definitions and derivatives of `attention.md`.
//!
//! `chainrule derive` checked each derivative; the tests compare it with autodiff. The letters in
//! shapes are lengths: `N` is the number of rows, and an index the number of its values. A name
//! that has another value in each row has the rows as its first axis.

use burn::tensor::{FloatDType, Tensor};

/// The Kronecker delta `[size, size]`, of the type and device of a tensor.
fn delta<const D: usize>(size: usize, like: &Tensor<D>) -> Tensor<2> {
    Tensor::<2>::eye(size, &like.device()).cast(FloatDType::from(like.dtype()))
}

/// The definition of `s_i`:
///
/// ```text
/// s_i = \frac{\sum_l q_l K_{il}}{\sqrt d}
/// ```
///
/// # Shapes
///
/// - `q`: `[d]`
/// - `k`: `[i, d]`
/// - result: `[i]`
pub fn s(q: Tensor<1>, k: Tensor<2>) -> Tensor<1> {
    let size_d = q.dims()[0];
    let sum_l = k.matmul(q.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1);
    sum_l * (1.0 / (size_d as f64).sqrt())
}

/// The definition of `a_i`:
///
/// ```text
/// a_i = \frac{e^{s_i}}{\sum_j e^{s_j}}
/// ```
///
/// # Shapes
///
/// - `s`: `[i]`
/// - result: `[i]`
pub fn a(s: Tensor<1>) -> Tensor<1> {
    s.clone().exp() / s.exp().sum()
}

/// The definition of `o_m`:
///
/// ```text
/// o_m = \sum_i a_i V_{im}
/// ```
///
/// # Shapes
///
/// - `a`: `[i]`
/// - `v`: `[i, m]`
/// - result: `[m]`
pub fn o(a: Tensor<1>, v: Tensor<2>) -> Tensor<1> {
    v.transpose().matmul(a.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1)
}

/// The derivative `∂a_i/∂s_j`:
///
/// ```text
/// \frac{\partial a_i}{\partial s_j} = a_i (\delta_{ij} - a_j)
/// ```
///
/// # Shapes
///
/// - `a`: `[i]`
/// - result: `[i, i]`
pub fn d_a_d_s(a: Tensor<1>) -> Tensor<2> {
    let size_i = a.dims()[0];
    let delta_i_j = delta(size_i, &a);
    let term = delta_i_j - a.clone().unsqueeze::<2>();
    a.unsqueeze_dim::<2>(1) * term
}

/// The derivative `∂o_m/∂s_j`:
///
/// ```text
/// \frac{\partial o_m}{\partial s_j} = a_j (V_{jm} - o_m)
/// ```
///
/// # Shapes
///
/// - `a`: `[i]`
/// - `v`: `[i, m]`
/// - `o`: `[m]`
/// - result: `[m, i]`
pub fn d_o_d_s(a: Tensor<1>, v: Tensor<2>, o: Tensor<1>) -> Tensor<2> {
    let term = v - o.unsqueeze::<2>();
    let term_2 = a.unsqueeze_dim::<2>(1) * term;
    term_2.transpose()
}

/// The derivative `∂o_m/∂V_{in}`:
///
/// ```text
/// \frac{\partial o_m}{\partial V_{in}} = a_i \delta_{mn}
/// ```
///
/// # Shapes
///
/// - `a`: `[i]`
/// - `v`: `[i, m]`
/// - result: `[m, i, m]`
pub fn d_o_d_v(a: Tensor<1>, v: &Tensor<2>) -> Tensor<3> {
    let size_m = v.dims()[1];
    let delta_m_n = delta(size_m, &a);
    a.unsqueeze_dims::<3>(&[0, 2]) * delta_m_n.unsqueeze_dim::<3>(1)
}

/// The derivative `∂o_m/∂q_l`:
///
/// ```text
/// \frac{\partial o_m}{\partial q_l} = \sum_j a_j (V_{jm} - o_m) \frac{K_{jl}}{\sqrt d}
/// ```
///
/// # Shapes
///
/// - `a`: `[i]`
/// - `v`: `[i, m]`
/// - `o`: `[m]`
/// - `k`: `[i, d]`
/// - result: `[m, d]`
pub fn d_o_d_q(a: Tensor<1>, v: Tensor<2>, o: Tensor<1>, k: Tensor<2>) -> Tensor<2> {
    let size_d = k.dims()[1];
    let term = v - o.unsqueeze::<2>();
    let term_2 = a.unsqueeze_dim::<2>(1) * term;
    let term_3 = k * (1.0 / (size_d as f64).sqrt());
    term_2.transpose().matmul(term_3)
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::optim::GradientsParams;
    use burn::tensor::{DType, Device, Tensor, TensorData};
    use chainrule_gradcheck::{Options, compare};

    fn tensor<const D: usize>(value: impl Fn(usize) -> f64, dims: [usize; D]) -> Tensor<D> {
        let values: Vec<f64> = (0..dims.iter().product()).map(value).collect();
        Tensor::from_data(TensorData::new(values, dims), (&Device::default(), DType::F64))
    }

    /// A number between 0 and 1.
    fn part(seed: usize, place: usize) -> f64 {
        ((place + 1) as f64 * 0.618 + seed as f64 * 0.271).fract()
    }

    fn between<const D: usize>(low: f64, high: f64, seed: usize, dims: [usize; D]) -> Tensor<D> {
        tensor(|place| low + (high - low) * part(seed, place), dims)
    }

    /// Compares a derivative with autodiff, and with finite differences.
    fn agrees<const D: usize, F>(at: Tensor<D>, by_hand: Tensor<D>, loss: F)
    where
        F: Fn(&Param<Tensor<D>>) -> Tensor<1>,
    {
        let at = Param::from_tensor(at);
        let mut gradients = GradientsParams::new();
        gradients.register(at.id, by_hand);
        compare(&at, loss, &[("by hand", gradients)], &Options::default()).assert_pass();
    }

    #[test]
    fn d_a_d_s_is_that_of_autodiff() {
        let q = between(-1.5, 1.5, 2, [3]);
        let k = between(-1.5, 1.5, 1, [4, 3]);
        let s = super::s(q.clone(), k.clone());
        let a = super::a(s.clone());
        let by_hand = super::d_a_d_s(a.clone());
        let weights = between(0.25, 2.0, 4, [4]);
        let loss = |s: &Param<Tensor<1>>| {
            let s = s.val();
            let output = super::a(s.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([4, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([4]);
        agrees(s.clone(), by_hand, loss);
    }

    #[test]
    fn d_o_d_s_is_that_of_autodiff() {
        let q = between(-1.5, 1.5, 3, [3]);
        let k = between(-1.5, 1.5, 1, [4, 3]);
        let s = super::s(q.clone(), k.clone());
        let a = super::a(s.clone());
        let v = between(-1.5, 1.5, 2, [4, 2]);
        let o = super::o(a.clone(), v.clone());
        let by_hand = super::d_o_d_s(a.clone(), v.clone(), o.clone());
        let weights = between(0.25, 2.0, 5, [2]);
        let loss = |s: &Param<Tensor<1>>| {
            let s = s.val();
            let a = super::a(s.clone());
            let output = super::o(a.clone(), v.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([2, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([4]);
        agrees(s.clone(), by_hand, loss);
    }

    #[test]
    fn d_o_d_v_is_that_of_autodiff() {
        let q = between(-1.5, 1.5, 3, [3]);
        let k = between(-1.5, 1.5, 1, [4, 3]);
        let s = super::s(q.clone(), k.clone());
        let a = super::a(s.clone());
        let v = between(-1.5, 1.5, 2, [4, 2]);
        let by_hand = super::d_o_d_v(a.clone(), &v);
        let weights = between(0.25, 2.0, 5, [2]);
        let loss = |v: &Param<Tensor<2>>| {
            let v = v.val();
            let output = super::o(a.clone(), v.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([2, 1, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([4, 2]);
        agrees(v.clone(), by_hand, loss);
    }

    #[test]
    fn d_o_d_q_is_that_of_autodiff() {
        let q = between(-1.5, 1.5, 3, [3]);
        let k = between(-1.5, 1.5, 1, [4, 3]);
        let s = super::s(q.clone(), k.clone());
        let a = super::a(s.clone());
        let v = between(-1.5, 1.5, 2, [4, 2]);
        let o = super::o(a.clone(), v.clone());
        let by_hand = super::d_o_d_q(a.clone(), v.clone(), o.clone(), k.clone());
        let weights = between(0.25, 2.0, 5, [2]);
        let loss = |q: &Param<Tensor<1>>| {
            let q = q.val();
            let s = super::s(q.clone(), k.clone());
            let a = super::a(s.clone());
            let output = super::o(a.clone(), v.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([2, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([3]);
        agrees(q.clone(), by_hand, loss);
    }
}
