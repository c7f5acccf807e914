//! Runs that were killed, interrupted, damaged or left without a disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use chainrule::backend::Backend;
use chainrule_core::TrainConfig;
use chainrule_data::{Counts, Data, digits as drawn, mnist};
use chainrule_records::{ConfigFile, RunFolder};
use chainrule_solve::{Checkpoint, Observer, fused_rows, train_fused};
use chainrule_tests_macros::test;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{call, code, command, files_below, folder, process, text, without_seal};
use crate::support::{Fit, cpu, devices, digits, experiment, f64_devices, fit, noise, skip};

/// Keeps every checkpoint of a training, or goes on from one.
#[derive(Default)]
struct Shelf {
    from: Option<Checkpoint>,
    kept: Vec<Checkpoint>,
}

impl Observer for Shelf {
    fn resumes(&mut self) -> Option<Checkpoint> {
        self.from.take()
    }

    fn wants_checkpoint(&mut self, _: usize) -> bool {
        true
    }

    fn keep(&mut self, checkpoint: Checkpoint) {
        self.kept.push(checkpoint);
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn assert_same(found: &Fit, expected: &Fit, what: &str) {
    assert_eq!(found.history, expected.history, "{what}");
    assert_eq!(bits(&found.weight), bits(&expected.weight), "{what}");
    assert_eq!(bits(&found.bias), bits(&expected.bias), "{what}");
    assert_eq!((found.ending, found.steps, found.best), (expected.ending, expected.steps, expected.best), "{what}");
    assert_eq!(found.final_metrics, expected.final_metrics, "{what}");
    assert_eq!(found.certificate, expected.certificate, "{what}");
}

#[test]
fn a_training_goes_on_from_any_checkpoint_to_the_same_bits_by_every_engine() {
    let data = digits(500, 200);
    let common = ["data.train_images=500", "data.validation_images=200", "descent.epochs=4", "descent.batch_size=64"];
    let shuffled = "descent.shuffle.generator=chacha";
    let cases: [(&str, &[&str]); 9] = [
        ("softmax.toml", &["descent.learning_rate=0.1", "objective.l2=0.01", "early_stopping.patience=6"]),
        ("softmax.toml", &[shuffled, "early_stopping.restore_best=true", "descent.learning_rate=1"]),
        (
            "softmax.toml",
            &[
                "descent.shuffle.skip_epochs=3",
                "descent.batch_size=40",
                "data.classes=[5,0,9]",
                "descent.drop_last=false",
            ],
        ),
        ("logistic-shuffled.toml", &["descent.batch_size=32", "early_stopping.evaluations_per_epoch=1"]),
        ("softmax-optimum.toml", &["objective.l2=0.01", "optimum.evaluate_every=7"]),
        ("softmax-optimum.toml", &["objective.l2=0.01", "objective.penalize_bias=true", "optimum.memory=3"]),
        ("softmax-optimum.toml", &["model.kind=logistic", "data.classes=[3,8]", "optimum.tolerance=1e-9"]),
        ("softmax.toml", &["descent.schedule=cosine", "descent.learning_rate=0.2", "descent.drop_last=false"]),
        ("softmax.toml", &["descent.schedule=step", "descent.step_epochs=2", "early_stopping.patience=99"]),
    ];
    for (name, settings) in cases {
        for gradient in ["fused", "closed-form", "autodiff"] {
            let gradient = format!("descent.gradient={gradient}");
            for (devices, precision) in [(devices(), "f32"), (f64_devices(), "f64")] {
                let precision = format!("descent.precision={precision}");
                let config = experiment(name, &[&common[..], settings, &[&gradient, &precision]].concat());
                for device in devices {
                    goes_on(&config, &data, &device);
                }
            }
        }
    }
}

/// Every optimizer that remembers, with a schedule, and both models; no kernel is fused for them.
#[test]
fn every_optimizer_goes_on_from_any_checkpoint_to_the_same_bits() {
    let data = digits(300, 100);
    let common = ["data.train_images=300", "data.validation_images=100", "descent.epochs=3", "descent.batch_size=50"];
    let shuffled = ["descent.shuffle.generator=chacha", "descent.schedule=exponential"];
    for optimizer in ["sgd\ndescent.momentum=0.9", "adam", "adamw", "rmsprop", "rmsprop\ndescent.momentum=0", "adagrad"]
    {
        let optimizer = format!("descent.optimizer={optimizer}");
        let optimizer: Vec<&str> = optimizer.lines().collect();
        for (name, gradient) in [("softmax.toml", "closed-form"), ("logistic.toml", "autodiff")] {
            let gradient = format!("descent.gradient={gradient}");
            for (devices, precision) in [(devices(), "f32"), (f64_devices(), "f64")] {
                let precision = format!("descent.precision={precision}");
                let settings = [&common[..], &shuffled, &optimizer, &[&gradient, &precision]].concat();
                let config = experiment(name, &settings);
                for device in devices {
                    goes_on(&config, &data, &device);
                }
            }
        }
    }
}

#[test]
fn a_training_with_class_weights_goes_on_to_the_same_bits() {
    let data = digits(300, 100);
    let common = ["data.train_images=300", "data.validation_images=100", "descent.epochs=3", "descent.batch_size=50"];
    for (name, weights) in
        [("softmax.toml", "balanced"), ("logistic.toml", "{2 = 0.5, 3 = 3}"), ("logistic.toml", "balanced")]
    {
        let weights = format!("objective.class_weights={weights}");
        for gradient in ["closed-form", "autodiff"] {
            let gradient = format!("descent.gradient={gradient}");
            let more = ["early_stopping.restore_best=true", "early_stopping.patience=3", &weights, &gradient];
            let config = experiment(name, &[&common[..], &more].concat());
            for device in devices() {
                goes_on(&config, &data, &device);
            }
        }
    }
}

#[test]
fn a_search_that_had_looked_in_f64_does_not_count_that_again() {
    let data = digits(500, 200);
    let rows = ["data.train_images=500", "data.validation_images=200", "descent.gradient=fused"];
    let free_bias = ["objective.l2=0.01", "objective.penalize_bias=false"];
    let config = experiment("softmax-optimum.toml", &[&rows[..], &free_bias].concat());
    let device = &f64_devices()[0];
    let mut shelf = Shelf::default();
    let passes = |fit: Fit| fit.certificate.unwrap().gradients;
    let whole = passes(fit(&config, &data, device, &mut shelf));
    // In f32 it takes one at the end, with two passes for what its bound is made of.
    let mut state = serde_json::to_value(&shelf.kept[3]).unwrap();
    let has_looked = &mut state["search"]["has_moments_in_f64"];
    assert_eq!(*has_looked, false);
    *has_looked = true.into();
    let mut shelf = Shelf { from: Some(serde_json::from_value(state).unwrap()), kept: Vec::new() };
    assert_eq!(passes(fit(&config, &data, device, &mut shelf)), whole - 2);
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let data = digits(300, 100);
    let rows = ["data.train_images=300", "data.validation_images=100", "descent.batch_size=30", "descent.epochs=1"];
    let kept = |name: &str, more: &[&str]| {
        let mut shelf = Shelf::default();
        fit(&experiment(name, &[&rows[..], more].concat()), &data, &f64_devices()[0], &mut shelf);
        shelf.kept.pop().unwrap()
    };
    let config = experiment("softmax.toml", &rows);
    let ([train, validation], classes) = data.split(Some(300), Some(100), None).unwrap();
    let [train, validation] = [train, validation].map(|split| fused_rows(&split));
    let from = |checkpoint: Checkpoint| {
        let mut shelf = Shelf { from: Some(checkpoint), kept: Vec::new() };
        train_fused(classes.len(), &train, &validation, &config, NonZero::<usize>::MIN, &mut shelf)
    };
    assert!(from(kept("softmax.toml", &[])).is_ok());
    let refused = |checkpoint: Checkpoint, expected: &str| {
        let error = from(checkpoint).err().unwrap().to_string();
        assert!(error.starts_with("the checkpoint of step ") && error.contains(expected), "{error}");
    };
    refused(kept("softmax.toml", &["data.classes=[1,2,3]"]), "is another training's: its parameters are not 784 x 10");
    refused(kept("softmax-optimum.toml", &[]), "descent.solver");
    let mut state = serde_json::to_value(kept("softmax.toml", &[])).unwrap();
    state["steps"] = 7.into();
    refused(serde_json::from_value(state).unwrap(), "its history has 10 steps");
}

/// From the first checkpoint, the last, and some between; a checkpoint goes through its file's format.
fn goes_on(config: &TrainConfig, data: &Data, device: &Device) {
    let mut shelf = Shelf::default();
    let whole = fit(config, data, device, &mut shelf);
    let kept = shelf.kept;
    assert!(kept.len() > 2, "{} checkpoints of {} steps", kept.len(), whole.steps);
    for i in [0, kept.len() / 3, kept.len() / 2, kept.len() - 1] {
        let from: Checkpoint = rmp_serde::from_slice(&rmp_serde::to_vec_named(&kept[i]).unwrap()).unwrap();
        assert_eq!(from, kept[i]);
        let what = format!("from step {} of {}", from.steps(), config.to_toml());
        let mut shelf = Shelf { from: Some(from), kept: Vec::new() };
        let resumed = fit(config, data, device, &mut shelf);
        assert_same(&resumed, &whole, &what);
        assert_eq!(shelf.kept, kept[i + 1..], "{what}");
    }
}

/// Trains on the drawn digits in `digits`, on a CPU.
fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", "digits", "--backend", cpu(), "--out", out, "--quiet"][..], more].concat()
}

fn resume<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--resume", run][..], more].concat()
}

