//! Makes the runs of a plan, several at once, and reuses finished ones.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use chainrule::machine::Machine;
use chainrule_audit::{PlannedRun, Start};
use chainrule_core::TrainConfig;
use chainrule_data::{Data, Dataset, Provenance, sha256};
use chainrule_kernels::Isa;
use chainrule_records::{ConfigFile, GradientChecks, RunError, RunFolder, read_sealed, sealed, write_whole};
use chainrule_report::{Run, Runs};
use chainrule_solve::NUMERICS_VERSION;

use crate::check_gradients;
use crate::checkpoints::CheckpointInterval;
use crate::jobs::{JobPool, JobResults};
use crate::progress::is_interrupted;
use crate::rows::{PreparedRows, SelectedRows};
use crate::run::manifest;

/// The seed of the report's gradient checks.
const CHECK_SEED: u64 = 0;

/// Makes or reuses the runs of a report.
pub(super) struct ReportRunner<'a> {
    pub(super) jobs: JobPool<'a>,
    pub(super) machine: &'a Machine,
    pub(super) data: &'a Data,
    pub(super) source: &'a Provenance,
    pub(super) folder: &'a Path,
}

/// The finished runs of a report.
pub(super) struct FinishedRuns {
    pub(super) runs: Runs,
    pub(super) checks: Option<GradientChecks>,
    /// The number of reused runs.
    pub(super) reused: usize,
}

