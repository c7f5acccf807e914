//! Which runs a report is made of: `configs/report.toml`.

use std::path::{Path, PathBuf};

use chainrule_core::TrainConfig;
use chainrule_records::{ConfigError, ConfigFile, read_text, toml_problem};
use serde::Deserialize;

/// The runs of a report, in order. Every config of it was checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<PlannedRun>,
}

/// A run that is to be made.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Its name.
    pub name: String,
    /// The run whose stream of random numbers it goes on with.
    pub after: Option<String>,
    /// The run that decides how many epochs it makes: those that this one began.
    pub as_long_as: Option<String>,
    file: String,
    text: String,
    overrides: Vec<String>,
}

/// Gives the config that a plan's run names: its own name in errors, and its text.
pub type ReadConfig<'a> = &'a dyn Fn(&Path) -> Result<(String, String), ConfigError>;

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It cannot be read.
    #[error("cannot read {file}: {problem}; name a plan, as in chainrule reproduce configs/report.toml")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        problem: std::io::Error,
    },
    /// It is not what a plan looks like.
    #[error("{file}: {problem}")]
    Content {
        /// The file.
        file: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// A run of it cannot be made.
    #[error("{file}: run {name:?}: {problem}")]
    Run {
        /// The file.
        file: String,
        /// The run.
        name: String,
        /// Why not.
        problem: Box<ConfigError>,
    },
}

/// Bytes of a plan, at most.
const MOST_BYTES: u64 = 1 << 20;

/// Runs that differ in their seed alone, at most.
const MOST_SEEDS: u32 = 10_000;

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
    /// Reads a plan; `overrides`, each `key=value`, come before what the plan sets for a single
    /// run: what makes a run another one stays.
    ///
    /// # Errors
    /// Where the plan or a run's config cannot be read, or says something that cannot be.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, PlanError> {
        let file = path.display().to_string();
        let text = read_text(path, MOST_BYTES).map_err(|problem| PlanError::Read { file: file.clone(), problem })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let read = |config: &Path| {
            let config = folder.join(config);
            Ok((config.display().to_string(), TrainConfig::read_text(&config)?))
        };
        Self::parse(&file, &text, overrides, &read)
    }

    /// The same of a plan that was read; `file` is its name in errors, and `read` gives its
    /// configs.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(file: &str, text: &str, overrides: &[String], read: ReadConfig<'_>) -> Result<Self, PlanError> {
        let content = |problem: String| PlanError::Content { file: file.to_owned(), problem };
        let raw: RawPlan = toml::from_str(text)
            .map_err(|error| content(not_a_plan(text).unwrap_or_else(|| toml_problem(text, &error))))?;

        let mut runs: Vec<PlannedRun> = Vec::new();
        for run in raw.run {
            let mut own = settings(&raw.set);
            own.extend_from_slice(overrides);
            own.extend(settings(&run.set));
            if let Some(seeds) = run.seeds.filter(|&seeds| seeds > MOST_SEEDS) {
                return Err(content(format!("run {:?}: seeds = {seeds}: expected at most {MOST_SEEDS}", run.name)));
            }
            let names: Vec<(String, Option<u32>)> = match run.seeds {
                None => vec![(run.name, None)],
                Some(seeds) => (0..seeds).map(|seed| (format!("{}-{seed}", run.name), Some(seed))).collect(),
            };
            for (name, seed) in names {
                let mut overrides = own.clone();
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
                    let of = |config: &TrainConfig| (config.data().clone(), config.descent().shuffle.clone());
                    if of(&config) != of(&earlier) {
                        return Err(content(format!(
                            "run {name:?}: after = {after:?} has other data or another shuffle; one stream of random numbers \
                             cannot run through both"
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

    /// The run of that name.
    pub fn get(&self, name: &str) -> Option<&PlannedRun> {
        self.runs.iter().find(|run| run.name == name)
    }
}

/// What a run takes from those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Epochs whose orders its stream of random numbers has drawn.
    pub skip_epochs: usize,
    /// Epochs that it makes, where another run decides that.
    pub epochs: Option<usize>,
}

impl PlannedRun {
    /// The runs that have to be finished before this one can start.
    pub fn waits_for(&self) -> impl Iterator<Item = &str> {
        self.after.as_deref().into_iter().chain(self.as_long_as.as_deref())
    }

    /// Its config.
    ///
    /// # Errors
    /// Where the config cannot be read, or not be run.
    pub fn config(&self, start: Start) -> Result<TrainConfig, ConfigError> {
        let mut overrides = self.overrides.clone();
        overrides.push(format!("descent.shuffle.skip_epochs={}", start.skip_epochs));
        overrides.extend(start.epochs.map(|epochs| format!("descent.epochs={epochs}")));
        TrainConfig::parse_overridden(&self.file, &self.text, &overrides)
    }
}

/// What to say of an experiment in a plan's place.
fn not_a_plan(text: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let is_experiment = table.contains_key("model") && !table.contains_key("run");
    is_experiment.then(|| "this is an experiment, which train takes, and a plan has runs: [[run]]".to_owned())
}

fn settings(table: &toml::Table) -> Vec<String> {
    table.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
