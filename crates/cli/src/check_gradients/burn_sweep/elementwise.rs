//! Operations on each element: of one tensor, of a tensor and a number, and of two tensors, which
//! may be broadcast.

use burn::tensor::{Tensor, activation};

use super::{Case, cases};

/// The shapes of two tensors that are broadcast.
const BROADCAST: [([usize; 2], [usize; 2], &str); 3] =
    [([3, 4], [3, 4], ""), ([3, 4], [1, 4], ", a row"), ([3, 1], [1, 4], ", a column and a row")];

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let mut all = cases! {
        "neg" => |s| s.elementwise(|x| x.neg());
        "abs" => |s| s.elementwise(|x| x.abs());
        "sign" => |s| s.elementwise(|x| x.clone().sign() + x);
        "square" => |s| s.elementwise(|x| x.square());
        "exp" => |s| s.elementwise(|x| x.exp());
        "erf" => |s| s.elementwise(|x| x.erf());
        "sin" => |s| s.elementwise(|x| x.sin());
        "cos" => |s| s.elementwise(|x| x.cos());
        "tan" => |s| s.input(s.random(1, [3, 4]), |x| x.tan());
        "sinh" => |s| s.elementwise(|x| x.sinh());
        "cosh" => |s| s.elementwise(|x| x.cosh());
        "tanh" => |s| s.elementwise(|x| x.tanh());
        "asin" => |s| s.input(s.random(1, [3, 4]) * 0.9, |x| x.asin());
        "acos" => |s| s.input(s.random(1, [3, 4]) * 0.9, |x| x.acos());
        "atan" => |s| s.elementwise(|x| x.atan());
        "asinh" => |s| s.elementwise(|x| x.asinh());
        "acosh" => |s| s.input(s.positive(1, [3, 4]) + 1.0, |x| x.acosh());
        "atanh" => |s| s.input(s.random(1, [3, 4]) * 0.9, |x| x.atanh());
        "deg2rad" => |s| s.elementwise(|x| x.deg2rad());
        "rad2deg" => |s| s.elementwise(|x| x.rad2deg());
        "floor" => |s| s.elementwise(|x| x.clone().floor() + x);
        "ceil" => |s| s.elementwise(|x| x.clone().ceil() + x);
        "round" => |s| s.elementwise(|x| x.clone().round() + x);
        "trunc" => |s| s.elementwise(|x| x.clone().trunc() + x);
        "sqrt" => |s| s.input(s.positive(1, [3, 4]), |x| x.sqrt());
        "log" => |s| s.input(s.positive(1, [3, 4]), |x| x.log());
        "sqrt of tiny numbers" => |s| s.input(s.positive(1, [3, 4]) * 1e-9, |x| x.sqrt());
        "log of tiny numbers" => |s| s.input(s.positive(1, [3, 4]) * 1e-7, |x| x.log());
        "tanh of large numbers" => |s| s.input(s.random(1, [3, 4]) + 8.0, |x| x.tanh());
        "log1p" => |s| s.input(s.random(1, [3, 4]) * 0.9, |x| x.log1p());
        "recip" => |s| s.input(s.positive(1, [3, 4]), |x| x.recip());
        "recip of negative numbers" => |s| s.input(s.positive(1, [3, 4]).neg(), |x| x.recip());
        "exp of large numbers" => |s| s.input(s.random(1, [3, 4]) * 5.0 + 30.0, |x| x.exp());
        "erf of large numbers" => |s| s.input(s.random(1, [3, 4]) + 4.0, |x| x.erf());
        "sigmoid of large numbers" => |s| s.input(s.random(1, [3, 4]) * 3.0 - 20.0, activation::sigmoid);
        "log_sigmoid of large numbers" => |s| s.input(s.random(1, [3, 4]) * 9.0 - 90.0, activation::log_sigmoid);
        "softplus of large numbers" => |s| s.input(s.random(1, [3, 4]) * 9.0 + 90.0, |x| activation::softplus(x, 1.0));
        "elu of large numbers" => |s| s.input(s.random(1, [3, 4]) * 9.0 + 95.0, |x| activation::elu(x, 1.0));
        "celu of large numbers" => |s| s.input(s.random(1, [3, 4]) * 9.0 + 95.0, |x| activation::celu(x, 1.0));
        "selu of large numbers" => |s| s.input(s.random(1, [3, 4]) * 9.0 + 95.0, activation::selu);
        "gelu of negative numbers" => |s| s.input(s.random(1, [3, 4]) - 3.0, activation::gelu);
        "log_softmax of large numbers" => |s| s.input(s.random(1, [3, 4]) * 30.0, |x| activation::log_softmax(x, 1));
        "softmax of large numbers" => |s| s.input(s.random(1, [3, 4]) * 30.0, |x| activation::softmax(x, 1));
        "softplus, beta 3" => |s| s.elementwise(|x| activation::softplus(x, 3.0));
        "softplus_with_threshold" => |s| s.elementwise(|x| activation::softplus_with_threshold(x, 1.0, 1.0));
        "thresholded_relu" => |s| s.elementwise(|x| activation::thresholded_relu(x, 0.3));
        "threshold" => |s| s.elementwise(|x| activation::threshold(x, 0.3, -0.5));
        "hard_shrink" => |s| s.elementwise(|x| activation::hard_shrink(x, 0.3));
        "soft_shrink" => |s| s.elementwise(|x| activation::soft_shrink(x, 0.3));
        "shrink" => |s| s.elementwise(|x| activation::shrink(x, 0.3, 0.1));
        "prelu" => |s| s.inputs(s.random(1, [3, 4]), s.positive(2, [4]), activation::prelu);
        "clamp" => |s| s.elementwise(|x| x.clamp(-0.5, 0.7));
        "clamp_min" => |s| s.elementwise(|x| x.clamp_min(-0.5));
        "clamp_max" => |s| s.elementwise(|x| x.clamp_max(0.7));
        "add_scalar" => |s| s.elementwise(|x| x.add_scalar(1.7));
        "sub_scalar" => |s| s.elementwise(|x| x.sub_scalar(1.7));
        "mul_scalar" => |s| s.elementwise(|x| x.mul_scalar(1.7));
        "div_scalar" => |s| s.elementwise(|x| x.div_scalar(1.7));
        "div_scalar by 3" => |s| s.elementwise(|x| x.div_scalar(3));
        "div_scalar by a third" => |s| s.elementwise(|x| x.div_scalar(1.0 / 3.0));
        "remainder_scalar" => |s| s.elementwise(|x| x.remainder_scalar(0.7));
        "fmod_scalar" => |s| s.elementwise(|x| x.fmod_scalar(0.75));
        "powf_scalar, 2.5" => |s| s.input(s.positive(1, [3, 4]), |x| x.powf_scalar(2.5));
        "powf_scalar, -1.5" => |s| s.input(s.positive(1, [3, 4]), |x| x.powf_scalar(-1.5));
        "powf_scalar, 2" => |s| s.elementwise(|x| x.powf_scalar(2.0));
        "powf_scalar, 3" => |s| s.elementwise(|x| x.powf_scalar(3.0));
        "powf_scalar, 0" => |s| s.elementwise(|x| x.clone().powf_scalar(0.0) + x);
        "powf_scalar, 1" => |s| s.elementwise(|x| x.powf_scalar(1.0));
        "powf_scalar, 2, at 0" => |s| s.input(s.numbers(&[0.0, 1.0], [1, 2]), |x| x.powf_scalar(2.0));
        "powf_scalar, 1, at 0" => |s| s.input(s.numbers(&[0.0, 1.0], [1, 2]), |x| x.powf_scalar(1.0));
        "powi_scalar, 2" => |s| s.elementwise(|x| x.powi_scalar(2));
        "powi_scalar, 3" => |s| s.elementwise(|x| x.powi_scalar(3));
        "powi_scalar, -2" => |s| s.input(s.positive(1, [3, 4]), |x| x.powi_scalar(-2));
        "powi_scalar, 0" => |s| s.elementwise(|x| x.clone().powi_scalar(0) + x);
        "powi" => |s| {
            let exponents = s.numbers(&[1.0, 2.0, 3.0, 2.0], [1, 4]);
            s.input(s.positive(1, [3, 4]), move |x| x.powi(exponents.clone().repeat_dim(0, 3)))
        };
        "max of equal tensors" => |s| s.inputs(s.numbers(&[1.0, 2.0], [2]), s.numbers(&[1.0, 0.0], [2]), Tensor::max_pair);
        "hypot" => |s| s.inputs(s.positive(1, [3, 4]), s.random(2, [3, 4]), Tensor::hypot);
        "hypot at 0" => |s| s.inputs(s.numbers(&[0.0, 1.0], [2]), s.numbers(&[0.0, 1.0], [2]), Tensor::hypot);
        "cast to f32 and back" => |s| {
            let dtype = s.dtype;
            s.elementwise(move |x| x.cast(burn::tensor::FloatDType::F32).cast(dtype))
        };
        "mish" => |s| s.elementwise(activation::mish);
        "x * x" => |s| s.elementwise(|x| x.clone() * x);
        "x / x.abs()" => |s| s.elementwise(|x| x.clone() / (x.abs() + 1.0));
    };
    type Binary = (&'static str, fn(Tensor<2>, Tensor<2>) -> Tensor<2>);
    let binaries: [Binary; 10] = [
        ("add", Tensor::add), ("sub", Tensor::sub), ("mul", Tensor::mul), ("div", |a, b| a.div(b + 2.0)),
        ("powf", |a, b| (a + 2.0).powf(b)), ("atan2", |a, b| a.atan2(b + 2.0)), ("max_pair", Tensor::max_pair),
        ("min_pair", Tensor::min_pair), ("remainder", |a, b| a.remainder(b + 2.0)), ("fmod", |a, b| a.fmod(b + 2.0)),
    ];
    for (name, operation) in binaries {
        for (a, b, how) in BROADCAST {
            all.push(super::case(format!("{name}{how}"), move |s| s.inputs(s.random(1, a), s.random(2, b), operation)));
        }
    }
    all
}
