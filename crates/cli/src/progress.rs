//! What a person sees and does while a training runs.

use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chainrule_records::Evaluation;
use chainrule_training::Observer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit;

/// Set by the first Ctrl-C or termination signal.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Lets the first Ctrl-C end the training with its run saved, and the second end the program at once.
pub(crate) fn catch_interrupts() {
    static CAUGHT: LazyLock<Result<(), ctrlc::Error>> = LazyLock::new(|| {
        ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(exit::INTERRUPTED.into());
            }
        })
    });
    if let Err(error) = &*CAUGHT {
        crate::say(&format!("Ctrl-C will lose this run: {error}"));
    }
}

/// Draws the bar, keeps the time and looks out for Ctrl-C.
pub(crate) struct Progress {
    bar: ProgressBar,
    evaluating_since: Option<Instant>,
    /// Time spent in evaluations.
    pub(crate) validation: Duration,
}

impl Progress {
    pub(crate) fn new(steps: usize, is_shown: bool) -> Self {
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} steps  {eta} left  {msg}");
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target)
            .with_style(style.expect("the template is well-formed"));
        Self { bar, evaluating_since: None, validation: Duration::ZERO }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn step_taken(&mut self, step: usize) -> ControlFlow<()> {
        self.bar.set_position(step as u64 + 1);
        if INTERRUPTED.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn evaluation_begins(&mut self) {
        self.evaluating_since = Some(Instant::now());
    }

    fn evaluation_ends(&mut self, evaluation: &Evaluation) {
        self.validation += self.evaluating_since.take().map(|since| since.elapsed()).unwrap_or_default();
        self.bar.set_message(format!(
            "validation loss {:.4}, accuracy {:.2} %",
            evaluation.validation_loss,
            100.0 * evaluation.validation_accuracy
        ));
    }
}
