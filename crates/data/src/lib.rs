//! Reads data files into rows and fixes the order in which training visits the rows.
//!
//! - [`idx`]: the IDX format of MNIST, plain or compressed, any image size; reads and writes it
//! - [`mnist`]: the four MNIST files, verified by checksum, and the cache folder shared with
//!   burn-dataset
//! - `download` (feature `download`): fetches MNIST from an untrusted server
//! - [`digits`]: digits drawn by code; a seed gives the same bytes on every platform
//! - [`points`]: points of the plane drawn by code, as a table
//! - [`readers`]: the list of file formats; a new format is one file with its `Reader` and one line
//!   in the list
//! - [`picture`] (feature `pictures`): converts a picture of any size into an image like MNIST's
//! - [`table`]: rows of numbers with labels; [`Tables`] splits them into training and validation
//!   rows, [`Holdout`] chooses the validation rows, and [`Folds`] those of a cross-validation
//! - [`Images`]: images and labels, in memory or left in their file
//! - [`find`]: finds the data that a run requests; [`Dataset`]: the data of a config, with its
//!   [`Provenance`]
//! - [`input_files`]: the files that a model is asked to predict; [`InputReader`] reads the rows of
//!   such tables, some at a time
//! - [`Rows`]: the rows and classes of a run, as a view of the stored data
//! - [`BatchOrder`]: the order of the rows in each epoch
//! - [`Prefetcher`]: reads or draws data on other threads while the caller computes

mod builder;
mod cells;
mod checksum;
mod class_folders;
mod column;
mod dataset;
mod days;
mod decimal;
mod decode;
mod dialect;
pub mod digits;
#[cfg(feature = "download")]
pub mod download;
mod encode;
mod error;
mod feature_reader;
mod folds;
mod foreign;
mod header;
mod holdout;
pub mod idx;
mod image_file;
mod images;
mod in_order;
mod input;
pub mod input_files;
mod input_rows;
mod labels;
mod learn;
pub mod mnist;
mod order;
mod parquet_writer;
pub mod picture;
pub mod points;
mod positioned;
mod prefetcher;
mod provenance;
mod raw_row;
mod read_as;
pub mod readers;
mod row_indices;
mod row_lines;
mod rows;
mod same_number;
mod scratch;
mod source;
mod sparse;
mod spread;
pub mod table;
mod table_files;
mod tables;
mod unused;

pub use chainrule_core::MISSING;
pub use checksum::sha256;
pub use class_folders::{PictureMode, PictureRequest};
pub use column::Numbers;
pub use dataset::{
    DIGITS, Dataset, DatasetKind, HeldOut, digits_to_draw, holdout, names, resolve_source, table_request,
};
pub use encode::Unseen;
pub use error::DataError;
pub use feature_reader::{FeatureColumns, FeatureReader, SparseEntries};
pub use folds::{FoldError, FoldSplit, Folds};
pub use holdout::Holdout;
pub use images::Images;
pub use input_rows::{InputBatch, InputReader, InputRows, KeptColumn};
pub use learn::RecipeOptions;
pub use order::{BatchOrder, Order, Shuffle};
pub use parquet_writer::{ColumnType, ParquetWriter, Values};
pub use prefetcher::Prefetcher;
pub use provenance::{Provenance, schema_of_images, schema_of_tables, unused_message};
pub use raw_row::{EncodedRow, RawRowEncoder, RawRowError};
pub use read_as::{Fact, ReadAs, Skipped};
pub use rows::{RowBuffer, RowWeights, Rows, pixel_value};
pub use scratch::{Scratch, scratch_folder};
pub use source::{
    Counts, Data, Origin, Pictures, Request, Split, find, find_tables, find_with, find_within, inspect_source,
    is_mnist, read_folder, sha256_of_files,
};
pub use tables::{InputTable, LabelCounts, RawTables, RecipeSource, TableRequest, TableSplit, TableSummaries, Tables};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
