//! Metrics of predicted probabilities: mean losses with their errors, Brier score, calibration.

use serde::Serialize;

use crate::distributions::normal_half_width;
use crate::proportion::wilson;

/// A mean over rows with its standard error, such as that of the losses: the log loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error: the standard deviation of a row divided by the square root of n. `None`
    /// for one row.
    pub standard_error: Option<f64>,
}

impl Mean {
    /// Returns the mean of the values. With weights, it is weighted, and its error is that of a
    /// weighted sample (linearised). `None` without a row of a positive weight.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn of(values: &[f64], weights: Option<&[f64]>) -> Option<Self> {
        assert!(weights.is_none_or(|weights| weights.len() == values.len()), "a weight for each value");
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let total: f64 = (0..values.len()).map(weight).sum();
        if total <= 0.0 {
            return None;
        }
        let n = (0..values.len()).filter(|&row| weight(row) > 0.0).count() as f64;
        let weighted = values.iter().enumerate().map(|(row, value)| weight(row) * value);
        let mean = weighted.sum::<f64>() / total;
        let squares = values.iter().enumerate().map(|(row, value)| (weight(row) * (value - mean) / total).powi(2));
        let variance = n / (n - 1.0) * squares.sum::<f64>();
        Some(Self { mean, standard_error: (n > 1.0).then(|| variance.sqrt()) })
    }

    /// The normal confidence interval of the mean.
    ///
    /// # Panics
    /// If the level is not between 0 and 1.
    pub fn interval(&self, level: f64) -> Option<[f64; 2]> {
        let half = normal_half_width(level) * self.standard_error?;
        Some([self.mean - half, self.mean + half])
    }
}

/// The Brier score: the mean of the squared differences between the probabilities and the labels,
/// summed over the classes. For two classes it is half of the sum, `(p - y)^2` of one class:
/// `sklearn.metrics.brier_score_loss`.
///
/// # Shapes
/// - probabilities `[n, k]`, labels `[n]`, weights `[n]`
///
/// # Panics
/// If the shapes differ, or a label is not below k.
pub fn brier_score(probabilities: &[f64], classes: usize, labels: &[usize], weights: Option<&[f64]>) -> Option<Mean> {
    assert_eq!(probabilities.len(), classes * labels.len(), "a probability for each row and class");
    let scale = if classes == 2 { 0.5 } else { 1.0 };
    let of_row = |(p, &label): (&[f64], &usize)| {
        assert!(label < classes, "class {label} of {classes}");
        let squares = p.iter().enumerate().map(|(class, p)| (p - f64::from(u8::from(class == label))).powi(2));
        scale * squares.sum::<f64>()
    };
    let rows: Vec<f64> = probabilities.chunks_exact(classes).zip(labels).map(of_row).collect();
    Mean::of(&rows, weights)
}

/// How [`calibration`] divides the probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binning {
    /// This many bins of the same width, from 0 to 1.
    Uniform(usize),
    /// This many bins with about the same number of rows.
    Quantile(usize),
}

/// The rows whose probability is in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// The lower end, which is excluded, but for the first bin.
    pub above: f64,
    /// The upper end, which is included.
    pub up_to: f64,
    /// The number of rows.
    pub rows: u64,
    /// The number of positive rows.
    pub positives: u64,
    /// The mean probability.
    pub probability: f64,
    /// The fraction of positive rows. In a well calibrated model it is near the probability.
    pub fraction: f64,
    /// The 95 % confidence interval of the fraction: see [`wilson`].
    pub interval: [f64; 2],
}

/// Compares the probabilities of a class with how often it is right. Bins without rows are left
/// out: `sklearn.calibration.calibration_curve`.
///
/// # Panics
/// If the lengths differ, if a probability is NaN, or if there are no bins.
pub fn calibration(probabilities: &[f64], positive: &[bool], binning: Binning) -> Vec<CalibrationBin> {
    assert_eq!(probabilities.len(), positive.len(), "a class for each probability");
    let (Binning::Uniform(bins) | Binning::Quantile(bins)) = binning;
    assert!(bins > 0, "a bin at least");
    if probabilities.is_empty() {
        return Vec::new();
    }
    let ends: Vec<f64> = match binning {
        Binning::Uniform(_) => (0..=bins).map(|i| i as f64 / bins as f64).collect(),
        Binning::Quantile(_) => {
            let mut sorted = probabilities.to_vec();
            sorted.sort_by(f64::total_cmp);
            (0..=bins).map(|i| quantile(&sorted, i as f64 / bins as f64)).collect()
        }
    };
    let (mut rows, mut positives, mut sums) = (vec![0u64; bins], vec![0u64; bins], vec![0.0; bins]);
    for (&p, &is_positive) in probabilities.iter().zip(positive) {
        assert!(!p.is_nan(), "a probability is NaN");
        let bin = ends[1..bins].partition_point(|&end| end < p);
        rows[bin] += 1;
        positives[bin] += u64::from(is_positive);
        sums[bin] += p;
    }
    let bin = |i: usize| CalibrationBin {
        above: ends[i],
        up_to: ends[i + 1],
        rows: rows[i],
        positives: positives[i],
        probability: sums[i] / rows[i] as f64,
        fraction: positives[i] as f64 / rows[i] as f64,
        interval: wilson(positives[i], rows[i]),
    };
    (0..bins).filter(|&i| rows[i] > 0).map(bin).collect()
}

/// The quantile between two neighbours, as NumPy's default.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let place = fraction * (sorted.len() - 1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calculated by hand: the deviations of 1, 2, 6 from 3 are -2, -1, 3, with the variance 7.
    #[test]
    fn a_mean_has_the_error_of_the_sample() {
        let mean = Mean::of(&[1.0, 2.0, 6.0], None);
        let error = (7.0f64 / 3.0).sqrt();
        assert_eq!(mean.map(|mean| mean.mean), Some(3.0));
        assert!(mean.and_then(|mean| mean.standard_error).is_some_and(|found| (found - error).abs() < 1e-15));
        let weighted = Mean::of(&[1.0, 2.0, 6.0], Some(&[2.0, 2.0, 2.0]));
        assert!(weighted.and_then(|mean| mean.standard_error).is_some_and(|found| (found - error).abs() < 1e-15));
        assert_eq!(Mean::of(&[4.0], None), Some(Mean { mean: 4.0, standard_error: None }));
        assert_eq!(Mean::of(&[], None), None);
    }
}
