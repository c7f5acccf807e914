//! The definitions and derivatives of `logistic.md`.
//!
//! `chainrule derive` checked each derivative; the tests compare it with autodiff. The letters in
//! shapes are lengths: `N` is the number of rows, and an index the number of its values. A name
//! that has another value in each row has the rows as its first axis.

use burn::tensor::Tensor;

/// The logistic function. That of Burn computes in f32 on some backends.
fn sigmoid<const D: usize>(value: Tensor<D>) -> Tensor<D> {
    (value * 0.5).tanh() * 0.5 + 0.5
}

/// The definition of `z`:
///
/// ```text
/// z = \sum_{i=1}^d w_i x_i + b
/// ```
///
/// # Shapes
///
/// - `w`: `[d]`
/// - `x`: `[N, d]`
/// - `b`: `[1]`
/// - result: `[N]`
pub fn z(w: Tensor<1>, x: Tensor<2>, b: Tensor<1>) -> Tensor<1> {
    let sum_i = x.matmul(w.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1);
    sum_i + b
}

/// The definition of `ŷ`:
///
/// ```text
/// \hat y = \sigma(z)
/// ```
///
/// # Shapes
///
/// - `z`: `[N]`
/// - result: `[N]`
pub fn y_hat(z: Tensor<1>) -> Tensor<1> {
    sigmoid(z)
}

/// The definition of `C^(n)`:
///
/// ```text
/// C^{(n)} = -\big(y^{(n)} \ln \hat y^{(n)} + (1 - y^{(n)}) \ln (1 - \hat y^{(n)})\big)
/// ```
///
/// # Shapes
///
/// - `y`: `[N]`
/// - `y_hat`: `[N]`
/// - result: `[N]`
pub fn c_n(y: Tensor<1>, y_hat: Tensor<1>) -> Tensor<1> {
    let term = (1.0_f64 - y.clone()) * (1.0_f64 - y_hat.clone()).log();
    let term_2 = y * y_hat.log() + term;
    -term_2
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

/// The definition of `f`:
///
/// ```text
/// f = \hat y
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N]`
/// - result: `[N]`
pub fn f(y_hat: Tensor<1>) -> Tensor<1> {
    y_hat
}

/// The definition of `X_{ni}`:
///
/// ```text
/// X_{ni} = x_i^{(n)}
/// ```
///
/// # Shapes
///
/// - `x`: `[N, d]`
/// - result: `[N, d]`
pub fn big_x(x: Tensor<2>) -> Tensor<2> {
    x
}

/// The definition of `r_n`:
///
/// ```text
/// r_n = \hat y^{(n)} - y^{(n)}
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N]`
/// - `y`: `[N]`
/// - result: `[N]`
pub fn r(y_hat: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    y_hat - y
}

/// The derivative `∂C^(n)/∂ŷ^(n)`:
///
/// ```text
/// \frac{\partial C^{(n)}}{\partial \hat y^{(n)}} = \frac{\hat y^{(n)} - y^{(n)}}{\hat y^{(n)} (1 -
///     \hat y^{(n)})}
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N]`
/// - `y`: `[N]`
/// - result: `[N]`
pub fn d_c_n_d_y_hat(y_hat: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    let term = y_hat.clone() * (1.0_f64 - y_hat.clone());
    (y_hat - y) / term
}

/// The derivative `∂ŷ/∂z`:
///
/// ```text
/// \frac{\partial \hat y}{\partial z} = \hat y (1 - \hat y)
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N]`
/// - result: `[N]`
pub fn d_y_hat_d_z(y_hat: Tensor<1>) -> Tensor<1> {
    y_hat.clone() * (1.0 - y_hat)
}

/// The derivative `∂z/∂w_i`:
///
/// ```text
/// \frac{\partial z}{\partial w_i} = x_i
/// ```
///
/// # Shapes
///
/// - `x`: `[N, d]`
/// - result: `[N, d]`
pub fn d_z_d_w(x: Tensor<2>) -> Tensor<2> {
    x
}

/// The derivative `∂z/∂b`:
///
/// ```text
/// \frac{\partial z}{\partial b} = 1
/// ```
///
/// # Shapes
///
/// - `z`: `[N]`
/// - result: `[N]`
pub fn d_z_d_b(z: &Tensor<1>) -> Tensor<1> {
    let size_n = z.dims()[0];
    Tensor::full([size_n], 1.0, (&z.device(), z.dtype()))
}

