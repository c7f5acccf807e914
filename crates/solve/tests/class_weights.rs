//! Class weights, and solvers that do not support them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZero;

use chainrule_core::{ModelKind, Preprocessing, TrainConfig};
use chainrule_data::digits::draw_both;
use chainrule_data::{Counts, Rows};
use chainrule_records::ConfigFile;
use chainrule_solve::{FusedRows, class_weights, train_by_loops, train_fused};

fn parse(sets: &[&str]) -> TrainConfig {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    TrainConfig::parse("test", "[model]\nkind = 'softmax'\n", &sets).unwrap()
}

#[test]
fn class_weights_that_do_not_fit_the_data_are_errors() {
    let one = |label| (label, 1.0);
    let config = parse(&["objective.class_weights=[1, 2]"]);
    let error = class_weights(&config, &["a", "b", "c"], [0, 1, 2].map(one)).unwrap_err().to_string();
    assert!(error.contains("2 numbers, and the data has 3 classes") && error.contains("a, b, c"), "{error}");
    let config = parse(&["objective.class_weights={yes = 25}"]);
    let error = class_weights(&config, &["no", "Yes"], [0, 1].map(one)).unwrap_err().to_string();
    assert!(error.contains("there is no class yes; the data has no, Yes"), "{error}");
    let config = parse(&["objective.class_weights=balanced"]);
    let error = class_weights(&config, &["a", "b", "c"], [0, 2, 2].map(one)).unwrap_err().to_string();
    assert!(error.contains("no training row is of class b"), "{error}");
}

/// The function returns an error instead of ignoring the optimizer, which is Burn's.
#[test]
fn optimizers_of_burn_are_errors() {
    let [train, validation] = draw_both(0, Counts { train: 160, validation: 40 })
        .map(|images| FusedRows::new(images.into(), &Preprocessing::Pixels).unwrap());
    let config = parse(&["descent.optimizer=adam", "descent.batch_size=16"]);
    let link = ModelKind::Softmax.link(10);
    let error = train_fused(&link, &train, &validation, &config, NonZero::<usize>::MIN, &mut ()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("without Burn the only optimizer is plain sgd"), "{error}");
}

#[test]
fn class_weights_of_images_are_those_of_plain_loops() {
    let rows: [Rows; 2] = draw_both(0, Counts { train: 160, validation: 40 }).map(Into::into);
    let [train, validation] = rows.clone().map(|rows| FusedRows::new(rows, &Preprocessing::Pixels).unwrap());
    for solver in ["sgd", "lbfgs"] {
        let config = parse(&[
            "objective.class_weights=balanced",
            "objective.l2=0.1",
            "descent.batch_size=16",
            "descent.precision=f64",
            "descent.learning_rate=0.001",
            "descent.epochs=2",
            &format!("descent.solver={solver}"),
        ]);
        let link = ModelKind::Softmax.link(10);
        let kernels = train_fused(&link, &train, &validation, &config, NonZero::<usize>::MIN, &mut ()).unwrap();
        let loops = train_by_loops(&link, &rows[0], &rows[1], &Preprocessing::Pixels, &config, &mut ()).unwrap();
        assert_eq!(kernels.class_weights, loops.class_weights);
        let [a, b] = [&kernels, &loops].map(|trained| trained.final_metrics);
        for (a, b) in [(a.train_loss, b.train_loss), (a.validation_loss, b.validation_loss)] {
            assert!((a / b - 1.0).abs() < 1e-6, "{solver}: {a} {b}");
        }
    }
}
