//! Cross-validation: the scores of each fold against scikit-learn's, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::num::NonZero;

use chainrule::backend::Backend;
use chainrule::data::{FoldSplit, Folds};
use chainrule::{CrossValidation, Estimator, PenaltyChoice, Samples};
use serde::Deserialize;

/// `fixtures/sklearn_cross_validation.py` wrote it.
#[derive(Deserialize)]
struct Fixture {
    lambdas: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    csv: String,
    weights: Option<Vec<f64>>,
    /// The validation rows of each fold.
    validation: Vec<Vec<usize>>,
    /// By penalty and fold.
    scores: Vec<Vec<Scores>>,
}

#[derive(Deserialize)]
struct Scores {
    loss: f64,
    accuracy: f64,
    auc: f64,
}

impl Case {
    fn samples(&self) -> Samples {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("table.csv");
        std::fs::write(&file, &self.csv).unwrap();
        let samples = Samples::csv(&file, "label").unwrap();
        match &self.weights {
            Some(weights) => samples.with_weights(weights.clone()).unwrap(),
            None => samples,
        }
    }

    fn folds(&self, n: usize) -> Folds {
        let split = |validation: &Vec<usize>| {
            let train = (0..n).filter(|row| !validation.contains(row)).collect();
            FoldSplit { train, validation: validation.clone() }
        };
        Folds::of_splits(n, self.validation.iter().map(split).collect()).unwrap()
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/sklearn_cross_validation.json")).unwrap()
}

#[test]
fn scores_of_each_fold_are_those_of_scikit_learn() {
    let Fixture { lambdas, cases } = fixture();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let samples = case.samples();
        // A loss on other rows differs by as much as the weights do, and not by their square.
        let exact = Estimator::for_table(&samples).with(|settings| settings.optimum.tolerance = 1e-13);
        let found =
            exact.backend(Backend::Cpu).cross_validate_path(&samples, &case.folds(samples.len()), &lambdas).unwrap();
        assert_eq!((found.folds, found.repeats), (case.validation.len(), 1));
        for ((scores, expected), &lambda) in found.penalties.iter().zip(&case.scores).zip(&lambdas) {
            assert_eq!(scores.l2, lambda);
            for (found, expected) in scores.of_folds.iter().zip(expected) {
                let auc = found.auc.unwrap();
                for (found, expected) in
                    [(found.loss, expected.loss), (found.accuracy, expected.accuracy), (auc, expected.auc)]
                {
                    assert!((found - expected).abs() < 1e-6, "{}, {lambda}: {found} and {expected}", case.name);
                }
            }
        }
        // The mean is that of all rows, by their weights.
        let (scores, expected) = (&found.penalties[1], &case.scores[1]);
        let weight = |fold: usize| -> f64 {
            case.validation[fold].iter().map(|&row| case.weights.as_ref().map_or(1.0, |weights| weights[row])).sum()
        };
        let total: f64 = (0..expected.len()).map(weight).sum();
        let mean = expected.iter().enumerate().map(|(fold, scores)| weight(fold) * scores.loss).sum::<f64>() / total;
        assert!((scores.loss.mean - mean).abs() < 1e-6, "{}: {} and {mean}", case.name, scores.loss.mean);
        assert_eq!(scores.of_folds[0].weight, weight(0));
    }
}

#[test]
fn one_penalty_is_the_same_as_a_path_of_one_and_threads_change_nothing() {
    let case = &fixture().cases[0];
    let samples = case.samples();
    let folds = Folds::stratified(&samples.labels(), 4, 2, 3).unwrap();
    let estimator = Estimator::for_table(&samples).backend(Backend::Cpu);
    let close = |a: &CrossValidation, b: &CrossValidation, bound: f64| {
        for (a, b) in a.penalties[0].of_folds.iter().zip(&b.penalties[0].of_folds) {
            assert!((a.loss - b.loss).abs() <= bound, "{a:?} and {b:?}");
        }
        assert_eq!(a.penalties[0].of_folds.len(), 8);
    };
    let with_threads = |threads: usize| {
        estimator.clone().threads(NonZero::new(threads).unwrap()).cross_validate(&samples, &folds).unwrap()
    };
    let [one, three, nine] = [1, 3, 9].map(with_threads);
    assert_eq!((one.folds, one.repeats, one.best, one.one_standard_error), (4, 2, 0, 0));
    close(&one, &three, 0.0);
    close(&one, &nine, 0.0);
    let path = estimator.cross_validate_path(&samples, &folds, &[1.0 / samples.len() as f64]).unwrap();
    close(&one, &path, 1e-9);
    // Any solver can be validated.
    let descent = Estimator::logistic().standardize().epochs(200).learning_rate(0.5).backend(Backend::Cpu);
    let descent = descent.cross_validate(&samples, &folds).unwrap();
    assert!((descent.penalties[0].loss.mean - one.penalties[0].loss.mean).abs() < 0.02);
}

