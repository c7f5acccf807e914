//! Values of the losses, including extreme logits.

use burn::tensor::{FloatDType, Int, Tensor, TensorData};
use chainrule_models::{Classifier, L2, LogisticRegressionConfig, SoftmaxRegressionConfig, autodiff, closed_form};
use chainrule_tests_macros::test;

use crate::support::{assert_close, devices, devices_and_precisions, matrix, tolerance, values, vector};

fn labels(labels: &[i32], device: &burn::tensor::Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(labels.to_vec(), [labels.len()]), device)
}

#[test]
fn logistic_loss_matches_hand_computed_values() {
    for (device, dtype) in devices_and_precisions() {
        let model = LogisticRegressionConfig::new(1).init(&device);
        let z = matrix(&[0.0, 2.0, 2.0, -1.5], [4, 1], &device, dtype);
        let actual = values(model.cross_entropy(z, labels(&[1, 1, 0, 0], &device)));
        // ln 2, ln(1 + e^-2), ln(1 + e^2), ln(1 + e^-1.5)
        let expected =
            [std::f64::consts::LN_2, 0.126_928_011_042_972_5, 2.126_928_011_042_972_3, 0.201_413_277_982_752_46];
        assert_close(&actual, &expected, tolerance(dtype), "logistic loss");
    }
}

#[test]
fn softmax_loss_matches_hand_computed_values() {
    for (device, dtype) in devices_and_precisions() {
        let model = SoftmaxRegressionConfig::new(1, 3).init(&device);
        let z = matrix(&[0.0, 0.0, 0.0, 1.0, 2.0, 3.0], [2, 3], &device, dtype);
        let actual = values(model.cross_entropy(z, labels(&[2, 0], &device)));
        // ln 3, and 2 + ln(1 + e^-1 + e^-2)
        assert_close(&actual, &[1.098_612_288_668_109_8, 2.407_605_964_444_38], tolerance(dtype), "softmax loss");
    }
}

#[test]
fn losses_and_gradients_are_finite_at_logit_1e4() {
    for (device, dtype) in devices_and_precisions() {
        let logistic = LogisticRegressionConfig::new(1).init(&device);
        let z = matrix(&[1e4, 1e4, -1e4, -1e4], [4, 1], &device, dtype);
        let y = labels(&[1, 0, 1, 0], &device);
        assert_close(
            &values(logistic.cross_entropy(z.clone(), y.clone())),
            &[0.0, 1e4, 1e4, 0.0],
            1e-6,
            "logistic loss",
        );
        assert_close(&values(logistic.residual(z, y)), &[0.0, 1.0, -1.0, 0.0], 1e-6, "logistic residual");

        let softmax = SoftmaxRegressionConfig::new(1, 2).init(&device);
        let z = matrix(&[1e4, -1e4, 1e4, -1e4], [2, 2], &device, dtype);
        let y = labels(&[0, 1], &device);
        assert_close(&values(softmax.cross_entropy(z.clone(), y.clone())), &[0.0, 2e4], 1e-6, "softmax loss");
        assert_close(&values(softmax.residual(z, y)), &[0.0, 0.0, 1.0, -1.0], 1e-6, "softmax residual");
    }
}

/// 63 rows of one class and 65 of the other at zero weights: the mean residual is ±1/128.
#[test]
fn the_bias_gradient_is_right_at_zero_weights() {
    for device in devices() {
        let y: Vec<i32> = (0..128).map(|row| i32::from(row < 65)).collect();
        let x = matrix(&vec![1.0; 128], [128, 1], &device, FloatDType::F32);
        let model = LogisticRegressionConfig::new(1).init(&device.clone().autodiff());
        for actual in [
            autodiff(&model, x.clone(), labels(&y, &device), L2::NONE),
            closed_form(&model, x.clone(), labels(&y, &device), L2::NONE),
        ] {
            assert_close(&values(actual.gradient.bias), &[-1.0 / 128.0], 1e-6, "bias gradient");
        }
    }
}

/// The usual form of the loss, and Burn 0.22.1's gradient at its two kinks at z = 0. If this test
/// fails, Burn has changed, and the warnings in `logistic.rs` and docs/derivation.md can go.
#[test]
fn the_usual_logistic_loss_has_a_wrong_autodiff_gradient_at_zero() {
    for device in devices() {
        let z = vector(&[0.0; 4], &device, FloatDType::F32).autodiff().require_grad();
        let y = vector(&[0.0, 1.0, 0.0, 1.0], &device, FloatDType::F32).autodiff();
        let loss = z.clone().abs().neg().exp().add_scalar(1.0).log() + z.clone().clamp_min(0.0) - y * z.clone();
        let gradient = values(z.grad(&loss.sum().backward()).unwrap());
        let right = [0.5, -0.5, 0.5, -0.5];
        assert!(gradient.iter().zip(right).any(|(found, right)| (found - right).abs() > 0.4), "{gradient:?}");
    }
}
