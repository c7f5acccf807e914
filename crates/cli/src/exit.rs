//! The exit codes. Scripts may rely on them.

pub(crate) const DONE: u8 = 0;
pub(crate) const CHECK: u8 = 1;
pub(crate) const INPUT: u8 = 2;
pub(crate) const INTERRUPTED: u8 = 130;
/// The code that a shell reports for a program killed by a closed pipe.
pub(crate) const NO_READER: u8 = 141;
