//! The definitions and derivatives of `mlp.md`.
//!
//! `chainrule derive` checked each derivative; the tests compare it with autodiff. The letters in
//! shapes are lengths: `N` is the number of rows, and an index the number of its values. A name
//! that has another value in each row has the rows as its first axis.

use burn::tensor::{FloatDType, Tensor};

/// The Kronecker delta `[size, size]`, of the type and device of a tensor.
fn delta<const D: usize>(size: usize, like: &Tensor<D>) -> Tensor<2> {
    Tensor::<2>::eye(size, &like.device()).cast(FloatDType::from(like.dtype()))
}

/// The definition of `a_i`:
///
/// ```text
/// a_i = \sum_j V_{ij} x_j + c_i
/// ```
///
/// # Shapes
///
/// - `v`: `[i, j]`
/// - `x`: `[j]`
/// - `c`: `[i]`
/// - result: `[i]`
pub fn a(v: Tensor<2>, x: Tensor<1>, c: Tensor<1>) -> Tensor<1> {
    let sum_j = v.matmul(x.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1);
    sum_j + c
}

/// The definition of `h_i`:
///
/// ```text
/// h_i = \tanh(a_i)
/// ```
///
/// # Shapes
///
/// - `a`: `[i]`
/// - result: `[i]`
pub fn h(a: Tensor<1>) -> Tensor<1> {
    a.tanh()
}

/// The definition of `z_k`:
///
/// ```text
/// z_k = \sum_i W_{ki} h_i + b_k
/// ```
///
/// # Shapes
///
/// - `w`: `[k, i]`
/// - `h`: `[i]`
/// - `b`: `[k]`
/// - result: `[k]`
pub fn z(w: Tensor<2>, h: Tensor<1>, b: Tensor<1>) -> Tensor<1> {
    let sum_i = w.matmul(h.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1);
    sum_i + b
}

/// The definition of `p_k`:
///
/// ```text
/// p_k = \frac{e^{z_k}}{\sum_l e^{z_l}}
/// ```
///
/// # Shapes
///
/// - `z`: `[k]`
/// - result: `[k]`
pub fn p(z: Tensor<1>) -> Tensor<1> {
    z.clone().exp() / z.exp().sum()
}

/// The definition of `C`:
///
/// ```text
/// C = -\sum_k y_k \ln p_k
/// ```
///
/// # Shapes
///
/// - `y`: `[k]`
/// - `p`: `[k]`
/// - result: `[1]`
pub fn big_c(y: Tensor<1>, p: Tensor<1>) -> Tensor<1> {
    -(y * p.log()).sum()
}

/// The derivative `∂C/∂z_k`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial z_k} = p_k - y_k
/// ```
///
/// # Shapes
///
/// - `p`: `[k]`
/// - `y`: `[k]`
/// - result: `[k]`
pub fn d_big_c_d_z(p: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    p - y
}

/// The derivative `∂C/∂W_{ki}`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial W_{ki}} = (p_k - y_k) h_i
/// ```
///
/// # Shapes
///
/// - `p`: `[k]`
/// - `y`: `[k]`
/// - `h`: `[i]`
/// - result: `[k, i]`
pub fn d_big_c_d_w(p: Tensor<1>, y: Tensor<1>, h: Tensor<1>) -> Tensor<2> {
    (p - y).unsqueeze_dim::<2>(1) * h.unsqueeze::<2>()
}

/// The derivative `∂C/∂h_i`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial h_i} = \sum_k (p_k - y_k) W_{ki}
/// ```
///
/// # Shapes
///
/// - `p`: `[k]`
/// - `y`: `[k]`
/// - `w`: `[k, i]`
/// - result: `[i]`
pub fn d_big_c_d_h(p: Tensor<1>, y: Tensor<1>, w: Tensor<2>) -> Tensor<1> {
    w.transpose().matmul((p - y).unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1)
}

/// The derivative `∂h_i/∂a_j`:
///
/// ```text
/// \frac{\partial h_i}{\partial a_j} = (1 - h_i^2) [i = j]
/// ```
///
/// # Shapes
///
/// - `h`: `[i]`
/// - result: `[i, i]`
pub fn d_h_d_a(h: Tensor<1>) -> Tensor<2> {
    let size_i = h.dims()[0];
    let delta_i_j = delta(size_i, &h);
    (1.0_f64 - h.square()).unsqueeze_dim::<2>(1) * delta_i_j
}

/// The derivative `∂C/∂V_{ij}`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial V_{ij}} = (1 - h_i^2) x_j \sum_k (p_k - y_k) W_{ki}
/// ```
///
/// # Shapes
///
/// - `h`: `[i]`
/// - `x`: `[j]`
/// - `p`: `[k]`
/// - `y`: `[k]`
/// - `w`: `[k, i]`
/// - result: `[i, j]`
pub fn d_big_c_d_v(h: Tensor<1>, x: Tensor<1>, p: Tensor<1>, y: Tensor<1>, w: Tensor<2>) -> Tensor<2> {
    let sum_k = w.transpose().matmul((p - y).unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1);
    let term = (1.0_f64 - h.square()).unsqueeze_dim::<2>(1) * x.unsqueeze::<2>();
    term * sum_k.unsqueeze_dim::<2>(1)
}

