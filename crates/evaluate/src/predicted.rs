//! The predictions of all rows, for metrics that need them at once, and for comparisons.

use serde::Serialize;

use crate::auc::{Auc, PairedAuc};
use crate::confusion::Confusion;
use crate::paired::{Discordant, McNemar, PairedBootstrap, PairedT, mcnemar, paired_bootstrap, paired_t};
use crate::probabilities::{Binning, CalibrationBin, Mean, brier_score, calibration};
use crate::ranking::{Gain, Ranking};

/// The predictions of a model for labelled rows, in order.
#[derive(Clone, Debug)]
pub struct PredictedRows {
    classes: usize,
    labels: Vec<usize>,
    predicted: Vec<usize>,
    losses: Vec<f64>,
    /// `log p / (1 - p)` of each class, `[n, k]`; of two classes, that of class 1, `[n]`. Unlike
    /// probabilities, they are not rounded to 1.
    log_odds: Vec<f64>,
    weights: Option<Vec<f64>>,
}

/// The metrics that need all rows at once. `None` stands for what the rows do not determine, such
/// as the area under a curve where all rows are of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Details {
    /// The mean cross-entropy in nats with its standard error.
    pub log_loss: Option<Mean>,
    /// See [`brier_score`].
    pub brier_score: Option<Mean>,
    /// See [`Confusion::balanced_accuracy`].
    pub balanced_accuracy: Option<f64>,
    /// See [`Confusion::matthews`].
    pub matthews: Option<f64>,
    /// The area under the ROC curve: of two classes that of class 1, else the mean of each class
    /// against the others.
    pub auc: Option<Area>,
    /// See [`Ranking::average_precision`]: of two classes that of class 1, else the mean.
    pub average_precision: Option<f64>,
    /// Each class against the others.
    pub one_vs_rest: Vec<ClassDetails>,
}

/// An area under a ROC curve: see [`Auc`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Area {
    /// The area.
    pub area: f64,
    /// DeLong's standard error.
    pub standard_error: Option<f64>,
    /// Its 95 % confidence interval, by DeLong's error.
    pub interval: Option<[f64; 2]>,
}

/// The metrics of a class against the others that need all rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassDetails {
    /// The area under the ROC curve.
    pub auc: Option<Area>,
    /// See [`Ranking::average_precision`].
    pub average_precision: Option<f64>,
    /// Ten bins of the probability of the class, of the same width.
    pub calibration: Vec<CalibrationBin>,
    /// Gain and lift of each tenth of the rows.
    pub gains: Vec<Gain>,
}

/// The paired tests of two models on the same rows. Differences are those of the first minus the
/// second. `None` stands for a test that the rows do not allow, such as that of equal models.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The difference of the accuracies.
    pub accuracy_difference: f64,
    /// McNemar's test of the accuracies.
    pub mcnemar: McNemar,
    /// The t test of the losses.
    pub loss: Option<PairedT>,
    /// The bootstrap of the losses.
    pub loss_bootstrap: Option<PairedBootstrap>,
    /// DeLong's test of the areas under the ROC curve.
    pub auc: Option<PairedAuc>,
}

/// The number of bins of a calibration, and of parts of the rows of a gain.
const PARTS: usize = 10;
const LEVEL: f64 = 0.95;

impl PredictedRows {
    /// Creates the predictions of no rows.
    ///
    /// # Panics
    /// With fewer than two classes.
    pub fn new(classes: usize) -> Self {
        assert!(classes > 1, "{classes} classes");
        Self {
            classes,
            labels: Vec::new(),
            predicted: Vec::new(),
            losses: Vec::new(),
            log_odds: Vec::new(),
            weights: None,
        }
    }

    /// The bytes of `rows` rows of so many classes.
    pub fn bytes(classes: usize, rows: usize) -> u64 {
        let log_odds = if classes == 2 { 1 } else { classes };
        (rows * 8 * (log_odds + 3)) as u64
    }

    /// Adds a row: its class, its predicted class, its cross-entropy, and the [`log_odds`] of its
    /// classes, `[k]`.
    ///
    /// # Panics
    /// If a class is out of range, or there are not k of the log odds.
    pub fn add(&mut self, label: usize, predicted: usize, cross_entropy: f64, log_odds: &[f64]) {
        assert!(label < self.classes && predicted < self.classes, "classes {label} and {predicted}");
        assert_eq!(log_odds.len(), self.classes, "log odds of each class");
        self.labels.push(label);
        self.predicted.push(predicted);
        self.losses.push(cross_entropy);
        self.log_odds.extend_from_slice(if self.classes == 2 { &log_odds[1..] } else { log_odds });
    }

