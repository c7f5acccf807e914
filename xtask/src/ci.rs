//! All checks, from the cheapest to the most expensive. A check that cannot run is listed with its
//! reason.
//!
//! The time depends on how often Burn is compiled. The default features compile it twice: metadata
//! for clippy and the docs, code for the tests and the program. The features with flex compile its
//! code, and those with every backend its metadata. A check with other features than these compiles
//! Burn once more.

mod supply;
mod text;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::test::{SkippedTests, run_counted};
use crate::{book, exercise, print_error, print_line, root, target};

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

const CHECKS: [Check; 27] = [
    check("format", "rustfmt", || cargo(&["fmt", "--all", "--check"], &[])),
    check("format-apart", "rustfmt of the packages in separate workspaces", format_separate_workspaces),
    check("text", "comment widths, one sentence per line in pages, and formulas that forges show", text::layout),
    check("licences", "licences, versions and sources of the dependencies", supply::dependencies),
    check("advisories", "known vulnerabilities of the dependencies", supply::advisories),
    check("packages", "contents, licences and pages of the packages", supply::packages),
    check("oldest-compiler", "compile with the oldest supported compiler", supply::oldest_compiler),
    check("browser", "install a browser for the page tests", browser),
    check("python", "install Python with the tools that read exports", python),
    check("clippy", "lints of the default build", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"], &[])
    }),
    check("docs", "rustdoc of the default build", || {
        let deny = [("RUSTDOCFLAGS", "--deny warnings")];
        cargo(&["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"], &deny)
    }),
    check("book", "formulas of the book, and no resources from other sites", check_book),
    check("tests", "cargo test --workspace", tests),
    check("train", "README's first command on the embedded digits", short_train),
    check("gradcheck", "closed form, autodiff and finite differences agree", || cargo(&["xtask", "gradcheck"], &[])),
    check("bench", "every engine runs and reaches the same loss", || {
        let short = ["--data", "embedded", "--only", "epochs", "--rounds", "1", "--epochs", "1"];
        cargo(&[&["xtask", "bench"], &short[..]].concat(), &[])
    }),
    check("reproduce", "the report in docs/report is reproduced", || reproduce(&["xtask"], &[])),
    check("checker-core", "the checker's core without Burn", || {
        // Not its tests: their dependencies include Burn. They run with the other tests.
        cargo(&["check", "--package", "chainrule-gradcheck", "--no-default-features", "--locked"], &[])
    }),
    check("light", "the library and the program without Burn: lints, an installation, and a training", without_burn),
    check("packed", "compile the packages without Burn from their published files", supply::packed),
    check("wasm", "build the library for WebAssembly and run an example", run_in_wasm),
    check("exercise", "the checker in the pages of derivations is what its sources give", || match exercise::check() {
        Ok(()) => CheckOutcome::Passed,
        Err(exercise::Problem::Skipped(why)) => CheckOutcome::Skipped(why),
        Err(exercise::Problem::Failed(problem)) => {
            print_error(&problem);
            CheckOutcome::Failed
        }
    }),
    check("sanitizer", "the kernels under an address sanitizer", sanitizer),
    check("fuzz-targets", "compile the fuzz targets, without running them", || {
        cargo(&["check", "--manifest-path", "fuzz/Cargo.toml", "--locked"], &[])
    }),
    check("clippy-wide", "lints with every backend, including cuda", || {
        cargo_all_backends(&["clippy", "--all-targets"], &["--", "--deny", "warnings"], &[])
    }),
    check("tests-flex", "tests on flex and ndarray, and of burn-dataset's reader", || {
        tests_again(SECOND_BUILD, "flex,ndarray", &["remote::"])
    }),
    check("reproduce-flex", "the same report on flex with autodiff", || {
        // The tests' own program is built already. `cargo xtask reproduce` would compile Burn once
        // more.
        let program =
            ["run", "--package", "chainrule-tests", "--features", SECOND_BUILD, "--bin", "chainrule-under-test", "--"];
        reproduce(&program, &["--backend", "flex", "--gradient", "autodiff"])
    }),
];

