//! A report that was killed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use chainrule_tests_macros::test;

use super::{is_hidden, signal, succeeds};
use crate::command::{command, files_below, folder, text};
use crate::support::cpu;

#[test]
fn a_killed_report_resumes_to_the_same_report() {
    let folder = folder();
    let folder = folder.path();
    let set = ["data.train_images=800", "data.validation_images=200", "descent.epochs=6"];
    let set = set.iter().flat_map(|&set| ["--set", set]);
    let fixed = ["reproduce", "--data", "embedded", "--backend", cpu(), "--precision", "f64"];
    let fixed: Vec<&str> = fixed.into_iter().chain(set).collect();
    succeeds(folder, &[&fixed[..], &["--out", "whole", "--runs", "whole-runs"]].concat());
    let again = [&fixed[..], &["--out", "report", "--runs", "runs"]].concat();
    let spawn = || command(folder, &again).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let finished = || {
        let entries = std::fs::read_dir(folder.join("runs")).into_iter().flatten();
        entries.filter(|entry| !is_hidden(&entry.as_ref().unwrap().path())).count()
    };
    let (mut stderr, mut n_killed) = (String::new(), 0);
    // Often enough that at least one interruption hits a training, and not the time between two
    // runs or an evaluation.
    for (i, enough) in [3, 10, 20, 21, 30, 40, 50, 60, 70, 80, 90, 100].into_iter().enumerate() {
        // Before its first run, the program may not listen to Ctrl-C yet.
        let enough = enough.max(finished() + 1);
        let mut child = spawn();
        while finished() < enough {
            assert!(child.try_wait().unwrap().is_none(), "it ended: {stderr}");
            std::thread::sleep(Duration::from_millis(2));
        }
        // Two times of three it gets Ctrl-C and saves its runs.
        if cfg!(unix) && i % 3 != 1 {
            signal(&child, "-INT");
        } else {
            child.kill().unwrap();
            n_killed += 1;
        }
        stderr += &text(&child.wait_with_output().unwrap().stderr);
    }
    // One of them may have written the first files of the report.
    stderr += &succeeds(folder, &[&again[..], &["--force"]].concat());
    assert!(stderr.contains(": resuming from step "), "no run was under way when it was interrupted: {stderr}");
    let files = |out: &str| -> Vec<PathBuf> {
        let files = files_below(&folder.join(out)).into_iter().filter(|path| path.is_file());
        files.map(|path| path.strip_prefix(folder.join(out)).unwrap().to_owned()).collect()
    };
    assert_eq!(files("report"), files("whole"));
    for file in files("whole") {
        let [report, whole] = ["report", "whole"].map(|out| std::fs::read(folder.join(out).join(&file)).unwrap());
        assert!(report == whole, "{}", file.display());
    }
    // A program that is killed leaves its lock behind. If the run was complete, nobody opens it
    // again.
    let left = files_below(&folder.join("runs")).into_iter().filter(|path| is_hidden(path));
    let (locks, left): (Vec<_>, Vec<_>) = left.partition(|path| path.ends_with(".lock"));
    assert!(left.is_empty() && locks.len() <= n_killed, "{left:?} {locks:?}");
}
