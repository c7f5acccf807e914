//! Trainings on tables by the fused kernels, compared with plain loops.

mod on_tables;

use std::fmt::Write;
use std::num::NonZero;

use chainrule_core::{ClassWeights, ModelKind, Parameters, Precision, Preprocessing, Solver, TrainConfig};
use chainrule_data::{RowBuffer, Rows};
use chainrule_solve::{Ending, FusedRows, Predictions, Predictor, Trained, train_by_loops, train_fused};
use on_tables::{config, rows_of, rows_within};

/// Returns irregular numbers from -1 to 1.
fn noise(i: usize, column: usize) -> f64 {
    ((i * 7919 + column * 104_729) as f64 * 0.618_034).sin()
}

/// A table of n rows with numbers that depend on each other, missing values, and two categories.
fn table(n: usize, n_classes: usize) -> Rows {
    rows_of(&text(n, n_classes))
}

fn text(n: usize, n_classes: usize) -> String {
    let mut text = "a,b,seconds,tiny,huge,c,city,size,y\n".to_owned();
    for i in 0..n {
        let [a, b, c] = [0, 1, 2].map(|column| noise(i, column));
        let b = if i % 11 == 3 { String::new() } else { (a + 0.05 * b).to_string() };
        let seconds = 1_700_000_000.0 + ((i * 31) % 1000) as f64 / 7.0;
        let city = ["Rome", "Oslo", "Lima", "Bonn", "Cork"][i * i % 5];
        let size = if i % 7 == 2 { "" } else { ["S", "M", "L"][i % 3] };
        let y = ((1.5 + a + 0.5 * c + 0.3 * noise(i, 5)) * n_classes as f64 / 3.0) as usize;
        let (tiny, huge) = (1e-170 * noise(i, 6), 1e28 * noise(i, 7));
        writeln!(text, "{a},{b},{seconds},{tiny:e},{huge:e},{c},{city},{size},k{}", y.min(n_classes - 1))
            .expect("a string");
    }
    text
}

fn by_loops(rows: &Rows, config: &TrainConfig, preprocessing: &Preprocessing, k: usize) -> Trained {
    let link = config.model().kind.link(k);
    train_by_loops(&link, rows, rows, preprocessing, config, &mut ()).expect("a training")
}

fn by_kernels(rows: &Rows, config: &TrainConfig, preprocessing: &Preprocessing, k: usize, threads: usize) -> Trained {
    let (precision, solver) = (config.descent().precision, config.descent().solver);
    let rows = FusedRows::for_solver(rows.clone(), preprocessing, precision, solver).expect("rows");
    let (link, threads) = (config.model().kind.link(k), NonZero::new(threads).expect("a thread"));
    train_fused(&link, &rows, &rows, config, threads, &mut ()).expect("a training")
}

fn max_distance(a: &Trained, b: &Trained) -> f64 {
    let numbers = |trained: &Trained| [&trained.parameters.weight[..], &trained.parameters.bias].concat();
    numbers(a).iter().zip(numbers(b)).fold(0.0, |max: f64, (a, b)| max.max((a - b).abs()))
}

#[test]
fn steps_on_tables_are_those_of_plain_loops() {
    for (kind, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 3), (ModelKind::Softmax, 8)] {
        let rows = table(500, k);
        let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
        let balanced = Some(ClassWeights::Balanced);
        let cases =
            [(None, Precision::F64, 1e-12), (balanced.clone(), Precision::F64, 1e-12), (None, Precision::F32, 1e-5)];
        for (class_weights, precision, bound) in cases {
            let config = config(kind, |settings| {
                settings.objective.class_weights.clone_from(&class_weights);
                settings.descent.precision = precision;
            });
            let loops = by_loops(&rows, &config, &standardized, k);
            for threads in [1, 3] {
                let kernels = by_kernels(&rows, &config, &standardized, k, threads);
                let case = format!("{kind:?}, {k} classes, {class_weights:?}, {precision:?}, {threads} threads");
                assert!(max_distance(&loops, &kernels) < bound, "{case}: {}", max_distance(&loops, &kernels));
                let [a, b] = [&loops, &kernels].map(|trained| trained.final_metrics);
                assert!((a.train_loss / b.train_loss - 1.0).abs() < 10.0 * bound, "{case}: {a:?} {b:?}");
                assert_eq!(a.train_accuracy, b.train_accuracy, "{case}");
                assert_eq!(loops.class_weights, kernels.class_weights, "{case}");
            }
        }
    }
}

#[test]
fn the_minimum_on_a_table_is_certified_in_few_passes() {
    for (kind, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 4)] {
        // A long table is searched on a sample first.
        for n in [2000, 80_000] {
            let rows = table(n, k);
            let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
            for (class_weights, precision) in
                [(None, Precision::F64), (None, Precision::F32), (Some(ClassWeights::Balanced), Precision::F64)]
            {
                let config = config(kind, |settings| {
                    settings.descent.solver = Solver::Lbfgs;
                    settings.descent.precision = precision;
                    settings.objective.class_weights.clone_from(&class_weights);
                });
                let kernels = by_kernels(&rows, &config, &standardized, k, 2);
                let case = format!("{kind:?}, {k} classes, {n} rows, {precision:?}, {class_weights:?}");
                let certificate = kernels.certificate.expect("a certificate");
                assert!(certificate.holds() && kernels.ending == Ending::Converged, "{case}: {certificate:?}");
                assert!((kernels.history.train_loss[0] - (k as f64).ln()).abs() < 0.7, "{case}");
                if n == 2000 {
                    let loops = by_loops(&rows, &config, &standardized, k).certificate.expect("a certificate");
                    // Plain loops do not whiten the features.
                    let ratio = certificate.gradients as f64 / loops.gradients as f64;
                    assert!(ratio < 0.9, "{case}: {ratio}");
                    let difference = (loops.objective - certificate.objective).abs();
                    assert!(difference < 2e-6, "{case}: {loops:?} {certificate:?}");
                }
            }
        }
    }
}

