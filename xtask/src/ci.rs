//! All checks, from the cheapest to the most expensive. A check that cannot run is listed with its
//! reason.
//!
//! The time depends on how often Burn is compiled. The default features compile it twice: metadata
//! for clippy and the docs, code for the tests and the program. The features with every backend
//! compile it twice in the same way. The lints of `chainrule-ops` with one backend alone compile
//! its metadata. A check with other features than these compiles Burn once more.

mod supply;
mod text;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::test::{SkippedTests, counted};
use crate::{book, complain, root, say};

/// The outcome of a check.
enum CheckOutcome {
    Passed,
    /// The tests passed, but some could not run.
    Tested(SkippedTests),
    Failed,
    /// The check could not run, for this reason.
    Skipped(String),
}

struct Check {
    /// The name for `--only` and `--from`.
    name: &'static str,
    about: &'static str,
    run: fn() -> CheckOutcome,
}

const fn check(name: &'static str, about: &'static str, run: fn() -> CheckOutcome) -> Check {
    Check { name, about, run }
}

const CHECKS: [Check; 30] = [
    check("format", "rustfmt", || cargo(&["fmt", "--all", "--check"], &[])),
    check("format-apart", "rustfmt of the packages that are workspaces of their own", format_of_others),
    check("text", "widths of comments, and pages with one sentence a line", text::layout),
    check("licences", "licences, versions and sources of the dependencies", supply::dependencies),
    check("advisories", "known faults of the dependencies", supply::advisories),
    check("packages", "contents, licences and pages of the packages", supply::packages),
    check("oldest-compiler", "the oldest compiler that is promised", supply::oldest_compiler),
    check("browser", "a browser for the tests of pages", browser),
    check("python", "Python with the tools that read exports", python),
    check("vulkan", "a Vulkan driver for the tests on wgpu", vulkan),
    check("clippy", "lints of the default build", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"], &[])
    }),
    check("docs", "rustdoc of the default build", || {
        let deny = [("RUSTDOCFLAGS", "--deny warnings")];
        cargo(&["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"], &deny)
    }),
    check("book", "formulas of the book, and nothing in it from elsewhere", the_book),
    check("tests", "cargo test --workspace", tests),
    check("train", "README's main job on the embedded digits", short_train),
    check("gradcheck", "closed form, autodiff and differences", || cargo(&["xtask", "gradcheck"], &[])),
    check("bench", "every engine takes a turn, and comes to the same loss", || {
        let short = ["--data", "embedded", "--only", "epochs", "--rounds", "1", "--epochs", "1"];
        cargo(&[&["xtask", "bench"], &short[..]].concat(), &[])
    }),
    check("reproduce", "the report in docs/report comes out again", || reproduce(&["xtask"], &[])),
    check("checker-core", "the checker's core without Burn", || {
        // Not its tests: their dependencies include Burn. They run with the other tests.
        cargo(&["check", "--package", "chainrule-gradcheck", "--no-default-features", "--locked"], &[])
    }),
    check("light", "the library and the program without Burn: lints, and a training", without_burn),
    check("packed", "tests of the packages that link no Burn, from what would be published", supply::packed),
    check("wasm", "the library in WebAssembly: it is built, and an example of it runs", in_wasm),
    check("sanitizer", "the kernels under an address sanitizer", sanitizer),
    check("fuzz-targets", "they compile; a fuzzer has no end", || {
        cargo(&["check", "--manifest-path", "fuzz/Cargo.toml", "--locked"], &[])
    }),
    check("clippy-apart", "lints of the operation with one backend alone", clippy_of_each_backend),
    check("clippy-wide", "lints with every backend, cuda too", || {
        wide(&["clippy", "--all-targets"], &["--", "--deny", "warnings"], &[])
    }),
    check("docs-wide", "rustdoc with every backend", || {
        let deny = [("RUSTDOCFLAGS", "--deny warnings")];
        wide(&["doc", "--no-deps", "--document-private-items"], &[], &deny)
    }),
    check("tests-flex", "tests on flex and ndarray, on a remote device, and of burn-dataset's own reader", || {
        tests_again("flex,ndarray", &[])
    }),
    check("reproduce-flex", "the same report on flex by autodiff", || {
        // The tests' own program is built already. `cargo xtask reproduce` would compile Burn once
        // more.
        let program =
            ["run", "--package", "chainrule-tests", "--features", ALL_FEATURES, "--bin", "chainrule-under-test", "--"];
        reproduce(&program, &["--backend", "flex", "--gradient", "autodiff"])
    }),
    check("tests-wgpu", "tests on wgpu", || match vulkan() {
        // Together with ndarray, so that the two backends are compared.
        CheckOutcome::Passed => tests_again("wgpu,ndarray", ON_CPUS_ONLY),
        missing => missing,
    }),
];

