//! Operations over all values: sums, products, norms, softmax.

use super::{Case, Point, dot, softmax};

/// The name of a case. A plain sum of its outputs is constant.
pub(super) const SOFTMAX_QUOTIENT: &str = "softmax: divided by the probability, not multiplied";

fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest.is_infinite() {
        return largest;
    }
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// Returns the mean and the variance, with the divisor `n - correction`.
fn moments(x: &[f64], correction: f64) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - correction))
}

/// Returns `(x - mean) / sqrt(variance + 1e-5)` and the square root.
fn normalize(x: &[f64]) -> (Vec<f64>, f64) {
    let (mean, variance) = moments(x, 0.0);
    let deviation = (variance + 1e-5).sqrt();
    (x.iter().map(|x| (x - mean) / deviation).collect(), deviation)
}

fn cumulative_products(x: &[f64]) -> Vec<f64> {
    (1..=x.len()).map(|end| x[..end].iter().product()).collect()
}

fn cumulative_sums(x: impl Iterator<Item = f64>) -> Vec<f64> {
    x.scan(0.0, |sum, x| {
        *sum += x;
        Some(*sum)
    })
    .collect()
}

fn maximum(x: &[f64]) -> f64 {
    x.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "softmax: diagonal of the Jacobian only",
            "deeplearning4j/libnd4j#440",
            Point::Random(4),
            softmax,
            [
                |x, g| {
                    let p = softmax(x);
                    let mean = dot(&p, g);
                    p.iter().zip(g).map(|(p, g)| p * (g - mean)).collect()
                },
                |x, g| softmax(x).iter().zip(g).map(|(p, g)| p * (1.0 - p) * g).collect(),
            ],
        ),
        // A mutation that no test noticed, because all of them summed the output.
        Case::new(
            SOFTMAX_QUOTIENT,
            "harvard-edge/cs249r_book#2053",
            Point::Random(4),
            softmax,
            [
                |x, g| {
                    let p = softmax(x);
                    let mean = dot(&p, g);
                    p.iter().zip(g).map(|(p, g)| p * (g - mean)).collect()
                },
                |x, g| {
                    let p = softmax(x);
                    let mean = dot(&p, g);
                    p.iter().zip(g).map(|(p, g)| (g - mean) / p).collect()
                },
            ],
        ),
        Case::new(
            "log_softmax: weighted sum of the output, not sum times softmax",
            "uxlfoundation/oneDNN#616",
            Point::Random(4),
            |x| x.iter().map(|value| value - log_sum_exp(x)).collect(),
            [
                |x, g| {
                    let sum: f64 = g.iter().sum();
                    softmax(x).iter().zip(g).map(|(p, g)| g - p * sum).collect()
                },
                |x, g| {
                    let sum: f64 = x.iter().zip(g).map(|(value, g)| (value - log_sum_exp(x)) * g).sum();
                    g.iter().map(|g| g - sum).collect()
                },
            ],
        ),
        // JAX's gradient is that of exp(x - largest) with the largest of the unmasked values, which
        // overflows in f32 where the mask excludes a larger one.
        Case::new(
            "logsumexp: NaN from a large value that is masked",
            "jax-ml/jax#23842",
            Point::At(&[0.0, 100.0, 0.5]),
            |x| vec![log_sum_exp(&[x[0], x[2]])],
            [
                |x, g| {
                    let p = softmax(&[x[0], x[2]]);
                    vec![p[0] * g[0], 0.0, p[1] * g[0]]
                },
                |x, g| {
                    let largest = x[0].max(x[2]) as f32;
                    let terms: Vec<f32> = x.iter().map(|x| (*x as f32 - largest).exp()).collect();
                    let sum = terms[0] + terms[2];
                    terms
                        .iter()
                        .zip([1.0, 0.0, 1.0])
                        .map(|(term, weight)| f64::from(weight * term / sum) * g[0])
                        .collect()
                },
            ],
        )
        .in_f32(),
        // The probability of an impossible state is exp(logsumexp([-inf, -inf + x])) = 0.
        Case::new(
            "logsumexp: NaN if all values are -inf",
            "jax-ml/jax#6811",
            Point::At(&[1.0, 0.3]),
            |x| vec![log_sum_exp(&[f64::NEG_INFINITY, f64::NEG_INFINITY + x[0]]).exp(), log_sum_exp(&[x[1], 0.0])],
            [
                |x, g| vec![0.0, softmax(&[x[1], 0.0])[0] * g[1]],
                |x, g| {
                    let terms = [f64::NEG_INFINITY, f64::NEG_INFINITY + x[0]];
                    let total = log_sum_exp(&terms);
                    vec![(terms[1] - total).exp() * total.exp() * g[0], softmax(&[x[1], 0.0])[0] * g[1]]
                },
            ],
        ),
        Case::new(
            "logsumexp: overflow without the largest value subtracted",
            "no number: exp(x) over its sum, of large values in f32",
            Point::At(&[90.0, 89.0, 80.0]),
            |x| vec![log_sum_exp(x)],
            [
                |x, g| softmax(x).iter().map(|p| p * g[0]).collect(),
                |x, g| {
                    let sum: f32 = x.iter().map(|x| (*x as f32).exp()).sum();
                    x.iter().map(|x| f64::from((*x as f32).exp() / sum) * g[0]).collect()
                },
            ],
        )
        .in_f32(),
        Case::new(
            "layer norm: gradient through the mean missing",
            "no number: as in batch norm, whose backward was wrong in mlpack/mlpack#1923",
            Point::Random(5),
            |x| normalize(x).0,
            [
                |x, g| {
                    let (y, deviation) = normalize(x);
                    let (mean, slope) = (g.iter().sum::<f64>() / 5.0, dot(&y, g) / 5.0);
                    y.iter().zip(g).map(|(y, g)| (g - mean - y * slope) / deviation).collect()
                },
                |x, g| {
                    let (y, deviation) = normalize(x);
                    let slope = dot(&y, g) / 5.0;
                    y.iter().zip(g).map(|(y, g)| (g - y * slope) / deviation).collect()
                },
            ],
        ),
        Case::new(
            "variance: N in place of N - 1",
            "no number: biased gradient of an unbiased variance",
            Point::Random(6),
            |x| vec![moments(x, 1.0).1],
            [
                |x, g| x.iter().map(|value| 2.0 * (value - moments(x, 1.0).0) / 5.0 * g[0]).collect(),
                |x, g| x.iter().map(|value| 2.0 * (value - moments(x, 1.0).0) / 6.0 * g[0]).collect(),
            ],
        ),
        Case::new(
            "cumsum: gradient not reversed back",
            "pytorch/pytorch#1122",
            Point::Random(5),
            |x| cumulative_sums(x.iter().copied()),
            [
                |_, g| {
                    let mut sums = cumulative_sums(g.iter().rev().copied());
                    sums.reverse();
                    sums
                },
                |_, g| cumulative_sums(g.iter().rev().copied()),
            ],
        ),
        Case::new(
            "prod: NaN at a zero",
            "tracel-ai/burn#5533",
            Point::At(&[2.0, 0.0, 3.0, 4.0]),
            |x| vec![x.iter().product()],
            [
                |_, g| vec![0.0, 24.0 * g[0], 0.0, 0.0],
                |x, g| x.iter().map(|value| x.iter().product::<f64>() / value * g[0]).collect(),
            ],
        ),
        Case::new(
            "cumprod: NaN at a zero",
            "tracel-ai/burn#3864",
            Point::At(&[2.0, 0.0, 3.0, 4.0]),
            cumulative_products,
            [cumprod_gradient, |x, g| {
                let y = cumulative_products(x);
                (0..4).map(|i| dot(&y[i..], &g[i..]) / x[i]).collect()
            }],
        ),
        Case::new(
            "cumprod: gradient of a zero dropped",
            "tensorflow/tensorflow#120282",
            Point::At(&[2.0, 0.0, 3.0, 4.0]),
            cumulative_products,
            [cumprod_gradient, |x, g| {
                let y = cumulative_products(x);
                (0..4).map(|i| if x[i] == 0.0 { 0.0 } else { dot(&y[i..], &g[i..]) / x[i] }).collect()
            }],
        ),
        Case::new(
            "max: every tie gets the whole gradient",
            "apache/mxnet#18563",
            Point::At(&[1.0, 1.0, 0.2, 1.0]),
            |x| vec![maximum(x), x[2]],
            [|_, g| vec![g[0], 0.0, g[1], 0.0], |_, g| vec![g[0], g[0], g[1], g[0]]],
        ),
        Case::new(
            "norm: NaN at zero",
            "pytorch/pytorch#2421",
            Point::At(&[0.0, 0.0]),
            |x| vec![dot(x, x).sqrt()],
            [|_, _| vec![0.0, 0.0], |x, g| x.iter().map(|value| g[0] * value / dot(x, x).sqrt()).collect()],
        ),
        Case::new(
            "squared norm: NaN at zero",
            "jax-ml/jax#21723",
            Point::At(&[0.0, 0.0]),
            |x| vec![dot(x, x).sqrt().powi(2)],
            [
                |_, _| vec![0.0, 0.0],
                |x, g| {
                    let norm = dot(x, x).sqrt();
                    x.iter().map(|value| g[0] * 2.0 * norm * value / norm).collect()
                },
            ],
        ),
    ]
}

/// Each slope is the product of the values before, times the sum of what follows.
fn cumprod_gradient(x: &[f64], g: &[f64]) -> Vec<f64> {
    let mut tail = 0.0;
    let mut gradient = vec![0.0; x.len()];
    for i in (0..x.len()).rev() {
        tail = g[i] + x.get(i + 1).map_or(0.0, |next| next * tail);
        gradient[i] = x[..i].iter().product::<f64>() * tail;
    }
    gradient
}
