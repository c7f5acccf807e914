//! Metrics that need no more than counts and sums over the rows.

use serde::Serialize;

use crate::proportion::wilson;

/// Accumulates counts and sums over rows.
#[derive(Clone, Debug)]
pub struct Tally {
    classes: usize,
    rows: u64,
    loss: f64,
    /// The class weights and the sum of weighted losses, if a weighted loss is requested.
    weighted: Option<(Vec<f64>, f64)>,
    /// `classes * classes`, by label and then by prediction.
    confusion: Vec<u64>,
    bins: [BinSums; BINS],
    /// Sorted by confidence, the highest first.
    wrong: Vec<Misclassified>,
    max_wrong: usize,
}

/// The number of bins in the reliability table, all of the same width.
const BINS: usize = 10;

#[derive(Clone, Copy, Debug, Default)]
struct BinSums {
    rows: u64,
    confidence: f64,
    right: u64,
}

/// A misclassified row. Classes are positions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Misclassified {
    /// The index of the row.
    pub row: usize,
    /// Its true class.
    pub label: usize,
    /// Its predicted class.
    pub predicted: usize,
    /// The probability of the predicted class.
    pub confidence: f64,
}

/// The metrics that a [`Tally`] computes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// The number of rows, n.
    pub rows: u64,
    /// The number of rows classified correctly.
    pub right: u64,
    /// The mean cross-entropy in nats.
    pub loss: f64,
    /// The mean of each row's cross-entropy times its class weight. The sum is divided by the
    /// number of rows. A training with class weights minimises this loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted_loss: Option<f64>,
    /// The fraction classified correctly.
    pub accuracy: f64,
    /// The 95 % confidence interval of the accuracy: see [`wilson`].
    pub accuracy_interval: [f64; 2],
    /// `confusion[i][j]` is the number of rows of class i that were predicted as class j.
    pub confusion: Vec<Vec<u64>>,
    /// The metrics of each class.
    pub per_class: Vec<ClassScores>,
    /// The reliability table: ten bins of the confidence. A bin includes its upper end but not its
    /// lower end.
    pub reliability: Vec<Bin>,
    /// The mean over rows of the difference between accuracy and mean confidence in the row's bin:
    /// M. Naeini, G. Cooper, M. Hauskrecht, Obtaining well calibrated probabilities using Bayesian
    /// binning, AAAI 2015; C. Guo et al., On calibration of modern neural networks, ICML 2017, Eq.
    /// (3).
    pub expected_calibration_error: f64,
    /// The misclassified rows with the highest confidence, sorted by confidence, the highest first.
    pub most_confidently_wrong: Vec<Misclassified>,
}

/// The metrics of one class against all others. `None` stands for 0 / 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// The number of rows of this class.
    pub rows: u64,
    /// The number of rows predicted as this class.
    pub predicted: u64,
    /// The fraction of rows predicted as this class that belong to it.
    pub precision: Option<f64>,
    /// The fraction of this class's rows that are predicted as it.
    pub recall: Option<f64>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<f64>,
}

/// The rows with a confidence in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// The lower end, which is excluded.
    pub above: f64,
    /// The upper end, which is included.
    pub up_to: f64,
    /// The number of rows.
    pub rows: u64,
    /// Their mean confidence: the probability of the predicted class.
    pub confidence: Option<f64>,
    /// The fraction classified correctly. In a well calibrated model it equals the confidence.
    pub accuracy: Option<f64>,
    /// The 95 % confidence interval of the accuracy: see [`wilson`].
    pub accuracy_interval: Option<[f64; 2]>,
}

impl Tally {
    /// Creates an empty tally for this number of classes. It keeps the `max_wrong` most
    /// confidently misclassified rows.
    pub fn new(classes: usize, max_wrong: usize) -> Self {
        let confusion = vec![0; classes * classes];
        let (bins, wrong) = (Default::default(), Vec::new());
        Self { classes, rows: 0, loss: 0.0, weighted: None, confusion, bins, wrong, max_wrong }
    }

