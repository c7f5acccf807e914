//! The metrics against scikit-learn, and the tests against `SciPy` and statsmodels, on fixed rows.
//! `fixtures/scikit_learn.py` wrote the expected values.

use chainrule_evaluate::{
    Auc, Binning, Confusion, Discordant, McNemarMethod, Mean, Ranking, brier_score, calibration, mcnemar_by, paired_t,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    labels: Vec<usize>,
    probabilities: Vec<f64>,
    weights: Vec<f64>,
    binary: Binary,
    binary_weighted: Binary,
    multi_labels: Vec<usize>,
    multi_probabilities: Vec<Vec<f64>>,
    multi_weights: Vec<f64>,
    multi: Multi,
    multi_weighted: Multi,
    uniform_bins: [Vec<f64>; 2],
    quantile_bins: [Vec<f64>; 2],
    first_losses: Vec<f64>,
    second_losses: Vec<f64>,
    t: [f64; 4],
    mcnemar: Vec<(u64, u64, f64, f64, f64)>,
}

#[derive(Deserialize)]
struct Binary {
    roc: [Vec<f64>; 3],
    precision_recall: [Vec<f64>; 3],
    auc: f64,
    average_precision: f64,
    brier: f64,
    log_loss: f64,
    #[serde(flatten)]
    classes: OfClasses,
}

#[derive(Deserialize)]
struct Multi {
    macro_auc: f64,
    macro_average_precision: f64,
    brier: f64,
    log_loss: f64,
    #[serde(flatten)]
    classes: OfClasses,
}

#[derive(Deserialize)]
struct OfClasses {
    accuracy: f64,
    balanced_accuracy: f64,
    matthews: f64,
    f2: Vec<f64>,
    f_half: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/scikit_learn.json")).expect("the fixture has these fields")
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{found} and {expected}");
}

#[track_caller]
fn all_close(found: impl IntoIterator<Item = f64>, expected: &[f64]) {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).for_each(|(&found, &expected)| assert_close(found, expected));
}

#[track_caller]
fn classes_agree(predictions: &[(usize, usize)], k: usize, weights: Option<&[f64]>, expected: &OfClasses) {
    let mut confusion = Confusion::new(k);
    for (row, &(label, predicted)) in predictions.iter().enumerate() {
        confusion.add(label, predicted, weights.map_or(1.0, |weights| weights[row]));
    }
    assert_close(confusion.accuracy().expect("rows"), expected.accuracy);
    assert_close(confusion.balanced_accuracy().expect("rows"), expected.balanced_accuracy);
    assert_close(confusion.matthews().expect("several classes"), expected.matthews);
    let f = |beta: f64| (0..k).map(|class| confusion.f_beta(class, beta).expect("rows")).collect::<Vec<f64>>();
    all_close(f(2.0), &expected.f2);
    all_close(f(0.5), &expected.f_half);
}

#[test]
fn metrics_of_two_classes_match_scikit_learn() {
    let fixture = fixture();
    let (labels, p) = (&fixture.labels, &fixture.probabilities);
    let positive: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
    for (weights, expected) in [(None, &fixture.binary), (Some(&fixture.weights[..]), &fixture.binary_weighted)] {
        let ranking = Ranking::new(p, &positive, weights).expect("both classes");
        let roc = ranking.roc();
        all_close(roc.iter().map(|point| point.false_positive_rate), &expected.roc[0]);
        all_close(roc.iter().map(|point| point.true_positive_rate), &expected.roc[1]);
        all_close(roc.iter().filter_map(|point| point.threshold), &expected.roc[2]);
        let curve = ranking.precision_recall();
        all_close(curve.iter().map(|point| point.precision), &expected.precision_recall[0]);
        all_close(curve.iter().map(|point| point.recall), &expected.precision_recall[1]);
        all_close(curve.iter().filter_map(|point| point.threshold), &expected.precision_recall[2]);
        assert_close(ranking.auc(), expected.auc);
        assert_close(Auc::new(p, &positive, weights).expect("both classes").area(), expected.auc);
        assert_close(ranking.average_precision(), expected.average_precision);

        let both: Vec<f64> = p.iter().flat_map(|p| [1.0 - p, *p]).collect();
        assert_close(brier_score(&both, 2, labels, weights).expect("rows").mean, expected.brier);
        let losses: Vec<f64> = both.chunks(2).zip(labels).map(|(p, &label)| -p[label].ln()).collect();
        assert_close(Mean::of(&losses, weights).expect("rows").mean, expected.log_loss);
        let predictions: Vec<(usize, usize)> =
            labels.iter().zip(p).map(|(&label, &p)| (label, usize::from(p >= 0.5))).collect();
        classes_agree(&predictions, 2, weights, &expected.classes);
    }
}

