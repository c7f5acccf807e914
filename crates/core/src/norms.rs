use serde::{Deserialize, Serialize};

use crate::Parameters;

/// Norms of the matrix `[d + 1, k]` of all parameters. Its last row is the bias.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightNorms {
    /// The square root of the sum of squares.
    pub frobenius: f64,
    /// The sum of squares.
    pub frobenius_squared: f64,
    /// The largest singular value.
    pub spectral: f64,
}

impl WeightNorms {
    /// Computes the norms in f64. Returns `None` if the sum of squares overflows.
    pub fn of(parameters: &Parameters) -> Option<Self> {
        let all = || parameters.weight.iter().chain(&parameters.bias).copied();
        let frobenius_squared = all().map(|w| w * w).sum::<f64>();
        if !frobenius_squared.is_finite() {
            return None;
        }
        // Division by the largest entry prevents underflow of the squares.
        let max_abs = all().fold(0.0, |max: f64, w| max.max(w.abs()));
        let spectral = if max_abs > 0.0 { max_abs * scaled_spectral_norm(parameters, max_abs) } else { 0.0 };
        Some(Self { frobenius: frobenius_squared.sqrt(), frobenius_squared, spectral })
    }
}

/// Returns the largest singular value of the matrix divided by `scale`: the square root of the
/// largest eigenvalue of its Gram matrix `[k, k]`.
fn scaled_spectral_norm(parameters: &Parameters, scale: f64) -> f64 {
    let k = parameters.columns;
    let mut gram = vec![0.0; k * k];
    for row in parameters.weight.chunks_exact(k).chain([&parameters.bias[..]]) {
        for (i, a) in row.iter().enumerate() {
            let sums = &mut gram[i * k..][..k];
            sums.iter_mut().zip(row).for_each(|(sum, b)| *sum += (a / scale) * (b / scale));
        }
    }
    largest_eigenvalue(&mut gram, k).max(0.0).sqrt()
}

/// Returns the largest eigenvalue of a symmetric matrix, by Jacobi rotations: G. Golub, C. Van
/// Loan, Matrix Computations, 4th edition, section 8.5.
fn largest_eigenvalue(a: &mut [f64], k: usize) -> f64 {
    /// The convergence is quadratic, so a few sweeps suffice.
    const MAX_SWEEPS: usize = 60;

    for _ in 0..MAX_SWEEPS {
        let mut rotated = false;
        for p in 0..k {
            for q in p + 1..k {
                let (pp, qq, pq) = (a[p * k + p], a[q * k + q], a[p * k + q]);
                if pq.abs() <= f64::EPSILON * (pp * qq).abs().sqrt() {
                    continue;
                }
                rotated = true;
                let tau = (qq - pp) / (2.0 * pq);
                let tangent = tau.signum() / (tau.abs() + tau.hypot(1.0));
                let cosine = tangent.hypot(1.0).recip();
                let sine = tangent * cosine;
                for i in 0..k {
                    let (ip, iq) = (a[i * k + p], a[i * k + q]);
                    (a[i * k + p], a[i * k + q]) = (cosine * ip - sine * iq, sine * ip + cosine * iq);
                }
                for i in 0..k {
                    let (pi, qi) = (a[p * k + i], a[q * k + i]);
                    (a[p * k + i], a[q * k + i]) = (cosine * pi - sine * qi, sine * pi + cosine * qi);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    (0..k).map(|i| a[i * k + i]).fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norms(weight: &[f64], bias: &[f64]) -> Option<WeightNorms> {
        let k = bias.len();
        let parameters =
            Parameters { n_features: weight.len() / k, columns: k, weight: weight.to_vec(), bias: bias.to_vec() };
        WeightNorms::of(&parameters)
    }

    fn spectral(weight: &[f64], bias: &[f64]) -> f64 {
        norms(weight, bias).expect("finite").spectral
    }

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 4e-15 * expected, "{actual}, expected {expected}");
    }

    #[test]
    fn spectral_norm_equals_known_values() {
        // The singular value of one column is its norm. For orthogonal columns, the largest
        // norm is the largest singular value.
        assert_close(spectral(&[3.0, 4.0], &[12.0]), 13.0);
        assert_close(spectral(&[3.0, 0.0, 0.0, -5.0], &[0.0, 0.0]), 5.0);
        // For a matrix of rank one, it is the product of the norms of its two vectors.
        assert_close(spectral(&[1.0, 2.0, 2.0, 4.0], &[2.0, 4.0]), 45f64.sqrt());
        // numpy.linalg.norm([[1, 2, 3], [4, 5, 6], [7, 8, 10]], ord=2)
        assert_close(spectral(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[7.0, 8.0, 10.0]), 17.412_505_166_808_597);
        // More columns than rows, with equal entries.
        assert_close(spectral(&[1.0; 7], &[1.0; 7]), 14f64.sqrt());
        assert_eq!(spectral(&[0.0; 4], &[0.0; 2]), 0.0);
    }

    #[test]
    fn tiny_and_huge_weights_lose_no_precision() {
        assert_close(spectral(&[3e-200, 4e-200], &[0.0]), 5e-200);
        assert_close(spectral(&[3e150, 4e150], &[0.0]), 5e150);
        assert_eq!(norms(&[1e200, 0.0], &[0.0]), None);
        assert_eq!(norms(&[f64::NAN], &[0.0]), None);
    }
}
