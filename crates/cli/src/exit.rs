//! Exit codes that scripts may rely on.

pub(crate) const DONE: u8 = 0;
pub(crate) const CHECK: u8 = 1;
pub(crate) const INPUT: u8 = 2;
pub(crate) const INTERRUPTED: u8 = 130;
/// What a shell says of a program that a closed pipe killed.
pub(crate) const NO_READER: u8 = 141;
