//! Operations that move, repeat or select values.

use super::{Case, Point};

const INDICES: [usize; 6] = [2, 0, 2, 3, 0, 2];
/// A permutation that is not its own inverse.
const CYCLE: [usize; 4] = [3, 0, 1, 2];

/// The order that sorts a vector.
fn order(x: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    order
}

/// `y[i] = x[indices[i]]`.
fn gather(x: &[f64], indices: &[usize]) -> Vec<f64> {
    indices.iter().map(|&index| x[index]).collect()
}

/// The transpose of [`gather`]: `y[indices[i]] += x[i]`.
fn scatter(x: &[f64], indices: &[usize], length: usize) -> Vec<f64> {
    let mut y = vec![0.0; length];
    for (&index, x) in indices.iter().zip(x) {
        y[index] += x;
    }
    y
}

/// Permutes the axes of a tensor of shape `[2, 3, 4]`: axis `i` of the result is axis `axes[i]`.
fn permute(x: &[f64], shape: [usize; 3], axes: [usize; 3]) -> Vec<f64> {
    let [rows, columns, depth] = axes.map(|axis| shape[axis]);
    let stride = axes.map(|axis| shape[axis + 1..].iter().product::<usize>());
    let mut y = Vec::new();
    for i in 0..rows {
        for j in 0..columns {
            y.extend((0..depth).map(|k| x[i * stride[0] + j * stride[1] + k * stride[2]]));
        }
    }
    y
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        // [a, b, c] becomes [a, b, c, a, b, c].
        Case::new(
            "repeat: copies summed as if interleaved",
            "no number: tiling and repeat_interleave confused",
            Point::Random(3),
            |x| x.repeat(2),
            [
                |_, g| (0..3).map(|i| g[i] + g[i + 3]).collect(),
                |_, g| (0..3).map(|i| g[2 * i] + g[2 * i + 1]).collect(),
            ],
        ),
        Case::new(
            "repeat: whole axis summed, not its blocks",
            "tenstorrent/tt-metal#55799",
            Point::Random(3),
            |x| x.repeat(2),
            [|_, g| (0..3).map(|i| g[i] + g[i + 3]).collect(), |_, g| vec![g.iter().sum(); 3]],
        ),
        // The first two of five values are a constant input, which needs no gradient.
        Case::new(
            "cat: slices shifted if an input needs no gradient",
            "tracel-ai/burn#4069",
            Point::Random(3),
            |x| [&[0.5, -0.5], x].concat(),
            [|_, g| g[2..5].to_vec(), |_, g| g[..3].to_vec()],
        ),
        // The last four values are added to the first four, in another order.
        Case::new(
            "select_assign: values scattered",
            "tracel-ai/burn#1739",
            Point::Random(8),
            |x| scatter(&x[4..], &CYCLE, 4).iter().zip(x).map(|(a, b)| a + b).collect(),
            [|_, g| [g, &gather(g, &CYCLE)].concat(), |_, g| [g, &scatter(g, &CYCLE, 4)].concat()],
        ),
        Case::new(
            "gather: repeated indices overwrite",
            "pytorch/pytorch#1631",
            Point::Random(4),
            |x| gather(x, &INDICES),
            [
                |_, g| scatter(g, &INDICES, 4),
                |_, g| {
                    let mut gradient = vec![0.0; 4];
                    INDICES.iter().zip(g).for_each(|(&index, &g)| gradient[index] = g);
                    gradient
                },
            ],
        ),
        // The last value fills the places of the indices.
        Case::new(
            "index_fill: repeated indices counted twice",
            "pytorch/pytorch#57101",
            Point::Random(5),
            |x| (0..4).map(|i| if INDICES.contains(&i) { x[4] } else { x[i] }).collect(),
            [
                |_, g| vec![0.0, g[1], 0.0, 0.0, g[0] + g[2] + g[3]],
                |_, g| vec![0.0, g[1], 0.0, 0.0, INDICES.iter().map(|&index| g[index]).sum()],
            ],
        ),
        Case::new(
            "slice: gradient reaches dropped values",
            "zk4x/zyx#8",
            Point::Random(4),
            |x| x[1..3].to_vec(),
            [|_, g| vec![0.0, g[0], g[1], 0.0], |_, g| vec![g[0], g[0], g[1], g[1]]],
        ),
        Case::new(
            "permute: forward axes applied backward",
            "pytorch/pytorch#5945",
            Point::Random(24),
            |x| permute(x, [2, 3, 4], [1, 2, 0]),
            [|_, g| permute(g, [3, 4, 2], [2, 0, 1]), |_, g| permute(g, [3, 4, 2], [1, 2, 0])],
        ),
        Case::new(
            "sort: scattered and gathered swapped",
            "PaddlePaddle/Paddle#22843",
            Point::At(&[0.3, -1.0, 1.2, -0.4, 0.8]),
            |x| gather(x, &order(x)),
            [|x, g| scatter(g, &order(x), 5), |x, g| gather(g, &order(x))],
        ),
        Case::new(
            "where: branches swapped",
            "no number: the branches of a selection exchanged",
            Point::Random(8),
            |x| (0..4).map(|i| if i == 1 { x[i] } else { x[4 + i] }).collect(),
            [
                |_, g| vec![0.0, g[1], 0.0, 0.0, g[0], 0.0, g[2], g[3]],
                |_, g| vec![g[0], 0.0, g[2], g[3], 0.0, g[1], 0.0, 0.0],
            ],
        ),
        // sqrt(x) where it is defined, else 1. Burn has the same in tracel-ai/burn#3727.
        Case::new(
            "where: NaN from the branch that is not selected",
            "jax-ml/jax#347",
            Point::At(&[2.0, -1.0, 0.5]),
            |x| x.iter().map(|x| if *x > 0.0 { x.sqrt() } else { 1.0 }).collect(),
            [
                |x, g| x.iter().zip(g).map(|(x, g)| if *x > 0.0 { 0.5 * g / x.sqrt() } else { 0.0 }).collect(),
                |x, g| x.iter().zip(g).map(|(x, g)| if *x > 0.0 { *g } else { 0.0 } * 0.5 / x.sqrt()).collect(),
            ],
        ),
        // A row of three is added to each row of a [3, 3] matrix of constants.
        Case::new(
            "broadcast: summed over the wrong axis",
            "probcomp/Gen.jl#432",
            Point::Random(3),
            |x| x.repeat(3),
            [
                |_, g| (0..3).map(|i| g[i] + g[i + 3] + g[i + 6]).collect(),
                |_, g| g.chunks(3).map(|row| row.iter().sum()).collect(),
            ],
        ),
        Case::new(
            "broadcast: gradient not summed",
            "deeplearning4j/nd4j#2424",
            Point::Random(4),
            |x| x.repeat(3),
            [|_, g| (0..4).map(|i| g[i] + g[i + 4] + g[i + 8]).collect(), |_, g| g.to_vec()],
        ),
    ]
}
