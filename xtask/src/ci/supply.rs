//! Checks of the supply chain: the dependencies, the oldest supported compiler and the packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{CheckOutcome, cargo, print_line, root, succeeds, target};

/// Checks `deny.toml` without the advisories, which need the network.
pub(super) fn dependencies() -> CheckOutcome {
    match has_deny() {
        true => cargo(&["deny", "--locked", "check", "--deny", "warnings", "licenses", "bans", "sources"], &[]),
        false => CheckOutcome::Skipped("cargo-deny is not installed; cargo install --locked cargo-deny".to_owned()),
    }
}

/// Checks for known vulnerabilities and yanked versions of the dependencies.
pub(super) fn advisories() -> CheckOutcome {
    if !has_deny() {
        return CheckOutcome::Skipped("cargo-deny is not installed; cargo install --locked cargo-deny".to_owned());
    }
    let mut fetch = crate::cargo();
    fetch.args(["deny", "--locked", "fetch", "db"]).current_dir(root()).stderr(Stdio::null());
    if !fetch.status().is_ok_and(|status| status.success()) {
        return CheckOutcome::Skipped("the advisory database cannot be downloaded".to_owned());
    }
    cargo(&["deny", "--locked", "check", "advisories"], &[])
}

fn has_deny() -> bool {
    let mut deny = crate::cargo();
    deny.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    deny.status().is_ok_and(|status| status.success())
}

/// Checks the workspace with the compiler of `rust-version`, unless the other checks use it
/// already.
pub(super) fn oldest_compiler() -> CheckOutcome {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    let Some(version) = version.and_then(|version| version.strip_suffix('"')) else {
        print_line("Cargo.toml has no line: rust-version = \"…\"");
        return CheckOutcome::Failed;
    };
    if output(Command::new("rustc").arg("--version")).is_some_and(|line| is_version(&line, "rustc ", version)) {
        print_line(&format!("all checks already use Rust {version}"));
        return CheckOutcome::Passed;
    }
    let toolchains = output(Command::new("rustup").args(["toolchain", "list", "--quiet"])).unwrap_or_default();
    let Some(toolchain) = toolchains.lines().find(|name| is_version(name, "", version)) else {
        return CheckOutcome::Skipped(format!("Rust {version} is not installed; rustup toolchain install {version}"));
    };
    // Not the cargo of this process, which belongs to another toolchain.
    let check = ["run", toolchain, "cargo", "check", "--workspace", "--all-targets", "--locked"];
    succeeds(Command::new("rustup").args(check).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(root()))
}

/// Whether the text after `prefix` is `version` or a patch release of it, such as 1.95.0 for 1.95.
fn is_version(text: &str, prefix: &str, version: &str) -> bool {
    let rest = text.strip_prefix(prefix).and_then(|text| text.strip_prefix(version));
    rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The size limit of a packed package, in bytes. It is five times the size of the largest package,
/// so that stray data or images are noticed.
const MAX_BYTES: u64 = 1 << 20;

/// The folders that a package may contain, beside the files of [`REQUIRED_FILES`].
const ALLOWED_FOLDERS: [&str; 6] = ["src/", "tests/", "examples/", "assets/", "configs/", "formulas/"];
/// The files that a package must contain. `build.rs` is optional.
const REQUIRED_FILES: [&str; 8] = [
    "Cargo.toml",
    "Cargo.toml.orig",
    "Cargo.lock",
    ".cargo_vcs_info.json",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "build.rs",
];

/// Checks that every published package has a description, a licence with its texts, and a README,
/// that it contains its sources only, and that it can be packed with the locked dependencies.
///
/// The packages are not built here, since each would compile Burn once more. Their sources are
/// those that the other checks build.
pub(super) fn packages() -> CheckOutcome {
    let mut folders: Vec<_> = std::fs::read_dir(root().join("crates")).into_iter().flatten().flatten().collect();
    folders.sort_by_key(std::fs::DirEntry::path);
    let mut faults = Vec::new();
    for folder in folders.iter().map(std::fs::DirEntry::path) {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let list = output(crate::cargo().args(["package", "--list", "--allow-dirty", "--locked"]).current_dir(&folder));
        let list = list.unwrap_or_default();
        let outside = list.lines().filter(|file| {
            // A build script may look for the repository. It works without one.
            file.ends_with(".rs") && *file != "build.rs" && reaches_outside(&folder, file)
        });
        faults
            .extend(outside.map(|file| format!("{}/{file}: it reads files outside of its package", folder.display())));
        let folder = folder.display();
        for key in ["description = ", "license.workspace = ", "readme"] {
            if !manifest.lines().any(|line| line.starts_with(key)) {
                faults.push(format!("{folder}/Cargo.toml: the line {key} is missing"));
            }
        }
        let is_missing = |name: &&&str| **name != "build.rs" && !list.lines().any(|file| file == **name);
        faults
            .extend(REQUIRED_FILES.iter().filter(is_missing).map(|name| format!("{folder}: its package lacks {name}")));
        let is_unexpected = |file: &&str| {
            !REQUIRED_FILES.contains(file) && !ALLOWED_FOLDERS.iter().any(|folder| file.starts_with(folder))
        };
        faults.extend(
            list.lines()
                .filter(is_unexpected)
                .map(|file| format!("{folder}: its package contains the unexpected file {file}")),
        );
    }
    let packed = std::env::temp_dir().join(format!("chainrule-packages-{}", std::process::id()));
    let outcome = pack(&packed);
    let size = |path: &PathBuf| path.metadata().map_or(u64::MAX, |about| about.len());
    let sizes: Vec<_> =
        packages_in(&packed).iter().map(|path| (path.file_name().unwrap_or_default().to_owned(), size(path))).collect();
    let _ = std::fs::remove_dir_all(&packed);
    if !matches!(outcome, CheckOutcome::Passed) {
        return outcome;
    }
    if sizes.len() != folders.len() {
        faults.push(format!("{} crates, but {} packages", folders.len(), sizes.len()));
    }
    let large = sizes.iter().filter(|(_, size)| *size > MAX_BYTES);
    faults.extend(
        large.map(|(name, size)| format!("{}: {size} bytes, more than the limit of {MAX_BYTES}", name.display())),
    );
    faults.iter().for_each(|fault| print_line(fault));
    if faults.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed }
}

