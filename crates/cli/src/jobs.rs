//! Makes several runs at once, each on its own thread. `reproduce` and `sweep` share this.

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
use chainrule_core::{Evaluation, escape_controls};
use chainrule_records::{RunError, RunFolder, Summary};
use chainrule_solve::{Ending, Observer, max_steps};
use indicatif::{ProgressBar, ProgressStyle};

use crate::checkpoints::{CheckpointInterval, CheckpointObserver};
use crate::output::print_message;
use crate::progress::{TICK, is_interrupted, target};
use crate::rows::PreparedRows;
use crate::run::{is_interruption, run};

/// A pool of workers that make runs, with the state that they share.
pub(crate) struct JobPool<'a> {
    machine: &'a Machine,
    workers: NonZero<usize>,
    /// The word for one task in messages.
    task: &'static str,
    is_quiet: bool,
    bar: ProgressBar,
    /// The number of finished tasks, and the finished parts of each task in progress, of
    /// [`PARTS_PER_TASK`].
    parts: Mutex<(u64, HashMap<String, u64>)>,
    /// The rows on the device, by the key that identifies them.
    loaded_rows: Mutex<HashMap<String, Arc<PreparedRows>>>,
    /// Set when the work ends early. Runs in progress then end, too.
    ended: AtomicBool,
}

/// The steps of the progress bar for one task.
const PARTS_PER_TASK: u64 = 1000;

/// The result of [`JobPool::work`].
pub(crate) struct JobResults<T, A> {
    /// The result of each task, in the order of the tasks. `None` for tasks that an interruption
    /// left undone.
    pub(crate) done: Vec<Option<T>>,
    /// The result of the work beside the tasks. `None` if it failed after an interruption.
    pub(crate) side_result: Option<A>,
    pub(crate) is_interrupted: bool,
}

/// The state of the tasks.
struct TaskStates<T> {
    /// Whether each task is taken: in progress or done.
    taken: Vec<bool>,
    done: Vec<Option<T>>,
    /// The reason why the work ends early, if it does.
    ended: Option<Result<()>>,
}

/// Returns how many trainings this machine runs at once. On a CPU backend each run takes `threads`
/// cores. A GPU runs one at a time, since several would only share its memory and queue.
pub(crate) fn workers(machine: &Machine, threads: NonZero<usize>) -> NonZero<usize> {
    if machine.backend().has_separate_memory() {
        return NonZero::<usize>::MIN;
    }
    NonZero::new(all_threads().get() / threads).unwrap_or(NonZero::<usize>::MIN)
}

