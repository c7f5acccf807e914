//! The checks of the fuzz targets, shared with `tests/hostile.rs`. A new format is a file there, a
//! line in its list, and a target here.
//! there, a line in its list, and a target here.

#[path = "../../tests/hostile/formats/mod.rs"]
mod formats;

pub use formats::{FORMATS, format};
