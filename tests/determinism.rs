//! The same config and seed give the same bytes on the same machine, whatever ran before or runs at
//! the same time. With another number of threads, the numbers agree within a stated bound.

use std::num::NonZero;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use chainrule::backend::Backend;
use chainrule::machine::Machine;
use chainrule_core::{Parameters, Preprocessing, Schema, TrainConfig};
use chainrule_data::{Data, Dataset};
use chainrule_records::{RunFiles, RunFolder};
use chainrule_tests_macros::test;

use crate::command::{call, code, command, folder, text};
use crate::support::{cpu, digits, experiment};

/// An experiment with settings, beside those that all share.
type Case = (&'static str, &'static [&'static str]);

const FUSED: Case = ("softmax.toml", &["descent.gradient=fused"]);
const FUSED_F64: Case =
    ("softmax.toml", &["descent.gradient=fused", "descent.precision=f64", "descent.shuffle.generator=chacha"]);
/// Batches large enough for several threads.
const SHARED_BATCHES: Case =
    ("softmax.toml", &["descent.gradient=fused", "descent.batch_size=1200", "descent.epochs=40"]);
const SHARED_BATCHES_F64: Case = (
    "softmax.toml",
    &["descent.gradient=fused", "descent.batch_size=1200", "descent.epochs=40", "descent.precision=f64"],
);
const FUSED_LOGISTIC: Case = ("logistic.toml", &["descent.gradient=fused", "descent.shuffle.generator=chacha"]);
const CLOSED_FORM: Case = ("softmax.toml", &["descent.gradient=closed-form"]);
const CLOSED_FORM_F64: Case = ("softmax.toml", &["descent.gradient=closed-form", "descent.precision=f64"]);
const AUTODIFF: Case = ("softmax.toml", &["descent.gradient=autodiff", "descent.shuffle.generator=chacha"]);
const AUTODIFF_LOGISTIC_F64: Case = ("logistic.toml", &["descent.gradient=autodiff", "descent.precision=f64"]);
const OPTIMUM: Case = ("softmax-optimum.toml", &["descent.gradient=fused", "objective.l2=0.1"]);
const OPTIMUM_BY_AUTODIFF_F64: Case =
    ("softmax-optimum.toml", &["descent.gradient=autodiff", "descent.precision=f64", "objective.l2=0.1"]);
/// Images that stay in their file. Threads read them ahead, in several chunks per epoch.
const STREAMED: Case = ("softmax.toml", &["descent.gradient=fused", "data.resident_bytes=100000"]);
const OPTIMUM_STREAMED: Case =
    ("softmax-optimum.toml", &["descent.gradient=fused", "objective.l2=0.1", "data.resident_bytes=100000"]);

const CASES: [Case; 13] = [
    FUSED,
    FUSED_F64,
    SHARED_BATCHES,
    SHARED_BATCHES_F64,
    FUSED_LOGISTIC,
    CLOSED_FORM,
    CLOSED_FORM_F64,
    AUTODIFF,
    AUTODIFF_LOGISTIC_F64,
    OPTIMUM,
    OPTIMUM_BY_AUTODIFF_F64,
    STREAMED,
    OPTIMUM_STREAMED,
];

/// Returns the settings, with those that all share. They are small, so that hundreds of trainings
/// take seconds.
fn settings((config, settings): Case) -> Vec<&'static str> {
    let epochs: &[&str] = if config == "softmax-optimum.toml" { &[] } else { &["descent.epochs=4"] };
    [&["data.train_images=1500", "data.validation_images=500"], epochs, settings].concat()
}

/// Starts a training of the program on the digits of [`place`].
fn start(place: &Path, way: Case, threads: &str, out: &str) -> Child {
    let config = format!("configs/{}", way.0);
    let fixed =
        ["train", &config, "--backend", cpu(), "--quiet", "--data", "digits", "--threads", threads, "--out", out];
    let settings = settings(way).into_iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<&str> = fixed.into_iter().chain(settings).collect();
    command(place, &arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns a folder with the digits as files, which the program may leave on disk.
fn place() -> tempfile::TempDir {
    let place = folder();
    let write = ["data", "--write-idx", "digits", "--train-images", "1500", "--validation-images", "500"];
    let output = call(place.path(), &write);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    place
}

/// A run's files by name, without the seconds that it took.
type Files = Vec<(String, Vec<u8>)>;

/// Waits for a training of [`start`] to end.
fn ended(child: Child, run: &Path) -> Files {
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(0), "{}: {}", run.display(), text(&output.stderr));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        // The number of checkpoints depends on the time.
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut content = std::fs::read(&path).unwrap();
        if name == "summary.json" {
            // Compared as text, so that the order of the keys counts, too.
            let summary = text(&content);
            let (before, after) = summary.split_once("\"seconds\": {").unwrap();
            // The seal covers the seconds, too.
            let after = after.split_once('}').unwrap().1.split_once("\"seal\"").unwrap().0;
            content = [before, after].concat().into_bytes();
        }
        files.push((name, content));
    }
    files.sort();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["config.toml", "history.json", "manifest.json", "model.safetensors", "summary.json"]);
    files
}

