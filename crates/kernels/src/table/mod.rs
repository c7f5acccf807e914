//! Rows of a table: numbers and categories side by side.

pub(crate) mod kernel;
pub(crate) mod moments;
pub(crate) mod pass;
pub(crate) mod rows;
