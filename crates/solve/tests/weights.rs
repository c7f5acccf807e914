//! Weights of rows: a row of weight w counts as w rows, in every solver and for all features.

mod on_tables;

use std::fmt::Write;
use std::num::NonZero;
use std::ops::ControlFlow;

use chainrule_core::{
    Class, ClassWeights, DataKind, ModelKind, Parameters, Precision, Preprocessing, Schema, SearchEnd, Solver,
    Standardization, TrainConfig,
};
use chainrule_data::table::{Columns, Table};
use chainrule_data::{DataError, RecipeOptions, RowBuffer, Rows};
use chainrule_solve::{
    FusedRows, Optimum, Predictor, TrainError, Trained, TrainingStatistics, constant_model, find_optimum,
    further_decrease, train_by_loops, train_fused,
};
use on_tables::{config, rows_of};
use serde_json::Value;

/// Returns pseudo-random numbers from -1 to 1.
fn noise(i: usize, j: usize) -> f64 {
    let mut x = ((i * 64 + j + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 29)) as f64 / 2f64.powi(63) - 1.0
}

/// The kinds of features of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Numbers,
    Categories,
    Sparse,
}

/// Returns n rows whose classes overlap.
fn rows(kind: Kind, n: usize, k: usize) -> Rows {
    let label = |i: usize| {
        let score = noise(i, 0) + 0.5 * noise(i, 1) + 1.2 * noise(i, 9);
        ((score + 2.0) * k as f64 / 4.0).clamp(0.0, k as f64 - 1.0) as usize
    };
    match kind {
        Kind::Sparse => {
            let mut text = String::new();
            for i in 0..n {
                write!(text, "{}", label(i)).expect("a string");
                for j in (0..12).filter(|j| (i * 31 + j * j * 17 + i * j).is_multiple_of(j % 4 + 2)) {
                    write!(text, " {}:{}", j + 1, 1.0 + noise(i, j)).expect("a string");
                }
                text.push('\n');
            }
            let columns = Columns { label: Some("label"), ..Columns::default() };
            let table = Table::read(text.as_bytes(), columns, 1 << 26).expect("a table");
            let labels = (0..n).map(|i| label(i) as u16).collect::<Vec<_>>();
            let recipe = table.learn_recipe(&RecipeOptions::default()).expect("a recipe");
            table.encode(&recipe).expect("its own recipe").rows.with_labels(&labels)
        }
        Kind::Numbers | Kind::Categories => {
            let mut text = "a,b,c,y\n".to_owned();
            for i in 0..n {
                let [a, b, c] = [0, 1, 2].map(|j| noise(i, j));
                let place = ["Rome", "Oslo", "Lima", "Bonn", "Cork"][(2.5 * (c + 1.0)) as usize];
                let size = ["S", "M", "L"][(1.5 * (b + 1.0)) as usize];
                match kind {
                    Kind::Numbers => writeln!(text, "{a},{},{},k{}", 3.0 + b, 0.1 * c, label(i)),
                    _ => writeln!(text, "{a},{place},{size},k{}", label(i)),
                }
                .expect("a string");
            }
            rows_of(&text)
        }
    }
}

/// Returns whole weights of n rows, from 0 to 3.
fn whole_weights(n: usize) -> Vec<usize> {
    (0..n).map(|i| (i * 7 + i / 5) % 4).collect()
}

/// Returns the rows with these weights, and the rows written as often as their weights say.
fn weighted_and_repeated(rows: &Rows, weights: &[usize]) -> [Rows; 2] {
    let repeated: Vec<usize> = weights.iter().enumerate().flat_map(|(i, &w)| std::iter::repeat_n(i, w)).collect();
    let weights = weights.iter().map(|&w| w as f64).collect();
    [rows.clone().with_weights(weights).expect("weights"), rows.select(&repeated)]
}

/// Returns the minimum, and the bound at the start.
fn minimum(rows: &Rows, preprocessing: &Preprocessing, config: &TrainConfig, k: usize) -> (Optimum, f64) {
    let (link, solver) = (config.model().kind.link(k), config.descent().solver);
    let packed = FusedRows::for_solver(rows.clone(), preprocessing, Precision::F64, solver).expect("rows");
    let (two, mut trace) = (NonZero::new(2).expect("two"), Vec::new());
    let optimum = find_optimum(&link, config, &packed, two, &mut |iterate, _| {
        trace.push((iterate.objective, iterate.bound));
        ControlFlow::Continue(())
    });
    let optimum = optimum.expect("a minimum");
    // The bound holds on the way.
    let lowest = trace.iter().fold(f64::INFINITY, |lowest, (objective, _)| lowest.min(*objective));
    for (objective, bound) in &trace {
        assert!(objective - lowest <= bound + 1e-12, "{solver:?}: {trace:?}");
    }
    (optimum, trace[0].1)
}

