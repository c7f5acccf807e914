//! Everything that is checked, cheapest first. A check that cannot run says so by name.

mod supply;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::{book, root};

/// What became of a check.
enum Outcome {
    Passed,
    Failed,
    /// It could not run, for this reason.
    Skipped(String),
}

struct Check {
    name: &'static str,
    run: fn() -> Outcome,
}

const CHECKS: [Check; 27] = [
    Check { name: "format", run: || cargo(&["fmt", "--all", "--check"], &[]) },
    Check { name: "format of the packages that are workspaces of their own", run: format_of_others },
    Check { name: "dependencies: licences, versions, sources", run: supply::dependencies },
    Check { name: "dependencies: known faults", run: supply::advisories },
    Check { name: "packages: contents, licences and pages", run: supply::packages },
    Check { name: "the oldest compiler that is promised", run: supply::oldest_compiler },
    Check {
        name: "clippy",
        run: || cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"], &[]),
    },
    Check {
        name: "docs",
        run: || {
            let deny = [("RUSTDOCFLAGS", "--deny warnings")];
            cargo(&["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"], &deny)
        },
    },
    Check { name: "book: formulas, and nothing from elsewhere", run: the_book },
    Check { name: "a browser for the page's tests", run: browser },
    Check { name: "Python with the tools that read exports", run: python },
    Check { name: "tests", run: tests },
    Check { name: "train: README's main job on the embedded digits", run: short_train },
    Check { name: "gradcheck", run: || cargo(&["xtask", "gradcheck"], &[]) },
    Check {
        name: "bench: every engine takes a turn, and comes to the same loss",
        run: || {
            let short = ["--data", "embedded", "--only", "epochs", "--rounds", "1", "--epochs", "1"];
            cargo(&[&["xtask", "bench"], &short[..]].concat(), &[])
        },
    },
    Check { name: "reproduce: the report in docs/report", run: || reproduce(&[]) },
    Check {
        name: "the checker's core without Burn",
        // Not its tests, whose own dependencies bring Burn back; they run with the others.
        run: || cargo(&["check", "--package", "chainrule-gradcheck", "--no-default-features", "--locked"], &[]),
    },
    Check { name: "the kernels under an address sanitizer", run: sanitizer },
    Check {
        name: "the fuzz targets",
        // Built only: a fuzzer has no end.
        run: || cargo(&["check", "--manifest-path", "fuzz/Cargo.toml", "--locked"], &[]),
    },
    Check {
        name: "tests on flex and ndarray, and on a remote device",
        run: || tests_with(&["--features", "flex,remote"]),
    },
    Check {
        name: "reproduce: the same on flex by autodiff",
        // With the features of the tests before it, so that Burn is not built once more.
        run: || {
            let features = "flex,ndarray,remote,remote-server";
            reproduce(&["--features", features, "--backend", "flex", "--gradient", "autodiff"])
        },
    },
    Check { name: "reader against burn-dataset's own", run: burn_mnist },
    Check { name: "clippy with every backend", run: clippy_all },
    Check { name: "clippy of the operation with each backend alone", run: clippy_of_each_backend },
    Check { name: "docs of the operation with every backend", run: docs_of_every_backend },
    Check {
        name: "clippy with cuda, which cannot be built here",
        run: || {
            // Its build fetches a compiler (LLVM) from elsewhere, unless it is told that only its documentation is wanted.
            let check = [
                "clippy",
                "--package",
                "chainrule",
                "--lib",
                "--locked",
                "--features",
                "cuda",
                "--",
                "--deny",
                "warnings",
            ];
            cargo(&check, &[("DOCS_RS", "1")])
        },
    },
    Check { name: "tests on wgpu", run: wgpu },
];

/// Runs the checks until one fails.
pub(crate) fn run() -> ExitCode {
    let (mut passed, mut skipped) = (0, Vec::new());
    for check in CHECKS {
        say(&format!("=== {}", check.name));
        let start = Instant::now();
        match (check.run)() {
            Outcome::Passed => {
                passed += 1;
                say(&format!("=== {}: passed in {} s", check.name, start.elapsed().as_secs()));
            }
            Outcome::Skipped(why) => {
                say(&format!("=== {}: skipped: {why}", check.name));
                skipped.push(check.name);
            }
            Outcome::Failed => {
                say(&format!("=== {}: FAILED", check.name));
                say(&format!("{passed} passed, 1 failed, {} skipped", skipped.len()));
                return ExitCode::FAILURE;
            }
        }
    }
    for name in &skipped {
        say(&format!("skipped: {name}"));
    }
    say(&format!("{passed} passed, 0 failed, {} skipped", skipped.len()));
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "this is a program")]
fn say(line: &str) {
    println!("{line}");
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    succeeds(crate::cargo().args(arguments).envs(environment.iter().copied()).current_dir(root()))
}

fn succeeds(command: &mut Command) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(_) => Outcome::Failed,
        Err(error) => {
            say(&format!("{command:?}: {error}"));
            Outcome::Failed
        }
    }
}