/// The program's folder, with so many digits in `digits`.
fn with_digits(train: usize, validation: usize) -> TempDir {
    let folder = folder();
    let digits = folder.path().join("digits");
    std::fs::create_dir(&digits).unwrap();
    let files = mnist::FILES.map(|file| digits.join(file.name));
    drawn::write_both(drawn::SEED, Counts { train, validation }, &files).unwrap();
    folder
}

/// A training of a second or less, whose rows are all of `digits`.
const SHORT: [&str; 6] =
    ["--set", "data.train_images=600", "--set", "data.validation_images=200", "--set", "descent.batch_size=20"];

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = call(folder, arguments);
    assert_eq!(code(&output), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

/// The call must end with exit code 2 and one line that says this; gives the line.
fn refuses(folder: &Path, arguments: &[&str], expected: &str) -> String {
    let output = call(folder, arguments);
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{arguments:?}: {error}");
    assert!(error.contains(expected) && error.trim_end().lines().count() == 1, "{error:?} does not say {expected:?}");
    error
}

/// The bytes of a run's files; of its summary all but the time.
fn outcome(run: &Path) -> Vec<(&'static str, String)> {
    let read = |name| std::fs::read(run.join(name)).unwrap();
    let mut summary: Value = serde_json::from_slice(&read("summary.json")).unwrap();
    summary.as_object_mut().unwrap().remove("seconds").unwrap();
    let summary = without_seal(summary);
    let files = ["config.toml", "manifest.json", "history.json", "model.safetensors"];
    let checksum = |name| (name, chainrule_data::sha256([&read(name)[..]]));
    files.into_iter().map(checksum).chain([("summary.json", summary.to_string())]).collect()
}

/// Starts a training that would never end, and waits until it wrote a checkpoint.
fn endless(folder: &Path, out: &str, more: &[&str]) -> Child {
    let forever = ["--set", "descent.epochs=1000000", "--set", "early_stopping.patience=1000000000"];
    let arguments = train(out, &[&SHORT[..], &forever, &["--checkpoint-every", "5"], more].concat());
    let mut child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let checkpoints = folder.join(out).join("checkpoint");
    while std::fs::read_dir(&checkpoints).map_or(0, Iterator::count) < 2 {
        assert!(child.try_wait().unwrap().is_none(), "the training ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    assert!(process("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Kills, and what they left.
#[derive(Default)]
struct Kills {
    kills: i32,
    /// With a checkpoint to go on from.
    resumed: usize,
    /// Within the writing of a checkpoint.
    within_a_write: usize,
}

impl Kills {
    /// Whatever stands in the run's folder under its own name is whole.
    fn look(&mut self, run: &Path) {
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

    /// Kills a run, and what goes on with it, again and again, until one comes to its end before it is
    /// killed. The moments are parts of `time`.
    fn until_it_ends(
        &mut self,
        folder: &Path,
        arguments: &[&str],
        time: Duration,
        moments: &mut impl Iterator<Item = f64>,
    ) {
        let run = folder.join("run");
        let every = &arguments[arguments.iter().position(|a| *a == "--checkpoint-every").unwrap()..][..2];
        // A chain that is cut too soon each time comes nowhere, so that later moments are waited for longer and longer.
        for patience in 1.. {
            let call = if run.join("manifest.json").exists() {
                resume("run", &[every, &["--quiet"]].concat())
            } else {
                train("run", &[arguments, &["--force"]].concat())
            };
            let mut child = command(folder, &call).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let moment = time.mul_f64(moments.next().unwrap() * (0.6 + 0.1 * f64::from(patience)));
            if let Some(status) = killed_after(&mut child, moment) {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                assert!(status.success(), "{call:?}: {said}");
                return;
            }
            self.look(&run);
        }
    }
}

#[test]
fn a_run_killed_at_any_of_fifty_moments_resumes_to_the_same_bytes() {
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
    // Moments that are others each time would find more, and could not be tried again.
    let mut moments = noise(7, 1000).into_iter().map(|x| (x + 1.0) / 2.0);
    let mut tally = Kills::default();
    for arguments in cases {
        let arguments = [&SHORT[..], &epochs, arguments].concat();
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
    crate::harness::tell(&format!(
        "{kills} kills, {resumed} with a checkpoint to go on from, {within_a_write} within the writing of one"
    ));
    assert!(kills >= 50, "{kills} kills");
    assert!(resumed >= 20 && within_a_write >= 1, "{resumed} {within_a_write} of {kills}");
}

/// Kills a process at a moment, unless it ended before, which is told.
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
    // It may have ended just before.
    status.code().map(|_| status)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap().to_string_lossy().starts_with('.')
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_it_goes_on_and_ends_as_if_it_had_not_been() {
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
        let (made, interrupted) = steps("run");
        assert!(interrupted);
        let newest = folder.join(format!("run/checkpoint/step-{made}.mpk"));
        assert!(newest.exists(), "its last step is kept");
        // It goes on, and is interrupted again.
        let mut child =
            command(folder, &resume("run", &[])).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("going on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it says where it goes on from");
        }
        assert_eq!(line, format!("going on from step {made} of run\n"));
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, name);
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(rest.contains("interrupted; --resume run goes on"), "{rest}");
        assert!(steps("run").0 > made);
    }
}

#[cfg(unix)]
#[test]
fn a_second_interruption_ends_the_program_at_once_and_the_run_still_goes_on() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let child = endless(folder, "run", &[]);
    // Both wait for it while it is stopped, two of one kind would be one, and neither leaves it the time to write its files.
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
fn a_finished_run_has_nothing_left_to_do() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    succeeds(folder, &train("run", &[&SHORT[..], &["--set", "descent.epochs=1", "--force"]].concat()));
    let before = outcome(&folder.join("run"));
    let said = succeeds(folder, &resume("run", &["--json"]));
    assert!(said.contains("run is finished; nothing is left to do"), "{said}");
    assert_eq!(outcome(&folder.join("run")), before);
    // The same data elsewhere is the same, and other data is not.
    std::fs::rename(folder.join("digits"), folder.join("elsewhere")).unwrap();
    let said = succeeds(folder, &resume("run", &["--data", "elsewhere"]));
    assert!(said.contains("run is finished; nothing is left to do"), "{said}");
    let other = ["data", "--write-idx", "other", "--seed", "5", "--train-images", "600", "--validation-images", "200"];
    succeeds(folder, &other);
    refuses(folder, &resume("run", &["--data", "other", "--quiet"]), "it would not go on as it began: data:");
    refuses(folder, &resume("run", &["--data", "nowhere", "--quiet"]), "nowhere");
    assert_eq!(outcome(&folder.join("run")), before);
    // What it lacks is named, with what makes it again.
    std::fs::remove_file(folder.join("run/model.safetensors")).unwrap();
    refuses(folder, &["evaluate", "run"], "run/model.safetensors: it is gone; ");
    std::fs::remove_file(folder.join("run/summary.json")).unwrap();
    let error =
        refuses(folder, &["evaluate", "run"], "run/summary.json: it is not there, as in a run that has not ended");
    assert!(error.contains("train --resume run") && !error.contains("os error"), "{error}");
}

#[test]
fn a_run_does_not_go_on_with_another_config_other_data_or_other_code() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let mut child = endless(folder, "run", &["--threads", "1"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let visible = || files_below(&folder.join("run")).into_iter().filter(|path| !is_hidden(path)).collect::<Vec<_>>();
    let before = visible();
    let refuses = |more: &[&str], expected: &str| {
        let error = refuses(folder, &resume("run", &[more, &["--quiet"]].concat()), expected);
        assert!(error.starts_with("error: --resume run: it would not go on as it began: "), "{error}");
    };
    refuses(&["--set", "objective.l2=0.5"], "objective.l2 = 0.5, not 0.0");
    refuses(&["--seed", "9"], "descent.shuffle.seed = 9, not 0");
    refuses(&["configs/logistic.toml"], "model.kind = \"logistic\", not \"softmax\"");
    refuses(&["--threads", "2"], "threads 1, here 2");
    if let Some(other) = Backend::built().unwrap().iter().find(|backend| backend.name() != cpu()) {
        refuses(&["--backend", other.name()], &format!("backend {}, here {}", cpu(), other.name()));
    }
    // The same rows elsewhere are the same, but one byte more or less of them is not.
    let files = mnist::FILES.map(|file| file.name);
    let labels = folder.join("digits").join(files[1]);
    let mut bytes = std::fs::read(&labels).unwrap();
    let of_labels = bytes.clone();
    let last = bytes.len() - 1;
    bytes[last] = (bytes[last] + 1) % 10;
    std::fs::write(&labels, bytes).unwrap();
    refuses(&[], "data: train-labels-idx1-ubyte with SHA-256 ");
    // Other numerics, as the manifest tells it, and those of before they were counted.
    std::fs::write(&labels, of_labels).unwrap();
    let manifest = folder.join("run/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let with_versions = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value["versions"]);
        let value = without_seal(value).to_string();
        std::fs::write(&manifest, chainrule_records::seal_json(&value)).unwrap();
    };
    with_versions(&|versions| versions["numerics"] = 1_000_000.into());
    refuses(&[], "whose numerics are version 1000000 ");
    with_versions(&|versions| {
        versions["source"] = "0123456789abcdef".into();
        versions.as_object_mut().unwrap().remove("numerics");
    });
    refuses(&[], "whose numerics are version 0 ");
    std::fs::write(&manifest, &text).unwrap();
    assert_eq!(visible(), before, "what is refused leaves the run as it is");
    // Another release and revision of the same numerics come to the same, and are no reason among others.
    with_versions(&|versions| {
        versions["chainrule"] = "9.9.9".into();
        versions["git_revision"] = "0123456789ab".into();
    });
    refuses(&["--threads", "2"], "it would not go on as it began: threads 1, here 2; go on");
}

/// Leaves of a finished run what it had been killed with just before its end.
fn unfinish(run: &Path) {
    for file in ["history.json", "model.safetensors", "summary.json"] {
        std::fs::remove_file(run.join(file)).unwrap();
    }
}

#[test]
fn a_config_that_was_changed_in_the_runs_own_folder_is_refused_and_so_is_another_runs_checkpoint() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let short = ["--set", "descent.epochs=3", "--checkpoint-every", "20"];
    succeeds(folder, &train("run", &[&SHORT[..], &short].concat()));
    unfinish(&folder.join("run"));
    let config = folder.join("run/config.toml");
    let changed = std::fs::read_to_string(&config).unwrap().replace("l2 = 0.0", "l2 = 0.25");
    std::fs::write(&config, changed).unwrap();
    let changed = "run/config.toml: it is damaged or was changed since the run began: objective.l2 = 0.25, not 0.0; ";
    refuses(folder, &resume("run", &["--quiet"]), changed);
    // It stands in the manifest, too.
    std::fs::remove_file(&config).unwrap();
    succeeds(folder, &resume("run", &["--quiet"]));
    assert!(std::fs::read_to_string(&config).unwrap().contains("l2 = 0.0"));

    // Nor is another run's checkpoint taken.
    succeeds(folder, &train("other", &[&SHORT[..], &short, &["--set", "objective.l2=0.25"]].concat()));
    unfinish(&folder.join("run"));
    std::fs::copy(folder.join("other/checkpoint/step-80.mpk"), folder.join("run/checkpoint/step-80.mpk")).unwrap();
    let refused =
        "run: the checkpoint of step 80 is another run's: objective.l2 = 0.0, not 0.25; delete it, or train anew";
    refuses(folder, &resume("run", &["--quiet"]), refused);
}

#[test]
fn a_run_with_class_weights_takes_them_from_the_data_again_and_resumes_to_the_same_bytes() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let weights = ["--set", "objective.class_weights=balanced", "--checkpoint-every", "20"];
    for out in ["whole", "cut"] {
        succeeds(folder, &train(out, &[&SHORT[..], &weights].concat()));
    }
    unfinish(&folder.join("cut"));
    succeeds(folder, &resume("cut", &["--quiet"]));
    assert_eq!(outcome(&folder.join("cut")), outcome(&folder.join("whole")));
    let summary = std::fs::read_to_string(folder.join("cut/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["class_weights"].as_array().map(Vec::len), Some(10), "{summary}");
    // With other weights it would go on otherwise.
    unfinish(&folder.join("cut"));
    let other = ["--set", "objective.class_weights=[1,1,1,1,1,1,1,1,1,2]"];
    refuses(folder, &resume("cut", &other), "objective.class_weights = ");
}

#[test]
fn a_damaged_checkpoint_is_noticed_and_the_one_before_taken() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let arguments = [&SHORT[..], &["--set", "descent.epochs=3", "--checkpoint-every", "20"]].concat();
    succeeds(folder, &train("whole", &arguments));
    let expected = outcome(&folder.join("whole"));
    let newest = |run: &str| {
        let entries = std::fs::read_dir(folder.join(run).join("checkpoint")).unwrap();
        let mut steps: Vec<usize> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_prefix("step-").unwrap().strip_suffix(".mpk").unwrap().parse().unwrap())
            .collect();
        steps.sort_unstable();
        steps
    };
    assert_eq!(newest("whole"), [60, 80], "the last two are kept");
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let damage: [Damage; 6] = [
        &|bytes| bytes.truncate(0),
        &|bytes| bytes.truncate(60),
        &|bytes| {
            bytes.pop();
        },
        &|bytes| bytes.push(0),
        &|bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        &|bytes| bytes[30] ^= 4,
    ];
    for (i, damage) in damage.iter().enumerate() {
        for how_many in [1, 2] {
            // A checkpoint that is damaged may be someone's own, and --force would refuse it.
            let _ = std::fs::remove_dir_all(folder.join("run"));
            succeeds(folder, &train("run", &arguments));
            unfinish(&folder.join("run"));
            for steps in newest("run").into_iter().rev().take(how_many) {
                let path = folder.join(format!("run/checkpoint/step-{steps}.mpk"));
                let mut bytes = std::fs::read(&path).unwrap();
                damage(&mut bytes);
                std::fs::write(&path, bytes).unwrap();
            }
            let said = succeeds(folder, &resume("run", &[]));
            assert!(said.contains("checkpoint/step-80.mpk: it "), "{i}: {said}");
            if how_many == 1 {
                assert!(said.contains("the one before is taken\ngoing on from step 60 of run"), "{i}: {said}");
            } else {
                assert!(said.contains("no checkpoint is whole; the run begins anew"), "{i}: {said}");
            }
            assert_eq!(outcome(&folder.join("run")), expected, "{i}");
        }
    }
}

#[test]
fn a_damaged_file_of_a_finished_run_is_noticed_and_made_again() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let arguments = [&SHORT[..], &["--set", "descent.epochs=3", "--checkpoint-every", "20"]].concat();
    succeeds(folder, &train("run", &arguments));
    let expected = outcome(&folder.join("run"));
    for file in ["model.safetensors", "history.json", "manifest.json", "config.toml"] {
        let path = folder.join("run").join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        // A digit of a number or of a name: what is read is well-formed, and wrong.
        let at = bytes.iter().rposition(|byte| if file.ends_with("tensors") { true } else { byte.is_ascii_digit() });
        bytes[at.unwrap()] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = RunFolder::read(&folder.join("run")).unwrap_err().to_string();
        assert!(error.contains(&format!("{file}: it is damaged or was changed")), "{error}");
        if file == "model.safetensors" || file == "history.json" {
            let said = succeeds(folder, &resume("run", &[]));
            assert!(said.contains(&format!("{file}: it is damaged")), "{said}");
            assert!(said.contains("train --resume run does that\n"), "{said}");
            assert!(said.contains("going on from step 80 of run"), "{said}");
            assert_eq!(outcome(&folder.join("run")), expected, "{file}");
        }
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_run_folder_has_one_process_at_a_time_which_is_named() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let mut child = endless(folder, "run", &[]);
    let holder = format!("run: process {} writes into it; wait until it ends, or name another folder", child.id());
    refuses(folder, &train("run", &SHORT), &holder);
    refuses(folder, &train("run", &[&SHORT[..], &["--force"]].concat()), &holder);
    refuses(folder, &resume("run", &["--quiet"]), &holder);
    child.kill().unwrap();
    child.wait().unwrap();
    // However it ended, the folder is free again.
    succeeds(folder, &train("run", &[&SHORT[..], &["--force", "--set", "descent.epochs=1"]].concat()));
}

#[test]
fn a_folder_that_vanishes_is_made_anew_and_nothing_is_lost() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let arguments = [&SHORT[..], &["--set", "descent.epochs=400", "--checkpoint-every", "never"]].concat();
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
fn a_checkpoint_in_a_folder_that_vanished_has_the_run_to_go_on_with_beside_it() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let mut child = endless(folder, "run", &[]);
    // Away in one go, where taking it apart would race with what is written meanwhile.
    std::fs::rename(folder.join("run"), folder.join("away")).unwrap();
    while std::fs::read_dir(folder.join("run/checkpoint")).map_or(0, Iterator::count) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run = RunFolder::open(&folder.join("run")).unwrap();
    assert_eq!(run.manifest(), RunFolder::open(&folder.join("away")).unwrap().manifest());
}

