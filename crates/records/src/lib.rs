//! What a training run is, in memory and on disk. No Burn: a reader of runs needs no tensor library.
//!
//! - [`TrainConfig`]: an experiment, parsed from TOML and checked; only a checked one trains
//! - [`History`]: every step's loss and every evaluation
//! - [`Summary`]: how the run ended, in one JSON document
//! - [`Manifest`]: what it ran on
//! - [`RunFolder`]: these on disk, each file whole or absent

mod checked;
mod config;
mod history;
mod keys;
mod manifest;
mod run_folder;
mod summary;

pub use checked::TrainConfig;
pub use config::{
    ConfigError, DataConfig, DescentConfig, EarlyStoppingConfig, Generator, GradientSource, ModelConfig, ModelKind,
    ObjectiveConfig, Precision, ShuffleConfig,
};
pub use history::{Evaluation, History};
pub use manifest::{DataFile, Manifest, Versions};
pub use run_folder::{RunError, RunFolder};
pub use summary::{DataSummary, FinalMetrics, Seconds, Summary, WeightNorms};
