//! The program's files and messages. It never overwrites unasked, never writes half a file, and
//! never lets a foreign name control the terminal.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use chainrule_core::{display_width, is_control_like};
use chainrule_records::AtomicFile;
use chainrule_tests_macros::test;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{call, code, command, files_below, folder, is_refused, isolate, process, text};

/// A few rows of flowers, which train instantly.
const FLOWERS: &str = "length,width,kind\n1,2,rose\n2,1,tulip\n1.5,2,rose\n2,1.5,tulip\n1,2.5,rose\n2.5,1,tulip\n\
                       1.25,2,rose\n2,1.25,tulip\n1,2.25,rose\n2.25,1,tulip\n";

/// Returns a folder with a training on digits in `run`.
fn of_digits() -> TempDir {
    let folder = folder();
    let settings =
        ["--set", "data.train_images=200", "--set", "data.validation_images=100", "--set", "descent.epochs=1"];
    let output =
        call(folder.path(), &[&["train", "--data", "embedded", "--out", "run", "--quiet"], &settings[..]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    folder
}

/// Returns a folder with a training on flowers. `table` is the name of the file.
fn of_flowers(table: &str, flowers: &str, out: &str) -> TempDir {
    let folder = folder();
    std::fs::write(folder.path().join(table), flowers).unwrap();
    let settings =
        ["--set", "data.label=kind", "--set", "descent.batch_size=2", "--set", "descent.epochs=2", "--quiet"];
    let output = call(folder.path(), &[&["train", "--data", table, "--out", out], &settings[..]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    folder
}

/// Commands that write a file named by the user, with that file.
fn writers() -> [(&'static [&'static str], &'static str); 6] {
    [
        (&["page", "run"], "run.html"),
        (&["page", "run", "--out", "page.html"], "page.html"),
        (&["export", "run", "--out", "model.onnx"], "model.onnx"),
        (&["inspect", "run", "--png", "weights.png"], "weights.png"),
        (&["evaluate", "run", "--wrong", "wrong.png"], "wrong.png"),
        (&["man", "--out", "pages"], "pages/chainrule-train.1"),
    ]
}

fn forced<'a>(call: &[&'a str]) -> Vec<&'a str> {
    [call, &["--force"]].concat()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

#[cfg(unix)]
#[test]
fn no_file_is_replaced_without_force() {
    let folder = of_digits();
    let at = |file: &str| folder.path().join(file);
    std::fs::create_dir(at("pages")).unwrap();
    for (arguments, file) in writers() {
        std::fs::write(at(file), "mine").unwrap();
        is_refused(folder.path(), arguments, &[&format!("{file} exists already"), "--force"]);
        assert_eq!(read(&at(file)), "mine", "{arguments:?}");
        let output = call(folder.path(), &forced(arguments));
        assert_eq!(code(&output), Some(0), "{arguments:?}: {}", text(&output.stderr));
        assert_ne!(read(&at(file)), "mine", "{arguments:?}");
    }
    // Not even --force replaces what a run consists of, also through a link.
    for name in ["config.toml", "manifest.json", "history.json", "model.safetensors", "summary.json"] {
        let file = format!("run/{name}");
        std::os::unix::fs::symlink(at(&file), at("link")).unwrap();
        let own = read(&at(&file));
        for out in [&file, "link"] {
            let arguments = ["export", "run", "--format", "json", "--force", "--out", out];
            is_refused(folder.path(), &arguments, &[out, "it belongs to the run or the model in its folder"]);
        }
        assert_eq!(read(&at(&file)), own);
        std::fs::remove_file(at("link")).unwrap();
    }

    // Before any run of the report starts.
    std::fs::create_dir_all(at("report/figures")).unwrap();
    std::fs::write(at("report/figures/figure-3.png"), "mine").unwrap();
    for arguments in [&["reproduce", "--out", "report"][..], &["reproduce", "--out", "report", "--only", "figure-3"]] {
        is_refused(folder.path(), arguments, &["report/figures/figure-3.png exists already", "--force"]);
    }
    std::os::unix::fs::symlink("nowhere", at("train-images-idx3-ubyte")).unwrap();
    is_refused(folder.path(), &["data", "--write-idx", "."], &["train-images-idx3-ubyte exists already"]);
}

#[cfg(unix)]
#[test]
fn written_files_keep_mode_umask_and_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = of_digits();
    let at = |file: &str| folder.path().join(file);
    let mode = |file: &str| std::fs::metadata(at(file)).unwrap().permissions().mode() & 0o7777;
    std::fs::create_dir(at("pages")).unwrap();
    std::fs::write(at("plain"), "").unwrap();
    for (arguments, file) in writers() {
        let _ = std::fs::remove_file(at(file));
        let written = call(folder.path(), arguments);
        assert_eq!(code(&written), Some(0), "{arguments:?}: {}", text(&written.stderr));
        assert_eq!(mode(file), mode("plain"), "{arguments:?}");
        std::fs::rename(at(file), at("real")).unwrap();
        std::fs::write(at("real"), "mine").unwrap();
        std::fs::set_permissions(at("real"), std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink(at("real"), at(file)).unwrap();
        is_refused(folder.path(), arguments, &["exists already"]);
        let written = call(folder.path(), &forced(arguments));
        assert_eq!(code(&written), Some(0), "{arguments:?}: {}", text(&written.stderr));
        assert!(at(file).is_symlink(), "{arguments:?}");
        assert_ne!(read(&at("real")), "mine", "{arguments:?}");
        assert_eq!(mode("real"), 0o640, "{arguments:?}");
        std::fs::remove_file(at(file)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn special_files_are_refused_and_kept() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = of_digits();
    let at = |file: &str| folder.path().join(file);
    std::fs::create_dir(at("pages")).unwrap();
    // This link leads to a pipe, which has no path.
    let piped = ["export", "run", "--format", "json", "--out", "/dev/stdout"];
    is_refused(folder.path(), &piped, &["cannot write /dev/stdout: it is no regular file but a pipe"]);
    for (arguments, file) in writers() {
        let arguments = forced(arguments);
        assert!(process("mkfifo").arg(at(file)).status().unwrap().success());
        is_refused(folder.path(), &arguments, &["no regular file"]);
        assert!(at(file).symlink_metadata().unwrap().file_type().is_fifo());
        // A link to the pipe is refused, too.
        std::fs::rename(at(file), at("pipe")).unwrap();
        symlink(at("pipe"), at(file)).unwrap();
        is_refused(folder.path(), &arguments, &["no regular file"]);
        std::fs::remove_file(at("pipe")).unwrap();
        is_refused(folder.path(), &arguments, &["a link to a file that is not there"]);
        std::fs::remove_file(at(file)).unwrap();
        std::fs::create_dir(at(file)).unwrap();
        is_refused(folder.path(), &arguments, &["it is a folder"]);
        std::fs::remove_dir(at(file)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn only_leftovers_of_killed_writers_are_removed() {
    let folder = of_digits();
    let hidden = || -> Vec<PathBuf> {
        let is_hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
        files_below(folder.path()).into_iter().filter(is_hidden).collect()
    };
    for arguments in ["page run", "export run --format json"] {
        // The system kills a process that exceeds the file size limit.
        let program = env!("CARGO_BIN_EXE_chainrule-under-test");
        let mut killed = process("sh");
        isolate(killed.args(["-c", &format!("ulimit -c 0; ulimit -f 1; exec {program} {arguments}")]), folder.path());
        let output = killed.output().unwrap();
        // The second run removed the file of the first.
        assert_eq!((code(&output), hidden().len()), (None, 1), "{arguments}: {}", text(&output.stderr));
    }
    // A foreign file with a similar name, and the file of a process that is still writing.
    std::fs::write(folder.path().join(".run.html.a1b2c3"), "mine").unwrap();
    let mut writing = AtomicFile::new(&folder.path().join("other")).unwrap();
    writing.write(b"whole").unwrap();
    assert_eq!(hidden().len(), 2, "{:?}", hidden());
    assert_eq!(code(&call(folder.path(), &["page", "run"])), Some(0));
    assert_eq!(hidden().len(), 2, "{:?}", hidden());
    writing.finish().unwrap();
    assert_eq!(read(&folder.path().join("other")), "whole");
    assert_eq!(hidden(), [folder.path().join(".run.html.a1b2c3")]);
}

/// Expects a running command to exit with 130 within a second of Ctrl-C.
#[cfg(unix)]
fn assert_ends_on_ctrl_c(folder: &Path, arguments: &[&str], begun: &str) {
    let child = command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !folder.join(begun).exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "{arguments:?} does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
    let interrupted = Instant::now();
    assert!(process("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let took = interrupted.elapsed();
    assert_eq!(code(&output), Some(130), "{arguments:?}: {}", text(&output.stderr));
    assert!(took < Duration::from_secs(1), "{arguments:?} heard Ctrl-C after {took:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_works_while_epochs_are_skipped() {
    let folder = folder();
    let long = ["--data", "embedded", "--set", "descent.shuffle.skip_epochs=1000000", "--out", "run", "--quiet"];
    assert_ends_on_ctrl_c(folder.path(), &[&["train"], &long[..]].concat(), "run/manifest.json");
    // There is no checkpoint yet, so the run starts over.
    let again = ["train", "--resume", "run", "--set", "descent.epochs=1", "--quiet"];
    is_refused(folder.path(), &again, &["descent.epochs = 1, not 50"]);
    std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    let sweep = [&["sweep", "--grid", "objective.l2=0,1"], &long[..]].concat();
    assert_ends_on_ctrl_c(folder.path(), &sweep, "run/points/1-l2=0/manifest.json");
}

/// Every kind of output: tables, documents, pages, lists, help.
const ANSWERS: [&[&str]; 18] = [
    &["train", "--data", "flowers.csv", "--set", "data.label=kind", "--set", "descent.batch_size=2", "--quiet"],
    &["train", "--resume", "run"],
    &["evaluate", "run"],
    &["evaluate", "run", "--json"],
    &["compare", "run", "run"],
    &["explain", "run", "flowers.csv", "--row", "2"],
    &["inspect", "run"],
    &["predict", "run", "flowers.csv"],
    &["predict", "run", "flowers.csv", "--json"],
    &["export", "run", "--format", "json", "--force"],
    &["data", "--data", "flowers.csv"],
    &["data", "--data", "flowers.csv", "--json"],
    &["backends"],
    &["man"],
    &["completions", "bash"],
    &["--help"],
    &["--version"],
    &[
        "sweep",
        "--data",
        "flowers.csv",
        "--set",
        "data.label=kind",
        "--set",
        "descent.batch_size=2",
        "--grid",
        "objective.l2=0.1,1",
    ],
];

#[cfg(target_os = "linux")]
#[test]
fn a_failed_write_to_the_output_is_an_error() {
    let folder = of_flowers("flowers.csv", FLOWERS, "run");
    for arguments in ANSWERS {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(folder.path(), arguments).stdout(full).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), Some(2), "{arguments:?}: {stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: cannot write to standard output: No space left"), "{arguments:?}: {stderr}");
        assert_eq!(last.matches("No space left").count(), 1, "{stderr}");
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let folder = of_flowers("flowers.csv", FLOWERS, "run");
    for arguments in ANSWERS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(folder.path(), arguments).stdout(writer).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!((code(&output), stderr.contains("error")), (Some(141), false), "{arguments:?}: {stderr}");
    }
}

/// A colour sequence, a line break with a forged line, a control character of eight bits, and
/// right-to-left text.
const STEERING: &str = "\u{1b}[31m\nerror: forged\u{9b}1m\u{202e}";

/// Asserts that the output has no control characters and no forged line.
fn is_plain(output: &Output, arguments: &[&str]) {
    for stream in [&output.stdout, &output.stderr] {
        let stream = text(stream);
        assert!(!stream.chars().any(|c| c != '\n' && is_control_like(c)), "{arguments:?}: {stream:?}");
        assert!(!stream.contains("\nerror: forged"), "{arguments:?}: {stream}");
    }
}

#[cfg(unix)]
#[test]
fn control_characters_in_names_are_escaped() {
    let (table, run) = (format!("flowers{STEERING}.csv"), format!("run{STEERING}"));
    // Allowed in classes and columns: only the characters that Unicode calls control characters are
    // refused there.
    let flowers = FLOWERS.replace("rose", "ro\u{202e}se").replace("length", "len\u{2066}gth");
    let folder = of_flowers(&table, &flowers, &run);
    std::fs::copy(folder.path().join(&table), folder.path().join("flowers.csv")).unwrap();
    let (config, exported) = (format!("con{STEERING}fig.toml"), format!("model{STEERING}.npz"));
    std::fs::write(folder.path().join(&config), "[model]\nkind = 3").unwrap();
    let (imported, absent) = (format!("imported{STEERING}"), format!("absent{STEERING}"));
    let unknown = format!("--un{STEERING}known");
    let small = ["--set", "data.label=kind", "--set", "descent.batch_size=2", "--set", "descent.epochs=1"];
    let calls: [(&[&str], i32); 20] = [
        (&["train", "--resume", &run], 0),
        (&["evaluate", &run], 0),
        (&["evaluate", &run, "--data", "flowers.csv"], 0),
        (&["inspect", &run], 0),
        (&["predict", &run, &table], 0),
        (&["predict", &run, &absent], 2),
        (&["export", &run, "--out", &exported], 0),
        (&["import", &exported, "--out", &imported], 0),
        (&["inspect", &imported], 0),
        (&["page", &run], 2),
        (&["data", "--data", &table], 0),
        (&["train", &config], 2),
        (&["train", &absent], 2),
        (&["evaluate", &absent], 2),
        (&["reproduce", &absent], 2),
        (&["train", "--set", &format!("descent.{STEERING}=1")], 2),
        (&["train", "--backend", STEERING], 2),
        (&["train", &unknown], 2),
        (&["evaluate", &run, &unknown], 2),
        (&[STEERING], 2),
    ];
    for (arguments, expected) in calls {
        let output = call(folder.path(), arguments);
        assert_eq!(code(&output), Some(expected), "{arguments:?}: {}", text(&output.stderr));
        is_plain(&output, arguments);
    }
    let sweep = [&["sweep", "--data", &table, "--grid", "objective.l2=0.1,1"], &small[..]].concat();
    let output = call(folder.path(), &sweep);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    is_plain(&output, &sweep);

    // JSON uses its own escapes and keeps the exact names.
    let json = ["predict", &run, &table, "--json"];
    let output = call(folder.path(), &json);
    is_plain(&output, &json);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["predictions"][0]["file"], table);
    assert!(answer["classes"].as_array().unwrap().contains(&"ro\u{202e}se".into()), "{answer}");
}

/// Returns the lines of a table, from the heading that contains these words to the end of the
/// table.
fn table_of<'a>(printed: &'a str, heading: &str) -> Vec<&'a str> {
    let lines: Vec<&str> = printed.lines().skip_while(|line| !line.contains(heading)).collect();
    assert!(lines.len() > 1, "{heading}: {printed}");
    lines.into_iter().take_while(|line| !line.is_empty() && !line.starts_with("One of")).collect()
}

fn assert_one_width(lines: &[&str]) {
    let widths: Vec<usize> = lines.iter().map(|line| display_width(line)).collect();
    assert!(widths.iter().all(|&width| width == widths[0]), "{widths:?}: {lines:#?}");
}

#[test]
fn tables_are_aligned_for_any_names() {
    // Escaped names, characters of double width, and names longer than usual.
    let flowers = FLOWERS
        .replace("rose", "ro\u{202e}se")
        .replace("tulip", "漢字漢字漢字漢字漢字")
        .replace("length", "len\u{2066}\u{2067}\u{2068}gth");
    let folder = of_flowers("flowers.csv", &flowers, "run");
    std::fs::copy(folder.path().join("flowers.csv"), folder.path().join("花花花.csv")).unwrap();
    let stdout = |arguments: &[&str]| {
        let output = call(folder.path(), arguments);
        assert_eq!(code(&output), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_one_width(&table_of(&stdout(&["data", "--data", "flowers.csv"]), "smallest"));
    let evaluated = stdout(&["evaluate", "run"]);
    for heading in ["precision", "predicted as", "confidence  "] {
        assert_one_width(&table_of(&evaluated, heading));
    }
    let inspected = stdout(&["inspect", "run"]);
    for heading in ["norm       bias", "weight of"] {
        assert_one_width(&table_of(&inspected, heading));
    }
    fn before_the_last<'a>(lines: &[&'a str]) -> Vec<&'a str> {
        lines.iter().map(|line| line.trim_end().rsplit_once("  ").unwrap().0).collect()
    }
    let predicted = stdout(&["predict", "run", "flowers.csv"]);
    assert_one_width(&before_the_last(&predicted.lines().skip(1).collect::<Vec<_>>()));
    let small = ["--set", "data.label=kind", "--set", "descent.batch_size=2", "--set", "descent.epochs=1"];
    let sweep = ["sweep", "--grid", "data.source=flowers.csv,花花花.csv", "--quiet"];
    let swept = stdout(&[&sweep[..], &small].concat());
    assert_one_width(&before_the_last(&table_of(&swept, "source")));
}

#[test]
fn a_sweeps_page_escapes_html() {
    let flowers = FLOWERS.replace("kind", "<b>kind</b>");
    let folder = folder();
    std::fs::write(folder.path().join("<i>flowers.csv"), &flowers).unwrap();
    std::fs::copy(folder.path().join("configs/softmax.toml"), folder.path().join("<u>own.toml")).unwrap();
    let settings = ["--set", "descent.batch_size=2", "--set", "descent.epochs=1", "--quiet", "--out", "sweep"];
    let grid = ["--grid", "data.label=<b>kind</b>", "--grid", "data.source=<i>flowers.csv"];
    let sweep = [&["sweep", "<u>own.toml", "--set", "experiment=own"], &grid[..], &settings].concat();
    let output = call(folder.path(), &sweep);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let page = read(&folder.path().join("sweep/sweep.md"));
    let tags = page.match_indices('<').filter(|(at, _)| !page[..*at].ends_with('\\'));
    assert_eq!(tags.count(), 0, "{page}");
    assert!(page.contains("\\<b\\>kind\\</b\\>") && page.contains("\\<u\\>own.toml"), "{page}");
}
