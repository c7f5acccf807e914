//! Compares predictions of single rows with those of many rows, of the kernels and of plain loops.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chainrule_core::{LinkKind, ModelKind, Parameters, Preprocessing, Standardization};
use chainrule_data::digits::draw_both;
use chainrule_data::{Counts, Rows};
use chainrule_kernels::{Float, FusedModel, Isa};
use chainrule_solve::{BatchError, FusedRows, Prediction, Predictions, Predictor, RowError, RowsError};

#[test]
fn a_tie_predicts_the_first_class() {
    let [_, digits] = draw_both(0, Counts { train: 10, validation: 100 });
    let chosen: Vec<usize> = (0..100).filter(|&row| [2, 3].contains(&digits.labels()[row])).collect();
    let labels: Vec<u16> = chosen.iter().map(|&row| u16::from(digits.labels()[row] == 2)).collect();
    let rows = Rows::from(digits.clone()).select(&chosen).with_labels(&labels);
    let rows = FusedRows::new(rows, &Preprocessing::Pixels).unwrap();
    for (kind, columns) in [(ModelKind::Softmax, 2), (ModelKind::Logistic, 1)] {
        let zeros = Parameters::zeros(784, columns);
        let predictor = Predictor::new(kind, zeros, Preprocessing::Pixels).unwrap();
        let prediction = predictor.predict(digits.pixels(chosen[0])).unwrap();
        assert_eq!((prediction.class, prediction.probabilities.as_slice()), (0, &[0.5, 0.5][..]));
        assert!((prediction.cross_entropy(1) - 2f64.ln()).abs() < 1e-15);
        let mut fused = FusedModel::new(kind.link(2), 784, Float::F64, 1, Isa::best());
        assert_eq!(fused.n_correct(rows.packed().unwrap()), labels.iter().filter(|&&label| label == 0).count());
    }
}

/// Returns irregular numbers from -1 to 1.
fn noise(seed: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) as f64 * 0.618_034).sin()).collect()
}

/// The models of d features: each link with raw, standardised and pixel features.
fn predictors(d: usize) -> Vec<(LinkKind, Predictor)> {
    // Most digits of these means are lost if they become part of the bias.
    let mean = noise(1, d).iter().map(|x| 1e9 * x.round()).collect();
    let scale = noise(2, d).iter().map(|x| 2.0 + x).collect();
    let standardized = Preprocessing::Standardized(Standardization { mean, scale });
    let links = [(LinkKind::Logistic, 1), (LinkKind::Softmax, 2), (LinkKind::Softmax, 40), (LinkKind::OneVsRest, 3)];
    let with = |preprocessing: &Preprocessing| {
        let preprocessing = preprocessing.clone();
        links.map(|(link, columns)| {
            let (weight, bias) = (noise(3, d * columns), noise(4, columns));
            let parameters = Parameters { n_features: d, columns, weight, bias };
            (link, Predictor::new(link, parameters, preprocessing.clone()).unwrap())
        })
    };
    [standardized, Preprocessing::Raw, Preprocessing::Pixels].iter().flat_map(with).collect()
}

/// Returns rows `[n, d]` near the means.
fn raw_rows(predictor: &Predictor, n: usize) -> Vec<f64> {
    let d = predictor.n_features();
    let stored = |(i, x): (usize, f64)| match predictor.preprocessing() {
        Preprocessing::Standardized(Standardization { mean, .. }) => mean[i % d] + (1024.0 * x).round() / 1024.0,
        Preprocessing::Raw => 4.0 * x,
        // Most bytes of an image are 0.
        Preprocessing::Pixels => (255.0 * x).round().max(0.0),
    };
    noise(5, n * d).into_iter().enumerate().map(stored).collect()
}

