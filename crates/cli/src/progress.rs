//! The progress bar of a training, and Ctrl-C.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use chainrule_core::Evaluation;
use chainrule_records::discard_drafts;
use chainrule_solve::Observer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit;

/// Set by the first Ctrl-C or termination signal.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// If the current pass over the rows takes longer than this after Ctrl-C, a message explains the
/// wait.
const MESSAGE_DELAY: Duration = Duration::from_millis(500);

/// Installs the signal handler. The first Ctrl-C ends the training and saves the run. The second
/// ends the program at once.
pub(crate) fn catch_interrupts(is_quiet: bool) {
    static HANDLER: OnceLock<Result<(), ctrlc::Error>> = OnceLock::new();
    let on_signal = move || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(exit::INTERRUPTED.into());
        }
        // On another thread, since the handler must return before the second Ctrl-C is noticed.
        thread::spawn(move || {
            thread::sleep(MESSAGE_DELAY);
            if !is_quiet {
                crate::output::print_message(
                    "stopping after this pass over the rows; the run will be saved; press Ctrl-C again to stop at once",
                );
            }
        });
    };
    if let Err(error) = HANDLER.get_or_init(|| ctrlc::set_handler(on_signal)) {
        crate::output::print_message(&format!("warning: Ctrl-C would lose this run: {error}"));
    }
}

/// Installs the signal handler of a program that writes a file part by part. Ctrl-C ends it at
/// once. The file does not appear, and what was written so far is deleted.
pub(crate) fn discard_on_interrupt(file: PathBuf) {
    let on_signal = move || {
        discard_drafts(&file);
        crate::output::print_message(&format!("interrupted; {} was not written", file.display()));
        std::process::exit(exit::INTERRUPTED.into());
    };
    // Without a handler, the parts stay until the next file is written there.
    let _ = ctrlc::set_handler(on_signal);
}

/// Whether the user pressed Ctrl-C.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// The interval at which animated bars are redrawn.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// Draws on standard error if `is_shown`, else nowhere.
pub(crate) fn target(is_shown: bool) -> ProgressDrawTarget {
    if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// An observer that draws the progress bar of a training and checks for Ctrl-C.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new(steps: usize, is_shown: bool) -> Self {
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} steps  {eta} left  {msg}");
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target(is_shown))
            .with_style(style.expect("the template is well-formed"));
        Self { bar }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        self.bar.set_position(step as u64 + 1);
        if is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn should_stop(&mut self) -> bool {
        is_interrupted()
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> ControlFlow<()> {
        self.bar.set_message(format!(
            "validation loss {:.4}, accuracy {:.2} %",
            evaluation.validation_loss,
            100.0 * evaluation.validation_accuracy
        ));
        ControlFlow::Continue(())
    }
}

/// Whether standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}
