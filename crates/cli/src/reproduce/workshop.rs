//! Makes the runs of a plan, several at once, and takes those that are there.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use chainrule_data::{Data, sha256};
use chainrule_kernels::Isa;
use chainrule_records::{Evaluation, GradientChecks, RunError, RunFolder, TrainConfig, write_whole};
use chainrule_report::{PlannedRun, Run, Runs, Start};
use chainrule_training::{Ending, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::check_gradients;
use crate::checkpoints::{Every, Keeper};
use crate::progress::is_interrupted;
use crate::run::{Loaded, Machine, Rows, Source, all_threads, manifest, run};
use crate::say;

/// The seed of the gradient checks that the report tells of.
const CHECK_SEED: u64 = 0;

/// Makes runs, or takes those that are there.
pub(super) struct Workshop<'a> {
    machine: &'a Machine,
    data: &'a Data,
    source: &'a Source,
    folder: &'a Path,
    /// Rows on the device, by the part of a config that decides them.
    loaded: Mutex<HashMap<String, Arc<Loaded>>>,
    is_shown: bool,
    /// Set where the work ends early, so that runs under way end too.
    ended: AtomicBool,
}

/// What was made, or found.
pub(super) struct Made {
    pub(super) runs: Runs,
    pub(super) checks: Option<GradientChecks>,
    /// How many runs were there already.
    pub(super) reused: usize,
}

/// Where the work stands.
#[derive(Default)]
struct State {
    /// The runs that someone works on, or has.
    taken: Vec<String>,
    runs: Runs,
    checks: Option<GradientChecks>,
    reused: usize,
    /// Why the work ends early, where it does.
    ended: Option<Result<()>>,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(
        machine: &'a Machine,
        data: &'a Data,
        source: &'a Source,
        folder: &'a Path,
        is_shown: bool,
    ) -> Self {
        Self { machine, data, source, folder, loaded: Mutex::default(), is_shown, ended: AtomicBool::new(false) }
    }

    /// Makes all of these runs, and the gradient checks where they are asked for; nothing where the person interrupted.
    pub(super) fn make(&self, planned: &[&PlannedRun], with_checks: bool) -> Result<Option<Made>> {
        let state = Mutex::new(State::default());
        let changed = Condvar::new();
        let bar = self.bar(planned.len());
        thread::scope(|scope| {
            for _ in 0..self.workers() {
                scope.spawn(|| self.work(planned, &state, &changed, &bar));
            }
            let checks = with_checks.then(|| self.checks()).transpose();
            let mut state = lock(&state);
            match checks {
                Ok(checks) => state.checks = checks,
                Err(error) => self.end(&mut state, Err(error)),
            }
        });
        bar.finish_and_clear();
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.ended {
            None => Ok(Some(Made { runs: state.runs, checks: state.checks, reused: state.reused })),
            Some(Ok(())) => Ok(None),
            Some(Err(error)) => Err(error),
        }
    }

    /// Ends the work early; the first reason counts.
    fn end(&self, state: &mut State, why: Result<()>) {
        state.ended.get_or_insert(why);
        self.ended.store(true, Ordering::SeqCst);
    }

    /// A CPU backend takes a core a run. A GPU is one machine, whose memory and queue runs would only share.
    fn workers(&self) -> usize {
        if self.machine.backend.is_apart() { 1 } else { all_threads().get() }
    }

