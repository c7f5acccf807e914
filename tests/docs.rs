//! Tests the documentation: its commands run as a reader would type them, its links have targets,
//! and the book contains every page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chainrule::backend::Backend;
use chainrule_core::{EngineKind, FeatureKind};
use chainrule_data::readers::{CODECS, READERS, compressions};
use chainrule_tests_macros::test;

use crate::command::{call, code, folder, isolate, process, text};
use crate::support::{in_part, mnist_folder, skip};
use crate::weight_files::{npy, npz, safetensors};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the pages for readers, as paths from the root: all except the report, which is
/// generated.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "CHANGELOG.md".to_owned()];
    let mut folders = vec![root().join("docs"), root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") && name != "docs/report/report.md" {
                pages.push(name);
            }
        }
    }
    pages.sort();
    pages
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap()
}

/// A command of a page with the output that the page shows.
#[derive(Debug)]
struct Shown {
    line: usize,
    command: String,
    /// `None` if the page shows no output.
    answer: Option<Vec<String>>,
}

/// Returns the commands of a page: every line of its `sh` blocks, and each line after `$` in its
/// `console` blocks.
fn commands(page: &str) -> Vec<Shown> {
    let (mut shown, mut block): (Vec<Shown>, Option<&str>) = (Vec::new(), None);
    for (number, line) in page.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (block, fence) {
            (None, Some(language)) => block = Some(language.trim()),
            (Some(_), Some(_)) => block = None,
            (Some("sh"), None) if !line.trim().is_empty() && !line.trim().starts_with('#') => {
                shown.push(Shown { line: number + 1, command: without_comment(line), answer: None });
            }
            (Some("console"), None) => match line.trim_start().strip_prefix("$ ") {
                Some(command) => {
                    shown.push(Shown { line: number + 1, command: without_comment(command), answer: None });
                }
                None => {
                    let last = shown.last_mut().unwrap_or_else(|| panic!("line {}: an answer to nothing", number + 1));
                    last.answer.get_or_insert_default().push(line.trim_end().to_owned());
                }
            },
            _ => {}
        }
    }
    shown
}

fn without_comment(line: &str) -> String {
    line.split(" #").next().unwrap().trim().to_owned()
}

/// Commands that no test can run, with the reason.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo test --workspace", "this is it"),
    ("cargo test -p chainrule-tests --features wgpu", "this is it, on a backend that CI builds for its own check"),
    ("cargo run --example csv", "`library::the_examples_run` runs it"),
    ("cargo run --example own_loss", "`library::the_examples_run` runs it"),
    ("cargo run --example own_module", "`library::the_examples_run` runs it"),
    ("cargo run --example own_loop", "`library::the_examples_run` runs it"),
    ("cargo run --example lambdas", "`library::the_examples_run` runs it"),
    ("cargo run --example anywhere", "`library::the_examples_run` runs it"),
    ("cargo fmt --all", "CI's check `format`"),
    ("cargo xtask ci", "runs these tests"),
    ("cargo xtask test --quick", "runs these tests, but for those that start a process, as this one does"),
    ("cargo xtask book --open", "CI's check `book`"),
    ("mdbook serve book --open", "ends never, and opens a browser"),
    ("cargo install mdbook --locked", "needs a network"),
    ("cargo install chainrule-cli", "needs a release, and a network"),
    ("cargo install cargo-mutants", "needs a network"),
    ("cargo mutants --workspace --list", "cargo-mutants is not needed for these tests"),
    (
        "cargo mutants --in-place -p chainrule-models --re 'in L2::penalty$' -- -- gradients:: properties::",
        "changes the sources",
    ),
    ("cargo xtask reproduce", "`reproduce::` runs it on a small plan, CI's check `reproduce` as it stands"),
    ("cargo xtask reproduce --check", "CI's check `reproduce`"),
    (
        "cargo xtask reproduce --gradient autodiff --out report-by-autodiff",
        "`reproduce::` runs the like on a small plan",
    ),
    ("cargo xtask reproduce --data fashion-mnist", "`reproduce::` runs the like on a small plan"),
    ("cargo xtask data --fetch", "needs a network; `download::` has its own server"),
    ("cargo build --release -p chainrule-cli --features parquet", "a build of its own"),
    (
        "cargo run --release --manifest-path examples/service/Cargo.toml -- elements.json",
        "ends never, and builds axum; CI's check `service` has its like",
    ),
    (
        "curl --json '[{\"mass\": 207.2, \"period\": 6, \"block\": \"p\", \"electronegativity\": 2.33, \"melting\": 600.61, \"density\": 11.3, \"structure\": \"FCC\", \"discovered\": null}, {\"mass\": \"heavy\"}]' http://127.0.0.1:3000/predict",
        "calls the service above",
    ),
    ("python3 docs/howto/sklearn_pipeline.py people.json new.csv", "`raw_rows::` runs the script on real tables"),
    ("chainrule data --data flowers.parquet", "needs the feature parquet"),
    ("python3 -m venv ~/peers && ~/peers/bin/pip install -r bench/requirements.txt", "needs a network"),
    (
        "CHAINRULE_PYTHON=~/peers/bin/python cargo xtask bench --features flex,ndarray --peers --write docs/benchmarks.md",
        "takes minutes, and writes the page",
    ),
    (
        "CHAINRULE_PYTHON=~/peers/bin/python cargo xtask bench --features= --tables --peers --rounds 3 --write docs/benchmarks.md",
        "takes minutes, and writes the page",
    ),
    ("cargo xtask serve --features flex,remote-server --listen 0.0.0.0:3000", "ends never; `remote::` has its like"),
    (
        "cargo xtask train --features remote --backend remote:that-machine:3000",
        "needs that machine; `remote::` has its like",
    ),
    ("cargo xtask train --features wgpu,ndarray --backend ndarray", "names one of two backends that need not be built"),
];

