//! Runs the program on folders of runs, sweeps and imported models that are damaged, contain links
//! or were left by a killed process. With `CHAINRULE_ATTACK=all` the tests kill more often: `cargo
//! test -p chainrule-tests hostile::folders -- --nocapture`. `crates/records/tests/folders` tests
//! the folders themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use chainrule_records::{Imported, RunFolder};
use chainrule_tests_macros::test;
use tempfile::TempDir;

use crate::command::{ask, call, code, command, files_below, folder, is_refused, text};
use crate::harness::log;
use crate::support::{cpu, uniform};

/// Whether to run all cases, which takes minutes.
fn all() -> bool {
    std::env::var("CHAINRULE_ATTACK").is_ok_and(|value| value == "all")
}

fn names(folder: &Path) -> Vec<String> {
    files_below(folder).iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
}

/// Returns every file below a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(folder).into_iter().filter(|path| path.is_file());
    files.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// Limits files to this number of 512-byte blocks. A longer write fails, as on a full disk.
#[cfg(unix)]
fn with_full_disk(place: &Path, blocks: usize, arguments: &[&str]) -> std::process::Output {
    let mut shell = crate::command::process("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    shell.current_dir(place).args(["-c", &script, "sh", env!("CARGO_BIN_EXE_chainrule-under-test")]).args(arguments);
    shell.output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_failed_import_removes_its_files() {
    let place = folder();
    let place = place.path();
    // The names of these columns make the card longer than the weights.
    let columns: Vec<String> =
        (0..100).map(|i| format!("a column with quite a long name, which is number {i}")).collect();
    let columns = columns.iter().map(|name| name.replace(',', "")).collect::<Vec<_>>().join(",");
    let [old, new] = [1.0f32, 2.0].map(|weight| {
        let tensors: [(&str, &[usize], Vec<f32>); 2] =
            [("weight", &[3, 100], vec![weight; 300]), ("bias", &[3], vec![0.0; 3])];
        crate::weight_files::safetensors(&tensors)
    });
    std::fs::write(place.join("old.safetensors"), old).unwrap();
    std::fs::write(place.join("new.safetensors"), new).unwrap();
    let import = |file: &'static str, out: &'static str| {
        [
            "import",
            file,
            "--out",
            out,
            "--force",
            "--trained-on",
            "numbers",
            "--classes",
            "a,b,c",
            "--columns",
            &columns,
        ]
        .map(str::to_owned)
    };
    let fails = |out: &'static str| {
        let arguments = import("new.safetensors", out);
        let output = with_full_disk(place, 8, &arguments.each_ref().map(String::as_str));
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), Some(2), "{stderr}");
        assert!(stderr.lines().last().unwrap().contains("imported.json: "), "{stderr}");
    };
    ask(place, &import("old.safetensors", "model").each_ref().map(String::as_str));
    let before = contents(&place.join("model"));
    fails("model");
    assert_eq!(contents(&place.join("model")), before);
    // Files of a killed import are removed, too.
    std::fs::write(place.join("model/.model.safetensors.next"), "half of some weights").unwrap();
    fails("model");
    assert_eq!(contents(&place.join("model")), before);
    std::fs::create_dir(place.join("empty")).unwrap();
    fails("empty");
    fails("none");
    assert_eq!((names(&place.join("empty")), place.join("none").exists()), (Vec::new(), false));
    assert!(names(place).iter().all(|name| !name.contains("/.") && !name.starts_with('.')), "{:?}", names(place));
}

/// A training or sweep that takes a moment.
const FAST_SETTINGS: [&str; 6] =
    ["--data", "embedded", "--set", "data.train_images=600", "--set", "data.validation_images=200"];

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "--backend", cpu(), "--set", "descent.epochs=2", "--quiet", "--out", out];
    [&fixed[..], &FAST_SETTINGS, more].concat()
}

fn sweep<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["sweep", "--backend", cpu(), "--set", "descent.epochs=2", "--quiet", "--jobs", "1", "--out", out];
    [&fixed[..], &FAST_SETTINGS, &["--grid", "objective.l2=0,1"], more].concat()
}