    /// Computes the class-weighted loss, too.
    ///
    /// # Panics
    /// If the number of weights is not the number of classes.
    pub fn with_class_weights(self, class_weights: Vec<f64>) -> Self {
        assert_eq!(class_weights.len(), self.classes, "a weight for each class");
        Self { weighted: Some((class_weights, 0.0)), ..self }
    }

    /// Adds a row: its class `label`, its predicted class with the probability of that class, and
    /// its cross-entropy.
    ///
    /// # Panics
    /// If a class is out of range.
    pub fn add(&mut self, row: usize, label: usize, predicted: usize, confidence: f64, cross_entropy: f64) {
        assert!(
            label < self.classes && predicted < self.classes,
            "classes {label} and {predicted} of {}",
            self.classes
        );
        let is_right = label == predicted;
        self.rows += 1;
        self.loss += cross_entropy;
        if let Some((class_weights, sum)) = &mut self.weighted {
            *sum += class_weights[label] * cross_entropy;
        }
        self.confusion[label * self.classes + predicted] += 1;
        let bin = &mut self.bins[bin(confidence)];
        bin.rows += 1;
        bin.confidence += confidence;
        bin.right += u64::from(is_right);
        if is_right {
            return;
        }
        // Of rows with equal confidence, the earlier ones are kept.
        let place = self.wrong.partition_point(|wrong| wrong.confidence >= confidence);
        if place < self.max_wrong {
            self.wrong.truncate(self.max_wrong - 1);
            self.wrong.insert(place, Misclassified { row, label, predicted, confidence });
        }
    }

    /// Returns the metrics, or `None` if there are no rows.
    pub fn scores(&self) -> Option<Scores> {
        if self.rows == 0 {
            return None;
        }
        let confusion: Vec<Vec<u64>> = self.confusion.chunks_exact(self.classes).map(<[u64]>::to_vec).collect();
        let right = (0..self.classes).map(|class| confusion[class][class]).sum();
        let reliability: Vec<Bin> = self.bins.iter().enumerate().map(|(i, sums)| sums.bin(i)).collect();
        let weighted_gap = |bin: &Bin| Some(bin.rows as f64 * (bin.accuracy? - bin.confidence?).abs());
        Some(Scores {
            rows: self.rows,
            right,
            loss: self.loss / self.rows as f64,
            weighted_loss: self.weighted.as_ref().map(|(_, sum)| sum / self.rows as f64),
            accuracy: right as f64 / self.rows as f64,
            accuracy_interval: wilson(right, self.rows),
            per_class: (0..self.classes).map(|class| ClassScores::new(&confusion, class)).collect(),
            confusion,
            expected_calibration_error: reliability.iter().filter_map(weighted_gap).sum::<f64>() / self.rows as f64,
            reliability,
            most_confidently_wrong: self.wrong.clone(),
        })
    }
}

/// The index of a confidence's bin. Bin i reaches from i/10 (excluded) to (i + 1)/10 (included).
fn bin(confidence: f64) -> usize {
    (1..BINS).find(|&i| confidence <= i as f64 / BINS as f64).unwrap_or(BINS) - 1
}

impl BinSums {
    fn bin(&self, i: usize) -> Bin {
        let [above, up_to] = [i, i + 1].map(|i| i as f64 / BINS as f64);
        let of_rows = |sum: f64| (self.rows > 0).then(|| sum / self.rows as f64);
        Bin {
            above,
            up_to,
            rows: self.rows,
            confidence: of_rows(self.confidence),
            accuracy: of_rows(self.right as f64),
            accuracy_interval: (self.rows > 0).then(|| wilson(self.right, self.rows)),
        }
    }
}

impl ClassScores {
    fn new(confusion: &[Vec<u64>], class: usize) -> Self {
        let right = confusion[class][class];
        let rows = confusion[class].iter().sum();
        let predicted = confusion.iter().map(|of_label| of_label[class]).sum();
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let [precision, recall] = [predicted, rows].map(|whole| ratio(right, whole));
        Self { rows, predicted, precision, recall, f1: ratio(2 * right, rows + predicted) }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
    }