/// Checks that take too long for every change. `--all` runs them too.
const SLOW_CHECKS: [Check; 8] = [
    check("service", "the example of a service over HTTP: lints and test", service),
    check("clippy-apart", "lints of chainrule-ops with a single backend", clippy_of_each_backend),
    check("tests-wgpu", "tests on wgpu", || match vulkan() {
        // Together with ndarray, so that the two backends are compared.
        CheckOutcome::Passed => tests_again(ALL_FEATURES, "wgpu,ndarray", ON_CPUS_ONLY),
        missing => missing,
    }),
    check("tests-remote", "tests on a remote device", || {
        let test = ["test", "--package", "chainrule-tests", "--locked", "--features", ALL_FEATURES, "--", "remote::"];
        run_tests(crate::cargo().args(test).env("CHAINRULE_BACKENDS", "flex,ndarray"))
    }),
    check("docs-wide", "rustdoc with every backend", || {
        let deny = [("RUSTDOCFLAGS", "--deny warnings")];
        cargo_all_backends(&["doc", "--no-deps", "--document-private-items"], &[], &deny)
    }),
    check("clippy-alone", "lints of the program with only cuda, and with only remote devices", clippy_of_the_program),
    check("fuzz", "every fuzz target for a minute", fuzz),
    check("mutants", "one in forty mutants of cargo-mutants", mutants),
];

/// The features of the second build that runs tests.
const SECOND_BUILD: &str = "flex,burn-mnist";

/// The features of the build of `--all`: everything that can be built and run on a CI machine.
const ALL_FEATURES: &str = "flex,wgpu,remote,burn-mnist";

/// The modules of the integration tests that do not depend on the backend. They run once, with the
/// default build.
const BACKEND_INDEPENDENT: &[&str] = &[
    "architecture::",
    "board::",
    "config::",
    "derive::",
    "docs::",
    "download::",
    "evaluate::",
    "exercise::",
    "export::",
    "formulas::",
    "hostile::",
    "image_folders::",
    "import::",
    "inspect::",
    "manual::",
    "messages::",
    "output::",
    "page::",
    "picture::",
    "predict::",
    "predict_files::",
    "raw_rows::",
    "reference_tables::",
    // Its trainings are on ndarray in every build. `reproduce-flex` makes the report on another.
    "reproduce::",
    // Other modules test its trainings. It tests processes and files.
    "resume::report::",
    "round_trips::",
    "sweep::",
    "tables::",
];

/// The modules that run on CPUs only, since they test nothing of a GPU.
const ON_CPUS_ONLY: &[&str] = &["memory::", "mnist::", "remote::"];

/// The selected checks.
#[derive(Default)]
struct CheckSelection {
    all: bool,
    list: bool,
    only: Vec<String>,
    from: Option<String>,
}

