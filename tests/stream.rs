//! Training on images that stay in their file.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use chainrule_core::History;
use chainrule_data::idx::{IdxImages, write_images, write_labels};
use chainrule_data::{Counts, digits, mnist};
use chainrule_records::Summary;
use chainrule_tests_macros::test;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::command::{call, code, command, folder, text};
use crate::support::{cpu, skip};

/// Returns the four files of a folder: training images, training labels, validation images,
/// validation labels.
fn files(folder: &Path) -> [PathBuf; 4] {
    mnist::FILES.map(|file| folder.join(file.name))
}

/// Returns a folder with this number of digits in `digits`.
fn with_digits(train: usize, validation: usize) -> TempDir {
    let folder = folder();
    let digits = folder.path().join("digits");
    std::fs::create_dir(&digits).unwrap();
    digits::write_both(digits::SEED, Counts { train, validation }, &files(&digits)).unwrap();
    folder
}

fn read_history(run: &Path) -> History {
    serde_json::from_slice(&std::fs::read(run.join("history.json")).unwrap()).unwrap()
}

fn read_summary(run: &Path) -> Summary {
    serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap()
}

/// Trains on `digits` with this memory limit, into the folder `out`. Returns standard error.
fn train(folder: &Path, out: &str, resident_bytes: u64, arguments: &[&str]) -> String {
    let resident_bytes = format!("data.resident_bytes={resident_bytes}");
    let all = ["train", "--data", "digits", "--backend", cpu(), "--set", &resident_bytes, "--out", out, "--force"];
    let all = [&all[..], arguments].concat();
    let output = call(folder, &all);
    let stderr = text(&output.stderr);
    assert_eq!(code(&output), Some(0), "{arguments:?}: {stderr}");
    stderr
}

