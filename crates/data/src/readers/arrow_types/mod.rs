//! What the readers of Parquet and Arrow files share: both decode to Arrow's arrays in memory.

mod decompress;
mod fields;
mod guard;
mod rows;

pub(super) use decompress::{Compression, decompress};
pub(super) use fields::unsupported;
pub(super) use guard::guarded;
pub(super) use rows::{Projection, Rows};