/// Kills a command at `count` moments spread over its duration and calls `look` after each. Returns
/// how many kills came before the end.
fn kills(place: &Path, arguments: &[&str], count: usize, prepare: &dyn Fn(), look: &dyn Fn()) -> usize {
    let run = |until: Option<Duration>| {
        prepare();
        let start = Instant::now();
        let mut child = command(place, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let Some(until) = until else {
            assert!(child.wait().unwrap().success(), "{arguments:?}");
            return (start.elapsed(), false);
        };
        while start.elapsed() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        (start.elapsed(), !child.wait().unwrap().success())
    };
    let (time, _) = run(None);
    look();
    let count = if all() { 10 * count } else { count };
    let moments = uniform(5, count).into_iter().map(|x| (x + 1.0) / 2.0);
    moments
        .filter(|&moment| {
            let (_, is_killed) = run(Some(time.mul_f64(moment)));
            look();
            is_killed
        })
        .count()
}

#[test]
fn a_killed_command_leaves_no_partial_folder() {
    let place = folder();
    let place = place.path();
    let succeeds = |arguments: &[&str]| {
        let output = call(place, arguments);
        assert_eq!(code(&output), Some(0), "{arguments:?}: {}", text(&output.stderr));
    };
    let model = |run: &str| std::fs::read(place.join(run).join("model.safetensors")).unwrap();
    succeeds(&train("whole", &[]));
    let new = |name: &'static str| move || drop(std::fs::remove_dir_all(place.join(name)));

    succeeds(&sweep("swept", &[]));
    let begun = kills(place, &train("run", &[]), 6, &new("run"), &|| {
        if place.join("run").exists() {
            succeeds(&["train", "--resume", "run", "--quiet"]);
            assert!(model("run") == model("whole"));
        }
    });
    // A run that was killed in its temporary folder does not block the next one of that name.
    new("run")();
    succeeds(&train("run", &[]));
    // A run that replaces another one can continue wherever it was killed.
    let old = || {
        let _ = std::fs::remove_dir_all(place.join("run"));
        copy(&place.join("whole"), &place.join("run"));
    };
    let replaced = kills(place, &train("run", &["--force", "--seed", "3"]), 6, &old, &|| {
        let is_whole = RunFolder::read(&place.join("run")).is_ok();
        assert!(is_whole || RunFolder::open(&place.join("run")).is_ok());
        succeeds(&train("run", &["--force", "--set", "descent.epochs=1"]));
    });
    for (run, file) in [("whole", "one.npz"), ("run", "two.npz")] {
        ask(place, &["export", run, "--out", file]);
    }
    ask(place, &["import", "one.npz", "--out", "model"]);
    let two = ["import", "two.npz", "--out", "model", "--force"];
    let imported = kills(place, &two, 12, &|| (), &|| drop(Imported::read(&place.join("model")).unwrap()));
    succeeds(&two);
    let swept = kills(place, &sweep("grid", &[]), 4, &new("grid"), &|| {
        if place.join("grid").exists() {
            succeeds(&["sweep", "--resume", "grid", "--quiet"]);
            assert!(model("grid/points/2-l2=1") == model("swept/points/2-l2=1"));
        }
    });
    let swept_again = kills(place, &sweep("grid", &["--force"]), 4, &|| (), &|| {
        succeeds(&["sweep", "--resume", "grid", "--quiet"]);
    });
    log(&format!(
        "killed: {begun} trainings, {replaced} in another's place, {imported} imports, {swept} sweeps, {swept_again} in another's place; nothing was lost"
    ));
    let left: Vec<String> =
        names(place).into_iter().filter(|name| name.contains("/.") || name.starts_with('.')).collect();
    assert_eq!(left, Vec::<String>::new());
}

/// Returns a folder with a run, an imported model and digits.
fn with_run_and_model() -> TempDir {
    let place = folder();
    assert_eq!(code(&call(place.path(), &train("run", &[]))), Some(0));
    ask(place.path(), &["export", "run", "--out", "run.npz"]);
    ask(place.path(), &["import", "run.npz", "--out", "model"]);
    let settings = ["--train-images", "10", "--validation-images", "10"];
    ask(place.path(), &[&["data", "--write-idx", "digits"], &settings[..]].concat());
    place
}

#[test]
fn every_command_refuses_a_changed_file() {
    let place = with_run_and_model();
    let place = place.path();
    let digits = "digits/t10k-images-idx3-ubyte";
    let commands: [&[&str]; 5] = [
        &["predict", "FOLDER", digits],
        &["evaluate", "FOLDER", "--data", "digits"],
        &["inspect", "FOLDER"],
        &["page", "FOLDER", "--out", "page.html"],
        &["export", "FOLDER", "--out", "again.npz"],
    ];
    for (folder, name) in [
        ("run", "config.toml"),
        ("run", "manifest.json"),
        ("run", "history.json"),
        ("run", "model.safetensors"),
        ("run", "summary.json"),
        ("model", "imported.json"),
        ("model", "model.safetensors"),
    ] {
        let path = place.join(folder).join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut turned = whole.clone();
        *turned.iter_mut().rfind(|byte| byte.is_ascii_digit()).unwrap() ^= 1;
        for command in commands {
            let command: Vec<&str> = command.iter().map(|&word| if word == "FOLDER" { folder } else { word }).collect();
            std::fs::write(&path, &turned).unwrap();
            is_refused(place, &command, &[name]);
        }
        std::fs::write(&path, whole).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn no_command_follows_a_link_in_a_folder() {
    let place = with_run_and_model();
    let place = place.path();
    for (link, arguments) in [
        ("run/.lock", &["train", "--resume", "run", "--quiet"][..]),
        ("run/.lock", &train("run", &["--force"])),
        ("run/checkpoint", &["train", "--resume", "run", "--quiet"]),
        ("run/checkpoint", &train("run", &["--force"])),
        ("model/.lock", &["import", "run.npz", "--out", "model", "--force"]),
    ] {
        for (target, is_symbolic) in [("victim", true), ("nowhere", true), ("victim", false)] {
            std::fs::write(place.join("victim"), "process 1").unwrap();
            let link = place.join(link);
            if is_symbolic {
                std::os::unix::fs::symlink(place.join(target), &link).unwrap();
            } else {
                std::fs::hard_link(place.join(target), &link).unwrap();
            }
            is_refused(place, arguments, &[link.file_name().unwrap().to_str().unwrap()]);
            assert_eq!(std::fs::read_to_string(place.join("victim")).unwrap(), "process 1");
            assert!(!place.join("nowhere").exists());
            std::fs::remove_file(link).unwrap();
        }
    }
}
