//! What Parquet files, Arrow files and record batches in memory share: all are Arrow's arrays.

#[cfg(feature = "parquet")]
mod decompress;
mod fields;
#[cfg(feature = "parquet")]
mod guard;
mod rows;

#[cfg(feature = "parquet")]
pub(super) use decompress::{Compression, decompress};
pub(super) use fields::unsupported;
#[cfg(feature = "parquet")]
pub(super) use guard::guarded;
pub(super) use rows::{Projection, Rows};
