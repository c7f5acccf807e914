//! Properties of the models that hold for any data.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use chainrule_models::{
    Classifier, Gradient, L2, LogisticRegressionConfig, SoftmaxRegression, SoftmaxRegressionConfig, Targets, autodiff,
    closed_form, to_precision, weight_norm,
};
use chainrule_tests_macros::test;

use crate::support::{
    assert_close, compare, devices_and_precisions, labels, matrix, tolerance, uniform, values, vector, with_parameters,
};

const ROWS: usize = 24;
const FEATURES: usize = 7;

#[test]
fn shifting_all_logits_changes_nothing() {
    for (device, dtype) in devices_and_precisions() {
        let model = SoftmaxRegressionConfig::new(1, 5).init(&device);
        let z = matrix(&uniform(0, ROWS * 5), [ROWS, 5], &device, dtype);
        let y = labels(0, ROWS, 5, &device);
        for shift in [-8.0, 0.5, 64.0] {
            let shifted = z.clone() + shift;
            let tolerance = 64.0 * tolerance(dtype); // the shift determines the rounding of the shifted logits
            let losses = |z: &Tensor<2>| values(model.cross_entropy(z.clone(), y.clone()));
            let residuals = |z: &Tensor<2>| values(model.residual(z.clone(), y.clone()));
            assert_close(&losses(&shifted), &losses(&z), tolerance, "loss");
            assert_close(&residuals(&shifted), &residuals(&z), tolerance, "residual");
        }
    }
}

#[test]
fn two_class_softmax_equals_logistic_with_weight_difference() {
    for (device, dtype) in devices_and_precisions() {
        let weight = matrix(&uniform(1, FEATURES * 2), [FEATURES, 2], &device, dtype);
        let bias = vector(&uniform(2, 2), &device, dtype);
        let x = matrix(&uniform(3, ROWS * FEATURES), [ROWS, FEATURES], &device, dtype);
        let y = labels(4, ROWS, 2, &device);

        let mut softmax = to_precision(SoftmaxRegressionConfig::new(FEATURES, 2).init(&device), dtype);
        softmax.linear = with_parameters(softmax.linear, weight.clone(), bias.clone());
        let mut logistic = to_precision(LogisticRegressionConfig::new(FEATURES).init(&device), dtype);
        let column = |t: &Tensor<2>, k: usize| t.clone().narrow(1, k, 1);
        let difference = bias.clone().narrow(0, 1, 1) - bias.narrow(0, 0, 1);
        logistic.linear = with_parameters(logistic.linear, column(&weight, 1) - column(&weight, 0), difference);

        let one = values(logistic.probabilities(x.clone()).inner());
        let two = values(softmax.probabilities(x.clone()).inner());
        assert_close(
            &one,
            &two.chunks(2).map(|p| p[1]).collect::<Vec<_>>(),
            tolerance(dtype),
            "probability of class 1",
        );

        let one = closed_form(&logistic, x.clone(), y.clone(), L2::NONE);
        let two = closed_form(&softmax, x, y, L2::NONE);
        assert_close(&values(one.cross_entropy), &values(two.cross_entropy), tolerance(dtype), "loss");
        let second = column(&two.gradient.weight, 1);
        assert_close(&values(one.gradient.weight), &values(second), tolerance(dtype), "gradient of class 1");
    }
}

/// Returns a softmax regression with a batch.
fn of_four_classes(device: &Device, dtype: FloatDType) -> (SoftmaxRegression, Tensor<2>, Tensor<1, Int>) {
    let mut model = to_precision(SoftmaxRegressionConfig::new(FEATURES, 4).init(device), dtype);
    let weight = matrix(&uniform(5, FEATURES * 4), [FEATURES, 4], device, dtype);
    model.linear = with_parameters(model.linear, weight, vector(&uniform(6, 4), device, dtype));
    let x = matrix(&uniform(7, ROWS * FEATURES), [ROWS, FEATURES], device, dtype);
    (model, x, labels(8, ROWS, 4, device))
}

