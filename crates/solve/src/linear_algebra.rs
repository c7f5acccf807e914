//! Systems of linear equations with a symmetric matrix.

use crate::lbfgs::dot;

/// The Cholesky factor of a symmetric, positive semi-definite matrix, `[m, m]`, whose rows and
/// columns are scaled to the diagonal 1.
pub(crate) struct Cholesky {
    /// L, lower triangular, `[m, m]`.
    factor: Vec<f64>,
    /// `1 / sqrt(diagonal)`
    scale: Vec<f64>,
    /// What was added to the scaled diagonal, because the matrix is singular up to rounding.
    ridge: f64,
}

impl Cholesky {
    pub(crate) fn of(matrix: &[f64], m: usize) -> Self {
        let largest = (0..m).map(|i| matrix[i * m + i]).fold(0.0, f64::max);
        let least = (f64::EPSILON * f64::EPSILON * largest).max(f64::MIN_POSITIVE);
        let scale: Vec<f64> = (0..m).map(|i| 1.0 / matrix[i * m + i].max(least).sqrt()).collect();
        let mut ridge = 0.0;
        loop {
            let mut factor: Vec<f64> = (0..m * m).map(|i| matrix[i] * scale[i / m] * scale[i % m]).collect();
            factor.iter_mut().step_by(m + 1).for_each(|diagonal| *diagonal += ridge);
            // A matrix that is not finite has no factor. Its solutions are not finite, either.
            if cholesky(&mut factor, m).is_some() || ridge > 1.0 {
                return Self { factor, scale, ridge };
            }
            ridge = if ridge == 0.0 { 1e-14 } else { 100.0 * ridge };
        }
    }

    /// Whether the factor is that of another matrix, because this one is singular.
    pub(crate) fn is_changed(&self) -> bool {
        self.ridge > 0.0
    }

    /// Solves `matrix x = b`. The residual of the first solution corrects it once, because a
    /// certificate needs all digits.
    pub(crate) fn solve(&self, matrix: &[f64], b: &[f64]) -> Vec<f64> {
        let mut x = self.solve_once(b);
        if !self.is_changed() {
            let m = b.len();
            let residual: Vec<f64> =
                b.iter().zip(matrix.chunks_exact(m.max(1))).map(|(b, row)| b - dot(row, &x)).collect();
            x.iter_mut().zip(self.solve_once(&residual)).for_each(|(x, correction)| *x += correction);
        }
        x
    }

    fn solve_once(&self, b: &[f64]) -> Vec<f64> {
        let m = b.len();
        let mut x: Vec<f64> = b.iter().zip(&self.scale).map(|(b, scale)| b * scale).collect();
        for i in 0..m {
            let (row, rest) = (&self.factor[i * m..][..=i], x[i]);
            x[i] = (rest - dot(&row[..i], &x[..i])) / row[i];
        }
        for i in (0..m).rev() {
            x[i] /= self.factor[i * m + i];
            let (own, row) = (x[i], &self.factor[i * m..][..i]);
            x[..i].iter_mut().zip(row).for_each(|(x, l)| *x -= l * own);
        }
        x.iter_mut().zip(&self.scale).for_each(|(x, scale)| *x *= scale);
        x
    }
}

