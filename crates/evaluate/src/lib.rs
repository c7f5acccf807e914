//! What a classifier is worth on labelled rows, from its probabilities, one row after the other:
//! memory does not grow with the rows.
//!
//! Precision, recall, F1 and the confusion matrix are scikit-learn's (`sklearn.metrics`, version
//! 1.7), but for what is 0 / 0, which is nothing here and 0 there.

use serde::Serialize;

/// Counts and sums of the rows so far.
#[derive(Clone, Debug)]
pub struct Tally {
    classes: usize,
    rows: u64,
    loss: f64,
    /// What a row of each class counts, where a weighted loss is wanted, and that loss's sum.
    weighted: Option<(Vec<f64>, f64)>,
    /// `classes * classes`, by label and then by prediction.
    confusion: Vec<u64>,
    bins: [Sums; BINS],
    /// The most confident first.
    wrong: Vec<Wrong>,
    most_wrong: usize,
}

/// Bins of equal width that the reliability table has.
const BINS: usize = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    rows: u64,
    confidence: f64,
    right: u64,
}

/// A row that was classified wrongly. Classes are positions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Wrong {
    /// Which row.
    pub row: usize,
    /// Its class.
    pub label: usize,
    /// The class that was predicted.
    pub predicted: usize,
    /// The probability of that class.
    pub confidence: f64,
}

/// What [`Tally`] comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Rows, n.
    pub rows: u64,
    /// Rows classified rightly.
    pub right: u64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// The same with each row's times the weight of its class, divided by the number of rows: what
    /// a training with class weights brings down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted_loss: Option<f64>,
    /// The fraction classified rightly.
    pub accuracy: f64,
    /// Where the accuracy on all such rows that there could be lies, in 95 of 100 such evaluations:
    /// [`wilson`].
    pub accuracy_interval: [f64; 2],
    /// `confusion[i][j]` rows of class i were taken for class j.
    pub confusion: Vec<Vec<u64>>,
    /// Class by class.
    pub per_class: Vec<ClassScores>,
    /// Ten bins of the confidence, each from above its lower end to its upper end.
    pub reliability: Vec<Bin>,
    /// The mean over rows of how far their bin's accuracy and mean confidence are apart: M. Naeini,
    /// G. Cooper, M. Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning,
    /// AAAI 2015; C. Guo et al., On calibration of modern neural networks, ICML 2017, Eq. (3).
    pub expected_calibration_error: f64,
    /// The most confidently wrong rows, the most confident first.
    pub most_confidently_wrong: Vec<Wrong>,
}

/// A class against all others. What would be 0 / 0 is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// Rows of this class.
    pub rows: u64,
    /// Rows taken for this class.
    pub predicted: u64,
    /// Of the rows taken for this class, the fraction that are of it.
    pub precision: Option<f64>,
    /// Of the rows of this class, the fraction taken for it.
    pub recall: Option<f64>,
    /// The harmonic mean of both.
    pub f1: Option<f64>,
}

/// Rows whose prediction was about as confident.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Below every confidence in it.
    pub above: f64,
    /// The highest confidence that belongs to it.
    pub up_to: f64,
    /// Rows in it.
    pub rows: u64,
    /// Their mean confidence, the probability of the predicted class.
    pub confidence: Option<f64>,
    /// The fraction of them classified rightly: the same, of a well calibrated model.
    pub accuracy: Option<f64>,
}

impl Tally {
    /// For so many classes, to remember so many of the most confidently wrong rows.
    pub fn new(classes: usize, most_wrong: usize) -> Self {
        let confusion = vec![0; classes * classes];
        let (bins, wrong) = (Default::default(), Vec::new());
        Self { classes, rows: 0, loss: 0.0, weighted: None, confusion, bins, wrong, most_wrong }
    }

    /// The same, that also takes the loss in which a row counts by its class.
    ///
    /// # Panics
    /// Where there are not as many weights as classes.
    pub fn with_class_weights(self, class_weights: Vec<f64>) -> Self {
        assert_eq!(class_weights.len(), self.classes, "a weight for each class");
        Self { weighted: Some((class_weights, 0.0)), ..self }
    }

    /// Adds a row of class `label` with the class that was predicted, its probability, and the
    /// row's cross-entropy.
    ///
    /// # Panics
    /// Where a class is none of those.
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
        // Of equally confident ones the earlier rows stay.
        let place = self.wrong.partition_point(|wrong| wrong.confidence >= confidence);
        if place < self.most_wrong {
            self.wrong.truncate(self.most_wrong - 1);
            self.wrong.insert(place, Wrong { row, label, predicted, confidence });
        }
    }

    /// What the rows come to; nothing where there were none.
    pub fn scores(&self) -> Option<Scores> {
        if self.rows == 0 {
            return None;
        }
        let confusion: Vec<Vec<u64>> = self.confusion.chunks_exact(self.classes).map(<[u64]>::to_vec).collect();
        let right = (0..self.classes).map(|class| confusion[class][class]).sum();
        let reliability: Vec<Bin> = self.bins.iter().enumerate().map(|(i, sums)| sums.bin(i)).collect();
        let apart = |bin: &Bin| Some(bin.rows as f64 * (bin.accuracy? - bin.confidence?).abs());
        Some(Scores {
            rows: self.rows,
            right,
            loss: self.loss / self.rows as f64,
            weighted_loss: self.weighted.as_ref().map(|(_, sum)| sum / self.rows as f64),
            accuracy: right as f64 / self.rows as f64,
            accuracy_interval: wilson(right, self.rows),
            per_class: (0..self.classes).map(|class| ClassScores::new(&confusion, class)).collect(),
            confusion,
            expected_calibration_error: reliability.iter().filter_map(apart).sum::<f64>() / self.rows as f64,
            reliability,
            most_confidently_wrong: self.wrong.clone(),
        })
    }
}

