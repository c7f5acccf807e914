//! Functions of one or two values.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, PI, SQRT_2};

use super::{Case, Point};

/// The Maclaurin series of the error function, which needs few terms for the points here.
fn erf(x: f64) -> f64 {
    let mut power = x;
    let mut sum = 0.0;
    for n in 0..60 {
        sum += power / f64::from(2 * n + 1);
        power *= -x * x / f64::from(n + 1);
    }
    FRAC_2_SQRT_PI * sum
}

/// Multiplies the derivative of a function of single values with the cotangent.
fn map(x: &[f64], g: &[f64], derivative: impl Fn(f64) -> f64) -> Vec<f64> {
    x.iter().zip(g).map(|(x, g)| derivative(*x) * g).collect()
}

fn is_inside(x: f64) -> f64 {
    f64::from((-1.0..=1.0).contains(&x))
}

fn cross(a: &[f64], b: &[f64]) -> Vec<f64> {
    vec![a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "gelu: derivative of the approximation by tanh",
            "no number: forward with erf, backward with tanh",
            Point::Random(4),
            |x| x.iter().map(|x| 0.5 * x * (1.0 + erf(x / SQRT_2))).collect(),
            [
                |x, g| map(x, g, |x| 0.5 * (1.0 + erf(x / SQRT_2)) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()),
                |x, g| {
                    map(x, g, |x| {
                        let scale = (2.0 / PI).sqrt();
                        let tanh = (scale * (x + 0.044715 * x.powi(3))).tanh();
                        let inner = scale * (1.0 + 3.0 * 0.044715 * x * x);
                        0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner
                    })
                },
            ],
        ),
        Case::new(
            "rpow: derivative of x^3, not 3^x",
            "tenstorrent/tt-metal#55289",
            Point::Random(3),
            |x| x.iter().map(|x| 3f64.powf(*x)).collect(),
            [|x, g| map(x, g, |x| 3f64.powf(x) * 3f64.ln()), |x, g| map(x, g, |x| 3.0 * x * x)],
        ),
        // The values are the exponents of the bases 0 and 2.
        Case::new(
            "pow: NaN for the exponent of a zero base",
            "tensorflow/tfjs#346",
            Point::At(&[2.0, 0.7]),
            |x| vec![0f64.powf(x[0]), 2f64.powf(x[1])],
            [
                |x, g| vec![0.0, 2f64.powf(x[1]) * LN_2 * g[1]],
                |x, g| [0f64, 2f64].iter().zip(x).zip(g).map(|((base, x), g)| base.powf(*x) * base.ln() * g).collect(),
            ],
        ),
        Case::new(
            "div: gradient of the denominator multiplied by it",
            "apache/singa#484",
            Point::At(&[0.7, -1.3, 2.5, 0.4]),
            |x| vec![x[0] / x[2], x[1] / x[3]],
            [
                |x, g| vec![g[0] / x[2], g[1] / x[3], -g[0] * x[0] / x[2].powi(2), -g[1] * x[1] / x[3].powi(2)],
                |x, g| vec![g[0] / x[2], g[1] / x[3], g[0] * x[2], g[1] * x[3]],
            ],
        ),
        Case::new(
            "atan2: gradients of the arguments swapped",
            "getkeops/keops#155",
            Point::At(&[0.8, -0.5]),
            |x| vec![x[0].atan2(x[1])],
            [
                |x, g| vec![g[0] * x[1] / (x[0] * x[0] + x[1] * x[1]), -g[0] * x[0] / (x[0] * x[0] + x[1] * x[1])],
                |x, g| vec![-g[0] * x[0] / (x[0] * x[0] + x[1] * x[1]), g[0] * x[1] / (x[0] * x[0] + x[1] * x[1])],
            ],
        ),
        Case::new(
            "atan2: sign of both gradients",
            "EnzymeAD/Enzyme-JAX#2066",
            Point::At(&[0.8, -0.5]),
            |x| vec![x[0].atan2(x[1])],
            [
                |x, g| vec![g[0] * x[1] / (x[0] * x[0] + x[1] * x[1]), -g[0] * x[0] / (x[0] * x[0] + x[1] * x[1])],
                |x, g| vec![-g[0] * x[1] / (x[0] * x[0] + x[1] * x[1]), g[0] * x[0] / (x[0] * x[0] + x[1] * x[1])],
            ],
        ),
        // hypot(x, y) = max sqrt(1 + (min / max)^2), with the maximum and minimum differentiated.
        Case::new(
            "hypot: equal arguments",
            "tensorflow/tensorflow#127697",
            Point::At(&[0.75, 0.75]),
            |x| vec![x[0].hypot(x[1])],
            [|x, g| x.iter().map(|value| g[0] * value / x[0].hypot(x[1])).collect(), |_, g| vec![SQRT_2 * g[0], 0.0]],
        ),
        // The derivative is exp(x), about 2e-8 here. expm1(x) is -1 in f32.
        Case::new(
            "expm1: derivative expm1(x) + 1 is 0 in f32",
            "tenstorrent/tt-metal#55723",
            Point::At(&[-17.5, -18.0]),
            |x| x.iter().map(|x| x.exp_m1()).collect(),
            [
                |x, g| map(x, g, |x| f64::from((x as f32).exp())),
                |x, g| map(x, g, |x| f64::from((x as f32).exp_m1() + 1.0)),
            ],
        )
        .in_f32(),
        Case::new(
            "sigmoid: derivative s (1 - s) is 0 in f32",
            "tenstorrent/tt-metal#55724",
            Point::At(&[17.5, 18.0]),
            |x| x.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
            [
                |x, g| {
                    map(x, g, |x| {
                        let e = (-x as f32).exp();
                        f64::from(e / (1.0 + e).powi(2))
                    })
                },
                |x, g| {
                    map(x, g, |x| {
                        let s = 1.0 / (1.0 + (-x as f32).exp());
                        f64::from(s * (1.0 - s))
                    })
                },
            ],
        )
        .in_f32(),
        Case::new(
            "tanh: derivative 1 - y^2 is 0 in f32",
            "no number: as the sigmoid of tenstorrent/tt-metal#55724",
            Point::At(&[9.5, 10.0]),
            |x| x.iter().map(|x| x.tanh()).collect(),
            [
                |x, g| map(x, g, |x| f64::from((x as f32).cosh().powi(-2))),
                |x, g| map(x, g, |x| f64::from(1.0 - (x as f32).tanh().powi(2))),
            ],
        )
        .in_f32(),
        // The derivative of log(1 - exp(x)) is 1 / (1 - exp(-x)), about -1e8 here.
        Case::new(
            "log1mexp: 1 - exp(x) is 0 in f32",
            "aesara-devs/aesara#725",
            Point::At(&[-7.450_580_596_923_828e-9, -1.490_116_119_384_765_6e-8]),
            |x| x.iter().map(|x| (-x.exp_m1()).ln()).collect(),
            [
                |x, g| map(x, g, |x| f64::from(-1.0 / (-x as f32).exp_m1())),
                |x, g| map(x, g, |x| f64::from(-(x as f32).exp() / (1.0 - (x as f32).exp()))),
            ],
        )
        .in_f32(),
        Case::new(
            "clamp: gradient beyond the border",
            "LuisaGroup/LuisaCompute#203",
            Point::At(&[1.5, 0.3, -1.2]),
            |x| x.iter().map(|x| x.clamp(-1.0, 1.0)).collect(),
            [|x, g| map(x, g, is_inside), |_, g| g.to_vec()],
        ),
        Case::new(
            "clamp: gradient where both borders and the value are equal",
            "pytorch/pytorch#94204",
            Point::At(&[1.0, 0.3]),
            |x| vec![x[0].clamp(1.0, 1.0), x[1]],
            [|_, g| vec![0.0, g[1]], |_, g| g.to_vec()],
        ),
        Case::new(
            "min: cotangent ignored",
            "apache/singa#510",
            Point::At(&[0.4, -0.9, 0.1, 1.1]),
            |x| vec![x[0].min(x[2]), x[1].min(x[3])],
            [|_, g| vec![0.0, g[1], g[0], 0.0], |_, _| vec![0.0, 1.0, 1.0, 0.0]],
        ),
        Case::new(
            "clip: cotangent applied twice",
            "elixir-nx/nx#1779",
            Point::At(&[1.5, 0.3, -0.7]),
            |x| x.iter().map(|x| x.clamp(-1.0, 1.0)).collect(),
            [|x, g| map(x, g, is_inside), |x, g| x.iter().zip(g).map(|(x, g)| is_inside(*x) * g * g).collect()],
        ),
        Case::new(
            "copysign: sign of the first argument missing",
            "chalk-lab/Mooncake.jl#1195",
            Point::At(&[-5.0, 2.0]),
            |x| x.iter().map(|x| x.copysign(3.0)).collect(),
            [|x, g| map(x, g, f64::signum), |_, g| g.to_vec()],
        ),
        Case::new(
            "cross: sign of the second gradient",
            "tracel-ai/burn#4069",
            Point::Random(6),
            |x| cross(&x[..3], &x[3..]),
            [
                |x, g| [cross(&x[3..], g), cross(g, &x[..3])].concat(),
                |x, g| [cross(&x[3..], g), cross(&x[..3], g)].concat(),
            ],
        ),
    ]
}
