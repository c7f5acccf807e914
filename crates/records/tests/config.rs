//! Valid and invalid experiments.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use chainrule_core::{
    EngineKind, FeatureKind, Generator, GradientSource, MissingAbility, Precision, Solver, TrainConfig,
};
use chainrule_records::{ConfigFile, GridKey, check_override};

const SMALLEST: &str = "[model]\nkind = 'softmax'\n";

fn parse(text: &str, overrides: &[&str]) -> Result<TrainConfig, String> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    TrainConfig::parse("test.toml", text, &overrides).map_err(|error| error.to_string())
}

fn assert_rejected(text: &str, overrides: &[&str], expected: &str) {
    let message = parse(text, overrides).unwrap_err();
    assert!(message.contains(expected) && !message.contains('\n'), "{message:?} does not say {expected:?}");
}

#[test]
fn a_resolved_config_parses_to_itself() {
    let smallest = parse(SMALLEST, &[]).unwrap();
    assert_eq!(parse(&smallest.to_toml(), &[]).unwrap(), smallest);
}

#[test]
fn missing_keys_have_defaults() {
    let config = parse(SMALLEST, &[]).unwrap();
    assert_eq!(config.experiment(), "test");
    assert_eq!(config.data().source, "auto");
    assert_eq!(config.data().resident_bytes, 1 << 30);
    assert_eq!(config.descent().gradient, GradientSource::Auto);
    assert_eq!(config.descent().precision, Precision::F32);
    assert_eq!(
        config.descent().shuffle.generator,
        Generator::Chacha,
        "a modern generator unless the report's is named"
    );
    assert!(!config.objective().penalize_bias);
    assert_eq!(config.early_stopping().patience, None);
}

#[test]
fn every_key_can_be_overridden() {
    let overrides = [
        "experiment=mine",
        "data.source=embedded",
        "data.train_images=10",
        "data.validation_images=11",
        "data.classes=[4, 5]",
        "model.kind=logistic",
        "objective.l2=1",
        "objective.penalize_bias=true",
        "objective.class_weights=balanced",
        "descent.gradient=autodiff",
        "descent.precision=f64",
        "descent.learning_rate=0.5",
        "descent.batch_size=2",
        "descent.epochs=3",
        "descent.shuffle.generator=none",
        "descent.shuffle.seed=9",
        "optimum.tolerance=0.125",
        "optimum.max_iterations=33",
        "optimum.memory=7",
        "optimum.evaluate_every=3",
        "early_stopping.evaluations_per_epoch=4",
        "early_stopping.patience=6",
        "early_stopping.restore_best=true",
    ];
    let written = parse(SMALLEST, &overrides).unwrap().to_toml();
    let default = parse(SMALLEST, &[]).unwrap().to_toml();
    let written: toml::Table = toml::from_str(&written).unwrap();
    for text in overrides {
        let (key, value) = text.split_once('=').unwrap();
        let actual = key.split('.').fold(&toml::Value::Table(written.clone()), |at, part| &at[part]).clone();
        let actual = actual.as_str().map_or_else(|| actual.to_string(), str::to_owned);
        assert!(actual == value || actual == format!("{value}.0"), "{key}: {actual}");
        assert!(!default.contains(&format!("{} = {actual}", key.rsplit('.').next().unwrap())), "{key} is a default");
    }
    // This solver cannot be combined with early stopping.
    let solver = parse(SMALLEST, &["objective.l2=1", "descent.solver=lbfgs"]).unwrap().descent().solver;
    assert_eq!(solver, Solver::Lbfgs);
}

#[test]
fn the_last_override_of_a_key_wins() {
    let config = parse(SMALLEST, &["descent.epochs=3", "descent.epochs=4"]).unwrap();
    assert_eq!(config.descent().epochs, 4);
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    assert_rejected(
        SMALLEST,
        &["descent.learnin_rate=1"],
        "unknown key descent.learnin_rate; did you mean descent.learning_rate?",
    );
    assert_rejected(SMALLEST, &["learning_rate=1"], "did you mean descent.learning_rate?");
    assert_rejected(SMALLEST, &["descent.patience=1"], "did you mean early_stopping.patience?");
    assert_rejected(SMALLEST, &["objective.lambda2=1"], "did you mean objective.l2?");
    assert_rejected("[model]\nkind = 'softmax'\n[optimizer]\nepochs = 2\n", &[], "did you mean descent.epochs?");
}