#[test]
fn duplicating_a_batch_changes_neither_loss_nor_gradient() {
    for (device, dtype) in devices_and_precisions() {
        let (model, x, y) = of_four_classes(&device, dtype);
        let l2 = L2 { strength: 0.3, penalize_bias: true };
        let once = closed_form(&model, x.clone(), y.clone(), l2);
        let twice = closed_form(&model, Tensor::cat(vec![x.clone(), x], 0), Tensor::cat(vec![y.clone(), y], 0), l2);
        assert_close(&values(twice.cross_entropy), &values(once.cross_entropy), tolerance(dtype), "loss");
        compare(&twice.gradient, &once.gradient, tolerance(dtype)).unwrap();
    }
}

#[test]
fn weight_two_equals_repeating_the_row() {
    for (device, dtype) in devices_and_precisions() {
        let (model, x, y) = of_four_classes(&device, dtype);
        let of_class: Vec<i32> = y
            .clone()
            .try_into_vec_as::<i32>()
            .unwrap()
            .iter()
            .zip(0..)
            .filter(|(y, _)| **y == 2)
            .map(|(_, i)| i)
            .collect();
        let more = of_class.len();
        assert!(more > 0 && more < ROWS, "{more} of {ROWS} rows");
        let again = Tensor::<1, Int>::from_data(TensorData::new(of_class, [more]), &device);
        let twice_x = Tensor::cat(vec![x.clone(), x.clone().select(0, again.clone())], 0);
        let twice_y = Tensor::cat(vec![y.clone(), y.clone().select(0, again)], 0);
        let weights = vector(&[1.0, 1.0, 2.0, 1.0], &device, dtype);
        let weighted = closed_form(&model, x, Targets::with_class_weights(y, weights), L2::NONE);
        let twice = closed_form(&model, twice_x, twice_y, L2::NONE);
        // Each loss is divided by its own number of rows.
        let by = (ROWS + more) as f64 / ROWS as f64;
        let Gradient { weight, bias } = twice.gradient;
        assert_close(&values(weighted.cross_entropy), &values(twice.cross_entropy * by), tolerance(dtype), "loss");
        let expected = Gradient { weight: weight * by, bias: bias * by };
        compare(&weighted.gradient, &expected, tolerance(dtype)).unwrap();
    }
}

#[test]
fn unit_weights_change_no_bit() {
    for (device, dtype) in devices_and_precisions() {
        let (model, x, y) = of_four_classes(&device, dtype);
        let ones = Targets::with_class_weights(y.clone(), vector(&[1.0; 4], &device, dtype));
        let pairs = [
            [y.clone().into(), ones.clone()].map(|targets: Targets| closed_form(&model, x.clone(), targets, L2::NONE)),
            [y.clone().into(), ones].map(|targets: Targets| autodiff(&model, x.clone(), targets, L2::NONE)),
        ];
        for [plain, weighted] in pairs {
            assert_eq!(values(plain.cross_entropy), values(weighted.cross_entropy));
            assert_eq!(values(plain.gradient.weight), values(weighted.gradient.weight));
            assert_eq!(values(plain.gradient.bias), values(weighted.gradient.bias));
        }
    }
}

#[test]
fn rows_of_the_softmax_gradient_sum_to_zero_over_classes() {
    for (device, dtype) in devices_and_precisions() {
        let mut model = to_precision(SoftmaxRegressionConfig::new(FEATURES, 6).init(&device), dtype);
        let weight = matrix(&uniform(9, FEATURES * 6), [FEATURES, 6], &device, dtype);
        model.linear = with_parameters(model.linear, weight, vector(&uniform(10, 6), &device, dtype));
        let x = matrix(&uniform(11, ROWS * FEATURES), [ROWS, FEATURES], &device, dtype);
        let gradient = closed_form(&model, x, labels(12, ROWS, 6, &device), L2::NONE).gradient;
        let largest = gradient.weight.clone().abs().max().into_scalar::<f64>();
        assert!(largest > 1e-3, "the gradient is not all zero");
        for sum in values(gradient.weight.sum_dim(1)).into_iter().chain(values(gradient.bias.sum())) {
            assert!(sum.abs() <= 10.0 * tolerance(dtype) * largest, "{sum:e} of {largest:e}");
        }
    }
}

