//! The definitions and derivatives of `layer-norm.md`.
//!
//! `chainrule derive` checked each derivative; the tests compare it with autodiff. The letters in
//! shapes are lengths: `N` is the number of rows, and an index the number of its values. A name
//! that has another value in each row has the rows as its first axis.

use burn::tensor::{FloatDType, Tensor};

/// The Kronecker delta `[size, size]`, of the type and device of a tensor.
fn delta<const D: usize>(size: usize, like: &Tensor<D>) -> Tensor<2> {
    Tensor::<2>::eye(size, &like.device()).cast(FloatDType::from(like.dtype()))
}

/// The definition of `μ`:
///
/// ```text
/// \mu = \frac1D \sum_{i=1}^D x_i
/// ```
///
/// # Shapes
///
/// - `x`: `[D]`
/// - result: `[1]`
pub fn mu(x: Tensor<1>) -> Tensor<1> {
    let size_d = x.dims()[0];
    1.0 / size_d as f64 * x.sum()
}

/// The definition of `v`:
///
/// ```text
/// v = \frac1D \sum_{i=1}^D (x_i - \mu)^2
/// ```
///
/// # Shapes
///
/// - `x`: `[D]`
/// - `mu`: `[1]`
/// - result: `[1]`
pub fn v(x: Tensor<1>, mu: Tensor<1>) -> Tensor<1> {
    let size_d = x.dims()[0];
    let term = (x - mu).square().sum();
    1.0 / size_d as f64 * term
}

/// The definition of `s`:
///
/// ```text
/// s = \sqrt{v + \epsilon}
/// ```
///
/// # Shapes
///
/// - `v`: `[1]`
/// - `epsilon`: `[1]`
/// - result: `[1]`
pub fn s(v: Tensor<1>, epsilon: Tensor<1>) -> Tensor<1> {
    (v + epsilon).sqrt()
}

/// The definition of `u_i`:
///
/// ```text
/// u_i = \frac{x_i - \mu}{s}
/// ```
///
/// # Shapes
///
/// - `x`: `[D]`
/// - `mu`: `[1]`
/// - `s`: `[1]`
/// - result: `[D]`
pub fn u(x: Tensor<1>, mu: Tensor<1>, s: Tensor<1>) -> Tensor<1> {
    (x - mu) / s
}

/// The definition of `y_i`:
///
/// ```text
/// y_i = \gamma_i u_i + \beta_i
/// ```
///
/// # Shapes
///
/// - `gamma`: `[D]`
/// - `u`: `[D]`
/// - `beta`: `[D]`
/// - result: `[D]`
pub fn y(gamma: Tensor<1>, u: Tensor<1>, beta: Tensor<1>) -> Tensor<1> {
    gamma * u + beta
}

/// The definition of `L`:
///
/// ```text
/// L = \sum_i g_i y_i
/// ```
///
/// # Shapes
///
/// - `g`: `[D]`
/// - `y`: `[D]`
/// - result: `[1]`
pub fn l(g: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    (g * y).sum()
}

/// The derivative `∂μ/∂x_j`:
///
/// ```text
/// \frac{\partial \mu}{\partial x_j} = \frac1D
/// ```
///
/// # Shapes
///
/// - `x`: `[D]`
/// - result: `[D]`
pub fn d_mu_d_x(x: &Tensor<1>) -> Tensor<1> {
    let size_d = x.dims()[0];
    Tensor::full([size_d], 1.0 / size_d as f64, (&x.device(), x.dtype()))
}

/// The derivative `∂v/∂x_j`:
///
/// ```text
/// \frac{\partial v}{\partial x_j} = \frac2D (x_j - \mu)
/// ```
///
/// # Shapes
///
/// - `x`: `[D]`
/// - `mu`: `[1]`
/// - result: `[D]`
pub fn d_v_d_x(x: Tensor<1>, mu: Tensor<1>) -> Tensor<1> {
    let size_d = x.dims()[0];
    2.0 / size_d as f64 * (x - mu)
}

