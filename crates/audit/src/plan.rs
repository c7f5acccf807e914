//! The runs of a report: `configs/report.toml`.

use std::path::{Path, PathBuf};

use chainrule_core::TrainConfig;
use chainrule_records::{ConfigError, ConfigFile, read_text, toml_problem};
use serde::Deserialize;

/// The runs of a report in order. All configs are checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<PlannedRun>,
}

/// A planned run.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// The name of the run.
    pub name: String,
    /// The run whose random stream this run continues.
    pub after: Option<String>,
    /// The run that sets the number of epochs: this run has as many epochs as that one started.
    pub as_long_as: Option<String>,
    file: String,
    text: String,
    overrides: Vec<String>,
}

/// Reads the config of a planned run. Returns its name for errors, and its text.
pub type ReadConfig<'a> = &'a dyn Fn(&Path) -> Result<(String, String), ConfigError>;

/// An error of a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The plan cannot be read.
    #[error("cannot read {file}: {problem}; give the path of a plan, as in chainrule reproduce configs/report.toml")]
    Read {
        /// The file.
        file: String,
        /// The error of the system.
        problem: std::io::Error,
    },
    /// The content is not a valid plan.
    #[error("{file}: {problem}")]
    Content {
        /// The file.
        file: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// A run of the plan has no valid config.
    #[error("{file}: run {name:?}: {problem}")]
    Run {
        /// The file.
        file: String,
        /// The run.
        name: String,
        /// The error of its config.
        problem: Box<ConfigError>,
    },
}

/// The largest plan, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The maximum number of runs that differ only in their seed.
const MAX_SEEDS: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    #[serde(default)]
    set: toml::Table,
    run: Vec<RawRun>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRun {
    name: String,
    config: PathBuf,
    after: Option<String>,
    as_long_as: Option<String>,
    seeds: Option<u32>,
    #[serde(default)]
    set: toml::Table,
}

impl Plan {
    /// Reads a plan. Each of `overrides` is `key=value`. They are applied before the settings of
    /// single runs, so that different runs stay different.
    ///
    /// # Errors
    /// If the plan or a run's config cannot be read or is invalid.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, PlanError> {
        let file = path.display().to_string();
        let text = read_text(path, MAX_BYTES).map_err(|problem| PlanError::Read { file: file.clone(), problem })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let read = |config: &Path| {
            let config = folder.join(config);
            Ok((config.display().to_string(), TrainConfig::read_text(&config)?))
        };
        Self::parse(&file, &text, overrides, &read)
    }

    /// Like [`read`](Self::read), for a text. `file` is the plan's name in errors, and `read` reads
    /// its configs.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn parse(file: &str, text: &str, overrides: &[String], read: ReadConfig<'_>) -> Result<Self, PlanError> {
        let content = |problem: String| PlanError::Content { file: file.to_owned(), problem };
        let raw: RawPlan = toml::from_str(text)
            .map_err(|error| content(not_a_plan(text).unwrap_or_else(|| toml_problem(text, &error))))?;

        let mut runs: Vec<PlannedRun> = Vec::new();
        for run in raw.run {
            let mut run_overrides = settings(&raw.set);
            run_overrides.extend_from_slice(overrides);
            run_overrides.extend(settings(&run.set));
            if let Some(seeds) = run.seeds.filter(|&seeds| seeds > MAX_SEEDS) {
                return Err(content(format!("run {:?}: seeds = {seeds}: expected at most {MAX_SEEDS}", run.name)));
            }
            let names: Vec<(String, Option<u32>)> = match run.seeds {
                None => vec![(run.name, None)],
                Some(seeds) => (0..seeds).map(|seed| (format!("{}-{seed}", run.name), Some(seed))).collect(),
            };
            for (name, seed) in names {
                let mut overrides = run_overrides.clone();
                overrides.extend(seed.map(|seed| format!("descent.shuffle.seed={seed}")));
                overrides.push(format!("experiment={name:?}"));
                let error =
                    |problem| PlanError::Run { file: file.to_owned(), name: name.clone(), problem: Box::new(problem) };
                let (config, text) = read(&run.config).map_err(error)?;
                let planned = PlannedRun {
                    name: name.clone(),
                    after: run.after.clone(),
                    as_long_as: run.as_long_as.clone(),
                    file: config,
                    text,
                    overrides,
                };
                if runs.iter().any(|earlier| earlier.name == name) {
                    return Err(content(format!("two runs are named {name:?}")));
                }
                let config = planned.config(Start::default()).map_err(error)?;
                if let Some(after) = &run.after {
                    let earlier = runs
                        .iter()
                        .find(|earlier| earlier.name == *after)
                        .ok_or_else(|| content(format!("run {name:?}: after = {after:?} names no run above it")))?;
                    let earlier = earlier.config(Start::default()).map_err(error)?;
                    let data_and_shuffle =
                        |config: &TrainConfig| (config.data().clone(), config.descent().shuffle.clone());
                    if data_and_shuffle(&config) != data_and_shuffle(&earlier) {
                        return Err(content(format!(
                            "run {name:?}: after = {after:?} has other data or another shuffle; such runs cannot share a \
                             stream of random numbers"
                        )));
                    }
                }
                if let Some(other) = &run.as_long_as
                    && !runs.iter().any(|earlier| earlier.name == *other)
                {
                    return Err(content(format!("run {name:?}: as_long_as = {other:?} names no run above it")));
                }
                runs.push(planned);
            }
        }
        Ok(Self { runs })
    }

    /// Returns the run with this name.
    pub fn get(&self, name: &str) -> Option<&PlannedRun> {
        self.runs.iter().find(|run| run.name == name)
    }
}

/// The values that a run takes from earlier runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The number of epochs whose orders the random stream has already drawn.
    pub skip_epochs: usize,
    /// The number of epochs, if another run sets it.
    pub epochs: Option<usize>,
}

impl PlannedRun {
    /// Returns the names of the runs that must be finished before this one starts.
    pub fn dependencies(&self) -> impl Iterator<Item = &str> {
        self.after.as_deref().into_iter().chain(self.as_long_as.as_deref())
    }

    /// Returns the config of the run.
    ///
    /// # Errors
    /// If the config cannot be read or is invalid.
    pub fn config(&self, start: Start) -> Result<TrainConfig, ConfigError> {
        let mut overrides = self.overrides.clone();
        overrides.push(format!("descent.shuffle.skip_epochs={}", start.skip_epochs));
        overrides.extend(start.epochs.map(|epochs| format!("descent.epochs={epochs}")));
        TrainConfig::parse_overridden(&self.file, &self.text, &overrides)
    }
}

/// Returns the message for an experiment instead of a plan.
fn not_a_plan(text: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let is_experiment = table.contains_key("model") && !table.contains_key("run");
    is_experiment
        .then(|| "this is the config of an experiment, for the command train; a plan has runs: [[run]]".to_owned())
}

fn settings(table: &toml::Table) -> Vec<String> {
    table.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