/// Returns the largest difference of the models' probabilities of these rows.
fn distance(kind: ModelKind, rows: &Rows, preprocessing: &Preprocessing, models: [&Parameters; 2]) -> f64 {
    let [first, second] =
        models.map(|own| Predictor::new(kind, own.clone(), preprocessing.clone()).expect("finite weights"));
    let (mut buffer, mut largest) = (RowBuffer::default(), 0.0f64);
    for row in 0..rows.len() {
        let raw = rows.row(row, &mut buffer).expect("rows in memory");
        let [a, b] = [&first, &second].map(|model| model.predict(raw).expect("a row").probabilities);
        a.iter().zip(b).for_each(|(a, b)| largest = largest.max((a - b).abs()));
    }
    largest
}

#[test]
fn a_row_of_weight_w_has_the_minimum_of_w_rows() {
    for features in [Kind::Numbers, Kind::Categories, Kind::Sparse] {
        for (model, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 3)] {
            let all = rows(features, 600, k);
            let [weighted, repeated] = weighted_and_repeated(&all, &whole_weights(600));
            let link = model.link(k);
            for (solver, l2, is_balanced) in
                [(Solver::Newton, 0.0, false), (Solver::Lbfgs, 0.01, false), (Solver::Lbfgs, 0.01, true)]
            {
                let case = format!("{features:?}, {model:?}, {solver:?}, balanced: {is_balanced}");
                if features == Kind::Sparse && solver == Solver::Newton {
                    continue;
                }
                let config = config(model, |settings| {
                    (settings.descent.solver, settings.objective.l2) = (solver, l2);
                    settings.optimum.tolerance = 1e-12;
                    settings.objective.class_weights = is_balanced.then_some(ClassWeights::Balanced);
                });
                let [(own, at_start), (expected, expected_at_start)] =
                    [&weighted, &repeated].map(|rows| minimum(rows, &Preprocessing::Raw, &config, k));
                // Without a penalty, other levels may be fixed.
                let is_same = l2 == 0.0 || (at_start / expected_at_start - 1.0).abs() < 1e-11;
                assert!(is_same, "{case}: {at_start}, not {expected_at_start}");
                let [proof, other] = [&own, &expected].map(|optimum| optimum.certificate.expect("a certificate"));
                assert!(proof.holds() && other.holds(), "{case}: {proof:?} {other:?}");
                assert!((proof.objective - other.objective).abs() < 1e-11, "{case}: {proof:?} {other:?}");
                let models = [&own.parameters, &expected.parameters];
                let far = distance(model, &all, &Preprocessing::Raw, models);
                assert!(far < 3e-5, "{case}: {far}");
                // J falls no further from there.
                let decrease = |rows: &Rows| {
                    let class_weights = match is_balanced {
                        true => Some(balanced(rows, k)),
                        false => None,
                    };
                    let rows = FusedRows::new(rows.clone(), &Preprocessing::Raw).expect("rows in memory");
                    let (one, weights) = (NonZero::<usize>::MIN, class_weights.as_deref());
                    let decrease = further_decrease(&link, &config, &rows, one, weights, models[0], &mut || false);
                    decrease.expect("rows in memory").expect("it is not stopped")
                };
                for decrease in [decrease(&weighted), decrease(&repeated)] {
                    assert!((decrease.before - proof.objective).abs() < 1e-11, "{case}: {decrease:?} {proof:?}");
                    assert!(decrease.before - decrease.after < 1e-11, "{case}: {decrease:?}");
                }
                let [own, expected] =
                    [&weighted, &repeated].map(|rows| constant_model([rows, rows], k, None).expect("weights"));
                assert!((own.train_loss - expected.train_loss).abs() < 1e-14, "{case}: {own:?} {expected:?}");
            }
        }
    }
}

/// Returns `n / (k n_c)`.
fn balanced(rows: &Rows, k: usize) -> Vec<f64> {
    let mut sums = vec![0.0; k];
    rows.weighted_labels().expect("weights").for_each(|(label, weight)| sums[usize::from(label)] += weight);
    sums.iter().map(|sum| sums.iter().sum::<f64>() / (k as f64 * sum)).collect()
}

fn by_kernels(rows: [&Rows; 2], config: &TrainConfig, k: usize) -> Trained {
    let (precision, solver) = (config.descent().precision, config.descent().solver);
    let [train, validation] = rows.map(|rows| {
        FusedRows::for_solver(rows.clone(), &Preprocessing::Raw, precision, solver).expect("rows in memory")
    });
    let one = NonZero::<usize>::MIN;
    train_fused(&config.model().kind.link(k), &train, &validation, config, one, &mut ()).expect("a training")
}