impl<'a> JobPool<'a> {
    /// Creates a pool. `task` is the word for one task in messages, such as `run`. The progress bar
    /// is drawn if `is_shown`.
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
        let (parts, loaded_rows, ended) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Self { machine, workers, task, is_quiet, bar, parts, loaded_rows, ended }
    }

    /// Runs each task when its dependencies are done. Meanwhile `side_result` runs on this thread.
    ///
    /// `begin` gets the results so far. It returns the start of a task, or `None` if the task has
    /// to wait. The first error ends all work.
    pub(crate) fn work<B, T: Send, A>(
        &self,
        names: &[&str],
        begin: impl Fn(usize, &[Option<T>]) -> Option<B> + Sync,
        make: impl Fn(usize, B) -> Result<Option<T>> + Sync,
        side_result: impl FnOnce() -> Result<A>,
    ) -> Result<JobResults<T, A>> {
        let tasks = names.len();
        let state = TaskStates { taken: vec![false; tasks], done: (0..tasks).map(|_| None).collect(), ended: None };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        self.bar.set_length(tasks as u64 * PARTS_PER_TASK);
        self.bar.set_prefix(format!("0/{tasks}"));
        self.bar.enable_steady_tick(TICK);
        let side_result = thread::scope(|scope| {
            for _ in 0..self.workers.get().min(tasks) {
                scope.spawn(|| self.run_worker(names, &begin, &make, &state, &changed));
            }
            let reason = |error| if is_interrupted() { Ok(()) } else { Err(error) };
            side_result().map_err(|error| self.end(&mut lock(&state), reason(error))).ok()
        });
        self.bar.finish_and_clear();
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_interrupted = state.ended.is_some();
        state.ended.transpose()?;
        Ok(JobResults { done: state.done, side_result, is_interrupted })
    }

    /// Ends the work early. The first reason is kept.
    fn end<T>(&self, state: &mut TaskStates<T>, reason: Result<()>) {
        state.ended.get_or_insert(reason);
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Runs tasks until none is left. Each time it takes the first task that can begin.
    fn run_worker<B, T>(
        &self,
        names: &[&str],
        begin: &impl Fn(usize, &[Option<T>]) -> Option<B>,
        make: &impl Fn(usize, B) -> Result<Option<T>>,
        state: &Mutex<TaskStates<T>>,
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
            // A panic must not leave other workers waiting for this task.
            let result = catch_unwind(AssertUnwindSafe(|| if is_interrupted() { Ok(None) } else { make(task, start) }));
            let result = result.unwrap_or_else(|_| Err(anyhow!("it panicked; the message is above")));
            let result = result.with_context(|| format!("{} {}", self.task, names[task]));
            let mut state = lock(state);
            match result {
                Ok(Some(result)) => {
                    state.done[task] = Some(result);
                    self.finish_task(names[task], names.len());
                }
                Ok(None) => self.end(&mut state, Ok(())),
                Err(error) => self.end(&mut state, Err(error)),
            }
            changed.notify_all();
        }
    }

    /// Updates the progress of a task.
    fn set_progress(&self, name: &str, parts: u64) {
        let mut state = lock(&self.parts);
        state.1.insert(name.to_owned(), parts);
        self.bar.set_position(state.0 * PARTS_PER_TASK + state.1.values().sum::<u64>());
    }

    /// Counts a task as done.
    fn finish_task(&self, name: &str, tasks: usize) {
        let mut state = lock(&self.parts);
        state.1.remove(name);
        state.0 += 1;
        self.bar.set_prefix(format!("{}/{tasks}", state.0));
        self.bar.set_position(state.0 * PARTS_PER_TASK + state.1.values().sum::<u64>());
    }

    /// Prints a message above the progress bar.
    pub(crate) fn log(&self, line: &str) {
        if !self.is_quiet {
            self.bar.suspend(|| print_message(line));
        }
    }

    /// Calls `take` until no other process holds the run's folder. Returns `None` if the work ends
    /// first.
    pub(crate) fn wait_for(
        &self,
        take: impl Fn() -> Result<RunFolder, RunError>,
    ) -> Result<Option<RunFolder>, RunError> {
        loop {
            match take() {
                Err(RunError::Busy { .. }) if self.should_end() => return Ok(None),
                Err(RunError::Busy { .. }) => thread::sleep(Duration::from_millis(100)),
                folder => return folder.map(Some),
            }
        }
    }

    /// Trains in a folder, or resumes there. Returns `None` if the work ends before the training.
    pub(crate) fn run(
        &self,
        name: &str,
        folder: &RunFolder,
        rows: &PreparedRows,
        interval: CheckpointInterval,
        start: Instant,
    ) -> Result<Option<Summary>> {
        let steps = max_steps(folder.config(), rows.about().train)?;
        let mut job_observer = JobObserver { name, jobs: self, steps, parts: 0 };
        let mut log = |line: &str| self.log(&format!("{} {name}: {line}", self.task));
        let mut observer = CheckpointObserver::new(&mut job_observer, folder, interval, start, &mut log)?;
        match run(self.machine, rows, &mut observer) {
            Ok((_, Ending::Interrupted)) => Ok(None),
            Ok((summary, _)) => Ok(Some(summary)),
            Err(error) if is_interruption(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the rows with this key. The first run that needs them makes them, and the others
    /// wait.
    pub(crate) fn rows(&self, key: &str, make: impl FnOnce() -> Result<PreparedRows>) -> Result<Arc<PreparedRows>> {
        let mut loaded_rows = lock(&self.loaded_rows);
        if let Some(rows) = loaded_rows.get(key) {
            return Ok(Arc::clone(rows));
        }
        let rows = Arc::new(make()?);
        loaded_rows.insert(key.to_owned(), Arc::clone(&rows));
        Ok(rows)
    }

    /// Frees rows that no other run needs.
    pub(crate) fn free_rows(&self, key: &str) {
        lock(&self.loaded_rows).remove(key);
    }

    fn should_end(&self) -> bool {
        is_interrupted() || self.ended.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An observer that updates the shared progress bar and checks for Ctrl-C.
struct JobObserver<'a> {
    name: &'a str,
    jobs: &'a JobPool<'a>,
    /// The most steps that the run can take.
    steps: usize,
    /// The reported parts, of [`PARTS_PER_TASK`].
    parts: u64,
}

impl Observer for JobObserver<'_> {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        let parts = ((step + 1) as f64 / self.steps as f64 * PARTS_PER_TASK as f64) as u64;
        if parts != self.parts {
            self.parts = parts;
            self.jobs.set_progress(self.name, parts);
        }
        if self.jobs.should_end() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn should_stop(&mut self) -> bool {
        self.jobs.should_end()
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> ControlFlow<()> {
        self.jobs.bar.set_message(format!("{}, step {}", escape_controls(self.name), evaluation.step));
        ControlFlow::Continue(())
    }
}
