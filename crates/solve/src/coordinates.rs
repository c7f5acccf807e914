//! Preconditioning: coordinates in which no direction of the parameters is much steeper than the
//! others.

use chainrule_core::Parameters;

use crate::lbfgs::dot;
use crate::whitening::Whitening;

/// A linear change of variables along the mean row.
///
/// Rows that share a background, such as images, have a mean m that is much longer than the
/// differences between the rows. A change of the parameters along `v = (m, 1)` then changes the
/// logits of all rows. The objective is far steeper in this direction than in any other, and the
/// weights can replace the bias at almost no penalty. L-BFGS would need about a hundred passes to
/// learn this direction, but the mean is known.
///
/// A unit step of the parameters along v changes the logits of the mean row by `|v|`. In the new
/// coordinates, a unit step in this direction changes them by `|v|^(1/2)`. This is a compromise
/// between 1 and `|v|`, because the scale of the features is unknown.
pub(crate) struct Coordinates {
    /// m, `[d]`
    mean: Vec<f64>,
    /// `|v|^2`
    squared_norm: f64,
    transform: Transform,
}

/// The transformation along v, or of all features.
enum Transform {
    /// The component of weights and bias along v is multiplied by `|v|^(1/2)`. The penalty treats
    /// all directions of the parameters alike. In the coordinates it is smaller along v.
    Scaled,
    /// The bias is replaced by the logit of the mean row, divided by `|v|^(1/2)`. This does not
    /// change the penalty, because the bias has none.
    Centred,
    /// The bias is replaced by the logit of the mean row, and the weights are whitened. The Hessian
    /// is then about the unit matrix. The bias has no penalty.
    Whitened(Whitening),
}

impl Coordinates {
    pub(crate) fn new(mean: Vec<f64>, penalize_bias: bool) -> Self {
        let squared_norm = 1.0 + dot(&mean, &mean);
        Self { mean, squared_norm, transform: if penalize_bias { Transform::Scaled } else { Transform::Centred } }
    }

    /// Creates whitened coordinates, for a bias without a penalty.
    pub(crate) fn whitened(mean: Vec<f64>, whitening: Whitening) -> Self {
        Self { transform: Transform::Whitened(whitening), ..Self::new(mean, false) }
    }

    /// The number of features, d.
    pub(crate) fn n_features(&self) -> usize {
        self.mean.len()
    }

    /// Whether the negative gradient is about a Newton step.
    pub(crate) fn are_whitened(&self) -> bool {
        matches!(self.transform, Transform::Whitened(_))
    }

    /// Converts parameters to coordinates: W row by row, then b.
    pub(crate) fn coordinates_of(&self, parameters: &Parameters) -> Vec<f64> {
        let k = parameters.columns;
        let mut u = [&parameters.weight[..], &parameters.bias].concat();
        let d = self.mean.len();
        match &self.transform {
            Transform::Scaled => self.scale_along_v(&mut u, k, self.root()),
            Transform::Centred => {
                let mean_logits = self.dot_v(&u, k);
                u[d * k..].iter_mut().zip(mean_logits).for_each(|(b, z)| *b = z / self.root());
            }
            Transform::Whitened(whitening) => {
                let mean_logits = self.dot_v(&u, k);
                u[d * k..].iter_mut().zip(mean_logits).for_each(|(b, z)| *b = z * whitening.root);
                whitening.whiten(&mut u[..d * k], k);
            }
        }
        u
    }

    /// Converts coordinates to parameters.
    pub(crate) fn to_parameters(&self, mut u: Vec<f64>, k: usize) -> Parameters {
        let d = self.mean.len();
        // If the entries of the bias are z = W^T m + b, `sums` is W^T m + z. This gives
        // b = z - W^T m = 2 z - sums.
        let logits_to_bias = |u: &mut [f64]| {
            let sums = self.dot_v(u, k);
            u[d * k..].iter_mut().zip(sums).for_each(|(b, sum)| *b += *b - sum);
        };
        match &self.transform {
            Transform::Scaled => self.scale_along_v(&mut u, k, 1.0 / self.root()),
            Transform::Centred => {
                u[d * k..].iter_mut().for_each(|b| *b *= self.root());
                logits_to_bias(&mut u);
            }
            Transform::Whitened(whitening) => {
                whitening.unwhiten(&mut u[..d * k], k);
                u[d * k..].iter_mut().for_each(|b| *b /= whitening.root);
                logits_to_bias(&mut u);
            }
        }
        let bias = u.split_off(d * k);
        Parameters { n_features: d, columns: k, weight: u, bias }
    }