/// Returns the names of the files that differ, for a message without their contents.
fn different<'a>(actual: &'a Files, expected: &Files) -> Vec<&'a str> {
    let pairs = actual.iter().zip(expected);
    pairs.filter(|(actual, expected)| actual != expected).map(|(actual, _)| actual.0.as_str()).collect()
}

#[test]
fn concurrent_programs_write_the_same_bytes() {
    let place = place();
    for (number, way) in CASES.into_iter().enumerate() {
        let out = |which: &str| format!("{number}-{which}");
        let start = |way, which: &str| (start(place.path(), way, "3", &out(which)), place.path().join(out(which)));
        let ended = |(child, run): (Child, std::path::PathBuf)| ended(child, &run);
        let alone = ended(start(way, "alone"));
        assert_eq!(different(&ended(start(way, "again")), &alone), [""; 0], "{way:?} again");
        // Four at once, beside one with another experiment.
        let other = start(CASES[(number + 1) % CASES.len()], "other");
        for child in ["a", "b", "c", "d"].map(|which| start(way, which)) {
            assert_eq!(different(&ended(child), &alone), [""; 0], "{way:?}, one of four at once");
        }
        ended(other);
    }
}

/// Trains with the library. Returns the history as text and the bits of the weights.
fn trained(config: &TrainConfig, data: &Data, backend: &Backend) -> (String, Vec<u64>) {
    let (rows, Schema { classes, .. }) = Dataset::Images(data.clone()).into_rows(config).unwrap();
    let threads = NonZero::new(3).unwrap();
    let machine = Machine::new(Some(backend), threads).unwrap();
    let rows = machine.prepare(rows, &Preprocessing::Pixels, config).unwrap();
    let trained = rows.train(classes.len(), config, threads, &mut ()).unwrap();
    let parameters = [trained.parameters.weight, trained.parameters.bias].concat();
    (serde_json::to_string(&trained.history).unwrap(), parameters.into_iter().map(f64::to_bits).collect())
}

#[test]
fn concurrent_trainings_give_the_same_bits() {
    let data = digits(1500, 500);
    // Softmax regression in memory. The tests with the program cover the rest.
    let ways = CASES.into_iter().filter(|way| way.0 != "logistic.toml" && ![STREAMED, OPTIMUM_STREAMED].contains(way));
    let configs: Vec<TrainConfig> = ways.map(|way| experiment(way.0, &settings(way))).collect();
    let with_f64 = |backend: &Backend| backend.info().unwrap().has_f64;
    for backend in Backend::built().unwrap().into_iter().filter(with_f64) {
        let all = || configs.iter().map(|config| trained(config, &data, &backend)).collect::<Vec<_>>();
        // In the second round each training runs after all the others.
        let first = all();
        assert!(first == all(), "{backend}: a second round");
        thread::scope(|scope| {
            for (number, actual) in [(); 4].map(|()| scope.spawn(all)).into_iter().enumerate() {
                assert!(first == actual.join().unwrap(), "{backend}: thread {number} of four at once");
            }
        });
    }
}

/// Returns the runs of an experiment on 1, 2, 3, 4 and 8 threads.
fn on_threads(way: Case) -> Vec<(RunFiles, Files)> {
    let place = place();
    let runs = ["1", "2", "3", "4", "8"].into_iter().map(|threads| {
        let run = place.path().join(threads);
        let files = ended(start(place.path(), way, threads, threads), &run);
        (RunFolder::read(&run).unwrap(), files)
    });
    runs.collect()
}

/// A bound on the distance of mean losses of `n` rows in another summation order. Each sum of
/// non-negative numbers is off by at most n roundings. The products under its logarithms add one
/// rounding per row.
fn max_evaluation_distance(n: usize, loss: f64) -> f64 {
    let rounding = f64::EPSILON / 2.0;
    2.0 * rounding * (n as f64 * loss + 1.0)
}