/// A file system of its own in `folder`, of so many bytes, which goes away with it; no test goes
/// on where this process may not mount one.
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
fn a_full_disk_is_told_and_nothing_that_was_written_is_lost() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let disk = Disk::mount(&folder.join("disk"), 256 << 10);
    let arguments = [&SHORT[..], &["--set", "descent.epochs=20"]].concat();
    succeeds(folder, &train("whole", &arguments));
    // Room for the first files and a checkpoint or two, which grow with the history.
    let often = [&arguments[..], &["--checkpoint-every", "10"]].concat();
    let filler = folder.join("disk/filler");
    std::fs::write(&filler, vec![0; 80 << 10]).unwrap();
    let output = call(folder, &train("disk/run", &often));
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{error}");
    let [warning, fatal] = error.trim_end().lines().collect::<Vec<_>>()[..] else { panic!("{error}") };
    assert!(warning.starts_with("warning: no checkpoint of step ") && warning.contains("No space left"), "{warning}");
    assert!(warning.ends_with("the training goes on"), "{warning}");
    assert!(fatal.starts_with("error: cannot write disk/run/") && fatal.contains("No space left"), "{fatal}");
    assert!(fatal.contains("--resume disk/run"), "{fatal}");
    let left = files_below(&folder.join("disk/run"));
    assert!(!left.iter().any(|path| is_hidden(path)), "{left:?}");
    // With room again, it goes on from the last checkpoint that there was room for.
    std::fs::remove_file(filler).unwrap();
    disk.remount("size=4m");
    let said = succeeds(folder, &resume("disk/run", &[]));
    assert!(said.contains("going on from step "), "{said}");
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
fn a_folder_that_becomes_read_only_is_told_and_the_run_goes_on_later() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let disk = Disk::mount(&folder.join("disk"), 4 << 20);
    let mut child = endless(folder, "disk/run", &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = files_below(&folder.join("disk/run"));
    disk.remount("ro");
    refuses(folder, &resume("disk/run", &["--quiet"]), "cannot write disk/run/.lock: Read-only file system");
    refuses(folder, &train("disk/other", &SHORT), "cannot write disk/other: Read-only file system");
    disk.remount("rw");
    let after = files_below(&folder.join("disk/run"));
    assert!(before.iter().filter(|path| !is_hidden(path)).all(|path| after.contains(path)));
}

