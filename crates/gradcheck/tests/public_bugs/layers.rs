//! Convolutions, pools, dropout, losses, recurrent cells and matrices.

use super::{Case, Point, dot, softmax};

/// A convolution of two channels with a kernel of three, in two groups: `[2, 8]` and `[2, 1, 3]`
/// to `[2, 4]`, with stride 2 and padding 1. Calls `visit` with the indices of the output, the
/// input and the weight of each product.
fn convolution_terms(mut visit: impl FnMut(usize, usize, usize)) {
    for channel in 0..2 {
        for output in 0..4 {
            for tap in 0..3 {
                let padded = 2 * output + tap;
                if (1..=8).contains(&padded) {
                    visit(4 * channel + output, 8 * channel + padded - 1, 3 * channel + tap);
                }
            }
        }
    }
}

/// The input of the convolution.
fn signal(i: usize) -> f64 {
    (1.3 * i as f64).sin()
}

fn convolution(weight: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; 8];
    convolution_terms(|output, input, tap| y[output] += signal(input) * weight[tap]);
    y
}

fn convolution_gradient(g: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; 6];
    convolution_terms(|output, input, tap| gradient[tap] += signal(input) * g[output]);
    gradient
}

/// The largest value's index in each window of 3, with stride 1.
fn pooled(x: &[f64]) -> Vec<usize> {
    let largest = |start: usize| (start..start + 3).max_by(|&a, &b| x[a].total_cmp(&x[b]));
    (0..x.len() - 2).filter_map(largest).collect()
}

/// Windows of 2 with stride 2 over five values. The last window has one value.
fn average_pool(x: &[f64]) -> Vec<f64> {
    x.chunks(2).map(|window| window.iter().sum::<f64>() / window.len() as f64).collect()
}

const KEPT: [bool; 4] = [true, false, true, false];
const KEEP_PROBABILITY: f64 = 0.6;

fn dropout(x: &[f64]) -> Vec<f64> {
    x.iter().zip(KEPT).map(|(x, is_kept)| if is_kept { x / KEEP_PROBABILITY } else { 0.0 }).collect()
}

/// The classes of three rows of logits. The second row is ignored.
const LABELS: [Option<usize>; 3] = [Some(2), None, Some(0)];
const SMOOTHING: f64 = 0.2;
const CLASS_WEIGHTS: [f64; 3] = [0.5, 1.0, 2.0];

/// Cross entropy of a row, with a target probability for each class.
fn cross_entropy(logits: &[f64], target: &[f64]) -> f64 {
    -softmax(logits).iter().zip(target).map(|(p, target)| p.ln() * target).sum::<f64>()
}

fn smoothed(label: usize) -> Vec<f64> {
    (0..3).map(|class| SMOOTHING / 3.0 + if class == label { 1.0 - SMOOTHING } else { 0.0 }).collect()
}

/// The gradient of the mean loss, with a target for each row. A target of zeros ignores the row.
fn cross_entropy_gradient(logits: &[f64], targets: &[Vec<f64>], divisor: f64) -> Vec<f64> {
    let rows = logits.chunks(3).zip(targets);
    rows.flat_map(|(row, target)| {
        let total: f64 = target.iter().sum();
        softmax(row).into_iter().zip(target).map(move |(p, target)| (p * total - target) / divisor).collect::<Vec<_>>()
    })
    .collect()
}

fn targets(target: impl Fn(usize) -> Vec<f64>) -> Vec<Vec<f64>> {
    LABELS.iter().map(|label| label.map_or(vec![0.0; 3], &target)).collect()
}

