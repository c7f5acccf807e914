//! Means over the folds of a cross-validation, and the choice of a penalty by them.

use serde::Serialize;

/// A mean over folds with its standard error.
///
/// The error is only a guide. Two trainings share most of their rows, so their scores are not
/// independent, and no estimate of the error is unbiased: Y. Bengio, Y. Grandvalet, No unbiased
/// estimator of the variance of k-fold cross-validation, JMLR 5, 2004.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FoldMean {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the folds, divided by the square root of their number.
    pub standard_error: f64,
}

impl FoldMean {
    /// Returns the mean of the folds' values, each weighted by the weight of the fold's rows. So it
    /// is the mean over rows. The error is that of `cv.glmnet` in R's glmnet (Friedman, Hastie,
    /// Tibshirani, Regularization paths for generalized linear models via coordinate descent,
    /// Journal of Statistical Software 33 (1), 2010).
    ///
    /// `values` has `folds` values for each repeat. Repeats use the same rows, so they make the
    /// error of one repeat no smaller: it is the root of the mean square of theirs.
    ///
    /// # Panics
    /// If the lengths differ or are no multiple of `folds`, or there are fewer than two folds.
    pub fn of(values: &[f64], weights: &[f64], folds: usize) -> Self {
        assert_eq!(values.len(), weights.len(), "a weight for each value");
        assert!(folds > 1 && !values.is_empty() && values.len().is_multiple_of(folds), "{folds} folds");
        let mean = |values: &[f64], weights: &[f64]| -> f64 {
            let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
            sum / weights.iter().sum::<f64>()
        };
        let repeats = values.chunks_exact(folds).zip(weights.chunks_exact(folds));
        let variance_of_repeat = |(values, weights): (&[f64], &[f64])| {
            let own = mean(values, weights);
            let squares: Vec<f64> = values.iter().map(|value| (value - own).powi(2)).collect();
            mean(&squares, weights) / (folds - 1) as f64
        };
        let n_repeats = (values.len() / folds) as f64;
        let variance = repeats.map(variance_of_repeat).sum::<f64>() / n_repeats;
        Self { mean: mean(values, weights), standard_error: variance.sqrt() }
    }
}

/// Returns the positions of the penalty with the lowest mean loss, and of the largest penalty whose
/// mean loss is at most one standard error above it: L. Breiman et al., Classification and
/// regression trees, 1984, section 3.4.3. Of penalties with the same loss, the largest is the best.
/// `None` without penalties.
///
/// # Panics
/// If the lengths differ.
pub fn choose_penalty(penalties: &[f64], losses: &[FoldMean]) -> Option<[usize; 2]> {
    assert_eq!(penalties.len(), losses.len(), "a loss for each penalty");
    let by_penalty = |&a: &usize, &b: &usize| penalties[a].total_cmp(&penalties[b]);
    let best =
        (0..penalties.len()).min_by(|a, b| losses[*a].mean.total_cmp(&losses[*b].mean).then(by_penalty(b, a)))?;
    let limit = losses[best].mean + losses[best].standard_error;
    let largest = (0..penalties.len()).filter(|&i| losses[i].mean <= limit).max_by(by_penalty)?;
    Some([best, largest])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    /// Calculated by hand. The weighted mean of 1, 2, 4 by 1, 1, 2 is 2.75; the squares are 3.0625,
    /// 0.5625 and 1.5625, their mean 1.6875, and half of it is the variance.
    #[test]
    fn a_mean_over_folds_is_that_of_their_rows() {
        let found = FoldMean::of(&[1.0, 2.0, 4.0], &[1.0, 1.0, 2.0], 3);
        assert_eq!(found, FoldMean { mean: 2.75, standard_error: 0.84375f64.sqrt() });
        // A repeat with other values moves the mean, and does not make the error smaller.
        let repeated = FoldMean::of(&[1.0, 2.0, 4.0, 11.0, 12.0, 14.0], &[1.0, 1.0, 2.0, 1.0, 1.0, 2.0], 3);
        assert_eq!(repeated, FoldMean { mean: 7.75, standard_error: 0.84375f64.sqrt() });
    }

    #[test]
    fn the_rule_of_one_standard_error_takes_the_largest_penalty_within() {
        let loss = |mean: f64| FoldMean { mean, standard_error: 0.1 };
        let losses = [0.5, 0.41, 0.4, 0.4, 0.7].map(loss);
        let penalties = [10.0, 1.0, 0.1, 0.01, 0.001];
        assert_eq!(choose_penalty(&penalties, &losses), Some([2, 0]));
        let mut narrow = losses;
        narrow.iter_mut().for_each(|loss| loss.standard_error = 0.02);
        assert_eq!(choose_penalty(&penalties, &narrow), Some([2, 1]));
        // The order does not matter.
        let reversed: Vec<FoldMean> = narrow.iter().rev().copied().collect();
        let backwards: Vec<f64> = penalties.iter().rev().copied().collect();
        assert_eq!(choose_penalty(&backwards, &reversed), Some([2, 3]));
        assert_eq!(choose_penalty(&[], &[]), None);
        assert_eq!(choose_penalty(&[1.0], &losses[..1]).unwrap(), [0, 0]);
    }
}