#[test]
fn a_report_that_was_killed_goes_on_to_the_same_report() {
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
    let mut said = String::new();
    // Often enough that one of the interruptions falls into a run, and not between two of them or into an evaluation.
    for (i, enough) in [3, 10, 20, 21, 30, 40, 50, 60, 70, 80, 90, 100].into_iter().enumerate() {
        let mut child = spawn();
        while finished() < enough {
            assert!(child.try_wait().unwrap().is_none(), "it ended: {said}");
            std::thread::sleep(Duration::from_millis(2));
        }
        // Two times of three it is asked to stop, and keeps where its runs are.
        if cfg!(unix) && i % 3 != 1 {
            signal(&child, "-INT");
        } else {
            child.kill().unwrap();
        }
        said += &text(&child.wait_with_output().unwrap().stderr);
    }
    // One of them may have come to write the report's first files.
    said += &succeeds(folder, &[&again[..], &["--force"]].concat());
    assert!(said.contains(": going on from step "), "no run was under way when it was interrupted: {said}");
    let files = |out: &str| -> Vec<PathBuf> {
        let files = files_below(&folder.join(out)).into_iter().filter(|path| path.is_file());
        files.map(|path| path.strip_prefix(folder.join(out)).unwrap().to_owned()).collect()
    };
    assert_eq!(files("report"), files("whole"));
    for file in files("whole") {
        let [report, whole] = ["report", "whole"].map(|out| std::fs::read(folder.join(out).join(&file)).unwrap());
        assert!(report == whole, "{}", file.display());
    }
    let left: Vec<_> = files_below(&folder.join("runs")).into_iter().filter(|path| is_hidden(path)).collect();
    assert!(left.is_empty(), "{left:?}");
}
