use std::ops::ControlFlow;

use chainrule_core::Evaluation;

use crate::Checkpoint;

/// What happened in a training.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A step was made, of this number from 0.
    Step(usize),
    /// An evaluation was made.
    Evaluation(&'a Evaluation),
}

/// Hears of a training's progress, and keeps its checkpoints; `()` does neither, and a closure
/// hears of the [`Progress`], where `Break` ends the training after the step.
pub trait Observer: Send {
    /// Where the training goes on from, if not from its start. It is asked once, before the first
    /// step.
    fn resume_from(&mut self) -> Option<Checkpoint> {
        None
    }

    /// A step was made. `Break` ends the training here, with all that it has.
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        let _ = step;
        ControlFlow::Continue(())
    }

    /// Whether the training is to end, asked where no step is made for long.
    /// [`Observer::on_step`] is not told then.
    fn should_stop(&mut self) -> bool {
        false
    }

    /// Whether a checkpoint is wanted, now that this step was made, and [`Observer::on_step`]
    /// was told of it.
    fn wants_checkpoint(&mut self, step: usize) -> bool {
        let _ = step;
        false
    }

    /// Gets the checkpoint that it wanted.
    fn save_checkpoint(&mut self, checkpoint: Checkpoint) {
        let _ = checkpoint;
    }

    /// An evaluation begins, and the steps pause.
    fn on_evaluation_start(&mut self) {}

    /// The evaluation is done, and the steps go on.
    fn on_evaluation(&mut self, evaluation: &Evaluation) {
        let _ = evaluation;
    }
}

impl Observer for () {}

impl<F: FnMut(Progress) -> ControlFlow<()> + Send> Observer for F {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        self(Progress::Step(step))
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) {
        // An evaluation is within a step, after which it is asked again.
        let _ = self(Progress::Evaluation(evaluation));
    }
}
