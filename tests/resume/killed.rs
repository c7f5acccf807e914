//! Runs that were killed or interrupted, and folders that vanish during a run.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use chainrule_records::RunFolder;
use chainrule_tests_macros::test;
use serde_json::Value;

use super::{FAST_SETTINGS, endless, is_hidden, outcome, refuses, resume, signal, succeeds, train, with_digits};
use crate::command::{code, command, files_below, text};
use crate::support::uniform;

/// Counts of kills and their states.
#[derive(Default)]
struct Kills {
    kills: i32,
    /// Kills with a checkpoint to resume from.
    resumed: usize,
    /// Kills during the write of a checkpoint.
    within_a_write: usize,
}

impl Kills {
    /// Asserts that every file without a temporary name is complete.
    fn assert_files_whole(&mut self, run: &Path) {
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let checkpoints = names(&run.join("checkpoint"));
        let (halves, wholes): (Vec<_>, Vec<_>) = checkpoints.iter().partition(|name| name.starts_with('.'));
        self.kills += 1;
        self.resumed += usize::from(!wholes.is_empty());
        self.within_a_write += halves.len();
        for name in names(run).iter().filter(|name| name.ends_with(".json")) {
            let bytes = std::fs::read(run.join(name)).unwrap();
            assert!(serde_json::from_slice::<Value>(&bytes).is_ok(), "{name} is not whole");
        }
    }

    /// Kills a run and its resumed runs repeatedly, until one ends by itself. The moments are
    /// fractions of `time`.
    fn until_it_ends(
        &mut self,
        folder: &Path,
        arguments: &[&str],
        time: Duration,
        moments: &mut impl Iterator<Item = f64>,
    ) {
        let run = folder.join("run");
        let every = &arguments[arguments.iter().position(|a| *a == "--checkpoint-every").unwrap()..][..2];
        // Later moments get longer and longer, because runs that are killed too early make no
        // progress.
        for patience in 1.. {
            let call = if run.join("manifest.json").exists() {
                resume("run", &[every, &["--quiet"]].concat())
            } else {
                train("run", &[arguments, &["--force"]].concat())
            };
            let mut child = command(folder, &call).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let moment = time.mul_f64(moments.next().unwrap() * (0.6 + 0.1 * f64::from(patience)));
            if let Some(status) = killed_after(&mut child, moment) {
                let mut stderr = String::new();
                child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
                assert!(status.success(), "{call:?}: {stderr}");
                return;
            }
            self.assert_files_whole(&run);
        }
    }
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let epochs = ["--set", "descent.epochs=8"];
    let cases: [&[&str]; 6] = [
        &["configs/softmax.toml", "--checkpoint-every", "1", "--gradient", "fused"],
        &["configs/softmax.toml", "--checkpoint-every", "7", "--gradient", "closed-form", "--precision", "f64"],
        &["configs/softmax.toml", "--checkpoint-every", "3", "--set", "data.resident_bytes=0", "--threads", "2"],
        &["configs/softmax.toml", "--checkpoint-every", "0.02s", "--gradient", "autodiff", "--seed", "3"],
        &["configs/softmax.toml", "--checkpoint-every", "2", "--set", "early_stopping.restore_best=true"],
        &["configs/softmax-optimum.toml", "--checkpoint-every", "1", "--set", "objective.l2=0.001"],
    ];
    // Fixed moments. Random ones would find more, but failures could not be repeated.
    let mut moments = uniform(7, 1000).into_iter().map(|x| (x + 1.0) / 2.0);
    let mut tally = Kills::default();
    for arguments in cases {
        let arguments = [&FAST_SETTINGS[..], &epochs, arguments].concat();
        let start = Instant::now();
        succeeds(folder, &train("whole", &[&arguments[..], &["--force"]].concat()));
        let (time, run, enough) = (start.elapsed(), folder.join("run"), tally.kills + 9);
        while tally.kills < enough {
            tally.until_it_ends(folder, &arguments, time, &mut moments);
            assert_eq!(outcome(&run), outcome(&folder.join("whole")), "{arguments:?}");
            let left: Vec<_> = files_below(&run).into_iter().filter(|path| is_hidden(path)).collect();
            assert!(left.is_empty(), "{left:?}");
            std::fs::remove_dir_all(&run).unwrap();
        }
    }
    let Kills { kills, resumed, within_a_write } = tally;
    crate::harness::log(&format!(
        "{kills} kills, {resumed} with a checkpoint to go on from, {within_a_write} within the writing of one"
    ));
    assert!(kills >= 50, "{kills} kills");
    assert!(resumed >= 20 && within_a_write >= 1, "{resumed} {within_a_write} of {kills}");
}