/// Replaces a symmetric matrix `[m, m]` by its Cholesky factor, in the lower triangle. Returns
/// `None` if it is not positive definite.
pub(crate) fn cholesky(matrix: &mut [f64], m: usize) -> Option<()> {
    for i in 0..m {
        for j in 0..=i {
            let (first, second) = (i * m, j * m);
            let product: f64 = (0..j).map(|l| matrix[first + l] * matrix[second + l]).sum();
            let rest = matrix[first + j] - product;
            if i != j {
                matrix[first + j] = rest / matrix[second + j];
            } else if rest > f64::EPSILON * matrix[first + i].abs() {
                matrix[first + i] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(())
}

/// A column whose part that is orthogonal to the earlier ones has less than this fraction of its
/// squared length is a linear function of them. Numbers in f32 leave some `1e-14`.
const DEPENDENT: f64 = 1e-11;

/// Returns the columns of X that are linear functions of earlier ones, from `X^T X`, a symmetric
/// matrix `[size, size]`. `order` has the columns to look at. `magnitude` is the square of a number
/// that was subtracted from the column, and whose rounding error remains in it.
pub(crate) fn dependent_columns(
    matrix: &[f64],
    size: usize,
    order: &[usize],
    magnitude: impl Fn(usize) -> f64,
) -> Vec<usize> {
    let (mut independent, mut rows): (Vec<usize>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    let mut dependent = Vec::new();
    for &column in order {
        let mut row: Vec<f64> = Vec::with_capacity(independent.len() + 1);
        for (&earlier, factor) in independent.iter().zip(&rows) {
            let rest = matrix[column * size + earlier] - dot(&row, &factor[..row.len()]);
            row.push(rest / factor[row.len()]);
        }
        let square = matrix[column * size + column];
        // The first column is that of the bias.
        let deviation = square - row.first().map_or(0.0, |first| first * first);
        let rest = square - dot(&row, &row);
        if rest > DEPENDENT * deviation && deviation > 1e-24 * (square + magnitude(column)) {
            row.push(rest.sqrt());
            independent.push(column);
            rows.push(row);
        } else {
            dependent.push(column);
        }
    }
    dependent
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replaces columns of a row by combinations of others.
    type Combine<'a> = &'a dyn Fn(&mut [f64]);

    /// `X^T X` of irregular numbers, `[m, m]`, with the columns that are combinations of others.
    fn gram(n: usize, m: usize, combine: impl Fn(&mut [f64])) -> Vec<f64> {
        let mut matrix = vec![0.0; m * m];
        for i in 0..n {
            let mut x: Vec<f64> = (0..m).map(|j| ((i * (j + 3)) as f64 * 0.618).sin()).collect();
            combine(&mut x);
            for (row, first) in matrix.chunks_exact_mut(m).zip(&x) {
                row.iter_mut().zip(&x).for_each(|(sum, second)| *sum += first * second);
            }
        }
        matrix
    }

    #[test]
    fn a_system_is_solved_whatever_the_scales_of_its_columns() {
        let m = 7;
        let matrix = gram(50, m, |x| x.iter_mut().enumerate().for_each(|(j, x)| *x *= 10f64.powi(6 * j as i32 - 18)));
        let expected: Vec<f64> = (0..m).map(|j| 10f64.powi(18 - 6 * j as i32) * (1.0 + j as f64)).collect();
        let b: Vec<f64> = matrix.chunks_exact(m).map(|row| dot(row, &expected)).collect();
        let factor = Cholesky::of(&matrix, m);
        assert!(!factor.is_changed());
        for (x, expected) in factor.solve(&matrix, &b).iter().zip(&expected) {
            assert!((x / expected - 1.0).abs() < 1e-10, "{x} {expected}");
        }
        let singular = gram(50, m, |x| x[3] = x[1] - 2.0 * x[2]);
        assert!(Cholesky::of(&singular, m).is_changed());
    }

    #[test]
    fn columns_that_depend_on_earlier_ones_are_found() {
        let cases: [(Combine, &[usize]); 5] = [
            (&|_| (), &[]),
            (&|x| x[3] = x[1], &[3]),
            // A constant depends on the first column, which is that of the bias.
            (&|x| (x[0], x[2]) = (1.0, 5.0), &[2]),
            (&|x| (x[0], x[3], x[5]) = (1.0, f64::from((x[1] + x[2]) as f32), x[1] + x[2] + 2.0), &[3, 5]),
            // Nearly dependent columns are not.
            (&|x| x[3] = x[1] + 1e-4 * x[3], &[]),
        ];
        for (i, (combine, expected)) in cases.into_iter().enumerate() {
            let matrix = gram(100, 6, combine);
            let order = [0, 1, 2, 3, 4, 5];
            assert_eq!(dependent_columns(&matrix, 6, &order, |_| 0.0), expected, "case {i}");
        }
    }
}