/// The derivative `∂C/∂c_i`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial c_i} = (1 - h_i^2) \sum_k (p_k - y_k) W_{ki}
/// ```
///
/// # Shapes
///
/// - `h`: `[i]`
/// - `p`: `[k]`
/// - `y`: `[k]`
/// - `w`: `[k, i]`
/// - result: `[i]`
pub fn d_big_c_d_c(h: Tensor<1>, p: Tensor<1>, y: Tensor<1>, w: Tensor<2>) -> Tensor<1> {
    let sum_k = w.transpose().matmul((p - y).unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1);
    (1.0 - h.square()) * sum_k
}

/// The derivative `∂C/∂W`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial W} = (p - y) h^\top
/// ```
///
/// # Shapes
///
/// - `p`: `[k]`
/// - `y`: `[k]`
/// - `h`: `[i]`
/// - result: `[k, i]`
pub fn d_big_c_d_w_2(p: Tensor<1>, y: Tensor<1>, h: Tensor<1>) -> Tensor<2> {
    (p - y).unsqueeze_dim::<2>(1) * h.unsqueeze::<2>()
}

/// The derivative `∂C/∂h`, where `\sum_k y_k = 1`:
///
/// ```text
/// \frac{\partial C}{\partial h} = W^\top (p - y)
/// ```
///
/// # Shapes
///
/// - `w`: `[k, i]`
/// - `p`: `[k]`
/// - `y`: `[k]`
/// - result: `[i]`
pub fn d_big_c_d_h_2(w: Tensor<2>, p: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    w.transpose().matmul((p - y).unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1)
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

    /// Positive numbers whose sum over the last axis is one.
    fn shares<const D: usize>(seed: usize, dims: [usize; D]) -> Tensor<D> {
        let values = tensor(|place| 1.0 + part(seed, place), dims);
        let sums = values.clone().sum_dim(D - 1);
        values / sums
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
    fn d_big_c_d_z_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [2, 4]);
        let v = between(-1.5, 1.5, 1, [4, 3]);
        let x = between(-1.5, 1.5, 5, [3]);
        let c = between(-1.5, 1.5, 4, [4]);
        let a = super::a(v.clone(), x.clone(), c.clone());
        let h = super::h(a.clone());
        let b = between(-1.5, 1.5, 3, [2]);
        let z = super::z(w.clone(), h.clone(), b.clone());
        let p = super::p(z.clone());
        let y = shares(6, [2]);
        let by_hand = super::d_big_c_d_z(p.clone(), y.clone());
        let loss = |z: &Param<Tensor<1>>| {
            let z = z.val();
            let p = super::p(z.clone());
            super::big_c(y.clone(), p.clone())
        };
        agrees(z.clone(), by_hand, loss);
    }

    #[test]
    fn d_big_c_d_w_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [2, 4]);
        let v = between(-1.5, 1.5, 1, [4, 3]);
        let x = between(-1.5, 1.5, 5, [3]);
        let c = between(-1.5, 1.5, 4, [4]);
        let a = super::a(v.clone(), x.clone(), c.clone());
        let h = super::h(a.clone());
        let b = between(-1.5, 1.5, 3, [2]);
        let z = super::z(w.clone(), h.clone(), b.clone());
        let p = super::p(z.clone());
        let y = shares(6, [2]);
        let by_hand = super::d_big_c_d_w(p.clone(), y.clone(), h.clone());
        let loss = |w: &Param<Tensor<2>>| {
            let w = w.val();
            let z = super::z(w.clone(), h.clone(), b.clone());
            let p = super::p(z.clone());
            super::big_c(y.clone(), p.clone())
        };
        agrees(w.clone(), by_hand, loss);
    }

    #[test]
    fn d_big_c_d_h_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [2, 4]);
        let v = between(-1.5, 1.5, 1, [4, 3]);
        let x = between(-1.5, 1.5, 5, [3]);
        let c = between(-1.5, 1.5, 4, [4]);
        let a = super::a(v.clone(), x.clone(), c.clone());
        let h = super::h(a.clone());
        let b = between(-1.5, 1.5, 3, [2]);
        let z = super::z(w.clone(), h.clone(), b.clone());
        let p = super::p(z.clone());
        let y = shares(6, [2]);
        let by_hand = super::d_big_c_d_h(p.clone(), y.clone(), w.clone());
        let loss = |h: &Param<Tensor<1>>| {
            let h = h.val();
            let z = super::z(w.clone(), h.clone(), b.clone());
            let p = super::p(z.clone());
            super::big_c(y.clone(), p.clone())
        };
        agrees(h.clone(), by_hand, loss);
    }

    #[test]
    fn d_h_d_a_is_that_of_autodiff() {
        let v = between(-1.5, 1.5, 1, [4, 3]);
        let x = between(-1.5, 1.5, 3, [3]);
        let c = between(-1.5, 1.5, 2, [4]);
        let a = super::a(v.clone(), x.clone(), c.clone());
        let h = super::h(a.clone());
        let by_hand = super::d_h_d_a(h.clone());
        let weights = between(0.25, 2.0, 5, [4]);
        let loss = |a: &Param<Tensor<1>>| {
            let a = a.val();
            let output = super::h(a.clone());
            (output * weights.clone()).sum()
        };
        let factors = weights.clone().reshape([4, 1]);
        let by_hand = (by_hand * factors).sum_dims(&[0]);
        let by_hand = by_hand.reshape([4]);
        agrees(a.clone(), by_hand, loss);
    }

    #[test]
    fn d_big_c_d_v_is_that_of_autodiff() {
        let v = between(-1.5, 1.5, 1, [4, 3]);
        let x = between(-1.5, 1.5, 5, [3]);
        let c = between(-1.5, 1.5, 4, [4]);
        let a = super::a(v.clone(), x.clone(), c.clone());
        let h = super::h(a.clone());
        let w = between(-1.5, 1.5, 2, [2, 4]);
        let b = between(-1.5, 1.5, 3, [2]);
        let z = super::z(w.clone(), h.clone(), b.clone());
        let p = super::p(z.clone());
        let y = shares(6, [2]);
        let by_hand = super::d_big_c_d_v(h.clone(), x.clone(), p.clone(), y.clone(), w.clone());
        let loss = |v: &Param<Tensor<2>>| {
            let v = v.val();
            let a = super::a(v.clone(), x.clone(), c.clone());
            let h = super::h(a.clone());
            let z = super::z(w.clone(), h.clone(), b.clone());
            let p = super::p(z.clone());
            super::big_c(y.clone(), p.clone())
        };
        agrees(v.clone(), by_hand, loss);
    }

    #[test]
    fn d_big_c_d_c_is_that_of_autodiff() {
        let v = between(-1.5, 1.5, 1, [4, 3]);
        let x = between(-1.5, 1.5, 5, [3]);
        let c = between(-1.5, 1.5, 4, [4]);
        let a = super::a(v.clone(), x.clone(), c.clone());
        let h = super::h(a.clone());
        let w = between(-1.5, 1.5, 2, [2, 4]);
        let b = between(-1.5, 1.5, 3, [2]);
        let z = super::z(w.clone(), h.clone(), b.clone());
        let p = super::p(z.clone());
        let y = shares(6, [2]);
        let by_hand = super::d_big_c_d_c(h.clone(), p.clone(), y.clone(), w.clone());
        let loss = |c: &Param<Tensor<1>>| {
            let c = c.val();
            let a = super::a(v.clone(), x.clone(), c.clone());
            let h = super::h(a.clone());
            let z = super::z(w.clone(), h.clone(), b.clone());
            let p = super::p(z.clone());
            super::big_c(y.clone(), p.clone())
        };
        agrees(c.clone(), by_hand, loss);
    }

    #[test]
    fn d_big_c_d_w_2_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [2, 4]);
        let v = between(-1.5, 1.5, 1, [4, 3]);
        let x = between(-1.5, 1.5, 5, [3]);
        let c = between(-1.5, 1.5, 4, [4]);
        let a = super::a(v.clone(), x.clone(), c.clone());
        let h = super::h(a.clone());
        let b = between(-1.5, 1.5, 3, [2]);
        let z = super::z(w.clone(), h.clone(), b.clone());
        let p = super::p(z.clone());
        let y = shares(6, [2]);
        let by_hand = super::d_big_c_d_w_2(p.clone(), y.clone(), h.clone());
        let loss = |w: &Param<Tensor<2>>| {
            let w = w.val();
            let z = super::z(w.clone(), h.clone(), b.clone());
            let p = super::p(z.clone());
            super::big_c(y.clone(), p.clone())
        };
        agrees(w.clone(), by_hand, loss);
    }

    #[test]
    fn d_big_c_d_h_2_is_that_of_autodiff() {
        let w = between(-1.5, 1.5, 2, [2, 4]);
        let v = between(-1.5, 1.5, 1, [4, 3]);
        let x = between(-1.5, 1.5, 5, [3]);
        let c = between(-1.5, 1.5, 4, [4]);
        let a = super::a(v.clone(), x.clone(), c.clone());
        let h = super::h(a.clone());
        let b = between(-1.5, 1.5, 3, [2]);
        let z = super::z(w.clone(), h.clone(), b.clone());
        let p = super::p(z.clone());
        let y = shares(6, [2]);
        let by_hand = super::d_big_c_d_h_2(w.clone(), p.clone(), y.clone());
        let loss = |h: &Param<Tensor<1>>| {
            let h = h.val();
            let z = super::z(w.clone(), h.clone(), b.clone());
            let p = super::p(z.clone());
            super::big_c(y.clone(), p.clone())
        };
        agrees(h.clone(), by_hand, loss);
    }
}

// Left out:
// - line 19, ∂C/∂a_i: its last member has derivatives
