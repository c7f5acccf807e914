//! A model's parameters.

use chainrule_core::{Parameters, Precision, Preprocessing};
use chainrule_records::{read_parameters, write_weights};

use super::assert_one_line;

pub fn seeds() -> Vec<Vec<u8>> {
    let model = |n_features: usize, columns: usize| {
        let number = |i: usize| i as f64 / 8.0 - 1.0;
        let weight = (0..n_features * columns).map(number).collect();
        Parameters { n_features, columns, weight, bias: (0..columns).map(number).collect() }
    };
    vec![
        write_weights(&model(1, 1), Precision::F32, &Preprocessing::Raw),
        write_weights(&model(4, 3), Precision::F32, &Preprocessing::Raw),
        write_weights(&model(4, 3), Precision::F64, &Preprocessing::Raw),
        write_weights(&model(6, 10), Precision::F64, &Preprocessing::Raw),
    ]
}

pub fn check(bytes: &[u8]) {
    match read_parameters(bytes) {
        Ok(parameters) => {
            let Parameters { n_features, columns, weight, bias } = &parameters;
            assert!(*n_features > 0 && *columns > 0);
            assert_eq!((weight.len(), bias.len()), (n_features * columns, *columns));
            assert!(weight.iter().chain(bias).all(|number| number.is_finite()));
            assert!((0..*columns).all(|class| parameters.weights_of_class(class).len() == *n_features));
            let written = write_weights(&parameters, Precision::F64, &Preprocessing::Raw);
            assert_eq!(read_parameters(&written).expect("what was written"), parameters);
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}