#[test]
fn metrics_of_more_classes_match_scikit_learn() {
    let fixture = fixture();
    let (labels, p) = (&fixture.multi_labels, &fixture.multi_probabilities);
    let k = p[0].len();
    for (weights, expected) in [(None, &fixture.multi), (Some(&fixture.multi_weights[..]), &fixture.multi_weighted)] {
        let of_class = |class: usize| -> (Vec<f64>, Vec<bool>) {
            p.iter().zip(labels).map(|(p, &label)| (p[class], label == class)).unzip()
        };
        let areas: Vec<Auc> = (0..k)
            .map(|class| {
                let (scores, positive) = of_class(class);
                Auc::new(&scores, &positive, weights).expect("both classes")
            })
            .collect();
        assert_close(Auc::macro_average(&areas).area(), expected.macro_auc);
        let precisions = (0..k).map(|class| {
            let (scores, positive) = of_class(class);
            Ranking::new(&scores, &positive, weights).expect("both classes").average_precision()
        });
        assert_close(precisions.sum::<f64>() / k as f64, expected.macro_average_precision);
        assert_close(brier_score(&p.concat(), k, labels, weights).expect("rows").mean, expected.brier);
        let losses: Vec<f64> = p.iter().zip(labels).map(|(p, &label)| -p[label].ln()).collect();
        assert_close(Mean::of(&losses, weights).expect("rows").mean, expected.log_loss);
        let largest = |p: &[f64]| (0..k).reduce(|best, class| if p[class] > p[best] { class } else { best });
        let predictions: Vec<(usize, usize)> =
            labels.iter().zip(p).map(|(&label, p)| (label, largest(p).expect("classes"))).collect();
        classes_agree(&predictions, k, weights, &expected.classes);
    }
}

#[test]
fn calibration_matches_scikit_learn() {
    let fixture = fixture();
    let positive: Vec<bool> = fixture.labels.iter().map(|&label| label == 1).collect();
    for (binning, [means, fractions]) in
        [(Binning::Uniform(7), &fixture.uniform_bins), (Binning::Quantile(7), &fixture.quantile_bins)]
    {
        let bins = calibration(&fixture.probabilities, &positive, binning);
        all_close(bins.iter().map(|bin| bin.probability), means);
        all_close(bins.iter().map(|bin| bin.fraction), fractions);
        assert_eq!(bins.iter().map(|bin| bin.rows).sum::<u64>(), positive.len() as u64);
    }
}

#[test]
fn paired_tests_match_scipy_and_statsmodels() {
    let fixture = fixture();
    let differences: Vec<f64> = fixture.first_losses.iter().zip(&fixture.second_losses).map(|(a, b)| a - b).collect();
    let test = paired_t(&differences, 0.9).expect("rows");
    all_close([test.t, test.p_value, test.interval[0], test.interval[1]], &fixture.t);
    for (only_first, only_second, exact, plain, corrected) in fixture.mcnemar {
        let discordant = Discordant { only_first, only_second };
        let found = [McNemarMethod::Exact, McNemarMethod::ChiSquared, McNemarMethod::Corrected]
            .map(|method| mcnemar_by(method, discordant).p_value);
        all_close(found, &[exact, plain, corrected]);
    }
}
