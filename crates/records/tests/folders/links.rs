//! Links in a folder to targets outside of it.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use chainrule_records::{RunError, RunFolder, SweepFolder};
use tempfile::TempDir;

use crate::{
    Attempt, Make, POINT, assert_one_line, contents, copy, finish, import, imported, names, plan, tiny_run,
    write_model_folder, write_run, write_sweep, write_tables,
};

/// Files outside the folders that must not change.
struct OutsideFiles {
    folder: TempDir,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl OutsideFiles {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "process 1").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        for name in ["model.safetensors", "step-1.mpk", ".step-1.mpk.abcdef", POINT] {
            std::fs::write(folder.path().join("folder").join(name), "mine").unwrap();
        }
        let before = contents(folder.path());
        Self { folder, before }
    }

    fn check(&self, what: &str) {
        assert_eq!(contents(self.folder.path()), self.before, "{what}");
    }

    /// Replaces a path by each kind of link in turn and runs the attempt with it. Restores the path
    /// afterwards.
    fn link(&self, path: &Path, mut attempt: impl FnMut(&str)) {
        let outside = self.folder.path();
        let original = outside.with_extension("kept");
        for kind in ["a link to a file", "a link to nothing", "a link to a folder", "a link to itself", "a hard link"] {
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else if path.is_file() {
                std::fs::rename(path, &original).unwrap();
            }
            match kind {
                "a link to a file" => symlink(outside.join("file"), path).unwrap(),
                "a link to nothing" => symlink(outside.join("nothing"), path).unwrap(),
                "a link to a folder" => symlink(outside.join("folder"), path).unwrap(),
                // A link is refused even if its target is valid.
                "a link to itself" if original.exists() => symlink(&original, path).unwrap(),
                "a link to itself" => continue,
                _ => std::fs::hard_link(outside.join("file"), path).unwrap(),
            }
            let before = std::fs::read(&original).ok();
            attempt(kind);
            self.check(&format!("{kind} at {}", path.display()));
            assert_eq!(std::fs::read(&original).ok(), before, "{kind} at {}", path.display());
            let _ = std::fs::remove_file(&original);
        }
    }
}

fn read_run(path: &Path) -> Result<(), RunError> {
    RunFolder::read(path).map(drop)
}

fn resume_run(path: &Path) -> Result<(), RunError> {
    let folder = RunFolder::open(path)?;
    folder.last_checkpoint::<String>(&mut |_| ());
    folder.write_checkpoint(9, &"further")?;
    let run = tiny_run();
    folder.finish(&run.history, &run.parameters, &run.preprocessing, run.summary).map(drop)
}

fn replace_run(path: &Path) -> Result<(), RunError> {
    let run = tiny_run();
    RunFolder::create(path, true, &run.config, &run.manifest).map(|folder| finish(&folder))
}

fn read_model(path: &Path) -> Result<(), RunError> {
    imported(path).map(drop)
}

fn replace_import(path: &Path) -> Result<(), RunError> {
    import(path, true, 2.0)
}

fn resume_sweep(path: &Path) -> Result<(), RunError> {
    let folder = SweepFolder::open(path)?;
    let point = folder.point(POINT)?;
    resume_run(&point)?;
    write_tables(&folder, "told again")
}

fn replace_sweep(path: &Path) -> Result<(), RunError> {
    let folder = SweepFolder::create(path, true, &plan())?;
    folder.point(POINT).map(drop)
}

/// Replaces each file of a folder, and other possible paths, by links and runs all attempts.
/// Returns the number of links and of refusals.
fn links_in(make: Make, attempts: &[Attempt], more: &[&str]) -> [usize; 2] {
    let (victims, place) = (OutsideFiles::new(), tempfile::tempdir().unwrap());
    let [target, folder] = ["whole", "folder"].map(|name| place.path().join(name));
    make(&target);
    let inside = names(&target);
    let (mut links, mut refused) = (0, 0);
    for name in inside.iter().map(String::as_str).chain(more.iter().copied()) {
        for (what, attempt) in attempts {
            copy(&target, &folder);
            victims.link(&folder.join(name), |kind| {
                let result = attempt(&folder);
                links += 1;
                refused += usize::from(result.is_err());
                let is_symbolic = kind != "a hard link";
                // A reader ignores files that it does not need.
                let is_asked =
                    *what != "read" || inside.iter().any(|file| file == name && !name.contains("checkpoint"));
                if is_symbolic && is_asked {
                    let Err(error) = result else { panic!("{what} with {kind} at {name}") };
                    assert_one_line(&error.to_string());
                }
                // A successful attempt has changed the folder.
                std::fs::remove_dir_all(&folder).unwrap();
                copy(&target, &folder);
            });
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
    [links, refused]
}

#[test]
fn links_in_a_run_are_not_followed() {
    let attempts: [Attempt; 3] = [("read", &read_run), ("go on", &resume_run), ("again", &replace_run)];
    let more = [".lock", "diverged.json", "checkpoint", "checkpoint/step-8.mpk"];
    let [links, refused] = links_in(&write_run, &attempts, &more);
    assert!(links > 140 && refused > 110, "{links} {refused}");
}

#[test]
fn links_in_an_imported_model_are_not_followed() {
    let attempts: [Attempt; 2] = [("read", &read_model), ("again", &replace_import)];
    let [links, refused] = links_in(&write_model_folder, &attempts, &[".lock", ".model.safetensors.next"]);
    assert!(links > 30 && refused > 25, "{links} {refused}");
}

#[test]
fn links_in_a_sweep_are_not_followed() {
    let attempts: [Attempt; 2] = [("go on", &resume_sweep), ("again", &replace_sweep)];
    let more = [".lock", "points", "points/1-l2=0", "points/1-l2=0/.lock", "points/1-l2=0/checkpoint"];
    let [links, refused] = links_in(&write_sweep, &attempts, &more);
    assert!(links > 170 && refused > 160, "{links} {refused}");
}

/// A folder is first created under a temporary name. A link of that name is not followed either.
#[test]
fn a_link_beside_a_new_folder_is_not_followed() {
    let (victims, place) = (OutsideFiles::new(), tempfile::tempdir().unwrap());
    symlink(victims.folder.path().join("folder"), place.path().join(".beginning-new")).unwrap();
    let error = replace_run(&place.path().join("new")).unwrap_err().to_string();
    assert!(error.contains(".beginning-new: a symbolic link"), "{error}");
    victims.check("a link beside the place");
}

#[test]
fn a_folder_may_be_given_as_a_link() {
    let place = tempfile::tempdir().unwrap();
    let [link, folder] = ["link", "folder"].map(|name| place.path().join(name));
    symlink(&folder, &link).unwrap();
    write_run(&folder);
    RunFolder::read(&link).unwrap();
    drop(RunFolder::open(&link).unwrap());
    let run = tiny_run();
    drop(RunFolder::create(&link, true, &run.config, &run.manifest).unwrap());
    assert!(link.is_symlink() && !folder.join("summary.json").exists());
    assert_eq!(names(&folder), ["config.toml", "manifest.json"]);
    // An empty folder is kept and filled.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    import(&link, false, 1.0).unwrap();
    assert_eq!(imported(&folder).unwrap(), 1.0);
}