    fn bar(&self, runs: usize) -> ProgressBar {
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} runs  {elapsed}  {msg}");
        let target = if self.is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(runs as u64), target)
            .with_style(style.expect("the template is well-formed"));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// Takes one run after the other, the first that waits for no other, until none is left.
    fn work(&self, planned: &[&PlannedRun], state: &Mutex<State>, changed: &Condvar, bar: &ProgressBar) {
        loop {
            let (next, start) = {
                let mut state = lock(state);
                loop {
                    if state.ended.is_some() || state.taken.len() == planned.len() {
                        return;
                    }
                    let ready = |run: &&&PlannedRun| {
                        !state.taken.contains(&run.name) && run.waits_for().all(|name| state.runs.has(name))
                    };
                    if let Some(run) = planned.iter().find(ready).copied() {
                        let start = Start {
                            skip_epochs: run.after.as_ref().map_or(0, |name| epochs_drawn(state.runs.get(name))),
                            epochs: run.as_long_as.as_ref().map(|name| epochs_begun(state.runs.get(name))),
                        };
                        state.taken.push(run.name.clone());
                        break (run, start);
                    }
                    state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            };
            // A panic must not leave those waiting that wait for this run.
            let made = catch_unwind(AssertUnwindSafe(|| self.one(next, start, bar)));
            let made = made.unwrap_or_else(|_| Err(anyhow!("it panicked: see above")));
            let made = made.with_context(|| format!("run {}", next.name));
            let mut state = lock(state);
            match made {
                Ok(Some((run, was_there))) => {
                    state.runs.insert(run);
                    state.reused += usize::from(was_there);
                    bar.inc(1);
                }
                Ok(None) => self.end(&mut state, Ok(())),
                Err(error) => self.end(&mut state, Err(error)),
            }
            changed.notify_all();
        }
    }

    /// A run and whether it was there already; nothing where the person interrupted.
    fn one(&self, planned: &PlannedRun, begin: Start, bar: &ProgressBar) -> Result<Option<(Run, bool)>> {
        if is_interrupted() {
            return Ok(None);
        }
        let config = self.machine.settle(planned.config(begin)?)?;
        let path = self.folder.join(format!("{}-{}", planned.name, self.key(&config.to_toml())));
        // What is not whole, of a run that was killed, say, is made again.
        if let Ok(run) = Run::read(&planned.name, &path) {
            return Ok(Some((run, true)));
        }
        let start = Instant::now();
        let rows = self.rows(&config)?;
        // Made beside its place, which is left to what is finished; one that was interrupted goes on.
        let making = self.folder.join(format!(".making-{}", path.file_name().unwrap_or_default().display()));
        let Some(folder) = self.begin(&making, &config)? else { return Ok(None) };
        // Another process may have finished it meanwhile.
        if let Ok(run) = Run::read(&planned.name, &path) {
            let _ = std::fs::remove_dir_all(&making);
            return Ok(Some((run, true)));
        }
        let mut watch = Watch { name: &planned.name, bar, ended: &self.ended };
        let mut tell = |line: &str| bar.suspend(|| say(&format!("run {}: {line}", planned.name)));
        let mut keeper = Keeper::new(&mut watch, &folder, Every::default(), start, &mut tell)?;
        let (_, ending) = run(self.machine, &rows, &mut keeper)?;
        if ending == Ending::Interrupted {
            return Ok(None);
        }
        let whole = Run::read(&planned.name, &making)?;
        folder.move_to(&path)?;
        Ok(Some((whole, false)))
    }

    /// The folder of a run to be made, or to go on with; waits for another process that is making the same. Nothing where the person interrupted.
    fn begin(&self, path: &Path, config: &TrainConfig) -> Result<Option<RunFolder>> {
        let manifest = manifest(config, self.machine, self.source);
        loop {
            let folder = match RunFolder::open(path) {
                Ok(folder) if folder.config() == config && folder.manifest().differences(&manifest).is_empty() => {
                    Ok(folder)
                }
                Ok(other) => {
                    drop(other);
                    RunFolder::create(path, true, config, &manifest)
                }
                Err(RunError::Unfinished { .. }) => RunFolder::create(path, true, config, &manifest),
                Err(error) => Err(error),
            };
            match folder {
                Err(RunError::Busy { .. }) if is_interrupted() || self.ended.load(Ordering::Relaxed) => {
                    return Ok(None);
                }
                Err(RunError::Busy { .. }) => thread::sleep(Duration::from_millis(100)),
                folder => return Ok(Some(folder?)),
            }
        }
    }

    /// What names a result: it changes with the config, the data, the code and the machine, whatever is computed from them.
    fn key(&self, config: &str) -> String {
        let device = format!("{:?}", self.machine.device);
        let parts = [
            config,
            &self.source.sha256(),
            env!("CARGO_PKG_VERSION"),
            env!("CHAINRULE_SOURCE"),
            &self.machine.backend.to_string(),
            &device,
            // Kernels for other instructions round otherwise.
            &Isa::best().to_string(),
        ];
        let mut key = sha256(parts.iter().flat_map(|part| [part.as_bytes(), b"\0"]));
        key.truncate(16);
        key
    }

    /// The rows of a config, moved to the device by the first run that needs them.
    fn rows(&self, config: &TrainConfig) -> Result<Arc<Loaded>> {
        let (precision, gradient) = (config.descent().precision, config.descent().gradient);
        let key = format!("{:?} {:?} {precision:?} {gradient:?}", config.data(), config.model().kind);
        let mut loaded = lock(&self.loaded);
        if let Some(rows) = loaded.get(&key) {
            return Ok(Arc::clone(rows));
        }
        let rows = Rows::new(config, self.data, self.source, self.machine)?.load(config, self.machine);
        let rows = Arc::new(rows);
        loaded.insert(key, Arc::clone(&rows));
        Ok(rows)
    }

    /// The gradient checks of this build on this machine.
    fn checks(&self) -> Result<GradientChecks> {
        let path = self.folder.join(format!("gradcheck-{}.json", self.key(&format!("gradcheck {CHECK_SEED}"))));
        let found = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(checks) = found {
            return Ok(checks);
        }
        let checks = check_gradients::check(self.machine, CHECK_SEED);
        std::fs::create_dir_all(self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        write_whole(&path, &serde_json::to_vec_pretty(&checks).context("writing the gradient checks")?)?;
        Ok(checks)
    }
}

/// Epochs whose orders the stream has drawn when this run ends, with those of the runs before it.
fn epochs_drawn(run: &Run) -> usize {
    run.config.descent().shuffle.skip_epochs + epochs_begun(run)
}

fn epochs_begun(run: &Run) -> usize {
    run.summary.stop_epoch + 1
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says on the common bar where a run is, and looks out for Ctrl-C.
struct Watch<'a> {
    name: &'a str,
    bar: &'a ProgressBar,
    ended: &'a AtomicBool,
}

impl Observer for Watch<'_> {
    fn step_taken(&mut self, _: usize) -> ControlFlow<()> {
        let ends = is_interrupted() || self.ended.load(Ordering::Relaxed);
        if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn evaluation_ends(&mut self, evaluation: &Evaluation) {
        self.bar.set_message(format!("{}, step {}", self.name, evaluation.step));
    }
}
