//! Compares single equations of `docs/derivation.md` with autodiff, in f64.

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{Device, FloatDType, Tensor};
use chainrule_models::derivation;
use chainrule_tests_macros::test;

use crate::support::{assert_close, f64_devices, matrix, uniform, values, vector};

const ROWS: usize = 6;
const FEATURES: usize = 4;
const CLASSES: usize = 5;

/// Returns logits from clearly one class to clearly another, as a leaf of an autodiff graph.
fn logits(device: &Device) -> Tensor<2> {
    let z: Vec<f64> = uniform(1, ROWS * CLASSES).iter().map(|z| 6.0 * z).collect();
    matrix(&z, [ROWS, CLASSES], device, FloatDType::F64).autodiff().require_grad()
}

fn binary_logits(device: &Device) -> Tensor<1> {
    vector(&[-7.0, -1.0, 0.0, 0.5, 3.0, 11.0], device, FloatDType::F64).autodiff().require_grad()
}

fn binary_targets(device: &Device) -> Tensor<1> {
    vector(&[1.0, 0.0, 1.0, 1.0, 0.0, 1.0], device, FloatDType::F64)
}

/// Returns one-hot rows.
fn targets(device: &Device) -> Tensor<2> {
    let y: Vec<f64> =
        (0..ROWS * CLASSES).map(|i| f64::from(u8::from(i % CLASSES == (i / CLASSES * 3) % CLASSES))).collect();
    matrix(&y, [ROWS, CLASSES], device, FloatDType::F64)
}

fn features(device: &Device) -> Tensor<2> {
    matrix(&uniform(2, ROWS * FEATURES), [ROWS, FEATURES], device, FloatDType::F64)
}

/// Returns the derivative of `sum(output)` with respect to `input`, by Burn's autodiff.
fn by_autodiff<const D: usize, const E: usize>(output: Tensor<D>, input: &Tensor<E>) -> Vec<f64> {
    values(input.grad(&output.sum().backward()).unwrap())
}

fn check(by_hand: &[f64], by_autodiff: &[f64]) {
    assert_close(by_hand, by_autodiff, 1e-12, "by hand and by autodiff");
}

#[test]
fn eq_4_binary_cross_entropy_by_probability() {
    for device in f64_devices() {
        let (p, y) = (sigmoid(binary_logits(&device)).inner(), binary_targets(&device));
        let by_hand = derivation::binary_cross_entropy_by_probability(p.clone(), y.clone());
        let p = p.autodiff().require_grad();
        let cost = derivation::binary_cross_entropy(p.clone(), y.autodiff());
        check(&values(by_hand), &by_autodiff(cost, &p));
    }
}

#[test]
fn eq_5_sigmoid_by_logit() {
    for device in f64_devices() {
        let z = binary_logits(&device);
        let p = sigmoid(z.clone());
        check(&values(derivation::sigmoid_by_logit(p.clone().inner())), &by_autodiff(p, &z));
    }
}

#[test]
fn eq_6_binary_cross_entropy_by_logit() {
    for device in f64_devices() {
        let (z, y) = (binary_logits(&device), binary_targets(&device));
        let p = sigmoid(z.clone());
        let by_hand = derivation::binary_cross_entropy_by_logit(p.clone().inner(), y.clone());
        // The chain rule, Eq. (4) times Eq. (5), gives the same: the factors p (1 - p) cancel.
        let chained = derivation::binary_cross_entropy_by_probability(p.clone().inner(), y.clone())
            * derivation::sigmoid_by_logit(p.clone().inner());
        check(&values(by_hand.clone()), &values(chained));
        check(&values(by_hand), &by_autodiff(derivation::binary_cross_entropy(p, y.autodiff()), &z));
    }
}

#[test]
fn eq_8_binary_cross_entropy_by_weight() {
    for device in f64_devices() {
        let (x, y) = (features(&device), binary_targets(&device));
        let w = vector(&uniform(3, FEATURES), &device, FloatDType::F64);
        for row in 0..ROWS {
            let (x, y) = (x.clone().narrow(0, row, 1), y.clone().narrow(0, row, 1));
            let w = w.clone().autodiff().require_grad();
            let z: Tensor<1> = x.clone().autodiff().matmul(w.clone().unsqueeze_dim(1)).squeeze_dim(1);
            let p = sigmoid(z);
            let by_hand = derivation::binary_cross_entropy_by_weight(x, p.clone().inner(), y.clone());
            check(&values(by_hand), &by_autodiff(derivation::binary_cross_entropy(p, y.autodiff()), &w));
        }
    }
}

