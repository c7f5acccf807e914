//! The ranges of the integer settings, by key.

use std::ops::RangeInclusive;

/// The largest integer in TOML, which has signed integers.
const MAX_INTEGER: u64 = i64::MAX as u64;

/// The keys of the integer settings, with their ranges.
pub const INTEGER_RANGES: [(&str, RangeInclusive<u64>); 15] = [
    ("data.train_images", 1..=u32::MAX as u64),
    ("data.validation_images", 1..=u32::MAX as u64),
    ("data.resident_bytes", 0..=MAX_INTEGER),
    ("data.max_categories", 1..=1_000_000),
    ("data.min_rows", 1..=u32::MAX as u64),
    ("descent.step_epochs", 1..=1_000_000),
    ("descent.batch_size", 1..=u32::MAX as u64),
    ("descent.epochs", 1..=1_000_000),
    ("descent.shuffle.seed", 0..=MAX_INTEGER),
    ("descent.shuffle.skip_epochs", 0..=1_000_000),
    ("optimum.max_iterations", 1..=1_000_000),
    ("optimum.memory", 1..=1000),
    ("optimum.evaluate_every", 1..=1_000_000),
    ("early_stopping.evaluations_per_epoch", 1..=1_000_000),
    ("early_stopping.patience", 1..=1_000_000_000),
];

/// The key of the size of images.
pub const IMAGE_SIZE_KEY: &str = "data.image_size";

/// The message for an invalid [`IMAGE_SIZE_KEY`].
pub const IMAGE_SIZE_MESSAGE: &str = "expected rows and columns from 1 to 4096, as in [28, 28]";

/// Returns the range of a key, if it is an integer setting.
pub fn range_of(key: &str) -> Option<RangeInclusive<u64>> {
    INTEGER_RANGES.iter().find(|(known, _)| *known == key).map(|(_, range)| range.clone())
}

/// Returns an error if `value` is outside the range of `key`.
pub(crate) fn check_range(key: &'static str, value: u64) -> Result<(), (&'static str, String)> {
    match range_of(key) {
        Some(range) if !range.contains(&value) => Err((key, range_message(&range))),
        _ => Ok(()),
    }
}

/// Returns the message for a value outside this range.
pub fn range_message(range: &RangeInclusive<u64>) -> String {
    format!("expected a whole number from {} to {}", range.start(), range.end())
}
