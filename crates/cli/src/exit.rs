//! The exit codes. Scripts may rely on them.

pub(crate) const SUCCESS: u8 = 0;
pub(crate) const CHECK_FAILED: u8 = 1;
/// An error, or an answer without some files or rows, which cannot be read.
pub(crate) const ERROR: u8 = 2;
pub(crate) const INTERRUPTED: u8 = 130;
/// The code that a shell reports for a program killed by a closed pipe.
pub(crate) const BROKEN_PIPE: u8 = 141;
