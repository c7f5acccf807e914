//! The definitions and derivatives of `softmax.md`.
//!
//! `chainrule derive` checked each derivative; the tests compare it with autodiff. The letters in
//! shapes are lengths: `N` is the number of rows, and an index the number of its values. A name
//! that has another value in each row has the rows as its first axis.

use burn::tensor::{FloatDType, Tensor};

/// The Kronecker delta `[size, size]`, of the type and device of a tensor.
fn delta<const D: usize>(size: usize, like: &Tensor<D>) -> Tensor<2> {
    Tensor::<2>::eye(size, &like.device()).cast(FloatDType::from(like.dtype()))
}

/// The definition of `z_k`:
///
/// ```text
/// z_k = \sum_{j=1}^d w_{kj} x_j + b_k
/// ```
///
/// # Shapes
///
/// - `w`: `[K, d]`
/// - `x`: `[N, d]`
/// - `b`: `[K]`
/// - result: `[N, K]`
pub fn z(w: Tensor<2>, x: Tensor<2>, b: Tensor<1>) -> Tensor<2> {
    let term = x.matmul(w.transpose());
    term + b.unsqueeze::<2>()
}

/// The definition of `ŷ_k`:
///
/// ```text
/// \hat y_k = \frac{e^{z_k}}{\sum_{k'=1}^K e^{z_{k'}}}
/// ```
///
/// # Shapes
///
/// - `z`: `[N, K]`
/// - result: `[N, K]`
pub fn y_hat(z: Tensor<2>) -> Tensor<2> {
    let term = z.clone().exp().sum_dim(1).squeeze_dim::<1>(1);
    z.exp() / term.unsqueeze_dim::<2>(1)
}

/// The definition of `C^(n)`:
///
/// ```text
/// C^{(n)} = -\sum_{k=1}^K y_k^{(n)} \ln \hat y_k^{(n)}
/// ```
///
/// # Shapes
///
/// - `y`: `[N, K]`
/// - `y_hat`: `[N, K]`
/// - result: `[N]`
pub fn c_n(y: Tensor<2>, y_hat: Tensor<2>) -> Tensor<1> {
    let term = (y * y_hat.log()).sum_dim(1).squeeze_dim::<1>(1);
    -term
}

/// The definition of `C`:
///
/// ```text
/// C = \frac1N \sum_{n=1}^N C^{(n)}
/// ```
///
/// # Shapes
///
/// - `c_n`: `[N]`
/// - result: `[1]`
pub fn c(c_n: Tensor<1>) -> Tensor<1> {
    let size_n = c_n.dims()[0];
    1.0 / size_n as f64 * c_n.sum()
}

/// The definition of `g_k`:
///
/// ```text
/// g_k = e^{z_k}
/// ```
///
/// # Shapes
///
/// - `z`: `[N, K]`
/// - result: `[N, K]`
pub fn g(z: Tensor<2>) -> Tensor<2> {
    z.exp()
}

/// The definition of `h`:
///
/// ```text
/// h = \sum_{k'} e^{z_{k'}}
/// ```
///
/// # Shapes
///
/// - `z`: `[N, K]`
/// - result: `[N]`
pub fn h(z: Tensor<2>) -> Tensor<1> {
    z.exp().sum_dim(1).squeeze_dim::<1>(1)
}

/// The definition of `X_{nj}`:
///
/// ```text
/// X_{nj} = x_j^{(n)}
/// ```
///
/// # Shapes
///
/// - `x`: `[N, d]`
/// - result: `[N, d]`
pub fn big_x(x: Tensor<2>) -> Tensor<2> {
    x
}

/// The definition of `P_{nk}`:
///
/// ```text
/// P_{nk} = \hat y_k^{(n)}
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N, K]`
/// - result: `[N, K]`
pub fn p(y_hat: Tensor<2>) -> Tensor<2> {
    y_hat
}

/// The definition of `Y_{nk}`:
///
/// ```text
/// Y_{nk} = y_k^{(n)}
/// ```
///
/// # Shapes
///
/// - `y`: `[N, K]`
/// - result: `[N, K]`
pub fn big_y(y: Tensor<2>) -> Tensor<2> {
    y
}

