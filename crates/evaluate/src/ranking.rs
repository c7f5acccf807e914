//! How well scores separate one class from the others: ROC and precision-recall curves, the best
//! threshold, gain and lift.

use serde::Serialize;

use crate::costs::CostMatrix;

/// The rows sorted by score, highest first. Rows of the same score are one group, because no
/// threshold separates them.
///
/// A row is predicted as positive if its score is at least the threshold.
#[derive(Clone, Debug)]
pub struct Ranking {
    groups: Vec<Group>,
    /// The sums of the weights of all rows of a class.
    positives: f64,
    negatives: f64,
}

/// The rows at or above a score.
#[derive(Clone, Copy, Debug)]
struct Group {
    threshold: f64,
    /// Sums of weights.
    true_positives: f64,
    false_positives: f64,
}

/// A point of a ROC curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocPoint {
    /// The fraction of negative rows that are predicted as positive.
    pub false_positive_rate: f64,
    /// The fraction of positive rows that are predicted as positive.
    pub true_positive_rate: f64,
    /// The lowest score that is predicted as positive. `None` at the start, where no row is.
    pub threshold: Option<f64>,
}

/// A point of a precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PrecisionRecallPoint {
    /// The fraction of rows predicted as positive that are.
    pub precision: f64,
    /// The fraction of positive rows that are predicted as positive.
    pub recall: f64,
    /// The lowest score that is predicted as positive. `None` at the end, where no row is.
    pub threshold: Option<f64>,
}

/// The threshold with the lowest mean cost on some rows. It was chosen on these rows, so its cost
/// on new rows is higher on average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestThreshold {
    /// Scores from here on are predicted as positive. `None` if no row should be.
    pub threshold: Option<f64>,
    /// The mean cost of a row.
    pub mean_cost: f64,
    /// The fraction of positive rows that are predicted as positive.
    pub true_positive_rate: f64,
    /// The fraction of negative rows that are predicted as positive.
    pub false_positive_rate: f64,
}

/// The rows with the highest scores, and the positive rows among them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// The fraction of all rows that is selected.
    pub selected: f64,
    /// The fraction of the positive rows that is among them.
    pub captured: f64,
    /// `captured / selected`: how many times more positive rows than in a random selection.
    pub lift: f64,
}

impl Ranking {
    /// Sorts the scores of the rows. `positive` says of which class each row is. Without `weights`
    /// each row counts once. Returns `None` unless both classes have a row with a weight.
    ///
    /// # Panics
    /// If the lengths differ, or a score is NaN.
    pub fn new(scores: &[f64], positive: &[bool], weights: Option<&[f64]>) -> Option<Self> {
        let n = scores.len();
        assert_eq!(n, positive.len(), "a class for each score");
        assert!(weights.is_none_or(|weights| weights.len() == n), "a weight for each score");
        assert!(!scores.iter().any(|score| score.is_nan()), "a score is NaN");
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]));
        let mut groups: Vec<Group> = Vec::new();
        let [mut true_positives, mut false_positives] = [0.0; 2];
        for row in order {
            let weight = weights.map_or(1.0, |weights| weights[row]);
            // scikit-learn leaves them out, too.
            if weight == 0.0 {
                continue;
            }
            *if positive[row] { &mut true_positives } else { &mut false_positives } += weight;
            let group = Group { threshold: scores[row], true_positives, false_positives };
            match groups.last_mut().filter(|last| last.threshold == scores[row]) {
                Some(last) => *last = group,
                None => groups.push(group),
            }
        }
        let (positives, negatives) = (true_positives, false_positives);
        (positives > 0.0 && negatives > 0.0).then_some(Self { groups, positives, negatives })
    }

    /// Replaces each score by a function of it that keeps their order.
    pub(crate) fn with_thresholds(mut self, f: impl Fn(f64) -> f64) -> Self {
        self.groups.iter_mut().for_each(|group| group.threshold = f(group.threshold));
        self
    }

    /// The ROC curve, from (0, 0) to (1, 1), with a point for each distinct score:
    /// `sklearn.metrics.roc_curve` with `drop_intermediate=False`.
    pub fn roc(&self) -> Vec<RocPoint> {
        let start = RocPoint { false_positive_rate: 0.0, true_positive_rate: 0.0, threshold: None };
        let point = |group: &Group| RocPoint {
            false_positive_rate: group.false_positives / self.negatives,
            true_positive_rate: group.true_positives / self.positives,
            threshold: Some(group.threshold),
        };
        std::iter::once(start).chain(self.groups.iter().map(point)).collect()
    }

    /// The area under the ROC curve: the probability that a positive row has a higher score than a
    /// negative one, where ties count half. [`Auc`](crate::Auc) has its error, too.
    pub fn auc(&self) -> f64 {
        let points = self.roc();
        let areas = points.windows(2).map(|pair| {
            (pair[1].false_positive_rate - pair[0].false_positive_rate)
                * 0.5
                * (pair[0].true_positive_rate + pair[1].true_positive_rate)
        });
        areas.sum()
    }

    /// The precision-recall curve, from the lowest threshold to the highest, and a last point of
    /// precision 1 and recall 0: `sklearn.metrics.precision_recall_curve`.
    pub fn precision_recall(&self) -> Vec<PrecisionRecallPoint> {
        let point = |group: &Group| PrecisionRecallPoint {
            precision: group.precision(),
            recall: group.true_positives / self.positives,
            threshold: Some(group.threshold),
        };
        let end = PrecisionRecallPoint { precision: 1.0, recall: 0.0, threshold: None };
        self.groups.iter().rev().map(point).chain(std::iter::once(end)).collect()
    }

    /// The sum of the precisions at the thresholds, each times the rise of the recall:
    /// `sklearn.metrics.average_precision_score`.
    pub fn average_precision(&self) -> f64 {
        let mut earlier = 0.0;
        let mut sum = 0.0;
        for group in &self.groups {
            sum += (group.true_positives - earlier) * group.precision();
            earlier = group.true_positives;
        }
        sum / self.positives
    }

    /// The threshold with the lowest mean cost. Class 0 of the costs is the negative one, and class
    /// 1 the positive one. Of thresholds of the same cost, the highest is returned.
    ///
    /// # Panics
    /// If the costs are not those of two classes.
    pub fn best_threshold(&self, costs: &CostMatrix) -> BestThreshold {
        assert_eq!(costs.classes(), 2, "two classes");
        let cost = |true_positives: f64, false_positives: f64| {
            let sum = costs.cost(1, 1) * true_positives
                + costs.cost(1, 0) * (self.positives - true_positives)
                + costs.cost(0, 1) * false_positives
                + costs.cost(0, 0) * (self.negatives - false_positives);
            sum / (self.positives + self.negatives)
        };
        let none = BestThreshold {
            threshold: None,
            mean_cost: cost(0.0, 0.0),
            true_positive_rate: 0.0,
            false_positive_rate: 0.0,
        };
        self.groups.iter().fold(none, |best, group| {
            let mean_cost = cost(group.true_positives, group.false_positives);
            // A difference by rounding is none.
            if mean_cost >= best.mean_cost - 1e-14 * best.mean_cost.abs() {
                return best;
            }
            BestThreshold {
                threshold: Some(group.threshold),
                mean_cost,
                true_positive_rate: group.true_positives / self.positives,
                false_positive_rate: group.false_positives / self.negatives,
            }
        })
    }

    /// The gain and the lift where these fractions of all rows are selected, those with the highest
    /// scores first. Of rows with the same score, a part is selected at random: the gain is its
    /// mean.
    ///
    /// # Panics
    /// If a fraction is not above 0 and at most 1.
    pub fn gains(&self, fractions: &[f64]) -> Vec<Gain> {
        let total = self.positives + self.negatives;
        let gain = |&selected: &f64| {
            assert!(0.0 < selected && selected <= 1.0, "fraction {selected}");
            let target = selected * total;
            let at = self.groups.partition_point(|group| group.size() < target);
            let [low, high] = [at.checked_sub(1), Some(at.min(self.groups.len() - 1))]
                .map(|i| i.map_or([0.0; 2], |i| [self.groups[i].size(), self.groups[i].true_positives]));
            let part = if high[0] > low[0] { ((target - low[0]) / (high[0] - low[0])).min(1.0) } else { 1.0 };
            let captured = (low[1] + part * (high[1] - low[1])) / self.positives;
            Gain { selected, captured, lift: captured / selected }
        };
        fractions.iter().map(gain).collect()
    }
}