    /// Gives each row a weight, `[n]`: a row of weight 2 counts as two rows. Calibration and
    /// comparisons still count each row once.
    ///
    /// # Panics
    /// If there is not a weight for each row.
    #[must_use]
    pub fn with_weights(self, weights: Vec<f64>) -> Self {
        assert_eq!(weights.len(), self.len(), "a weight for each row");
        Self { weights: Some(weights), ..self }
    }

    /// The number of rows, n.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The class of each row, `[n]`.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The classes that are ranked on their own: of two, only class 1.
    pub fn ranked_classes(&self) -> std::ops::Range<usize> {
        if self.classes == 2 { 1..2 } else { 0..self.classes }
    }

    /// The log odds of a class and whether each row is of it, `[n]` each.
    fn of_class(&self, class: usize) -> (Vec<f64>, Vec<bool>) {
        let positive = self.labels.iter().map(|&label| label == class).collect();
        let log_odds = match (self.classes, class) {
            (2, 1) => self.log_odds.clone(),
            (2, _) => self.log_odds.iter().map(|x| -x).collect(),
            (k, _) => self.log_odds[class..].iter().step_by(k).copied().collect(),
        };
        (log_odds, positive)
    }

    /// The ranking of a class against the others, by its probability. Its thresholds are
    /// probabilities.
    ///
    /// # Panics
    /// If the class is out of range.
    pub fn ranking(&self, class: usize) -> Option<Ranking> {
        let (log_odds, positive) = self.of_class(class);
        Ranking::new(&log_odds, &positive, self.weights()).map(|ranking| ranking.with_thresholds(probability))
    }

    /// The areas of the ranked classes, if all are determined.
    fn areas(&self) -> Option<Vec<Auc>> {
        let area = |class: usize| {
            let (log_odds, positive) = self.of_class(class);
            Auc::new(&log_odds, &positive, self.weights())
        };
        self.ranked_classes().map(area).collect()
    }

    fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    fn weight(&self, row: usize) -> f64 {
        self.weights().map_or(1.0, |weights| weights[row])
    }

    /// The mean cross-entropy in nats with its standard error.
    pub fn log_loss(&self) -> Option<Mean> {
        Mean::of(&self.losses, self.weights())
    }

    /// The area under the ROC curve: of two classes that of class 1, else the mean of each class
    /// against the others.
    pub fn auc(&self) -> Option<Area> {
        self.areas().map(|areas| Area::of(&Auc::macro_average(&areas)))
    }

    /// The number of rows of each class by predicted class, or the sum of their weights.
    pub fn confusion(&self) -> Confusion {
        let mut confusion = Confusion::new(self.classes);
        for (row, (&label, &predicted)) in self.labels.iter().zip(&self.predicted).enumerate() {
            confusion.add(label, predicted, self.weight(row));
        }
        confusion
    }

    /// The number of rows of each class by the class whose expected cost is the lowest, or the sum
    /// of their weights.
    ///
    /// # Panics
    /// If the costs are those of another number of classes.
    pub fn confusion_by_costs(&self, costs: &crate::CostMatrix) -> Confusion {
        let mut confusion = Confusion::new(self.classes);
        let probabilities = self.probabilities();
        for (row, (p, &label)) in probabilities.chunks_exact(self.classes).zip(&self.labels).enumerate() {
            confusion.add(label, costs.decide(p), self.weight(row));
        }
        confusion
    }

    /// `[n, k]`
    fn probabilities(&self) -> Vec<f64> {
        match self.classes {
            2 => self.log_odds.iter().flat_map(|&x| [probability(-x), probability(x)]).collect(),
            _ => self.log_odds.iter().map(|&x| probability(x)).collect(),
        }
    }

