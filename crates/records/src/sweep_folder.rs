use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file::clear_drafts;
use crate::lock::{LOCK, Lock};
use crate::run_folder::{CONFIG, first_free, removed};
use crate::sentence::one_line;
use crate::{Grid, GridError, Manifest, RunError, RunFolder, TrainConfig, read_text, write_whole};

/// What a sweep is made of, so that it can be gone on with: `sweep.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepPlan {
    /// The experiment's file, as it was called.
    pub config: String,
    /// What stood in it.
    pub text: String,
    /// What the command line set otherwise for all points, each `key=value`.
    pub set: Vec<String>,
    /// Threads of the fused kernels for each point.
    pub threads: usize,
    /// The keys with their values.
    pub grid: Grid,
    /// What the points run on: one for each of the data that the grid asks for, in the order of their first points.
    pub manifests: Vec<Manifest>,
}

impl SweepPlan {
    /// The folder below the sweep's that has the points' folders.
    pub const POINTS: &str = "points";

    /// The experiments of all points.
    ///
    /// # Errors
    /// For the first point that cannot be run.
    pub fn configs(&self) -> Result<Vec<TrainConfig>, GridError> {
        self.grid.configs(&self.config, &self.text, &self.set)
    }

    /// What each point's folder is called: its number, and each key's last part with its value, as far as there is room and a path takes them.
    pub fn folder_names(&self) -> Vec<String> {
        let (keys, points) = (self.grid.short_names(), self.grid.values());
        let digits = points.len().to_string().len();
        let name = |(i, values): (usize, &Vec<&str>)| {
            let mut name = format!("{:0digits$}", i + 1);
            for (key, value) in keys.iter().zip(values) {
                // A dash for all that has a meaning to a shell or a file system; what is left of a list or a string has none at its ends.
                let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { ' ' };
                let plain: String = value.chars().map(plain).collect();
                name += &format!("-{key}={}", plain.split_whitespace().collect::<Vec<_>>().join("-"));
            }
            name.truncate(LONGEST);
            name
        };
        points.iter().enumerate().map(name).collect()
    }
}

/// Letters of a point's folder.
const LONGEST: usize = 100;

/// A folder for a sweep: its plan, what came of it, and below `points` a run's folder for each point. Only one process at a time has it.
#[derive(Debug)]
pub struct SweepFolder {
    path: PathBuf,
    plan: SweepPlan,
    _lock: Lock,
}

pub(crate) const PLAN: &str = "sweep.toml";
/// Bytes of a plan, at most: of its config, its grid and the checksums of the data of a thousand points.
const MOST_BYTES: u64 = 1 << 24;

/// The files that a sweep writes, and that `--force` therefore replaces, with its points.
pub(crate) const SWEEP_FILES: [&str; 6] = [PLAN, "sweep.csv", "sweep.json", "sweep.md", "sweep.svg", "sweep.png"];

impl SweepFolder {
    /// Makes a folder for a new sweep, and writes `sweep.toml`.
    ///
    /// With `replace`, the files of a sweep that lies there, and of its runs, are deleted first, and nothing else is.
    ///
    /// # Errors
    /// Where something is there and `replace` is not set, another process has the folder or a run in it, or it cannot be written.
    pub fn create(path: &Path, replace: bool, plan: &SweepPlan) -> Result<Self, RunError> {
        if path.join(CONFIG).exists() && !path.join(PLAN).exists() {
            let what = "this is a run's folder; name another for the sweep";
            return Err(RunError::Another { path: path.to_owned(), what });
        }
        let error = |problem| RunError::Write { path: path.to_owned(), problem };
        std::fs::create_dir_all(path).map_err(error)?;
        let lock = Lock::take(path)?;
        let mut others = std::fs::read_dir(path).map_err(error)?.flatten().filter(|entry| entry.file_name() != LOCK);
        if !replace && others.next().is_some() {
            return Err(RunError::Exists(path.to_owned()));
        }
        // First the plan: what is left without one is no sweep's.
        clear_drafts(path);
        for file in SWEEP_FILES.map(|file| path.join(file)) {
            removed(std::fs::remove_file(&file), &file)?;
        }
        let folder = Self { path: path.to_owned(), plan: plan.clone(), _lock: lock };
        for run in std::fs::read_dir(folder.points()).into_iter().flatten().flatten() {
            RunFolder::remove(&run.path())?;
        }
        let text = toml::to_string(plan).expect("a plan is strings, numbers, lists and tables");
        write_whole(&path.join(PLAN), text.as_bytes())?;
        Ok(folder)
    }

    /// Makes the first free one of `runs/sweep-1`, `runs/sweep-2`, ….
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create_numbered(runs: &Path, plan: &SweepPlan) -> Result<Self, RunError> {
        first_free(runs, "sweep", |path| Self::create(path, false, plan))
    }

    /// Takes the folder of a sweep that was begun, to go on with it.
    ///
    /// # Errors
    /// Where there is none, another process has it, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let file = path.join(PLAN);
        let unfinished = |problem: String| RunError::Unfinished { path: file.clone(), problem };
        let text = read_text(&file, MOST_BYTES).map_err(|error| unfinished(error.to_string()))?;
        let plan: SweepPlan = toml::from_str(&text).map_err(|error| unfinished(one_line(error.message())))?;
        let lock = Lock::take(path)?;
        clear_drafts(path);
        Ok(Self { path: path.to_owned(), plan, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `sweep.toml`
    pub fn plan(&self) -> &SweepPlan {
        &self.plan
    }

    /// Where the runs are.
    pub fn points(&self) -> PathBuf {
        self.path.join(SweepPlan::POINTS)
    }

    /// Writes a file beside the plan.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RunError> {
        debug_assert!(SWEEP_FILES.contains(&name), "{name} would outlast --force");
        write_whole(&self.path.join(name), content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GridKey;

    #[test]
    fn a_points_folder_tells_its_values_in_what_every_shell_takes() {
        let check = |keys: &[&str], expected: &[&str]| {
            let keys = keys.iter().map(|text| GridKey::parse(text).expect("a key")).collect();
            let plan = SweepPlan {
                config: String::new(),
                text: String::new(),
                set: Vec::new(),
                threads: 1,
                grid: Grid::new(keys).expect("a grid"),
                manifests: Vec::new(),
            };
            assert_eq!(plan.folder_names(), expected);
        };
        check(
            &["objective.l2=0,1e-5", "descent.optimizer=adam"],
            &["1-l2=0-optimizer=adam", "2-l2=1e-5-optimizer=adam"],
        );
        check(&["data.classes=[2,3]", "data.source='../a b/$x'"], &["1-classes=2-3-source=..-a-b-x"]);
        let long = format!("data.label={}", "x".repeat(300));
        check(&[&long], &[&format!("1-label={}", "x".repeat(92))]);
        let many = (0..12).map(|seed| seed.to_string()).collect::<Vec<_>>().join(",");
        let expected: Vec<String> = (0..12).map(|seed| format!("{:02}-seed={seed}", seed + 1)).collect();
        check(&[&format!("descent.shuffle.seed={many}")], &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