/// Checks that take too long for every change. `--all` runs them too.
const SLOW_CHECKS: [Check; 3] = [
    check("clippy-alone", "lints of the program with cuda alone, and with remote devices alone", clippy_of_the_program),
    check("fuzz", "every fuzz target for a minute", fuzz),
    check("mutants", "one in forty of the faults that cargo-mutants makes", mutants),
];

/// The features of the second build: everything that can be built and run on a CI machine.
const ALL_FEATURES: &str = "flex,wgpu,remote,burn-mnist";

/// The modules of the integration tests that do not depend on the backend. They run once, with the
/// default build.
const BACKEND_INDEPENDENT: &[&str] = &[
    "architecture::",
    "board::",
    "config::",
    "docs::",
    "download::",
    "formulas::",
    "hostile::",
    "image_folders::",
    "inspect::",
    "manual::",
    "messages::",
    "output::",
    "page::",
    "picture::",
    // Other modules test its trainings. It tests processes and files.
    "resume::report::",
    "sweep::",
    "tables::",
];

/// The modules that run on flex and ndarray only, since they test nothing of a GPU.
const ON_CPUS_ONLY: &[&str] = &["memory::", "mnist::", "remote::"];

/// The selected checks.
#[derive(Default)]
struct CheckSelection {
    all: bool,
    list: bool,
    only: Vec<String>,
    from: Option<String>,
}

fn asked(arguments: &[String]) -> Result<CheckSelection, String> {
    let mut asked = CheckSelection::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut name = || arguments.next().cloned().ok_or(format!("{argument}: expected a check; see --list"));
        match argument.as_str() {
            "--all" => asked.all = true,
            "--list" => asked.list = true,
            "--only" => asked.only.push(name()?),
            "--from" => asked.from = Some(name()?),
            _ => return Err(format!("{argument}: ci takes --list, --only NAME, --from NAME and --all")),
        }
    }
    let names = || CHECKS.iter().chain(&SLOW_CHECKS).map(|check| check.name);
    match asked.only.iter().chain(&asked.from).find(|name| !names().any(|known| known == *name)) {
        Some(stranger) => Err(format!("{stranger}: no check; there are {}", names().collect::<Vec<_>>().join(", "))),
        None => Ok(asked),
    }
}

/// A finished check: its time in seconds and its outcome.
struct FinishedCheck {
    name: &'static str,
    seconds: u64,
    outcome: CheckOutcome,
}

/// Runs the checks until one fails, and prints a table of them at the end.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let asked = match asked(arguments) {
        Ok(asked) => asked,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(2);
        }
    };
    if asked.list {
        let line = |check: &Check| format!("{:<16} {}", check.name, check.about);
        CHECKS.iter().for_each(|check| say(&line(check)));
        SLOW_CHECKS.iter().for_each(|check| say(&format!("{} (with --all)", line(check))));
        return ExitCode::SUCCESS;
    }
    let is_named = |check: &Check| asked.only.iter().chain(&asked.from).any(|name| name == check.name);
    let is_long_wanted = |check: &Check| asked.all || is_named(check);
    let checks = CHECKS.iter().chain(SLOW_CHECKS.iter().filter(|check| is_long_wanted(check)));
    let begins = |check: &&Check| asked.from.as_ref().is_some_and(|from| from != check.name);
    let checks = checks
        .skip_while(begins)
        .filter(|check| asked.only.is_empty() || asked.only.iter().any(|name| name == check.name));
    let checks: Vec<&Check> = checks.collect();
    if checks.is_empty() {
        complain("no check is both named by --only and not before that of --from; see --list");
        return ExitCode::from(2);
    }

    let mut done = Vec::new();
    for check in &checks {
        say(&format!("=== {}: {}", check.name, check.about));
        let start = Instant::now();
        let outcome = (check.run)();
        let is_failed = matches!(outcome, CheckOutcome::Failed);
        done.push(FinishedCheck { name: check.name, seconds: start.elapsed().as_secs(), outcome });
        say(&format!("=== {}", describe(&done[done.len() - 1])));
        if is_failed {
            break;
        }
    }
    let not_begun: Vec<&str> = checks.iter().skip(done.len()).map(|check| check.name).collect();
    finish(&done, &not_begun, asked.all)
}