    /// Computes the metrics.
    pub fn details(&self) -> Details {
        let probabilities = self.probabilities();
        let fractions: Vec<f64> = (1..=PARTS).map(|i| i as f64 / PARTS as f64).collect();
        let one_vs_rest: Vec<ClassDetails> = (0..self.classes)
            .map(|class| {
                let (log_odds, positive) = self.of_class(class);
                let ranking = Ranking::new(&log_odds, &positive, self.weights());
                let p: Vec<f64> = probabilities[class..].iter().step_by(self.classes).copied().collect();
                ClassDetails {
                    auc: Auc::new(&log_odds, &positive, self.weights()).as_ref().map(Area::of),
                    average_precision: ranking.as_ref().map(Ranking::average_precision),
                    calibration: calibration(&p, &positive, Binning::Uniform(PARTS)),
                    gains: ranking.map(|ranking| ranking.gains(&fractions)).unwrap_or_default(),
                }
            })
            .collect();
        let precisions: Option<Vec<f64>> =
            one_vs_rest[self.ranked_classes()].iter().map(|details| details.average_precision).collect();
        let confusion = self.confusion();
        Details {
            log_loss: self.log_loss(),
            brier_score: brier_score(&probabilities, self.classes, &self.labels, self.weights()),
            balanced_accuracy: confusion.balanced_accuracy(),
            matthews: confusion.matthews(),
            auc: self.auc(),
            average_precision: precisions.map(|of_class| of_class.iter().sum::<f64>() / of_class.len() as f64),
            one_vs_rest,
        }
    }

    /// Compares two models on the same rows. The bootstrap draws `samples` times, by a seed.
    ///
    /// # Panics
    /// If the rows have other labels, or there are none.
    pub fn compare(&self, other: &Self, samples: usize, seed: u64) -> Comparison {
        assert_eq!((self.classes, &self.labels), (other.classes, &other.labels), "the same rows");
        let mut discordant = Discordant::default();
        for ((label, first), second) in self.labels.iter().zip(&self.predicted).zip(&other.predicted) {
            match (first == label, second == label) {
                (true, false) => discordant.only_first += 1,
                (false, true) => discordant.only_second += 1,
                _ => {}
            }
        }
        let differences: Vec<f64> = self.losses.iter().zip(&other.losses).map(|(a, b)| a - b).collect();
        let loss = paired_t(&differences, LEVEL);
        let auc = self.areas().zip(other.areas());
        let (first, second) = (discordant.only_first as f64, discordant.only_second as f64);
        Comparison {
            accuracy_difference: (first - second) / self.len() as f64,
            mcnemar: mcnemar(discordant),
            loss,
            loss_bootstrap: loss.and_then(|_| paired_bootstrap(&differences, samples, seed, LEVEL)),
            auc: auc.and_then(|(own, other)| Auc::macro_average(&own).compare(&Auc::macro_average(&other))),
        }
    }
}

impl Area {
    fn of(auc: &Auc) -> Self {
        Self { area: auc.area(), standard_error: auc.standard_error(), interval: auc.interval(LEVEL) }
    }
}

/// Overwrites `log_odds` `[k]` with `log p / (1 - p)` of each class, for `p = softmax(logits)`.
///
/// # Panics
/// If the lengths differ, or there are fewer than two classes.
pub fn log_odds(logits: &[f64], log_odds: &mut [f64]) {
    assert!(logits.len() == log_odds.len() && logits.len() > 1, "{} logits", logits.len());
    let first = (0..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best });
    let largest = logits[first];
    let rest = |but: usize| (0..logits.len()).filter(move |&class| class != but);
    let sum_of_rest: f64 = rest(first).map(|class| (logits[class] - largest).exp()).sum();
    for class in rest(first) {
        // The largest logit is among the others, so the difference keeps its digits.
        let own = (logits[class] - largest).exp();
        log_odds[class] = logits[class] - largest - (1.0 + (sum_of_rest - own).max(0.0)).ln();
    }
    let second = rest(first).map(|class| logits[class]).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = rest(first).map(|class| (logits[class] - second).exp()).sum();
    log_odds[first] = largest - second - sum.ln();
}

