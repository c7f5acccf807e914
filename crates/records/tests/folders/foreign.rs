//! `replace` refuses folders with files that are not proven to be this program's. Also tests
//! folders that are being replaced.

use std::path::Path;

use chainrule_records::{RunError, RunFolder, SweepFolder};

use crate::{
    Attempt, Make, assert_one_line, contents, copy, import, imported, names, plan, tiny_run, write_model_folder,
    write_run, write_sweep,
};

fn train(path: &Path) -> Result<(), RunError> {
    let run = tiny_run();
    RunFolder::create(path, true, &run.config, &run.manifest).map(drop)
}

fn sweep(path: &Path) -> Result<(), RunError> {
    SweepFolder::create(path, true, &plan()).map(drop)
}

fn replace_import(path: &Path) -> Result<(), RunError> {
    import(path, true, 2.0)
}

/// Expects an error that names this file, before anything changes.
#[track_caller]
fn assert_not_replaced(folder: &Path, what: &str, attempt: &dyn Fn(&Path) -> Result<(), RunError>, expected: &str) {
    let before = contents(folder);
    let error = attempt(folder).unwrap_err();
    assert!(matches!(error, RunError::Foreign { .. }), "{what}: {error}");
    let message = error.to_string();
    assert!(message.starts_with(&format!("{}: ", folder.join(expected).display())), "{what}: {message}");
    assert_one_line(&message);
    assert_eq!(contents(folder), before, "{what}");
}

#[test]
fn a_foreign_project_is_not_replaced() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("folder");
    for name in ["checkpoint/epoch-90.pt", "config.toml", "model.safetensors", "summary.json", "manifest.json"] {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), "{}").unwrap();
    }
    assert_not_replaced(&folder, "train", &train, "manifest.json");
    assert_not_replaced(&folder, "import", &replace_import, "checkpoint");
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    let attempts: [Attempt; 3] = [("train", &train), ("sweep", &sweep), ("import", &replace_import)];
    for (what, attempt) in attempts {
        assert_not_replaced(&folder, what, attempt, "checkpoint");
    }
}

/// A foreign file, or one of this program's that was changed, prevents the replacement. Without
/// them the folder is replaced.
fn assert_replaced_only_without_foreign_files(
    make: Make,
    attempt: &dyn Fn(&Path) -> Result<(), RunError>,
    foreign: &[&str],
) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("folder");
    make(&folder);
    for name in foreign {
        let original = std::fs::read(folder.join(name)).ok();
        // An empty file of that name is no proof either.
        for content in ["mine", ""] {
            std::fs::write(folder.join(name), content).unwrap();
            assert_not_replaced(&folder, name, attempt, name);
        }
        match original {
            Some(content) => std::fs::write(folder.join(name), content).unwrap(),
            None => std::fs::remove_file(folder.join(name)).unwrap(),
        }
    }
    attempt(&folder).unwrap();
}

#[test]
fn a_run_with_a_foreign_file_is_not_replaced() {
    let foreign = [
        "notes.txt",
        "checkpoint/epoch-90.pt",
        "checkpoint/step-7.pt",
        "checkpoint/step-9.mpk",
        "model.safetensors",
        "config.toml",
        ".lock",
        ".chainrule-1-1",
        "checkpoint/.chainrule-1-1",
    ];
    assert_replaced_only_without_foreign_files(&write_run, &train, &foreign);
}

#[test]
fn a_sweep_with_a_foreign_file_is_not_replaced() {
    let foreign = [
        "notes.txt",
        ".chainrule-1-1",
        "points/1-l2=0/.lock",
        "sweep.toml",
        "sweep.csv",
        "sweep.json",
        "sweep.png",
        "points/notes",
        "points/1-l2=0/notes",
        "points/1-l2=0/checkpoint/epoch-90.pt",
    ];
    assert_replaced_only_without_foreign_files(&write_sweep, &sweep, &foreign);
}

#[test]
fn an_imported_model_with_a_foreign_file_is_not_replaced() {
    let foreign = ["notes.txt", ".lock", ".chainrule-1-1", "config.toml", "imported.json", "model.safetensors"];
    assert_replaced_only_without_foreign_files(&write_model_folder, &replace_import, &foreign);
}

