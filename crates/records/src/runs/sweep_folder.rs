use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chainrule_core::{TrainConfig, one_line};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum::sha256;
use crate::claim::{BEGINNING, Claim, FolderKind, entries, is_empty, is_lock_or_leftover, remove};
use crate::file::{clear_drafts, is_draft};
use crate::lock::{LOCK, Lock};
use crate::names::PLAN;
use crate::runs::run_folder;
use crate::seal::{BROKEN, Seal, read, read_sealed, seal_json};
use crate::{Grid, GridError, Manifest, RunError, RunFolder, inside, write_whole};

/// The definition of a sweep, `sweep.toml`. A resumed sweep reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepPlan {
    /// The name of the experiment file.
    pub config: String,
    /// The text of the experiment file.
    pub text: String,
    /// The overrides of the command line for all points, each `key=value`.
    pub set: Vec<String>,
    /// Overrides for the points whose value of `descent.solver` is `sgd`, each `key=value`. Those
    /// of `set` come after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_sgd: Vec<String>,
    /// The threads of the fused kernels for each point.
    pub threads: usize,
    /// The keys with their values.
    pub grid: Grid,
    /// The manifests of the points: one for each data set of the grid, in the order of their first
    /// points.
    pub manifests: Vec<Manifest>,
}

impl SweepPlan {
    /// The subfolder with the points' run folders.
    pub const POINTS: &str = "points";

    /// Returns the configs of all points.
    ///
    /// # Errors
    /// Fails for the first point with an invalid config.
    pub fn configs(&self) -> Result<Vec<TrainConfig>, GridError> {
        self.grid.configs(&self.config, &self.text, &self.of_sgd, &self.set)
    }

    /// Returns the folder name of each point: its number, then each key's short name with its
    /// value, shortened and without special characters.
    pub fn folder_names(&self) -> Vec<String> {
        let (keys, points) = (self.grid.short_names(), self.grid.values());
        let digits = points.len().to_string().len();
        let name = |(i, values): (usize, &Vec<&str>)| {
            let mut name = format!("{:0digits$}", i + 1);
            // Replace characters with a meaning in a shell or a path by dashes, but not at the
            // ends.
            let plain = |text: &str| {
                let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { ' ' };
                let plain: String = text.chars().map(plain).collect();
                plain.split_whitespace().collect::<Vec<_>>().join("-")
            };
            for (key, value) in keys.iter().zip(values) {
                name += &format!("-{}={}", plain(key), plain(value));
            }
            name.truncate(LONGEST);
            name
        };
        points.iter().enumerate().map(name).collect()
    }
}

/// The largest length of a point's folder name.
const LONGEST: usize = 100;

/// The folder of a sweep: its plan, its results, and one run folder per point in `points`. One
/// process owns the folder at a time.
#[derive(Debug)]
pub struct SweepFolder {
    plan: SweepPlan,
    claim: Claim,
}

const JSON: &str = "sweep.json";
/// The largest size of a plan in bytes: its config, its grid, and the checksums of the data of a
/// thousand points.
const MAX_BYTES: u64 = 1 << 24;

/// The files of a sweep, besides its points.
pub(crate) const SWEEP_FILES: [&str; 7] =
    [PLAN, "sweep.csv", "sweep-means.csv", JSON, "sweep.md", "sweep.svg", "sweep.png"];

/// The folder kind of a sweep. Its marker file is the plan.
pub(crate) const SWEEP: FolderKind = FolderKind {
    name: "a sweep",
    is_leftover: is_draft,
    is_one: |folder| SweepPlan::read(folder).is_ok(),
    deletable_paths: deletable_files,
};