/// The bin of a confidence: those above i/10 up to (i + 1)/10.
fn bin(confidence: f64) -> usize {
    (1..BINS).find(|&i| confidence <= i as f64 / BINS as f64).unwrap_or(BINS) - 1
}

impl Sums {
    fn bin(&self, i: usize) -> Bin {
        let [above, up_to] = [i, i + 1].map(|i| i as f64 / BINS as f64);
        let of_rows = |sum: f64| (self.rows > 0).then(|| sum / self.rows as f64);
        Bin {
            above,
            up_to,
            rows: self.rows,
            confidence: of_rows(self.confidence),
            accuracy: of_rows(self.right as f64),
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

/// The 95 % confidence interval of a fraction, of which `right` of `rows` were found: E. B. Wilson,
/// Probable inference, the law of succession, and statistical inference, Journal of the American
/// Statistical Association 22 (158), 1927.
///
/// # Panics
/// Where there is no row.
pub fn wilson(right: u64, rows: u64) -> [f64; 2] {
    /// The 97.5 % point of the standard normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    assert!(rows > 0, "a row at least");
    let (n, p) = (rows as f64, right as f64 / rows as f64);
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    [-half, half].map(|half| ((middle + half) / (1.0 + Z * Z / n)).clamp(0.0, 1.0))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
    }

    /// `sklearn.metrics.classification_report([0, 1, 2, 2, 2], [0, 0, 2, 2, 1])`, the example of
    /// its page: precision .5, 0, 1; recall 1, 0, 2/3; F1 2/3, 0, .8; support 1, 1, 3.
    #[test]
    fn precision_recall_and_f1_are_scikit_learns() {
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
            found.into_iter().zip(expected).for_each(|(found, &expected)| close(found, expected));
        }
    }

    #[test]
    fn what_is_0_by_0_is_nothing() {
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

    /// By hand: p = 0.9, n = 10, z^2 = 3.841459: the middle (0.9 + 0.192073) / 1.384146 = 0.788987,
    /// half the width 1.959964 sqrt(0.009 + 0.0096036) / 1.384146 = 0.193137. And R's
    /// `prop.test(0, 20, correct = FALSE)`: 0 to 0.1611252.
    #[test]
    fn the_interval_is_wilsons() {
        let [low, high] = wilson(9, 10);
        assert!((low - 0.595_850).abs() < 2e-6 && (high - 0.982_124).abs() < 2e-6, "{low} {high}");
        let [low, high] = wilson(0, 20);
        assert!(low == 0.0 && (high - 0.161_125_2).abs() < 1e-7, "{low} {high}");
        let [low, high] = wilson(20, 20);
        assert!((low - 0.838_874_8).abs() < 1e-7 && high == 1.0, "{low} {high}");
        let [low, high] = wilson(9157, 10_000);
        assert!(low < 0.9157 && 0.9157 < high && high - low < 0.011, "{low} {high}");
    }

    /// By hand: bins 0.5 to 0.6 (confidences 0.55 and 0.6, one right) and 0.9 to 1 (0.95 twice and
    /// 1, all but one right): (2 |0.5 - 0.575| + 3 |2/3 - 2.9/3|) / 5 = (0.15 + 0.9) / 5 = 0.21.
    #[test]
    fn a_reliability_table_and_its_error_are_as_counted_by_hand() {
        let mut tally = Tally::new(2, 0);
        for (confidence, predicted) in [(0.55, 0), (0.6, 1), (0.95, 0), (0.95, 0), (1.0, 1)] {
            tally.add(0, 0, predicted, confidence, 0.0);
        }
        let scores = tally.scores().unwrap();
        let rows: Vec<u64> = scores.reliability.iter().map(|bin| bin.rows).collect();
        assert_eq!(rows, [0, 0, 0, 0, 0, 2, 0, 0, 0, 3]);
        close(scores.reliability[5].confidence.unwrap(), 0.575);
        close(scores.reliability[9].accuracy.unwrap(), 2.0 / 3.0);
        assert_eq!((scores.reliability[0].confidence, scores.reliability[0].accuracy), (None, None));
        close(scores.expected_calibration_error, 0.21);
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