/// Whether a source names a file outside of its package. Such a source does not build from the
/// package.
fn reaches_outside(folder: &Path, file: &str) -> bool {
    // As many folders up as the file is deep still lie within the package.
    let up = "../".repeat(file.matches('/').count() + 1);
    let source = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    source
        .lines()
        .any(|line| line.contains("CARGO_MANIFEST_DIR") && line.contains("\"..") || line.contains(&format!("(\"{up}")))
}

/// Packs every published package into this folder.
fn pack(folder: &Path) -> CheckOutcome {
    let target = folder.to_string_lossy();
    let excluded = ["chainrule-tests", "chainrule-tests-macros", "chainrule-bench", "xtask"]
        .map(|name| ["--exclude", name])
        .concat();
    // Offline: the locked dependencies were fetched for the build.
    let package = [
        "package",
        "--workspace",
        "--no-verify",
        "--locked",
        "--offline",
        "--allow-dirty",
        "--quiet",
        "--target-dir",
        &target,
    ];
    cargo(&[&package[..], &excluded].concat(), &[])
}

/// Returns the paths of the packed packages.
fn packages_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("package")).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut packages: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "crate")).collect();
    packages.sort();
    packages
}

/// The packages that do not link Burn. They build in a minute.
const LIGHT: [&str; 11] =
    ["core", "kernels", "records", "data", "derive", "formats", "evaluate", "solve", "", "report", "audit"];

/// Compiles the light packages, with their tests and examples, from the packed files. Nothing there
/// may reach outside of its package. The tests run with the others, from the sources: to run them
/// once more took four minutes.
pub(super) fn packed() -> CheckOutcome {
    let folder = target().join("packed");
    // Unpacked sources are replaced. Build outputs stay.
    let unpacked = folder.join("sources");
    let _ = std::fs::remove_dir_all(&unpacked);
    match pack(&folder) {
        CheckOutcome::Passed => {}
        other => return other,
    }
    let mut patches = String::new();
    let mut members = Vec::new();
    for package in packages_in(&folder) {
        let stem = package.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some((name, _)) = stem.rsplit_once('-') else { continue };
        let created = std::fs::create_dir_all(&unpacked);
        // `--touch` sets new dates. All packed files have the same date, so cargo would take them
        // for the earlier ones.
        let mut unpack = Command::new("tar");
        unpack.arg("--touch").arg("-xzf").arg(&package).arg("-C").arg(&unpacked);
        if created.is_err() || !succeeds_quietly(&mut unpack) {
            print_line(&format!("{}: cannot be unpacked", package.display()));
            return CheckOutcome::Failed;
        }
        patches += &format!("{name} = {{ path = \"{stem}\" }}\n");
        if LIGHT.contains(&name.trim_start_matches("chainrule").trim_start_matches('-')) {
            members.push(format!("\"{stem}\""));
        }
    }
    if members.len() != LIGHT.len() {
        print_line(&format!("expected {} light packages, packed {}", LIGHT.len(), members.len()));
        return CheckOutcome::Failed;
    }
    let members = members.join(", ");
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[profile.dev]\ndebug = false\n\n[patch.crates-io]\n{patches}"
    );
    let written = std::fs::write(unpacked.join("Cargo.toml"), manifest)
        .and_then(|()| std::fs::copy(root().join("Cargo.lock"), unpacked.join("Cargo.lock")));
    if let Err(problem) = written {
        print_line(&format!("{}: {problem}", unpacked.display()));
        return CheckOutcome::Failed;
    }
    let manifest = unpacked.join("Cargo.toml");
    let built = folder.join("built");
    let check = ["check", "--workspace", "--all-targets", "--offline", "--manifest-path", &manifest.to_string_lossy()];
    succeeds(crate::cargo().args(check).arg("--target-dir").arg(&built))
}

fn succeeds_quietly(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