fn by_loops(rows: [&Rows; 2], config: &TrainConfig, k: usize) -> Trained {
    let [train, validation] = rows;
    let link = config.model().kind.link(k);
    train_by_loops(&link, train, validation, &Preprocessing::Raw, config, &mut ()).expect("a training")
}

#[test]
fn kernels_and_plain_loops_weigh_rows_alike_and_equal_weights_change_no_bit() {
    for features in [Kind::Numbers, Kind::Categories, Kind::Sparse] {
        let all = rows(features, 400, 3);
        let weights: Vec<f64> = (0..400).map(|i| 1.5 + noise(i, 5)).collect();
        let [train, validation] = [0..300, 300..400].map(|range| all.select(&range.collect::<Vec<_>>()));
        let weighted = [&train, &validation]
            .map(|rows| rows.clone().with_weights(weights[..rows.len()].to_vec()).expect("weights"));
        let equal =
            [&train, &validation].map(|rows| rows.clone().with_weights(vec![0.3; rows.len()]).expect("weights"));
        for solver in [Solver::Sgd, Solver::Lbfgs] {
            let case = format!("{features:?}, {solver:?}");
            let config = config(ModelKind::Softmax, |settings| {
                settings.descent.solver = solver;
                settings.objective.class_weights = Some(ClassWeights::Balanced);
            });
            let [kernels, loops] = [by_kernels, by_loops].map(|train| train(weighted.each_ref(), &config, 3));
            let losses = |trained: &Trained| {
                let last = trained.final_metrics;
                let evaluations = trained.history.evaluations.iter().map(|evaluation| evaluation.validation_loss);
                // Two searches reach one minimum by different steps.
                let of_steps = evaluations.chain(trained.history.train_loss.iter().copied());
                let of_steps = of_steps.filter(|_| solver == Solver::Sgd);
                [last.train_loss, last.validation_loss].into_iter().chain(of_steps).collect::<Vec<f64>>()
            };
            let bound = if solver == Solver::Sgd { 1e-12 } else { 1e-5 };
            for (own, other) in losses(&kernels).iter().zip(losses(&loops)) {
                assert!((own / other - 1.0).abs() < bound, "{case}: {own}, not {other}");
            }
            for train in [by_kernels, by_loops] {
                let [own, plain] = [equal.each_ref(), [&train_rows(&equal[0]), &train_rows(&equal[1])]]
                    .map(|rows| train(rows, &config, 3));
                assert_eq!(own.parameters, plain.parameters, "{case}");
                assert_eq!(own.final_metrics, plain.final_metrics, "{case}");
            }
        }
    }
}

/// Returns the rows without weights.
fn train_rows(rows: &Rows) -> Rows {
    rows.clone().without_weights()
}

#[test]
fn the_minimum_with_weights_is_that_of_scikit_learn() {
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("a fixture");
    let table = read(include_str!("fixtures/sklearn_table.json"));
    let fixture = read(include_str!("fixtures/sklearn_weights.json"));
    let list = |value: &Value| -> Vec<f64> { serde_json::from_value(value.clone()).expect("numbers") };
    let matrix = |value: &Value| -> Vec<Vec<f64>> { serde_json::from_value(value.clone()).expect("numbers") };
    let (values, labels, weights) = (matrix(&table["rows"]), list(&table["labels"]), list(&fixture["weights"]));
    for fit in fixture["fits"].as_array().expect("fits") {
        let classes = list(&fit["classes"]);
        let chosen: Vec<usize> = (0..labels.len()).filter(|&row| classes.contains(&labels[row])).collect();
        let label = |&row: &usize| classes.iter().position(|class| *class == labels[row]).expect("a class") as u16;
        let rows = chosen.iter().map(|&row| values[row].clone()).collect::<Vec<_>>().concat();
        let rows = Rows::of_values(values[0].len(), &rows, chosen.iter().map(label).collect());
        let rows = rows.with_weights(chosen.iter().map(|&row| weights[row]).collect()).expect("weights");
        let k = classes.len();
        let model = if k == 2 { ModelKind::Logistic } else { ModelKind::Softmax };
        for solver in [Solver::Newton, Solver::Lbfgs] {
            let config = config(model, |settings| {
                settings.descent.solver = solver;
                settings.objective.l2 = fixture["lambda"].as_f64().expect("a number");
                settings.objective.class_weights = (fit["balanced"] == true).then_some(ClassWeights::Balanced);
                (settings.optimum.tolerance, settings.data.standardize) = (1e-13, true);
            });
            let preprocessing = Preprocessing::Standardized(rows.moments().expect("moments"));
            let (optimum, _) = minimum(&rows, &preprocessing, &config, k);
            assert!(optimum.certificate.is_some_and(|proof| proof.holds()), "{solver:?}, {fit}");
            let expected = matrix(&fit["weight"]).concat();
            for (own, expected) in optimum.parameters.weight.iter().zip(&expected) {
                assert!((own - expected).abs() < 1e-6, "{solver:?}, {fit}: {own}, not {expected}");
            }
            // Its biases of softmax sum to 0.
            let mean = |bias: &[f64]| if k == 2 { 0.0 } else { bias.iter().sum::<f64>() / k as f64 };
            let (own, expected) = (&optimum.parameters.bias, list(&fit["bias"]));
            for (b, expected_b) in own.iter().zip(&expected) {
                let difference = (b - mean(own)) - (expected_b - mean(&expected));
                assert!(difference.abs() < 1e-6, "{solver:?}, {fit}: {difference}");
            }
            let unweighted = config.with_class_weights(vec![1.0; k]);
            let packed = FusedRows::new(rows.clone(), &preprocessing).expect("rows in memory");
            let (link, one, at) = (model.link(k), NonZero::<usize>::MIN, &optimum.parameters);
            let decrease = further_decrease(&link, &unweighted, &packed, one, None, at, &mut || false);
            let penalty =
                0.5 * unweighted.objective().l2 * optimum.parameters.weight.iter().map(|w| w * w).sum::<f64>();
            let loss = decrease.expect("rows in memory").expect("it is not stopped").before - penalty;
            assert!((loss - fit["loss"].as_f64().expect("a loss")).abs() < 1e-7, "{solver:?}, {fit}: {loss}");
        }
    }
}