/// Commands with an exit code other than 0, as their pages say.
const OTHERWISE: &[(&str, i32)] = &[
    ("cargo xtask gradcheck --burn", 1),
    ("cargo xtask derive docs/data/homework.md", 1),
    ("chainrule derive --expect asked.md mine.md", 1),
    ("cargo xtask train --set descent.learning_rate=100 --set objective.l2=0.1 --out runs/too-fast", 2),
    ("cargo xtask train --set descent.learnin_rate=0.1", 2),
    ("chainrule train --data docs/data/elements.csv --label kind --set objective.l2=0", 1),
];

/// Tools that a page may call beside the program.
const TOOLS: [&str; 5] = ["cat", "head", "ls", "mkdir", "python3"];

/// Returns the command for bash: the program itself instead of cargo, on the backend of this build.
fn translated(command: &str) -> String {
    let mut words: Vec<&str> = command.split(' ').collect();
    if let Some(at) = words.iter().position(|word| *word == "--features") {
        words.drain(at..at + 2);
    }
    words.join(" ").replace("cargo xtask ", "chainrule ")
}

fn is_run(command: &str) -> bool {
    NOT_RUN.iter().all(|(not, _)| *not != command)
}

/// Writes the files that the pages describe as the reader's own.
fn write_files(folder: &Path) {
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let picture =
        |width, height| crate::picture::encoded(crate::picture::seven(width, height, 20, 230), image::ImageFormat::Png);
    write("seven.png", picture(60, 80));
    write("flowers.csv", crate::tables::flowers(0..90, 4).into());
    write("other.csv", crate::tables::flowers(90..120, 4).into());
    let answer = |i: usize| format!("{},{},{}\n", 20 + i * 7 % 50, 1 + i % 4, ["yes", "no"][i * i % 3 % 2]);
    write("survey.csv", ("age,people,answer\n".to_owned() + &(0..60).map(answer).collect::<String>()).into());
    write("mine.csv", crate::tables::flowers(0..90, 4).into());
    write("kept-apart.csv", crate::tables::flowers(90..120, 4).into());
    write("new.csv", crate::tables::flowers(90..95, 4).into());
    // The table of the pages lies beside them.
    for name in ["docs/data/elements.csv", "docs/data/doubtful.csv", "docs/data/homework.md"] {
        write(name, std::fs::read(root().join(name)).unwrap());
    }
    for i in 0..20 {
        write(&format!("photos/cat/{i}.png"), picture(40 + i, 50));
        write(&format!("photos/dog/{i}.png"), picture(50, 20 + i));
    }
    let weights: Vec<f32> = (0..7840u16).map(|i| f32::from(i % 13) / 100.0 - 0.06).collect();
    let layer = [("weight", &[10, 784][..], weights), ("bias", &[10][..], vec![0.0; 10])];
    // Files in MNIST's format with other pictures, as many as an experiment takes by default.
    let digits = call(folder, &["data", "--write-idx", "fashion-mnist", "--quiet"]);
    assert_eq!(code(&digits), Some(0), "{}", text(&digits.stderr));
    write("torch.safetensors", safetensors(&layer));
    let array = |descr: &str, shape: &str, data: Vec<u8>| {
        npy(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}"), &data)
    };
    let floats = |values: &[f64]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
    write(
        "iris.npz",
        npz(&[
            ("coef.npy", array("<f8", "3, 2", floats(&[-1.1, 0.4, 0.2, -0.3, 0.9, -0.1]))),
            ("intercept.npy", array("<f8", "3,", floats(&[4.0, 1.0, -5.0]))),
            ("classes.npy", array("<i8", "3,", [0i64, 1, 2].map(i64::to_le_bytes).concat())),
        ]),
    );
}