#[test]
fn probabilities_are_between_zero_and_one_and_sum_to_one() {
    for (device, dtype) in devices_and_precisions() {
        let mut model = to_precision(SoftmaxRegressionConfig::new(FEATURES, 6).init(&device), dtype);
        let weight: Vec<f64> = uniform(13, FEATURES * 6).iter().map(|w| 100.0 * w).collect();
        let weight = matrix(&weight, [FEATURES, 6], &device, dtype);
        model.linear = with_parameters(model.linear, weight, vector(&[0.0; 6], &device, dtype));
        let x = matrix(&uniform(14, ROWS * FEATURES), [ROWS, FEATURES], &device, dtype);
        let p = model.probabilities(x).inner();
        assert!(values(p.clone()).iter().all(|p| (0.0..=1.0).contains(p)));
        assert_close(&values(p.sum_dim(1)), &[1.0; ROWS], tolerance(dtype), "sum of probabilities");
    }
}

#[test]
fn the_weight_norm_counts_the_bias_as_a_row() {
    for (device, dtype) in devices_and_precisions() {
        // [W; b] = [[3, 0], [0, 4], [0, 3]] has the singular values 5 and 3.
        let mut model = to_precision(SoftmaxRegressionConfig::new(2, 2).init(&device), dtype);
        let weight = matrix(&[3.0, 0.0, 0.0, 4.0], [2, 2], &device, dtype);
        model.linear = with_parameters(model.linear, weight, vector(&[0.0, 3.0], &device, dtype));
        let norm = weight_norm(&model.linear).unwrap();
        assert_close(&[norm.frobenius_squared, norm.spectral], &[34.0, 5.0], 1e-6, "norms");
        assert_close(&[norm.frobenius], &[34f64.sqrt()], 1e-6, "Frobenius norm");
    }
}

#[test]
fn parameters_that_are_not_finite_have_no_norm() {
    for (device, dtype) in devices_and_precisions() {
        for wrong in [f64::NAN, f64::INFINITY] {
            let mut model = to_precision(SoftmaxRegressionConfig::new(2, 2).init(&device), dtype);
            let weight = matrix(&[3.0, wrong, 0.0, 4.0], [2, 2], &device, dtype);
            model.linear = with_parameters(model.linear, weight, vector(&[0.0, 3.0], &device, dtype));
            assert_eq!(weight_norm(&model.linear), None);
        }
    }
}

/// At zero weights every row is a tie. Every engine must count the same rows as correct.
#[test]
fn ties_predict_the_first_class() {
    for (device, dtype) in devices_and_precisions() {
        let softmax = SoftmaxRegressionConfig::new(1, 3).init(&device);
        let z = matrix(&[0.0, 0.0, 0.0, -1.0, 2.0, 2.0], [2, 3], &device, dtype);
        assert_eq!(softmax.classify(z).try_into_vec_as::<i32>().unwrap(), [0, 1]);
        let logistic = LogisticRegressionConfig::new(1).init(&device);
        let z = matrix(&[0.0, -0.0, 1e-30, -1e-30], [4, 1], &device, dtype);
        assert_eq!(logistic.classify(z).try_into_vec_as::<i32>().unwrap(), [0, 0, 1, 0]);
    }
}

#[test]
fn a_model_in_another_precision_is_the_same_model() {
    for (device, dtype) in devices_and_precisions() {
        let model = SoftmaxRegressionConfig::new(2, 3).init(&device.clone().autodiff());
        let cast = to_precision(model.clone(), dtype);
        assert_eq!(FloatDType::from(cast.linear.weight.val().dtype()), dtype);
        assert_eq!(cast.linear.weight.id, model.linear.weight.id, "optimizers identify a parameter by its id");
        assert!(cast.linear.weight.val().is_require_grad(), "a trainable model stays trainable");
        let without = to_precision(model.valid(), dtype);
        assert!(!without.linear.weight.val().is_require_grad(), "a frozen model stays frozen");
    }
}