    /// Converts the gradient with respect to the parameters to the gradient with respect to these
    /// coordinates. The map is the transpose of [`Coordinates::to_parameters`].
    pub(crate) fn gradient(&self, mut g: Vec<f64>, k: usize) -> Vec<f64> {
        let d = self.mean.len();
        if let Transform::Scaled = self.transform {
            self.scale_along_v(&mut g, k, 1.0 / self.root());
            return g;
        }
        let (weight, bias) = g.split_at_mut(d * k);
        for (row, &m) in weight.chunks_mut(k).zip(&self.mean) {
            row.iter_mut().zip(&*bias).for_each(|(w, b)| *w -= m * b);
        }
        match &self.transform {
            Transform::Whitened(whitening) => {
                whitening.whiten_gradient(weight, k);
                bias.iter_mut().for_each(|b| *b /= whitening.root);
            }
            _ => bias.iter_mut().for_each(|b| *b *= self.root()),
        }
        g
    }

    /// Converts the gradient with respect to these coordinates to the gradient with respect to the
    /// parameters: the inverse of [`Coordinates::gradient`].
    pub(crate) fn gradient_of_parameters(&self, mut g: Vec<f64>, k: usize) -> Vec<f64> {
        let d = self.mean.len();
        if let Transform::Scaled = self.transform {
            self.scale_along_v(&mut g, k, self.root());
            return g;
        }
        let (weight, bias) = g.split_at_mut(d * k);
        match &self.transform {
            Transform::Whitened(whitening) => {
                whitening.unwhiten_gradient(weight, k);
                bias.iter_mut().for_each(|b| *b *= whitening.root);
            }
            _ => bias.iter_mut().for_each(|b| *b /= self.root()),
        }
        for (row, &m) in weight.chunks_mut(k).zip(&self.mean) {
            row.iter_mut().zip(&*bias).for_each(|(w, b)| *w += m * b);
        }
        g
    }

    /// `|v|^(1/2)`
    fn root(&self) -> f64 {
        self.squared_norm.sqrt().sqrt()
    }

    /// Returns `v^T u` for each class.
    fn dot_v(&self, u: &[f64], k: usize) -> Vec<f64> {
        let (weight, bias) = u.split_at(self.mean.len() * k);
        let mut sums = bias.to_vec();
        for (row, &m) in weight.chunks(k).zip(&self.mean) {
            sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += m * w);
        }
        sums
    }

    /// Multiplies the component along v by `factor`, for each class.
    fn scale_along_v(&self, u: &mut [f64], k: usize, factor: f64) {
        let change: Vec<f64> = self.dot_v(u, k).iter().map(|z| (factor - 1.0) * z / self.squared_norm).collect();
        let (weight, bias) = u.split_at_mut(self.mean.len() * k);
        for (row, &m) in weight.chunks_mut(k).zip(&self.mean) {
            row.iter_mut().zip(&change).for_each(|(w, change)| *w += m * change);
        }
        bias.iter_mut().zip(change).for_each(|(b, change)| *b += change);
    }
}

#[cfg(test)]
mod tests {
    use chainrule_kernels::FeatureMoments;

    use super::*;

    #[test]
    fn the_map_is_inverted_and_the_gradient_uses_its_transpose() {
        let (d, k) = (5, 3);
        let sines = |from: usize, n: usize| (from..from + n).map(|i| (i as f64 * 0.7).sin()).collect::<Vec<_>>();
        let p = Parameters { n_features: d, columns: k, weight: sines(1, d * k), bias: sines(40, k) };
        let mean: Vec<f64> = sines(80, d).iter().map(|m| 9.0 * m).collect();
        let moments = FeatureMoments {
            mean: mean.clone(),
            numbers: vec![3, 0, 4],
            variances: vec![2.0, 1.0, 3.0],
            covariance: Some(vec![2.0, 0.5, -0.3, 0.5, 1.0, 0.2, -0.3, 0.2, 3.0]),
            levels: vec![(2, 0.1), (1, 0.2)],
        };
        let whitened = Whitening::new(&moments, 0.25, 0.1).expect("positive definite");
        let all = [
            Coordinates::new(mean.clone(), true),
            Coordinates::new(mean.clone(), false),
            Coordinates::whitened(mean, whitened),
        ];
        for coordinates in all {
            let u = coordinates.coordinates_of(&p);
            let back = coordinates.to_parameters(u.clone(), k);
            let max_distance =
                |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |max: f64, (a, b)| max.max((a - b).abs()));
            assert!(max_distance(&p.weight, &back.weight) < 1e-13 && max_distance(&p.bias, &back.bias) < 1e-13);
            // <g, T u> = <T^T g, u>
            let g = sines(7, d * k + k);
            let direct = dot(&g, &[&p.weight[..], &p.bias].concat());
            let own = coordinates.gradient(g.clone(), k);
            assert!((direct - dot(&own, &u)).abs() < 1e-12);
            assert!(max_distance(&g, &coordinates.gradient_of_parameters(own, k)) < 1e-12);
        }
    }
}