#[test]
fn a_value_of_the_wrong_type_names_file_key_and_value() {
    assert_rejected(
        SMALLEST,
        &["descent.epochs=many"],
        "test.toml: descent.epochs = \"many\": expected a whole number",
    );
    assert_rejected(SMALLEST, &["descent.epochs=2.5"], "descent.epochs = 2.5");
    assert_rejected(SMALLEST, &["descent.epochs=-2"], "descent.epochs = -2");
    assert_rejected(SMALLEST, &["data.classes=[1, 300]"], "data.classes");
    assert_rejected(SMALLEST, &["model.kind=tree"], "model.kind = \"tree\": expected softmax or logistic");
    assert_rejected(SMALLEST, &["descent.gradient=magic"], "expected one of auto, fused, closed-form, autodiff");
    assert_rejected("model = 3", &[], "model");
}

#[test]
fn an_invalid_number_names_file_key_and_value() {
    for rate in ["0", "-0.1", "nan", "inf", "1e9"] {
        assert_rejected(SMALLEST, &[&format!("descent.learning_rate={rate}")], "test.toml: descent.learning_rate = ");
    }
    for l2 in ["-1", "nan", "inf", "1e30"] {
        assert_rejected(SMALLEST, &[&format!("objective.l2={l2}")], "test.toml: objective.l2 = ");
    }
    for key in [
        "data.train_images",
        "data.validation_images",
        "descent.batch_size",
        "descent.epochs",
        "early_stopping.evaluations_per_epoch",
        "early_stopping.patience",
    ] {
        assert_rejected(
            SMALLEST,
            &[&format!("{key}=0")],
            &format!("test.toml: {key} = 0: expected a whole number from 1"),
        );
        assert_rejected(
            SMALLEST,
            &[&format!("{key}=9000000000000000000")],
            &format!("test.toml: {key} = 9000000000000000000"),
        );
    }
    let numpy = "descent.shuffle.generator=numpy-legacy";
    assert_rejected(SMALLEST, &[numpy, "descent.shuffle.seed=4294967296"], "descent.shuffle.seed = 4294967296");
}

#[test]
fn classes_that_do_not_fit_the_model_are_rejected() {
    assert_rejected(SMALLEST, &["model.kind=logistic"], "data.classes = absent: the logistic model needs exactly two");
    assert_rejected(SMALLEST, &["model.kind=logistic", "data.classes=[1, 2, 3]"], "needs exactly two");
    assert_rejected(SMALLEST, &["data.classes=[1]"], "at least two classes");
    assert_rejected(SMALLEST, &["data.classes=[1, 2, 1]"], "names a class twice");
    assert_rejected(SMALLEST, &["data.classes=[2, \"2\"]"], "names a class twice");
    assert_rejected(
        SMALLEST,
        &["data.classes=[\"rose\", \"a\\u0007\"]"],
        "the name of a class has a control character",
    );
    assert_rejected(SMALLEST, &["data.classes=[\"rose\", \"\"]"], "the name of a class is empty");
    assert_rejected(SMALLEST, &["data.classes=[1, 1.5]"], "a label from 0 to 255, or a name in quotes");
    assert_rejected(SMALLEST, &["data.validation_fraction=1.0"], "expected a number from 0");
    assert_rejected(SMALLEST, &["data.image_size=[28, 5000]"], "expected rows and columns from 1 to 4096");
}

#[test]
fn an_invalid_config_is_refused() {
    assert_rejected("[model\nkind = 1", &[], "test.toml:1: ");
    assert_rejected(
        "[model]\nkind = 'softmax'\nkind = 'softmax'",
        &[],
        "test.toml:3: kind = 'softmax': this is no TOML (",
    );
    assert_rejected("[model]\nkind = softmax", &[], "test.toml:2: kind = softmax: this is no TOML (");
    assert_rejected("", &[], "model.kind is missing");
    assert_rejected(SMALLEST, &["descent.epochs"], "descent.epochs: expected key=value");
    // A second line belongs to the value and is not silently dropped.
    assert_rejected(SMALLEST, &["descent.epochs=1\nx = 2"], "descent.epochs");
    for malformed in ["=3", "descent.epochs=", " = ", "descent.=3", ".epochs=3"] {
        assert_rejected(SMALLEST, &[malformed], "expected key=value");
    }
    assert_rejected(SMALLEST, &["model.kind.deep=3"], "unknown key model.kind.deep");
    assert_rejected(SMALLEST, &["descent=3"], "descent is a section of keys, which are set one by one, as descent.");
    assert_rejected(SMALLEST, &["experiment=../../etc"], "experiment = \"../../etc\"");
    let message = TrainConfig::read(Path::new("no/such.toml"), &[]).unwrap_err().to_string();
    assert!(message.starts_with("no/such.toml: "), "{message}");
}

