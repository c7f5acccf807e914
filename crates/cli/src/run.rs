//! One run, from its checked config to the files in its folder. `train` makes one, `sweep` and
//! `reproduce` make many.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use chainrule::backend::Backend;
use chainrule::machine::Machine;
use chainrule_core::{GradientSource, TrainConfig, WeightNorms};
use chainrule_data::Provenance;
use chainrule_kernels::Isa;
use chainrule_records::{Divergence, Manifest, RunFolder, Seconds, Summary, Versions};
use chainrule_solve::{Ending, NUMERICS_VERSION, PartialResults, TrainError, Trained, dropped_rows};

use crate::checkpoints::CheckpointObserver;
use crate::rows::PreparedRows;

/// Returns an error if resuming would give another result. `instead` is the alternative that the
/// error suggests.
pub(crate) fn ensure_no_differences(folder: &Path, differences: &[String], instead: &str) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "--resume {}: the result would differ: {}; resume with the same config, data, code and machine, or {instead}",
        folder.display(),
        differences.join("; ")
    )
}

/// Returns the machine for resuming: the one of the manifest, unless an option names another
/// backend.
pub(crate) fn machine_for_resume(
    named: Option<&Backend>,
    previous: Option<&Manifest>,
    threads: NonZero<usize>,
) -> Result<Machine> {
    let previous =
        previous.map(|previous| previous.backend.parse::<Backend>().map_err(anyhow::Error::msg)).transpose()?;
    Ok(Machine::new(named.or(previous.as_ref()), threads)?)
}

/// Returns the manifest: versions, backend and data of the run.
pub(crate) fn manifest(config: &TrainConfig, machine: &Machine, source: &Provenance) -> Manifest {
    Manifest {
        versions: Versions {
            chainrule: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: env!("CHAINRULE_REVISION").to_owned(),
            numerics: NUMERICS_VERSION,
            burn: env!("CHAINRULE_BURN").to_owned(),
        },
        backend: machine.backend().to_string(),
        device: machine.device_text(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        instructions: Isa::best().to_string(),
        threads: threads(config, machine),
        data_source: source.name.clone(),
        data_files: source.files.clone(),
        seed: config.descent().shuffle.seed,
    }
}

/// The number of threads of the fused kernels, or 1 with other gradients. The backend manages its
/// own threads.
fn threads(config: &TrainConfig, machine: &Machine) -> usize {
    let uses_kernel_threads =
        config.descent().gradient == GradientSource::Fused && !machine.backend().has_separate_memory();
    if uses_kernel_threads { machine.threads().get() } else { 1 }
}

/// Trains and writes the results into the folder of `observer`'s run.
///
/// # Errors
/// [`Diverged`] if the training diverged, and any error of training or writing.
pub(crate) fn run(
    machine: &Machine,
    rows: &PreparedRows,
    observer: &mut CheckpointObserver,
) -> Result<(Summary, Ending)> {
    let folder = observer.folder();
    let config = folder.config();
    Run { config, machine, rows, folder }.train(observer)
}

/// Whether the error is an interruption before there was anything to save.
pub(crate) fn is_interruption(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TrainError::Interrupted))
}

/// An error: the training diverged. The folder records the divergence and has no model.
#[derive(Debug, thiserror::Error)]
#[error("{}: training diverged; try {divergence_hint}; the history so far is in {}", .divergence.problem, .folder.display())]
pub(crate) struct Diverged {
    pub(crate) divergence: Divergence,
    divergence_hint: String,
    folder: PathBuf,
}

/// A run in progress.
struct Run<'a> {
    config: &'a TrainConfig,
    machine: &'a Machine,
    rows: &'a PreparedRows,
    folder: &'a RunFolder,
}

