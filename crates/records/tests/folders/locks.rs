//! Ownership and location of a folder.

use std::path::{Path, PathBuf};

use chainrule_records::{RunError, RunFolder};
use sha2::{Digest, Sha256};

use crate::{assert_one_line, contents, finish, names, tiny_run, write_run};

fn create(path: &Path) -> Result<RunFolder, RunError> {
    let run = tiny_run();
    RunFolder::create(path, false, &run.config, &run.manifest)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_lock_names_its_process() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    write_run(&path);
    let lock = path.join(".lock");
    let held = RunFolder::open(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), format!("process {}", std::process::id()));
    drop(held);
    assert_eq!(names(&path).iter().filter(|name| name.starts_with('.')).count(), 0);
    for foreign in ["", "process ", "process one", "mine"] {
        std::fs::write(&lock, foreign).unwrap();
        let error = RunFolder::open(&path).unwrap_err().to_string();
        assert!(error.contains(".lock") && error.contains("this program did not write it"), "{error}");
        assert_eq!(std::fs::read_to_string(&lock).unwrap(), foreign);
        std::fs::remove_file(&lock).unwrap();
    }
}

/// The process was killed just after naming the lock, so the file still has its temporary name,
/// too.
#[test]
fn a_lock_of_a_killed_process_is_taken_over() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    write_run(&path);
    let lock = path.join(".lock");
    let draft = ".chainrule-4711-12";
    let draft = path.join(format!("{draft}-{}", &sha256(draft.as_bytes())[..16]));
    std::fs::write(&draft, "process 4711").unwrap();
    std::fs::hard_link(&draft, &lock).unwrap();
    drop(RunFolder::open(&path).unwrap());
    assert!(!lock.exists() && !draft.exists());
}

#[test]
fn folder_names_may_have_the_maximal_length() {
    let place = tempfile::tempdir().unwrap();
    let run = tiny_run();
    for (length, is_taken) in [(200, true), (201, true), (244, true), (255, true), (256, false)] {
        let path = place.path().join("n".repeat(length));
        match RunFolder::create(&path, false, &run.config, &run.manifest) {
            Ok(_) => assert!(is_taken && path.exists(), "{length}"),
            Err(error) => {
                assert!(!is_taken, "{length}: {error}");
                assert_one_line(&error.to_string());
            }
        }
    }
    assert!(names(place.path()).iter().all(|name| !name.contains(".beginning")), "{:?}", names(place.path()));
}

#[test]
fn a_renamed_run_writes_to_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let [path, away] = ["run", "away"].map(|name| place.path().join(name));
    let folder = create(&path).unwrap();
    std::fs::rename(&path, &away).unwrap();
    folder.write_checkpoint(1, &"one").unwrap();
    assert!(matches!(RunFolder::open(&path), Err(RunError::Busy { .. })), "it has no lock there");
    finish(&folder);
    drop(folder);
    assert_eq!(names(&path).iter().filter(|name| name.starts_with('.')).count(), 0);
    RunFolder::read(&path).unwrap();
    drop(RunFolder::open(&away).unwrap());
}

#[test]
fn a_replaced_run_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let [path, away] = ["run", "away"].map(|name| place.path().join(name));
    let folder = create(&path).unwrap();
    std::fs::rename(&path, &away).unwrap();
    let other = create(&path).unwrap();
    let before = contents(&path);
    let error = folder.write_checkpoint(1, &"one").unwrap_err();
    assert!(error.to_string().contains("another folder took its place"), "{error}");
    drop(folder);
    assert_eq!(contents(&path), before, "not even its lock is another's to delete");
    drop(other);
}

/// Deleting the lock file does not release the lock.
#[test]
fn a_deleted_lock_file_keeps_the_lock() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let folder = create(&path).unwrap();
    std::fs::remove_file(path.join(".lock")).unwrap();
    finish(&folder);
    assert!(matches!(RunFolder::open(&path), Err(RunError::Busy { .. })));
}

#[test]
fn concurrent_runs_get_different_folders() {
    let folder = tempfile::tempdir().unwrap();
    let run = tiny_run();
    let (config, manifest) = (&run.config, &run.manifest);
    let paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let make = || {
            let make = |_| RunFolder::create_numbered(folder.path(), config, manifest).unwrap();
            // All of them are held at once.
            (0..250).map(make).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        let paths: Vec<RunFolder> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        paths.iter().map(|run| run.path().to_owned()).collect()
    });
    let mut numbers: Vec<usize> = paths
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().rsplit_once('-').unwrap().1.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
    assert!(paths.iter().all(|path| path.join("manifest.json").exists()));
}
