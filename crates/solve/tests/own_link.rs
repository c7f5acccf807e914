//! A link without its own code in the kernels and without a dual: one logistic regression per
//! class. The single regressions give its minimum.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;

use chainrule_core::{
    Link, Logistic, ModelKind, OneVsRest, Parameters, Precision, Preprocessing, SearchEnd, Settings, Solver,
    TrainConfig,
};
use chainrule_data::{Counts, Rows, digits};
use chainrule_kernels::PackedRows;
use chainrule_solve::{Optimum, Predictor, RowError, find_optimum, train_by_loops};

const CLASSES: usize = 3;

fn config(penalize_bias: bool) -> TrainConfig {
    let mut settings = Settings::of(ModelKind::Softmax);
    settings.descent.solver = Solver::Lbfgs;
    settings.descent.precision = Precision::F64;
    settings.objective.l2 = 0.1;
    settings.objective.penalize_bias = penalize_bias;
    settings.optimum.tolerance = 1e-13;
    settings.optimum.max_iterations = 2000;
    TrainConfig::try_from(settings).expect("a valid config")
}

/// Returns bytes of drawn digits, and their labels.
fn digits_of_three_classes() -> (Vec<u8>, Vec<u32>) {
    let [images, _] = digits::draw_both(3, Counts { train: 400, validation: 0 });
    let rows: Vec<usize> = (0..400).filter(|&row| usize::from(images.labels()[row]) < CLASSES).collect();
    let bytes = rows.iter().flat_map(|&row| images.pixels(row)).copied().collect();
    (bytes, rows.iter().map(|&row| images.labels()[row].into()).collect())
}

fn minimum(link: &Arc<dyn Link>, labels: Vec<u32>, bytes: &[u8], config: &TrainConfig, threads: usize) -> Optimum {
    let rows = PackedRows::new(bytes, [28, 28], labels, 1.0 / 127.5, -1.0).into();
    let threads = NonZero::new(threads).expect("a thread");
    find_optimum(link, config, &rows, threads, &mut |_, _| ControlFlow::Continue(())).expect("a minimum")
}

fn max_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |max: f64, (a, b)| max.max((a - b).abs()))
}

#[test]
fn one_vs_rest_equals_one_logistic_regression_per_class() {
    let (bytes, labels) = digits_of_three_classes();
    let rest: Arc<dyn Link> = Arc::new(OneVsRest { n_classes: CLASSES });
    for penalize_bias in [true, false] {
        let config = config(penalize_bias);
        let all = minimum(&rest, labels.clone(), &bytes, &config, 2);
        assert_eq!(all.ended, SearchEnd::Converged);
        // J is flattest along a free bias.
        let bound = if penalize_bias { 1e-5 } else { 1e-3 };
        for class in 0..CLASSES {
            let is_class = labels.iter().map(|&label| u32::from(label as usize == class)).collect();
            let single: Arc<dyn Link> = Arc::new(Logistic);
            let single = minimum(&single, is_class, &bytes, &config, 1);
            assert!(single.certificate.is_some_and(|proof| proof.holds()));
            let distance = max_distance(&all.parameters.weights_of_class(class), &single.parameters.weight);
            assert!(distance < 1e-5, "class {class}: {distance}");
            let bias_distance = (all.parameters.bias[class] - single.parameters.bias[0]).abs();
            assert!(bias_distance < bound, "class {class}: {bias_distance}");
        }
    }
}

#[test]
fn without_a_dual_only_a_penalised_bias_gives_a_certificate() {
    let (bytes, labels) = digits_of_three_classes();
    let rest: Arc<dyn Link> = Arc::new(OneVsRest { n_classes: CLASSES });
    for penalize_bias in [true, false] {
        let optimum = minimum(&rest, labels.clone(), &bytes, &config(penalize_bias), 1);
        assert_eq!(optimum.certificate.is_some_and(|proof| proof.holds()), penalize_bias);
        assert_eq!(optimum.certificate.is_none(), !penalize_bias);
    }
}

#[test]
fn plain_loops_and_kernels_find_the_same_minimum() {
    let (bytes, labels) = digits_of_three_classes();
    let rest: Arc<dyn Link> = Arc::new(OneVsRest { n_classes: CLASSES });
    let config = config(true);
    let by_kernels = minimum(&rest, labels.clone(), &bytes, &config, 1);
    let labels = labels.iter().map(|&label| label as u8).collect();
    let rows = Rows::of_pixels([28, 28], bytes, labels);
    let by_loops = train_by_loops(&rest, &rows, &rows, &Preprocessing::Pixels, &config, &mut ()).expect("a training");
    let distance = max_distance(&by_loops.parameters.weight, &by_kernels.parameters.weight);
    assert!(distance < 1e-6, "{distance}");
    assert!(by_loops.certificate.is_some_and(|proof| proof.holds()));
}

