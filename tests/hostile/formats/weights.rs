//! Other tools' weights: safetensors, npz and this project's JSON.

use chainrule_core::{LinkKind, Parameters, Precision, Preprocessing, Standardization};
use chainrule_formats::{Format, Layout, Portable, Row, Weights};

use super::assert_one_line;

pub fn seeds() -> Vec<Vec<u8>> {
    let softmax = Portable {
        link: LinkKind::Softmax,
        classes: ["a", "b", "c"].map(str::to_owned).into(),
        parameters: Parameters { n_features: 2, columns: 3, weight: vec![0.5; 6], bias: vec![1.0; 3] },
        precision: Precision::F32,
        preprocessing: Preprocessing::Standardized(Standardization { mean: vec![1.0, 2.0], scale: vec![3.0, 4.0] }),
        row: Row::Numbers { names: ["x", "y"].map(str::to_owned).into() },
        recipe: None,
        about: [("experiment".to_owned(), "made up".to_owned())].into(),
    };
    let logistic = Portable {
        link: LinkKind::Logistic,
        classes: ["3", "2"].map(str::to_owned).into(),
        parameters: Parameters { n_features: 4, columns: 1, weight: vec![0.25; 4], bias: vec![-1.0] },
        precision: Precision::F64,
        preprocessing: Preprocessing::Pixels,
        row: Row::Image { height: 2, width: 2 },
        recipe: None,
        about: [].into(),
    };
    let formats = [Format::Safetensors, Format::Npz, Format::Json];
    let exported = formats.iter().flat_map(|&format| [softmax.to_bytes(format), logistic.to_bytes(format)]);
    exported.chain([include_bytes!("../../../crates/formats/tests/fixtures/numpy_objects.npz").to_vec()]).collect()
}

pub fn check(bytes: &[u8]) {
    for layout in [None, Some(Layout::RowPerClass), Some(Layout::RowPerFeature)] {
        match Weights::read(bytes, layout) {
            Ok(weights) => is_whole(&weights),
            Err(problem) => assert_one_line(&problem.to_string()),
        }
    }
}

/// Asserts that all numbers are finite and that statistics cover every feature.
fn is_whole(Weights { parameters, about, .. }: &Weights) {
    let [d, k] = [parameters.n_features, parameters.columns];
    assert!(d > 0 && k > 0 && parameters.has_shape([d, k]), "{parameters:?}");
    assert!(parameters.weight.iter().chain(&parameters.bias).all(|weight| weight.is_finite()));
    if let Some([mean, scale]) = &about.mean_and_scale {
        assert_eq!([mean.len(), scale.len()], [d, d]);
        assert!(mean.iter().all(|mean| mean.is_finite()) && scale.iter().all(|scale| *scale > 0.0));
    }
}
