//! What a linear model is, in numbers and names: what trains one, asks one, and keeps one agree on
//! it. No files, no
//! arithmetic on rows, and no Burn.
//!
//! - [`Settings`]: an experiment as it is said, and [`TrainConfig`], the same checked; only a
//!   checked one trains
//! - [`Parameters`]: what comes of it, [`Preprocessing`], what its features are made by, and
//!   [`Schema`], what it takes
//!   and what it tells apart
//! - [`Link`]: the loss of its logits, and what they predict: all in which one model differs from
//!   another
//! - [`Features`]: rows as the data has them, and [`EngineKind`]: what computes with which of them
//! - [`Class`]: what the data calls a class, and [`ClassWeights`], by how much its rows count
//! - [`History`]: every step's loss and every evaluation
//! - [`EarlyStopping`]: the rule that ends a run, for who trains and for who asks afterwards when
//!   another patience had
//!   ended it
//! - [`Certificate`]: how near to the minimum the parameters are, where that is proven
//! - [`DataFile`] and [`Unused`]: what data it was trained on
//! - [`visible`], [`one_line`], [`count`], [`nearest`] and the like: how a person is told of it

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
mod link;
mod link_kind;
mod norms;
mod parameters;
mod preprocessing;
mod ranges;
mod schema;
mod sentence;
mod train_config;
mod unused;
mod update;

pub use certificate::{Certificate, SearchEnd};
pub use class::{Class, name_problem};
pub use class_weights::ClassWeights;
pub use config::{
    DataConfig, DescentConfig, EarlyStoppingConfig, Generator, GradientSource, ModelConfig, ModelKind, ObjectiveConfig,
    Optimizer, OptimumConfig, Precision, Schedule, ShuffleConfig, Solver,
};
pub use content_error::ContentError;
pub use data_file::DataFile;
pub use early_stopping::{EarlyStopping, StoppingDecision};
pub use engine_kind::{Abilities, EngineKind, MissingAbility};
pub use features::{FeatureKind, Features};
pub use gradient::{Gradient, Step};
pub use history::{Evaluation, FinalMetrics, History};
pub use link::{Dual, Link, Logistic, OneVsRest, Softmax, Targets};
pub use link_kind::LinkKind;
pub use norms::WeightNorms;
pub use parameters::Parameters;
pub use preprocessing::{LARGEST_NUMBER, Preprocessing, Standardization};
pub use ranges::{IMAGE_SIZE, SIDES, WHOLE, range_of, whole};
pub use schema::{DataKind, Schema};
pub use sentence::{
    alike, count, display_width, nearest, one_line, plain, share_of, slips, steers, to_left, to_right, visible,
};
pub use train_config::{SettingError, Settings, TrainConfig};
pub use unused::{Unused, UnusedFile};
pub use update::{LearningRateSchedule, UpdateRule};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