fn parse_selection(arguments: &[String]) -> Result<CheckSelection, String> {
    let mut selection = CheckSelection::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut name =
            || arguments.next().cloned().ok_or(format!("{argument}: expected the name of a check; see --list"));
        match argument.as_str() {
            "--all" => selection.all = true,
            "--list" => selection.list = true,
            "--only" => selection.only.push(name()?),
            "--from" => selection.from = Some(name()?),
            _ => return Err(format!("{argument}: ci takes --list, --only NAME, --from NAME and --all")),
        }
    }
    let names = || CHECKS.iter().chain(&SLOW_CHECKS).map(|check| check.name);
    match selection.only.iter().chain(&selection.from).find(|name| !names().any(|known| known == *name)) {
        Some(unknown) => {
            Err(format!("{unknown}: no such check; expected one of {}", names().collect::<Vec<_>>().join(", ")))
        }
        None => Ok(selection),
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
    let selection = match parse_selection(arguments) {
        Ok(selection) => selection,
        Err(problem) => {
            print_error(&problem);
            return ExitCode::from(2);
        }
    };
    if selection.list {
        let line = |check: &Check| format!("{:<16} {}", check.name, check.about);
        CHECKS.iter().for_each(|check| print_line(&line(check)));
        SLOW_CHECKS.iter().for_each(|check| print_line(&format!("{} (with --all)", line(check))));
        return ExitCode::SUCCESS;
    }
    let is_named = |check: &Check| selection.only.iter().chain(&selection.from).any(|name| name == check.name);
    let is_selected = |check: &Check| selection.all || is_named(check);
    let checks = CHECKS.iter().chain(SLOW_CHECKS.iter().filter(|check| is_selected(check)));
    let is_before_start = |check: &&Check| selection.from.as_ref().is_some_and(|from| from != check.name);
    let checks = checks
        .skip_while(is_before_start)
        .filter(|check| selection.only.is_empty() || selection.only.iter().any(|name| name == check.name));
    let checks: Vec<&Check> = checks.collect();
    if checks.is_empty() {
        print_error("--only and --from select no check; see --list");
        return ExitCode::from(2);
    }

    let mut done = Vec::new();
    for check in &checks {
        print_line(&format!("=== {}: {}", check.name, check.about));
        let start = Instant::now();
        let outcome = (check.run)();
        let is_failed = matches!(outcome, CheckOutcome::Failed);
        done.push(FinishedCheck { name: check.name, seconds: start.elapsed().as_secs(), outcome });
        print_line(&format!("=== {}", describe(&done[done.len() - 1])));
        if is_failed {
            break;
        }
    }
    let not_run: Vec<&str> = checks.iter().skip(done.len()).map(|check| check.name).collect();
    finish(&done, &not_run, selection.all)
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
fn finish(done: &[FinishedCheck], not_run: &[&str], all: bool) -> ExitCode {
    print_line("");
    done.iter().for_each(|check| print_line(&describe(check)));
    if !not_run.is_empty() {
        print_line(&format!("not run: {}", not_run.join(", ")));
    }
    let count = |predicate: fn(&CheckOutcome) -> bool| done.iter().filter(|check| predicate(&check.outcome)).count();
    let failed = count(|outcome| matches!(outcome, CheckOutcome::Failed));
    let seconds: u64 = done.iter().map(|check| check.seconds).sum();
    print_line(&format!(
        "{:<16} {seconds:>5} s  {} passed, {failed} failed, {} skipped",
        "all",
        count(|outcome| matches!(outcome, CheckOutcome::Passed | CheckOutcome::Tested(_))),
        count(|outcome| matches!(outcome, CheckOutcome::Skipped(_))),
    ));
    let mut tally = SkippedTests::default();
    for check in done {
        if let CheckOutcome::Tested(run_counted) = &check.outcome {
            tally.add(run_counted);
        }
    }
    if tally.has_tests() {
        print_line(&format!("integration tests: {}", tally.to_string().replace('\n', "; ")));
    }
    if !all {
        print_line(&format!("only with --all: {}", SLOW_CHECKS.map(|check| check.about).join("; ")));
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
            print_line(&format!("{command:?}: {error}"));
            CheckOutcome::Failed
        }
    }
}

fn tests() -> CheckOutcome {
    run_tests(crate::cargo().args(["test", "--workspace", "--locked"]))
}

/// Runs tests. They use the Python that [`python`] made, if it made one.
fn run_tests(cargo: &mut Command) -> CheckOutcome {
    // The variable is removed, so that all tests run.
    cargo.env_remove("CHAINRULE_TESTS");
    let python = ci_python();
    if has_modules(&python) && std::env::var_os("CHAINRULE_PYTHON").is_none() {
        cargo.env("CHAINRULE_PYTHON", python);
    }
    match run_counted(cargo) {
        Ok((true, tally)) if tally.has_tests() => CheckOutcome::Tested(tally),
        Ok((true, _)) => {
            print_line("no integration test printed its summary of skipped tests");
            CheckOutcome::Failed
        }
        Ok((false, _)) => CheckOutcome::Failed,
        Err(problem) => {
            print_line(&format!("{cargo:?}: {problem}"));
            CheckOutcome::Failed
        }
    }
}

