//! The area under the ROC curve with its error: E. DeLong, D. DeLong, D. Clarke-Pearson, Comparing
//! the areas under two or more correlated receiver operating characteristic curves: a nonparametric
//! approach, Biometrics 44 (3), 1988. Computed from ranks, in O(n log n), as X. Sun, W. Xu, Fast
//! implementation of DeLong's algorithm, IEEE Signal Processing Letters 21 (11), 2014.

use serde::Serialize;

use crate::distributions::{normal_half_width, normal_two_sided};

/// An area under the ROC curve, with what each row adds to its error.
#[derive(Clone, Debug, PartialEq)]
pub struct Auc {
    area: f64,
    /// The influence of each row, `[n]`: the sum of squares is DeLong's variance. `None` where a
    /// class has one row only.
    influence: Option<Vec<f64>>,
}

/// The comparison of two areas on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedAuc {
    /// The first area minus the second.
    pub difference: f64,
    /// The standard error of the difference, with the covariance of the areas.
    pub standard_error: f64,
    /// The difference in standard errors.
    pub z: f64,
    /// The two-sided p value.
    pub p_value: f64,
}

impl Auc {
    /// Computes the area and its influences. `positive` says of which class each row is. Returns
    /// `None` unless both classes have a row with a weight.
    ///
    /// Weights are those of a sample, as in surveys: the variance is that of a weighted mean
    /// (linearised), which is DeLong's if all weights are the same.
    ///
    /// # Panics
    /// If the lengths differ, or a score is NaN.
    pub fn new(scores: &[f64], positive: &[bool], weights: Option<&[f64]>) -> Option<Self> {
        let n = scores.len();
        assert_eq!(n, positive.len(), "a class for each score");
        assert!(weights.is_none_or(|weights| weights.len() == n), "a weight for each score");
        assert!(!scores.iter().any(|score| score.is_nan()), "a score is NaN");
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let (mut sums, mut counts) = ([0.0; 2], [0usize; 2]);
        for row in (0..n).filter(|&row| weight(row) > 0.0) {
            sums[usize::from(positive[row])] += weight(row);
            counts[usize::from(positive[row])] += 1;
        }
        if sums.contains(&0.0) {
            return None;
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &j| scores[i].total_cmp(&scores[j]));
        // The fraction of the other class that is on the right side of the row, ties as half.
        let mut placement = vec![0.0; n];
        let mut below = [0.0; 2];
        for tied in order.chunk_by(|&i, &j| scores[i] == scores[j]) {
            let mut here = [0.0; 2];
            tied.iter().for_each(|&row| here[usize::from(positive[row])] += weight(row));
            for &row in tied {
                let other = usize::from(!positive[row]);
                let lower = (below[other] + 0.5 * here[other]) / sums[other];
                placement[row] = if positive[row] { lower } else { 1.0 - lower };
            }
            below = [below[0] + here[0], below[1] + here[1]];
        }
        let of_positives = (0..n).filter(|&row| positive[row]).map(|row| weight(row) * placement[row]);
        let area = of_positives.sum::<f64>() / sums[1];
        let influence = (counts[0].min(counts[1]) > 1).then(|| {
            let factor = [0, 1].map(|class| (counts[class] as f64 / (counts[class] as f64 - 1.0)).sqrt() / sums[class]);
            let of_row = |row: usize| factor[usize::from(positive[row])] * weight(row) * (placement[row] - area);
            (0..n).map(of_row).collect()
        });
        Some(Self { area, influence })
    }

    /// The mean of the areas of several classes against the others, on the same rows:
    /// scikit-learn's `roc_auc_score` with `multi_class="ovr"`. Its error has the covariances of
    /// the areas.
    ///
    /// # Panics
    /// If there are none, or their rows differ.
    pub fn macro_average(areas: &[Self]) -> Self {
        let n = areas.len() as f64;
        assert!(!areas.is_empty(), "an area at least");
        let influences: Option<Vec<&[f64]>> = areas.iter().map(|auc| auc.influence.as_deref()).collect();
        let influence = influences.map(|influences| {
            assert!(influences.iter().all(|influence| influence.len() == influences[0].len()), "the same rows");
            (0..influences[0].len()).map(|row| influences.iter().map(|of| of[row]).sum::<f64>() / n).collect()
        });
        Self { area: areas.iter().map(|auc| auc.area).sum::<f64>() / n, influence }
    }

    /// The area: the probability that a positive row has a higher score than a negative one, where
    /// ties count half.
    pub fn area(&self) -> f64 {
        self.area
    }

    /// DeLong's standard error. `None` if a class has one row only.
    pub fn standard_error(&self) -> Option<f64> {
        let influence = self.influence.as_ref()?;
        Some(influence.iter().map(|x| x * x).sum::<f64>().sqrt())
    }

    /// The normal confidence interval by DeLong's standard error, within 0 to 1, as pROC's
    /// `ci.auc`. `None` if a class has one row only, or the scores separate the classes: then all
    /// of DeLong's differences are 0, which says nothing about new rows.
    ///
    /// # Panics
    /// If the level is not between 0 and 1.
    pub fn interval(&self, level: f64) -> Option<[f64; 2]> {
        let error = self.standard_error().filter(|&error| error > 0.0)?;
        let half = normal_half_width(level) * error;
        Some([self.area - half, self.area + half].map(|x| x.clamp(0.0, 1.0)))
    }