fn describe(done: &FinishedCheck) -> String {
    let outcome = match &done.outcome {
        CheckOutcome::Passed | CheckOutcome::Tested(_) => "passed".to_owned(),
        CheckOutcome::Failed => "FAILED".to_owned(),
        CheckOutcome::Skipped(why) => format!("skipped: {why}"),
    };
    format!("{:<16} {:>5} s  {outcome}", done.name, done.seconds)
}

/// Prints the table of times and skipped checks.
fn finish(done: &[FinishedCheck], not_begun: &[&str], all: bool) -> ExitCode {
    say("");
    done.iter().for_each(|check| say(&describe(check)));
    if !not_begun.is_empty() {
        say(&format!("not begun: {}", not_begun.join(", ")));
    }
    let count = |which: fn(&CheckOutcome) -> bool| done.iter().filter(|check| which(&check.outcome)).count();
    let failed = count(|outcome| matches!(outcome, CheckOutcome::Failed));
    let seconds: u64 = done.iter().map(|check| check.seconds).sum();
    say(&format!(
        "{:<16} {seconds:>5} s  {} passed, {failed} failed, {} skipped",
        "all",
        count(|outcome| matches!(outcome, CheckOutcome::Passed | CheckOutcome::Tested(_))),
        count(|outcome| matches!(outcome, CheckOutcome::Skipped(_))),
    ));
    let mut tally = SkippedTests::default();
    for check in done {
        if let CheckOutcome::Tested(counted) = &check.outcome {
            tally.add(counted);
        }
    }
    if tally.is_told() {
        say(&format!("integration tests: {}", tally.to_string().replace('\n', "; ")));
    }
    if !all {
        say(&format!("left to --all: {}", SLOW_CHECKS.map(|check| check.about).join("; ")));
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> CheckOutcome {
    succeeds(crate::cargo().args(arguments).envs(environment.iter().copied()).current_dir(root()))
}

fn succeeds(command: &mut Command) -> CheckOutcome {
    match command.status() {
        Ok(status) if status.success() => CheckOutcome::Passed,
        Ok(_) => CheckOutcome::Failed,
        Err(error) => {
            say(&format!("{command:?}: {error}"));
            CheckOutcome::Failed
        }
    }
}

fn tests() -> CheckOutcome {
    tested(crate::cargo().args(["test", "--workspace", "--locked"]))
}

/// Runs tests. They use the Python that [`python`] made, if it made one.
fn tested(cargo: &mut Command) -> CheckOutcome {
    // The variable is removed, so that all tests run.
    cargo.env_remove("CHAINRULE_TESTS");
    let own = own_python();
    if has_modules(&own) && std::env::var_os("CHAINRULE_PYTHON").is_none() {
        cargo.env("CHAINRULE_PYTHON", own);
    }
    match counted(cargo) {
        Ok((true, tally)) if tally.is_told() => CheckOutcome::Tested(tally),
        Ok((true, _)) => {
            say("no integration test said what it could not run");
            CheckOutcome::Failed
        }
        Ok((false, _)) => CheckOutcome::Failed,
        Err(problem) => {
            say(&format!("{cargo:?}: {problem}"));
            CheckOutcome::Failed
        }
    }
}

/// Runs the integration tests on these backends, without the modules that ran already or cannot run
/// there.
fn tests_again(backends: &str, but: &[&str]) -> CheckOutcome {
    let but = BACKEND_INDEPENDENT.iter().chain(but).flat_map(|name| ["--skip", name]);
    let test = ["test", "--package", "chainrule-tests", "--locked", "--features", ALL_FEATURES, "--"];
    tested(crate::cargo().args(test.into_iter().chain(but)).env("CHAINRULE_BACKENDS", backends))
}

/// Runs a command on the whole workspace with every backend.
///
/// The build script of cuda's LLVM downloads a compiler unless only documentation is wanted. So
/// cuda is checked and documented, but not built.
fn wide(command: &[&str], end: &[&str], environment: &[(&str, &str)]) -> CheckOutcome {
    let features = "chainrule-cli/flex,chainrule-cli/wgpu,chainrule-cli/cuda,chainrule-cli/remote,chainrule-cli/remote-server,chainrule-tests/burn-mnist";
    let options = ["--workspace", "--locked", "--features", features];
    cargo(&[command, &options, end].concat(), &[environment, &[("DOCS_RS", "1")]].concat())
}

/// Runs README's first command, with few epochs and the embedded digits.
fn short_train() -> CheckOutcome {
    let out = std::env::temp_dir().join(format!("chainrule-ci-{}", std::process::id()));
    let folder = out.to_string_lossy();
    let outcome =
        cargo(&["xtask", "train", "--data", "embedded", "--set", "descent.epochs=5", "--out", &folder, "--json"], &[]);
    let is_whole = ["config.toml", "manifest.json", "history.json", "summary.json", "model.safetensors"]
        .iter()
        .all(|file| out.join(file).is_file());
    let _ = std::fs::remove_dir_all(&out);
    if is_whole { outcome } else { CheckOutcome::Failed }
}

/// Checks the library and the program without Burn. No other check builds the library by itself, or
/// the program without any backend.
fn without_burn() -> CheckOutcome {
    let light = ["--package", "chainrule", "--package", "chainrule-cli", "--no-default-features", "--locked"];
    let train = ["run", "--package", "chainrule-cli", "--no-default-features", "--locked", "--", "train", "--json"];
    let out = std::env::temp_dir().join(format!("chainrule-light-{}", std::process::id()));
    let folder = out.to_string_lossy();
    let short = ["--data", "embedded", "--set", "descent.epochs=5", "--out", &folder];
    let steps = [
        [&["clippy", "--all-targets"][..], &light, &["--", "--deny", "warnings"]].concat(),
        // No other check uses this feature of the library.
        ["test", "--package", "chainrule", "--test", "typed", "--features", "arrays", "--locked"].to_vec(),
        [&train[..], &short].concat(),
    ];
    let mut outcomes = steps.iter().map(|step| cargo(step, &[]));
    let failed = outcomes.find(|outcome| !matches!(outcome, CheckOutcome::Passed));
    let _ = std::fs::remove_dir_all(&out);
    failed.unwrap_or(CheckOutcome::Passed)
}

/// Builds the light library for WebAssembly, where there are no files and no threads.
/// `examples/anywhere.rs` fits, writes, reads and predicts there. A failed assertion is a trap.
fn in_wasm() -> CheckOutcome {
    let target = "wasm32-unknown-unknown";
    let folder = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    let folder = folder.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).unwrap_or_default();
    if !folder.is_dir() {
        return CheckOutcome::Skipped(format!("the target {target} is not here; rustup target add {target}"));
    }
    let build = ["build", "--package", "chainrule", "--example", "anywhere", "--target", target, "--locked"];
    match cargo(&build, &[]) {
        CheckOutcome::Passed => {}
        other => return other,
    }
    let file = self::target().join(target).join("debug/examples/anywhere.wasm");
    let run = "WebAssembly.instantiate(require('fs').readFileSync(process.argv[1])).then(({ instance }) => process.exit(instance.exports.main(0, 0)))";
    let mut node = Command::new("node");
    if node.arg("--version").output().is_err() {
        return CheckOutcome::Skipped("it was built, and no node is here to run it".to_owned());
    }
    succeeds(Command::new("node").args(["--eval", run]).arg(file))
}

/// Runs the kernels' own tests, which need no Burn, with every memory access checked. This needs a
/// nightly compiler.
fn sanitizer() -> CheckOutcome {
    let target = "x86_64-unknown-linux-gnu";
    let runtime = Command::new("rustc").args(["+nightly", "--print", "target-libdir", "--target", target]).output();
    let has_runtime = runtime.is_ok_and(|output| {
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success() && folder.join("librustc-nightly_rt.asan.a").is_file()
    });
    if !has_runtime {
        return CheckOutcome::Skipped(format!(
            "no nightly compiler for {target} is here; rustup toolchain install nightly"
        ));
    }
    // Not the cargo of this process, which belongs to another toolchain.
    let test = ["+nightly", "test", "--package", "chainrule-kernels", "--lib", "--locked", "--target", target];
    let mut cargo = Command::new("cargo");
    cargo.args(test).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(root());
    succeeds(cargo.env("RUSTFLAGS", "-Zsanitizer=address"))
}

/// The folder of MNIST. The tests search the same places.
fn mnist_folder() -> Option<PathBuf> {
    let named = std::env::var_os("CHAINRULE_DATA").map(PathBuf::from);
    let shared = root().parent().map(|parent| parent.join("shared/data/mnist"));
    named.into_iter().chain(shared).find(|folder| folder.is_dir())
}

/// Lints `chainrule-ops` with one backend alone. Code for one backend must not need another one.
fn clippy_of_each_backend() -> CheckOutcome {
    // The empty string means no backend. The default build covers ndarray alone. The code that wgpu
    // and cuda share does not compile without one of the two.
    for features in ["", "flex", "wgpu"] {
        let clippy = ["clippy", "--package", "chainrule-ops", "--all-targets", "--locked", "--no-default-features"];
        let options = ["--features", features, "--", "--deny", "warnings"];
        match cargo(&[&clippy[..], &options].concat(), &[]) {
            CheckOutcome::Passed => {}
            other => return other,
        }
    }
    CheckOutcome::Passed
}

/// Lints the program with cuda alone and with remote devices alone. All other checks build them
/// together with wgpu.
fn clippy_of_the_program() -> CheckOutcome {
    for features in ["cuda", "remote,remote-server"] {
        let clippy = [
            "clippy",
            "--package",
            "chainrule",
            "--package",
            "chainrule-cli",
            "--lib",
            "--locked",
            "--no-default-features",
        ];
        // `DOCS_RS` as in [`wide`].
        match cargo(&[&clippy[..], &["--features", features, "--", "--deny", "warnings"]].concat(), &[("DOCS_RS", "1")])
        {
            CheckOutcome::Passed => {}
            other => return other,
        }
    }
    CheckOutcome::Passed
}

/// Checks the format of the packages that `cargo fmt --all` does not cover.
fn format_of_others() -> CheckOutcome {
    for package in ["bench/peers/candle", "bench/peers/linfa", "book"] {
        let manifest = format!("{package}/Cargo.toml");
        match cargo(&["fmt", "--manifest-path", &manifest, "--check"], &[]) {
            CheckOutcome::Passed => {}
            other => return other,
        }
    }
    CheckOutcome::Passed
}

/// Makes the report again with this program and compares it with the committed report.
fn reproduce(program: &[&str], options: &[&str]) -> CheckOutcome {
    let Some(folder) = mnist_folder() else { return CheckOutcome::Skipped("no MNIST".to_owned()) };
    let folder = folder.to_string_lossy();
    cargo(&[program, &["reproduce", "--check", "--data", &folder], options].concat(), &[])
}

/// Checks the book, with the installed mdBook or CI's own.
fn the_book() -> CheckOutcome {
    for command in [&["test"][..], &["clippy", "--all-targets"]] {
        let manifest = ["--quiet", "--manifest-path", "book/Cargo.toml", "--locked"];
        let deny: &[&str] = if command[0] == "clippy" { &["--", "--deny", "warnings"] } else { &[] };
        match cargo(&[command, &manifest, deny].concat(), &[]) {
            CheckOutcome::Passed => {}
            other => return other,
        }
    }
    let own = target().join("mdbook");
    let places = [PathBuf::from("mdbook"), own.join("bin/mdbook")];
    let there = || places.iter().find(|mdbook| book::is_there(mdbook));
    if there().is_none() {
        // Compiling it takes two minutes once. It stays in CI's target folder.
        if std::env::var_os("CI").is_none() {
            return CheckOutcome::Skipped("mdbook is not here; cargo install mdbook --locked".to_owned());
        }
        succeeds(crate::cargo().args(book::INSTALL).args(["--quiet", "--root"]).arg(&own).current_dir(root()));
    }
    let Some(mdbook) = there() else {
        return CheckOutcome::Skipped("mdbook is not here and could not be installed".to_owned());
    };
    // Old pages are removed, so that they are not checked.
    let out = target().join("book-ci");
    let _ = std::fs::remove_dir_all(&out);
    match succeeds(&mut book::build(mdbook, &out)) {
        CheckOutcome::Passed => {}
        other => return other,
    }
    match book::problems(&out) {
        Ok(problems) if problems.is_empty() => CheckOutcome::Passed,
        Ok(problems) => {
            say(&problems.join("\n"));
            CheckOutcome::Failed
        }
        Err(problem) => {
            say(&problem.to_string());
            CheckOutcome::Failed
        }
    }
}

/// The target folder. CI can keep it outside of the checkout.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Installs Chromium and its driver. Without them, the tests of pages are skipped.
fn browser() -> CheckOutcome {
    let is_there =
        || Command::new("chromedriver").arg("--version").output().is_ok_and(|output| output.status.success());
    installed(is_there, &["chromium", "chromium-driver"])
}

/// The modules that the tests of exports import, and the packages that contain them.
const MODULES: &str = "import numpy, safetensors, onnx, onnxruntime, sklearn";
const PACKAGES: [&str; 5] = ["numpy", "safetensors", "onnx", "onnxruntime", "scikit-learn"];

/// Checks for a Python that reads exports, or makes one for CI. PyTorch is large, so it is tested
/// only if it is installed.
fn python() -> CheckOutcome {
    let there = std::env::var_os("CHAINRULE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    if has_modules(&there) || has_modules(&own_python()) {
        return CheckOutcome::Passed;
    }
    if std::env::var_os("CI").is_none() {
        return CheckOutcome::Skipped(format!(
            "it is not here; a Python with {}, or $CHAINRULE_PYTHON",
            PACKAGES.join(", ")
        ));
    }
    let own = own_python();
    let folder = own.ancestors().nth(2).expect("below a folder");
    let made = succeeds(Command::new(&there).args(["-m", "venv"]).arg(folder));
    let install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--timeout", "20", "--retries", "1"];
    if matches!(made, CheckOutcome::Passed)
        && matches!(succeeds(Command::new(&own).args(install).args(PACKAGES)), CheckOutcome::Passed)
        && has_modules(&own)
    {
        return CheckOutcome::Passed;
    }
    CheckOutcome::Skipped(format!("it is not here, and {} could not be installed", PACKAGES.join(", ")))
}

/// The path of CI's own Python.
fn own_python() -> PathBuf {
    root().join("target/python/bin/python")
}

fn has_modules(python: &Path) -> bool {
    Command::new(python).args(["-c", MODULES]).output().is_ok_and(|output| output.status.success())
}

/// Checks for a Vulkan adapter, or installs Mesa's software adapter.
fn vulkan() -> CheckOutcome {
    installed(has_vulkan, &["mesa-vulkan-drivers", "libvulkan1"])
}

/// Runs every target of `fuzz/Cargo.toml` for a minute.
fn fuzz() -> CheckOutcome {
    if !has_subcommand(&["fuzz", "--version"]) {
        return CheckOutcome::Skipped("no cargo-fuzz is here; cargo install --locked cargo-fuzz".to_owned());
    }
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap_or_default();
    let names = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""));
    for name in names {
        // Not the cargo of this process, which belongs to another toolchain.
        let mut fuzz = Command::new("cargo");
        fuzz.args(["+nightly", "fuzz", "run", name, "--", "-max_total_time=60", "-rss_limit_mb=2048", "-timeout=10"]);
        fuzz.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(root());
        match succeeds(&mut fuzz) {
            CheckOutcome::Passed => {}
            other => return other,
        }
    }
    CheckOutcome::Passed
}