#[test]
fn rows_of_a_table_have_the_predictions_of_their_features() {
    for (kind, k, columns) in [(ModelKind::Logistic, 2, 1), (ModelKind::Softmax, 3, 3)] {
        let rows = table(700, k);
        let d = rows.n_features();
        for standardize in [true, false] {
            let preprocessing = if standardize {
                Preprocessing::Standardized(rows.moments().expect("moments"))
            } else {
                Preprocessing::Raw
            };
            // Some columns are as small as 1e-170, others as large as 1e28.
            let scale = |j: usize| if standardize { 1.0 } else { 1.0 / rows_scale(&rows, j) };
            let weight = (0..d * columns).map(|i| noise(i, 8) * scale(i / columns)).collect();
            let parameters = Parameters { n_features: d, columns, weight, bias: vec![0.5; columns] };
            let predictor = Predictor::new(kind, parameters, preprocessing).expect("a model");
            let (mut of_rows, mut predictions) = (predictor.of_rows(&rows).expect("rows"), Predictions::default());
            let mut buffer = RowBuffer::default();
            for range in [0..700, 3..150, 699..700, 5..5] {
                of_rows.predict(range.clone(), &mut predictions).expect("predictions");
                assert_eq!(predictions.len(), range.len());
                for (row, prediction) in range.zip(predictions.iter()) {
                    let expected = predictor.predict(rows.row(row, &mut buffer).expect("a row")).expect("a prediction");
                    for (found, expected) in prediction.logits.iter().zip(&expected.logits) {
                        assert!((found - expected).abs() < 1e-12, "{kind:?}, row {row}: {found}, not {expected}");
                    }
                    assert_eq!(prediction.class, expected.class);
                }
            }
        }
    }
}

fn rows_scale(rows: &Rows, j: usize) -> f64 {
    let mut buffer = RowBuffer::default();
    (0..rows.len()).fold(1e-200, |largest, row| rows.row(row, &mut buffer).expect("a row")[j].abs().max(largest))
}

/// A table that does not fit in memory gives the same model: the same bits where each step reads
/// its own rows, and the same minimum where sums over all rows are added chunk by chunk.
#[test]
fn rows_in_a_file_give_the_same_model() {
    for (kind, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 3)] {
        // Enough rows that L-BFGS searches on a sample first.
        let text = text(40_005, k);
        let (in_memory, in_file) = (rows_of(&text), rows_within(&text, 300_000));
        let standardized = Preprocessing::Standardized(in_memory.moments().expect("moments"));
        assert_eq!(in_file.moments().expect("moments"), in_memory.moments().expect("moments"));
        let weights: Vec<f64> = (0..in_file.len()).map(|row| (row * 5 % 7) as f64).collect();
        for (solver, precision, l2) in [
            (Solver::Sgd, Precision::F64, 0.001),
            (Solver::Sgd, Precision::F32, 0.001),
            (Solver::Lbfgs, Precision::F64, 0.001),
            (Solver::Lbfgs, Precision::F32, 0.001),
            (Solver::Newton, Precision::F64, 1e-5),
        ] {
            let config = config(kind, |settings| {
                settings.objective.l2 = l2;
                settings.objective.class_weights = (l2 == 0.001).then_some(ClassWeights::Balanced);
                settings.descent.solver = solver;
                settings.descent.precision = precision;
                if precision == Precision::F64 {
                    settings.optimum.tolerance = 1e-10;
                }
            });
            for threads in [1, 2] {
                let have_weights = precision == Precision::F64 && l2 > 0.0;
                let [ours, theirs] = [&in_file, &in_memory].map(|rows| {
                    let weighted = have_weights.then(|| rows.clone().with_weights(weights.clone()).expect("weights"));
                    by_kernels(&weighted.unwrap_or(rows.clone()), &config, &standardized, k, threads)
                });
                let case = format!("{kind:?}, {solver:?}, {precision:?}, {threads} threads");
                let distance = max_distance(&ours, &theirs);
                let [a, b] = [&ours, &theirs].map(|trained| trained.final_metrics);
                assert_eq!(a.train_accuracy, b.train_accuracy, "{case}");
                let bound = if precision == Precision::F64 { 1e-6 } else { 1e-3 };
                assert!((a.train_loss / b.train_loss - 1.0).abs() < bound, "{case}: {a:?} {b:?}");
                if solver == Solver::Sgd {
                    assert_eq!(distance, 0.0, "{case}");
                    continue;
                }
                assert_eq!(ours.ending, theirs.ending, "{case}");
                assert_eq!(ours.ending, Ending::Converged, "{case}");
                assert!(distance < if precision == Precision::F64 { 1e-4 } else { 1e-2 }, "{case}: {distance}");
            }
        }
    }
}