#[test]
fn rows_of_weight_0_do_not_hide_separated_classes() {
    let n = 80;
    let rows = rows_of(&(0..n).fold("a,b,y\n".to_owned(), |text, i| {
        // Every eighth row is on the wrong side.
        let a = noise(i, 0) + if (i % 2 == 1) == (i % 8 != 3) { 1.1 } else { -1.1 };
        text + &format!("{a},{},k{}\n", noise(i, 1), i % 2)
    }));
    let newton = config(ModelKind::Logistic, |settings| {
        (settings.descent.solver, settings.objective.l2) = (Solver::Newton, 0.0);
    });
    for (wrong, expected) in [(0.0, SearchEnd::Separated), (1e-3, SearchEnd::Converged)] {
        let weights = (0..n).map(|i| if i % 8 == 3 { wrong } else { 0.5 + (i % 3) as f64 }).collect();
        let weighted = rows.clone().with_weights(weights).expect("weights");
        let (optimum, _) = minimum(&weighted, &Preprocessing::Raw, &newton, 2);
        assert_eq!(optimum.ended, expected, "{wrong}: {:?}", optimum.certificate);
    }
}

#[test]
fn weights_that_teach_nothing_are_errors() {
    let rows = rows(Kind::Numbers, 12, 3);
    let error = rows.clone().with_weights(vec![0.0; 12]).expect_err("no weight");
    assert!(matches!(error, DataError::ZeroWeights { n: 12 }), "{error}");
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        let mut weights = vec![1.0; 12];
        weights[7] = wrong;
        let error = rows.clone().with_weights(weights).expect_err("a wrong weight").to_string();
        assert!(error.starts_with("row 7: expected a weight"), "{error}");
    }
    // Weights near the smallest number have a mean of 1, too.
    let tiny = (0..12).map(f64::from_bits).collect();
    let tiny = rows.clone().with_weights(tiny).expect("weights");
    let mean = tiny.weights().expect("weights").expect("different weights").iter().sum::<f64>() / 12.0;
    assert!((mean - 1.0).abs() < 1e-15, "{mean}");
    let schema = Schema {
        kind: DataKind::Table,
        image_size: [1, 3],
        features: Vec::new(),
        recipe: None,
        classes: ["k0", "k1", "k2"].map(|name| Class::Name(name.to_owned())).to_vec(),
    };
    let config = config(ModelKind::Softmax, |settings| settings.data.standardize = true);
    let weights = |class: u16| rows.labels().into_iter().map(|label| f64::from(u8::from(label != class))).collect();
    let without = rows.clone().with_weights(weights(1)).expect("weights");
    let error = TrainingStatistics::of(&config, &without, &schema).expect_err("a class without weight");
    assert!(matches!(&error, TrainError::WeightlessClass { class } if class == "k1"), "{error}");
    // What is learnt from the data besides the model does not depend on weights.
    let weighted = rows.clone().with_weights((1..=12).map(f64::from).collect()).expect("weights");
    let statistics = TrainingStatistics::of(&config, &weighted, &schema).expect("statistics");
    let Standardization { mean, .. } = rows.moments().expect("moments");
    assert_eq!(statistics.preprocessing.standardization().expect("moments").mean, mean);
}
