//! What this project is built from and hands out: its dependencies, the oldest compiler that is promised, its packages.

use std::process::{Command, Stdio};

use super::{Outcome, cargo, root, say, succeeds};

/// `deny.toml`, but for faults that became known, whose list comes over the network.
pub(super) fn dependencies() -> Outcome {
    match has_deny() {
        true => cargo(&["deny", "--locked", "check", "--deny", "warnings", "licenses", "bans", "sources"], &[]),
        false => Outcome::Skipped("no cargo-deny is here; cargo install --locked cargo-deny".to_owned()),
    }
}

/// Faults that became known of a dependency, and versions that were taken back.
pub(super) fn advisories() -> Outcome {
    if !has_deny() {
        return Outcome::Skipped("no cargo-deny is here; cargo install --locked cargo-deny".to_owned());
    }
    let mut fetch = crate::cargo();
    fetch.args(["deny", "--locked", "fetch", "db"]).current_dir(root()).stderr(Stdio::null());
    if !fetch.status().is_ok_and(|status| status.success()) {
        return Outcome::Skipped("the database of advisories cannot be had".to_owned());
    }
    cargo(&["deny", "--locked", "check", "advisories"], &[])
}

fn has_deny() -> bool {
    let mut deny = crate::cargo();
    deny.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    deny.status().is_ok_and(|status| status.success())
}

/// Everything with the compiler that `rust-version` promises, unless that is the one which checks everything here.
pub(super) fn oldest_compiler() -> Outcome {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    let Some(version) = version.and_then(|version| version.strip_suffix('"')) else {
        say("Cargo.toml has no line: rust-version = \"…\"");
        return Outcome::Failed;
    };
    if output(Command::new("rustc").arg("--version")).is_some_and(|line| is_of(&line, "rustc ", version)) {
        say(&format!("Rust {version} is the compiler of every check here"));
        return Outcome::Passed;
    }
    let toolchains = output(Command::new("rustup").args(["toolchain", "list", "--quiet"])).unwrap_or_default();
    let Some(toolchain) = toolchains.lines().find(|name| is_of(name, "", version)) else {
        return Outcome::Skipped(format!("no Rust {version} is here; rustup toolchain install {version}"));
    };
    // Not the cargo that runs this, which is another toolchain's.
    let check = ["run", toolchain, "cargo", "check", "--workspace", "--all-targets", "--locked"];
    succeeds(Command::new("rustup").args(check).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(root()))
}

/// Whether what follows `prefix` is `version` or a patch of it, as 1.95.0 of 1.95.
fn is_of(text: &str, prefix: &str, version: &str) -> bool {
    let rest = text.strip_prefix(prefix).and_then(|text| text.strip_prefix(version));
    rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Every published package has a description, a licence, its texts and a page.
pub(super) fn packages() -> Outcome {
    let mut folders: Vec<_> = std::fs::read_dir(root().join("crates")).into_iter().flatten().flatten().collect();
    folders.sort_by_key(std::fs::DirEntry::path);
    let mut is_whole = !folders.is_empty();
    for folder in folders.iter().map(std::fs::DirEntry::path) {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let list = output(crate::cargo().args(["package", "--list", "--allow-dirty", "--locked"]).current_dir(&folder));
        let list = list.unwrap_or_default();
        for key in ["description = ", "license.workspace = ", "readme"] {
            if !manifest.lines().any(|line| line.starts_with(key)) {
                say(&format!("{}: no line {key}", folder.join("Cargo.toml").display()));
                is_whole = false;
            }
        }
        for file in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            if !list.lines().any(|line| line == file) {
                say(&format!("{}: its package has no {file}", folder.display()));
                is_whole = false;
            }
        }
    }
    if is_whole { Outcome::Passed } else { Outcome::Failed }
}
