use std::ops::ControlFlow;

use chainrule_core::Evaluation;

use crate::Checkpoint;

/// A training event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A step was made. Steps are counted from 0.
    Step(usize),
    /// An evaluation was made.
    Evaluation(&'a Evaluation),
}

/// Receives the events of a training and saves its checkpoints. `()` ignores both. A closure
/// receives the [`Progress`]; if it returns `Break`, the training ends.
pub trait Observer: Send {
    /// Returns the checkpoint to resume from, or `None` to start anew. It is called once, before
    /// the first step.
    fn resume_from(&mut self) -> Option<Checkpoint> {
        None
    }

    /// Called after each step. `Break` ends the training; its results so far are kept.
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        let _ = step;
        ControlFlow::Continue(())
    }

    /// Returns whether to stop. It is called during long phases without steps, when
    /// [`Observer::on_step`] is not called.
    fn should_stop(&mut self) -> bool {
        false
    }

    /// Returns whether to save a checkpoint after this step. It is called after
    /// [`Observer::on_step`].
    fn wants_checkpoint(&mut self, step: usize) -> bool {
        let _ = step;
        false
    }

    /// Receives the requested checkpoint.
    fn save_checkpoint(&mut self, checkpoint: Checkpoint) {
        let _ = checkpoint;
    }

    /// Called before each evaluation. No step is made until [`Observer::on_evaluation`].
    fn on_evaluation_start(&mut self) {}

    /// Called after each evaluation. `Break` ends the training.
    fn on_evaluation(&mut self, evaluation: &Evaluation) -> ControlFlow<()> {
        let _ = evaluation;
        ControlFlow::Continue(())
    }
}

impl Observer for () {}

impl<F: FnMut(Progress) -> ControlFlow<()> + Send> Observer for F {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        self(Progress::Step(step))
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> ControlFlow<()> {
        self(Progress::Evaluation(evaluation))
    }
}