/// Poisson regression of counts: a user's own link.
#[derive(Debug)]
struct Poisson;

impl Link for Poisson {
    fn columns(&self) -> usize {
        1
    }

    fn target_kind(&self) -> chainrule_core::TargetKind {
        chainrule_core::TargetKind::Numbers
    }

    fn loss_and_residual(&self, z: &mut [f64], target: f64) -> f64 {
        let (logit, mean) = (z[0], z[0].exp());
        z[0] = mean - target;
        mean - target * logit
    }

    fn hessian_vector_product(&self, z: &[f64], direction: &mut [f64]) {
        direction[0] *= z[0].exp();
    }

    fn mean(&self, z: &[f64]) -> Vec<f64> {
        vec![z[0].exp()]
    }

    fn is_correct(&self, z: &[f64], target: f64) -> bool {
        z[0].exp().round() == target
    }
}

#[test]
fn poisson_regression_has_gradient_zero_at_its_minimum() {
    let bytes: Vec<u8> = (0..300u32).map(|i| (i * i * 37 % 251) as u8).collect();
    let counts: Vec<f64> = bytes.chunks_exact(3).map(|row| f64::from(row[0] / 50 + row[2] / 90)).collect();
    let rows = PackedRows::with_numeric_targets(&bytes, [1, 3], counts.clone(), 1.0 / 255.0, 0.0);
    let poisson: Arc<dyn Link> = Arc::new(Poisson);
    let config = config(true);
    let optimum = find_optimum(&poisson, &config, &rows.clone().into(), NonZero::<usize>::MIN, &mut |_, _| {
        ControlFlow::Continue(())
    });
    let Optimum { parameters, certificate, .. } = optimum.expect("a minimum");
    assert!(certificate.is_some_and(|proof| proof.holds()));
    // Compute the gradient of the cost by plain loops.
    let (mut slopes, mut bias_slope) = ([0.0; 3], 0.0);
    for (row, count) in bytes.chunks_exact(3).zip(&counts) {
        let x: Vec<f64> = row.iter().map(|&byte| f64::from(byte) / 255.0).collect();
        let z: f64 = x.iter().zip(&parameters.weight).map(|(x, w)| x * w).sum::<f64>() + parameters.bias[0];
        let residual = (z.exp() - count) / counts.len() as f64;
        slopes.iter_mut().zip(&x).for_each(|(slope, x)| *slope += residual * x);
        bias_slope += residual;
    }
    for (slope, w) in slopes.iter().chain([&bias_slope]).zip(parameters.weight.iter().chain(&parameters.bias)) {
        assert!((slope + 0.1 * w).abs() < 1e-6, "{slope} and {w}");
    }
    assert!(parameters.weight[0] > 0.1, "the most important feature has a large weight: {parameters:?}");
}

#[test]
fn a_model_of_numbers_predicts_a_mean_and_no_class() {
    let parameters = Parameters { n_features: 2, columns: 1, weight: vec![0.5, -1.0], bias: vec![0.25] };
    let predictor = Predictor::with_link(Arc::new(Poisson), parameters.clone(), Preprocessing::Raw).expect("a model");
    assert_eq!(predictor.mean(&[1.0, 0.5]).expect("a mean"), [0.25f64.exp()]);
    assert_eq!(predictor.predict(&[1.0, 0.5]), Err(RowError::NoClasses));
    let two: Arc<dyn Link> = Arc::new(OneVsRest { n_classes: 2 });
    let error = Predictor::with_link(two, parameters, Preprocessing::Raw).expect_err("an error");
    assert_eq!(error.to_string(), "this kind of model needs 2 columns of weights, and it has 1");
}

#[test]
#[should_panic(expected = "the model needs classes")]
fn a_classifier_needs_rows_with_classes() {
    let rows = PackedRows::with_numeric_targets(&[0, 1], [1, 1], vec![0.5, 1.5], 1.0, 0.0);
    let logistic: Arc<dyn Link> = Arc::new(Logistic);
    let one = NonZero::<usize>::MIN;
    let _ = find_optimum(&logistic, &config(true), &rows.into(), one, &mut |_, _| ControlFlow::Continue(()));
}