/// The derivative `∂ŷ_k/∂z_j`:
///
/// ```text
/// \frac{\partial \hat y_k}{\partial z_j} = \hat y_k (\delta_{kj} - \hat y_j)
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N, K]`
/// - result: `[N, K, K]`
pub fn d_y_hat_d_z(y_hat: Tensor<2>) -> Tensor<3> {
    let size_k = y_hat.dims()[1];
    let delta_k_j = delta(size_k, &y_hat);
    let term = delta_k_j.unsqueeze::<3>() - y_hat.clone().unsqueeze_dim::<3>(1);
    y_hat.unsqueeze_dim::<3>(2) * term
}

/// The derivative `∂C^(n)/∂z_k^(n)`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C^{(n)}}{\partial z_k^{(n)}} = \hat y_k^{(n)} - y_k^{(n)}
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N, K]`
/// - `y`: `[N, K]`
/// - result: `[N, K]`
pub fn d_c_n_d_z(y_hat: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    y_hat - y
}

/// The derivative `∂C^(n)/∂w_{kj}`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C^{(n)}}{\partial w_{kj}} = -x_j^{(n)} (y_k^{(n)} - \hat y_k^{(n)})
/// ```
///
/// # Shapes
///
/// - `x`: `[N, d]`
/// - `y`: `[N, K]`
/// - `y_hat`: `[N, K]`
/// - result: `[N, K, d]`
pub fn d_c_n_d_w(x: Tensor<2>, y: Tensor<2>, y_hat: Tensor<2>) -> Tensor<3> {
    let term = x.unsqueeze_dim::<3>(1) * (y - y_hat).unsqueeze_dim::<3>(2);
    -term
}

/// The derivative `∂C/∂w_{kj}`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial w_{kj}} = \frac1N \sum_{n=1}^N x_j^{(n)} (\hat y_k^{(n)} - y_k^{(n)})
/// ```
///
/// # Shapes
///
/// - `x`: `[N, d]`
/// - `y_hat`: `[N, K]`
/// - `y`: `[N, K]`
/// - result: `[K, d]`
pub fn d_c_d_w(x: Tensor<2>, y_hat: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    let size_n = x.dims()[0];
    let term = (y_hat - y).transpose();
    1.0 / size_n as f64 * term.matmul(x)
}

/// The derivative `∂C/∂w`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial w} = \frac1N (P - Y)^\top X
/// ```
///
/// # Shapes
///
/// - `p`: `[N, K]`
/// - `big_y`: `[N, K]`
/// - `big_x`: `[N, d]`
/// - result: `[K, d]`
pub fn d_c_d_w_2(p: Tensor<2>, big_y: Tensor<2>, big_x: Tensor<2>) -> Tensor<2> {
    let size_n = p.dims()[0];
    let term = 1.0_f64 / size_n as f64 * (p - big_y);
    term.transpose().matmul(big_x)
}