/// Runs the integration tests on these backends, without the modules that ran already or cannot run
/// there.
fn tests_again(features: &str, backends: &str, skipped_modules: &[&str]) -> CheckOutcome {
    let skipped_modules = BACKEND_INDEPENDENT.iter().chain(skipped_modules).flat_map(|name| ["--skip", name]);
    let test = ["test", "--package", "chainrule-tests", "--locked", "--features", features, "--"];
    run_tests(crate::cargo().args(test.into_iter().chain(skipped_modules)).env("CHAINRULE_BACKENDS", backends))
}

/// Runs a command on the whole workspace with every backend.
///
/// The build script of cuda's LLVM downloads a compiler unless only documentation is wanted. So
/// cuda is checked and documented, but not built.
fn cargo_all_backends(command: &[&str], end: &[&str], environment: &[(&str, &str)]) -> CheckOutcome {
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

/// Returns the arguments of a cargo command that compiles the kernels with less optimisation, in a
/// small part of the time, for checks in which their speed does not matter.
fn with_quick_kernels<'a>(command: &[&'a str]) -> Vec<&'a str> {
    let options = [
        "--config",
        "profile.dev.package.chainrule-kernels.opt-level=1",
        "--config",
        "profile.dev.package.chainrule-kernels.codegen-units=16",
    ];
    let (subcommand, rest) = command.split_at(1);
    [subcommand, &options, rest].concat()
}

/// Checks the library and the program without Burn. No other check builds the library by itself, or
/// the program without any backend. The program is installed, as the README says, and trains.
fn without_burn() -> CheckOutcome {
    let light = ["--package", "chainrule", "--package", "chainrule-cli", "--no-default-features", "--locked"];
    let out = std::env::temp_dir().join(format!("chainrule-light-{}", std::process::id()));
    let folder = out.to_string_lossy();
    let install =
        ["install", "--path", "crates/cli", "--debug", "--no-default-features", "--locked", "--no-track", "--root"];
    let of_parquet = ["--no-default-features", "--features", "parquet", "--locked"];
    let steps = [
        [&["clippy", "--all-targets"][..], &light, &["--", "--deny", "warnings"]].concat(),
        // No other check uses these features. They are tested together, so that the libraries are
        // compiled once.
        ["test", "--package", "chainrule", "--package", "chainrule-data", "--no-default-features", "--features"]
            .into_iter()
            .chain(["chainrule/arrays,chainrule/arrow,chainrule-data/parquet", "--locked"])
            .chain(["--test", "typed", "--test", "columnar"])
            .collect(),
        [&["clippy", "--package", "chainrule-data", "--all-targets"][..], &of_parquet, &["--", "--deny", "warnings"]]
            .concat(),
        [&install[..], &[&folder]].concat(),
    ];
    let train = || {
        let mut installed = Command::new(out.join("bin").join(format!("chainrule{}", std::env::consts::EXE_SUFFIX)));
        installed.args(["train", "--json", "--data", "embedded", "--set", "descent.epochs=5", "--out"]);
        succeeds(installed.arg(out.join("run")).current_dir(root()))
    };
    let mut outcomes =
        steps.iter().map(|step| cargo(&with_quick_kernels(step), &[])).chain(std::iter::once_with(train));
    let failed = outcomes.find(|outcome| !matches!(outcome, CheckOutcome::Passed));
    let _ = std::fs::remove_dir_all(&out);
    failed.unwrap_or(CheckOutcome::Passed)
}

