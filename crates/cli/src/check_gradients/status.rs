use chainrule_core::escape_controls;
use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::{TICK, target};

/// Shows on a terminal what is being checked. It disappears when dropped.
pub(crate) struct StatusLine(ProgressBar);

impl StatusLine {
    pub(crate) fn new(is_shown: bool) -> Self {
        let style = ProgressStyle::with_template("{spinner} {elapsed}  {msg}").expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(None, target(is_shown)).with_style(style);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub(crate) fn log(&self, what: &str) {
        self.0.set_message(escape_controls(what).into_owned());
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