/// The probability of these log odds.
fn probability(log_odds: f64) -> f64 {
    if log_odds >= 0.0 {
        return 1.0 / (1.0 + (-log_odds).exp());
    }
    let odds = log_odds.exp();
    odds / (1.0 + odds)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    #[test]
    fn log_odds_are_those_of_the_probabilities() {
        for logits in [vec![0.3, -1.2], vec![2.0, 2.0, -1.0, 0.5], vec![-3.0, 1.0, 4.0]] {
            let mut odds = vec![0.0; logits.len()];
            log_odds(&logits, &mut odds);
            let total: f64 = logits.iter().map(|z: &f64| z.exp()).sum();
            for (z, odds) in logits.iter().zip(&odds) {
                assert!((probability(*odds) - z.exp() / total).abs() < 1e-15, "{logits:?}: {odds}");
            }
        }
        // p is 1 up to rounding, and its odds are not infinite.
        let mut odds = [0.0; 3];
        log_odds(&[1000.0, 0.0, 0.0], &mut odds);
        assert!((odds[0] - 1000.0 + 2f64.ln()).abs() < 1e-12 && (odds[1] + 1000.0).abs() < 1e-12);
    }

    fn rows(classes: usize, noise: f64) -> PredictedRows {
        let mut rows = PredictedRows::new(classes);
        for i in 0..300 {
            let label = i * 7 % classes;
            let logit =
                |class: usize| f64::from(u8::from(class == label)) + noise * ((i * (class + 3)) as f64 * 0.618).sin();
            let logits: Vec<f64> = (0..classes).map(logit).collect();
            let mut odds = vec![0.0; classes];
            log_odds(&logits, &mut odds);
            let predicted = (0..classes).fold(0, |best, class| if logits[class] > logits[best] { class } else { best });
            let loss = -probability(odds[label]).ln();
            rows.add(label, predicted, loss, &odds);
        }
        rows
    }

    #[test]
    fn a_class_and_its_opposite_have_the_same_area() {
        let details = rows(2, 1.5).details();
        let [first, second] = [0, 1].map(|class| details.one_vs_rest[class].auc.unwrap());
        assert!((first.area - second.area).abs() < 1e-14);
        assert_eq!(details.auc, Some(second));
        let details = rows(4, 1.5).details();
        let mean = details.one_vs_rest.iter().map(|class| class.auc.unwrap().area).sum::<f64>() / 4.0;
        assert!((details.auc.unwrap().area - mean).abs() < 1e-14);
        assert_eq!(details.one_vs_rest[2].gains.last().unwrap().captured, 1.0);
    }

    /// A row of weight 2 counts as two rows, and one of weight 0 not at all. The standard errors
    /// differ, because weights are those of a sample.
    #[test]
    fn weighted_rows_count_by_their_weights() {
        for classes in [2, 3] {
            let once = rows(classes, 2.0);
            let count = |row: usize| row / 5 % 3;
            let weights: Vec<f64> = (0..once.len()).map(|row| count(row) as f64).collect();
            let mut repeated = PredictedRows::new(classes);
            let k = if classes == 2 { 1 } else { classes };
            for row in (0..once.len()).flat_map(|row| vec![row; count(row)]) {
                let own = &once.log_odds[row * k..][..k];
                let odds = if classes == 2 { vec![-own[0], own[0]] } else { own.to_vec() };
                repeated.add(once.labels[row], once.predicted[row], once.losses[row], &odds);
            }
            let costs = crate::CostMatrix::new(&vec![vec![0.5; classes]; classes]).unwrap();
            let weighted = once.with_weights(weights);
            let numbers = |rows: &PredictedRows| {
                let details = rows.details();
                let [log_loss, brier_score] = [details.log_loss, details.brier_score].map(|mean| mean.unwrap().mean);
                let roc = rows.ranking(1).unwrap().roc();
                let class = &details.one_vs_rest[1];
                [
                    vec![log_loss, brier_score, rows.confusion().accuracy().unwrap(), details.auc.unwrap().area],
                    vec![details.matthews.unwrap(), details.balanced_accuracy.unwrap()],
                    vec![details.average_precision.unwrap(), class.auc.unwrap().area, class.gains[3].captured],
                    vec![rows.confusion_by_costs(&costs).total(), roc[roc.len() / 2].true_positive_rate],
                ]
                .concat()
            };
            for (weighted, repeated) in numbers(&weighted).into_iter().zip(numbers(&repeated)) {
                assert!((weighted - repeated).abs() < 1e-12, "{weighted} and {repeated}");
            }
        }
    }

    #[test]
    fn the_better_model_is_found_and_a_model_equals_itself() {
        let [good, bad] = [rows(3, 1.0), rows(3, 3.0)];
        let comparison = good.compare(&bad, 500, 1);
        assert!(comparison.accuracy_difference > 0.0 && comparison.mcnemar.p_value < 1e-3, "{comparison:?}");
        assert!(comparison.loss.is_some_and(|test| test.difference < 0.0 && test.p_value < 1e-3), "{comparison:?}");
        assert!(comparison.auc.is_some_and(|test| test.difference > 0.0 && test.p_value < 1e-3), "{comparison:?}");
        let same = good.compare(&good, 500, 1);
        assert_eq!((same.mcnemar.p_value, same.loss, same.auc), (1.0, None, None));
    }
}