#[test]
fn unproven_results_of_a_run_are_not_replaced() {
    for name in ["model.safetensors", "history.json"] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("folder");
        write_run(&folder);
        std::fs::remove_file(folder.join("summary.json")).unwrap();
        std::fs::write(folder.join(name), "mine").unwrap();
        assert_not_replaced(&folder, "a run without a summary", &train, name);
    }
}

#[test]
fn leftovers_of_a_killed_start_are_removed() {
    let place = tempfile::tempdir().unwrap();
    let [folder, beginning] = ["folder", ".beginning-folder"].map(|name| place.path().join(name));
    let begin_run = |path: &Path| {
        let run = tiny_run();
        drop(RunFolder::create(path, false, &run.config, &run.manifest).unwrap());
    };
    let begin_sweep = |path: &Path| drop(SweepFolder::create(path, false, &plan()).unwrap());
    let begins: [Make; 3] = [&begin_run, &begin_sweep, &write_model_folder];
    for left in begins {
        for made in begins {
            left(&beginning);
            made(&folder);
            assert!(folder.exists() && !beginning.exists());
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
}

/// A complete run whose folder has a temporary folder's name.
#[test]
fn a_run_with_the_name_of_a_temporary_folder_is_kept() {
    let place = tempfile::tempdir().unwrap();
    let [folder, beginning] = ["folder", ".beginning-folder"].map(|name| place.path().join(name));
    write_run(&beginning);
    let before = contents(&beginning);
    let run = tiny_run();
    let error = RunFolder::create(&folder, true, &run.config, &run.manifest).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}: ", beginning.display())), "{error}");
    assert_eq!(contents(&beginning), before);
}

#[test]
fn an_import_replaces_a_model_atomically() {
    let place = tempfile::tempdir().unwrap();
    let [folder, other] = ["folder", "other"].map(|name| place.path().join(name));
    import(&folder, false, 1.0).unwrap();
    import(&other, false, 2.0).unwrap();
    // The states in which a process may have been killed: new weights beside the old ones, then the
    // new card, then both in place.
    let next = folder.join(".model.safetensors.next");
    std::fs::copy(other.join("model.safetensors"), &next).unwrap();
    assert_eq!(imported(&folder).unwrap(), 1.0);
    std::fs::copy(other.join("imported.json"), folder.join("imported.json")).unwrap();
    assert_eq!(imported(&folder).unwrap(), 2.0);
    let half = place.path().join("half");
    copy(&folder, &half);
    std::fs::rename(&next, folder.join("model.safetensors")).unwrap();
    assert_eq!(imported(&folder).unwrap(), 2.0);
    // An interrupted import can be replaced like any other, without leftovers.
    import(&half, true, 3.0).unwrap();
    assert_eq!(imported(&half).unwrap(), 3.0);
    assert_eq!(names(&half), ["imported.json", "model.safetensors"]);
}

/// Readers always find a model. The second of two writers gets an error.
#[test]
fn a_model_can_be_read_while_it_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    let half = place.path().join("model");
    import(&half, false, 3.0).unwrap();
    let written = std::thread::scope(|scope| {
        let write = || (4..40).filter(|&weight| import(&half, true, f64::from(weight)).is_ok()).count();
        let writers = [scope.spawn(write), scope.spawn(write)];
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert!(imported(&half).unwrap() >= 3.0);
        }
        writers.map(|writer| writer.join().unwrap()).iter().sum::<usize>()
    });
    assert!(written >= 2, "{written}");
    assert_eq!(names(&half), ["imported.json", "model.safetensors"]);
}

#[test]
fn the_error_of_a_sweeps_folder_names_no_option() {
    let sweep = tempfile::tempdir().unwrap();
    std::fs::write(sweep.path().join("sweep.toml"), "").unwrap();
    let message = RunFolder::read(sweep.path()).unwrap_err().to_string();
    assert!(!message.contains("--") && !message.contains("xtask"), "{message}");
}
