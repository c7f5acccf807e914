//! A sweep's folder, and errors before anything is written there.

use chainrule_records::{RunFolder, SweepFolder};
use chainrule_tests_macros::test;

use super::{FAST_SETTINGS, outcome, points, succeeds, sweep};
use crate::command::{ask, call, code, folder, is_refused};
use crate::support::cpu;

#[test]
fn invalid_points_are_refused_before_training() {
    let folder = folder();
    let folder = folder.path();
    let long = format!("descent.shuffle.seed={}", (0..77).map(|seed| seed.to_string()).collect::<Vec<_>>().join(","));
    let thirteen = "descent.epochs=1,2,3,4,5,6,7,8,9,10,11,12,13";
    for (grid, expected) in [
        (
            &["objective.l2=0,0.1,-1"][..],
            &["point 3, objective.l2 = -1: ", "objective.l2 = -1.0: expected a number from 0"][..],
        ),
        (
            &["descent.epochs=1,2", "descent.batch_size=64,601"],
            &["point 2, descent.epochs = 1, descent.batch_size = 601: descent.batch_size = 601: there are only 600"],
        ),
        (&["data.classes=[1,2],[1,77]"], &["point 2, data.classes = [1, 77]", "77"]),
        (&["descent.optimizer=sgd,adamm"], &["point 2, descent.optimizer = \"adamm\": ", "adamm"]),
        (&["objective.l3=0"], &["point 1, objective.l3 = 0: ", "did you mean objective.l2?"]),
        (&["objective.l2=0,"], &["--grid objective.l2=0,: expected a key and its values"]),
        (&["objective.l2"], &["--grid objective.l2: expected a key and its values"]),
        (&["objective.l2=0", "objective.l2=1"], &["--grid: the grid has objective.l2 twice"]),
        (
            &["objective.l2=0.1,1,1e-1"],
            &["point 1, objective.l2 = 0.1 and point 3, objective.l2 = 1e-1 are the same experiment"],
        ),
        (&["descent.gradient=auto,fused"], &["are the same experiment"]),
        // 77 x 13 points.
        (&[&long, thirteen], &["the grid has 1001 points, and a sweep makes 1000 at most"]),
    ] {
        let grid: Vec<&str> = grid.iter().flat_map(|grid| ["--grid", grid]).collect();
        let small = ["--set", "descent.batch_size=64", "--out", "grid", "--quiet"];
        is_refused(folder, &sweep(&[&grid[..], &small].concat()), expected);
    }
    assert_eq!(code(&call(folder, &sweep(&[]))), Some(2));
    is_refused(folder, &["sweep", "--resume", "nowhere"], &["nowhere: no such folder"]);
    is_refused(folder, &["sweep", "no.toml", "--grid", "objective.l2=0"], &["no.toml: "]);
}

#[test]
fn force_replaces_only_a_sweep() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &sweep(&["--grid", "objective.l2=0,1", "--out", "grid", "--quiet"]));
    let again = ["--grid", "objective.l2=3", "--out", "grid", "--quiet"];
    is_refused(folder, &sweep(&again), &["grid exists already; name another folder with --out, or add --force"]);
    let before = outcome(&folder.join("grid"));
    for mine in ["grid/notes.txt", "grid/points/notes.txt", "grid/points/2-l2=1/notes.txt"] {
        std::fs::write(folder.join(mine), "mine").unwrap();
        let refused = format!("{mine}: this is not what this program wrote");
        is_refused(folder, &sweep(&[&again[..], &["--force"]].concat()), &[&refused, "nothing was replaced"]);
        std::fs::remove_file(folder.join(mine)).unwrap();
    }
    assert_eq!(outcome(&folder.join("grid")), before);
    succeeds(folder, &sweep(&[&again[..], &["--force"]].concat()));
    let names: Vec<_> = points(&folder.join("grid")).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["1-l2=3"]);

    // Only one process at a time can open a sweep, or a run in it.
    let held = SweepFolder::open(&folder.join("grid")).unwrap();
    is_refused(folder, &["sweep", "--resume", "grid"], &["grid: process ", "writes into it"]);
    drop(held);
    let held = RunFolder::open(&folder.join("grid/points/1-l2=3")).unwrap();
    is_refused(folder, &["sweep", "--resume", "grid", "--quiet"], &["1-l2=3: process ", "writes into it"]);
    drop(held);
    succeeds(folder, &["sweep", "--resume", "grid"]);
}

#[test]
fn run_and_sweep_folders_are_not_confused() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &[&["train", "--backend", cpu(), "--out", "run", "--quiet"][..], &FAST_SETTINGS].concat());
    succeeds(folder, &sweep(&["--grid", "objective.l2=0,0.1", "--out", "grid", "--quiet"]));
    is_refused(folder, &sweep(&["--grid", "objective.l2=0,1", "--out", "run", "--force"]), &["run", "a run's folder"]);
    let train = ["train", "--backend", cpu(), "--out", "grid", "--force"];
    is_refused(folder, &[&train[..], &FAST_SETTINGS].concat(), &["grid", "a sweep's folder", "points"]);
    is_refused(folder, &["evaluate", "grid"], &["grid", "a sweep's folder", "points"]);
    is_refused(folder, &["train", "--resume", "grid"], &["a sweep's folder", "sweep --resume"]);
    is_refused(folder, &["sweep", "--grid", "objective.l2=0", "0.1"], &["0.1: no such file", "without spaces"]);
}

#[cfg(unix)]
#[test]
fn a_linked_point_must_be_named_directly() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    let folder = folder.path();
    let again = ["--grid", "objective.l2=0,1", "--out", "grid", "--quiet"];
    succeeds(folder, &sweep(&again));
    let point = "grid/points/2-l2=1";
    ask(folder, &["data", "--write-idx", "digits", "--train-images", "9", "--validation-images", "9"]);
    for linked in ["grid/points", point] {
        std::fs::rename(folder.join(linked), folder.join("elsewhere")).unwrap();
        symlink(folder.join("elsewhere"), folder.join(linked)).unwrap();
        let before = outcome(&folder.join("elsewhere"));
        assert!(before.len() >= 5);
        for named in [
            &["evaluate", point][..],
            &["inspect", point],
            &["predict", point, "digits/t10k-images-idx3-ubyte"],
            &["page", point, "--out", "page.html", "--force"],
            &["export", point, "--out", "model.npz", "--force"],
            &["train", "--resume", point, "--quiet"],
        ] {
            succeeds(folder, named);
        }
        let expected = format!("{linked}: a symbolic link");
        is_refused(folder, &["sweep", "--resume", "grid", "--quiet"], &[&expected]);
        let force = sweep(&[&again[..], &["--force"]].concat());
        is_refused(folder, &force, &[&format!("{linked}: this is not what this program wrote")]);
        assert_eq!(outcome(&folder.join("elsewhere")), before);
        // The sweep's own folder is named by the user and may be a link.
        std::fs::remove_file(folder.join(linked)).unwrap();
        std::fs::rename(folder.join("elsewhere"), folder.join(linked)).unwrap();
        std::fs::rename(folder.join("grid"), folder.join("elsewhere")).unwrap();
        symlink(folder.join("elsewhere"), folder.join("grid")).unwrap();
        succeeds(folder, &["sweep", "--resume", "grid", "--quiet"]);
        std::fs::remove_file(folder.join("grid")).unwrap();
        std::fs::rename(folder.join("elsewhere"), folder.join("grid")).unwrap();
    }
}