#[test]
fn a_streamed_run_is_the_resident_run_byte_for_byte() {
    let folder = with_digits(3000, 700);
    let folder = folder.path();
    let set = |settings: &[&'static str]| settings.iter().flat_map(|&setting| ["--set", setting]).collect::<Vec<_>>();
    let all_rows = ["data.train_images=3000", "data.validation_images=700", "descent.epochs=3"];
    let cases: [(&str, &[&str], &str); 8] = [
        ("configs/softmax.toml", &["descent.shuffle.generator=none"], "2"),
        ("configs/softmax.toml", &["descent.shuffle.generator=numpy-legacy"], "1"),
        (
            "configs/softmax.toml",
            &[
                "descent.shuffle.generator=chacha",
                "descent.precision=f64",
                "descent.batch_size=900",
                "descent.drop_last=false",
            ],
            "2",
        ),
        ("configs/softmax.toml", &["descent.shuffle.generator=none", "data.classes=[7,1,4]"], "2"),
        ("configs/softmax.toml", &["descent.shuffle.skip_epochs=2", "objective.l2=0.1", "data.classes=[0,8]"], "1"),
        // Batches that do not divide a chunk, and one that is larger than a chunk.
        (
            "configs/softmax.toml",
            &[
                "descent.batch_size=7",
                "descent.drop_last=false",
                "descent.learning_rate=0.2",
                "early_stopping.restore_best=true",
            ],
            "1",
        ),
        ("configs/logistic.toml", &["descent.batch_size=500", "descent.drop_last=false"], "2"),
        ("configs/logistic-shuffled.toml", &["descent.batch_size=16"], "1"),
    ];
    for (config, settings, threads) in cases {
        let arguments = [&[config, "--threads", threads][..], &set(&all_rows), &set(settings)].concat();
        let streamed = train(folder, "streamed", 0, &arguments);
        let resident = train(folder, "resident", 1 << 30, &arguments);
        assert!(streamed.contains("stay in digits/train-images-idx3-ubyte"), "{streamed}");
        assert!(!resident.contains("stay in"), "{resident}");
        for file in ["history.json", "model.safetensors"] {
            let [streamed, resident] =
                ["streamed", "resident"].map(|run| std::fs::read(folder.join(run).join(file)).unwrap());
            assert!(streamed == resident, "{config} {settings:?}: {file} differs");
        }
        let [streamed, resident] = ["streamed", "resident"].map(|run| read_summary(&folder.join(run)));
        assert!((streamed.final_metrics.train_loss - resident.final_metrics.train_loss).abs() < 1e-12);
        assert_eq!(streamed.final_metrics.train_accuracy, resident.final_metrics.train_accuracy);
        assert_eq!(streamed.final_metrics.validation_loss, resident.final_metrics.validation_loss);
        assert_eq!((streamed.data, streamed.best_step), (resident.data, resident.best_step));
    }
}

#[test]
fn a_streamed_minimum_is_the_resident_one() {
    let folder = with_digits(3000, 700);
    let folder = folder.path();
    // With a free bias the bound needs the rows' means. f32 needs additional passes in f64.
    let settings = ["data.train_images=3000", "data.validation_images=700", "objective.penalize_bias=false"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments = [&["configs/softmax-optimum.toml"][..], &settings.collect::<Vec<_>>()].concat();
    train(folder, "streamed", 0, &arguments);
    train(folder, "resident", 1 << 30, &arguments);
    let [streamed, resident] =
        ["streamed", "resident"].map(|run| read_summary(&folder.join(run)).certificate.expect("the solver's"));
    assert!(streamed.holds() && resident.holds(), "{streamed:?} {resident:?}");
    let difference = (streamed.objective - resident.objective).abs();
    assert!(difference <= streamed.bound.max(resident.bound), "{streamed:?} {resident:?}");
}

/// Large enough that a few images are many bytes.
const SIDE: usize = 200;

/// Writes images of three classes. A sixth of the bytes is not 0.
fn write_large(folder: &Path, train: usize, validation: usize) {
    std::fs::create_dir(folder).unwrap();
    for (count, files) in [train, validation].into_iter().zip(files(folder).chunks(2)) {
        let labels: Vec<u8> = (0..count).map(|i| (i * i % 3) as u8).collect();
        let pixel = |i: usize| {
            let (row, at) = (i / SIDE / SIDE, i % (SIDE * SIDE));
            if (at + 7 * row).is_multiple_of(6) { 40 * labels[row] + (at * (row + 3) % 100) as u8 } else { 0 }
        };
        let pixels = (0..count * SIDE * SIDE).map(pixel).collect();
        write_images(&files[0], &IdxImages { height: SIDE, width: SIDE, pixels }).unwrap();
        write_labels(&files[1], &labels).unwrap();
    }
}

#[test]
fn a_loss_over_chunks_is_the_loss_of_all_rows() {
    let folder = folder();
    let folder = folder.path();
    // 16.8 MB of validation images, more than is always kept in memory.
    write_large(&folder.join("digits"), 128, 421);
    let arguments = [
        "configs/softmax.toml",
        "--set",
        "data.train_images=128",
        "--set",
        "data.validation_images=421",
        "--set",
        "descent.batch_size=16",
        "--set",
        "descent.learning_rate=0.0001",
        "--set",
        "descent.epochs=2",
    ];
    train(folder, "streamed", 0, &arguments);
    train(folder, "resident", 1 << 30, &arguments);
    let [streamed, resident] = ["streamed", "resident"].map(|run| read_history(&folder.join(run)));
    assert_eq!(streamed.train_loss, resident.train_loss);
    let evaluations = streamed.evaluations.iter().zip(&resident.evaluations);
    assert!(evaluations.len() >= 8);
    for (a, b) in evaluations {
        assert!((a.validation_loss / b.validation_loss - 1.0).abs() < 1e-13, "{a:?} {b:?}");
        assert_eq!(a.validation_accuracy, b.validation_accuracy);
        assert!(b.validation_loss.is_finite());
    }
    let losses: Vec<f64> = streamed.evaluations.iter().map(|evaluation| evaluation.validation_loss).collect();
    assert!(losses.windows(2).all(|pair| pair[0] != pair[1]), "losses that do not move prove nothing: {losses:?}");
}

#[test]
fn a_run_is_saved_if_its_data_file_is_truncated() {
    let folder = with_digits(5000, 300);
    let folder = folder.path();
    let arguments = [
        "train",
        "--backend",
        cpu(),
        "--data",
        "digits",
        "--quiet",
        "--out",
        "run",
        "--set",
        "data.resident_bytes=0",
        "--set",
        "data.train_images=5000",
        "--set",
        "data.validation_images=300",
        "--set",
        "descent.epochs=100000",
        "--set",
        "early_stopping.patience=1000000000",
    ];
    let child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !folder.join("run/manifest.json").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the run does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(1500));
    let file = OpenOptions::new().write(true).open(&files(&folder.join("digits"))[0]).unwrap();
    file.set_len(16 + 1000 * 784).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{error}");
    assert!(error.starts_with("error: digits/train-images-idx3-ubyte: truncated in image 1000"), "{error}");
    assert!(
        error.contains("the history so far and the model of step") && error.trim_end().lines().count() == 1,
        "{error}"
    );
    let history = read_history(&folder.join("run"));
    assert!(!history.train_loss.is_empty() && !history.evaluations.is_empty());
    assert!(folder.join("run/model.safetensors").exists() && !folder.join("run/summary.json").exists());
}

/// Expects a training on `digits` to fail with a one-line error before it writes anything.
fn refuses(folder: &Path, settings: &[&str], expected: &str) {
    let all = [&["train", "--quiet", "--data", "digits", "--backend", cpu(), "--out", "refused"], settings].concat();
    let output = call(folder, &all);
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{settings:?}: {error}");
    assert!(error.contains(expected), "{settings:?}: {error:?} does not say {expected:?}");
    assert!(error.starts_with("error: ") && error.trim_end().lines().count() == 1, "{error:?}");
    assert!(!folder.join("refused").exists());
}

const STREAMED: [&str; 6] =
    ["--set", "data.resident_bytes=0", "--set", "data.train_images=300", "--set", "data.validation_images=100"];

#[test]
fn a_wrong_header_of_a_streamed_file_is_refused() {
    let folder = with_digits(300, 100);
    let folder = folder.path();
    let file = &files(&folder.join("digits"))[0];
    let whole = std::fs::read(file).unwrap();
    let with_count = |count: u32| {
        let mut changed = whole.clone();
        changed[4..8].copy_from_slice(&count.to_be_bytes());
        std::fs::write(file, changed).unwrap();
    };
    with_count(u32::MAX);
    refuses(folder, &STREAMED, "truncated: its header declares 3367254359280 bytes of images, but it has 235200");
    with_count(301);
    refuses(folder, &STREAMED, "declares 235984 bytes of images, but it has 235200");
    with_count(299);
    refuses(folder, &STREAMED, "longer than the 234416 bytes of images");
    std::fs::write(file, &whole[..whole.len() - 784]).unwrap();
    refuses(folder, &STREAMED, "truncated");
    let mut fewer = whole.clone();
    fewer[4..8].copy_from_slice(&299u32.to_be_bytes());
    fewer.truncate(whole.len() - 784);
    std::fs::write(file, fewer).unwrap();
    refuses(folder, &STREAMED, "299 images but 300 labels");
}

#[test]
fn a_large_gzip_is_refused_with_advice() {
    let folder = with_digits(300, 100);
    let folder = folder.path();
    let file = &files(&folder.join("digits"))[0];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&std::fs::read(file).unwrap()).unwrap();
    std::fs::write(format!("{}.gz", file.display()), encoder.finish().unwrap()).unwrap();
    std::fs::remove_file(file).unwrap();
    refuses(
        folder,
        &STREAMED,
        "train-images-idx3-ubyte.gz: its 235200 bytes of images are more than data.resident_bytes = 0",
    );
    refuses(folder, &STREAMED, "unpack it, or increase data.resident_bytes");
}