/// Kills a process at a moment. Returns its status if it ended before.
fn killed_after(child: &mut Child, moment: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + moment;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    // It may have ended just before the kill.
    status.code().map(|_| status)
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_resume() {
    for name in ["-INT", "-TERM"] {
        let folder = with_digits(600, 200);
        let folder = folder.path();
        let child = endless(folder, "run", &[]);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), Some(130), "{}", text(&output.stderr));
        let steps = |run: &str| {
            let summary = std::fs::read(folder.join(run).join("summary.json")).unwrap();
            let summary: Value = serde_json::from_slice(&summary).unwrap();
            (summary["steps"].as_u64().unwrap(), summary["interrupted"].as_bool().unwrap())
        };
        let (steps_made, interrupted) = steps("run");
        assert!(interrupted);
        let newest = folder.join(format!("run/checkpoint/step-{steps_made}.mpk"));
        assert!(newest.exists(), "its last step is kept");
        // It resumes and is interrupted again.
        let mut child =
            command(folder, &resume("run", &[])).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("resuming from") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it says from which step it resumes");
        }
        assert_eq!(line, format!("resuming from step {steps_made} of run\n"));
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, name);
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(rest.contains("interrupted; --resume run continues"), "{rest}");
        assert!(steps("run").0 > steps_made);
    }
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_exits_at_once_and_the_run_resumes() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let child = endless(folder, "run", &[]);
    // While the process is stopped, both signals stay pending. Two equal signals would merge into
    // one. The second one leaves it no time to write its files.
    for name in ["-STOP", "-INT", "-TERM", "-CONT"] {
        signal(&child, name);
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(130), "{}", text(&output.stderr));
    assert!(!folder.join("run/summary.json").exists(), "it took the time to save");
    let run = RunFolder::open(&folder.join("run")).unwrap();
    let mut damaged = Vec::new();
    assert!(run.last_checkpoint::<Value>(&mut |error| damaged.push(error.to_string())).is_some());
    assert!(damaged.is_empty(), "{damaged:?}");
}

#[test]
fn a_run_folder_admits_one_process() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let mut child = endless(folder, "run", &[]);
    let holder = format!("run: process {} writes into it; wait until it ends, or name another folder", child.id());
    refuses(folder, &train("run", &FAST_SETTINGS), &holder);
    refuses(folder, &train("run", &[&FAST_SETTINGS[..], &["--force"]].concat()), &holder);
    refuses(folder, &resume("run", &["--quiet"]), &holder);
    child.kill().unwrap();
    child.wait().unwrap();
    // The lock is free again, however the process ended.
    succeeds(folder, &train("run", &[&FAST_SETTINGS[..], &["--force", "--set", "descent.epochs=1"]].concat()));
}

#[test]
fn a_deleted_run_folder_is_created_again() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let arguments = [&FAST_SETTINGS[..], &["--set", "descent.epochs=400", "--checkpoint-every", "never"]].concat();
    let mut child = command(folder, &train("run", &arguments)).stdout(Stdio::null()).spawn().unwrap();
    while !folder.join("run/manifest.json").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::remove_dir_all(folder.join("run")).unwrap();
    assert!(child.wait().unwrap().success());
    succeeds(folder, &train("whole", &arguments));
    assert_eq!(outcome(&folder.join("run")), outcome(&folder.join("whole")));
    assert!(RunFolder::read(&folder.join("run")).is_ok());
}

#[test]
fn a_checkpoint_in_a_deleted_folder_can_be_resumed() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let mut child = endless(folder, "run", &[]);
    // Moved in one step. Deleting file by file would race with the writing process.
    std::fs::rename(folder.join("run"), folder.join("away")).unwrap();
    while std::fs::read_dir(folder.join("run/checkpoint")).map_or(0, Iterator::count) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run = RunFolder::open(&folder.join("run")).unwrap();
    assert_eq!(run.manifest(), RunFolder::open(&folder.join("away")).unwrap().manifest());
}