/// Whether a command is slow and reads nothing from its folder. It then runs on one page only.
fn is_the_same_everywhere(command: &str) -> bool {
    command.starts_with("chainrule gradcheck")
}

/// Runs a page's commands in order in a new folder. Returns the differences. With MNIST, which the
/// pages show, the output is compared, too.
fn run_page(page: &str, mnist: Option<&Path>, done: &Mutex<BTreeMap<String, (Option<i32>, String)>>) -> Vec<String> {
    let folder = folder();
    let folder = folder.path();
    write_files(folder);
    std::fs::create_dir(folder.join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_chainrule-under-test"), folder.join("bin/chainrule")).unwrap();
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    let run = |command: &str| {
        let mut bash = process("bash");
        // Both outputs together, as on a terminal.
        bash.args(["--norc", "-o", "pipefail", "-c", &format!("exec 2>&1; {command}")]);
        isolate(&mut bash, folder);
        bash.env("PATH", &path).env("CHAINRULE_DATA", mnist.unwrap_or(Path::new(""))).stdin(Stdio::null());
        let output = bash.output().unwrap();
        (code(&output), String::from_utf8_lossy(&output.stdout).into_owned())
    };

    let mut problems = Vec::new();
    for Shown { line, command, answer } in commands(&read(page)).iter().filter(|shown| is_run(&shown.command)) {
        let translated = translated(command);
        let (actual, printed) = if is_the_same_everywhere(&translated) {
            done.lock().unwrap().entry(translated.clone()).or_insert_with(|| run(&translated)).clone()
        } else {
            run(&translated)
        };
        let expected = OTHERWISE.iter().find(|(other, _)| other == command).map_or(0, |(_, code)| *code);
        if actual != Some(expected) {
            problems.push(format!("{page}:{line}: {command}: exit code {actual:?}: {printed}"));
        } else if let Some(shown) = answer.as_ref().filter(|_| mnist.is_some()) {
            let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
            let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
            if !answers(&shown, &printed) {
                problems.push(format!("{page}:{line}: {command} prints otherwise:\n{}", printed.join("\n")));
            }
        }
    }
    problems
}

/// Whether the printed lines match those of the page, where `…` stands for any lines.
fn answers(shown: &[&str], printed: &[&str]) -> bool {
    match shown {
        [] => printed.is_empty(),
        ["…", rest @ ..] => (0..=printed.len()).any(|skipped| answers(rest, &printed[skipped..])),
        [first, rest @ ..] => printed.first().is_some_and(|line| is_alike(first, line)) && answers(rest, &printed[1..]),
    }
}

/// Whether two lines have the same words and nearly the same numbers. Rounding depends on the
/// processor, times vary, and data can be in any folder.
fn is_alike(shown: &str, printed: &str) -> bool {
    // The page says this only of MNIST in the cache.
    let shown: Vec<&str> = shown.split_whitespace().filter(|word| !["MNIST", "in"].contains(word)).collect();
    let printed: Vec<&str> = printed.split_whitespace().filter(|word| !["MNIST", "in"].contains(word)).collect();
    let number = |word: &str| word.trim_matches(['(', ')', ',', ';', ':', '%']).parse::<f64>().ok();
    shown.len() == printed.len()
        && shown.iter().zip(&printed).enumerate().all(|(at, (shown_word, word))| {
            let is_time = shown.get(at + 1).is_some_and(|unit| unit.trim_end_matches([':', ',']) == "s");
            match (number(shown_word), number(word)) {
                (Some(_), Some(_)) if is_time => true,
                (Some(shown), Some(actual)) => (shown - actual).abs() <= 0.03 * shown.abs() + 0.02,
                _ => shown_word == word || shown_word.starts_with('/') && word.starts_with('/'),
            }
        })
}

#[test]
fn commands_of_pages_give_the_printed_output() {
    if process("bash").arg("--version").output().is_err() {
        skip("no bash");
    }
    // On a software GPU some commands would take an hour.
    if Backend::built().unwrap() != [Backend::Ndarray] {
        skip("the pages are of the default build, which has ndarray only");
    }
    let shown: Vec<(String, Vec<Shown>)> =
        pages().into_iter().map(|page| (page.clone(), commands(&read(&page)))).collect();
    let is_any =
        |shown: &[Shown], which: fn(&Shown) -> bool| shown.iter().filter(|shown| is_run(&shown.command)).any(which);
    let mut runs: Vec<(&str, Option<PathBuf>)> =
        shown.iter().filter(|(_, shown)| is_any(shown, |_| true)).map(|(page, _)| (page.as_str(), None)).collect();
    if let Some(mnist) = mnist_folder() {
        let on_mnist = shown.iter().filter(|(_, shown)| is_any(shown, |shown| shown.answer.is_some()));
        runs.extend(on_mnist.map(|(page, _)| (page.as_str(), Some(mnist.clone()))));
    } else {
        in_part("no MNIST");
    }
    assert!(runs.len() > 5, "{runs:?}");

    let (next, problems, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some((page, mnist)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let actual = run_page(page, mnist.as_deref(), &done);
                    problems.lock().unwrap().extend(actual);
                }
            });
        }
    });
    let problems: Vec<String> = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn outdated_output_is_detected() {
    let printed = ["data: /srv/mnist, 20000 rows", "", "accuracy   91.57 %", "time   0.8 s: 0.2 s steps"];
    let is_alike = |shown: &[&str]| answers(shown, &printed);
    assert!(is_alike(&["data: MNIST in /home/ada/mnist, 20000 rows", "…", "time  9.1 s: 8.7 s steps"]));
    assert!(is_alike(&["…", "accuracy  91.55 %", "…"]));
    assert!(!is_alike(&["…", "accuracy  81.55 %", "…"]));
    assert!(!is_alike(&["…", "precision  91.57 %", "…"]));
    assert!(!is_alike(&["data: MNIST in /home/ada/mnist, 20000 rows", "…", "accuracy  91.57 %"]));
    assert!(!is_alike(&["accuracy  91.57 %", "…"]));
}

