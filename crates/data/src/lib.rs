//! From files to rows: where images come from and in which order training meets them.
//!
//! - [`idx`]: the IDX format of MNIST, plain or gzipped, any image size, read with errors and written whole
//! - [`mnist`]: the four MNIST files, known by checksum; the cache folder shared with burn-dataset
//! - `download`, with the feature of that name: MNIST from a server that is not trusted
//! - [`digits`]: digits drawn by code, the same bytes on every platform for a seed
//! - [`readers`]: the list of the kinds of files that are read; one more is a file with its
//!   `Reader`, and a line there
//! - [`picture`]: a picture of any size as an image like MNIST's, with the feature `pictures`
//! - [`table`]: rows of numbers with their labels; [`Tables`]: what of it is trained on, and what is held out by [`Holdout`]
//! - [`Images`]: images and labels, in memory or left in their file
//! - [`find`]: which of these a run gets; [`Dataset`]: what a config gets, and its [`Provenance`]
//! - [`given`]: files that a model is asked about
//! - [`Rows`]: the rows and classes that a run asks for, wherever they lie
//! - [`BatchOrder`]: the order of the rows in each epoch
//! - [`Ahead`]: what other threads read or draw while this one computes

mod ahead;
mod checksum;
mod class_folders;
mod dataset;
pub mod digits;
#[cfg(feature = "download")]
pub mod download;
mod error;
mod foreign;
pub mod given;
mod holdout;
pub mod idx;
mod image_file;
mod images;
mod input;
pub mod mnist;
mod numbers;
mod order;
pub mod picture;
mod positioned;
mod provenance;
pub mod readers;
mod rows;
mod source;
pub mod table;
mod tables;
mod unused;

pub use ahead::Ahead;
pub use checksum::sha256;
pub use class_folders::{PictureRequest, Treat};
pub use dataset::{DIGITS, Dataset, Nature, digits_to_draw, holdout, names, own};
pub use error::DataError;
pub use holdout::Holdout;
pub use images::Images;
pub use numbers::Values;
pub use order::{BatchOrder, Order, Shuffle};
pub use provenance::{Provenance, not_used, schema_of_images, schema_of_tables};
pub use rows::{Room, Rows, pixel_value};
pub use source::{
    Counts, Data, Origin, Part, Pictures, Request, find, find_tables, find_with, find_within, is_mnist, look,
    read_folder, sha256_of_files,
};
pub use tables::{AboutTables, TablePart, TableRequest, Tables};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
