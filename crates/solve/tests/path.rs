//! Tests of the path over penalties: the minima are those of single searches, in fewer passes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod on_tables;

use std::num::NonZero;

use chainrule_core::{ModelKind, Precision, Preprocessing, Solver, TrainConfig};
use chainrule_solve::{Ending, FusedRows, Trained, train_fused, train_path};
use on_tables::{config, rows_of, rows_within};

/// Returns 16 penalties from 1 to 0.001. They are not in order: the path orders them itself.
fn penalties() -> Vec<f64> {
    (0..16).map(|i| 10f64.powf(-3.0 * f64::from(i * 7 % 16) / 15.0)).collect()
}

/// Returns a table of `n` rows: three numbers, one of them far from 0, and a category.
fn table(n: usize, k: usize) -> String {
    let mut text = "a,b,c,g,y\n".to_owned();
    for i in 0..n {
        let x = i as f64;
        let [a, b, c] = [x.sin(), 0.3 * x.sin() + (1.7 * x).cos(), 40.0 + 3.0 * (0.4 * x).sin()];
        let level = (i * 7) % 4;
        let noise = (i * 2_654_435_761 % 97) as f64 / 97.0;
        let score = a + 0.5 * b + level as f64 / 4.0 + 2.0 * noise + 2.0;
        let class = ((score * k as f64 / 6.0) as usize).min(k - 1);
        text.push_str(&format!("{a},{b},{c},level {level},k{class}\n"));
    }
    text
}

fn configs(kind: ModelKind, precision: Precision, penalize_bias: bool) -> Vec<TrainConfig> {
    let of = |l2: &f64| {
        config(kind, |settings| {
            settings.objective.l2 = *l2;
            settings.objective.penalize_bias = penalize_bias;
            settings.descent.precision = precision;
            settings.descent.solver = Solver::Lbfgs;
            settings.optimum.tolerance = 1e-7;
        })
    };
    penalties().iter().map(of).collect()
}

fn passes(trained: &Trained) -> usize {
    trained.certificate.unwrap().gradients
}

#[test]
fn a_path_has_the_minima_of_single_searches_in_fewer_passes() {
    for (kind, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 3)] {
        for precision in [Precision::F64, Precision::F32] {
            for penalize_bias in [false, true] {
                let rows = FusedRows::new(rows_of(&table(900, k)), &Preprocessing::Raw).unwrap();
                let (configs, link) = (configs(kind, precision, penalize_bias), kind.link(k));
                let path = train_path(&link, [&rows, &rows], &configs, NonZero::<usize>::MIN).unwrap();
                let (mut of_path, mut of_singles) = (0, 0);
                for (config, trained) in configs.iter().zip(&path) {
                    let case = format!("{kind:?} {precision:?} {penalize_bias} {}", config.objective().l2);
                    let single = train_fused(&link, &rows, &rows, config, NonZero::<usize>::MIN, &mut ()).unwrap();
                    let [own, other] = [trained, &single].map(|trained| trained.certificate.unwrap());
                    assert!(own.holds() && other.holds() && trained.ending == Ending::Converged, "{case}: {own:?}");
                    assert!((own.objective - other.objective).abs() <= 2e-7, "{case}: {own:?} {other:?}");
                    let [a, b] = [trained, &single].map(|trained| trained.final_metrics);
                    assert!((a.train_loss - b.train_loss).abs() < 2e-3, "{case}: {a:?} {b:?}");
                    of_path += passes(trained);
                    of_singles += passes(&single);
                }
                assert!(
                    3 * of_path <= 2 * of_singles,
                    "{kind:?} {precision:?} {penalize_bias}: {of_path} {of_singles}"
                );
                // The first search is that of the largest penalty, as if it were alone.
                let first = train_fused(&link, &rows, &rows, &configs[0], NonZero::<usize>::MIN, &mut ()).unwrap();
                assert_eq!(first.parameters, path[0].parameters);
            }
        }
    }
}

#[test]
fn a_path_ends_without_a_penalty() {
    let kind = ModelKind::Softmax;
    let mut configs = configs(kind, Precision::F64, false);
    configs.push(config(kind, |settings| {
        settings.objective.l2 = 0.0;
        settings.descent.solver = Solver::Newton;
        settings.optimum.tolerance = 1e-9;
    }));
    let (rows, link) = (FusedRows::new(rows_of(&table(900, 3)), &Preprocessing::Raw).unwrap(), kind.link(3));
    let path = train_path(&link, [&rows, &rows], &configs, NonZero::<usize>::MIN).unwrap();
    let single = train_fused(&link, &rows, &rows, configs.last().unwrap(), NonZero::<usize>::MIN, &mut ()).unwrap();
    let [own, other] = [path.last().unwrap(), &single].map(|trained| trained.certificate.unwrap());
    assert!(own.holds() && (own.objective - other.objective).abs() < 2e-9, "{own:?} {other:?}");
    assert_eq!(path.last().unwrap().identification, single.identification);
}

#[test]
fn rows_in_a_file_have_the_same_path() {
    let text = table(3000, 2);
    let kind = ModelKind::Logistic;
    let (configs, link) = (configs(kind, Precision::F64, false), kind.link(2));
    let [in_memory, in_file] = [1 << 30, 60_000].map(|bytes| {
        let rows = FusedRows::new(rows_within(&text, bytes), &Preprocessing::Raw).unwrap();
        train_path(&link, [&rows, &rows], &configs, NonZero::<usize>::MIN).unwrap()
    });
    for (a, b) in in_memory.iter().zip(&in_file) {
        let [a, b] = [a, b].map(|trained| trained.certificate.unwrap());
        assert!(b.holds() && (a.objective - b.objective).abs() <= 2e-7, "{a:?} {b:?}");
    }
}

#[test]
fn an_empty_path_has_no_results() {
    let rows = FusedRows::new(rows_of(&table(30, 2)), &Preprocessing::Raw).unwrap();
    let link = ModelKind::Logistic.link(2);
    assert!(train_path(&link, [&rows, &rows], &[], NonZero::<usize>::MIN).unwrap().is_empty());
}