/// Runs one in forty mutants of the sources. The tests must fail for each.
fn mutants() -> CheckOutcome {
    if !has_subcommand(&["mutants", "--version"]) {
        return CheckOutcome::Skipped("no cargo-mutants is here; cargo install --locked cargo-mutants".to_owned());
    }
    cargo(&["mutants", "--workspace", "--shard", "0/40", "--timeout", "600", "--baseline", "skip"], &[])
}

fn has_subcommand(arguments: &[&str]) -> bool {
    crate::cargo().args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Checks for a tool. If it is missing, installs these Debian packages where that is allowed.
fn installed(is_there: impl Fn() -> bool, packages: &[&str]) -> CheckOutcome {
    if is_there() {
        return CheckOutcome::Passed;
    }
    let packages_named = packages.join(" and ");
    // Packages are installed on throw-away machines only.
    if std::env::var_os("CI").is_none() {
        return CheckOutcome::Skipped(format!("it is not here; install {packages_named}"));
    }
    let apt = |arguments: &[&str]| matches!(succeeds(Command::new("apt-get").args(arguments)), CheckOutcome::Passed);
    let install = [&["install", "--yes", "--quiet", "--no-install-recommends"], packages].concat();
    if apt(&["update", "--quiet"]) && apt(&install) && is_there() {
        CheckOutcome::Passed
    } else {
        CheckOutcome::Skipped(format!("it is not here, and {packages_named} could not be installed"))
    }
}

/// Whether a Vulkan loader would find a driver.
fn has_vulkan() -> bool {
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut drivers| drivers.next().is_some()))
}
