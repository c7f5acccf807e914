//! What is kept on disk: whole files, folders that one process has at a time, models, and with the
//! feature `runs` runs
//! and sweeps. No Burn: a reader of runs needs no tensor library.
//!
//! - [`write_whole`], [`AtomicFile`], [`Destination`]: files that appear whole or not at all
//! - [`write_weights`], [`read_parameters`], [`read_preprocessing`]: `model.safetensors`
//! - [`Imported`]: the folder of a model that was trained elsewhere, or saved by a program of
//!   someone's own
//! - [`SavedModel`]: the model of a folder, whoever trained it
//! - [`ConfigFile`]: an experiment as a TOML file says it
//! - [`Summary`]: how a run ended, in one JSON document
//! - [`Manifest`]: what it ran on
//! - [`RunFolder`]: these on disk, each file whole or absent, with checkpoints of a run that goes
//!   on
//! - [`Grid`]: the experiments of a sweep, and [`SweepFolder`], what it is on disk
//! - [`GradientChecks`]: what a gradient check found

// Runs and sweeps hold their folder and go on with it; a model's is written once.
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

pub use error::RunError;
pub use file::{AtomicFile, Destination, read_text, read_whole, write_whole};
pub use imported::Imported;
#[cfg(feature = "runs")]
pub use runs::*;
pub use saved::SavedModel;
pub use seal::{read_sealed, seal_json, sealed};
pub use weights::{read_parameters, read_preprocessing, write_weights};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
