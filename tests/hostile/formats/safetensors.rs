//! A model's parameters.

use chainrule_records::{Parameters, Precision};

use super::is_a_sentence;

pub fn seeds() -> Vec<Vec<u8>> {
    let model = |n_features: usize, n_classes: usize| {
        let number = |i: usize| i as f64 / 8.0 - 1.0;
        let weight = (0..n_features * n_classes).map(number).collect();
        Parameters { n_features, n_classes, weight, bias: (0..n_classes).map(number).collect() }
    };
    vec![
        model(1, 1).to_safetensors(Precision::F32),
        model(4, 3).to_safetensors(Precision::F32),
        model(4, 3).to_safetensors(Precision::F64),
        model(6, 10).to_safetensors(Precision::F64),
    ]
}

pub fn check(bytes: &[u8]) {
    match Parameters::from_safetensors(bytes) {
        Ok(parameters) => {
            let Parameters { n_features, n_classes, weight, bias } = &parameters;
            assert!(*n_features > 0 && *n_classes > 0);
            assert_eq!((weight.len(), bias.len()), (n_features * n_classes, *n_classes));
            assert!(weight.iter().chain(bias).all(|number| number.is_finite()));
            assert!((0..*n_classes).all(|class| parameters.of_class(class).len() == *n_features));
            let written = parameters.to_safetensors(Precision::F64);
            assert_eq!(Parameters::from_safetensors(&written).expect("what was written"), parameters);
        }
        Err(error) => is_a_sentence(&error),
    }
}
