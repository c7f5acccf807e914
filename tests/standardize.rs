//! Features less their mean, over their standard deviation, both of the training rows.

use chainrule_core::{DataKind, Parameters, Precision, Preprocessing, Standardization};
use chainrule_data::{Numbers, Split};
use chainrule_records::{read_parameters, read_preprocessing, write_weights};
use chainrule_solve::{Chosen, standardization};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, folder, text};
use crate::predict::train;
use crate::support::assert_close;

/// What scikit-learn made of a made-up table: see the script beside it.
pub(crate) fn scikit_learn() -> Value {
    serde_json::from_str(include_str!("fixtures/sklearn_table.json")).unwrap()
}

pub(crate) fn matrix(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn of(rows: &Chosen) -> Standardization {
    standardization(rows).standardization().unwrap().clone()
}

#[test]
fn mean_scale_and_features_are_scikit_learns() {
    let expected = scikit_learn();
    let rows = matrix(&expected["rows"]);
    let (n_features, labels) = (rows[0].len(), vec![0; rows.len()]);
    let preprocessing = standardization(&Chosen::Numbers(Numbers { n_features, values: rows.concat().into(), labels }));
    let found = preprocessing.standardization().unwrap();
    for j in 0..n_features {
        for (found, expected) in [(found.mean[j], &expected["mean"][j]), (found.scale[j], &expected["scale"][j])] {
            let expected = expected.as_f64().unwrap();
            assert!((found / expected - 1.0).abs() < 1e-12, "feature {j}: {found} {expected}");
        }
    }
    // The last is 0.1 in all rows: it is centred and not blown up.
    assert_eq!(found.scale[4], 1.0);
    for (row, expected) in rows.iter().zip(matrix(&expected["standardized"])) {
        let found: Vec<f64> = row.iter().enumerate().map(|(j, &raw)| preprocessing.value(j, raw)).collect();
        assert_close(&found, &expected, 1e-11, "features");
        let line = |(j, &raw): (usize, &f64)| preprocessing.affine(j).0 * raw + preprocessing.affine(j).1;
        // 2000 less 2000 loses five digits.
        assert_close(&row.iter().enumerate().map(line).collect::<Vec<_>>(), &expected, 1e-9, "scale and offset");
    }
}

#[test]
fn pixels_are_standardised_by_the_same_loops() {
    let pixels = vec![0, 10, 7, 255, 20, 7, 0, 60, 7, 255, 70, 7];
    let found = of(&Chosen::Resident(Split { size: [1, 3], pixels, labels: vec![0; 4] }));
    assert_eq!((&found.mean, &found.scale), (&vec![127.5, 40.0, 7.0], &vec![127.5, 650f64.sqrt(), 1.0]));
    // The report's own scaling is that of a pixel that is black as often as white.
    let standardized = Preprocessing::Standardized(found);
    for pixel in 0..=255 {
        let [own, reports] = [&standardized, &Preprocessing::Pixels].map(|by| by.value(0, pixel.into()));
        assert!((own - reports).abs() < 1e-15);
        assert_eq!(Preprocessing::Pixels.value(0, pixel.into()), chainrule_data::pixel_value(pixel));
    }
}

#[test]
fn statistics_are_saved_beside_the_weights_and_read_back_to_the_last_bit() {
    let parameters = Parameters { n_features: 2, n_classes: 3, weight: vec![0.5; 6], bias: vec![1.0; 3] };
    let by = Preprocessing::Standardized(Standardization { mean: vec![0.1, -1e9], scale: vec![1.0 / 3.0, 1e-9] });
    for precision in [Precision::F32, Precision::F64] {
        let file = write_weights(&parameters, precision, &by);
        assert_eq!(read_preprocessing(&file, DataKind::Table).unwrap(), by);
        assert_eq!(read_parameters(&file).unwrap(), parameters);
        // Where there are none, the data tells.
        for (kind, expected) in [(DataKind::Images, Preprocessing::Pixels), (DataKind::Table, Preprocessing::Raw)] {
            let found = read_preprocessing(&write_weights(&parameters, precision, &Preprocessing::Raw), kind);
            assert_eq!(found.unwrap(), expected);
        }
    }
}

#[test]
fn statistics_that_nothing_can_be_divided_by_are_refused() {
    let parameters = Parameters { n_features: 2, n_classes: 1, weight: vec![0.5; 2], bias: vec![1.0] };
    for (mean, scale, expected) in [
        ([0.0, 0.0], [1.0, 0.0], "number 1 of features.scale is 0"),
        ([0.0, 0.0], [-1.0, 1.0], "number 0 of features.scale is -1"),
        ([0.0, f64::NAN], [1.0, 1.0], "number 1 of features.mean is NaN"),
    ] {
        let by = Preprocessing::Standardized(Standardization { mean: mean.into(), scale: scale.into() });
        let file = write_weights(&parameters, Precision::F64, &by);
        let problem = read_preprocessing(&file, DataKind::Table).unwrap_err();
        assert!(problem.contains(expected), "{problem:?} {expected:?}");
    }
}

#[test]
fn a_standardised_run_is_evaluated_with_its_own_statistics() {
    let folder = folder();
    for (config, precision, tolerance) in [
        ("configs/softmax.toml", "f64", 1e-12),
        ("configs/softmax.toml", "f32", 1e-5),
        ("configs/softmax-optimum.toml", "f64", 1e-12),
    ] {
        let more = ["--precision", precision, "--set", "data.standardize=true", "--force"];
        let summary = train(folder.path(), config, &more);
        assert_eq!(summary["gradient"], "closed-form");
        let output = call(folder.path(), &["evaluate", "run", "--json", "--quiet"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = summary["final"]["validation_loss"].as_f64().unwrap();
        let apart = (found["loss"].as_f64().unwrap() / expected - 1.0).abs();
        assert!(apart < tolerance && found["accuracy"] == summary["final"]["validation_accuracy"], "{apart}");
    }
}

#[test]
fn fused_kernels_do_not_standardise_and_say_what_does() {
    let folder = folder();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/softmax.toml");
    let arguments = ["train", config, "--set", "data.standardize=true", "--gradient", "fused", "--data", "embedded"];
    let output = call(folder.path(), &arguments);
    let message = text(&output.stderr);
    assert_eq!(code(&output), Some(2));
    assert!(message.contains("data.standardize") && message.contains("closed-form"), "{message}");
}