impl ReportRunner<'_> {
    /// Makes all of these runs, and the gradient checks if `with_checks`. Returns `None` if
    /// interrupted.
    pub(super) fn make(&self, planned: &[&PlannedRun], with_checks: bool) -> Result<Option<FinishedRuns>> {
        let names: Vec<&str> = planned.iter().map(|run| run.name.as_str()).collect();
        let begin = |run: usize, done: &[Option<(Run, bool)>]| {
            let finished_run = |name: &String| {
                let place = names.iter().position(|other| other == name)?;
                done[place].as_ref().map(|(run, _)| run)
            };
            let (after, as_long_as) = (&planned[run].after, &planned[run].as_long_as);
            Some(Start {
                skip_epochs: after.as_ref().map(|name| finished_run(name).map(epochs_drawn)).unwrap_or(Some(0))?,
                epochs: match as_long_as {
                    None => None,
                    Some(name) => Some(epochs_begun(finished_run(name)?)),
                },
            })
        };
        let make = |run: usize, begin: Start| self.make_run(planned[run], begin);
        let side_result = || with_checks.then(|| self.checks()).transpose();
        let JobResults { done, side_result: checks, is_interrupted } =
            self.jobs.work(&names, begin, make, side_result)?;
        if is_interrupted {
            return Ok(None);
        }
        let mut finished = FinishedRuns { runs: Runs::default(), checks: checks.flatten(), reused: 0 };
        for (run, is_reused) in done.into_iter().flatten() {
            finished.runs.insert(run);
            finished.reused += usize::from(is_reused);
        }
        Ok(Some(finished))
    }

    /// Returns a run and whether it was reused, or `None` if interrupted.
    fn make_run(&self, planned: &PlannedRun, begin: Start) -> Result<Option<(Run, bool)>> {
        let config = self.machine.resolve_defaults(planned.config(begin)?)?;
        let path = self.folder.join(format!("{}-{}", planned.name, self.key(&config.to_toml())));
        // A run that is not whole, for example after a kill, is made again.
        match Run::read(&planned.name, &path) {
            Ok(run) => return Ok(Some((run, true))),
            Err(error) if path.exists() => {
                self.jobs.log(&format!("run {}: {error}; the run is made again", planned.name));
            }
            Err(_) => {}
        }
        let start = Instant::now();
        let rows = self.rows(&config)?;
        // The run is made in a temporary folder beside its final one, which holds finished runs
        // only. An interrupted run is resumed.
        let temporary = self.folder.join(format!(".making-{}", path.file_name().unwrap_or_default().display()));
        let Some(folder) = self.begin(&temporary, &config)? else { return Ok(None) };
        // Another process may have finished the run meanwhile.
        if let Ok(run) = Run::read(&planned.name, &path) {
            folder.discard()?;
            return Ok(Some((run, true)));
        }
        if self.jobs.run(&planned.name, &folder, &rows, CheckpointInterval::default(), start)?.is_none() {
            return Ok(None);
        }
        let run = Run::read(&planned.name, &temporary)?;
        folder.move_to(&path)?;
        Ok(Some((run, false)))
    }

    /// Creates or resumes the folder of a run. Waits if another process is making the same run.
    /// Returns `None` if interrupted.
    fn begin(&self, path: &Path, config: &TrainConfig) -> Result<Option<RunFolder>> {
        let manifest = manifest(config, self.machine, self.source);
        let open_or_create = || {
            match RunFolder::open(path) {
                Ok(folder) if folder.config() == config && folder.manifest().differences(&manifest).is_empty() => {
                    return Ok(folder);
                }
                Ok(other) => other.discard()?,
                Err(RunError::Incomplete { .. }) => RunFolder::remove(path)?,
                Err(error) => return Err(error),
            }
            RunFolder::create(path, false, config, &manifest)
        };
        Ok(self.jobs.wait_for(open_or_create)?)
    }

    /// Returns the key of a result. It is a hash of everything that can change the result: config,
    /// data, code and machine.
    fn key(&self, config: &str) -> String {
        let device = self.machine.device_text();
        let parts = [
            config,
            &self.source.sha256(),
            &NUMERICS_VERSION.to_string(),
            &self.machine.backend().to_string(),
            &device,
            // Kernels with other instruction sets round differently.
            &Isa::best().to_string(),
        ];
        let mut key = sha256(parts.iter().flat_map(|part| [part.as_bytes(), b"\0"]));
        key.truncate(16);
        key
    }

    /// Returns the rows of a config. The first run that needs them loads them to the device.
    fn rows(&self, config: &TrainConfig) -> Result<Arc<PreparedRows>> {
        let (precision, gradient) = (config.descent().precision, config.descent().gradient);
        let key = format!("{:?} {:?} {precision:?} {gradient:?}", config.data(), config.model().kind);
        self.jobs.rows(&key, || {
            let data = Dataset::Images(self.data.clone());
            SelectedRows::of(data, config, self.source, self.machine)?.load(config, self.machine)
        })
    }

    /// Returns the gradient checks of this build on this machine.
    fn checks(&self) -> Result<GradientChecks> {
        // The checks depend on the training code and on the checker, which `NUMERICS_VERSION` does
        // not cover. So their key has the git revision.
        let revision = env!("CHAINRULE_REVISION");
        let build = format!("gradcheck {CHECK_SEED} {} {revision}", env!("CARGO_PKG_VERSION"));
        let path = self.folder.join(format!("gradcheck-{}.json", self.key(&build)));
        match read_sealed(&path, "the checks are run again") {
            Ok(checks) if !revision.ends_with("-dirty") => return Ok(checks),
            Err(error) if path.exists() => self.jobs.log(&error.to_string()),
            Ok(_) | Err(_) => {}
        }
        let checks = check_gradients::check(self.machine, CHECK_SEED, &|_| ())?;
        if is_interrupted() {
            bail!("the gradient checks were interrupted");
        }
        std::fs::create_dir_all(self.folder).with_context(|| format!("cannot create {}", self.folder.display()))?;
        write_whole(&path, &sealed(&checks))?;
        Ok(checks)
    }
}

/// The number of epochs whose orders the random stream has drawn at the end of this run, including
/// earlier runs.
fn epochs_drawn(run: &Run) -> usize {
    run.config.descent().shuffle.skip_epochs + epochs_begun(run)
}

fn epochs_begun(run: &Run) -> usize {
    run.summary.stop_epoch + 1
}
