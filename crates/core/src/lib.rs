//! The shared types of all crates: settings, parameters, losses and results.
//! Training, prediction and file formats all use these types. This crate reads no files and does
//! not depend on Burn.
//!
//! - [`Settings`]: an experiment's configuration. [`TrainConfig`] holds the same after validation.
//!   Only a `TrainConfig` can train.
//! - [`Parameters`]: the trained weights. [`Preprocessing`] turns stored numbers into features.
//!   [`Schema`] describes the model's inputs and classes. [`Recipe`] turns a table's columns into
//!   stored numbers.
//! - [`Link`]: the loss of a row's logits and the prediction from them. Models differ only in their
//!   link.
//! - [`Features`]: a chunk of stored rows. [`EngineKind`] lists the engines and what each can
//!   train.
//! - [`Class`]: the name of a class in the data. [`ClassWeights`]: the weight of each class's rows
//!   in the loss.
//! - [`History`]: the loss of every step, and every evaluation.
//! - [`EarlyStopping`]: the rule that ends a run. It can also be applied to a finished history,
//!   with another patience.
//! - [`Certificate`]: a proven bound on the distance to the minimum.
//! - [`DataFile`]: a data file that a run used. [`HeldOutRow`]: a row for validation.
//!   [`UnusedFiles`]: the files in a data folder that it did not use.
//! - [`escape_controls`], [`one_line`], [`pluralize`], [`nearest`] and others: text for messages.

mod certificate;
mod class;
mod class_weights;
mod config;
mod content_error;
mod data_file;
mod early_stopping;
mod engine_kind;
mod features;
mod gradient;
mod history;
mod identification;
mod link;
mod link_kind;
mod norms;
mod parameters;
mod preprocessing;
mod ranges;
mod recipe;
mod schema;
mod sparse_indices;
mod text;
mod text_options;
mod train_config;
mod unused;
mod update;

pub use certificate::{Certificate, SearchEnd};
pub use class::{Class, MAX_NAME_LENGTH, name_problem, positive_class};
pub use class_weights::ClassWeights;
pub use config::{
    DataConfig, DescentConfig, EarlyStoppingConfig, Generator, GradientSource, ModelConfig, ModelKind, ObjectiveConfig,
    Optimizer, OptimumConfig, Precision, Schedule, ShuffleConfig, Solver,
};
pub use content_error::ContentError;
pub use data_file::{DataFile, HeldOutRow};
pub use early_stopping::{EarlyStopping, StoppingDecision};
pub use engine_kind::{Abilities, EngineKind, MissingAbility};
pub use features::{FeatureKind, FeatureLayout, Features, NO_LEVEL};
pub use gradient::{Gradient, Step};
pub use history::{Evaluation, FinalMetrics, History};
pub use identification::Identification;
pub use link::{DualDomain, Link, Logistic, OneVsRest, Softmax, TargetKind};
pub use link_kind::LinkKind;
pub use norms::WeightNorms;
pub use parameters::Parameters;
pub use preprocessing::{MAX_ABS_VALUE, Preprocessing, Standardization};
pub use ranges::{IMAGE_SIZE_KEY, IMAGE_SIZE_MESSAGE, INTEGER_RANGES, range_message, range_of};
pub use recipe::{
    ABSENT, Categorical, ColumnKind, ColumnRecipe, Encoding, LeftOut, MISSING, Numeric, RareLevels, Recipe, Sparse,
    WhyLeftOut, mixed, mixed_dates,
};
pub use schema::{DataKind, MAX_CLASSES, Schema};
pub use sparse_indices::{MAX_SPARSE_FEATURES, SparseIndices};
pub use text::{
    align_left, align_right, display_width, edit_distance_within, escape_controls, is_control_like, listed, listed_by,
    max_typos, nearest, normalise_name, one_line, pluralize, quoted, shortest, similar_names,
};
pub use text_options::{BadRows, Decimal, Separator, TextEncoding, TextOptions};
pub use train_config::{SettingError, Settings, TrainConfig};
pub use unused::{UnusedFile, UnusedFiles};
pub use update::{LearningRateSchedule, UpdateRule};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
