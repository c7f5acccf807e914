//! One of this project's engines, whose epochs are timed.

use std::num::NonZero;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chainrule::backend::Backend;
use chainrule::machine::{Machine, Prepared};
use chainrule_core::{Evaluation, Preprocessing, TrainConfig};
use chainrule_data::Rows;
use chainrule_records::ConfigFile;
use chainrule_solve::{Observer, steps_per_epoch};

/// A training from parameters that are 0, as often as one likes.
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
        backend: &Backend,
        threads: usize,
    ) -> Result<Self> {
        // In the file's order, as the peers; one evaluation an epoch, which is not timed and so
        // need not be long; and no end but the last epoch.
        let settings = [
            "descent.shuffle.generator=none",
            "early_stopping.evaluations_per_epoch=1",
            "early_stopping.patience=1000000000",
        ];
        let config = with(config, &settings.map(str::to_owned))?;
        let (n_rows, batch) = (train.len(), config.descent().batch_size.min(train.len()));
        let validation = train.some(&(0..batch).collect::<Vec<_>>());
        let machine = Machine::new(Some(backend), NonZero::new(threads).context("a thread at least")?)?;
        let rows = machine.prepare([train.clone(), validation], &Preprocessing::Pixels, &config)?;
        Ok(Self { config, rows, n_rows, n_classes, threads: machine.threads() })
    }

    /// Trains for so many epochs: the milliseconds of each, and the loss of the last batch.
    pub(crate) fn epochs(&self, n: usize) -> Result<(Vec<f64>, f64)> {
        let mut stopwatch = Stopwatch { running_since: None, milliseconds: Vec::new() };
        // The first evaluation, after the first step, starts the watch, and the last epoch does not
        // come to one.
        let config = with(&self.config, &[format!("descent.epochs={}", n + 1)])?;
        let losses = self.rows.train(self.n_classes, &config, self.threads, &mut stopwatch)?.history.train_loss;
        ensure!(stopwatch.milliseconds.len() == n, "{} epochs were timed, not {n}", stopwatch.milliseconds.len());
        Ok((stopwatch.milliseconds, losses[n * steps_per_epoch(&config, self.n_rows)? - 1]))
    }
}

/// The same experiment with these settings.
pub(crate) fn with(config: &TrainConfig, settings: &[String]) -> Result<TrainConfig> {
    Ok(TrainConfig::parse("bench", &config.to_toml(), settings)?)
}

/// Runs from the end of one evaluation to the beginning of the next, which is an epoch later, and
/// for which all losses are read.
struct Stopwatch {
    running_since: Option<Instant>,
    milliseconds: Vec<f64>,
}

impl Observer for Stopwatch {
    fn on_evaluation_start(&mut self) {
        self.milliseconds.extend(self.running_since.take().map(|since| 1e3 * since.elapsed().as_secs_f64()));
    }

    fn on_evaluation(&mut self, _: &Evaluation) {
        self.running_since = Some(Instant::now());
    }
}