impl SweepFolder {
    /// Creates the folder of a new sweep with `sweep.toml`, atomically.
    ///
    /// With `replace`, an existing sweep is replaced with its runs if the folder has nothing else
    /// and its seals are valid.
    ///
    /// # Errors
    /// Fails if the folder exists and cannot be replaced, if another process owns it or a run in
    /// it, or if it cannot be written.
    pub fn create(path: &Path, replace: bool, plan: &SweepPlan) -> Result<Self, RunError> {
        if RunFolder::is_run(path) && !inside::is_there(&path.join(PLAN)) {
            let what = "this is a run's folder; name another for the sweep";
            return Err(RunError::WrongFolder { path: path.to_owned(), what });
        }
        let claim = Claim::create(path, replace, &SWEEP, &|folder| plan.write(folder))?;
        Ok(Self { plan: plan.clone(), claim })
    }

    /// Creates the first free folder of `runs/sweep-1`, `runs/sweep-2`, ….
    ///
    /// # Errors
    /// Fails if the folder cannot be written.
    pub fn create_numbered(runs: &Path, plan: &SweepPlan) -> Result<Self, RunError> {
        let claim = Claim::create_numbered(runs, "sweep", &SWEEP, &|folder| plan.write(folder))?;
        Ok(Self { plan: plan.clone(), claim })
    }

    /// Opens the folder of an existing sweep to resume it.
    ///
    /// # Errors
    /// Fails if there is no sweep, if its plan was changed, if a link leads out of the folder, if
    /// another process owns it, or if it cannot be written.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let plan = SweepPlan::read(path)?;
        let claim = Claim::take(path)?;
        for (names, is_folder) in [(&SWEEP_FILES[..], false), (&[SweepPlan::POINTS], true)] {
            for path in names.iter().map(|name| path.join(name)) {
                inside::check(&path, is_folder).map_err(|problem| RunError::Write { path, problem })?;
            }
        }
        clear_drafts(path);
        Ok(Self { plan, claim })
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Returns the content of `sweep.toml`.
    pub fn plan(&self) -> &SweepPlan {
        &self.plan
    }

    /// Returns the folder of a point's run, which may not exist yet.
    ///
    /// # Errors
    /// Fails if a link leads out of the folder, or if this process lost the folder and cannot
    /// create it again.
    pub fn point(&self, name: &str) -> Result<PathBuf, RunError> {
        self.hold()?;
        let points = self.path().join(SweepPlan::POINTS);
        let point = points.join(name);
        for path in [points, point.clone()] {
            inside::check(&path, true).map_err(|problem| RunError::Write { path, problem })?;
        }
        Ok(point)
    }

    /// Writes the results of the sweep: a JSON object as `sweep.json`, and the other files.
    /// `sweep.json` gets their checksums and a seal.
    ///
    /// The old files are deleted first, so no file ever differs from its checksum.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    ///
    /// # Panics
    /// Panics if `json` is not an object with members.
    pub fn write_tables(&self, json: &str, others: &[(&str, Vec<u8>)]) -> Result<(), RunError> {
        self.hold()?;
        let mut files = BTreeMap::new();
        for (name, content) in others {
            debug_assert!(SWEEP_FILES.contains(name), "{name} would be in the way of --force");
            remove(&self.path().join(name))?;
            files.insert((*name).to_owned(), sha256(content));
        }
        let members = json.trim_end().strip_suffix('}').expect("an object ends with a brace").trim_end();
        let files = serde_json::to_string(&files).expect("names and checksums are texts");
        write_whole(&self.path().join(JSON), &seal_json(&format!("{members},\n  \"files\": {files}\n}}")))?;
        others.iter().try_for_each(|(name, content)| write_whole(&self.path().join(name), content))
    }

    fn hold(&self) -> Result<(), RunError> {
        self.claim.hold(&SWEEP, &|folder| self.plan.write(folder))
    }
}

impl SweepPlan {
    fn read(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(PLAN);
        let text = inside::read(&path, MAX_BYTES).map_err(|error| error.to_string());
        let plan = text.and_then(|bytes| {
            let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
            unsealed_toml(&text).map_err(|problem| format!("{problem}; put back what was there, or begin a new sweep"))
        });
        plan.map_err(|problem| RunError::Incomplete { path, problem })
    }

