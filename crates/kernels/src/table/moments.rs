//! The means and variances of a table's features.

use crate::packed_rows::{PackedRows, Store};
use crate::table::rows::TableRows;

/// The means of a table's features, their variances, and the covariances of its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMoments {
    /// The mean of each feature over all rows, `[d]`.
    pub mean: Vec<f64>,
    /// The features that are numbers.
    pub numbers: Vec<usize>,
    /// The variances of the numbers, `[m]`. In a long table they are those of a sample of the rows.
    pub variances: Vec<f64>,
    /// The covariances of the numbers over the same rows, `[m, m]`. `None` if there are more than
    /// [`MAX_COVARIANCES`] numbers.
    pub covariance: Option<Vec<f64>>,
    /// The features that are levels or sparse, each with its variance over all rows.
    pub levels: Vec<(usize, f64)>,
}

/// The maximum number of numbers whose covariances are computed. The matrix of more would take
/// longer than it saves.
pub const MAX_COVARIANCES: usize = 256;

/// The number of sampled rows for each number of a row. The eigenvalues of the covariances of such
/// a sample are those of all rows up to a factor of about 1.4.
const ROWS_PER_NUMBER: usize = 32;
/// Maximum number of products of all sampled rows.
const MAX_PRODUCTS: usize = 1 << 26;

impl PackedRows {
    /// Returns the mean of each feature of a table, `[d]`, or `None` for rows of bytes.
    pub fn feature_mean(&self) -> Option<Vec<f64>> {
        match &self.store {
            Store::Bytes(_) => None,
            Store::Table(rows) => Some(rows.mean()),
        }
    }

    /// Returns the moments of a table's features, or `None` for rows of bytes.
    pub fn feature_moments(&self) -> Option<FeatureMoments> {
        match &self.store {
            Store::Bytes(_) => None,
            Store::Table(rows) => {
                let n_numbers = rows.layout().numbers.len();
                let numbers = |row| (0..n_numbers).map(move |position| rows.number(row, position));
                Some(moments(rows, &sampled_rows(rows).flat_map(numbers).collect::<Vec<_>>()))
            }
        }
    }
}

/// Returns the rows whose numbers the covariances need.
pub(crate) fn sampled_rows(rows: &TableRows) -> impl Iterator<Item = usize> + use<> {
    let (m, n) = (rows.layout().numbers.len(), rows.len());
    let products = if m > MAX_COVARIANCES { m } else { m * m };
    let n_sampled = (ROWS_PER_NUMBER * m).min(MAX_PRODUCTS / products.max(1)).clamp(1, n.max(1));
    (0..n_sampled).map(move |i| i * n / n_sampled)
}

/// Computes the moments, the covariances from the stored numbers of the sampled rows, row by row.
pub(crate) fn moments(rows: &TableRows, sample: &[f64]) -> FeatureMoments {
    let (mean, numbers) = (rows.mean(), rows.layout().numbers.clone());
    let m = numbers.len();
    let mut variances = vec![0.0; m];
    let mut covariance = (m <= MAX_COVARIANCES).then(|| vec![0.0; m * m]);
    let mut deviations = vec![0.0; m];
    for row in sample.chunks_exact(m.max(1)) {
        for (position, deviation) in deviations.iter_mut().enumerate() {
            let (a, c) = rows.affine_of_number(position);
            *deviation = a * row[position] + c - mean[numbers[position]];
        }
        variances.iter_mut().zip(&deviations).for_each(|(sum, deviation)| *sum += deviation * deviation);
        let sums = covariance.iter_mut().flat_map(|covariance| covariance.chunks_exact_mut(m.max(1)));
        for (first, sums) in deviations.iter().zip(sums) {
            sums.iter_mut().zip(&deviations).for_each(|(sum, second)| *sum += first * second);
        }
    }
    let n_sampled = (sample.len() / m.max(1)) as f64;
    variances.iter_mut().chain(covariance.iter_mut().flatten()).for_each(|sum| *sum /= n_sampled);
    let levels = rows.levels().iter().enumerate();
    let levels = levels.map(|(code, &feature)| (feature, rows.variance_of_level(code)));
    let sparse = rows.layout().sparse.iter().enumerate();
    let sparse = sparse.map(|(position, &feature)| (feature, rows.variance_of_sparse(position)));
    let levels = levels.chain(sparse).collect();
    FeatureMoments { mean, numbers, variances, covariance, levels }
}
