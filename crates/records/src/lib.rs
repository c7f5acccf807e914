//! Files on disk: atomic writes, locked folders, saved models and, with the feature `runs`, runs
//! and sweeps. This crate does not use Burn, so reading a run needs no tensor library.
//!
//! - [`write_whole`], [`AtomicFile`], [`Destination`], [`Draft`]: atomic file writes
//! - [`write_weights`], [`read_parameters`], [`read_preprocessing`]: `model.safetensors`
//! - [`Imported`]: the folder of a model that was trained elsewhere, or saved by a user's own
//!   program
//! - [`SavedModel`]: the model of any model folder
//! - [`ConfigFile`]: reads and writes an experiment as a TOML file
//! - [`Summary`]: the results of a run, as one JSON document
//! - [`Manifest`]: the versions, device and data of a run
//! - [`RunFolder`]: the files of a run on disk, with checkpoints of a running training
//! - [`Grid`]: the experiments of a sweep; [`SweepFolder`]: the files of a sweep on disk
//! - [`GradientChecks`]: the results of a gradient check

// Only runs and sweeps hold and resume their folder; a model folder is written once.
#![cfg_attr(not(feature = "runs"), allow(dead_code))]

mod checksum;
mod claim;
mod error;
mod file;
mod imported;
mod inside;
mod lock;
mod names;
#[cfg(feature = "runs")]
mod runs;
mod saved;
mod seal;
mod weights;

pub use checksum::{Checksum, sha256};
pub use error::RunError;
pub use file::{AtomicFile, Destination, Draft, discard_drafts, read_text, read_whole, write_whole};
pub use imported::Imported;
#[cfg(feature = "runs")]
pub use runs::*;
pub use saved::SavedModel;
pub use seal::{read_sealed, seal_json, sealed};
pub use weights::{read_parameters, read_preprocessing, write_weights};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
