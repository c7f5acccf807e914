//! Trainings by plain loops, compared with the fused kernels, with repeated rows, and with a table
//! whose minimum is known.

use std::num::NonZero;

use chainrule_core::{ModelKind, Parameters, Precision, Preprocessing, Settings, Solver, TrainConfig};
use chainrule_data::digits::draw_both;
use chainrule_data::{Counts, Rows};
use chainrule_solve::{Ending, FusedRows, TrainError, Trained, train_by_loops, train_fused};

/// Returns digits: two classes for the logistic model, all for softmax.
fn digits(kind: ModelKind) -> [Rows; 2] {
    let counts = Counts { train: 300, validation: 100 };
    draw_both(3, counts).map(|images| {
        let n_classes = if kind == ModelKind::Logistic { 2 } else { 10 };
        Rows::from(images).with_classes(&(0..n_classes).map(Some).collect::<Vec<_>>())
    })
}

fn config(kind: ModelKind, change: impl FnOnce(&mut Settings)) -> TrainConfig {
    let mut settings = Settings::of(kind);
    if kind == ModelKind::Logistic {
        settings.data.classes = Some(vec![1.into(), 0.into()]);
    }
    settings.objective.l2 = 0.01;
    settings.descent.epochs = 3;
    settings.descent.batch_size = 32;
    settings.descent.learning_rate = 0.005;
    change(&mut settings);
    TrainConfig::try_from(settings).expect("a valid config")
}

fn fit_by_loops(config: &TrainConfig, [train, validation]: [Rows; 2]) -> Trained {
    let link = config.model().kind.link(10);
    train_by_loops(&link, &train, &validation, &Preprocessing::Pixels, config, &mut ()).expect("a training")
}

fn fit_by_kernels(config: &TrainConfig, rows: [Rows; 2]) -> Trained {
    let [train, validation] = rows.map(|rows| FusedRows::new(rows, &Preprocessing::Pixels).expect("bytes"));
    let link = config.model().kind.link(10);
    train_fused(&link, &train, &validation, config, NonZero::<usize>::MIN, &mut ()).expect("a training")
}

fn values(parameters: &Parameters) -> impl Iterator<Item = f64> {
    parameters.weight.iter().chain(&parameters.bias).copied()
}

fn max_distance(a: &Parameters, b: &Parameters) -> f64 {
    values(a).zip(values(b)).fold(0.0, |max: f64, (a, b)| max.max((a - b).abs()))
}

#[test]
fn loops_and_kernels_agree() {
    for kind in [ModelKind::Softmax, ModelKind::Logistic] {
        for penalize_bias in [false, true] {
            let sgd = config(kind, |settings| {
                settings.descent.precision = Precision::F64;
                settings.objective.penalize_bias = penalize_bias;
            });
            let (loops, kernels) = (fit_by_loops(&sgd, digits(kind)), fit_by_kernels(&sgd, digits(kind)));
            assert_eq!((loops.steps, loops.ending), (kernels.steps, Ending::Completed));
            let distance = max_distance(&loops.parameters, &kernels.parameters);
            assert!(distance < 3e-12, "{kind:?}: {distance}");
            for (a, b) in loops.history.train_loss.iter().zip(&kernels.history.train_loss) {
                assert!((a - b).abs() <= 1e-11 * b.max(1.0), "{kind:?}: {a} and {b}");
            }
            let [a, b] = [loops, kernels].map(|trained| trained.final_metrics);
            assert!((a.validation_loss - b.validation_loss).abs() < 1e-11, "{a:?} {b:?}");
            assert_eq!([a.train_accuracy, a.validation_accuracy], [b.train_accuracy, b.validation_accuracy]);

            let optimum = config(kind, |settings| {
                settings.descent.precision = Precision::F64;
                settings.descent.solver = Solver::Lbfgs;
                settings.objective.penalize_bias = penalize_bias;
                settings.optimum.tolerance = 1e-9;
            });
            let [loops, kernels] = [fit_by_loops(&optimum, digits(kind)), fit_by_kernels(&optimum, digits(kind))];
            let [a, b] = [&loops, &kernels].map(|trained| trained.certificate.expect("a certificate"));
            assert!(a.holds() && b.holds() && (a.objective - b.objective).abs() < 1e-9, "{a:?} {b:?}");
        }
    }
}

#[test]
fn f32_parameters_are_rounded_and_close_to_f64() {
    let kind = ModelKind::Softmax;
    let [single, double] = [Precision::F32, Precision::F64].map(|precision| {
        fit_by_loops(&config(kind, |settings| settings.descent.precision = precision), digits(kind)).parameters
    });
    assert!(values(&single).all(|w| f64::from(w as f32) == w));
    assert!(values(&double).any(|w| f64::from(w as f32) != w));
    let distance = max_distance(&single, &double);
    assert!(distance > 0.0 && distance < 1e-5, "{distance}");
    let optimum = config(kind, |settings| settings.descent.solver = Solver::Lbfgs);
    assert!(fit_by_loops(&optimum, digits(kind)).certificate.expect("a certificate").holds());
}

/// Returns numbers in three columns, with each row of class 0 `times` times.
fn table(times: usize) -> Rows {
    let rows: Vec<([f64; 3], u16)> = (0..60)
        .flat_map(|i| {
            let (class, x) = ((i % 3 == 0) as u16, f64::from(i));
            let row = ([x.sin() + f64::from(class), (2.0 * x).cos(), x % 7.0], class);
            std::iter::repeat_n(row, if class == 0 { times } else { 1 })
        })
        .collect();
    let values: Vec<f64> = rows.iter().flat_map(|(row, _)| *row).collect();
    Rows::of_values(3, &values, rows.iter().map(|(_, label)| *label).collect())
}

#[test]
fn weight_2_equals_repeating_a_row() {
    for kind in [ModelKind::Logistic, ModelKind::Softmax] {
        let train = |rows: Rows, weights: Option<Vec<f64>>| {
            let config = config(kind, |settings| {
                settings.descent.precision = Precision::F64;
                settings.descent.solver = Solver::Lbfgs;
                settings.optimum.tolerance = 1e-12;
            });
            let config = match weights {
                Some(weights) => config.with_class_weights(weights),
                None => config,
            };
            let raw = Preprocessing::Raw;
            train_by_loops(&kind.link(2), &rows, &rows, &raw, &config, &mut ()).expect("a training")
        };
        // The weighted table has 60 rows and the table with repeated rows has 100, but the penalty
        // is the same. This factor makes the two objectives equal.
        let scale = 60.0 / 100.0;
        let [weighted, twice] = [train(table(1), Some(vec![2.0 * scale, scale])), train(table(2), None)];
        let distance = max_distance(&weighted.parameters, &twice.parameters);
        assert!(distance < 1e-4, "{kind:?}: {distance}");
        assert_eq!(weighted.class_weights, Some(vec![2.0 * scale, scale]));
        let [a, b] = [&weighted, &twice].map(|trained| trained.final_metrics.train_loss);
        assert!((a - b).abs() < 1e-6, "{kind:?}: {a} and {b}");
    }
}

#[test]
fn plain_loops_support_only_plain_sgd() {
    let adam = config(ModelKind::Softmax, |settings| settings.descent.optimizer = chainrule_core::Optimizer::Adam);
    let (rows, raw) = (table(1), Preprocessing::Raw);
    let result = train_by_loops(&ModelKind::Softmax.link(2), &rows, &rows, &raw, &adam, &mut ());
    assert!(matches!(result, Err(TrainError::UnsupportedOptimizer)), "{:?}", result.map(|trained| trained.ending));
}