#[test]
fn many_rows_have_the_bits_of_single_rows_on_any_thread() {
    let n = 150;
    for (link, predictor) in [1, 7, 28, 300].into_iter().flat_map(predictors) {
        let d = predictor.n_features();
        let raw = raw_rows(&predictor, n);
        let case = format!("{predictor:?}");
        let mut batch = Predictions::default();
        // A result of other rows is replaced.
        predictor.predict_batch(&raw[..d], &mut batch).unwrap();
        predictor.predict_batch(&raw, &mut batch).unwrap();
        assert_eq!(batch.len(), n);
        std::thread::scope(|scope| {
            let check = || {
                let mut reused = Prediction::default();
                for (row, of_batch) in raw.chunks_exact(d).zip(batch.iter()) {
                    predictor.predict_into(row, &mut reused).unwrap();
                    assert_eq!(reused, Prediction::from(of_batch), "{case}");
                    assert_eq!(reused, predictor.predict(row).unwrap(), "{case}");
                }
                let mut own = Predictions::default();
                predictor.predict_batch(&raw, &mut own).unwrap();
                assert_eq!((own.logits(), own.classes()), (batch.logits(), batch.classes()), "{case}");
            };
            let threads = [(); 3].map(|()| scope.spawn(check));
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        for (row, prediction) in raw.chunks_exact(d).zip(batch.iter()) {
            let k = predictor.n_classes();
            let largest =
                (0..k).fold(0, |best, c| if prediction.logits[c] > prediction.logits[best] { c } else { best });
            assert_eq!(prediction.class, largest);
            let probabilities = prediction.probabilities();
            for class in 0..k {
                let (evidence, bias) = predictor.evidence(row, class).unwrap();
                let size = bias.abs() + evidence.iter().map(|x| x.abs()).sum::<f64>();
                let z = bias + evidence.iter().sum::<f64>();
                // The link's log sigmoid(z) of one-vs-rest, and for logistic regression 0 and z.
                let expected = match link {
                    LinkKind::OneVsRest => -(-z).exp().ln_1p(),
                    LinkKind::Logistic => z * class as f64,
                    LinkKind::Softmax => z,
                };
                let found = prediction.logits[class];
                assert!((found - expected).abs() <= 1e-13 * (1.0 + size), "{found}, not {expected}: {case}");
                let score = prediction.score(class);
                assert_eq!(score.confidence, probabilities[prediction.class]);
                assert!((score.cross_entropy + probabilities[class].ln()).abs() <= 1e-12 * (1.0 + size), "{case}");
            }
        }
    }
}

#[test]
fn an_invalid_number_is_named_by_row_and_position() {
    for (_, predictor) in [1, 7, 28, 300].into_iter().flat_map(predictors) {
        let (d, are_pixels) = (predictor.n_features(), *predictor.preprocessing() == Preprocessing::Pixels);
        let expected = if are_pixels { "numbers from 0 to 255" } else { "finite numbers up to 1e30" };
        let raw = raw_rows(&predictor, 150);
        let mut batch = Predictions::default();
        for (i, value) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.1e30, -1.1e30].into_iter().enumerate() {
            let (row, position) = (i * 37, (i + 1) * (d - 1) / 5);
            let mut raw = raw.clone();
            raw[row * d + position] = value;
            let shown = format!("number {position} of the row (from 0) is {value:?}; the model takes {expected}");
            let single = predictor.predict(&raw[row * d..][..d]).unwrap_err();
            assert_eq!(single.to_string(), shown);
            let of_batch = predictor.predict_batch(&raw, &mut batch).unwrap_err();
            assert_eq!(of_batch.to_string(), format!("row {row} (from 0): {shown}"));
            assert!(batch.is_empty());
            if !are_pixels {
                let rows = Rows::of_values(d, &raw, vec![0; 150]);
                // In a part of the rows, too, the row is counted from the first of all.
                let error = predictor.of_rows(&rows).unwrap().predict(row.min(3)..150, &mut batch).unwrap_err();
                assert!(matches!(error, RowsError::Row(BatchError { row: found, .. }) if found == row), "{error}");
                assert_eq!((error.to_string(), batch.len()), (of_batch.to_string(), 0));
            }
        }
        if d > 1 {
            let error = predictor.predict_batch(&raw[..3 * d - 1], &mut batch);
            assert_eq!(error, Err(BatchError { row: 2, error: RowError::Length { found: d - 1, expected: d } }));
        }
        // The sum of these is out of range, and each of them is not.
        let largest = vec![if are_pixels { 255.0 } else { -1e30 }; d];
        predictor.predict_batch(&largest, &mut batch).unwrap();
        assert_eq!(batch.iter().next().map(Prediction::from), Some(predictor.predict(&largest).unwrap()));
    }
}
