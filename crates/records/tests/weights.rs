//! A run's files, read as another program would.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chainrule_core::{DataKind, Parameters, Precision, Preprocessing, Standardization};
use chainrule_records::{read_parameters, read_preprocessing, write_weights};
use serde_json::{Value, json};

/// A large number that f32 holds exactly.
const TWO_TO_100: f64 = 1_267_650_600_228_229_401_496_703_205_376.0;

/// Two features and three classes, in numbers that f32 holds exactly.
fn parameters() -> Parameters {
    let weight = vec![1.0, -2.0, 0.5, TWO_TO_100, -0.25, 0.0];
    Parameters { n_features: 2, columns: 3, weight, bias: vec![3.0, -1.5, 1024.0] }
}

/// Reads a tensor by the format's specification: eight bytes for the header's length, the header,
/// and the numbers, all little-endian.
fn tensor(file: &[u8], name: &str) -> (Value, Vec<u8>) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let [from, to] = [0, 1].map(|end| header[name]["data_offsets"][end].as_u64().unwrap() as usize);
    (header[name].clone(), file[8 + length..][from..to].to_vec())
}

#[test]
fn weights_are_saved_in_the_documented_format() {
    let parameters = parameters();
    for (precision, dtype) in [(Precision::F32, "F32"), (Precision::F64, "F64")] {
        let bytes = |values: &[f64]| -> Vec<u8> {
            match precision {
                Precision::F32 => values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
                Precision::F64 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            }
        };
        let file = write_weights(&parameters, precision, &Preprocessing::Raw);
        let (entry, weight) = tensor(&file, "linear.weight");
        assert_eq!((&entry["dtype"], &entry["shape"]), (&json!(dtype), &json!([2, 3])));
        assert_eq!(weight, bytes(&parameters.weight));
        let (entry, bias) = tensor(&file, "linear.bias");
        assert_eq!((&entry["dtype"], &entry["shape"]), (&json!(dtype), &json!([3])));
        assert_eq!(bias, bytes(&parameters.bias));
    }
}

#[test]
fn saved_weights_are_read_back() {
    let mut parameters = parameters();
    for precision in [Precision::F32, Precision::F64] {
        assert_eq!(read_parameters(&write_weights(&parameters, precision, &Preprocessing::Raw)).unwrap(), parameters);
    }
    // f64 keeps every digit.
    parameters.bias[0] = 0.1;
    assert_eq!(read_parameters(&write_weights(&parameters, Precision::F64, &Preprocessing::Raw)).unwrap(), parameters);
}

#[test]
fn a_classs_weights_are_its_column() {
    assert_eq!(parameters().weights_of_class(0), [1.0, TWO_TO_100]);
    assert_eq!(parameters().weights_of_class(2), [0.5, 0.0]);
    // The logistic model has one column, so another class must not read other numbers.
    let logistic = Parameters { n_features: 3, columns: 1, weight: vec![1.0, 2.0, 3.0], bias: vec![0.0] };
    assert_eq!(logistic.weights_of_class(0), [1.0, 2.0, 3.0]);
    for (parameters, class) in [(logistic, 1), (parameters(), 3)] {
        let beyond = std::panic::catch_unwind(|| parameters.weights_of_class(class)).unwrap_err();
        let message = beyond.downcast_ref::<String>().unwrap();
        assert!(message.contains(&format!("no column {class}: W has {} column", parameters.columns)), "{message}");
    }
}

#[test]
fn statistics_round_trip_bit_for_bit() {
    let parameters = Parameters { n_features: 2, columns: 3, weight: vec![0.5; 6], bias: vec![1.0; 3] };
    let by = Preprocessing::Standardized(Standardization { mean: vec![0.1, -1e9], scale: vec![1.0 / 3.0, 1e-9] });
    for precision in [Precision::F32, Precision::F64] {
        let file = write_weights(&parameters, precision, &by);
        assert_eq!(read_preprocessing(&file, DataKind::Table).unwrap(), by);
        assert_eq!(read_parameters(&file).unwrap(), parameters);
        // Without statistics, the kind of data determines the preprocessing.
        for (kind, expected) in [(DataKind::Images, Preprocessing::Pixels), (DataKind::Table, Preprocessing::Raw)] {
            let actual = read_preprocessing(&write_weights(&parameters, precision, &Preprocessing::Raw), kind);
            assert_eq!(actual.unwrap(), expected);
        }
    }
}

#[test]
fn invalid_statistics_are_refused() {
    let parameters = Parameters { n_features: 2, columns: 1, weight: vec![0.5; 2], bias: vec![1.0] };
    for (mean, scale, expected) in [
        ([0.0, 0.0], [1.0, 0.0], "number 1 of features.scale is 0"),
        ([0.0, 0.0], [-1.0, 1.0], "number 0 of features.scale is -1"),
        ([0.0, f64::NAN], [1.0, 1.0], "number 1 of features.mean is NaN"),
    ] {
        let by = Preprocessing::Standardized(Standardization { mean: mean.into(), scale: scale.into() });
        let file = write_weights(&parameters, Precision::F64, &by);
        let problem = read_preprocessing(&file, DataKind::Table).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem:?} {expected:?}");
    }
}
