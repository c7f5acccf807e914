//! The part of a page that a command writes, between two marks.

use std::ops::Range;

/// Returns the range between two marks, if the text has both.
pub(crate) fn marked_part(text: &str, [start, end]: [&str; 2]) -> Option<Range<usize>> {
    let from = text.find(start)? + start.len();
    Some(from..from + text[from..].find(end)?)
}