/// The label's probability, times the weight of its class.
fn weighted(label: usize) -> Vec<f64> {
    (0..3).map(|class| if class == label { CLASS_WEIGHTS[class] } else { 0.0 }).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// An LSTM cell: the inputs of its gates i, f, g and o, and the last cell state.
/// Returns the gates, the new cell state and its hyperbolic tangent.
fn lstm(x: &[f64]) -> ([f64; 4], f64, f64) {
    let gates = [sigmoid(x[0]), sigmoid(x[1]), x[2].tanh(), sigmoid(x[3])];
    let cell = gates[1] * x[4] + gates[0] * gates[2];
    (gates, cell, cell.tanh())
}

fn lstm_gradient(x: &[f64], cotangent: &[f64]) -> Vec<f64> {
    let ([i, f, g, o], _, tanh) = lstm(x);
    let cell = cotangent[1] + cotangent[0] * o * (1.0 - tanh * tanh);
    vec![
        cell * g * i * (1.0 - i),
        cell * x[4] * f * (1.0 - f),
        cell * i * (1.0 - g * g),
        cotangent[0] * tanh * o * (1.0 - o),
        cell * f,
    ]
}

/// The inputs of a GRU's gates: reset, update, the candidate's from the input and from the state,
/// and the last state. Returns the gates and the candidate.
fn gru(x: &[f64]) -> (f64, f64, f64) {
    let reset = sigmoid(x[0]);
    (reset, sigmoid(x[1]), (x[2] + reset * x[3]).tanh())
}

/// `sign` is that of the update gate's gradient.
fn gru_gradient(x: &[f64], g: f64, sign: f64) -> Vec<f64> {
    let (reset, update, candidate) = gru(x);
    let inner = g * (1.0 - update) * (1.0 - candidate * candidate);
    vec![
        inner * x[3] * reset * (1.0 - reset),
        sign * g * (x[4] - candidate) * update * (1.0 - update),
        inner,
        inner * reset,
        g * update,
    ]
}

/// The lower factor of `[[a, .], [b, c]]`, which reads the lower triangle only.
fn cholesky(x: &[f64]) -> Vec<f64> {
    let l = x[0].sqrt();
    vec![l, x[2] / l, (x[3] - x[2] * x[2] / x[0]).sqrt()]
}

/// Returns the gradient with respect to the lower triangle: `a`, `b` and `c`.
fn cholesky_gradient(x: &[f64], g: &[f64]) -> [f64; 3] {
    let [l, b, c] = [x[0].sqrt(), x[2], (x[3] - x[2] * x[2] / x[0]).sqrt()];
    let a = g[0] / (2.0 * l) - g[1] * b / (2.0 * l.powi(3)) + g[2] * b * b / (2.0 * c * l.powi(4));
    [a, g[1] / l - g[2] * b / (c * l * l), g[2] / (2.0 * c)]
}

const MATRIX: [[f64; 3]; 3] = [[1.0, 0.5, -2.0], [0.25, -1.5, 0.75], [3.0, 1.25, 0.5]];

pub(super) fn cases() -> Vec<Case> {
    vec![
        // The weight's gradient has a fourth tap, because the stride does not divide the padded
        // length, and is read as if it had three.
        Case::new(
            "conv: weight gradient with stride and groups not trimmed",
            "tracel-ai/burn#1891",
            Point::Random(6),
            convolution,
            [
                |_, g| convolution_gradient(g),
                |_, g| {
                    let tap = |channel: usize, tap: usize| {
                        let outputs = (0..4).filter(|output| (1..=8).contains(&(2 * output + tap)));
                        outputs.map(|output| signal(8 * channel + 2 * output + tap - 1) * g[4 * channel + output]).sum()
                    };
                    (0..6).map(|i| tap(i / 4, i % 4)).collect()
                },
            ],
        ),
        Case::new(
            "conv: channels of other groups in the weight gradient",
            "pytorch/pytorch#51430",
            Point::Random(6),
            convolution,
            [
                |_, g| convolution_gradient(g),
                |_, g| {
                    let mut gradient = vec![0.0; 6];
                    convolution_terms(|output, input, tap| gradient[tap] += signal((input + 8) % 16) * g[output]);
                    gradient
                },
            ],
        ),
        // The weight's gradient is a convolution with the output's gradient, dilated by the stride.
        Case::new(
            "conv: stride and dilation swapped in the weight gradient",
            "iree-org/iree-turbine#1223",
            Point::Random(6),
            convolution,
            [
                |_, g| convolution_gradient(g),
                |_, g| {
                    let mut gradient = vec![0.0; 6];
                    for (i, slope) in gradient.iter_mut().enumerate() {
                        let (channel, tap) = (i / 3, i % 3);
                        let outputs = (0..4).filter(|output| (1..=8).contains(&(output + 2 * tap)));
                        *slope = outputs
                            .map(|output| signal(8 * channel + output + 2 * tap - 1) * g[4 * channel + output])
                            .sum();
                    }
                    gradient
                },
            ],
        ),
        Case::new(
            "max_pool: one gradient for the largest of several windows",
            "FluxML/Flux.jl#1197",
            Point::At(&[0.1, -0.4, 0.9, 0.3, -0.2, 0.6]),
            |x| pooled(x).iter().map(|&index| x[index]).collect(),
            [
                |x, g| {
                    let mut gradient = vec![0.0; 6];
                    pooled(x).iter().zip(g).for_each(|(&index, g)| gradient[index] += g);
                    gradient
                },
                |x, g| {
                    let mut gradient = vec![0.0; 6];
                    pooled(x).iter().zip(g).for_each(|(&index, g)| gradient[index] = *g);
                    gradient
                },
            ],
        ),
        // Windows of 2 with stride 2. The values of two windows are equal.
        Case::new(
            "max_pool: every tie gets the whole gradient",
            "Theano/Theano#5248",
            Point::At(&[0.7, 0.7, 0.2, 0.9, -0.3, -0.3]),
            |x| x.chunks(2).map(|window| window[0].max(window[1])).collect(),
            [|_, g| vec![g[0], 0.0, 0.0, g[1], 0.0, g[2]], |_, g| vec![g[0], g[0], 0.0, g[1], g[2], g[2]]],
        ),
        Case::new(
            "avg_pool: divided by the size of the whole window",
            "tracel-ai/burn#5604",
            Point::Random(5),
            average_pool,
            [
                |_, g| vec![g[0] / 2.0, g[0] / 2.0, g[1] / 2.0, g[1] / 2.0, g[2]],
                |_, g| (0..5).map(|i| g[i / 2] / 2.0).collect(),
            ],
        ),
        Case::new(
            "dropout: mask not applied",
            "ddbourgin/numpy-ml#94",
            Point::Random(4),
            dropout,
            [|_, g| dropout(g), |_, g| g.iter().map(|g| g / KEEP_PROBABILITY).collect()],
        ),
        Case::new(
            "dropout: scale missing",
            "rohitg00/ai-engineering-from-scratch#17",
            Point::Random(4),
            dropout,
            [|_, g| dropout(g), |_, g| g.iter().zip(KEPT).map(|(g, is_kept)| f64::from(is_kept) * g).collect()],
        ),
        // The mask is computed from the values: output over input, and 1 if the input is 0.
        Case::new(
            "dropout: a dropped zero counts as kept",
            "kaldi-asr/kaldi#3890",
            Point::At(&[0.5, 0.0, -1.2, 0.7]),
            dropout,
            [
                |_, g| dropout(g),
                |x, g| {
                    let ratio = |(x, y): (&f64, f64)| if *x == 0.0 { 1.0 } else { y / x };
                    x.iter().zip(dropout(x)).map(ratio).zip(g).map(|(ratio, g)| ratio * g).collect()
                },
            ],
        ),
        Case::new(
            "cross entropy: ignored rows smoothed",
            "pytorch/pytorch#73205",
            Point::Random(9),
            |x| {
                let rows = x.chunks(3).zip(LABELS);
                let loss: f64 =
                    rows.filter_map(|(row, label)| label.map(|label| cross_entropy(row, &smoothed(label)))).sum();
                vec![loss / 2.0]
            },
            [
                |x, g| cross_entropy_gradient(x, &targets(smoothed), 2.0 / g[0]),
                |x, g| {
                    let uniform = |label: &Option<usize>| label.map_or(vec![SMOOTHING / 3.0; 3], smoothed);
                    cross_entropy_gradient(x, &LABELS.iter().map(uniform).collect::<Vec<_>>(), 2.0 / g[0])
                },
            ],
        ),
        // The mean divides by the sum of the weights of the rows that count, here 2.0 + 0.5.
        Case::new(
            "cross entropy: weighted mean divided by the number of rows",
            "pytorch/pytorch#69511",
            Point::Random(9),
            |x| {
                let rows = x.chunks(3).zip(LABELS);
                let loss: f64 =
                    rows.filter_map(|(row, label)| label.map(|label| cross_entropy(row, &weighted(label)))).sum();
                vec![loss / 2.5]
            },
            [
                |x, g| cross_entropy_gradient(x, &targets(weighted), 2.5 / g[0]),
                |x, g| cross_entropy_gradient(x, &targets(weighted), 3.0 / g[0]),
            ],
        ),
        // Two values become ten, with aligned corners. The gradient covers eight outputs only.
        Case::new(
            "interpolate: window of the scale without aligned corners",
            "flagos-ai/FlagGems#5218",
            Point::Random(2),
            |x| (0..10).map(|i| x[0] + (x[1] - x[0]) * f64::from(i) / 9.0).collect(),
            [
                |_, g| {
                    (0..2).map(|i| (0..10).map(|j| g[j] * (1.0 - (j as f64 / 9.0 - i as f64).abs())).sum()).collect()
                },
                |_, g| {
                    let window = |i: usize| if i == 0 { 0..8 } else { 2..10 };
                    (0..2).map(|i| window(i).map(|j| g[j] * (1.0 - (j as f64 / 9.0 - i as f64).abs())).sum()).collect()
                },
            ],
        ),
        Case::new(
            "LSTM: input and forget gate swapped",
            "NX-AI/xlstm#98",
            Point::Random(5),
            |x| {
                let (gates, cell, tanh) = lstm(x);
                vec![gates[3] * tanh, cell]
            },
            [lstm_gradient, |x, g| {
                let mut gradient = lstm_gradient(x, g);
                gradient.swap(0, 1);
                gradient
            }],
        ),
        // The new state is (1 - z) n + z h, or (1 - z) h + z n in other texts.
        Case::new(
            "GRU: update gate z taken for 1 - z",
            "no number: two conventions, confused in the text that pytorch/pytorch#15875 corrects",
            Point::Random(5),
            |x| {
                let (_, update, candidate) = gru(x);
                vec![(1.0 - update) * candidate + update * x[4]]
            },
            [|x, g| gru_gradient(x, g[0], 1.0), |x, g| gru_gradient(x, g[0], -1.0)],
        ),
        Case::new(
            "trace: gradient beyond the diagonal of a tall matrix",
            "pytorch/pytorch#171704",
            Point::Random(8),
            |x| vec![x[0] + x[3]],
            [
                |_, g| (0..8).map(|i| if i == 0 || i == 3 { g[0] } else { 0.0 }).collect(),
                |_, g| (0..8).map(|i| if i % 3 == 0 { g[0] } else { 0.0 }).collect(),
            ],
        ),
        Case::new(
            "cholesky: half of the gradient in the triangle that is not read",
            "pytorch/pytorch#137284",
            Point::At(&[4.0, 1.0, 1.0, 3.0]),
            cholesky,
            [
                |x, g| {
                    let [a, b, c] = cholesky_gradient(x, g);
                    vec![a, 0.0, b, c]
                },
                |x, g| {
                    let [a, b, c] = cholesky_gradient(x, g);
                    vec![a, b / 2.0, b / 2.0, c]
                },
            ],
        ),
        // The gradient of the determinant of [[a, b], [c, d]] is [[d, -c], [-b, a]].
        Case::new(
            "det: cofactors transposed",
            "no number: the inverse in place of its transpose",
            Point::Random(4),
            |x| vec![x[0] * x[3] - x[1] * x[2]],
            [
                |x, g| vec![g[0] * x[3], -g[0] * x[2], -g[0] * x[1], g[0] * x[0]],
                |x, g| vec![g[0] * x[3], -g[0] * x[1], -g[0] * x[2], g[0] * x[0]],
            ],
        ),
        Case::new(
            "matmul: matrix not transposed",
            "no number: A g in place of the transpose of A times g",
            Point::Random(3),
            |x| MATRIX.iter().map(|row| dot(row, x)).collect(),
            [
                |_, g| (0..3).map(|j| (0..3).map(|i| MATRIX[i][j] * g[i]).sum()).collect(),
                |_, g| MATRIX.iter().map(|row| dot(row, g)).collect(),
            ],
        ),
    ]
}
