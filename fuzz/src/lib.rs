//! What the fuzz targets check, which is what `tests/hostile.rs` checks. A new format is a file
//! there, a line in its list, and a target here.

#[path = "../../tests/hostile/formats/mod.rs"]
mod formats;

pub use formats::{FORMATS, format};