#[test]
fn eq_14_cross_entropy_by_probability() {
    for device in f64_devices() {
        let (p, y) = (softmax(logits(&device), 1).inner(), targets(&device));
        let by_hand = derivation::cross_entropy_by_probability(p.clone(), y.clone());
        let p = p.autodiff().require_grad();
        check(&values(by_hand), &by_autodiff(derivation::cross_entropy(p.clone(), y.autodiff()), &p));
    }
}

/// Returns the Jacobian of each row's softmax by autodiff, one output at a time: `[row][k][j] =
/// dp_k/dz_j`.
fn softmax_jacobian(device: &Device) -> Vec<Vec<Vec<f64>>> {
    let mut jacobian = vec![Vec::new(); ROWS];
    for k in 0..CLASSES {
        let z = logits(device);
        let p_k = softmax(z.clone(), 1).narrow(1, k, 1);
        for (row, slopes) in by_autodiff(p_k, &z).chunks(CLASSES).enumerate() {
            jacobian[row].push(slopes.to_vec());
        }
    }
    jacobian
}

#[test]
fn eq_15_softmax_jacobian_diagonal() {
    for device in f64_devices() {
        let by_hand = values(derivation::softmax_jacobian_diagonal(softmax(logits(&device), 1).inner()));
        let jacobian = softmax_jacobian(&device);
        let by_autodiff = (0..ROWS * CLASSES).map(|i| jacobian[i / CLASSES][i % CLASSES][i % CLASSES]);
        check(&by_hand, &by_autodiff.collect::<Vec<_>>());
    }
}

#[test]
fn eq_16_softmax_jacobian_off_diagonal() {
    for device in f64_devices() {
        let by_hand = values(derivation::softmax_jacobian_off_diagonal(softmax(logits(&device), 1).inner()));
        let jacobian: Vec<f64> = softmax_jacobian(&device).concat().concat();
        let is_off_diagonal = |i: &usize| i / CLASSES % CLASSES != i % CLASSES;
        let off = |all: &[f64]| (0..all.len()).filter(is_off_diagonal).map(|i| all[i]).collect::<Vec<_>>();
        assert_eq!(off(&by_hand).len(), ROWS * CLASSES * (CLASSES - 1));
        check(&off(&by_hand), &off(&jacobian));
    }
}

#[test]
fn eq_17_cross_entropy_by_logit() {
    for device in f64_devices() {
        let (z, y) = (logits(&device), targets(&device));
        let p = softmax(z.clone(), 1);
        let by_hand = derivation::cross_entropy_by_logit(p.clone().inner(), y.clone());
        // The chain rule over all outputs, Eq. (14) times Eqs. (15) and (16), gives the same.
        let slopes = values(derivation::cross_entropy_by_probability(p.clone().inner(), y.clone()));
        let diagonal = values(derivation::softmax_jacobian_diagonal(p.clone().inner()));
        let off_diagonal = values(derivation::softmax_jacobian_off_diagonal(p.clone().inner()));
        let chained = (0..ROWS * CLASSES).map(|i| {
            let (row, j) = (i / CLASSES, i % CLASSES);
            let part = |k: usize| {
                let slope = slopes[row * CLASSES + k];
                if k == j { slope * diagonal[i] } else { slope * off_diagonal[(row * CLASSES + k) * CLASSES + j] }
            };
            (0..CLASSES).map(part).sum::<f64>()
        });
        check(&values(by_hand.clone()), &chained.collect::<Vec<_>>());
        check(&values(by_hand), &by_autodiff(derivation::cross_entropy(p, y.autodiff()), &z));
    }
}

#[test]
fn eq_18_cross_entropy_by_weight() {
    for device in f64_devices() {
        let (x, y) = (features(&device), targets(&device));
        let w = matrix(&uniform(4, FEATURES * CLASSES), [FEATURES, CLASSES], &device, FloatDType::F64);
        for row in 0..ROWS {
            let (x, y) = (x.clone().narrow(0, row, 1), y.clone().narrow(0, row, 1));
            let w = w.clone().autodiff().require_grad();
            let p = softmax(x.clone().autodiff().matmul(w.clone()), 1);
            let by_hand = derivation::cross_entropy_by_weight(x, p.clone().inner(), y.clone());
            check(&values(by_hand), &by_autodiff(derivation::cross_entropy(p, y.autodiff()), &w));
        }
    }
}
