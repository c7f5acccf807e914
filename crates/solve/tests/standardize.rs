//! Tests of standardisation with the mean and standard deviation of the training rows.

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
fn standardisation_equals_scikit_learn() {
    let expected = scikit_learn();
    let rows = matrix(&expected["rows"]);
    let (n_features, labels) = (rows[0].len(), vec![0; rows.len()]);
    let moments = Rows::of_values(n_features, &rows.concat(), labels).moments().unwrap();
    let preprocessing = Preprocessing::Standardized(moments.clone());
    for j in 0..n_features {
        for (actual, expected) in [(moments.mean[j], &expected["mean"][j]), (moments.scale[j], &expected["scale"][j])] {
            let expected = expected.as_f64().unwrap();
            assert!((actual / expected - 1.0).abs() < 1e-12, "feature {j}: {actual} {expected}");
        }
    }
    // The last feature is 0.1 in all rows. It is centred but not scaled.
    assert_eq!(moments.scale[4], 1.0);
    for (row, expected) in rows.iter().zip(matrix(&expected["standardized"])) {
        let features: Vec<f64> = row.iter().enumerate().map(|(j, &raw)| preprocessing.value(j, raw)).collect();
        assert_close(&features, &expected, 1e-11, "features");
        let affine = |(j, &raw): (usize, &f64)| preprocessing.affine(j).0 * raw + preprocessing.affine(j).1;
        // Scale and offset lose five digits if the mean is 2000 and the spread 0.05.
        assert_close(&row.iter().enumerate().map(affine).collect::<Vec<_>>(), &expected, 1e-9, "scale and offset");
    }
}

#[test]
fn pixels_are_standardised_like_numbers() {
    let pixels = vec![0, 10, 7, 255, 20, 7, 0, 60, 7, 255, 70, 7];
    let moments = Rows::of_pixels([1, 3], pixels, vec![0; 4]).moments().unwrap();
    assert_eq!((&moments.mean, &moments.scale), (&vec![127.5, 40.0, 7.0], &vec![127.5, 650f64.sqrt(), 1.0]));
    // A pixel that is black in half of the rows and white in the others has the scaling of
    // `Preprocessing::Pixels`.
    let standardized = Preprocessing::Standardized(moments);
    for pixel in 0..=255 {
        let [a, b] = [&standardized, &Preprocessing::Pixels].map(|preprocessing| preprocessing.value(0, pixel.into()));
        assert!((a - b).abs() < 1e-15);
        assert_eq!(Preprocessing::Pixels.value(0, pixel.into()), chainrule_data::pixel_value(pixel));
    }
}