    /// DeLong's test of two areas on the same rows, in the same order. `None` if an area has no
    /// error, or the difference has none.
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn compare(&self, other: &Self) -> Option<PairedAuc> {
        let (first, second) = (self.influence.as_ref()?, other.influence.as_ref()?);
        assert_eq!(first.len(), second.len(), "the same rows");
        let variance: f64 = first.iter().zip(second).map(|(x, y)| (x - y).powi(2)).sum();
        let (difference, standard_error) = (self.area - other.area, variance.sqrt());
        // Rounding of equal rankings.
        if standard_error < 1e-14 {
            return None;
        }
        let z = difference / standard_error;
        Some(PairedAuc { difference, standard_error, z, p_value: normal_two_sided(z) })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    const POSITIVE: [bool; 5] = [true, true, true, false, false];
    const FIRST: [f64; 5] = [0.8, 0.6, 0.4, 0.6, 0.2];
    const SECOND: [f64; 5] = [0.9, 0.5, 0.7, 0.3, 0.6];

    /// Calculated by hand with fractions. The first scores: placements 1, 3/4, 1/2 of the positive
    /// rows and 1/2, 1 of the negative ones; area 3/4; variance (1/16) / 3 + (1/8) / 2 = 1/12. The
    /// second: 1, 1/2, 1 and 1, 2/3; area 5/6; variance (1/12) / 3 + (1/18) / 2 = 1/18. The
    /// covariance is 0 / 3 + (-1/12) / 2 = -1/24.
    #[test]
    fn a_small_case_matches_exact_fractions() {
        let [first, second] = [FIRST, SECOND].map(|scores| Auc::new(&scores, &POSITIVE, None).unwrap());
        for (auc, area, variance) in [(&first, 0.75, 1.0 / 12.0), (&second, 5.0 / 6.0, 1.0 / 18.0)] {
            assert!((auc.area() - area).abs() < 1e-15);
            assert!((auc.standard_error().unwrap().powi(2) - variance).abs() < 1e-15);
        }
        let test = first.compare(&second).unwrap();
        assert!((test.difference + 1.0 / 12.0).abs() < 1e-15);
        assert!((test.standard_error.powi(2) - (1.0 / 12.0 + 1.0 / 18.0 + 1.0 / 12.0)).abs() < 1e-15);
        assert!((test.z + 1.0 / 12.0 / (2.0f64 / 9.0).sqrt()).abs() < 1e-14);
        // The mean of both has a quarter of the sum of variances and covariances.
        let both = Auc::macro_average(&[first.clone(), second]);
        assert!((both.standard_error().unwrap().powi(2) - (1.0 / 12.0 + 1.0 / 18.0 - 1.0 / 12.0) / 4.0).abs() < 1e-15);
        assert_eq!(first.compare(&first), None);
        let [low, high] = first.interval(0.95).unwrap();
        assert!((low - (0.75 - 1.959_963_984_540_054 * (1.0f64 / 12.0).sqrt())).abs() < 1e-12 && high == 1.0);
    }

    /// DeLong's definition, by all pairs of rows.
    fn by_pairs(scores: &[f64], positive: &[bool]) -> [f64; 2] {
        let of = |class: bool| -> Vec<f64> {
            scores.iter().zip(positive).filter(|(_, is)| **is == class).map(|(score, _)| *score).collect()
        };
        let kernel = |x: f64, y: f64| if x == y { 0.5 } else { f64::from(u8::from(x > y)) };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (xs, ys) = (of(true), of(false));
        let v10: Vec<f64> =
            xs.iter().map(|&x| ys.iter().map(|&y| kernel(x, y)).sum::<f64>() / ys.len() as f64).collect();
        let v01: Vec<f64> =
            ys.iter().map(|&y| xs.iter().map(|&x| kernel(x, y)).sum::<f64>() / xs.len() as f64).collect();
        let area = mean(&v10);
        let part = |v: &[f64]| {
            let m = v.len() as f64;
            v.iter().map(|v| (v - area).powi(2)).sum::<f64>() / (m - 1.0) / m
        };
        [area, part(&v10) + part(&v01)]
    }

    #[test]
    fn ranks_give_what_all_pairs_give() {
        let scores: Vec<f64> = (0..300).map(|i| f64::from(i * i % 37)).collect();
        let positive: Vec<bool> = (0..300).map(|i| (i * i % 37 + i * 7 % 40) > 30).collect();
        let auc = Auc::new(&scores, &positive, None).unwrap();
        let [area, variance] = by_pairs(&scores, &positive);
        assert!((auc.area() - area).abs() < 1e-13 && (auc.standard_error().unwrap().powi(2) - variance).abs() < 1e-15);
        let equal = Auc::new(&scores, &positive, Some(&[2.5; 300])).unwrap();
        assert!((equal.standard_error().unwrap() - variance.sqrt()).abs() < 1e-14);
    }

    #[test]
    fn what_has_no_error_has_no_interval() {
        assert!(Auc::new(&[1.0, 2.0], &[true, true], None).is_none());
        let one = Auc::new(&[1.0, 2.0, 0.0], &[true, false, false], None).unwrap();
        assert_eq!((one.area(), one.standard_error(), one.interval(0.95)), (0.5, None, None));
        let separated = Auc::new(&[3.0, 4.0, 1.0, 2.0], &[true, true, false, false], None).unwrap();
        assert_eq!((separated.area(), separated.interval(0.95)), (1.0, None));
    }
}
