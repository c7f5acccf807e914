//! Checks the invariants of `docs/architecture.md` that a program can check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::process;
use crate::harness::{Test, tests};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the lines of code below a folder as `path:line: code`, without comments and without the
/// unit tests at the end of each file.
fn code(folder: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                let text = std::fs::read_to_string(&path).unwrap();
                let written = text.split("\nmod tests {").next().unwrap().lines().enumerate();
                let code = written.filter(|(_, line)| !line.trim_start().starts_with("//"));
                lines.extend(code.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())));
            }
        }
    }
    assert!(!lines.is_empty(), "{folder} has no code");
    lines
}

/// Asserts that no line of code below these folders contains one of these words, except in the
/// files `but`.
fn assert_no_code_contains(folders: &[impl AsRef<str>], words: &[&str], but: &[&str]) {
    for folder in folders {
        for line in code(folder.as_ref()) {
            let found = words.iter().find(|word| line.split_once(": ").is_some_and(|(_, code)| code.contains(**word)));
            let is_allowed = but.iter().any(|file| line.starts_with(file));
            assert!(found.is_none() || is_allowed, "{line}: {found:?}");
        }
    }
}

/// Returns the source folders of all crates except the program.
fn libraries() -> Vec<String> {
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    let mut names: Vec<String> = crates.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.retain(|name| name != "cli");
    assert!(names.len() > 8, "{names:?}");
    names.into_iter().map(|name| format!("crates/{name}/src")).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = process(cargo).args(arguments).args(["--locked", "--offline"]).current_dir(root()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns all direct and transitive dependencies of a crate.
fn linked(package: &str, more: &[&str]) -> Vec<String> {
    let tree = ["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = cargo(&[&tree, more].concat());
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn is_burn(package: &str) -> bool {
    ["burn", "cubecl", "ndarray", "wgpu"].iter().any(|name| package.starts_with(name))
}

#[test]
fn crate_dependencies_match_the_page() {
    let page = read("docs/architecture.md");
    let drawn = page.split("## Crate dependencies").nth(1).unwrap().split("```").nth(1).unwrap();
    let drawn: Vec<String> = drawn.lines().skip(1).map(str::to_owned).collect();

    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !package["manifest_path"].as_str().unwrap().contains("/crates/") && name != "xtask" {
            continue;
        }
        let normal = package["dependencies"].as_array().unwrap().iter().filter(|known| known["kind"].is_null());
        let mut knows: Vec<&str> = normal
            .filter_map(|known| known["name"].as_str().filter(|name| name.starts_with("chainrule")))
            .map(|name| name.trim_start_matches("chainrule-"))
            .collect();
        knows.sort_unstable();
        let name = name.trim_start_matches("chainrule-");
        found.push(format!("{name:<9} -> {}", if knows.is_empty() { "none".to_owned() } else { knows.join(", ") }));
    }
    found.sort_unstable();
    assert_eq!(drawn, found);
}

#[test]
fn backends_are_named_in_one_file() {
    let mut others = libraries();
    others.retain(|folder| {
        !["ops", "gradcheck", "data", "records", "chainrule"].iter().any(|own| *folder == format!("crates/{own}/src"))
    });
    assert_no_code_contains(&others, &["(feature = ", ", feature = ", "NdArray", "Wgpu", "Cuda"], &[]);
    let own = "crates/chainrule/src/backend.rs:";
    assert_no_code_contains(
        &["crates/chainrule/src", "crates/cli/src"],
        &["deprecated", "NdArray", "Wgpu::", "Cuda::"],
        &[own],
    );
    let own = [
        ("crates/gradcheck/src", &["burn"][..]),
        ("crates/data/src", &["arrow", "download", "parquet", "pictures"]),
        ("crates/records/src", &["runs"]),
        // Only backend.rs names the features of single backends.
        ("crates/chainrule/src", &["arrow", "arrays", "burn"]),
        ("crates/cli/src", &["burn"]),
    ];
    for (folder, own) in own {
        let lines = code(folder).into_iter().filter(|line| line.contains("feature = \""));
        for line in lines.filter(|line| !line.starts_with("crates/chainrule/src/backend.rs:")) {
            assert!(own.iter().any(|feature| line.contains(&format!("feature = \"{feature}\""))), "{line}");
        }
    }
    let deprecated = code("crates/chainrule/src").iter().filter(|line| line.contains("deprecated")).count();
    assert_eq!(deprecated, 1, "calls that are deprecated");
}

#[test]
fn most_crates_do_not_link_burn() {
    for package in ["core", "kernels", "records", "data", "derive", "formats", "solve", "evaluate", "report", "audit"] {
        let burn = linked(&format!("chainrule-{package}"), &[]).into_iter().filter(|name| is_burn(name));
        assert_eq!(burn.collect::<Vec<_>>(), [""; 0], "{package}");
    }
    assert!(!linked("xtask", &[]).iter().any(|name| is_burn(name)));
    // Fitting and predicting must not need TLS, image decoders, TOML or a command line.
    let strangers = ["ureq", "rustls", "ring", "image", "png", "toml", "rmp-serde", "clap", "plotters"];
    let library: BTreeSet<String> = linked("chainrule", &[]).into_iter().collect();
    assert!(!library.iter().any(|name| is_burn(name) || strangers.contains(&name.as_str())), "{library:?}");
    assert!(library.len() <= 80, "the library links {} crates: {library:?}", library.len());
    let program = linked("chainrule-cli", &["--no-default-features"]);
    assert!(!program.iter().any(|name| is_burn(name)), "{program:?}");
    // The models do link Burn, which shows that the check can find it.
    assert!(linked("chainrule-models", &[]).iter().any(|name| is_burn(name)));
}

/// Returns the packages of a dependency tree with their features.
fn features(selection: &[&str]) -> BTreeSet<String> {
    let tree = ["tree", "--prefix", "none", "--format", "{p} [{f}]"];
    let tree = cargo(&[&tree, selection].concat());
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// With different features Cargo would compile Burn, or crates of this workspace, twice: once for
/// `cargo test --workspace` and once for `cargo xtask train`. The feature name `default` counts,
/// too, because the tests enable it.
#[test]
fn tests_and_program_use_the_same_features() {
    let tests = features(&["--workspace", "--edges", "normal,build,dev"]);
    for program in ["chainrule-cli", "chainrule-bench"] {
        let program = features(&["--package", program, "--edges", "normal,build"]);
        assert!(program.iter().any(|package| package.starts_with("burn-core v")), "{program:?}");
        let apart: Vec<&String> = program.difference(&tests).collect();
        assert!(apart.is_empty(), "the tests ask for other features of {apart:?}");
    }
}

#[test]
fn gradcheck_depends_on_no_workspace_crate() {
    let core = linked("chainrule-gradcheck", &["--no-default-features"]);
    let strangers: Vec<&String> = core
        .iter()
        .filter(|name| is_burn(name) || name.starts_with("chainrule-") && *name != "chainrule-gradcheck")
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn train_config_has_no_public_field() {
    let text = read("crates/core/src/train_config.rs");
    let fields = text.split("pub struct TrainConfig {").nth(1).unwrap().split("\n}").next().unwrap();
    assert!(fields.lines().count() > 3 && !fields.contains("pub"), "{fields}");
    let derived =
        text.split("pub struct TrainConfig").next().unwrap().lines().rev().find(|line| line.starts_with("#[derive"));
    assert!(derived.is_some_and(|line| !line.contains("Deserialize") && !line.contains("Default")), "{derived:?}");
}

#[test]
fn training_uses_no_clock_console_or_files() {
    let words = ["std::time", "std::fs", "std::io", "std::env", "std::process", "Instant", "SystemTime", "println!"];
    assert_no_code_contains(&["crates/solve/src", "crates/engines/src"], &words, &[]);
}

#[test]
fn randomness_comes_only_from_the_seed() {
    let folders: Vec<String> = libraries().into_iter().chain(["crates/cli/src".to_owned()]).collect();
    assert_no_code_contains(
        &folders,
        &["thread_rng", "rand::rng", "OsRng", "SysRng", "getrandom", "from_entropy", "Distribution::"],
        &[],
    );
}

#[test]
fn unsafe_is_in_one_file() {
    let more = ["crates/cli/src", "bench/src", "xtask/src"].map(str::to_owned);
    let folders: Vec<String> = libraries().into_iter().chain(more).collect();
    assert_no_code_contains(
        &folders,
        &["unsafe ", "allow(unsafe_code", "expect(unsafe_code"],
        &["crates/kernels/src/isa.rs:"],
    );
}

#[test]
fn files_are_written_in_one_file() {
    let folders: Vec<String> = libraries().into_iter().chain(["crates/cli/src".to_owned()]).collect();
    // No reader needs the content of the lock file.
    let but = ["crates/records/src/lock.rs:", "crates/records/src/file.rs:"];
    assert_no_code_contains(&folders, &["fs::write", "File::create", "File::options", "OpenOptions"], &but);
}

/// Code that only queries standard output prints nothing.
#[test]
fn the_program_prints_in_one_file() {
    let words =
        ["println!", "print!", "eprintln!", "stdout().lock", "stderr().lock", "io::stdout(), ", "io::stderr(), "];
    assert_no_code_contains(&["crates/cli/src"], &words, &["crates/cli/src/output.rs:"]);
}

#[test]
fn no_library_prints_or_panics() {
    let words =
        ["println!", "print!", "eprintln!", "stdout()", "stderr()", "todo!", "unimplemented!", ".unwrap()", "dbg!"];
    // This file is a test, which lists what it proves.
    assert_no_code_contains(&libraries(), &words, &["crates/derive/src/trust.rs:"]);
}

#[test]
fn tests_start_processes_in_one_file() {
    // The word is written in two pieces, so that this file does not contain it.
    assert_no_code_contains(&["tests"], &[concat!("Command::", "new(")], &["tests/command.rs:"]);
}

/// Without the compiler's harness, the built-in `#[test]` silently drops a function.
#[test]
fn every_test_is_run() {
    let mut run: BTreeSet<String> = tests().map(Test::path).collect();
    assert_eq!(run.len(), tests().count(), "tests of the same name");
    let mut folders = vec![root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(root().join("tests")).unwrap().with_extension("");
            let module = name.to_str().unwrap().replace(std::path::MAIN_SEPARATOR, "::");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let marks = (0..lines.len()).filter(|&at| lines[at] == "#[test]");
            for at in marks {
                let import = "use chainrule_tests_macros::test;";
                assert!(lines.contains(&import), "{}: no {import}", path.display());
                let before = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
                let after = lines[at..].iter().take_while(|line| !line.starts_with("fn "));
                let is_conditional = before.chain(after).any(|line| line.starts_with("#[cfg("));
                let function = lines[at..].iter().find_map(|line| line.strip_prefix("fn ")).unwrap();
                let test = format!("{module}::{}", function.split('(').next().unwrap());
                assert!(run.remove(&test) || is_conditional, "{test} is not run");
            }
        }
    }
    assert!(run.is_empty(), "not found: {run:?}");
}

/// Returns the folder of the integration tests and those of the crates' own tests.
fn folders_of_tests() -> Vec<PathBuf> {
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    let of_crates = crates.map(|entry| entry.unwrap().path().join("tests"));
    [root().join("tests")].into_iter().chain(of_crates).collect()
}

#[test]
fn every_invariant_names_an_existing_test() {
    let page = read("docs/architecture.md");
    let invariants: Vec<&str> = page.split("## Invariants").nth(1).unwrap().split("\n- **").skip(1).collect();
    assert!(invariants.len() > 8, "{invariants:?}");
    for invariant in invariants {
        let tests = invariant.split('`').filter(|code| code.contains("::") && !code.contains([' ', '(', '/', '.']));
        let tests: Vec<&str> = tests.collect();
        assert!(!tests.is_empty(), "no test: {invariant}");
        for test in tests {
            let (module, name) = test.rsplit_once("::").unwrap();
            let file = format!("{}.rs", module.replace("::", "/"));
            let has_it = |folder: &PathBuf| {
                let text = std::fs::read_to_string(folder.join(&file));
                text.is_ok_and(|text| text.contains(&format!("fn {name}()")))
            };
            assert!(folders_of_tests().iter().any(has_it), "{test} is in no {file}: {invariant}");
        }
    }
}

/// Returns for each file of a crate, as a module, the modules that it names by `crate::…`. The root
/// is left out because it names all of them.
fn files_that_know_each_other(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let module = |line: &str| {
        let path = line.split(".rs:").next().unwrap().strip_prefix(folder).unwrap().trim_start_matches('/');
        path.trim_end_matches("/mod").replace('/', "::")
    };
    let lines = code(folder);
    let modules: BTreeSet<String> = lines.iter().map(|line| module(line)).collect();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for line in &lines {
        texts.entry(module(line)).or_default().push_str(line.split_once(": ").unwrap().1);
    }
    texts.retain(|name, _| !["lib", "main"].contains(&name.as_str()));
    let knows = |(name, text): (String, String)| {
        let paths = text.split("crate::").skip(1).flat_map(|after| match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap().split(',').map(|path| path.trim().to_owned()).collect(),
            None => vec![after.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c))).next().unwrap().to_owned()],
        });
        // The longest prefix of the path that is a file.
        let file = |path: String| {
            let parts: Vec<&str> = path.split("::").collect();
            (1..=parts.len()).rev().map(|n| parts[..n].join("::")).find(|file| modules.contains(file))
        };
        let known = paths.filter_map(file).filter(|file| *file != name).collect();
        (name, known)
    };
    texts.into_iter().map(knows).collect()
}

#[test]
fn the_program_has_no_module_cycle() {
    let mut known = files_that_know_each_other("crates/cli/src");
    assert!(known["train"].contains("run") && known["reproduce::runner"].contains("jobs"), "{known:?}");
    // Repeatedly removes a module that depends on no remaining one. What remains is a cycle.
    while let Some(free) = known.iter().find(|(_, others)| others.is_empty()).map(|(name, _)| name.clone()) {
        known.remove(&free);
        known.values_mut().for_each(|others| {
            others.remove(&free);
        });
    }
    assert!(known.is_empty(), "in circles, or knowing who is: {known:#?}");
}
