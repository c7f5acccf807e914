//! Trainings on sparse rows, compared with those on the same rows with all features.

use std::fmt::Write;
use std::num::NonZero;
use std::ops::ControlFlow;

use chainrule_core::{
    Class, Link, ModelKind, Parameters, Precision, Preprocessing, Recipe, Settings, Solver, Standardization,
    TrainConfig,
};
use chainrule_data::table::{Columns, Table};
use chainrule_data::{RecipeOptions, Rows};
use chainrule_solve::{
    FusedRows, Optimum, Predictions, Predictor, TrainError, Trained, TrainingStatistics, find_optimum,
    further_decrease, train_by_loops, train_fused,
};

const D: usize = 60;

/// Returns n rows of k classes as they are read from svmlight and from CSV. Some features are
/// frequent and some rare, and some rows have none.
fn rows(n: usize, k: usize) -> [Rows; 2] {
    rows_of(D, n, k, 1.0)
}

/// As [`rows`], of the first d features, and with any noise.
fn rows_of(d: usize, n: usize, k: usize, amplitude: f64) -> [Rows; 2] {
    let names: Vec<String> = (1..=d).map(|j| format!("f{j}")).collect();
    let (mut sparse, mut dense) = (String::new(), format!("{},label\n", names.join(",")));
    for i in 0..n {
        let noise = |j: usize| ((i * 7919 + j * 104_729) as f64 * 0.618_034).sin();
        let value = |j: usize| {
            let is_listed = i == j || (i * 31 + j * j * 17 + i * j).is_multiple_of(j + 2) && i % 50 != 3;
            if is_listed { [1.0, 0.25, 30.0][j % 3] * (1.0 + noise(j).abs()) } else { 0.0 }
        };
        let score = (1..=d).map(|j| value(j).min(2.0) * (j as f64).sin()).sum::<f64>() + amplitude * noise(0);
        let label = ((score + 2.0) * k as f64 / 4.0).clamp(0.0, k as f64 - 1.0) as usize;
        write!(sparse, "{label}").expect("a string");
        for j in 1..=d {
            let value = value(j);
            if value > 0.0 {
                write!(sparse, " {j}:{value}").expect("a string");
            }
            write!(dense, "{value},").expect("a string");
        }
        sparse.push('\n');
        writeln!(dense, "{label}").expect("a string");
    }
    [sparse, dense].map(|text| {
        let columns = Columns { label: Some("label"), ..Columns::default() };
        let table = Table::read(text.as_bytes(), columns, 1 << 26).expect("a table");
        let labels = (0..table.len()).filter_map(|row| table.label(row));
        let labels: Vec<u16> = labels.map(|label| label.parse().expect("a class")).collect();
        let recipe = match table.columns() {
            [_] => table.learn_recipe(&RecipeOptions::default()).expect("a recipe"),
            names => Recipe::of_numbers(names),
        };
        table.encode(&recipe).expect("its own recipe").rows.with_labels(&labels)
    })
}

fn config(kind: ModelKind, change: impl FnOnce(&mut Settings)) -> TrainConfig {
    let mut settings = Settings::of(kind);
    if kind == ModelKind::Logistic {
        settings.data.classes = Some(["0", "1"].map(|name| Class::Name(name.to_owned())).to_vec());
    }
    settings.objective.l2 = 0.01;
    settings.descent.solver = Solver::Lbfgs;
    settings.descent.precision = Precision::F64;
    settings.optimum.tolerance = 1e-10;
    change(&mut settings);
    TrainConfig::try_from(settings).expect("a valid config")
}

fn minimum(
    rows: &Rows,
    preprocessing: &Preprocessing,
    config: &TrainConfig,
    k: usize,
    threads: usize,
) -> (Optimum, f64) {
    let link = config.model().kind.link(k);
    let packed =
        FusedRows::for_solver(rows.clone(), preprocessing, config.descent().precision, config.descent().solver);
    let (threads, mut objective) = (NonZero::new(threads).expect("a thread"), f64::INFINITY);
    let optimum = find_optimum(&link, config, &packed.expect("rows"), threads, &mut |iterate, _| {
        objective = objective.min(iterate.objective);
        ControlFlow::Continue(())
    });
    (optimum.expect("a minimum"), objective)
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |largest, (a, b)| largest.max((a - b).abs()))
}