/// The derivative `∂s/∂x_j`:
///
/// ```text
/// \frac{\partial s}{\partial x_j} = \frac{u_j}{D}
/// ```
///
/// # Shapes
///
/// - `u`: `[D]`
/// - result: `[D]`
pub fn d_s_d_x(u: Tensor<1>) -> Tensor<1> {
    let size_d = u.dims()[0];
    u * (1.0 / size_d as f64)
}

/// The derivative `∂u_i/∂x_j`:
///
/// ```text
/// \frac{\partial u_i}{\partial x_j} = \frac1s \left(\delta_{ij} - \frac1D - \frac{u_i
///     u_j}{D}\right)
/// ```
///
/// # Shapes
///
/// - `s`: `[1]`
/// - `u`: `[D]`
/// - result: `[D, D]`
pub fn d_u_d_x(s: Tensor<1>, u: Tensor<1>) -> Tensor<2> {
    let size_d = u.dims()[0];
    let delta_i_j = delta(size_d, &s);
    let term = u.clone().unsqueeze_dim::<2>(1) * u.unsqueeze::<2>();
    let term_2 = delta_i_j - 1.0 / size_d as f64;
    let term_3 = term_2 - term * (1.0 / size_d as f64);
    (1.0_f64 / s).unsqueeze::<2>() * term_3
}

/// The derivative `∂L/∂γ_i`:
///
/// ```text
/// \frac{\partial L}{\partial \gamma_i} = g_i u_i
/// ```
///
/// # Shapes
///
/// - `g`: `[D]`
/// - `u`: `[D]`
/// - result: `[D]`
pub fn d_l_d_gamma(g: Tensor<1>, u: Tensor<1>) -> Tensor<1> {
    g * u
}

/// The derivative `∂L/∂β_i`:
///
/// ```text
/// \frac{\partial L}{\partial \beta_i} = g_i
/// ```
///
/// # Shapes
///
/// - `g`: `[D]`
/// - result: `[D]`
pub fn d_l_d_beta(g: Tensor<1>) -> Tensor<1> {
    g
}

