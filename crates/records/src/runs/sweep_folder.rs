use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chainrule_core::{TrainConfig, one_line};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum::sha256;
use crate::claim::{BEGINNING, Claim, FolderKind, entries, is_empty, is_of_no_account, remove};
use crate::file::{clear_drafts, is_draft};
use crate::lock::{LOCK, Lock};
use crate::names::PLAN;
use crate::runs::run_folder;
use crate::seal::{BROKEN, Seal, read, read_sealed, seal_json};
use crate::{Grid, GridError, Manifest, RunError, RunFolder, inside, write_whole};

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
    /// What the points run on: one for each of the data that the grid asks for, in the order of
    /// their first points.
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

    /// What each point's folder is called: its number, and each key's last part with its value, as
    /// far as there is room and a path takes them.
    pub fn folder_names(&self) -> Vec<String> {
        let (keys, points) = (self.grid.short_names(), self.grid.values());
        let digits = points.len().to_string().len();
        let name = |(i, values): (usize, &Vec<&str>)| {
            let mut name = format!("{:0digits$}", i + 1);
            // A dash for all that has a meaning to a shell or a file system; what is left of a list
            // or a string has none at its ends.
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

/// Letters of a point's folder.
const LONGEST: usize = 100;

/// A folder for a sweep: its plan, what came of it, and below `points` a run's folder for each
/// point. Only one process at a time has it.
#[derive(Debug)]
pub struct SweepFolder {
    plan: SweepPlan,
    claim: Claim,
}

const JSON: &str = "sweep.json";
/// Bytes of a plan, at most: of its config, its grid and the checksums of the data of a thousand
/// points.
const MOST_BYTES: u64 = 1 << 24;

/// The files that a sweep writes, with its points.
pub(crate) const SWEEP_FILES: [&str; 6] = [PLAN, "sweep.csv", JSON, "sweep.md", "sweep.svg", "sweep.png"];

/// A folder of a sweep is one by its plan.
pub(crate) const SWEEP: FolderKind = FolderKind {
    name: "a sweep",
    is_leftover: is_draft,
    is_one: |folder| SweepPlan::read(folder).is_ok(),
    to_replace: own_files,
};

impl SweepFolder {
    /// Makes a folder for a new sweep, whole with `sweep.toml` or not at all.
    ///
    /// With `replace`, a sweep that lies there is replaced with its runs, if nothing else does and
    /// its seals are whole.
    ///
    /// # Errors
    /// Where something is there and `replace` is not set or does not allow it, another process has
    /// the folder or a run in it, or it cannot be written.
    pub fn create(path: &Path, replace: bool, plan: &SweepPlan) -> Result<Self, RunError> {
        if RunFolder::was_begun(path) && !inside::is_there(&path.join(PLAN)) {
            let what = "this is a run's folder; name another for the sweep";
            return Err(RunError::Another { path: path.to_owned(), what });
        }
        let claim = Claim::create(path, replace, &SWEEP, &|folder| plan.write(folder))?;
        Ok(Self { plan: plan.clone(), claim })
    }

    /// Makes the first free one of `runs/sweep-1`, `runs/sweep-2`, ….
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create_numbered(runs: &Path, plan: &SweepPlan) -> Result<Self, RunError> {
        let claim = Claim::create_numbered(runs, "sweep", &SWEEP, &|folder| plan.write(folder))?;
        Ok(Self { plan: plan.clone(), claim })
    }

    /// Takes the folder of a sweep that was begun, to go on with it.
    ///
    /// # Errors
    /// Where there is none, its plan was changed, a link leads out of it, another process has it,
    /// or it cannot be written.
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// `sweep.toml`
    pub fn plan(&self) -> &SweepPlan {
        &self.plan
    }

    /// Where a run of it is, or is to be made.
    ///
    /// # Errors
    /// Where that is elsewhere, behind a link, or the sweep's folder is no longer this process's
    /// and cannot be made again.
    pub fn point(&self, name: &str) -> Result<PathBuf, RunError> {
        self.hold()?;
        let points = self.path().join(SweepPlan::POINTS);
        let point = points.join(name);
        for path in [points, point.clone()] {
            inside::check(&path, true).map_err(|problem| RunError::Write { path, problem })?;
        }
        Ok(point)
    }

    /// Writes what tells of the sweep: a JSON object as `sweep.json`, and the other files, whose
    /// checksums it gets with a seal. They are gone while they are written, so that none is ever
    /// another than it says.
    ///
    /// # Errors
    /// Where one cannot be written.
    ///
    /// # Panics
    /// Where `json` is no object with members.
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
        let text = inside::read(&path, MOST_BYTES).map_err(|error| error.to_string());
        let plan = text.and_then(|bytes| {
            let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
            unsealed_toml(&text).map_err(|problem| format!("{problem}; put back what was there, or begin a new sweep"))
        });
        plan.map_err(|problem| RunError::Unfinished { path, problem })
    }

    fn write(&self, folder: &Path) -> Result<(), RunError> {
        let text = toml::to_string(self).expect("a plan is strings, numbers, lists and tables");
        write_whole(&folder.join(PLAN), &sealed_toml(&text))
    }
}

/// The files of a folder but its plan, in the order in which they are deleted.
///
/// # Errors
/// Where the folder is no sweep's, something else lies in it, or another process has one of its
/// runs.
fn own_files(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let names = entries(folder)?;
    let foreign = |path: PathBuf| RunError::Foreign { path, kind: SWEEP.name };
    let Ok(plan) = SweepPlan::read(folder) else {
        let plan = names.iter().find(|name| *name == PLAN);
        return Err(foreign(folder.join(plan.or(names.first()).map_or(PLAN, String::as_str))));
    };
    /// What `sweep.json` says of the others.
    #[derive(Deserialize)]
    struct Told {
        files: BTreeMap<String, String>,
    }
    let told: Option<Told> = read_sealed(&folder.join(JSON), "").ok();
    if told.is_none() && inside::is_there(&folder.join(JSON)) {
        return Err(foreign(folder.join(JSON)));
    }
    let is_told = |name: &str, bytes: &[u8]| match (&told, name) {
        (Some(_), JSON) => true,
        (Some(told), name) => told.files.get(name) == Some(&sha256(bytes)),
        (None, _) => false,
    };
    let points = folder.join(SweepPlan::POINTS);
    let mut paths = Vec::new();
    for name in &names {
        let path = folder.join(name);
        let is_own = if path == points {
            inside::check(&path, true).is_ok()
        } else {
            name == PLAN
                || is_of_no_account(folder, name, &SWEEP)
                || SWEEP_FILES.contains(&name.as_str()) && read(&path).is_ok_and(|bytes| is_told(name, &bytes))
        };
        if !is_own {
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
        let of = name.strip_prefix(BEGINNING).unwrap_or(&name);
        if !runs.iter().any(|run| run == of) || inside::check(&run, true).is_err() {
            return Err(foreign(run));
        }
        Lock::check_free(&run)?;
        if is_empty(&run, &SWEEP)? {
            paths.extend(entries(&run)?.iter().map(|name| run.join(name)));
        } else {
            paths.extend(run_folder::own_files(&run)?);
        }
        paths.extend([run.join(LOCK), run]);
    }
    paths.push(points);
    Ok(paths)
}

/// The last line of a sealed TOML file.
const TOML: Seal = Seal { before: "# seal: ", after: "\n" };

/// A TOML document with its seal.
fn sealed_toml(text: &str) -> Vec<u8> {
    TOML.put(text)
}

/// The record of such a document.
///
/// # Errors
/// Where the seal is not that of the content, or the content no such record: in words.
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
