//! Trainings by plain loops, compared with the fused kernels, with repeated rows, and with a table
//! whose minimum is known.

use std::num::NonZero;

use chainrule_core::{ModelKind, Parameters, Precision, Preprocessing, Settings, Solver, TrainConfig};
use chainrule_data::digits::draw_both;
use chainrule_data::{Counts, Rows};
use chainrule_solve::{Ending, FusedRows, TrainError, Trained, train_by_loops, train_fused};

/// Returns digits of the first two classes or of all.
fn digits(kind: ModelKind) -> [Rows; 2] {
    let counts = Counts { train: 300, validation: 100 };
    draw_both(3, counts).map(|images| {
        let n_classes = if kind == ModelKind::Logistic { 2 } else { 10 };
        Rows::from(images).with_classes(&(0..n_classes).map(Some).collect::<Vec<_>>())
    })
}

fn config(kind: ModelKind, set: impl FnOnce(&mut Settings)) -> TrainConfig {
    let mut settings = Settings::of(kind);
    if kind == ModelKind::Logistic {
        settings.data.classes = Some(vec![1.into(), 0.into()]);
    }
    settings.objective.l2 = 0.01;
    settings.descent.epochs = 3;
    settings.descent.batch_size = 32;
    settings.descent.learning_rate = 0.005;
    set(&mut settings);
    TrainConfig::try_from(settings).expect("a config that can be")
}

fn by_loops(config: &TrainConfig, [train, validation]: [Rows; 2]) -> Trained {
    let link = config.model().kind.link(10);
    train_by_loops(&link, &train, &validation, &Preprocessing::Pixels, config, &mut ()).expect("a training")
}

fn by_kernels(config: &TrainConfig, rows: [Rows; 2]) -> Trained {
    let [train, validation] = rows.map(|rows| FusedRows::new(rows, &Preprocessing::Pixels).expect("bytes"));
    let link = config.model().kind.link(10);
    train_fused(&link, &train, &validation, config, NonZero::<usize>::MIN, &mut ()).expect("a training")
}

fn all(parameters: &Parameters) -> impl Iterator<Item = f64> {
    parameters.weight.iter().chain(&parameters.bias).copied()
}

fn apart(a: &Parameters, b: &Parameters) -> f64 {
    all(a).zip(all(b)).fold(0.0, |apart: f64, (a, b)| apart.max((a - b).abs()))
}

#[test]
fn loops_and_kernels_agree() {
    for kind in [ModelKind::Softmax, ModelKind::Logistic] {
        for penalize_bias in [false, true] {
            let sgd = config(kind, |settings| {
                settings.descent.precision = Precision::F64;
                settings.objective.penalize_bias = penalize_bias;
            });
            let (loops, kernels) = (by_loops(&sgd, digits(kind)), by_kernels(&sgd, digits(kind)));
            assert_eq!((loops.steps, loops.ending), (kernels.steps, Ending::Completed));
            let distance = apart(&loops.parameters, &kernels.parameters);
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
            let [loops, kernels] = [by_loops(&optimum, digits(kind)), by_kernels(&optimum, digits(kind))];
            let [a, b] = [&loops, &kernels].map(|trained| trained.certificate.expect("a certificate"));
            assert!(a.holds() && b.holds() && (a.objective - b.objective).abs() < 1e-9, "{a:?} {b:?}");
        }
    }
}

#[test]
fn parameters_in_f32_are_f32s_and_near_those_in_f64() {
    let kind = ModelKind::Softmax;
    let [single, double] = [Precision::F32, Precision::F64].map(|precision| {
        by_loops(&config(kind, |settings| settings.descent.precision = precision), digits(kind)).parameters
    });
    assert!(all(&single).all(|w| f64::from(w as f32) == w));
    assert!(all(&double).any(|w| f64::from(w as f32) != w));
    let distance = apart(&single, &double);
    assert!(distance > 0.0 && distance < 1e-5, "{distance}");
    let optimum = config(kind, |settings| settings.descent.solver = Solver::Lbfgs);
    assert!(by_loops(&optimum, digits(kind)).certificate.expect("a certificate").holds());
}

/// Returns numbers in three columns, with each row of class 0 `times` times.
fn table(times: usize) -> Rows {
    let rows: Vec<([f64; 3], u8)> = (0..60)
        .flat_map(|i| {
            let (class, x) = ((i % 3 == 0) as u8, f64::from(i));
            let row = ([x.sin() + f64::from(class), (2.0 * x).cos(), x % 7.0], class);
            std::iter::repeat_n(row, if class == 0 { times } else { 1 })
        })
        .collect();
    let values: Vec<f64> = rows.iter().flat_map(|(row, _)| *row).collect();
    Rows::of_numbers(3, values, rows.iter().map(|(_, label)| *label).collect())
}

#[test]
fn a_row_that_weighs_two_is_a_row_twice() {
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
        // The mean is over 60 rows here and over 100 there, beside the same penalty. This factor
        // makes them equal.
        let share = 60.0 / 100.0;
        let [weighted, twice] = [train(table(1), Some(vec![2.0 * share, share])), train(table(2), None)];
        let distance = apart(&weighted.parameters, &twice.parameters);
        assert!(distance < 1e-4, "{kind:?}: {distance}");
        assert_eq!(weighted.class_weights, Some(vec![2.0 * share, share]));
        let [a, b] = [&weighted, &twice].map(|trained| trained.final_metrics.train_loss);
        assert!((a - b).abs() < 1e-6, "{kind:?}: {a} and {b}");
    }
}

#[test]
fn another_optimizer_is_refused() {
    let adam = config(ModelKind::Softmax, |settings| settings.descent.optimizer = chainrule_core::Optimizer::Adam);
    let (rows, raw) = (table(1), Preprocessing::Raw);
    let refused = train_by_loops(&ModelKind::Softmax.link(2), &rows, &rows, &raw, &adam, &mut ());
    assert!(matches!(refused, Err(TrainError::NoOptimizer)), "{:?}", refused.map(|trained| trained.ending));
}
