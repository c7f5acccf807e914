//! Rows of a table: numbers, categories and sparse features side by side.

pub(crate) mod curvature;
pub(crate) mod elsewhere;
pub(crate) mod kernel;
pub(crate) mod moments;
pub(crate) mod pass;
pub(crate) mod rows;
pub(crate) mod sparse;