/// The derivative `∂C/∂b_k`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial b_k} = \frac1N \sum_{n=1}^N (\hat y_k^{(n)} - y_k^{(n)})
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N, K]`
/// - `y`: `[N, K]`
/// - result: `[K]`
pub fn d_c_d_b(y_hat: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    let size_n = y_hat.dims()[0];
    let term = (y_hat - y).sum_dim(0).squeeze_dim::<1>(0);
    1.0 / size_n as f64 * term
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

    fn one_hot<const D: usize>(seed: usize, dims: [usize; D]) -> Tensor<D> {
        let last = dims[D - 1];
        let is_one = |place: usize| place % last == (seed + place / last) % last;
        tensor(|place| f64::from(u8::from(is_one(place))), dims)
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
    fn d_y_hat_d_z_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [3, 2]);
        let x = between(-1.5, 1.5, 3, [4, 2]);
        let b = between(-1.5, 1.5, 1, [3]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let by_hand = super::d_y_hat_d_z(y_hat.clone());
        let weights = between(0.25, 2.0, 5, [1, 3]);
        for n in 0..4 {
            let moved = z.clone().narrow(0, n, 1);
            let by_hand = by_hand.clone().narrow(0, n, 1);
            let loss = |moved: &Param<Tensor<2>>| {
                let z = z.clone().slice_assign([n..n + 1, 0..3], moved.val());
                let output = super::y_hat(z.clone()).narrow(0, n, 1);
                (output * weights.clone()).sum()
            };
            let factors = weights.clone().reshape([1, 3, 1]);
            let by_hand = (by_hand * factors).sum_dims(&[1]);
            let by_hand = by_hand.reshape([1, 3]);
            agrees(moved, by_hand, loss);
        }
    }

    #[test]
    fn d_c_n_d_z_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [3, 2]);
        let x = between(-1.5, 1.5, 3, [4, 2]);
        let b = between(-1.5, 1.5, 1, [3]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let y = one_hot(4, [4, 3]);
        let by_hand = super::d_c_n_d_z(y_hat.clone(), y.clone());
        let weights = between(0.25, 2.0, 6, [1]);
        for n in 0..4 {
            let moved = z.clone().narrow(0, n, 1);
            let by_hand = by_hand.clone().narrow(0, n, 1);
            let loss = |moved: &Param<Tensor<2>>| {
                let z = z.clone().slice_assign([n..n + 1, 0..3], moved.val());
                let y_hat = super::y_hat(z.clone());
                let output = super::c_n(y.clone(), y_hat.clone()).narrow(0, n, 1);
                (output * weights.clone()).sum()
            };
            let factors = weights.clone().reshape([1, 1]);
            let by_hand = by_hand * factors;
            agrees(moved, by_hand, loss);
        }
    }

    #[test]
    fn d_c_n_d_w_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 3, [4, 2]);
        let y = one_hot(4, [4, 3]);
        let w = between(-1.5, 1.5, 2, [3, 2]);
        let b = between(-1.5, 1.5, 1, [3]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let by_hand = super::d_c_n_d_w(x.clone(), y.clone(), y_hat.clone());
        let weights = between(0.25, 2.0, 6, [4]);
        let loss = |w: &Param<Tensor<2>>| {
            let w = w.val();
            let z = super::z(w.clone(), x.clone(), b.clone());
            let y_hat = super::y_hat(z.clone());
            let output = super::c_n(y.clone(), y_hat.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([4, 1, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([3, 2]);
        agrees(w.clone(), by_hand, loss);
    }

    #[test]
    fn d_c_d_w_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 3, [4, 2]);
        let w = between(-1.5, 1.5, 2, [3, 2]);
        let b = between(-1.5, 1.5, 1, [3]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let y = one_hot(4, [4, 3]);
        let by_hand = super::d_c_d_w(x.clone(), y_hat.clone(), y.clone());
        let loss = |w: &Param<Tensor<2>>| {
            let w = w.val();
            let z = super::z(w.clone(), x.clone(), b.clone());
            let y_hat = super::y_hat(z.clone());
            let c_n = super::c_n(y.clone(), y_hat.clone());
            super::c(c_n.clone())
        };
        agrees(w.clone(), by_hand, loss);
    }

    #[test]
    fn d_c_d_w_2_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [3, 2]);
        let x = between(-1.5, 1.5, 3, [4, 2]);
        let b = between(-1.5, 1.5, 1, [3]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let p = super::p(y_hat.clone());
        let y = one_hot(4, [4, 3]);
        let big_y = super::big_y(y.clone());
        let big_x = super::big_x(x.clone());
        let by_hand = super::d_c_d_w_2(p.clone(), big_y.clone(), big_x.clone());
        let loss = |w: &Param<Tensor<2>>| {
            let w = w.val();
            let z = super::z(w.clone(), x.clone(), b.clone());
            let y_hat = super::y_hat(z.clone());
            let c_n = super::c_n(y.clone(), y_hat.clone());
            super::c(c_n.clone())
        };
        agrees(w.clone(), by_hand, loss);
    }

    #[test]
    fn d_c_d_b_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [3, 2]);
        let x = between(-1.5, 1.5, 3, [4, 2]);
        let b = between(-1.5, 1.5, 1, [3]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let y = one_hot(4, [4, 3]);
        let by_hand = super::d_c_d_b(y_hat.clone(), y.clone());
        let loss = |b: &Param<Tensor<1>>| {
            let b = b.val();
            let z = super::z(w.clone(), x.clone(), b.clone());
            let y_hat = super::y_hat(z.clone());
            let c_n = super::c_n(y.clone(), y_hat.clone());
            super::c(c_n.clone())
        };
        agrees(b.clone(), by_hand, loss);
    }
}

// Left out:
// - line 19, ∂C^(n)/∂w_{kj}: its last member has derivatives
// - line 30, ∂C^(n)/∂z_j^(n): its last member has derivatives