/// What is differentiated:
///
/// ```text
/// \sigma(z)
/// ```
///
/// # Shapes
///
/// - `z`: `[N]`
/// - result: `[N]`
pub fn sigma_z(z: Tensor<1>) -> Tensor<1> {
    sigmoid(z)
}

/// The derivative `(∂/∂w_i (σ(z)))`:
///
/// ```text
/// \frac{\partial}{\partial w_i} \sigma(z) = x_i \sigma(z) (1 - \sigma(z))
/// ```
///
/// # Shapes
///
/// - `x`: `[N, d]`
/// - `z`: `[N]`
/// - result: `[N, d]`
pub fn d_sigma_z_d_w(x: Tensor<2>, z: Tensor<1>) -> Tensor<2> {
    let term = x * sigmoid(z.clone()).unsqueeze_dim::<2>(1);
    term * (1.0_f64 - sigmoid(z)).unsqueeze_dim::<2>(1)
}

/// The derivative `∂C^(n)/∂w_i`:
///
/// ```text
/// \frac{\partial C^{(n)}}{\partial w_i} = -x_i^{(n)} (y^{(n)} - \hat y^{(n)})
/// ```
///
/// # Shapes
///
/// - `x`: `[N, d]`
/// - `y`: `[N]`
/// - `y_hat`: `[N]`
/// - result: `[N, d]`
pub fn d_c_n_d_w(x: Tensor<2>, y: Tensor<1>, y_hat: Tensor<1>) -> Tensor<2> {
    let term = x * (y - y_hat).unsqueeze_dim::<2>(1);
    -term
}

/// The derivative `∂C/∂w_i`:
///
/// ```text
/// \frac{\partial C}{\partial w_i} = -\frac1N \sum_{n=1}^N (y^{(n)} - \hat y^{(n)}) x_i^{(n)}
/// ```
///
/// # Shapes
///
/// - `y`: `[N]`
/// - `y_hat`: `[N]`
/// - `x`: `[N, d]`
/// - result: `[d]`
pub fn d_c_d_w(y: Tensor<1>, y_hat: Tensor<1>, x: Tensor<2>) -> Tensor<1> {
    let size_n = y.dims()[0];
    let sum_n = x.transpose().matmul((y - y_hat).unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1);
    -1.0 / size_n as f64 * sum_n
}

/// The derivative `∂C/∂w`:
///
/// ```text
/// \frac{\partial C}{\partial w} = \frac1N X^\top r
/// ```
///
/// # Shapes
///
/// - `big_x`: `[N, d]`
/// - `r`: `[N]`
/// - result: `[d]`
pub fn d_c_d_w_2(big_x: Tensor<2>, r: Tensor<1>) -> Tensor<1> {
    let size_n = big_x.dims()[0];
    let term = (1.0_f64 / size_n as f64 * big_x).transpose();
    term.matmul(r.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1)
}

