//! Compares predictions on the host with those of the kernels.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chainrule_core::{ModelKind, Parameters, Preprocessing};
use chainrule_data::digits::draw_both;
use chainrule_data::{Counts, Rows};
use chainrule_kernels::{Float, FusedModel, Isa};
use chainrule_solve::{FusedRows, Predictor};

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
