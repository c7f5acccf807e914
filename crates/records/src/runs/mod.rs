//! Runs and sweeps on disk: experiments as TOML files, run folders and sweep folders.

mod checkpoints;
mod checks;
mod config_error;
mod config_file;
mod grid;
mod keys;
mod manifest;
mod run_folder;
mod run_start;
mod summary;
mod sweep_folder;
mod toml_problem;
mod values;

pub use checks::{GradientCheck, GradientChecks};
pub use config_error::ConfigError;
pub use config_file::ConfigFile;
pub use grid::{CLASS_WEIGHTS, Grid, GridError, GridKey, PENALTY, ROW_WEIGHTS, SEED, number_value, plain_value};
pub use keys::{check_override, toml_value};
pub use manifest::{Manifest, Versions};
pub(crate) use run_folder::RUN;
pub use run_folder::{Divergence, RunFiles, RunFolder};
pub use summary::{DataSummary, Seconds, Summary};
pub(crate) use sweep_folder::SWEEP;
pub use sweep_folder::{SweepFolder, SweepPlan};
pub use toml_problem::toml_problem;