/// Without a penalty, Newton's method fits the model, at any place of the path.
#[test]
fn a_path_may_include_no_penalty() {
    let case = &fixture().cases[0];
    let samples = case.samples();
    let folds = Folds::time_ordered(samples.len(), 3).unwrap();
    let estimator = Estimator::for_table(&samples).backend(Backend::Cpu);
    let mut losses = Vec::new();
    for lambdas in [[0.0, 0.1], [0.1, 0.0]] {
        let found = estimator.cross_validate_path(&samples, &folds, &lambdas).unwrap();
        let mut of_lambdas: Vec<[f64; 2]> =
            found.penalties.iter().map(|scores| [scores.l2, scores.loss.mean]).collect();
        of_lambdas.sort_by(|a, b| a[0].total_cmp(&b[0]));
        losses.push(of_lambdas);
    }
    for (a, b) in losses[0].iter().zip(&losses[1]) {
        assert!(a[0] == b[0] && (a[1] - b[1]).abs() < 1e-9, "{losses:?}");
    }
}

/// The choice of each fold is that of a cross-validation of its training rows by hand.
#[test]
fn a_nested_validation_chooses_by_the_training_rows_alone() {
    let case = &fixture().cases[1];
    let samples = case.samples();
    let folds = case.folds(samples.len());
    let estimator = Estimator::for_table(&samples).backend(Backend::Cpu);
    let lambdas = [0.3, 0.1, 0.03, 0.01];
    let labels = samples.labels();
    let inner_folds = {
        let labels = labels.clone();
        move |rows: &[usize]| {
            let labels: Vec<u16> = rows.iter().map(|&row| labels[row]).collect();
            Folds::stratified(&labels, 3, 1, 9)
        }
    };
    for choice in [PenaltyChoice::Best, PenaltyChoice::OneStandardError] {
        let nested = estimator.cross_validate_nested(&samples, &folds, inner_folds.clone(), &lambdas, choice).unwrap();
        let path = estimator.cross_validate_path(&samples, &folds, &lambdas).unwrap();
        assert_eq!(nested.chosen.len(), 4);
        for (fold, split) in folds.splits().iter().enumerate() {
            // The training rows of the fold alone, by a path whose splits are in those rows.
            let inner = inner_folds(&split.train).unwrap();
            let in_samples = |rows: &[usize]| rows.iter().map(|&row| split.train[row]).collect::<Vec<_>>();
            let splits = inner
                .splits()
                .iter()
                .map(|inner| FoldSplit { train: in_samples(&inner.train), validation: in_samples(&inner.validation) });
            let inner = Folds::of_splits(samples.len(), splits.collect()).unwrap();
            let inner = estimator.cross_validate_path(&samples, &inner, &lambdas).unwrap();
            let chosen = if choice == PenaltyChoice::Best { inner.best } else { inner.one_standard_error };
            assert_eq!(nested.chosen[fold], lambdas[chosen], "{choice:?}, fold {fold}");
            let scores = path.penalties[chosen].of_folds[fold];
            assert!((nested.of_folds[fold].loss - scores.loss).abs() < 1e-5, "{scores:?}");
            assert_eq!(nested.of_folds[fold].validation_rows, scores.validation_rows);
        }
    }
}

#[test]
fn what_cannot_be_validated_is_refused() {
    let rows: Vec<[f64; 1]> = (0..12).map(|i| [f64::from(i)]).collect();
    let labels: Vec<&str> = (0..12).map(|i| if i == 11 { "rare" } else { ["x", "y"][i % 2] }).collect();
    let samples = Samples::from_rows(&rows, &labels).unwrap();
    let estimator = Estimator::for_table(&samples).backend(Backend::Cpu);
    let refused = |folds: &Folds, lambdas: &[f64]| {
        estimator.cross_validate_path(&samples, folds, lambdas).unwrap_err().to_string()
    };
    let folds = Folds::stratified(&samples.labels(), 3, 1, 0).unwrap();
    let message = refused(&folds, &[1.0]);
    assert!(message.contains("has no training row of the class rare, which has 1 row in all"), "{message}");
    let message = refused(&Folds::time_ordered(11, 2).unwrap(), &[1.0]);
    assert_eq!(message, "the folds divide 11 rows, and there are 12");
    assert_eq!(refused(&folds, &[]), "no lambda to fit a model for");

    let samples = Samples::from_rows(&rows[..11], &labels[..11]).unwrap();
    let folds = Folds::stratified(&samples.labels(), 2, 2, 0).unwrap();
    // Some training rows have no weight.
    let weights: Vec<f64> = (0..11).map(|row| if row == 4 { 1.0 } else { 0.0 }).collect();
    let weightless = samples.clone().with_weights(weights).unwrap();
    let message = estimator.cross_validate(&weightless, &folds).unwrap_err().to_string();
    assert!(message.starts_with("fold 1 of repeat 1: ") && message.contains("weight"), "{message}");
    // The error names the line that set it, as in a fit.
    let message = Estimator::logistic().l2(-1.0).cross_validate(&samples, &folds).unwrap_err().to_string();
    assert!(message.contains("cross_validation.rs:") && message.contains("objective.l2"), "{message}");
}
