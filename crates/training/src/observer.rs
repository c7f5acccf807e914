use std::ops::ControlFlow;

use chainrule_records::Evaluation;

/// Hears of a training's progress; `()` hears nothing.
pub trait Observer: Send {
    /// A step was made. `Break` ends the training here, with all that it has.
    fn step_taken(&mut self, step: usize) -> ControlFlow<()> {
        let _ = step;
        ControlFlow::Continue(())
    }

    /// An evaluation begins, and the steps pause.
    fn evaluation_begins(&mut self) {}

    /// The evaluation is done, and the steps go on.
    fn evaluation_ends(&mut self, evaluation: &Evaluation) {
        let _ = evaluation;
    }
}

impl Observer for () {}