impl Group {
    fn size(&self) -> f64 {
        self.true_positives + self.false_positives
    }

    fn precision(&self) -> f64 {
        self.true_positives / self.size()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    const SCORES: [f64; 5] = [0.8, 0.6, 0.6, 0.4, 0.2];
    const POSITIVE: [bool; 5] = [true, true, false, true, false];

    /// Calculated by hand. Half of the rows are 2.5: the first, and 1.5 of the two with the score
    /// 0.6, which have 0.75 positive rows on average; 1.75 of 3 positive rows.
    #[test]
    fn gain_and_lift_divide_ties() {
        let ranking = Ranking::new(&SCORES, &POSITIVE, None).unwrap();
        let gains = ranking.gains(&[0.2, 0.5, 0.6, 1.0]);
        let expected = [1.0 / 3.0, 1.75 / 3.0, 2.0 / 3.0, 1.0];
        for (gain, expected) in gains.iter().zip(expected) {
            assert!((gain.captured - expected).abs() < 1e-15, "{gain:?}");
            assert!((gain.lift - expected / gain.selected).abs() < 1e-15, "{gain:?}");
        }
    }

    /// Calculated by hand. At equal costs, the thresholds 0.8, 0.6 and 0.4 make 2, 2 and 1 errors,
    /// and all rows as positive 2. If a missed positive row costs nothing, no row should be
    /// positive.
    #[test]
    fn the_best_threshold_has_the_lowest_cost() {
        let ranking = Ranking::new(&SCORES, &POSITIVE, None).unwrap();
        let best =
            |costs: [[f64; 2]; 2]| ranking.best_threshold(&CostMatrix::new(&costs.map(|row| row.to_vec())).unwrap());
        let equal = best([[0.0, 1.0], [1.0, 0.0]]);
        assert_eq!((equal.threshold, equal.mean_cost), (Some(0.4), 0.2));
        assert_eq!((equal.true_positive_rate, equal.false_positive_rate), (1.0, 0.5));
        assert_eq!(best([[0.0, 1.0], [0.0, 0.0]]).threshold, None);
        assert_eq!(best([[0.0, 5.0], [1.0, 0.0]]).threshold, Some(0.8));
    }

    #[test]
    fn one_class_has_no_curve() {
        assert!(Ranking::new(&[0.1, 0.2], &[true, true], None).is_none());
        assert!(Ranking::new(&[0.1, 0.2], &[true, false], Some(&[1.0, 0.0])).is_none());
        assert!(Ranking::new(&[], &[], None).is_none());
    }
}