/// The derivative `∂C/∂b`:
///
/// ```text
/// \frac{\partial C}{\partial b} = \frac1N \sum_{n=1}^N (\hat y^{(n)} - y^{(n)})
/// ```
///
/// # Shapes
///
/// - `y_hat`: `[N]`
/// - `y`: `[N]`
/// - result: `[1]`
pub fn d_c_d_b(y_hat: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    let size_n = y_hat.dims()[0];
    1.0 / size_n as f64 * (y_hat - y).sum()
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
    fn d_c_n_d_y_hat_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [3]);
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let y = between(-1.5, 1.5, 4, [4]);
        let by_hand = super::d_c_n_d_y_hat(y_hat.clone(), y.clone());
        let weights = between(0.25, 2.0, 6, [1]);
        for n in 0..4 {
            let moved = y_hat.clone().narrow(0, n, 1);
            let by_hand = by_hand.clone().narrow(0, n, 1);
            let loss = |moved: &Param<Tensor<1>>| {
                let y_hat = y_hat.clone().slice_assign(n..n + 1, moved.val());
                let output = super::c_n(y.clone(), y_hat.clone()).narrow(0, n, 1);
                (output * weights.clone()).sum()
            };
            let factors = weights.clone();
            let by_hand = by_hand * factors;
            agrees(moved, by_hand, loss);
        }
    }

    #[test]
    fn d_y_hat_d_z_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [3]);
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let by_hand = super::d_y_hat_d_z(y_hat.clone());
        let weights = between(0.25, 2.0, 5, [1]);
        for n in 0..4 {
            let moved = z.clone().narrow(0, n, 1);
            let by_hand = by_hand.clone().narrow(0, n, 1);
            let loss = |moved: &Param<Tensor<1>>| {
                let z = z.clone().slice_assign(n..n + 1, moved.val());
                let output = super::y_hat(z.clone()).narrow(0, n, 1);
                (output * weights.clone()).sum()
            };
            let factors = weights.clone();
            let by_hand = by_hand * factors;
            agrees(moved, by_hand, loss);
        }
    }

    #[test]
    fn d_z_d_w_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let w = between(-1.5, 1.5, 2, [3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let by_hand = super::d_z_d_w(x.clone());
        let weights = between(0.25, 2.0, 5, [4]);
        let loss = |w: &Param<Tensor<1>>| {
            let w = w.val();
            let output = super::z(w.clone(), x.clone(), b.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([4, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([3]);
        agrees(w.clone(), by_hand, loss);
    }

    #[test]
    fn d_z_d_b_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [3]);
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let by_hand = super::d_z_d_b(&z);
        let weights = between(0.25, 2.0, 5, [4]);
        let loss = |b: &Param<Tensor<1>>| {
            let b = b.val();
            let output = super::z(w.clone(), x.clone(), b.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone();
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([1]);
        agrees(b.clone(), by_hand, loss);
    }

    #[test]
    fn d_sigma_z_d_w_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let w = between(-1.5, 1.5, 2, [3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let by_hand = super::d_sigma_z_d_w(x.clone(), z.clone());
        let weights = between(0.25, 2.0, 5, [4]);
        let loss = |w: &Param<Tensor<1>>| {
            let w = w.val();
            let z = super::z(w.clone(), x.clone(), b.clone());
            let output = super::sigma_z(z.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([4, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([3]);
        agrees(w.clone(), by_hand, loss);
    }

    #[test]
    fn d_c_n_d_w_is_that_of_autodiff() {
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let y = between(-1.5, 1.5, 4, [4]);
        let w = between(-1.5, 1.5, 2, [3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let by_hand = super::d_c_n_d_w(x.clone(), y.clone(), y_hat.clone());
        let weights = between(0.25, 2.0, 6, [4]);
        let loss = |w: &Param<Tensor<1>>| {
            let w = w.val();
            let z = super::z(w.clone(), x.clone(), b.clone());
            let y_hat = super::y_hat(z.clone());
            let output = super::c_n(y.clone(), y_hat.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([4, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([3]);
        agrees(w.clone(), by_hand, loss);
    }

    #[test]
    fn d_c_d_w_is_that_of_autodiff() {
        let y = between(-1.5, 1.5, 4, [4]);
        let w = between(-1.5, 1.5, 2, [3]);
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let by_hand = super::d_c_d_w(y.clone(), y_hat.clone(), x.clone());
        let loss = |w: &Param<Tensor<1>>| {
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
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let big_x = super::big_x(x.clone());
        let w = between(-1.5, 1.5, 2, [3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let y = between(-1.5, 1.5, 4, [4]);
        let r = super::r(y_hat.clone(), y.clone());
        let by_hand = super::d_c_d_w_2(big_x.clone(), r.clone());
        let loss = |w: &Param<Tensor<1>>| {
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
        let w = between(-1.5, 1.5, 2, [3]);
        let x = between(-1.5, 1.5, 3, [4, 3]);
        let b = between(-1.5, 1.5, 1, [1]);
        let z = super::z(w.clone(), x.clone(), b.clone());
        let y_hat = super::y_hat(z.clone());
        let y = between(-1.5, 1.5, 4, [4]);
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
// - line 18, ∂C^(n)/∂w_i: its last member has derivatives
// - line 31, ∂ŷ/∂z ∂z/∂w_i: its left side is no derivative