/// Builds the light library for WebAssembly, where there are no files and no threads.
/// `examples/anywhere.rs` fits, writes, reads and predicts there. A failed assertion is a trap.
fn run_in_wasm() -> CheckOutcome {
    let target = "wasm32-unknown-unknown";
    let folder = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    let folder = folder.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).unwrap_or_default();
    if !folder.is_dir() {
        return CheckOutcome::Skipped(format!("the target {target} is not installed; rustup target add {target}"));
    }
    let build = ["build", "--package", "chainrule", "--example", "anywhere", "--target", target, "--locked"];
    match cargo(&with_quick_kernels(&build), &[]) {
        CheckOutcome::Passed => {}
        other => return other,
    }
    let file = crate::target().join(target).join("debug/examples/anywhere.wasm");
    let run = "WebAssembly.instantiate(require('fs').readFileSync(process.argv[1])).then(({ instance }) => process.exit(instance.exports.main(0, 0)))";
    let mut node = Command::new("node");
    if node.arg("--version").output().is_err() {
        return CheckOutcome::Skipped("built, but node is not installed to run it".to_owned());
    }
    succeeds(Command::new("node").args(["--eval", run]).arg(file))
}

/// Builds the service with axum, which no other check builds, and calls it over HTTP.
fn service() -> CheckOutcome {
    let at = ["--manifest-path", "examples/service/Cargo.toml", "--locked"];
    match cargo(&[&["clippy", "--all-targets"], &at[..], &["--", "--deny", "warnings"]].concat(), &[]) {
        CheckOutcome::Passed => cargo(&[&["test"], &at[..]].concat(), &[]),
        other => other,
    }
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
            "no nightly compiler for {target} is installed; rustup toolchain install nightly"
        ));
    }
    // Not the cargo of this process, which belongs to another toolchain.
    let test = ["test", "--package", "chainrule-kernels", "--lib", "--locked", "--target", target];
    let mut cargo = Command::new("cargo");
    cargo.arg("+nightly").args(with_quick_kernels(&test));
    cargo.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(root());
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
        // `DOCS_RS` as in [`cargo_all_backends`].
        match cargo(&[&clippy[..], &["--features", features, "--", "--deny", "warnings"]].concat(), &[("DOCS_RS", "1")])
        {
            CheckOutcome::Passed => {}
            other => return other,
        }
    }
    CheckOutcome::Passed
}