/// The derivative `∂L/∂x_j`:
///
/// ```text
/// \frac{\partial L}{\partial x_j} = \frac1s \left(g_j \gamma_j - \frac1D \sum_i g_i \gamma_i -
///     \frac{u_j}{D} \sum_i g_i \gamma_i u_i\right)
/// ```
///
/// # Shapes
///
/// - `s`: `[1]`
/// - `g`: `[D]`
/// - `gamma`: `[D]`
/// - `u`: `[D]`
/// - result: `[D]`
pub fn d_l_d_x(s: Tensor<1>, g: Tensor<1>, gamma: Tensor<1>, u: Tensor<1>) -> Tensor<1> {
    let size_d = g.dims()[0];
    let term = 1.0_f64 / size_d as f64 * (g.clone() * gamma.clone()).sum();
    let term_2 = g.clone() * gamma.clone() * u.clone();
    let term_3 = g * gamma - term;
    let term_4 = u * (1.0 / size_d as f64) * term_2.sum();
    1.0 / s * (term_3 - term_4)
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
    fn d_mu_d_x_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 1, [4]);
        let by_hand = super::d_mu_d_x(&x);
        let loss = |x: &Param<Tensor<1>>| {
            let x = x.val();
            super::mu(x.clone())
        };
        agrees(x.clone(), by_hand, loss);
    }

    #[test]
    fn d_v_d_x_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 1, [4]);
        let mu = super::mu(x.clone());
        let by_hand = super::d_v_d_x(x.clone(), mu.clone());
        let loss = |x: &Param<Tensor<1>>| {
            let x = x.val();
            let mu = super::mu(x.clone());
            super::v(x.clone(), mu.clone())
        };
        agrees(x.clone(), by_hand, loss);
    }

    #[test]
    fn d_s_d_x_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 1, [4]);
        let mu = super::mu(x.clone());
        let v = super::v(x.clone(), mu.clone());
        let epsilon = between(0.25, 2.0, 2, [1]);
        let s = super::s(v.clone(), epsilon.clone());
        let u = super::u(x.clone(), mu.clone(), s.clone());
        let by_hand = super::d_s_d_x(u.clone());
        let loss = |x: &Param<Tensor<1>>| {
            let x = x.val();
            let mu = super::mu(x.clone());
            let v = super::v(x.clone(), mu.clone());
            super::s(v.clone(), epsilon.clone())
        };
        agrees(x.clone(), by_hand, loss);
    }

    #[test]
    fn d_u_d_x_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 1, [4]);
        let mu = super::mu(x.clone());
        let v = super::v(x.clone(), mu.clone());
        let epsilon = between(0.25, 2.0, 2, [1]);
        let s = super::s(v.clone(), epsilon.clone());
        let u = super::u(x.clone(), mu.clone(), s.clone());
        let by_hand = super::d_u_d_x(s.clone(), u.clone());
        let weights = between(0.25, 2.0, 4, [4]);
        let loss = |x: &Param<Tensor<1>>| {
            let x = x.val();
            let mu = super::mu(x.clone());
            let v = super::v(x.clone(), mu.clone());
            let s = super::s(v.clone(), epsilon.clone());
            let output = super::u(x.clone(), mu.clone(), s.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([4, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([4]);
        agrees(x.clone(), by_hand, loss);
    }

    #[test]
    fn d_l_d_gamma_is_that_of_autodiff() {
        let g = between(-1.5, 1.5, 1, [4]);
        let x = between(-1.5, 1.5, 2, [4]);
        let mu = super::mu(x.clone());
        let v = super::v(x.clone(), mu.clone());
        let epsilon = between(0.25, 2.0, 5, [1]);
        let s = super::s(v.clone(), epsilon.clone());
        let u = super::u(x.clone(), mu.clone(), s.clone());
        let gamma = between(-1.5, 1.5, 4, [4]);
        let beta = between(-1.5, 1.5, 3, [4]);
        let by_hand = super::d_l_d_gamma(g.clone(), u.clone());
        let loss = |gamma: &Param<Tensor<1>>| {
            let gamma = gamma.val();
            let y = super::y(gamma.clone(), u.clone(), beta.clone());
            super::l(g.clone(), y.clone())
        };
        agrees(gamma.clone(), by_hand, loss);
    }

    #[test]
    fn d_l_d_beta_is_that_of_autodiff() {
        let g = between(-1.5, 1.5, 1, [4]);
        let beta = between(-1.5, 1.5, 3, [4]);
        let gamma = between(-1.5, 1.5, 4, [4]);
        let x = between(-1.5, 1.5, 2, [4]);
        let mu = super::mu(x.clone());
        let v = super::v(x.clone(), mu.clone());
        let epsilon = between(0.25, 2.0, 5, [1]);
        let s = super::s(v.clone(), epsilon.clone());
        let u = super::u(x.clone(), mu.clone(), s.clone());
        let by_hand = super::d_l_d_beta(g.clone());
        let loss = |beta: &Param<Tensor<1>>| {
            let beta = beta.val();
            let y = super::y(gamma.clone(), u.clone(), beta.clone());
            super::l(g.clone(), y.clone())
        };
        agrees(beta.clone(), by_hand, loss);
    }

    #[test]
    fn d_l_d_x_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 2, [4]);
        let mu = super::mu(x.clone());
        let v = super::v(x.clone(), mu.clone());
        let epsilon = between(0.25, 2.0, 5, [1]);
        let s = super::s(v.clone(), epsilon.clone());
        let g = between(-1.5, 1.5, 1, [4]);
        let gamma = between(-1.5, 1.5, 4, [4]);
        let u = super::u(x.clone(), mu.clone(), s.clone());
        let beta = between(-1.5, 1.5, 3, [4]);
        let by_hand = super::d_l_d_x(s.clone(), g.clone(), gamma.clone(), u.clone());
        let loss = |x: &Param<Tensor<1>>| {
            let x = x.val();
            let mu = super::mu(x.clone());
            let v = super::v(x.clone(), mu.clone());
            let s = super::s(v.clone(), epsilon.clone());
            let u = super::u(x.clone(), mu.clone(), s.clone());
            let y = super::y(gamma.clone(), u.clone(), beta.clone());
            super::l(g.clone(), y.clone())
        };
        agrees(x.clone(), by_hand, loss);
    }
}