/// With the Python that [`python`] made, where it made one.
fn tests() -> Outcome {
    let own = own_python().to_string_lossy().into_owned();
    let environment = [("CHAINRULE_PYTHON", own.as_str())];
    let is_made = has_modules(Path::new(&own)) && std::env::var_os("CHAINRULE_PYTHON").is_none();
    cargo(&["test", "--workspace", "--locked"], if is_made { &environment } else { &[] })
}

fn tests_with(options: &[&str]) -> Outcome {
    cargo(&[&["test", "--package", "chainrule-tests", "--locked"], options].concat(), &[])
}

/// README's first command, short, on data that every machine has.
fn short_train() -> Outcome {
    let out = std::env::temp_dir().join(format!("chainrule-ci-{}", std::process::id()));
    let folder = out.to_string_lossy();
    let outcome =
        cargo(&["xtask", "train", "--data", "embedded", "--set", "descent.epochs=5", "--out", &folder, "--json"], &[]);
    let is_whole = ["config.toml", "manifest.json", "history.json", "summary.json", "model.safetensors"]
        .iter()
        .all(|file| out.join(file).is_file());
    let _ = std::fs::remove_dir_all(&out);
    if is_whole { outcome } else { Outcome::Failed }
}

/// The kernels' own tests, which need no Burn, with every access to memory checked; that takes a nightly compiler.
fn sanitizer() -> Outcome {
    let target = "x86_64-unknown-linux-gnu";
    let runtime = Command::new("rustc").args(["+nightly", "--print", "target-libdir", "--target", target]).output();
    let has_runtime = runtime.is_ok_and(|output| {
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success() && folder.join("librustc-nightly_rt.asan.a").is_file()
    });
    if !has_runtime {
        return Outcome::Skipped(format!("no nightly compiler for {target} is here; rustup toolchain install nightly"));
    }
    // Not the cargo that runs this, which is another toolchain's.
    let test = ["+nightly", "test", "--package", "chainrule-kernels", "--lib", "--locked", "--target", target];
    let mut cargo = Command::new("cargo");
    cargo.args(test).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(root());
    succeeds(cargo.env("RUSTFLAGS", "-Zsanitizer=address"))
}

/// Compares our reader with burn-dataset's `MnistDataset`, which needs its feature `vision` and the real files.
fn burn_mnist() -> Outcome {
    match mnist_folder() {
        Some(_) => tests_with(&["--features", "burn-mnist", "mnist::"]),
        None => Outcome::Skipped("no MNIST".to_owned()),
    }
}

/// Where the tests look for MNIST too.
fn mnist_folder() -> Option<PathBuf> {
    let named = std::env::var_os("CHAINRULE_DATA").map(PathBuf::from);
    let shared = root().parent().map(|parent| parent.join("shared/data/mnist"));
    named.into_iter().chain(shared).find(|folder| folder.is_dir())
}

fn clippy_all() -> Outcome {
    let features = ["--features", "chainrule/flex,chainrule/wgpu,chainrule/remote,chainrule/remote-server"];
    cargo(
        &[&["clippy", "--workspace", "--all-targets", "--locked"], &features[..], &["--", "--deny", "warnings"]]
            .concat(),
        &[],
    )
}

/// Whether the operation's crate, which is built backend by backend, names in each only what is there.
fn clippy_of_each_backend() -> Outcome {
    // Without one, too. What wgpu and cuda share does not compile by itself: Burn's backends need one of the two.
    for features in ["", "ndarray", "flex", "wgpu"] {
        let clippy = ["clippy", "--package", "chainrule-ops", "--all-targets", "--locked", "--no-default-features"];
        let options = ["--features", features, "--", "--deny", "warnings"];
        match cargo(&[&clippy[..], &options].concat(), &[]) {
            Outcome::Passed => {}
            other => return other,
        }
    }
    Outcome::Passed
}

/// The pages of what is only there with a backend.
fn docs_of_every_backend() -> Outcome {
    let doc = ["doc", "--package", "chainrule-ops", "--no-deps", "--locked", "--document-private-items"];
    let features = ["--features", "ndarray,flex,wgpu"];
    cargo(&[&doc[..], &features].concat(), &[("RUSTDOCFLAGS", "--deny warnings")])
}

/// `cargo fmt --all` does not enter them.
fn format_of_others() -> Outcome {
    for package in ["bench/peers/candle", "bench/peers/linfa", "book"] {
        let manifest = format!("{package}/Cargo.toml");
        match cargo(&["fmt", "--manifest-path", &manifest, "--check"], &[]) {
            Outcome::Passed => {}
            other => return other,
        }
    }
    Outcome::Passed
}

/// Makes the report again and compares it with the one that is committed.
fn reproduce(options: &[&str]) -> Outcome {
    let Some(folder) = mnist_folder() else { return Outcome::Skipped("no MNIST".to_owned()) };
    let folder = folder.to_string_lossy();
    cargo(&[&["xtask", "reproduce", "--check", "--data", &folder], options].concat(), &[])
}