#[test]
fn fused_kernels_of_a_device_refuse_other_optimizers_and_weights() {
    for optimizer in ["descent.optimizer=adam", "descent.momentum=0.5"] {
        let config = parse(SMALLEST, &[optimizer, "descent.gradient=fused"]).unwrap();
        assert_eq!(EngineKind::Kernels.missing_ability(&config), None);
        assert_eq!(EngineKind::DeviceKernels.missing_ability(&config), Some(MissingAbility::Optimizer));
    }
    for weights in ["data.weight=people", "objective.class_weights=balanced"] {
        let config = parse(SMALLEST, &[weights, "descent.gradient=fused"]).unwrap();
        assert_eq!(EngineKind::Kernels.missing_ability(&config), None);
        assert_eq!(EngineKind::DeviceKernels.missing_ability(&config), Some(MissingAbility::Weights));
    }
    let plain = parse(SMALLEST, &["descent.momentum=0"]).unwrap();
    assert_eq!(EngineKind::DeviceKernels.missing_ability(&plain), None);
    // Weights may be set without a config.
    let missing = |engine: EngineKind| engine.missing_ability_for(&plain, FeatureKind::Numbers, false, true);
    assert_eq!(missing(EngineKind::Kernels), None);
    assert_eq!(missing(EngineKind::DeviceKernels), Some(MissingAbility::Weights));
}

