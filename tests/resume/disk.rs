//! Runs without enough disk space.

use std::io::Write;
use std::path::{Path, PathBuf};

use chainrule_tests_macros::test;

use super::{FAST_SETTINGS, endless, is_hidden, outcome, refuses, resume, succeeds, train, with_digits};
use crate::command::{call, code, files_below, process, text};
use crate::support::skip;

/// A tmpfs of this size in `folder`, unmounted on drop. Skips the test if this process may not
/// mount one.
#[cfg(target_os = "linux")]
struct Disk(PathBuf);

#[cfg(target_os = "linux")]
impl Disk {
    fn mount(folder: &Path, bytes: usize) -> Self {
        std::fs::create_dir(folder).unwrap();
        let options = format!("size={bytes}");
        let mount = process("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Self(folder.to_owned());
        }
        skip("no file system may be mounted here");
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(process("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = process("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_loses_nothing() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let disk = Disk::mount(&folder.join("disk"), 256 << 10);
    let arguments = [&FAST_SETTINGS[..], &["--set", "descent.epochs=20"]].concat();
    succeeds(folder, &train("whole", &arguments));
    // Space for the first files and one or two checkpoints, which grow with the history.
    let often = [&arguments[..], &["--checkpoint-every", "10"]].concat();
    let filler = folder.join("disk/filler");
    std::fs::write(&filler, vec![0; 80 << 10]).unwrap();
    let output = call(folder, &train("disk/run", &often));
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{error}");
    let [warning, fatal] = error.trim_end().lines().collect::<Vec<_>>()[..] else { panic!("{error}") };
    assert!(warning.starts_with("warning: no checkpoint of step ") && warning.contains("No space left"), "{warning}");
    assert!(warning.ends_with("the training continues"), "{warning}");
    assert!(fatal.starts_with("error: cannot write disk/run/") && fatal.contains("No space left"), "{fatal}");
    assert!(fatal.contains("--resume disk/run"), "{fatal}");
    let left = files_below(&folder.join("disk/run"));
    assert!(!left.iter().any(|path| is_hidden(path)), "{left:?}");
    // With free space it continues from the last checkpoint that could be written.
    std::fs::remove_file(filler).unwrap();
    disk.remount("size=4m");
    let stderr = succeeds(folder, &resume("disk/run", &[]));
    assert!(stderr.contains("resuming from step "), "{stderr}");
    assert_eq!(outcome(&folder.join("disk/run")), outcome(&folder.join("whole")));
    // A disk that is full from the start.
    disk.remount("size=4m");
    std::fs::create_dir(folder.join("disk/none")).unwrap();
    let full = std::fs::File::create(folder.join("disk/filler")).unwrap();
    while (&full).write_all(&[0; 4096]).is_ok() {}
    refuses(folder, &train("disk/none", &arguments), "No space left");
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_resumes_after_its_folder_was_read_only() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let disk = Disk::mount(&folder.join("disk"), 4 << 20);
    let mut child = endless(folder, "disk/run", &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = files_below(&folder.join("disk/run"));
    disk.remount("ro");
    refuses(folder, &resume("disk/run", &["--quiet"]), "cannot write disk/run/.lock: Read-only file system");
    refuses(folder, &train("disk/other", &FAST_SETTINGS), "cannot write disk/other: Read-only file system");
    disk.remount("rw");
    let after = files_below(&folder.join("disk/run"));
    assert!(before.iter().filter(|path| !is_hidden(path)).all(|path| after.contains(path)));
}
