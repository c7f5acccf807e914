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
    /// The covariances of the numbers, `[m, m]`. In a long table they are those of a sample of the
    /// rows.
    pub covariance: Vec<f64>,
    /// The features that are levels or sparse, each with its variance over all rows.
    pub levels: Vec<(usize, f64)>,
}

/// The number of sampled rows for each number of a row. The eigenvalues of the covariances of such
/// a sample are those of all rows up to a factor of about 1.4.
const ROWS_PER_NUMBER: usize = 32;
/// Maximum number of products of a covariance matrix.
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
    let n_sampled = (ROWS_PER_NUMBER * m).min(MAX_PRODUCTS / (m * m).max(1)).max(m).clamp(1, n.max(1));
    (0..n_sampled).map(move |i| i * n / n_sampled)
}

/// Computes the moments, the covariances from the stored numbers of the sampled rows, row by row.
pub(crate) fn moments(rows: &TableRows, sample: &[f64]) -> FeatureMoments {
    let (mean, numbers) = (rows.mean(), rows.layout().numbers.clone());
    let m = numbers.len();
    let mut covariance = vec![0.0; m * m];
    let mut deviations = vec![0.0; m];
    for row in sample.chunks_exact(m.max(1)) {
        for (position, deviation) in deviations.iter_mut().enumerate() {
            let (a, c) = rows.affine_of_number(position);
            *deviation = a * row[position] + c - mean[numbers[position]];
        }
        for (first, sums) in deviations.iter().zip(covariance.chunks_exact_mut(m.max(1))) {
            sums.iter_mut().zip(&deviations).for_each(|(sum, second)| *sum += first * second);
        }
    }
    let n_sampled = sample.len() / m.max(1);
    covariance.iter_mut().for_each(|sum| *sum /= n_sampled as f64);
    let levels = rows.levels().iter().enumerate();
    let levels = levels.map(|(code, &feature)| (feature, rows.variance_of_level(code)));
    let sparse = rows.layout().sparse.iter().enumerate();
    let sparse = sparse.map(|(position, &feature)| (feature, rows.variance_of_sparse(position)));
    let levels = levels.chain(sparse).collect();
    FeatureMoments { mean, numbers, covariance, levels }
}
