//! Several runs at once, each on a thread of its own: what `reproduce` and `sweep` share.

use std::collections::HashMap;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use chainrule::machine::{Machine, all_threads};
use chainrule_core::{Evaluation, visible};
use chainrule_records::{RunError, RunFolder, Summary};
use chainrule_solve::{Ending, Observer, most_steps};
use indicatif::{ProgressBar, ProgressStyle};

use crate::checkpoints::{CheckpointInterval, CheckpointObserver};
use crate::output::say;
use crate::progress::{TICK, is_interrupted, target};
use crate::rows::PreparedRows;
use crate::run::{is_interruption, run};

/// Workers that make runs, and what they have in common.
pub(crate) struct JobPool<'a> {
    machine: &'a Machine,
    workers: NonZero<usize>,
    /// What one of their tasks is called.
    task: &'static str,
    is_quiet: bool,
    bar: ProgressBar,
    /// Tasks that are done, and of those under way, by name, how many of their [`PARTS`].
    parts: Mutex<(u64, HashMap<String, u64>)>,
    /// Rows on the device, by what decides them.
    loaded: Mutex<HashMap<String, Arc<PreparedRows>>>,
    /// Set where the work ends early, so that runs under way end too.
    ended: AtomicBool,
}

/// Of a task, as the bar moves.
const PARTS: u64 = 1000;

/// How far the work came.
pub(crate) struct Work<T, A> {
    /// What each task gave, in their order; nothing for those that were not done where the person
    /// interrupted.
    pub(crate) done: Vec<Option<T>>,
    /// What was done beside them; nothing where that failed after the person interrupted.
    pub(crate) aside: Option<A>,
    pub(crate) is_interrupted: bool,
}

/// Where the work stands.
struct State<T> {
    /// The tasks that someone works on, or has done.
    taken: Vec<bool>,
    done: Vec<Option<T>>,
    /// Why the work ends early, where it does.
    ended: Option<Result<()>>,
}

/// As many trainings as this machine makes at once: a CPU backend takes `threads` cores a run. A
/// GPU is one machine, whose memory and queue runs would only share.
pub(crate) fn workers(machine: &Machine, threads: NonZero<usize>) -> NonZero<usize> {
    if machine.backend().is_apart() {
        return NonZero::<usize>::MIN;
    }
    NonZero::new(all_threads().get() / threads).unwrap_or(NonZero::<usize>::MIN)
}

impl<'a> JobPool<'a> {
    /// `task` is what a person calls one of the tasks, as in `run`; a bar is drawn where
    /// `is_shown`.
    pub(crate) fn new(
        machine: &'a Machine,
        workers: NonZero<usize>,
        task: &'static str,
        is_quiet: bool,
        is_shown: bool,
    ) -> Self {
        let style = ProgressStyle::with_template(&format!("{{bar:32}} {{prefix}} {task}s  {{elapsed}}  {{msg}}"));
        let style = style.expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(None, target(is_shown)).with_style(style);
        let (parts, loaded, ended) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Self { machine, workers, task, is_quiet, bar, parts, loaded, ended }
    }

    /// Does the tasks of these names, each as soon as `begin` says with what it begins, given what
    /// is done; and `aside` here, meanwhile. The first error ends all of it.
    pub(crate) fn work<B, T: Send, A>(
        &self,
        names: &[&str],
        begin: impl Fn(usize, &[Option<T>]) -> Option<B> + Sync,
        make: impl Fn(usize, B) -> Result<Option<T>> + Sync,
        aside: impl FnOnce() -> Result<A>,
    ) -> Result<Work<T, A>> {
        let tasks = names.len();
        let state = State { taken: vec![false; tasks], done: (0..tasks).map(|_| None).collect(), ended: None };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        self.bar.set_length(tasks as u64 * PARTS);
        self.bar.set_prefix(format!("0/{tasks}"));
        self.bar.enable_steady_tick(TICK);
        let aside = thread::scope(|scope| {
            for _ in 0..self.workers.get().min(tasks) {
                scope.spawn(|| self.take_turns(names, &begin, &make, &state, &changed));
            }
            let why = |error| if is_interrupted() { Ok(()) } else { Err(error) };
            aside().map_err(|error| self.end(&mut lock(&state), why(error))).ok()
        });
        self.bar.finish_and_clear();
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_interrupted = state.ended.is_some();
        state.ended.transpose()?;
        Ok(Work { done: state.done, aside, is_interrupted })
    }

