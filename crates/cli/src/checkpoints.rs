//! When a run writes its checkpoints, and what each of them stores.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chainrule_core::{Evaluation, TrainConfig};
use chainrule_records::{ConfigFile, RunFolder, Seconds};
use chainrule_solve::{Checkpoint, Observer};
use serde::{Deserialize, Serialize};

use crate::output::print_message;

/// How often a checkpoint is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckpointInterval {
    /// Only when the training is interrupted.
    Never,
    Steps(NonZero<usize>),
    Time(Duration),
}

impl Default for CheckpointInterval {
    /// Ten seconds: checkpoints cost next to nothing, and a kill loses little work.
    fn default() -> Self {
        Self::Time(Duration::from_secs(10))
    }
}

impl FromStr for CheckpointInterval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a number of steps, as in 500, of seconds, as in 30s, or never".to_owned();
        match text.strip_suffix('s') {
            _ if text == "never" => Ok(Self::Never),
            None => text.parse().map(Self::Steps).map_err(|_| expected()),
            Some(seconds) => {
                let seconds = seconds.parse().map_err(|_| expected())?;
                Duration::try_from_secs_f64(seconds).map(Self::Time).map_err(|_| expected())
            }
        }
    }
}

/// The content of a checkpoint file.
#[derive(Serialize, Deserialize)]
struct CheckpointFile {
    /// The config of the run.
    config: String,
    /// The time of the run up to the checkpoint.
    seconds: Seconds,
    checkpoint: Checkpoint,
}

impl CheckpointFile {
    /// Reads the folder's last complete checkpoint. Fails if it has another config.
    fn last(folder: &RunFolder, log: &mut dyn FnMut(&str)) -> Result<Option<Self>> {
        let mut is_damaged = false;
        let last = folder.last_checkpoint(&mut |error| {
            is_damaged = true;
            log(&format!("{error}; the previous checkpoint is used"));
        });
        let Some((steps, saved)) = last else {
            if is_damaged {
                log("no checkpoint is complete; the run starts from the beginning");
            }
            return Ok(None);
        };
        let saved: Self = saved;
        if saved.config != folder.config().to_toml() {
            let other = TrainConfig::parse("the checkpoint", &saved.config, &[])?;
            bail!(
                "{}: the checkpoint of step {steps} belongs to another run: {}; delete it, or train a new run",
                folder.path().display(),
                folder.config().differences(&other).join(", ")
            );
        }
        log(&format!("resuming from step {steps} of {}", folder.path().display()));
        Ok(Some(saved))
    }
}

/// An observer that writes checkpoints and measures the time of steps and evaluations. It forwards
/// events to another observer.
pub(crate) struct CheckpointObserver<'a> {
    observer: &'a mut dyn Observer,
    folder: &'a RunFolder,
    interval: CheckpointInterval,
    /// The checkpoint to resume from.
    resume_checkpoint: Option<Checkpoint>,
    /// The time of the run before it was resumed.
    previous_seconds: Seconds,
    /// When this process started on the run.
    start: Instant,
    /// When the first step started.
    steps_start: Instant,
    evaluating_since: Option<Instant>,
    validation: Duration,
    last_saved: Instant,
    is_ending: bool,
    has_warned: bool,
}

impl<'a> CheckpointObserver<'a> {
    /// Resumes from the folder's last complete checkpoint and logs it, or starts a new run. `start`
    /// is when this process started on the run.
    ///
    /// # Errors
    /// If the checkpoint has another config.
    pub(crate) fn new(
        observer: &'a mut dyn Observer,
        folder: &'a RunFolder,
        interval: CheckpointInterval,
        start: Instant,
        log: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let last = CheckpointFile::last(folder, log)?;
        let previous_seconds = last.as_ref().map_or_else(Seconds::default, |file| file.seconds);
        let now = Instant::now();
        Ok(Self {
            observer,
            folder,
            interval,
            resume_checkpoint: last.map(|file| file.checkpoint),
            previous_seconds,
            start,
            steps_start: now,
            evaluating_since: None,
            validation: Duration::ZERO,
            last_saved: now,
            is_ending: false,
            has_warned: false,
        })
    }

    /// The folder of the run.
    pub(crate) fn folder(&self) -> &'a RunFolder {
        self.folder
    }

    /// Does work that counts as an evaluation. It may ask the observer whether to stop.
    pub(crate) fn evaluate<T>(&mut self, work: impl FnOnce(&mut dyn Observer) -> T) -> T {
        let since = Instant::now();
        let result = work(self.observer);
        self.validation += since.elapsed();
        result
    }

    /// The time of the run so far.
    pub(crate) fn seconds(&self) -> Seconds {
        let training = self.steps_start.elapsed().saturating_sub(self.validation);
        Seconds {
            total: self.previous_seconds.total + self.start.elapsed().as_secs_f64(),
            training: self.previous_seconds.training + training.as_secs_f64(),
            validation: self.previous_seconds.validation + self.validation.as_secs_f64(),
        }
    }
}

impl Observer for CheckpointObserver<'_> {
    fn resume_from(&mut self) -> Option<Checkpoint> {
        self.resume_checkpoint.take()
    }

    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        let flow = self.observer.on_step(step);
        self.is_ending = flow.is_break();
        flow
    }

    fn should_stop(&mut self) -> bool {
        self.observer.should_stop()
    }

    fn wants_checkpoint(&mut self, step: usize) -> bool {
        self.is_ending
            || match self.interval {
                CheckpointInterval::Never => false,
                CheckpointInterval::Steps(steps) => (step + 1).is_multiple_of(steps.get()),
                CheckpointInterval::Time(time) => self.last_saved.elapsed() >= time,
            }
    }

    fn save_checkpoint(&mut self, checkpoint: Checkpoint) {
        let steps = checkpoint.steps();
        let saved = CheckpointFile { config: self.folder.config().to_toml(), seconds: self.seconds(), checkpoint };
        if let Err(error) = self.folder.write_checkpoint(steps, &saved)
            && !self.has_warned
        {
            print_message(&format!(
                "warning: no checkpoint of step {steps} was written: {error}; the training continues"
            ));
            self.has_warned = true;
        }
        self.last_saved = Instant::now();
    }

    fn on_evaluation_start(&mut self) {
        self.evaluating_since = Some(Instant::now());
        self.observer.on_evaluation_start();
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> ControlFlow<()> {
        self.validation += self.evaluating_since.take().map(|since| since.elapsed()).unwrap_or_default();
        self.observer.on_evaluation(evaluation)
    }
}
