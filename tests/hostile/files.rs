//! Carefully crafted hostile files, and paths that are not files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use chainrule_core::{Parameters, Precision, Preprocessing, TrainConfig};
use chainrule_data::idx::{IdxImages, images_header, labels_header, write_images, write_labels};
use chainrule_data::{
    Counts, Holdout, RecipeOptions, RecipeSource, Request, TableRequest, Tables, find_within, inspect_source,
};
use chainrule_records::{ConfigFile, RunFolder, write_weights};
use chainrule_tests_macros::test;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::formats::{assert_one_line, format, run_folder};
use crate::command::{call, code, folder, process, text};
use crate::support::skip;

/// The memory limit for images in these tests.
const RESIDENT: u64 = 16 << 20;

const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Reads `path` as the kind `what`. Returns the error, if any.
fn read(what: &str, path: &Path) -> Result<(), String> {
    match what {
        "config" => TrainConfig::read(path, &[]).map(drop).map_err(|error| error.to_string()),
        "run" => RunFolder::read(path).map(drop).map_err(|error| error.to_string()),
        "data" => {
            let counts = Counts { train: 1, validation: 1 };
            let actual = find_within(&Request::Folder(path.to_owned()), counts, RESIDENT, &mut |_| {});
            actual.map(drop).map_err(|error| error.to_string())
        }
        "look" => {
            let counts = Counts { train: 1, validation: 1 };
            inspect_source(&Request::Folder(path.to_owned()), counts, &mut |_| {})
                .map(drop)
                .map_err(|error| error.to_string())
        }
        "about" => Request::Folder(path.to_owned())
            .summarize_tables(chainrule_core::TextOptions::default(), 1 << 30)
            .map(drop)
            .map_err(|error| error.to_string()),
        "table" => {
            let request = TableRequest {
                label: Some("y".to_owned()),
                ignored: Vec::new(),
                group: None,
                weight: None,
                text: chainrule_core::TextOptions::default(),
                recipe: RecipeSource::Learn(RecipeOptions::default()),
                classes: None,
                holdout: Some(Holdout { fraction: 0.2, seed: 0 }),
                resident_bytes: 1 << 30,
                scratch: None,
            };
            Tables::read(path, &request).map(drop).map_err(|error| error.to_string())
        }
        other => panic!("{other}"),
    }
}

/// Returns a data folder with two small images per split.
fn data_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for [images, labels] in [[FILES[0], FILES[1]], [FILES[2], FILES[3]]] {
        let pixels = IdxImages { height: 2, width: 2, pixels: (0..8).collect() };
        write_images(&folder.path().join(images), &pixels).unwrap();
        write_labels(&folder.path().join(labels), &[0, 1]).unwrap();
    }
    folder
}

/// Returns a valid run folder.
pub(super) fn run_folder() -> TempDir {
    let folder = run_folder_with("", Vec::new());
    read("run", folder.path()).unwrap();
    folder
}

/// Returns the same folder with other content in one file and valid seals.
pub(super) fn run_folder_with(name: &str, content: Vec<u8>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut files = (format("run_folder").seeds)().into_iter().map(|seed| seed[1..].to_vec()).collect::<Vec<_>>();
    if let Some(file) = RUN_FILES.iter().position(|file| *file == name) {
        files[file] = content;
    }
    run_folder::write(folder.path(), &files.try_into().unwrap());
    folder
}

/// In the order of the format's seeds.
const RUN_FILES: [&str; 5] = ["config.toml", "history.json", "manifest.json", "summary.json", "model.safetensors"];

