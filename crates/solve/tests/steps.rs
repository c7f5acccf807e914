//! Tests of the number of steps per epoch.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chainrule_core::{ModelKind, Settings, TrainConfig};
use chainrule_solve::{TrainError, steps_per_epoch};

/// Returns a config with batches of 1001 rows.
fn batch_config(drop_last: bool) -> TrainConfig {
    let mut settings = Settings::of(ModelKind::Softmax);
    settings.descent.batch_size = 1001;
    settings.descent.drop_last = drop_last;
    TrainConfig::try_from(settings).unwrap()
}

#[test]
fn a_batch_larger_than_the_data_is_an_error() {
    let config = batch_config(true);
    let error = steps_per_epoch(&config, 1000).unwrap_err();
    let TrainError::BatchTooLarge { batch_size: 1001, rows: 1000 } = error else { panic!("{error}") };
    assert!(error.to_string().contains("there are only 1000 training rows"), "{error}");
    assert_eq!(steps_per_epoch(&config, 1001).unwrap(), 1);
    // With the last batch kept, it can be the only one.
    let config = batch_config(false);
    assert_eq!([1, 1000, 1001, 1002, 2003].map(|rows| steps_per_epoch(&config, rows).unwrap()), [1, 1, 1, 2, 3]);
}
