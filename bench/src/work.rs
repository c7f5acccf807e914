//! The minimum work of an epoch and its minimum time.

use anyhow::Result;
use chainrule_core::{ModelKind, TrainConfig};

use crate::{Bench, Limit};

/// The minimum work of an epoch.
pub(crate) struct Workload {
    pub(crate) images: f64,
    /// Multiply-adds of the forward and the backward product, for all bytes.
    multiply_adds: f64,
    bytes: f64,
    /// The fraction of nonzero bytes.
    pub(crate) density: f64,
}

/// Minimum milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct MinimumTimes {
    /// The time of the multiply-adds at the processor's peak rate.
    pub(crate) operations: f64,
    /// The time to read the bytes from memory once.
    pub(crate) bytes: f64,
}

impl MinimumTimes {
    /// Returns the limit: the larger of the two times.
    pub(crate) fn milliseconds(self) -> f64 {
        self.operations.max(self.bytes)
    }

    /// Names the limit.
    pub(crate) fn binding(self) -> &'static str {
        if self.operations > self.bytes { "operations" } else { "bytes" }
    }
}

impl Workload {
    pub(crate) fn new(bench: &Bench, config: &TrainConfig) -> Result<Self> {
        let (train, classes) = bench.train_rows(config)?;
        let batch = config.descent().batch_size;
        let images = (train.len() / batch * batch) as f64;
        let columns = if config.model().kind == ModelKind::Logistic { 1 } else { classes };
        let bytes = images * train.n_features() as f64;
        let pixels = crate::pixels(&train)?;
        let density = pixels.iter().filter(|&&byte| byte != 0).count() as f64 / pixels.len() as f64;
        Ok(Self { images, multiply_adds: 2.0 * bytes * columns as f64, bytes, density })
    }

    /// Returns the minimum time for all bytes.
    pub(crate) fn dense(&self, limit: &Limit) -> MinimumTimes {
        self.minimum_times(limit, 1.0)
    }

    /// Returns the minimum time for the nonzero bytes.
    pub(crate) fn sparse(&self, limit: &Limit) -> MinimumTimes {
        self.minimum_times(limit, self.density)
    }

    fn minimum_times(&self, limit: &Limit, fraction: f64) -> MinimumTimes {
        MinimumTimes {
            operations: 1e3 * self.multiply_adds * fraction / limit.multiply_adds_per_second,
            bytes: 1e3 * self.bytes * fraction / limit.bytes_per_second,
        }
    }
}