impl Run<'_> {
    fn train(&self, observer: &mut CheckpointObserver) -> Result<(Summary, Ending)> {
        let trained = self.rows.train(self.config, self.machine, observer);
        let trained = match trained {
            Err(TrainError::DeviceLost(lost)) => {
                return Err(self.save_partial_results(
                    &lost,
                    &format!("{} stopped responding", self.machine.backend()),
                    &lost.reason,
                ));
            }
            Err(TrainError::DataLost(lost)) => {
                return Err(self.save_partial_results(&lost, &lost.reason, "the training stopped"));
            }
            other => other?,
        };
        let problem = match (trained.ending, self.machine.norms(&trained.parameters)) {
            (Ending::Diverged { step }, _) => Err((step, format!("the loss of step {step} is not finite"))),
            (_, None) => {
                let step = trained.steps.saturating_sub(1);
                Err((step, "the sum of the squares of the weights is not finite".to_owned()))
            }
            (_, Some(norm)) => Ok(norm),
        };
        let norm = match problem {
            Ok(norm) => norm,
            Err((step, problem)) => {
                let divergence = Divergence { step, problem };
                self.folder.write_divergence(&trained.history, &divergence)?;
                bail!(Diverged {
                    divergence,
                    divergence_hint: self.config.divergence_hint(),
                    folder: self.folder.path().to_owned()
                })
            }
        };
        let folder = self.folder.path().display();
        if let Some(held_out) = self.rows.held_out() {
            self.folder.write_held_out(held_out.rows())?;
        }
        // Who interrupts a training does not wait for it.
        let further_decrease = match trained.ending {
            Ending::Interrupted => None,
            _ => observer.evaluate(|observer| {
                self.rows.further_decrease(self.config, self.machine, &trained.parameters, observer)
            })?,
        };
        let summary = self.summary(&trained, norm, further_decrease, observer.seconds())?;
        let summary = self
            .folder
            .finish(&trained.history, &trained.parameters, self.rows.preprocessing(), summary)
            .map_err(|error| anyhow!("{error}; once it can be written again, --resume {folder} continues the run"))?;
        Ok((summary, trained.ending))
    }

    /// Saves the results so far after the device or the data was lost. Returns the error to report.
    fn save_partial_results(&self, lost: &PartialResults, problem: &str, detail: &str) -> anyhow::Error {
        let save = || -> Result<String> {
            self.folder.write_history(&lost.history)?;
            let Some((step, parameters)) = &lost.parameters else { return Ok(String::new()) };
            self.folder.write_model(parameters, self.rows.preprocessing())?;
            Ok(format!(" and the model of step {step}"))
        };
        match save() {
            Ok(model) => anyhow!(
                "{problem} after step {} ({detail}); the history so far{model} is in {}",
                lost.history.train_loss.len(),
                self.folder.path().display()
            ),
            Err(error) => error.context(format!("{problem} ({detail})")),
        }
    }

    fn summary(
        &self,
        trained: &Trained,
        norm: WeightNorms,
        further_decrease: Option<f64>,
        seconds: Seconds,
    ) -> Result<Summary> {
        let (best_step, best_validation_loss) = trained.best.context("no evaluation was made")?;
        let stop_step = trained.steps.saturating_sub(1);
        Ok(Summary {
            experiment: self.config.experiment().to_owned(),
            model: self.config.model().kind,
            backend: self.machine.backend().to_string(),
            device: self.machine.device_text(),
            precision: self.config.descent().precision,
            gradient: self.config.descent().gradient,
            threads: threads(self.config, self.machine),
            data: self.rows.about().clone(),
            class_weights: trained.class_weights.clone(),
            seed: self.config.descent().shuffle.seed,
            steps: trained.steps,
            steps_per_epoch: trained.steps_per_epoch,
            dropped_rows: dropped_rows(self.config, self.rows.about().train),
            epochs_completed: trained.steps / trained.steps_per_epoch,
            stopped_early: trained.ending == Ending::StoppedEarly,
            interrupted: trained.ending == Ending::Interrupted,
            stop_epoch: stop_step / trained.steps_per_epoch,
            stop_step,
            certificate: trained.certificate,
            identification: trained
                .identification
                .as_ref()
                .map(|identification| identification.named(&self.rows.about().features, &self.rows.about().classes)),
            best_step,
            best_validation_loss,
            final_metrics: trained.final_metrics,
            constant: Some(self.rows.constant()),
            further_decrease,
            weight_norm: norm,
            seconds,
            files: BTreeMap::new(),
        })
    }
}