    fn write(&self, folder: &Path) -> Result<(), RunError> {
        let text = toml::to_string(self).expect("a plan is strings, numbers, lists and tables");
        write_whole(&folder.join(PLAN), &sealed_toml(&text))
    }
}

/// Returns the files of a folder, except its plan, in the order of their deletion.
///
/// # Errors
/// Fails if the folder is not a sweep, if it has other files, or if another process owns one of its
/// runs.
fn deletable_files(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let names = entries(folder)?;
    let foreign = |path: PathBuf| RunError::Foreign { path, kind: SWEEP.name };
    let Ok(plan) = SweepPlan::read(folder) else {
        let plan = names.iter().find(|name| *name == PLAN);
        return Err(foreign(folder.join(plan.or(names.first()).map_or(PLAN, String::as_str))));
    };
    /// The checksums in `sweep.json`.
    #[derive(Deserialize)]
    struct SweepChecksums {
        files: BTreeMap<String, String>,
    }
    let checksums: Option<SweepChecksums> = read_sealed(&folder.join(JSON), "").ok();
    if checksums.is_none() && inside::is_there(&folder.join(JSON)) {
        return Err(foreign(folder.join(JSON)));
    }
    let is_listed = |name: &str, bytes: &[u8]| match (&checksums, name) {
        (Some(_), JSON) => true,
        (Some(checksums), name) => checksums.files.get(name) == Some(&sha256(bytes)),
        (None, _) => false,
    };
    let points = folder.join(SweepPlan::POINTS);
    let mut paths = Vec::new();
    for name in &names {
        let path = folder.join(name);
        let belongs = if path == points {
            inside::check(&path, true).is_ok()
        } else {
            name == PLAN
                || is_lock_or_leftover(folder, name, &SWEEP)
                || SWEEP_FILES.contains(&name.as_str()) && read(&path).is_ok_and(|bytes| is_listed(name, &bytes))
        };
        if !belongs {
            return Err(foreign(path));
        }
        if path != points && name != PLAN && name != LOCK {
            paths.push(path);
        }
    }
    if !inside::is_there(&points) {
        return Ok(paths);
    }
    let runs = plan.folder_names();
    for name in entries(&points)? {
        let run = points.join(&name);
        let run_name = name.strip_prefix(BEGINNING).unwrap_or(&name);
        if !runs.iter().any(|run| run == run_name) || inside::check(&run, true).is_err() {
            return Err(foreign(run));
        }
        Lock::check_free(&run)?;
        if is_empty(&run, &SWEEP)? {
            paths.extend(entries(&run)?.iter().map(|name| run.join(name)));
        } else {
            paths.extend(run_folder::deletable_files(&run)?);
        }
        paths.extend([run.join(LOCK), run]);
    }
    paths.push(points);
    Ok(paths)
}

/// The last line of a sealed TOML file.
const TOML: Seal = Seal { before: "# seal: ", after: "\n" };

/// Returns a TOML document with its seal.
fn sealed_toml(text: &str) -> Vec<u8> {
    TOML.put(text)
}

/// Parses a sealed TOML document.
///
/// # Errors
/// Returns a message if the seal does not match or the content is not such a record.
fn unsealed_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    if !TOML.holds(text.as_bytes()) {
        return Err(BROKEN.to_owned());
    }
    toml::from_str(text).map_err(|error| one_line(error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GridKey;

    #[test]
    fn point_folder_names_are_safe_in_every_shell() {
        let check = |keys: &[&str], expected: &[&str]| {
            let keys = keys.iter().map(|text| GridKey::parse(text).expect("a key")).collect();
            let plan = SweepPlan {
                config: String::new(),
                text: String::new(),
                set: Vec::new(),
                of_sgd: Vec::new(),
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
