//! Coordinates in which no direction of the parameters is much steeper than the others.

use chainrule_core::Parameters;

use crate::lbfgs::dot;

/// A linear change of variables along the mean row.
///
/// Rows that share a background, as images do, have a mean m that is much longer than the
/// differences between them. The weights can then move all logits at once, along `v = (m, 1)`. The
/// objective is far steeper in this direction than in any other, and the weights can replace the
/// bias at almost no penalty. L-BFGS would need its first hundred passes to learn this direction,
/// but the known mean gives it directly. With either change, v acts on the logits as strongly as a
/// feature of length `|v|^(1/2)`. The scale of the features is unknown, and this length is a
/// compromise between 1 and `|v|`.
pub(crate) struct Coordinates {
    /// m, `[d]`
    mean: Vec<f64>,
    /// `|v|^2`
    square: f64,
    bias: Bias,
}

/// The kind of change.
#[derive(Clone, Copy)]
enum Bias {
    /// The components of weights and bias along v are multiplied by `|v|^(1/2)`. The penalty is the
    /// same in all directions and remains nearly so.
    Shrunk,
    /// The bias becomes the logit of the mean row, divided by `|v|^(1/2)`. This is possible because
    /// the bias has no penalty: its origin is arbitrary.
    Centred,
}

impl Coordinates {
    pub(crate) fn new(mean: Vec<f64>, penalize_bias: bool) -> Self {
        let square = 1.0 + dot(&mean, &mean);
        Self { mean, square, bias: if penalize_bias { Bias::Shrunk } else { Bias::Centred } }
    }

    /// Converts parameters to coordinates: W row by row, then b.
    pub(crate) fn of(&self, parameters: &Parameters) -> Vec<f64> {
        let k = parameters.columns;
        let mut u = [&parameters.weight[..], &parameters.bias].concat();
        match self.bias {
            Bias::Shrunk => self.stretch(&mut u, k, self.root()),
            Bias::Centred => {
                let at_mean = self.along(&u, k);
                let d = self.mean.len();
                u[d * k..].iter_mut().zip(at_mean).for_each(|(b, z)| *b = z / self.root());
            }
        }
        u
    }

    /// Converts coordinates to parameters.
    pub(crate) fn parameters(&self, mut u: Vec<f64>, k: usize) -> Parameters {
        let d = self.mean.len();
        match self.bias {
            Bias::Shrunk => self.stretch(&mut u, k, 1.0 / self.root()),
            Bias::Centred => {
                u[d * k..].iter_mut().for_each(|b| *b *= self.root());
                // W^T m + z, with z = W^T m + b in place of the bias.
                let sums = self.along(&u, k);
                u[d * k..].iter_mut().zip(sums).for_each(|(b, sum)| *b += *b - sum);
            }
        }
        let bias = u.split_off(d * k);
        Parameters { n_features: d, columns: k, weight: u, bias }
    }

    /// Converts a gradient by the parameters to one by these coordinates, with the transposed map.
    pub(crate) fn gradient(&self, mut g: Vec<f64>, k: usize) -> Vec<f64> {
        let d = self.mean.len();
        match self.bias {
            Bias::Shrunk => self.stretch(&mut g, k, 1.0 / self.root()),
            Bias::Centred => {
                let (weight, bias) = g.split_at_mut(d * k);
                for (row, &m) in weight.chunks_mut(k).zip(&self.mean) {
                    row.iter_mut().zip(&*bias).for_each(|(w, b)| *w -= m * b);
                }
                bias.iter_mut().for_each(|b| *b *= self.root());
            }
        }
        g
    }

    /// `|v|^(1/2)`
    fn root(&self) -> f64 {
        self.square.sqrt().sqrt()
    }

    /// `v^T u` for each class.
    fn along(&self, u: &[f64], k: usize) -> Vec<f64> {
        let (weight, bias) = u.split_at(self.mean.len() * k);
        let mut sums = bias.to_vec();
        for (row, &m) in weight.chunks(k).zip(&self.mean) {
            sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += m * w);
        }
        sums
    }

    /// Multiplies the component of each class along v.
    fn stretch(&self, u: &mut [f64], k: usize, factor: f64) {
        let more: Vec<f64> = self.along(u, k).iter().map(|z| (factor - 1.0) * z / self.square).collect();
        let (weight, bias) = u.split_at_mut(self.mean.len() * k);
        for (row, &m) in weight.chunks_mut(k).zip(&self.mean) {
            row.iter_mut().zip(&more).for_each(|(w, more)| *w += m * more);
        }
        bias.iter_mut().zip(more).for_each(|(b, more)| *b += more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_again_is_where_one_was_and_the_gradients_map_is_the_transpose() {
        let (d, k) = (5, 3);
        let wave = |from: usize, n: usize| (from..from + n).map(|i| (i as f64 * 0.7).sin()).collect::<Vec<_>>();
        let p = Parameters { n_features: d, columns: k, weight: wave(1, d * k), bias: wave(40, k) };
        for penalize_bias in [true, false] {
            let coordinates = Coordinates::new(wave(80, d).iter().map(|m| 9.0 * m).collect(), penalize_bias);
            let u = coordinates.of(&p);
            let back = coordinates.parameters(u.clone(), k);
            let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs()));
            assert!(apart(&p.weight, &back.weight) < 1e-13 && apart(&p.bias, &back.bias) < 1e-13);
            // <g, T u> = <T^T g, u>
            let g = wave(7, d * k + k);
            let direct = dot(&g, &[&p.weight[..], &p.bias].concat());
            assert!((direct - dot(&coordinates.gradient(g, k), &u)).abs() < 1e-12);
        }
    }
}