#[test]
fn sparse_rows_have_the_minimum_of_the_same_dense_rows() {
    for (kind, n, k) in [(ModelKind::Logistic, 700, 2), (ModelKind::Softmax, 431, 3), (ModelKind::Softmax, 300, 6)] {
        let [sparse, dense] = rows(n, k);
        let scale = (0..D).map(|j| 0.5 + (j % 5) as f64).collect();
        let mean = (0..D).map(|j| 0.1 * (j % 3) as f64).collect();
        for preprocessing in [Preprocessing::Raw, Preprocessing::Standardized(Standardization { mean, scale })] {
            for penalize_bias in [false, true] {
                let config = config(kind, |settings| settings.objective.penalize_bias = penalize_bias);
                let (expected, objective) = minimum(&dense, &preprocessing, &config, k, 1);
                for threads in [1, 2] {
                    let (optimum, own) = minimum(&sparse, &preprocessing, &config, k, threads);
                    let case = format!("{kind:?}, {k} classes, {preprocessing:?}, {penalize_bias}, {threads} threads");
                    assert!((own - objective).abs() < 1e-9, "{case}: {own}, not {objective}");
                    assert!(optimum.certificate.is_some_and(|proof| proof.holds()), "{case}");
                    // J is strongly convex, so a distance of 1e-10 bounds that of the weights.
                    let [own, other] = [&optimum, &expected].map(|optimum| &optimum.parameters.weight);
                    assert!(largest_difference(own, other) < 3e-4, "{case}");
                }
            }
        }
    }
}

#[test]
fn gradient_descent_on_sparse_rows_takes_the_steps_of_dense_rows() {
    let [sparse, dense] = rows(500, 3);
    let link = ModelKind::Softmax.link(3);
    for (precision, bound) in [(Precision::F64, 1e-12), (Precision::F32, 2e-4)] {
        let config = config(ModelKind::Softmax, |settings| {
            settings.descent.solver = Solver::Sgd;
            settings.descent.precision = precision;
            (settings.descent.epochs, settings.descent.batch_size) = (2, 32);
            settings.descent.learning_rate = 0.01;
        });
        let by_loops = |rows: &Rows| train_by_loops(&link, rows, rows, &Preprocessing::Raw, &config, &mut ());
        let by_kernels = |rows: &Rows| -> Result<Trained, TrainError> {
            let rows = FusedRows::for_solver(rows.clone(), &Preprocessing::Raw, precision, Solver::Sgd)?;
            train_fused(&link, &rows, &rows, &config, NonZero::<usize>::MIN, &mut ())
        };
        let expected = by_loops(&dense).expect("a training");
        for trained in [by_loops(&sparse), by_kernels(&sparse)] {
            let trained = trained.expect("a training");
            let [own, other] = [&trained, &expected].map(|trained| &trained.parameters.weight);
            assert!(largest_difference(own, other) < bound, "{precision:?}: {}", largest_difference(own, other));
        }
        let weights = [0.5, 2.0, 1.0];
        let [own, other] = [&sparse, &dense].map(|rows| {
            let (at, weights) = (Parameters::zeros(D, 3), Some(&weights[..]));
            let rows = FusedRows::new(rows.clone(), &Preprocessing::Raw).expect("rows in memory");
            let one = NonZero::<usize>::MIN;
            let decrease = further_decrease(&link, &config, &rows, one, weights, &at, &mut || false);
            decrease.expect("rows in memory").expect("it is not stopped")
        });
        assert!(
            (own.before - other.before).abs() < 1e-12 && (own.after - other.after).abs() < 1e-9,
            "{own:?} {other:?}"
        );
    }
}

#[test]
fn sparse_features_stay_0_where_they_are_0_and_become_at_most_1() {
    let [sparse, _] = rows(300, 2);
    let config = config(ModelKind::Logistic, |settings| settings.data.standardize = true);
    let schema = chainrule_core::Schema {
        kind: chainrule_core::DataKind::Table,
        image_size: [1, D],
        features: Vec::new(),
        recipe: None,
        classes: ["0", "1"].map(|name| Class::Name(name.to_owned())).to_vec(),
    };
    let statistics = TrainingStatistics::of(&config, &sparse, &schema).expect("statistics");
    let Preprocessing::Standardized(Standardization { mean, scale }) = &statistics.preprocessing else {
        panic!("{statistics:?}")
    };
    let largest = sparse.max_abs_of_sparse().expect("sparse rows");
    assert!(mean.iter().all(|&mean| mean == 0.0));
    assert!(scale.iter().zip(&largest).all(|(&scale, &largest)| scale == largest.max(1.0)), "{scale:?}");
    assert!(largest.iter().any(|&largest| largest < 1.0) && largest.iter().any(|&largest| largest > 30.0));
}

