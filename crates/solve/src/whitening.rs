//! Coordinates in which the Hessian at zero parameters is about the unit matrix, for the features
//! of a table.

use chainrule_kernels::FeatureMoments;

use crate::linear_algebra::cholesky;

/// A linear change of the weights, the same for each column of W.
///
/// At zero parameters all rows have the same probabilities, so the Hessian is `alpha X^T X / N +
/// lambda I`, where alpha is the curvature of the loss there. Its factor `L L^T` gives coordinates
/// `u = L^T w` in which the Hessian is the unit matrix, and a gradient step is a Newton step. Away
/// from zero the Hessian changes only by the weights `p (1 - p)` of the rows.
///
/// Numbers have the covariance of a sample of the rows, and levels only their variance: a matrix
/// for hundreds of levels would take longer than it saves.
#[derive(Clone, Debug)]
pub(crate) struct Whitening {
    /// The features that are numbers.
    numbers: Vec<usize>,
    /// L, lower triangular, `[m, m]`.
    factor: Vec<f64>,
    /// The features that are levels, each with its factor.
    levels: Vec<(usize, f64)>,
    /// The square root of alpha.
    pub(crate) root: f64,
}

impl Whitening {
    /// Returns `None` if there are too many numbers, or if the matrix is singular.
    pub(crate) fn new(moments: &FeatureMoments, curvature: f64, l2: f64) -> Option<Self> {
        let m = moments.numbers.len();
        let covariance = moments.covariance.as_ref()?.iter();
        let mut matrix: Vec<f64> = covariance.map(|covariance| curvature * covariance).collect();
        matrix.iter_mut().step_by(m + 1).for_each(|diagonal| *diagonal += l2);
        cholesky(&mut matrix, m)?;
        let factor = |&(feature, variance): &(usize, f64)| {
            let square = curvature * variance + l2;
            (square > 0.0).then(|| (feature, square.sqrt()))
        };
        let levels: Option<Vec<_>> = moments.levels.iter().map(factor).collect();
        Some(Self { numbers: moments.numbers.clone(), factor: matrix, levels: levels?, root: curvature.sqrt() })
    }

    /// Replaces W `[d, k]` by `L^T W`.
    pub(crate) fn whiten(&self, weight: &mut [f64], k: usize) {
        let m = self.numbers.len();
        for (i, &feature) in self.numbers.iter().enumerate() {
            for column in 0..k {
                // Row i of L^T has no entries before i, so later weights are still the old ones.
                let sum = (i..m).map(|j| self.factor[j * m + i] * weight[self.numbers[j] * k + column]).sum();
                weight[feature * k + column] = sum;
            }
        }
        self.scale_levels(weight, k, |factor| factor);
    }

    /// Replaces U `[d, k]` by `L^-T U`: the inverse of [`Whitening::whiten`].
    pub(crate) fn unwhiten(&self, weight: &mut [f64], k: usize) {
        let m = self.numbers.len();
        for i in (0..m).rev() {
            for column in 0..k {
                let later: f64 =
                    (i + 1..m).map(|j| self.factor[j * m + i] * weight[self.numbers[j] * k + column]).sum();
                let own = &mut weight[self.numbers[i] * k + column];
                *own = (*own - later) / self.factor[i * m + i];
            }
        }
        self.scale_levels(weight, k, |factor| 1.0 / factor);
    }

    /// Replaces a gradient G `[d, k]` by `L^-1 G`: the transpose of [`Whitening::unwhiten`].
    pub(crate) fn whiten_gradient(&self, gradient: &mut [f64], k: usize) {
        let m = self.numbers.len();
        for i in 0..m {
            for column in 0..k {
                let earlier: f64 =
                    (0..i).map(|j| self.factor[i * m + j] * gradient[self.numbers[j] * k + column]).sum();
                let own = &mut gradient[self.numbers[i] * k + column];
                *own = (*own - earlier) / self.factor[i * m + i];
            }
        }
        self.scale_levels(gradient, k, |factor| 1.0 / factor);
    }

    /// Replaces a gradient `G [d, k]` by `L G`: the inverse of [`Whitening::whiten_gradient`].
    pub(crate) fn unwhiten_gradient(&self, gradient: &mut [f64], k: usize) {
        let m = self.numbers.len();
        for i in (0..m).rev() {
            for column in 0..k {
                // Row i of L has no entries after i, so earlier entries are still the old ones.
                let sum = (0..=i).map(|j| self.factor[i * m + j] * gradient[self.numbers[j] * k + column]).sum();
                gradient[self.numbers[i] * k + column] = sum;
            }
        }
        self.scale_levels(gradient, k, |factor| factor);
    }

    fn scale_levels(&self, weight: &mut [f64], k: usize, scale: impl Fn(f64) -> f64) {
        for &(feature, factor) in &self.levels {
            weight[feature * k..][..k].iter_mut().for_each(|w| *w *= scale(factor));
        }
    }
}
