//! Which runs a report is made of: `configs/report.toml`.

use std::path::{Path, PathBuf};

use chainrule_records::{ConfigError, TrainConfig};
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
    file: PathBuf,
    overrides: Vec<String>,
}

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It cannot be read.
    #[error("cannot read {file}: {source}; name a plan, as in chainrule reproduce configs/report.toml")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
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
    #[error("{file}: run {name:?}: {source}")]
    Run {
        /// The file.
        file: String,
        /// The run.
        name: String,
        /// Why not.
        source: Box<ConfigError>,
    },
}

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
    seeds: Option<u32>,
    #[serde(default)]
    set: toml::Table,
}

impl Plan {
    /// Reads a plan; `overrides`, each `key=value`, go to every run, after the plan's own.
    ///
    /// # Errors
    /// Where the plan or a run's config cannot be read, or says something that cannot be.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, PlanError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| PlanError::Read { file: file.clone(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let content = |problem: String| PlanError::Content { file: file.clone(), problem };
        let raw: RawPlan = toml::from_str(&text)
            .map_err(|error| content(error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")))?;

        let mut runs: Vec<PlannedRun> = Vec::new();
        for run in raw.run {
            let mut own = settings(&raw.set);
            own.extend(settings(&run.set));
            own.extend_from_slice(overrides);
            let names: Vec<(String, Option<u32>)> = match run.seeds {
                None => vec![(run.name, None)],
                Some(seeds) => (0..seeds).map(|seed| (format!("{}-{seed}", run.name), Some(seed))).collect(),
            };
            for (name, seed) in names {
                let mut overrides = own.clone();
                overrides.extend(seed.map(|seed| format!("descent.shuffle.seed={seed}")));
                overrides.push(format!("experiment={name:?}"));
                let planned = PlannedRun {
                    name: name.clone(),
                    after: run.after.clone(),
                    file: folder.join(&run.config),
                    overrides,
                };
                if runs.iter().any(|earlier| earlier.name == name) {
                    return Err(content(format!("two runs are named {name:?}")));
                }
                let error =
                    |source| PlanError::Run { file: file.clone(), name: name.clone(), source: Box::new(source) };
                let config = planned.config(0).map_err(error)?;
                if let Some(after) = &run.after {
                    let earlier = runs
                        .iter()
                        .find(|earlier| earlier.name == *after)
                        .ok_or_else(|| content(format!("run {name:?}: after = {after:?} names no run above it")))?;
                    let earlier = earlier.config(0).map_err(error)?;
                    let of = |config: &TrainConfig| (config.data().clone(), config.descent().shuffle.clone());
                    if of(&config) != of(&earlier) {
                        return Err(content(format!(
                            "run {name:?}: after = {after:?} has other data or another shuffle; one stream of random numbers \
                             cannot run through both"
                        )));
                    }
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

impl PlannedRun {
    /// Its config, where the runs before it on its stream have drawn the orders of `skip_epochs` epochs.
    ///
    /// # Errors
    /// Where the config cannot be read, or not be run.
    pub fn config(&self, skip_epochs: usize) -> Result<TrainConfig, ConfigError> {
        let mut overrides = self.overrides.clone();
        overrides.push(format!("descent.shuffle.skip_epochs={skip_epochs}"));
        TrainConfig::read(&self.file, &overrides)
    }
}

fn settings(table: &toml::Table) -> Vec<String> {
    table.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