/// The book, by the mdBook that is there, else by one of CI's own.
fn the_book() -> Outcome {
    for command in [&["test"][..], &["clippy", "--all-targets"]] {
        let manifest = ["--quiet", "--manifest-path", "book/Cargo.toml", "--locked"];
        let deny: &[&str] = if command[0] == "clippy" { &["--", "--deny", "warnings"] } else { &[] };
        match cargo(&[command, &manifest, deny].concat(), &[]) {
            Outcome::Passed => {}
            other => return other,
        }
    }
    let own = target().join("mdbook");
    let places = [PathBuf::from("mdbook"), own.join("bin/mdbook")];
    let there = || places.iter().find(|mdbook| book::is_there(mdbook));
    if there().is_none() {
        // Two minutes of compiling, once: it stays beside what else CI has built.
        if std::env::var_os("CI").is_none() {
            return Outcome::Skipped("mdbook is not here; cargo install mdbook --locked".to_owned());
        }
        succeeds(crate::cargo().args(book::INSTALL).args(["--quiet", "--root"]).arg(&own).current_dir(root()));
    }
    let Some(mdbook) = there() else {
        return Outcome::Skipped("mdbook is not here and could not be installed".to_owned());
    };
    // Of earlier pages none is left for the look at them.
    let out = target().join("book-ci");
    let _ = std::fs::remove_dir_all(&out);
    match succeeds(&mut book::build(mdbook, &out)) {
        Outcome::Passed => {}
        other => return other,
    }
    match book::problems(&out) {
        Ok(problems) if problems.is_empty() => Outcome::Passed,
        Ok(problems) => {
            say(&problems.join("\n"));
            Outcome::Failed
        }
        Err(problem) => {
            say(&problem.to_string());
            Outcome::Failed
        }
    }
}

/// Where what is built lies, which outlives a checkout where CI says so.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Chromium and its driver; without them the page's tests say that they are skipped.
fn browser() -> Outcome {
    let is_there =
        || Command::new("chromedriver").arg("--version").output().is_ok_and(|output| output.status.success());
    installed(is_there, &["chromium", "chromium-driver"])
}

/// What the tests of exports import, and what brings it.
const MODULES: &str = "import numpy, safetensors, onnx, onnxruntime, sklearn";
const PACKAGES: [&str; 5] = ["numpy", "safetensors", "onnx", "onnxruntime", "scikit-learn"];

/// A Python that reads what is exported: the one that is there, else one of CI's own. PyTorch, which is large, is tested where it is already.
fn python() -> Outcome {
    let there = std::env::var_os("CHAINRULE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    if has_modules(&there) || has_modules(&own_python()) {
        return Outcome::Passed;
    }
    if std::env::var_os("CI").is_none() {
        return Outcome::Skipped(format!(
            "it is not here; a Python with {}, or $CHAINRULE_PYTHON",
            PACKAGES.join(", ")
        ));
    }
    let own = own_python();
    let folder = own.ancestors().nth(2).expect("below a folder");
    let made = succeeds(Command::new(&there).args(["-m", "venv"]).arg(folder));
    let install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--timeout", "20", "--retries", "1"];
    if matches!(made, Outcome::Passed)
        && matches!(succeeds(Command::new(&own).args(install).args(PACKAGES)), Outcome::Passed)
        && has_modules(&own)
    {
        return Outcome::Passed;
    }
    Outcome::Skipped(format!("it is not here, and {} could not be installed", PACKAGES.join(", ")))
}

/// Where CI makes a Python of its own.
fn own_python() -> PathBuf {
    root().join("target/python/bin/python")
}

fn has_modules(python: &Path) -> bool {
    Command::new(python).args(["-c", MODULES]).output().is_ok_and(|output| output.status.success())
}

/// The tests on a real Vulkan adapter, Mesa's software one where there is no other.
fn wgpu() -> Outcome {
    match installed(has_vulkan, &["mesa-vulkan-drivers", "libvulkan1"]) {
        // With ndarray beside it, so that both are compared.
        Outcome::Passed => tests_with(&["--features", "wgpu"]),
        missing => missing,
    }
}

/// Whether something is there, once these Debian packages are, where they may be installed.
fn installed(is_there: impl Fn() -> bool, packages: &[&str]) -> Outcome {
    if is_there() {
        return Outcome::Passed;
    }
    let packages_named = packages.join(" and ");
    // Installing packages is for machines made to be thrown away.
    if std::env::var_os("CI").is_none() {
        return Outcome::Skipped(format!("it is not here; install {packages_named}"));
    }
    let apt = |arguments: &[&str]| matches!(succeeds(Command::new("apt-get").args(arguments)), Outcome::Passed);
    let install = [&["install", "--yes", "--quiet", "--no-install-recommends"], packages].concat();
    if apt(&["update", "--quiet"]) && apt(&install) && is_there() {
        Outcome::Passed
    } else {
        Outcome::Skipped(format!("it is not here, and {packages_named} could not be installed"))
    }
}

/// Whether a Vulkan loader could find a driver.
fn has_vulkan() -> bool {
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut drivers| drivers.next().is_some()))
}
