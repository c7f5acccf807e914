//! Rows of bytes, such as images. They are stored in blocks of sixteen, without those that are 0.

pub(crate) mod kernel;
pub(crate) mod layout;
pub(crate) mod pass;
pub(crate) mod rows;
