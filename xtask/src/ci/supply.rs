//! What this project is built from and hands out: its dependencies, the oldest compiler that is promised, its packages.

use std::process::Stdio;

use super::{Outcome, cargo, root};

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
