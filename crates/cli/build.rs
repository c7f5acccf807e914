//! Records two facts for the run manifest at build time: the git revision and Burn's version.

use std::path::Path;
use std::process::Command;

/// The lock file of the checkout, or of the installed package.
const LOCK_FILES: [&str; 2] = ["../../Cargo.lock", "Cargo.lock"];

fn main() {
    let lock = LOCK_FILES.into_iter().find(|path| Path::new(path).exists());
    let burn = lock.and_then(|path| locked(&std::fs::read_to_string(path).ok()?, "burn"));
    // Without a lock file, only the minor version is known.
    println!("cargo::rustc-env=CHAINRULE_BURN={}", burn.as_deref().unwrap_or("0.22"));
    lock.iter().for_each(|path| println!("cargo::rerun-if-changed={path}"));
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
    };
    let revision = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    println!("cargo::rustc-env=CHAINRULE_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    // In a checkout, a change in any crate marks the build as dirty. An installed package has no
    // other crates, and a missing path in `rerun-if-changed` would rebuild it every time.
    println!("cargo::rerun-if-changed=src");
    if Path::new("../records/src").is_dir() {
        println!("cargo::rerun-if-changed=..");
    }
    // HEAD's log grows with every commit on any branch.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// The version of a package in a lock file.
fn locked(lock: &str, package: &str) -> Option<String> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(after.split('"').next()?.to_owned())
}