#[test]
fn unstreamable_settings_are_refused_with_advice() {
    let folder = with_digits(300, 100);
    let folder = folder.path();
    for gradient in ["closed-form", "autodiff"] {
        let settings = [&STREAMED[..], &["--gradient", gradient]].concat();
        refuses(folder, &settings, "digits/train-images-idx3-ubyte: 235200 bytes of chosen rows are more than");
        refuses(folder, &settings, "take --gradient fused");
    }
    let drawn = ["--data", "embedded", "--set", "data.resident_bytes=235199", "--set", "data.train_images=300"];
    let output = call(folder, &[&["train", "--backend", cpu(), "--out", "refused"], &drawn[..]].concat());
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{error}");
    assert!(error.contains("300 drawn digits take 235200 bytes") && error.contains("--write-idx"), "{error}");
}

#[test]
fn a_few_rows_of_a_large_file_are_loaded() {
    let folder = with_digits(1000, 100);
    let small = ["--set", "data.train_images=300", "--set", "data.validation_images=100", "--set", "descent.epochs=1"];
    for gradient in ["fused", "closed-form"] {
        let stderr = train(folder.path(), "run", 235_200, &[&small[..], &["--gradient", gradient]].concat());
        assert!(!stderr.contains("stay in"), "{stderr}");
    }
    let stderr = train(folder.path(), "run", 235_199, &small);
    assert!(stderr.contains("stay in"), "{stderr}");
}

/// Returns the program's peak memory in bytes while it trains on `digits` for an epoch.
fn peak_bytes(folder: &Path, resident_bytes: &str) -> u64 {
    let arguments = [
        "train",
        "--backend",
        cpu(),
        "--data",
        "digits",
        "--quiet",
        "--out",
        resident_bytes,
        "--set",
        &format!("data.resident_bytes={resident_bytes}"),
        "--set",
        "data.train_images=260000",
        "--set",
        "data.validation_images=300",
        "--set",
        "descent.epochs=1",
        "--set",
        "descent.shuffle.generator=none",
        "--set",
        "early_stopping.evaluations_per_epoch=1",
    ];
    let mut child = command(folder, &arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // The value only grows. Growth between the last reading and the end is missed, which is a few
    // milliseconds.
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kilobytes =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(1024 * kilobytes.unwrap_or(0u64));
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    peak
}

#[test]
fn a_streamed_run_uses_little_memory() {
    if !Path::new("/proc/self/status").exists() {
        skip("no /proc");
    }
    let folder = with_digits(260_000, 300);
    let megabytes = 260_000 * 784 / 1_000_000;
    let [streamed, resident] = ["0", "1073741824"].map(|bytes| peak_bytes(folder.path(), bytes) / 1_000_000);
    assert!(streamed < 80, "{streamed} MB for a file of {megabytes} MB");
    assert!(resident > megabytes, "{resident} MB: the bound is one that a run can exceed");
}
