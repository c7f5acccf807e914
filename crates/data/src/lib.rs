//! From files to rows: where images come from and in which order training meets them.
//!
//! - [`idx`]: the IDX format of MNIST, plain or gzipped, any image size, read with errors and
//!   written whole
//! - [`mnist`]: the four MNIST files, known by checksum; the cache folder shared with burn-dataset
//! - `download`, with the feature of that name: MNIST from a server that is not trusted
//! - [`digits`]: digits drawn by code, the same bytes on every platform for a seed
//! - [`readers`]: the list of the kinds of files that are read; one more is a file with its
//!   `Reader`, and a line there
//! - [`picture`]: a picture of any size as an image like MNIST's, with the feature `pictures`
//! - [`table`]: rows of numbers with their labels; [`Tables`]: what of it is trained on, and what
//!   is held out by [`Holdout`]
//! - [`Images`]: images and labels, in memory or left in their file
//! - [`find`]: which of these a run gets; [`Dataset`]: what a config gets, and its [`Provenance`]
//! - [`input_files`]: files that a model is asked about
//! - [`Rows`]: the rows and classes that a run asks for, wherever they lie
//! - [`BatchOrder`]: the order of the rows in each epoch
//! - [`Prefetcher`]: what other threads read or draw while this one computes

mod checksum;
mod class_folders;
mod dataset;
pub mod digits;
#[cfg(feature = "download")]
pub mod download;
mod error;
mod foreign;
mod holdout;
pub mod idx;
mod image_file;
mod images;
mod input;
pub mod input_files;
pub mod mnist;
mod numbers;
mod order;
pub mod picture;
mod positioned;
mod prefetcher;
mod provenance;
pub mod readers;
mod rows;
mod source;
pub mod table;
mod tables;
mod unused;

pub use checksum::sha256;
pub use class_folders::{PictureMode, PictureRequest};
pub use dataset::{DIGITS, Dataset, DatasetKind, digits_to_draw, holdout, names, resolve_source};
pub use error::DataError;
pub use holdout::Holdout;
pub use images::Images;
pub use numbers::Values;
pub use order::{BatchOrder, Order, Shuffle};
pub use prefetcher::Prefetcher;
pub use provenance::{Provenance, not_used, schema_of_images, schema_of_tables};
pub use rows::{RowBuffer, Rows, pixel_value};
pub use source::{
    Counts, Data, Origin, Pictures, Request, Split, find, find_tables, find_with, find_within, is_mnist, look,
    read_folder, sha256_of_files,
};
pub use tables::{AboutTables, TableRequest, TableSplit, Tables};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
