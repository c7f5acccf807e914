//! From files to rows: where images come from and in which order training meets them.
//!
//! - [`idx`]: the IDX format of MNIST, plain or gzipped, any image size, read with errors and written whole
//! - [`mnist`]: the four MNIST files, known by checksum; the cache folder shared with burn-dataset; the download
//! - [`digits`]: digits drawn by code, the same bytes on every platform for a seed
//! - [`Images`]: images and labels in memory, a burn-dataset [`Dataset`](burn_dataset::Dataset)
//! - [`find`]: which of these a run gets
//! - [`Split`]: the rows and classes that a run asks for, preprocessed
//! - [`BatchOrder`]: the order of the rows in each epoch
//!
//! It knows burn-dataset, but not Burn's tensors.

mod checksum;
pub mod digits;
mod error;
pub mod idx;
mod images;
pub mod mnist;
mod order;
mod source;
mod split;

pub use checksum::sha256;
pub use error::DataError;
pub use images::{Images, LabelledImage};
pub use order::{BatchOrder, Shuffle};
pub use source::{Counts, Data, Origin, Request, find, read_folder, sha256_of_files};
pub use split::{Split, pixel_value, rows_of};
