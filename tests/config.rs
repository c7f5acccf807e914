//! The experiments that are embedded in the program.

use std::path::Path;

use chainrule_core::{Class, Generator, GradientSource, ModelKind, TrainConfig};
use chainrule_records::ConfigFile;
use chainrule_tests_macros::test;

fn config_file(name: &str) -> TrainConfig {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(name);
    TrainConfig::read(&path, &[]).unwrap()
}

#[test]
fn experiments_match_the_reports_protocol() {
    let logistic = config_file("logistic.toml");
    assert_eq!(logistic.experiment(), "logistic");
    assert_eq!(logistic.model().kind, ModelKind::Logistic);
    assert_eq!(logistic.data().classes.as_deref(), Some(&[2, 3].map(Class::Number)[..]));
    assert_eq!((logistic.descent().learning_rate, logistic.descent().epochs), (0.05, 500));
    assert_eq!(logistic.descent().shuffle.generator, Generator::None);

    let shuffled = config_file("logistic-shuffled.toml");
    assert_eq!(shuffled.descent().shuffle.generator, Generator::NumpyLegacy);
    assert_eq!((shuffled.data(), shuffled.early_stopping()), (logistic.data(), logistic.early_stopping()));

    let softmax = config_file("softmax.toml");
    assert_eq!((softmax.descent().learning_rate, softmax.descent().epochs), (0.01, 50));
    for config in [&logistic, &shuffled, &softmax] {
        assert_eq!((config.data().train_images, config.data().validation_images), (Some(20_000), Some(10_000)));
        assert_eq!(config.descent().batch_size, 128);
        assert!(config.objective().penalize_bias);
        let stopping = config.early_stopping();
        assert_eq!((stopping.evaluations_per_epoch, stopping.patience, stopping.restore_best), (5, Some(10), false));
    }
}

#[test]
fn a_resolved_config_parses_to_itself() {
    for name in ["logistic.toml", "logistic-shuffled.toml", "softmax.toml", "softmax-optimum.toml"] {
        let config = config_file(name);
        assert_eq!(TrainConfig::parse("test.toml", &config.to_toml(), &[]).unwrap(), config, "{name}");
    }
}

#[test]
fn the_experiment_of_a_minimum_parses_to_itself() {
    let config = config_file("softmax-optimum.toml");
    let again = TrainConfig::parse("softmax-optimum.toml", &config.to_toml(), &[]).unwrap();
    assert_eq!(config, again);
    assert!(config.objective().penalize_bias && config.early_stopping().patience.is_none());
    assert_eq!(config.descent().gradient, GradientSource::Auto);
}