/// Checks the format of the packages that `cargo fmt --all` does not cover.
fn format_separate_workspaces() -> CheckOutcome {
    for package in ["bench/peers/candle", "bench/peers/linfa", "book", "examples/service"] {
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
fn check_book() -> CheckOutcome {
    for command in [&["test"][..], &["clippy", "--all-targets"]] {
        let manifest = ["--quiet", "--manifest-path", "book/Cargo.toml", "--locked"];
        let deny: &[&str] = if command[0] == "clippy" { &["--", "--deny", "warnings"] } else { &[] };
        match cargo(&[command, &manifest, deny].concat(), &[]) {
            CheckOutcome::Passed => {}
            other => return other,
        }
    }
    let install_root = target().join("mdbook");
    let candidates = [PathBuf::from("mdbook"), install_root.join("bin/mdbook")];
    let find_mdbook = || candidates.iter().find(|mdbook| book::is_installed(mdbook));
    if find_mdbook().is_none() {
        // Compiling it takes two minutes once. It stays in CI's target folder.
        if std::env::var_os("CI").is_none() {
            return CheckOutcome::Skipped("mdbook is not installed; cargo install mdbook --locked".to_owned());
        }
        succeeds(crate::cargo().args(book::INSTALL).args(["--quiet", "--root"]).arg(&install_root).current_dir(root()));
    }
    let Some(mdbook) = find_mdbook() else {
        return CheckOutcome::Skipped("mdbook is missing and could not be installed".to_owned());
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
            print_line(&problems.join("\n"));
            CheckOutcome::Failed
        }
        Err(problem) => {
            print_line(&problem.to_string());
            CheckOutcome::Failed
        }
    }
}

/// Installs Chromium and its driver. Without them, the tests of pages are skipped.
fn browser() -> CheckOutcome {
    let is_there =
        || Command::new("chromedriver").arg("--version").output().is_ok_and(|output| output.status.success());
    ensure_installed(is_there, &["chromium", "chromium-driver"])
}

/// The modules that the tests of exports import, and the packages that contain them.
const MODULES: &str = "import numpy, safetensors, onnx, onnxruntime, sklearn";
const PACKAGES: [&str; 5] = ["numpy", "safetensors", "onnx", "onnxruntime", "scikit-learn"];

/// Checks for a Python that reads exports, or makes one for CI. PyTorch is large, so it is tested
/// only if it is installed.
fn python() -> CheckOutcome {
    let system_python = std::env::var_os("CHAINRULE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    if has_modules(&system_python) || has_modules(&ci_python()) {
        return CheckOutcome::Passed;
    }
    if std::env::var_os("CI").is_none() {
        return CheckOutcome::Skipped(format!("no Python with {}; set CHAINRULE_PYTHON", PACKAGES.join(", ")));
    }
    let python = ci_python();
    let folder = python.ancestors().nth(2).expect("the path has three parts");
    let created = succeeds(Command::new(&system_python).args(["-m", "venv"]).arg(folder));
    let install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--timeout", "20", "--retries", "1"];
    if matches!(created, CheckOutcome::Passed)
        && matches!(succeeds(Command::new(&python).args(install).args(PACKAGES)), CheckOutcome::Passed)
        && has_modules(&python)
    {
        return CheckOutcome::Passed;
    }
    CheckOutcome::Skipped(format!("Python is missing, and {} could not be installed", PACKAGES.join(", ")))
}

/// The path of CI's own Python.
fn ci_python() -> PathBuf {
    root().join("target/python/bin/python")
}

fn has_modules(python: &Path) -> bool {
    Command::new(python).args(["-c", MODULES]).output().is_ok_and(|output| output.status.success())
}

/// Checks for a Vulkan adapter, or installs Mesa's software adapter.
fn vulkan() -> CheckOutcome {
    ensure_installed(has_vulkan, &["mesa-vulkan-drivers", "libvulkan1"])
}

/// Runs every target of `fuzz/Cargo.toml` for a minute.
fn fuzz() -> CheckOutcome {
    if !has_subcommand(&["fuzz", "--version"]) {
        return CheckOutcome::Skipped("cargo-fuzz is not installed; cargo install --locked cargo-fuzz".to_owned());
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
        return CheckOutcome::Skipped(
            "cargo-mutants is not installed; cargo install --locked cargo-mutants".to_owned(),
        );
    }
    cargo(&["mutants", "--workspace", "--shard", "0/40", "--timeout", "600", "--baseline", "skip"], &[])
}

fn has_subcommand(arguments: &[&str]) -> bool {
    crate::cargo().args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Checks for a tool. If it is missing, installs these Debian packages where that is allowed.
fn ensure_installed(is_there: impl Fn() -> bool, packages: &[&str]) -> CheckOutcome {
    if is_there() {
        return CheckOutcome::Passed;
    }
    let packages_named = packages.join(" and ");
    // Packages are installed on throw-away machines only.
    if std::env::var_os("CI").is_none() {
        return CheckOutcome::Skipped(format!("not installed; install {packages_named}"));
    }
    let apt = |arguments: &[&str]| matches!(succeeds(Command::new("apt-get").args(arguments)), CheckOutcome::Passed);
    let install = [&["install", "--yes", "--quiet", "--no-install-recommends"], packages].concat();
    if apt(&["update", "--quiet"]) && apt(&install) && is_there() {
        CheckOutcome::Passed
    } else {
        CheckOutcome::Skipped(format!("{packages_named} could not be installed"))
    }
}

/// Whether a Vulkan loader would find a driver.
fn has_vulkan() -> bool {
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut drivers| drivers.next().is_some()))
}
