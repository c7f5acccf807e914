//! Standardisation with the mean and standard deviation of the training rows.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod near;

use chainrule_core::Preprocessing;
use chainrule_data::Rows;
use near::assert_close;
use serde_json::Value;

/// Returns scikit-learn's results on a synthetic table. The script is beside the fixture.
fn scikit_learn() -> Value {
    serde_json::from_str(include_str!("fixtures/sklearn_table.json")).unwrap()
}

fn matrix(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn mean_scale_and_features_are_scikit_learns() {
    let expected = scikit_learn();
    let rows = matrix(&expected["rows"]);
    let (n_features, labels) = (rows[0].len(), vec![0; rows.len()]);
    let found = Rows::of_numbers(n_features, rows.concat(), labels).moments().unwrap();
    let preprocessing = Preprocessing::Standardized(found.clone());
    for j in 0..n_features {
        for (found, expected) in [(found.mean[j], &expected["mean"][j]), (found.scale[j], &expected["scale"][j])] {
            let expected = expected.as_f64().unwrap();
            assert!((found / expected - 1.0).abs() < 1e-12, "feature {j}: {found} {expected}");
        }
    }
    // The last feature is 0.1 in all rows. It is centred but not scaled.
    assert_eq!(found.scale[4], 1.0);
    for (row, expected) in rows.iter().zip(matrix(&expected["standardized"])) {
        let found: Vec<f64> = row.iter().enumerate().map(|(j, &raw)| preprocessing.value(j, raw)).collect();
        assert_close(&found, &expected, 1e-11, "features");
        let line = |(j, &raw): (usize, &f64)| preprocessing.affine(j).0 * raw + preprocessing.affine(j).1;
        // 2000 minus 2000 loses five digits.
        assert_close(&row.iter().enumerate().map(line).collect::<Vec<_>>(), &expected, 1e-9, "scale and offset");
    }
}

#[test]
fn pixels_are_standardised_by_the_same_loops() {
    let pixels = vec![0, 10, 7, 255, 20, 7, 0, 60, 7, 255, 70, 7];
    let found = Rows::of_pixels([1, 3], pixels, vec![0; 4]).moments().unwrap();
    assert_eq!((&found.mean, &found.scale), (&vec![127.5, 40.0, 7.0], &vec![127.5, 650f64.sqrt(), 1.0]));
    // The report's own scaling is that of a pixel that is black as often as white.
    let standardized = Preprocessing::Standardized(found);
    for pixel in 0..=255 {
        let [own, reports] = [&standardized, &Preprocessing::Pixels].map(|by| by.value(0, pixel.into()));
        assert!((own - reports).abs() < 1e-15);
        assert_eq!(Preprocessing::Pixels.value(0, pixel.into()), chainrule_data::pixel_value(pixel));
    }
}