    /// `sklearn.metrics.classification_report([0, 1, 2, 2, 2], [0, 0, 2, 2, 1])`, the example of
    /// its page: precision .5, 0, 1; recall 1, 0, 2/3; F1 2/3, 0, .8; support 1, 1, 3.
    #[test]
    fn precision_recall_and_f1_match_scikit_learn() {
        let mut tally = Tally::new(3, 0);
        for (row, (label, predicted)) in [(0, 0), (1, 0), (2, 2), (2, 2), (2, 1)].into_iter().enumerate() {
            tally.add(row, label, predicted, 0.5, 1.0);
        }
        let scores = tally.scores().unwrap();
        assert_eq!(scores.confusion, [[1, 0, 0], [1, 0, 0], [0, 1, 2]]);
        assert_eq!((scores.rows, scores.right, scores.accuracy), (5, 3, 0.6));
        for (class, expected) in
            [[0.5, 1.0, 2.0 / 3.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 2.0 / 3.0, 0.8, 3.0]].iter().enumerate()
        {
            let ClassScores { precision, recall, f1, rows, .. } = scores.per_class[class];
            let found = [precision.unwrap(), recall.unwrap(), f1.unwrap(), rows as f64];
            found.into_iter().zip(expected).for_each(|(found, &expected)| assert_close(found, expected));
        }
    }

    #[test]
    fn zero_by_zero_is_none() {
        let mut tally = Tally::new(3, 0);
        assert_eq!(tally.scores(), None);
        tally.add(0, 0, 1, 0.5, 1.0);
        let of_class = |class: usize| {
            let ClassScores { precision, recall, f1, .. } = tally.scores().unwrap().per_class[class];
            [precision, recall, f1]
        };
        assert_eq!(of_class(0), [None, Some(0.0), Some(0.0)]);
        assert_eq!(of_class(1), [Some(0.0), None, Some(0.0)]);
        assert_eq!(of_class(2), [None, None, None]);
    }

    /// Calculated by hand. The bins are 0.5 to 0.6 (confidences 0.55 and 0.6, one correct) and 0.9
    /// to 1 (0.95 twice and 1, two correct): (2 |0.5 - 0.575| + 3 |2/3 - 2.9/3|) / 5 = (0.15 + 0.9)
    /// / 5 = 0.21.
    #[test]
    fn the_reliability_table_matches_a_hand_calculation() {
        let mut tally = Tally::new(2, 0);
        for (confidence, predicted) in [(0.55, 0), (0.6, 1), (0.95, 0), (0.95, 0), (1.0, 1)] {
            tally.add(0, 0, predicted, confidence, 0.0);
        }
        let scores = tally.scores().unwrap();
        let rows: Vec<u64> = scores.reliability.iter().map(|bin| bin.rows).collect();
        assert_eq!(rows, [0, 0, 0, 0, 0, 2, 0, 0, 0, 3]);
        assert_close(scores.reliability[5].confidence.unwrap(), 0.575);
        assert_close(scores.reliability[9].accuracy.unwrap(), 2.0 / 3.0);
        assert_eq!((scores.reliability[0].confidence, scores.reliability[0].accuracy), (None, None));
        assert_close(scores.expected_calibration_error, 0.21);
        assert_eq!([0.0, 0.1, 0.100_001, 0.9, 0.900_001, 1.0].map(bin), [0, 0, 1, 8, 9, 9]);
    }

    #[test]
    fn the_most_confidently_wrong_rows_are_kept_in_order() {
        let mut tally = Tally::new(2, 3);
        for (row, confidence) in [0.6, 0.9, 0.7, 0.9, 0.5, 0.8].into_iter().enumerate() {
            tally.add(row, 0, 1, confidence, 0.0);
            tally.add(100, 0, 0, 0.99, 0.0);
        }
        let rows: Vec<usize> = tally.scores().unwrap().most_confidently_wrong.iter().map(|wrong| wrong.row).collect();
        assert_eq!(rows, [1, 3, 5]);
    }
}
