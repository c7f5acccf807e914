//! What a training run is, in memory and on disk. No Burn: a reader of runs needs no tensor library.
//!
//! - [`TrainConfig`]: an experiment, parsed from TOML and checked; only a checked one trains
//! - [`EarlyStopping`]: the rule that ends a run, for who trains and for who asks afterwards when another patience had ended it
//! - [`Class`]: what the data calls a class
//! - [`History`]: every step's loss and every evaluation
//! - [`Summary`]: how the run ended, in one JSON document
//! - [`Parameters`]: what came of it, and [`Preprocessing`], what its features were made by
//! - [`Imported`]: a model that was trained elsewhere, and [`Link`], how its logits become
//!   probabilities
//! - [`Certificate`]: how near to the minimum they are, where that is proven
//! - [`Manifest`]: what it ran on
//! - [`RunFolder`]: these on disk, each file whole or absent, with checkpoints of a run that goes on
//! - [`Grid`]: the experiments of a sweep, and [`SweepFolder`], what it is on disk
//! - [`GradientChecks`]: what a gradient check found

mod begun;
mod certificate;
mod checked;
mod checkpoints;
mod checks;
mod checksum;
mod claim;
mod class;
mod class_weights;
mod config;
mod early_stopping;
mod file;
mod grid;
mod history;
mod imported;
mod inside;
mod keys;
mod link;
mod lock;
mod manifest;
mod parameters;
mod preprocessing;
mod run_folder;
mod seal;
mod sentence;
mod summary;
mod sweep_folder;
mod unused;
mod update;
mod values;

pub use certificate::{Certificate, SearchEnd};
pub use checked::TrainConfig;
pub use checks::{GradientCheck, GradientChecks};
pub use class::{Class, name_problem};
pub use class_weights::ClassWeights;
pub use config::{
    ConfigError, DataConfig, DescentConfig, EarlyStoppingConfig, Generator, GradientSource, ModelConfig, ModelKind,
    ObjectiveConfig, Optimizer, OptimumConfig, Precision, Schedule, ShuffleConfig, Solver,
};
pub use early_stopping::{EarlyStopping, Judgement};
pub use file::{Destination, Draft, read_text, read_whole, write_whole};
pub use grid::{CLASS_WEIGHTS, Grid, GridError, GridKey, number_value, plain_value};
pub use history::{Evaluation, History};
pub use imported::Imported;
pub use keys::{check_override, toml_value};
pub use link::Link;
pub use manifest::{DataFile, Manifest, Versions};
pub use parameters::Parameters;
pub use preprocessing::{LARGEST_NUMBER, Preprocessing, Standardization};
pub use run_folder::{Divergence, RunError, RunFiles, RunFolder, read_sealed};
pub use seal::{seal_json, sealed};
pub use sentence::{alike, count, display_width, nearest, one_line, steers, to_left, to_right, toml_problem, visible};
pub use summary::{DataKind, DataSummary, FinalMetrics, Schema, Seconds, Summary, WeightNorms};
pub use sweep_folder::{SweepFolder, SweepPlan};
pub use unused::{Unused, UnusedFile};
pub use update::{Pace, Update};