#[test]
fn predictions_of_sparse_rows_are_those_of_dense_rows() {
    for (kind, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 5)] {
        let [sparse, dense] = rows(150, k);
        let columns = kind.link(k).columns();
        let weight = (0..D * columns).map(|i| (i as f64 * 0.7).sin()).collect();
        let bias = (0..columns).map(|i| i as f64 - 1.0).collect();
        let parameters = Parameters { n_features: D, columns, weight, bias };
        let [mean, scale] = [0.1, 1.5].map(|x| (0..D).map(|j| x * (1 + j % 4) as f64).collect());
        for preprocessing in [Preprocessing::Raw, Preprocessing::Standardized(Standardization { mean, scale })] {
            let predictor = Predictor::with_link(kind.link(k), parameters.clone(), preprocessing).expect("a model");
            // Views of the same rows and features, in another order.
            for view in [false, true] {
                let [own, other] = [&sparse, &dense].map(|rows| {
                    let order: Vec<usize> = (0..rows.len()).rev().collect();
                    let rows = if view { rows.select(&order) } else { rows.clone() };
                    let mut predictions = Predictions::default();
                    let mut predictor = predictor.of_rows(&rows).expect("as many features");
                    predictor.predict(3..rows.len(), &mut predictions).expect("rows in memory");
                    predictions
                });
                assert_eq!(own.classes(), other.classes());
                assert!(largest_difference(own.logits(), other.logits()) < 1e-11, "{kind:?}");
            }
        }
    }
}

#[test]
fn newtons_method_finds_the_minimum_of_the_same_dense_rows() {
    for (kind, n, k) in [(ModelKind::Logistic, 1500, 2), (ModelKind::Softmax, 2500, 3)] {
        // Each of these features has rows of all classes.
        let [sparse, dense] = rows_of(26, n, k, 4.0);
        for (l2, standardize) in [(0.0, false), (0.0, true), (0.01, false)] {
            let preprocessing = if standardize {
                let [mean, scale] = [0.1, 2.0].map(|x| (0..26).map(|j| x * (1 + j % 4) as f64).collect());
                Preprocessing::Standardized(Standardization { mean, scale })
            } else {
                Preprocessing::Raw
            };
            let config = config(kind, |settings| {
                settings.objective.l2 = l2;
                settings.descent.solver = Solver::Newton;
            });
            let (expected, objective) = minimum(&dense, &preprocessing, &config, k, 1);
            for threads in [1, 2] {
                let (optimum, own) = minimum(&sparse, &preprocessing, &config, k, threads);
                let case = format!("{kind:?}, l2 {l2}, {preprocessing:?}, {threads} threads");
                assert!(optimum.certificate.is_some_and(|proof| proof.holds()), "{case}: {:?}", optimum.certificate);
                assert!((own - objective).abs() < 1e-12, "{case}: {own}, not {objective}");
                let [own, other] = [&optimum, &expected].map(|optimum| &optimum.parameters.weight);
                assert!(largest_difference(own, other) < 1e-4, "{case}: {}", largest_difference(own, other));
            }
        }
    }
}

#[test]
fn weights_that_do_not_fit_in_memory_are_refused() {
    // 500 rows of 500 classes, each with an index of its own that is far from the others.
    let text: String =
        (0..500).map(|i| (0..40).fold(format!("{i}"), |row, j| format!("{row} {}:1", 40 * i + j + 1)) + "\n").collect();
    let columns = Columns { label: Some("label"), ..Columns::default() };
    let table = Table::read(text.as_bytes(), columns, 1 << 26).expect("a table");
    let recipe = table.learn_recipe(&RecipeOptions::default()).expect("a recipe");
    let rows = table.encode(&recipe).expect("its own recipe").rows;
    let of = |change: fn(&mut Settings)| {
        let mut settings = Settings::of(ModelKind::Softmax);
        settings.objective.l2 = 1e-3;
        settings.descent.solver = Solver::Lbfgs;
        change(&mut settings);
        chainrule_solve::check_weights(&TrainConfig::try_from(settings).expect("a config"), &rows, 500)
    };
    assert_eq!(rows.n_features(), 20_000);
    assert!(of(|_| ()).is_ok() && of(|settings| settings.descent.solver = Solver::Sgd).is_ok());
    let refused = of(|settings| settings.optimum.memory = 1000).expect_err("a refusal").to_string();
    assert!(refused.contains("20000 features and 500 classes") && refused.contains("161 GB"), "{refused}");
    let newton = of(|settings| settings.descent.solver = Solver::Newton).expect_err("a refusal").to_string();
    assert!(newton.contains("at most 1000 weights"), "{newton}");
}
