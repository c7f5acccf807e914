use std::ops::ControlFlow;

use chainrule_core::Evaluation;

use crate::Checkpoint;

/// Hears of a training's progress, and keeps its checkpoints; `()` does neither.
pub trait Observer: Send {
    /// Where the training goes on from, if not from its start. It is asked once, before the first step.
    fn resumes(&mut self) -> Option<Checkpoint> {
        None
    }

    /// A step was made. `Break` ends the training here, with all that it has.
    fn step_taken(&mut self, step: usize) -> ControlFlow<()> {
        let _ = step;
        ControlFlow::Continue(())
    }

    /// Whether the training is to end, asked where no step is made for long. [`Observer::step_taken`] is not told then.
    fn is_ended(&mut self) -> bool {
        false
    }

    /// Whether a checkpoint is wanted, now that this step was made, and [`Observer::step_taken`] was told of it.
    fn wants_checkpoint(&mut self, step: usize) -> bool {
        let _ = step;
        false
    }

    /// Gets the checkpoint that it wanted.
    fn keep(&mut self, checkpoint: Checkpoint) {
        let _ = checkpoint;
    }

    /// An evaluation begins, and the steps pause.
    fn evaluation_begins(&mut self) {}

    /// The evaluation is done, and the steps go on.
    fn evaluation_ends(&mut self, evaluation: &Evaluation) {
        let _ = evaluation;
    }
}

impl Observer for () {}