#[test]
fn lists_of_commands_match_the_pages() {
    let shown: Vec<(String, Shown)> =
        pages().iter().flat_map(|page| commands(&read(page)).into_iter().map(|shown| (page.clone(), shown))).collect();
    for command in NOT_RUN.iter().map(|(command, _)| command).chain(OTHERWISE.iter().map(|(command, _)| command)) {
        assert!(shown.iter().any(|(_, shown)| shown.command == *command), "no page has {command:?}");
    }
    for (page, Shown { line, command, .. }) in shown.iter().filter(|(_, shown)| is_run(&shown.command)) {
        let first = command.split(' ').next().unwrap();
        let is_ours = command.starts_with("cargo xtask ") || first == "chainrule" || TOOLS.contains(&first);
        assert!(is_ours, "{page}:{line}: {command}: neither ours nor in the list of what is not run");
    }
}

/// The README's example of the gradient checker is that of its crate, which rustdoc compiles.
#[test]
fn the_readmes_rust_is_tested() {
    let readme = read("README.md");
    let blocks: Vec<&str> = readme.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let tested = read("crates/gradcheck/README.md");
    assert!(!blocks.is_empty());
    assert!(blocks.iter().all(|block| tested.contains(block)), "{blocks:#?}");
}

#[test]
fn commands_in_text_exist() {
    let reference = read("docs/commands.md");
    let mut actual = 0;
    for page in pages().iter().filter(|page| *page != "docs/commands.md") {
        let text: String = read(page).split("```").step_by(2).collect();
        let spans = text.split('`').skip(1).step_by(2);
        for span in spans.filter_map(|code| code.strip_prefix("cargo xtask ").or(code.strip_prefix("chainrule "))) {
            let mut words = span.split([' ', '=', '|']);
            let name = words.next().unwrap();
            if ["COMMAND", "ci", "test", "bench", "book", "exercise", "…"].contains(&name) {
                continue;
            }
            let section = reference.split(&format!("\n## {name}\n")).nth(1);
            let section =
                section.unwrap_or_else(|| panic!("{page}: {span}: no such command")).split("\n## ").next().unwrap();
            for option in words.filter(|word| word.starts_with("--") && !["--features", "--markdown"].contains(word)) {
                assert!(
                    section.contains(&format!("`{option} ")) || section.contains(&format!("`{option}`")),
                    "{page}: {span}"
                );
            }
            actual += 1;
        }
    }
    assert!(actual > 10, "{actual} commands in running text");
}