#[test]
fn threads_do_not_change_the_reports_weights() {
    for way in [FUSED, FUSED_F64, FUSED_LOGISTIC, STREAMED] {
        let runs = on_threads(way);
        let (expected, expected_files) = &runs[0];
        for (actual, files) in &runs[1..] {
            let name = format!("{way:?}, {} threads", actual.summary.threads);
            // A batch of fewer than 256 rows uses one thread. Only evaluations are shared by
            // threads and so summed in another order.
            let different = different(files, expected_files);
            assert!(
                different.iter().all(|file| ["history.json", "manifest.json", "summary.json"].contains(file)),
                "{name}: {different:?}"
            );
            assert_eq!(actual.history.train_loss, expected.history.train_loss, "{name}");
            assert_eq!(actual.history.evaluations.len(), expected.history.evaluations.len(), "{name}");
            for (a, b) in actual.history.evaluations.iter().zip(&expected.history.evaluations) {
                let distance = (a.validation_loss - b.validation_loss).abs();
                let allowed = max_evaluation_distance(expected.summary.data.validation, b.validation_loss);
                assert!(distance <= allowed, "{name}: losses {distance:e} apart, more than {allowed:e}");
                assert_eq!(
                    [a.train_accuracy, a.validation_accuracy],
                    [b.train_accuracy, b.validation_accuracy],
                    "{name}"
                );
            }
        }
    }
}

/// Returns the Euclidean distance of all parameters.
fn distance(a: &Parameters, b: &Parameters) -> f64 {
    let squares = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    (squares(&a.weight, &b.weight) + squares(&a.bias, &b.bias)).sqrt()
}

/// A bound on the distance of weights after these steps, with another summation order in the
/// batches. A step's gradient is the mean over b rows of residual times features, of length at most
/// sqrt(2) and sqrt(d + 1). b roundings of random sign add up to sqrt(b) roundings. The update adds
/// one more. A step that is not too long brings two models no further apart, so the errors of the
/// steps at worst add up.
fn max_weight_distance(run: &RunFiles, rounding: f64) -> f64 {
    let (descent, [height, width]) = (run.config.descent(), run.summary.data.image_size);
    let gradient = (2.0 * (height * width + 1) as f64).sqrt();
    let each =
        (descent.batch_size as f64).sqrt() * descent.learning_rate * gradient + run.summary.weight_norm.frobenius;
    2.0 * rounding * run.summary.steps as f64 * each
}

#[test]
fn shared_batches_agree_within_rounding() {
    for (way, epsilon) in [(SHARED_BATCHES, f64::from(f32::EPSILON)), (SHARED_BATCHES_F64, f64::EPSILON)] {
        let runs = on_threads(way);
        let expected = &runs[0].0;
        for (actual, _) in &runs[1..] {
            let (distance, allowed) =
                (distance(&actual.parameters, &expected.parameters), max_weight_distance(expected, epsilon / 2.0));
            let threads = actual.summary.threads;
            assert!(distance <= allowed, "{way:?}, {threads} threads: {distance:e}, more than {allowed:e}");
            assert!(distance > 0.0, "{way:?}, {threads} threads: they did share a batch");
        }
    }
}

#[test]
fn minima_on_more_threads_are_within_their_bounds() {
    for way in [OPTIMUM, OPTIMUM_STREAMED] {
        let runs = on_threads(way);
        // J is l2-strongly convex: l2/2 |w - w*|^2 <= J - J* <= bound.
        let radius = |run: &RunFiles| {
            let certificate = run.summary.certificate.unwrap();
            assert!(certificate.holds());
            (2.0 * certificate.bound / run.config.objective().l2).sqrt()
        };
        let expected = &runs[0].0;
        for (actual, _) in &runs[1..] {
            let (distance, allowed) =
                (distance(&actual.parameters, &expected.parameters), radius(actual) + radius(expected));
            let threads = actual.summary.threads;
            assert!(distance <= allowed, "{way:?}, {threads} threads: {distance:e}, more than {allowed:e}");
        }
    }
}

#[test]
fn kernel_threads_do_not_change_tensor_training() {
    for way in [CLOSED_FORM, AUTODIFF_LOGISTIC_F64, OPTIMUM_BY_AUTODIFF_F64] {
        let runs = on_threads(way);
        for (_, files) in &runs[1..] {
            assert_eq!(different(files, &runs[0].1), [""; 0], "{way:?}");
        }
    }
}
