//! Measures the epochs of one of this project's engines.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chainrule::backend::Backend;
use chainrule::machine::{Machine, Prepared};
use chainrule_core::{Evaluation, Preprocessing, TrainConfig};
use chainrule_data::Rows;
use chainrule_records::ConfigFile;
use chainrule_solve::{Observer, steps_per_epoch};

/// An engine with its data. Every training starts at zero parameters.
pub(crate) struct Engine {
    config: TrainConfig,
    rows: Prepared,
    n_rows: usize,
    n_classes: usize,
    threads: NonZero<usize>,
}

impl Engine {
    pub(crate) fn new(
        config: &TrainConfig,
        train: &Rows,
        n_classes: usize,
        preprocessing: &Preprocessing,
        backend: &Backend,
        threads: usize,
    ) -> Result<Self> {
        // The evaluation of each epoch is not timed, so its validation set is small. The patience
        // is so large that early stopping never ends the run.
        let settings = ["early_stopping.evaluations_per_epoch=1", "early_stopping.patience=1000000000"];
        let config = with(config, &settings.map(str::to_owned))?;
        let (n_rows, batch) = (train.len(), config.descent().batch_size.min(train.len()));
        let validation = train.select(&(0..batch).collect::<Vec<_>>());
        let machine = Machine::new(Some(backend), NonZero::new(threads).context("at least one thread is needed")?)?;
        let rows = machine.prepare([train.clone(), validation], preprocessing, &config)?;
        Ok(Self { config, rows, n_rows, n_classes, threads: machine.threads() })
    }

    /// Whether the rows are for the fused kernels of a device.
    pub(crate) fn uses_device_kernels(&self) -> bool {
        self.rows.uses_device_kernels()
    }

    /// Trains for `n` epochs. Returns the milliseconds of each epoch and the loss of the last
    /// batch.
    pub(crate) fn epochs(&self, n: usize) -> Result<(Vec<f64>, f64)> {
        let mut stopwatch = Stopwatch { running_since: None, milliseconds: Vec::new() };
        // The first evaluation, after the first step, starts the stopwatch. The extra epoch
        // provides the evaluation that stops it.
        let config = with(&self.config, &[format!("descent.epochs={}", n + 1)])?;
        let losses = self.rows.train(self.n_classes, &config, self.threads, &mut stopwatch)?.history.train_loss;
        ensure!(stopwatch.milliseconds.len() == n, "{} epochs were timed, not {n}", stopwatch.milliseconds.len());
        Ok((stopwatch.milliseconds, losses[n * steps_per_epoch(&config, self.n_rows)? - 1]))
    }
}

/// Returns the config with batches in the file's order, as for the peers.
pub(crate) fn in_file_order(config: &TrainConfig) -> Result<TrainConfig> {
    with(config, &["descent.shuffle.generator=none".to_owned()])
}

/// Returns the config with these settings applied.
pub(crate) fn with(config: &TrainConfig, settings: &[String]) -> Result<TrainConfig> {
    Ok(TrainConfig::parse("bench", &config.to_toml(), settings)?)
}

/// Measures from the end of an evaluation to the start of the next, one epoch later. By then, all
/// losses have been read from the device.
struct Stopwatch {
    running_since: Option<Instant>,
    milliseconds: Vec<f64>,
}

impl Observer for Stopwatch {
    fn on_evaluation_start(&mut self) {
        self.milliseconds.extend(self.running_since.take().map(|since| 1e3 * since.elapsed().as_secs_f64()));
    }

    fn on_evaluation(&mut self, _: &Evaluation) -> ControlFlow<()> {
        self.running_since = Some(Instant::now());
        ControlFlow::Continue(())
    }
}