/// Returns the links and the heading anchors of a Markdown page, with anchors as GitHub makes them.
fn links_and_anchors(page: &str) -> (Vec<String>, BTreeSet<String>) {
    let (mut links, mut anchors, mut is_code) = (Vec::new(), BTreeSet::new(), false);
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            links.extend(
                line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()),
            );
            if let Some(heading) = line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_lowercase()) {
                let kept =
                    heading.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
                anchors.insert(kept.collect::<String>().replace(' ', "-"));
            }
        }
    }
    (links, anchors)
}

#[test]
fn links_lead_to_existing_headings() {
    let mut dead = Vec::new();
    let pages: Vec<String> = pages().into_iter().chain(["docs/report/report.md".to_owned()]).collect();
    for page in &pages {
        let (links, anchors) = links_and_anchors(&read(page));
        for link in links.iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = root().join(page).parent().unwrap().join(file);
            let is_there = match (file, anchor) {
                ("", anchor) => anchors.contains(anchor),
                (_, "") => path.exists(),
                _ => std::fs::read_to_string(&path).is_ok_and(|text| links_and_anchors(&text).1.contains(anchor)),
            };
            if !is_there {
                dead.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_book_has_every_page_once() {
    let listed = links_and_anchors(&read("docs/SUMMARY.md")).0;
    let mut listed: Vec<String> = listed.into_iter().map(|page| format!("docs/{page}")).collect();
    listed.sort();
    let mut expected: Vec<String> =
        pages().into_iter().filter(|page| page.starts_with("docs/") && page != "docs/SUMMARY.md").collect();
    expected.push("docs/report/report.md".to_owned());
    expected.sort();
    assert_eq!(listed, expected);
}

#[test]
fn the_page_has_the_table_of_engines() {
    let page = read("docs/backends.md");
    let yes = |can: bool| if can { "yes" } else { "no" }.to_owned();
    for engine in EngineKind::ALL {
        let can = engine.abilities();
        let list = |kinds: &[FeatureKind]| {
            let kinds = kinds.iter().map(|kind| format!("{kind:?}").to_lowercase());
            if kinds.len() == 0 { "no".to_owned() } else { kinds.collect::<Vec<_>>().join(", ") }
        };
        let gradients = can.gradients.iter().map(|source| serde_json::to_value(source).unwrap());
        let gradients = gradients.map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>();
        let cells = [
            list(can.features),
            yes(can.out_of_core),
            gradients.join(", "),
            yes(can.optimizers),
            list(can.standardization),
            yes(can.weights),
        ];
        let line = page.lines().find(|line| line.starts_with(&format!("| {engine} |")));
        let line = line.unwrap_or_else(|| panic!("docs/backends.md has no line of {engine}"));
        assert!(line.ends_with(&format!("| {} |", cells.join(" | "))), "{line}: {cells:?}");
    }
}

#[test]
fn the_command_reference_matches_the_program() {
    let printed = call(folder().path(), &["man", "--markdown"]);
    let same = text(&printed.stdout) == read("docs/commands.md");
    assert!(same, "docs/commands.md is stale: cargo xtask man --markdown > docs/commands.md");
}

#[test]
fn the_page_on_data_lists_every_reader() {
    let page = read("docs/data.md");
    for reader in READERS {
        let extensions: Vec<String> = reader.extensions().iter().map(|ending| format!("`.{ending}`")).collect();
        let line = format!("| {} | {} | {} |\n", reader.name(), extensions.join(", "), reader.about());
        assert!(page.contains(&line), "docs/data.md lacks the line {line}");
    }
    let rows = page.lines().skip_while(|line| !line.starts_with("| format |")).skip(2);
    // Readers that this build may lack.
    let optional = ["Parquet", "Arrow"].iter().filter(|name| READERS.iter().all(|reader| reader.name() != **name));
    assert_eq!(rows.take_while(|line| line.starts_with('|')).count(), READERS.len() + optional.count());
    assert!(page.contains(&format!("plain or compressed ({})", compressions("or"))));
    for codec in CODECS {
        assert!(page.contains(&format!("| {} | `.{}` |", codec.name(), codec.extension())), "{}", codec.name());
    }
}
