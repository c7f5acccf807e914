//! The whole numbers that a setting may be, by its key in an experiment's file.

use std::ops::RangeInclusive;

/// TOML's integers are signed.
const LARGEST: u64 = i64::MAX as u64;

/// Keys whose value is a whole number, with the smallest and the largest.
pub const WHOLE: [(&str, RangeInclusive<u64>); 13] = [
    ("data.train_images", 1..=u32::MAX as u64),
    ("data.validation_images", 1..=u32::MAX as u64),
    ("data.resident_bytes", 0..=LARGEST),
    ("descent.step_epochs", 1..=1_000_000),
    ("descent.batch_size", 1..=u32::MAX as u64),
    ("descent.epochs", 1..=1_000_000),
    ("descent.shuffle.seed", 0..=LARGEST),
    ("descent.shuffle.skip_epochs", 0..=1_000_000),
    ("optimum.max_iterations", 1..=1_000_000),
    ("optimum.memory", 1..=1000),
    ("optimum.evaluate_every", 1..=1_000_000),
    ("early_stopping.evaluations_per_epoch", 1..=1_000_000),
    ("early_stopping.patience", 1..=1_000_000_000),
];

/// The key whose value are the sides of an image.
pub const IMAGE_SIZE: &str = "data.image_size";

/// What [`IMAGE_SIZE`] may be.
pub const SIDES: &str = "expected rows and columns from 1 to 4096, as in [28, 28]";

/// The smallest and the largest number that a key takes, where it takes whole numbers.
pub fn range_of(key: &str) -> Option<RangeInclusive<u64>> {
    WHOLE.iter().find(|(known, _)| *known == key).map(|(_, range)| range.clone())
}

/// Refuses a number that the key `key` cannot have.
pub(crate) fn check_whole(key: &'static str, value: u64) -> Result<(), (&'static str, String)> {
    match range_of(key) {
        Some(range) if !range.contains(&value) => Err((key, whole(&range))),
        _ => Ok(()),
    }
}

/// What is expected of such a key.
pub fn whole(range: &RangeInclusive<u64>) -> String {
    format!("expected a whole number from {} to {}", range.start(), range.end())
}