/// Returns a gzip of `head` followed by this number of zeros.
fn gzip(head: &[u8], zeros: u64) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(head).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), zeros), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// Reads in a separate process that may use 2 GiB. Returns the error and the growth of its memory
/// in bytes.
fn read_in_a_process(what: &str, path: &Path) -> (String, u64) {
    let output = process("sh")
        .args(["-c", "ulimit -v 2097152; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["hostile::files::reads_the_file_named_by_the_memory_tests", "--exact", "--ignored", "--nocapture"])
        .env("CHAINRULE_HOSTILE_READ", format!("{what} {}", path.display()))
        .output()
        .unwrap();
    let stdout = text(&output.stdout);
    let line = stdout.lines().find_map(|line| line.split_once("grew by ")).map(|(_, rest)| rest.to_owned());
    let Some(line) = line else { panic!("{stdout}{}", text(&output.stderr)) };
    let (grown, problem) = line.split_once(' ').unwrap();
    (problem.to_owned(), grown.parse().unwrap())
}

/// Returns the peak memory of this process in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

#[test]
#[ignore = "the process that the tests on memory start"]
#[expect(clippy::print_stdout, reason = "they listen")]
fn reads_the_file_named_by_the_memory_tests() {
    let request = std::env::var("CHAINRULE_HOSTILE_READ").unwrap();
    let (what, path) = request.split_once(' ').unwrap();
    let before = peak();
    let problem = read(what, Path::new(path)).err().unwrap_or_default();
    println!("grew by {} {problem}", peak() - before);
}

/// Expects a one-sentence error with this text, and at most `times` the file's bytes plus 4 MiB of
/// memory.
fn costs_little(what: &str, path: &Path, file: &Path, times: u64, expected: &str) {
    if !cfg!(target_os = "linux") {
        skip("a process's memory is read from Linux's /proc");
    }
    let length = std::fs::metadata(file).unwrap().len();
    let (problem, grown) = read_in_a_process(what, path);
    assert!(problem.contains(expected), "{problem:?} does not say {expected:?}");
    assert_one_line(&problem);
    assert!(grown <= times * length + (4 << 20), "{grown} bytes for a file of {length}: {problem}");
}

/// The same for one of the four files, plain or gzipped, in an otherwise valid folder.
fn costs_little_as(name: &str, content: &[u8], times: u64, expected: &str) {
    let folder = data_folder();
    let is_gzip = content.starts_with(&[0x1f, 0x8b]);
    std::fs::remove_file(folder.path().join(name)).unwrap();
    let file = folder.path().join(if is_gzip { format!("{name}.gz") } else { name.to_owned() });
    std::fs::write(&file, content).unwrap();
    costs_little("data", folder.path(), &file, times, expected);
}

#[test]
fn a_huge_header_allocates_no_memory() {
    let [images, labels, ..] = FILES;
    let claims = images_header(u32::MAX as usize, 28, 28);
    let two = [claims.to_vec(), vec![0; 2 * 28 * 28]].concat();
    costs_little_as(images, &two, 3, "declares 3367254359280 bytes of images, but it has 1568");
    costs_little_as(images, &gzip(&two, 0), 3, "more than data.resident_bytes");
    let overflowing = images_header(u32::MAX as usize, u32::MAX as usize, u32::MAX as usize);
    costs_little_as(images, &overflowing, 3, "an impossible number of images");
    costs_little_as(images, &images_header(1 << 31, 1 << 31, 2), 3, "an impossible number of images");
    let claims = labels_header(u32::MAX as usize);
    costs_little_as(labels, &[&claims[..], &[0, 1]].concat(), 3, "declares 4294967295 bytes of labels, but it has 2");
    costs_little_as(labels, &gzip(&claims, 2), 3, "more than data.resident_bytes");
}

#[test]
fn a_gzip_bomb_is_not_inflated() {
    let [images, labels, ..] = FILES;
    // Longer than the header says.
    costs_little_as(images, &gzip(&images_header(2, 2, 2), 1 << 30), 3, "longer than the 8 bytes of images");
    costs_little_as(labels, &gzip(&labels_header(2), 1 << 30), 3, "longer than the 2 bytes of labels");
    // As long as the header says.
    costs_little_as(images, &gzip(&images_header(1 << 24, 8, 8), 1 << 30), 3, "more than data.resident_bytes");
    costs_little_as(labels, &gzip(&labels_header(1 << 30), 1 << 30), 3, "more than data.resident_bytes");
    // Many gzip members, and bytes after the last.
    let mut members = gzip(&images_header(2, 2, 2), 0);
    members.extend(gzip(&[], 0).repeat(100_000));
    costs_little_as(images, &members, 3, "truncated: its header declares 8 bytes of images, but it has 0");
    let garbage = [gzip(&images_header(2, 2, 2), 8), b"and so on".to_vec()].concat();
    costs_little_as(images, &garbage, 3, "damaged gzip");
}

/// Expects a table to use at most 4 times its decompressed bytes plus `base`. For a file that is
/// refused early, `inflated` counts only the bytes that were read.
fn costs_in_proportion(name: &str, content: &[u8], inflated: u64, base: u64, expected: [&str; 2]) {
    if !cfg!(target_os = "linux") {
        skip("a process's memory is read from Linux's /proc");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    for (what, expected) in ["about", "table"].into_iter().zip(expected) {
        let (problem, grown) = read_in_a_process(what, &path);
        assert!(problem.contains(expected) && problem.is_empty() == expected.is_empty(), "{what}: {problem:?}");
        assert!(grown <= 4 * inflated + base, "{what}: {grown} bytes for {inflated}");
    }
}

/// Returns `rows` lines with `columns` one-digit fields and a label.
fn digits_table(rows: usize, columns: usize) -> Vec<u8> {
    let mut text: String = (0..columns).map(|j| format!("c{j},")).collect::<String>() + "y\n";
    for row in 0..rows {
        text.extend((0..columns).flat_map(|j| [char::from(b'0' + ((row * row + row * j + j) % 10) as u8), ',']));
        text += if row % 3 == 0 { "u\n" } else { "v\n" };
    }
    text.into_bytes()
}

#[test]
fn a_table_uses_memory_proportional_to_its_size() {
    // The shortest possible fields: in many rows, in few rows, and in a single column, whose rows
    // are hardly longer than their numbers.
    let long = digits_table(40_000, 100);
    costs_in_proportion("long.csv", &long, long.len() as u64, 8 << 20, ["", ""]);
    let wide = digits_table(64, 50_000);
    costs_in_proportion("wide.csv", &wide, wide.len() as u64, 32 << 20, ["", ""]);
    let narrow: Vec<u8> = digits_table(1_000_000, 1);
    costs_in_proportion("narrow.csv", &narrow, narrow.len() as u64, 8 << 20, ["", ""]);
    // The last number of each line that ends in 1 needs eight bytes. All others need four.
    let fractions = String::from_utf8(digits_table(40_000, 50)).unwrap().replace("1,", ".1,");
    costs_in_proportion("fractions.csv", fractions.as_bytes(), fractions.len() as u64, 8 << 20, ["", ""]);
}

/// Reading needs at most 1.3 times the rows in f32, besides buffers.
#[test]
fn a_long_table_takes_four_bytes_a_number() {
    if !cfg!(target_os = "linux") {
        skip("a process's memory is read from Linux's /proc");
    }
    let (rows, columns) = (250_000, 20);
    let mut text: String = (0..columns).map(|j| format!("c{j},")).collect::<String>() + "y\n";
    for row in 0..rows {
        (0..columns).for_each(|j| text += &format!(".{:06},", (row * 7919 + j * 104_729) % 1_000_003));
        text += if row % 3 == 0 { "u\n" } else { "v\n" };
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.csv");
    std::fs::write(&path, text).unwrap();
    let (problem, grown) = read_in_a_process("table", &path);
    assert_eq!(problem, "");
    let in_f32 = 4 * (rows * columns) as u64;
    assert!(10 * grown <= 13 * in_f32 + (60 << 20), "{grown} bytes for {in_f32}");
}

#[test]
fn endless_headers_and_lines_are_refused() {
    let endless = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        (0..1 << 10).for_each(|_| encoder.write_all(&text.repeat(1 << 16)).unwrap());
        encoder.finish().unwrap()
    };
    // 128 MiB each.
    let too_long = "the row has more than 4194304 bytes; perhaps a quote is not closed";
    costs_in_proportion("header.csv.gz", &endless(b"a,"), 0, 64 << 20, [too_long; 2]);
    costs_in_proportion("line.csv.gz", &[gzip(b"a,y\n1,u\n", 0), endless(b"1,")].concat(), 0, 64 << 20, [too_long; 2]);
    costs_in_proportion(
        "quote.csv.gz",
        &[gzip(b"a,y\n1,\"u\n", 0), endless(b"2\n")].concat(),
        0,
        64 << 20,
        [too_long; 2],
    );
    let many: Vec<u8> = (0..100_001).flat_map(|j| format!("c{j},").into_bytes()).collect();
    let many = [&many[..], b"y\n"].concat();
    costs_in_proportion("many.csv", &many, many.len() as u64, 64 << 20, ["it has 100002 columns; at most 100000"; 2]);
}

/// `inspect_source` finds what reading finds, for any compression, with little memory.
#[test]
fn images_are_inspected_without_loading_them() {
    let folder = data_folder();
    let counts = Counts { train: 1, validation: 1 };
    let request = Request::Folder(folder.path().to_owned());
    let (seen, read) =
        (inspect_source(&request, counts, &mut |_| {}), find_within(&request, counts, RESIDENT, &mut |_| {}));
    let (seen, read) = (seen.unwrap(), read.unwrap());
    assert_eq!((seen.files(), seen.train.labels(), seen.train.size()), (read.files(), read.train.labels(), (2, 2)));
    if !cfg!(target_os = "linux") {
        skip("a process's memory is read from Linux's /proc");
    }
    let (images, pixels) = (1 << 16, 64 << 20);
    for [images_file, labels_file] in [[FILES[0], FILES[1]], [FILES[2], FILES[3]]] {
        std::fs::remove_file(folder.path().join(images_file)).unwrap();
        std::fs::remove_file(folder.path().join(labels_file)).unwrap();
        let packed = gzip(&images_header(images, 32, 32), pixels);
        std::fs::write(folder.path().join(format!("{images_file}.gz")), packed).unwrap();
        write_labels(&folder.path().join(labels_file), &vec![0; images]).unwrap();
    }
    let (problem, grown) = read_in_a_process("look", folder.path());
    assert!(problem.is_empty() && grown < 8 << 20, "{grown} bytes: {problem}");
    assert!(read_in_a_process("data", folder.path()).0.contains("more than data.resident_bytes"));
    // A truncated file is detected, too.
    let packed = gzip(&images_header(images, 32, 32), pixels - 1);
    std::fs::write(folder.path().join(format!("{}.gz", FILES[0])), packed).unwrap();
    assert!(read_in_a_process("look", folder.path()).0.contains("but it has 67108863"));
}

/// The file is sparse, of one terabyte. A plain file may have any size, but not this content, and
/// little of it is read.
#[test]
fn an_oversized_file_that_is_no_table_is_refused_at_its_beginning() {
    let folder = folder();
    let file = std::fs::File::create(folder.path().join("large.csv")).unwrap();
    file.set_len(1 << 40).unwrap();
    let output = call(folder.path(), &["train", "--data", "large.csv", "--set", "data.label=y"]);
    let stderr = text(&output.stderr);
    assert_eq!(code(&output), Some(2), "{stderr}");
    assert!(stderr.contains("large.csv: line 1: it has a NUL byte") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn huge_configs_use_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.toml");
    let below = "[model]\nkind = \"softmax\"\n";
    let dotted = vec!["a"; 30_000].join(".");
    for (content, expected) in [
        ("# longer than long\n".repeat(5 << 20), "longer than the 65536 bytes"),
        (format!("{} = 1\n{below}", "k".repeat(60_000)), "unknown key kkkk"),
        (format!("{dotted} = 1\n{below}"), "recursion limit"),
        (format!("[{dotted}]\n{below}"), "recursion limit"),
        (format!("a = {}{}\n", "[".repeat(30_000), "]".repeat(30_000)), "recurse"),
        (format!("a = {}1{}\n", "{a=".repeat(10_000), "}".repeat(10_000)), "recurse"),
        (format!("{below}[data]\nclasses = [{}]\n", "1, ".repeat(20_000)), "data.classes = [1, 1, "),
        (format!("[model]\nkind = \"{}\"\n", "soft".repeat(15_000)), "expected softmax or logistic"),
        (format!("{below}[data]\nsource = \"\"\nclasses = [{}]\n", "[],".repeat(20_000)), "data.classes"),
        ((0..8000).map(|i| format!("k{i}=1\n")).collect(), "unknown key k0"),
    ] {
        std::fs::write(&path, content).unwrap();
        costs_little("config", &path, &path, 200, expected);
    }
    let million = format!("data.classes=[{}]", "1,".repeat(1_000_000));
    let is_control_like = "data.\u{1}\r\u{1b}[31m1[, 2]".to_owned();
    for set in
        [format!("{dotted}=1"), format!("{}=1", "k".repeat(1_000_000)), million, "a".repeat(1_000_000), is_control_like]
    {
        let problem = TrainConfig::parse("hostile.toml", below, &[set]).unwrap_err().to_string();
        assert_one_line(&problem);
    }
}

#[test]
fn huge_records_use_little_memory() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let header = |length: u64| [&length.to_le_bytes()[..], b"{\"linear.weight\":{}}"].concat();
    let zeros = |name: &str| format!("{{\"{name}\": [{}0]", "0,".repeat(1_000_000));
    for (name, content, expected) in [
        ("history.json", deep("[", "]").into_bytes(), "invalid type"),
        ("history.json", format!("{{\"x\": {}}}", deep("[", "]")).into_bytes(), "missing field `train_loss`"),
        ("summary.json", deep("{\"a\":", "}").into_bytes(), "expected value"),
        ("summary.json", deep("[", "]").into_bytes(), "summary.json: it is damaged"),
        ("history.json", (zeros("train_loss") + "}").into_bytes(), "missing field `evaluations`"),
        ("history.json", (zeros("nothing") + "}").into_bytes(), "missing field `train_loss`"),
        ("summary.json", format!("{{\"model\": \"{}\"}}", "soft".repeat(1 << 20)).into_bytes(), "unknown variant"),
        ("model.safetensors", header(1 << 63), "model.safetensors: "),
        ("model.safetensors", header(u64::MAX), "model.safetensors: "),
        ("model.safetensors", header(20), "model.safetensors: "),
        ("model.safetensors", vec![0xff; 1 << 20], "model.safetensors: "),
        ("config.toml", vec![b'['; 1 << 20], "longer than the 65536 bytes"),
        ("config.toml", vec![0xff; 100], "this is no TOML (key with no value"),
    ] {
        let folder = run_folder_with(name, content);
        costs_little("run", folder.path(), &folder.path().join(name), 16, expected);
    }
}

#[test]
fn inconsistent_or_non_finite_runs_are_refused() {
    let model = |n_features: usize, n_classes: usize, weight: f64| {
        let (weight, bias) = (vec![weight; n_features * n_classes], vec![0.0; n_classes]);
        write_weights(&Parameters { n_features, columns: n_classes, weight, bias }, Precision::F64, &Preprocessing::Raw)
    };
    let summary = |from: &str, to: &str| {
        let text = text(&(format("run_folder").seeds)()[3][1..]);
        assert!(text.contains(from));
        text.replace(from, to).into_bytes()
    };
    for (name, content, expected) in [
        ("model.safetensors", model(6, 3, f64::NAN), "number 0 of linear.weight is NaN"),
        ("model.safetensors", model(6, 3, f64::INFINITY), "number 0 of linear.weight is inf"),
        ("model.safetensors", model(6, 0, 0.0), "linear.weight has the shape [6, 0], which has no number"),
        ("model.safetensors", model(0, 3, 0.0), "linear.weight has the shape [0, 3], which has no number"),
        ("model.safetensors", model(3, 6, 0.0), "images of 2 x 3 and 3 classes"),
        ("summary.json", summary("[2, 3]", "[3, 3]"), "images of 3 x 3 and 3 classes"),
        ("summary.json", summary("[2, 3]", "[9223372036854775807, 3]"), "images of 9223372036854775807 x 3"),
        ("summary.json", summary("\"softmax\", \"backend\"", "\"logistic\", \"backend\""), "config.toml says Softmax"),
        ("summary.json", summary("\"steps_per_epoch\": 2", "\"steps_per_epoch\": 0"), "steps_per_epoch is 0"),
        ("summary.json", summary("0.125}", "1e999}"), "number out of range"),
        ("summary.json", summary("0.125}", "null}"), "invalid type: null"),
        ("summary.json", summary("\"converged\"", "\"con\\nverged\""), "unknown variant"),
    ] {
        let folder = run_folder_with(name, content);
        let message = read("run", folder.path()).unwrap_err();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        assert_one_line(&message);
    }
}

/// Returns paths that cannot be read as files, by kind.
#[cfg(unix)]
fn no_files(folder: &Path) -> Vec<PathBuf> {
    let [pipe, directory, endless, ring] = ["pipe", "directory", "endless", "ring"].map(|name| folder.join(name));
    assert!(process("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
    std::os::unix::fs::symlink(&ring, &ring).unwrap();
    vec![pipe, directory, endless, ring]
}

/// Returns the error of reading, which must not hang.
fn problem(what: &'static str, path: &Path) -> String {
    let (sender, receiver) = channel();
    let path = path.to_owned();
    std::thread::spawn(move || sender.send(read(what, &path)));
    let problem = receiver.recv_timeout(Duration::from_secs(100)).expect("an end").unwrap_err();
    assert_one_line(&problem);
    problem
}

#[cfg(unix)]
#[test]
fn special_files_are_refused_without_blocking() {
    let folder = tempfile::tempdir().unwrap();
    for special in no_files(folder.path()) {
        let is_ring = special.ends_with("ring");
        let expected = if is_ring { "symbolic link" } else { "not a regular file" };
        let message = problem("config", &special);
        assert!(message.contains(expected) && message.contains(&special.display().to_string()), "{message}");
        for name in RUN_FILES {
            let run = run_folder();
            let file = run.path().join(name);
            std::fs::remove_file(&file).unwrap();
            // The link is refused itself, whatever its target is.
            std::os::unix::fs::symlink(&special, &file).unwrap();
            let message = problem("run", run.path());
            assert!(message.contains("a symbolic link") && message.contains(name), "{message}");
            std::fs::remove_file(&file).unwrap();
            if special.ends_with("pipe") {
                assert!(process("mkfifo").arg(&file).status().unwrap().success());
                let message = problem("run", run.path());
                assert!(message.contains("not a regular file") && message.contains(name), "{message}");
            }
        }
        for name in FILES {
            let data = data_folder();
            let file = data.path().join(name);
            std::fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(&special, &file).unwrap();
            let message = problem("data", data.path());
            assert!(message.contains(&format!("no {name} here")), "{message}");
            let message = chainrule_data::Images::read(&file, &file, RESIDENT).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}

#[test]
fn no_name_leaves_the_folder() {
    let folder = folder();
    for name in ["../../x", "..", "/x", "a/b", "a\\\\b", "c:x", ".", "", "x\\u0000", "x\\n"] {
        let set = format!("experiment=\"{name}\"");
        let output = call(folder.path(), &["train", "--data", "embedded", "--quiet", "--set", &set]);
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), Some(2), "{name}: {stderr}");
        assert!(stderr.contains("expected a name of letters"), "{stderr}");
        assert_one_line(stderr.trim_end());
    }
    assert!(!folder.path().join("runs").exists());
}