#[test]
fn invalid_class_weights_are_refused() {
    let two = "data.classes=[2, 3]";
    let expected = "\"balanced\", numbers by the classes' names, as in {no = 0.5, yes = 25}, or a list of numbers";
    let cases: [(&str, &[&str], &[&str]); 15] = [
        ("softmax", &["objective.class_weights=balance"], &[expected, "balance"]),
        ("softmax", &["objective.class_weights=3"], &[expected]),
        ("softmax", &["objective.class_weights={}"], &["from 1e-6 to 1e6"]),
        (
            "softmax",
            &["objective.class_weights={a = 'much'}"],
            &["objective.class_weights.a = \"much\"", "expected a number"],
        ),
        ("logistic", &[two, "objective.class_weights={2 = 0}"], &["from 1e-6 to 1e6", "to leave out a class"]),
        (
            "softmax",
            &[two, "objective.class_weights={2 = 1, two = 3}"],
            &["data.classes has no class two; its classes are 2, 3"],
        ),
        // The list's order would be the reverse of `classes()` or data.classes, as users see them.
        (
            "logistic",
            &[two, "objective.class_weights=[4, 0.5]"],
            &["objective.class_weights = [4.0, 0.5]", "use names: { 2 = 4.0, 3 = 0.5 }, or { 2 = 0.5, 3 = 4.0 }"],
        ),
        ("softmax", &["objective.class_weights=[1, 'a']"], &["objective.class_weights"]),
        ("softmax", &["objective.class_weights=[1, 0]"], &["from 1e-6 to 1e6", "to leave out a class"]),
        ("softmax", &["objective.class_weights=[1, -1]"], &["from 1e-6 to 1e6"]),
        ("softmax", &["objective.class_weights=[1, nan]"], &["from 1e-6 to 1e6"]),
        ("softmax", &["objective.class_weights=[1, 1e7]"], &["from 1e-6 to 1e6"]),
        (
            "softmax",
            &[two, "objective.class_weights=[1, 2, 3]"],
            &["each of the 2 classes, in the order of data.classes"],
        ),
        ("logistic", &[two, "objective.class_weights=[3]"], &["use names: { 2 = 3.0, 3 = 1.0 }, or"]),
        ("softmax", &["objective.class_weight=balanced"], &["did you mean objective.class_weights?"]),
    ];
    for (kind, sets, expected) in cases {
        let error = parse(&format!("[model]\nkind = '{kind}'\n"), sets).unwrap_err();
        assert!(error.contains("test.toml: "), "{error}");
        for expected in expected {
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
    }
}

#[test]
fn configs_without_a_certified_minimum_are_refused() {
    let text = "[model]
kind = 'softmax'
[descent]
solver = 'lbfgs'
[objective]
l2 = 0.1";
    let assert_rejected = |more: &[&str], expected: &str| assert_rejected(text, more, expected);
    assert_rejected(&["objective.l2=0"], "test.toml: objective.l2 = 0.0: without a penalty L-BFGS has no certificate");
    assert_rejected(
        &["early_stopping.patience=3"],
        "early_stopping.patience = 3: descent.solver = \"lbfgs\" does not stop early",
    );
    assert_rejected(&["early_stopping.restore_best=true"], "early_stopping.restore_best = true: ");
    for tolerance in ["0", "-1", "nan", "2"] {
        assert_rejected(&[&format!("optimum.tolerance={tolerance}")], "optimum.tolerance = ");
    }
    for key in ["optimum.max_iterations", "optimum.memory", "optimum.evaluate_every"] {
        assert_rejected(&[&format!("{key}=0")], &format!("{key} = 0: expected a whole number from 1"));
    }
    assert_rejected(&["descent.solver=simplex"], "descent.solver = \"simplex\": expected one of sgd, lbfgs, newton");
    assert_rejected(&["optimum.iterations=3"], "unknown key optimum.iterations; did you mean optimum.max_iterations?");
}

#[test]
fn overrides_can_reset_a_key() {
    let text = "[model]\nkind = 'softmax'\n[data]\ntrain_images = 2\nclasses = [0, 1]\n[early_stopping]\npatience = 1\n\
                [descent]\nmomentum = 0.5\n[objective]\nclass_weights = 'balanced'\n";
    let parse_file = parse;
    let parse = |set: &[&str]| parse(text, set);
    let keys =
        ["data.train_images", "data.classes", "early_stopping.patience", "descent.momentum", "objective.class_weights"];
    for key in keys {
        let written = parse(&[&format!("{key}=none")]).unwrap().to_toml();
        let name = key.rsplit('.').next().unwrap();
        assert!(parse(&[]).unwrap().to_toml().contains(&format!("\n{name} = ")), "{key}");
        assert!(!written.contains(&format!("\n{name} = ")), "{key}: {written}");
    }
    // A key that the file does not set can be reset, too, for example by a grid.
    let smallest = parse_file(SMALLEST, &["early_stopping.patience=none"]);
    assert_eq!(smallest.unwrap().early_stopping().patience, None);
    // A column may have the name `none`.
    assert_eq!(parse(&["data.label=none"]).unwrap().data().label.as_deref(), Some("none"));
}

#[test]
fn errors_of_keys_name_no_option() {
    for message in [
        GridKey::parse("objective.l2").unwrap_err().to_string(),
        check_override("descent.epochs").unwrap_err().to_string(),
    ] {
        assert!(!message.contains("--") && !message.contains("xtask"), "{message}");
    }
}

#[test]
fn an_out_of_range_number_is_refused_with_the_range() {
    let ranges = [
        ("objective.l2", "expected a number from 0 (no penalty) to 1e6"),
        ("descent.learning_rate", "expected a number above 0, at most 1000"),
        ("optimum.tolerance", "expected a number above 0, at most 1, the distance"),
    ];
    for (key, range) in ranges {
        let (section, name) = key.split_once('.').unwrap();
        for value in ["nan", "-nan", "+nan", "inf", "+inf", "-inf", "1e30", "-1e30", "-1.0", "1e308"] {
            let in_file = format!("[model]\nkind = 'softmax'\n[{section}]\n{name} = {value}\n");
            let by_file = parse(&in_file, &[]);
            let by_option = parse(SMALLEST, &[&format!("{key}={value}")]);
            for refused in [by_file, by_option] {
                let message = refused.unwrap_err();
                assert!(message.contains(range) && message.contains(&format!("{key} = ")), "{message}");
                assert!(!message.contains('\n') && message.chars().count() <= 1000, "{message}");
            }
        }
    }
}
