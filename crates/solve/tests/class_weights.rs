//! Class weights, and solvers that do not support them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZero;
use std::ops::ControlFlow;

use chainrule_core::{ModelKind, Preprocessing, TrainConfig};
use chainrule_data::Counts;
use chainrule_data::digits::draw_both;
use chainrule_records::ConfigFile;
use chainrule_solve::{FusedRows, class_weights, find_optimum, train_fused};

fn parse(sets: &[&str]) -> TrainConfig {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    TrainConfig::parse("test", "[model]\nkind = 'softmax'\n", &sets).unwrap()
}

#[test]
fn class_weights_that_do_not_fit_the_data_are_errors() {
    let config = parse(&["objective.class_weights=[1, 2]"]);
    let error = class_weights(&config, &["a", "b", "c"], &[0, 1, 2]).unwrap_err().to_string();
    assert!(error.contains("2 numbers, and the data has 3 classes") && error.contains("a, b, c"), "{error}");
    let config = parse(&["objective.class_weights={yes = 25}"]);
    let error = class_weights(&config, &["no", "Yes"], &[0, 1]).unwrap_err().to_string();
    assert!(error.contains("there is no class yes; the data has no, Yes"), "{error}");
    let config = parse(&["objective.class_weights=balanced"]);
    let error = class_weights(&config, &["a", "b", "c"], &[0, 2, 2]).unwrap_err().to_string();
    assert!(error.contains("no training row is of class b"), "{error}");
}

/// The functions return an error instead of ignoring the weights or the optimizer.
#[test]
fn class_weights_and_optimizers_without_kernel_support_are_errors() {
    let [train, validation] = draw_both(0, Counts { train: 160, validation: 40 })
        .map(|images| FusedRows::new(images.into(), &Preprocessing::Pixels).unwrap());
    let threads = NonZero::<usize>::MIN;
    for set in ["objective.class_weights=balanced", "descent.optimizer=adam"] {
        let config = parse(&[set, "descent.batch_size=16"]);
        let error = train_fused(&ModelKind::Softmax.link(10), &train, &validation, &config, threads, &mut ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("the fused kernels cannot") && error.contains("closed-form"), "{error}");
    }
    let lbfgs = ["objective.l2=0.1", "descent.solver=lbfgs", "objective.class_weights=balanced"];
    let config = parse(&lbfgs);
    let error =
        find_optimum(&ModelKind::Softmax.link(10), &config, &train, threads, &mut |_, _| ControlFlow::Continue(()))
            .unwrap_err()
            .to_string();
    assert!(error.contains("the fused kernels cannot") && error.contains("class_weights"), "{error}");
}