    /// Ends the work early; the first reason counts.
    fn end<T>(&self, state: &mut State<T>, why: Result<()>) {
        state.ended.get_or_insert(why);
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Does one task after the other, the first that can begin, until none is left.
    fn take_turns<B, T>(
        &self,
        names: &[&str],
        begin: &impl Fn(usize, &[Option<T>]) -> Option<B>,
        make: &impl Fn(usize, B) -> Result<Option<T>>,
        state: &Mutex<State<T>>,
        changed: &Condvar,
    ) {
        loop {
            let (task, start) = {
                let mut state = lock(state);
                loop {
                    if state.ended.is_some() || state.taken.iter().all(|taken| *taken) {
                        return;
                    }
                    let free = (0..names.len()).filter(|&task| !state.taken[task]);
                    let next = free.into_iter().find_map(|task| Some((task, begin(task, &state.done)?)));
                    if let Some((task, start)) = next {
                        state.taken[task] = true;
                        break (task, start);
                    }
                    state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            };
            // A panic must not leave those waiting that wait for this task.
            let made = catch_unwind(AssertUnwindSafe(|| if is_interrupted() { Ok(None) } else { make(task, start) }));
            let made = made.unwrap_or_else(|_| Err(anyhow!("it panicked: see above")));
            let made = made.with_context(|| format!("{} {}", self.task, names[task]));
            let mut state = lock(state);
            match made {
                Ok(Some(made)) => {
                    state.done[task] = Some(made);
                    self.is_done(names[task], names.len());
                }
                Ok(None) => self.end(&mut state, Ok(())),
                Err(error) => self.end(&mut state, Err(error)),
            }
            changed.notify_all();
        }
    }

    /// A task came so far.
    fn has_come(&self, name: &str, parts: u64) {
        let mut state = lock(&self.parts);
        state.1.insert(name.to_owned(), parts);
        self.bar.set_position(state.0 * PARTS + state.1.values().sum::<u64>());
    }

    /// One of so many tasks is done.
    fn is_done(&self, name: &str, tasks: usize) {
        let mut state = lock(&self.parts);
        state.1.remove(name);
        state.0 += 1;
        self.bar.set_prefix(format!("{}/{tasks}", state.0));
        self.bar.set_position(state.0 * PARTS + state.1.values().sum::<u64>());
    }

    /// A line for the person, above the bar.
    pub(crate) fn log(&self, line: &str) {
        if !self.is_quiet {
            self.bar.suspend(|| say(line));
        }
    }

    /// A run's folder, as `take` gets it, as soon as no other process has it; nothing where the
    /// work ends before.
    pub(crate) fn wait_for(
        &self,
        take: impl Fn() -> Result<RunFolder, RunError>,
    ) -> Result<Option<RunFolder>, RunError> {
        loop {
            match take() {
                Err(RunError::Busy { .. }) if self.is_over() => return Ok(None),
                Err(RunError::Busy { .. }) => thread::sleep(Duration::from_millis(100)),
                folder => return folder.map(Some),
            }
        }
    }

    /// Trains in a folder, or goes on there; nothing where the work ends before the training does.
    pub(crate) fn run(
        &self,
        name: &str,
        folder: &RunFolder,
        rows: &PreparedRows,
        every: CheckpointInterval,
        start: Instant,
    ) -> Result<Option<Summary>> {
        let steps = most_steps(folder.config(), rows.about().train)?;
        let mut watch = Watch { name, jobs: self, steps, parts: 0 };
        let mut log = |line: &str| self.log(&format!("{} {name}: {line}", self.task));
        let mut keeper = CheckpointObserver::new(&mut watch, folder, every, start, &mut log)?;
        match run(self.machine, rows, &mut keeper) {
            Ok((_, Ending::Interrupted)) => Ok(None),
            Ok((summary, _)) => Ok(Some(summary)),
            Err(error) if is_interruption(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The rows of this key, made by the first run that needs them; the others wait for it.
    pub(crate) fn rows(&self, key: &str, make: impl FnOnce() -> Result<PreparedRows>) -> Result<Arc<PreparedRows>> {
        let mut loaded = lock(&self.loaded);
        if let Some(rows) = loaded.get(key) {
            return Ok(Arc::clone(rows));
        }
        let rows = Arc::new(make()?);
        loaded.insert(key.to_owned(), Arc::clone(&rows));
        Ok(rows)
    }

    /// Lets go of rows that no other run needs.
    pub(crate) fn let_go(&self, key: &str) {
        lock(&self.loaded).remove(key);
    }

    fn is_over(&self) -> bool {
        is_interrupted() || self.ended.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says on the common bar where a run is, and looks out for Ctrl-C.
struct Watch<'a> {
    name: &'a str,
    jobs: &'a JobPool<'a>,
    /// Of the run, at most, and how many of its [`PARTS`] were told.
    steps: usize,
    parts: u64,
}

impl Observer for Watch<'_> {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        let parts = ((step + 1) as f64 / self.steps as f64 * PARTS as f64) as u64;
        if parts != self.parts {
            self.parts = parts;
            self.jobs.has_come(self.name, parts);
        }
        if self.jobs.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn should_stop(&mut self) -> bool {
        self.jobs.is_over()
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) {
        self.jobs.bar.set_message(format!("{}, step {}", visible(self.name), evaluation.step));
    }
}
